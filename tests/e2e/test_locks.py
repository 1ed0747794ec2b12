"""Which lock a thread waits for, who holds it, and who waits for whom in a circle: programs with known answers."""

import json
import os
import re

import pytest

from conftest import wait_until

HEAD = """
import concurrent.futures as cf, multiprocessing, queue, sys, threading, time
import pystuck
pystuck.run_server()
def start(name, what, *args):
    t = threading.Thread(target=what, args=args, name=name, daemon=True)
    t.start()
    return t
class Thing: pass
"""
TAIL = """
print("READY", flush=True)
sys.stdin.read()
"""

# --- one thread each -------------------------------------------------------------------------------------------------

ONE_EACH = """
lock, rlock = threading.Lock(), threading.RLock()
thing = Thing(); thing._lock = threading.Lock(); thing._lock.acquire()
table = {"key": threading.Lock()}; table["key"].acquire()
cond, event, semaphore, barrier = threading.Condition(), threading.Event(), threading.Semaphore(0), threading.Barrier(3)
empty, full, simple = queue.Queue(), queue.Queue(1), queue.SimpleQueue()
full.put(1)
process_lock = multiprocessing.Lock(); process_lock.acquire()
pool = cf.ThreadPoolExecutor(3)
future = pool.submit(time.sleep, 3600)
pool.submit(int).result()
inside = threading.Barrier(2)
def hold():
    with lock:
        with rlock:
            inside.wait()
            time.sleep(3600)
holder = start("holder", hold)
inside.wait()
def with_lock():
    with lock: pass
def with_two():
    with open("/dev/null") as f, lock: pass
def with_rlock():
    with rlock: pass
def with_condition():
    with cond: cond.wait()
def with_semaphore():
    with semaphore: pass
def with_process_lock():
    with process_lock: pass
def waiting_for():
    with cond:
        cond.wait_for(lambda: False)
def through_map(x):
    return lock.acquire(timeout=3600)
for name, what in {
    "with": with_lock,
    "with two": with_two,
    "with rlock": with_rlock,
    "rlock": lambda: rlock.acquire(),
    "attribute": lambda: thing._lock.acquire(),
    "item": lambda: table["key"].acquire(timeout=3600),
    "condition": with_condition,
    "condition for": waiting_for,
    "event": lambda: event.wait(),
    "semaphore": lambda: semaphore.acquire(),
    "with semaphore": with_semaphore,
    "barrier": lambda: barrier.wait(),
    "get": lambda: empty.get(),
    "put": lambda: full.put(2),
    "queue join": lambda: full.join(),
    "simple": lambda: simple.get(),
    "join": lambda: holder.join(),
    "future": lambda: future.result(),
    "future for": lambda: future.result(timeout=3600),
    "with process": with_process_lock,
    "process": lambda: process_lock.acquire(),
    "map": lambda: list(map(through_map, [1])),
}.items():
    start(name, what)
"""

LOCK = {"kind": "lock", "type": "Lock", "name": "lock", "proved": True, "confidence": "inferred"}
EXPECTED = {
    "with": (LOCK, "holder"),
    "with two": ({k: v for k, v in LOCK.items() if k != "name"}, "holder"),
    "with rlock": ({"kind": "lock", "type": "RLock", "name": "rlock", "proved": True, "confidence": "known"}, "holder"),
    "rlock": ({"kind": "lock", "type": "RLock", "name": "rlock", "proved": True, "confidence": "known"}, "holder"),
    "attribute": ({"kind": "lock", "type": "Lock", "name": "thing._lock", "proved": True, "confidence": "inferred"}, "MainThread"),
    "item": ({"kind": "lock", "type": "Lock", "name": 'table["key"]', "proved": True, "timed": True}, None),
    "condition": ({"kind": "lock", "type": "Condition", "name": "cond", "proved": True}, None),
    "condition for": ({"kind": "lock", "type": "Condition", "name": "cond", "proved": True}, None),
    "event": ({"kind": "lock", "type": "Event", "name": "event", "proved": True}, None),
    "semaphore": ({"kind": "lock", "type": "Semaphore", "name": "semaphore", "proved": True}, None),
    "with semaphore": ({"kind": "lock", "type": "Semaphore", "name": "semaphore", "proved": True}, None),
    "barrier": ({"kind": "lock", "type": "Barrier", "name": "barrier", "proved": True}, None),
    "get": ({"kind": "queue", "type": "Queue", "name": "empty", "proved": True}, None),
    "put": ({"kind": "queue", "type": "Queue", "name": "full", "proved": True}, None),
    "queue join": ({"kind": "queue", "type": "Queue", "name": "full", "proved": True}, None),
    "simple": ({"kind": "queue", "type": "SimpleQueue", "name": "simple", "proved": True}, None),
    "join": ({"kind": "join", "type": "Thread", "name": "holder", "proved": True, "confidence": "known"}, "holder"),
    "future": ({"kind": "future", "type": "Future", "name": "future", "proved": True, "confidence": "known"}, "ThreadPoolExecutor-0_0"),
    "future for": ({"kind": "future", "type": "Future", "name": "future", "timed": True}, "ThreadPoolExecutor-0_0"),
    "with process": ({"kind": "lock", "type": "Lock", "name": "process_lock", "proved": True}, "MainThread"),
    "process": ({"kind": "lock", "name": "process_lock", "proved": True}, "MainThread"),
    "map": ({"kind": "lock", "type": "Lock", "name": "lock", "timed": True, "confidence": "inferred"}, "holder"),
}


def by_name(answer):
    return {t["name"]: t for t in answer["threads"]}


def waits_of(answer):
    return {t["name"]: t["waits_for"] and without_times(t["waits_for"]) for t in answer["threads"]}


def without_times(said):
    return json.dumps({k: v if k != "wants" else without_times(v) for k, v in said.items() if k != "seconds"}, sort_keys=True)


def not_as_expected(answer):
    threads, wrong = by_name(answer), {}
    for name, (want, holder) in EXPECTED.items():
        got = threads.get(name, {}).get("waits_for") or {}
        if not want.items() <= got.items() or (got.get("holder") or {}).get("name") != holder:
            wrong[name] = got
    return wrong


def test_each_kind_of_lock_is_named_and_its_holder_too(python, start, dump):
    program = start(python, HEAD + ONE_EACH + TAIL)
    wait_until(lambda: not not_as_expected(dump(program)), "each thread waits for what it should",
               lambda: str(not_as_expected(dump(program))))
    wait_until(lambda: waits_of(dump(program, "--raw")) == waits_of(dump(program)), "the same is said without the GIL",
               lambda: f'{waits_of(dump(program, "--raw"))}\n{waits_of(dump(program))}')
    answer = dump(program)
    assert answer["deadlocks"] == [] and answer["led_into"] == []
    threads = by_name(answer)
    source = program.path.read_text().split("\n")
    for name, line in (("with", "with lock:"), ("with rlock", "with rlock:")):
        frame = threads[name]["waits_for"]["holder"]["frame"]
        assert frame["file"] == str(program.path) and source[frame["line"] - 1].strip() == line
    assert threads["with"]["waits_for"]["address"] == threads["map"]["waits_for"]["address"]
    assert threads["ThreadPoolExecutor-0_1"]["state"] == "idle"
    assert threads["ThreadPoolExecutor-0_1"]["waits_for"]["type"] == "SimpleQueue"
    assert re.search(r"^\d+ threads: ", answer["summary"]) and "waiting for lock 'lock' (held by holder)" in answer["summary"]


# --- holders -----------------------------------------------------------------------------------------------------------

# Each function holds `lock` in its own way, and then waits in hold(). name: (program, whether who holds it can be told)
HOLDERS = {
    "contextmanager": ("""
@contextlib.contextmanager
def locked():
    with lock: yield
def work():
    with locked(): hold()
""", "with locked(): hold()"),
    "contextmanager in contextmanager": ("""
@contextlib.contextmanager
def inner():
    with lock:
        try: yield
        finally: pass
@contextlib.contextmanager
def outer():
    with inner(): yield
def work():
    with outer():
        hold()
""", "with outer():"),
    "ExitStack": ("""
def work():
    with contextlib.ExitStack() as stack:
        for other in [threading.Lock() for _ in range(10)]: stack.enter_context(other)
        stack.callback(print)
        stack.enter_context(lock)
        hold()
""", "with contextlib.ExitStack() as stack:"),
    "ExitStack with a contextmanager": ("""
@contextlib.contextmanager
def locked():
    with lock: yield
def work():
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked()); hold()
""", "with contextlib.ExitStack() as stack:"),
    "condition with the lock": ("""
cond = threading.Condition(lock)
def work():
    with cond: hold()
""", "with cond: hold()"),
    "suspended generator": ("""
def rows():
    with lock:
        yield 1
        yield 2
def work():
    all_rows = rows()
    next(all_rows)
    hold()
""", "hold()"),
    "suspended generator in a closure": ("""
def rows():
    with lock: yield 1
def work():
    all_rows = rows()
    def inner():
        next(all_rows)
        hold()
    inner()
""", "inner()"),
    "suspended coroutine": ("""
class Later:
    def __await__(self): yield
async def request():
    with lock: await Later()
def work():
    task = request()
    task.send(None)
    hold()
""", "hold()"),
    "running generator": ("""
def rows():
    with lock:
        hold()
        yield 1
def work(): list(rows())
""", "with lock:"),
    "an ExitStack that was closed": ("""
def work():
    with contextlib.ExitStack() as stack:
        stack.enter_context(lock); stack.close()
        lock.acquire()
        hold()
""", "lock.acquire()"),
    "a generator that has ended": ("""
def rows():
    with lock: yield 1
def work():
    all_rows = rows()
    list(all_rows)
    lock.acquire()
    hold()
""", "lock.acquire()"),
    "a generator before its with": ("""
def rows():
    yield 0
    with lock: yield 1
def work():
    all_rows = rows()
    next(all_rows)
    lock.acquire()
    hold()
""", "lock.acquire()"),
    # What cannot be told, and is not guessed.
    "a generator that two threads have": ("""
def rows():
    with lock: yield 1
def other(all_rows): time.sleep(3600)
def work():
    all_rows = rows()
    next(all_rows)
    start("other", other, all_rows)
    hold()
""", None),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_who_holds_a_lock_in_another_way_than_with_is_inferred_or_not_known(python, start, dump, name):
    script, where = HOLDERS[name]
    program = start(python, HEAD + """
import contextlib
lock, inside = threading.Lock(), threading.Event()
def hold():
    inside.set()
    time.sleep(3600)
""" + script + """
start("holder", work)
inside.wait()
start("waiter", lambda: lock.acquire())
""" + TAIL)
    wait_until(lambda: (by_name(dump(program))["waiter"]["waits_for"] or {}).get("proved"), "the waiter waits")
    waits = by_name(dump(program))["waiter"]["waits_for"]
    assert waits["type"] == "Lock" and waits["name"] == "lock"
    wait_until(lambda: waits_of(dump(program, "--raw")) == waits_of(dump(program)), "the same is said without the GIL",
               lambda: str(waits_of(dump(program, "--raw"))))
    if where is None:
        assert waits["holder"] is None and waits["confidence"] == "unknown", waits
        return
    assert waits["holder"]["name"] == "holder" and waits["confidence"] == "inferred", waits
    line = program.path.read_text().split("\n")[waits["holder"]["frame"]["line"] - 1].strip()
    assert line == where


# Plain calls of acquire(), each with a lock of its own: all in one program. name: (what holds it, the line where it did)
ACQUIRES = {
    "acquire()": ("""
def work():
    lock.acquire()
    hold()
    lock.release()
""", "lock.acquire()"),
    "acquire() of an attribute": ("""
class Account:
    def __init__(self): self._lock = lock
    def pay(self):
        self._lock.acquire()
        try: hold()
        finally: self._lock.release()
def work(): Account().pay()
""", "self._lock.acquire()"),
    "acquire() of a variable of the function outside": ("""
def make(mine):
    def work():
        for _ in range(3):
            mine.acquire(); mine.release()
        mine.acquire()
        hold()
    return work
work = make(lock)
""", "mine.acquire()"),
    "acquire() in a class body": ("""
def work():
    class Body:
        own = lock
        own.acquire()
        hold()
""", "own.acquire()"),
    # What cannot be told, and is not guessed.
    "acquire() with a time-out": ("""
def work():
    lock.acquire(timeout=3600)
    hold()
""", None),
    "acquire() on one of two ways": ("""
def work(now=True):
    if now:
        lock.acquire()
    hold()
""", None),
    "acquire() in a function that has returned": ("""
def take(): lock.acquire()
def work():
    take()
    hold()
""", None),
    "acquire() that was given back": ("""
def work():
    lock.acquire()
    lock.release()
    other()
    hold()
def other(): lock.acquire()
""", None),
    "acquire() that may have been given back": ("""
def work(now=False):
    lock.acquire()
    if now: lock.release()
    hold()
""", None),
    "acquire() of another lock": ("""
mine = threading.Lock()
def work():
    mine.acquire()
    other()
    hold()
def other(): lock.acquire()
""", None),
    "acquire() of what was under that name": ("""
def work():
    mine = lock
    mine.acquire()
    mine = None
    hold()
""", None),
    "acquire() under a name that means this lock only since": ("""
def take(): lock.acquire()
def work():
    mine = threading.Lock()
    mine.acquire()
    mine = lock
    take()
    hold()
""", None),
    "acquire() as a signal": ("""
def work():
    inside.set()
    lock.acquire()
    lock.acquire()
""", None),
}


def test_who_has_called_acquire_is_inferred_where_the_code_tells(python, start, dump):
    program = start(python, HEAD + f"CASES = { {name: script for name, (script, where) in ACQUIRES.items()} !r}" + """
for name, script in CASES.items():
    names = {"lock": threading.Lock(), "inside": threading.Event(), "threading": threading, "time": time}
    exec("def hold():\\n inside.set()\\n time.sleep(3600)\\ndef wait(): lock.acquire()", names)
    exec(compile(script, name, "exec"), names)
    start("holder of " + name, names["work"])
    names["inside"].wait()
    while not names["lock"].locked(): time.sleep(0.001)
    start(name, names["wait"])
""" + TAIL)

    def waits():
        threads = by_name(dump(program))
        return {name: threads[name]["waits_for"] or {} for name in ACQUIRES}

    wait_until(lambda: all(w.get("proved") for w in waits().values()), "all of them wait", lambda: str(waits()))
    for name, w in waits().items():
        script, where = ACQUIRES[name]
        if where is None:
            assert w["holder"] is None and w["confidence"] == "unknown", (name, w)
            continue
        assert w["holder"]["name"] == "holder of " + name and w["confidence"] == "inferred", (name, w)
        assert script.split("\n")[w["holder"]["frame"]["line"] - 1].split(";")[0].strip() == where, (name, w)
    assert dump(program)["deadlocks"] == []
    wait_until(lambda: waits_of(dump(program, "--raw")) == waits_of(dump(program)), "the same is said without the GIL")


# --- circles ---------------------------------------------------------------------------------------------------------

def ring(n, kinds):
    """n threads, each of which holds one lock and wants the next one's."""
    made = ", ".join(f"threading.{kinds[i % len(kinds)]}()" for i in range(n))
    return f"""
locks = [{made}]
ready = threading.Barrier({n})
def work(i):
    with locks[i]:
        ready.wait()
        with locks[(i + 1) % {n}]: pass
for i in range({n}): start("t%d" % i, work, i)
"""


def names(n):
    return {f"t{i}" for i in range(n)}


# name: (program, circles as sets of names, led into, confidence of the first circle)
DEADLOCKS = {
    "two locks": (ring(2, ["Lock"]), [names(2)], set(), "inferred"),
    "three locks": (ring(3, ["Lock"]), [names(3)], set(), "inferred"),
    "five locks": (ring(5, ["Lock"]), [names(5)], set(), "inferred"),
    "two rlocks": (ring(2, ["RLock"]), [names(2)], set(), "known"),
    "three rlocks": (ring(3, ["RLock"]), [names(3)], set(), "known"),
    "five rlocks": (ring(5, ["RLock"]), [names(5)], set(), "known"),
    "two mixed": (ring(2, ["Lock", "RLock"]), [names(2)], set(), "inferred"),
    "three mixed": (ring(3, ["Lock", "RLock"]), [names(3)], set(), "inferred"),
    "five mixed": (ring(5, ["RLock", "RLock", "Lock"]), [names(5)], set(), "inferred"),
    "two conditions": (ring(2, ["Condition"]), [names(2)], set(), "known"),
    "three of all kinds": (ring(3, ["Lock", "Condition", "RLock"]), [names(3)], set(), "inferred"),
    "rlocks by acquire": ("""
a, b, ready = threading.RLock(), threading.RLock(), threading.Barrier(2)
def work(x, y):
    x.acquire(); ready.wait(); y.acquire()
start("t0", work, a, b); start("t1", work, b, a)
""", [names(2)], set(), "known"),
    "locks by acquire": ("""
a, b, ready = threading.Lock(), threading.Lock(), threading.Barrier(2)
def work(x, y):
    x.acquire()
    try:
        ready.wait(); y.acquire()
    finally: x.release()
start("t0", work, a, b); start("t1", work, b, a)
""", [names(2)], set(), "possible"),
    "itself, a lock": ("""
lock = threading.Lock()
def work():
    with lock:
        with lock: pass
start("t0", work)
""", [names(1)], set(), "inferred"),
    "itself, in a function below": ("""
thing = Thing(); thing.lock = threading.Lock()
def inner(): thing.lock.acquire()
def work():
    with thing.lock: inner()
start("t0", work)
""", [names(1)], set(), "inferred"),
    "itself, a condition with a lock": ("""
cond = threading.Condition(threading.Lock())
def work():
    with cond:
        with cond: pass
start("t0", work)
""", [names(1)], set(), "inferred"),
    "led into": (ring(2, ["RLock"]) + """
def more(): locks[0].acquire()
def wait_for(t): t.join()
ready2 = time.sleep(0.1)
m = start("more", more)
start("joiner", wait_for, m)
""", [names(2)], {"more", "joiner"}, "known"),
    "two circles": (ring(2, ["RLock"]) + ring(3, ["Lock"]).replace('"t%d"', '"u%d"').replace("locks", "others").replace(
        "ready", "there").replace("work", "job"), [names(2), {"u0", "u1", "u2"}], set(), "known"),
    "two threads join each other": ("""
ready = threading.Barrier(3)
threads = []
def work(i):
    ready.wait(); threads[1 - i].join()
threads += [start("t0", work, 0), start("t1", work, 1)]
ready.wait()
""", [names(2)], set(), "known"),
    "join with a lock held": ("""
lock, ready = threading.RLock(), threading.Barrier(2)
def child():
    ready.wait()
    with lock: pass
def parent(t):
    with lock:
        ready.wait(); t.join()
start("t1", parent, start("t0", child))
""", [names(2)], set(), "known"),
    "join with a plain lock held": ("""
lock, ready = threading.Lock(), threading.Barrier(2)
def child():
    ready.wait()
    with lock: pass
def parent(t):
    with lock:
        ready.wait(); t.join()
start("t1", parent, start("t0", child))
""", [names(2)], set(), "inferred"),
    "a future that wants its waiter's lock": ("""
pool = cf.ThreadPoolExecutor(1, thread_name_prefix="t0")
lock = threading.RLock()
def job():
    with lock: pass
def work():
    with lock: pool.submit(job).result()
start("t1", work)
""", [{"t0_0", "t1"}], set(), "known"),
    "two futures of two pools": ("""
pools = [cf.ThreadPoolExecutor(1, thread_name_prefix="t%d" % i) for i in range(2)]
futures, ready = [], threading.Event()
def job(i):
    ready.wait(); futures[1 - i].result()
futures += [pools[i].submit(job, i) for i in range(2)]
ready.set()
""", [{"t0_0", "t1_0"}], set(), "known"),
    "an import": ("""
import os
here = os.path.dirname(os.path.abspath(__file__))
lock, inside, go = threading.RLock(), threading.Event(), threading.Event()
with open(here + "/slow.py", "w") as f:
    f.write("import __main__\\n__main__.inside.set()\\n__main__.go.wait()\\n__main__.lock.acquire()\\n")
def first(): import slow
def second():
    with lock:
        inside.wait(); go.set()
        import slow
start("t0", first); start("t1", second)
""", [names(2)], set(), "known"),
    "a method and its callback": ("""
class Account:
    def __init__(self): self._lock = threading.Lock()
    def move(self, other, ready):
        with self._lock:
            ready.wait(); other.take()
    def take(self):
        with self._lock: return 1
a, b, ready = Account(), Account(), threading.Barrier(2)
start("t0", a.move, b, ready); start("t1", b.move, a, ready)
""", [names(2)], set(), "inferred"),
    "withs with several items": ("""
a, b, ready = threading.Lock(), threading.Lock(), threading.Barrier(2)
def work(x, y):
    with open("/dev/null") as f, x:
        ready.wait()
        with open("/dev/null") as g, y: pass
start("t0", work, a, b); start("t1", work, b, a)
""", [names(2)], set(), "inferred"),
    "inside of try and for": ("""
a, b, ready = threading.Lock(), threading.Lock(), threading.Barrier(2)
def work(x, y):
    for _ in range(3):
        try:
            with x:
                try:
                    ready.wait()
                    raise KeyError
                except KeyError:
                    for i in range(2):
                        with y: pass
        finally:
            pass
start("t0", work, a, b); start("t1", work, b, a)
""", [names(2)], set(), "inferred"),
    "a pool of one thread that waits for itself": ("""
pool = cf.ThreadPoolExecutor(1, thread_name_prefix="t0")
def inner(): return 1
def outer(): return pool.submit(inner).result()
done = pool.submit(outer)
start("asker", lambda: done.result())
start("another", lambda: pool.submit(inner).result())
""", [{"t0_0"}], {"asker", "another"}, "known"),
    "a pool of two threads that waits for itself": ("""
pool, ready = cf.ThreadPoolExecutor(2, thread_name_prefix="t0"), threading.Barrier(2)
def outer():
    ready.wait()
    pool.submit(int).result()
for i in range(2): pool.submit(outer)
""", [{"t0_0", "t0_1"}], set(), "known"),
    "a pool that waits for itself until a time is up": ("""
pool = cf.ThreadPoolExecutor(1, thread_name_prefix="t0")
pool.submit(lambda: pool.submit(int).result(timeout=3600))
""", [{"t0_0"}], set(), "possible"),
    "contextmanagers": ("""
import contextlib
locks, ready = [threading.Lock(), threading.Lock()], threading.Barrier(2)
@contextlib.contextmanager
def locked(i):
    with locks[i]: yield
def work(i):
    with locked(i):
        ready.wait()
        with locked(1 - i): pass
start("t0", work, 0); start("t1", work, 1)
""", [names(2)], set(), "inferred"),
    "an ExitStack and a generator": ("""
import contextlib
a, b, ready = threading.Lock(), threading.Lock(), threading.Barrier(2)
def rows():
    with b: yield 1
def first():
    with contextlib.ExitStack() as stack:
        stack.enter_context(a)
        ready.wait()
        stack.enter_context(b)
def second():
    all_rows = rows()
    next(all_rows)
    ready.wait()
    with a: pass
start("t0", first); start("t1", second)
""", [names(2)], set(), "inferred"),
    "until a time is up": ("""
a, b, ready = threading.RLock(), threading.RLock(), threading.Barrier(2)
def work(x, y):
    with x:
        ready.wait(); y.acquire(timeout=3600)
start("t0", work, a, b); start("t1", work, b, a)
""", [names(2)], set(), "possible"),
}

# What looks like one and is none.
NONE = {
    "a queue that nobody fills": "q = queue.Queue()\nfor i in range(3): start('t%d' % i, q.get)\n",
    "a chain that ends in a sleeper": """
a, b, ready = threading.Lock(), threading.RLock(), threading.Barrier(3)
def sleeper():
    with a: ready.wait(); time.sleep(3600)
def middle():
    with b:
        ready.wait()
        with a: pass
def last():
    ready.wait(); b.acquire()
for f in (sleeper, middle, last): start(f.__name__, f)
""",
    "a condition gives its lock back": """
cond = threading.Condition()
def consumer():
    with cond: cond.wait()
def other():
    with cond: cond.wait(3600)
start("consumer", consumer); start("other", other)
""",
    "a lock that is released inside its with": """
lock, other, ready = threading.Lock(), threading.Lock(), threading.Barrier(2)
other.acquire()
def work():
    with lock:
        lock.release(); ready.wait(); other.acquire()
def taker():
    ready.wait(); lock.acquire(); time.sleep(3600)
start("t0", work); start("t1", taker)
""",
}


NONE.update({
    "a pool with a thread that is busy": """
pool, ready = cf.ThreadPoolExecutor(2, thread_name_prefix="t0"), threading.Barrier(2)
def outer():
    ready.wait()
    pool.submit(int).result()
def busy():
    ready.wait()
    time.sleep(3600)
pool.submit(outer); pool.submit(busy)
""",
    "a pool whose threads wait for another pool": """
pool, other = cf.ThreadPoolExecutor(1, thread_name_prefix="t0"), cf.ThreadPoolExecutor(1, thread_name_prefix="t1")
other.submit(time.sleep, 3600)
pool.submit(lambda: other.submit(int).result())
start("asker", lambda: pool.submit(int).result())
""",
    # It would start another thread as soon as anything is handed in.
    "a pool that has not all its threads": """
pool = cf.ThreadPoolExecutor(2, thread_name_prefix="t0")
def outer():
    pool._idle_semaphore.release()
    pool.submit(int).result()
pool.submit(outer)
""",
})


def circles_of(answer):
    return sorted((sorted(m["name"] for m in d["members"]) for d in answer["deadlocks"]))


def deadlocks_of(answer):
    """All that is said of them but times."""
    return [(d["confidence"], sorted(without_times(m) for m in d["members"])) for d in answer["deadlocks"]], sorted(answer["led_into"])


@pytest.mark.parametrize("name", DEADLOCKS)
def test_a_deadlock_is_found_and_named(python, start, dump, client, name):
    script, circles, led, confidence = DEADLOCKS[name]
    program = start(python, HEAD + script + TAIL)
    want = sorted(sorted(c) for c in circles)

    def found():
        answer = dump(program)
        tids = {t["tid"]: t["name"] for t in answer["threads"]}
        return answer if circles_of(answer) == want and {tids[t] for t in answer["led_into"]} == led else None

    answer = wait_until(found, f"the circles {want}, {led} led into it", lambda: str([t["waits_for"] for t in dump(program)["threads"]]))
    first = min(answer["deadlocks"], key=lambda d: sorted(m["name"] for m in d["members"]))
    assert first["confidence"] == confidence
    for circle in answer["deadlocks"]:
        for at, member in enumerate(circle["members"]):
            following = circle["members"][(at + 1) % len(circle["members"])]
            assert member["wants"] == following["holds"], "each wants what the next one has"
            assert by_name(answer)[member["name"]]["waits_for"]["holder"]["tid"] == following["tid"]
    wait_until(lambda: deadlocks_of(dump(program, "--raw")) == deadlocks_of(answer), "the same is found without the GIL",
               lambda: str(deadlocks_of(dump(program, "--raw"))))
    done = client("--socket", program.socket, "--no-repl")
    assert done.status == 0, "a deadlock is an answer"
    top = done.out.split("\n\n")[0]
    assert all(n in top for c in circles for n in c) and ("Possible deadlock" if confidence == "possible" else "Deadlock") in top


@pytest.mark.parametrize("name", NONE)
def test_what_is_no_deadlock_is_not_called_one(python, start, dump, client, name):
    program = start(python, HEAD + NONE[name] + TAIL)
    wait_until(lambda: all(t["state"] in ("lock", "sleep", "io") for t in dump(program)["threads"]), "all threads wait")
    for _ in range(5):
        answer = dump(program)
        assert answer["deadlocks"] == [] and answer["led_into"] == []
    assert client("--socket", program.socket, "--no-repl", "--raw", "--json").json["deadlocks"] == []


def test_a_pool_that_waits_for_itself_is_called_so(one_python, start, dump, client):
    program = start(one_python, HEAD + DEADLOCKS["a pool of two threads that waits for itself"][0] + TAIL)
    wait_until(lambda: dump(program)["deadlocks"], "the deadlock is there")
    text = client("--socket", program.socket, "--no-repl").out
    assert "Deadlock: a thread pool waits for itself: 2 threads, all that it has, wait for what only they could run\n" in text
    assert ", queued in a pool all of whose 2 threads wait for futures in the same queue" in text
    assert {by_name(dump(program))[f"t0_{i}"]["waits_for"]["pool_threads"] for i in range(2)} == {2}


# Always in one order, so that no circle is possible.
CONTENDED = {
    "with": """
locks = [threading.Lock() for _ in range(3)] + [threading.RLock() for _ in range(3)]
cond = threading.Condition()
def work(seed):
    import random
    r = random.Random(seed)
    while True:
        chosen = sorted(r.sample(range(6), 2))
        with locks[chosen[0]]:
            with locks[chosen[1]]:
                time.sleep(0.0002)
        with cond:
            cond.notify()
            cond.wait(0.0001)
for i in range(8): start("t%d" % i, work, i)
""",
    "contextlib, generators, collections": """
import contextlib, gc
gc.set_threshold(50)
locks = [threading.Lock() for _ in range(4)]
class Circle:
    def __init__(self): self.itself = self
    def __del__(self): time.sleep(0)
@contextlib.contextmanager
def locked(i):
    with locks[i]: yield
def rows(i):
    with locks[i]: yield 1
def stacked(first, second):
    with contextlib.ExitStack() as stack:
        stack.enter_context(locks[first])
        stack.enter_context(locked(second))
        time.sleep(0.0002)
def nested(first, second):
    with locked(first), locks[second]: time.sleep(0.0002)
def generated(first, second):
    kept = rows(first)
    next(kept)
    with locked(second): time.sleep(0.0002)
    kept.close()
def work(seed):
    import random
    r = random.Random(seed)
    while True:
        r.choice([stacked, nested, generated])(*sorted(r.sample(range(4), 2)))
        Circle()
for i in range(8): start("t%d" % i, work, i)
""",
    "a pool that always has a thread left": """
pool, room = cf.ThreadPoolExecutor(4), threading.BoundedSemaphore(3)
def leaf(): time.sleep(0.0002)
def outer():
    try: pool.submit(leaf).result()
    finally: room.release()
def work(i):
    while True:
        room.acquire()
        pool.submit(outer).result()
        pool.submit(leaf).result()
for i in range(6): start("t%d" % i, work, i)
""",
}


@pytest.mark.parametrize("name", CONTENDED)
def test_contention_is_no_deadlock(python, start, dump, client, name):
    """50 dumps, and 10 without the GIL; PYSTUCK_CONTENDED says how many else (make false-alarms)."""
    program = start(python, HEAD + CONTENDED[name] + TAIL)
    waiting = 0
    for i in range(int(os.environ.get("PYSTUCK_CONTENDED", "50"))):
        if i % 5 == 0:
            assert client("--socket", program.socket, "--no-repl", "--raw", "--json").json["deadlocks"] == []
        answer = dump(program)
        assert answer["deadlocks"] == [] and answer["led_into"] == [], answer["deadlocks"]
        waiting += sum((t["waits_for"] or {}).get("type") in ("Lock", "RLock", "Future") for t in answer["threads"])
    assert waiting > 0 and program.alive()


def test_no_code_of_the_program_runs(python, start, dump):
    program = start(python, HEAD + """
def trapped(*args, **kwargs): print("TRAPPED", file=sys.stderr, flush=True); raise SystemExit
class Trap:
    __repr__ = __str__ = __eq__ = __hash__ = __getattr__ = __getattribute__ = trapped
    def __enter__(self): pass
    def __exit__(self, *exc): pass
class MyEvent(threading.Event):
    def __getattribute__(self, name):
        return object.__getattribute__(self, name) if not armed else trapped()
armed = False
event, lock = MyEvent(), threading.Lock()
def waiting():
    trap = Trap()
    with trap: event.wait()
def holding():
    with Trap(), lock:
        time.sleep(3600)
def wanting():
    with lock: pass
for f in (waiting, holding, wanting): start(f.__name__, f)
""" + TAIL)

    def ready():
        t = by_name(dump(program))
        return (t["wanting"]["waits_for"] or {}).get("holder") and (t["waiting"]["waits_for"] or {}).get("type") == "MyEvent"

    wait_until(ready, "all wait", lambda: str(dump(program)["threads"]))
    program.process.stdin.close()
    assert program.wait() == 0 and "TRAPPED" not in program.stderr()


def test_an_rlock_whose_owner_has_ended_is_said_to_be_lost(python, start, client, dump):
    """Ids are used again: so nothing may begin after the end, not even a thread of ours."""
    program = start(python, HEAD + """
lost = threading.RLock()
print("READY", flush=True)
sys.stdin.readline()
t = threading.Thread(target=lambda: lost.acquire()); t.start(); t.join()
lost.acquire()
""")
    assert dump(program)["threads"]
    program.say("")
    wait_until(lambda: (dump(program)["threads"][0]["waits_for"] or {}).get("name") == "lost", "the main thread waits")
    waits = dump(program)["threads"][0]["waits_for"]
    assert waits["holder"] is None and waits["holder_ended"] is True and waits["confidence"] == "known"
    assert "held by a thread that has ended" in client("--socket", program.socket, "--no-repl").out
