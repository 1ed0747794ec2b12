"""%main: code on the program's main thread."""

import re

import pytest

from conftest import wait_until
from repl import PROMPT, Repl

PROGRAM = """
import os, sys, threading, warnings, pystuck
warnings.simplefilter("ignore")
marks = []
gate = threading.Lock()
gate.acquire()
seen = []
sys.addaudithook(lambda event, args: seen.append(args[1]) if event == "pystuck.eval" else None)
def mark():
    marks.append(threading.current_thread().name)
def spin():
    print("begun")
    while True:
        pass
def child():
    sum(range(100000))
    for _ in range(1000):
        pass
    print("CHILD", marks, flush=True)
def forks():
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            child()
            os._exit(0)
        os.waitpid(pid, 0)
    over.set()
over = threading.Event()
threading.Thread(target=forks, daemon=True).start()
pystuck.run_server()
print("READY", flush=True)
"""
BUSY = PROGRAM + """
event = threading.Event()
while not event.wait(0.005):
    pass
print("OUT", marks, flush=True)
while not over.wait(0.005):
    pass
"""
BLOCKED = PROGRAM + """
gate.acquire()
while not over.wait(0.005):
    pass
"""


@pytest.fixture
def program(python, start):
    return start(python, BUSY)


@pytest.fixture
def blocked(python, start):
    return start(python, BLOCKED)


def open_prompt(program, home):
    return Repl("--socket", program.socket, "--no-stacks", home=home)


def test_it_runs_on_the_main_thread_and_answers_here(program, tmp_path):
    with open_prompt(program, tmp_path) as repl:
        repl.ask("m = modules.__main__; import threading, sys")
        assert repl.ask("%main threading.current_thread().name").endswith("'MainThread'")
        assert repl.ask("%main print('to', 'me'); print('and me', file=sys.stderr); x = 42") == "to me\nand me"
        assert repl.ask("x").endswith("42")
        text = repl.ask("%main 1 / 0")
        assert "ZeroDivisionError" in text and "<pystuck In [" in text
        assert "SystemExit: 3 (caught: the program goes on)" in repl.ask("%main raise SystemExit(3)")
        assert repl.ask("%main m.mark()") == "" and repl.ask("m.marks").endswith("['MainThread']")
        assert repl.ask("m.event.set()") == ""
        program.out.until(r"^OUT \['MainThread'\]")
    program.process.stdin.close()
    assert program.wait() == 0 and program.stderr() == ""


def test_ctrl_c_stops_it_and_not_the_program(program, tmp_path):
    with open_prompt(program, tmp_path) as repl:
        for _ in range(3):
            repl.send("%main modules.__main__.spin()\r")
            repl.expect(r"begun\n")
            repl.send("\x03")
            assert "KeyboardInterrupt" in repl.expect(PROMPT)[1]
        assert repl.ask("%main 40 + 2").endswith("42")
    assert program.alive()


def test_a_main_thread_that_does_not_come_by(blocked, tmp_path):
    """It is said what it does, and the code never runs, however late the main thread comes."""
    with open_prompt(blocked, tmp_path) as repl:
        repl.ask("m = modules.__main__")
        text = repl.ask("%main --timeout 0.2 m.mark()")
        assert re.search(r"RuntimeError: nothing was run: the main thread did not come by in 200 ms; "
                         r"it is in <module>, program.py line \d+, waiting for (lock|Lock) 'gate'", text), text
        repl.send("%main --timeout 600 m.mark()\r")
        repl.expect(r"m\.mark\(\) *\n")
        repl.send("\x03")
        assert "KeyboardInterrupt" in repl.expect(PROMPT)[1]
        assert "held" not in text and repl.ask("m.marks").endswith("[]")
        repl.ask("m.gate.release()")
        assert repl.ask("%main --timeout 20 len(m.marks)").endswith("0")
        repl.ask("%main m.mark()")
    blocked.process.stdin.close()
    assert blocked.wait() == 0


def test_what_waits_for_the_main_thread_is_not_the_childs(blocked, tmp_path, ask):
    with open_prompt(blocked, tmp_path) as repl:
        repl.send("%main --timeout 600 modules.__main__.mark()\r")
        wait_until(lambda: ask(blocked, "any(s.startswith('%main') for s in modules.__main__.seen)").out == "True\n", "it is asked for")
        for _ in range(3):
            blocked.say("fork")
            blocked.out.until(r"^CHILD \[\]")
        assert ask(blocked, "modules.__main__.marks").out == "[]\n"
        assert ask(blocked, "modules.__main__.gate.release()").status == 0
        repl.expect(PROMPT)
    blocked.process.stdin.close()
    assert blocked.wait() == 0


def test_a_session_that_goes_takes_its_call_along(blocked, tmp_path, ask):
    with open_prompt(blocked, tmp_path) as repl:
        repl.send("%main --timeout 600 modules.__main__.mark()\r")
        wait_until(lambda: ask(blocked, "any(s.startswith('%main') for s in modules.__main__.seen)").out == "True\n", "it is asked for")
    # The client was killed.
    wait_until(lambda: ask(blocked, "len([t for t in modules.os.listdir('/proc/self/task') "
                                    "if open(f'/proc/self/task/{t}/comm').read() == 'pystuck-eval\\n'])").out == "1\n", "it is given up")
    ask(blocked, "modules.__main__.gate.release()")
    with open_prompt(blocked, tmp_path) as repl:
        assert repl.ask("%main --timeout 20 modules.__main__.marks").endswith("[]")


def test_a_client_that_is_killed_gives_the_main_thread_back(python, start, tmp_path):
    program = start(python, BUSY)
    with open_prompt(program, tmp_path) as repl:
        repl.send("%main modules.__main__.spin()\r")
        repl.expect(r"begun\n")
    with open_prompt(program, tmp_path) as repl:
        assert repl.ask("%main --timeout 20 modules.__main__.event.set()") == ""
    program.out.until("^OUT")
    program.process.stdin.close()
    assert program.wait() == 0


def test_what_cannot_be_meant_is_said(program, tmp_path):
    with open_prompt(program, tmp_path) as repl:
        for words in ("%main", "%main --timeout 5", "%main --timeout x y", "%main --timeout 0 y"):
            assert "%main [--timeout N] CODE" in repl.ask(words)
