"""Frameworks that are stuck: each program of examples/frameworks is started, brought to where it does not go on, and looked at.

What lives here: how each is brought there, what must be said of it, and the form in which docs/FRAMEWORKS.md shows it. What does not: the
programs (examples/frameworks), the page's own words (docs/FRAMEWORKS.md), the tests (test_stuck.py) and who writes the page (tools/show-frameworks).
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Callable, List

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "frameworks"
PAGE = ROOT / "docs" / "FRAMEWORKS.md"
PYTHON = "venv/bin/python"  # seen from the directory of a program
PATIENCE = float(os.environ.get("PYSTUCK_PATIENCE", "30"))


class NotReached(Exception):
    """It did not get stuck, or something else was said of it than should be."""


def wait_until(condition, what, patience=PATIENCE):
    """Polls a condition that others bring about, for `patience` seconds; its value. `what`: words, or a function that has some."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise NotReached(f"not within {patience} s: {what() if callable(what) else what}")
        time.sleep(0.02)


class Service:
    """The other service, which each of the programs asks: it answers when it is told to, or never."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.port = self.listener.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.asked = []

    def wait_asked(self, count=1):
        """So many more have asked. Nobody else knows the port, and each asks once."""
        for _ in range(count):
            connection, _ = self.listener.accept()
            connection.settimeout(PATIENCE)
            request = b""
            while b"\r\n\r\n" not in request:
                more = connection.recv(65536)
                if not more:
                    raise NotReached(f"who asked hung up; so far: {request}")
                request += more
            self.asked.append(connection)

    def answer(self):
        """All who have asked."""
        for connection in self.asked:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            connection.close()
        self.asked.clear()

    def close(self):
        for each in (self.listener, *self.asked):
            each.close()


class Run:
    """One program of examples/frameworks in a directory of its own."""

    def __init__(self, name, python, build, client, directory):
        self.python, self.client, self.directory = python, client, Path(directory)
        shutil.copytree(EXAMPLES / name, self.directory, dirs_exist_ok=True)
        self.directory.chmod(0o700)
        # By this name its directories are short, and the same everywhere.
        (self.directory / "venv").symlink_to(Path(python).parents[1])
        self.service = Service()
        self.held = contextlib.ExitStack()
        self.held.callback(self.service.close)
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("PYSTUCK", "LISTEN_", "NOTIFY_", "RUNTIME_", "DJANGO_", "GUNICORN_", "PYTEST_"))}
        self.env = dict(keep, PYTHONPATH=f"{build}/python", XDG_RUNTIME_DIR=str(directory), HOME=str(directory), PYTHONUNBUFFERED="1",
                        PYTHONDONTWRITEBYTECODE="1", PYTHONWARNINGS="ignore", NO_PROXY="*")
        self.log = self.directory / "log"
        self.process = self.port = None

    def start(self, *arguments):
        """The program: the environment's Python with these arguments."""
        self.command = " ".join([PYTHON, *map(str, arguments)])
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([PYTHON, *map(str, arguments)], cwd=self.directory, env=self.env, stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, start_new_session=True)
        self.held.callback(self.stop)
        self.pid = self.process.pid  # the process that one would name

    def run(self, *arguments):
        """The same beside it, for what ends by itself."""
        subprocess.run([PYTHON, *map(str, arguments)], cwd=self.directory, env=self.env, check=True, timeout=PATIENCE, capture_output=True)

    def family(self):
        """The process and all that descend from it."""
        found = [self.process.pid]
        for pid in found:
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
        return found

    def stop(self):
        for pid in self.family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE)

    def close(self):
        self.held.close()

    def wait_log(self, text):
        wait_until(lambda: text in self.log.read_text(), lambda: f"{text!r} in the log: {self.log.read_text()}")

    def get(self, path, to="web.sock"):
        """Asks the program, and does not wait for the answer. `to`: a socket in its directory, or a port."""
        def connect():
            connection = socket.socket(socket.AF_UNIX if isinstance(to, str) else socket.AF_INET)
            try:
                connection.connect(str(self.directory / to) if isinstance(to, str) else ("127.0.0.1", to))
            except OSError:
                connection.close()
                return None
            return connection

        connection = self.held.enter_context(wait_until(connect, lambda: f"it listens; log: {self.log.read_text()}"))
        connection.settimeout(PATIENCE)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return connection

    def wait_answer(self, connection):
        if not connection.recv(65536).startswith(b"HTTP/1.1 "):
            raise NotReached(f"no answer; log: {self.log.read_text()}")

    def look(self, arguments):
        """What the client says now."""
        done = subprocess.run([self.client, "--pid", str(self.pid), *arguments], capture_output=True, text=True, timeout=PATIENCE,
                              stdin=subprocess.DEVNULL, env=self.env)
        return done.stdout + done.stderr


# ---- how each gets stuck ------------------------------------------------------------------------


def gunicorn_sync(run):
    run.env["PRICES"] = run.service.address
    run.start("-m", "gunicorn", "app:application")
    for _ in range(4):
        run.get("/")
    run.service.wait_asked(4)


def gunicorn_gthread(run):
    run.env["CONSENT"] = run.service.address
    run.start("-m", "gunicorn", "app:application")
    for path in ("/alice/bob", "/bob/alice"):
        run.get(path)
        run.service.wait_asked()
    run.service.answer()
    run.get("/carol/bob")
    run.service.wait_asked()
    run.service.answer()


def gunicorn_gevent_pool(run):
    run.start("-m", "gunicorn", "app:application")
    for _ in range(2):
        run.wait_answer(run.get("/order/many"))
    for _ in range(3):
        run.get("/order/7")


def gunicorn_gevent_hub(run):
    lock = run.held.enter_context(open(run.directory / "report.lock", "w"))
    fcntl.flock(lock, fcntl.LOCK_EX)
    run.start("-m", "gunicorn", "app:application")
    run.get("/report")


def uvicorn_locks(run, loop="asyncio"):
    run.env["CONSENT"] = run.service.address
    run.start("-m", "uvicorn", "--uds", "web.sock", "--loop", loop, "app:app")
    for path in ("/transfer/alice/bob", "/transfer/bob/alice"):
        run.get(path)
        run.service.wait_asked()
    run.service.answer()


def uvicorn_blocked(run, loop="asyncio"):
    run.env["CONSENT"] = run.service.address
    run.start("-m", "uvicorn", "--uds", "web.sock", "--loop", loop, "app:app")
    run.get("/transfer/alice/bob")
    run.service.wait_asked()
    run.get("/rates")
    run.service.wait_asked()


def celery(run):
    run.env["METRICS"] = run.service.address
    (run.directory / "queue").mkdir()
    run.start("-m", "celery", "-A", "tasks", "worker", "--concurrency", "2")
    run.service.wait_asked()
    for name in ("anna", "otto"):
        run.run("-m", "celery", "-A", "tasks", "call", "tasks.letter", "--args", json.dumps([name]))


NOTEBOOK = """
import pathlib, sys
from jupyter_client import BlockingKernelClient
client = BlockingKernelClient(connection_file=sys.argv[1])
client.load_connection_file()
client.start_channels()
client.wait_for_ready(timeout=60)
client.execute(pathlib.Path("notebook.py").read_text())
"""


def jupyter(run):
    connection, startup = str(run.directory / "kernel.json"), run.directory / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (run.directory / "00-pystuck.py").rename(startup / "00-pystuck.py")
    run.env["IPYTHONDIR"] = str(run.directory)
    run.start("-m", "ipykernel_launcher", "-f", connection)
    wait_until(lambda: os.path.exists(connection), lambda: f"a kernel; log: {run.log.read_text()}")
    run.run("-c", NOTEBOOK, connection)


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect("bank.sqlite3", isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("LOCKED", flush=True)
sys.stdin.read()
"""


def django(run):
    run.run("manage.py", "migrate", "--run-syncdb")
    holder = run.held.enter_context(subprocess.Popen([PYTHON, "-c", HOLDER], cwd=run.directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    run.held.callback(holder.kill)
    holder.stdout.readline()
    run.port = free_port()
    run.start("manage.py", "runserver", run.port)
    run.get("/deposit/alice", run.port)
    # The autoreloader has no server, and its child has.
    run.pid = int(wait_until(lambda: os.listdir(run.directory / "pystuck"), lambda: f"a server; log: {run.log.read_text()}")[0].split(".")[0])


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


# ---- what is said of each -----------------------------------------------------------------------


@dataclasses.dataclass
class Stuck:
    name: str
    example: str  # directory
    needs: List[str]  # modules
    reach: Callable[[Run], None]
    look: str  # the client's arguments, besides --pid
    says: List[str]  # patterns of what must stand in the answer, whatever the versions


# How a library waits for an answer, at the end of a stack of which only some frames are shown.
IN_RECV = r"recv on fd \d+, TCP 127\.0\.0\.1:\d+ -> 127\.0\.0\.1:{port}, 0 bytes queued"

ALL = [
    Stuck("gunicorn-sync", "gunicorn-sync", ["gunicorn", "requests"], gunicorn_sync, "--children --frames 2", [
        r"^5 processes run pystuck\n  (\d+)  venv/bin/python -m gunicorn app:application ",
        r"^4 processes with the same stacks: \d+, \d+, \d+, \d+\n1 thread: 1 in recv\n",
        IN_RECV, r'/app\.py", line \d+, in prices\n    return requests\.get\('],),
    Stuck("gunicorn-gthread", "gunicorn-gthread", ["gunicorn", "requests"], gunicorn_gthread, "--children --frames 2", [
        r"^Deadlock: 2 threads wait for each other\n"
        r"(  ThreadPoolExecutor-0_[01] \(tid \d+\): waiting for lock 'target\.lock' \(Lock at 0x\w+\), held by ThreadPoolExecutor-0_[01] at .*/app\.py:19 \(inferred\)\n){2}"
        r"Waiting for those in a deadlock, directly or not: ThreadPoolExecutor-0_2 ",
        r'/app\.py", line \d+, in transfer\n    with target\.lock:']),
    Stuck("gevent-pool", "gunicorn-gevent", ["gunicorn", "gevent"], gunicorn_gevent_pool, "--children --frames 2", [
        r"gevent's hub, with 4 greenlets that wait\n",
        r"<3 times Greenlet\(\w+\)>  waiting for BoundedSemaphore at 0x\w+\n", r'/app\.py", line \d+, in order\n    connections\.acquire\(\)']),
    Stuck("gevent-hub", "gunicorn-gevent", ["gunicorn", "gevent"], gunicorn_gevent_hub, "--children --frames 2", [
        r"flock on fd \d+, \S+/report\.lock, held by pid \d+ \(\S+\).*; in Greenlet\(\w+\): gevent's hub and 1 greenlet cannot run before it gives way\n",
        r'/app\.py", line \d+, in report\n    fcntl\.flock\(']),
    Stuck("uvicorn-locks", "uvicorn", ["uvicorn", "requests"], uvicorn_locks, "--tasks --frames 2", [
        r"^Deadlock: 2 tasks wait for each other\n(  Task-\d+ RequestResponseCycle\.run_asgi\(\): waiting for lock .*, held by Task-\d+ .*\n){2}",
        r'/app\.py", line \d+, in transfer\n    async with locks\[target\]:']),
    Stuck("uvicorn-blocked", "uvicorn", ["uvicorn", "requests"], uvicorn_blocked, "--thread MainThread --frames 2", [
        r"^Blocked event loop: \w+ in thread MainThread \(tid \d+\) has not looked for events for [\d.]+ s; it runs Task-\d+ RequestResponseCycle\.run_asgi\(\)\n",
        IN_RECV, r'/app\.py", line \d+, in rates\n    return requests\.get\(']),
    Stuck("celery", "celery", ["celery", "requests"], celery, "--children --thread MainThread --thread metrics --frames 2", [
        r"^3 processes run pystuck\n", r"^2 processes with the same stacks: \d+, \d+\n1 thread: 1 waiting for lock 'counters_lock'\n",
        IN_RECV, r'/tasks\.py", line \d+, in report\n    requests\.post\(', r'/tasks\.py", line \d+, in letter\n    with counters_lock:']),
    Stuck("jupyter", "jupyter", ["ipykernel"], jupyter, "--thread MainThread --frames 2", [
        r"^<_MainThread\(MainThread, .*, waiting for queue ", r"^Blocked event loop: \w+ in thread MainThread ", r"/ipykernel_\d+/\d+\.py\", line 15, in "]),
    Stuck("django", "django", ["django"], django, "--frames 2", [
        r"^3 threads: 1 in poll, 2 asleep\n", r"<Thread\(Thread-1 \(process_request_thread\), .*, sleeping",
        r'/bank/urls\.py", line \d+, in deposit\n    Account\.objects\.filter']),
]
def missing(stuck, run, said):
    """What should be said and is not."""
    return [one for one in stuck.says if not re.search(one.replace("{port}", str(run.service.port)), said, re.M)]


def look_until_said(stuck, run):
    """The first answer in which all of it is said. Until then the program may be on its way."""
    answers = []

    def look():
        answers[:] = [run.look(stuck.look.split())]
        return not missing(stuck, run, answers[0])

    wait_until(look, lambda: f"{missing(stuck, run, answers[0])} in: {answers[0]}; log: {run.log.read_text()}")
    return answers[0]


# ---- the page -----------------------------------------------------------------------------------


class Numbers:
    """Others in place of those that differ each time: the same for the same one, in the order in which they come."""

    def __init__(self, first, step=1, form=str):
        self.first, self.step, self.form, self.known = first, step, form, {}

    def __call__(self, number):
        return self.form(self.first + self.step * self.known.setdefault(number, len(self.known)))


def normalised(text, run, library):
    """The answer as the page has it. `library`: the directory of Python's own library."""
    text = text.replace(str(run.directory), "/srv/app").replace(library, "/usr/lib/python" + library.rpartition("python")[2])
    text = text.replace(f"127.0.0.1:{run.service.port}", "127.0.0.1:8080")
    text = re.sub(rf"(127\.0\.0\.1:|runserver ){run.port}\b", r"\g<1>8000", text)
    pid, ident, fd, pipe = Numbers(4201), Numbers(140230000000000, 4096), Numbers(7), Numbers(52001)
    port, address = Numbers(50001), Numbers(0x7f2a10000000, 64, hex)
    # How long it has been so: left out where it may be too short to be told, else a made-up one.
    text = re.sub(r", for \d[^,;\n]* s(?: to [^,;\n]* s)?(?=[,;\n])", "", text)
    text = re.sub(r", CPU [^,;\n]* s(?=[,;\n])", "", text)
    text = re.sub(r"\b\d+\.\d s( left)?\b", lambda m: "0.5 s left" if m[1] else "2.5 s", text)
    text = re.sub(r", up [^,)\n]+", ", up 3 min", text)
    text = re.sub(r"(\btid |\bpid |\bprocess |\bsame stacks: |^ +(?=\d+  )|ipykernel_)(\d+(?:, \d+)*)\b",
                  lambda m: m[1] + re.sub(r"\d+", lambda n: pid(n[0]), m[2]), text, flags=re.M)
    text = re.sub(r"(started (?:daemon )?)(\d+)", lambda m: m[1] + ident(m[2]), text)
    text = re.sub(r"(\bfd )(\d+)", lambda m: m[1] + fd(m[2]), text)
    text = re.sub(r"(pipe:\[)(\d+)", lambda m: m[1] + pipe(m[2]), text)
    text = re.sub(r"(127\.0\.0\.1:)(?!80[08]0\b)(\d+)", lambda m: m[1] + port(m[2]), text)
    return re.sub(r"0x[0-9a-f]{6,}", lambda m: address(m[0]), text)


def shown(stuck, run, library, said):
    """The block of the page for what was said."""
    # The number of the program is the first one that Numbers gives, wherever it comes in the text.
    command = normalised(f"process {run.pid}\n{said}", run, library).partition("\n")
    started = normalised(run.command, run, library)
    return f"```console\n$ {started} &\n$ pystuck --pid {command[0].split()[1]} {stuck.look}\n{command[2].strip()}\n```\n"


def begin(stuck):
    return f"<!-- made by make show-frameworks: {stuck.name} -->\n"


END = "<!-- end -->\n"


def on_page(stuck, page):
    """What stands on the page of this one: (before, block, after)."""
    before, mark, rest = page.partition(begin(stuck))
    block, end, after = rest.partition(END)
    if not mark or not end:
        raise NotReached(f"docs/FRAMEWORKS.md has no place for {stuck.name}")
    return before + mark, block, end + after


VERSIONS = "<!-- versions -->\n"
QUESTION = """
import importlib.metadata, json, sys, sysconfig
print(json.dumps({"library": sysconfig.get_paths()["stdlib"], "python": "Python %d.%d" % sys.version_info[:2], "packages": [
    f"{name} {importlib.metadata.version(name)}" for name in sys.argv[1:]]}))
"""
PACKAGES = ["gunicorn", "gevent", "uvicorn", "celery", "ipykernel", "django", "requests"]


def environment(python):
    """What an environment with all packages is: {"library": ..., "python": ..., "packages": [...]}; None: it lacks some."""
    done = subprocess.run([python, "-c", QUESTION, *PACKAGES], capture_output=True, text=True, timeout=PATIENCE)
    return json.loads(done.stdout) if done.returncode == 0 else None


def versions_line(found):
    return ", ".join([found["python"], *found["packages"]]) + "\n"
