"""The five measurements. Each returns plain dicts of numbers (results.json); report.py makes tables of them.

What is compared is measured in turns within one run, so that a change of the machine's mood meets all alike.
"""
import json
import os
import subprocess
import time
from pathlib import Path
from statistics import median

import harness
import peers

CASES = [(4, 10), (100, 30), (1000, 50)]


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
    status, out = bench.output(contestant.command(program))
    frames = out.count('File "') + out.count('File: "')  # manhole has a colon
    wanted = program.threads * program.frames
    if contestant.kind != "none" and (status != 0 or frames < wanted):
        raise RuntimeError(f"{contestant.name}: status {status}, {frames} frames of {wanted}")


class Race:
    """Contestants, each with a program of its own for one case, and a runner for their commands."""

    def __init__(self, bench, contestants, case):
        self.programs = {c.name: bench.program(c.kind, *case) for c in contestants}
        for c in contestants:
            check_output(bench, c, self.programs[c.name])
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
        """step(name) -> a number or None, in turns; who fails three times is out."""
        self.reset()
        for number in range(count):
            for name in harness.rotated(self.names, number):
                if self.failed[name] >= 3:
                    continue
                value = step(name)
                if value is None:
                    self.failed[name] += 1
                else:
                    self.taken[name].append(value)
        return {name: summary(self.taken[name], self.failed[name]) for name in self.names}


def command_times(bench, contestants, scale):
    """1: start to exit, ms: {"idle" | "cpu": {"4x10": {name: summary}}}"""
    result = {"idle": {}, "cpu": {}}
    for case, idle, busy in zip(CASES, (150, 60, 30), (40, 30, 15)):
        race = Race(bench, contestants, case)
        label = "%dx%d" % case
        race.rounds(2, race.spawn)  # warms up
        result["idle"][label] = race.rounds(scale(idle), race.spawn)

        def beside_cpu(name):
            with race.programs[name].spinning():
                time.sleep(0.005)
                return race.spawn(name)
        result["cpu"][label] = race.rounds(scale(busy), beside_cpu)
        bench.stop_all()
    return result


def gdb_times(bench, scale):
    """1, for gdb: {"4x10": summary, ...}; as far as there is a gdb that knows Python frames and is done within a time."""
    result = {}
    for case, runs in zip(CASES[:2], (3, 1)):
        program = bench.program("none", *case)
        command = peers.gdb_command(program.pid)
        try:
            frames = bench.output(command)[1].count('File "')
        except (OSError, subprocess.TimeoutExpired):
            frames = 0
        if frames >= case[0] * case[1]:
            spawner = bench.spawner([command], seconds=harness.PATIENCE - 10)
            times = [harness.spawn_ms(spawner, 0)[0] for _ in range(scale(runs))]
            good = [t for t in times if t is not None]
            result["%dx%d" % case] = summary(good, len(times) - len(good))
        bench.stop_all()
    return result


def held_us(bench, program):
    """(microseconds that the GIL was held, waited for) by one dump, or None when it was read without the GIL."""
    status, out = bench.output([bench.build / "pystuck", "--socket", program.address, "--json", "--no-repl"])
    dump = json.loads(out) if status == 0 else {"how": None}
    return (dump["gil"]["held_us"], dump["gil"]["wait_us"]) if dump["how"] == "gil" else None


def gil_held(bench, scale):
    """2: {"idle" | "cpu": {"4x10": {"held": summary, "wait": summary}}}, in us."""
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
    """2: what a tight loop in the program loses to one dump, ms: {"4x10": {name: {"largest" | "total": summary}}}"""
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
        result["%dx%d" % case] = {name: {"largest": largest[name], "total": summary(totals[name])}
                                  for name in race.names}
        bench.stop_all()
    return result


def startup(bench, kinds, scale):
    """3: {"bare" | "usual": {name: {"ms", "kib", "clean_kib", "dirty_kib", "threads", "modules": summary,
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


def idle(bench, contestants, seconds=10):
    """4: {name: {"switches", "ticks", "cpu_us"}} over `seconds`; pystuck also after a dump and an evaluation."""
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


def eval_rounds(bench, with_peers, c_client, scale):
    """5: {"idle" | "cpu": {name: summary}}, us for one round trip of `1+1`, a client kept open."""
    kinds = {"pystuck": ("pystuck", "pystuck"), "bare socket server": ("bare", "bare")}
    if with_peers:
        kinds.update({"rpyc": ("old_unix", "rpyc"), "manhole": ("manhole", "manhole")})
    programs = {name: bench.program(kind) for name, (kind, _) in kinds.items()}
    programs["pystuck, client in C"] = programs["pystuck"]
    clients = {name: bench.start([bench.python, harness.HERE / "eval_rounds.py", client, programs[name].address])
               for name, (_, client) in kinds.items()}
    clients["pystuck, client in C"] = bench.start([c_client, programs["pystuck"].address])
    result = {}
    for load, rounds, count in (("idle", 40, 500), ("cpu", 5, 40)):
        taken = {name: [] for name in clients}
        for number in range(scale(rounds)):
            for name in harness.rotated(clients, number):
                if load == "cpu":
                    with programs[name].spinning():
                        answer = clients[name].ask(str(count))
                else:
                    answer = clients[name].ask(str(count))
                taken[name].append([int(ns) / 1e3 for ns in answer.split()])
        result[load] = {name: summary_of_rounds(series) for name, series in taken.items()}
    bench.stop_all()
    return result
