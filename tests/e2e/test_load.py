"""Floods of strangers, crowds of clients, sessions that come and go: the short forms of `make flood`, `make crowd`, `make soak`.

What lives here: that nobody who belongs is kept out, nothing is lost, and all is as before afterwards. What does not: how long things
take (a busy machine is no defect), and the attack itself (tests/load).
"""

import random
import sys
import time

import pytest

from conftest import PATIENCE, ROOT, SANITIZED, wait_until

sys.path.insert(0, str(ROOT / "tests" / "load"))

import load  # noqa: E402

MORE_KIB = 8192 if SANITIZED else 1024


@pytest.fixture
def target(tmp_path):
    """target(python, tcp) -> a program that strangers reach."""
    made = []

    def make(python, tcp=False):
        directory = tmp_path / f"target{len(made)}"
        directory.mkdir(mode=0o700)
        made.append(load.Target(python, directory, tcp))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_in_a_flood_who_belongs_gets_the_stacks_and_nothing_grows(target, one_python, tcp):
    """Each kind of stranger until the client has been served three times; it may have to try again on a busy machine."""
    program = target(one_python, tcp)
    rest = program.at_rest()
    for kind in load.KINDS:  # everything has been used once
        with load.Flood(program, kind, rate=1000) as flood:
            wait_until(lambda: program.dump()[0], "the client gets the stacks")
    before = program.memory()[0]
    for kind in load.KINDS:
        with load.Flood(program, kind, rate=3000) as flood:
            began = time.monotonic()
            for _ in range(3):
                wait_until(lambda: program.dump()[0], f"the client gets the stacks in a flood: {kind}")
            time.sleep(max(0, began + 0.5 - time.monotonic()))  # the attack itself
        assert flood.made > 100, flood.__dict__
        load.rested(program, rest)
        assert program.memory()[0] < before + MORE_KIB, kind
    program.ends_well()


def test_of_a_crowd_of_clients_each_gets_every_answer_once_and_in_order(target, python):
    program = target(python)
    rest = program.at_rest()
    dumps, evals, _ = load.crowd(program, clients=16, rate=0, count=30)
    assert dumps == 16 * 30 and evals >= 16, (dumps, evals)
    load.rested(program, rest)
    program.ends_well()


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_sessions_of_all_kinds_that_come_and_go_leave_nothing_behind(target, one_python, tcp):
    program = target(one_python, tcp)
    rest = program.at_rest()
    chance = random.Random(1)
    for deed in load.DEEDS * 3:
        deed(program, chance)
    load.rested(program, rest)
    before = program.memory()[0]
    load.sessions(program, chance, 30)
    load.rested(program, rest)
    assert program.memory()[0] < before + MORE_KIB
    program.ends_well()
