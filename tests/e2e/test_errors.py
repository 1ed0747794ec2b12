"""Bad input: each with a clear message and the documented exit status, and never a hang."""

import os
import socket
import struct
import subprocess
import threading

import pytest

from conftest import CLIENT, PATIENCE

IDLE = """
import sys, pystuck
server = pystuck.run_server()
print("READY", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path):
    directory = tmp_path / "place"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def listener(place):
    """listener(serve, tcp=False): runs serve(connection) for each client of a fake server; gives its path or port."""
    sockets = []

    def make(serve, tcp=False):
        if tcp:
            s = socket.create_server(("127.0.0.1", 0))
            address = s.getsockname()[1]
        else:
            s = socket.socket(socket.AF_UNIX)
            address = place / "fake.sock"
            s.bind(str(address))
            s.listen()
        s.settimeout(PATIENCE)
        sockets.append(s)

        def run():
            while True:
                try:
                    connection, _ = s.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(PATIENCE)
                    try:
                        serve(connection)
                    except OSError:
                        pass

        threading.Thread(target=run, daemon=True).start()
        return address

    yield make
    for s in sockets:
        s.close()


@pytest.fixture
def key(client, tmp_path):
    path = tmp_path / "the.key"
    assert client("--keygen", path).status == 0
    return path


def text(*fields):
    """Strings with a u32 length, as in messages."""
    return b"".join(struct.pack(">I", len(f)) + f for f in fields)


def frame(message):
    return struct.pack(">I", len(message)) + message


@pytest.mark.parametrize("args", [
    ["--nonsense"], ["--socket"], ["--pid", "x"], ["--pid", "-1"], ["--timeout", "x"], ["--timeout", "-1"], ["--color", "blue"],
    ["host", "port"], ["host", "99999"], ["a", "1", "b"], ["--socket", "x", "host"], ["--socket", "x", "--pid", "1"],
    ["--socket", "x" * 200], ["-c"]])
def test_usage_errors_are_2_and_name_the_help(client, args):
    answer = client(*args)
    assert answer.status == 2 and answer.out == "" and answer.err.startswith("pystuck: "), answer


def test_help_and_version(client):
    answer = client("--help")
    assert answer.status == 0 and answer.err == ""
    assert all(len(line) <= 80 for line in answer.out.splitlines())
    assert len(answer.out.splitlines()) <= 40, "a small terminal shows all of it"
    for word in ("--socket", "--pid", "--key", "--keygen", "--list", "--no-stacks", "--no-repl", "--locals", "--json", "-c",
                 "--thread", "--frames", "--no-group", "--timeout", "--color", "--version", "Exit status"):
        assert word.lower() in answer.out.lower(), word
    assert client("--version").out.startswith("pystuck ")


def test_no_server_is_3_and_says_how_to_start_one(client):
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as program:
        for more in ([], ["--children"]):
            answer = client("--pid", program.pid, *more)
            assert answer.status == 3 and "run_server" in answer.err, answer
        program.stdin.close()


@pytest.mark.parametrize("make, status", [
    (lambda p: None, 3), (lambda p: p.mkdir(), 3), (lambda p: p.write_text("x"), 3), (lambda p: os.mkfifo(p), 3),
    (lambda p: p.symlink_to("/nonexistent"), 3)])
def test_what_is_no_socket_is_said_to_be_none(client, place, make, status):
    make(place / "s")
    answer = client("--socket", place / "s")
    assert answer.status == status and str(place / "s") in answer.err and answer.out == "", answer


def test_a_dead_socket_is_3(client, place):
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(place / "s"))
    s.close()
    answer = client("--socket", place / "s")
    assert answer.status == 3 and "refused" in answer.err.lower(), answer


def test_several_servers_are_listed_with_status_2(start, one_python, client, tmp_path):
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    a, b = (start(one_python, IDLE, env={"XDG_RUNTIME_DIR": str(runtime)}) for _ in range(2))
    answer = client(env={"XDG_RUNTIME_DIR": str(runtime)})
    assert answer.status == 2 and answer.out == "", answer
    assert str(a.pid) in answer.err and str(b.pid) in answer.err
    answer = client("--list", env={"XDG_RUNTIME_DIR": str(runtime)})
    assert answer.status == 0
    for program in (a, b):
        line = next(line for line in answer.out.splitlines() if f" {program.pid} " in f" {line} ")
        assert "program.py" in line and f"{program.pid}.sock" in line and "3." in line, line
    assert client("--pid", a.pid, "-c", "modules.os.getpid()", env={"XDG_RUNTIME_DIR": str(runtime)}).out == f"{a.pid}\n"


def test_a_list_to_choose_from_on_a_terminal(start, one_python, tmp_path):
    from repl import Repl
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    programs = [start(one_python, IDLE, env={"XDG_RUNTIME_DIR": str(runtime)}) for _ in range(2)]
    with Repl("--no-stacks", home=tmp_path, env={"XDG_RUNTIME_DIR": str(runtime)}, wait=False) as repl:
        _, listing = repl.expect(r"\? *$|: *$|> *$|\] *$")
        assert all(str(p.pid) in listing for p in programs), listing
        repl.send("1\r")
        repl.expect(r"In \[0\]: $")


def test_pid_finds_a_socket_in_any_place(start, one_python, client):
    program = start(one_python, IDLE.replace("run_server()", "run_server(socket='anywhere.at.all')"))
    assert client("--socket", program.directory / "anywhere.at.all", "-c", "1+1").out == "2\n", "now its thread has its name"
    assert client("--pid", program.pid, "-c", "modules.os.getpid()").out == f"{program.pid}\n"


@pytest.mark.parametrize("word, status, says", [
    ("nobody-has-this", 3, "no unit nobody-has-this.service is running"), ("nobody@", 3, "no unit nobody@.service is running"),
    ("app.socket", 2, "name the service"), ("a/b", 2, "not the name of a unit"), ("", 2, "not the name of a unit"),
    ("a\x1b[31m", 2, "not the name of a unit"), ("x" * 300, 2, "too long"),
], ids=str)
def test_a_unit_that_is_not_there_is_said(client, word, status, says):
    answer = client("--unit", word)
    assert answer.status == status and says in answer.err and "\x1b" not in answer.err, answer


def test_pid_says_what_is_missing(start, one_python, client):
    program = start(one_python, "import sys; print('READY', flush=True); sys.stdin.read()")
    answer = client("--pid", program.pid)
    assert answer.status == 3 and f"process {program.pid} has no pystuck server" in answer.err, answer
    program.stop()
    answer = client("--pid", program.pid)
    assert answer.status == 3 and f"there is no process {program.pid}" in answer.err, answer


def test_silent_listener_times_out_with_3(client, listener, key):
    stop = threading.Event()
    path = listener(lambda c: stop.wait(PATIENCE))
    answer = client("--socket", path, "--timeout", "0.3")
    assert answer.status == 3 and "0.3" in answer.err, answer
    stop.set()


def test_silent_tcp_port_times_out_with_3(client, listener, key):
    stop = threading.Event()
    port = listener(lambda c: stop.wait(PATIENCE), tcp=True)
    answer = client("127.0.0.1", port, "--key", key, "--timeout", "0.3")
    assert answer.status == 3, answer
    stop.set()


def test_http_server_is_not_pystuck(client, listener, key):
    def serve(c):
        c.recv(1000)
        c.sendall(b"HTTP/1.0 400 Bad Request\r\nServer: x\r\n\r\n\x1b[31m" + b"x" * 5000)
    port = listener(serve, tcp=True)
    answer = client("127.0.0.1", port, "--key", key)
    assert answer.status in (3, 4) and "pystuck" in answer.err and "\x1b" not in answer.err and answer.out == "", answer


def test_http_on_a_unix_socket_is_not_pystuck(client, listener):
    def serve(c):
        c.recv(1000)
        c.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
    answer = client("--socket", listener(serve))
    assert answer.status == 3 and answer.out == "", answer


def test_closed_at_once_is_3(client, listener):
    answer = client("--socket", listener(lambda c: None))
    assert answer.status == 3 and answer.out == "", answer


def test_nobody_listens_on_the_port(client, key):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    answer = client("127.0.0.1", port, "--key", key)
    assert answer.status == 3 and str(port) in answer.err, answer


@pytest.mark.parametrize("host", ["no.such.host.invalid", "256.1.1.1", ""])
def test_unknown_host_is_3_or_2(client, key, host):
    answer = client(host, "6666", "--key", key)
    assert answer.status in (2, 3) and answer.err, answer


def test_a_protocol_from_the_future_is_named(client, listener):
    def serve(c):
        c.recv(1000)
        c.sendall(frame(bytes([64]) + struct.pack(">H", 2) + b"\x03whatever comes then"))
    answer = client("--socket", listener(serve))
    assert answer.status == 3 and "2" in answer.err and "1" in answer.err and "version" in answer.err.lower(), answer


WELCOME = bytes([64]) + struct.pack(">HBIIQ", 1, 3, 4242, os.geteuid(), 0) + text(b"0.1.0", b"3.11.2", b"python\0x.py")


def test_a_server_that_dies_in_mid_answer_is_3(client, listener):
    def serve(c):
        c.recv(1000)
        begin = bytes([67]) + struct.pack(">IBBQQQII", 1, 1, 1, 0, 0, 0, 0, 5) + text(b"")
        c.sendall(frame(WELCOME) + frame(begin) + b"\0\0\0\x50half a message")
    answer = client("--socket", listener(serve), "--no-repl")
    assert answer.status == 3 and "lost" in answer.err.lower(), answer


@pytest.mark.parametrize("garbage", [b"\xff" * 100, b"\0\0\0\0", b"\0\0\0\x01\xff", b"\x7f\xff\xff\xff", frame(WELCOME + b"more"),
                                     frame(WELCOME) + frame(bytes([75]) + b"x" * 50), frame(bytes([1]))])
def test_garbage_from_a_server_is_3_and_not_a_crash(client, listener, garbage):
    def serve(c):
        c.recv(1000)
        c.sendall(garbage)
    answer = client("--socket", listener(serve), "--no-repl")
    assert answer.status == 3 and answer.err.startswith("pystuck: "), answer


@pytest.mark.parametrize("spoil, words", [
    (lambda p: p.chmod(0o644), "chmod 600"), (lambda p: p.chmod(0o620), "chmod 600"),
    (lambda p: p.write_text(""), "key"), (lambda p: p.write_bytes(p.read_bytes()[:-9]), "key"),
    (lambda p: p.write_bytes(p.read_bytes() + b"x"), "key"), (lambda p: (p.unlink(), os.mkfifo(p, 0o600)), "regular file"),
    (lambda p: (p.unlink(), p.mkdir()), "regular file"), (lambda p: p.unlink(), "--keygen"),
    (lambda p: (p.rename(str(p) + "2"), p.symlink_to(str(p) + "2")), "symbolic link|symlink")])
def test_a_bad_key_file_is_2_and_says_what_to_do(client, key, spoil, words):
    import re
    secret = key.read_text().split()[-1]
    spoil(key)
    answer = client("127.0.0.1", "1", "--key", key)
    assert answer.status == 2 and re.search(words, answer.err) and str(key) in answer.err, answer
    assert secret[:20] not in answer.err


def test_tcp_without_a_key_says_how_to_make_one(client):
    answer = client("127.0.0.1", "1")
    assert answer.status == 2 and "--keygen" in answer.err, answer


def test_keygen_never_overwrites_and_makes_0600_whatever_the_umask(client, tmp_path):
    path = tmp_path / "k"
    answer = client("--keygen", path, preexec_fn=lambda: os.umask(0))
    assert answer.status == 0 and path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    assert client("--keygen", path).status in (1, 2, 3) and path.read_bytes() == before
    assert before.split()[-1].decode() not in answer.out + answer.err


def test_a_closed_pipe_ends_quietly(start, one_python):
    program = start(one_python, IDLE)
    process = subprocess.Popen([CLIENT, "--socket", program.socket, "-c", "for i in range(100000): print(i)"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(10)
    process.stdout.close()
    process.wait(PATIENCE)
    assert process.stderr.read() == b""
    process.stderr.close()
    assert program.alive()
