"""For the tests of what is handed out: a Python program to look into, a terminal, and a root directory of one's own.

What lives here: fixtures. What does not: the tests, and the end-to-end tests of what the files do (tests/e2e).

Environment: PYSTUCK_BUILD (the build directory), PYSTUCK_PYTHONS (the interpreters, separated by spaces).
"""

import os
import pathlib
import pty
import select
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PYSTUCK_BUILD", ROOT / "build")).resolve()
PYTHONS = os.environ.get("PYSTUCK_PYTHONS", sys.executable).split()
PATIENCE = float(os.environ.get("PYSTUCK_PATIENCE", "60"))  # seconds, for any one step
PROGRAM = """
import sys, pystuck
server = pystuck.run_server(**{arguments})
print(pystuck.__file__, pystuck.__version__, flush=True)
def stuck_here():
    sys.stdin.read()
stuck_here()
"""


def version():
    """The version of the tree, from the one place that has it."""
    text = (ROOT / "include" / "version.h").read_text()
    return text.split('PYSTUCK_VERSION "')[1].split('"')[0]


def run(*command, status=0, timeout=PATIENCE, **more):
    """Runs a command; its output, both streams. Fails with that output unless it ends with this status (None: any)."""
    ended = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=timeout, **more)
    assert status is None or ended.returncode == status, f"{command}: status {ended.returncode}\n{ended.stdout}"
    return ended.stdout


def environment(**more):
    """That of the tests without what would lead Python or pystuck elsewhere."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("PYSTUCK", "PYTHON", "PIP_", "MAKE", "MFLAGS", "VIRTUAL_ENV", "CFLAGS", "LDFLAGS"))}
    return kept | {"PYTHONDONTWRITEBYTECODE": "1"} | more


class Program:
    """A Python program that serves; it ends when its standard input does."""

    def __init__(self, python, env=None, **arguments):
        command = [python] if isinstance(python, (str, os.PathLike)) else python
        self.process = subprocess.Popen([*command, "-c", PROGRAM.format(arguments=repr(arguments))], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env or environment(PYTHONPATH=str(BUILD / "python")))
        self.said = self.process.stdout.readline()
        assert self.said.rstrip().endswith(version()), self.said + self.process.stdout.read()
        self.file = self.said.split()[0]

    def end(self):
        self.process.stdin.close()
        self.process.stdout.read()
        status = self.process.wait(PATIENCE)
        self.process.stdout.close()
        return status


@pytest.fixture
def program():
    """program(python, socket=...): starts one; all have ended, well, at the end of the test."""
    started = []

    def start(*args, **more):
        started.append(Program(*args, **more))
        return started[-1]

    yield start
    for one in started:
        assert one.end() == 0


@pytest.fixture
def private(tmp_path):
    """A directory for sockets, which nobody else may write to."""
    tmp_path.chmod(0o700)
    return tmp_path


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, command, env):
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execve(command[0], [str(word) for word in command], env)
            finally:
                os._exit(127)

    def until(self, text):
        """Reads until this has been printed; what came up to it."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{text!r} did not come, but {self.seen!r}"
            try:
                more = os.read(self.fd, 4096)
            except OSError:
                more = b""
            assert more, f"it ended before {text!r}, with {self.seen!r}"
            self.seen += more
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text):
        os.write(self.fd, text)

    def end(self):
        """Its status, once all that it prints has been read."""
        while True:
            try:
                if not os.read(self.fd, 4096):
                    break
            except OSError:
                break
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
