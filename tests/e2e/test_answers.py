"""Values and help at the prompt: what a person is shown, how much of it, and what it leaves alone."""

import re

import pytest

from conftest import VERSIONS
from repl import PROMPT, Repl
from test_complete import PROGRAM

VALUES = PROGRAM.replace("pystuck.run_server()", '''
import dataclasses
class Raises:
    def __repr__(self): raise ValueError("no repr")
class NoText:
    def __repr__(self): return 5
class Recurses:
    def __repr__(self): return repr(self)
class Blocks:
    def __repr__(self):
        while True: pass
class Wide:
    def __repr__(self): return "row one\\nrow two"
@dataclasses.dataclass
class Point:
    x: int
    y: int
def documented(a, b: int = 2):
    """Adds.

    In two paragraphs."""
    text = """
not indented
"""

    return (
a + b)
class Documented:
    """A class."""
    attribute = 1

    def method(self):
        pass
def long_text(): pass
long_text.__doc__ = "\\n".join("line %d" % i for i in range(300))
pystuck.run_server()''')


@pytest.fixture
def program(python, start, tmp_path):
    return start(python, VALUES, env={"TOUCHED": str(tmp_path / "touched")})


@pytest.fixture
def repl(program, tmp_path):
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path, columns=200, env={"PAGER": "cat"}) as session:
        session.ask("m = modules.__main__")
        yield session


def value(repl, source):
    """What stands behind Out[n]: for this source."""
    return re.sub(r"\AOut\[\d+\]:\s*", "", repl.ask(source))


def test_values_are_laid_out_as_ipython_does(repl):
    assert value(repl, "list(range(5))") == "[0, 1, 2, 3, 4]"
    assert value(repl, "list(range(100, 140))").split("\n")[:2] == ["[100,", " 101,"]
    assert value(repl, "{'a' * 40: {'inner': 'b' * 40}, 'c': (1,)}") == "{'%s': {'inner': '%s'},\n 'c': (1,)}" % ("a" * 40, "b" * 40)
    assert value(repl, "{3, 1, 2}, set(), frozenset([1])") == "({1, 2, 3}, set(), frozenset({1}))"
    assert value(repl, "x = []; x.append(x); x") == "[[...]]"
    assert value(repl, "x = {}; x[1] = x; x") == "{1: {...}}"
    assert value(repl, "[int, m.Documented, m.documented]") == "[int, __main__.Documented, <function __main__.documented(a, b=2)>]"
    assert value(repl, "m.Point(1, 2)") == "Point(x=1, y=2)"
    assert value(repl, "[1, m.Wide()]").split("\n") == ["[1,", " row one", " row two]"]
    assert value(repl, "modules.collections.OrderedDict(a=1)") in ("OrderedDict([('a', 1)])", "OrderedDict({'a': 1})")


def test_what_is_cut_says_so(repl):
    assert value(repl, "list(range(5000))").endswith("999,\n ... (4000 more)]")
    assert value(repl, "{i: i for i in range(5000)}").endswith("999: 999,\n ... (4000 more)}")
    assert value(repl, "'x' * 200000").endswith("x'... (100000 more)")
    assert "<int of 400001 bits>" in value(repl, "1 << 400000")
    repl.ask("deep = []")
    repl.ask("exec('for i in range(100000): deep = [deep]')")
    assert "[...]" in value(repl, "deep")
    assert repl.ask("40 + 2").endswith("42")


def test_a_repr_that_misbehaves_is_survived(repl):
    for name, words in (("Raises", "ValueError: no repr"), ("NoText", "TypeError"), ("Recurses", "RecursionError")):
        text = value(repl, f"[1, m.{name}(), 2]")
        assert text.startswith("[1,") and words in text and text.endswith("2]"), text
    repl.send("[1, m.Blocks()]\r")
    repl.expect(r"Blocks\(\)\]\s")
    repl.send("\x03")
    _, text = repl.expect(PROMPT)
    assert "KeyboardInterrupt" in text
    assert repl.ask("40 + 2").endswith("42")


def test_earlier_inputs_and_values_have_ipythons_names(repl):
    assert value(repl, "'one'") == "'one'"
    assert value(repl, "'two'") == "'two'"
    assert value(repl, "_, __, _1, _2, Out[1]") == "('two', 'one', 'one', 'two', 'one')"
    assert value(repl, "_i, _ii, _i1, In[1]") == "('_, __, _1, _2, Out[1]', \"'two'\", \"'one'\", \"'one'\")"
    assert value(repl, "[len(x) for x in ___, Out]") != ""


def test_a_semicolon_silences(repl):
    assert repl.ask("1 + 1;") == ""
    assert repl.ask("1 + 1;  ") == ""
    assert value(repl, "'a;'") == "'a;'"
    assert value(repl, "1 + 1  # not silenced;") == "2"
    assert value(repl, "x = 1; x") == "1"


def test_a_question_mark_tells_what_something_is(repl, program):
    text = repl.ask("m.documented?")
    for words in ("Signature: m.documented(a, b=2)", "Type:      function", "Docstring:\nAdds.\n\nIn two paragraphs.\n", f"{program.path}:"):
        assert words in text, text
    assert "return (" not in text and "return (\na + b)" in repl.ask("m.documented??")
    assert repl.ask("?m.documented") == text
    text = repl.ask("m.Documented??")
    assert text.endswith('class Documented:\n    """A class."""\n    attribute = 1\n\n    def method(self):\n        pass')
    assert "Signature: len(obj, /)" in repl.ask("len?") and "number of items" in repl.ask("len?")
    assert "Type:      module" in repl.ask("modules.os?")
    text = repl.ask("m.d['users']?")
    assert "Type:      dict" in text and "Length:    1" in text
    assert "nothing here has the name nothing" in repl.ask("nothing?")
    assert "not f()" in repl.ask("f()?")
    repl.ask("def typed(a): return a + 1")
    assert repl.ask("typed??").endswith("Source:\ndef typed(a): return a + 1")
    assert value(repl, "'what?'") == "'what?'"
    assert repl.ask("x = 1  # why?") == ""


def test_the_source_of_a_frozen_module_is_shown(repl, python):
    text = repl.ask("modules['os'].path.join??")
    line = "def join(a, /, *p):" if VERSIONS[python].startswith("3.15.") else "def join(a, *p):"
    assert re.search(r"^File: +/.*posixpath\.py:\d+$", text, re.M) and line in text.splitlines(), text


def test_a_question_mark_runs_nothing_of_the_program(repl, tmp_path):
    for source in ("m.hostile?", "m.hostile??", "m.Hostile??", "m.hostile.prop?", "m.hostile.nothing?", "m.hostile.method??",
                   "m.hostile['key']?", "m.vars_with_keys['secret_one']?", "m.slots?"):
        repl.ask(source)
    assert not (tmp_path / "touched").exists(), (tmp_path / "touched").read_text()


def test_help_is_shown_here_and_never_in_the_programs_terminal(repl, program):
    text = repl.ask("help(m.documented)")
    assert "documented(a, b: int = 2)" in text and "In two paragraphs." in text
    assert "MODULE REFERENCE" in repl.ask("help('json')")
    assert "for" in repl.ask("help('for')")
    assert "help(object)" in repl.ask("help()")
    assert program.alive()


def test_long_texts_go_through_the_users_pager(program, tmp_path):
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\ncat > {tmp_path}/paged\necho paged; exit 0\n")
    pager.chmod(0o755)
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path, rows=30, env={"PAGER": str(pager)}) as repl:
        repl.ask("m = modules.__main__")
        assert repl.ask("m.long_text?").endswith("paged")
        assert "line 299" in (tmp_path / "paged").read_text()
        assert "Adds." in repl.ask("m.documented?")  # short enough for the screen
        (tmp_path / "pager").unlink()
        assert "line 299" in repl.ask("m.long_text?")  # a pager that is not there


def test_a_narrow_terminal_gets_narrow_values(program, tmp_path):
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path, columns=40) as repl:
        text = repl.ask("['a' * 20, 'b' * 20]")
        assert text.endswith("['%s',\n '%s']" % ("a" * 20, "b" * 20)), text


def test_commands_that_look_at_names(repl):
    repl.ask("mine = 5")
    text = repl.ask("%who")
    assert re.search(r"^mine +int$", text, re.M) and "modules" not in text and "Out" not in text
    assert repl.ask("%reset").startswith("your names are gone")
    assert "NameError" in repl.ask("mine")
    assert "no names of yours" in repl.ask("%who")
    text = repl.ask("%time sum(range(1000))")
    assert re.search(r"CPU times: user [\d.]+ ms, sys: [\d.]+ ms.*\nWall time: [\d.]+ ms\nOut\[\d+\]: 499500", text), text
    repl.send("%time for i in [7]:\r")
    repl.expect(r"\.\.\.:")
    repl.send("print('looped', i)\r")
    repl.expect(r"\.\.\.:")
    repl.send("\r")
    assert "looped 7\nCPU times" in repl.expect(PROMPT)[1]
    assert "ZeroDivisionError" in repl.ask("%time 1/0")
    assert "there is none named %nothing" in repl.ask("%nothing")
