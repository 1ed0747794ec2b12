"""make static: one small file that needs nothing of the machine that it is copied to."""

import os
import shutil
import stat

import pytest

from conftest import BUILD, PYTHONS, Terminal, run

CLIENT = BUILD / "pystuck-static"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")


@pytest.fixture
def empty_root(private):
    """A directory with the client alone in it, and a socket's place."""
    private.chmod(0o755)
    shutil.copy(CLIENT, private / "pystuck")
    (private / "run").mkdir(mode=0o700)
    return private


def test_the_static_client_is_one_file_below_two_megabytes():
    assert stat.S_ISREG(CLIENT.stat().st_mode)
    assert CLIENT.stat().st_size < 2_000_000


def test_the_static_client_asks_for_no_library_and_no_loader():
    headers = run("readelf", "-lW", CLIENT)
    assert "INTERP" not in headers
    assert "(NEEDED)" not in run("readelf", "-dW", CLIENT)
    assert "static" in run("file", "-b", CLIENT)


@needs_root
def test_the_static_client_prints_stacks_from_an_empty_root(empty_root, program):
    program(PYTHONS[0], socket=str(empty_root / "run" / "a.sock"))
    answer = run("chroot", empty_root, "/pystuck", "--socket", "/run/a.sock", "--no-repl")
    assert "in stuck_here" in answer
    assert run("chroot", empty_root, "/pystuck", "--socket", "/run/a.sock", "-c", "6 * 7") == "42\n"


@needs_root
def test_the_static_client_speaks_tcp_with_a_key_from_an_empty_root(empty_root, program):
    run("chroot", empty_root, "/pystuck", "--keygen", "/key")
    # A port of the program's own choice: it says which in the list of its sockets.
    server = program(PYTHONS[0], host="127.0.0.1", port=0, key=str(empty_root / "key"))
    port = port_of(server.process.pid)
    assert run("chroot", empty_root, "/pystuck", "127.0.0.1", port, "--key", "/key", "-c", "6 * 7") == "42\n"


def port_of(pid):
    """The one TCP port that this process listens at."""
    inodes = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in list(table)[1:]]
    ports = [int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]
    assert len(ports) == 1
    return ports[0]


@needs_root
@pytest.mark.parametrize("term", ["xterm-256color", "linux", "a-terminal-that-nobody-has"])
def test_the_static_client_has_its_prompt_in_an_empty_root(empty_root, program, term):
    program(PYTHONS[0], socket=str(empty_root / "run" / "a.sock"))
    terminal = Terminal([shutil.which("chroot"), empty_root, "/pystuck", "--socket", "/run/a.sock", "--no-stacks"],
                        {"TERM": term, "HOME": "/", "NO_COLOR": "1"})
    terminal.until(b"In [0]: ")
    terminal.type(b"6 * 7\r")
    terminal.until(b"42\r\n")
    terminal.until(b"In [1]: ")
    terminal.type(b"\x04")
    assert terminal.end() == 0
