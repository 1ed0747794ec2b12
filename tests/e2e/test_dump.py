"""The dump: right frames, right names, right states, nothing of ours, and an answer when the GIL is not to be had."""

import datetime
import json
import re
import time
from pathlib import Path

import pytest

from conftest import PATIENCE, wait_until

THREADS = """
import sys, threading, time, os, select, subprocess
import pystuck
pystuck.run_server()
lock = threading.Lock(); lock.acquire()
r, w = os.pipe()
started = threading.Barrier(7)
def locked(): started.wait(); lock.acquire()
def sleeping(): started.wait(); time.sleep(3600)
def reading(): started.wait(); os.read(r, 1)
def polling(): started.wait(); select.select([r], [], [])
def spinning():
    started.wait()
    while True: pass
def child():
    started.wait()
    os.waitpid(pid, 0)
pid = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE).pid
for f in (locked, sleeping, reading, polling, spinning, child):
    threading.Thread(target=f, name=f.__name__, daemon=True).start()
started.wait()
print("READY", flush=True)
sys.stdin.read()
"""


def by_name(answer):
    return {t["name"]: t for t in answer["threads"]}


def test_each_threads_state_is_what_it_does(python, start, dump):
    program = start(python, THREADS)
    want = {"locked": "lock", "sleeping": "sleep", "reading": "io", "polling": "io", "child": "child", "MainThread": "io"}

    def settled():
        states = {name: t["state"] for name, t in by_name(dump(program)).items()}
        return all(states[name] == state for name, state in want.items()) and states["spinning"] in ("cpu", "gil")

    wait_until(settled, f"the states {want}")


@pytest.mark.evaluates
def test_frames_agree_with_the_interpreters_own(python, start, client, dump):
    program = start(python, THREADS)
    code = ("modules['json'].dumps({t.name: [(f.f_code.co_filename, n, f.f_code.co_name) for f, n in"
            " modules['traceback'].walk_stack(modules['sys']._current_frames()[t.ident])][::-1]"
            " for t in modules['threading'].enumerate() if t.name != 'spinning'})")
    def both():
        own = json.loads(eval(client("--socket", program.socket, "-c", code).out))
        ours = by_name(dump(program))
        assert set(own) | {"spinning"} == set(ours)
        return own, {name: [[f["file"], f["line"], f["function"].split(".")[-1]] for f in ours[name]["frames"]] for name in own}

    def agree():
        own, ours = both()
        return own == ours
    # They leave the barrier one by one, beside one that computes: what moves between two looks is not the same in both.
    wait_until(agree, "the frames are the same", both)


def test_the_json_has_every_field_of_the_schema(python, start, dump):
    program = start(python, THREADS)
    before = time.time()
    wait_until(lambda: by_name(dump(program))["sleeping"]["state"] == "sleep", "the sleeping thread sleeps")
    answer = dump(program)
    assert answer["schema"] == 1 and answer["pid"] == program.pid
    assert re.match(r"\d+\.\d+\.\d+", answer["python"]) and re.match(r"\d+\.\d+\.\d+", answer["pystuck"])
    assert answer["command"][-1] == str(program.path)
    assert answer["how"] == "gil" and answer["settled"] is True
    assert set(answer["gil"]) == {"wait_us", "held_us", "holder"}
    assert answer["omitted_threads"] == 0
    assert answer["threads"][0]["class"] == "_MainThread", "main thread first"
    assert answer["threads"][0]["tid"] == program.pid
    for thread in answer["threads"]:
        assert {"ident", "tid", "name", "class", "daemon", "state", "frames", "omitted_frames"} <= set(thread)
        assert thread["frames"] and thread["omitted_frames"] == 0
        for frame in thread["frames"]:
            assert {"file", "line", "function", "source"} <= set(frame)
    sleeping = by_name(answer)["sleeping"]
    assert sleeping["frames"][-1]["source"] == "def sleeping(): started.wait(); time.sleep(3600)"
    assert sleeping["daemon"] is True
    taken = datetime.datetime.fromisoformat(answer["time"].replace("Z", "+00:00")).timestamp()
    assert before - 1 < taken < time.time() + 1


def test_locals_show_values_and_run_no_code(python, start, dump):
    program = start(python, """
import sys, threading, pystuck
pystuck.run_server()
class Trap:
    def __repr__(self): sys.stderr.write("trapped\\n"); raise SystemExit
    def __getattr__(self, name): sys.stderr.write("trapped\\n"); raise SystemExit
    __class__ = property(lambda self: sys.stderr.write("trapped\\n"))
def work(number, text):
    trap = Trap()
    nested = {"key": [1, 2.5, None, True, b"bytes"], "self": ()}
    lock = threading.RLock()
    cell = "in a cell"
    inner = lambda: cell
    print("READY", flush=True)
    sys.stdin.read()
work(42, "a text")
""")
    frames = dump(program, "--locals")["threads"][0]["frames"]
    values = {v["name"]: v["value"] for v in frames[-1]["locals"]}
    assert values["number"] == "42" and values["text"] == "'a text'" and values["cell"] == "'in a cell'"
    assert values["nested"] == "{'key': [1, 2.5, None, True, b'bytes'], 'self': ()}"
    assert "Trap object at 0x" in values["trap"] and "RLock" in values["lock"]
    program.process.stdin.close()
    assert program.wait() == 0 and "trapped" not in program.stderr()


@pytest.mark.evaluates
def test_a_wedged_gil_is_said_within_the_time_and_service_resumes(python, start, client, dump):
    program = start(python, """
import sys, threading, ctypes, pystuck
pystuck.run_server(gil_timeout=0.2)
print("READY", flush=True)
sys.stdin.readline()
print("WEDGED", flush=True)
ctypes.PyDLL(None).read(0, ctypes.create_string_buffer(1), 1)  # holds the GIL until the test writes
print("FREE", flush=True)
sys.stdin.read()
""")
    assert dump(program)["how"] == "gil"
    program.say("")
    program.out.until("WEDGED")
    one_byte = re.compile(r"\d+ 0x0 0x[0-9a-f]+ 0x1 ")  # read(0, ..., 1)
    wait_until(lambda: one_byte.match(Path(f"/proc/{program.pid}/syscall").read_text()), "the main thread reads with the GIL")
    began = time.monotonic()
    answer = client("--socket", program.socket)
    assert answer.status == 5 and time.monotonic() - began < PATIENCE, answer
    assert "GIL" in answer.out + answer.err
    refused = client("--socket", program.socket, "-c", "1+1")
    assert refused.status not in (0, 1) and "GIL" in refused.err, refused
    program.say("")
    program.out.until("FREE")
    assert dump(program)["how"] == "gil"
    assert client("--socket", program.socket, "-c", "1+1").out == "2\n"


def test_deep_recursion_is_whole_and_a_thousand_threads_are_shown(python, start, dump):
    program = start(python, """
import sys, threading, pystuck
pystuck.run_server()
sys.setrecursionlimit(5000)
threading.stack_size(262144)
gate = threading.Event()
for i in range(500): threading.Thread(target=gate.wait, daemon=True).start()
def deep(n):
    if n: return deep(n - 1)
    print("READY", flush=True)
    sys.stdin.read()
deep(900)
""")
    answer = dump(program)
    assert len(answer["threads"]) == 501 and answer["omitted_threads"] == 0
    assert len([f for f in answer["threads"][0]["frames"] if f["function"] == "deep"]) == 901


def test_a_dump_near_the_limit_is_whole_and_beyond_it_says_what_is_missing(one_python, start, client):
    # Each frame has a code object of its own, whose names are some 5 KiB: of 48 MiB nine threads take 44, twelve too many.
    program = start(one_python, """
import sys, threading, pystuck
sys.setrecursionlimit(10000)
threading.stack_size(64 << 20)
ready, stay = threading.Semaphore(0), threading.Event()

def link(chain, i):
    if i < len(chain):
        return chain[i](chain, i + 1)
    ready.release()
    stay.wait()

def chain(thread):
    names = [("co_filename", "f" * 4000), ("co_name", "n" * 1000)]
    if hasattr(link.__code__, "co_qualname"):
        names.append(("co_qualname", "n" * 1000))
    return [type(link)(link.__code__.replace(**{name: "%s %d %d" % (text, thread, i) for name, text in names}), globals())
            for i in range(1000)]

def more(first, last):
    for t in range(first, last):
        threading.Thread(target=link, args=(chain(t), 0), daemon=True).start()
        ready.acquire()

more(0, 9)
pystuck.run_server(gil_timeout=100)
print("READY", flush=True)
sys.stdin.readline()
more(9, 12)
print("MORE", flush=True)
sys.stdin.read()
""")
    def ask():
        return client("--socket", program.socket, "--json", "--timeout", 5 * PATIENCE, patience=5 * PATIENCE)
    answer = ask()
    assert answer.status == 0, (answer.status, answer.err)
    whole = answer.json
    chains = [t for t in whole["threads"] if len(t["frames"]) > 1000]
    assert len(chains) == 9 and whole["omitted_threads"] == 0 and len(whole["threads"]) == 10
    assert len({f["function"] for t in chains for f in t["frames"] if f["function"].startswith("nnn")}) == 9000
    program.say("")
    program.out.until("MORE")
    answer = ask()
    assert answer.status == 5, (answer.status, answer.err)
    cut = answer.json
    chains = [t for t in cut["threads"] if len(t["frames"]) > 1000]
    assert cut["omitted_threads"] > 0 and 9 <= len(chains) < 12
    assert len(cut["threads"]) + cut["omitted_threads"] == 13


@pytest.mark.evaluates
def test_a_dump_does_not_import_anything(python, start, client, ask):
    program = start(python, """
import sys
before = set(sys.modules)
import pystuck
server = pystuck.run_server()
print("READY", flush=True)
sys.stdin.readline()
print("NEW", sorted(set(sys.modules) - before), flush=True)
sys.stdin.read()
""")
    assert client("--socket", program.socket, "--locals").status == 0
    program.say("")
    assert program.out.until("NEW (.*)")[1] == "['pystuck']"


@pytest.mark.parametrize("name", ["newline\\nhere", "\\x1b[31mred", "\\u202ereversed"])
def test_names_of_threads_cannot_write_to_the_terminal(one_python, start, client, name):
    program = start(one_python, f"""
import sys, threading, pystuck
pystuck.run_server()
threading.Thread(target=threading.Event().wait, name="{name}", daemon=True).start()
print("READY", flush=True)
sys.stdin.read()
""")
    answer = client("--socket", program.socket)
    assert answer.status == 0
    assert not set(answer.out) & {"\x1b", "\u202e"} and "newline\nhere" not in answer.out
