"""A machine with a real systemd as process 1, for the tests: boots it in namespaces of its own, runs commands in it, ends it.

What lives here: the namespaces and control groups. What does not: its mounts (boot), what is tested.

Run as a program it only tries: status 0, or 77 with the reason when it cannot be done on this machine.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATIENCE = 60  # seconds, for any one step


def wait_until(condition, what):
    """Polls a condition that others bring about; its value."""
    deadline = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE} s: {what}")
        time.sleep(0.05)


class NotHere(Exception):
    """This cannot be done on this machine."""


def cgroup_mount():
    """Where this machine has the control groups of version 2."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        fields = line.split()
        if fields[2] == "cgroup2" and "rw" in fields[3].split(","):
            return Path(fields[1])
    raise NotHere("no control groups of version 2 that can be written")


class Machine:
    def __init__(self, source, build):
        if os.geteuid() != 0:
            raise NotHere("it needs root")
        if not os.access("/lib/systemd/systemd", os.X_OK):
            raise NotHere("systemd is not installed")
        for tool in ("unshare", "nsenter", "setpriv", "systemctl", "journalctl"):
            if not shutil.which(tool):
                raise NotHere(f"no {tool}")
        self.work = Path(tempfile.mkdtemp(prefix="pystuck-machine-", dir="/var/tmp"))
        self.log = self.work / "log"
        self.group = self.process = self.leader = None
        try:
            self._make_group()
            self._boot(source, build)
        except BaseException:
            self.stop()
            raise

    def _make_group(self):
        mount = cgroup_mount()
        own = next(line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
        try:
            group = mount / own.strip("/") / f"pystuck-test-{os.getpid()}"
            group.mkdir()
        except OSError as error:
            raise NotHere(f"no control group can be made: {error}") from None
        self.group = group

    def _boot(self, source, build):
        (self.work / "mnt").mkdir()
        script = f'echo $$ >{self.group}/cgroup.procs && exec setpriv --pdeathsig KILL unshare --mount --pid --uts --ipc --net --cgroup --fork ' \
                 '--kill-child --propagation private "$@"'
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["sh", "-c", script, "sh", str(HERE / "boot"), str(source), str(build), str(self.work / "mnt")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        deadline = time.monotonic() + PATIENCE
        while True:
            state = self._state()
            if state in ("running", "degraded"):
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise NotHere(f"systemd does not come up ({state or 'nothing heard'}):\n" + self.log.read_text(errors="replace")[-2000:])
            time.sleep(0.05)

    def _state(self):
        """What systemctl says of the whole, once there is a systemd."""
        try:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            if not children or os.readlink(f"/proc/{children[0]}/exe").rpartition("/")[2] != "systemd":
                return None
        except OSError:
            return None
        self.leader = int(children[0])
        return self.run("systemctl", "is-system-running", check=False).stdout.strip()

    def command(self, *args, user=None):
        become = ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--inh-caps=-all") if user else ()
        # With the compiler of the build, what is built already is taken.
        compiler = [f"{name}={os.environ[name]}" for name in ("CC", "CFLAGS", "LDFLAGS", "OPT") if name in os.environ]
        return ["nsenter", f"--target={self.leader}", "--all", "env", "--chdir=/", "-i", "HOME=/nonexistent", "LANG=C.UTF-8", "TERM=dumb",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin", *compiler, *become, *map(str, args)]

    def run(self, *args, user=None, check=True, patience=PATIENCE, **kwargs):
        """A command in the machine: subprocess.CompletedProcess with text."""
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        if "input" in kwargs:
            del kwargs["stdin"]
        done = subprocess.run(self.command(*args, user=user), capture_output=True, text=True, timeout=patience, **kwargs)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, args))}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def stop(self):
        """Process 1 of the machine is killed, and the kernel all others with it."""
        if self.process is not None and self.process.poll() is None:
            if self.leader is not None:
                os.kill(self.leader, signal.SIGKILL)
            else:
                self.process.kill()
            self.process.wait(PATIENCE)
        self._remove_group()
        shutil.rmtree(self.work, ignore_errors=True)

    def _remove_group(self):
        deadline = time.monotonic() + PATIENCE
        while self.group is not None and self.group.exists() and time.monotonic() < deadline:
            try:
                for directory, _, _ in os.walk(self.group, topdown=False):
                    os.rmdir(directory)
            except OSError:
                time.sleep(0.05)  # the last of them are still being taken down


def main():
    try:
        Machine(HERE.parents[1], sys.argv[1]).stop()
    except NotHere as reason:
        print(f"tests/systemd: not on this machine: {reason}", file=sys.stderr)
        return 77
    return 0


if __name__ == "__main__":
    sys.exit(main())
