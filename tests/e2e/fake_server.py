"""A server that is not pystuck: speaks the plain protocol of Unix sockets by hand, so that it can say anything.

Nothing of the project is used here: the messages are put together from docs/PROTOCOL.md, so a mistake in the common code
can't hide itself.
"""

import os
import socket
import struct
import threading

HELLO, DUMP, EVAL, INTERRUPT, DETACH, BYE = 1, 2, 3, 4, 5, 6
WELCOME, REFUSED, ERROR = 64, 65, 66
DUMP_BEGIN, DUMP_CODE, DUMP_SOURCE, DUMP_THREAD, DUMP_LOCAL, DUMP_END, OUTPUT, RESULT, MATCHES, DUMP_WAIT = range(67, 77)
RAISED_PARTS = 78
DUMP_TASKS, DUMP_LOOP, DUMP_TASK, DUMP_INTERPRETER, DUMP_NATIVES = range(81, 86)
NONE, VALUE, RAISED, INTERRUPTED, INCOMPLETE, EXIT = range(6)


def text(value):
    data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return struct.pack(">I", len(data)) + data


def welcome(version=1, role=3, pid=4242, uid=None, started_ns=0, pystuck="0.1.0", python="3.11.2", command="python\0x.py"):
    uid = os.geteuid() if uid is None else uid
    return bytes([WELCOME]) + struct.pack(">HBIIQ", version, role, pid, uid, started_ns) + text(pystuck) + text(python) + text(command)


def refused(version=1, reason=1, why="no"):
    return bytes([REFUSED]) + struct.pack(">HB", version, reason) + text(why)


def error(id, reason=1, why="no"):
    return bytes([ERROR]) + struct.pack(">IB", id, reason) + text(why)


def bye(reason=0, why=""):
    return bytes([BYE]) + struct.pack(">B", reason) + text(why)


def dump_begin(id, how=1, settled=1, threads=1, note="", holder=0, wait_us=10):
    return bytes([DUMP_BEGIN]) + struct.pack(">IBBQQQII", id, how, settled, 0, wait_us, 20, holder, threads) + text(note)


def dump_code(code, file="x.py", function="f"):
    return bytes([DUMP_CODE]) + struct.pack(">I", code) + text(file) + text(function)


def dump_source(code, line, source="pass"):
    return bytes([DUMP_SOURCE]) + struct.pack(">II", code, line) + text(source)


def dump_thread(ident=1, tid=2, flags=1, state=1, name="MainThread", class_name="_MainThread", os_name="python", detail="",
                omitted=0, frames=((0, 1),)):
    packed = b"".join(struct.pack(">II", code, line) for code, line in frames)
    return (bytes([DUMP_THREAD]) + struct.pack(">QIBB", ident, tid, flags, state) + text(name) + text(class_name) + text(os_name) +
            text(detail) + struct.pack(">II", omitted, len(frames)) + packed)


def dump_local(frame=0, name="x", value="1"):
    return bytes([DUMP_LOCAL]) + struct.pack(">I", frame) + text(name) + text(value)


def dump_wait(kind=1, flags=0, confidence=0, cpu_us=0, waited_us=0, address=0, holder=0, holder_frame=0xFFFFFFFF, holder_line=0, fd=0,
              count=0, pid=0, call="", type="", name="", path="", local="", peer="", command=""):
    return (bytes([DUMP_WAIT]) + struct.pack(">BBBQQQIIIIQI", kind, flags, confidence, cpu_us, waited_us, address, holder, holder_frame,
                                             holder_line, fd, count, pid) +
            b"".join(map(text, (call, type, name, path, local, peer, command))))


def dump_interpreter(id=0, flags=1, gil_holder=0):
    return bytes([DUMP_INTERPRETER]) + struct.pack(">QBI", id, flags, gil_holder)


def dump_natives(threads=1, omitted=0):
    return bytes([DUMP_NATIVES]) + struct.pack(">II", threads, omitted)


def dump_loop(loop=0, flags=1, address=16, tid=2, busy_us=0, ready=0, scheduled=0, task=0, type="Loop", callback=""):
    return bytes([DUMP_LOOP]) + struct.pack(">IBQIQIIQ", loop, flags, address, tid, busy_us, ready, scheduled, task) + text(type) + text(callback)


def dump_task(id=1, loop=0, state=0, flags=4, kind=1, confidence=0, address=0, holder=0, left_us=0, count=0, fd=0, name="Task-1", coroutine="f",
              awaitable="", how="", type="", object="", local="", peer="", omitted_frames=0, omitted_awaits=0, awaits=(), frames=()):
    return (bytes([DUMP_TASK]) + struct.pack(">QIBBBBQQQQI", id, loop, state, flags, kind, confidence, address, holder, left_us, count, fd) +
            b"".join(map(text, (name, coroutine, awaitable, how, type, object, local, peer))) +
            struct.pack(">III", omitted_frames, omitted_awaits, len(awaits)) + b"".join(struct.pack(">Q", one) for one in awaits) +
            struct.pack(">I", len(frames)) + b"".join(struct.pack(">II", code, line) for code, line in frames))


def dump_tasks(tasks, flags=1, omitted=0):
    return bytes([DUMP_TASKS]) + struct.pack(">BIIQQQ", flags, tasks, omitted, 3, 2, 1)


def dump_end(id, omitted_threads=0, cut=0):
    return bytes([DUMP_END]) + struct.pack(">IIB", id, omitted_threads, cut)


def output(id, words, stream=1):
    return bytes([OUTPUT]) + struct.pack(">IB", id, stream) + text(words)


def raised(id, type, message):
    return bytes([RAISED_PARTS]) + struct.pack(">I", id) + text(type) + text(message)


def result(id, status=VALUE, words="42", total=None):
    words = words.encode("utf-8", "surrogateescape") if isinstance(words, str) else words
    return bytes([RESULT]) + struct.pack(">IBQQ", id, status, 1, len(words) if total is None else total) + text(words)


class Closed(Exception):
    """The client has gone."""


class Peer:
    """One client's connection."""

    def __init__(self, connection):
        self.connection = connection
        self.pending = b""

    def send(self, *messages):
        self.connection.sendall(b"".join(struct.pack(">I", len(m)) + m for m in messages))

    def receive(self):
        """The next message: (type, the bytes after it)."""
        while len(self.pending) < 4 or len(self.pending) < 4 + struct.unpack(">I", self.pending[:4])[0]:
            data = self.connection.recv(65536)
            if not data:
                raise Closed
            self.pending += data
        length = struct.unpack(">I", self.pending[:4])[0]
        message, self.pending = self.pending[4:4 + length], self.pending[4 + length:]
        return message[0], message[1:]

    def expect(self, type):
        """The next message, which must be of this type; its id where it begins with one."""
        got, body = self.receive()
        assert got == type, f"message {got} instead of {type}"
        return struct.unpack(">I", body[:4])[0]


class FakeServer:
    """with FakeServer(path, serve): runs serve(Peer) for each client. `problems` has what went wrong in it."""

    def __init__(self, path, serve, patience=20):
        self.path, self.serve, self.patience = str(path), serve, patience
        self.problems = []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen()

    def __enter__(self):
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exc):
        # Ends accept(), which close() alone would not.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(self.patience)
        self.socket.close()
        if exc[0] is None:
            assert not self.problems, self.problems

    def _run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(self.patience)
                try:
                    self.serve(Peer(connection))
                except (Closed, BrokenPipeError, ConnectionResetError):
                    pass
                except Exception as e:
                    self.problems.append(repr(e))


def greet(peer, **fields):
    peer.expect(HELLO)
    peer.send(welcome(**fields))


def answer_dump(peer, *, begin=None, code=None, source="pass", thread=None, local=None, end=None):
    """A dump of one thread with one frame, any field of it replaced."""
    id = peer.expect(DUMP)
    messages = [dump_begin(id, **(begin or {})), dump_code(0, **(code or {})), dump_source(0, 1, source),
                dump_thread(**(thread or {}))]
    if local is not None:
        messages.append(dump_local(**local))
    peer.send(*messages, dump_end(id, **(end or {})))


def until_closed(peer):
    """Reads on, so that the client is not cut off before it has said goodbye."""
    try:
        while True:
            peer.receive()
    except Closed:
        pass
