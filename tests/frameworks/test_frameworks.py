"""Servers in other people's process models: gunicorn, uWSGI, celery, multiprocessing, gevent, eventlet, uvloop.

What lives here: which of their processes serves, under what name, and what is left behind. What does not: what a server does.

Environment: PYSTUCK_FRAMEWORKS (an interpreter that has the packages), PYSTUCK_BUILD, PYSTUCK_CLIENT. What it has not got is not tested;
tools/check-frameworks says which that is.
"""

import functools
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

import stuck

BUILD = Path(os.environ["PYSTUCK_BUILD"]).resolve()
CLIENT = os.environ["PYSTUCK_CLIENT"]
PYTHON = os.environ["PYSTUCK_FRAMEWORKS"]
PATIENCE = float(os.environ.get("PYSTUCK_PATIENCE", "20"))
wait_until = functools.partial(stuck.wait_until, patience=PATIENCE)
BIN = Path(PYTHON).parent
VERSION = eval(subprocess.run([PYTHON, "-c", "import sys; print(tuple(sys.version_info[:2]))"], capture_output=True, text=True, check=True).stdout)


@functools.lru_cache(maxsize=None)
def has(module):
    """Without importing it, which takes long, and so that one which cannot be imported is not passed over."""
    find = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([PYTHON, "-c", find], capture_output=True, timeout=PATIENCE).returncode == 0


def needs(module):
    return pytest.mark.skipif(not has(module), reason=f"no {module} for this Python")


class Place:
    """Where the sockets of one program are: below XDG_RUNTIME_DIR, or in RUNTIME_DIRECTORY as in a service."""

    def __init__(self, path, service):
        self.path, self.service = path, service
        path.chmod(0o700)
        self.sockets = path / "service" if service else path / "pystuck"
        if service:
            self.sockets.mkdir(mode=0o700)

    def env(self):
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("PYSTUCK", "LISTEN_", "NOTIFY_", "RUNTIME_"))}
        # A fork that Python finds too dangerous is an error, wherever it happens.
        keep.update(PYTHONPATH=f"{BUILD / 'python'}:{self.path}", XDG_RUNTIME_DIR=str(self.path), PYTHONDONTWRITEBYTECODE="1",
                    PYTHONUNBUFFERED="1", PYTHONWARNINGS="error:This process:DeprecationWarning", HOME=str(self.path))
        if self.service:
            keep["RUNTIME_DIRECTORY"] = str(self.sockets)
        return keep

    def files(self):
        return sorted(self.sockets.glob("*.sock")) if self.sockets.exists() else []

    def servers(self):
        """{pid: path} of all that answer."""
        found = {}
        for path in self.files():
            answer = ask(path, "--json")
            if answer.returncode in (0, 5):
                found[json.loads(answer.stdout)["pid"]] = path
        return found


@pytest.fixture(params=[False, True], ids=["anywhere", "in a service"])
def place(request, tmp_path):
    return Place(tmp_path, request.param)


@pytest.fixture
def plain_place(tmp_path):
    return Place(tmp_path, False)


def ask(path, *arguments):
    return subprocess.run([CLIENT, "--socket", str(path), *arguments], capture_output=True, text=True, timeout=PATIENCE,
                          stdin=subprocess.DEVNULL, env={**os.environ, "HOME": "/nonexistent"})


def children_of(pid):
    try:
        return sorted(int(child) for child in open(f"/proc/{pid}/task/{pid}/children").read().split())
    except OSError:
        return []


def assert_served(place, pids):
    """Each of the processes has a server, which answers for itself; nobody else has one."""
    servers = wait_until(lambda: (lambda found: set(found) == set(pids) and found)(place.servers()),
                         lambda: f"servers of {sorted(pids)}, got {place.servers()}")
    for pid, path in servers.items():
        stacks = json.loads(ask(path, "--json").stdout)
        assert stacks["pid"] == pid, stacks  # uWSGI between requests has no thread in Python
        assert ask(path, "-c", "modules.os.getpid()").stdout == f"{pid}\n"
        assert re.fullmatch(rf"pystuck(-{pid})?\.sock" if place.service else rf"{pid}\.sock", path.name), path
    if place.service:
        assert "pystuck.sock" in {path.name for path in servers.values()}


class Program:
    def __init__(self, place, command):
        self.place = place
        self.log = place.path / "log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([str(part) for part in command], cwd=place.path, env=place.env(), stdout=log, stderr=log,
                                            stdin=subprocess.PIPE, text=True, start_new_session=True)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if kind:
            print(self.log.read_text())
        for pid in [*children_of(self.pid), self.pid]:  # what a test that failed has left
            if self.process.poll() is None:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.process.wait(PATIENCE)

    def workers(self, count):
        """Exactly that many children."""
        return wait_until(lambda: (lambda c: len(c) == count and c)(children_of(self.pid)),
                          lambda: f"{count} children, got {children_of(self.pid)}; log: {self.log.read_text()}")

    def says(self, text):
        wait_until(lambda: text in self.log.read_text() or self.process.poll() is not None, f"{text!r} in the log")
        assert text in self.log.read_text(), self.log.read_text()

    def stop(self, signo=signal.SIGTERM, status=0, may_stay=()):
        """Gracefully: no socket stays (or a dead one of those), nothing was complained about."""
        children = children_of(self.pid)
        self.process.send_signal(signo)
        assert self.process.wait(PATIENCE) in (status if isinstance(status, tuple) else (status,)), self.log.read_text()
        wait_until(lambda: not any(os.path.exists(f"/proc/{child}/exe") for child in children), "the children have ended")
        assert not self.place.servers(), self.log.read_text()
        assert {path.name for path in self.place.files()} <= set(may_stay), self.log.read_text()
        self.assert_quiet()

    def assert_quiet(self):
        text = self.log.read_text()
        assert "Traceback" not in text and "multi-threaded" not in text and "pystuck" not in text.lower().replace(str(self.place.path).lower(), ""), text


WSGI = """
import pystuck
server = pystuck.run_server()
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]
"""


# ---- web servers ---------------------------------------------------------------------------------


@needs("gunicorn")
@pytest.mark.parametrize("preload", [False, True], ids=["each its own app", "preload"])
@pytest.mark.parametrize("worker", ["sync", "gthread", pytest.param("gevent", marks=needs("gevent"))])
def test_gunicorn_each_worker_serves_and_nothing_stays(place, worker, preload):
    (place.path / "app.py").write_text(WSGI)
    # A forked worker answers us before it listens to signals.
    (place.path / "gunicorn.conf.py").write_text("def post_worker_init(worker): open(f'up-{worker.pid}', 'w').close()\n")

    def up(children):
        return all((place.path / f"up-{child}").exists() for child in children) and children

    command = [PYTHON, "-m", "gunicorn", "-w", "2", "-k", worker, "-b", f"unix:{place.path}/web", "app:application",
               *(["--threads", "2"] if worker == "gthread" else []), *(["--preload"] if preload else [])]
    with Program(place, command) as program:
        workers = wait_until(lambda: (lambda c: len(c) == 2 and up(c))(children_of(program.pid)), "two workers")
        assert_served(place, [*workers, *([program.pid] if preload else [])])
        # One that dies is replaced, and so is its server.
        os.kill(workers[0], signal.SIGTERM)
        again = wait_until(lambda: (lambda c: len(c) == 2 and workers[0] not in c and up(c))(children_of(program.pid)), "a new worker")
        assert_served(place, [*again, *([program.pid] if preload else [])])
        program.stop()


POSTFORK = """
import pystuck, uwsgidecorators
@uwsgidecorators.postfork
def serve():
    global server
    server = pystuck.run_server()
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]
"""


# uWSGI forks in C: Python, and so pystuck, hears of it only where it is told to say so.
@pytest.mark.skipif(not (BIN / "uwsgi").exists(), reason="no uwsgi for this Python")
@pytest.mark.parametrize("app, option, master, workers", [
    (WSGI, "--lazy-apps", False, True), (WSGI, "--py-call-osafterfork", True, True), (POSTFORK, "--enable-threads", False, True),
    (WSGI, "--enable-threads", True, False)], ids=["lazy-apps", "py-call-osafterfork", "postfork", "prefork"])
def test_uwsgi_who_can_serve_does_and_nothing_stays(place, app, option, master, workers):
    if option == "--py-call-osafterfork" and VERSION >= (3, 13):
        pytest.skip("uWSGI's own workers die of it: it tells Python of the fork without holding the GIL")
    (place.path / "app.py").write_text(app)
    command = [BIN / "uwsgi", "--master", "--processes", "2", "--enable-threads", "--socket", place.path / "web", "--wsgi-file", "app.py",
               "--die-on-term", "--need-app", "--home", BIN.parent, option]
    with Program(place, command) as program:
        children = program.workers(2)
        assert_served(place, [*(children if workers else []), *([program.pid] if master else [])])
        # Its master does not end Python: what that leaves refuses, and is removed by the next one that comes.
        program.stop(status=(0, 30), may_stay=[f"{program.pid}.sock", "pystuck.sock"] if master else [])


# ---- multiprocessing -----------------------------------------------------------------------------

POOL = """
import multiprocessing, os, sys, time, pystuck
from concurrent.futures import ProcessPoolExecutor

def work(n):
    time.sleep(0.05)
    return os.getpid()

if __name__ == "__main__":
    server = pystuck.run_server()
    context = multiprocessing.get_context({method!r})
    with {pool} as pool:
        seen = set()
        while len(seen) < 2: seen |= set(pool.map(work, range(8)))
        print("PIDS", *seen, flush=True)
        sys.stdin.readline()
    print("DONE", flush=True)
"""


@pytest.mark.parametrize("pool", ["context.Pool(2)", "ProcessPoolExecutor(2, mp_context=context)"], ids=["Pool", "ProcessPoolExecutor"])
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing_children_that_are_forks_serve_and_others_do_not(place, method, pool):
    (place.path / "app.py").write_text(POOL.format(method=method, pool=pool))
    with Program(place, [PYTHON, "app.py"]) as program:
        program.says("PIDS")
        workers = [int(pid) for pid in re.search("PIDS (.*)", program.log.read_text())[1].split()]
        assert_served(place, [program.pid, *(workers if method == "fork" else [])])
        program.process.stdin.write("\n")
        program.process.stdin.flush()
        program.says("DONE")
        assert program.process.wait(PATIENCE) == 0
        # A pool ends its workers by a signal or by os._exit(): what they leave goes with the program.
        assert place.files() == []
        program.assert_quiet()


# ---- other schedulers ----------------------------------------------------------------------------

PATCHED = """
import sys
{first}
{second}
server = pystuck.run_server()
import threading, time
def spin():
    while True: time.sleep(0.01)
threading.Thread(target=spin, daemon=True, name="spinner").start()
print("READY", flush=True)
while not {stop}: time.sleep(0.01)
"""


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("package, patch", [
    pytest.param("gevent", "from gevent import monkey; monkey.patch_all()", marks=needs("gevent")),
    pytest.param("eventlet", "import eventlet; eventlet.monkey_patch()", marks=needs("eventlet")),
], ids=["gevent", "eventlet"])
def test_a_patched_program_is_served_whichever_came_first(plain_place, package, patch, order):
    lines = [patch, "import pystuck"]
    stop = "__import__('os').path.exists('stop')"
    (plain_place.path / "app.py").write_text(PATCHED.format(first=lines[order == "after"], second=lines[order == "before"], stop=stop))
    with Program(plain_place, [PYTHON, "-W", "ignore", "app.py"]) as program:
        program.says("READY")
        assert_served(plain_place, [program.pid])
        path = plain_place.servers()[program.pid]
        assert ask(path, "-c", "import time; time.sleep(0.01); print('slept')").stdout == "slept\n"
        assert ask(path, "-c", "[t.name for t in modules.threading.enumerate()]").returncode == 0
        (plain_place.path / "stop").touch()
        assert program.process.wait(PATIENCE) == 0, program.log.read_text()
        assert plain_place.files() == []


@needs("uvloop")
def test_a_program_on_uvloop_is_served_and_forks_quietly(plain_place):
    (plain_place.path / "app.py").write_text("""
import asyncio, os, sys, uvloop, pystuck
async def main():
    server = pystuck.run_server()
    print("READY", flush=True)
    while not os.path.exists("stop"):
        child = await asyncio.create_subprocess_exec("/bin/true")
        assert await child.wait() == 0
        await asyncio.sleep(0.01)
uvloop.run(main())
""")
    with Program(plain_place, [PYTHON, "app.py"]) as program:
        program.says("READY")
        assert_served(plain_place, [program.pid])
        (plain_place.path / "stop").touch()
        assert program.process.wait(PATIENCE) == 0
        assert plain_place.files() == []
        program.assert_quiet()


@needs("celery")
def test_celery_each_prefork_worker_serves_and_nothing_stays(place):
    (place.path / "app.py").write_text("""
import celery, pystuck
server = pystuck.run_server()
app = celery.Celery("app", broker="memory://")
""")
    command = [PYTHON, "-m", "celery", "-A", "app", "worker", "--pool=prefork", "-c", "2", "--without-gossip", "--without-mingle",
               "--without-heartbeat", "--loglevel", "INFO"]
    with Program(place, command) as program:
        program.says("ready.")
        assert_served(place, [program.pid, *program.workers(2)])
        program.stop()
