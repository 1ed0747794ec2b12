"""Who awaits whom, by which coroutines, and in which thread: of all that asyncio offers for it, on every version; from 3.14 on beside what
`python -m asyncio ps` says of the same program.

What lives here: the graph. What does not: what a task waits for otherwise (test_tasks.py).
"""

import json
import subprocess

import pytest

from conftest import VERSIONS

LONG = "n" * 300
PROGRAM = f"""
import asyncio, sys, threading
from asyncio import staggered
import pystuck
pystuck.run_server()
ready = threading.Semaphore(0)

async def leaf():
    await asyncio.sleep(100000)

async def middle():
    await leaf()

def task(coroutine, name):
    one = asyncio.get_running_loop().create_task(coroutine)
    one.set_name(name)
    return one

async def recursive(n):
    await (recursive(n - 1) if n else leaf())

async def group():
    async with asyncio.TaskGroup() as tg:
        tg.create_task(middle(), name="grouped-1")
        tg.create_task(group_in_group(), name="grouped-2")

async def group_in_group():
    async with asyncio.TaskGroup() as tg:
        tg.create_task(leaf(), name="grouped-3")

async def gather(*names):
    await asyncio.gather(*(task(leaf(), name) for name in names))

async def timed():
    await asyncio.wait_for(task(middle(), "in time"), 100000)

async def shield(other):
    await asyncio.shield(other)

async def either(first, second):
    await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)

async def racer():
    asyncio.current_task().set_name("racer")
    await leaf()

async def race():
    await staggered.staggered_race([racer], None)

async def plain(other):
    await other

class Awaitable:
    def __init__(self, other):
        self.other = other
    def __await__(self):
        return (yield from self.other.__await__())

async def by_hand(other):
    await Awaitable(other)

async def turns():
    for _ in range(100):  # of the loop, in which all of them come to where they wait
        await asyncio.sleep(0)

def wait():
    asyncio.get_running_loop().call_soon(ready.release)  # once this one waits too
    return asyncio.sleep(100000)

async def everything():
    shared = task(middle(), "shared")
    task(shield(shared), "shields"), task(shield(shared), "shields too")
    task(gather("gathered-1", "gathered-2"), "gathers"), task(timed(), "times"), task(race(), "races")
    task(plain(shared), "one of several"), task(either(shared, task(leaf(), "{LONG}")), "either")
    task(by_hand(shared), "by hand"), task(recursive(50), "recursive")
    if sys.version_info >= (3, 11):
        task(group(), "groups")
    await turns()

async def main():
    await everything()
    if sys.version_info >= (3, 12):
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        shared = task(middle(), "eager")
        task(shield(shared), "eager shields"), task(plain(shared), "eager awaits")
    await wait()

async def elsewhere():
    inner = task(recursive(3), "elsewhere inner")
    task(plain(inner), "elsewhere outer")
    asyncio.current_task().set_name("elsewhere")
    await turns()
    await wait()

def report():
    ready.acquire(), ready.acquire()
    print("READY", flush=True)
    sys.stdin.read()

threading.Thread(target=lambda: asyncio.run(elsewhere()), name="second", daemon=True).start()
threading.Thread(target=report, daemon=True).start()
asyncio.run(main())
"""
AWAITS = {
    "shields": {"shared"}, "shields too": {"shared"}, "gathers": {"gathered-1", "gathered-2"}, "times": {"in time"},
    "one of several": {"shared"}, "either": {"shared", LONG}, "by hand": {"shared"}, "recursive": set(), "shared": set(), "in time": set(),
    "elsewhere outer": {"elsewhere inner"}, "elsewhere inner": set(),
    # Where the version has them.
    "groups": {"grouped-1", "grouped-2"}, "grouped-2": {"grouped-3"}, "grouped-1": set(), "grouped-3": set(),
    "eager shields": {"eager"}, "eager awaits": {"eager"}, "eager": set(),
}
STACKS = {
    "shared": ["middle", "leaf", "sleep"], "recursive": ["recursive"] * 51 + ["leaf", "sleep"], "elsewhere inner": ["recursive"] * 4 + ["leaf", "sleep"],
    "times": ["timed", "wait_for"], "either": ["either", "wait", "_wait"], LONG: ["leaf", "sleep"], "grouped-1": ["middle", "leaf", "sleep"],
    "eager": ["middle", "leaf", "sleep"], "by hand": ["by_hand", "__await__"],
}


def last(name):
    return name.split(".")[-1]


def graph(answer):
    """{id: (name, tid of the loop's thread, functions outermost first, ids that it awaits)}"""
    return {task["id"]: (task["name"], answer["loops"][task["loop"]]["tid"], [last(frame["function"]) for frame in task["frames"]],
                         set(task["awaits"])) for task in answer["tasks"]}


@pytest.fixture
def program(start, python):
    return start(python, PROGRAM)


def test_the_graph_is_the_same_on_every_version(program, dump):
    answer = dump(program)
    tasks = graph(answer)
    names = {id: name for id, (name, *_) in tasks.items()}
    threads = {thread["tid"]: thread["name"] for thread in answer["threads"]}
    seen = {name: {names[one] for one in awaits} for name, _, _, awaits in tasks.values()}
    assert {name: seen[name] for name in AWAITS if name in seen} == {name: awaited for name, awaited in AWAITS.items() if name in seen}
    assert "racer" in seen["races"], "beside a task that starts the next one, from 3.13 on"
    assert set(AWAITS) - set(seen) <= {"groups", "grouped-1", "grouped-2", "grouped-3", "eager shields", "eager awaits", "eager"}
    assert {name: functions for name, _, functions, _ in tasks.values() if name in STACKS} == {n: s for n, s in STACKS.items() if n in seen}
    assert all(threads[tid] == ("second" if name.startswith("elsewhere") else "MainThread") for name, tid, _, _ in tasks.values())
    assert answer["omitted_tasks"] == 0 and answer["task_deadlocks"] == []


# The functions that print the table, without the columns, which a long name breaks.
TABLE = """
import json, sys
from asyncio import tools
print(json.dumps(tools.build_task_table(tools._get_awaited_by_tasks(int(sys.argv[1])))))
"""
PS_NAME = 255  # characters of a name that it shows


@pytest.mark.since(3, 14)
def test_the_graph_is_that_of_asyncio_ps(program, python, dump):
    def asyncio(*args):
        done = subprocess.run([python, *args, str(program.pid)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done
        return done.stdout

    tasks = graph(dump(program))
    if VERSIONS[python].startswith("3.14."):  # it does not look at the loops of other threads there
        tasks = {id: task for id, task in tasks.items() if task[1] == program.pid}
    table, text = json.loads(asyncio("-c", TABLE)), asyncio("-m", "asyncio", "ps")
    differing, edges = {}, set()
    for tid, id, name, functions, _, _, awaiter in table:
        theirs = (name, tid, [last(function) for function in reversed(functions.split(" -> "))])
        ours = (tasks[id][0][:PS_NAME], *tasks[id][1:3])
        if name == "by hand":  # what is no coroutine is not seen there
            theirs[2].append("__await__")
        if theirs != ours:
            differing[id] = theirs, ours
        if awaiter != "0x0":
            edges.add((awaiter, id))
        assert name in text and id in text
    assert differing == {}
    assert {row[1] for row in table} == set(tasks)
    assert edges == {(id, one) for id, (*_, awaits) in tasks.items() for one in awaits}
