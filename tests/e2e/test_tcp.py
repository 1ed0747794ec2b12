"""TCP: nothing without the key, and with it the same as on a Unix socket."""

import os
import socket
import subprocess
import time

import pytest

from conftest import PATIENCE, wait_until
from repl import Repl

SERVER = """
import sys, pystuck
server = pystuck.run_server(port=0, key={key!r}{more})
print("PORT", server.address[1], flush=True)
print("READY", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def key(client, tmp_path):
    path = tmp_path / "server.key"
    assert client("--keygen", path).status == 0
    return path


@pytest.fixture
def serve(start, key):
    def make(python, more=""):
        program = start(python, SERVER.format(key=str(key), more=more), ready=False)
        program.port = int(program.out.until(r"PORT (\d+)")[1])
        program.wait_ready()
        return program
    return make


def test_stacks_eval_and_prompt_over_tcp(python, serve, client, key, tmp_path):
    program = serve(python)
    answer = client("127.0.0.1", program.port, "--key", key)
    assert answer.status == 0 and "<_MainThread(MainThread" in answer.out, answer
    assert client("127.0.0.1", program.port, "--key", key, "-c", "1+1").out == "2\n"
    with Repl("127.0.0.1", program.port, "--key", key, "--no-stacks", home=tmp_path) as repl:
        assert repl.ask("print('x' * 200000)").count("x") >= 200000
        repl.send("print('o' + 'n'); exec('while True: pass')\r")
        repl.expect(r"\non\n")
        repl.send("\x03")
        repl.expect("KeyboardInterrupt")


ACTIVATED = """
import os, socket, sys, pystuck
listener = socket.create_server(("127.0.0.1", 0))
os.dup2(listener.fileno(), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="pystuck")
try:
    server = pystuck.run_server()
    assert server.address == listener.getsockname()
except ValueError as error:
    print("REFUSED", error, flush=True)
print("PORT", listener.getsockname()[1], flush=True)
print("READY", flush=True)
sys.stdin.read()
"""


def test_a_port_that_systemd_hands_over_needs_the_key_that_it_hands_over(start, one_python, client, key, tmp_path):
    credentials = tmp_path / "credentials"
    credentials.mkdir(mode=0o700)
    key.rename(credentials / "pystuck.key")
    program = start(one_python, ACTIVATED, env={"CREDENTIALS_DIRECTORY": str(credentials)}, ready=False)
    port = int(program.out.until(r"^(?:PORT (\d+)|REFUSED.*)")[1])
    assert client("127.0.0.1", port, "--key", credentials / "pystuck.key", "-c", "1+1").out == "2\n"
    assert client("--keygen", tmp_path / "another.key").status == 0
    assert client("127.0.0.1", port, "--key", tmp_path / "another.key").status == 4


def test_a_port_that_systemd_hands_over_without_a_key_is_refused(start, one_python, tmp_path):
    for directory in (None, str(tmp_path)):
        program = start(one_python, ACTIVATED, env={"CREDENTIALS_DIRECTORY": directory}, ready=False)
        assert "no key, no TCP: set LoadCredential=pystuck.key:FILE" in program.out.until(r"^REFUSED (.*)")[1]


def test_the_key_is_found_where_the_user_keeps_it(one_python, serve, client, key, tmp_path):
    program = serve(one_python)
    assert client("127.0.0.1", program.port, "-c", "1+1", env={"PYSTUCK_KEY": str(key)}).out == "2\n"
    config = tmp_path / ".config" / "pystuck"
    config.mkdir(parents=True)
    key.rename(config / "key")
    assert client("127.0.0.1", program.port, "-c", "1+1", env={"HOME": str(tmp_path), "PYSTUCK_KEY": None}).out == "2\n"


def test_the_wrong_key_gets_4_and_not_one_byte(one_python, serve, client, tmp_path):
    program = serve(one_python)
    other = tmp_path / "other.key"
    assert client("--keygen", other).status == 0
    answer = client("127.0.0.1", program.port, "--key", other)
    assert answer.status == 4 and answer.out == "" and "key" in answer.err, answer


@pytest.mark.parametrize("hello", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500,
                                   b"SSH-2.0-x\r\n", b"\0\x30" + b"\0" * 48, b"\0\x30" + b"\xff" * 48, b"\xff\xff" + b"x" * 70000,
                                   b"\0\0", b"\0\0\0\x10\x01" + b"x" * 15])
def test_a_stranger_gets_nothing(one_python, serve, client, key, hello):
    program = serve(one_python)
    with socket.create_connection(("127.0.0.1", program.port), PATIENCE) as s:
        s.settimeout(PATIENCE)
        got = b""
        try:
            s.sendall(hello)
            got = s.recv(100)
        except (ConnectionResetError, BrokenPipeError):
            pass
        assert got == b""
    assert client("127.0.0.1", program.port, "--key", key, "-c", "1+1").out == "2\n"


def test_two_hundred_silent_connections_leave_room_for_who_belongs(one_python, serve, client, key):
    program = serve(one_python)
    silent = [socket.create_connection(("127.0.0.1", program.port), PATIENCE) for _ in range(200)]
    try:
        began = time.monotonic()
        assert client("127.0.0.1", program.port, "--key", key, "-c", "1+1").out == "2\n"
        assert time.monotonic() - began < 5
        wait_until(lambda: len(os.listdir(f"/proc/{program.pid}/fd")) < 60, "the oldest strangers are gone")
        assert len(os.listdir(f"/proc/{program.pid}/task")) <= 5
    finally:
        for s in silent:
            s.close()


def test_a_recorded_conversation_gains_nothing_when_replayed(one_python, serve, client, key):
    program = serve(one_python)
    recorded = []
    with socket.create_server(("127.0.0.1", 0)) as tap:
        tap.settimeout(PATIENCE)
        process = subprocess.Popen(
            [os.environ.get("PYSTUCK_CLIENT") or __import__("conftest").CLIENT, "127.0.0.1", str(tap.getsockname()[1]),
             "--key", str(key), "-c", "modules['__main__'].replayed = getattr(modules['__main__'], 'replayed', 0) + 1"])
        near, _ = tap.accept()
        with near, socket.create_connection(("127.0.0.1", program.port), PATIENCE) as far:
            import select
            while True:
                ready, _, _ = select.select([near, far], [], [], PATIENCE)
                assert ready
                data = ready[0].recv(65536)
                if not data:
                    break
                if ready[0] is near:
                    recorded.append(data)
                    far.sendall(data)
                else:
                    near.sendall(data)
        assert process.wait(PATIENCE) == 0
    assert client("127.0.0.1", program.port, "--key", key, "-c", "modules['__main__'].replayed").out == "1\n"
    with socket.create_connection(("127.0.0.1", program.port), PATIENCE) as s:
        s.settimeout(PATIENCE)
        for data in recorded:
            try:
                s.sendall(data)
            except OSError:
                break
        got = b""
        try:
            while data := s.recv(1000):
                got += data
        except ConnectionResetError:
            pass
    assert len(got) <= 50, "the second handshake message and no more"
    assert client("127.0.0.1", program.port, "--key", key, "-c", "modules['__main__'].replayed").out == "1\n"


def test_a_key_may_be_given_a_smaller_role(one_python, serve, client, key):
    program = serve(one_python, ", allow={'key:default': 'stacks'}")
    assert client("127.0.0.1", program.port, "--key", key).status == 0
    assert client("127.0.0.1", program.port, "--key", key, "-c", "1+1").status == 4


def test_a_key_that_no_rule_names_is_refused_when_rules_name_keys(one_python, serve, client, key):
    program = serve(one_python, ", allow={'key:other': 'stacks'}")
    answer = client("127.0.0.1", program.port, "--key", key)
    assert answer.status == 4, answer


def test_a_forked_child_does_not_listen_on_the_port(one_python, start, client, key):
    program = start(one_python, """
import os, sys, pystuck
server = pystuck.run_server(port=0, key=%r)
print("PORT", server.address[1], flush=True)
pid = os.fork()
if pid == 0:
    links = []
    for fd in os.listdir("/proc/self/fd"):
        try: links.append(os.readlink("/proc/self/fd/" + fd))
        except OSError: pass
    print("SOCKETS", sum(link.startswith("socket:") for link in links), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print("READY", flush=True)
sys.stdin.read()
""" % str(key), ready=False)
    port = int(program.out.until(r"PORT (\d+)")[1])
    assert program.out.until(r"SOCKETS (\d+)")[1] == "0"
    program.wait_ready()
    assert client("127.0.0.1", port, "--key", key, "-c", "1+1").out == "2\n"


def test_libsodium_is_in_the_program_once_there_is_a_key_and_not_before(python, start, client, tmp_path):
    key = tmp_path / "key"
    assert client("--keygen", key).status == 0
    program = start(python, f"""
import pystuck, sys
pystuck.run_server()
def has(): return "libsodium" in open("/proc/self/maps").read()
before = has()
pystuck.run_server(port=0, key={str(key)!r})
print("HAS", before, has(), flush=True)
print("READY", flush=True)
sys.stdin.read()
""", ready=False)
    assert program.out.until("HAS (.*)").group(1) == "False True"


def keys_of(path):
    """The lines of a key file by the names of the keys."""
    return {line.split()[1]: line for line in path.read_text().splitlines()}


def test_a_role_in_the_key_file_is_a_ceiling(one_python, serve, client, key):
    assert client("--keygen", key, "--add", "--key-name", "ci", "--role", "stacks").status == 0
    assert oct(key.stat().st_mode) == "0o100600" and keys_of(key)["ci"].endswith(" role=stacks")
    program = serve(one_python)
    ci = ("127.0.0.1", program.port, "--key", key, "--key-name", "ci")
    assert "<_MainThread" in client(*ci).out
    answer = client(*ci, "-c", "1+1")
    assert answer.status == 4 and answer.out == "" and "role" in answer.err, answer
    assert client("127.0.0.1", program.port, "--key", key, "-c", "1+1").out == "2\n"
    assert client("127.0.0.1", program.port, "--key", key, "--key-name", "nobody").status == 2


def test_allow_and_the_key_file_agree_on_the_lower_role(one_python, serve, client, key):
    assert client("--keygen", key, "--add", "--key-name", "ci", "--role", "locals").status == 0
    assert client("--keygen", key, "--add", "--key-name", "other", "--role", "eval").status == 0
    program = serve(one_python, ", allow={'key:ci': 'eval', 'key:default': 'stacks'}")

    def ask(name, *what):
        return client("127.0.0.1", program.port, "--key", key, "--key-name", name, *what)
    assert ask("ci", "--locals", "--no-repl").status == 0 and ask("ci", "-c", "1+1").status == 4
    assert ask("default", "--no-repl").status == 0 and ask("default", "--locals", "--no-repl").status == 4
    answer = ask("other")
    assert answer.status == 4 and answer.out == "" and "no role" in answer.err, answer


def test_keys_are_replaced_while_the_program_runs(one_python, serve, client, key, tmp_path):
    program = serve(one_python)
    mine = tmp_path / "mine.key"
    mine.write_text(key.read_text())
    mine.chmod(0o600)
    at = ("127.0.0.1", program.port, "--key")
    assert client(*at, mine, "-c", "1+1").out == "2\n"
    with Repl(*map(str, at), str(mine), "--no-stacks", home=tmp_path) as repl:
        assert repl.ask("40 + 2").strip().endswith("42")
        assert client("--keygen", key, "--add", "--key-name", "next").status == 0
        assert repl.ask("40 + 3").strip().endswith("43")
        assert client(*at, key, "--key-name", "next", "-c", "1+2").out == "3\n"
        key.write_text(keys_of(key)["next"] + "\n")
        assert client(*at, key, "-c", "1+2").out == "3\n"
        repl.expect("taken out of the key file")
    answer = client(*at, mine, "-c", "1+1")
    assert answer.status == 4 and answer.out == "", answer


def test_a_client_tries_the_keys_of_its_file(one_python, serve, client, key, tmp_path):
    program = serve(one_python)
    mine = tmp_path / "mine.key"
    assert client("--keygen", mine, "--key-name", "elsewhere").status == 0
    answer = client("127.0.0.1", program.port, "--key", mine, "-c", "1+1")
    assert answer.status == 4, answer
    assert client("--keygen", mine, "--add", "--key-name", "third").status == 0
    answer = client("127.0.0.1", program.port, "--key", mine, "-c", "1+1")
    assert answer.status == 4 and "none of the 2 keys" in answer.err, answer
    with mine.open("a") as file:
        file.write(key.read_text())
    assert client("127.0.0.1", program.port, "--key", mine, "-c", "1+1").out == "2\n"


def test_a_key_file_that_is_spoilt_or_gone_changes_nothing(one_python, serve, client, key, tmp_path):
    program = serve(one_python)
    mine = tmp_path / "mine.key"
    mine.write_text(key.read_text())
    mine.chmod(0o600)
    for spoil in (lambda: key.chmod(0o644), lambda: key.write_text("x\n"), lambda: key.write_text(""), key.unlink):
        spoil()
        assert client("127.0.0.1", program.port, "--key", mine, "-c", "1+1").out == "2\n"
