"""The client's prompt in a pseudo-terminal, driven as a person would."""

import errno
import os
import pty
import re
import select
import signal
import struct
import fcntl
import termios
import time

from conftest import CLIENT, PATIENCE
from screen import Screen

PROMPT = re.compile(r"In \[(\d+)\]: $")
TAIL = 24  # characters at the end of a line, by which its echo is known
MARGIN = 16  # columns for the prompt
MORE = re.compile(r"\.\.\.: *$")
# What readline and the client send to a terminal besides text: CSI and OSC sequences, carriage returns, bells.
CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\x1b[=>]|\r|\x07")


class Repl:
    """with Repl("--socket", path) as repl: repl.ask("1+1") -> what was printed for it."""

    def __init__(self, *args, home, env=None, columns=200, rows=50, wait=True):
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "xterm", "LANG": "C.UTF-8"}
        for name in ("LD_PRELOAD", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        environment.update(env or {})
        self.raw = b""
        self.columns, self.rows = columns, rows
        self.status = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                os.execve(CLIENT, [CLIENT, *map(str, args)], environment)
            finally:
                os._exit(127)
        self.mark = 0
        if wait:
            self.expect(PROMPT)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def text(self):
        """What has come since the last mark, without control sequences."""
        return CONTROL.sub("", self.raw[self.mark:].decode("utf-8", "replace"))

    def read(self, patience):
        """One more piece of output; False at the end."""
        ready, _, _ = select.select([self.fd], [], [], patience)
        if not ready:
            raise AssertionError(f"nothing within {patience:.1f} s after {self.text()!r}; the screen:\n{self.screen()}")
        try:
            data = os.read(self.fd, 65536)
        except OSError as e:
            if e.errno != errno.EIO:
                raise
            data = b""
        self.raw += data
        return bool(data)

    def expect(self, pattern, patience=PATIENCE):
        """Waits until the text since the last mark matches, and sets the mark behind it: (match, text)."""
        deadline = time.monotonic() + patience
        pattern = re.compile(pattern)
        while True:
            text = self.text()
            found = pattern.search(text)
            if found:
                self.mark = len(self.raw)
                return found, text
            if not self.read(max(0.01, deadline - time.monotonic())):
                raise AssertionError(f"the client ended before {pattern.pattern!r}: {text!r}")

    def screen(self):
        """What stands on the screen, and above it."""
        return Screen(self.columns, self.rows).feed(self.raw.decode("utf-8", "replace")).text()

    def until_screen(self, pattern, patience=PATIENCE):
        """Waits until what stands on the screen matches: (match, all of it)."""
        deadline = time.monotonic() + patience
        while True:
            text = self.screen()
            found = re.search(pattern, text, re.S | re.M)
            if found:
                self.mark = len(self.raw)
                return found, text
            if not self.read(max(0.01, deadline - time.monotonic())):
                raise AssertionError(f"the client ended before {pattern!r}: {text}")

    def type(self, text, pattern):
        """Types keys and waits for the screen."""
        self.send(text)
        return self.until_screen(pattern)[1]

    def send(self, text):
        os.write(self.fd, text.encode())

    def ask(self, source, patience=PATIENCE):
        """Types one line, waits for the next prompt, and returns what was printed in between."""
        self.send(source + "\r")
        # The prompt that stands there already may be drawn once more: the one to wait for comes behind the echo of what was typed
        # and its line end. (A line that is wider than the terminal is drawn in pieces.)
        plain = source.isascii() and source.isprintable() and len(source) + MARGIN < self.columns
        echo = re.escape(source[-TAIL:]) + r" *\n(?s:.*)" if plain else ""
        _, text = self.expect(echo + PROMPT.pattern, patience)
        return PROMPT.sub("", text.split(source, 1)[-1]).strip()

    def wait(self, patience=PATIENCE):
        """The exit status, once the client has ended by itself."""
        deadline = time.monotonic() + patience
        while self.read(max(0.01, deadline - time.monotonic())):
            pass
        _, status = os.waitpid(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
        return self.status
