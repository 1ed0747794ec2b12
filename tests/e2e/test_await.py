"""await at the prompt: on the program's own event loop, or, where none runs, on one of its own."""

import re

import pytest

from conftest import PATIENCE, wait_until
from repl import PROMPT, Repl
from stranger import Message, Session, connect_unix

PROMPT_FLAG = 2  # EVAL's: for a person

COMMON = """
import asyncio, itertools, sys, threading, time, weakref, pystuck
over = threading.Event()
def at_end():
    sys.stdin.read()
    over.set()
threading.Thread(target=at_end, daemon=True).start()
class Thing:
    pass
things = []
told = []
async def where():
    await asyncio.sleep(0)
    return threading.current_thread().name
async def speak():
    print("before")
    await asyncio.sleep(0.01)
    print("after")
    print("and error", file=sys.stderr)
    return 42
async def fail():
    await asyncio.sleep(0)
    raise KeyError("wanted")
async def leave():
    await asyncio.sleep(0)
    raise SystemExit(3)
async def forever():
    thing = Thing()
    things.append(weakref.ref(thing))
    print("begun")
    try:
        await asyncio.Event().wait()
    finally:
        told.append("cancelled")
class Deaf:  # its steps are C's, without the GIL, and Python looks for no interrupt around them
    def __await__(self):
        print("begun")
        return map(time.sleep, itertools.repeat(0.05))
class Buried:
    def __del__(self):
        print("begun")
        while True:
            pass
async def bury():
    Buried()
    await asyncio.Event().wait()
def linger():
    print("inside")
    for _ in range(200):
        time.sleep(0.005)
    print("over")
    return "lingered"
async def spin():
    print("begun")
    while True:
        pass
"""
MAIN = COMMON + """
async def main():
    pystuck.run_server()
    print("READY", flush=True)
    while not over.is_set():
        await asyncio.sleep(0.002)
asyncio.run(main())
print("END", told, flush=True)
"""
ASIDE = COMMON + """
def run(name):
    async def main():
        while not over.is_set():
            await asyncio.sleep(0.002)
    threading.Thread(target=lambda: asyncio.run(main()), name=name, daemon=True).start()
for name in sys.argv[1:]:
    run(name)
pystuck.run_server()
print("READY", flush=True)
over.wait()
"""
NONE = """
import sys, threading, pystuck
pystuck.run_server()
print("READY", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def program(python, start):
    return start(python, MAIN)


@pytest.fixture
def repl(program, tmp_path):
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as session:
        session.ask("m = modules.__main__; asyncio = modules.asyncio")
        yield session


def end(program):
    program.process.stdin.close()
    return program.wait(), program.stderr()


def test_it_runs_on_the_programs_loop_and_answers_here(repl, program):
    assert repl.ask("await m.where()").endswith("'MainThread'")
    assert repl.ask("x = [await m.where() for _ in range(2)]; y = 1; x, y").endswith("(['MainThread', 'MainThread'], 1)")
    assert re.fullmatch(r"before\nafter\nand error\n+Out\[\d+\]: 42", repl.ask("await m.speak()"))
    text = repl.ask("await m.fail()")
    assert "KeyError: 'wanted'" in text and "<pystuck In [" in text and "in fail" in text
    assert "SystemExit: 3 (caught: the program goes on)" in repl.ask("await m.leave()")
    assert repl.ask("await asyncio.gather(m.where(), m.where())").endswith("['MainThread', 'MainThread']")
    repl.send("async with asyncio.Lock() as lock: print('in' + 'side')\r\r")
    repl.until_screen(r"^inside\n.*^In \[\d+\]:\s*\Z")
    assert "MainThread" in repl.ask("%loop")
    assert end(program) == (0, "")


CANCELLED = "KeyboardInterrupt: the task was cancelled"


def interrupted(repl, awaited):
    """What is printed of something that says "begun", from Ctrl-C on."""
    repl.send(f"await {awaited}\r")
    repl.expect(r"begun\n")
    repl.send("\x03")
    return repl.expect(PROMPT)[1]


def test_ctrl_c_cancels_the_task(repl, program):
    for _ in range(3):
        assert CANCELLED in interrupted(repl, "m.forever()")
    assert repl.ask("m.told").endswith("['cancelled', 'cancelled', 'cancelled']")
    assert repl.ask("[r() for r in m.things]").endswith("[None, None, None]")
    # main()'s, and the one that counts.
    assert repl.ask("await asyncio.sleep(0, len(asyncio.all_tasks()))").endswith("2")
    assert end(program) == (0, "")


def test_ctrl_c_that_no_step_notices_cancels_the_task(repl, program):
    for _ in range(3):
        assert CANCELLED in interrupted(repl, "m.Deaf()")


def test_ctrl_c_that_a_finalizer_swallows_cancels_the_task(repl, program):
    text = interrupted(repl, "m.bury()")
    assert "Exception ignored" in text and CANCELLED in text
    assert end(program) == (0, "")


def test_ctrl_c_stops_what_holds_the_loop_up(repl, program):
    assert "KeyboardInterrupt" in interrupted(repl, "m.spin()")
    assert repl.ask("await m.where()").endswith("'MainThread'")
    assert end(program) == (0, "")


def test_an_evaluation_within_anothers_step_has_its_own_output_and_end(program):
    """The main thread comes by for %main in the middle of what is awaited: the interrupt is for what it was meant for."""
    with Session(connect_unix(program.socket, PATIENCE)) as outer, Session(connect_unix(program.socket, PATIENCE)) as inner:
        for session in outer, inner:
            session.hello()
            session.eval("m = modules['__main__']")
        around, within = outer.make_eval("await m.spin()"), inner.make_eval("%main m.linger()", PROMPT_FLAG)
        outer.send(around)
        assert outer.wait("OUTPUT").text == "begun"
        inner.send(within)
        assert inner.wait("OUTPUT").text == "inside"
        outer.send(Message("INTERRUPT", id=around.id))
        lingered, stopped = inner.finish(within.id), outer.finish(around.id)
        assert lingered.text == "'lingered'" and lingered.output.endswith("over\n")
        assert "KeyboardInterrupt" in stopped.text and stopped.output == "\n"
    assert end(program) == (0, "")


def test_a_client_that_is_killed_leaves_no_task(program, tmp_path, ask):
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        repl.send("await modules.__main__.forever()\r")
        repl.expect(r"begun\n")
    wait_until(lambda: ask(program, "modules.__main__.told, [r() for r in modules.__main__.things]").out == "(['cancelled'], [None])\n",
               "it is cancelled")
    assert end(program) == (0, "")


def test_the_loop_ends_while_somebody_waits(repl, program):
    repl.send("await m.forever()\r")
    repl.expect(r"begun\n")
    assert end(program) == (0, "")
    program.out.until(r"END \['cancelled'\]")


def test_names_of_a_frame_can_be_awaited(repl):
    repl.ask("%frame MainThread 0")
    assert repl.ask("await where()").endswith("'MainThread'")


def test_several_loops(python, start, tmp_path):
    program = start(python, ASIDE.replace("sys.argv[1:]", "['one', 'two']"))
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        repl.ask("m = modules.__main__")
        wait_until(lambda: len(re.findall(r"^(?:one|two) \(tid \d+\): ", repl.ask("%loop"), re.M)) == 2, "both run")
        assert "RuntimeError: several threads run event loops, and the main thread none: %loop THREAD chooses" in repl.ask("await m.where()")
        repl.ask("%loop two")
        assert "chosen" in repl.ask("%loop") and repl.ask("await m.where()").endswith("'two'")
        repl.ask("%loop one")
        assert repl.ask("await m.where()").endswith("'one'")
        repl.ask("%loop MainThread")
        assert "runs no event loop now" in repl.ask("await m.where()")
        repl.ask("%loop off")
        assert "several threads" in repl.ask("await m.where()")


def test_without_a_loop(python, start, tmp_path, ask):
    program = start(python, NONE)
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        assert "no event loop runs" in repl.ask("%loop")
        assert "RuntimeError: await takes an event loop: the program runs none, and has not imported asyncio" in repl.ask("await None")
        assert repl.ask("'asyncio' in modules.sys.modules").endswith("False")
        assert repl.ask("import asyncio; await asyncio.sleep(0.01, 42)").endswith("42")
        repl.send("print('be' + 'gun'); await asyncio.Event().wait()\r")
        repl.expect("begun\n")
        repl.send("\x03")
        assert "KeyboardInterrupt" in repl.expect(PROMPT)[1]
        assert "ZeroDivisionError" in repl.ask("await asyncio.sleep(0); 1 / 0")
        assert "without %time, %atomic and %main" in repl.ask("%time await asyncio.sleep(0)")
    assert ask(program, "import asyncio\nasync def f():\n    return 7\nawait f()").out == "7\n"
    assert ask(program, "modules.threading.active_count()").out == "1\n"
    program.process.stdin.close()
    assert program.wait() == 0 and program.stderr() == ""
