"""Makes pictures (SVG) of the results, with matplotlib: run by the interpreter of the bench's virtual environment.

    pictures.py RESULTS DIRECTORY

Prints one line for each picture: its file, a tab, its title.
"""
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "pystuck"  # the same bytes of the same figures
matplotlib.rcParams["svg.fonttype"] = "none"  # words as words
import matplotlib.pyplot as plt  # noqa: E402

OURS, THEIRS = "#1f77b4", "#b0b0b0"
CASES = ("4x10", "100x30", "1000x50")


def bars(axis, title, unit, series):
    """series: {name: summary}, the least on top, on a logarithmic scale; thin lines go from least to most."""
    known = sorted(((s["median"], s["min"], s["max"], name) for name, s in series.items() if s and s.get("n")), reverse=True)
    for row, (middle, least, most, name) in enumerate(known):
        axis.barh(row, middle, color=OURS if name.startswith("pystuck") and "0.8.5" not in name else THEIRS)
        axis.plot([least, most], [row, row], color="black", linewidth=0.8)
        axis.text(middle, row, f" {middle:.3g}", va="center", fontsize=7)
    axis.set_yticks(range(len(known)), [name for *_, name in known], fontsize=7)
    axis.set_xscale("log")
    axis.tick_params(axis="x", labelsize=7)
    axis.set_title(f"{title}, {unit}", fontsize=9)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def picture(directory, name, title, panels):
    """panels: [(title, unit, series)]; nothing is made where nothing was measured."""
    panels = [panel for panel in panels if panel[2]]
    if not panels:
        return
    figure, axes = plt.subplots(len(panels), 1, figsize=(7.5, 0.5 + sum(0.7 + 0.22 * len(series) for *_, series in panels)),
                                height_ratios=[1 + len(series) for *_, series in panels], squeeze=False)
    for axis, panel in zip(axes[:, 0], panels):
        bars(axis, *panel)
    figure.tight_layout()
    figure.savefig(directory / name, metadata={"Date": None})
    plt.close(figure)
    print(f"{name}\t{title}")


def at(results, *keys):
    for key in keys:
        results = (results or {}).get(key)
    return results or {}


def inner(series, key):
    return {name: s[key] for name, s in series.items() if s}


def main():
    results, directory = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    picture(directory, "commands.svg", "How long until the stacks are there", [
        (f"whole command, {case}{words}", "ms", at(results, "commands", load, case))
        for load, words in (("idle", ""), ("cpu", ", beside a CPU-bound thread")) for case in CASES])
    picture(directory, "stolen.svg", "For how long the program stands still",
            [(f"largest gap, {case}", "ms", inner(at(results, "stolen", case), "largest")) for case in CASES])
    picture(directory, "startup.svg", "What a server costs the program at its start", [
        (f"{what}, {words}", unit, inner(at(results, "startup", label), key))
        for label, words in (("bare", "bare program"), ("usual", "usual modules there")) for what, unit, key in
        (("start-up", "ms", "ms"), ("private memory", "KiB", "dirty_kib"))])
    picture(directory, "evaluations.svg", "How long a value takes", [
        (f"1+1{words}", "us", at(results, "eval", load))
        for load, words in (("idle", ", idle"), ("cpu", ", beside a CPU-bound thread"), ("cpu4", ", beside four"))] + [
        ("connect, be let in, 1+1", "us", at(results, "connect")), ("one command", "ms", at(results, "oneshot", "idle")),
        ("sixteen clients, answers in all", "1/s", inner(at(results, "crowd"), "rate"))])


main()
