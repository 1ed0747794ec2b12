"""Evaluations that compute let the program's threads have the GIL (src/python/courtesy.c). What it is worth is bench's to say.

What shows it here is how often the courier, whose work it is, has gone to sleep.
"""

import re
import time

import procfs
from conftest import wait_until
from stranger import INTERRUPTED, Message
from test_attacks import call

IDLE = """
import os, pystuck
server = pystuck.run_server({arguments})
print("READY", flush=True)
os.read(0, 1)
"""


def switches(program, thread):
    """How often the thread of that name has gone to sleep; None: there is no such thread."""
    status = procfs.threads(program.pid, "status")
    found = [text for text in status.values() if re.match(rf"Name:\t{thread}\n", text)]
    return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", found[0], re.M)[1]) if found else None


def asks(program):
    before = switches(program, "pystuck-courier") or 0
    return wait_until(lambda: (switches(program, "pystuck-courier") or 0) > before + 100, "the courier asks again and again")


def rests(program):
    """Nobody of ours wakes up for a fifth of a second."""
    def both():
        return [switches(program, name) for name in ("pystuck-courier", "pystuck")]

    before = both()
    for _ in range(10):
        time.sleep(0.02)
        if both() != before:
            return False
    return True


def test_an_evaluation_that_computes_gives_way_until_it_ends(python, start):
    program = start(python, IDLE.format(arguments=""))
    with call(program) as session:
        for _ in range(2):
            request = session.make_eval("while True: pass")
            session.send(request)
            assert asks(program)
            session.send(Message("INTERRUPT", id=request.id))
            assert session.wait("RESULT").status == INTERRUPTED
            wait_until(lambda: rests(program), "nothing is left to be done")


def test_an_evaluation_that_sleeps_costs_nothing_after_a_while(python, start):
    program = start(python, IDLE.format(arguments=""))
    with call(program) as session, call(program) as other:
        session.send(session.make_eval("import time; print('on'); time.sleep(1000)"))
        session.wait("OUTPUT")
        wait_until(lambda: rests(program), "nobody looks after it any more")
        assert switches(program, "pystuck-courier") is not None, "somebody has"
        other.send(other.make_eval("while True: pass"))
        assert asks(program)


def test_hurry_false_asks_for_nothing(python, start):
    program = start(python, IDLE.format(arguments="hurry=False"))
    with call(program) as computes, call(program) as other:
        computes.send(computes.make_eval("print('on')\nwhile True: pass"))
        computes.wait("OUTPUT")
        for _ in range(20):
            assert other.eval("6*7").text == "42"
        assert switches(program, "pystuck-courier") is None, "nothing needs a courier"
