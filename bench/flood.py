#!/usr/bin/env python3
"""What a flood of strangers costs the program that they flood: its own throughput, side by side with none.

A program that computes in its main thread, with pystuck's server. Three conditions in turns: calm (the flooder does nothing), a
flood that goes to another process with the same server (control: what the flooder itself and the kernel take), and a flood that
goes to it. The main thread has one processor for itself; the net threads and the flooder share another one, so that what is
measured is what reaches across: the GIL, memory, caches, locks of the kernel. What the net thread takes of its own processor is
printed apart. Ratios, and no verdict: a busy machine is no defect.

Environment: as tests/load/load.py; BENCH_ROUNDS (8), BENCH_RATE (10000). `make bench-flood`.
"""
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "load"))

import load  # noqa: E402

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "8"))
RATE = int(os.environ.get("BENCH_RATE", "10000"))
SECONDS = 1.5
TICK = os.sysconf("SC_CLK_TCK")

# Counts in CPU time of its own thread, too: where others take the processor, that is what still can be compared.
COUNTING = """
import threading, time
def work(seconds):
    end, begun, cpu = time.monotonic() + seconds, time.monotonic(), time.thread_time()
    turns = 0
    while time.monotonic() < end:
        sum(range(2000))
        turns += 1
    return turns / (time.monotonic() - begun), turns / (time.thread_time() - cpu)
"""


class Victim(load.Target):
    script = load.PROGRAM.replace("server =", COUNTING + "server =").replace(
        'if line == "fork\\n":', 'if line.startswith("work"):\n        print("DID", *work(float(line.split()[1])), flush=True)\n'
        '    elif line == "fork\\n":')

    def pin(self, main, net):
        for tid in os.listdir(f"/proc/{self.program.pid}/task"):
            os.sched_setaffinity(int(tid), {main if int(tid) == self.program.pid else net})

    def net_cpu(self):
        """Seconds of processor that the net thread has taken."""
        for tid in os.listdir(f"/proc/{self.program.pid}/task"):
            text = Path(f"/proc/{self.program.pid}/task/{tid}/schedstat").read_text()
            if Path(f"/proc/{self.program.pid}/task/{tid}/comm").read_text() == "pystuck\n":
                return int(text.split()[0]) / 1e9
        raise RuntimeError("no net thread")

    def work(self):
        """(turns a second, turns a second of processor)"""
        self.program.say(f"work {SECONDS}")
        found = self.program.out.until(r"^DID (\S+) (\S+)")
        return float(found[1]), float(found[2])


def one(condition, kind, victim, other, cpu):
    """One measurement: its two rates, and microseconds of the net thread for each connection that was made (or 0)."""
    if condition == "calm":
        return (*victim.work(), 0.0)
    before = victim.net_cpu()
    with load.Flood(other if condition == "control" else victim, kind, RATE, cpu=cpu) as flood:
        time.sleep(0.1)
        rates = victim.work()
    cost = (victim.net_cpu() - before) / max(1, flood.made) * 1e6
    return (*rates, cost if condition == "flood" else 0.0)


def measure(kind, victim, other, cpu):
    conditions = ["calm", "control", "flood"]
    seen = {condition: [] for condition in conditions}
    for turn in range(ROUNDS):
        for condition in conditions[turn % 3:] + conditions[:turn % 3]:
            seen[condition].append(one(condition, kind, victim, other, cpu))
    middle = {c: [statistics.median(column) for column in zip(*seen[c])] for c in conditions}
    calm, control, flood = (middle[c] for c in conditions)
    print(f"| {'TCP' if victim.tcp else 'Unix'} | {kind} | {control[0] / calm[0]:.3f} | {flood[0] / calm[0]:.3f} | "
          f"{control[1] / calm[1]:.3f} | {flood[1] / calm[1]:.3f} | {flood[2]:.0f} |", flush=True)


def main():
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        sys.exit("bench/flood.py: needs two processors")
    print("| socket | strangers | another is flooded | it is flooded | another, by CPU time | it, by CPU time | us of the net thread "
          "for a connection |\n|---|---|---|---|---|---|---|")
    for tcp in (False, True):
        with tempfile.TemporaryDirectory(prefix="pystuck-bench-") as directory:
            targets = []
            try:
                for name in ("victim", "other"):
                    (Path(directory) / name).mkdir(mode=0o700)
                    targets.append(Victim(load.PYTHONS[0], Path(directory) / name, tcp))
                    targets[-1].pin(cpus[0], cpus[1])
                for kind in load.KINDS:
                    measure(kind, *targets, cpus[1])
            finally:
                for target in targets:
                    target.close()


main()
