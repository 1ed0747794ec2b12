"""One thread for each kind of wait, and what pystuck says of it: for test_kinds.py, and for docs/WAITS.md (tools/show-waits).

What lives here: the programs and their lines. What does not: why a line is right, and the JSON (test_locks.py, test_waits.py).
"""

import re
import socket
from dataclasses import dataclass


@dataclass
class Kind:
    title: str  # the thread's name, too
    code: str   # what the thread does
    line: str   # what is said of it, as a regular expression


@dataclass
class Section:
    title: str
    setup: str
    kinds: list


HEAD = """
import concurrent.futures, contextlib, ctypes, fcntl, gc, hashlib, multiprocessing, os, pty, queue, select, selectors, signal, socket
import subprocess, sys, threading, time
import pystuck
pystuck.run_server()
here = os.path.dirname(os.path.abspath(__file__))
def start(name, what):
    threading.Thread(target=what, name=name, daemon=True).start()
"""
TAIL = """
print("READY", flush=True)
sys.stdin.read()
"""

OBJECT = r"\({} at 0x[0-9a-f]+\)"
HELD = r", held by holder at \S+:\d+"
PID = r"pid \d+ \(\S+\)"
FOUR, SIX = r"127\.0\.0\.1:\d+", r"\[::1\]:\d+"


def on(word, kind, name, more=""):
    return f"{word} '{re.escape(name)}' " + OBJECT.format(kind) + more


LOCKS = Section("Locks", """
lock, taken, free_for_all, rlock = threading.Lock(), threading.Lock(), threading.Lock(), threading.RLock()
free_for_all.acquire(timeout=1)
class Account:
    def __init__(self): self._lock = lock
account = Account()
cond, event, barrier = threading.Condition(), threading.Event(), threading.Barrier(2)
semaphore, bounded = threading.Semaphore(0), threading.BoundedSemaphore(1)
bounded.acquire()
@contextlib.contextmanager
def locked():
    with stock: yield
stock, shelf, row = threading.Lock(), threading.Lock(), threading.Lock()
def rows():
    with row: yield 1
inside = threading.Event()
def hold():
    all_rows = rows()
    next(all_rows)
    taken.acquire()
    with lock, rlock, locked():
        with contextlib.ExitStack() as stack:
            stack.enter_context(shelf)
            inside.set()
            time.sleep(100000)
start("holder", hold)
inside.wait()
""", [
    Kind("Lock, with", "with lock: pass", on("waiting for lock", "Lock", "lock", HELD + r" \(inferred\)")),
    Kind("Lock, acquire()", "account._lock.acquire()", on("waiting for lock", "Lock", "account._lock", HELD + r" \(inferred\)")),
    Kind("Lock that was taken by acquire()", "taken.acquire()", on("waiting for lock", "Lock", "taken", HELD + r" \(inferred\)")),
    Kind("Lock, nobody knows whose", "free_for_all.acquire()", on("waiting for lock", "Lock", "free_for_all")),
    Kind("Lock, held by a contextmanager", "with stock: pass", on("waiting for lock", "Lock", "stock", HELD + r" \(inferred\)")),
    Kind("Lock, held by an ExitStack", "with shelf: pass", on("waiting for lock", "Lock", "shelf", HELD + r" \(inferred\)")),
    Kind("Lock, held by a suspended generator", "with row: pass", on("waiting for lock", "Lock", "row", HELD + r" \(inferred\)")),
    Kind("RLock", "with rlock: pass", on("waiting for lock", "RLock", "rlock", HELD)),
    Kind("Condition", "with cond: cond.wait()", on("waiting for condition", "Condition", "cond")),
    Kind("Condition, wait_for()", "with cond: cond.wait_for(lambda: False)", on("waiting for condition", "Condition", "cond")),
    Kind("Event", "event.wait()", on("waiting for event", "Event", "event")),
    Kind("Semaphore", "with semaphore: pass", on("waiting for semaphore", "Semaphore", "semaphore")),
    Kind("BoundedSemaphore", "bounded.acquire()", on("waiting for semaphore", "BoundedSemaphore", "bounded")),
    Kind("Barrier", "barrier.wait()", on("waiting at barrier", "Barrier", "barrier")),
])

WORK = Section("Queues, threads, futures, modules", """
empty, full, simple, last, first = queue.Queue(), queue.Queue(1), queue.SimpleQueue(), queue.LifoQueue(), queue.PriorityQueue()
full.put(1)
start("sleeper", lambda: time.sleep(100000))
sleeper = next(t for t in threading.enumerate() if t.name == "sleeper")
pool = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="worker")
running = [pool.submit(time.sleep, 100000) for _ in range(2)]
queued = pool.submit(int)
idle = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="idle worker")
idle.submit(int).result()
with open(here + "/slow.py", "w") as file: file.write("import __main__, time\\n__main__.importing.set()\\ntime.sleep(100000)\\n")
importing = threading.Event()
def import_slow(): import slow
start("importer", import_slow)
importing.wait()
""", [
    Kind("Queue, get()", "empty.get()", on("waiting for queue", "Queue", "empty")),
    Kind("Queue, put()", "full.put(2)", on("waiting for queue", "Queue", "full")),
    Kind("Queue, join()", "full.join()", on("waiting for queue", "Queue", "full")),
    Kind("LifoQueue", "last.get()", on("waiting for queue", "LifoQueue", "last")),
    Kind("PriorityQueue", "first.get()", on("waiting for queue", "PriorityQueue", "first")),
    Kind("SimpleQueue", "simple.get()", on("waiting for queue", "SimpleQueue", "simple")),
    Kind("Thread.join", "sleeper.join()", "waiting for the end of sleeper 'sleeper' " + OBJECT.format("Thread")),
    Kind("Future.result", "running[0].result()", on("waiting for future", "Future", "running[0]", r", run by worker_\d")),
    Kind("Future.result, queued", "queued.result()", on("waiting for future", "Future", "queued", ", queued in a pool of 2 threads")),
    Kind("concurrent.futures.wait", "concurrent.futures.wait(running)", on("waiting for event", "Event", "waiter.event")),
    Kind("concurrent.futures.as_completed", "list(concurrent.futures.as_completed(running))", on("waiting for event", "Event", "waiter.event")),
    Kind("Import of a module that another thread imports", "import slow",
         r"waiting for the import of module 'slow' \(0x[0-9a-f]+\), which is imported by importer"),
])

PROCESSES = Section("Processes", """
context = multiprocessing.get_context("fork")
process_lock, process_semaphore, process_cond = context.Lock(), context.Semaphore(0), context.Condition()
process_lock.acquire()
process_queue, process_event = context.Queue(), context.Event()
def end_with_parent(): ctypes.CDLL(None).prctl(1, 9)
def asleep():
    end_with_parent()
    time.sleep(100000)
child = context.Process(target=asleep, daemon=True)
child.start()
processes = context.Pool(1, end_with_parent)
popen = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
until, ours = os.pipe()
talker = subprocess.Popen([sys.executable, "-c", "import os, sys; os.read(int(sys.argv[1]), 1)", str(until)], pass_fds=[until],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
""", [
    Kind("multiprocessing.Lock", "with process_lock: pass",
         on("waiting for lock", "Lock", "process_lock", r", held by MainThread \(inferred\)")),
    Kind("multiprocessing.Semaphore", "process_semaphore.acquire()", on("waiting for lock", "SemLock", "process_semaphore")),
    Kind("multiprocessing.Semaphore, with", "with process_semaphore: pass", on("waiting for semaphore", "Semaphore", "process_semaphore")),
    Kind("multiprocessing.Event", "process_event.wait()", on("waiting for event", "Event", "process_event")),
    Kind("multiprocessing.Condition", "with process_cond: process_cond.wait()", on("waiting for condition", "Condition", "process_cond")),
    Kind("multiprocessing.Queue", "process_queue.get()", r"read on fd \d+, pipe:\[\d+\], 0 bytes queued"),
    Kind("multiprocessing.Process.join", "child.join()", f"waiting for child process {PID}"),
    Kind("multiprocessing.Pool", "processes.apply(time.sleep, (100000,))", "waiting for event 'self._event' " + OBJECT.format("Event")),
    Kind("Popen.wait", "popen.wait()", f"waiting for child process {PID}"),
    Kind("Popen.communicate", "talker.communicate()", "poll on 2 fds"),
    Kind("os.waitpid", "os.waitpid(popen.pid, 0)", f"waiting for child process {PID}"),
    Kind("Any child", "os.waitid(os.P_ALL, 0, os.WEXITED)", "waiting for a child process"),
])

FILES = Section("Files, pipes, terminals", """
read_end, write_end = os.pipe()
empty_end, full_end = os.pipe()
os.mkfifo(here + "/fifo")
fifo = os.open(here + "/fifo", os.O_RDWR)
terminal, its_other_end = pty.openpty()
holding = "import fcntl, sys; f = [open(n, 'w') for n in sys.argv[1:]]; fcntl.flock(f[0], 2); fcntl.lockf(f[1], 2); print(flush=True); sys.stdin.read()"
holder = subprocess.Popen([sys.executable, "-c", holding, here + "/flocked", here + "/lockfed"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
holder.stdout.readline()
flocked, lockfed = open(here + "/flocked", "w"), open(here + "/lockfed", "w")
""", [
    Kind("Reading a pipe", "os.read(read_end, 1)", r"read on fd \d+, pipe:\[\d+\], 0 bytes queued"),
    Kind("Writing a pipe", "while True: os.write(full_end, bytes(65536))", r"write on fd \d+, pipe:\[\d+\].*"),
    Kind("Reading a FIFO", "os.read(fifo, 1)", r"read on fd \d+, \S+/fifo.*"),
    Kind("Reading a terminal", "os.read(its_other_end, 1)", r"read on fd \d+, /dev/pts/\d+.*"),
    Kind("flock", "fcntl.flock(flocked, fcntl.LOCK_EX)", rf"flock on fd \d+, \S+/flocked, held by {PID}"),
    Kind("A lock of fcntl", "fcntl.lockf(lockfed, fcntl.LOCK_EX)", rf"fcntl on fd \d+, \S+/lockfed, held by {PID}"),
])


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


SOCKETS = Section("Sockets", """
def pair(family, address):
    listener = socket.create_server((address, 0), family=family)
    near = socket.create_connection(listener.getsockname()[:2])
    return listener, near, listener.accept()[0]
listener, near, far = pair(socket.AF_INET, "127.0.0.1")
_, deaf, sender = pair(socket.AF_INET, "127.0.0.1")
listener6, near6, far6 = pair(socket.AF_INET6, "::1") if {six} else (None, None, None)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("127.0.0.1", 0))
os.chdir(here)
named = socket.socket(socket.AF_UNIX); named.bind("named.sock"); named.listen()
caller = socket.socket(socket.AF_UNIX); caller.connect("named.sock")
one, other = socket.socketpair()
crowded = socket.socket(socket.AF_UNIX); crowded.bind("crowded.sock"); crowded.listen(0)
crowd = []
while True:
    crowd.append(socket.socket(socket.AF_UNIX))
    crowd[-1].setblocking(False)
    try: crowd[-1].connect("crowded.sock")
    except BlockingIOError: break
late = socket.socket(socket.AF_UNIX)
busy = socket.create_server(("127.0.0.1", 0), backlog=0)
callers = [socket.socket() for _ in range(4)]
for each in callers[:-1]:
    each.setblocking(False)
    each.connect_ex(busy.getsockname())
""", [
    Kind("recv, TCP", "near.recv(1)", rf"recv on fd \d+, TCP {FOUR} -> {FOUR}, 0 bytes queued"),
    Kind("send, TCP", "sender.sendall(bytes(1 << 28))", rf"send on fd \d+, TCP {FOUR} -> {FOUR}, \d+ bytes not taken yet"),
    Kind("accept, TCP", "listener.accept()", rf"accept on fd \d+, TCP {FOUR}"),
    Kind("connect, TCP", "callers[-1].connect(busy.getsockname())", rf"connect on fd \d+, TCP \S+ -> {FOUR}"),
    Kind("recv, TCP over IPv6", "near6.recv(1)", rf"recv on fd \d+, TCP {SIX} -> {SIX}, 0 bytes queued"),
    Kind("accept, TCP over IPv6", "listener6.accept()", rf"accept on fd \d+, TCP {SIX}"),
    Kind("recv, UDP", "udp.recv(1)", rf"recv on fd \d+, UDP {FOUR}, 0 bytes queued"),
    Kind("recv, Unix", "caller.recv(1)", r"recv on fd \d+, Unix -> named\.sock, 0 bytes queued"),
    Kind("recv, socketpair", "one.recv(1)", rf"recv on fd \d+, Unix -> {PID}, 0 bytes queued"),
    Kind("accept, Unix", "while True: crowd.append(named.accept())", r"accept on fd \d+, Unix named\.sock"),
    Kind("connect, Unix", "late.connect('crowded.sock')", r"connect on fd \d+, Unix -> crowded\.sock"),
])

SEVERAL = Section("Several at once", """
read_end, write_end = os.pipe()
one, other = socket.socketpair()
poll = select.poll()
for fd in (read_end, one): poll.register(fd, select.POLLIN)
epoll = select.epoll()
for fd in (read_end, one): epoll.register(fd, select.EPOLLIN)
selector = selectors.DefaultSelector()
for fd in (read_end, one, other): selector.register(fd, selectors.EVENT_READ)
""", [
    Kind("poll", "poll.poll()", "poll on 2 fds"),
    Kind("select", "select.select([read_end, one], [], [])", "select on 2 fds"),
    Kind("select on one", "select.select([read_end], [], [])", r"select on fd \d+, pipe:\[\d+\]"),
    Kind("epoll", "epoll.poll()", "epoll_wait on 2 fds"),
    Kind("selectors", "selector.select()", "epoll_wait on 3 fds"),
])

REST = Section("Time, signals, computing", """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
libc = ctypes.CDLL(None)
class Circle:
    def __init__(self): self.itself = self
    def __del__(self): time.sleep(100000)
""", [
    Kind("time.sleep", "time.sleep(100000)", "sleeping"),
    Kind("signal.sigwait", "signal.sigwait([signal.SIGUSR1])", r"in (rt_)?sigtimedwait"),
    Kind("signal.pause", "signal.pause()", "in pause|sleeping"),
    Kind("A function in C that waits", "libc.pause()", "in pause|sleeping"),
    Kind("Collecting garbage, in a __del__", "Circle(); gc.collect()", "collecting garbage: sleeping"),
])

COMPUTING = Section("The processor and the GIL", """
def compute():
    while True: pass
""", [
    Kind("On a processor", "compute()", "on CPU"),
    Kind("Waiting for the GIL", "compute()", "waiting for the GIL, held by On a processor"),
    Kind("In C code without the GIL", "while True: hashlib.pbkdf2_hmac('sha256', b'', b'', 1 << 22)", "on CPU"),
])

SECTIONS = [LOCKS, WORK, PROCESSES, FILES, SOCKETS, SEVERAL, REST, COMPUTING]
if not has_ipv6():
    SOCKETS.kinds = [kind for kind in SOCKETS.kinds if "IPv6" not in kind.title]
SOCKETS.setup = SOCKETS.setup.replace("{six}", str(has_ipv6()))

TIMES = r"(?:, for [^,\n]+ s)?(?:, CPU [^,\n]+ s)?"


def program(section):
    """The text of a program with a thread for each kind."""
    threads = "".join(f"def kind{i}():\n    {kind.code}\nstart({kind.title!r}, kind{i})\n" for i, kind in enumerate(section.kinds))
    return HEAD + section.setup + threads + TAIL


def heads(text):
    """What the text says of each thread, by name."""
    return {m[1]: m[2] for m in re.finditer(r"^<\w+\(([^\n]*), started[^\n]*\)>  tid \d+, ([^\n]*)$", text, re.M)}


class Seen:
    """The lines that have been as they should, each of some look: threads that compute are now here, now there."""

    def __init__(self, section):
        self.section = section
        self.lines, self.last = {}, {}

    def look(self, text):
        """1 when all have been seen."""
        self.last = heads(text)
        for kind in self.section.kinds:
            line = self.last.get(kind.title, "")
            if kind.title not in self.lines and re.fullmatch(f"(?:{kind.line})" + TIMES, line):
                self.lines[kind.title] = line
        return len(self.lines) == len(self.section.kinds)

    def missing(self):
        return {k.title: (k.line, self.last.get(k.title)) for k in self.section.kinds if k.title not in self.lines}


# --- the page --------------------------------------------------------------------------------------------------------

# What stands on top of the stacks. (title, program, first line)
DEADLOCKS = [
    ("Two locks, the other way round", """
a, b, ready = threading.Lock(), threading.RLock(), threading.Barrier(2)
def first():
    with a:
        ready.wait()
        with b: pass
def second():
    with b:
        ready.wait()
        with a: pass
start("first", first)
start("second", second)
start("third", lambda: a.acquire())
""", "Deadlock: 2 threads wait for each other"),
    ("A thread pool that waits for itself", """
pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="worker")
def outer(): return pool.submit(int).result()
pool.submit(outer)
""", "Deadlock: a thread pool waits for itself: its only thread waits for what only it could run"),
    ("Until a time is up", """
a, b, ready = threading.RLock(), threading.RLock(), threading.Barrier(2)
def work(mine, other):
    with mine:
        ready.wait()
        other.acquire(timeout=100000)
start("first", lambda: work(a, b))
start("second", lambda: work(b, a))
""", "Possible deadlock: 2 threads wait for each other, until the time of a wait is up"),
]


def deadlock_program(text):
    return HEAD + text + TAIL


def top(text):
    """What stands above the stacks: the summary and the deadlocks."""
    return text.split("\n\n")[0]


BEGIN, END = "<!-- made by tools/show-waits: begin -->\n", "<!-- end -->\n"


def entry(kind, line):
    return f"**{kind.title}**: `{kind.code}`\n\n    {line}\n"
