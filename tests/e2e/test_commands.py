"""Commands of the prompt that work on this side: files, an editor, what was typed."""

import pytest

from repl import PROMPT, Repl
from test_repl import IDLE


@pytest.fixture
def repl(one_python, start, tmp_path):
    program = start(one_python, IDLE)
    editor = tmp_path / "my editor"
    editor.write_text('#!/bin/sh\n[ "$(cat "$1")" != wrong ] || exit 1\necho "edited = 21 * 2" >> "$1"\n')
    editor.chmod(0o755)
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path, env={"EDITOR": f"'{editor}'"}) as session:
        yield session


def test_a_file_of_this_side_runs_in_the_program(repl, tmp_path):
    script = tmp_path / "a script.py"
    script.write_text("import os\n\ndef twice(x):\n\n    return x * 2\nprint('from', os.getppid())\ntwice(21)\n")
    text = repl.ask(f"%run {script}")
    assert "from " in text and text.endswith("42")
    assert repl.ask("twice(4)").endswith("8")
    script.write_text("1 +\n")
    assert "SyntaxError" in repl.ask(f"%run {script}")
    assert "No such file" in repl.ask("%run /nonexistent/file.py")
    assert "%run FILE" in repl.ask("%run")
    repl.send("\x1b[A\x1b[A")
    repl.until_screen(r"In \[\d+\]: %run /nonexistent/file\.py\Z")
    repl.send("\x15")


def test_what_was_edited_is_run(repl, tmp_path):
    repl.ask("before = 1")
    repl.ask("%edit")
    assert repl.ask("edited, before").endswith("(42, 1)")
    script = tmp_path / "mine.py"
    script.write_text("edited = 0\n")
    repl.ask(f"%edit {script}")
    assert repl.ask("edited").endswith("42") and script.read_text() == "edited = 0\nedited = 21 * 2\n"
    script.write_text("wrong")
    assert "did not end well" in repl.ask(f"%edit {script}")


def test_what_was_typed_is_listed_and_saved(repl, tmp_path):
    repl.ask("x = 1")
    repl.send("if x:\r    y = 2\r\r")
    repl.expect(PROMPT)
    repl.send("\r")
    repl.expect(PROMPT)
    repl.ask("z = 3")
    text = repl.ask("%history")
    assert text.startswith("0: x = 1\n1: if x:\n") and text.endswith("2: z = 3"), text
    assert repl.ask("%history 1") == "2: z = 3"
    assert "how many" in repl.ask("%history many")
    saved = tmp_path / "saved.py"
    assert "3 inputs" in repl.ask(f"%save {saved}")
    assert saved.read_text().startswith("x = 1\nif x:\n") and saved.read_text().endswith("\nz = 3\n")
    assert "File exists" in repl.ask(f"%save {saved} 0")
    assert "1 inputs" in repl.ask(f"%save {tmp_path}/one.py 2") and (tmp_path / "one.py").read_text() == "z = 3\n"
    assert "2 inputs" in repl.ask(f"%save {tmp_path}/two.py 1-2")
    assert "%save FILE" in repl.ask("%save")
