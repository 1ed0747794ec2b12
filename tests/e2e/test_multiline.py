"""Inputs of several lines: typed, pasted, remembered."""

import ast
import re
import stat

import pytest

from repl import MORE, PROMPT, Repl
from test_repl import IDLE

PASTED = '''def f(a):
\tb = [a,
\t     "tab\there"]

\tif a:
\t\tc = """kept  
  \t as it is

é 漢 end"""
\t\treturn b, c

\treturn None
'''


def paste(text):
    return "\x1b[200~" + text + "\x1b[201~"


@pytest.fixture
def program(python, start):
    return start(python, IDLE)


@pytest.fixture
def state(tmp_path):
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def repl(program, tmp_path, state):
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path, env=state) as session:
        yield session


def value(repl, source):
    return ast.literal_eval(re.sub(r"\AOut\[\d+\]:\s*", "", repl.ask(source)))


def test_a_pasted_function_is_one_input_byte_for_byte(repl, tmp_path):
    repl.send(paste(PASTED) + "\r")
    repl.expect(PROMPT)
    assert value(repl, "In[0]") == PASTED
    assert value(repl, "f(1)") == ([1, "tab\there"], "kept  \n  \t as it is\n\né 漢 end")
    assert value(repl, "f(0) is None") is True
    history = tmp_path / "state" / "pystuck" / "history"
    lines = history.read_text().split("\n")
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert lines[0] == PASTED.rstrip().replace("\\", "\\\\").replace("\n", "\\n") and lines[1] == "In[0]"


def test_several_statements_pasted_at_once_run_in_one_go(repl):
    repl.send(paste("x = 1\nfor i in range(3):\n    x += i\n\ny = x * 2\ny") + "\r")
    _, text = repl.expect(PROMPT)
    assert text.strip().endswith("Out[0]: 8\n\nIn [1]:"), text


def test_the_server_decides_what_is_complete_and_indents(repl):
    for line in ("def g(n):", "for i in range(n):", "if i == 2: return i"):
        repl.send(line + "\r")
        repl.expect(MORE)
    repl.send("\r")
    repl.expect(PROMPT)
    assert value(repl, "g(5)") == 2
    assert value(repl, "In[0]") == "def g(n):\n    for i in range(n):\n        if i == 2: return i\n"
    repl.send("(1 +\r")
    repl.expect(MORE)
    repl.send("2)\r")
    assert "Out[3]: 3" in repl.expect(PROMPT)[1]
    assert "SyntaxError" in repl.ask("1 +* 2")


def test_white_space_in_a_string_that_is_typed_is_kept(repl):
    repl.send("'''a\r")
    repl.expect(MORE)
    repl.send("  \r")
    repl.expect(MORE)
    repl.send("b'''\r")
    assert r"'a\n  \nb'" in repl.expect(PROMPT)[1]


def test_an_input_of_several_lines_comes_back_as_one(repl, program, tmp_path, state):
    repl.send(paste("if True:\n    a = 1\n\n    b = 2\n") + "\r")
    repl.expect(PROMPT)
    repl.send("\x1b[A")
    repl.until_screen(r"In \[1\]: if True:\n    a = 1\n\n    b = 2\Z")
    repl.send("\x03\x04")
    assert repl.wait() == 0
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path, env=state) as again:
        again.send("\x1b[A")
        again.until_screen(r"In \[0\]: if True:\n    a = 1\n\n    b = 2\Z")
        again.send("\r")
        again.expect(MORE)
        again.send("\r")
        again.expect(PROMPT)
        assert value(again, "a, b") == (1, 2)
        assert value(again, "In[0]") == "if True:\n    a = 1\n\n    b = 2\n"


def test_ctrl_c_in_the_middle_of_an_input_forgets_all_of_it(repl):
    repl.send("def h():\r")
    repl.expect(MORE)
    repl.send("\x03")
    repl.expect(PROMPT)
    assert repl.ask("40 + 2").endswith("42")
