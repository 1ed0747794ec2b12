"""Ctrl-C at the prompt: what it stops, and what goes on in the background."""

import re
import time
from pathlib import Path

import pytest

from conftest import VERSIONS, wait_until
from repl import PROMPT, Repl

PROGRAM = """
import os, sys, threading, pystuck
read, write = os.pipe()
def feed():
    for line in sys.stdin:
        os.write(write, b"x")
# Not by an evaluation: its threads would have its thread's name.
threading.Thread(target=feed, daemon=True).start()
def wait_for_it():
    os.read(read, 1)
    return "it came"
def spin():
    print("begun")
    while True: pass
def speak():
    try:
        wait_for_it()
    except KeyboardInterrupt:
        pass
    print("first", "line")
    print("second line", end="")
    return 5
pystuck.run_server()
print("READY", flush=True)
threading.Event().wait()
"""


@pytest.fixture
def repl(program, tmp_path):
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as session:
        session.ask("m = modules.__main__; import os, time")
        yield session


def is_reading(pid):
    """Does an evaluation wait in read(2) on a pipe?"""
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            if (task / "comm").read_text() == "pystuck-eval\n" and "pipe" in (task / "wchan").read_text():
                return True
        except OSError:
            pass  # it has just ended
    return False


def let_go(repl, program, source):
    """Runs what reads from a pipe and lets go of it; what the prompt said."""
    repl.send(source + "\r")
    wait_until(lambda: is_reading(program.pid), "the evaluation reads")
    repl.send("\x03")
    _, said = repl.expect(r"Ctrl-C again to let go of it")
    repl.send("\x03")
    _, text = repl.expect(PROMPT)
    assert re.search(r"goes on as job \d+", text), text
    return said


def test_ctrl_c_stops_python_code_at_once(repl):
    for _ in range(3):
        repl.send("m.spin()\r")
        repl.expect(r"begun\n")
        began = time.monotonic()
        repl.send("\x03")
        assert "KeyboardInterrupt" in repl.expect(PROMPT)[1]
        # 100 ms on a machine with nothing else to do; that it is not the second that C code gets is for any.
        assert time.monotonic() - began < 10
    assert repl.ask("40 + 2").endswith("42")


def test_what_blocks_in_c_is_named_and_let_go_of(repl, program, python):
    said = let_go(repl, program, "m.wait_for_it()")
    assert "still running in wait_for_it, program.py line 10" in said
    assert re.search(r"\[job 1\] +\d+ s  m\.wait_for_it\(\)", repl.ask("%jobs"))
    assert repl.ask("40 + 2").endswith("42")
    program.say("")
    repl.until_screen(r"^\[job 1\] was interrupted: .*KeyboardInterrupt.*^In \[\d+\]:\s*\Z")
    assert repl.ask("%jobs").endswith("nothing runs in the background")


def test_a_call_in_the_cell_is_named_as_it_was_typed(repl, program, python):
    repl.ask("read, write = os.pipe()")
    said = let_go(repl, program, "os.read(read, 1)")
    if VERSIONS[python] >= "3.11":
        assert "still running in os.read;" in said
    repl.ask("os.write(write, b'x');")
    repl.until_screen(r"^\[job 1\] (was interrupted|has ended).*^In \[\d+\]:\s*\Z")


def test_output_of_a_job_arrives_marked_and_leaves_what_is_typed_alone(repl, program):
    let_go(repl, program, "m.speak()")
    repl.type("half_typed", r"half_typed\Z")
    program.say("")
    _, text = repl.until_screen(r"^\[job 1\] first line\n\[job 1\] second line\n\[job 1\] has ended: 5\nIn \[\d+\]: half_typed\Z")
    repl.send("\x15")
    assert repl.ask("40 + 2").endswith("42")


def test_a_job_is_stopped_by_its_number(repl, program):
    let_go(repl, program, "m.wait_for_it()")
    assert "say %jobs for a list" in repl.ask("%jobs stop 7")
    assert repl.ask("%jobs stop 1") == ""
    program.say("")
    repl.until_screen(r"^\[job 1\] was interrupted.*^In \[\d+\]:\s*\Z")


def test_a_job_ends_with_its_client(repl, program, client):
    let_go(repl, program, "m.wait_for_it()")
    repl.send("\x04")
    assert repl.wait() == 0
    program.say("")
    wait_until(lambda: "pystuck-eval" not in client("--socket", program.socket, "-c", "[open(f'/proc/self/task/{t}/comm').read().strip() for t in "
               "modules.os.listdir('/proc/self/task') if int(t) != modules.threading.get_native_id()]").out, "its thread is gone")
