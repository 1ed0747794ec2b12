"""Fixtures for the tests on a real systemd: one machine for all of them, with pystuck installed and a few users.

Environment: PYSTUCK_BUILD (the build directory).
"""

import json
import os
from pathlib import Path

import pytest

from machine import Machine

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("PYSTUCK_BUILD", ROOT / "build")).resolve()
UNITS = "etc/systemd/system"

# A program that says to systemd when it is there. What run_server() gets is in the unit.
PROGRAM = '''
import json, os, socket, time
import pystuck
secret = "a value"
def work():
    own = "a local"
    time.sleep(1e6)
server = pystuck.run_server(**json.loads(os.environ.get("ARGUMENTS", "{}")))
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
    manager.connect(os.environ["NOTIFY_SOCKET"])
    manager.send(b"READY=1")
work()
'''


class Tested(Machine):
    """The machine, with what the tests do in it over and over."""

    @property
    def root(self):
        return Path(f"/proc/{self.leader}/root")

    def write(self, path, text, mode=0o644):
        path = self.root / str(path).lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def pystuck(self, *args, user=None, **kwargs):
        return self.run("pystuck", *args, user=user, check=False, **kwargs)

    def start(self, unit):
        done = self.run("systemctl", "start", unit, check=False)
        assert done.returncode == 0, done.stderr + self.journal(unit)

    def journal(self, unit):
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", unit).stdout

    def show(self, unit, what):
        return self.run("systemctl", "show", "--value", f"--property={what}", unit).stdout.strip()


@pytest.fixture(scope="session")
def bare():
    """A machine that has pystuck's source, and nothing of it installed."""
    machine = Tested(ROOT, BUILD)
    yield machine
    machine.stop()


@pytest.fixture(scope="session")
def machine(bare):
    """With pystuck installed, by the words of the manual (test_guide.py has them read)."""
    from guide import follow
    follow(bare, "install")
    for user in ("app", "alice", "bob", "carol", "mallory"):
        bare.run("useradd", "--user-group", user)
    follow(bare, "group")
    bare.write("/opt/test/serve.py", PROGRAM)
    return bare


@pytest.fixture
def service(machine):
    """service(name, settings, arguments, sockets={}, start=True): a unit that runs PROGRAM with run_server(**arguments)."""
    made = []

    def make(name, settings="", arguments=None, files=None, start=True):
        machine.write(f"{UNITS}/{name}", "[Service]\nType=notify\nNotifyAccess=all\nExecStart=/usr/bin/python3 /opt/test/serve.py\n"
                      f"Environment='ARGUMENTS={json.dumps(arguments or {})}'\n{settings}\n")
        for file, text in (files or {}).items():
            machine.write(f"{UNITS}/{file}", text)
        made.append((name, files or {}))
        machine.run("systemctl", "daemon-reload")
        if start:
            machine.start(name.replace("@.", "@1."))
        return name

    yield make
    for name, files in made:
        pattern = name.replace("@.", "@*.")
        machine.run("systemctl", "stop", pattern, *(f for f in files if f.endswith(".socket") and "@." not in f))
        machine.run("systemctl", "reset-failed")
        for file in (name, *files):
            (machine.root / UNITS / file).unlink(missing_ok=True)
