"""What each thread waits for: the kernel's part. The line of the text and the JSON, of a program for each kind of wait."""

import os
import re
import time

import pytest

from conftest import wait_until
from kinds import has_ipv6

PROGRAM = """
import fcntl, os, select, socket, subprocess, sys, threading, time
import pystuck
pystuck.run_server()
here = os.path.dirname(os.path.abspath(__file__))
listener = socket.create_server(("127.0.0.1", 0))
try: six = socket.create_server(("::1", 0), family=socket.AF_INET6)
except OSError: six = None
near = socket.create_connection(listener.getsockname())
far, _ = listener.accept()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("127.0.0.1", 0))
named = socket.socket(socket.AF_UNIX); named.bind(here + "/named.sock"); named.listen()
caller = socket.socket(socket.AF_UNIX); caller.connect(here + "/named.sock")
called, _ = named.accept()
one, other = socket.socketpair()
read_end, write_end = os.pipe()
empty_end, full_end = os.pipe()
HOLD = ("import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); g = open(sys.argv[2], 'w'); fcntl.lockf(g, 2);"
        "print('held', flush=True); sys.stdin.read()")
holder = subprocess.Popen([sys.executable, "-c", HOLD, here + "/flocked", here + "/lockfed"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE)
holder.stdout.readline()
epoll = select.epoll()
for fd in (read_end, near, one): epoll.register(fd, select.EPOLLIN)
poll = select.poll(); poll.register(read_end, select.POLLIN)
three = select.poll()
for fd in (read_end, near, one): three.register(fd, select.POLLIN)
flocked, lockfed = open(here + "/flocked"), open(here + "/lockfed", "w")
def write():
    while True: os.write(full_end, bytes(65536))
def wait(name, what):
    threading.Thread(target=what, name=name, daemon=True).start()
{waits}
print("READY", flush=True)
sys.stdin.read()
"""

ADDRESS = r"127\.0\.0\.1:\d+"
# name: (what the thread does, its line after the tid, its state, what "waits_for" has at least)
WAITS = {
    "recv": ("lambda: near.recv(1)", rf"recv on fd \d+, TCP {ADDRESS} -> {ADDRESS}, 0 bytes queued", "io",
             {"kind": "io", "syscall": "recv", "type": "TCP", "bytes": 0}),
    "recv a datagram": ("lambda: udp.recv(1)", rf"recv on fd \d+, UDP {ADDRESS}, 0 bytes queued", "io",
                        {"kind": "io", "syscall": "recv", "type": "UDP"}),
    "recv, Unix, named": ("lambda: caller.recv(1)", r"recv on fd \d+, Unix -> \S+/named\.sock, 0 bytes queued", "io",
                          {"kind": "io", "type": "Unix"}),
    "recv, Unix, a pair": ("lambda: one.recv(1)", r"recv on fd \d+, Unix -> pid \d+ \(\S+\), 0 bytes queued", "io",
                           {"kind": "io", "type": "Unix"}),
    "accept": ("lambda: listener.accept()", rf"accept on fd \d+, TCP {ADDRESS}", "io", {"kind": "io", "syscall": "accept"}),
    "accept, Unix": ("lambda: named.accept()", r"accept on fd \d+, Unix \S+/named\.sock", "io", {"syscall": "accept", "type": "Unix"}),
    "accept, IPv6": ("lambda: six.accept()", r"accept on fd \d+, TCP \[::1\]:\d+", "io", {"syscall": "accept", "type": "TCP"}),
    "read a pipe": ("lambda: os.read(read_end, 1)", r"read on fd \d+, pipe:\[\d+\], 0 bytes queued", "io",
                    {"kind": "io", "syscall": "read", "bytes": 0}),
    "write a pipe": ("write", r"write on fd \d+, pipe:\[\d+\]", "io", {"kind": "io", "syscall": "write"}),
    "flock": ("lambda: fcntl.flock(flocked, 2)", r"flock on fd \d+, \S+/flocked, held by pid \d+ \(\S+\)", "io",
              {"kind": "io", "syscall": "flock"}),
    "lockf": ("lambda: fcntl.lockf(lockfed, 2)", r"fcntl on fd \d+, \S+/lockfed, held by pid \d+ \(\S+\)", "io",
              {"kind": "io", "syscall": "fcntl"}),
    "epoll": ("epoll.poll", "epoll_wait on 3 fds", "io", {"kind": "io", "syscall": "epoll_wait", "fds": 3}),
    "select": ("lambda: select.select([read_end, near], [], [])", "select on 2 fds", "io", {"syscall": "select", "fds": 2}),
    "select of one": ("lambda: select.select([far], [], [])", rf"select on fd \d+, TCP {ADDRESS} -> {ADDRESS}", "io",
                      {"syscall": "select", "type": "TCP"}),
    "poll": ("three.poll", "poll on 3 fds", "io", {"syscall": "poll", "fds": 3}),
    "poll of one": ("poll.poll", r"poll on fd \d+, pipe:\[\d+\]", "io", {"syscall": "poll"}),
    "sleep": ("lambda: time.sleep(3600)", "sleeping", "sleep", {"kind": "sleep"}),
    "wait for a child": ("lambda: os.waitpid(holder.pid, 0)", r"waiting for child process pid \d+ \(\S+\)", "child", {"kind": "child"}),
    "wait for any child": ("lambda: os.waitid(os.P_ALL, 0, os.WEXITED)", "waiting for a child process", "child", {"kind": "child"}),
}


if not has_ipv6():
    del WAITS["accept, IPv6"]


def heads(text):
    """What the text says of each thread, by name."""
    return {m[1]: m[2] for m in re.finditer(r"^<\w+\(([^\n]*), started[^\n]*\)>  tid \d+, ([^\n]*)$", text, re.M)}


def program_of(start, python, waits):
    lines = "\n".join(f"wait({name!r}, {what[0]})" for name, what in waits.items())
    return start(python, PROGRAM.replace("{waits}", lines))


def test_each_wait_in_the_kernel_has_its_line(python, start, client, dump):
    program = program_of(start, python, WAITS)

    def wrong():
        said = heads(client("--socket", program.socket, "--no-repl").out)
        return {name: said.get(name) for name, (_, line, *_) in WAITS.items()
                if not re.fullmatch(line + r"(, for [\d.]+ s)?(, CPU [\d.]+ s)?", said.get(name, ""))}

    wait_until(lambda: not wrong(), "each thread waits", lambda: str(wrong()))
    threads = {t["name"]: t for t in dump(program)["threads"]}
    for name, (_, _, state, want) in WAITS.items():
        got = threads[name]["waits_for"]
        assert threads[name]["state"] == state and want.items() <= got.items(), (name, threads[name]["state"], got)
        assert threads[name]["os_name"] and threads[name].get("cpu_seconds", 0) >= 0
    pids = {threads[name]["waits_for"]["pid"] for name in ("flock", "lockf", "wait for a child")}
    assert len(pids) == 1, "all three are about the one child"
    recv = threads["recv"]["waits_for"]
    assert recv["local"] == threads["select of one"]["waits_for"]["peer"] and recv["peer"].startswith("127.0.0.1:")


def test_a_connect_says_whom_it_wants(one_python, start, client):
    """A Unix socket whose queue is full: connect waits there, and the address is known from the call alone."""
    program = start(one_python, """
import os, socket, sys, threading, pystuck
pystuck.run_server()
path = os.path.dirname(os.path.abspath(__file__)) + "/full.sock"
listener = socket.socket(socket.AF_UNIX); listener.bind(path); listener.listen(0)
kept = []
while True:
    s = socket.socket(socket.AF_UNIX); s.setblocking(False); kept.append(s)
    try: s.connect(path)
    except BlockingIOError: break
last = socket.socket(socket.AF_UNIX)
threading.Thread(target=lambda: last.connect(path), name="caller", daemon=True).start()
print("READY", flush=True)
sys.stdin.read()
""")

    def said():
        return heads(client("--socket", program.socket, "--no-repl").out).get("caller", "")

    wait_until(lambda: re.match(r"connect on fd \d+, Unix -> \S+/full\.sock$", said().split(", for")[0]), "connect waits", said)


def test_an_fd_that_was_closed_meanwhile_is_not_described_as_another(one_python, start, dump):
    """The thread waits on a socket whose number has become a file's: what the number stands for now is what is said, or nothing."""
    program = start(one_python, """
import os, socket, sys, threading, time, pystuck
pystuck.run_server()
a, b = socket.socketpair()
number = a.fileno()
threading.Thread(target=lambda: os.read(number, 1), name="reader", daemon=True).start()
print("READY", flush=True)
sys.stdin.readline()
fd = os.open(__file__, os.O_RDONLY)
os.dup2(fd, number)
print("CHANGED", flush=True)
sys.stdin.read()
""")

    def waits():
        return [t["waits_for"] for t in dump(program)["threads"] if t["name"] == "reader"][0]

    wait_until(lambda: (waits() or {}).get("type") == "Unix", "the reader waits")
    program.say("")
    program.out.until("CHANGED")
    now = waits()
    assert now["syscall"] == "read" and "type" not in now and "peer" not in now, now
    assert program.alive()


@pytest.mark.parametrize("dumpable", [True, False])
def test_a_process_that_is_not_dumpable_says_less_and_nothing_wrong(one_python, start, dump, dumpable):
    program = start(one_python, """
import ctypes, os, sys, threading, pystuck
pystuck.run_server()
r, w = os.pipe()
threading.Thread(target=lambda: os.read(r, 1), name="reader", daemon=True).start()
ctypes.CDLL(None).prctl(4, %d)
print("READY", flush=True)
sys.stdin.read()
""" % dumpable)

    def reader():
        return [t for t in dump(program)["threads"] if t["name"] == "reader"][0]

    wait_until(lambda: reader()["state"] == "io", "the reader waits", lambda: str(reader()))
    waits = reader()["waits_for"]
    assert waits["kind"] == "io"
    if dumpable:
        assert waits["syscall"] == "read" and waits["path"].startswith("pipe:")
    else:
        assert "path" not in waits or waits["path"].startswith("pipe:")


# All that it needs it has imported and opened while it was root.
NOBODYS = """
import ctypes, gc, linecache, os, pwd, sys, threading, time
import pystuck
pystuck.run_server()
libc = ctypes.CDLL(None)
here = os.path.dirname(os.path.abspath(__file__))
r, w = os.pipe()
a, b, ready = threading.Lock(), threading.RLock(), threading.Barrier(2)
class Circle:
    def __init__(self): self.itself = self
    def __del__(self): time.sleep(100000)
def work(mine, other):
    with mine:
        ready.wait()
        with other: pass
def wait(name, what, *args): threading.Thread(target=what, args=args, name=name, daemon=True).start()
wait("reads", os.read, r, 1)
wait("sleeps", time.sleep, 100000)
wait("first", work, a, b)
wait("second", work, b, a)
def collect():
    Circle()
    gc.collect()
wait("collects", collect)
nobody = pwd.getpwnam("nobody")
os.setgroups([]); os.setgid(nobody.pw_gid); os.setuid(nobody.pw_uid)
libc.prctl(4, %d)
assert os.getuid() == nobody.pw_uid and "CapEff:\\t0000000000000000" in open("/proc/thread-self/status").read()
print("READY", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become nobody")
def test_without_any_privilege_all_is_said_of_a_process_that_is_dumpable(python, start, dump):
    program = start(python, NOBODYS % 1)

    def threads():
        return {t["name"]: t for t in dump(program)["threads"]}

    wait_until(lambda: len(dump(program)["deadlocks"]) == 1, "the deadlock is seen", lambda: str(threads()))
    wait_until(lambda: threads()["collects"]["state"] == "gc", "one collects", lambda: str(threads()))
    now = threads()
    assert now["reads"]["waits_for"]["path"].startswith("pipe:") and now["sleeps"]["state"] == "sleep"
    assert now["first"]["waits_for"]["holder"]["name"] == "second" and now["second"]["waits_for"]["confidence"] == "inferred"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become nobody")
@pytest.mark.parametrize("raw", [(), ("--raw",)], ids=["gil", "raw"])
def test_without_any_privilege_and_not_dumpable_less_is_said_and_nothing_guessed(python, start, dump, raw):
    """The kernel shows neither the calls of the threads nor their files: so no lock, no holder, no deadlock, no file is named."""
    program = start(python, NOBODYS % 0)

    def threads(answer):
        return {t["name"]: t for t in answer["threads"] if t["name"] != "MainThread"}

    stacks = {"reads": "run", "sleeps": "run", "first": "work", "second": "work", "collects": "__del__"}
    def innermost(answer):
        return {name: t["frames"][-1]["function"].split(".")[-1] for name, t in threads(answer).items()}

    def are_there():
        answer = dump(program)
        return innermost(answer) == stacks and not {t["state"] for t in threads(answer).values()} & {"cpu", "gil"}

    wait_until(are_there, "all wait", lambda: str(dump(program)["threads"]))
    for _ in range(5):
        answer = dump(program, *raw)
        assert answer["deadlocks"] == [] and answer["led_into"] == [] and innermost(answer) == stacks
        for name, thread in threads(answer).items():
            waits = thread["waits_for"] or {}
            assert not set(waits) & {"path", "fd", "address", "local", "peer", "pid", "name"}, (name, waits)
            assert waits.get("holder") is None and waits.get("proved") in (None, False), (name, waits)
        states = {name: thread["state"] for name, thread in threads(answer).items()}
        assert states["reads"] in ("io", "c", "unknown") and states["first"] in ("lock", "c", "unknown"), states
        # Up to 3.10 time.sleep() is select(2), and the place in the kernel alone does not tell that it is of no fd.
        asleep = ("sleep", "c", "unknown", "io")
        assert states["sleeps"] in asleep and states["collects"] in ("gc", *asleep), states


def test_how_long_a_thread_has_been_there_is_never_too_much_on_any_processor(python, start, dump):
    """The scheduler's clocks of two processors may be seconds apart."""
    cpus = sorted(os.sched_getaffinity(0))[:4]
    program = start(python, f"""
import os, sys, threading, time, pystuck
pystuck.run_server()
def stay(cpu):
    os.sched_setaffinity(0, {{cpu}})
    began[cpu] = time.monotonic()
    threading.Event().wait()
began = {{}}
for cpu in {cpus}:
    threading.Thread(target=stay, args=(cpu,), name=str(cpu), daemon=True).start()
while len(began) < {len(cpus)}: time.sleep(0.01)
print("READY", flush=True)
print("BEGAN", min(began.values()), flush=True)
sys.stdin.read()
""")
    began = float(program.out.until(r"BEGAN (\S+)")[1])

    def seconds():
        """What is said of each, once all have stayed for a second; and how long that can be at most."""
        waits = {t["name"]: t["waits_for"] for t in dump(program)["threads"] if t["name"].isdigit()}
        assert set(waits) == set(map(str, cpus))
        told = [wait["seconds"] for wait in waits.values() if wait and "seconds" in wait]
        return (told, time.monotonic() - began) if len(told) == len(cpus) and min(told) > 1 else None

    told, most = wait_until(seconds, "it is told of all threads", lambda: str(dump(program)["threads"]))
    assert max(told) <= most, (told, most)


# --- the garbage collector -------------------------------------------------------------------------------------------

# Each thread is inside the collector, or only in what looks like it; `go` is read by the thread, so that all is at hand before.
COLLECTS = """
import gc, os, sys, threading, time, weakref
import pystuck
pystuck.run_server(gil_timeout=0.3)
gc.disable()
class Circle:
    def __init__(self, act): self.itself, self.act = self, act
    def __del__(self): self.act()
class Plain(Circle):
    def __init__(self, act): self.act = act
lock = threading.Lock(); lock.acquire()
shut_r, shut_w = os.pipe()
spinning = threading.Event()
def spin():
    spinning.set()
    while True: pass
def by_del(act):
    Circle(act)
    gc.collect()
def by_itself(act):
    Circle(act)
    gc.set_threshold(100)
    gc.enable()
    kept = []
    while True: kept.append([])
def by_weakref(act):
    one = Circle(lambda: None)
    refs.append(weakref.ref(one, lambda _: act()))
    del one
    gc.collect()
def by_clearing(act):
    one = Circle(lambda: None)
    one.inner = Plain(act)
    del one
    gc.collect()
def no_collection(act):
    one = Plain(act)
    del one
refs = []
{first}
for name, what in {second}: threading.Thread(target=what, name=name, daemon=True).start()
print("READY", flush=True)
time.sleep(100000)
"""

# name: (how the collector is started, what it calls then, the line after "collecting garbage")
COLLECTORS = {
    "a __del__ that sleeps": ("by_del", "lambda: time.sleep(100000)", ": sleeping"),
    "a __del__ that waits for a lock": ("by_del", "lock.acquire", r": waiting for lock \(Lock at 0x\w+\), held by MainThread at \S+ \(inferred\)"),
    "a __del__ that reads": ("by_del", "lambda: os.read(shut_r, 1)", r": read on fd \d+, pipe:\[\d+\], 0 bytes queued"),
    "a __del__ that computes": ("by_del", "spin", r"(: waiting for the GIL.*)?"),
    "an automatic collection": ("by_itself", "lambda: time.sleep(100000)", ": sleeping"),
    "a weak reference's callback": ("by_weakref", "lambda: time.sleep(100000)", ": sleeping"),
    "what is freed by it": ("by_clearing", "lambda: time.sleep(100000)", ": sleeping"),
}


def said_of(client, program):
    return heads(client("--socket", program.socket, "--no-repl").out)


def states(answer):
    return {t["name"]: t["state"] for t in answer["threads"]}


@pytest.mark.parametrize("name", COLLECTORS)
def test_who_collects_garbage_is_said_to(python, start, client, dump, name):
    how, act, line = COLLECTORS[name]
    program = start(python, COLLECTS.format(first="", second=f"dict(collects=lambda: {how}({act}), other=lock.acquire).items()"))
    wanted = {"MainThread": "sleep", "collects": "gc", "other": "lock"}
    answer = wait_until(lambda: (a := dump(program)) and states(a) == wanted and a, "one collects", lambda: str(dump(program)["threads"]))
    assert "1 collecting garbage" in answer["summary"]
    line = "collecting garbage" + line + r"(, for [\d.]+ s)?(, CPU [\d.]+ s)?"
    wait_until(lambda: re.fullmatch(line, said_of(client, program)["collects"]), line, lambda: said_of(client, program)["collects"])


def test_nobody_is_said_to_collect_garbage_who_does_not(python, start, dump):
    """A __del__ without the collector; and the collector at work beside threads that compute, of which it could be any."""
    program = start(python, COLLECTS.format(
        first="", second="dict(frees=lambda: no_collection(lambda: time.sleep(100000)), collects=lambda: by_del(spin), "
                         "computes=lambda: (spinning.wait(), spin()), waits=lock.acquire).items()"))
    for _ in range(30):
        now = states(dump(program))
        assert "gc" not in {now[name] for name in ("MainThread", "frees", "computes", "waits")}, now


def test_a_huge_heap_that_is_traversed_is_collected_by_who_has_the_gil(one_python, start, dump):
    """Without the GIL: the collector never lets go of it, and calls nothing. It traverses one very long list, again and again."""
    program = start(one_python, COLLECTS.format(
        first="heap = [[] for _ in range(1_000_000)]",
        second="dict(collects=lambda: [gc.collect() for _ in iter(int, 1)], waits=lock.acquire).items()"))

    def seen():
        answer = dump(program, "--raw")
        assert states(answer)["waits"] != "gc" and states(answer)["MainThread"] != "gc"
        return states(answer)["collects"] == "gc"

    wait_until(seen, "the collector is met at work")


MANY = """
import queue, sys, threading, time
import concurrent.futures as futures
import pystuck
pystuck.run_server()
event, empty, result = threading.Event(), queue.Queue(), futures.Future()
condition, taken = threading.Condition(), threading.Lock()
taken.acquire()
def wait_in_turn(name, wait):
    for i in range(25):
        threading.Thread(target=wait, name=f"{name} {i}", daemon=True).start()
def held():
    with condition: condition.wait(1000)
def mine():
    # The variable of threading's function has its name here too: the lock in it is waited for by others.
    waiter = taken
    time.sleep(1000)
threading.stack_size(256 * 1024)
for name, wait in {"first": event.wait, "event": event.wait, "timed": lambda: event.wait(1000), "queue": empty.get,
                   "future": result.result, "condition": held, "lock": taken.acquire, "sleep": mine}.items():
    wait_in_turn(name, wait)
print("READY", flush=True)
sys.stdin.read()
"""


ABOVE = """
import sys, threading, time
import pystuck
threading.stack_size(256 * 1024)
def is_above(lock, ident):
    return 0 < id(lock) - ident < 1 << 15
def wait(lock):
    lock.acquire() if is_above(lock, threading.get_ident()) else time.sleep(1000)
kept, last, found = [], 0, 0
while found < 3 and len(kept) < 500_000:
    kept.append(threading.Lock())
    if abs(id(kept[-1]) - last) > 1 << 18:  # the first one in memory that is new: the stack is put right below that
        kept[-1].acquire()
        waiter = threading.Thread(target=wait, args=(kept[-1],), daemon=True)
        waiter.start()
        if is_above(kept[-1], waiter.ident):
            waiter.name = "above"
            found += 1
    last = id(kept[-1])
pystuck.run_server()
print("READY", flush=True)
sys.stdin.read()
"""


def test_a_lock_that_lies_right_above_the_stack_is_proved_too(python, start, dump):
    program = start(python, ABOVE)

    def waiting():
        threads = [t for t in dump(program)["threads"] if t["name"] == "above"]
        return threads if all(t["state"] == "lock" for t in threads) else None

    threads = wait_until(waiting, "they wait")
    assert len(threads) == 3 and all(t["waits_for"]["proved"] for t in threads), threads


def test_what_many_threads_wait_for_is_proved_of_each_of_them(python, start, dump):
    """Most of them are beyond those of which the kernel is asked."""
    kinds = {"event": ("lock", "Event", None), "timed": ("lock", "Event", True), "queue": ("queue", "Queue", None),
             "future": ("future", "Future", None), "condition": ("lock", "Condition", True), "lock": ("lock", "Lock", None)}
    program = start(python, MANY)

    def waiting():
        threads = [t for t in dump(program)["threads"] if not t["name"].startswith("Main")]
        return threads if len(threads) == 200 and all(t["state"] in ("lock", "sleep") for t in threads) else None

    threads = wait_until(waiting, "all threads wait")
    for thread in threads:
        kind, wait = thread["name"].split()[0], thread["waits_for"]
        if kind == "sleep":
            assert thread["state"] == "sleep" and wait["kind"] == "sleep", thread
        elif kind != "first":
            assert (wait["kind"], wait["type"], wait.get("timed")) == kinds[kind] and wait["proved"], thread
    for name in ("event", "queue", "lock"):
        assert len({t["waits_for"]["address"] for t in threads if t["name"].startswith(name)}) == 1
