"""The program ends while somebody looks into it: what is said, what stays, and how one comes back; %log."""

import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from conftest import CLIENT, PATIENCE, wait_until
from repl import PROMPT, Repl

SERVE = """
import os, sys, threading, time
import pystuck
pystuck.run_server({arguments})
class Slow:
    def __dir__(self):
        os.write(1, b"ASKED\\n")  # what it prints goes nowhere
        time.sleep(3600)
slow = Slow()
print("READY", flush=True)
sys.stdin.readline()
"""


def serve(start, python, arguments=""):
    return start(python, SERVE.format(arguments=arguments))


@pytest.fixture
def program(one_python, start):
    return serve(start, one_python)


@pytest.fixture
def repl(program, tmp_path):
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as session:
        yield session


def gone(program, how):
    return rf"process {program.pid} has gone{how}"


def test_an_exit_while_the_user_types_is_said_and_the_line_stays(repl, program):
    repl.type("half a line", r"In \[0\]: half a line\Z")
    program.say("")  # it ends as programs do
    screen = repl.until_screen(gone(program, r" \(exit\)") + r".*%reconnect.*In \[0\]: half a line\Z")[1]
    assert screen.count("has gone") == 1
    repl.send("\x15\x04")
    assert repl.wait() == 3


def test_a_signal_is_named_while_the_kernel_still_knows_it(repl, program):
    os.kill(program.pid, signal.SIGKILL)  # its parent, this test, has not asked for its status yet
    repl.until_screen(gone(program, r" \(killed by SIGKILL\)"))
    repl.send("\x04")
    assert repl.wait() == 3


def test_an_exit_status_is_told_with_what_was_lost(repl, program):
    repl.ask("x = 1")
    repl.send("modules.os._exit(7)\r")
    repl.until_screen(gone(program, r" \(exit status 7 in mid-evaluation\)") + r".*In \[2\]:\Z")
    assert "modules.os._exit(7)" in repl.ask("%history")
    repl.send("%quit\r")
    assert repl.wait() == 3


def test_a_kill_in_mid_evaluation_gives_the_prompt_back(repl, program):
    repl.send("print('o' + 'n'); time = modules.time; time.sleep(3600)\r")
    repl.expect(r"\non\n")
    os.kill(program.pid, signal.SIGTERM)
    repl.until_screen(gone(program, r" \(killed by SIGTERM in mid-evaluation\)") + r".*In \[1\]:\Z")


def test_a_kill_in_mid_completion_gives_the_line_back(repl, program):
    repl.ask("slow = modules.__main__.slow")
    repl.type("slow.\t", r"In \[1\]: slow\.")
    repl.send("\t")
    program.out.until("ASKED")
    os.kill(program.pid, signal.SIGKILL)
    repl.until_screen(gone(program, r" \(killed by SIGKILL in mid-completion\)") + r".*In \[1\]: slow\.\Z")


def has_been_let_in(client):
    """It watches the process then."""
    for name in os.listdir(f"/proc/{client.pid}/fd"):
        try:
            if "pidfd" in os.readlink(f"/proc/{client.pid}/fd/{name}"):
                return True
        except FileNotFoundError:
            pass
    return False


@pytest.mark.parametrize("arguments, what", [(("--no-repl",), "mid-dump"), (("-c", "1"), "mid-evaluation")])
def test_without_a_prompt_it_is_one_line_and_status_3(one_python, start, arguments, what):
    program = start(one_python, """
import ctypes, sys, pystuck
pystuck.run_server(gil_timeout=600)
print("READY", flush=True)
sys.stdin.readline()
print("WEDGED", flush=True)
ctypes.PyDLL(None).read(0, ctypes.create_string_buffer(1), 1)  # holds the GIL until it is killed
""")
    program.say("")
    program.out.until("WEDGED")
    wait_until(lambda: Path(f"/proc/{program.pid}/syscall").read_text().split()[1:2] == ["0x0"], "it reads, with the GIL")
    client = subprocess.Popen([CLIENT, "--socket", program.socket, "--timeout", "600", *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    wait_until(lambda: has_been_let_in(client), "the client is let in")
    os.kill(program.pid, signal.SIGKILL)
    out, err = client.communicate(timeout=PATIENCE)
    assert client.returncode == 3 and out == ""
    assert err == f"pystuck: process {program.pid} has gone (killed by SIGKILL in {what})\n"


def test_reconnect_finds_what_has_taken_its_place(one_python, start, tmp_path):
    path = tmp_path / "run"
    path.mkdir(mode=0o700)
    where = f"socket={str(path / 'app.sock')!r}"
    first = serve(start, one_python, where)
    with Repl("--socket", path / "app.sock", "--no-stacks", home=tmp_path) as repl:
        repl.ask("mine = 1")
        first.stop()
        repl.until_screen(gone(first, "") + r".*In \[1\]:\Z")
        text = repl.ask("%reconnect")
        assert "app.sock" in text and "%reconnect tries again" in text
        second = serve(start, one_python, where)
        text = repl.ask("%reconnect")
        assert f"connected to process {second.pid}" in text and "gone" in text, text
        assert "NameError" in repl.ask("mine")
        assert repl.ask("modules.os.getpid()").endswith(str(second.pid))
        # Again, with the program alive: a new session, and the old one is dropped.
        repl.ask("mine = 2")
        assert "the same as before" in repl.ask("%reconnect")
        assert "NameError" in repl.ask("mine")
        assert "mine = 1" in repl.ask("%history")
        repl.send("\x04")
        assert repl.wait() == 0


def test_nothing_runs_where_nobody_is_and_each_try_says_so(repl, program):
    program.stop()
    repl.until_screen(gone(program, "") + r".*In \[0\]:\Z")
    for source in ("1 + 1", "%stacks", "%threads"):
        assert "has gone" in repl.ask(source)
    repl.send("1 + \t\x15")
    assert "Ctrl-C" in repl.ask("%help")


def test_everything_is_logged_to_a_private_file_without_colours(program, tmp_path):
    log = tmp_path / "session.log"
    with Repl("--socket", program.socket, "--no-stacks", "--color=always", home=tmp_path) as repl:
        repl.ask("before = 1")
        assert "is not logged" in repl.ask("%log")
        repl.ask(f"%log {log}")
        repl.ask("print('shown'); [1, '\\x1b[2J']")
        repl.send("for i in range(2):\rprint('line', i)\r\r")
        repl.expect(r"line 1\n(?s:.*)" + PROMPT.pattern)
        repl.ask("1/0")
        repl.ask("%nonsense")
        assert f"logged to {log}" in repl.ask("%log")
        repl.ask("%log off")
        repl.ask("after = 1")
    text = log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600 and "\x1b" not in text
    for words in ("In [1]: print('shown'); [1, '\\x1b[2J']\nshown\nOut[1]: [1, '\\x1b[2J']\n", "...: ", "line 0\nline 1\n",
                  "ZeroDivisionError: division by zero\n", "there is none named %nonsense"):
        assert words in text, text
    assert "before" not in text and "after" not in text
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        repl.ask(f"%log {log}")
        repl.ask("more = 1")
    assert log.read_text().startswith(text) and "more = 1" in log.read_text()


def test_a_log_that_others_could_read_is_refused(repl, tmp_path):
    log = tmp_path / "open.log"
    log.write_text("")
    log.chmod(0o644)
    assert "mode 0644" in repl.ask(f"%log {log}")
    link = tmp_path / "link.log"
    link.symlink_to(tmp_path / "target.log")
    assert "symbolic link" in repl.ask(f"%log {link}")
    os.mkfifo(tmp_path / "run.fifo", 0o600)
    assert "run.fifo" in repl.ask(f"%log {tmp_path}/run.fifo")  # nobody reads there, and nothing waits for it
    repl.ask("x = 1")
    assert log.read_text() == "" and not (tmp_path / "target.log").exists()
