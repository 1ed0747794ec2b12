"""The start-up file, settings, and what Tab completes without a server."""

import os
import stat

import pytest

from conftest import run_client
from repl import PROMPT, Repl
from test_repl import IDLE

RC = """
# short names
import os as osname

def twice(x):
    y = x

    return y * 2

1/0
'a value that nobody sees'
%history
last = [
    1,
2]
def also():
    return last
text = '''one

two'''
if last:
    branch = 'if'
else:
    branch = 'else'
@staticmethod
def wrapped(): pass
sum = 1 + \\
1
class Thing:

    def method(self):
        return self

    other = 3
"""


@pytest.fixture
def program(one_python, start):
    return start(one_python, IDLE)


@pytest.fixture
def rc(tmp_path):
    path = tmp_path / "config" / "pystuck" / "rc"
    path.parent.mkdir(mode=0o700, parents=True)
    path.write_text(RC)
    path.chmod(0o600)
    return path


def open_prompt(program, tmp_path, *more, **env):
    return Repl("--socket", program.socket, "--no-stacks", *more, home=tmp_path,
                env={"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_STATE_HOME": str(tmp_path / "state"), **env})


def test_lines_of_the_start_up_file_run_before_the_first_prompt(program, tmp_path, rc):
    with open_prompt(program, tmp_path) as repl:
        screen = repl.screen()
        assert "ZeroDivisionError" in screen and f"{rc}, line 10: this failed" in screen, screen
        assert "nobody sees" not in screen and screen.endswith("In [0]:")
        assert repl.ask("twice(21), also(), osname.sep, text, branch, sum, Thing.other") == \
            "Out[0]: (42, [1, 2], '/', 'one\\n\\ntwo', 'if', 2, 3)"
        # Neither the history nor %history has it.
        assert "short names" not in repl.ask("%history") and "twice(21)" in repl.ask("%history")
        repl.send("\x04")
        assert repl.wait() == 0
    assert "def twice" not in (tmp_path / "state" / "pystuck" / "history").read_text()


def test_no_rc_and_no_prompt_run_nothing(program, tmp_path, rc):
    with open_prompt(program, tmp_path, "--no-rc") as repl:
        assert "NameError" in repl.ask("twice") and "Zero" not in repl.screen()
    answer = run_client("--socket", program.socket, "-c", "'twice' in globals()", env={"XDG_CONFIG_HOME": str(tmp_path / "config")})
    assert (answer.out, answer.err) == ("False\n", "")


@pytest.mark.parametrize("what, mode, words", [
    ("file", 0o620, "mode 0620 lets others write to it"), ("file", 0o602, "mode 0602"), ("directory", 0o770, "mode 0770"),
    ("fifo", 0o600, "no file"), ("binary", 0o600, "no text"), ("long", 0o600, "more than"),
])
def test_a_start_up_file_that_others_had_a_hand_in_is_not_used(program, tmp_path, rc, what, mode, words):
    if what == "fifo":
        rc.unlink()
        os.mkfifo(rc, mode)
    elif what == "binary":
        rc.write_bytes(b"x = 1\n\0")
    elif what == "long":
        rc.write_text("#" * (1 << 20))
    (rc.parent if what == "directory" else rc).chmod(mode)
    with open_prompt(program, tmp_path) as repl:
        assert words in repl.screen(), repl.screen()
        assert "NameError" in repl.ask("twice")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs somebody else's file")
def test_somebody_elses_start_up_file_is_not_used(program, tmp_path, rc):
    os.chown(rc, 12345, -1)
    with open_prompt(program, tmp_path) as repl:
        assert "belongs to uid 12345" in repl.screen()
        assert "NameError" in repl.ask("twice")


def test_the_current_directory_is_never_looked_at(program, tmp_path, rc, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_prompt(program, tmp_path, XDG_CONFIG_HOME="config") as repl:
        assert "NameError" in repl.ask("twice")


def test_the_end_of_the_start_up_file_can_end_the_session(program, tmp_path, rc):
    rc.write_text("x = 1\n%quit\n")
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path, wait=False,
              env={"XDG_CONFIG_HOME": str(tmp_path / "config")}) as repl:
        assert repl.wait() == 0


def test_colour_is_a_setting_and_the_command_line_has_the_last_word(program, tmp_path, rc):
    green = b"\x1b[32m"
    with open_prompt(program, tmp_path, "--no-rc") as repl:
        assert green in repl.raw
    rc.write_text("%set color never\n")
    with open_prompt(program, tmp_path) as repl:
        assert green not in repl.raw
        repl.ask("%set color always")
        assert green in repl.raw
        assert "auto, always or never" in repl.ask("%set color blue")
        assert "%set color WHEN" in repl.ask("%set nonsense 1")
    with open_prompt(program, tmp_path, "--color=always") as repl:
        assert green in repl.raw
    rc.write_text("%set color always\n")
    with open_prompt(program, tmp_path, NO_COLOR="1") as repl:
        assert green in repl.raw


def test_the_size_of_the_history_is_a_setting(program, tmp_path, rc):
    rc.write_text("%set history 2\n")
    history = tmp_path / "state" / "pystuck" / "history"
    history.parent.mkdir(parents=True)
    history.write_text("one\ntwo\nthree\n")
    history.chmod(0o600)
    with open_prompt(program, tmp_path) as repl:
        assert history.read_text() == "two\nthree\n"
        repl.ask("four = 4")
        repl.type("\x1b[A\x1b[A\x1b[A\x1b[A", r"In \[1\]: three\Z")
        repl.send("\x15")
        repl.ask("%set history 0")
        repl.ask("five = 5")
    assert history.read_text() == "" and stat.S_IMODE(history.stat().st_mode) == 0o600


def test_the_pager_is_a_setting(program, tmp_path, rc):
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\ncat > {tmp_path}/paged\necho PAGED\n")
    pager.chmod(0o755)
    rc.write_text(f"%set pager {pager}\n")
    with open_prompt(program, tmp_path, PAGER="cat") as repl:
        assert "PAGED" in repl.ask("help(str)")
    assert "class str" in (tmp_path / "paged").read_text()


def test_tab_completes_commands_and_what_is_of_this_side(program, tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "look.py").write_text("41 + 1\n")
    (tmp_path / "scripts" / "lock.py").write_text("")
    (tmp_path / "scripts" / "l\x1b[31m.py").write_text("")
    with open_prompt(program, tmp_path) as repl:
        repl.type("%hi\t", r"In \[0\]: %history\Z")
        repl.type("\x15%sta\t", r"In \[0\]: %stacks\Z")
        repl.type("\x15%re\t", r"^%reconnect +%reset$.*In \[0\]: %re\Z")
        repl.type("co\t", r"In \[0\]: %reconnect\Z")
        repl.type("\x15%set c\t", r"In \[0\]: %set color\Z")
        repl.type("al\t", r"In \[0\]: %set color always\Z")
        repl.type(f"\x15%run {tmp_path}/scr\t", r"scripts/\Z")
        screen = repl.type("\t\t", r"^lock\.py +look\.py$.*scripts/lo\Z")
        assert "31m" not in screen
        repl.send("ok\t\r")
        repl.expect(r"Out\[0\]: 42\n(?s:.*)" + PROMPT.pattern)
