"""Frame for frame the same as others see: sys._current_frames() in the program itself, and py-spy from outside.

What lives here: an idle program with frames of all kinds, and the comparison. What does not: the environment with py-spy (tools/check-agree).

Environment: PYSTUCK_PYTHON (the interpreter), PYSTUCK_BUILD, PYSTUCK_SPY (the command py-spy; it needs the right to trace the program).
"""

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

BUILD = Path(os.environ["PYSTUCK_BUILD"]).resolve()
PYTHON = os.environ["PYSTUCK_PYTHON"]
SPY = os.environ["PYSTUCK_SPY"]
PATIENCE = float(os.environ.get("PYSTUCK_PATIENCE", "30"))

IDLE = '''
import asyncio, contextlib, functools, json, os, queue, re, socket, sys, threading, time
import pystuck
never, ours = threading.Event(), socket.socketpair()
held, rheld = threading.Lock(), threading.RLock()

def stay():
    never.wait()

def deep(n):
    if n == 0:
        return stay()
    return deep(n - 1)

def generator():
    yield 1
    stay()
    yield 2

def delegating():
    yield from generator()

class Kinds:
    @property
    def prop(self):
        return stay()
    @classmethod
    def of_class(cls):
        return cls().prop
    @staticmethod
    def of_none(*args, **kwargs):
        return Kinds.of_class()
    def __call__(self):
        class Body:
            value = Kinds.of_none(
                1,
                two=2)
    def __repr__(self):
        return str(stay())
    def __del__(self):
        if threading.current_thread().name == "finaliser":
            stay()

@contextlib.contextmanager
def managed():
    with rheld:
        yield stay()

def decorated(function):
    @functools.wraps(function)
    def wrapper(*args):
        try:
            return function(*args)
        finally:
            pass
    return wrapper

@decorated
def through_c():
    return list(map(lambda x: sorted([x, x], key=lambda y: re.sub(".", lambda m: stay(), "text")), [1]))

def comprehensions():
    return [{key: stay() for key in (n for n in range(1))} for _ in range(1)]

def in_with():
    with held, managed() as nothing:
        pass

def of_a_string():
    exec(compile("def inside():\\n\\n    stay()\\ninside()", "<made up>", "exec"), globals())

def in_condition():
    condition = threading.Condition()
    with condition:
        condition.wait_for(lambda: False)

async def inner():
    await asyncio.sleep(100000)

async def outer():
    await asyncio.gather(inner(), inner())

def in_except():
    try:
        raise ValueError
    except ValueError:
        with contextlib.ExitStack() as stack:
            stack.callback(stay)

THREADS = {
    "deep": lambda: deep(300), "generator": lambda: [list(delegating())], "kinds": Kinds(), "repr": lambda: f"{Kinds()!r:>5}",
    "c": through_c, "comprehensions": comprehensions, "with": in_with, "string": of_a_string, "except": in_except,
    "partial": functools.partial(functools.reduce, lambda a, b: stay(), [1, 2]), "finaliser": lambda: [Kinds() for _ in range(1)].clear(),
    "sleep": lambda: time.sleep(100000), "recv": lambda: ours[0].recv(1), "queue": lambda: queue.Queue().get(),
    "condition": in_condition, "loop": lambda: asyncio.run(outer()), "join": lambda: threads["sleep"].join(),
}
threads = {name: threading.Thread(target=target, name=name, daemon=True) for name, target in THREADS.items()}
for name in sorted(threads, key=lambda name: name == "join"):
    threads[name].start()
pystuck.run_server(socket=sys.argv[1])

def frames_of(frame):
    stack = []
    while frame is not None:
        code = frame.f_code
        stack.append([getattr(code, "co_qualname", code.co_name), code.co_filename, frame.f_lineno])
        frame = frame.f_back
    return stack[::-1]

def answer():
    print(json.dumps({str(t.ident): frames_of(sys._current_frames()[t.ident]) for t in threads.values() if t.is_alive()}), flush=True)

print("READY", flush=True)
for line in sys.stdin:
    answer()
'''


class Idle:
    def __init__(self, directory):
        directory.chmod(0o700)
        script = directory / "idle.py"
        script.write_text(IDLE)
        self.socket = str(directory / "idle.sock")
        self.process = subprocess.Popen([PYTHON, str(script), self.socket], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=dict(os.environ, PYTHONPATH=str(BUILD / "python")))
        assert self.line() == "READY\n"
        self.wait_idle()

    def line(self):
        assert select.select([self.process.stdout], [], [], PATIENCE)[0], "no line from the program"
        return self.process.stdout.readline()

    def wait_idle(self):
        """None of its threads has run for a while."""
        deadline, before = time.monotonic() + PATIENCE, None
        while time.monotonic() < deadline:
            tasks = sorted(Path(f"/proc/{self.process.pid}/task").iterdir())
            now = [(task / "schedstat").read_text() for task in tasks]
            if now == before:
                return
            before = now
            time.sleep(0.3)
        pytest.fail("the program does not come to rest")

    def of_python(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = json.loads(self.line())
        self.wait_idle()
        return {int(ident): [tuple(frame) for frame in stack] for ident, stack in answer.items()}

    def of_pystuck(self, *more):
        done = subprocess.run([str(BUILD / "pystuck"), "--socket", self.socket, "--json", "--no-repl", *more], capture_output=True, text=True,
                              timeout=PATIENCE)
        assert done.returncode == 0, done
        dump = json.loads(done.stdout)
        assert dump["how"] == ("raw" if more else "gil") and not any(t["omitted_frames"] for t in dump["threads"])
        return {t["ident"]: [(f["function"], f["file"], f["line"]) for f in t["frames"]] for t in dump["threads"]}

    def of_py_spy(self):
        done = subprocess.run([SPY, "dump", "--json", "--pid", str(self.process.pid)], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done
        return {t["thread_id"]: [(f["name"], f["filename"], f["line"]) for f in reversed(t["frames"]) if f["name"] != "<shim>"]
                for t in json.loads(done.stdout)}

    def stop(self):
        self.process.kill()
        self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def idle(tmp_path_factory):
    program = Idle(tmp_path_factory.mktemp("idle"))
    yield program
    program.stop()


def last_words(stacks):
    """py-spy has names without what they are in, for some versions."""
    return {ident: [(name.rpartition(".")[2], *rest) for name, *rest in stack] for ident, stack in stacks.items()}


def test_frames_are_those_of_sys_current_frames(idle):
    theirs = idle.of_python()
    ours, raw = idle.of_pystuck(), idle.of_pystuck("--raw")
    assert len(theirs) == 17 and max(map(len, theirs.values())) > 300
    for ident, stack in theirs.items():
        assert ours[ident] == stack
        assert raw[ident] == stack
    assert set(ours) - set(theirs) == set(raw) - set(theirs) and len(ours) == len(theirs) + 1, "and the main thread"


def test_frames_are_those_of_py_spy(idle):
    ours, raw, theirs = idle.of_pystuck(), idle.of_pystuck("--raw"), idle.of_py_spy()
    assert set(ours) == set(raw) == set(theirs) and len(theirs) == 18
    for ident, stack in last_words(theirs).items():
        assert last_words(ours)[ident] == stack
        assert last_words(raw)[ident] == stack
    frames = sum(map(len, ours.values()))
    print(f"{len(ours)} threads, {frames} frames: the same", file=sys.stderr)
