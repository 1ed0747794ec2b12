"""Generators and coroutines that are suspended: where they stand, and how many in one place."""

import pytest

from repl import Repl

PROGRAM = """
import asyncio, gc, sys, threading, types
import pystuck
pystuck.run_server()

def count():
    yield 1
    yield 2

def outer(inner):
    yield from inner

def threefold():
    yield from outer(count())

@types.coroutine
def pause():
    yield

async def leaf():
    await pause()

async def middle():
    await leaf()

async def feed():
    yield 1

def begun(generator, n=1):
    for _ in range(n): next(generator)
    return generator

async def waits():
    await asyncio.sleep(3600)

async def main(ready):
    tasks = [asyncio.ensure_future(waits()) for _ in range(3)]
    await asyncio.sleep(0)
    ready.set()
    await asyncio.gather(*tasks)

coroutine, feeding = middle(), feed()
coroutine.send(None)
try: feeding.asend(None).send(None)
except StopIteration: pass
ended = begun(count())
list(ended)
kept = [begun(count()) for _ in range(7)] + [begun(count(), 2) for _ in range(2)] + [begun(threefold()), count(), coroutine, feeding]
ready = threading.Event()
threading.Thread(target=lambda: asyncio.run(main(ready)), daemon=True).start()
ready.wait()

def churn():
    gc.set_threshold(1)
    while churning:
        some = [begun(count()) for _ in range(20)]
        some.append(some)

print("READY", flush=True)
sys.stdin.readline()
churning = True
churner = threading.Thread(target=churn)
churner.start()
print("CHURNS", flush=True)
sys.stdin.readline()
churning = False
churner.join()
"""


def places(answer):
    """{(kind, source line of the innermost frame, functions from the outermost): how many}, of the program's own."""
    return {(group["kind"], group["frames"][-1]["source"], *(frame["function"] for frame in group["frames"])): group["count"]
            for group in answer["generators"] if group["frames"][0]["file"].endswith("program.py")}


KEPT = {
    ("generator", "yield 1", "count"): 7,
    ("generator", "yield 2", "count"): 2,
    ("generator", "yield 1", "threefold", "outer", "count"): 1,
    ("coroutine", "yield", "middle", "leaf", "pause"): 1,
    ("async_generator", "yield 1", "feed"): 1,
}


def test_suspended_generators_are_counted_where_they_stand(program, dump, client):
    """Neither one that has not begun or has ended nor what a task runs is there; while others come and go, those that stay are."""
    answer = dump(program, "--generators")
    assert places(answer) == KEPT, answer["generators"]
    assert answer["greenlets"] is None and answer["suspended_cut"] is False
    assert dump(program)["generators"] is None
    text = client("--socket", program.socket, "--no-repl", "--generators").out
    assert "\n<7 generators>  suspended\n" in text and "\n<coroutine>  suspended\n" in text, text
    program.say("")
    program.out.until("CHURNS")
    for _ in range(5):
        seen = places(dump(program, "--generators"))
        passing = seen.pop(("generator", "yield 1", "count"))
        assert passing >= 7 and {key: KEPT[key] for key in seen} == seen, seen
        assert set(seen) | {("generator", "yield 1", "count")} == set(KEPT), seen
    program.say("")
    assert program.wait() == 0


def test_a_program_without_greenlets_has_none(program, client):
    answer = client("--socket", program.socket, "--no-repl", "--greenlets")
    assert answer.status == 0 and "\nno greenlets that wait\n" in answer.out, answer


@pytest.mark.evaluates
def test_the_prompt_has_greenlets_and_generators_too(start, one_python, tmp_path):
    program = start(one_python, PROGRAM)
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        assert "no greenlets that wait" in repl.ask("%greenlets")
        text = repl.ask("%stacks --generators")
        assert "<7 generators>  suspended" in text and "no greenlets" not in text, text
        assert "not: --nothing" in repl.ask("%greenlets --nothing")
