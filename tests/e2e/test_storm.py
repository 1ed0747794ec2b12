"""Forks and exits, over and over, with clients at work: nothing hangs, crashes, warns, changes the status or stays behind.

A few rounds each where all tests run; `make storm` runs $STORM_ROUNDS (10,000 forks and 1,000 exits of each kind and moment, by
default) and writes how long the exits took. What lives here: repetition. What does not: each case by itself (test_processes.py,
test_lifecycle.py).
"""

import contextlib
import os
import select
import signal
import statistics
import threading
import time

import pytest

from conftest import BUILD, PATIENCE, VERSIONS
from test_attacks import begin_detached, begin_dump, begin_eval, begin_handshake, call, connect, ends_well, works

ROUNDS = int(os.environ.get("STORM_ROUNDS", 0))  # 0: the short form

# ---- forks --------------------------------------------------------------------------------------

FORKS = """
import os, sys, pystuck
pystuck.run_server(gil_timeout=60)  # many compete for it
print("READY", flush=True)
for i in range({forks}):
    pid = os.fork()
    if pid == 0:
        if i % 3 == 0: os._exit(0)
        if i % 3 == 1: sys.exit(0)
        os.execv("/bin/true", ["true"])
    status = os.waitpid(pid, 0)[1]
    assert status == 0, (i, status)
    print("FORK", i, flush=True)
print("FORKED", flush=True)
os.read(0, 1)
sys.exit(7)
"""


def test_no_fork_hangs_while_clients_connect_dump_and_evaluate(python, start):
    forks = ROUNDS or 100
    # An evaluation that runs is a thread, and 3.15 raises that; test_processes.py has forks beside clients that are connected.
    program = start(python, FORKS.format(forks=forks), args=("-W", "error", "-W", "ignore:This process:DeprecationWarning"))
    over, problems = threading.Event(), []

    def shaker():
        with connect(program.socket) as sock:
            sock.sendall(b"\0\0\0")

    def dumper():
        with call(program) as session:
            assert session.dump(1).end is not None

    def evaluator():
        with call(program) as session:
            answer = session.eval("print('x' * 1000); sum(range(10000))")
            assert answer.what == "RESULT", answer

    def vanisher():
        with call(program) as session:
            session.send(session.make_eval("while True: pass"))

    def attack(deed):
        while not over.is_set() and not problems:
            try:
                deed()
            except Exception as e:
                problems.append(f"{deed.__name__}: {e!r}")

    attackers = [threading.Thread(target=attack, args=(deed,)) for deed in (shaker, dumper, evaluator, vanisher)]
    for attacker in attackers:
        attacker.start()
    try:
        for i in range(forks):
            program.out.until(f"^FORK {i}$")  # each in its time: how long all of them take is the machine's affair
        program.out.until("FORKED")
    finally:
        over.set()
        for attacker in attackers:
            attacker.join(PATIENCE)
    assert not problems
    assert works(program)
    assert ends_well(program)


# ---- exits --------------------------------------------------------------------------------------

EXITS = """
import os, signal, sys, pystuck
{before}
server = pystuck.run_server()
print("READY", flush=True)
os.read(0, 1)
{ending}
"""
HANDLED = "signal.signal(signal.SIGTERM, lambda *a: sys.exit(5))"
# What the program does, what it did before, the status, whether it gets the chance to take its socket away.
ENDINGS = {
    "normal": ("", "", 0, True),
    "SystemExit": ("sys.exit(3)", "", 3, True),
    "exception": ("sys.stderr = open(os.devnull, 'w'); 1/0", "", 1, True),
    "SIGTERM": ("signal.pause()", "", -signal.SIGTERM, False),
    "SIGTERM-handled": ("import time\nwhile True: time.sleep(0.01)", HANDLED, 5, True),
    "_exit": ("os._exit(4)", "", 4, False),
}
MOMENTS = {
    "idle": lambda program, stack: stack.enter_context(call(program)),
    "handshake": begin_handshake,
    "dump": begin_dump,
    "loop": begin_eval("while True: pass"),
    "sleep": begin_eval("import time; time.sleep(1000)"),
    "read": begin_eval("import os; os.read(os.pipe()[0], 1)"),
    "print": begin_eval("while True: print('x' * 1000)"),
    "repr": begin_eval("class A:\n def __repr__(self):\n  while True: pass\nA()"),
    "lock": begin_eval("l = modules.threading.Lock(); l.acquire(); l.acquire()"),
    "detached": begin_detached,
    "imports": begin_eval("import threading, asyncio, concurrent.futures, logging, multiprocessing, signal, subprocess"),
}


class Exit:
    """Waits for the end of a program, to the moment: Popen.wait looks every 50 ms in the end."""

    def __init__(self, program):
        self.fd = os.pidfd_open(program.pid)

    def wait(self):
        assert select.select([self.fd], [], [], PATIENCE)[0], "it has not ended"

    def close(self):
        os.close(self.fd)


def run_to_the_end(python, start, ending, begin, i):
    """Returns how long the program took from being told to end until it had ended."""
    what, before, status, tidy = ENDINGS[ending]
    program = start(python, EXITS.format(before=before, ending=what))
    with contextlib.ExitStack() as stack:
        begin(program, stack)
        if i % 2:
            assert works(program)
        with contextlib.closing(Exit(program)) as ended:
            began = time.monotonic()
            program.say("")
            if "SIGTERM" in ending:
                program.process.terminate()
            ended.wait()
            took = time.monotonic() - began
        assert program.wait() == status, program.stderr()
    assert program.stderr() == ""
    if tidy:
        assert not os.path.exists(program.socket)
    for stream in (program.process.stdin, program.process.stdout, program.process.stderr):
        stream.close()
    return took


@pytest.mark.parametrize("moment", MOMENTS)
def test_exit_in_the_middle_is_as_if_nobody_had_come(python, start, moment):
    """Each kind of exit at each moment; in the short form every second kind, in turn."""
    first = 0 if ROUNDS else list(MOMENTS).index(moment) % 2
    took = {ending: [run_to_the_end(python, start, ending, MOMENTS[moment], i + n) for n in range(ROUNDS // 10 or 1)]
            for i, ending in list(enumerate(ENDINGS))[first::1 if ROUNDS else 2]}
    if ROUNDS:
        alone = {ending: [run_to_the_end(python, start, ending, lambda *a: None, 0) for _ in range(20)] for ending in ENDINGS}
        with open(BUILD / "results" / "storm.txt", "a") as report:
            for ending, times in took.items():
                base = statistics.median(alone[ending])
                more, most = (1000 * (time - base) for time in (statistics.median(times), max(times)))
                print(f"{VERSIONS[python]:8} {moment:10} {ending:16} {len(times):5} exits, {more:6.1f} ms more than alone in the middle, "
                      f"{most:6.1f} ms at most", file=report)
                assert more < 100, (moment, ending, more)
