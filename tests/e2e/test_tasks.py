"""Tasks of asyncio: what each waits for, who awaits whom, and what is said of circles and of loops that are blocked.

TASK_DUMPS: how many dumps of a program whose tasks begin and end all the time (`make storm-tasks`).
"""

import os
import re

from repl import Repl

LONG = "n" * 300
PROGRAM = f"""
import asyncio, sys, threading, time
import pystuck
pystuck.run_server()
names = {{}}

def start(coroutine, name):
    names[name] = asyncio.ensure_future(coroutine)
    names[name].set_name(name)
    return names[name]

async def leaf():
    await asyncio.sleep(100000)

async def middle():
    await leaf()

async def all_of():
    await asyncio.gather(start(middle(), "gathered-1"), start(leaf(), "gathered-2"))

async def group():
    async with asyncio.TaskGroup() as tg:
        tg.create_task(leaf(), name="grouped")

async def protect():
    await asyncio.shield(names["shared"])

async def one_of():
    await asyncio.wait([names["shared"], names["gathered-2"]], return_when=asyncio.FIRST_COMPLETED)

async def for_a_while():
    await asyncio.wait_for(start(leaf(), "in time"), 100000)

async def race():
    from asyncio import staggered
    await staggered.staggered_race([leaf, leaf], None)

async def nested(n):
    await (nested(n - 1) if n else leaf())

async def agen():
    await asyncio.sleep(100000)
    yield 1

async def generator():
    async for one in agen():
        pass

async def hold(first, second, mine, other):
    async with first:
        mine.set()
        await other.wait()
        async with second:
            pass

async def on_condition(condition):
    async with condition:
        await condition.wait()

class Circle:
    \"\"\"Each awaits the other.\"\"\"
    async def run(self, other):
        await asyncio.sleep(0)
        await names[other]

async def serve(reader, writer):
    await reader.readline()

async def main():
    shared = start(middle(), "shared")
    start(all_of(), "gathering")
    await asyncio.sleep(0)
    if sys.version_info >= (3, 11):
        start(group(), "group")
    start(protect(), "shielding"), start(one_of(), "waiting"), start(for_a_while(), "timed"), start(race(), "race")
    sys.setrecursionlimit(10000)
    start(nested(3000), "deep"), start(nested(40), "nested"), start(generator(), "generator"), start(leaf(), "{LONG}")
    a, b, seen_a, seen_b = asyncio.Lock(), asyncio.Lock(), asyncio.Event(), asyncio.Event()
    start(hold(a, b, seen_a, seen_b), "lock-1"), start(hold(b, a, seen_b, seen_a), "lock-2")
    start(Circle().run("circle-2"), "circle-1"), start(Circle().run("circle-1"), "circle-2")
    start(asyncio.Event().wait(), "event"), start(on_condition(asyncio.Condition()), "condition")
    start(asyncio.Semaphore(0).acquire(), "semaphore")
    full = asyncio.Queue(1)
    full.put_nowait(1)
    start(asyncio.Queue().get(), "getting"), start(full.put(2), "putting"), start(full.join(), "joining")
    start(asyncio.to_thread(threading.Event().wait), "executor")
    future = asyncio.get_running_loop().create_future()
    async def bare():
        await future
    start(bare(), "future")
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    start(reader.readexactly(1), "stream")
    process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE)  # ends with the program
    start(process.wait(), "child")
    start(leaf(), "cancelled twice")
    await asyncio.sleep(0.05)
    start(leaf(), "fresh")
    start(leaf(), "doomed").cancel()
    print("PORT", *server.sockets[0].getsockname(), flush=True)
    print("READY", flush=True)
    sys.stdin.readline()  # the loop is blocked
    names["fresh"].cancel()
    process.kill()
    print("DONE", flush=True)
    await asyncio.sleep(100000)

def other():
    async def far_away():
        start(leaf(), "in a thread")
        apart.set()
        await asyncio.sleep(100000)
    asyncio.run(far_away())

apart = threading.Event()
threading.Thread(target=other, name="second loop", daemon=True).start()
apart.wait()
asyncio.run(main())
"""

WAITS = {
    "shared": ("sleep", ""), "gathering": ("tasks", "gather"), "shielding": ("tasks", "shield"), "waiting": ("tasks", "wait"),
    "timed": ("tasks", "wait_for"), "race": ("tasks", "staggered_race"), "generator": ("sleep", ""), "lock-1": ("lock", ""),
    "circle-1": ("tasks", ""), "event": ("lock", ""), "condition": ("lock", ""), "semaphore": ("lock", ""), "getting": ("get", ""),
    "putting": ("put", ""), "joining": ("join", ""), "executor": ("executor", ""), "future": ("future", ""), "stream": ("read", ""),
    "child": ("child", ""), "in a thread": ("sleep", ""), LONG: ("sleep", "")}
AWAITS = {
    "gathering": {"gathered-1", "gathered-2"}, "shielding": {"shared"}, "waiting": {"shared", "gathered-2"}, "timed": {"in time"},
    "circle-1": {"circle-2"}, "circle-2": {"circle-1"}, "shared": set(), "lock-1": set(), "main": set()}


def functions(task):
    return [frame["function"].split(".")[-1] for frame in task["frames"]]


def test_tasks_are_told_with_what_they_wait_for_and_whom(program, client, dump):
    answer = dump(program)
    tasks = {task["name"]: task for task in answer["tasks"]}
    by_id = {task["id"]: task["name"] for task in answer["tasks"]}
    for name, (kind, how) in WAITS.items():
        task = tasks[name]
        assert task["state"] == "waiting", task
        assert (task["waits_for"]["kind"], task["waits_for"].get("how", "")) == (kind, how), task
    for name, awaited in AWAITS.items():
        if name in tasks:
            assert {by_id[one] for one in tasks[name]["awaits"]} == awaited, tasks[name]
    assert len(tasks["race"]["awaits"]) in (1, 2) and tasks["waiting"]["waits_for"]["any"] is True
    if "group" in tasks:
        assert tasks["group"]["waits_for"] == {"kind": "tasks", "how": "TaskGroup"}
        assert [by_id[one] for one in tasks["group"]["awaits"]] == ["grouped"]
    assert functions(tasks["shared"]) == ["middle", "leaf", "sleep"]
    assert functions(tasks["nested"]) == ["nested"] * 41 + ["leaf", "sleep"]
    assert functions(tasks["deep"]) == ["nested"] * 1998 + ["leaf", "sleep"] and tasks["deep"]["omitted_frames"] == 1003
    assert functions(tasks["generator"]) == ["generator", "agen", "sleep"]
    assert 90000 < tasks["shared"]["waits_for"]["seconds_left"] <= 100000
    for name in ("lock-1", "lock-2"):
        wait, other = tasks[name]["waits_for"], "lock-2" if name == "lock-1" else "lock-1"
        assert wait["type"] == "Lock" and wait["holder"]["name"] == other and wait["confidence"] == "inferred"
    assert "holder" not in tasks["condition"]["waits_for"]
    assert [tasks[name]["waits_for"]["type"] for name in ("event", "condition", "semaphore")] == ["Event", "Condition", "Semaphore"]
    assert [tasks[name]["waits_for"]["items"] for name in ("getting", "putting", "joining")] == [0, 1, 1]
    port = next(line.split()[2] for line in program.out.seen if line.startswith("PORT"))
    assert tasks["stream"]["waits_for"]["type"] == "TCP" and tasks["stream"]["waits_for"]["peer"] == f"127.0.0.1:{port}"
    assert tasks["fresh"]["state"] == tasks["doomed"]["state"] == "not started"
    assert tasks["doomed"]["cancelled"] and not tasks["fresh"]["cancelled"] and functions(tasks["fresh"]) == ["leaf"]
    circles = sorted(sorted(by_id[one] for one in circle["members"]) for circle in answer["task_deadlocks"])
    assert circles == [["circle-1", "circle-2"], ["lock-1", "lock-2"]], answer["task_deadlocks"]
    main = next(task for task in answer["tasks"] if task["state"] == "running")
    assert functions(main)[0] == "main" and functions(main)[-1] == "main"
    first = next(loop for loop in answer["loops"] if loop.get("task") == main["id"])
    second = next(loop for loop in answer["loops"] if loop is not first)
    threads = {thread["tid"]: thread["name"] for thread in answer["threads"]}
    assert threads[first["tid"]] == "MainThread" and threads[second["tid"]] == "second loop"
    assert first["running"] and second["running"] and "busy_seconds" in first and "busy_seconds" not in second
    assert answer["loops"][tasks["in a thread"]["loop"]] == second
    assert answer["omitted_tasks"] == 0 and answer["tasks_gil"]["longest_us"] <= answer["tasks_gil"]["held_us"]

    text = client("--socket", program.socket, "--no-repl", "--tasks")
    assert text.status == 0 and re.search(r"runs Task-\d+ main\(\)", text.out), text
    assert text.out.count("Deadlock: 2 tasks wait for each other") == 2, text
    assert re.search(r"^lock-1 hold\(\)  waiting for lock .*, held by lock-2 hold\(\) \(inferred\)$", text.out, re.M), text
    assert re.search("\u251c\u2500\u2500 gathered-1 middle\\(\\)  sleeping", text.out), text
    assert "shared middle()  sleeping" in text.out and "(see above)" in text.out and LONG in text.out
    assert "a circle: it is above, and waits for this" in text.out
    short = client("--socket", program.socket, "--no-repl")
    assert short.status == 0 and "Deadlock: 2 tasks wait for each other" in short.out, short
    assert re.search(r"^\d+ tasks of asyncio: 1 running, 2 not started, \d+ waiting \(--tasks", short.out, re.M), short


def test_a_program_without_asyncio_has_no_tasks(start, python, client, dump):
    program = start(python, "import sys, pystuck; pystuck.run_server(); print('READY', flush=True); sys.stdin.read()")
    answer = dump(program)
    assert answer["tasks"] == [] and answer["loops"] == []
    text = client("--socket", program.socket, "--no-repl", "--tasks")
    assert text.status == 0 and text.out == "the program has not imported asyncio: it has no tasks\n", text
    assert "asyncio" not in client("--socket", program.socket, "-c", "[m for m in __import__('sys').modules if m == 'asyncio']").out


def test_the_prompt_shows_tasks(start, one_python, tmp_path):
    program = start(one_python, """
import asyncio, pystuck
pystuck.run_server()
async def sleeper(): await asyncio.sleep(100000)
async def main():
    tasks = [asyncio.create_task(sleeper()) for _ in range(50)]
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(print, "READY")
    await asyncio.gather(*tasks)
asyncio.run(main())
""")
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        shown = repl.ask("%tasks")
        assert "<50 tasks> sleeper()" in shown and "Task-2, Task-3, Task-4, Task-5, Task-6 and 45 more" in shown, shown
        assert "not: 12" in repl.ask("%tasks 12")


LONG_ONES = """
import asyncio, pystuck
pystuck.run_server()
async def wait(tasks, i): await tasks[i % len(tasks)]
async def main():
    chain, circle = [asyncio.Event().wait()], []
    chain[0] = asyncio.create_task(chain[0])
    chain += [asyncio.create_task(wait(chain, i)) for i in range(9999)]
    circle += [asyncio.create_task(wait(circle, i + 1)) for i in range(1000)]
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(print, "READY")
    await asyncio.gather(chain[-1], circle[0])
asyncio.run(main())
"""


def test_a_chain_of_10000_tasks_and_a_circle_of_1000_are_shown_in_bounds(start, one_python, client):
    program = start(one_python, LONG_ONES)
    text = client("--socket", program.socket, "--no-repl", "--tasks")
    assert text.status == 0 and len(text.out) < 100000, len(text.out)
    assert "Deadlock: 1000 tasks wait for each other\n" in text.out and "  ... 980 more of the same circle\n" in text.out
    left_out = [int(number) for number in re.findall(r"\.\.\. (\d+) tasks? below it left out", text.out)]
    assert sum(left_out) > 10000 and len(left_out) == 2, left_out


HOLDERS = """
import asyncio, time
import pystuck
pystuck.run_server()
forever, tasks, shared = asyncio.Event, [], None

class Owner:
    def __init__(self): self.lock = asyncio.Lock()
    async def attribute(self, lock):
        self.lock = lock
        await self.lock.acquire()
        try:
            await forever().wait()
        finally:
            self.lock.release()

async def call(lock):
    await lock.acquire()
    await forever().wait()

async def of_a_global(lock):
    global shared
    shared = lock
    await shared.acquire()
    await forever().wait()

async def further_in(lock):
    async def inner():
        await forever().wait()
    await lock.acquire()
    await inner()

async def in_a_cell(lock):
    await lock.acquire()
    await asyncio.gather(*[start(wait(lock), f"cell-{n}") for n in range(1)])

async def of_a_condition(condition):
    await condition.acquire()
    await forever().wait()

async def in_a_with(lock):
    async with lock:
        await forever().wait()

async def helper(lock): await lock.acquire()

async def in_another_function(lock):
    await helper(lock)
    await forever().wait()

async def in_another_task(lock):
    await asyncio.ensure_future(lock.acquire())
    await forever().wait()

async def in_time(lock):
    await asyncio.wait_for(lock.acquire(), 100)
    await forever().wait()

async def perhaps(lock):
    if lock:
        await lock.acquire()
    await forever().wait()

async def under_an_old_name(lock):
    await lock.acquire()
    lock = others["under_an_old_name"]
    await forever().wait()

async def given_back(lock):
    await lock.acquire()
    lock.release()
    await helper(lock)
    await forever().wait()

async def not_locked(lock):
    await lock.acquire()
    pass_on(lock)
    await forever().wait()

def pass_on(lock): lock.release()

async def wait(lock): await lock.acquire()

async def twice(lock):
    await lock.acquire()
    await lock.acquire()

async def nested(lock):
    async with lock:
        async with lock:
            pass

async def cross(first, second, mine, other):
    await first.acquire()
    mine.set()
    await other.wait()
    await second.acquire()

async def blocks(lock):
    async with lock:
        await others["go"].wait()
        async def further_in():
            print("READY", flush=True)
            time.sleep(100000)
        await further_in()

others = {}

def start(coroutine, name):
    tasks.append(asyncio.ensure_future(coroutine))
    tasks[-1].set_name(name)
    return tasks[-1]

async def pair(function, lock, want=None):
    start(function(lock), function.__name__)
    for _ in range(5): await asyncio.sleep(0)
    start(wait(want or lock), "wants " + function.__name__)

async def main():
    for function in (Owner().attribute, call, of_a_global, further_in, in_a_with, in_another_function, in_another_task, in_time,
                     perhaps, given_back, twice, nested):
        await pair(function, asyncio.Lock())
    condition = asyncio.Condition()
    await pair(of_a_condition, condition)
    others["under_an_old_name"] = asyncio.Lock()
    await others["under_an_old_name"].acquire()
    await pair(under_an_old_name, asyncio.Lock(), others["under_an_old_name"])
    await pair(in_a_cell, asyncio.Lock())
    semaphore = asyncio.Semaphore(1)
    await pair(in_a_with, semaphore)
    tasks[-2].set_name("semaphore")
    tasks[-1].set_name("wants semaphore")
    a, b, seen_a, seen_b = asyncio.Lock(), asyncio.Lock(), asyncio.Event(), asyncio.Event()
    start(cross(a, b, seen_a, seen_b), "cross-1"), start(cross(b, a, seen_b, seen_a), "cross-2")
    released = asyncio.Lock()
    start(not_locked(released), "not_locked")
    await asyncio.sleep(0)
    await released.acquire()
    start(wait(released), "wants not_locked")
    others["go"] = asyncio.Event()
    await pair(blocks, asyncio.Lock())
    await asyncio.sleep(0)
    others["go"].set()
    await asyncio.sleep(100000)

asyncio.run(main())
"""
HELD = {"attribute", "call", "of_a_global", "further_in", "in_a_with", "nested", "of_a_condition", "in_a_cell", "semaphore", "blocks"}
NOT_TOLD = {"in_another_function", "in_another_task", "in_time", "perhaps", "given_back", "twice", "under_an_old_name", "not_locked"}


def test_who_has_a_lock_is_inferred_from_calls_of_acquire_and_never_guessed(start, python, dump):
    answer = dump(start(python, HOLDERS))
    tasks = {task["name"]: task for task in answer["tasks"]}
    for name in HELD:
        wait = tasks["wants " + name]["waits_for"]
        assert wait["kind"] == "lock" and wait["holder"]["name"] == name and wait["confidence"] == "inferred", (name, wait)
    for name in NOT_TOLD:
        wait = tasks["wants " + name]["waits_for"]
        assert wait["kind"] == "lock" and "holder" not in wait, (name, wait)
    assert tasks["blocks"]["state"] == "running" and "holder" not in tasks["twice"]["waits_for"]
    names = {task["id"]: task["name"] for task in answer["tasks"]}
    circles = {tuple(sorted(names[one] for one in circle["members"])): circle["confidence"] for circle in answer["task_deadlocks"]}
    assert circles == {("nested",): "inferred", ("cross-1", "cross-2"): "possible", ("cell-0", "in_a_cell"): "possible"}, circles


CHURN = """
import asyncio, gc, itertools, sys, threading
import pystuck
pystuck.run_server(gil_timeout=20)  # collections all the time: who wants the GIL may have to wait
over, there = threading.Event(), threading.Barrier(3)
gc.set_threshold(1)
numbers = itertools.count()

def begin(function, n, *more):
    return asyncio.get_running_loop().create_task(function(n, *more), name="-".join([function.__name__, *map(str, (n, *more[:1]))]))

async def stays(n):
    await asyncio.Event().wait()

async def child(n, i):
    for _ in range(i):
        await asyncio.sleep(0)

async def parent(n):
    children = [begin(child, n, i) for i in range(4)]
    if n % 3 == 0:
        await asyncio.gather(*children)
    elif n % 3 == 1:
        await asyncio.wait(children)
    else:
        for one in children:
            await one

async def locked(n):
    if n % 2:
        async with lock[0]:
            await asyncio.sleep(0)
    else:
        await lock[0].acquire()
        try:
            await asyncio.sleep(0)
        finally:
            lock[0].release()

lock = []

async def churn(first):
    if first:
        lock.append(asyncio.Lock())
    kept = [begin(stays, n) for n in range(3)]
    await asyncio.sleep(0)
    there.wait()
    while not over.is_set():
        some = [begin(parent, next(numbers)) for _ in range(5)]
        if first:
            some += [begin(locked, next(numbers)) for _ in range(5)]
        await asyncio.gather(*some)
    for one in kept:
        one.cancel()

threads = [threading.Thread(target=lambda first: asyncio.run(churn(first)), args=(first,)) for first in (True, False)]
for thread in threads: thread.start()
there.wait()
print("READY", flush=True)
sys.stdin.readline()
over.set()
for thread in threads: thread.join()
"""
DUMPS = int(os.environ.get("TASK_DUMPS", "25"))


def test_of_tasks_that_begin_and_end_all_the_time_nothing_is_invented(start, python, dump):
    program = start(python, CHURN)
    seen = set()
    for _ in range(DUMPS):
        answer = dump(program)
        names = {task["id"]: task["name"] for task in answer["tasks"]}
        for task in answer["tasks"]:
            kind, _, number = task["name"].partition("-")
            seen.add(kind)
            if kind == "Task":  # the two that asyncio.run() makes
                kind, number = "churn", "0"
            assert re.fullmatch(r"\d+-\d+" if kind == "child" else r"\d+", number) and task["coroutine"] == kind, task
            assert functions(task)[:1] in ([kind], []), task
            for awaited in task["awaits"]:
                other, _, of = names[awaited].partition("-")
                assert (kind == "churn" and other in ("parent", "locked")) or (kind, other) == ("parent", "child"), (task, names)
                assert kind == "churn" or of.partition("-")[0] == number, (task, names)
            holder = (task["waits_for"] or {}).get("holder")
            assert holder is None or (kind == "locked" and holder["name"].startswith("locked-")), task
        assert sum(name.startswith("stays-") for name in names.values()) == 6 and sum(name.startswith("Task-") for name in names.values()) == 2
        assert all(functions(task) == ["stays", "wait"] for task in answer["tasks"] if task["name"].startswith("stays-"))
        assert not answer["task_deadlocks"], answer["task_deadlocks"]
    assert seen & {"parent", "child", "locked"}, seen
    program.say("")
    assert program.wait() == 0 and program.stderr() == ""
