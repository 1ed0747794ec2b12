"""What there may be very many of: 100,000 tasks of asyncio, 10,000 greenlets. One look at all of them. Plain dicts of numbers, as in
figures.py.
"""
import json
import subprocess
import time

import harness
from figures import summary

TASKS, GREENLETS = 100_000, 10_000

PROGRAM_OF_TASKS = """
import asyncio, sys, pystuck
sys.stdout.reconfigure(line_buffering=True)
pystuck.run_server(socket=sys.argv[1])
async def inner(event): await event.wait()
async def worker(event): await inner(event)
async def main():
    event = asyncio.Event()
    workers = [asyncio.create_task(worker(event)) for _ in range(int(sys.argv[2]))]
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.5, print, "READY")  # when nothing is left to do
    await asyncio.gather(*workers)
asyncio.run(main())
"""
PROGRAM_OF_GREENLETS = """
import sys, time, greenlet, pystuck
pystuck.run_server(socket=sys.argv[1])
def inner(): greenlet.getcurrent().parent.switch()
def worker(): inner()
workers = [greenlet.greenlet(worker) for _ in range(int(sys.argv[2]))]
for one in workers: one.switch()
print("READY", flush=True)
time.sleep(100000)
"""


def look(bench, address, more):
    """(the answer as JSON, seconds until all of it was there)."""
    begun = time.perf_counter()
    done = subprocess.run([bench.build / "pystuck", "--socket", address, "--json", *more], env=bench.env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True, timeout=harness.PATIENCE)
    took = time.perf_counter() - begun
    return json.loads(done.stdout), took


def looks(bench, program, count, kind, more, times):
    """{what: summary}, in ms; `gil`: where the answer tells how long the GIL was held."""
    address = bench.scratch / f"{kind}.sock"
    process = bench.start([bench.python, "-c", program, address, count], dict(bench.env, PYTHONPATH=str(bench.build / "python")))
    if process.line() != "READY":
        raise RuntimeError(f"{kind}: not ready")
    seen = {"whole": [], "took": [], "held": [], "longest": []}
    for _ in range(times):
        answer, took = look(bench, address, more)
        if len(answer[kind]) < count:
            raise RuntimeError(f"{kind}: {len(answer[kind])} of {count}")
        seen["whole"].append(took * 1e3)
        for what in ("took", "held", "longest"):
            if f"{kind}_gil" in answer:
                seen[what].append(answer[f"{kind}_gil"][f"{what}_us"] / 1e3)
    bench.stop_all()
    return {what: summary(series) for what, series in seen.items() if series}


def measure(bench, scale):
    """{"100,000 tasks of asyncio": {what: summary}, ...}; greenlets where greenlet is installed."""
    result = {f"{TASKS:,} tasks of asyncio": looks(bench, PROGRAM_OF_TASKS, TASKS, "tasks", ["--no-greenlets"], scale(10))}
    if bench.output([bench.python, "-c", "import greenlet"])[0] == 0:
        result[f"{GREENLETS:,} greenlets"] = looks(bench, PROGRAM_OF_GREENLETS, GREENLETS, "greenlets", ["--greenlets"], scale(10))
    return result
