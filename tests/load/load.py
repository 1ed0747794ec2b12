#!/usr/bin/env python3
"""What a program must stand: floods of strangers, a crowd of clients, an hour of sessions that come and go.

    load.py flood   FLOOD_SECONDS (60) for each kind of stranger, on a Unix socket and on TCP
    load.py crowd   16 clients that each dump 100 times a second while evaluations run, for CROWD_SECONDS (60)
    load.py soak    SOAK_SECONDS (3600) of sessions of all kinds; prints a line every minute

What lives here: the long forms, and the parts that tests/e2e/test_load.py makes its short forms of. What does not: the attack
itself (flood.c), the crowd's clients (crowd.c). Environment: as tests/e2e (conftest.py).
"""

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

import procfs  # noqa: E402
import stranger  # noqa: E402
from conftest import BUILD, CLIENT, PATIENCE, PYTHONS, Program, run_client, wait_until  # noqa: E402
from stranger import Message, Session, encode, frame  # noqa: E402

TOOLS = Path(os.environ.get("PYSTUCK_LOAD", BUILD / "tests"))  # flood and crowd, where they are not this build's
KINDS = ("silent", "slow", "garbage", "half", "replay")
RATE = 10000  # connections a second
ROOT_RUNS = os.geteuid() == 0
HELLO = Message("HELLO", magic=b"pystuck", version=1, client="load")

PROGRAM = """
import os, sys, threading, warnings, pystuck
warnings.simplefilter("ignore", DeprecationWarning)  # it has threads and forks: 3.12+ warns of its own
def wait(n): wait(n - 1) if n else threading.Event().wait()
for _ in range(3): threading.Thread(target=wait, args=(10,), daemon=True).start()
server = pystuck.run_server({arguments})
print("AT", server.address if isinstance(server.address, str) else server.address[1], flush=True)
print("READY", flush=True)
for line in sys.stdin:
    if line == "fork\\n":
        pid = os.fork()
        if pid == 0: os._exit(0)
        print("FORKED", os.waitpid(pid, 0)[1], flush=True)
    else:
        break
sys.exit(7)
"""


class Target:
    """A program whose socket strangers reach. `tcp`: on TCP with a key; else a Unix socket that, for root, another user reaches."""

    script = PROGRAM

    def __init__(self, python, directory, tcp, env=None):
        self.tcp, self.directory = tcp, Path(directory)
        if tcp:
            self.key = self.directory / "key"
            assert run_client("--keygen", self.key).status == 0
            arguments = f"port=0, key={str(self.key)!r}"
        else:
            # Everybody may enter a directory of root's own; who is not root attacks himself.
            self.public = Path(tempfile.mkdtemp(prefix="pystuck-load-", dir="/run" if ROOT_RUNS else self.directory))
            self.public.chmod(0o755)
            arguments = f"socket={str(self.public / 's.sock')!r}" + (", mode=0o666, allow={'sys': 'stacks'}" if ROOT_RUNS else "")
        arguments += ", gil_timeout=60"  # a busy machine is no reason to refuse
        self.program = Program(python, self.script.format(arguments=arguments), self.directory, ready=False, env=env)
        self.at = self.program.out.until(r"^AT (\S+)").group(1)
        self.program.wait_ready()
        if tcp:
            (self.directory / "first").write_bytes(self.first_message())
        else:
            (self.directory / "first").write_bytes(frame(encode(HELLO)))

    def first_message(self):
        """What a client with the key says first, as somebody on the network has recorded it. The client goes on and is served."""
        psk = stranger.parse_keys(self.key.read_bytes())[0][1]
        recorded = []

        class Recorder(stranger.Sealed):
            def push(self, data):
                recorded.append(data)
                super().push(data)

        with socket.create_connection(("127.0.0.1", int(self.at)), PATIENCE) as sock, Session(Recorder(sock, psk)) as session:
            session.hello()
        return recorded[0]

    def call(self):
        """A Session behind WELCOME."""
        if self.tcp:
            psk = stranger.parse_keys(self.key.read_bytes())[0][1]
            session = Session(stranger.connect_tcp("127.0.0.1", int(self.at), psk, PATIENCE))
        else:
            sock = socket.socket(socket.AF_UNIX)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(PATIENCE), 0))
            sock.connect(self.at)
            sock.settimeout(PATIENCE)
            session = Session(stranger.Plain(sock))
        session.hello()
        return session

    @property
    def client_arguments(self):
        return ("127.0.0.1", self.at, "--key", self.key) if self.tcp else ("--socket", self.at)

    def dump(self):
        """The whole client command: the seconds that it took, or None when it did not get the stacks; and its words."""
        began = time.monotonic()
        answer = run_client(*self.client_arguments, "--no-repl", "--timeout", str(PATIENCE), patience=PATIENCE + 10)
        took = time.monotonic() - began
        return (took if answer.status == 0 and answer.out.count("in wait") >= 33 else None), answer

    # -- what must stay as it is --

    @property
    def fds(self):
        return len(os.listdir(f"/proc/{self.program.pid}/fd"))

    @property
    def threads(self):
        return len(os.listdir(f"/proc/{self.program.pid}/task"))

    def thread_names(self):
        return procfs.thread_names(self.program.pid)

    def memory(self):
        """(private, resident) KiB. Private is what the program has written: clean pages count as shared while others map the file."""
        private = resident = 0
        for line in Path(f"/proc/{self.program.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_Dirty:"):
                private = int(line.split()[1])
            elif line.startswith("Rss:"):
                resident = int(line.split()[1])
        return private, resident

    def at_rest(self):
        """fds and threads once every kind of request has been served and who asked has gone."""
        with self.call() as session:
            session.eval("6*7")
            assert session.dump().end is not None
        wait_until(lambda: "pystuck-eval" not in self.thread_names(), "the session's thread has ended")
        # Who asked before has gone for the server too when somebody else has been answered: one fd is his.
        with self.call() as session:
            assert session.dump().end is not None
            return self.fds - 1, self.threads

    def ends_well(self):
        self.program.say("end")
        assert self.program.wait() == 7, self.program.stderr()
        assert self.program.stderr() == ""

    def close(self):
        self.program.stop()
        if not self.tcp:
            shutil.rmtree(self.public)


class Flood:
    """Strangers, while the context lasts, or for `seconds` at most. `tried` and `made` count their connections afterwards."""

    def __init__(self, target, kind, rate=RATE, seconds=3600, cpu=None):
        uid = pwd.getpwnam("daemon").pw_uid if ROOT_RUNS else -1
        to = f"tcp:{target.at}" if target.tcp else f"unix:{target.at}"
        self.process = subprocess.Popen(
            [str(part) for part in (TOOLS / "flood", kind, rate, seconds, uid, to, target.directory / "first")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if cpu is not None:
            os.sched_setaffinity(self.process.pid, {cpu})
        if self.process.stdout.readline() != "on\n":
            raise RuntimeError(f"no flood: status {self.process.wait()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            out, _ = self.process.communicate(timeout=PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
        self.tried, self.made = map(int, out.split())


def crowd(target, clients, rate, count):
    """(dumps, evaluations, the longest dump in microseconds) of crowd.c; fails with its words."""
    done = subprocess.run([str(part) for part in (TOOLS / "crowd", clients, rate, count, target.at)],
                          capture_output=True, text=True, timeout=60 + 60 * PATIENCE)
    assert done.returncode == 0, done
    return tuple(map(int, done.stdout.split()))


# ---- sessions of all kinds ----------------------------------------------------------------------

def do_dump(target, chance):
    with target.call() as session:
        for _ in range(chance.randrange(1, 5)):
            assert session.dump(chance.randrange(2)).end is not None


def do_eval(target, chance):
    with target.call() as session:
        for i in range(chance.randrange(1, 20)):
            assert session.eval(f"{i} + 1").text == str(i + 1)
            assert session.eval(f"print('x' * {chance.randrange(3000)})").what == "RESULT"
        session.eval("x = bytearray(100000)\ndef f(): return x")
        assert session.eval("1/0").status == stranger.RAISED


def do_interrupt(target, chance):
    with target.call() as session:
        request = session.make_eval("print('on')\nwhile True: pass")
        session.send(request)
        session.wait("OUTPUT", id=request.id)
        session.send(Message("INTERRUPT", id=request.id))
        assert session.finish(request.id).status == stranger.INTERRUPTED


def do_detach(target, chance):
    with target.call() as session:
        request = session.make_eval("modules.threading.Event().wait(0.05)")
        session.send(request, Message("DETACH", id=request.id))
        answer = session.eval("6*7")
        assert answer.text == "42", answer


def do_vanish(target, chance):
    """Gone in the middle of an evaluation, a dump, or its own request."""
    with target.call() as session:
        whole = encode(session.make_eval("while True: pass")), encode(session.make_dump())
        data = b"".join(map(frame, whole))
        session.transport.write(data[:chance.randrange(1, len(data) + 1)])


def do_kill(target, chance):
    """The real client, killed while it waits."""
    client = subprocess.Popen([CLIENT, *map(str, target.client_arguments), "-c", "print('on', flush=True)\nwhile True: pass"],
                              env={"HOME": "/nonexistent"}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert client.stdout.readline() == "on\n"
    finally:
        client.send_signal(signal.SIGKILL)
        client.communicate()


def do_strangers(target, chance):
    for _ in range(20):
        with contextlib.suppress(OSError):
            family, at = (socket.AF_INET, ("127.0.0.1", int(target.at))) if target.tcp else (socket.AF_UNIX, target.at)
            with socket.socket(family) as sock:
                sock.settimeout(PATIENCE)
                sock.connect(at)
                sock.sendall(chance.randbytes(chance.randrange(1, 100)))


def do_fork(target, chance):
    target.program.say("fork")
    assert target.program.out.until(r"^FORKED (\d+)").group(1) == "0"


DEEDS = (do_dump, do_eval, do_interrupt, do_detach, do_vanish, do_kill, do_strangers, do_fork)


def sessions(target, chance, count):
    for _ in range(count):
        chance.choice(DEEDS)(target, chance)


def rested(target, rest):
    """Waits until fds and threads are what they were; says what they are if that does not come."""
    with target.call() as session:  # a fork ends the courier, and the next request brings it back
        assert session.dump().end is not None
    wait_until(lambda: (target.fds, target.threads) == rest, f"fds and threads are again {rest}",
               lambda: f"they are {(target.fds, target.threads)}: {target.thread_names()}, {procfs.fds(target.program.pid)}")


# ---- the long forms -----------------------------------------------------------------------------

def say(text):
    print(text, flush=True)


def long_flood(python, directory):
    seconds = float(os.environ.get("FLOOD_SECONDS", "60"))
    bad = 0
    for tcp in (False, True):
        where = Path(directory) / ("tcp" if tcp else "unix")
        where.mkdir(mode=0o700)
        target = Target(python, where, tcp)
        try:
            rest = target.at_rest()
            for kind in KINDS:
                bad += one_flood(target, kind, seconds, rest)
            target.ends_well()
        finally:
            target.close()
    return bad


def one_flood(target, kind, seconds, rest):
    """One line; 1 when the right client waited for more than a second, or memory grew."""
    for _ in range(20):
        target.dump()
    before = most = target.memory()[0]
    times, lost = [], []
    with Flood(target, kind) as flood:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            took, answer = target.dump()
            if took is None:
                lost.append(answer)
            else:
                times.append(took)
            most = max(most, target.memory()[0])
        attacked = time.monotonic() - end + seconds
    rested(target, rest)
    times.sort()
    late = sum(took > 1 for took in times)
    say(f"{'tcp' if target.tcp else 'unix'} {kind}: {flood.tried / attacked:.0f} connections a second tried, "
        f"{flood.made / attacked:.0f} made; {len(times)} dumps, median {times[len(times) // 2] * 1000:.0f} ms, "
        f"longest {times[-1] * 1000:.0f} ms, {late} over 1 s, {len(lost)} lost; private memory {before} to {most} KiB"
        if times else f"{kind}: no dump at all")
    for answer in lost[:3]:
        say(f"  {answer}")
    return int(not times or late > 0 or bool(lost) or most > before + 1024)


def long_crowd(python, directory):
    seconds = float(os.environ.get("CROWD_SECONDS", "60"))
    target = Target(python, directory, False)
    try:
        rest = target.at_rest()
        began = time.monotonic()
        dumps, evals, latest = crowd(target, 16, 100, int(100 * seconds))
        say(f"16 clients: {dumps} dumps and {evals} evaluations in {time.monotonic() - began:.1f} s, each answered once and in "
            f"order; the longest dump {latest / 1000:.0f} ms")
        rested(target, rest)
        target.ends_well()
    finally:
        target.close()
    return 0


def long_soak(python, directory):
    """Compared with what there was after a sixth of the time, at most ten minutes: caches are warm then."""
    seconds = float(os.environ.get("SOAK_SECONDS", "3600"))
    warm_up = min(seconds / 6, 600)
    chance = random.Random(os.environ.get("SOAK_SEED", "1"))
    # glibc gives threads up to 8 heaps for each processor, each of which keeps half a MiB once it has been used: a curve of its own.
    target = Target(python, directory, os.environ.get("SOAK_TCP") == "1", {"MALLOC_ARENA_MAX": "1"})
    try:
        rest = target.at_rest()
        began = time.monotonic()
        first, done, shown = None, 0, 0

        def curve():
            rested(target, rest)
            private, resident = target.memory()
            say(f"{time.monotonic() - began:5.0f} s: {done} sessions; {target.fds} fds, {target.threads} threads, "
                f"{private} KiB private, {resident} KiB resident")
            return private, resident

        while time.monotonic() - began < seconds:
            sessions(target, chance, 20)
            done += 20
            if first is None and time.monotonic() - began >= warm_up:
                first = curve()
            if time.monotonic() - began >= shown + 60:
                shown += 60
                curve()
        last = curve()
        grown = last[0] - first[0], last[1] - first[1]
        say(f"soak: {done} sessions; grown by {grown[0]} KiB private, {grown[1]} KiB resident since the {warm_up:.0f}th second")
        target.ends_well()
        return int(max(grown) > 1024)
    finally:
        target.close()


def main():
    forms = {"flood": long_flood, "crowd": long_crowd, "soak": long_soak}
    if len(sys.argv) != 2 or sys.argv[1] not in forms:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix="pystuck-load-") as directory:
        sys.exit(forms[sys.argv[1]](PYTHONS[0], directory))


if __name__ == "__main__":
    main()
