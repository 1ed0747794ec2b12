#!/usr/bin/env python3
"""Counts the instructions of the paths that everything goes through (paths.c, and a whole client command), by valgrind's callgrind, and
compares them with what is written down in instructions.json: what a clock cannot tell on a busy machine, a count can.

    instructions.py BUILD [--write]

Three figures for each path: instructions of our own code; calls of ours into libraries; and all instructions, those of libraries, too. The
first two depend on the compiler alone, the third also on the C library, libsodium, and what the processor can do: so each is judged only
where that is as it was when the figures were written down. Exit status 1: something takes more than it may; 77: nothing could be judged.
"""
import argparse
import json
import os
import platform
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIMITS = HERE / "instructions.json"
FIGURES = ("own", "calls", "all")
TOLERANCE = 10  # percent more
PATIENCE = 120
CLIENT = "client command, 4x10"


def callgrind(out, command, **how):
    """Runs it; the environment is empty but for a few words, so that it is the same everywhere."""
    words = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}", "--compress-strings=no", "--compress-pos=no",
             "--dump-line=no", "--dump-before=path_*", *command]
    done = subprocess.run([str(word) for word in words], env={"PATH": os.environ["PATH"], "HOME": str(out.parent)}, stdin=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, timeout=PATIENCE, **how)
    if done.returncode != 0:
        sys.exit(f"instructions: {' '.join(map(str, command))}: status {done.returncode}\n{done.stderr}")


def count(profile, program):
    """{"own", "calls", "all"} of one of callgrind's files: see "The format" in its manual."""
    found = dict.fromkeys(FIGURES, 0)
    here = there = None
    called = False
    for line in profile.read_text(errors="replace").splitlines():
        if line.startswith("ob="):
            here = line[3:]
        elif line.startswith("cob="):
            there = line[4:]
        elif line.startswith("calls="):
            if here == program and there not in (None, program):
                found["calls"] += int(line[6:].split()[0])
            called, there = True, None
        elif line[:1].isdigit():
            if not called:  # a line after "calls=" has what the called function took
                cost = int(line.split()[1])
                found["all"] += cost
                found["own"] += cost if here == program else 0
            called = False
    return found


def of_paths(build, scratch):
    """{path: figures}, each of the last time that it was walked. The file behind the one that ended where a path began has that path."""
    program = build / "bench" / "paths"
    callgrind(scratch / "paths", [program], stdout=subprocess.DEVNULL)
    found, name = {}, None
    for part in sorted(scratch.glob("paths.*"), key=lambda path: int(path.suffix[1:])):
        if name is not None:
            found[name] = count(part, str(program))
        begins = re.search(r"^desc: Trigger: --dump-before=path_(\w+)", part.read_text(errors="replace"), re.M)
        name = begins.group(1) if begins and begins.group(1) != "end" else None
    return {name.replace("_", " "): figures for name, figures in found.items()}


def serve_once(listener, answer):
    peer, _ = listener.accept()
    with peer:
        peer.settimeout(PATIENCE)
        peer.recv(65536)  # HELLO and DUMP come in one write
        peer.sendall(answer)
        while peer.recv(65536):
            pass


def of_client(build, scratch):
    """A whole command, whose server says at once all that it has to say."""
    answer = subprocess.run([build / "bench" / "paths", "answer"], stdout=subprocess.PIPE, check=True, timeout=PATIENCE).stdout
    program = build / "pystuck"
    with socket.socket(socket.AF_UNIX) as listener, open(scratch / "shown", "w+") as shown:
        listener.bind(str(scratch / "socket"))
        listener.listen(1)
        listener.settimeout(PATIENCE)
        server = threading.Thread(target=serve_once, args=(listener, answer), daemon=True)
        server.start()
        callgrind(scratch / "client", [program, "--socket", scratch / "socket", "--no-repl"], stdout=shown)
        server.join(PATIENCE)
        shown.seek(0)
        frames = shown.read().count('  File "')
    if frames != 40:
        sys.exit(f"instructions: the client showed {frames} frames of 40")
    return count(scratch / "client", str(program))


def first_line(words):
    try:
        return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=30).stdout.splitlines()[0]
    except (OSError, IndexError):
        return "unknown"


def surroundings():
    """What the figures depend on: ({of our own code}, {of libraries})."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    version = [first_line([*compiler, word]) for word in ("--version", "-dumpfullversion", "-dumpmachine")]
    family = "clang" if "clang" in version[0] else "gcc"
    flags = set(re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text() + "\nflags:", re.M).group(1).split())
    own = {"compiler": f"{family} {version[1]}", "machine": version[2]}
    libraries = {"libc": " ".join(platform.libc_ver()), "libsodium": first_line(["pkg-config", "--modversion", "libsodium"]),
                 "processor": sorted(flags & {"sse2", "ssse3", "avx", "avx2", "bmi2", "erms", "fsrm"})}
    return own, libraries


def is_more(now, then):
    return now > then * (1 + TOLERANCE / 100)


def judge(found, written, own, libraries):
    """Prints one line for each path; (how many figures are too high, how many were judged)."""
    usable = {"own": own == written["own"], "calls": own == written["own"],
              "all": (own, libraries) == (written["own"], written["libraries"])}
    high = judged = 0
    print(f"{'':28}{'own code':>22}{'calls of libraries':>22}{'all':>22}")
    for name in sorted(found.keys() | written["paths"].keys()):
        line = f"{name:28}"
        for what in FIGURES:
            now, then = found.get(name, {}).get(what), written["paths"].get(name, {}).get(what)
            if now is None or then is None:
                line += f"{'gone' if now is None else 'new':>22}"
                high += 1
                continue
            moved = 100 * (now - then) / then
            bad = usable[what] and is_more(now, then)
            high, judged = high + bad, judged + usable[what]
            line += f"{now:>13}{moved:+6.1f} %{'!' if bad else ' ' if usable[what] else '?'}"
        print(line)
    if not all(usable.values()):
        print(f"? not judged: written down with {written['own']}, {written['libraries']}; here it is {own}, {libraries}")
    return high, judged


def see_that_it_fails(found):
    """What was a fifth less when it was written down is found to be too high, each of it, and nothing is that was the same."""
    less = {name: {what: round(value / 1.2) for what, value in figures.items()} for name, figures in found.items()}
    for name, figures in found.items():
        for what, now in figures.items():
            if not is_more(now, less[name][what]) or is_more(now, now):
                sys.exit(f"instructions: {name}, {what}: {now} after {less[name][what]} would not be noticed")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("--write", action="store_true", help="write the figures down: they are what is meant to be")
    options = parser.parse_args()
    build = options.build.resolve()
    if shutil.which("valgrind") is None:
        print("instructions: no valgrind here")
        return 77
    with tempfile.TemporaryDirectory(prefix="pystuck-count-") as scratch:
        found = dict(of_paths(build, Path(scratch)), **{CLIENT: of_client(build, Path(scratch))})
    own, libraries = surroundings()
    if options.write:
        LIMITS.write_text(json.dumps({"own": own, "libraries": libraries, "paths": found}, indent=1, sort_keys=True) + "\n")
        return 0
    see_that_it_fails(found)
    high, judged = judge(found, json.loads(LIMITS.read_text()), own, libraries)
    if high:
        print(f"instructions: {high} figures are too high (more than {TOLERANCE} % above bench/instructions.json). Where that is meant: "
              "make check-instructions WRITE=1")
        return 1
    return 0 if judged else 77


if __name__ == "__main__":
    sys.exit(main())
