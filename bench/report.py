"""Makes Markdown of the results: the limits first, then a table for each figure. No measuring here; what is to be is in limits.py.
"""
import limits

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


LOADS = {"idle": "", "cpu": ", beside a CPU-bound thread", "cpu4": ", beside four"}


def or_absent(s, *keys):
    """What is shown of one figure; None in place of the figures: who shows nothing here."""
    if s is None:
        return "does not work here"
    for key in keys:
        s = s[key]
    return spread(s)


def section_commands(r):
    labels = [(load, case) for load in ("idle", "cpu") for case in r["commands"][load]]
    rows = []
    for name in r["commands"]["idle"]["4x10"]:
        row = [name]
        for load, case in labels:
            s, true = r["commands"][load][case].get(name), r["commands"][load][case]["/bin/true"]
            ratio = f" = {number(s['median'] / true['median'])}x" if s and s["n"] and true and true["n"] else ""
            row.append(or_absent(s) + ratio)
        rows.append(row)
    if r.get("gdb"):
        rows.append(["gdb, `thread apply all py-bt`"] + [spread(r["gdb"].get(case)) if load == "idle" else PEERLESS
                                                         for load, case in labels])
    head = ["ms; x: of /bin/true"] + [case + LOADS[load] for load, case in labels]
    return "The whole client command, from start to exit", table(head, rows)


def section_gil(r):
    held = [[case, *(spread(r["gil"][load][case][what]) for load in ("idle", "cpu") for what in ("held", "wait"))]
            for case in r["gil"]["idle"]]
    head = ["us, of pystuck", "GIL held, idle", "waited for, idle", "GIL held, CPU-bound", "waited for, CPU-bound"]
    stolen = []
    for name in r["stolen"]["4x10"]:
        label = "/bin/true: nobody asks" if name == "/bin/true" else name
        stolen.append([label] + [or_absent(r["stolen"][case].get(name), what)
                                 for case in r["stolen"] for what in ("largest", "total")])
    head2 = ["ms"] + [f"{case}, {what}" for case in r["stolen"] for what in ("largest gap", "all gaps")]
    return ("What one dump takes from the program", table(head, held) +
            "\n\nA tight loop in the program's main thread, while the client command runs once, or the call:\n\n" +
            table(head2, stolen))


def section_startup(r):
    rows = []
    for label, title in (("bare", "bare program"), ("usual", "usual modules there already")):
        for name, s in r["startup"][label].items():
            rows.append([f"{name}, {title}", *(spread(s[key]) for key in ("ms", "dirty_kib", "kib", "threads", "modules"))])
    head = ["import and start", "ms", "private memory, KiB", "with pages of files that nobody else maps, KiB", "OS threads more",
            "other modules imported"]
    return "Start-up in the program", table(head, rows)


def section_idle(r):
    rows = [[name, str(s["switches"]), str(s["ticks"]), number(s["cpu_us"])] for name, s in r["idle"].items()]
    head = ["whole process", "voluntary context switches", "CPU ticks", "us on CPU"]
    return f"Nobody asks, {list(r['idle'].values())[0]['seconds']} s", table(head, rows)


def section_eval(r):
    rows = [[name] + [number(r["eval"][load][name][q]) for load in r["eval"] for q in ("median", "p99")] for name in r["eval"]["idle"]]
    head = ["us"] + [q + (LOADS[load] or ", idle") for load in r["eval"] for q in ("median", "p99")]
    return "`1+1`, a client that stays connected, Unix socket unless it is said", table(head, rows)


def section_connect(r):
    rows = [[name, spread(s), number(s["p99"])] for name, s in r["connect"].items()]
    return "Connect, be let in, `1+1`", table(["us", "median", "p99"], rows)


def section_oneshot(r):
    rows = [[name] + [or_absent(r["oneshot"][load][name]) for load in r["oneshot"]] for name in r["oneshot"]["idle"]]
    return "One command that says what `1+1` is", table(["ms"] + [LOADS[load][2:] or "idle" for load in r["oneshot"]], rows)


def section_crowd(r):
    rows = [[name, "serves one at a time", PEERLESS, PEERLESS] if s is None else
            [name, spread(s["rate"]), number(s["us"]["median"]), number(s["us"]["p99"])] for name, s in r["crowd"].items()]
    return "Sixteen clients at once", table(["`1+1`", "answers a second, in all", "us, median", "us, p99"], rows)


def section_output(r):
    return "100 MB of output", table(["", "MB/s"], [[name, spread(s)] for name, s in r["output"].items()])


def section_phases(r):
    rows = []
    for case, ways in r["phases"].items():
        for way, parts in ways.items():
            rows += [[case, way, part, *map(number, (us[0], us[1], us[2], us[3]))] for part, us in parts.items()]
    head = ["us", "how", "part", "median", "least", "median, on a processor", "least, on a processor"]
    return "What a dump is made of", table(head, rows)


def beside(series):
    rows = [[name, *(spread(s[what]) for what in ("processor", "clock", "others"))] for name, s in series.items()]
    return table(["a hundred times a second", "turns a second of processor, to those without it", "turns a second, likewise",
                  "% of a processor that the program's other threads had"], rows)


def section_sample(r):
    return "A program that computes, while it is sampled", beside(r["sample"])


def section_asked(r):
    return "A program that computes, while somebody evaluates `1+1`", beside(r["asked"])


def section_guest(r):
    series = {(clients, name): s for clients, by_name in r["guest"].items() for name, s in by_name.items()}
    rows = [[clients, name, *(spread(s[what]) for what in ("computes", "calls the kernel"))] for (clients, name), s in series.items()]
    return "A program's main thread, while evaluations compute beside it", table(
        ["evaluations", "of", "% of what it computes alone", "% of the calls to the kernel that it makes alone"], rows)


def section_tasks(r):
    rows = [[name, *(spread(s[what]) if what in s else "not told" for what in ("whole", "took", "held", "longest"))]
            for name, s in r["tasks"].items()]
    return "Very many of them", table(["ms", "the whole command, as JSON", "to look at them", "of that with the GIL", "at a time"], rows)


def section_prompt(r):
    rows = [[name, spread(s)] for name, s in r["prompt"]["first"].items()]
    tab = spread(r["prompt"]["tab"])
    return ("At a terminal", table(["from the start of the command to the prompt", "ms"], rows) +
            "\n\n" + table(["from Tab behind `modules['`, with 1,000 modules, to the list", "ms"], [["pystuck", tab]]))


SECTIONS = {"commands": section_commands, "gil": section_gil, "startup": section_startup, "idle": section_idle,
            "eval": section_eval, "connect": section_connect, "oneshot": section_oneshot, "crowd": section_crowd,
            "output": section_output, "asked": section_asked, "guest": section_guest, "sample": section_sample,
            "tasks": section_tasks, "prompt": section_prompt, "phases": section_phases}


def limits_table(r):
    rows = [[title, f"{number(value)} {unit}".rstrip(), words, "met" if met else "**not met**"] for title, value, unit, words, met in limits.verdicts(r)]
    return table(["pystuck", "measured", "limit", ""], rows)


def markdown(r, pictures=()):
    """pictures: [(title, file)] beside it."""
    parts = [r["machine"], limits_table(r), *(f"![{title}]({name})" for title, name in pictures)]
    for key, section in SECTIONS.items():
        if r.get(key):
            title, text = section(r)
            parts.append(f"## {title}\n\n{text}")
    return "\n\n".join(parts) + "\n"


# ---- the short table ---------------------------------------------------------------------------------------------------------


def best(row, more):
    """The row's figures as text, the best one in bold."""
    known = [value for value in row if value is not None]
    first = (max if more else min)(known, default=None)
    return [PEERLESS if value is None else f"**{number(value)}**" if value == first else number(value) for value in row]


def median_of(r, *keys):
    for key in keys:
        r = (r or {}).get(key)
    return (r or {}).get("median")


def named(results, start):
    """The name of a contestant, which may have its version behind it."""
    return next((name for name in results if name.startswith(start)), None)


# title; part and keys in the results; the figure of each contestant there, None: all there is; is more better?
SHORT = [
    ("stacks of 4 threads x 10 frames, whole command, ms", ("commands", "idle", "4x10"), None, False),
    ("the same of 100x30", ("commands", "idle", "100x30"), None, False),
    ("the same of 1000x50", ("commands", "idle", "1000x50"), None, False),
    ("4x10 beside a CPU-bound thread", ("commands", "cpu", "4x10"), None, False),
    ("longest that the program stands still for 1000x50, ms", ("stolen", "1000x50"), "largest", False),
    ("start-up in a bare program, ms", ("startup", "bare"), "ms", False),
    ("its private memory, KiB", ("startup", "bare"), "dirty_kib", False),
    ("`1+1`, client kept, idle, us", ("eval", "idle"), None, False),
    ("the same beside a CPU-bound thread", ("eval", "cpu"), None, False),
    ("the same beside four", ("eval", "cpu4"), None, False),
    ("sixteen clients: answers a second", ("crowd",), "rate", True),
    ("100 MB of output, MB/s", ("output",), None, True),
]
COLUMNS = ("pystuck", "bare socket server", "pystuck 0.8.5", "rpyc", "manhole", "py-spy dump", "pystack remote")


def short(r):
    """The table of the README: who is best at what."""
    rows = []
    for title, keys, figure, more in SHORT:
        at = r
        for key in keys:
            at = (at or {}).get(key)
        if at:
            names = [column if column == "pystuck" else named(at, column) for column in COLUMNS]
            rows.append([title, *best([median_of(at, name, *([figure] if figure else [])) for name in names], more)])
    return table(["", *COLUMNS], rows)
