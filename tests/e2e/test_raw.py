"""Stacks without the GIL: they come, whole and right, whatever keeps it; and all is as before when it is free again.

What lives here: programs that are wedged, and programs that never hold still. What does not: how each kind of call and name is read
(tests/python). Nothing here looks at a clock. RAW_DUMPS: how many dumps of a program that never holds still (`make storm-raw`).
"""

import os
import re

import pytest

import procfs
from conftest import wait_until
from stranger import GIL, Dump
from test_attacks import call

RAW, MOVING = 4, 8  # flags of DUMP, of DUMP_THREAD
HELD_GIL, READ_RAW = 1, 2  # how a dump was taken (DUMP_BEGIN)
DUMPS = int(os.environ.get("RAW_DUMPS", 100))

# Threads that hold still; the one that is called `wedge` takes the GIL along, until a byte comes.
WEDGED = """
import ctypes, gc, mmap, os, sys, threading, time
import pystuck
pystuck.run_server(gil_timeout=0.2)
libc = ctypes.PyDLL(None)  # its functions are called with the GIL held
os.mkfifo("gate")
gate = os.open("gate", os.O_RDWR)
with open("shared", "wb") as f: f.write(bytes(4096))
with open("shared", "r+b") as f: shared = mmap.mmap(f.fileno(), 4096)
{after}
lock = threading.Lock(); lock.acquire()
class Caf\u00e9:
    def deep(self, n):
        if n: return sorted([n], key=lambda _: self.deep(n - 1))
        locked()
def locked(): lock.acquire()
def asleep(): time.sleep(100000)
def generator():
    yield 1
    locked()
def consumer(): list(generator())
def recursive(n):
    if n: recursive(n - 1)
    else: locked()
def held_by_read():
    libc.read(gate, ctypes.create_string_buffer(1), 1)
class Finalized:
    def __del__(self): held_by_read()
def held_by_finalizer():
    one = Finalized(); one.itself = one; del one
    gc.collect()
def held_by_spinning():
    at = ctypes.addressof(ctypes.c_char.from_buffer(shared))
    libc.pthread_spin_init(ctypes.c_void_p(at), 0)
    shared[64:68] = shared[0:4]
    libc.pthread_spin_lock(ctypes.c_void_p(at))
    shared[128] = 1
    libc.pthread_spin_lock(ctypes.c_void_p(at))
def wedge():
    os.read(0, 1)
    {how}()
    print("FREE", flush=True)
sys.setrecursionlimit(3000)
for name, target in dict(locked=locked, asleep=asleep, deep=lambda: Caf\u00e9().deep(5), consumer=consumer,
                         recursive=lambda: recursive(1000), wedge=wedge).items():
    threading.Thread(target=target, name=name, daemon=True).start()
print("READY", flush=True)
time.sleep(100000)
"""

BOTTOM = ["_bootstrap", "_bootstrap_inner", "run"]
STACKS = {
    "MainThread": ["<module>"],
    "locked": BOTTOM + ["locked"],
    "asleep": BOTTOM + ["asleep"],
    "deep": BOTTOM + ["<lambda>"] + ["deep", "<lambda>"] * 5 + ["deep", "locked"],
    "consumer": BOTTOM + ["consumer", "generator", "locked"],
    "recursive": BOTTOM + ["<lambda>"] + ["recursive"] * 1001 + ["locked"],
}
HELD = {
    "held_by_read": ["wedge", "held_by_read"],
    "held_by_finalizer": ["wedge", "held_by_finalizer", "__del__", "held_by_read"],
    "held_by_spinning": ["wedge", "held_by_spinning"],
}




def names_of(answer):
    return {t["name"]: [f["function"].split(".")[-1] for f in t["frames"]] for t in answer["threads"]}


class Wedge:
    """A program whose threads hold still, and that is wedged on demand."""

    def __init__(self, start, python, dump, how, after=""):
        self.how = how
        self.program = start(python, WEDGED.format(how=how, after=after))
        still = dict(STACKS, wedge=BOTTOM + ["wedge"])
        wait_until(lambda: names_of(dump(self.program)) == still, "all threads wait")
        self.tid = next(t["tid"] for t in dump(self.program)["threads"] if t["name"] == "wedge")
        self.gate = next((fd for fd, file in procfs.fds(self.program.pid).items() if file.endswith("/gate")))

    def __enter__(self):
        self.program.say("")
        wait_until(self.is_wedged, "the GIL is taken for good")
        return self

    def is_wedged(self):
        if self.how == "held_by_spinning":
            return (self.program.directory / "shared").read_bytes()[128] == 1
        return procfs.threads(self.program.pid, "syscall")[self.tid].startswith(f"0 {self.gate:#x} ")

    def end(self):
        if self.how == "held_by_spinning":
            with open(self.program.directory / "shared", "r+b") as f:
                free = f.read(68)[64:]
                f.seek(0)
                f.write(free)
        else:
            (self.program.directory / "gate").write_bytes(b"x")
        self.program.out.until("FREE")

    def __exit__(self, *_):
        pass

    def check(self, answer, waited):
        """Whole and right, by the client."""
        assert answer.status == 5, answer
        dump = answer.json
        assert dump["how"] == "raw" and dump["settled"] is True and dump["omitted_threads"] == 0
        assert dump["gil"]["holder"] == self.tid and dump["gil"]["held_us"] == 0 and dump["gil"]["wait_us"] >= waited
        assert names_of(dump) == dict(STACKS, wedge=BOTTOM + HELD[self.how])
        assert all(t["settled"] and t["omitted_frames"] == 0 for t in dump["threads"])
        assert all(f["file"] and f["line"] for t in dump["threads"] for f in t["frames"])
        garbage = ", collecting garbage" if self.how == "held_by_finalizer" else ""
        assert re.search(rf"GIL not available for \d+\.\d s, held by wedge \(tid {self.tid}\) in C code{garbage};"
                         " stacks read without it; settled", answer.err), answer


@pytest.mark.evaluates
@pytest.mark.parametrize("how", sorted(HELD))
def test_with_the_gil_kept_in_c_all_stacks_come_and_the_session_goes_on(python, start, client, dump, how):
    wedge = Wedge(start, python, dump, how)
    with call(wedge.program) as session:
        assert session.eval("6*7").text == "42"
        with wedge:
            wedge.check(client("--socket", wedge.program.socket, "--json"), waited=200000)
            wedge.check(client("--socket", wedge.program.socket, "--json"), waited=200000)
            refused = session.eval("6*7")
            assert refused.what == "ERROR" and refused.reason == GIL and f"tid {wedge.tid}" in refused.text
            assert session.dump().begin.how == 2
            wedge.end()
        assert wait_until(lambda: (a := session.eval("6*7")).what == "RESULT" and a, "the GIL is free").text == "42"
    wait_until(lambda: dump(wedge.program)["how"] == "gil", "dumps are as always")
    assert client("--socket", wedge.program.socket, "-c", "1+1").out == "2\n"
    wait_until(lambda: "pystuck-raw" not in procfs.thread_names(wedge.program.pid), "the thread that reads has ended")
    assert wedge.program.alive()


UNPRIVILEGED = """
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)  # nobody, without any capability
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
"""


@pytest.mark.skipif(os.getuid() != 0, reason="who is not root cannot see into such a process, and the test has to")
def test_nobody_who_is_not_dumpable_reads_its_own_stacks(python, start, client, dump):
    with Wedge(start, python, dump, "held_by_read", UNPRIVILEGED) as wedge:
        wedge.check(client("--socket", wedge.program.socket, "--json"), waited=200000)
        wedge.end()


def test_raw_reads_what_the_interpreter_itself_says(python, start, client, dump):
    wedge = Wedge(start, python, dump, "held_by_read")
    usual = dump(wedge.program)
    answer = client("--socket", wedge.program.socket, "--raw", "--json")
    assert answer.status == 0, answer
    raw = answer.json
    assert (raw["how"], raw["settled"], raw["gil"]["wait_us"], raw["gil"]["held_us"]) == ("raw", True, 0, 0)

    def same(t):
        return {k: t[k] for k in ("ident", "tid", "name", "class", "daemon", "frames", "omitted_frames", "settled")}

    assert list(map(same, raw["threads"])) == list(map(same, usual["threads"]))
    text = client("--socket", wedge.program.socket, "--raw", "--no-repl")
    assert text.status == 0 and "stacks read without the GIL" in text.err and ", in consumer\n" in text.out


def test_who_may_see_stacks_may_see_them_raw(one_python, start, client):
    program = start(one_python, """
import os, sys, pystuck
pystuck.run_server(allow={os.getuid(): "stacks", 0: "stacks"})
print("READY", flush=True)
sys.stdin.read()
""")
    assert client("--socket", program.socket, "--raw", "--json").json["how"] == "raw"


# Filters of system calls for a process: which calls fail. Numbers and the audit architecture of x86-64.
FILTER = """
import ctypes, struct, sys, pystuck
pystuck.run_server()
class Program(ctypes.Structure): _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
def code(op, jt, jf, k): return struct.pack("HBBI", op, jt, jf, k)
calls = {calls}
rules = code(0x20, 0, 0, 0)  # the number of the call
for i, number in enumerate(calls): rules += code(0x15, len(calls) - i, 0, number)
rules += code(0x06, 0, 0, 0x7fff0000) + code(0x06, 0, 0, 0x00050000 | 1)  # allow; else EPERM
buffer = ctypes.create_string_buffer(rules)
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
program = Program(len(rules) // 8, ctypes.addressof(buffer))
assert libc.syscall(317, 1, 1, ctypes.byref(program)) == 0, ctypes.get_errno()  # seccomp, for all threads
print("READY", flush=True)
sys.stdin.read()
"""
MEMFD_CREATE, VM_READV = 319, 310


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of system calls")
@pytest.mark.parametrize("calls, how", [((MEMFD_CREATE,), "raw"), ((VM_READV,), "raw"), ((MEMFD_CREATE, VM_READV), "os")])
def test_where_calls_are_forbidden_another_way_is_found_or_the_answer_says_so(one_python, start, client, dump, calls, how):
    program = start(one_python, FILTER.format(calls=list(calls)))
    answer = client("--socket", program.socket, "--raw", "--json")
    assert answer.json["how"] == how, answer
    if how == "os":
        assert answer.status == 5 and "could not be read" in answer.err and answer.json["settled"] is False
        assert dump(program)["how"] == "gil"
    else:
        assert answer.status == 0 and answer.json["threads"][0]["frames"]


# Every function of a thread has its one caller: a stack with another one is wrong.
CHURN = r"""
import gc, random, sys, threading, time
import pystuck
pystuck.run_server()
sys.setswitchinterval(0.0001)
gc.set_threshold(1)
def rec(n):
    return rec(n - 1) if n > 0 else sum(i for i in range(20))
def short(): rec(random.randrange(40))
def starter():
    while True:
        few = [threading.Thread(target=short) for _ in range(4)]
        for t in few: t.start()
        for t in few: t.join()
def numbers(n):
    for i in range(n): yield i
def through(n): yield from numbers(n)
def drain():
    for _ in through(30): pass
def generators():
    while True: drain()
def codes():
    i = 0
    while True:
        i += 1
        space = {}
        exec(compile("def f_%d(n):\n  if n <= 0: return 0\n  return g_%d(n - 1)\n"
                     "def g_%d(n):\n  return f_%d(n) if n > 0 else 1\n" % (i, i, i, i), "<made %d>" % i, "exec"), space)
        space["f_%d" % i](30)
        try: 1 / 0
        except ZeroDivisionError: pass
for target in (starter, codes, codes, generators, generators):
    threading.Thread(target=target, name=target.__name__, daemon=True).start()
print("READY", flush=True)
sys.stdin.read()
"""
CALLERS = {
    "rec": {"rec", "short"}, "short": {"run"}, "starter": {"run"}, "codes": {"run"}, "generators": {"run"}, "drain": {"generators"},
    "through": {"drain"}, "numbers": {"through"}, "_bootstrap_inner": {"_bootstrap"}, "run": {"_bootstrap_inner"}, "_bootstrap": {None},
    "<module>": {None, "codes"}, "<genexpr>": {"rec"},
}


def wrong_with(stack):
    """What is not as it can be in the churning program: (function, caller), or None."""
    names = [None] + [function.split(".")[-1] for _, function, *_ in stack]
    for caller, name in zip(names, names[1:]):
        made = re.match(r"[fg]_(\d+)$", name)
        if made and caller not in ("codes", "f_" + made.group(1), "g_" + made.group(1)):
            return caller, name
        if name in CALLERS and caller not in CALLERS[name]:
            return caller, name
    for file, function, *_ in stack:
        made = re.match(r"[fg]_(\d+)$", function)
        if made and file != f"<made {made.group(1)}>":
            return file, function
    return None


@pytest.mark.parametrize("flags", [0, RAW], ids=["normal", "raw"])
def test_of_threads_that_never_hold_still_no_stack_is_wrong_without_saying_so(python, start, flags):
    """Threads, code objects and generators come and go, and the collector runs all the time."""
    program = start(python, CHURN)
    right = moving = 0
    with call(program) as session:
        for i in range(DUMPS):
            dump = session.dump(flags)
            assert isinstance(dump, Dump), (i, dump)
            if flags == 0:
                assert (dump.begin.how, dump.begin.settled) == (HELD_GIL, 1), (i, dump.begin)
            elif dump.begin.how != READ_RAW:
                assert "did not hold still" in dump.begin.note, dump.begin
                continue
            for thread in dump.threads:
                if thread.flags & MOVING:
                    moving += 1
                    continue
                assert wrong_with(dump.stack(thread)) is None, (i, thread.name, dump.stack(thread))
                right += 1
    assert right > moving if flags else moving == 0 < right, (right, moving)
    assert program.alive()
    program.process.stdin.close()
    status = program.wait()
    assert status == 0, program.stderr()
