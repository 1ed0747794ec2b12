"""Makes Markdown of the results: the targets first, then a table for each figure. No measuring here, and no verdict but
the printed column: nothing fails because a machine is slow.
"""

PEERLESS = "–"


def number(value):
    """Three significant digits, as far as they mean something."""
    if value == 0:
        return "0"
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def spread(s, unit=""):
    """median (min–max), and how many runs failed."""
    if s is None:
        return PEERLESS
    if s["n"] == 0:
        return f"no answer ({s['failed']} runs)"
    text = f"{number(s['median'])}{unit} ({number(s['min'])}–{number(s['max'])})"
    return text + (f", {s['failed']} failed" if s["failed"] else "")


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def section_commands(r):
    labels = [(load, case) for load in ("idle", "cpu") for case in r["commands"][load]]
    rows = []
    for name in r["commands"]["idle"]["4x10"]:
        row = [name]
        for load, case in labels:
            s, true = r["commands"][load][case][name], r["commands"][load][case]["/bin/true"]
            ratio = f" = {number(s['median'] / true['median'])}x" if s and s["n"] and true and true["n"] else ""
            row.append(spread(s) + ratio)
        rows.append(row)
    if r.get("gdb"):
        rows.append(["gdb, `thread apply all py-bt`"] + [spread(r["gdb"].get(case)) if load == "idle" else PEERLESS
                                                         for load, case in labels])
    head = ["ms; x: of /bin/true"]
    head += [case + (", beside a CPU-bound thread" if load == "cpu" else "") for load, case in labels]
    return "### 1. The whole client command, from start to exit\n\n" + table(head, rows)


def section_gil(r):
    held = [[case, *(spread(r["gil"][load][case][what]) for load in ("idle", "cpu") for what in ("held", "wait"))]
            for case in r["gil"]["idle"]]
    head = ["us, of pystuck", "GIL held, idle", "waited for, idle", "GIL held, CPU-bound", "waited for, CPU-bound"]
    stolen = []
    for name in r["stolen"]["4x10"]:
        label = "/bin/true: nobody asks" if name == "/bin/true" else name
        stolen.append([label] + [spread(r["stolen"][case][name][what])
                                 for case in r["stolen"] for what in ("largest", "total")])
    head2 = ["ms"] + [f"{case}, {what}" for case in r["stolen"] for what in ("largest gap", "all gaps")]
    return ("### 2. What one dump takes from the program\n\n" + table(head, held) +
            "\n\nA tight loop in the program's main thread, while the client command runs once:\n\n" +
            table(head2, stolen))


def section_startup(r):
    rows = []
    for label, title in (("bare", "bare program"), ("usual", "usual modules there already")):
        for name, s in r["startup"][label].items():
            rows.append([f"{name}, {title}", *(spread(s[key]) for key in ("ms", "dirty_kib", "kib", "threads", "modules"))])
    head = ["import and start", "ms", "private memory, KiB", "with pages of files that nobody else maps, KiB", "OS threads more",
            "other modules imported"]
    return "### 3. Start-up in the program\n\n" + table(head, rows)


def section_idle(r):
    rows = [[name, str(s["switches"]), str(s["ticks"]), number(s["cpu_us"])] for name, s in r["idle"].items()]
    return ("### 4. Nobody asks, 10 s\n\n" +
            table(["whole process", "voluntary context switches", "CPU ticks", "us on CPU"], rows))


def section_eval(r):
    rows = [[name] + [f"{number(r['eval'][load][name][q])}" for load in ("idle", "cpu") for q in ("median", "p99")]
            for name in r["eval"]["idle"]]
    head = ["us", "median, idle", "p99, idle", "median, beside a CPU-bound thread", "p99, beside a CPU-bound thread"]
    return "### 5. `1+1`, a client kept open, Unix socket\n\n" + table(head, rows)


def section_dump(r):
    names = list(r["dump"]["4x10"])
    rows = []
    for name in ["/bin/true", "pystuck", "pystuck --raw"] + [n for n in names if n not in ("/bin/true", "pystuck", "pystuck --raw")]:
        label = "/bin/true: nobody asks" if name == "/bin/true" else name
        figures = [(r["dump"][case][name] or {}).get(what) for case in r["dump"] for what in ("whole", "still")]
        rows.append([label] + ["does not work here" if s is None else spread(s) for s in figures])
    head = ["ms"] + [f"{case}, {what}" for case in r["dump"] for what in ("in all", "stands still")]
    return "### 6. Next to debuggers, and to what Python has itself\n\n" + table(head, rows)


def section_phases(r):
    rows = []
    for case, ways in r["phases"].items():
        for way, parts in ways.items():
            rows += [[case, way, part, *map(number, (us[0], us[1], us[2], us[3]))] for part, us in parts.items()]
    head = ["us", "how", "part", "median", "least", "median, on a processor", "least, on a processor"]
    return "### 7. What a dump is made of\n\n" + table(head, rows)


def section_sample(r):
    rows = [[name, *(spread(s[what]) for what in ("processor", "clock", "others"))] for name, s in r["sample"].items()]
    head = ["100 samples a second", "turns a second of processor, to those just before and after", "turns a second, likewise",
            "% of a processor that the program's other threads had"]
    return "### 8. A program that computes, while it is sampled\n\n" + table(head, rows)


def sample_targets(r):
    s = r["sample"].get("pystuck --sample")
    if s is not None:
        cost = 100 * (1 - s["processor"]["median"])
        yield "what sampling takes from a program that computes", f"{cost:.2f} %", "under 1 %", below(cost, 1)


def section_prompt(r):
    rows = [[name, spread(s)] for name, s in r["prompt"]["first"].items()]
    tab = spread(r["prompt"]["tab"])
    return ("### 9. At a terminal\n\n" + table(["from the start of the command to the prompt", "ms"], rows) +
            "\n\n" + table(["from Tab behind `modules['`, with 1,000 modules, to the list", "ms"], [["pystuck", tab]]))


def prompt_targets(r):
    for name, s in r["prompt"]["first"].items():
        if name != "/bin/echo":
            yield f"first prompt, {name}", f"{number(s['median'])} ms", "under 10 ms", below(s["median"], 10)
    ms = r["prompt"]["tab"]["median"]
    yield "completion of `modules['` with 1,000 modules", f"{number(ms)} ms", "under 20 ms", below(ms, 20)


def phases_targets(r):
    small, large = r["phases"]["100x30"]["usual"], r["phases"]["1000x50"]["raw"]
    us = sum(figure[2] for part, figure in small.items() if part.startswith("waits"))
    yield "what 100 threads wait for, on a processor", f"{number(us / 1e3)} ms", "under 5 ms", below(us, 5000)
    us = large["stacks"][2]
    yield "stacks without the GIL, 1000x50, on a processor", f"{number(us / 1e3)} ms", "under 10 ms", below(us, 10000)


def below(value, limit):
    return "met" if value < limit else "not met"


def command_targets(r):
    idle = r["commands"]["idle"]
    ours, true = idle["4x10"]["pystuck"], idle["4x10"]["/bin/true"]
    ratio = ours["median"] / true["median"]
    yield "client command, 4x10", f"{number(ratio)}x /bin/true", "under 3x", below(ratio, 3)
    ms = idle["1000x50"]["pystuck"]["median"]
    yield "client command, 1000x50", f"{number(ms)} ms", "under 25 ms", below(ms, 25)


def gil_targets(r):
    us = r["gil"]["idle"]["1000x50"]["held"]["median"]
    yield "GIL held, 1000x50", f"{number(us / 1e3)} ms", "under 1.5 ms", below(us, 1500)


def startup_targets(r):
    for label, title in (("bare", ""), ("usual", ", usual modules there already")):
        s = r["startup"][label]["pystuck"]
        yield f"start-up{title}", f"{number(s['ms']['median'])} ms", "under 2 ms", below(s["ms"]["median"], 2)
        for key, title2 in (("dirty_kib", "private memory"), ("kib", "with the library's pages, if nobody else maps them")):
            kib = s[key]["median"]
            yield f"{title2}{title}", f"{number(kib)} KiB", "under 300 KiB", below(kib, 300)
        for key, target in (("threads", 1), ("modules", 0)):
            least, most = s[key]["min"], s[key]["max"]
            title2 = "more OS threads" if key == "threads" else "other modules imported"
            met = "met" if least == most == target else "not met"
            yield f"{title2}{title}", f"{number(least)} to {number(most)}", f"exactly {target}", met


def idle_targets(r):
    for name in ("pystuck", "pystuck, after a dump and an evaluation"):
        for key, title in (("switches", "voluntary context switches"), ("ticks", "CPU ticks")):
            value = r["idle"][name][key] - (r["idle"]["no server"][key])
            yield f"{title} in 10 s, {name}", str(value), "0", "met" if value == 0 else "not met"


def eval_targets(r):
    idle = r["eval"]["idle"]
    for q in ("median", "p99"):
        rivals = [(idle[name][q], name) for name in ("rpyc", "manhole") if name in idle]
        value = f"{number(idle['pystuck'][q])} us"
        if rivals:
            least, name = min(rivals)
            yield f"`1+1`, {q}", value, f"below {name}, {number(least)} us", below(idle["pystuck"][q], least)


TARGETS = {"commands": command_targets, "gil": gil_targets, "startup": startup_targets, "idle": idle_targets,
           "eval": eval_targets, "phases": phases_targets, "sample": sample_targets, "prompt": prompt_targets}
SECTIONS = {"commands": section_commands, "gil": section_gil, "startup": section_startup, "idle": section_idle,
            "eval": section_eval, "dump": section_dump, "phases": section_phases, "sample": section_sample, "prompt": section_prompt}


def targets(r):
    return [row for key, rows in TARGETS.items() if key in r for row in rows(r)]


def markdown(r):
    parts = [r["machine"], table(["figure", "pystuck", "target", "met?"], [list(row) for row in targets(r)])]
    parts += [section(r) for key, section in SECTIONS.items() if key in r]
    return "\n\n".join(parts) + "\n"
