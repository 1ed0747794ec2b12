#!/usr/bin/env python3
"""Makes the corpus of fuzz_profile: corpus/profile, each several dumps one after the other.

The same files come out every time. What a fuzzer finds later is added by hand, under a name that says what it was.
"""
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "e2e"))

import fake_server as fake  # noqa: E402

HERE = pathlib.Path(__file__).parent / "corpus" / "profile"
NASTY = "</script><b>\"'&;\\\n\x1b[31m\x9b\udc9b\u202e]]>-->"
BOTH = [fake.dump_code(0, "a.py", "f"), fake.dump_code(1, NASTY, NASTY)]

PROFILES = {
    "empty": [[]],
    "one": [[*BOTH, fake.dump_thread(frames=((0, 1), (1, 2)))]],
    "two-lines": [[*BOTH, fake.dump_thread(frames=((0, line), (1, 2), (0, line)))] for line in (1, 2)],
    "states": [[*BOTH, fake.dump_thread(state=state, frames=((0, 1), (1, state)))] for state in range(10)],
    "threads": [[*BOTH, *(fake.dump_thread(ident=n, tid=n, name=NASTY, flags=8, omitted=n, frames=((1, n),)) for n in range(1, 5))]] * 2,
    "native": [[fake.dump_thread(name="", class_name="", os_name=NASTY, tid=0, state=0, frames=())]],
    "waits": [[*BOTH, *(part for n in range(1, 6) for part in (
        fake.dump_thread(ident=n, tid=n, state=3, name=NASTY, frames=((0, n),)),
        fake.dump_wait(flags=3, confidence=2, address=16 * n, holder=1 if n == 3 else n % 5 + 1, type=NASTY, name=NASTY)))]],
}

HERE.mkdir(parents=True, exist_ok=True)
for name, dumps in PROFILES.items():
    messages = [m for middle in dumps for m in (fake.dump_begin(1, how=2), *middle, fake.dump_end(1))]
    (HERE / name).write_bytes(b"".join(struct.pack(">I", len(m)) + m for m in messages))
