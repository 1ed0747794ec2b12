"""`pystuck --watch`: look after look in place, on a real pseudo-terminal, with what moved in between.

The interval is so long that no look comes by itself where the test says when: pausing and going on takes one at once.
"""

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import termios

import pytest

import fake_server as fake
from conftest import CLIENT, PATIENCE, wait_until
from fake_server import FakeServer, greet, until_closed
from repl import CONTROL, Repl
from test_client import NASTY, place, raw_bytes  # noqa: F401

LOCALS, WAIT_CPU, EVAL, STACKS = 0x01, 0x80, 3, 1


def thread(tid, line, name=None, cpu_us=0, main=False):
    """A thread with a frame of its own below one that all have."""
    return [fake.dump_thread(ident=tid * 100, tid=tid, flags=1 if main else 0, state=3, name=name or f"thread-{tid}",
                             class_name="Thread", frames=((0, 1), (1, line))),
            fake.dump_wait(flags=WAIT_CPU, cpu_us=cpu_us)]


def watched(*looks, requests=None, role=EVAL, after=until_closed):
    """A server that answers each request with the next of these looks, and from then on with the last."""
    def serve(peer):
        greet(peer, role=role, command="python\0app.py")
        number = 0
        while True:
            kind, body = peer.receive()
            if kind == fake.BYE:
                return
            id, flags = struct.unpack(">IB", body[:5])
            if requests is not None:
                requests.append(flags)
            if flags & LOCALS and role == STACKS:
                peer.send(fake.error(id, reason=1, why="not with your role"))
                continue
            look = looks[min(number, len(looks) - 1)]
            number += 1
            if look is None:
                return
            peer.send(fake.dump_begin(id, threads=len(look)), fake.dump_code(0, "app.py", "main"), fake.dump_code(1, "app.py", "work"),
                      *(m for one in look for m in (*one, *([fake.dump_local(1, "variable", "'value'")] if flags & LOCALS else []))),
                      fake.dump_end(id))
    return serve


def watch(place, tmp_path, *more, **kwargs):
    return Repl("--socket", place, "--watch", "1000", *more, home=tmp_path, wait=False, **kwargs)


def look_again(repl, number):
    """Pauses, goes on, and waits for the look of this number."""
    repl.send("  ")
    return repl.until_screen(rf"^look {number} at ")[1]


def rows(text, start):
    return [line for line in text.splitlines() if line.startswith(start)]


def test_what_moved_since_the_last_look_is_marked(place, tmp_path):
    first = [thread(1, 7, main=True), thread(3, 7), thread(4, 7), thread(5, 7), thread(6, 7)]
    second = [thread(1, 7, main=True), thread(3, 7, cpu_us=5), thread(4, 8), thread(5, 7), thread(7, 7)]
    with FakeServer(place, watched(first, second)), watch(place, tmp_path, columns=120) as repl:
        _, text = repl.until_screen(r"lines 1-\d+ of")
        assert re.search(r"^look 1 at \d\d:\d\d:\d\d   pid 4242 \(python app\.py\)", text, re.M) and not rows(text, "= ")
        text = look_again(repl, 2)
        assert re.match(r"look 2 at [\d:]+: 1 moved, 1 ran, 2 still, 1 new, 1 ended ", text)
        assert [re.sub(r"still [\d.]+ s|, CPU \d+ %", "still", row) for row in text.splitlines() if row[:1] in "=>~+" and "Thread(" in row] == [
            "= still  <Thread(thread-1, started 100)>  tid 1, waiting for lock",
            "~ ran  <Thread(thread-3, started 300)>  tid 3, waiting for lock",
            "> moved  <Thread(thread-4, started 400)>  tid 4, waiting for lock",
            "= still  <Thread(thread-5, started 500)>  tid 5, waiting for lock",
            "+ new  <Thread(thread-7, started 700)>  tid 7, waiting for lock"]
        # Of the one that moved the frames that are others: not the one it is still in.
        assert rows(text, "> File") == ['> File "app.py", line 8, in work']
        text = look_again(repl, 3)
        assert re.match(r"look 3 at [\d:]+: 5 still ", text) and "<4 threads>" not in text and "<3 threads>" in text
        repl.send("q")
        assert repl.wait() == 0


def resize(repl, columns, rows):
    fcntl.ioctl(repl.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    repl.columns, repl.rows, repl.raw = columns, rows, b""


def test_keys_scroll_and_show_variables_and_the_terminal_may_be_resized(place, tmp_path):
    look, requests = [thread(n, n, main=n == 1) for n in range(1, 31)], []
    with FakeServer(place, watched(look, requests=requests)), watch(place, tmp_path, columns=80, rows=12) as repl:
        _, text = repl.until_screen(r"lines 1-10 of 121")
        assert text.startswith("look 1 at ") and "30 threads: 30 waiting for a lock" in text
        assert "lines 2-11 of 121" in repl.type("\x1b[B", r"lines 2-")
        assert "lines 3-12 of 121" in repl.type("\x1bOB", r"lines 3-")
        assert "lines 13-22 of 121" in repl.type("\x1b[6~", r"lines 13-")
        assert "lines 112-121 of 121" in repl.type("G", r"lines 112-") and 'line 30, in work' in repl.screen()
        assert "lines 102-111 of 121" in repl.type("\x1b[5~", r"lines 102-")
        assert "lines 1-10 of 121" in repl.type("\x1b[H", r"lines 1-")
        # Sideways, and a key that means nothing.
        assert "<Thread" not in repl.type("\x1b[15~\x1b[C", r"^ds: 30 waiting")
        repl.type("\x1b[D", r"^30 threads")
        assert "      variable = 'value'" in repl.type("l", r"variable = ")
        repl.type("l", r"^look 3 at (?s:.*)  l locals ")
        assert [flags & LOCALS for flags in requests] == [0, LOCALS, 0]
        resize(repl, 30, 6)
        # Above it there may stand what was still on its way for the size before.
        text = repl.until_screen(r"^look \d+ at [^\n]*\n([^\n]{0,29}\n){4}[^\n]*q quit  space pause[^\n]*\Z")[0][0]
        assert len(text.splitlines()) == 6 and max(map(len, text.splitlines())) < 30
        resize(repl, 100, 200)
        text = repl.until_screen(r"lines 1-121 of 121")[1]
        assert text.count("in work") == 30
        repl.send("\x03")
        assert repl.wait() == 0


def modes(repl):
    return termios.tcgetattr(repl.fd)


def entered_and_left(raw):
    return raw.count(b"\x1b[?1049h"), raw.count(b"\x1b[?1049l")


@pytest.mark.parametrize("end, status", [("q", 0), ("\x03", 0), (signal.SIGTERM, -signal.SIGTERM), ("\x1c", -signal.SIGQUIT)],
                         ids=["q", "Ctrl-C", "SIGTERM", "Ctrl-backslash"])
def test_the_terminal_is_given_back_however_it_ends(place, tmp_path, end, status):
    with FakeServer(place, watched([thread(1, 1, main=True)])), watch(place, tmp_path) as repl:
        before = modes(repl)
        before[3] |= termios.ECHO | termios.ICANON
        repl.until_screen(r"lines 1-5 of 5")
        assert not modes(repl)[3] & (termios.ECHO | termios.ICANON) and entered_and_left(repl.raw) == (1, 0)
        if isinstance(end, str):
            repl.send(end)
        else:
            os.kill(repl.pid, end)
        assert repl.wait() == status
        assert entered_and_left(repl.raw) == (1, 1) and repl.raw.rstrip().endswith((b"\x1b>", b"\x1b[?1049l\x1b[23;0;0t"))
        assert b"\x1b[?25h" in repl.raw.rpartition(b"\x1b[?25l")[2]


def test_ctrl_z_gives_the_terminal_back_until_it_goes_on(place, tmp_path):
    with FakeServer(place, watched([thread(1, 1, main=True)])), watch(place, tmp_path) as repl:
        repl.until_screen(r"lines 1-5 of 5")
        repl.send("\x1a")
        _, status = os.waitpid(repl.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status) and modes(repl)[3] & termios.ECHO
        os.kill(repl.pid, signal.SIGCONT)
        # It has looked again: what stood still is not only the screen.
        repl.until_screen(r"^look 2 at ")
        assert entered_and_left(repl.raw) == (2, 1) and not modes(repl)[3] & termios.ECHO
        repl.send("q")
        assert repl.wait() == 0


def test_when_the_program_goes_it_is_said_and_the_stacks_stay(place, tmp_path, one_python, start):
    with FakeServer(place, watched([thread(n, n, main=n == 1) for n in range(1, 11)], None)), watch(place, tmp_path, rows=12) as repl:
        repl.until_screen(r"lines 1-10 of 41")
        repl.send("  ")
        _, text = repl.until_screen(r"^GONE  look 1 at (?s:.*); q: quit$")
        assert "in main" in text
        repl.type("\x1b[6~ l", r"thread-3")  # to look at, but not more
        repl.send("q")
        assert repl.wait() == 3 and "pystuck: " in repl.text()
    # Also between two looks, and the client knows how it ended.
    program = start(one_python, "import pystuck\npystuck.run_server()\nprint('READY', flush=True)\ninput()\n")
    with Repl("--socket", program.socket, "--watch", "1000", home=tmp_path, wait=False) as repl:
        repl.until_screen(r"in <module>")
        program.stop()
        repl.until_screen(rf"^GONE (?s:.*)^process {program.pid} has gone(?s:.*); q: quit$")
        repl.send("q")
        assert repl.wait() == 3


def test_variables_that_may_not_be_seen_are_refused_and_the_rest_goes_on(place, tmp_path):
    with FakeServer(place, watched([thread(1, 1, main=True)], role=STACKS)), watch(place, tmp_path) as repl:
        repl.until_screen(r"lines 1-5 of 5")
        assert "look 2 at " in repl.type("l", r"^look 2 at (?s:.*)no stacks: not with your role")
        repl.type("k", r"  l locals ")
        repl.send("q")
        assert repl.wait() == 0


def test_no_control_byte_of_the_program_comes_to_the_screen(place, tmp_path):
    with FakeServer(place, watched([thread(1, 1, NASTY, main=True)])), watch(place, tmp_path, "--color=always") as repl:
        repl.until_screen(r"lines 1-5 of 5")
        text = CONTROL.sub("", repl.raw.decode("utf-8"))
        assert "a\\x1b[31m\\x1b]0;x" in text and raw_bytes(text.replace("\r", "").encode()) == []
        assert b"\x1b[2J" not in repl.raw  # what is dark for a moment flickers


def test_without_a_terminal_looks_stand_one_below_the_other(place):
    def read(*more, count):
        with FakeServer(place, watched([thread(1, 1, main=True)], [thread(1, 2, main=True)])):
            client = subprocess.Popen([CLIENT, "--socket", place, "--watch", "0.1", *more], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True)
            lines = [client.stdout.readline() for _ in range(count)]
            client.stdout.close()  # nobody reads any more: the end, and no error
            assert (client.wait(PATIENCE), client.stderr.read()) == (0, "")
            client.stderr.close()
        os.unlink(place)
        return lines

    lines = read(count=13)
    assert re.fullmatch(r"--- \d{4}-\d\d-\d\d [\d:]+\.\d, look 1\n", lines[0]) and lines[1] == "1 thread: 1 waiting for a lock\n"
    assert re.fullmatch(r"--- .*, look 2: 1 moved\n", lines[7]) and lines[12] == '> File "app.py", line 2, in work\n', lines
    first, second = map(json.loads, read("--json", count=2))
    assert [dump["threads"][0]["frames"][1]["line"] for dump in (first, second)] == [1, 2]


def test_an_expression_is_watched_at_the_prompt_in_place(tmp_path, one_python, start):
    program = start(one_python, "import pystuck, itertools\ncount = itertools.count()\npystuck.run_server()\nprint('READY', flush=True)\ninput()\n")
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path, columns=60) as repl:
        repl.send("%watch 0.1 [next(modules.__main__.count), 'x' * 100, '\\x1b[31m']\r")
        _, text = repl.until_screen(r"^\[([3-9]|\d\d), 'x+$")
        # It stands where the ones before stood, and no line is longer than the terminal is wide.
        assert len(re.findall(r"^\[\d", text, re.M)) == 1 and max(map(len, text.splitlines())) <= 60
        repl.send("\x03")
        repl.until_screen(r"^In \[\d\]:\Z")
        # What raises is no more to be watched, and the prompt is what it was.
        assert "ZeroDivisionError" in repl.ask("%watch 1/0") and "%watch [SECONDS] CODE" in repl.ask("%watch")
        assert repl.ask("1 + 1").endswith(": 2")


def test_each_look_has_generators_and_tasks(one_python, start):
    program = start(one_python, """
import asyncio, sys, threading
import pystuck
pystuck.run_server()
def count(): yield 1
counting = count()
next(counting)
async def wait_long():
    print("READY", flush=True)
    await asyncio.sleep(100000)
asyncio.run(wait_long())
""")
    with subprocess.Popen([CLIENT, "--socket", program.socket, "--watch", "0.1", "--generators"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True) as client:
        looks = line = client.stdout.readline()
        while line and ", look 3" not in line:
            line = client.stdout.readline()
            looks += line
        client.kill()
    second = looks[looks.index(", look 2"):]
    assert "\n<generator>  suspended\n" in second and re.search(r"in count\n", second)
    assert re.search(r"^1 task", second, re.M), second
