#!/usr/bin/env python3
"""Makes the corpus of fuzz_dump: corpus/dump.

The same files come out every time. What a fuzzer finds later is added by hand, under a name that
says what it was.
"""
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "e2e"))

import fake_server as fake  # noqa: E402

HERE = pathlib.Path(__file__).parent / "corpus" / "dump"
NASTY = "a\x1b[31m\r\x9b\udc9b\u202e\u200bz\"\\"

DUMPS = {
    "empty": [],
    "one": [fake.dump_code(0), fake.dump_source(0, 1), fake.dump_thread()],
    "no-frames": [fake.dump_thread(frames=())],
    "unknown-thread": [fake.dump_thread(name="", class_name="", tid=0, state=0, frames=())],
    "main-last": [fake.dump_code(0), fake.dump_thread(flags=2, class_name="Thread"), fake.dump_thread()],
    "source-late": [fake.dump_code(0), fake.dump_thread(frames=((0, 1), (0, 2))), fake.dump_source(0, 2)],
    "locals": [fake.dump_code(0), fake.dump_thread(frames=((0, 1), (0, 2))), fake.dump_local(1, "b"),
               fake.dump_local(0, "a"), fake.dump_local(1, "c")],
    "omitted": [fake.dump_code(0), fake.dump_thread(omitted=7)],
    "nasty": [fake.dump_code(0, NASTY, NASTY), fake.dump_source(0, 1, NASTY),
              fake.dump_thread(name=NASTY, class_name=NASTY, os_name=NASTY, detail=NASTY), fake.dump_local(0, NASTY, NASTY)],
    "many-places": [fake.dump_code(0), fake.dump_thread(frames=[(0, n) for n in range(300)])],
    "waits": [fake.dump_code(0), fake.dump_thread(), fake.dump_wait(kind=6, flags=0x70, fd=3, count=7, waited_us=1500000, call="recv",
                                                                     type="TCP", local="127.0.0.1:1", peer="127.0.0.1:2")],
    "waits-for-each-other": [fake.dump_code(0), fake.dump_thread(ident=1, tid=2),
                             fake.dump_wait(flags=3, confidence=2, address=16, holder=3, holder_frame=0, type="RLock", name="a"),
                             fake.dump_thread(ident=2, tid=3, flags=0),
                             fake.dump_wait(flags=3, confidence=2, address=32, holder=2, holder_frame=0, type="RLock", name="b")],
    "waits-for-itself": [fake.dump_thread(frames=()), fake.dump_wait(flags=3, confidence=1, holder=2, holder_frame=0)],
    "waits-for-nobody": [fake.dump_wait()],
    "waits-nasty": [fake.dump_thread(frames=()), fake.dump_wait(kind=6, flags=0xff, pid=1, call="flock", type=NASTY, name=NASTY, path=NASTY,
                                                               local=NASTY, peer=NASTY, command=NASTY)],
    "tasks": [fake.dump_code(0), fake.dump_thread(), fake.dump_loop(0, 7, 16, 2, 1500000, 1, 2, 1), fake.dump_source(0, 1),
              fake.dump_task(1, kind=2, how="gather", awaits=(2, 3, 4), frames=((0, 1), (0, 2))),
              fake.dump_task(2, name="Task-2", kind=3, flags=0x2C, left_us=5000000, frames=((0, 1),)),
              fake.dump_task(3, name="Task-3", kind=3, flags=0x2C, left_us=5000000, frames=((0, 1),)),
              fake.dump_task(4, name="Task-4", kind=8, flags=0x44, fd=3, type="TCP", local="127.0.0.1:1", peer="127.0.0.1:2"),
              fake.dump_tasks(4)],
    "tasks-wait-for-each-other": [fake.dump_loop(), fake.dump_task(1, kind=4, type="Lock", object="a", address=16, holder=2, confidence=1),
                                  fake.dump_task(2, kind=2, awaits=(1, 3)), fake.dump_task(3, kind=2, awaits=(3, 9)), fake.dump_tasks(3)],
    "tasks-diamond": [fake.dump_loop(), fake.dump_task(1, kind=2, awaits=(2, 3)), fake.dump_task(2, kind=2, awaits=(4,)),
                      fake.dump_task(3, kind=2, awaits=(4,)), fake.dump_task(4, state=1), fake.dump_tasks(4)],
    "tasks-nasty": [fake.dump_code(0, NASTY, NASTY), fake.dump_loop(type=NASTY, callback=NASTY),
                    fake.dump_task(name=NASTY, coroutine=NASTY, awaitable=NASTY, how=NASTY, type=NASTY, object=NASTY, local=NASTY, peer=NASTY,
                                   kind=8, flags=0xFF, frames=((0, 1),)), fake.dump_tasks(1, omitted=7)],
    "tasks-twice": [fake.dump_loop(), fake.dump_task(), fake.dump_task(), fake.dump_tasks(2)],
    "interpreters": [fake.dump_code(0), fake.dump_interpreter(), fake.dump_thread(), fake.dump_interpreter(1, 2, 7),
                     fake.dump_thread(ident=1, tid=2, flags=0), fake.dump_wait(flags=3, confidence=2, address=16, holder=3, holder_frame=0),
                     fake.dump_thread(ident=3, tid=3, flags=0, frames=()), fake.dump_interpreter(5, 4), fake.dump_interpreter(6, 0)],
    "interpreters-late": [fake.dump_thread(frames=()), fake.dump_interpreter()],
    "natives": [fake.dump_thread(frames=()), fake.dump_natives(4, 7), *(fake.dump_thread(ident=0, tid=tid, flags=0, state=7, name="",
                class_name="", os_name=name, detail="in pause", frames=()) for tid, name in enumerate(("blas", "blas", NASTY), 10)),
                fake.dump_wait(flags=0xC0, cpu_us=3000000, waited_us=4000000)],
    "natives-nobody": [fake.dump_natives(0, 1), fake.dump_wait()],
    "natives-frames": [fake.dump_code(0), fake.dump_natives(), fake.dump_thread()],
    "natives-then-interpreter": [fake.dump_natives(0), fake.dump_interpreter()],
    "unknown-code": [fake.dump_thread(frames=((7, 1),))],
}

HERE.mkdir(parents=True, exist_ok=True)
for name, middle in DUMPS.items():
    messages = [fake.dump_begin(1), *middle, fake.dump_end(1)]
    (HERE / name).write_bytes(b"".join(struct.pack(">I", len(m)) + m for m in messages))
