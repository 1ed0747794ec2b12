"""Starts the programs that are measured and the commands that ask them, and talks to both: each step with a deadline.

What lives here: processes. What does not: what is measured (figures.py) and how it is shown (report.py).
"""
import json
import os
import select
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATIENCE = 90  # seconds for any one step
WARM_UP = 20  # round trips that eval_client.c and eval_rounds.py do not count
budget = 5.0  # seconds that each contestant may take of one series: who is slow runs less often, but twice at least
OURS = ("pystuck", "pystuck_tcp", "pystuck_calm")  # kinds of program.py
ON_TCP = ("old_tcp", "pystuck_tcp")


class Process:
    """A child with which lines are exchanged. Ended by its own handle, never by name."""

    def __init__(self, command, env, errors):
        self.name = " ".join(str(c) for c in command[:3])
        self.errors = errors
        with open(errors, "wb") as stderr:
            self.process = subprocess.Popen([str(c) for c in command], env=env, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=stderr)
        self.pending = b""

    @property
    def pid(self):
        return self.process.pid

    def say(self, line):
        os.write(self.process.stdin.fileno(), line.encode() + b"\n")

    def line(self, patience=PATIENCE):
        end = time.monotonic() + patience
        while b"\n" not in self.pending:
            ready = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]
            data = os.read(self.process.stdout.fileno(), 1 << 20) if ready else b""
            if not data:
                said = self.errors.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.name}: {'ended' if ready else f'no answer within {patience} s'}\n{said}")
            self.pending += data
        line, _, self.pending = self.pending.partition(b"\n")
        return line.decode()

    def ask(self, line, patience=PATIENCE):
        self.say(line)
        return self.line(patience)

    def stop(self):
        self.process.kill()
        self.process.wait(PATIENCE)
        self.process.stdin.close()
        self.process.stdout.close()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Program(Process):
    """program.py with one kind of server, its threads parked, its server listening."""

    def __init__(self, bench, kind, threads, frames):
        self.kind, self.threads, self.frames = kind, threads, frames
        number = bench.count()
        self.address = bench.address(kind, number)
        self.flag_path = bench.scratch / f"{number}.flag"
        self.flag_path.write_bytes(b"\0")
        env = dict(bench.env)
        if kind in OURS:
            env["PYTHONPATH"] = str(bench.build / "python")
        super().__init__([bench.python, HERE / "program.py", kind, self.address, threads, frames, self.flag_path],
                         env, bench.scratch / f"{number}.err")
        if kind == "manhole":
            self.address = f"/tmp/manhole-{self.pid}"
        if self.line() != "READY":
            raise RuntimeError(f"{self.name} {kind}: not ready")
        self.wait_listening()

    def wait_listening(self):
        """Until the socket exists: a connection of ours would be a client, and some serve only one at a time."""
        end = time.monotonic() + PATIENCE
        while self.kind not in ("none", *ON_TCP) and not os.path.exists(self.address):
            if time.monotonic() > end:
                raise RuntimeError(f"{self.name} {self.kind}: does not listen")
            time.sleep(0.01)
        while self.kind == "old_tcp":
            try:
                socket.create_connection(("127.0.0.1", int(self.address)), 1).close()
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def raise_flag(self, up):
        with open(self.flag_path, "r+b", buffering=0) as file:
            file.write(b"\1" if up else b"\0")

    @contextmanager
    def spinning(self, count=1):
        """So many threads of the program compute meanwhile."""
        self.raise_flag(True)
        if self.ask(f"spin {count}") != "spinning":
            raise RuntimeError(f"{self.name}: does not spin")
        try:
            yield
        finally:
            self.raise_flag(False)
            self.ask("rest")

    def watch(self, action):
        """The gaps, in s, that the program's main thread sees in a tight loop while action() runs."""
        self.raise_flag(True)
        try:
            if self.ask("watch") != "watching":
                raise RuntimeError(f"{self.name}: does not watch")
            time.sleep(0.02)
            action()
            time.sleep(0.005)
        finally:
            self.raise_flag(False)
        return json.loads(self.line())

    def stop(self):
        super().stop()
        if self.kind == "manhole" and os.path.exists(self.address):
            os.unlink(self.address)


class Bench:
    """Where everything is: the build, the interpreter, a scratch directory; and the processes that it has started."""

    def __init__(self, build, python, scratch, env, cc):
        self.build, self.python, self.scratch, self.env, self.cc = build, python, scratch, env, cc
        self.processes = []
        self.number = 0

    def count(self):
        self.number += 1
        return self.number

    def address(self, kind, number):
        """Where a new program of this kind is to listen: as program.py wants to have it."""
        if kind == "pystuck_tcp":
            return f"{free_port()} {self.key()}"
        return str(free_port()) if kind == "old_tcp" else str(self.scratch / f"{number}.sock")

    def key(self):
        """A key file, made with the first program that needs one."""
        path = self.scratch / "key"
        if not path.exists():
            subprocess.run([self.build / "pystuck", "--keygen", path], env=self.env, check=True, timeout=PATIENCE,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return path

    def compile(self, name, *extra):
        out = self.build / "bench" / name
        out.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([*self.cc.split(), "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror",
                        f"-I{HERE.parent / 'include'}", "-o", str(out), str(HERE / f"{name}.c"), *map(str, extra)],
                       check=True, timeout=120)
        return out

    def start(self, command, env=None):
        process = Process(command, env or self.env, self.scratch / f"{self.count()}.err")
        self.processes.append(process)
        return process

    def program(self, kind, threads=4, frames=10):
        program = Program(self, kind, threads, frames)
        self.processes.append(program)
        return program

    def spawner(self, commands, seconds=20):
        """spawn.c with these commands: answers an index."""
        line = []
        for command in commands:
            line += [*command, ";"]
        return self.start([self.build / "bench" / "spawn", seconds * 1000, *line[:-1]])

    def output(self, command, patience=PATIENCE):
        """What a command prints, run once: to check that it does what it is timed for."""
        done = subprocess.run([str(c) for c in command], env=self.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace",
                              timeout=patience)
        return done.returncode, done.stdout

    def stop_all(self):
        while self.processes:
            self.processes.pop().stop()


def rotated(items, round_number):
    """So that each in turn is the first of a round."""
    items = list(items)
    k = round_number % len(items)
    return items[k:] + items[:k]


def spawn_ms(spawner, index):
    """(milliseconds, bytes), or (None, 0) when the command failed or was too slow."""
    ns, status, size = spawner.ask(str(index)).split()
    return (int(ns) / 1e6, int(size)) if status == "0" else (None, 0)


def durations(client, question):
    """Microseconds, of eval_client.c and eval_rounds.py."""
    return [int(ns) / 1e3 for ns in client.ask(question).split()]
