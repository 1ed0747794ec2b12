"""What many sessions leave in a program: nothing. With errors, interrupts, frames, tasks and drops in the middle.

PYSTUCK_SESSIONS says how many (`make leavings`: 1,000); a few dozen otherwise.
"""

import concurrent.futures
import os
import random

import procfs
from conftest import PATIENCE, wait_until
from stranger import Message, Session, connect_unix

SESSIONS = int(os.environ.get("PYSTUCK_SESSIONS", "40"))
AT_ONCE = 6
PROMPT = 2  # EVAL's flag: for a person
COUNT = "m = modules['__main__']; m.count()"

PROGRAM = """
import asyncio, builtins, gc, os, sys, threading, weakref, pystuck
things = []
complaints = []  # of asyncio: a task that nobody looked after
class Thing:
    pass
def make():
    thing = Thing()
    things.append(weakref.ref(thing))
    return thing
def fail(depth=3):
    thing = make()
    return fail(depth - 1) if depth else 1 / 0
async def forever():
    thing = make()
    await asyncio.Event().wait()
def spin():
    thing = make()
    while True:
        pass
gate = threading.Lock()
gate.acquire()
def waiter():
    local = "here"
    gate.acquire()
threading.Thread(target=waiter, name="waiter", daemon=True).start()
streams = sys.stdout, sys.stderr
def count():
    gc.collect()
    things[:] = [r for r in things if r() is not None]
    return (len(things), len(gc.get_objects()), sorted(n for n in dir(sys) if n.startswith("last_")), hasattr(builtins, "_"),
            threading.active_count(), len(asyncio.all_tasks(loop)), complaints, sys.__stdout__ is streams[0],
            all(f.f_trace is None for f in sys._current_frames().values()))
async def main():
    global loop
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
    pystuck.run_server(max_clients=64)
    print("READY", flush=True)
    while True:
        await asyncio.sleep(0.005)
asyncio.run(main())
"""

# What a session runs: its source, and what becomes of it: "end" is waited for, "stop" is interrupted, "drop" is hung up on.
WAYS = [
    ("m.make(), [m.make() for _ in range(3)]", "end"),
    ("x = m.make(); x", "end"),
    ("m.fail()", "end"),
    ("%debug", "end"),
    ("thing", "end"),
    ("%frame waiter", "end"),
    ("local, m.make()", "end"),
    ("%main m.fail()", "end"),
    ("%atomic keep = m.make()", "end"),
    ("%atomic m.fail()", "end"),
    ("await modules['asyncio'].sleep(0, m.make())", "end"),
    ("def f(): return g\ng = m.make()", "end"),
    ("class Cycle: pass\nc = Cycle(); c.me = c; c.thing = m.make()", "end"),
    ("print('x' * 100000)", "end"),
    ("raise SystemExit(3)", "end"),
    ("import threading; threading.current_thread().name", "end"),
    ("m.spin()", "stop"),
    ("await m.forever()", "stop"),
    ("%main m.spin()", "stop"),
    ("m.spin()", "drop"),
    ("await m.forever()", "drop"),
    ("%main m.spin()", "drop"),
    ("print('y' * 10000000)", "drop"),
    ("m.fail()", "drop"),
]


def one_session(path, seed):
    chance = random.Random(seed)
    with Session(connect_unix(path, PATIENCE)) as session:
        session.hello()
        session.eval("m = modules['__main__']", PROMPT)
        for _ in range(chance.randrange(1, 8)):
            source, how = chance.choice(WAYS)
            request = session.make_eval(source, PROMPT, session.last_id)
            session.send(request)
            if how == "drop":
                return
            if how == "stop":
                session.send(Message("INTERRUPT", id=request.id))
            try:
                session.finish(request.id)
            except TimeoutError as error:
                raise AssertionError(f"session {seed}: {source!r} ({how}) was not answered") from error


def ended(program):
    return "pystuck-eval" not in procfs.thread_names(program.pid)


def settle(program):
    """What is there once all sessions have ended: (what the program counts, its fds, how many threads)."""
    wait_until(lambda: ended(program), "the sessions have ended", lambda: procfs.thread_names(program.pid))
    with Session(connect_unix(program.socket, PATIENCE)) as session:
        session.hello()
        counted = session.eval(COUNT).text
        # By itself: an evaluation that takes its time may see a shorter one, when others are given their turn.
        interval = session.eval("modules.sys.getswitchinterval()").text
    wait_until(lambda: ended(program), "that session has ended")
    wait_until(lambda: not any("socket" in link for fd, link in procfs.fds(program.pid).items() if fd not in before_fds(program)),
               "its socket is closed")
    return (*eval(counted), eval(interval)), sorted(procfs.fds(program.pid)), procfs.thread_names(program.pid)


FDS = {}


def before_fds(program):
    return FDS.setdefault(program.pid, set(procfs.fds(program.pid)))


def many(program, first, n):
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda seed: one_session(program.socket, seed), range(first, first + n)))


def test_many_sessions_leave_nothing_behind(python, start):
    program = start(python, PROGRAM)
    before_fds(program)
    many(program, 0, 2 * len(WAYS))  # what is imported and remembered once
    before = settle(program)
    many(program, 1000, SESSIONS)
    after = settle(program)
    counted, fds, threads = before
    assert counted[0] == after[0][0] == 0
    # The collector's own count is of all containers: caches of the interpreter's are among them.
    assert after[0][1] <= counted[1] + 200 + SESSIONS // 10, (counted, after[0])
    assert after[0][2:] == counted[2:]
    assert after[1:] == (fds, threads)
