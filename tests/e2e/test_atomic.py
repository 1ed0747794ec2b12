"""%atomic: no other Python thread runs meanwhile, for a bounded time, and the program's switch interval stays its own."""

import re

import pytest

from repl import PROMPT, Repl

PROGRAM = """
import sys, threading, pystuck
sys.setswitchinterval(0.003)
count = 0
gate = threading.Lock()
gate.acquire()
def spin():
    global count
    while True:
        count += 1
def work(n=100000):
    while n:
        n -= 1
threading.Thread(target=spin, daemon=True).start()
pystuck.run_server()
print("READY", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def repl(program, tmp_path):
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as session:
        session.ask("m = modules.__main__; import os, sys, time")
        yield session
        assert session.ask("sys.getswitchinterval()").endswith("0.003")


def test_no_other_thread_runs_meanwhile(repl):
    for _ in range(5):
        text = repl.ask("%atomic --ms 1000 before = m.count; m.work(); m.count - before")
        assert re.search(r"atomic: no other Python thread ran for \d+\.\d+ ms", text) and text.endswith(": 0"), text


def test_code_that_lets_go_of_the_gil_is_told(repl):
    assert "not atomic: other Python threads ran" in repl.ask("%atomic --ms 1000 before = m.count; time.sleep(0.02)")
    text = repl.ask("%atomic 1/0")
    assert "ZeroDivisionError" in text and "atomic: no other" in text


def test_it_is_bounded(repl):
    text = repl.ask("%atomic --ms 20 while True: pass")
    assert "interrupted: it took longer than 20 ms" in text and "KeyboardInterrupt" in text
    assert "interrupted: it took longer than 50 ms" in repl.ask("%atomic while True: pass")
    # What comes behind it is not hit.
    assert repl.ask("%atomic --ms 20 40 + 2").endswith("42")
    repl.ask("time.sleep(0.1)")
    assert repl.ask("40 + 3").endswith("43")


@pytest.mark.parametrize("words", ["%atomic", "%atomic --ms 20", "%atomic --ms 0 x", "%atomic --ms 1001 x", "%atomic --ms many x"])
def test_what_cannot_be_meant_is_said(repl, words):
    assert "%atomic [--ms N] CODE, with at most --ms 1000" in repl.ask(words)


def test_an_interval_that_the_program_sets_meanwhile_lasts(repl):
    repl.ask("%atomic sys.setswitchinterval(0.004)")
    assert repl.ask("sys.getswitchinterval()").endswith("0.004")
    repl.ask("sys.setswitchinterval(0.003)")


def test_a_child_has_the_programs_interval(repl):
    repl.ask("read, write = os.pipe(); import warnings; warnings.simplefilter('ignore')")
    repl.ask("%atomic --ms 1000 os.fork() or (os.write(write, repr(sys.getswitchinterval()).encode()), os._exit(0))")
    assert repl.ask("os.read(read, 100)").endswith("b'0.003'")
    repl.ask("os.wait();")


def test_two_at_once_are_refused(repl, program, tmp_path):
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as other:
        repl.send("%atomic --ms 1000 print('be' + 'gun'); m.gate.acquire();\r")
        repl.expect("begun")
        while "RuntimeError: another %atomic is under way" not in other.ask("%atomic 1"):
            pass
        other.ask("modules.__main__.gate.release()")
        repl.expect(PROMPT)
        assert "no other" in other.ask("%atomic 1")
