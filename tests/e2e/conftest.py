"""Fixtures for the end-to-end tests: a real Python program, and the real client.

Environment: PYSTUCK_BUILD (the build directory), PYSTUCK_CLIENT (the client), PYSTUCK_PYTHONS (the interpreters that
the programs run on, separated by spaces), PYSTUCK_SHORT (those of them that run only what depends on the interpreter),
PYSTUCK_PRELOAD (LD_PRELOAD for the programs, for sanitizers), PYSTUCK_UNDER (what the programs run under, for valgrind),
PYSTUCK_PATIENCE (seconds that anything may take).
"""

import ctypes
import fcntl
import json
import os
import queue
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("PYSTUCK_BUILD", ROOT / "build")).resolve()
CLIENT = os.environ.get("PYSTUCK_CLIENT", str(BUILD / "pystuck"))
PYTHONS = os.environ.get("PYSTUCK_PYTHONS", shutil.which("python3") or sys.executable).split()
SHORT = os.environ.get("PYSTUCK_SHORT", "").split()
PATIENCE = float(os.environ.get("PYSTUCK_PATIENCE", "20"))  # seconds, for any one step of a test


# For a build of its own, made and tested by `make no-eval`: what cannot evaluate.
WITHOUT_EVAL = os.environ.get("PYSTUCK_WITHOUT") == "eval"
collect_ignore = [] if WITHOUT_EVAL else ["test_no_eval.py"]


def pytest_configure(config):
    isolate()
    # Who is started in the background by a shell ignores it, and so would all programs and clients.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "since(major, minor): for this Python and later ones")
    config.addinivalue_line("markers", "before(major, minor): for earlier Pythons")
    config.addinivalue_line("markers", "evaluates: the test uses evaluations, besides what it is about")


def is_for_version(item):
    """What only newer, or only older, Pythons can do is no test of the others."""
    since, before = item.get_closest_marker("since"), item.get_closest_marker("before")
    if not (since or before):
        return True
    version = tuple(map(int, VERSIONS[item.callspec.params["python"]].split(".")[:2]))
    return (not since or version >= since.args) and (not before or version < before.args)


# Where the interpreter's version matters: what it has in memory, how it evaluates, forks and ends.
OF_THE_INTERPRETER = {f"test_{name}.py" for name in (
    "story dump raw raw_locals interpreters locks waits tasks kinds eval frame atomic on_main await complete lifecycle processes").split()}


def is_left_out(item):
    return (hasattr(item, "callspec") and item.callspec.params.get("python") in SHORT and
            item.path.name not in OF_THE_INTERPRETER)


def pytest_collection_modifyitems(config, items):
    items[:] = [item for item in items if is_for_version(item) and not is_left_out(item)]
    if WITHOUT_EVAL:
        items[:] = [item for item in items if not item.get_closest_marker("evaluates")]


CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP, IFF_LOOPBACK = 0x8914, 0x1, 0x8


def isolate():
    """As root, a network namespace for this run alone, with loopback: ports and the table of sockets that `pystuck --list` reads
    are not shared with other tests that run at the same time. Its connections would show in their audit logs."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.unshare(CLONE_NEWNET) != 0:
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP | IFF_LOOPBACK))


def interpreter_version(path):
    out = subprocess.run(
        [path, "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"],
        capture_output=True, text=True, timeout=PATIENCE, check=True)
    return out.stdout.strip()


VERSIONS = {path: interpreter_version(path) for path in PYTHONS}


def wait_until(condition, what, instead=None, patience=PATIENCE):
    """Polls a condition that another process brings about; fails with `what`, and what `instead` says, when it does not come."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"not within {patience} s: {what}" + (f"; {instead()}" if instead else ""))
        time.sleep(0.005)


class Lines:
    """The lines of a stream, each with a deadline."""

    def __init__(self, stream, beside=None):
        self.queue = queue.Queue()
        self.seen = []
        self.beside = beside  # another stream of the same program, which may say why this one ended
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream):
        for line in stream:
            self.queue.put(line)
        self.queue.put(None)

    def next(self, patience=PATIENCE):
        try:
            line = self.queue.get(timeout=patience)
        except queue.Empty:
            pytest.fail(f"no line within {patience} s; so far: {self.seen}")
        if line is not None:
            self.seen.append(line)
        return line

    def rest(self):
        """All of it, once the program has ended."""
        while self.next() is not None:
            pass
        return "".join(self.seen)

    def until(self, pattern, patience=PATIENCE):
        """The first line that matches, or a failure that shows what came instead."""
        deadline = time.monotonic() + patience
        while True:
            line = self.next(max(0.01, deadline - time.monotonic()))
            if line is None:
                why = self.beside.rest() if self.beside else ""
                pytest.fail(f"ended before {pattern!r}; lines: {self.seen}{'; beside it: ' + why if why else ''}")
            found = re.search(pattern, line)
            if found:
                return found


UNDER = os.environ.get("PYSTUCK_UNDER", "").split()  # valgrind and its options, before each program
SANITIZED = bool(os.environ.get("PYSTUCK_PRELOAD"))  # freed memory stays for a while, and addresses are used lavishly


def program_env(directory, env=None):
    """The environment of a program that finds pystuck and nothing else of the tests; a value None takes a name away."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYSTUCK", "LISTEN_", "NOTIFY_"))}
    environment.update(PYTHONPATH=str(BUILD / "python"), XDG_RUNTIME_DIR=str(directory), PYTHONDONTWRITEBYTECODE="1",
                       PYTHONUNBUFFERED="1")
    if SANITIZED:
        environment["LD_PRELOAD"] = os.environ["PYSTUCK_PRELOAD"]
    environment.update(env or {})
    return {k: v for k, v in environment.items() if v is not None}


class Program:
    """A Python program under test. It says READY on a line of its own when it is where the test wants it."""

    def __init__(self, python, script, directory, *, args=(), env=None, ready=True, cwd=None, prefix=(), **popen):
        self.directory = Path(directory)
        self.path = self.directory / "program.py"
        self.path.write_text(script)
        self.environment = program_env(directory, env)
        self.process = subprocess.Popen(
            [*prefix, *UNDER, python, *args, str(self.path)], env=self.environment, cwd=cwd or self.directory,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1, **popen)
        self.err = Lines(self.process.stderr)
        self.out = Lines(self.process.stdout, beside=self.err)
        if ready:
            self.wait_ready()

    def wait_ready(self):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            line = self.out.next()
            if line is None:
                pytest.fail(f"the program ended: {self.stderr()}")
            if line.strip() == "READY":
                return
        pytest.fail("the program never said READY")

    @property
    def pid(self):
        return self.process.pid

    @property
    def socket(self):
        return str(self.directory / "pystuck" / f"{self.pid}.sock")

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def stderr(self):
        """All of standard error, once the program has ended."""
        return self.err.rest()

    def wait(self, patience=PATIENCE):
        return self.process.wait(patience)

    def alive(self):
        return self.process.poll() is None

    def stop(self):
        if self.alive():
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(PATIENCE)


@pytest.fixture(params=PYTHONS, ids=[VERSIONS[p] for p in PYTHONS])
def python(request):
    """Each interpreter in turn."""
    return request.param


@pytest.fixture
def one_python():
    """The first interpreter, for what does not depend on the version."""
    return PYTHONS[0]


@pytest.fixture
def start(tmp_path):
    """start(python, script, ...) -> Program; all are ended after the test."""
    programs = []

    def make(python, script, **kwargs):
        directory = tmp_path / f"program{len(programs)}"
        directory.mkdir(mode=0o700)
        program = Program(python, script, directory, **kwargs)
        programs.append(program)
        return program

    yield make
    for program in programs:
        program.stop()


@pytest.fixture
def program(request, python, start):
    """The program that the test's file calls PROGRAM."""
    return start(python, request.module.PROGRAM)


def start_forked(start, python, serve):
    """A program that runs `serve` and forks, and its child, which does nothing more: (the Program, the child's pid)."""
    program = start(python, f"""
import os, sys, pystuck
{serve}
pid = os.fork()
if pid == 0:
    sys.stdin.read()
    os._exit(0)
print("READY", flush=True)
print("CHILD", pid, flush=True)
os.waitpid(pid, 0)
""")
    return program, int(program.out.until(r"CHILD (\d+)")[1])


class Answer:
    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __repr__(self):
        return f"status {self.status}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"

    @property
    def json(self):
        return json.loads(self.out)


def run_client(*args, stdin=subprocess.DEVNULL, env=None, patience=PATIENCE, text=True, prefix=(), **kwargs):
    """The client with these arguments: an Answer. Colours, history and keys of the user who runs the tests stay out of it."""
    environment = dict(os.environ, HOME="/nonexistent", PYSTUCK_KEY="", XDG_RUNTIME_DIR="/nonexistent")
    environment.pop("PYSTUCK_SOCKET", None)
    environment.update(env or {})
    environment = {k: v for k, v in environment.items() if v is not None}
    if isinstance(stdin, str):
        kwargs["input"] = stdin
        stdin = None
    else:
        kwargs["stdin"] = stdin
    return Answer(subprocess.run([*prefix, CLIENT, *map(str, args)], capture_output=True, text=text,
                                 timeout=patience, env=environment, **kwargs))


@pytest.fixture
def client():
    return run_client


@pytest.fixture
def ask(client):
    """ask(program, code) -> Answer of `pystuck --socket ... -c code`."""
    return lambda program, code, *more: client("--socket", program.socket, "-c", code, *more)


@pytest.fixture
def dump(client):
    """dump(program) -> the JSON of its stacks."""
    def get(program, *more):
        answer = client("--socket", program.socket, "--json", *more)
        assert answer.status == 0, answer
        return answer.json
    return get
