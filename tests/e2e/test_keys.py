"""The keys of the prompt are the user's own, as for every program with readline."""

import pytest

from repl import PROMPT, Repl
from test_repl import IDLE


@pytest.fixture
def program(one_python, start):
    return start(one_python, IDLE)


def open_prompt(program, tmp_path, inputrc):
    (tmp_path / "inputrc").write_text(inputrc)
    return Repl("--socket", program.socket, "--no-stacks", home=tmp_path, env={"INPUTRC": str(tmp_path / "inputrc")})


def test_vi_keys_by_inputrc(program, tmp_path):
    # Not Escape, behind which readline waits a while for more of an arrow key.
    with open_prompt(program, tmp_path, "set editing-mode vi\nset keymap vi-insert\nControl-g: vi-movement-mode\n") as repl:
        repl.type("wrong + 2", r"In \[0\]: wrong \+ 2\Z")
        repl.send("\x07")
        repl.type("0cw40", r"In \[0\]: 40 \+ 2\Z")
        repl.send("\r")
        repl.expect(r"Out\[0\]: 42\n(?s:.*)" + PROMPT.pattern)
        # And the history, from the command mode.
        repl.send("\x07")
        repl.type("k", r"In \[1\]: 40 \+ 2\Z")
        repl.type("A * 2", r"In \[1\]: 40 \+ 2 \* 2\Z")
        repl.send("\r")
        repl.expect(r"Out\[1\]: 44\n(?s:.*)" + PROMPT.pattern)
        repl.type("modules.os.getlogi\t", r"In \[2\]: modules\.os\.getlogin\Z")


def test_emacs_keys_and_ones_of_the_users_own(program, tmp_path):
    with open_prompt(program, tmp_path, '"\\C-o": "[1, 2, 3]"\n') as repl:
        repl.type("sum()\x02\x0f", r"In \[0\]: sum\(\[1, 2, 3\]\)\Z")
        repl.send("\x01\x1bdmax\r")
        repl.expect(r"Out\[0\]: 3\n(?s:.*)" + PROMPT.pattern)
        repl.type("\x12max", r"max\(\[1, 2, 3\]\)")
        repl.send("\r")
        repl.expect(r"Out\[1\]: 3\n(?s:.*)" + PROMPT.pattern)


def test_two_clients_have_names_of_their_own_and_one_history(program, tmp_path):
    with open_prompt(program, tmp_path, "") as a, open_prompt(program, tmp_path, "") as b:
        a.ask("name = 'of a'")
        b.ask("name = 'of b'")
        assert a.ask("name") == "Out[1]: 'of a'" and b.ask("name") == "Out[1]: 'of b'"
        a.ask("modules.__main__.shared = 42")
        assert b.ask("modules.__main__.shared").endswith("42")
    history = (tmp_path / ".local" / "state" / "pystuck" / "history").read_text().splitlines()
    assert "name = 'of a'" in history and "name = 'of b'" in history
