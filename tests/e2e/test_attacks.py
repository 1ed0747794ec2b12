"""Attacks on the whole product, for the promises of SECURITY.md that the other tests do not show.

What lives here: what a hostile client, a hostile server, another user, or the program itself at its worst moment may do, and
that the program lives, answers and ends as it would have. What does not: how the parts do their work (tests/unit), and the
protocol message by message (test_stranger.py).
"""

import array
import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

import procfs
import stranger
from conftest import BUILD, CLIENT, PATIENCE, SANITIZED, program_env, run_client, wait_until
from fake_server import DUMP, FakeServer, dump_begin, dump_code, dump_local, dump_thread, greet, until_closed, welcome
from stranger import INTERRUPTED, VALUE, Message, Session, encode, frame
from test_access import DAEMON, as_user, needs_root, public  # noqa: F401 (a fixture)

IDLE = """
import os, sys, pystuck
server = pystuck.run_server()
print("READY", flush=True)
os.read(0, 1)
sys.exit(7)
"""
HELLO = Message("HELLO", magic=b"pystuck", version=1, client="attacker")


def connect(path):
    """A connection on which nothing has been said; waits while the queue of the listener is full."""
    sock = socket.socket(socket.AF_UNIX)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(PATIENCE), 0))
    sock.connect(str(path))
    sock.settimeout(PATIENCE)
    return sock


def call(program, path=None):
    """A Session behind WELCOME."""
    session = Session(stranger.Plain(connect(path or program.socket)))
    session.hello()
    return session


def works(program):
    with call(program) as session:
        return session.eval("6*7").text == "42"


def at_rest(program):
    """What an idle program has once every kind of request was served: fds and threads (main, net, courier)."""
    with call(program) as session:
        assert session.eval("6*7").text == "42"
        assert session.dump().end is not None
    wait_until(lambda: threads(program) == 3, "the session's thread has ended")
    return fds(program), threads(program)


def ends_well(program):
    program.say("")
    assert program.wait() == 7, program.stderr()
    assert program.stderr() == ""
    return True


def threads(program):
    return len(os.listdir(f"/proc/{program.pid}/task"))


def fds(program):
    return len(os.listdir(f"/proc/{program.pid}/fd"))


def private_kib(program):
    text = Path(f"/proc/{program.pid}/smaps_rollup").read_text()
    return int(text.split("Private_Dirty:")[1].split()[0])


# ---- sockets and their directories (3, 4, 6) ----------------------------------------------------

SWAPPER = """
import os, sys
os.chdir(sys.argv[1])
print("on", flush=True)
while True:
    os.rename("sub", "aside"); os.rename("link", "sub")
    os.rename("sub", "link"); os.rename("aside", "sub")
"""
TRIES = """
import sys, pystuck
for _ in range(300):
    try:
        pystuck.run_server(socket=sys.argv[1])
        print("LET IN", flush=True)
    except OSError as e:
        pass
print("READY", flush=True)
"""


@needs_root
def test_what_another_user_swaps_below_his_directory_is_never_used(public, tmp_path, one_python):  # noqa: F811
    """The race between check and use: a directory becomes a link and a directory again, all the time."""
    good, his = public / "good", public / "his"
    good.mkdir()
    his.mkdir()
    (his / "sub").mkdir()
    (his / "link").symlink_to(good)
    for path in (his, his / "sub"):
        os.chown(path, DAEMON.pw_uid, DAEMON.pw_gid)
    os.chown(his / "link", DAEMON.pw_uid, DAEMON.pw_gid, follow_symlinks=False)
    swapper = subprocess.Popen([*as_user(DAEMON), "/usr/bin/python3", "-c", SWAPPER, str(his)], stdout=subprocess.PIPE, text=True)
    try:
        assert swapper.stdout.readline() == "on\n"
        done = subprocess.run([one_python, "-c", TRIES, str(his / "sub" / "s.sock")], env=program_env(tmp_path),
                              capture_output=True, text=True, timeout=PATIENCE)
        assert done.stdout == "READY\n", done
        assert swapper.poll() is None
        assert not os.listdir(good)
    finally:
        swapper.kill()
        swapper.communicate()


RUNS = """
import os, pystuck
try:
    server = pystuck.run_server()
    print("AT", server.address, flush=True)
except Exception as e:
    print(type(e).__name__, e, flush=True)
print("FD3", os.path.exists("/proc/self/fd/3"), flush=True)
"""


@pytest.mark.parametrize("prepare, count, words", [
    ("exec 3>&-", "1", "ValueError"), ("exec 3</dev/null", "1", "ValueError"), ("exec 3<>/dev/udp/127.0.0.1/9", "1", "ValueError"),
    ("exec 3</dev/null", "0", "AT"), ("exec 3</dev/null", "-1", "ValueError"), ("exec 3</dev/null", "9" * 30, "ValueError")],
    ids=["closed", "file", "datagram", "none", "negative", "huge"])
def test_what_is_handed_over_and_is_no_listening_socket_is_refused_and_left_alone(one_python, tmp_path, prepare, count, words):
    tmp_path.chmod(0o700)
    env = program_env(tmp_path, {"LISTEN_FDS": count, "LISTEN_FDNAMES": "pystuck"})
    done = subprocess.run(["bash", "-c", f'{prepare}; export LISTEN_PID=$$; exec "$0" -c "$1"', one_python, RUNS], env=env,
                          capture_output=True, text=True, timeout=PATIENCE, close_fds=True)
    assert done.stdout.startswith(words), done
    assert done.stdout.endswith(f"FD3 {'>&-' not in prepare}\n") or words == "AT", done


# ---- who is it (11, 13, 14, 33) -----------------------------------------------------------------

@needs_root
def test_credentials_are_those_at_connect_whoever_has_the_socket_now(start, one_python, public):  # noqa: F811
    """daemon connects and hands the connection to root, and the other way round."""
    path = public / "s.sock"
    start(one_python, IDLE.replace("run_server()", f"run_server(socket={str(path)!r}, mode=0o666, allow={{'sys': 'stacks'}})"))
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        os.setresgid(DAEMON.pw_gid, DAEMON.pw_gid, DAEMON.pw_gid)
        os.setgroups([])
        os.setresuid(DAEMON.pw_uid, DAEMON.pw_uid, DAEMON.pw_uid)
        his = connect(path)
        theirs.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [his.fileno()]))])
        os._exit(0)
    _, ancillary, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(4))
    assert os.waitpid(pid, 0)[1] == 0
    with socket.socket(fileno=array.array("i", ancillary[0][2])[0]) as his:
        his.settimeout(PATIENCE)
        session = Session(stranger.Plain(his))
        with pytest.raises(stranger.Refused):
            session.hello()
    with connect(path) as mine:
        pid = os.fork()
        if pid == 0:
            os.setresuid(DAEMON.pw_uid, DAEMON.pw_uid, DAEMON.pw_uid)
            session = Session(stranger.Plain(mine))
            session.hello()
            os._exit(0 if session.eval("6*7").text == "42" else 1)
        assert os.waitpid(pid, 0)[1] == 0
    ours.close()
    theirs.close()


def test_who_evaluates_is_told_by_the_kernel_and_not_by_the_client(start, one_python):
    program = start(one_python, IDLE.replace("server =", "who = []\nsys.addaudithook("
                                             "lambda event, args: event == 'pystuck.eval' and who.append(args[0]))\nserver ="))
    with Session(stranger.Plain(connect(program.socket))) as session:
        session.send(Message("HELLO", magic=b"pystuck", version=1, client="key admin\nuid 0, pid 1"))
        session.wait("WELCOME")
        assert session.eval("modules['__main__'].who").text == repr([f"uid {os.getuid()}, pid {os.getpid()}"])


FLOOD = """
import socket, sys
kept = []
for _ in range(500):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(sys.argv[1])
    kept.append(sock)
print("on", flush=True)
sys.stdin.read()
"""


@needs_root
def test_a_flood_of_another_user_leaves_room_for_who_belongs(start, one_python, public):  # noqa: F811
    path = public / "s.sock"
    program = start(one_python, IDLE.replace("run_server()", f"run_server(socket={str(path)!r}, mode=0o666, allow={{'sys': 'stacks'}})"))
    before = fds(program)
    flood = subprocess.Popen([*as_user(DAEMON), "/usr/bin/python3", "-c", FLOOD, str(path)], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)
    try:
        assert flood.stdout.readline() == "on\n"
        # The next one is accepted, and gets a higher number, before the oldest goes.
        assert fds(program) <= before + 34
        with call(program, path) as session:
            assert session.eval("6*7").text == "42"
    finally:
        flood.communicate("")
    wait_until(lambda: fds(program) == before, "the connections of the flood are closed")


FORGER = """
import os, socket, struct, sys
os.umask(0)
sock = socket.socket(socket.AF_UNIX)
sock.bind(sys.argv[1])
sock.listen()
print("on", flush=True)
while True:
    peer, _ = sock.accept()
    peer.sendall(bytes.fromhex(sys.argv[2]))
    while peer.recv(1000): pass
"""


@needs_root
def test_a_server_cannot_pass_for_a_process_of_another_user(public, client):  # noqa: F811
    """The list shows root what the kernel says of a server, and not what it says of itself."""
    his = public / "pystuck"
    his.mkdir()
    os.chown(his, DAEMON.pw_uid, DAEMON.pw_gid)
    forged = frame(welcome(uid=0, pid=1, command="/sbin/init")).hex()
    forger = subprocess.Popen([*as_user(DAEMON), "/usr/bin/python3", "-c", FORGER, str(his / "f.sock"), forged],
                              stdout=subprocess.PIPE, text=True)
    try:
        assert forger.stdout.readline() == "on\n"
        lines = [line for line in client("--list").out.splitlines() if str(his) in line]
        assert len(lines) == 1 and lines[0].split()[:2] == [str(forger.pid), "daemon"], lines
    finally:
        forger.kill()
        forger.communicate()


# ---- keys and bytes (23, 42) --------------------------------------------------------------------

def test_key_material_is_in_no_argument_and_no_environment(start, one_python, client, tmp_path):
    key = tmp_path / "key"
    assert client("--keygen", key).status == 0
    secret = key.read_text().split()[2].encode()
    program = start(one_python, IDLE.replace("run_server()", f"run_server(port=0, key={str(key)!r})\nprint(server.address[1])"),
                    ready=False)
    port = int(program.out.until(r"^(\d+)$").group(1))
    program.wait_ready()
    waiting = subprocess.Popen([CLIENT, "127.0.0.1", str(port), "--key", str(key), "-c", "modules.time.sleep(1000)"],
                               env={"HOME": "/nonexistent"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: b"sleep" in Path(f"/proc/{waiting.pid}/cmdline").read_bytes(), "the client runs")
        for pid in (program.pid, waiting.pid):
            for name in ("cmdline", "environ"):
                assert secret not in Path(f"/proc/{pid}/{name}").read_bytes()
    finally:
        waiting.kill()
        waiting.wait()


def test_neither_side_can_read_or_write_python_objects(tmp_path):
    """Nothing of pickle or marshal is in the program or the client: only text crosses the wire."""
    for built in [BUILD / "pystuck", *(BUILD / "python" / "pystuck").glob("__init__*.so")]:
        # What debuggers read names all that Python's headers name.
        subprocess.run(["strip", "--strip-debug", "-o", tmp_path / "stripped", built], check=True, timeout=PATIENCE)
        data = (tmp_path / "stripped").read_bytes()
        assert not [word for word in (b"pickle", b"PyMarshal", b"marshal") if word in data], built


# ---- a hostile server (42) ----------------------------------------------------------------------

@pytest.mark.parametrize("arguments", [["--no-repl"], ["--json"]])
def test_a_server_that_never_ends_its_answer_is_3_and_costs_bounded_memory(tmp_path, arguments):
    def serve(peer):
        greet(peer)
        peer.send(dump_begin(peer.expect(DUMP)), dump_code(0), dump_thread())
        while True:
            peer.send(*[dump_local(0, "n", "v" * 60000)] * 20)

    limit = () if SANITIZED else ("prlimit", "--as=700000000")
    with FakeServer(tmp_path / "s.sock", serve):
        answer = run_client("--socket", tmp_path / "s.sock", "--locals", *arguments, prefix=limit)
    assert answer.status == 3 and answer.out == "", answer


def test_a_server_that_drips_is_cut_off_by_the_clock(tmp_path):
    """Every byte comes within the time, the answer does not."""
    gone = threading.Event()

    def serve(peer):
        greet(peer)
        peer.expect(DUMP)
        try:
            while not gone.wait(0.1):
                peer.connection.sendall(b"\0")
                peer.connection.sendall(b"")
        finally:
            until_closed(peer)

    with FakeServer(tmp_path / "s.sock", serve):
        answer = run_client("--socket", tmp_path / "s.sock", "--no-repl", "--timeout", "1")
        gone.set()
    assert answer.status == 3 and answer.out == "", answer


# ---- hostile clients (32 to 35, 43) -------------------------------------------------------------

def push_unread(session, data):
    """Sends as much as the server takes while nothing is read: it must stop taking at some time."""
    sock = session.transport.sock
    sock.settimeout(0.3)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < len(data):
            sent += sock.send(data[sent:sent + 65536])
    sock.settimeout(PATIENCE)
    return sent


@pytest.mark.parametrize("kind", ["dumps", "locals", "prints", "values"])
def test_thousands_of_requests_whose_answers_are_not_read_cost_one_outbox(python, start, kind):
    program = start(python, IDLE)
    assert works(program)
    before = private_kib(program)
    with call(program) as session:
        make = {"dumps": lambda: session.make_dump(), "locals": lambda: session.make_dump(1),
                "prints": lambda: session.make_eval("print('x' * 100000)"), "values": lambda: session.make_eval("'y' * 100000")}[kind]
        data = b"".join(frame(encode(make())) for _ in range(30000))
        assert push_unread(session, data) < len(data)
        assert private_kib(program) < before + 8192
        assert works(program)
    assert ends_well(program)


def test_a_storm_of_interrupts_hits_what_it_names_and_nothing_after_it(python, start):
    program = start(python, IDLE)
    chance = random.Random(1)
    with call(program) as session:
        for _ in range(300):
            request = session.make_eval(f"sum(range({chance.choice([1, 1000, 10000])}))")
            interrupts = [Message("INTERRUPT", id=chance.choice([request.id, request.id - 1, 77777])) for _ in range(20)]
            session.send(request, *interrupts)
            assert session.finish(request.id).status in (VALUE, INTERRUPTED)
            assert session.eval("7").text == "7"
    assert ends_well(program)


def test_a_storm_of_evaluations_that_are_let_go_of_is_bounded_and_passes(python, start):
    program = start(python, IDLE)
    _, before = at_rest(program)
    with call(program) as session:
        for _ in range(400):
            request = session.make_eval("modules.time.sleep(0.3)")
            session.send(request, Message("DETACH", id=request.id))
        session.eval("0")
        assert threads(program) <= before + 201
    wait_until(lambda: threads(program) <= before, "the threads of what was let go of have ended")
    assert works(program)
    assert ends_well(program)


def test_garbage_at_every_stage_costs_nothing(python, start):
    program = start(python, IDLE)
    before = at_rest(program)
    chance = random.Random(2)
    for _ in range(400):
        garbage = chance.randbytes(chance.choice([1, 4, 8, 30, 600]))
        with connect(program.socket) as sock, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(chance.choice([garbage, frame(garbage), frame(encode(HELLO)) + garbage,
                                        frame(encode(HELLO)) + frame(garbage),
                                        frame(encode(HELLO)) + frame(encode(Message("EVAL", id=1, flags=0, cell=0,
                                                                                    source="while True: pass")))]))
    assert works(program)
    wait_until(lambda: (fds(program), threads(program)) <= before, "what the garbage has left is gone")
    assert ends_well(program)


def test_who_has_left_takes_nobodys_place(python, start):
    """One after the other, without a pause: each is let in though only one may be there at a time."""
    program = start(python, IDLE.replace("run_server()", "run_server(max_clients=1)"))
    for i in range(1000):
        with call(program) as session:
            if i % 2:
                session.send(session.make_dump())
    assert ends_well(program)


def test_many_sessions_at_once_that_vanish_leave_nothing(python, start):
    program = start(python, IDLE)
    before = at_rest(program)
    for _ in range(10):
        with contextlib.ExitStack() as stack:
            for _ in range(8):
                session = stack.enter_context(call(program))
                session.send(session.make_eval("x = [0] * 1000\nwhile True: pass"), session.make_dump())
        wait_until(lambda: (fds(program), threads(program)) <= before, "what the sessions have left is gone")
    assert works(program)
    assert ends_well(program)


def test_memory_is_flat_over_connections_evaluations_and_dumps(python, start):
    program = start(python, IDLE)

    def use(connections, evaluations, dumps, sessions):
        for i in range(connections):
            with connect(program.socket) as sock, contextlib.suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(b"\0\0\0\x17\1garbage"[:i % 12])
        with call(program) as session:
            for i in range(evaluations):
                session.eval([f"{i} + 1", f"print('x' * {i % 1000})", "1/0", "def f(): return 1"][i % 4])
            for i in range(dumps):
                session.dump(i % 2)
        for _ in range(sessions):
            with call(program) as session:
                session.eval("x = bytearray(100000)\ndef f(): return x")

    use(300, 4400, 60, 300)  # a session remembers the sources and values of its last 1000 cells
    before = private_kib(program)
    use(1500, 4400, 200, 300)
    assert private_kib(program) < before + (8192 if SANITIZED else 1024)
    assert ends_well(program)


def test_one_byte_at_a_time_does_not_buy_a_stranger_more_time(start, one_python):
    program = start(one_python, IDLE)
    began = time.monotonic()
    with connect(program.socket) as sock:
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for byte in frame(encode(HELLO)) * 100:
                sock.sendall(bytes([byte]))
                time.sleep(0.3)  # the attack itself: slow, but never silent
    assert 4 < time.monotonic() - began < 7
    assert works(program)


# ---- evaluations that break things (43) ---------------------------------------------------------

@pytest.mark.parametrize("code", [
    "import sys; sys.stdout = None; sys.stderr = None; print('x')",
    "import sys; del sys.stdout, sys.stderr",
    "import sys; del sys.modules['sys'], sys.modules['builtins'], sys.modules['threading']",
    "import sys; sys.modules.clear()",
    "import sys; sys.modules = None; 1/0",
    "import sys, threading; threading.settrace(lambda *a: 1/0); sys.settrace(lambda *a: 1/0)\ndef f(): pass\nf()",
    "import sys; sys.setprofile(lambda *a: 1/0)\ndef f(): pass\nf()",
    "import os, threading\npid = os.fork()\nif pid == 0: threading.Thread(target=lambda: os._exit(3)).start()\nos.waitpid(pid, 0)",
    "def f(): return f()\nf()",
    "import sys; sys.setrecursionlimit(10 ** 6)\ndef f(n): return n and f(n - 1)\nf(10000)",
    "x = []\nfor _ in range(100000): x = [x]\nx",
    "e = None\nfor i in range(5000):\n n = ValueError(i); n.__cause__ = e; e = n\nraise e",
    "a = ValueError(); b = ValueError(); a.__cause__ = b; b.__cause__ = a\nraise a",
    "class E(Exception):\n def __str__(self): raise SystemExit\nraise E",
    "class M(type): __name__ = property(lambda s: 1/0)\nclass E(Exception, metaclass=M): pass\nraise E",
    "class A:\n def __del__(self): raise SystemExit\na = A(); del a",
    "'(' * 300 + ')' * 300; eval('-' * 100000 + '1')",
    "'x' * 200_000_000",
    "print('\\udc80\\ud800'); '\\udfff'",
    "import signal; signal.pthread_sigmask(signal.SIG_UNBLOCK, range(1, 32))",
    "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))",
    "globals().clear()",
    "modules = _ = Out = __builtins__ = None",
    "import gc; gc.callbacks.append(lambda *a: None); gc.set_threshold(1)",
    "import pystuck; pystuck.run_server(socket='/nonexistent/s.sock')",
])
def test_program_and_session_survive_an_evaluation_that(python, start, code):
    program = start(python, IDLE)
    with call(program) as session:
        assert session.eval(code).what == "RESULT"
        again = session.eval("40 + 2")
        assert (again.what, again.text) == ("RESULT", "42")
    with call(program) as session:
        assert session.eval("6 * 7").text == "42"
        assert len(session.dump().threads) >= 1
    program.say("")
    assert program.wait() == 7, program.stderr()


TRACED = """
import sys, pystuck
pystuck.run_server()
print("READY", flush=True)
sys.stdin.readline()
calls = []
def called(): return 1
sys.setprofile(lambda *event: calls.append(event))
called()
sys.setprofile(None)
print("PROFILED", len(calls) > 0, flush=True)
sys.stdin.readline()
"""


def test_a_program_can_be_profiled_after_an_evaluation(python, start, ask):
    """On 3.11 a wish for an asynchronous exception that nobody takes back hangs every profiled call of the program."""
    program = start(python, TRACED)
    assert ask(program, "1+1").out == "2\n"
    program.say("")
    assert program.out.until(r"PROFILED (\w+)").group(1) == "True"


def interrupt(session, request_id):
    """As one who presses Ctrl-C again: Python drops an exception that it raises in a weak reference's callback."""
    for _ in range(20):
        session.send(Message("INTERRUPT", id=request_id))
        session.transport.sock.settimeout(1)
        try:
            return session.finish(request_id)
        except TimeoutError:
            pass
        finally:
            session.transport.sock.settimeout(PATIENCE)
    pytest.fail("it is not interrupted")


def test_an_interrupt_hits_the_evaluation_and_none_of_the_threads_that_it_starts(python, start):
    """Up to 3.11 a thread that is being started bears the id of its starter for a moment."""
    program = start(python, IDLE)
    with call(program) as session:
        for _ in range(60):
            request = session.make_eval("print('on')\nimport threading\nwhile True: threading.Thread(target=int).start()")
            session.send(request)
            session.wait("OUTPUT", id=request.id)
            assert interrupt(session, request.id).status == INTERRUPTED
    assert ends_well(program)


# ---- the worst moments (49, 50) -----------------------------------------------------------------

CLOSES_ALL = """
import os, sys, pystuck
pystuck.run_server()
print("READY", flush=True)
sys.stdin.readline()
os.closerange(3, 1000)
{then}
sys.exit(7)
"""


@pytest.mark.parametrize("then", ["", "os.fork() or os._exit(0); os.wait()", "pystuck.stop_server()"], ids=["exit", "fork", "stop"])
def test_a_program_that_has_closed_every_fd_still_ends(python, start, then):
    program = start(python, CLOSES_ALL.format(then=then))
    program.say("")
    assert program.wait() == 7, program.stderr()


REUSES = """
import os, socket, sys, pystuck
kept = []
def os_socket(fd):
    kept.append(socket.socket(fileno=fd))
    return kept[-1]
pystuck.run_server()
print("READY", flush=True)
sys.stdin.readline()
ours = [int(fd) for fd in os.listdir("/proc/self/fd") if int(fd) > 2]
os.closerange(3, 1000)
{make}
print("REUSED", flush=True)
sys.stdin.readline()
{then}
{check}
print("CHECKED", flush=True)
sys.exit(7)
"""
REUSED = {
    "files": ("fds = [os.open('theirs%d' % i, os.O_RDWR | os.O_CREAT) for i in range(30)]",
              "assert all(os.lseek(fd, 0, os.SEEK_CUR) == 0 == os.fstat(fd).st_size for fd in fds)"),
    "sockets": ("fds = []\n"
                "for pair in [socket.socketpair() for _ in range(30)]:\n"
                "    for end in pair: end.setblocking(False); end.send(b'x'); fds.append(end.detach())",
                "assert all(os.read(fd, 100) == b'x' for fd in fds)"),
    "listeners": ("fds = [socket.create_server(('127.0.0.1', 0)).detach() for _ in range(30)]\n"
                  "calls = [socket.create_connection(os_socket(fd).getsockname()) for fd in fds]",
                  "for fd in fds: place = os_socket(fd); place.settimeout(20); place.accept()[0].close()"),
    "pipes": ("pipes = [os.pipe() for _ in range(30)]; fds = [r for r, w in pipes]\n"
              "for r, w in pipes: os.set_blocking(r, False); os.write(w, b'x')",
              "assert all(os.read(fd, 100) == b'x' for fd in fds)"),
    "eventfds": ("import ctypes; fds = [ctypes.CDLL(None).eventfd(0, 0o4000) for _ in range(30)]",
                 "for fd in fds:\n    try: os.read(fd, 8); raise SystemExit('written to')\n    except BlockingIOError: pass"),
}
THEN = {"nothing": "", "fork": "os.fork() or os._exit(0); os.wait()", "stop": "pystuck.stop_server()",
        "run": "pystuck.run_server(socket='second.sock').close()"}


@pytest.mark.parametrize("then", THEN)
@pytest.mark.parametrize("what", REUSED)
def test_what_gets_the_numbers_of_our_fds_is_neither_written_read_nor_closed(start, one_python, what, then):
    """Even the very numbers, which the program would have to choose; while nobody asks for anything."""
    make, check = REUSED[what]
    move = ("for i, fd in enumerate(ours):\n"
            "    if fd != fds[i] and fd not in fds: os.dup2(fds[i], fd); fds.append(fd)")
    if what != "files":
        # Two numbers of one file: what is in it can be read once.
        move = move.replace("fds.append(fd)", "os.close(fds[i]); fds[i] = fd")
    program = start(one_python, REUSES.format(make=make, move=move, check=check, then=THEN[then]))
    with contextlib.ExitStack() as stack:
        idle = stack.enter_context(call(program))
        assert idle.eval("6*7").text == "42"
        assert idle.dump().end is not None
        stack.enter_context(call(program))
        begin_handshake(program, stack)
        assert works(program)
        program.say("")
        program.out.until("REUSED")
        with contextlib.suppress(OSError):
            connect_now(program.socket)
        with contextlib.suppress(OSError):
            idle.send(idle.make_eval("print('x' * 1000)"), idle.make_dump())
        program.say("")
        program.out.until("CHECKED")
        assert program.wait() == 7, program.stderr()


@pytest.mark.parametrize("then", THEN)
@pytest.mark.parametrize("what", REUSED)
def test_what_a_program_opens_after_closing_all_in_the_middle_of_everything_is_its_own(start, one_python, what, then):
    """With clients in the middle of an evaluation that prints, and of their first bytes."""
    make, check = REUSED[what]
    program = start(one_python, REUSES.format(make=make, move="", check=check, then=THEN[then]))
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            busy = stack.enter_context(call(program))
            busy.send(busy.make_eval("while True: print('x' * 1000)"))
            busy.wait("OUTPUT")
        begin_handshake(program, stack)
        assert works(program)
        program.say("")
        program.out.until("REUSED")
        program.say("")
        program.out.until("CHECKED")
        assert program.wait() == 7, program.stderr()


def begin_handshake(program, stack):
    for cut in (0, 1, 4, 20):
        stack.enter_context(connect(program.socket)).sendall(frame(encode(HELLO))[:cut])


def begin_dump(program, stack):
    for _ in range(3):
        session = stack.enter_context(call(program))
        session.send(session.make_dump(1), session.make_dump())


def begin_eval(source):
    def begin(program, stack):
        for _ in range(3):
            session = stack.enter_context(call(program))
            session.send(session.make_eval(source))
    return begin


def begin_detached(program, stack):
    session = stack.enter_context(call(program))
    request = session.make_eval("while True: pass")
    session.send(request, Message("DETACH", id=request.id), session.make_eval("print(1)"))


@pytest.mark.parametrize("source", ["while True: pass", "import time\nwhile True: time.sleep(0.001)"])
def test_an_evaluation_that_the_exit_cuts_off_imports_nothing_more(python, start, source):
    """A thread that is still in the middle of an import when the interpreter goes away crashes it; and nobody would get the traceback."""
    program = start(python, """
import atexit, os, sys
atexit.register(lambda: print("IMPORTED", sorted({"traceback", "linecache"} & set(sys.modules)), flush=True))  # after ours
""" + IDLE)
    with call(program) as session:
        session.send(session.make_eval(f"print('on')\n{source}"))
        session.wait("OUTPUT")
        program.say("")
        program.out.until(r"^IMPORTED \[\]$")
        assert program.wait() == 7, program.stderr()
        assert program.stderr() == ""


def test_an_evaluation_waits_until_another_ones_threading_is_whole(python, start):
    """It used to find a module that was being imported, and its code kept the GIL from the thread that did it."""
    program = start(python, """
import importlib.abc, os, sys
let_on, on = os.pipe()
class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "_weakrefset":
            print("IMPORTING", flush=True)
            os.read(0, 1)
            os.write(on, b"1")
for name in ("threading", "_weakrefset"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Slow())
""" + IDLE.replace("os.read(0, 1)", "os.read(let_on, 1); os.read(0, 1)"))
    with call(program) as first, call(program) as second:
        first.send(first.make_eval("1"))
        program.out.until("IMPORTING")
        second.send(second.make_eval("hasattr(modules.sys.modules['threading'], 'Thread')"))
        wait_until(lambda: procfs.thread_names(program.pid).count("pystuck-eval") == 2, "the second evaluation has its thread")
        program.say("")
        assert second.wait("RESULT").text == "True"
    assert ends_well(program)


def connect_now(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(0.1)
        sock.connect(str(path))


def test_an_evaluation_that_closes_every_fd_ends_its_session_and_not_the_program(python, start):
    program = start(python, IDLE)
    with call(program) as session:
        session.send(session.make_eval("modules.os.closerange(3, 1000)"))
        program.say("")
        assert program.wait() == 7, program.stderr()


def test_a_program_that_is_killed_in_the_middle_is_told_by_the_client(start, one_python):
    program = start(one_python, IDLE)
    waiting = subprocess.Popen([CLIENT, "--socket", program.socket, "-c", "print('on', flush=True)\nwhile True: pass"],
                               env={"HOME": "/nonexistent"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert waiting.stdout.readline() == "on\n"
    program.process.send_signal(signal.SIGKILL)
    _, errors = waiting.communicate(timeout=PATIENCE)
    assert waiting.returncode == 3 and f"process {program.pid} has gone (killed by SIGKILL in mid-evaluation)" in errors, errors
