#!/usr/bin/env python3
"""Makes the corpora of fuzz_msg and fuzz_channel: corpus/msg, corpus/channel.

The messages are packed here by docs/PROTOCOL.md, not by the encoder under test. The same files
come out every time. What a fuzzer finds later is added by hand, under a name that says what it was.
"""
import pathlib
import struct

HERE = pathlib.Path(__file__).parent / "corpus"


def text(value):
    data = value.encode()
    return struct.pack(">I", len(data)) + data


def message(kind, form, *fields):
    """One message: `form` is as for struct, with s for a string."""
    parts = [bytes([kind])]
    for letter, field in zip(form, fields, strict=True):
        parts.append(text(field) if letter == "s" else struct.pack(">" + letter, field))
    return b"".join(parts)


FRAMES = struct.pack(">IIIII", 2, 0, 9, 1, 0)

MESSAGES = {
    "hello": message(1, "sHs", "pystuck", 1, "0.1.0"),
    "hello-future": message(1, "sHs", "pystuck", 2, "9") + b"more",
    "dump": message(2, "IBI", 1, 3, 0),
    "eval": message(3, "IBIs", 2, 1, 0, "1+1"),
    "interrupt": message(4, "I", 2),
    "detach": message(5, "I", 2),
    "complete": message(7, "IBs", 2, 1, "os.pa"),
    "raised": message(78, "Iss", 2, "KeyError", "'x'"),
    "where": message(8, "I", 2),
    "background": message(9, "I", 2),
    "bye": message(6, "Bs", 0, ""),
    "welcome": message(64, "HBIIQsss", 1, 3, 4242, 1000, 10**18, "0.1.0", "3.13.0", "python3\0app.py"),
    "refused": message(65, "HBs", 1, 1, "not allowed"),
    "refused-future": message(65, "HBs", 2, 99, "?"),
    "error": message(66, "IBs", 2, 5, "busy"),
    "dump-begin": message(67, "IBBQQQIIs", 1, 1, 1, 10**18, 20, 300, 0, 2, "note"),
    "dump-code": message(68, "Iss", 0, "/app.py", "Worker.run"),
    "dump-source": message(69, "IIs", 0, 9, "with lock:"),
    "dump-thread": message(70, "QIBBssssI", 140245, 812, 1, 3, "MainThread", "_MainThread", "python3", "", 0)
    + FRAMES,
    "dump-local": message(71, "Iss", 0, "lock", "<locked RLock>"),
    "dump-tasks": message(81, "BIIQQQ", 1, 2, 0, 3, 2, 1),
    "dump-loop": message(82, "IBQIQIIQss", 0, 5, 16, 812, 0, 1, 2, 32, "_UnixSelectorEventLoop", ""),
    "dump-task": message(83, "QIBBBBQQQQIssssssssIIIQ", 32, 0, 0, 4, 2, 1, 48, 64, 0, 0, 0, "Task-1", "main", "", "gather", "Future", "", "", "",
                         0, 0, 1, 64) + FRAMES,
    "dump-end": message(72, "IIB", 1, 0, 0),
    "output": message(73, "IBs", 2, 1, "hello\n"),
    "result": message(74, "IBQQs", 2, 1, 35, 1, "2"),
    "place": message(77, "Is", 2, "time.sleep"),
    "matches": message(75, "IBIIss", 2, 3, 3, 700, "f(x)", "path\0pathconf\0"),
}


def framed(*names):
    return b"".join(struct.pack(">I", len(MESSAGES[n])) + MESSAGES[n] for n in names)


SESSION = framed("hello", "dump", "eval", "bye")
RECORD = struct.pack(">H", 48) + bytes(range(48))

# The first byte: what is done (see fuzz_channel.c) and, times 8, which limit; then two of seed.
STREAMS = {
    "plain": bytes([0 + 8 * 1, 1, 2]) + SESSION,
    "plain-cut": bytes([0 + 8 * 3, 1, 3]) + SESSION[:-2],
    "plain-long": bytes([0 + 8 * 0, 1, 4]) + SESSION,
    "plain-zero": bytes([0 + 8 * 1, 1, 5]) + bytes(8),
    "sealed": bytes([1 + 8 * 1, 2, 1]) + SESSION,
    "changed": bytes([2 + 8 * 1, 3, 1]) + SESSION,
    "forged": bytes([3 + 8 * 1, 4, 1]) + RECORD + SESSION,
    "handshake": bytes([4 + 8 * 1, 5, 1]) + RECORD + SESSION,
    "handshake-http": bytes([4 + 8 * 1, 5, 2]) + b"GET / HTTP/1.1\r\n",
    "there-and-back": bytes([5, 6, 1]) + SESSION,
    "there-and-back-sealed": bytes([6, 7, 1]) + SESSION,
}


def main():
    for folder, files in (("msg", MESSAGES), ("channel", STREAMS)):
        (HERE / folder).mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (HERE / folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
