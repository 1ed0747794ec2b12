"""pystuck --sample: where the time of a program goes, printed and as files, and %sample.

What lives here: real programs, whose shares of time are known, and a fake server, whose answers are. What does not: how dumps are added
up (tests/unit/test_client_profile.c), and what a browser makes of the files (tests/browser).
"""

import html.parser
import itertools
import json
import re
import struct
import subprocess
import time
import xml.etree.ElementTree as xml

import pytest

import fake_server as fake
import procfs
from conftest import CLIENT, PATIENCE, wait_until
from fake_server import FakeServer, greet
from repl import Repl

RAW, SAMPLE, TASKS = 4, 8, 0x40  # flags of DUMP
GIL, WITHOUT, SYSTEM = 1, 2, 3  # how a dump was taken
ON_CPU, ASLEEP = 1, 4  # states of a thread

# f computes nine times as long as g.
PROGRAM = """
import threading, time
import pystuck
pystuck.run_server()
def spin(n):
    while n: n -= 1
def f(): spin(90000)
def g(): spin(10000)
def sleeper(): time.sleep(100000)
def blocked(): lock.acquire()
lock = threading.Lock(); lock.acquire()
for target in sleeper, blocked:
    threading.Thread(target=target, name=target.__name__, daemon=True).start()
print("READY", flush=True)
while True: f(); g()
"""


@pytest.fixture
def place(tmp_path):
    directory = tmp_path / "place"
    directory.mkdir(mode=0o700)
    return directory / "fake.sock"


def collapsed(path):
    """{(thread, function, ...): samples} of a file of collapsed stacks, without ids, files and lines."""
    stacks = {}
    for line in path.read_text().splitlines():
        stack, count = line.rsplit(" ", 1)
        key = tuple(frame if frame.startswith("[") else re.sub(r" \(.*\)$", "", frame) for frame in stack.split(";"))
        stacks[key] = stacks.get(key, 0) + int(count)
    return stacks


def test_the_time_is_told_by_thread_function_and_line(program, client, tmp_path):
    file = tmp_path / "profile.txt"
    done = client("--socket", program.socket, "--sample", "0.5", "--output", file)
    assert done.status == 0 and f"written to {file}" in done.err, done
    assert re.match(r"\d+ samples? in \d+\.\d s, without the GIL", done.out), done
    for words in (r"MainThread \(tid \d+\), on CPU", r"\d s +\d+%.*  spin +\S+program.py\n", r"  spin +\S+program.py:6\n",
                  r"0\.00 s +\d+\.\d\d s  sleeper \(tid \d+\), sleeping\n", r"blocked \(tid \d+\), waiting for locks\n"):
        assert re.search(words, done.out), (words, done)
    stacks = collapsed(file)
    main = {key: count for key, count in stacks.items() if key[0] == "MainThread" and not key[-1].startswith("[")}
    in_f, in_g = (sum(count for key, count in main.items() if name in key) for name in "fg")
    assert in_f > in_g and in_f + in_g > 0.9 * sum(main.values()), stacks
    for name, state in ("sleeper", "[sleeping]"), ("blocked", "[waiting for a lock]"):
        own = {key: count for key, count in stacks.items() if key[0] == name}
        assert any(key[-2:] == (name, state) for key in own), stacks


class Page(html.parser.HTMLParser):
    """How many there are of each tag, and the text that is no script."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = {}, [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text += data


def check_speedscope(text):
    """The stacks of each profile, by names: {name of the profile: {(function, ...): microseconds}}."""
    file = json.loads(text)
    assert file["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    frames, profiles = file["shared"]["frames"], {}
    for profile in file["profiles"]:
        assert profile["type"] == "sampled" and profile["unit"] == "microseconds" and profile["startValue"] == 0
        assert len(profile["samples"]) == len(profile["weights"]) and profile["endValue"] == sum(profile["weights"])
        profiles[profile["name"]] = {tuple(frames[i]["name"] for i in stack): weight
                                     for stack, weight in zip(profile["samples"], profile["weights"])}
    return profiles


def boxes(picture):
    """The boxes of a flame graph: [(title, parent's number, on CPU, waiting)]."""
    found = []
    for g in xml.fromstring(picture).iter("{http://www.w3.org/2000/svg}g"):
        title = g.find("{http://www.w3.org/2000/svg}title").text
        found.append((title.split("\n")[0], *(int(g.get(f"data-{name}")) for name in "pcw")))
    return found


# A name of each kind that means something to somebody: markup, quotes, separators, escape sequences, surrogates, bytes that are no UTF-8.
HOSTILE = ["<script>alert(1)</script>", "\"'&;|]]>", "a;b c 3\n9", "\x1b[31m\x00\x7f\u0085", b"\xed\xa0\x80\xff".decode("utf-8", "surrogateescape"),
           "\u202e\u2028\ufeff\ufffe", "--><!--", "</style></title></svg>"]


def dumps(peer):
    """The id and flags of each dump that is asked for, until the client goes."""
    while True:
        type, body = peer.receive()
        if type == fake.DUMP:
            yield struct.unpack(">IBI", body)[:2]


def answer(peer, id, how=WITHOUT):
    peer.send(fake.dump_begin(id, how=how), fake.dump_code(0), fake.dump_thread(), fake.dump_end(id))


def answer_hostile(peer):
    """Each name is a function, and a thread that is in it; the next one waits for it, in a circle. Those with an odd number wait."""
    peer.expect(fake.HELLO)
    peer.send(fake.welcome(command="\0".join(HOSTILE), python=HOSTILE[0]))
    for id, flags in dumps(peer):
        assert flags in (RAW | SAMPLE, TASKS), flags
        peer.send(fake.dump_begin(id, how=WITHOUT, threads=len(HOSTILE)),
                  *(fake.dump_code(i, name, name) for i, name in enumerate(HOSTILE)),
                  *(message for i, name in enumerate(HOSTILE) for message in (
                      fake.dump_thread(i + 1, i + 1, 0, ASLEEP if i % 2 else ON_CPU, name, "Thread", name, frames=((i, 1), (i, 2))),
                      fake.dump_wait(holder=i or len(HOSTILE), name=name, type=name))),
                  fake.dump_end(id))


@pytest.mark.parametrize("ending", ["svg", "json", "txt", "html"])
def test_whatever_names_a_program_has_the_file_is_one_of_its_format(place, client, tmp_path, ending):
    file = tmp_path / f"profile.{ending}"
    with FakeServer(place, answer_hostile):
        done = client("--socket", place, "--sample", "0.05", "--output", file)
    assert done.status == 0, done
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028\ufeff\ud800-\udfff]", text)
    if ending == "txt":
        lines = [re.fullmatch(r"([^;]+);([^;]+);([^;]+?)(?:;(\[sleeping\]))? (\d+)", line) for line in text.splitlines()]
        assert len(lines) == len(HOSTILE) and all(lines), text
        assert [bool(line[4]) for line in lines] == [i % 2 == 1 for i in range(len(HOSTILE))]
    elif ending == "json":
        profiles = check_speedscope(text)
        assert len(profiles) == len(HOSTILE)
        assert profiles["<script>alert(1)</script> (tid 1), on CPU"].keys() == {("<script>alert(1)</script>",) * 2}
    elif ending == "svg":
        names = [box[0] for box in boxes(text)]
        assert names.count("[sleeping]") == len(HOSTILE) / 2 and "<script>alert(1)</script> (tid 1)" in names
    else:
        page = Page(text)
        # Those that stand in the page, and no other: the program's names are text.
        assert (page.tags["script"], page.tags["style"], page.tags["title"] > 1, page.tags["h1"]) == (1, 1, True, 1)
        assert not {"img", "iframe", "link", "object"} & page.tags.keys() and page.tags["svg"] == 2
        assert page.text.count("<script>alert(1)</script>") > 5 and "Who waits for whom" in page.text


def test_a_flame_graph_stands_on_its_feet(program, client, tmp_path):
    file = tmp_path / "profile.svg"
    done = client("--socket", program.socket, "--sample", "0.2", "--output", file)
    assert done.status == 0, done
    picture = file.read_text()
    assert not re.search(r"""(?:href|src)\s*=|@import|url\(""", picture)
    found = boxes(picture)
    assert found[0][:2] == ("all threads", -1) and {box[0].split(" ")[0] for box in found} >= {"MainThread", "sleeper", "f", "[sleeping]"}
    for number, (_, parent, cpu, wait) in enumerate(found[1:], 1):
        assert parent < number
        assert sum(box[2] for box in found if box[1] == number) <= cpu and sum(box[3] for box in found if box[1] == number) <= wait


def blind(answers):
    """A server that cannot read stacks without the GIL; `answers` gets the flags of each request."""
    def serve(peer):
        greet(peer)
        for id, flags in dumps(peer):
            answers.append(flags)
            if flags & RAW:
                peer.send(fake.dump_begin(id, how=SYSTEM, note="it cannot be"), fake.dump_thread(frames=()), fake.dump_end(id))
            else:
                answer(peer, id, GIL)
    return serve


def test_where_stacks_cannot_be_had_without_the_gil_it_is_taken_and_said(place, client):
    flags = []
    with FakeServer(place, blind(flags)):
        done = client("--socket", place, "--sample", "0.1")
    assert done.status == 5 and "it cannot be; each sample is taken with the GIL" in done.err, done
    assert re.match(r"\d+ samples? in 0\.\d s, each with the GIL held", done.out), done
    assert set(flags[:3]) == {RAW | SAMPLE} and set(flags[3:]) == {SAMPLE}


def test_moments_that_come_while_an_answer_is_late_are_counted(place, client):
    def serve(peer):
        greet(peer)
        time.sleep(0.1)  # ten moments long the first answer is late; on a slow machine for longer
        for id, _ in dumps(peer):
            answer(peer, id)

    with FakeServer(place, serve):
        done = client("--socket", place, "--sample", "0.3")
    missed = re.search(r"; (\d+) moments missed", done.out)
    assert done.status == 0 and missed and int(missed[1]) >= 5, done


def test_a_program_that_ends_leaves_what_there_was(place, client):
    def serve(peer):
        greet(peer)
        for id, _ in itertools.islice(dumps(peer), 3):
            answer(peer, id)

    with FakeServer(place, serve):
        done = client("--socket", place, "--sample", "60")
    assert done.status == 3 and done.out.startswith("3 samples in ") and "connection lost" in done.err, done


def test_ctrl_c_ends_it_and_what_there_is_is_printed(program, tmp_path):
    with Repl("--socket", program.socket, "--sample", "60", home=tmp_path, wait=False) as repl:
        repl.expect(r"\d+ of 60 s, [1-9]\d* samples?; Ctrl-C ends it now")
        repl.send("\x03")
        repl.expect(r"[1-9]\d* samples? in \d+\.\d s, without the GIL(?s:.*)MainThread \(tid \d+\), on CPU")
        assert repl.wait() == 0


def test_the_prompt_samples_too(program, tmp_path):
    file = tmp_path / "profile.svg"
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        assert "on CPU" in repl.ask(f"%sample 0.2 --rate 200 --output {file}")
        assert boxes(file.read_text())
        assert "the ending says" in repl.ask("%sample --output profile.png")
        assert "%sample [SECONDS]" in repl.ask("%sample --hello")
        repl.send("%sample 60\r")
        repl.expect(r"of 60 s, [1-9]\d* samples?")
        repl.send("\x03")
        repl.expect(r"samples? in (?s:.*)In \[\d+\]: $")
        assert repl.ask("1 + 1").endswith("2")


@pytest.mark.parametrize("words, why", [
    (("--output", "profile.png"), r"the ending says what is written: .svg, .json, .txt or .html"),
    (("--output", "nowhere/profile.svg"), r"nothing can be written in nowhere: No such file"),
    (("--output", "directory.svg"), "something that is no file"),
    (("--rate", "0"), "not a number from 1 to 1000"),
    (("--json",), "do not go with it"),
])
def test_what_cannot_be_is_said_before_anything_is_sampled(tmp_path, words, why):
    (tmp_path / "directory.svg").mkdir()
    done = subprocess.run([CLIENT, "--socket", "none", "--sample", "60", *words], capture_output=True, text=True, cwd=tmp_path,
                          timeout=PATIENCE, stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and re.search(why, done.stderr), done


def test_nothing_stays_in_the_program_when_it_is_over(program, client):
    before = procfs.fds(program.pid), procfs.thread_names(program.pid)
    for _ in range(2):
        done = client("--socket", program.socket, "--sample", "0.1")
        assert done.status == 0, done
    wait_until(lambda: (procfs.fds(program.pid), procfs.thread_names(program.pid)) == before, "fds and threads as before",
               lambda: f"{procfs.fds(program.pid)} {procfs.thread_names(program.pid)}, before {before}")


# Forks while it is sampled; the children look at what they have, too.
FORKS = """
import os
import pystuck
pystuck.run_server()
print("READY", flush=True)
while True:
    pid = os.fork()
    if pid == 0:
        os._exit(any("pystuck" in os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd.isdigit()
                     and os.path.exists(f"/proc/self/fd/{fd}")))
    _, status = os.waitpid(pid, 0)
    assert status == 0, status
"""


def test_a_program_that_forks_all_the_while_is_sampled(start, python, client):
    program = start(python, FORKS)
    done = client("--socket", program.socket, "--sample", "0.5")
    assert done.status == 0 and re.search(r"MainThread \(tid", done.out), done
    assert program.alive(), program.stderr()


LATE = """
import sys, threading, time
import pystuck
pystuck.run_server()
print("READY", flush=True)
for line in sys.stdin:
    threading.Thread(target=time.sleep, args=(100000,), name=line.strip(), daemon=True).start()
    print("STARTED", flush=True)
"""


def test_a_thread_that_begins_while_names_are_remembered_has_its_own(start, python, client):
    program = start(python, LATE)
    for name in ("early", "late"):
        program.say(name)
        program.out.until("STARTED")
        done = client("--socket", program.socket, "--sample", "0.05")
        assert done.status == 0 and f"  {name} (tid" in done.out, done
