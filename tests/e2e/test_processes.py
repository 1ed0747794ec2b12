"""Other people's processes: whoever forks, closes, replaces or embeds, there is the right server in each process, none where none
belongs, and nothing of ours in what is theirs.

What lives here: forks of every kind, fds, environments and interpreters. What does not: the arguments and the life of one server
(test_lifecycle.py), servers without a line of code (test_activation.py), thousands of forks and exits (test_storm.py).
"""

import os
import signal

import pytest

from conftest import wait_until

SERVES = """
import os, sys, pystuck
server = pystuck.run_server()
print("READY", flush=True)
"""


def own_path(program, pid):
    return program.socket.replace(str(program.pid), str(pid))


def sockets_of(pid):
    """The listening and connected sockets that a process has."""
    links = (os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
    return [link for link in links if link.startswith("socket:")]


def files_beside(program):
    return os.listdir(os.path.dirname(program.socket))


# ---- forks --------------------------------------------------------------------------------------

def test_on_fork_ignore_serves_in_no_child(python, start, client):
    program = start(python, """
import os, sys, pystuck
server = pystuck.run_server(socket="ignored-{pid}.sock", on_fork="ignore")
again = pystuck.run_server(on_fork="restart")
pid = os.fork()
if pid == 0:
    sys.stdin.read()
    os._exit(0)
print("READY", flush=True)
print("CHILD", pid, flush=True)
os.waitpid(pid, 0)
""")
    child = int(program.out.until(r"CHILD (\d+)")[1])
    # Both would be opened at the same moment.
    wait_until(lambda: os.path.exists(own_path(program, child)), "the other server of the child")
    assert client("--socket", own_path(program, child), "-c", "modules['__main__'].server.running").out == "False\n"
    assert [p for p in os.listdir(program.directory) if p.startswith("ignored")] == [f"ignored-{program.pid}.sock"]
    assert client("--socket", program.directory / f"ignored-{program.pid}.sock", "-c", "1+1").out == "2\n"


C_FORK = SERVES + """
import ctypes
sys.stdin.readline()
fork = ctypes.PyDLL(None).fork if {gil} else ctypes.CDLL(None).fork
pid = fork()
if pid == 0:
    {child}
print("CHILD", pid, flush=True)
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
    print("SERVES", server.address, flush=True)
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
    directory = os.path.dirname(server.address)
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
    assert os.listdir(directory) == [os.path.basename(server.address)], os.listdir(directory)
    print("READY", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("executor", [False, True], ids=["multiprocessing", "concurrent.futures"])
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_pools_of_processes_work_and_leave_no_socket_behind(python, start, client, method, executor):
    # concurrent.futures has a thread of its own when it forks: that warning is Python's, and not about us.
    options = () if executor and method == "fork" else ("-W", "error")
    program = start(python, POOLS.format(method=method, executor=executor), args=options)
    assert client("--socket", program.socket, "-c", "modules.os.getpid()").out == f"{program.pid}\n"
    program.process.stdin.close()
    assert program.wait() == 0
    if options:
        assert program.stderr() == ""
    assert files_beside(program) == []


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
