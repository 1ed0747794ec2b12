"""Variables that are read without the GIL: the same as with it, as far as bytes tell it; and no code of the program runs for them."""

import re

import pytest

from conftest import wait_until

VALUES = """
import collections, sys, threading, time
import pystuck
pystuck.run_server(gil_timeout=0.2)
GLOBAL = {"a": [1]}
class Trap:
    def __repr__(self): sys.stderr.write("trapped\\n"); raise SystemExit
    def __getattr__(self, name): sys.stderr.write("trapped\\n"); raise SystemExit
    __class__ = property(lambda self: sys.stderr.write("trapped\\n"))
class Named:
    in_class = 1.5
    def __init__(self, ready): ready.release(); time.sleep(3600)
def work(number, text, *args, **keywords):
    none, true, false, dots = None, True, False, ...
    small = [0, -1, 255, -256, 2**30 - 1, 2**30, -2**31, 2**62, 2**64, -10**40]
    large, larger = 2**511, 2**512
    floats = [0.0, -0.0, 1.5, 0.1, 1e15, 1e16, 123456789.125, 1e-4, 1e-5, 1e300, 5e-324]
    odd = [1.7976931348623157e308, 2.2250738585072014e-308, float("inf"), float("-inf"), float("nan"), 100.0, 9007199254740993.0]
    quoted = ["", "it's", 'say "a"', 'both \\' and "', "tab\\t newline\\n back\\\\", "\\x00\\x7f"]
    wide = ["caf\\u00e9", "\\u4e2d\\u6587", "\\U0001f600", "lone \\udcff"]
    data = [b"", b"it's", bytes(range(8)), b"\\xff"]
    nested = {"list": [1, [2, [3]]], "tuple": (1,), "empty": ((), [], {}), "none": None, 4: {5: 6}}
    sets, empty = ({1}, frozenset({"a"})), (set(), frozenset())
    long_text, long_list = "x" * 1000, list(range(1000))
    long_dict, long_set = {i: i for i in range(1000)}, set(range(1000))
    for i in range(990): del long_dict[i]; long_set.discard(i)
    cell = "in a cell"
    hidden = [cell for _ in "ab"]
    def inner():
        own = cell
        ready.release()
        time.sleep(3600)
    trap, ordered, lock, ready = Trap(), collections.OrderedDict(), threading.RLock(), keywords["ready"]
    del number
    inner()
ready = threading.Semaphore(0)
threading.Thread(target=work, args=(1, "a text", 2, 3), kwargs={"ready": ready}, name="worker", daemon=True).start()
threading.Thread(target=Named, args=(ready,), name="named", daemon=True).start()
ready.acquire(); ready.acquire()
print("READY", flush=True)
sys.stdin.readline()
"""


def variables(answer):
    return {(t["name"], i, v["name"]): v["value"]
            for t in answer["threads"] for i, f in enumerate(t["frames"]) for v in f["locals"]}


def test_variables_without_the_gil_are_those_with_it(python, start, dump):
    program = start(python, VALUES + "sys.stdin.read()\n")
    names = []

    def both():
        """Once nothing moves any more."""
        names.append((dump(program, "--locals"), dump(program, "--raw", "--locals")))
        return all(t["settled"] for t in names[-1][1]["threads"])

    wait_until(both, "all threads settle")
    with_gil, raw = map(variables, names[-1])
    assert names[-1][1]["how"] == "raw" and list(with_gil) == list(raw), "the same names in the same order"
    told = {key: value for key, value in with_gil.items() if "object" not in value and "function" not in value}
    assert {key: raw[key] for key in told} == told
    assert len(told) > 20 and ("worker", 3, "none") in told and ("worker", 4, "own") in told
    assert ("worker", 3, "number") not in raw, "it was deleted"
    worker = {name: value for (thread, depth, name), value in raw.items() if (thread, depth) == ("worker", 3)}
    assert re.fullmatch(r"<Trap object at 0x[0-9a-f]+>", worker["trap"]) and "OrderedDict object" in worker["ordered"]
    assert worker["larger"] == "<int of 513 bits>" and worker["cell"] == "'in a cell'" and worker["long_list"].endswith(", 19, ...]")
    assert raw["MainThread", 0, "GLOBAL"] == "{'a': [1]}" and not {"Trap", "work", "sys"} & {key[2] for key in raw}
    program.process.kill()
    assert "trapped" not in program.stderr()


def test_a_wedged_program_shows_its_variables(python, start, client):
    program = start(python, VALUES + """
import ctypes
wedged = {"since": 1.5}
print("WEDGED", flush=True)
ctypes.PyDLL(None).read(0, ctypes.create_string_buffer(1), 1)  # holds the GIL until the test writes
sys.stdin.read()
""")
    program.say("")
    program.out.until("WEDGED")

    def raw():
        answer = client("--socket", program.socket, "--json", "--locals")
        return answer.json["how"] == "raw" and answer

    answer = wait_until(raw, "the GIL is held by C code")
    found = variables(answer.json)
    assert found["MainThread", 0, "wedged"] == "{'since': 1.5}" and found["worker", 3, "text"] == "'a text'"
    assert answer.status == 5 and "variables not read" not in answer.err, answer
    program.say("")


@pytest.mark.parametrize("arguments", [["--raw"], ["--raw", "--locals"]], ids=" ".join)
def test_only_the_role_locals_gets_them(one_python, start, client, arguments):
    program = start(one_python, "import os, sys, pystuck\npystuck.run_server(allow={os.geteuid(): 'stacks'})\n"
                                "print('READY', flush=True)\nsys.stdin.read()\n")
    answer = client("--socket", program.socket, "--no-repl", *arguments)
    assert (answer.status == 4 and answer.out == "") if "--locals" in arguments else answer.status == 0, answer


CHURN = """
import sys, threading
import pystuck
pystuck.run_server()
def churn(seed):
    while True:
        number, text, data = seed * 7919 ** (seed % 40), "x" * (seed % 500), bytes(seed % 300)
        table = {i: (text, [number]) for i in range(seed % 60)}
        members = set(table)
        for key in list(table)[::2]:
            del table[key]; members.discard(key)
        rows = [dict(table), [members, [rows for rows in ()]]]
        del table, members
        seed = seed * 1103515245 % 65521 + 1
def descend(n, *rest):
    values = [rest] * n
    if n: return descend(n - 1, n, *rest[:5])
def dive():
    while True: descend(60)
for seed in (3, 5): threading.Thread(target=churn, args=(seed,), daemon=True).start()
threading.Thread(target=dive, daemon=True).start()
print("READY", flush=True)
sys.stdin.read()
"""


def test_variables_that_change_while_they_are_read_do_no_harm(python, start, client):
    program = start(python, CHURN)
    for _ in range(20):
        answer = client("--socket", program.socket, "--raw", "--locals", "--json")
        assert answer.status in (0, 5), answer
        assert all(len(value.encode()) <= 200 for value in variables(answer.json).values())
    assert program.alive()
