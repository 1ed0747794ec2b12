"""Greenlets: all of them, where they stand, and what each waits for, with gevent and with greenlet alone.

Environment: as test_frameworks.py.
"""

import json
import os

import pytest

from test_frameworks import PATIENCE, PYTHON, Place, Program, ask, needs

PROGRAM = """
from gevent import monkey; monkey.patch_all()
import gevent, gevent.event, gevent.lock, gevent.queue, socket, sys, threading, time
import pystuck
server = pystuck.run_server()
event, semaphore, queue, result = gevent.event.Event(), gevent.lock.Semaphore(0), gevent.queue.Queue(), gevent.event.AsyncResult()
def waiter(): event.wait()
def consumer(): queue.get()
def sleeper(): time.sleep(1000)
def taker(): semaphore.acquire()
def getter(): result.get()
left, right = socket.socketpair()
listener = socket.create_server(("127.0.0.1", 0))
def reader(): left.recv(1)
def accepter(): listener.accept()
lock = threading.RLock()
def holder():
    with lock: event.wait()
def wanter():
    with lock: pass
first = gevent.spawn(waiter)
def joiner(): first.join()
def everything(): gevent.joinall([first, kept[0], kept[1]])
kept = [gevent.spawn(waiter) for _ in range(4)] + [gevent.spawn(f) for f in (consumer, consumer, sleeper, taker, getter, reader, accepter, holder)]
gevent.sleep(0.01)
kept += [gevent.spawn(f) for f in (wanter, joiner, everything)]
kept[0].name = "with a name"
gevent.sleep(0.01)
later = gevent.spawn_later(500, waiter)
bound = gevent.spawn(semaphore.acquire)
gevent.sleep(0.01)
def watch():
    while True:
        time.sleep(0.01)
        if __import__("os").path.exists("block"): block()
def block():
    print("BLOCKED", flush=True)
    x = 0
    while not __import__("os").path.exists("stop"): x += 1
    server.close()
    __import__("os")._exit(0)
gevent.spawn(watch)
print("READY", LISTENS := listener.getsockname()[1], flush=True)
gevent.joinall([first])
"""

# How many of a name wait for what.
EXPECTED = {
    ("waiter", "suspended"): (4, {"kind": "object", "type": "Event"}),
    ("with a name", "suspended"): (1, {"kind": "object", "type": "Event"}),
    ("waiter", "new"): (1, {"kind": "time"}),
    ("consumer", "suspended"): (2, {"kind": "object", "type": "Queue"}),
    ("sleeper", "suspended"): (1, {"kind": "time"}),
    ("taker", "suspended"): (1, {"kind": "object", "type": "Semaphore"}),
    ("getter", "suspended"): (1, {"kind": "object", "type": "AsyncResult"}),
    ("reader", "suspended"): (1, {"kind": "io", "type": "Unix", "read": True, "write": False}),
    ("accepter", "suspended"): (1, {"kind": "io", "type": "TCP", "read": True, "write": False}),
    ("holder", "suspended"): (1, {"kind": "object", "type": "Event"}),
    ("wanter", "suspended"): (1, {"kind": "object", "type": "RLock"}),
    ("joiner", "suspended"): (1, {"kind": "object", "type": "Greenlet"}),
    ("everything", "suspended"): (1, {"kind": "object", "type": "Greenlet", "count": 3}),
    ("Semaphore.acquire", "suspended"): (1, {"kind": "object", "type": "Semaphore"}),
}


@pytest.fixture
def plain_place(tmp_path):
    return Place(tmp_path, False)


def start(place, text, *arguments):
    (place.path / "app.py").write_text(text)
    return Program(place, [PYTHON, "app.py", *arguments])


def look(place, pid, *arguments):
    answer = ask(place.sockets / f"{pid}.sock", "--json", *arguments)
    assert answer.returncode == 0, answer
    return json.loads(answer.stdout)


@needs("gevent")
def test_each_greenlet_of_gevent_says_what_it_waits_for(plain_place):
    with start(plain_place, PROGRAM) as program:
        program.says("READY")
        answer = look(plain_place, program.pid)
        found = {}
        for one in answer["greenlets"]:
            found.setdefault((one["name"].rpartition("<locals>.")[2], one["state"]), []).append(one)
        for key, (count, wait) in EXPECTED.items():
            assert len(found[key]) == count, (key, found)
            for one in found[key]:
                assert wait.items() <= one["waits_for"].items(), one
                assert one["thread"] == answer["threads"][0]["ident"] and one["class"] == "Greenlet"
        reader, = found["reader", "suspended"]
        assert [frame["function"].rpartition(".")[2] for frame in reader["frames"]][:2] == ["reader", "recv"], reader
        assert found["accepter", "suspended"][0]["waits_for"]["local"] == f"127.0.0.1:{program.log.read_text().split()[1]}"
        assert 900 < found["sleeper", "suspended"][0]["waits_for"]["seconds_left"] <= 1000
        assert found["wanter", "suspended"][0]["waits_for"]["holder"] == found["holder", "suspended"][0]["address"]
        hub, = (one for one in answer["greenlets"] if one["hub"])
        main, = (one for one in answer["greenlets"] if one["main"])
        assert hub["parent"] == main["address"] and main["state"] == "suspended" and main["frames"][-1]["function"] == "<module>"
        text = ask(plain_place.sockets / f"{program.pid}.sock", "--no-repl").stdout
        assert "waiting for RLock at" in text and "held by Greenlet(holder)" in text, text
        assert "<4 times Greenlet(waiter)>  waiting for Event" in text
        (plain_place.path / "block").touch()
        program.says("BLOCKED")
        text = ask(plain_place.sockets / f"{program.pid}.sock", "--no-repl").stdout
        assert "; in Greenlet(watch): gevent's hub and " in text.splitlines()[2], text
        (plain_place.path / "stop").touch()
        assert program.process.wait(PATIENCE) == 0
        program.assert_quiet()


CHURN = """
import gc, os, threading, time
import {module}
import greenlet, pystuck
# Two threads and collections all the time: who wants the GIL may have to wait. The threads make no call that lets go of the GIL: where
# two do so more often than every switch interval, CPython lets nobody else have it, for 10 s and more.
server = pystuck.run_server(gil_timeout=20)
gc.set_threshold(1)
going = True
def native():
    def run(): greenlet.getcurrent().parent.switch()
    while going:
        some = [greenlet.greenlet(run) for _ in range(50)]
        for one in some + some: one.switch()
def stays(): greenlet.getcurrent().parent.switch()
kept = [greenlet.greenlet(stays) for _ in range(7)]
for one in kept: one.switch()
begun = greenlet.greenlet(stays)
threads = [threading.Thread(target=native) for _ in range(2)]
for thread in threads: thread.start()
print("READY", flush=True)
{more}
while not os.path.exists("stop"): time.sleep(.01)
going = False
for thread in threads: thread.join()
for one in kept: one.switch()
"""
GEVENT = """
def step(n):
    gevent.sleep(0)
    if n: gevent.spawn(step, n - 1).join()
while not os.path.exists("stop"): gevent.joinall([gevent.spawn(step, 3) for _ in range(10)])
"""


@pytest.mark.parametrize("module, more", [("sys", ""), pytest.param("gevent", GEVENT, marks=needs("gevent"))], ids=["greenlet", "gevent"])
@needs("greenlet")
def test_greenlets_that_come_and_go_while_they_are_looked_at_come_to_no_harm(plain_place, module, more):
    with start(plain_place, CHURN.format(module=module, more=more)) as program:
        program.says("READY")
        for _ in range(int(os.environ.get("PYSTUCK_CHURN", "20"))):
            answer = look(plain_place, program.pid, "--generators")
            kept = [one for one in answer["greenlets"] if one["name"] == "stays"]
            assert sorted(one["state"] for one in kept) == ["new"] + ["suspended"] * 7, kept
            assert all([frame["function"] for frame in one["frames"]] == ["stays"] for one in kept if one["state"] == "suspended")
            assert {one["name"].rpartition(".")[2] for one in answer["greenlets"]} <= {"stays", "run", "step", "<module>", "_bootstrap", ""}
        (plain_place.path / "stop").touch()
        assert program.process.wait(PATIENCE) == 0, program.log.read_text()
        program.assert_quiet()
