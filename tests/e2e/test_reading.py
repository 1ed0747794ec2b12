"""How a dump reads as text: who comes first, who is shown together, what is left out; and the commands of the prompt for it.

The dumps are made up (fake_server), so that each thread waits exactly as long as the test says. What is true of a thread is
tested elsewhere.
"""

import json
import re

import pytest

import fake_server as fake
from conftest import PATIENCE, run_client, wait_until
from fake_server import FakeServer, greet, until_closed
from repl import Repl
from test_client import place  # noqa: F401, a fixture

CPU, GIL, LOCK, SLEEP, IO, CHILD, C, GC, IDLING = range(1, 10)
PROVED, STILL, TIMED, ENDED, FD, COUNT, SINCE = 1, 2, 4, 8, 16, 32, 64
MAIN, DAEMON = 1, 2
SECOND = 1000000


def thread(n, name, state=LOCK, frames=((0, 7), (1, 3)), seconds=None, wait=None, locals=(), **more):
    """A thread with the tid n, which has waited so long; its messages."""
    head = fake.dump_thread(ident=1000 + n, tid=n, flags=more.pop("flags", DAEMON), state=state, name=name, class_name="Thread",
                            frames=frames, **more)
    wait = dict(wait or {})
    if seconds is not None:
        wait.update(flags=wait.get("flags", 0) | SINCE, waited_us=int(seconds * SECOND))
    return [head, *([fake.dump_wait(**wait)] if wait else []), *(fake.dump_local(*one) for one in locals)]


MAIN_THREAD = thread(1, "MainThread", IO, frames=((0, 1),), flags=MAIN)
ON_LOCK = {"kind": 1, "flags": STILL | PROVED, "confidence": 2, "type": "Lock", "name": "LOCK", "address": 0x10, "holder": 1}
CODE = [fake.dump_code(0, "/app/main.py", "main"), fake.dump_code(1, "/usr/lib/python3.11/threading.py", "Event.wait"),
        fake.dump_code(2, "/usr/lib/python3.11/site-packages/other.py", "other")]


@pytest.fixture
def shown(place):  # noqa: F811
    """shown(threads, options...) -> what the client prints."""
    def show(threads, *options, status=0):
        def serve(peer):
            greet(peer)
            id = peer.expect(fake.DUMP)
            peer.send(fake.dump_begin(id, threads=len(threads)), *CODE, *(m for t in threads for m in t), fake.dump_end(id))
            until_closed(peer)

        place.unlink(missing_ok=True)
        with FakeServer(place, serve):
            answer = run_client("--socket", place, "--no-repl", *options)
        assert answer.status == status, answer
        return answer.out if status == 0 else answer
    return show


def heads(text):
    """The names of all threads in the order of the text."""
    return re.findall(r"<Thread\(([^,]*), |^  (\S+) \(tid", text, re.M)


def order(text):
    return [one or other for one, other in heads(text)]


def workers(count, seconds=lambda i: 2 + i / 10, wait=ON_LOCK, **more):
    return [thread(10 + i, f"worker-{i}", seconds=seconds(i), wait=wait, **more) for i in range(count)]


# ---- together -----------------------------------------------------------------------------------


def test_threads_that_wait_in_the_same_place_are_one_block_with_their_names_and_a_range(shown):
    text = shown([MAIN_THREAD, *workers(16)])
    assert "<16 threads>  waiting for lock 'LOCK' (Lock at 0x10), held by MainThread, for 2.0 s to 3.5 s\n" in text
    assert text.count('File "/app/main.py", line 7') == 1
    block = text[text.index("<16 threads>"):]
    names = [f"worker-{i} (tid {10 + i})" for i in range(16)]
    assert re.sub(r"\s+", " ", ", ".join(names)) in re.sub(r"\s+", " ", block)
    assert all(len(line) <= 80 for line in block.splitlines()[1:])


@pytest.mark.parametrize("name, summary", [
    ("", "3 threads: 3 waiting for locks"), ("self._lock", "3 threads: 3 waiting for locks 'self._lock'")])
def test_the_summary_counts_together_who_waits_for_locks_of_the_same_name(shown, name, summary):
    wait = {**ON_LOCK, "name": name, "type": "", "holder": 0}
    text = shown([thread(10 + i, f"t{i}", wait={**wait, "address": 16 + i}) for i in range(3)])
    assert text.splitlines()[0] == summary
    assert text.count("waiting for lock" + (f" '{name}'" if name else "") + " (0x") == 3, "each by its own address"


def test_each_thread_is_by_itself_on_request(shown):
    text = shown([MAIN_THREAD, *workers(3)], "--no-group")
    assert "threads>" not in text and text.count('File "/app/main.py", line 7') == 3
    assert text.count("waiting for lock 'LOCK'") == 3 + 1, "and once in the summary"


@pytest.mark.parametrize("other", [
    {"frames": ((0, 7), (1, 4))}, {"frames": ((0, 7),)}, {"state": SLEEP}, {"omitted": 1}, {"locals": [(0, "x", "2")]},
    *({"wait": {**ON_LOCK, **change}} for change in (
        {"address": 0x20}, {"name": "OTHER"}, {"type": "RLock"}, {"holder": 10}, {"confidence": 1}, {"kind": 4},
        {"flags": STILL | PROVED | ENDED}, {"flags": STILL | FD, "fd": 3})),
], ids=str)
def test_what_differs_in_its_frames_or_its_wait_stays_apart(shown, other):
    fields = {"wait": ON_LOCK, "locals": [(0, "x", "1")], **other}
    same = [thread(10, "a", wait=ON_LOCK, locals=[(0, "x", "1")]), thread(11, "b", wait=ON_LOCK, locals=[(0, "x", "1")])]
    status = 5 if "omitted" in other else 0
    answer = shown([MAIN_THREAD, *same, thread(12, "c", **fields)], "--locals", status=status)
    text = answer.out if status else answer
    assert "<2 threads>" in text and "<3 threads>" not in text and "<Thread(c, " in text


def test_the_main_thread_is_never_in_a_block(shown):
    same = [thread(n, name, SLEEP, flags=flags) for n, name, flags in ((1, "MainThread", MAIN), (2, "a", 0), (3, "b", 0))]
    text = shown(same)
    assert "<2 threads>  sleeping" in text and order(text) == ["MainThread", "a"]


def test_json_has_each_thread_by_itself_and_in_the_order_of_the_program(shown):
    answer = json.loads(shown([thread(9, "late", SLEEP, seconds=1), MAIN_THREAD, *workers(3)], "--json"))
    assert [t["name"] for t in answer["threads"]] == ["MainThread", "late", "worker-0", "worker-1", "worker-2"]
    assert all(len(t["frames"]) == 2 for t in answer["threads"][1:])


# ---- in order -----------------------------------------------------------------------------------


def circle(first, second, name):
    """Two threads that wait for each other."""
    return [thread(me, f"{name}-{me}", seconds=1, wait={**ON_LOCK, "name": f"{name}{me}", "address": 0x100 + me, "holder": other})
            for me, other in ((first, second), (second, first))]


def test_the_main_thread_then_deadlocks_then_the_longest_waiting_then_the_rest(shown):
    threads = [
        thread(20, "idle", IDLING, seconds=500), thread(21, "running", CPU), thread(22, "short", SLEEP, seconds=3),
        thread(23, "long", IO, seconds=90), thread(24, "unknown-since", SLEEP),
        thread(25, "led", seconds=400, wait={**ON_LOCK, "name": "led", "address": 0x99, "holder": 27}),
        *circle(26, 27, "dead"), thread(28, "orphan", seconds=2, wait={**ON_LOCK, "holder": 0, "flags": ENDED}), MAIN_THREAD]
    text = shown(threads)
    text = text[text.index("\n\n"):]
    assert order(text) == ["MainThread", "dead-26", "dead-27", "orphan", "led", "long", "short", "unknown-since", "running", "idle"]


def test_those_who_wait_as_long_stand_in_the_order_of_age(shown):
    text = shown([MAIN_THREAD, *(thread(30 + i, f"t{i}", IO, frames=((0, 50 + i),), seconds=7 + i / 100) for i in range(5))])
    assert order(text) == ["MainThread", "t0", "t1", "t2", "t3", "t4"]


# ---- less ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("words, names", [
    (["b"], ["b"]), (["a", "b"], ["a", "b"]), (["42"], ["b"]), (["1042"], ["b"]), (["0x412"], ["b"]),
    (["x[1]"], ["x[1]", "x1"]), (["pool-*"], ["pool-1", "pool-2"]), (["Thread-1 (work)"], ["Thread-1 (work)"])], ids=str)
def test_threads_are_chosen_by_name_pattern_tid_and_ident(shown, words, names):
    threads = [thread(41 + i, name, IO, frames=((0, 60 + i),)) for i, name in enumerate(
        ["a", "b", "x[1]", "x1", "pool-1", "pool-2", "Thread-1 (work)"])]
    text = shown([MAIN_THREAD, *threads], *(f"--thread={word}" for word in words))
    assert re.findall(r"<Thread\((.*), started", text) == names and text.startswith("8 threads: "), text


def test_a_word_that_means_no_thread_is_2_and_says_which_there_are(shown):
    answer = shown([MAIN_THREAD, thread(2, "a"), thread(3, "b")], "--thread", "worker", "--thread", "a", status=2)
    assert "worker is no thread's name, ident or tid; there are: MainThread, a, b" in answer.err
    assert order(answer.out) == ["a"], "the other one is shown"


def test_the_innermost_frames_are_kept_and_the_others_counted(shown):
    deep = thread(5, "deep", SLEEP, frames=[(0, n) for n in range(1, 21)], locals=[(0, "outer", "1"), (19, "inner", "2")])
    text = shown([MAIN_THREAD, deep], "--frames", "3", "--locals")
    assert "  ... 17 outer frames left out\n" in text
    assert re.findall(r"main.py\", line (\d+), in main", text) == ["1", "18", "19", "20"]
    assert "inner = 2" in text and "outer" not in text.replace("outer frames", "")
    cut = thread(5, "deep", SLEEP, frames=[(0, n) for n in range(1, 21)], omitted=100)
    answer = shown([MAIN_THREAD, cut], "--frames", "3", status=5)
    assert "... 117 outer frames left out" in answer.out, "also those that the server left out"


def test_the_innermost_frame_of_the_programs_own_code_is_kept_with_them(shown):
    deep = thread(5, "deep", SLEEP, frames=[(0, 1), (0, 2), (2, 3), (2, 4), (1, 5), (1, 6)], locals=[(0, "no", "1"), (1, "yes", "2"), (2, "no", "3")])
    text = shown([MAIN_THREAD, deep], "--frames", "2", "--locals", "--thread", "deep")
    assert text.split("\n", 3)[3] == """  ... 1 outer frame left out
  File "/app/main.py", line 2, in main
      yes = 2
  ... 2 frames left out
  File "/usr/lib/python3.11/threading.py", line 5, in Event.wait
  File "/usr/lib/python3.11/threading.py", line 6, in Event.wait
"""
    # It is the one just before them, or there is none: nothing is left out in between.
    for frames, lines in (([(0, 1), (2, 2), (1, 3)], ["1", "2", "3"]), ([(2, 1), (2, 2), (1, 3)], ["2", "3"])):
        text = shown([thread(5, "deep", SLEEP, frames=frames)], "--frames", "2")
        assert re.findall(r"line (\d+), in", text) == lines and text.count("left out") == (len(lines) == 2), text


@pytest.mark.parametrize("loop, stands, words", [
    ({"flags": 3, "busy_us": 4_000_000}, None, True), ({"flags": 3, "busy_us": 500_000}, None, False),
    ({}, 4, True), ({}, 0.5, False), ({"task": 0}, 4, False)],
    ids=["for seconds", "for a moment", "its thread for seconds", "its thread for a moment", "its thread, without a task"])
def test_a_loop_that_is_blocked_is_on_top(place, loop, stands, words):  # noqa: F811
    """One that does not tell, uvloop's, is blocked if its thread has stood still in a task."""
    def serve(peer):
        greet(peer)
        id = peer.expect(fake.DUMP)
        task = fake.dump_task(id=7, state=1, flags=0, kind=0, name="Task-7", coroutine="handle", frames=[(0, 7)])
        peer.send(fake.dump_begin(id, threads=1), *CODE, *thread(2, "Looper", IO, seconds=stands),
                  fake.dump_loop(**{"task": 7, **loop}), task, fake.dump_tasks(1), fake.dump_end(id))
        until_closed(peer)

    with FakeServer(place, serve):
        answer = run_client("--socket", place, "--no-repl")
    lines = answer.out.splitlines()
    said = "Blocked event loop: Loop in thread Looper (tid 2) has not looked for events for 4.0 s; it runs Task-7 handle()"
    assert lines[1:2] == [said if words else ""], answer


@pytest.mark.parametrize("words", [["--frames", "0"], ["--frames", "x"], ["--json", "--thread", "a"], ["--json", "--frames", "1"],
                                   ["--no-stacks", "--no-group"], ["-c", "1", "--thread", "a"], ["--thread"]], ids=" ".join)
def test_what_makes_no_sense_is_refused(words):
    answer = run_client(*words)
    assert answer.status == 2 and answer.out == "" and "--" in answer.err


def test_how_pythons_library_waits_is_faint_and_the_programs_own_frames_are_not(shown):
    def frames(state, *codes):
        text = shown([MAIN_THREAD, thread(2, "a", state, frames=[(code, 9) for code in codes])], "--color=always", "--thread", "a")
        return [("\x1b[2m  File" in line, re.search(r"([a-z]+)\.py", line)[1]) for line in text.splitlines() if "File" in line]

    assert frames(LOCK, 1, 0, 1, 1) == [(False, "threading"), (False, "main"), (True, "threading"), (True, "threading")]
    assert frames(IO, 0, 2) == [(False, "main"), (False, "other")], "what is installed beside the library is not of it"
    assert frames(CPU, 0, 1) == [(False, "main"), (False, "threading")], "it runs"


# ---- at the prompt ------------------------------------------------------------------------------


LOCKED = """
import sys, threading
import pystuck
pystuck.run_server()
held = threading.Barrier(2)
LOCK = threading.RLock()
def holder():
    with LOCK:
        held.wait()
        threading.Event().wait()
def wanter():
    with LOCK:
        pass
threading.Thread(target=holder, name="the holder", daemon=True).start()
held.wait()
for i in range(3):
    threading.Thread(target=wanter, name="wanter-%d" % i, daemon=True).start()
print("READY", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def repl(one_python, start, tmp_path):
    program = start(one_python, LOCKED)
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as session:
        session.program = program
        yield session


def until(repl, command, pattern):
    """Asks until the answer matches: threads take a moment to come where they wait."""
    return wait_until(lambda: re.search(pattern, repl.ask(command), re.S), f"{command} says {pattern}", lambda: repl.screen())[0]


def test_locks_tells_each_lock_with_its_holder_and_who_waits(repl):
    # Who has waited the longest comes first, and that is any of them.
    text = until(repl, "%locks", r"lock 'LOCK', RLock at 0x[0-9a-f]+\s+held by the holder \(tid \d+\) at \S+program\.py:\d+, known\s+"
                                 r"3 wait: [^\n]*")
    assert set(re.findall(r"(wanter-\d) \(tid \d+\)", text)) == {"wanter-0", "wanter-1", "wanter-2"}, text
    assert "takes no argument" in repl.ask("%locks LOCK")


def test_locks_says_when_there_is_nothing_to_tell(one_python, start, tmp_path):
    program = start(one_python, "import sys, pystuck\npystuck.run_server()\nprint('READY', flush=True)\nsys.stdin.read()\n")
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as session:
        assert session.ask("%locks") == "no thread waits for a lock"


def test_stacks_takes_a_thread_and_options(repl):
    text = until(repl, "%stacks wanter-*", r"<3 threads>.*wanter-2 \(tid \d+\).*in wanter")
    assert "in holder" not in text
    text = repl.ask("%stacks --no-group --frames 1 wanter-*")
    assert text.count("3 outer frames left out") == 3 and "_bootstrap" not in text
    assert "in holder" in repl.ask("%stacks the holder"), "a name with a space"
    assert re.search(r"held = <threading\.Barrier|LOCK", repl.ask("%stacks --locals MainThread"))
    assert "without the GIL" in repl.ask("%stacks --raw the holder")
    assert repl.ask("%stacks wanter-* --no-group --frames 1").count("3 outer frames left out") == 3, "options behind the thread"
    assert "--frames 0" in repl.ask("%stacks the holder --frames 0")
    for wrong in ("--nonsense", "--frames", "--frames none", "--frames 0 wanter-0"):
        assert "%stacks [--locals]" in repl.ask(f"%stacks {wrong}"), wrong
    assert "nobody is no thread's name" in repl.ask("%stacks nobody")


def test_threads_takes_a_thread_and_shows_each_by_itself(repl):
    text = until(repl, "%threads wanter-*", r"<Thread\(wanter-0.*wanter-1.*wanter-2.*in wanter")
    assert text.count("in wanter") == 3 and "holder," not in text
    assert "wanter-1" in repl.ask("%show threads")


def tab(repl, typed, pattern):
    """What stands on the screen after Tab. On a busy machine a completion may be given up, as one that takes too long is: then again."""
    for _ in range(8):
        repl.send("\x15" + typed + "\t")
        try:
            return repl.until_screen(pattern, patience=PATIENCE / 4)
        except AssertionError as e:
            last = e
    raise last


def test_tab_completes_threads_and_options_of_these_commands(repl):
    for command in ("%stacks", "%threads"):
        tab(repl, f"{command} want", r"wanter-0 +wanter-1 +wanter-2")
    tab(repl, "%stacks the", r"%stacks the holder\Z")
    tab(repl, "%stacks --no", r"%stacks --no-group\Z")
    repl.send("\x15")
