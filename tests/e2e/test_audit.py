"""What is told of those who come: the program's audit hooks, the system's log, a function of the program."""

import hashlib
import json
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

import procfs
from conftest import PATIENCE, wait_until
from repl import Repl
from stranger import Message, Plain, Session

HOOKED = """
import sys, pystuck
heard = []
def hook(event, args):
    if event.startswith("pystuck."):
        heard.append((event, *args))
        HOOK
sys.addaudithook(hook)
server = pystuck.run_server(MORE)
print("READY", flush=True)
WORK
"""


def hooked(start, python, hook, more="", work="sys.stdin.read()"):
    return start(python, HOOKED.replace("HOOK", hook).replace("MORE", more).replace("WORK", work))


def test_an_audit_hook_hears_of_a_connection_and_then_of_each_evaluation(python, start, ask):
    program = hooked(start, python, "pass")
    answer = ask(program, "modules['__main__'].heard")
    assert answer.status == 0, answer
    heard = eval(answer.out)
    assert [event for event, *_ in heard] == ["pystuck.connect", "pystuck.eval"], heard
    assert heard[0][1] == heard[1][1] and heard[0][1].startswith("uid ") and "pid " in heard[0][1]
    assert heard[0][2] == "eval" and heard[1][2] == "modules['__main__'].heard"


def test_an_audit_hook_can_veto_a_connection(python, start, client, ask):
    program = hooked(start, python, "if event == 'pystuck.connect' and len(heard) < 3: raise PermissionError('not\\n\\x1b[2Jtoday')")
    for _ in range(2):
        answer = client("--socket", program.socket, "--no-repl")
        assert answer.status == 4 and answer.out == "", answer
        assert "PermissionError: not" in answer.err and "\x1b" not in answer.err, answer
    assert ask(program, "1+1").out == "2\n"
    assert program.alive()


# Holds the GIL until the test writes a line.
WEDGE = """
import ctypes
sys.stdin.readline()
print("HELD", flush=True)
ctypes.PyDLL(None).read(0, ctypes.create_string_buffer(1), 1)
print("FREE", flush=True)
sys.stdin.read()
"""


def test_without_the_gil_nobody_comes_in_past_an_audit_hook(python, start, client):
    program = hooked(start, python, "pass", "gil_timeout=0.2", WEDGE)
    program.say("go")
    program.out.until("HELD")
    # It may be on its way still; from then on nobody is let in.
    refused = wait_until(lambda: (answer := client("--socket", program.socket, "--no-repl")).status == 4 and answer, "a refusal")
    for answer in (refused, client("--socket", program.socket, "--no-repl")):
        assert answer.status == 4 and answer.out == "" and "audit hooks" in answer.err, answer
    program.say("")
    program.out.until("FREE")
    assert client("--socket", program.socket, "-c", "1+1").out == "2\n"


def test_without_audit_hooks_the_gil_is_not_asked_for(one_python, start, client):
    program = start(one_python, "import sys, pystuck\npystuck.run_server(gil_timeout=0.2)\nprint('READY', flush=True)" + WEDGE)
    program.say("go")
    program.out.until("HELD")
    wait_until(lambda: client("--socket", program.socket, "--json").json["how"] == "raw", "a dump while the GIL is held")
    assert "pystuck-admit" not in procfs.thread_names(program.pid)


def test_a_hook_that_never_returns_stops_no_session_that_is_open(one_python, start, client, ask, tmp_path):
    program = hooked(start, one_python, "if event == 'pystuck.connect' and len(heard) > 1: import time; time.sleep(1000)",
                     "gil_timeout=0.3")
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        assert "2" in repl.ask("1+1")
        first = client("--socket", program.socket, "--no-repl")
        assert first.status != 0 and first.out == "", first
        second = client("--socket", program.socket, "--no-repl")
        assert second.status == 4 and "audit hooks" in second.err, second
        assert "4" in repl.ask("2+2")
        assert "MainThread" in repl.ask("%stacks")


# ---- a function of the program ------------------------------------------------------------------

CALLED = """
import sys, json, time, pystuck
def say(*words):  # in one write: two threads speak
    sys.stdout.write(" ".join(words) + "\\n")
def audit(event):
    assert set(event) == {KEYS}, sorted(event)
    BODY
server = pystuck.run_server(audit=audit, MORE)
say("READY")
for line in sys.stdin:
    exec(line)
    say("DONE")
"""
KEYS = {"time", "action", "message", "session", "uid", "pid", "key", "role", "address", "listener", "reason", "source",
        "source_bytes", "source_blake2b", "duration", "evals", "dumps", "lost"}


def called(start, python, body="say('EVENT', json.dumps(event))", more="", **kwargs):
    return start(python, CALLED.replace("{KEYS}", repr(KEYS)).replace("BODY", body).replace("MORE", more), **kwargs)


def event(program, action):
    """The next event, which must be this one."""
    got = json.loads(program.out.until(r"EVENT (.*)")[1])
    assert got["action"] == action, got
    return got


def test_a_function_is_told_of_a_session_from_its_beginning_to_its_end(python, start, ask):
    program = called(start, python)
    assert ask(program, "1+1").out == "2\n"
    connect, opened, evaluated, end = (event(program, a) for a in ("connect", "open", "eval", "disconnect"))
    assert connect["uid"] == os.getuid() and connect["pid"] > 1 and connect["role"] is None and connect["key"] is None
    assert connect["listener"] == program.socket and connect["address"] is None and connect["source"] is None
    assert opened["role"] == "eval" and evaluated["source"] == "1+1" and evaluated["source_bytes"] == 3
    assert evaluated["source_blake2b"] is None and str(connect["pid"]) in evaluated["message"]
    assert end["evals"] == 1 and end["duration"] > 0 and end["reason"]
    assert len({e["session"] for e in (connect, opened, evaluated, end)}) == 1
    assert abs(connect["time"] - time.time()) < 1000
    assert program.alive() and procfs.thread_names(program.pid).count("pystuck-audit") == 1


def test_a_long_source_is_cut_and_its_hash_is_that_of_the_whole(one_python, start, ask):
    program = called(start, one_python)
    source = "'" + "\u00e9" * 5000 + "'; 7"
    assert ask(program, source).out == "7\n"
    event(program, "connect"), event(program, "open")
    got = event(program, "eval")
    raw = source.encode()
    assert got["source_bytes"] == len(raw) and source.startswith(got["source"]) and 4000 < len(got["source"].encode()) <= 4096
    assert got["source_blake2b"] == hashlib.blake2b(raw, digest_size=32).hexdigest()


def test_what_a_client_says_of_itself_changes_neither_log_nor_role(one_python, start):
    program = called(start, one_python)
    with Session(Plain(connect_to(program.socket))) as session:
        session.send(Message("HELLO", magic=b"pystuck", version=1,
                                      client="uid 0, pid 1\n\x1b[2JEVENT {}\nopen: key admin, role eval"))
        session.wait("WELCOME")
        for action in ("connect", "open"):
            got = event(program, action)
            assert (got["uid"], got["pid"], got["key"]) == (os.getuid(), os.getpid(), None)
            assert "admin" not in json.dumps(got) and "pid 1," not in got["message"] and "\n" not in got["message"]
        assert session.eval("'\x1b[2J\\n'\n").what == "RESULT"
        got = event(program, "eval")
        assert "\x1b" not in json.dumps(got["source"]) and "\n" not in got["message"]


def connect_to(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(PATIENCE)
    s.connect(str(path))
    return s


def test_a_veto_of_a_hook_is_logged_with_its_words(python, start, ask):
    program = called(start, python)
    program.say("sys.addaudithook(lambda event, args: 1/0 if event == 'pystuck.eval' else None)")
    program.out.until("DONE")
    assert ask(program, "1+1").status != 0
    for action in ("connect", "open", "eval"):
        event(program, action)
    assert "ZeroDivisionError" in event(program, "veto")["reason"]
    event(program, "disconnect")


def test_a_veto_that_comes_when_the_client_has_left_is_logged_too(python, start):
    program = called(start, python)
    hook = """
def hook(event, args):
    while event == "pystuck.eval":
        try:  # the client's leaving interrupts it, too
            open("asked", "w")
            os.read(answer[0], 1)
            raise PermissionError("not now")
        except KeyboardInterrupt:
            pass
"""
    program.say(f"import os; answer = os.pipe(); exec({hook!r})")
    program.out.until("DONE")
    program.say("sys.addaudithook(hook)")
    program.out.until("DONE")
    with Session(Plain(connect_to(program.socket))) as session:
        session.send(Message("HELLO", magic=b"pystuck", version=1, client="0"))
        session.wait("WELCOME")
        session.send(session.make_eval("say('it ran')"))
        event(program, "connect"), event(program, "open")
        number = event(program, "eval")["session"]
        wait_until((program.directory / "asked").exists, "the hook is asked")
    assert event(program, "disconnect")["session"] == number
    program.say("os.close(answer[1])")
    got = event(program, "veto")
    assert got["session"] == number and "PermissionError: not now" in got["reason"]
    program.say("say('END')")
    program.out.until("END")
    assert not any("it ran" in line for line in program.out.seen if not line.startswith("EVENT"))


def test_a_connection_that_a_hook_vetoes_is_logged_as_refused(one_python, start, client):
    program = called(start, one_python)
    program.say("sys.addaudithook(lambda event, args: 1/0 if event == 'pystuck.connect' else None)")
    program.out.until("DONE")
    assert client("--socket", program.socket, "--no-repl").status == 4
    event(program, "connect")
    assert "ZeroDivisionError" in event(program, "refuse")["reason"]


def test_a_function_that_never_returns_holds_nobody_up(python, start, ask, client):
    program = called(start, python, "time.sleep(100000)")
    for _ in range(3):
        assert ask(program, "1+1").out == "2\n"
        assert client("--socket", program.socket, "--json").json["how"] == "gil"
    # Nor the exit of the program, nor its threads.
    assert "2\n" == ask(program, "len([t for t in modules['threading'].enumerate()]) + 1 if 'threading' in modules else 2").out
    program.process.stdin.close()
    assert program.wait() == 0 and program.stderr() == ""


def test_what_does_not_fit_into_the_queue_is_counted_and_told(one_python, start, client):
    body = "first or (first.append(1), sys.modules['__main__'].gate.acquire()); say('EVENT', json.dumps(event))"
    program = called(start, one_python, body + "\nfirst = []\nimport _thread; gate = _thread.allocate_lock(); gate.acquire()")
    with Session(Plain(connect_to(program.socket))) as session:
        session.hello()
        for _ in range(400):
            session.eval("1")
        program.say("gate.release()")
        seen = [json.loads(program.out.until(r"EVENT (.*)")[1])["action"] for _ in range(256)]
        assert seen[:3] == ["connect", "open", "eval"] and "lost" not in seen
        # Until there is room: the next one tells of those that were lost.
        wait_until(lambda: session.eval("2") and program_says_lost(program), "the number of lost events")


def program_says_lost(program):
    got = json.loads(program.out.until(r"EVENT (.*)")[1])
    if got["action"] == "lost":
        assert got["lost"] > 100 and "could not be handed over" in got["reason"]
        return True
    return False


def test_a_function_that_raises_is_told_of_once_and_nobody_else_is_bothered(python, start, ask):
    program = called(start, python, "raise ValueError('broken')")
    for _ in range(3):
        assert ask(program, "1+1").out == "2\n"
    program.err.until("ValueError: broken")  # an exit does not wait for a long traceback
    program.process.stdin.close()
    assert program.wait() == 0
    assert program.stderr().count("ValueError: broken") == 1


def test_a_function_may_call_pystuck_and_fork(python, start, ask):
    body = ("say('CALL', repr(pystuck.run_server(socket='%s/more-{pid}.sock' % event['listener'].rsplit('/', 1)[0], audit=None))"
            " if event['action'] == 'open' else '0')\n"
            "    if event['action'] == 'disconnect':\n"
            "        import os\n"
            "        pid = os.fork()\n"
            "        if pid: say('CHILD', str(os.waitpid(pid, 0)[1]))")
    program = called(start, python, body)
    assert ask(program, "1+1").out == "2\n"
    program.out.until("CALL <pystuck.Server listening")
    program.out.until("CHILD 0")
    assert ask(program, "1+1").out == "2\n"
    program.say("pystuck.stop_server()")
    program.out.until("DONE")
    program.process.stdin.close()
    assert program.wait() == 0


def test_a_forked_child_tells_the_function_itself(one_python, start, ask):
    body = "say('EVENT', json.dumps(dict(event, lost=__import__('os').getpid())))"
    program = called(start, one_python, body)
    assert ask(program, "1+1").out == "2\n"
    for action in ("connect", "open", "eval", "disconnect"):
        assert event(program, action)["lost"] == program.pid
    program.say("import os; pid = os.fork(); pid and sys.stdout.write('PID %d\\n' % pid)")
    child = int(program.out.until(r"PID (\d+)")[1])
    path = program.socket.replace(str(program.pid), str(child))
    wait_until(lambda: os.path.exists(path), "the child's socket")
    try:
        with Session(Plain(connect_to(path))) as session:
            session.hello()
            assert event(program, "connect")["lost"] == child
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("arguments, error, words", [
    ("audit='journal'", "ValueError", "'syslog', a function or None"),
    ("audit=5", "TypeError", "'syslog', a function or None"),
    ("audit=None, audit_required=True", "ValueError", "needs a log"),
    ("audit_required=1", "TypeError", "True or False"),
])
def test_bad_audit_arguments_are_said_clearly(one_python, start, arguments, error, words):
    program = start(one_python, f"import pystuck\npystuck.run_server({arguments})", ready=False)
    assert program.wait() == 1
    last = program.stderr().splitlines()[-1]
    assert last.startswith(error) and words in last


# ---- the system's log: a daemon played by the test, where only the program sees it ---------------

PRIVATE = """
set -e
mount -t tmpfs tmpfs /run && mkdir /run/systemd && ln -s "$0" /run/systemd/journal
dev=/run/dev && mkdir $dev
for name in null zero full random urandom tty; do touch $dev/$name && mount --bind /dev/$name $dev/$name; done
ln -s "$0/log" $dev/log && ln -s /proc/self/fd $dev/fd
mount --rbind $dev /dev
exec "$@"
"""


class Log:
    """A daemon of the system's log, for one program: `prefix` makes its sockets the machine's for what it starts."""

    def __init__(self, directory):
        if os.geteuid() != 0:
            pytest.skip("needs root for mounts of its own")
        self.directory = directory
        self.prefix = ("unshare", "--mount", "sh", "-c", PRIVATE, str(directory))
        self.socket = None

    def serve(self, name):
        path = self.directory / name
        path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(PATIENCE)
        return self

    def hear(self):
        return self.socket.recv(1 << 17)

    def fields(self):
        """The next entry, as the journal reads it: each field once."""
        data, fields = self.hear(), {}
        while data:
            line, data = data.split(b"\n", 1)
            if b"=" in line:
                name, value = line.split(b"=", 1)
            else:
                length = int.from_bytes(data[:8], "little")
                name, value, data = line, data[8:8 + length], data[8 + length:]
                assert data[:1] == b"\n"
                data = data[1:]
            assert re.fullmatch(rb"[A-Z][A-Z0-9_]*", name) and name.decode() not in fields, (name, fields)
            fields[name.decode()] = value.decode()
        return fields

    def entry(self, action):
        fields = self.fields()
        assert fields["PYSTUCK_ACTION"] == action, fields
        return fields

    def session(self):
        """The entries of one client that evaluated once."""
        return [self.entry(action) for action in ("connect", "open", "eval", "disconnect")]

    def rest(self):
        """All that is there now."""
        self.socket.setblocking(False)
        seen = []
        try:
            while True:
                seen.append(self.fields())
        except BlockingIOError:
            self.socket.settimeout(PATIENCE)
            return seen


@pytest.fixture
def log(tmp_path):
    directory = tmp_path / "log"
    directory.mkdir(mode=0o700)
    return Log(directory)


LOGGED = """
import sys, pystuck
server = pystuck.run_server({})
print("PORT", server.address[1] if isinstance(server.address, tuple) else 0, flush=True)
print("READY", flush=True)
for line in sys.stdin:
    exec(line)
    sys.stdout.write("DONE\\n")
"""


def logged(start, python, log, arguments="audit='syslog'", **kwargs):
    program = start(python, LOGGED.format(arguments), prefix=log.prefix, ready=False, **kwargs)
    program.port = int(program.out.until(r"PORT (\d+)")[1])
    program.wait_ready()
    return program


def test_the_journal_has_every_field_and_none_is_forged(python, start, ask, log):
    program = logged(start, python, log.serve("socket"))
    source = "x = '''\nPYSTUCK_UID=0\nMESSAGE=root came\n\x1b[2J'''\n7"
    assert ask(program, source).out == "7\n"
    connect, opened, evaluated, end = log.session()
    for fields in (connect, opened, evaluated, end):
        assert fields["SYSLOG_IDENTIFIER"] == "pystuck" and fields["SYSLOG_FACILITY"] == "10"
        assert fields["PYSTUCK_UID"] == str(os.getuid()) and fields["PYSTUCK_LISTENER"] == program.socket
        assert fields["PYSTUCK_SESSION"] == connect["PYSTUCK_SESSION"] and "\n" not in fields["MESSAGE"]
    assert opened["PYSTUCK_ROLE"] == "eval" and "PYSTUCK_ROLE" not in connect
    assert evaluated["PYSTUCK_SOURCE"] == source.replace("\x1b", "\\x1b")
    assert end["PYSTUCK_EVALS"] == "1" and int(end["PYSTUCK_DURATION_US"]) > 0
    assert log.rest() == []


def test_without_a_journal_the_lines_go_to_dev_log(one_python, start, ask, log):
    program = logged(start, one_python, log.serve("log"))
    assert ask(program, "'a'\n").out == "'a'\n"
    for priority, action in ((86, "connect"), (85, "open"), (85, "eval"), (86, "disconnect")):
        line = log.hear().decode()
        assert line.startswith(f"<{priority}>pystuck[{program.pid}]: {action}: uid {os.getuid()}, pid "), line
        assert "\n" not in line


def test_tcp_is_logged_unless_that_is_switched_off(one_python, start, client, log, tmp_path):
    key, other = tmp_path / "key", tmp_path / "other"
    assert client("--keygen", key).status == 0 and client("--keygen", other).status == 0
    program = logged(start, one_python, log.serve("socket"), f"port=0, key={str(key)!r}")
    assert client("127.0.0.1", program.port, "--key", other).status == 4
    came = log.entry("connect")
    assert came["PYSTUCK_ADDRESS"].startswith("127.0.0.1:") and "PYSTUCK_UID" not in came and "PYSTUCK_KEY" not in came
    refused = log.entry("refuse")
    assert "handshake failed" in refused["PYSTUCK_REASON"] and refused["PRIORITY"] == "4"
    assert refused["PYSTUCK_ADDRESS"] == came["PYSTUCK_ADDRESS"]
    assert client("127.0.0.1", program.port, "--key", key, "-c", "1+1").out == "2\n"
    _, opened, evaluated, _ = log.session()
    assert opened["PYSTUCK_KEY"] and opened["PYSTUCK_ROLE"] == "eval" and opened["PYSTUCK_ADDRESS"].startswith("127.0.0.1:")
    assert evaluated["PYSTUCK_SOURCE"] == "1+1"
    quiet = logged(start, one_python, log, f"port=0, key={str(key)!r}, audit=None")
    assert client("127.0.0.1", quiet.port, "--key", key, "-c", "1+1").out == "2\n"
    assert log.rest() == []


def test_a_unix_socket_is_logged_by_default_only_in_a_service(one_python, start, ask, log):
    log.serve("socket")
    plain = logged(start, one_python, log, "", env={"INVOCATION_ID": None, "JOURNAL_STREAM": None})
    assert ask(plain, "1+1").out == "2\n"
    assert log.rest() == []
    for name in ("INVOCATION_ID", "JOURNAL_STREAM"):
        service = logged(start, one_python, log, "", env={"INVOCATION_ID": None, "JOURNAL_STREAM": None, name: "1:2"})
        assert ask(service, "1+1").out == "2\n"
        log.session()


def test_a_log_that_nobody_reads_holds_nobody_up_and_says_later_what_it_missed(one_python, start, log):
    program = logged(start, one_python, log.serve("socket"))
    evals = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) + 22
    with Session(Plain(connect_to(program.socket))) as session:
        session.hello()
        for _ in range(evals):
            assert session.eval("1").text == "1"
        seen = log.rest()
        assert [fields["PYSTUCK_ACTION"] for fields in seen[:3]] == ["connect", "open", "eval"]
        assert session.eval("'after'").text == "'after'"
        assert int(log.entry("lost")["PYSTUCK_LOST"]) == evals + 2 - len(seen) > 0
        assert log.entry("eval")["PYSTUCK_SOURCE"] == "'after'"


def test_a_daemon_that_is_started_anew_is_found_again(one_python, start, log):
    program = logged(start, one_python, log)
    with Session(Plain(connect_to(program.socket))) as session:
        session.hello()
        session.eval("1")
        log.serve("socket")
        session.eval("2")
        assert log.entry("lost")["PYSTUCK_LOST"] == "3"
        assert log.entry("eval")["PYSTUCK_SOURCE"] == "2"
        log.socket.close()
        session.eval("3")
        log.serve("socket")
        session.eval("4")
        assert log.entry("lost")["PYSTUCK_LOST"] == "1"
        assert log.entry("eval")["PYSTUCK_SOURCE"] == "4"


def test_a_forked_child_logs_by_itself(one_python, start, log):
    program = logged(start, one_python, log.serve("socket"))
    program.say("import os; pid = os.fork(); pid and sys.stdout.write('PID %d\\n' % pid)")
    child = int(program.out.until(r"PID (\d+)")[1])
    path = program.socket.replace(str(program.pid), str(child))
    try:
        wait_until(lambda: os.path.exists(path), "the child's socket")
        with Session(Plain(connect_to(path))) as session:
            session.hello()
            assert log.entry("connect")["PYSTUCK_LISTENER"] == path
    finally:
        os.kill(child, signal.SIGKILL)


def test_what_cannot_be_logged_is_not_evaluated_where_that_is_required(one_python, start, ask, log):
    program = logged(start, one_python, log)
    assert ask(program, "1+1").out == "2\n"
    strict = logged(start, one_python, log, "audit_required=True")
    answer = ask(strict, "1+1")
    assert answer.status == 4 and answer.out == "" and "logged" in answer.err, answer
    log.serve("socket")
    assert ask(strict, "1+1").out == "2\n"
