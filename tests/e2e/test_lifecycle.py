"""A guest in somebody else's process: start, stop, restart, fork, exit; nothing is left behind and nothing is printed."""

import os
import re
import signal
import time

import pytest

import procfs
from conftest import start_forked, wait_until

IDLE = """
import sys, pystuck
server = pystuck.run_server()
print("READY", flush=True)
sys.stdin.read()
"""


def test_idle_is_one_more_thread_and_no_wake_up(python, start):
    program = start(python, IDLE)
    wait_until(lambda: "pystuck" in procfs.thread_names(program.pid), "the net thread has its name")
    assert len(procfs.thread_names(program.pid)) == 2
    tid = next(tid for tid, name in procfs.threads(program.pid, "comm").items() if name == "pystuck\n")

    def switches():
        status = open(f"/proc/{program.pid}/task/{tid}/status").read()
        return [line for line in status.splitlines() if "ctxt_switches" in line]

    wait_until(lambda: open(f"/proc/{program.pid}/task/{tid}/stat").read().rpartition(")")[2].split()[0] == "S",
               "the net thread sleeps")
    before = switches()
    time.sleep(1)  # not a synchronisation: the time during which nothing may happen
    assert switches() == before


def test_signals_are_blocked_in_our_threads_and_fds_are_cloexec(python, start, ask):
    program = start(python, IDLE)
    assert ask(program, "1+1").out == "2\n"
    statuses = procfs.threads(program.pid, "status")
    assert len(statuses) > 1
    for tid, status in statuses.items():
        if tid != program.pid:
            blocked = int(re.search(r"^SigBlk:\s+(\w+)", status, re.M)[1], 16)
            assert blocked & (1 << (signal.SIGINT - 1) | 1 << (signal.SIGTERM - 1))
    flags = procfs.fd_flags(program.pid)
    assert max(flags) > 2
    assert all(bits & os.O_CLOEXEC for fd, bits in flags.items() if fd > 2), (flags, procfs.fds(program.pid))


@pytest.mark.parametrize("ending, status", [
    ("pass", 0), ("sys.exit(3)", 3), ("raise SystemExit('bye')", 1), ("1/0", 1), ("os._exit(4)", 4),
    ("os.kill(os.getpid(), signal.SIGTERM)", -15),
    ("signal.signal(signal.SIGTERM, lambda *a: sys.exit(5)); os.kill(os.getpid(), signal.SIGTERM)", 5)])
def test_exit_status_is_the_programs_own_and_the_socket_goes(python, start, ending, status, ask):
    program = start(python, IDLE.replace("sys.stdin.read()", "sys.stdin.readline()") +
                    f"import os, signal\n{ending}\n")
    assert ask(program, "1+1").out == "2\n"
    path = program.socket
    assert os.path.exists(path)
    program.say("")
    assert program.wait() == status
    if ending not in ("os._exit(4)", "os.kill(os.getpid(), signal.SIGTERM)"):
        assert not os.path.exists(path)
    if status in (0, 3, 4, 5):
        assert program.stderr() == ""


def test_exit_is_not_held_up_by_a_client_or_a_running_evaluation(python, start, tmp_path):
    from repl import Repl
    program = start(python, IDLE)
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as idle, \
            Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as busy:
        assert idle.ask("1+1").endswith("2")
        busy.send("print('o' + 'n'); exec('while True: pass')\r")
        busy.expect(r"\non\n")
        began = time.monotonic()
        program.process.stdin.close()
        assert program.wait() == 0
        assert time.monotonic() - began < 3
        assert program.stderr() == ""
        for session in (idle, busy):
            session.expect(r"%reconnect looks for it again")
            session.send("\x04")
            assert session.wait() == 3


def test_stop_and_start_again_many_times(python, start, client):
    program = start(python, """
import os, sys, threading, pystuck
def count(): return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
first = count()
for i in range(50):
    server = pystuck.run_server()
    assert server.running and os.path.exists(server.address), server
    server.close(); server.close()
    assert not server.running and not os.path.exists(server.address), server
with pystuck.run_server() as server: assert server.running
assert not server.running
assert count() == first, (count(), first)
server = pystuck.run_server()
pystuck.stop_server(); pystuck.stop_server()
assert not server.running and "closed" in repr(server)
server = pystuck.run_server()
assert "listening" in repr(server) and server.address in repr(server)
print("READY", flush=True)
sys.stdin.read()
""")
    assert client("--socket", program.socket, "-c", "1+1").out == "2\n"


def test_two_servers_share_one_thread(python, start, client, tmp_path):
    program = start(python, """
import pystuck, sys
a = pystuck.run_server()
b = pystuck.run_server(socket="other-{pid}.sock")
print("READY", flush=True)
sys.stdin.read()
""")
    wait_until(lambda: procfs.thread_names(program.pid).count("pystuck") == 1, "the net thread has its name")
    assert len(procfs.thread_names(program.pid)) == 2
    other = program.directory / f"other-{program.pid}.sock"
    for path in (program.socket, other):
        assert client("--socket", path, "-c", "1+1").out == "2\n"


@pytest.mark.parametrize("options", [(), ("-W", "error")])
def test_fork_warns_of_nothing_and_each_child_has_its_own_socket(python, start, client, options):
    program = start(python, """
import os, sys, pystuck
server = pystuck.run_server()
print("READY", flush=True)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        sys.stdin.read(0)
        import time
        while True: time.sleep(0.01)
    print("CHILD", pid, flush=True)
""", args=options)
    children = []
    try:
        for _ in range(3):
            program.say("fork")
            children.append(int(program.out.until(r"CHILD (\d+)")[1]))
        for child in children:
            path = program.socket.replace(str(program.pid), str(child))
            wait_until(lambda: os.path.exists(path), "the child's own socket")
            assert client("--socket", path, "-c", "modules.os.getpid()").out == f"{child}\n"
        assert client("--socket", program.socket, "-c", "modules.os.getpid()").out == f"{program.pid}\n"
        for child in children:
            assert not any(program.socket.endswith(name) for name in procfs.fds(child).values())
        program.process.stdin.close()
        assert program.wait() == 0
        assert not os.path.exists(program.socket)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
    assert program.stderr() == ""


def test_a_client_stays_connected_over_the_programs_forks(python, start, tmp_path):
    from repl import Repl
    program = start(python, """
import os, sys, pystuck
server = pystuck.run_server()
print("READY", flush=True)
for line in sys.stdin:
    for i in range(20):
        pid = os.fork()
        if pid == 0: os._exit(0)
        os.waitpid(pid, 0)
    print("FORKED", flush=True)
""", args=("-W", "error"))
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        repl.ask("x = 5")
        for _ in range(3):
            program.say("")
            program.out.until("FORKED")
            assert repl.ask("x").endswith("5")
    assert program.alive()


def test_children_that_exec_or_exit_at_once_leave_nothing(python, start, client):
    program = start(python, """
import os, sys, subprocess, multiprocessing, pystuck
server = pystuck.run_server()
for i in range(5):
    subprocess.run([sys.executable, "-c", "pass"], preexec_fn=lambda: None, check=True)
    subprocess.run(["/bin/true"], check=True)
    p = multiprocessing.get_context("fork").Process(target=int); p.start(); p.join(); assert p.exitcode == 0
print("READY", flush=True)
sys.stdin.read()
""")
    assert os.listdir(os.path.dirname(program.socket)) == [os.path.basename(program.socket)]
    assert client("--socket", program.socket, "-c", "1+1").out == "2\n"


def test_a_fork_in_an_evaluation_leaves_program_and_session_alive(python, start, ask):
    program = start(python, IDLE)
    answer = ask(program, "modules.os.waitpid(modules.os.fork() or modules.os._exit(7), 0)[1]")
    assert answer.out == f"{7 << 8}\n", answer
    assert ask(program, "(modules.os.fork() or 1) and None").status == 0
    assert ask(program, "1+1").out == "2\n" and program.alive()


def test_a_fixed_path_is_not_served_by_the_child(python, start, client):
    program, child = start_forked(start, python, 'server = pystuck.run_server(socket="fixed.sock")')
    path = program.directory / "fixed.sock"
    assert client("--socket", path, "-c", "modules.os.getpid()").out == f"{program.pid}\n"
    program.process.kill()
    program.wait()
    answer = client("--socket", path)
    assert answer.status == 3, "the child does not answer in the parent's place"
    os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("call, error, words", [
    ("run_server(port='x')", "TypeError", "port must be an int"),
    ("run_server(port=70000)", "ValueError", "65535"),
    ("run_server(port=True)", "TypeError", "port"),
    ("run_server(port=0)", "ValueError", "keygen"),
    ("run_server('localhost', 6666, key=K)", "ValueError", "numeric"),
    ("run_server(host=5)", "TypeError", "host"),
    ("run_server(port=0, key='/nonexistent')", "FileNotFoundError", "/nonexistent"),
    ("run_server(key=K)", "ValueError", "port"),
    ("run_server(socket='a', port=1)", "ValueError", "once for each"),
    ("run_server(socket='x' * 200)", "OSError", "107"),
    ("run_server(socket='')", "ValueError", ""),
    ("run_server(socket='{name}.sock')", "ValueError", "pid"),
    ("run_server(socket='/nonexistent/x.sock')", "FileNotFoundError", "/nonexistent"),
    ("run_server(socket=5)", "TypeError", "path"),
    ("run_server(socket='program.py')", "OSError", "socket"),
    ("run_server(mode='rw')", "TypeError", "mode"),
    ("run_server(mode=0o1777)", "ValueError", "mode"),
    ("run_server(group='no such group')", "ValueError", "no such group"),
    ("run_server(allow=['root'])", "TypeError", "dict"),
    ("run_server(allow={'no such user': 'eval'})", "ValueError", "no such user"),
    ("run_server(allow={'root': 'king'})", "ValueError", "king"),
    ("run_server(allow={'root': 1})", "TypeError", "role"),
    ("run_server(allow={1.5: 'eval'})", "TypeError", "int"),
    ("run_server(allow={'nobody': 'eval'})", "ValueError", "mode"),
    ("run_server(eval=1)", "TypeError", "True or False"),
    ("run_server(namespace=[])", "TypeError", "namespace"),
    ("run_server(namespace={1: 2})", "TypeError", "str"),
    ("run_server(gil_timeout='1')", "TypeError", "seconds"),
    ("run_server(gil_timeout=0)", "ValueError", "0.001"),
    ("run_server(gil_timeout=float('nan'))", "ValueError", "0.001"),
    ("run_server(hurry=1)", "TypeError", "True or False"),
    ("run_server(max_clients=0)", "ValueError", "max_clients"),
    ("run_server(on_fork=1)", "TypeError", "'restart' or 'ignore'"),
    ("run_server(on_fork='serve')", "ValueError", "serve"),
    ("run_server(nonsense=1)", "TypeError", "nonsense"),
    ("run_server(1, 2, 3)", "TypeError", ""),
])
def test_every_mistake_in_the_arguments_is_said_clearly(one_python, start, client, tmp_path, call, error, words):
    key = tmp_path / "key"
    assert client("--keygen", key).status == 0
    program = start(one_python, f"""
import pystuck, os
K = {str(key)!r}
count = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
try:
    pystuck.{call}
except Exception as e:
    print("RAISED", type(e).__name__, e, flush=True)
assert count == (len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")))
pystuck.run_server()
print("READY", flush=True)
input()
""", ready=False)
    line = program.out.next()
    assert line is not None, program.stderr()
    assert line.startswith(f"RAISED {error} ") and words in line, line
    program.wait_ready()


def test_a_python_that_cannot_be_served_says_why(python, start):
    program = start(python, """
import sys
try: import _interpreters as interpreters
except ImportError:
    try: import _xxsubinterpreters as interpreters
    except ImportError: import _testcapi as interpreters
interpreter = interpreters.create()
done = interpreters.run_string(interpreter, "try: import pystuck\\nexcept ImportError as e: print('REFUSED', e, flush=True)")
print("READY", flush=True)
""", ready=False)
    program.out.until("REFUSED .*interpreter")
