"""The client against a server that says anything: nothing of it may hurt the user's terminal, and every end is told."""

import json
import os
import re
import signal
import subprocess
import termios
import threading
import time

import pytest

import fake_server as fake
from conftest import CLIENT, PATIENCE, ROOT, wait_until
from fake_server import FakeServer, answer_dump, greet, until_closed
from repl import PROMPT, Repl

# ESC, BEL, CR, backspace, C1 CSI as a character and as a byte, DEL, a bidirectional override, a zero-width space.
NASTY = "a\x1b[31m\x1b]0;x\x07\r\b\x9b5m\udc9b\x7f\u202e\u200bz"
RAW = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\x8b-\x8f\xaa-\xae]")


def raw_bytes(data):
    """Control bytes and bytes that are not UTF-8; newline and tab pass."""
    data.decode("utf-8")
    return RAW.findall(data)


@pytest.fixture
def place(tmp_path):
    directory = tmp_path / "place"
    directory.mkdir(mode=0o700)
    return directory / "fake.sock"


def run(*args, env=None, **kwargs):
    environment = dict(os.environ, HOME="/nonexistent", NO_COLOR="1")
    environment.update(env or {})
    kwargs.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([CLIENT, *map(str, args)], capture_output=True, timeout=PATIENCE, env=environment, **kwargs)


def dump_with(**fields):
    def serve(peer):
        greet(peer, **fields.pop("welcome", {}))
        answer_dump(peer, **fields)
        until_closed(peer)
    return serve


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--locals"], ["--locals", "--json"]])
@pytest.mark.parametrize("fields", [
    {"code": {"file": NASTY}}, {"code": {"function": NASTY}}, {"source": NASTY}, {"thread": {"name": NASTY}},
    {"thread": {"class_name": NASTY}}, {"thread": {"os_name": NASTY, "class_name": ""}},
    {"thread": {"detail": NASTY, "state": 5}}, {"begin": {"note": NASTY, "how": 3}}, {"begin": {"note": NASTY}},
    {"local": {"name": NASTY}}, {"local": {"value": NASTY}}, {"welcome": {"python": NASTY}}, {"welcome": {"command": NASTY}},
    {"welcome": {"pystuck": NASTY}}], ids=lambda f: ".".join([next(iter(f)), *(next(iter(f.values())) if isinstance(
        next(iter(f.values())), dict) else ())]))
def test_no_field_of_a_dump_writes_a_control_byte(place, fields, arguments):
    def serve(peer):
        greet(peer, **fields.get("welcome", {}))
        answer_dump(peer, **{k: v for k, v in fields.items() if k != "welcome"})
        until_closed(peer)

    with FakeServer(place, serve):
        done = run("--socket", place, "--no-repl", *arguments)
    assert done.returncode in (0, 5), done
    assert raw_bytes(done.stdout) == [] and raw_bytes(done.stderr) == [], done
    if "--json" in arguments:
        json.loads(done.stdout)
    elif "welcome" not in fields and ("local" not in fields or "--locals" in arguments):
        assert b"\\x1b[31m" in done.stdout + done.stderr, "and the text is still to be read"


@pytest.mark.parametrize("serve", [
    lambda peer: (peer.expect(fake.HELLO), peer.send(fake.refused(why=NASTY))),
    lambda peer: (peer.expect(fake.HELLO), peer.send(fake.refused(reason=3, why=NASTY))),
    lambda peer: (greet(peer), peer.send(fake.error(peer.expect(fake.DUMP), why=NASTY)), until_closed(peer)),
    lambda peer: (greet(peer), peer.send(fake.error(peer.expect(fake.DUMP), reason=4, why=NASTY)), until_closed(peer)),
    lambda peer: (greet(peer), peer.send(fake.bye(why=NASTY))),
], ids=["denied", "full", "dump denied", "no gil", "bye"])
def test_no_sentence_of_the_server_writes_a_control_byte(place, serve):
    with FakeServer(place, serve):
        done = run("--socket", place, "--no-repl")
    assert done.returncode in (3, 4) and done.stdout == b"" and raw_bytes(done.stderr) == [], done
    assert b"\\x1b[31m" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["--json"]])
@pytest.mark.parametrize("make", [
    lambda id: [fake.output(id, NASTY), fake.result(id)],
    lambda id: [fake.output(id, NASTY, 2), fake.result(id)],
    lambda id: [fake.result(id, fake.VALUE, NASTY)],
    lambda id: [fake.result(id, fake.RAISED, NASTY)],
    lambda id: [fake.result(id, fake.EXIT, NASTY)],
    lambda id: [fake.error(id, 10, NASTY)],
], ids=["stdout", "stderr", "value", "raised", "exit", "error"])
def test_no_text_of_an_evaluation_writes_a_control_byte(place, make, arguments):
    def serve(peer):
        greet(peer)
        peer.send(*make(peer.expect(fake.EVAL)))
        until_closed(peer)

    with FakeServer(place, serve):
        done = run("--socket", place, "-c", "x", *arguments)
    assert raw_bytes(done.stdout) == [] and raw_bytes(done.stderr) == [], done
    assert b"\\x1b[31m" in done.stdout + done.stderr or b"\\\\x1b" in done.stdout or b"\\u001b" in done.stdout, done


def test_no_field_writes_a_control_byte_into_the_list(place, tmp_path):
    runtime = tmp_path / "runtime"
    (runtime / "pystuck").mkdir(parents=True, mode=0o700)

    def serve(peer):
        greet(peer, python=NASTY, command=NASTY + "\0" + NASTY)
        until_closed(peer)

    with FakeServer(runtime / "pystuck" / "1.sock", serve):
        done = run("--list", env={"XDG_RUNTIME_DIR": str(runtime)})
    assert done.returncode == 0 and raw_bytes(done.stdout) == [], done
    assert b"a\\x1b[31m" in done.stdout


def test_the_list_leaves_out_sockets_that_are_none_of_ours(tmp_path):
    """A path with our name in it is not enough; a server that does not answer where servers are is shown as such."""
    here = tmp_path / "my-pystuck-notes"
    usual = tmp_path / "pystuck"
    here.mkdir(mode=0o700)
    usual.mkdir(mode=0o700)

    def other(peer):
        peer.connection.sendall(b"SSH-2.0-other\r\n")
        until_closed(peer)

    with FakeServer(here / "silent.sock", until_closed), FakeServer(here / "other.sock", other), \
            FakeServer(usual / "7.sock", until_closed), FakeServer(usual / "8.sock", other), \
            FakeServer(here / "named.sock", until_closed), FakeServer(here / "ours.sock", lambda p: (greet(p), until_closed(p))):
        def listed():
            done = run("--list", env={"PYSTUCK_SOCKET": str(here / "named.sock")})
            rows = {line.split()[-1]: line for line in done.stdout.decode().splitlines() if str(tmp_path) in line}
            assert set(rows) - {str(here / "ours.sock")} == {str(usual / "7.sock"), str(here / "named.sock")}, done
            assert "(no answer)" in rows[str(usual / "7.sock")]
            return rows.get(str(here / "ours.sock"))
        # It has half a second to answer, which may be too little on a busy machine.
        assert "(no answer)" not in wait_until(listed, "the server that answers is listed")


def test_the_list_fits_the_terminal(tmp_path):
    directory = tmp_path / "pystuck"
    directory.mkdir(mode=0o700)
    with FakeServer(directory / "1.sock", lambda p: (greet(p, command="python3\0" + "\u00e9" * 400), until_closed(p))):
        def row():
            with Repl("--list", home=tmp_path, columns=220, wait=False) as listing:
                assert listing.wait() == 0
                rows = [line for line in listing.text().splitlines() if str(directory) in line]
            assert len(rows) == 1 and len(rows[0]) <= 220, rows
            return "(no answer)" not in rows[0] and rows[0]
        assert "\u00e9..." in wait_until(row, "the server answers in time")


def test_the_prompt_shows_no_control_byte_and_takes_only_blanks_as_indentation(place, tmp_path):
    """At a terminal readline sends sequences of its own; none of them may be the server's."""
    answers = [lambda id: [fake.output(id, NASTY), fake.result(id, fake.VALUE, NASTY)],
               lambda id: [fake.output(id, NASTY, 2), fake.result(id, fake.RAISED, NASTY)],
               lambda id: [fake.result(id, fake.INCOMPLETE, "  \x1b[31m\rmodules.os.remove('x')\n")],
               lambda id: [fake.result(id, fake.NONE, "")]]

    def serve(peer):
        greet(peer, command=NASTY, python=NASTY)
        for make in answers:
            peer.send(*make(peer.expect(fake.EVAL)))
        until_closed(peer)

    with FakeServer(place, serve), Repl("--socket", place, "--no-stacks", home=tmp_path) as repl:
        repl.ask("1")
        repl.ask("2")
        repl.send("3\r")
        _, text = repl.expect(r"\.\.\.: +$")
        assert "remove" not in text
        repl.ask("4")
        raw = repl.raw
        repl.send("\x04")
        assert repl.wait() == 0
    for piece in (b"\x1b[31m\x1b]", b"\x1b]0;x", b"\x07", b"\x9b", b"\xc2\x9b", b"\xe2\x80\xae", b"\xe2\x80\x8b", b"\x7f", b"a\x1b"):
        assert piece not in raw, piece


def test_a_connection_lost_while_the_user_types_is_said_at_once(place, tmp_path):
    gone = []

    def serve(peer):
        greet(peer)
        peer.send(fake.result(peer.expect(fake.EVAL), fake.NONE, ""))
        while not gone:
            time.sleep(0.01)

    with FakeServer(place, serve), Repl("--socket", place, "--no-stacks", home=tmp_path) as repl:
        repl.ask("1")
        repl.send("half a line")
        repl.expect("half a line")
        gone.append(1)
        repl.expect("connection lost")
        repl.until_screen(r"In \[1\]: half a line\Z")
        repl.send("\x15\x04")
        assert repl.wait() == 3


def test_a_goodbye_at_the_prompt_is_shown(place, tmp_path):
    def serve(peer):
        greet(peer)
        peer.expect(fake.EVAL)
        peer.send(fake.bye(6, "the program is going away"))

    with FakeServer(place, serve), Repl("--socket", place, "--no-stacks", home=tmp_path) as repl:
        repl.send("1\r")
        repl.expect(r"the program is going away(?s:.*)In \[1\]: $")
        repl.send("\x04")
        assert repl.wait() == 3


def test_no_prompt_for_a_role_that_may_not_evaluate(place, tmp_path):
    def serve(peer):
        greet(peer, role=1)
        answer_dump(peer)
        until_closed(peer)

    with FakeServer(place, serve), Repl("--socket", place, home=tmp_path, wait=False) as repl:
        _, text = repl.expect(r'no prompt: your role here is "stacks"')
        assert "<_MainThread" in repl.raw.decode() and repl.wait() == 0


@pytest.mark.parametrize("cut", ["begin", "code", "thread", "half"])
def test_a_server_that_dies_in_the_answer_is_3_and_nothing_is_on_stdout(place, cut):
    def serve(peer):
        greet(peer)
        id = peer.expect(fake.DUMP)
        peer.send(fake.dump_begin(id))
        if cut != "begin":
            peer.send(fake.dump_code(0))
        if cut in ("thread", "half"):
            peer.send(fake.dump_thread())
        if cut == "half":
            peer.connection.sendall(b"\0\0\0\x50half")

    with FakeServer(place, serve):
        done = run("--socket", place, "--no-repl")
    assert done.returncode == 3 and done.stdout == b"", done
    assert b"connection lost in the middle of the answer" in done.stderr


def test_a_refusal_names_the_later_version(place):
    with FakeServer(place, lambda peer: (peer.expect(fake.HELLO), peer.send(fake.refused(2, 2, "version 2 only")))):
        done = run("--socket", place)
    assert done.returncode == 3 and b"the server speaks protocol version 2, this client 1" in done.stderr, done


@pytest.mark.parametrize("messages", [
    lambda id: [fake.dump_code(0)],
    lambda id: [fake.dump_begin(id + 1)],
    lambda id: [fake.dump_begin(id), fake.dump_begin(id)],
    lambda id: [fake.dump_begin(id), fake.dump_code(1)],
    lambda id: [fake.dump_begin(id), fake.dump_source(0, 1)],
    lambda id: [fake.dump_begin(id), fake.dump_thread(frames=((0, 1),))],
    lambda id: [fake.dump_begin(id), fake.dump_code(0), fake.dump_thread(frames=((2**32 - 1, 1),))],
    lambda id: [fake.dump_begin(id), fake.dump_local()],
    lambda id: [fake.dump_begin(id), fake.dump_code(0), fake.dump_thread(), fake.dump_local(frame=1)],
    lambda id: [fake.dump_begin(id), fake.dump_end(id + 1)],
    lambda id: [fake.welcome()],
])
def test_a_dump_that_makes_no_sense_is_3_and_not_a_crash(place, messages):
    with FakeServer(place, lambda peer: (greet(peer), peer.send(*messages(peer.expect(fake.DUMP))), until_closed(peer))):
        done = run("--socket", place, "--no-repl")
    assert done.returncode == 3 and done.stdout == b"" and b"makes no sense" in done.stderr, done


@pytest.mark.parametrize("note, words", [("", "the GIL could not be had in 1000 ms"), ("held by tid 7", "held by tid 7")])
def test_a_dump_without_python_frames_is_said_and_5(place, note, words):
    with FakeServer(place, dump_with(begin={"how": 3, "note": note, "holder": 7, "wait_us": 1_000_000},
                                     thread={"frames": (), "state": 2})):
        done = run("--socket", place, "--no-repl", text=True)
    assert done.returncode == 5, done
    assert done.stderr == f"pystuck: {words}; this is what the operating system knows of the threads\n"
    assert "waiting for the GIL" in done.stdout


def test_what_was_left_out_is_said_and_5(place):
    with FakeServer(place, dump_with(thread={"omitted": 12}, end={"omitted_threads": 3, "cut": 1})):
        done = run("--socket", place, "--no-repl")
    assert done.returncode == 5 and b"12 outer frames left out" in done.stdout and b"3 threads left out" in done.stdout, done


def test_the_text_looks_as_in_the_original(place):
    def serve(peer):
        greet(peer)
        id = peer.expect(fake.DUMP)
        peer.send(fake.dump_begin(id, threads=3), fake.dump_code(0, "test.py", "<module>"), fake.dump_code(1, "test.py", "foo"),
                  fake.dump_source(0, 9, "with lock:  # could block"),
                  fake.dump_thread(5, 6, 0, 0, "", "", "native", "", 0, ()),
                  fake.dump_thread(3, 4, 2, 5, "Thread-2", "Thread", "python", "in recv", 0, ((0, 9), (1, 0))),
                  fake.dump_thread(140245, 812, 1, 3, "MainThread", "_MainThread", "python", "", 0, ((0, 9),)),
                  fake.dump_end(id))
        until_closed(peer)

    with FakeServer(place, serve):
        done = run("--socket", place, "--no-repl", text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == """\
3 threads: 1 waiting for a lock, 1 in recv, 1 in an unknown state

<_MainThread(MainThread, started 140245)>  tid 812, waiting for lock
  File "test.py", line 9, in <module>
    with lock:  # could block

<Thread(Thread-2, started daemon 3)>  tid 4, in recv
  File "test.py", line 9, in <module>
    with lock:  # could block
  File "test.py", in foo

1 thread is not in Python
  <thread(native)>  in an unknown state, tid 6
"""


@pytest.mark.parametrize("arguments", [[], ["--locals"]])
def test_the_json_is_what_its_schema_says(place, arguments):
    import jsonschema
    schema = json.loads((ROOT / "docs" / "dump.schema.json").read_text())
    with FakeServer(place, dump_with(local={"value": NASTY}, thread={"tid": 0, "class_name": "", "frames": ((0, 0),)})):
        done = run("--socket", place, "--json", *arguments)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(done.stdout))


def test_json_is_indented_on_a_terminal_and_one_line_elsewhere(place, tmp_path):
    with FakeServer(place, dump_with()):
        assert run("--socket", place, "--json").stdout.count(b"\n") == 1
        with Repl("--socket", place, "--json", home=tmp_path, wait=False) as repl:
            assert repl.wait() == 0
            assert json.loads(repl.text()) and repl.text().count("\n") > 20


def test_colour_is_for_terminals_and_can_be_switched(place):
    with FakeServer(place, dump_with()):
        assert b"\x1b" not in run("--socket", place, "--no-repl", env={"NO_COLOR": ""}).stdout
        assert b"\x1b[" in run("--socket", place, "--no-repl", "--color=always").stdout
        assert b"\x1b" not in run("--socket", place, "--no-repl", "--color=never").stdout


def test_the_outcome_of_an_evaluation_as_json(place):
    def serve(peer):
        greet(peer)
        id = peer.expect(fake.EVAL)
        peer.send(fake.output(id, "out\n"), fake.output(id, "err", 2), fake.output(id + 1, "another's"), fake.result(id, words="[1]"))
        until_closed(peer)

    with FakeServer(place, serve):
        done = run("--socket", place, "-c", "x", "--json")
    assert json.loads(done.stdout) == {"schema": 1, "status": "value", "repr": "[1]", "stdout": "out\n", "stderr": "err",
                                       "exception": None, "cut": False, "duration_us": 1}


@pytest.mark.parametrize("status, parts, exception", [
    (fake.NONE, None, None),
    (fake.RAISED, ("KeyError", "'x'"), {"type": "KeyError", "message": "'x'", "traceback": NASTY}),
    (fake.RAISED, None, {"type": None, "message": "", "traceback": NASTY}),
    (fake.EXIT, ("SystemExit", NASTY), {"type": "SystemExit", "message": NASTY, "traceback": NASTY}),
])
def test_the_json_of_an_outcome_is_what_its_schema_says(place, status, parts, exception):
    import jsonschema
    schema = json.loads((ROOT / "docs" / "result.schema.json").read_text())

    def serve(peer):
        greet(peer)
        id = peer.expect(fake.EVAL)
        told = [fake.raised(id + 1, "another's", "")] + ([fake.raised(id, *parts)] if parts else [])
        peer.send(*told, fake.result(id, status, NASTY if exception else ""))
        until_closed(peer)

    with FakeServer(place, serve):
        done = run("--socket", place, "--json", "-c", "x")
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(done.stdout))
    got = json.loads(done.stdout)["exception"]
    assert (got is None) == (exception is None) and done.returncode == (1 if exception else 0)
    if exception:
        assert got["type"] == exception["type"] and bool(got["message"]) == bool(exception["message"])
        assert b"\x1b" not in done.stdout


def test_ctrl_c_interrupts_a_batch_evaluation_and_a_second_one_ends_the_client(place):
    asked = []

    def serve(peer):
        greet(peer)
        id = peer.expect(fake.EVAL)
        peer.send(fake.output(id, "on\n"))
        asked.append(peer.expect(fake.INTERRUPT) == id)
        until_closed(peer)

    with FakeServer(place, serve):
        process = subprocess.Popen([CLIENT, "--socket", str(place), "-c", "x"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout.readline() == b"on\n"
        process.send_signal(signal.SIGINT)
        assert b"still running" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130 and asked == [True]
        process.stdout.close()
        process.stderr.close()


def test_an_evaluation_that_takes_longer_than_the_timeout_is_interrupted(place):
    def serve(peer):
        greet(peer)
        id = peer.expect(fake.EVAL)
        assert peer.expect(fake.INTERRUPT) == id
        peer.send(fake.result(id, fake.INTERRUPTED, "Traceback\nKeyboardInterrupt\n"))
        until_closed(peer)

    with FakeServer(place, serve):
        done = run("--socket", place, "-c", "x", "--timeout", "0.1")
    assert done.returncode == 3 and b"KeyboardInterrupt" in done.stderr and b"took too long" in done.stderr, done


def flood(peer):
    """Output without end until MSG_INTERRUPT comes; reads beside writing."""
    greet(peer)
    id = peer.expect(fake.EVAL)
    stop = threading.Event()

    def listen():
        try:
            peer.expect(fake.INTERRUPT)
        finally:
            stop.set()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    while not stop.is_set():
        peer.send(fake.output(id, "flood\n" * 1000))
    listener.join(PATIENCE)
    peer.send(fake.result(id, fake.INTERRUPTED, "KeyboardInterrupt\n"))
    until_closed(peer)


def test_a_flood_of_output_is_stopped_by_ctrl_c(place, tmp_path):
    with FakeServer(place, flood), Repl("--socket", place, "--no-stacks", home=tmp_path) as repl:
        repl.send("x\r")
        repl.expect("flood\n")
        repl.send("\x03")
        repl.expect(r"KeyboardInterrupt\n(?:.*\n)*In \[1\]: $")


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_at_the_prompt_gives_the_terminal_back(place, tmp_path, sig):
    def serve(peer):
        greet(peer)
        until_closed(peer)

    with FakeServer(place, serve), Repl("--socket", place, "--no-stacks", home=tmp_path, wait=False) as repl:
        before = termios.tcgetattr(repl.fd)
        repl.expect(PROMPT)
        assert termios.tcgetattr(repl.fd) != before, "readline has changed it"
        os.kill(repl.pid, sig)
        assert repl.wait() == -sig
        assert termios.tcgetattr(repl.fd) == before


def test_nothing_is_sent_before_the_servers_owner_is_known_and_one_write_asks_for_all(place):
    seen = []

    def serve(peer):
        seen.append(peer.connection.recv(65536))
        peer.send(fake.welcome())
        peer.pending = seen[0]
        peer.expect(fake.HELLO)
        answer_dump(peer)
        until_closed(peer)

    with FakeServer(place, serve):
        assert run("--socket", place, "--no-repl").returncode == 0
    assert bytes([fake.HELLO]) + fake.text(b"pystuck") in seen[0] and seen[0].count(b"\0\0\0") >= 2
