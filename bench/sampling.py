"""What being sampled, or asked for values, a hundred times a second costs a program that computes: its own throughput, side by side with
none, and with py-spy's record. Plain dicts of numbers, as in figures.py.

The program's main thread has one processor for itself, and all others share another one: so that what is measured is what reaches across,
and not what a sampler takes of a processor that it could have had elsewhere; that is told apart.

What a processor does in a second varies by far more than is looked for here, but slowly: so a client of ours is stopped and goes on again in
turns of a tenth of a second, and each is compared with its neighbour. py-spy stops the program, so it cannot be stopped itself.
"""
import os
import signal
import statistics
import subprocess
import time
from pathlib import Path

from figures import summary
from harness import PATIENCE, rotated

SECONDS = 1.0
RATE = 100
BEFORE = 1.0  # for a sampler to begin
WINDOW, PAIRS = 0.1, 40  # seconds; with and without, in each turn
IN_WINDOWS = 2 * WINDOW * PAIRS * 1.5 + 2 * BEFORE  # seconds that a client of ours goes on at least


def samplers(bench, venv_python, program, scratch):
    """{name: its command}; None: nobody samples. Those of py-spy are not stopped in between."""
    found = {"nobody": None,
             "pystuck --sample": [bench.build / "pystuck", "--socket", program.address, "--sample", IN_WINDOWS, "--rate", RATE]}
    py_spy = Path(venv_python).parent / "py-spy" if venv_python else None
    if py_spy is not None and py_spy.exists():
        record = [py_spy, "record", "--pid", program.pid, "--rate", RATE, "--duration", int(SECONDS + 2 * BEFORE), "--format", "raw",
                  "--output", scratch / "py-spy.txt"]
        found["py-spy record"] = record
        found["py-spy record --nonblocking"] = [*record, "--nonblocking"]
    return found


def cpu_of_others(pid):
    """Seconds of processor that all threads but the main one have had."""
    ns = 0
    for tid in os.listdir(f"/proc/{pid}/task"):
        if int(tid) != pid:
            ns += int(Path(f"/proc/{pid}/task/{tid}/schedstat").read_text().split()[0])
    return ns / 1e9


def pin(program, main, others):
    for tid in os.listdir(f"/proc/{program.pid}/task"):
        os.sched_setaffinity(int(tid), {main if int(tid) == program.pid else others})


def work(program, seconds):
    """Turns a second, turns a second of processor, seconds of processor of the program's other threads for a second."""
    before = cpu_of_others(program.pid)
    turns, seconds, cpu = map(float, program.ask(f"work {seconds}").split())
    return turns / seconds, turns / cpu, (cpu_of_others(program.pid) - before) / seconds


def in_windows(program, sampler):
    """work() while it is sampled, the first two as ratios to those of the window beside it, in which the sampler is stopped."""
    with_it, ratios = [], []
    for i in range(PAIRS):
        pair = {}
        for goes_on in ((True, False), (False, True))[i % 2]:
            if sampler is not None:
                os.killpg(sampler.pid, signal.SIGCONT if goes_on else signal.SIGSTOP)
            pair[goes_on] = work(program, WINDOW)
        with_it.append(pair[True][2])
        ratios.append([pair[True][k] / pair[False][k] for k in (0, 1)])
    return [statistics.median(r[k] for r in ratios) for k in (0, 1)] + [statistics.mean(with_it)]


def begun(bench, command, processor):
    """In a group of its own: a shell and what it starts are stopped together."""
    if command is None:
        return None
    return subprocess.Popen([str(c) for c in command], env=bench.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, {processor}))


def end(sampler):
    if sampler is not None and sampler.poll() is None:
        os.killpg(sampler.pid, signal.SIGKILL)
        sampler.wait(PATIENCE)


def one_in_windows(bench, program, command, processor):
    """None: the sampler failed."""
    sampler = begun(bench, command, processor)
    try:
        time.sleep(BEFORE)
        figures = in_windows(program, sampler)
        if sampler is None:
            return figures
        os.killpg(sampler.pid, signal.SIGCONT)
        return figures if sampler.poll() is None else None
    finally:
        end(sampler)


def one_beside(bench, program, command, processor):
    """work() while it is sampled: the first two as ratios to the mean of those just before and after. None: the sampler failed."""
    before, sampler = work(program, SECONDS), begun(bench, command, processor)
    try:
        time.sleep(BEFORE)
        during = work(program, SECONDS)
        if sampler.wait(PATIENCE) != 0:
            return None
    finally:
        end(sampler)
    after = work(program, SECONDS)
    return [2 * during[i] / (before[i] + after[i]) for i in (0, 1)] + [during[2]]


def in_turns(bench, programs, commands, processors, turns):
    """{name: {what: summary}}; programs and commands by the same names."""
    seen, failed = {name: [] for name in commands}, dict.fromkeys(commands, 0)
    for turn in range(turns):
        for name in rotated(commands, turn):
            one = one_beside if name.startswith("py-spy") else one_in_windows
            figures = one(bench, programs[name], commands[name], processors[1])
            if figures is None:
                failed[name] += 1
            else:
                seen[name].append(figures)
    return {name: {"clock": summary([f[0] for f in seen[name]], failed[name]),
                   "processor": summary([f[1] for f in seen[name]], failed[name]),
                   "others": summary([f[2] * 100 for f in seen[name]], failed[name])} for name in commands}


def sampled(bench, venv_python, scale):
    """{name: {what: summary}}; empty where there is one processor."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        return {}
    program = bench.program("pystuck", 4, 10)
    pin(program, processors[0], processors[1])
    commands = samplers(bench, venv_python, program, bench.scratch)
    result = in_turns(bench, dict.fromkeys(commands, program), commands, processors, scale(6))
    bench.stop_all()
    return result


def asked(bench, scale):
    """the same of `1+1` a hundred times a second, with the bounded short switch interval and without."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        return {}
    kinds = {"nobody": "none", "pystuck": "pystuck", "pystuck, hurry=False": "pystuck_calm"}
    programs = {name: bench.program(kind, 4, 10) for name, kind in kinds.items()}
    for program in programs.values():
        pin(program, processors[0], processors[1])
    question = f"echo pace {RATE} {IN_WINDOWS} | exec \"$0\" \"$1\""
    commands = {name: None if kind == "none" else ["/bin/sh", "-c", question, bench.build / "bench" / "eval_client", programs[name].address]
                for name, kind in kinds.items()}
    result = in_turns(bench, programs, commands, processors, scale(9))
    bench.stop_all()
    return result
