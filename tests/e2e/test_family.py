"""`pystuck --children` and `--all`: several processes at once, each exactly once, those that stand in the same place as one.

What lives here: which processes, their tree, their groups. What does not: what is said of each of them (test_dump.py, test_locks.py).
"""

import json
import os
import re
import signal

import pytest

import procfs
from conftest import ROOT, wait_until

# A master with three workers that stand in the same place, one that does not, and a child that has no server but a child that has.
FAMILY = """
import os, sys, threading, pystuck

def work(name):
    threading.Thread(target=wait_for_ever, name=name, daemon=True).start()
    sys.stdin.readline()

def wait_for_ever():
    locked = threading.Lock()
    locked.acquire()
    locked.acquire()

def fork(target, *args):
    pid = os.fork()
    if pid == 0:
        target(*args)
        os._exit(0)
    return pid

def between():
    server.close()
    pid = fork(grandchild)
    print("CHILD grandchild", pid, flush=True)
    os.waitpid(pid, 0)

def grandchild():
    pystuck.run_server(socket=os.environ["ELSEWHERE"])
    sys.stdin.readline()

server = pystuck.run_server()
again = pystuck.run_server(socket="second-{pid}.sock", on_fork="ignore")
for number in range(3):
    print("CHILD worker", fork(work, f"worker-{number * 7}"), flush=True)
print("CHILD odd", fork(sys.stdin.read), flush=True)
fork(between)
print("READY", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def family(one_python, start, tmp_path):
    program = start(one_python, FAMILY, env={"ELSEWHERE": str(tmp_path / "elsewhere.sock")}, ready=False)
    program.kin = {"worker": [], "odd": [], "grandchild": []}
    for _ in range(5):
        found = program.out.until(r"CHILD (\w+) (\d+)")
        program.kin[found[1]].append(int(found[2]))
    for pid in (*program.kin["worker"], *program.kin["odd"], *program.kin["grandchild"]):
        path = tmp_path / "elsewhere.sock" if pid in program.kin["grandchild"] else program.socket.replace(str(program.pid), str(pid))
        wait_until(lambda path=path: os.path.exists(path), f"the server of {pid}")
    yield program
    for pids in program.kin.values():
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def settled(family, client):
    """The answer once all workers are where they wait."""
    answers = []

    def ask():
        answers.append(client("--socket", family.socket, "--children"))
        return "3 processes with the same stacks" in answers[-1].out

    wait_until(ask, "the workers stand in the same place", instead=lambda: answers[-1])
    return answers[-1]


def tree(node):
    return {node["pid"]: [tree(child) for child in node["children"]]}


def validate(document, all_of_them=False):
    import jsonschema
    schema = json.loads((ROOT / "docs" / "dump.schema.json").read_text())
    if all_of_them:
        schema = {**schema["$defs"]["all"], "$defs": schema["$defs"], "properties": schema["properties"]}
    jsonschema.Draft202012Validator(schema).validate(document)


def test_children_are_a_tree_and_those_in_the_same_place_are_one(family, client):
    workers, odd, grandchild = family.kin["worker"], family.kin["odd"][0], family.kin["grandchild"][0]
    answer = settled(family, client)
    assert (answer.status, answer.err) == (0, "")
    head, *blocks = re.split(r"\n\n(?=\d* ?process)", answer.out)
    lines = head.splitlines()
    assert lines[0] == "6 processes run pystuck"
    # The one in between has no server: its child stands below the master.
    assert [re.match(r" *\d+", line)[0] for line in lines[1:]] == [f"  {family.pid}", *(f"    {pid}" for pid in sorted((*workers, odd, grandchild)))]
    assert [block.splitlines()[0] for block in blocks] == [
        f"process {family.pid}", f"3 processes with the same stacks: {', '.join(map(str, sorted(workers)))}", f"process {odd}", f"process {grandchild}"]
    assert blocks[1].count("in wait_for_ever") == 1 and "Thread(worker-0" in blocks[1]

    # One of its threads is asked for: of the others there is nothing to be said.
    answer = client("--socket", family.socket, "--children", "--thread", "worker-*")
    assert answer.status == 0 and answer.out.count("<Thread(worker-") == 1 and "in grandchild" not in answer.out, answer
    answer = client("--socket", family.socket, "--children", "--thread", "nobody")
    assert answer.status == 2 and "nobody is no thread's name" in answer.err, answer


def test_children_as_json_are_each_there_once(family, client):
    below = sorted((*family.kin["worker"], *family.kin["odd"], *family.kin["grandchild"]))
    answer = client("--pid", family.pid, "--children", "--json")
    assert answer.status == 0, answer
    assert tree(answer.json) == {family.pid: [{pid: []} for pid in below]}
    validate(answer.json)
    everybody = client("--all", "--json", env={"XDG_RUNTIME_DIR": str(family.directory)})
    found, = (tree(child)[family.pid] for child in everybody.json["children"] if child["pid"] == family.pid)
    # The grandchild's socket need not have our name, and only children are looked for by their fds.
    assert [child for child in found if child != {family.kin["grandchild"][0]: []}] == [
        {pid: []} for pid in below if pid not in family.kin["grandchild"]]
    validate(everybody.json, all_of_them=True)


def test_a_process_without_a_server_stands_for_those_below_it(family, client):
    grandchild, = family.kin["grandchild"]
    between, = (int(line.split()[1]) for line in open(f"/proc/{grandchild}/status") if line.startswith("PPid:"))
    answer = client("--pid", between)
    assert answer.status == 3 and answer.err == (
        f"pystuck: process {between} has no pystuck server, but process {grandchild}, which descends from it, has one: "
        f"--pid {grandchild}, or --pid {between} --children for all of them\n"), answer
    answer = client("--pid", between, "--children")
    assert answer.status == 0 and answer.out.startswith("1 process runs pystuck\n") and f"\nprocess {grandchild}\n" in answer.out, answer
    answer = client("--pid", between, "--children", "--json")
    assert [tree(child) for child in answer.json["children"]] == [{grandchild: []}]
    validate(answer.json, all_of_them=True)


def test_a_child_that_does_not_answer_is_named(family, client):
    stopped = family.kin["worker"][1]
    os.kill(stopped, signal.SIGSTOP)
    wait_until(lambda: all(stat.rpartition(") ")[2][0] == "T" for stat in procfs.threads(stopped, "stat").values()), "it is stopped")
    answer = client("--pid", family.pid, "--children", "--json")
    assert answer.status == 5 and f"process {stopped}: no answer" in answer.err, answer
    silent = [child for child in answer.json["children"] if "error" in child]
    assert silent == [{"pid": stopped, "error": "no answer", "children": []}]
    validate(answer.json)
