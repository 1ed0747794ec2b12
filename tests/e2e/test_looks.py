"""What the prompt looks like: colours, wide characters, narrow terminals and those that change their size."""

import fcntl
import re
import struct
import termios

import pytest

from repl import PROMPT, Repl
from test_repl import IDLE

STRING, NUMBER, CONSTANT, RAISED, OFF = (b"\x1b[32m", b"\x1b[36m", b"\x1b[35m", b"\x1b[1;31m", b"\x1b[0m")
COLOR = re.compile(rb"\x1b\[[0-9;]*m")


@pytest.fixture
def program(one_python, start):
    return start(one_python, IDLE)


def open_prompt(program, tmp_path, *more, columns=80, rows=24, **env):
    return Repl("--socket", program.socket, "--no-stacks", *more, home=tmp_path, env=env, columns=columns, rows=rows)


def test_values_and_tracebacks_have_colours_on_a_terminal(program, tmp_path):
    with open_prompt(program, tmp_path) as repl:
        assert repl.ask("{'key': [1, None]}") == "Out[0]: {'key': [1, None]}"
        assert STRING + b"'key'" + OFF + b": [" + NUMBER + b"1" + OFF + b", " + CONSTANT + b"None" + OFF + b"]}" in repl.raw
        text = repl.ask("1/0")
        assert 'File "<pystuck In [1]>", line 1' in text and "ZeroDivisionError: division by zero" in text
        assert RAISED + b"ZeroDivisionError" + OFF + b": division by zero" in repl.raw
        assert "%log FILE begins" in repl.ask("%log")
        assert CONSTANT + b"pystuck:" + OFF in repl.raw
        # Dark or light, everything can be read: no black, no white, and nothing beyond the first eight.
        for sequence in COLOR.findall(repl.raw):
            assert re.fullmatch(rb"\x1b\[(0|1|2|(1;)?3[1-6])?m", sequence), sequence


@pytest.mark.parametrize("more, env", [((), {"NO_COLOR": "1"}), (("--color=never",), {}), ((), {"TERM": "dumb"})])
def test_no_colour_where_it_is_not_wanted(program, tmp_path, more, env):
    with open_prompt(program, tmp_path, *more, **env) as repl:
        assert "Out[0]: {'a': 1}" in repl.ask("{'a': 1}")
        assert "ZeroDivisionError" in repl.ask("1/0")
        repl.ask("%log")
        assert not COLOR.findall(repl.raw)


def test_colours_never_let_a_control_byte_of_the_program_through(program, tmp_path):
    with open_prompt(program, tmp_path, "--color=always") as repl:
        repl.ask("R = type('R', (), {'__repr__': lambda s: \"['\\x1b[31m', 1\\x07, \\x9b2J\\u202e]\"})")
        assert "['\\x1b[31m', 1\\x07, \\u009b2J\\u202e]" in repl.ask("R()")
        assert "E: \\x1b]0;title\\x07" in repl.ask("raise type('E', (Exception,), {})('\\x1b]0;title\\x07')")
        for piece in (b"\x1b]", b"\x07", b"\xc2\x9b", b"\x1b[31m'", "\u202e".encode()):
            assert piece not in repl.raw.replace(b"\x1b[?2004", b""), piece


def test_wide_and_combining_characters_stand_where_they_belong(program, tmp_path):
    with open_prompt(program, tmp_path, columns=60) as repl:
        repl.ask("\u53d8\u91cf_a = 1; \u53d8\u91cf_bb = 2")
        # Moved about in, a line of wide characters is still what was typed.
        screen = repl.type("'\u4e2d\u6587e\u0301' + 'x'" + "\x1b[D" * 4 + "\x7f" + "*", r"In \[1\]: '\u4e2d\u6587e\u0301' \* ?'x'\Z")
        assert screen.count("\u4e2d\u6587") == 1
        repl.send("\x05\x15")
        screen = repl.type("\u53d8\t\t", r"^\u53d8\u91cf_a   +\u53d8\u91cf_bb$.*In \[1\]: \u53d8\u91cf_\Z")
        repl.send("\x15")


def resize(repl, columns, rows):
    fcntl.ioctl(repl.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    repl.columns, repl.rows = columns, rows


def test_a_terminal_that_changes_its_size_is_followed(program, tmp_path):
    value = "[number * 1000 for number in range(12)]"
    with open_prompt(program, tmp_path, columns=80) as repl:
        assert repl.ask(value).count("\n") == 0
        # At the prompt, with a line half typed ...
        repl.type("list(", r"list\(\Z")
        resize(repl, 40, 20)
        repl.send("range(3))\r")
        repl.expect(r"Out\[1\]: \[0, 1, 2\](?s:.*)" + PROMPT.pattern)
        assert repl.ask(value).count("\n") > 1
        # ... and while something runs.
        repl.send("print('o' + 'n'); exec('while True: pass')\r")
        repl.expect(r"\non\r?\n")
        resize(repl, 80, 24)
        repl.send("\x03")
        repl.expect(r"KeyboardInterrupt(?s:.*)" + PROMPT.pattern)
        assert repl.ask(value).count("\n") == 0


def test_a_terminal_of_40_columns_is_wide_enough(program, tmp_path):
    with open_prompt(program, tmp_path, columns=40, rows=20) as repl:
        text = repl.ask("{'name' + str(i): i for i in range(6)}")
        assert all(len(line) <= 40 for line in text.splitlines()), text
        # A line that is longer than the terminal is typed, changed and run.
        source = "sum([" + ", ".join(["1234567"] * 8) + "])"
        repl.send(source + "\x1b[D" * 30 + "\x05\r")
        repl.expect(r"Out\[1\]: 9876536(?s:.*)" + PROMPT.pattern)
        screen = repl.type("modules.os.path.is\t", r"isabs.*isfile.*modules\.os\.path\.is\Z")
        assert all(len(line) <= 40 for line in screen.splitlines())
