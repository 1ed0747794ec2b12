"""How long somebody at a terminal waits: for the first prompt, and for the list behind Tab.

What lives here: a pseudo-terminal with the real client on it, and the clock. What does not: the programs (harness.py), the tables (report.py).
"""
import fcntl
import os
import select
import signal
import struct
import termios
import time

import harness

MODULES = 1000
MAKE_MODULES = ("import types; modules['sys'].modules.update("
                "('bench_module_%%d' %% i, types.ModuleType('bench_module_%%d' %% i)) for i in range(%d))" % MODULES)


class Terminal:
    """A command on a terminal of 50 lines of 200 columns. It is started by posix_spawn, which costs a large process no more than a small one."""

    def __init__(self, command, env):
        self.fd, inner = os.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        actions = [(os.POSIX_SPAWN_DUP2, inner, fd) for fd in (0, 1, 2)]
        self.seen = b""
        self.began = time.perf_counter_ns()
        self.pid = os.posix_spawn(str(command[0]), [str(c) for c in command], env, file_actions=actions, setsid=True)
        os.close(inner)

    def ms_until(self, text, began=None):
        """Milliseconds from the start, or from `began`, until this has been written since the last call."""
        end = time.monotonic() + harness.PATIENCE
        while text not in self.seen:
            ready = select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]
            try:
                data = os.read(self.fd, 1 << 16) if ready else b""
            except OSError:  # it has ended
                data = b""
            if not data:
                raise RuntimeError(f"{text!r} was not written; but {self.seen[-500:]!r}")
            self.seen += data
        now = time.perf_counter_ns()
        self.written, self.seen = self.seen, b""
        return (now - (began or self.began)) / 1e6

    def type(self, keys, text):
        """Milliseconds from the keys until the text is there."""
        began = time.perf_counter_ns()
        os.write(self.fd, keys)
        return self.ms_until(text, began)

    def stop(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def environment(bench):
    return dict(bench.env, TERM="xterm", HOME=str(bench.scratch))


def ms_to_write(bench, command, text):
    terminal = Terminal(command, environment(bench))
    try:
        return terminal.ms_until(text)
    finally:
        terminal.stop()


def first_prompt(bench, program, count, summary):
    """{name: summary} in ms, in turns."""
    client = [bench.build / "pystuck", "--socket", program.address, "--color=never"]
    asked = {"/bin/echo": (["/bin/echo", "In [0]: "], b"In [0]: "), "pystuck --no-stacks": ([*client, "--no-stacks"], b"In [0]: "),
             "pystuck, with the stacks of 4x10 before it": (client, b"In [0]: ")}
    taken = {name: [] for name in asked}
    for number in range(count):
        for name in harness.rotated(asked, number):
            taken[name].append(ms_to_write(bench, *asked[name]))
    return {name: summary(series) for name, series in taken.items()}


def completion(bench, program, count):
    """Milliseconds from Tab behind modules[' until the list of them all, as far as it has room, and the line stand on the screen."""
    client = [bench.build / "pystuck", "--socket", program.address]
    status, _ = bench.output([*client, "-c", MAKE_MODULES])
    if status != 0:
        raise RuntimeError(f"no modules to be completed: status {status}")
    terminal = Terminal([*client, "--no-stacks", "--color=never"], environment(bench))
    taken = []
    try:
        terminal.ms_until(b"In [0]: ")
        for _ in range(count):
            terminal.type(b"modules['", b"modules['")
            taken.append(terminal.type(b"\t", b"In [0]: modules['"))
            if b"bench_module_" not in terminal.written:
                raise RuntimeError(f"no list: {terminal.written[:500]!r}")
            terminal.type(b"\x15x", b"x")
            terminal.type(b"\x7f", b"\b")
    finally:
        terminal.stop()
    return taken


def figures(bench, scale, summary):
    """{"first": {name: summary}, "tab": summary}, in ms."""
    program = bench.program("pystuck", 4, 10)
    first_prompt(bench, program, 2, summary)  # warms up
    result = {"first": first_prompt(bench, program, scale(60), summary), "tab": summary(completion(bench, program, scale(60)))}
    bench.stop_all()
    return result
