"""Other people's processes: whoever forks, closes, replaces or embeds, there is the right server in each process, none where none
belongs, and nothing of ours in what is theirs.

What lives here: forks of every kind, fds, environments and interpreters. What does not: the arguments and the life of one server
(test_lifecycle.py), servers without a line of code (test_activation.py), thousands of forks and exits (test_storm.py).
"""

import os
import signal
import subprocess

import pytest

import procfs
from conftest import BUILD, PATIENCE, program_env, start_forked, wait_until
from test_access import needs_root

SERVES = """
import os, sys, pystuck
server = pystuck.run_server()
print("READY", flush=True)
"""


def own_path(program, pid):
    return program.socket.replace(str(program.pid), str(pid))


def sockets_of(pid):
    """The listening and connected sockets that a process has."""
    return [link for link in procfs.fds(pid).values() if link.startswith("socket:")]


def files_beside(program):
    return os.listdir(os.path.dirname(program.socket))


# ---- forks --------------------------------------------------------------------------------------

def test_on_fork_ignore_serves_in_no_child(python, start, client):
    program, child = start_forked(start, python, """
server = pystuck.run_server(socket="ignored-{pid}.sock", on_fork="ignore")
again = pystuck.run_server(on_fork="restart")
""")
    # Both would be opened at the same moment.
    wait_until(lambda: os.path.exists(own_path(program, child)), "the other server of the child")
    assert client("--socket", own_path(program, child), "-c", "modules['__main__'].server.running").out == "False\n"
    assert [p for p in os.listdir(program.directory) if p.startswith("ignored")] == [f"ignored-{program.pid}.sock"]
    assert client("--socket", program.directory / f"ignored-{program.pid}.sock", "-c", "1+1").out == "2\n"


@pytest.mark.parametrize("raw", [[], ["--raw"]], ids=["with the GIL", "without"])
def test_the_thread_that_forked_has_its_own_number_in_the_child(python, start, client, raw):
    """Python 3.10 leaves the parent's in threading."""
    program, child = start_forked(start, python, "import threading\nserver = pystuck.run_server()")
    wait_until(lambda: os.path.exists(own_path(program, child)), "the server of the child")
    wait_until(lambda: client("--socket", own_path(program, child), "--json", *raw).json["threads"][0]["state"] == "io", "it reads")
    thread, = client("--socket", own_path(program, child), "--json", *raw).json["threads"]
    assert thread["tid"] == child and thread["state"] == "io", thread


C_FORK = SERVES + """
import ctypes
sys.stdin.readline()
fork = ctypes.PyDLL(None).fork if {gil} else ctypes.CDLL(None).fork
pid = fork()
if pid == 0:
    {child}
os.write(1, b"CHILD %d\\n" % pid)  # one write: the child may print at the same time
print("STATUS", os.waitpid(pid, 0)[1], flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("gil", [True, False])
def test_the_child_of_a_c_librarys_fork_has_nothing_of_ours(python, start, client, gil):
    program = start(python, C_FORK.format(gil=gil, child="signal = os.read(0, 1); os._exit(0)"))
    assert client("--socket", program.socket, "-c", "1+1").out == "2\n"
    program.say("")
    child = int(program.out.until(r"CHILD (\d+)")[1])
    try:
        wait_until(lambda: not sockets_of(child), "the parent's listener and clients are closed")
        assert client("--socket", program.socket, "-c", "modules.os.getpid()").out == f"{program.pid}\n"
        assert files_beside(program) == [os.path.basename(program.socket)]
        program.process.kill()
        program.wait()
        assert client("--socket", program.socket).status == 3, "the child does not answer in the parent's place"
    finally:
        os.kill(child, signal.SIGKILL)


def test_the_child_of_a_c_librarys_fork_may_serve_by_itself(python, start, client):
    program = start(python, C_FORK.format(gil=True, child="""
    assert not server.running
    server.close()
    server = pystuck.run_server()
    os.write(1, f"SERVES {server.address}\\n".encode())
    os.read(0, 1)
    server.close()
    os._exit(9)"""))
    assert client("--socket", program.socket, "-c", "1+1").out == "2\n"
    program.say("")
    path = program.out.until(r"SERVES (.*)$")[1]
    child = int(os.path.basename(path).split(".")[0])
    assert path == own_path(program, child)
    for pid in (program.pid, child):
        assert client("--socket", own_path(program, pid), "-c", "modules.os.getpid()").out == f"{pid}\n"
    program.say("")
    assert int(program.out.until(r"STATUS (\d+)")[1]) == 9 << 8
    assert files_beside(program) == [os.path.basename(program.socket)]
    assert client("--socket", program.socket, "-c", "1+1").out == "2\n"


def test_the_child_of_a_c_librarys_fork_ends_by_itself(python, start, client):
    """Its exit hooks are the parent's: they find a server that is not theirs."""
    program = start(python, C_FORK.format(gil=True, child="sys.exit(5)"))
    assert client("--socket", program.socket, "-c", "1+1").out == "2\n"
    program.say("")
    assert int(program.out.until(r"STATUS (\d+)")[1]) == 5 << 8
    assert client("--socket", program.socket, "-c", "1+1").out == "2\n"
    assert program.alive()


def test_fork_and_exec_leaves_the_new_program_nothing(python, start, client):
    program = start(python, SERVES + """
import threading
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        os.execv("/bin/sh", ["sh", "-c", "ls -l /proc/self/fd | grep -c socket: ; test $(ls /proc/self/task | wc -l) = 1"])
    assert os.waitpid(pid, 0)[1] == 0
print("DONE", flush=True)
sys.stdin.read()
""", args=("-W", "error"))
    assert program.out.until("^(0|DONE)")[0] == "0"
    program.out.until("DONE")
    assert files_beside(program) == [os.path.basename(program.socket)]
    assert client("--socket", program.socket, "-c", "1+1").out == "2\n"


DAEMON = """
import os, sys, pystuck
early = {early}
if early:
    server = pystuck.run_server()
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
{close}
if not early:
    server = pystuck.run_server()
import time
with open("pid.new", "w") as f:
    f.write(str(os.getpid()))
os.rename("pid.new", "pid")
while True:
    time.sleep(1000)
"""


@pytest.mark.parametrize("early, close", [(True, ""), (False, ""), (False, "os.closerange(0, 1000)"),
                                          (True, "os.closerange(0, 1000); os.open('/dev/null', 2); os.dup(0); os.dup(0)")],
                         ids=["before", "after", "after-closing", "before-and-closing"])
def test_a_daemon_that_forks_twice_has_one_server(python, start, client, early, close):
    program = start(python, DAEMON.format(early=early, close=close), args=("-W", "error"), ready=False)
    pid_file = program.directory / "pid"
    wait_until(pid_file.exists, "the daemon has started")
    daemon = int(pid_file.read_text())
    try:
        path = own_path(program, daemon)
        wait_until(lambda: os.path.exists(path), "its own socket")
        assert client("--socket", path, "-c", "modules.os.getpid()").out == f"{daemon}\n"
        assert program.wait() == 0
        assert set(files_beside(program)) <= {f"{daemon}.sock", os.path.basename(program.socket)}
        # The first process ended by os._exit, as it is done: its socket is left, and is known to be dead.
        assert client("--socket", program.socket).status == 3
    finally:
        os.kill(daemon, signal.SIGKILL)
    assert program.stderr() == ""


POOLS = """
import multiprocessing, os, sys
import pystuck

def work(n):
    return n * n, os.getpid(), pystuck is not None

if __name__ == "__main__":
    server = pystuck.run_server()
    if {executor}:
        from concurrent.futures import ProcessPoolExecutor
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context({method!r})) as pool:
            got = list(pool.map(work, range(20)))
    else:
        with multiprocessing.get_context({method!r}).Pool(2) as pool:
            got = pool.map(work, range(20))
            pool.close()
            pool.join()
    assert [n for n, _, _ in got] == [n * n for n in range(20)]
    print("READY", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("executor", [False, True], ids=["multiprocessing", "concurrent.futures"])
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_pools_of_processes_work_and_leave_no_server_behind(python, start, client, method, executor):
    # concurrent.futures has a thread of its own when it forks: that warning is Python's, and not about us.
    options = () if executor and method == "fork" else ("-W", "error")
    program = start(python, POOLS.format(method=method, executor=executor), args=options)
    assert client("--socket", program.socket, "-c", "modules.os.getpid()").out == f"{program.pid}\n"
    program.process.stdin.close()
    assert program.wait() == 0
    if options:
        assert program.stderr() == ""
    # A worker that lived for long had a socket, and ended by os._exit: nobody answers there.
    for name in files_beside(program):
        assert name != os.path.basename(program.socket)
        assert client("--socket", os.path.join(os.path.dirname(program.socket), name)).status == 3


WORKER = """
import multiprocessing, os, sys
import pystuck

def work(queue, hold):
    queue.put(os.getpid())
    hold.wait()

if __name__ == "__main__":
    server = pystuck.run_server()
    context = multiprocessing.get_context("fork")
    queue, hold = context.Queue(), context.Event()
    workers = [context.Process(target=work, args=(queue, hold)) for _ in range(2)]
    for w in workers: w.start()
    print("READY", flush=True)
    print("WORKERS", *[queue.get() for _ in workers], flush=True)
    sys.stdin.readline()
    hold.set()
    for w in workers: w.join()
    print("STATUS", *[w.exitcode for w in workers], flush=True)
    sys.stdin.read()
"""


def test_each_forked_worker_has_a_server_and_takes_it_away(python, start, client):
    program = start(python, WORKER)
    workers = [int(pid) for pid in program.out.until(r"WORKERS (\d+) (\d+)").groups()]
    for pid in workers:
        path = own_path(program, pid)
        wait_until(lambda: os.path.exists(path), "the worker's own socket")
        assert client("--socket", path, "-c", "modules.os.getpid()").out == f"{pid}\n"
    assert len(files_beside(program)) == 3
    program.say("")
    assert program.out.until("STATUS (.*)$")[1] == "0 0"
    # A process of multiprocessing ends by os._exit: its socket is left, and is known to be dead.
    for pid in workers:
        assert client("--socket", own_path(program, pid)).status == 3
    listed = client("--list", env={"XDG_RUNTIME_DIR": str(program.directory)})
    assert str(program.pid) in listed.out and not any(str(pid) in listed.out for pid in workers), listed


# ---- environments and interpreters --------------------------------------------------------------

ODD = {
    "no-stdout": "sys.stdout = None; sys.stderr = None; sys.stdin = None",
    "switchinterval-short": "sys.setswitchinterval(1e-6)",
    "switchinterval-long": "sys.setswitchinterval(10)",
    "modules-replaced": "import types\nfor name in ('os', 'signal', 'socket', 'pystuck', 'traceback', 'linecache'):\n"
                        "    sys.modules[name] = types.ModuleType(name)",
    "modules-gone": "for name in ('traceback', 'linecache', 'pystuck'): sys.modules.pop(name, None)",
    "modules-nonsense": "for name in ('traceback', 'linecache', 'asyncio'): sys.modules[name] = None",
    "recursion-limit": "sys.setrecursionlimit(60)",
    "trace": "sys.settrace(lambda *a: None)",
}


@pytest.mark.parametrize("odd", ODD)
def test_a_program_that_changes_its_interpreter_is_served_all_the_same(python, start, client, odd):
    program = start(python, SERVES + f"""
import os
{ODD[odd]}
os.read(0, 1)
os.write(2, b"ends")
""")
    wait_until(lambda: client("--socket", program.socket, "-c", "6*7").out == "42\n", "an evaluation")
    stacks = client("--socket", program.socket, "--no-repl")
    assert stacks.status in (0, 5) and "program.py" in stacks.out, stacks
    program.say("")
    assert program.wait() == 0
    assert program.stderr() == "ends"


@pytest.mark.parametrize("options", [("-O",), ("-OO",), ("-X", "dev"), ("-X", "importtime"), ("-B", "-s"), ("-b", "-W", "error")])
def test_it_works_however_python_was_started(python, start, client, options):
    program = start(python, SERVES + "sys.stdin.read()\n", args=options)
    assert client("--socket", program.socket, "-c", "6*7").out == "42\n"
    assert client("--socket", program.socket, "--no-repl").status == 0
    program.process.stdin.close()
    assert program.wait() == 0


def test_it_works_without_site_and_without_the_environment(python, start, client):
    script = f"import sys; sys.path.insert(0, {str(BUILD / 'python')!r})\n" + SERVES + "sys.stdin.read()\n"
    program = start(python, script, args=("-I", "-S"))
    assert client("--socket", program.socket, "-c", "6*7").out == "42\n"
    program.process.stdin.close()
    assert program.wait() == 0 and program.stderr() == ""


def test_code_without_a_source_file_has_its_place_in_the_stacks(python, start, client):
    program = start(python, SERVES + """
exec(compile("def frozen(): sys.stdin.read()\\nfrozen()", "<frozen app>", "exec"))
""")
    wait_until(lambda: '"<frozen app>", line 1, in frozen' in client("--socket", program.socket, "--no-repl").out, "the stack")


def test_a_program_that_has_thrown_threading_out_is_evaluated_and_ends_quietly(python, start, client):
    program = start(python, """
import sys, threading
thread = threading.Thread(target=int); thread.start(); thread.join()
del sys.modules["threading"], threading
""" + SERVES + """
sys.stdin.readline()
""")
    assert client("--socket", program.socket, "-c", "6*7").out == "42\n"
    assert client("--socket", program.socket, "-c", "modules.threading.main_thread().is_alive()").out == "True\n"
    program.say("")
    assert program.wait() == 0 and program.stderr() == ""


@needs_root
def test_a_program_that_gives_up_root_is_served_as_before(python, start, client):
    program = start(python, SERVES + """
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print("DROPPED", flush=True)
sys.stdin.readline()
pystuck.stop_server()
print("STOPPED", flush=True)
sys.stdin.readline()
""")
    program.out.until("DROPPED")
    assert client("--socket", program.socket, "-c", "modules.os.getuid()").out == "65534\n"
    program.say("")
    program.out.until("STOPPED")
    program.say("")
    assert program.wait() == 0 and program.stderr() == ""


@needs_root
def test_a_program_that_goes_into_a_chroot_is_served_as_before(python, start, client, tmp_path):
    jail = tmp_path / "jail"
    jail.mkdir()
    program = start(python, SERVES + f"""
os.chroot({str(jail)!r}); os.chdir("/")
print("INSIDE", flush=True)
sys.stdin.readline()
sys.exit(7)
""")
    program.out.until("INSIDE")
    assert client("--socket", program.socket, "-c", "6*7").out == "42\n"
    assert client("--socket", program.socket, "--no-repl").status in (0, 5)
    program.say("")
    assert program.wait() == 7 and program.stderr() == ""


EMBEDS = r"""
#include <Python.h>
static int one_life(int n)
{
	Py_Initialize();
	int failed = PyRun_SimpleString(
		"import os, sys, pystuck\n"
		"server = pystuck.run_server()\n"
		"print('SERVES', server.address, flush=True)\n"
		"os.read(0, 1)\n");
	if (Py_FinalizeEx() != 0 || failed)
		return 1;
	printf("FINALIZED %d\n", n);
	fflush(stdout);
	return 0;
}
/* What is kept of the first interpreter is not to be used in a second. */
static int second_life(void)
{
	Py_Initialize();
	int failed = PyRun_SimpleString(
		"import pystuck\n"
		"try: pystuck.run_server()\n"
		"except ValueError as e: print('REFUSED', e, flush=True)\n");
	return Py_FinalizeEx() != 0 || failed;
}
int main(void)
{
	return one_life(1) != 0 || second_life() != 0;
}
"""


def test_an_interpreter_inside_a_c_program_is_served_and_finalized(python, tmp_path, client):
    ask = ("import sysconfig as s; v = s.get_config_var; print(s.get_paths()['include'], v('LIBDIR'), v('LIBPL'), "
           "'python' + v('LDVERSION'), v('LIBS') or '', v('SYSLIBS') or '')")
    include, libdir, libpl, name, *libs = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True,
                                                         timeout=PATIENCE).stdout.split()
    source, program = tmp_path / "embeds.c", tmp_path / "embeds"
    source.write_text(EMBEDS)
    built = subprocess.run(["cc", "-o", program, source, "-I", include, "-L", libdir, "-L", libpl, f"-Wl,-rpath,{libdir}",
                            "-rdynamic", f"-l{name}", *libs, "-lm"], capture_output=True, text=True, timeout=6 * PATIENCE)
    if built.returncode != 0:
        pytest.skip("this Python comes without a library to link with")
    tmp_path.chmod(0o700)
    home = subprocess.run([python, "-c", "import sys; print(sys.base_prefix)"], capture_output=True, text=True, check=True,
                          timeout=PATIENCE).stdout.strip()
    embedded = subprocess.Popen([program], env=program_env(tmp_path, {"PYTHONHOME": home}), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        path = embedded.stdout.readline().split()[1]
        assert client("--socket", path, "-c", "6*7").out == "42\n"
        out, err = embedded.communicate("x", timeout=PATIENCE)
        assert (embedded.returncode, err) == (0, "")
        assert out.startswith("FINALIZED 1\nREFUSED ") and "an earlier one in this process" in out, out
        assert not os.path.exists(path)
    finally:
        embedded.kill()
        embedded.wait()
