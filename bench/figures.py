"""What dumps, starting and doing nothing cost. Each returns plain dicts of numbers (results.json); report.py makes tables of them.

What is compared is measured in turns within one run, so that a change of the machine's mood meets all alike.
"""
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import harness
import peers

CASES = [(4, 10), (100, 30), (1000, 50)]
CHECK_PATIENCE = 20  # seconds: as spawn.c gives to a command


def summary(values, failed=0):
    """What is kept of a series. None when there is nothing."""
    if not values:
        return {"n": 0, "failed": failed} if failed else None
    ordered = sorted(values)
    return {"n": len(ordered), "failed": failed, "median": median(ordered), "min": ordered[0], "max": ordered[-1],
            "p99": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]}


def summary_of_rounds(series):
    """The p99 is the median of the rounds' own: what one busy moment of the machine does to one round decides nothing."""
    whole = summary([value for values in series for value in values])
    return dict(whole, p99=median(summary(values)["p99"] for values in series))


def check_output(bench, contestant, program):
    """A contestant that prints less than was asked for would be timed for nothing."""
    status, out = bench.output(contestant.command(program), CHECK_PATIENCE)
    frames = len(re.findall(contestant.frame, out))
    wanted = program.threads * program.frames
    if contestant.name != "/bin/true" and (status != 0 or frames < wanted):
        raise RuntimeError(f"{contestant.name}: status {status}, {frames} frames of {wanted}")


class Race:
    """Contestants, each with a program of its own for one case, and a runner for their commands. A peer that does not do it on this machine, or
    with this Python, is not among `names`: None in `absent`."""

    def __init__(self, bench, contestants, case, check=check_output):
        self.programs, self.absent = {}, {}
        for c in contestants:
            self.programs[c.name] = bench.program(c.kind, *case)
            try:
                check(bench, c, self.programs[c.name])
            except (RuntimeError, OSError, subprocess.TimeoutExpired) as why:
                if c.kind in harness.OURS:
                    raise
                print(f"bench: {c.name} is left out: {why}", file=sys.stderr)
                self.absent[c.name] = None
        contestants = [c for c in contestants if c.name not in self.absent]
        self.names = [c.name for c in contestants]
        self.spawner = bench.spawner([c.command(self.programs[c.name]) for c in contestants])
        self.taken = {name: [] for name in self.names}
        self.failed = dict.fromkeys(self.names, 0)

    def spawn(self, name):
        ms, _ = harness.spawn_ms(self.spawner, self.names.index(name))
        return ms

    def reset(self):
        self.taken = {name: [] for name in self.names}
        self.failed = dict.fromkeys(self.names, 0)

    def rounds(self, count, step):
        """step(name) -> a number or None, in turns; who fails three times, or has had its time, is out."""
        self.reset()
        spent = dict.fromkeys(self.names, 0.0)
        for number in range(count):
            for name in harness.rotated(self.names, number):
                if self.failed[name] >= 3 or (number >= 2 and spent[name] > harness.budget):
                    continue
                begun = time.monotonic()
                value = step(name)
                spent[name] += time.monotonic() - begun
                if value is None:
                    self.failed[name] += 1
                else:
                    self.taken[name].append(value)
        return {name: summary(self.taken[name], self.failed[name]) for name in self.names}


def command_times(bench, contestants, scale):
    """start to exit, ms: {"idle" | "cpu": {"4x10": {name: summary}}}; None: shows nothing here."""
    result = {"idle": {}, "cpu": {}}
    for case, idle, busy in zip(CASES, (150, 60, 30), (40, 30, 15)):
        race = Race(bench, contestants, case)
        label = "%dx%d" % case
        race.rounds(2, race.spawn)  # warms up
        result["idle"][label] = dict(race.rounds(scale(idle), race.spawn), **race.absent)

        def beside_cpu(name):
            with race.programs[name].spinning():
                time.sleep(0.005)
                return race.spawn(name)
        result["cpu"][label] = dict(race.rounds(scale(busy), beside_cpu), **race.absent)
        bench.stop_all()
    return result


def gdb_times(bench, quick):
    """For gdb: {"4x10": summary, ...}; as far as there is a gdb that knows Python frames and is done within a time."""
    result = {}
    for case, runs in zip(CASES[:1 if quick else 2], (3, 1)):
        program, taken = bench.program("none", *case), []
        try:
            for _ in range(runs):
                begun = time.monotonic()
                frames = bench.output(peers.gdb_command(program.pid))[1].count('File "')
                if frames < case[0] * case[1]:
                    break
                taken.append((time.monotonic() - begun) * 1e3)
        except (OSError, subprocess.TimeoutExpired):
            pass
        bench.stop_all()
        if not taken:
            break
        result["%dx%d" % case] = summary(taken)
    return result


def held_us(bench, program):
    """(microseconds that the GIL was held, waited for) by one dump, or None when it was read without the GIL."""
    status, out = bench.output([bench.build / "pystuck", "--socket", program.address, "--json", "--no-repl"])
    dump = json.loads(out) if status == 0 else {"how": None}
    return (dump["gil"]["held_us"], dump["gil"]["wait_us"]) if dump["how"] == "gil" else None


def gil_held(bench, scale):
    """{"idle" | "cpu": {"4x10": {"held": summary, "wait": summary}}}, in us."""
    result = {"idle": {}, "cpu": {}}
    for case in CASES:
        program = bench.program("pystuck", *case)
        for load in result:
            pairs = []
            for _ in range(scale(40)):
                if load == "cpu":
                    with program.spinning():
                        pairs.append(held_us(bench, program))
                else:
                    pairs.append(held_us(bench, program))
            good = [p for p in pairs if p is not None]
            bad = len(pairs) - len(good)
            result[load]["%dx%d" % case] = {"held": summary([h for h, _ in good], bad),
                                            "wait": summary([w for _, w in good])}
        bench.stop_all()
    return result


def time_stolen(bench, contestants, scale):
    """what a tight loop in the program loses to one dump, ms: {"4x10": {name: {"largest" | "total": summary}}}; None: shows nothing."""
    result = {}
    for case, rounds in zip(CASES, (30, 20, 12)):
        race = Race(bench, contestants, case)
        totals = {name: [] for name in race.names}

        def one(name):
            taken = []
            gaps = race.programs[name].watch(lambda: taken.append(race.spawn(name)))
            if taken[0] is None:
                return None
            totals[name].append(sum(gaps) * 1e3)
            return max(gaps, default=0.0) * 1e3
        largest = race.rounds(scale(rounds), one)
        stolen = {name: {"largest": largest[name], "total": summary(totals[name])} for name in race.names}
        bench.stop_all()
        result["%dx%d" % case] = dict(stolen, **race.absent, **call_times(bench, case, scale(rounds)))
    return result


# What a program can do itself: program.py times it. faulthandler ends after 100 threads, and 100 frames of each.
CALLS = {"faulthandler.dump_traceback": "faulthandler", "traceback.format_stack of each thread": "traceback"}


def call_times(bench, case, rounds):
    """{name: {"largest" | "total": summary}}, ms, of the calls: the program stands still all the while."""
    program = bench.program("none", *case)
    taken = {name: [] for name in CALLS}
    for number in range(rounds):
        for name in harness.rotated(CALLS, number):
            taken[name].append(int(program.ask(CALLS[name])) / 1e6)
    bench.stop_all()
    return {name: {"largest": summary(ms), "total": summary(ms)} for name, ms in taken.items()}


def phases(bench, scale):
    """{"100x30": {"usual" | "raw": {phase: [median us, least, median us on a processor, least]}}}"""
    directory = bench.build / "bench"
    subprocess.run([harness.HERE.parent / "tests" / "python" / "build", directory, bench.python, harness.HERE / "dumpphases.c"],
                   env=dict(bench.env, CC=bench.cc), check=True, timeout=300)
    result = {}
    for case, rounds in zip(CASES[1:], (40, 15)):
        process = bench.start([bench.python, harness.HERE / "phases.py", *map(str, case), scale(rounds)],
                              dict(bench.env, PYTHONPATH=str(directory)))
        result["%dx%d" % case] = json.loads(process.line())
        bench.stop_all()
    return result


def startup(bench, kinds, scale):
    """{"bare" | "usual": {name: {"ms", "kib", "clean_kib", "dirty_kib", "threads", "modules": summary,
    "names": [...]}}}"""
    result = {}
    for label, usual in (("bare", "0"), ("usual", "1")):
        samples = {name: [] for name in kinds}
        for number in range(scale(25)):
            for name in harness.rotated(kinds, number):
                samples[name].append(start_once(bench, kinds[name], usual))
        result[label] = {}
        for name, rows in samples.items():
            result[label][name] = {key: summary([r[key] for r in rows])
                                   for key in ("ms", "kib", "clean_kib", "dirty_kib", "threads", "modules")}
            result[label][name]["names"] = rows[-1]["names"]
    return result


def start_once(bench, kind, usual):
    address = str(harness.free_port()) if kind == "old_tcp" else str(bench.scratch / f"{bench.count()}.sock")
    env = dict(bench.env)
    if kind == "pystuck":
        env["PYTHONPATH"] = str(bench.build / "python")
    process = bench.start([bench.python, harness.HERE / "startup.py", kind, address, usual], env)
    row = json.loads(process.line())
    bench.processes.remove(process)
    process.process.wait(harness.PATIENCE)
    process.stop()
    if kind == "manhole":
        Path(f"/tmp/manhole-{process.pid}").unlink(missing_ok=True)
    return row


def thread_figures(pid):
    """(voluntary context switches, CPU ticks, nanoseconds on CPU) of all threads of a process, added up."""
    switches = ticks = ns = 0
    for tid in os.listdir(f"/proc/{pid}/task"):
        task = Path(f"/proc/{pid}/task/{tid}")
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                switches += int(line.split()[1])
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
        ns += int((task / "schedstat").read_text().split()[0])
    return switches, ticks, ns


def idle(bench, contestants, seconds):
    """{name: {"switches", "ticks", "cpu_us"}} over `seconds`; pystuck also after a dump and an evaluation."""
    programs = {c.name if c.kind != "none" else "no server": bench.program(c.kind) for c in contestants}
    asked = bench.program("pystuck")
    for question in (["--no-repl"], ["-c", "1+1"]):
        status, out = bench.output([bench.build / "pystuck", "--socket", asked.address, *question])
        if status != 0:
            raise RuntimeError(f"pystuck {question}: status {status}")
    programs["pystuck, after a dump and an evaluation"] = asked
    time.sleep(1)
    before = {name: thread_figures(p.pid) for name, p in programs.items()}
    time.sleep(seconds)
    after = {name: thread_figures(p.pid) for name, p in programs.items()}
    bench.stop_all()
    return {name: {"switches": after[name][0] - before[name][0], "ticks": after[name][1] - before[name][1],
                   "cpu_us": (after[name][2] - before[name][2]) / 1e3, "seconds": seconds} for name in programs}
