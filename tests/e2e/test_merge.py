"""`pystuck --merge` and `--diff`: dumps that were saved, without a server: what is the same is there once, and what is of no use is said."""

import json
import re

import pytest

from conftest import ROOT, run_client
from fake_server import FakeServer
from test_client import NASTY, place, raw_bytes  # noqa: F401
from test_watch import thread as server_thread
from test_watch import watched


def frame(line, function="work", file="/srv/app.py"):
    return {"file": file, "line": line, "function": function, "source": f"step({line})  # \u00e9\\\""}


def thread(name, *lines, state="lock", tid=1, cpu=0.0):
    return {"ident": 100 + tid, "tid": tid, "name": name, "class": "Thread", "daemon": False, "state": state, "waits_for": None,
            "os_name": "python", "cpu_seconds": cpu, "settled": True, "frames": [frame(0, "main"), *map(frame, lines)], "omitted_frames": 0}


def dump(*threads, pid=42, second=0, **more):
    return {"schema": 1, "pystuck": "0.9.0", "pid": pid, "python": "3.11.7", "command": ["python", "app.py"],
            "time": f"2026-01-31T12:00:{second:02}.500000Z", "how": "gil", "settled": True, "gil": {"wait_us": 1, "held_us": 2, "holder": None},
            "summary": "", "deadlocks": [], "led_into": [], "threads": list(threads), "omitted_threads": 0, **more}


def save(path, *dumps, indent=None):
    path.write_text("".join(json.dumps(one, indent=indent) + "\n" for one in dumps))
    return path


def merged(*arguments, **kwargs):
    answer = run_client("--merge", *arguments, **kwargs)
    assert answer.status == 0 and answer.err == "", answer
    return answer.out


def test_many_dumps_are_one_tree_with_the_rarest_first(tmp_path):
    usual = dump(thread("one", 1, 2), thread("two", 1, 2))
    save(tmp_path / "a.json", *[usual] * 6)
    save(tmp_path / "b.json", usual, dump(thread("one", 1, 2), thread("odd", 1, 3, state="io"), pid=43), indent=2)
    (tmp_path / "notes.txt").write_text("not looked at")
    text = merged(tmp_path)
    assert text == f"""\
8 dumps, 16 threads: 2 different stacks, the rarest first

   threads     dumps
        16         8  main (app.py)
                      work (app.py:1)
         1         1    work (app.py:3)
                          in I/O: 1 thread (odd of pid 43 in {tmp_path}/b.json)
        15         8    work (app.py:2)
                          waiting for a lock: 15 threads (one of pid 42 in {tmp_path}/a.json; one of pid 42 in {tmp_path}/a.json; ...)
"""
    # The same by name, from standard input, and as JSON.
    assert merged(tmp_path / "a.json", tmp_path / "b.json") == text
    everything = (tmp_path / "a.json").read_text() + (tmp_path / "b.json").read_text()
    assert re.sub(r" in \S+([;)])", r"\1", merged("-", stdin=everything)) == re.sub(r" in /\S+([;)])", r"\1", text)
    document = json.loads(merged("--json", tmp_path))
    assert [(s["threads"], s["dumps"], s["state"], [f["line"] for f in s["frames"]]) for s in document["stacks"]] == [
        (1, 1, "io", [None, 1, 3]), (15, 8, "lock", [None, 1, 2])]
    assert document["stacks"][0]["examples"] == [{"file": f"{tmp_path}/b.json", "pid": 43, "thread": "odd"}]
    import jsonschema
    schema = json.loads((ROOT / "docs" / "merge.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(document)


def test_children_and_what_the_client_itself_writes_are_merged(tmp_path, place):
    child = dump(thread("c", 5), pid=2, children=[dump(thread("g", 5), pid=3, children=[])])
    silent = {"pid": 4, "error": "no answer", "children": [dump(thread("d", 5), pid=5)]}
    tree = dump(thread("p", 5), pid=1, children=[child, silent])
    save(tmp_path / "tree.json", tree, {"schema": 1, "children": [child]}, dump(thread("z", 6)))
    text = merged(tmp_path / "tree.json")
    assert text.startswith("7 dumps, 7 threads: 2 different stacks") and "         1         1    work (app.py:6)" in text
    with FakeServer(place, watched([server_thread(1, 7, NASTY, main=True)])):
        written = run_client("--socket", place, "--json").out
    text = merged("-", stdin=written)
    assert "work (app.py:7)" in text and "a\\x1b[31m" in text and raw_bytes(text.encode()) == []


@pytest.mark.parametrize("content, why", [
    (b"", "there is no dump in it"),
    (b"\0" * 5000, "byte 0: not JSON"),
    (b"hello", "byte 0: not JSON"),
    (b"[1, 2]", "no dump as pystuck --json writes them"),
    (b"{}", "no dump as pystuck --json writes them"),
    (b'{"schema": 1, "name": [1, {"a": "b"}]}', "no dump as pystuck --json writes them"),
    (b'{"schema": 2, "threads": []}', "a later version of pystuck"),
    (b'{"schema": 1, "threads": [1]}', "a thread that is none"),
    (b'{"schema": 1, "threads": [{"frames": [[]]}]}', "a frame that is none"),
    (b'{"schema": 1, "threads": [}', "byte 26: not JSON"),
    (b'{"schema": 1, "threads": [] "pid"', "byte 28: not JSON: no comma where one belongs"),
    (b'{"schema": 1 "a"', "no comma"), (b'{"schema": 01}', "a number that is none"), (b'{"a": "\\x"}', "an escape that is none"),
    (b'{"a": "\n"}', "a control character in a text"), (b"[" * 1000, "no dump"), (b'{"a": ' + b"[" * 1000, "inside each other"),
])
def test_what_is_no_dump_is_said_and_the_others_are_merged(tmp_path, content, why):
    bad, good = tmp_path / "bad.json", save(tmp_path / "good.json", dump(thread("one", 1)))
    bad.write_bytes(content)
    answer = run_client("--merge", bad, good)
    assert answer.status == 5 and answer.out.startswith("1 dump, 1 thread: 1 stack\n"), answer
    assert answer.err.startswith(f"pystuck: {bad}: ") and why in answer.err and answer.err.count("\n") == 1
    answer = run_client("--merge", bad)
    assert (answer.status, answer.out) == (2, "")
    assert run_client("--diff", good, bad).status == 2


def test_a_dump_that_is_cut_off_anywhere_is_said_to_be(tmp_path):
    whole = json.dumps(dump(thread("one", 1, 2), thread("\u00e9\"\\", 3)))
    for length in range(1, len(whole), 41):
        answer = run_client("--merge", "-", stdin=whole[:length])
        assert answer.status == 2 and answer.err.startswith("pystuck: -: byte ") and "ends in the middle" in answer.err, (length, answer)
    # It is read in pieces of any size, and what is too long is refused with a sentence.
    answer = run_client("--merge", "-", stdin='{"a": "' + "x" * (17 << 20))
    assert answer.status == 2 and "longer than any of a dump" in answer.err


def test_a_diff_says_what_moved_between_two_dumps(tmp_path):
    first = save(tmp_path / "a.json", dump(thread("stuck", 1, tid=1), thread("walks", 1, 2, tid=2), thread("runs", 5, tid=3, cpu=1.0),
                                           thread("ends", 6, tid=4)))
    second = save(tmp_path / "b.json", dump(thread("stuck", 1, tid=1), thread("walks", 1, 3, tid=2), thread("runs", 5, tid=3, cpu=3.0),
                                            thread("new", 6, tid=5), second=4))
    answer = run_client("--diff", first, second)
    assert answer.status == 0 and answer.err == "", answer
    assert answer.out.startswith("pid 42, 4.0 s later: 1 moved, 1 ran, 1 still, 1 new, 1 ended\n")
    heads = [line.partition("(")[0] + line.partition("(")[2].partition(",")[0] for line in answer.out.splitlines() if line[:1] in "=~>+" and "<" in line]
    assert sorted(heads) == ["+ new  <Threadnew", "= still 4.0 s  <Threadstuck", "> moved  <Threadwalks", "~ ran, CPU 50 %  <Threadruns"]
    assert [line for line in answer.out.splitlines() if line.startswith("> File")] == ['> File "/srv/app.py", line 3, in work']
    assert answer.out.endswith("\n- ended  ends  tid 4\n")
    # Of two processes threads with the same name are compared.
    other = save(tmp_path / "c.json", dump(thread("stuck", 1, tid=11), thread("walks", 9, tid=12), pid=7))
    answer = run_client("--diff", first, other, "--thread", "walks")
    assert answer.out.startswith("pid 7, compared with pid 42 by the names of threads: 1 moved, 1 still, 2 ended\n") and "> moved" in answer.out
    assert run_client("--diff", first).status == 2 and run_client("--diff", first, tmp_path / "none").status == 2
    assert run_client("--merge").status == 2 and run_client("--merge", first, "--pid", "1").status == 2
