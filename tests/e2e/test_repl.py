"""The prompt in a terminal: what a person sees and types."""

import os
import re
import stat

import pytest

from repl import MORE, PROMPT, Repl

IDLE = """
import sys, threading
import pystuck
server = pystuck.run_server()
def wait_here(): gate.wait()
gate = threading.Event()
threading.Thread(target=wait_here, name="waiter", daemon=True).start()
print("READY", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def program(one_python, start):
    return start(one_python, IDLE)


@pytest.fixture
def repl(program, tmp_path):
    with Repl("--socket", program.socket, home=tmp_path) as session:
        yield session


def test_ctrl_c_while_the_stacks_are_waited_for_gives_the_prompt_back(one_python, start, tmp_path):
    program = start(one_python, """
import sys, ctypes, pystuck
pystuck.run_server(gil_timeout=600)
print("READY", flush=True)
for _ in range(2):
    sys.stdin.readline()
    print("WEDGED", flush=True)
    ctypes.PyDLL(None).read(0, ctypes.create_string_buffer(1), 1)  # holds the GIL until the test writes
    print("FREE", flush=True)
sys.stdin.read()
""")
    with Repl("--socket", program.socket, "--no-stacks", "--timeout", "600", home=tmp_path) as repl:
        program.say("")
        program.out.until("WEDGED")
        for _ in range(3):
            repl.send("%stacks\r")
            repl.expect(r"%stacks *\n")
            repl.send("\x03")
            repl.expect(PROMPT)
        program.say("")
        program.out.until("FREE")
        # What was given up comes now, and is nobody's answer.
        assert repl.ask("40 + 2").endswith("42")
        assert "MainThread" in repl.ask("%stacks")
        assert repl.ask("40 + 3").endswith("43")


def test_stacks_first_then_the_prompt(program, tmp_path):
    with Repl("--socket", program.socket, home=tmp_path, wait=False) as repl:
        _, text = repl.expect(PROMPT)
        assert re.search(r"<_MainThread\(MainThread, started \d+\)>.*<Thread\(waiter, started daemon \d+\)>.*In \[0\]: $",
                         text, re.S), text
        assert str(program.pid) in text


def test_numbers_of_in_and_out_as_in_the_original(repl):
    assert repl.ask("40 + 2") == "Out[0]: 42"
    assert repl.ask("x = 1") == ""
    assert repl.ask("Out[0], _") == "Out[2]: (42, 42)"


def test_a_block_is_continued_until_an_empty_line(repl):
    repl.send("for i in range(2):\r")
    repl.expect(MORE)
    repl.send("print('line', i)\r")
    repl.expect(MORE)
    repl.send("\r")
    _, text = repl.expect(PROMPT)
    assert "line 0\nline 1\n" in text


def test_a_pasted_function_with_blank_lines_is_one_input(repl):
    repl.send("\x1b[200~def f(a):\n    b = a\n\n    return b * 2\n\x1b[201~\r")
    repl.expect(r"In \[\d+\]: $|\.\.\.: *$")
    repl.send("\r")
    repl.expect(PROMPT)
    assert repl.ask("f(21)").endswith("42")


def test_ctrl_c_clears_the_line_and_ctrl_d_ends_with_status_0(repl):
    repl.send("nonsense that is not run")
    repl.expect("not run")
    repl.send("\x03")
    repl.expect(PROMPT)
    assert repl.ask("1+1").endswith("2")
    repl.send("\x04")
    assert repl.wait() == 0


@pytest.mark.parametrize("word", ["exit()", "quit()", "%quit", "exit", "quit"])
def test_words_that_end_the_client_and_not_the_program(repl, program, word, client):
    repl.send(word + "\r")
    assert repl.wait() == 0
    assert program.alive() and client("--socket", program.socket, "-c", "1+1").out == "2\n"


def test_commands(repl):
    assert "waiter" in repl.ask("%threads")
    assert "in wait_here" in repl.ask("%stacks")
    assert "waiter" in repl.ask("%show threads")
    text = repl.ask("%help")
    for word in ("%stacks", "%threads", "%quit", "modules"):
        assert word in text
    assert "%nonsense" in repl.ask("%nonsense")


def test_history_is_private_and_survives(program, tmp_path):
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path, env=state) as repl:
        repl.ask("first_thing = 12345")
        repl.send("\x04")
        assert repl.wait() == 0
    history = tmp_path / "state" / "pystuck" / "history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600 and "first_thing = 12345" in history.read_text()
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path, env=state) as repl:
        repl.send("\x1b[A")
        repl.expect("first_thing = 12345")
        repl.send("\x03")


def test_history_is_never_a_symlink(program, tmp_path):
    target = tmp_path / "precious"
    target.write_text("precious\n")
    (tmp_path / "state" / "pystuck").mkdir(parents=True)
    (tmp_path / "state" / "pystuck" / "history").symlink_to(target)
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path, env={"XDG_STATE_HOME": str(tmp_path / "state")}) as repl:
        repl.ask("x = 1")
        repl.send("\x04")
        repl.wait()
    assert target.read_text() == "precious\n"


def test_the_program_dying_at_the_prompt_is_said(repl, program):
    program.stop()
    repl.expect(rf"process {program.pid} has gone")
    repl.send("\x04")
    assert repl.wait() == 3


def test_the_program_dying_in_an_evaluation_is_said(repl, program):
    repl.send("modules.os._exit(1)\r")
    repl.expect(rf"process {program.pid} has gone \([^\n]*in mid-evaluation\)")
    repl.send("%quit\r")
    assert repl.wait() == 3


def test_the_terminal_is_as_before_afterwards(program, tmp_path):
    import subprocess
    from conftest import CLIENT
    import pty, termios
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    process = subprocess.Popen([CLIENT, "--socket", program.socket], stdin=slave, stdout=slave, stderr=slave,
                               env={"HOME": str(tmp_path), "TERM": "xterm", "PATH": os.environ["PATH"]}, start_new_session=True)
    text = b""
    while b"In [0]: " not in text:
        text += os.read(master, 65536)
    os.write(master, b"\x04")
    assert process.wait(20) == 0
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_answers_with_control_bytes_are_made_visible(repl):
    text = repl.ask("print('\\x1b[31mred\\x07')")
    assert "\\x1b[31mred\\x07" in text
    assert b"\x1b[31mred" not in repl.raw
