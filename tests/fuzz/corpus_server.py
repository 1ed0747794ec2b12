#!/usr/bin/env python3
"""Makes the corpora of fuzz_policy, fuzz_session and fuzz_audit: corpus/policy, corpus/session, corpus/audit.

The messages are packed here by docs/PROTOCOL.md, not by the encoder under test. The same files
come out every time. What a fuzzer finds later is added by hand, under a name that says what it was.
"""
import pathlib
import struct

HERE = pathlib.Path(__file__).parent / "corpus"

POLICY = {
    "users": b"alice\teval\n1001\tstacks\n0\tlocals\n",
    "groups": b"@ops\tstacks\n@50\tlocals\n@u\teval\n",
    "keys": b"key:ci\tstacks\nkey:a.b_c-d\teval\nkey:\teval\n",
    "twice": b"alice\teval\n2097\teval\nalice\tstacks\n",
    "bad": b"\t\n@\teval\nalice\nalice\tking\n4294967295\teval\nh\teval\nH\teval\ne\teval\nu\teval\n",
    "control": b"\x1b[31m\teval\nkey:\x00\teval\n",
}




def event(action, role, *texts):
    """An audit event: reason, source, key, address, listener."""
    return bytes([action, role]) + b"".join(struct.pack(">H", len(t)) + t for t in texts)


AUDIT = {
    "eval": event(4, 3, b"", b"def f():\n\treturn 1\n", b"", b"", b"/run/app.sock"),
    "refuse": event(1, 0, b"the handshake failed", b"", b"ci", b"10.0.0.7:5123", b"127.0.0.1:6666"),
    "disconnect": event(7, 1, b"gone"),
    "newlines": event(5, 3, *[b"x\nPYSTUCK_UID=0\nMESSAGE\n\x01\0\0\0\0\0\0\0x\n"] * 5),
    "terminal": event(4, 3, *[b"\x1b[2J\x9b\xc2\x9b\xff\xe2\x80\xae\x7f"] * 5),
    "long": event(4, 3, b"r" * 1100, "\u00e9".encode() * 2100, b"k" * 400, b"a" * 400, b"l" * 400),
}


def text(value):
    return struct.pack(">I", len(value)) + value


def said(*messages):
    """What a client says at once: the bytes of its messages behind their frame headers."""
    data = b"".join(struct.pack(">I", len(m)) + m for m in messages)
    return b"".join(bytes([len(data[i : i + 150])]) + data[i : i + 150] for i in range(0, len(data), 150))


def dump(number, flags=0):
    return struct.pack(">BIBI", 2, number, flags, 0)


def evaluate(number):
    return struct.pack(">BIBI", 3, number, 0, 0) + text(b"1+1")


def complete(number, flags=0):
    return struct.pack(">BIB", 7, number, flags) + text(b"os.")


HELLO = b"\x01" + text(b"pystuck") + struct.pack(">H", 1) + text(b"0.1.0")
FUTURE = b"\x01" + text(b"pystuck") + struct.pack(">H", 2) + b"more"
INTERRUPT, DETACH, BYE = struct.pack(">BI", 4, 2), struct.pack(">BI", 5, 2), b"\x06\x00" + text(b"")
WHERE, BACKGROUND = struct.pack(">BI", 8, 2), struct.pack(">BI", 9, 2)

# What happens besides, as in happen(): 160 is 16 * 10.
(TURN, _, TENTH, SECOND, END_DUMP, END_EVAL, DONE_DUMP, DONE_EVAL, OUTPUT, FLOOD, HEAR, SHUT, STALL, SPOIL, GONE,
 CLAIM) = (bytes([160 + i]) for i in range(16))

ANSWERED = END_DUMP + DONE_DUMP + END_EVAL + DONE_EVAL + TURN + HEAR + TURN

STORIES = {
    "requests": said(HELLO, dump(1), evaluate(2)) + ANSWERED + said(BYE) + TURN + GONE + TURN,
    "late": said(HELLO, dump(1), evaluate(2)) + SECOND + TURN + said(dump(3), evaluate(4)) + ANSWERED,
    "aside": said(HELLO, dump(1), dump(2), dump(3)) + END_DUMP + DONE_DUMP + TURN + END_DUMP + DONE_DUMP + TURN,
    "flood": said(HELLO, evaluate(2)) + CLAIM + FLOOD + said(dump(1), INTERRUPT, DETACH, evaluate(3)) + HEAR + TURN
    + HEAR + TURN + ANSWERED,
    "stall": said(HELLO, evaluate(2)) + CLAIM + FLOOD + STALL + TURN,
    "busy": said(HELLO, evaluate(2), evaluate(3)) + CLAIM + said(evaluate(4)) + END_EVAL + said(evaluate(5)) + DONE_EVAL + TURN,
    "detached": said(HELLO, evaluate(2), DETACH, evaluate(3)) + CLAIM + TURN + ANSWERED,
    "complete": said(HELLO, complete(2), evaluate(3)) + ANSWERED + said(complete(4, 1)) + ANSWERED,
    "background": said(HELLO, evaluate(2), WHERE, BACKGROUND, evaluate(3)) + CLAIM + TURN + ANSWERED,
    "shut": said(HELLO, dump(1), evaluate(2)) + SHUT + TURN + TURN + ANSWERED,
    "gone": said(HELLO, evaluate(2)) + GONE + TURN,
    "locals": said(HELLO, dump(1, 1)) + ANSWERED,
    "future": said(FUTURE) + TURN + GONE + TURN,
    "stranger": said(dump(1)) + TURN,
    "spoilt": said(HELLO) + SPOIL + said(dump(1)) + TURN,
    "silent": SECOND * 5 + TURN,
    "server": said(HELLO, b"\x4a" + bytes(21)) + TURN,
    "long": said(HELLO) + b"\x04\x00\x10\x00\x01" + TURN,
}


def main():
    for folder, inputs in (("policy", POLICY), ("audit", AUDIT)):
        (HERE / folder).mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            (HERE / folder / name).write_bytes(data)
    for name, story in STORIES.items():
        (HERE / "session").mkdir(parents=True, exist_ok=True)
        for transport, how in (("plain", 0), ("sealed", 1), ("unproved", 2)):
            (HERE / "session" / f"{transport}-{name}").write_bytes(bytes([how]) + story)
        (HERE / "session" / f"stacks-{name}").write_bytes(bytes([9]) + story)


main()
