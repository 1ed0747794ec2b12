"""`pystuck --merge` of very many dumps: how long it takes, and how much memory. `make bench-merge` runs it.

What lives here: made-up dumps of the size that programs have, and the two bounds: 100,000 dumps of 10 threads in under 10 s and 1 GB.
What does not: what comes out (tests/e2e/test_merge.py).

    merge.py CLIENT [DUMPS]
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS, DEPTH, IN_A_FILE, KINDS = 10, 15, 100, 50
SECONDS, BYTES = 10, 1 << 30


def frame(number):
    return {"file": f"/srv/app/lib/python3.11/site-packages/package{number % 40}/module_{number % 97}.py", "line": 10 + number % 900,
            "function": f"Class{number % 31}.method_{number % 113}", "source": f"return self._call(argument_{number % 9}, timeout=30)"}


def dump(number):
    """Most are one of a few kinds; one in a thousand stands where no other does."""
    threads = []
    for thread in range(THREADS):
        kind = number * 7919 + thread if number % 1000 == 0 else number % KINDS * 31 + thread
        threads.append({
            "ident": 140000000000 + thread, "tid": 1000 + thread, "name": f"worker-{thread}", "class": "Thread", "daemon": True, "state": "lock",
            "waits_for": {"kind": "lock", "type": "Lock", "name": "self._lock", "address": "0x7f0011223344", "holder": None,
                          "confidence": "unknown", "proved": True, "syscall": "futex", "seconds": 12.5},
            "os_name": "python", "cpu_seconds": 1.25, "settled": True,
            "frames": [frame(level if level < 5 else kind * 17 + level) for level in range(DEPTH)], "omitted_frames": 0})
    return {"schema": 1, "pystuck": "0.9.0", "pid": 1000 + number, "python": "3.11.7", "command": ["python", "app.py"],
            "time": "2026-01-31T12:00:00.000000Z", "how": "gil", "settled": True, "gil": {"wait_us": 10, "held_us": 20, "holder": None},
            "summary": "10 threads", "deadlocks": [], "led_into": [], "threads": threads, "omitted_threads": 0}


def write(directory, dumps):
    written = 0
    for first in range(0, dumps, IN_A_FILE):
        with open(directory / f"{first:08}.json", "w") as file:
            for number in range(first, min(first + IN_A_FILE, dumps)):
                written += file.write(json.dumps(dump(number)) + "\n")
    return written


def main():
    client, dumps = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100000
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as scratch:
        size = write(Path(scratch), dumps)
        begun = time.monotonic()
        done = subprocess.run([client, "--merge", scratch], stdout=subprocess.PIPE, check=True, timeout=600)
        seconds = time.monotonic() - begun
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(done.stdout.decode().splitlines()[0])
    print(f"{dumps} dumps of {THREADS} threads, {size / 1e6:.0f} MB: {seconds:.2f} s, {memory / 1e6:.0f} MB at the most")
    scale = dumps / 100000
    return 0 if seconds < SECONDS * max(scale, 0.01) and memory < BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
