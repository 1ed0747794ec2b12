"""What an evaluation that computes leaves to the program beside it: its own throughput, as a ratio to what it does alone, for a main thread that
computes and for one that calls the kernel all the time. Plain dicts of numbers, as in figures.py.
"""
import os
import signal
import subprocess
import time
from pathlib import Path

from figures import summary
from harness import PATIENCE, rotated

SECONDS = 0.5
BEGUN = 0.5  # for the evaluations to begin
WORK = {"computes": "work", "calls the kernel": "call"}

LOOP = "while True: pass"
RPYC = "import sys; from rpyc.utils.classic import unix_connect; unix_connect(sys.argv[1]).execute(sys.argv[2])"


def contestants(bench, venv_python):
    """{name: (kind of program, command that evaluates the loop in it)}."""
    ours = lambda program: [bench.build / "pystuck", "--socket", program.address, "-c", LOOP]  # noqa: E731
    found = {"pystuck": ("pystuck", ours), "pystuck, hurry=False": ("pystuck_calm", ours)}
    if venv_python is not None:
        found["rpyc"] = ("old_unix", lambda program: [bench.python, "-c", RPYC, program.address, LOOP])
        cli = Path(venv_python).parent / "manhole-cli"
        found["manhole"] = ("manhole", lambda program: ["/bin/sh", "-c", '(echo "$2"; echo; sleep 60) | "$0" "$1"', cli, program.pid, LOOP])
    return found


def rate(program, work):
    turns, seconds, _ = map(float, program.ask(f"{work} {SECONDS}").split())
    return turns / seconds


def beside(bench, program, command, clients):
    """{what the program does: the ratio}, with so many clients; the program ends with it."""
    alone = {what: rate(program, work) for what, work in WORK.items()}
    running = [subprocess.Popen([str(c) for c in command], env=bench.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, start_new_session=True) for _ in range(clients)]
    try:
        time.sleep(BEGUN)
        return {what: rate(program, work) / alone[what] for what, work in WORK.items()}
    finally:
        for client in running:
            os.killpg(client.pid, signal.SIGKILL)
            client.wait(PATIENCE)
        program.stop()


def measure(bench, venv_python, scale):
    """{clients: {name: {what: summary}}}."""
    result = {}
    for clients in (1, 3):
        names = contestants(bench, venv_python)
        seen = {name: [] for name in names}
        for turn in range(scale(7)):
            for name in rotated(names, turn):
                kind, command = names[name]
                program = bench.program(kind)
                bench.processes.remove(program)
                seen[name].append(beside(bench, program, command(program), clients))
        result[str(clients)] = {name: {what: summary([one[what] * 100 for one in all_of]) for what in WORK} for name, all_of in seen.items()}
    return result
