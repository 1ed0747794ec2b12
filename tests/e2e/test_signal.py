"""run_server(signal=...): a server that is not there until it is asked for, and then is, whatever the program is stuck in.

What lives here: the signal, from its handler to the open socket. What does not: what the server does then.
"""

import contextlib
import os
import re
import signal
import socket as sockets
import time

import pytest

from conftest import wait_until

ARMED = """
import os, signal, sys, pystuck
server = pystuck.run_server(signal=signal.SIGUSR2)
print("READY", flush=True)
for line in sys.stdin:
    print("SAYS", eval(line), flush=True)
"""


def says(program, code):
    program.say(code)
    return program.out.until(r"^SAYS (.*)")[1]


def threads_of(pid):
    names = []
    for tid in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            names.append(open(f"/proc/{pid}/task/{tid}/comm").read().strip())
    return sorted(names)


def catches(pid, signo):
    line = next(line for line in open(f"/proc/{pid}/status") if line.startswith("SigCgt"))
    return bool(int(line.split()[1], 16) & 1 << signo - 1)


def listens(path):
    """A socket file is there a moment before it listens."""
    with sockets.socket(sockets.AF_UNIX) as s:
        return s.connect_ex(str(path)) == 0


def summon(program, path=None):
    program.process.send_signal(signal.SIGUSR2)
    wait_until(lambda: listens(path or program.socket), "the socket that the signal asked for")


def test_until_its_signal_comes_there_is_one_sleeping_thread_and_no_socket(python, start, client):
    program = start(python, ARMED)
    assert says(program, "repr(server), server.running, server.address, server.error") == \
        "('<pystuck.Server waiting for SIGUSR2>', False, None, None)"
    wait_until(lambda: "pystuck-signal" in threads_of(program.pid), "the thread has its name")
    assert len(threads_of(program.pid)) == 2
    assert not os.path.exists(os.path.dirname(program.socket))
    assert not [fd for fd in os.listdir(f"/proc/{program.pid}/fd") if "socket" in os.readlink(f"/proc/{program.pid}/fd/{fd}")]
    tid = next(t for t in os.listdir(f"/proc/{program.pid}/task") if int(t) != program.pid)
    wait_until(lambda: open(f"/proc/{program.pid}/task/{tid}/stat").read().rpartition(")")[2].split()[0] == "S", "it sleeps")

    def switches():
        return [line for line in open(f"/proc/{program.pid}/task/{tid}/status") if "ctxt_switches" in line]

    before = switches()
    time.sleep(0.5)  # not a synchronisation: the time during which nothing may happen
    assert switches() == before

    summon(program)
    assert client("--socket", program.socket, "-c", "modules.os.getpid()").out == f"{program.pid}\n"
    wait_until(lambda: "pystuck-signal" not in threads_of(program.pid), "the thread that waited has gone")
    assert says(program, "repr(server), server.running, server.address, server.error") == \
        f"('<pystuck.Server listening at {program.socket}>', True, '{program.socket}', None)"


def test_a_second_signal_changes_nothing_and_close_gives_the_signal_back(python, start, client):
    program = start(python, ARMED)
    summon(program)
    inode = os.stat(program.socket).st_ino
    program.process.send_signal(signal.SIGUSR2)
    assert client("--socket", program.socket, "-c", "1+1").out == "2\n"
    program.process.send_signal(signal.SIGUSR2)
    assert client("--socket", program.socket, "-c", "1+1").out == "2\n"
    assert os.stat(program.socket).st_ino == inode and catches(program.pid, signal.SIGUSR2)
    assert says(program, "server.close(), server, server.running")[:6] == "(None,"
    assert not catches(program.pid, signal.SIGUSR2) and not os.path.exists(program.socket)
    program.process.send_signal(signal.SIGUSR2)
    assert program.wait() == -signal.SIGUSR2, "the default again"
    assert program.stderr() == ""


def test_closed_before_its_signal_came_nothing_is_left(python, start):
    program = start(python, """
import os, signal, sys, pystuck
def count(): return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
first = count()
for i in range(30):
    with pystuck.run_server(signal=signal.SIGUSR2) as server:
        assert not server.running and "waiting for SIGUSR2" in repr(server)
    assert repr(server) == "<pystuck.Server closed>" and server.address is None, server
    assert count() == first, (count(), first)
one, two = pystuck.run_server(signal=signal.SIGUSR2), pystuck.run_server(socket="x-{pid}", signal=signal.SIGUSR2)
one.close()
print("READY", flush=True)
sys.stdin.readline()
pystuck.stop_server()
assert count() == first, (count(), first)
print("STOPPED", flush=True)
sys.stdin.readline()
""")
    assert catches(program.pid, signal.SIGUSR2), "the second one still wants it"
    program.say("")
    program.out.until("STOPPED")
    assert not catches(program.pid, signal.SIGUSR2)
    program.say("")
    assert program.wait() == 0 and program.stderr() == ""


@pytest.mark.parametrize("library, answers", [("PyDLL", False), ("CDLL", True)], ids=["with the GIL", "without the GIL"])
def test_it_opens_while_the_main_thread_is_stuck_in_c_code(python, start, client, library, answers):
    program = start(python, f"""
import ctypes, signal, sys, pystuck
pystuck.run_server(signal=signal.SIGUSR2)
byte = ctypes.create_string_buffer(1)
print("READY", flush=True)
print("READ", ctypes.{library}(None).read(0, byte, 1), byte.value, flush=True)
sys.stdin.read()
""")
    wait_until(lambda: re.match(r"\d+ 0x0 0x[0-9a-f]+ 0x1 ", open(f"/proc/{program.pid}/syscall").read()), "it is in read(2)")
    summon(program)
    answer = client("--socket", program.socket, "--no-repl")
    assert answer.status == (0 if answers else 5), answer
    if answers:
        assert "program.py" in answer.out
    program.say("x")
    assert program.out.until("READ (.*)")[1] == "1 b'x'", "the system call went on as if no signal had come"
    assert client("--socket", program.socket, "-c", "6*7").out == "42\n"


@pytest.mark.parametrize("before, words", [
    ("signal.signal(signal.SIGUSR2, lambda *a: None)", "handler"),
    ("import faulthandler; faulthandler.register(signal.SIGUSR2)", "handler"),
    ("signal.signal(signal.SIGUSR2, signal.SIG_IGN)", "ignored"),
    ("signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])", "blocked"),
])
def test_a_signal_that_the_program_uses_is_refused_and_stays_the_programs(python, start, before, words):
    program = start(python, f"""
import signal, os, pystuck
{before}
def state(): return [line for line in open("/proc/self/status") if line.startswith(("SigBlk", "SigIgn", "SigCgt"))]
was = state()
try: pystuck.run_server(signal=signal.SIGUSR2)
except ValueError as e: print("REFUSED", e, flush=True)
assert state() == was, (was, state())
assert len(os.listdir("/proc/self/task")) == 1
""", ready=False)
    assert words in program.out.until("REFUSED signal=SIGUSR2: (.*)")[1]
    assert program.wait() == 0 and program.stderr() == ""


@pytest.mark.parametrize("value, error", [("signal.SIGTERM", "ValueError"), ("signal.SIGKILL", "ValueError"), ("signal.SIGINT", "ValueError"),
                                          ("0", "ValueError"), ("1000", "ValueError"), ("'USR2'", "TypeError"), ("True", "TypeError")])
def test_other_signals_are_refused(one_python, start, value, error):
    program = start(one_python, f"""
import signal, pystuck
try: pystuck.run_server(signal={value})
except Exception as e: print("RAISED", type(e).__name__, e, flush=True)
""", ready=False)
    assert program.out.until("RAISED (.*)")[1].startswith(f"{error} signal must be")


def test_a_handler_that_the_program_installs_later_wins_and_the_server_says_so(python, start):
    program = start(python, ARMED)
    says(program, "signal.signal(signal.SIGUSR2, lambda *a: print('MINE', flush=True))")
    assert "another handler for SIGUSR2" in says(program, "server.error")
    program.process.send_signal(signal.SIGUSR2)
    program.out.until("MINE")
    assert says(program, "server.close()") == "None"
    program.process.send_signal(signal.SIGUSR2)
    program.out.until("MINE")
    assert program.alive()


def test_why_it_could_not_be_opened_is_told_and_the_next_signal_tries_again(python, start, client, tmp_path):
    place = tmp_path / "later"
    program = start(python, f"""
import signal, sys, pystuck
events = []
server = pystuck.run_server(socket={str(place / "app.sock")!r}, signal=signal.SIGUSR2,
                            audit=lambda e: events.append((e["action"], e["reason"])))
print("READY", flush=True)
for line in sys.stdin:
    print("SAYS", eval(line), flush=True)
""")
    program.process.send_signal(signal.SIGUSR2)
    error = wait_until(lambda: eval(says(program, "[server.error]"))[0], "the error")
    assert str(place) in error and "waiting for SIGUSR2" in says(program, "server")
    wait_until(lambda: "later" in says(program, "events"), "the log has it")
    assert eval(says(program, "events")) == [("listen", "SIGUSR2: " + error)]
    place.mkdir(mode=0o700)
    summon(program, place / "app.sock")
    assert client("--socket", place / "app.sock", "-c", "1+1").out == "2\n"
    assert says(program, "server.error") == "None"
    wait_until(lambda: ("listen", "SIGUSR2: the server listens") in eval(says(program, "events")), "the log has that, too")
    program.process.stdin.close()
    assert program.wait() == 0 and program.stderr() == ""


def test_a_mistake_that_can_be_seen_at_once_is_raised_at_once(one_python, start):
    program = start(one_python, """
import signal, os, pystuck
for arguments in ({"allow": {"nobody": "eval"}, "socket": "x"}, {"socket": "x" * 200}, {"socket": "{name}"}, {"port": 0},
                  {"host": "localhost", "port": 1, "key": "/nonexistent"}):
    try: print("OPENED", pystuck.run_server(signal=signal.SIGUSR2, **arguments), flush=True)
    except (ValueError, OSError): pass
caught = next(line for line in open("/proc/self/status") if line.startswith("SigCgt"))
assert not int(caught.split()[1], 16) & 1 << signal.SIGUSR2 - 1
assert len(os.listdir("/proc/self/task")) == 1
print("READY", flush=True)
""")
    assert program.wait() == 0 and "OPENED" not in "".join(program.out.seen)


def test_a_relative_path_is_of_the_directory_where_it_was_said(one_python, start, client):
    program = start(one_python, ARMED.replace("signal=", "socket='here-{pid}.sock', signal=").replace("print(\"READY\"", "os.chdir('/'); print(\"READY\""))
    path = program.directory / f"here-{program.pid}.sock"
    summon(program, path)
    assert client("--socket", path, "-c", "1+1").out == "2\n"


def test_over_tcp_with_a_key(one_python, start, client, tmp_path):
    key = tmp_path / "key"
    assert client("--keygen", key).status == 0
    program = start(one_python, ARMED.replace("signal=", f"port=0, key={str(key)!r}, audit=None, signal="))
    assert says(program, "server.address") == "None"
    program.process.send_signal(signal.SIGUSR2)
    host, port = wait_until(lambda: eval(says(program, "server.address")), "it listens")
    assert client(host, port, "--key", key, "-c", "1+1").out == "2\n"


FORKING = """
import os, signal, sys, pystuck
server = pystuck.run_server({arguments}signal=signal.SIGUSR2)
pid = os.fork()
if pid == 0:
    os.close(0)
    os.write(1, b"CHILD %d\\n" % os.getpid())
    while True: signal.pause()
sys.stdin.read()
"""


@pytest.mark.parametrize("options", [(), ("-W", "error")])
def test_a_signal_opens_the_server_of_the_process_that_it_is_sent_to(python, start, client, options):
    program = start(python, FORKING.format(arguments=""), args=options, ready=False)
    child = int(program.out.until(r"CHILD (\d+)")[1])
    try:
        path = program.socket.replace(str(program.pid), str(child))
        wait_until(lambda: "pystuck-signal" in threads_of(child), "the child waits for it, too")
        os.kill(child, signal.SIGUSR2)
        wait_until(lambda: listens(path), "the child's socket")
        assert client("--socket", path, "-c", "modules.os.getpid()").out == f"{child}\n"
        assert not os.path.exists(program.socket)
        summon(program)
        assert client("--socket", program.socket, "-c", "modules.os.getpid()").out == f"{program.pid}\n"
    finally:
        os.kill(child, signal.SIGKILL)
    program.process.stdin.close()
    assert program.wait() == 0 and program.stderr() == ""


@pytest.mark.parametrize("arguments", ["socket='fixed.sock', ", "on_fork='ignore', "])
def test_a_child_that_is_not_to_serve_lives_through_the_signal(python, start, client, arguments):
    program = start(python, FORKING.format(arguments=arguments), ready=False)
    child = int(program.out.until(r"CHILD (\d+)")[1])
    try:
        os.kill(child, signal.SIGUSR2)
        path = program.directory / "fixed.sock" if "fixed" in arguments else program.socket
        summon(program, path)
        assert client("--socket", path, "-c", "modules.os.getpid()").out == f"{program.pid}\n"
        assert "pystuck-signal" not in threads_of(child) and "pystuck" not in threads_of(child)
        assert open(f"/proc/{child}/stat").read().rpartition(")")[2].split()[0] == "S"
    finally:
        os.kill(child, signal.SIGKILL)


def test_signals_and_forks_at_once_lose_neither(python, start, client):
    program = start(python, """
import os, signal, sys, threading, pystuck
def send():
    while not stop: os.kill(os.getpid(), signal.SIGUSR2)
for i in range(10):
    server = pystuck.run_server(signal=signal.SIGUSR2)
    stop = False
    sender = threading.Thread(target=send); sender.start()
    for j in range(5):
        pid = os.fork()
        if pid == 0: os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    stop = True; sender.join()
    while not server.running: pass
    server.close() if i < 9 else None
print("READY", flush=True)
sys.stdin.read()
""")
    assert client("--socket", program.socket, "-c", "1+1").out == "2\n"
    program.process.stdin.close()
    assert program.wait() == 0 and "Error" not in program.stderr()


def test_an_exec_and_an_end_leave_the_signal_as_it_was(python, start):
    program = start(python, """
import atexit, os, signal, subprocess, sys, pystuck
def caught():
    return bool(int(next(l for l in open("/proc/self/status") if l.startswith("SigCgt")).split()[1], 16) & 1 << signal.SIGUSR2 - 1)
atexit.register(lambda: print("CAUGHT", caught(), flush=True))
server = pystuck.run_server(signal=signal.SIGUSR2)
assert caught()
child = subprocess.run([sys.executable, "-c", "print(open('/proc/self/status').read())"], capture_output=True, text=True, check=True)
line = next(l for l in child.stdout.splitlines() if l.startswith("SigCgt"))
assert not int(line.split()[1], 16) & 1 << signal.SIGUSR2 - 1, line
print("READY", flush=True)
sys.stdin.readline()
sys.exit(3)
""")
    program.say("")
    assert program.out.until("CAUGHT (.*)")[1] == "False"
    assert program.wait() == 3 and program.stderr() == ""
