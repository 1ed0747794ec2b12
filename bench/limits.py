"""What the figures are to be: one list. Not met fails nothing, since a slow or busy machine is no defect; it is told.

Each limit: what it is of, the figure in the results as a function of them, its unit, the limit in words (or a function), and whether it is met. A figure
that was not measured in a run is left out.
"""
from collections import namedtuple

Limit = namedtuple("Limit", "title figure unit words met")


def below(title, figure, unit, most):
    return Limit(title, figure, unit, f"under {most:g} {unit}".rstrip(), lambda value, _: value < most)


def above(title, figure, unit, least):
    return Limit(title, figure, unit, f"over {least:g} {unit}", lambda value, _: value > least)


def exactly(title, figure, wanted):
    return Limit(title, figure, "", f"{wanted:g}", lambda value, _: value == wanted)


def below_that(title, figure, unit, rival, name):
    return Limit(title, figure, unit, lambda results: f"below {name}, {rival(results):.3g} {unit}", lambda value, results: value < rival(results))


def median(*keys):
    return field(*keys, "median")


def field(*keys):
    def figure(results):
        for key in keys:
            results = results[key]
        return results
    return figure


def times_true(case):
    return lambda r: r["commands"]["idle"][case]["pystuck"]["median"] / r["commands"]["idle"][case]["/bin/true"]["median"]


def more_than_without(key, name):
    return lambda r: r["idle"][name][key] - r["idle"]["no server"][key]


def percent_lost(part, name, how):
    return lambda r: 100 * (1 - r[part][name][how]["median"])


def thousandth(figure):
    return lambda r: figure(r) / 1e3


def waits_ms(r):
    return sum(us[2] for part, us in r["phases"]["100x30"]["usual"].items() if part.startswith("waits")) / 1e3


BARE = "bare socket server"
USUAL = ("startup", "usual", "pystuck")
LIMITS = [
    below("client command, 4x10", times_true("4x10"), "x /bin/true", 2),
    below("client command, 1000x50", median("commands", "idle", "1000x50", "pystuck"), "ms", 15),
    below("GIL held for a dump, 1000x50", thousandth(median("gil", "idle", "1000x50", "held")), "ms", 1.5),
    below("start-up, where the usual modules are there", median(*USUAL, "ms"), "ms", 0.5),
    below("private memory, likewise", median(*USUAL, "dirty_kib"), "KiB", 128),
    exactly("OS threads more, at most", field(*USUAL, "threads", "max"), 1),
    exactly("other modules imported, at most", field("startup", "bare", "pystuck", "modules", "max"), 0),
    exactly("voluntary context switches while nobody asks", more_than_without("switches", "pystuck"), 0),
    exactly("the same after a dump and an evaluation", more_than_without("switches", "pystuck, after a dump and an evaluation"), 0),
    exactly("CPU ticks while nobody asks", more_than_without("ticks", "pystuck"), 0),
    below_that("`1+1`, idle, median", median("eval", "idle", "pystuck"), "us", median("eval", "idle", BARE), "the bare socket server"),
    below("`1+1`, beside one CPU-bound thread, median", thousandth(median("eval", "cpu", "pystuck")), "ms", 0.3),
    below("`1+1`, beside four, median", thousandth(median("eval", "cpu4", "pystuck")), "ms", 2),
    below("`1+1` a hundred times a second: what it takes from a CPU-bound thread", percent_lost("asked", "pystuck", "clock"), "%", 1),
    below("connect by TCP, handshake, `1+1`", thousandth(median("connect", "pystuck, client in C, TCP, sealed")), "ms", 1),
    above("100 MB of output, Unix socket", median("output", "pystuck"), "MB/s", 500),
    above("100 MB of output, TCP, sealed", median("output", "pystuck, TCP, sealed"), "MB/s", 300),
    below("what 100 threads wait for, on a processor", waits_ms, "ms", 5),
    below("stacks without the GIL, 1000x50, on a processor", lambda r: r["phases"]["1000x50"]["raw"]["stacks"][2] / 1e3, "ms", 10),
    below("100 samples a second: what they take from a CPU-bound thread", percent_lost("sample", "pystuck --sample", "processor"), "%", 1),
    below("100,000 tasks of asyncio: to look at them", median("tasks", "100,000 tasks of asyncio", "took"), "ms", 1000),
    below("100,000 tasks of asyncio: the GIL held at a time", field("tasks", "100,000 tasks of asyncio", "longest", "max"), "ms", 20),
    below("10,000 greenlets: the whole command", median("tasks", "10,000 greenlets", "whole"), "ms", 1000),
    below("first prompt, with the stacks of 4x10", median("prompt", "first", "pystuck, with the stacks of 4x10 before it"), "ms", 10),
    below("completion of `modules['` with 1,000 modules", median("prompt", "tab"), "ms", 20),
]


def verdicts(results):
    """[(title, value, unit, the limit in words, met)] of those that were measured."""
    found = []
    for limit in LIMITS:
        try:
            value = limit.figure(results)
            met = limit.met(value, results)
        except (KeyError, TypeError):  # a part that was left out, or nothing came of it
            continue
        words = limit.words(results) if callable(limit.words) else limit.words
        found.append((limit.title, value, limit.unit, words, met))
    return found
