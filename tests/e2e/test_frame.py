"""Frames at the prompt: %locals, %frame, %up, %down, and %debug after an exception."""

import re

import pytest

from conftest import VERSIONS, wait_until
from repl import PROMPT, Repl

PROGRAM = """
import queue, sys, threading, pystuck, weakref
SETTING = "of the module"
class Thing:
    pass
def go_on():
    for gate in gates.values():
        gate.put(1)
    return [seen.get(timeout=20) for _ in range(3)]
seen = queue.SimpleQueue()  # whose frames are not Python's
names = ["worker", "a second (twin)", "a second (other)"]
gates = {one: queue.SimpleQueue() for one in names}
things = []
results = []
def handle(number, items, unbound=False):
    thing = Thing()
    things.append(weakref.ref(thing))
    word = "before"
    cell = [1]
    if unbound:
        later = 0
    inner = lambda: cell
    gate = gates[threading.current_thread().name]
    seen.put(1)
    gate.get()
    results.append((number, word, inner()))
    return word
def work():
    for number in range(100):
        name = f"round {number}"
        handle(number, [1, 2, 3])
        del name
for one in names:
    threading.Thread(target=work, name=one, daemon=True).start()
def fail(depth):
    thing = Thing()
    things.append(weakref.ref(thing))
    where = f"depth {depth}"
    return 1 / 0 if depth == 0 else fail(depth - 1)
for _ in range(3):
    seen.get()
pystuck.run_server()
print("READY", flush=True)
threading.Event().wait()
"""


@pytest.fixture
def repl(program, tmp_path):
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as session:
        session.ask("m = modules.__main__")
        yield session


def alive(repl):
    """How many of the program's things there are."""
    return int(re.search(r"(\d+)$", repl.ask("sum(r() is not None for r in m.things)"))[1])


def test_locals_of_a_thread(repl):
    text = repl.ask("%locals worker")
    for line in ("number = 0", "items = [1, 2, 3]", "word = 'before'", "cell = [1]", "thing = <__main__.Thing object at 0x"):
        assert line in text
    assert "name = 'round 0'" in repl.ask("%locals worker -2")
    assert "name = 'round 0'" in repl.ask("%locals 'worker' -2") and "later" not in text
    ident = repl.ask("next(t.ident for t in m.threading.enumerate() if t.name == 'worker')").split()[-1]
    tid = repl.ask("next(t.native_id for t in m.threading.enumerate() if t.name == 'worker')").split()[-1]
    assert "number = 0" in repl.ask(f"%locals {ident}") and "number = 0" in repl.ask(f"%locals {tid} -1")
    stack = repl.ask("%stacks")
    frames = len(re.findall(r"^  File ", re.split(r"\n(?=<)", stack[stack.index("(worker"):])[0], re.M))
    assert "number = 0" in repl.ask(f"%locals worker {frames - 1}")
    assert f"0 is the outermost, {frames - 1} the innermost or -1; not worker {frames}" in repl.ask(f"%locals worker {frames}")


def test_what_names_no_thread_is_said(repl):
    assert "no thread has this name, ident or tid (%threads lists them): nobody" in repl.ask("%locals nobody")
    assert "several threads have this name; say a tid" in repl.ask("%frame a second")
    assert "number = 0" in repl.ask("%locals a second (other)")
    assert "%locals THREAD [FRAME]" in repl.ask("%locals")
    assert "in no frame" in repl.ask("%frame") and "in no frame" in repl.ask("%up")


def test_names_mean_those_of_the_frame(repl, program):
    path = re.escape(str(program.path))
    assert re.match(rf'worker \(tid \d+\), frame (\d+) of 0 to \1: File "{path}", line \d+, in handle', repl.ask("%frame worker"))
    assert repl.ask("number, word, SETTING").endswith("(0, 'before', 'of the module')")
    assert repl.ask("[word + str(i) for i in items if i > number]").endswith("['before1', 'before2', 'before3']")
    assert repl.ask("(lambda: (cell, [x for x in items if x in cell]))()").endswith("([1], [1])")
    assert "'word': 'before'" in repl.ask("locals()")
    assert "NameError" in repl.ask("later") and "NameError" in repl.ask("name")
    assert re.search(r"frame \d+ of 0 to \d+: .* in work$", repl.ask("%up"))
    assert repl.ask("name, sorted(k for k in dir())").endswith("('round 0', ['name', 'number'])")
    assert "in handle" in repl.ask("%down") and "this is the innermost frame" in repl.ask("%down")
    for _ in range(10):
        if "outermost" in repl.ask("%up"):
            break
    else:
        pytest.fail("no outermost frame")
    assert "names mean the session's own again" in repl.ask("%frame off")
    assert "NameError" in repl.ask("word") and repl.ask("m.SETTING").endswith("'of the module'")


def test_what_is_assigned_goes_where_it_belongs(repl):
    """The frame's variables to the frame, other names to the session, what is declared global to the module."""
    repl.ask("%frame worker")
    repl.ask("word = 'after'; cell = [2]; mine = 7; SETTING = 'the session\\'s'")
    assert repl.ask("word, cell, mine, SETTING").endswith("('after', [2], 7, \"the session's\")")
    assert "a variable of the frame cannot be taken away from it" in repl.ask("del word")
    repl.ask("global NEW, SETTING; NEW = SETTING = word")
    repl.ask("m = modules.__main__")
    repl.ask("later = 5")
    assert repl.ask("later").endswith("5")
    repl.ask("%frame off")
    assert repl.ask("mine, m.NEW, m.SETTING").endswith("(7, 'after', 'after')")
    assert repl.ask("m.go_on()").endswith("[1, 1, 1]")
    assert "(0, 'after', [2])" in repl.ask("m.results")


def test_a_frame_that_has_ended_is_said_and_left(repl):
    """Also when the same function runs again, in the same place."""
    repl.ask("%frame worker")
    assert repl.ask("modules.__main__.go_on()").endswith("[1, 1, 1]")
    assert repl.ask("word") == "the frame has ended: nothing was run, and names mean the session's own again"
    assert "in no frame" in repl.ask("%frame")
    assert "NameError" in repl.ask("word")
    assert "number = 1" in repl.ask("%locals worker")


def test_looking_keeps_nothing_alive(repl):
    assert alive(repl) == 3
    repl.ask("%frame worker")
    assert "Thing" in repl.ask("str(thing)")
    repl.ask("word = 'after'; items = [thing]")
    repl.ask("%up")
    repl.ask("name")
    repl.ask("%down")
    assert "'after'" in repl.ask("word, str(items)")
    repl.ask("modules.__main__.go_on();")
    assert "has ended" in repl.ask("word")
    assert alive(repl) == 3  # those of the three rounds that run now
    assert repl.ask("all(f.f_trace is None for f in modules.sys._current_frames().values())").endswith("True")


def test_debug_enters_the_frames_of_the_last_exception(repl):
    assert "no exception to look into" in repl.ask("%debug")
    assert "ZeroDivisionError" in repl.ask("m.fail(2)")
    assert alive(repl) == 6
    text = repl.ask("%debug")
    assert re.search(r"the traceback, frame 3 of 0 to 3: .* in fail$", text), text
    assert repl.ask("where, depth, SETTING").endswith("('depth 0', 0, 'of the module')")
    assert "frame 2 of 0 to 3" in repl.ask("%up") and repl.ask("where").endswith("'depth 1'")
    repl.ask("where = 'changed'")
    assert repl.ask("where").endswith("'changed'") and "frame 3 of" in repl.ask("%down")
    assert "names mean" in repl.ask("%frame off")
    assert alive(repl) == 3 and "no exception to look into" in repl.ask("%debug")


def test_the_last_exception_alone_is_kept_and_goes_with_the_session(repl, program, ask):
    for _ in range(3):
        repl.ask("m.fail(0)")
    assert alive(repl) == 4
    assert ask(program, "modules.__main__.fail(5)").status == 1
    assert ask(program, "[n for n in dir(modules.sys) if n.startswith('last_')]").out == "[]\n"
    assert alive(repl) == 4
    repl.send("\x04")
    assert repl.wait() == 0
    count = "sum(r() is not None for r in modules.__main__.things)"
    wait_until(lambda: ask(program, count).out == "3\n", "it is dropped")


def test_a_session_that_ends_in_a_frame_leaves_nothing(repl, program, ask):
    repl.ask("%frame worker")
    repl.ask("word")
    repl.send("\x04")
    assert repl.wait() == 0
    wait_until(lambda: ask(program, "all(f.f_trace is None for f in modules.sys._current_frames().values())").out == "True\n", "no mark")


def test_two_sessions_look_at_one_frame(repl, program, tmp_path):
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as other:
        repl.ask("%frame worker")
        other.ask("%frame worker")
        repl.ask("%frame off")
        assert other.ask("word").endswith("'before'")
        other.ask("%frame off")
        assert other.ask("all(f.f_trace is None for f in modules.sys._current_frames().values())").endswith("True")


def test_a_frame_that_a_debugger_has_is_left_alone(repl):
    repl.ask("import sys; f = next(f for f in sys._current_frames().values() if f.f_code.co_name == 'handle')")
    repl.ask("f.f_trace = print")
    name = repl.ask("next(t.native_id for t in m.threading.enumerate() if t.ident == next(i for i, g in sys._current_frames().items() if g is f))").split()[-1]
    assert "a debugger has this frame" in repl.ask(f"%frame {name}")
    assert repl.ask("f.f_trace is print").endswith("True")
    repl.ask("f.f_trace = None; del f")


def test_names_of_a_modules_frame(repl):
    assert "in <module>" in repl.ask("%frame MainThread 0")
    assert repl.ask("SETTING, modules.os.getpid() > 0").endswith("('of the module', True)")
    repl.ask("SETTING = 'changed'; unknown = 1")
    repl.ask("%frame off")
    assert repl.ask("m.SETTING, hasattr(m, 'unknown'), unknown").endswith("('changed', False, 1)")


def test_tab_knows_threads_and_the_names_of_the_frame(repl):
    repl.type("%frame wor\t", r"%frame worker ?\Z")
    repl.send("\r")
    repl.expect(PROMPT)
    repl.type("numb\t", r"In \[\d+\]: number ?\Z")
    repl.send("\x15")
    assert "list" in repl.ask("items?")


def test_help_has_the_commands(repl):
    text = repl.ask("%help")
    for word in ("%locals THREAD", "%frame THREAD", "%up, %down", "%debug"):
        assert word in text
