"""All interpreters of a process, and threads that are in none.

What lives here: whose threads are shown, and as whose; interpreters with a GIL of their own, one that never comes free, and many that
come and go. What does not: the messages byte by byte (tests/unit), and what a thread waits for (test_waits.py).
INTERPRETERS_DUMPS: how many dumps are taken while interpreters come and go (`make storm-interpreters`).
"""

import os
import re

import pytest

from conftest import VERSIONS, wait_until

DUMPS = int(os.environ.get("INTERPRETERS_DUMPS", 15))

HEAD = """
import os, sys, threading, time
import pystuck
pystuck.run_server()
try:
    import _interpreters
except ImportError:
    import _xxsubinterpreters as _interpreters
NEW = sys.version_info >= (3, 13)
def create(own_gil=False):
    return _interpreters.create("isolated" if own_gil else "legacy") if NEW else _interpreters.create(isolated=own_gil)
run = _interpreters.exec if NEW else _interpreters.run_string
r, w = os.pipe()
def start(interpreter, name, code):
    threading.Thread(target=run, args=(interpreter, f"write_end = {w}\\n" + code), name=name, daemon=True).start()
    os.read(r, 1)
"""

WAITING = HEAD + '''
CODE = """
import os, threading, time
lock = threading.Lock(); lock.acquire()
def waits(number):
    os.write(write_end, b"x")
    lock.acquire()
threading.Thread(target=waits, args=(42,), name="within").start()
time.sleep(100000)
"""
start(create(), "caller", CODE)
empty = create()
print("READY", flush=True)
sys.stdin.read()
'''

WEDGED = HEAD + '''
CODE = """
import itertools, os, threading, time
def wedge():
    os.write(write_end, b"x")
    sum(itertools.repeat(1, 10 ** 12))
threading.Thread(target=wedge, name="wedge").start()
time.sleep(0.001)
while True: pass
"""
start(create(own_gil=True), "caller", CODE)
print("READY", flush=True)
sys.stdin.read()
'''

CHURNING = HEAD + '''
CODE = """
import os
def outer(n): return inner(n) if n == 0 else outer(n - 1)
def inner(n): return sorted([n, n + 1], key=deep)
def deep(n): return n
for n in range(20): outer(n)
"""
def churn(own_gil):
    while True:
        interpreter = create(own_gil)
        run(interpreter, CODE)
        _interpreters.destroy(interpreter)
for own_gil in {kinds}:
    threading.Thread(target=churn, args=(own_gil,), name="churn", daemon=True).start()
print("READY", flush=True)
sys.stdin.read()
'''

NATIVE = """
import ctypes, os, sys, threading
import pystuck
pystuck.run_server()
libc = ctypes.CDLL(None)
pause = ctypes.cast(libc.pause, ctypes.c_void_p)
def native(name):
    thread = ctypes.c_ulong()
    assert libc.pthread_create(ctypes.byref(thread), None, pause, None) == 0
    libc.pthread_setname_np(thread, name)
for i in range(140): native(b"poller" if i % 20 == 0 else b"blas")
print("READY", flush=True)
sys.stdin.read()
"""


def functions(thread):
    return [frame["function"].split(".")[-1] for frame in thread["frames"]]


def find(answer, name, interpreter):
    return next((t for t in answer["threads"] if t["interpreter"] == interpreter and name in (t["name"], functions(t)[-1:])), None)


@pytest.mark.parametrize("how", [(), ("--raw",)], ids=["gil", "raw"])
def test_threads_of_all_interpreters_are_shown_each_as_its_own(python, start, dump, client, how):
    program = start(python, WAITING)

    def settled():
        answer = dump(program, "--locals", *how)
        thread = next((t for t in answer["threads"] if t["name"] == "within"), None)
        return thread and functions(thread)[-1] == "waits" and thread["state"] == "lock" and answer

    answer = wait_until(settled, "the other interpreter's thread waits")
    assert [(i["main"], i["own_gil"], i["read"]) for i in answer["interpreters"]] == [(True, False, True)] + [(False, False, True)] * 2
    ids = [i["id"] for i in answer["interpreters"]]
    assert ids[0] == 0 and ids == sorted(set(ids))
    threads = answer["threads"]
    assert [t["interpreter"] for t in threads] == [0, 0, ids[1], ids[1]]
    main, caller, called, within = threads
    assert (main["name"], caller["name"]) == ("MainThread", "caller")
    # The same thread, here and there.
    assert called["tid"] == caller["tid"] and called["ident"] == caller["ident"] and functions(called) == ["<module>"]
    assert called["frames"][0]["line"] == 9 and called["state"] == "sleep"
    assert functions(within) == ["_bootstrap", "_bootstrap_inner", "run", "waits"] and within["settled"]
    assert within["frames"][-1]["locals"] == [{"name": "number", "value": "42"}]
    text = client("--socket", program.socket, "--no-repl", *how).out
    assert f"3 interpreters: main, {ids[1]}, {ids[2]} (no threads)\n" in text
    assert re.search(rf"<Thread\(within, started[^)]*\)>  tid {within['tid']}, interpreter {ids[1]}, waiting for lock", text)
    assert re.search(rf"<Thread\(caller, started[^)]*\)>  tid {caller['tid']}, sleeping", text)


@pytest.mark.since(3, 12)
def test_an_interpreter_that_keeps_its_own_gil_keeps_nobody_from_looking(python, start, dump, client):
    program = start(python, WEDGED)

    def wedged():
        answer = dump(program)
        thread = next((t for t in answer["threads"] if t["name"] == "wedge"), None)
        caller = next((t for t in answer["threads"] if t["interpreter"] != 0 and t["name"] != "wedge"), None)
        return thread and caller and caller["state"] == "gil" and answer["interpreters"][1]["gil_holder"] == thread["tid"] and answer

    answer = wait_until(wedged, "the thread keeps the GIL")
    assert answer["how"] == "gil" and answer["gil"]["holder"] is None
    assert answer["interpreters"][1]["own_gil"]
    thread, = (t for t in answer["threads"] if t["name"] == "wedge")
    assert functions(thread)[-1] == "wedge" and thread["state"] == "cpu" and thread["settled"]
    waiting, = (t for t in answer["threads"] if t["interpreter"] != 0 and t["name"] != "wedge")
    assert waiting["waits_for"]["kind"] == "gil" and waiting["waits_for"]["holder"]["tid"] == thread["tid"]
    text = client("--socket", program.socket, "--no-repl").out
    assert f"(GIL of its own, held by tid {thread['tid']})\n" in text


def known(functions):
    """What a thread of an interpreter that comes and goes may be in: the code above, or what CPython does around it."""
    ours = [name for name in functions if name in ("outer", "inner", "deep")]
    assert functions[:1] != ["<module>"] or "".join(name[0] for name in ours).lstrip("o") in ("", "i", "id"), functions


@pytest.mark.parametrize("how", [(), ("--raw",)], ids=["gil", "raw"])
def test_interpreters_that_come_and_go_while_one_looks(python, start, client, how):
    new = VERSIONS[python].split(".")[1] >= "13"
    program = start(python, CHURNING.replace("{kinds}", "(False, True)" if new else "(False,)"))
    seen = 0
    for _ in range(DUMPS):
        answer = client("--socket", program.socket, "--json", *how)
        assert answer.status in (0, 5), answer
        for thread in answer.json["threads"]:
            if thread["interpreter"] != 0 and thread["settled"]:
                known(functions(thread))
        seen += len(answer.json["interpreters"]) > 1
    assert seen > 0 and program.alive()


def test_threads_that_are_not_in_python_take_a_line_for_each_kind(python, start, dump, client):
    program = start(python, NATIVE)

    def settled():
        answer = dump(program)
        return all(t["state"] == "c" for t in answer["native_threads"]) and answer

    answer = wait_until(settled, "the threads have come to where they wait")
    natives = answer["native_threads"]
    assert [t["name"] for t in answer["threads"]] == ["MainThread"] and answer["omitted_threads"] == 0
    # pystuck's own thread may have been one of the 128 that were looked at.
    assert len(natives) in (127, 128) and len(natives) + answer["omitted_native_threads"] == 140
    assert {(t["name"], t["state"]) for t in natives} == {("blas", "c"), ("poller", "c")}
    assert len({t["tid"] for t in natives}) == len(natives) and not any(t["tid"] == program.pid for t in natives)
    assert dump(program, "--raw")["native_threads"][0]["tid"] == natives[0]["tid"]
    # Whom it leaves out of the 140 depends on their ids, which may have begun again at 300 in between.
    blas, pollers = (sorted(t["tid"] for t in natives if t["name"] == name) for name in ("blas", "poller"))
    assert len(pollers) in (6, 7)
    text = client("--socket", program.socket, "--no-repl").out
    assert text[text.index("140 threads are not in Python"):].splitlines() == [
        "140 threads are not in Python",
        f"  <{len(blas)} threads(blas)>  in pause, tid {', '.join(map(str, blas[:8]))} and {len(blas) - 8} more",
        f"  <{len(pollers)} threads(poller)>  in pause, tid {', '.join(map(str, pollers))}",
        f"  ... {140 - len(natives)} that were not looked at"]
    chosen = client("--socket", program.socket, "--no-repl", "--thread", natives[3]["tid"])
    assert chosen.status == 0 and f"<thread({natives[3]['name']})>  in pause, tid {natives[3]['tid']}\n" in chosen.out
    assert "MainThread" not in chosen.out
