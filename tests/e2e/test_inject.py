"""pystuck --inject: a server for a program that was started without one.

What lives here: how it gets there (Python 3.14 and later), and what is said where it cannot. What does not: what the server does then.
"""

import glob
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import BUILD, CLIENT, VERSIONS, program_env, run_client, wait_until

able, unable = pytest.mark.since(3, 14), pytest.mark.before(3, 14)

PLAIN = """
import sys, threading, time
def poll():
    while True: time.sleep(0.01)
print("READY", flush=True)
poll()
"""
ALONE = {"PYTHONPATH": None}


@pytest.fixture(autouse=True)
def nothing_left_behind():
    before = set(glob.glob("/tmp/pystuck-inject-*"))
    yield
    wait_until(lambda: set(glob.glob("/tmp/pystuck-inject-*")) <= before, "the script's directory has gone")


@able
@pytest.mark.parametrize("env, options", [({}, ()), (ALONE, ()), (ALONE, ("-I", "-S"))], ids=["its own path", "the client's", "isolated"])
def test_inject_gives_a_program_a_server_and_leaves_nothing_else(python, start, client, env, options):
    program = start(python, PLAIN, env=env, args=options)
    answer = client("--inject", program.pid, "--no-repl")
    assert answer.status == 0 and "in poll" in answer.out and answer.err == "", answer
    assert client("--pid", program.pid, "-c", "modules.os.getpid()").out == f"{program.pid}\n"
    again = client("--inject", program.pid, "-c", "[n for n in vars(modules.__main__) if 'pystuck' in n], modules.sys.path")
    assert again.out.startswith("([], ") and str(BUILD) not in again.out.replace(str(BUILD) + "/python'", "" if not env else "?"), again
    program.stop()
    assert program.stderr() == "" and program.out.next() is None


@able
def test_inject_is_taken_back_when_the_main_thread_does_not_come_by(python, start, client):
    program = start(python, """
import os, sys, threading
lock = threading.Lock()
lock.acquire()
def free():
    sys.stdin.readline()
    lock.release()
threading.Thread(target=free, daemon=True).start()
print("READY", flush=True)
lock.acquire()
for i in range(1000): len("a safe point")
print("FREE", flush=True)
sys.stdin.readline()
print("ON", "pystuck" in sys.modules, flush=True)
import time
while True: time.sleep(0.01)
""")
    answer = client("--inject", program.pid, "--no-repl", "--timeout", "0.5")
    assert answer.status == 3 and "did not come by" in answer.err and "taken back" in answer.err, answer
    program.say("")
    program.out.until("FREE")
    program.say("")
    assert program.out.until("ON (.*)")[1] == "False"
    assert client("--inject", program.pid, "-c", "6*7").out == "42\n"
    program.stop()
    assert program.stderr() == ""


@able
@pytest.mark.parametrize("env, options", [({"PYTHON_DISABLE_REMOTE_DEBUG": "1"}, ()), ({}, ("-X", "disable-remote-debug"))])
def test_inject_is_refused_where_it_is_switched_off(python, start, client, env, options):
    program = start(python, PLAIN, env=env, args=options)
    answer = client("--inject", program.pid, "--no-repl")
    assert answer.status == 4 and "switched off" in answer.err, answer
    assert program.alive()


@unable
def test_inject_says_what_to_do_where_python_is_too_old(python, start, client):
    program = start(python, PLAIN)
    answer = client("--inject", program.pid, "--no-repl")
    version = ".".join(VERSIONS[python].split(".")[:2])
    assert answer.status == 2 and f"Python {version} cannot" in answer.err and "PYSTUCK=1" in answer.err, answer
    assert program.alive()


@unable
def test_inject_finds_the_server_that_is_there_already(python, start, client):
    program = start(python, "import pystuck; pystuck.run_server()\n" + PLAIN)
    assert client("--inject", program.pid, "-c", "1+1").out == "2\n"


def test_inject_into_what_is_no_python_or_nothing(client):
    with subprocess.Popen(["sleep", "60"]) as sleep:
        try:
            wait_until(lambda: os.path.basename(os.readlink(f"/proc/{sleep.pid}/exe")) != os.path.basename(os.readlink("/proc/self/exe")), "exec")
            answer = client("--inject", sleep.pid, "--no-repl")
            assert answer.status == 2 and "is no Python" in answer.err, answer
        finally:
            sleep.kill()
    answer = client("--inject", sleep.pid, "--no-repl")
    assert answer.status == 3 and "there is no process" in answer.err, answer


@able
def test_inject_looks_below_the_clients_prefix_and_says_where_it_looked(python, start, tmp_path):
    version = ".".join(VERSIONS[python].split(".")[:2])
    (tmp_path / "bin").mkdir()
    moved = shutil.copy(CLIENT, tmp_path / "bin" / "pystuck")
    program = start(python, PLAIN, env=ALONE)

    def inject():
        return subprocess.run([moved, "--inject", str(program.pid), "-c", "1+1"], capture_output=True, text=True, timeout=60)

    done = inject()
    assert done.returncode == 2 and f"no pystuck for Python {version}" in done.stderr and str(tmp_path) in done.stderr, done
    site = tmp_path / "lib" / f"python{version}" / "site-packages"
    site.mkdir(parents=True)
    shutil.copytree(BUILD / "python" / "pystuck", site / "pystuck")
    assert inject().stdout == "2\n"


@able
def test_inject_leaves_a_module_of_the_same_name_alone(python, start, client):
    program = start(python, "import sys, types; sys.modules['pystuck'] = types.SimpleNamespace(__file__='mine.py')\n" + PLAIN)
    answer = client("--inject", program.pid, "--no-repl")
    assert answer.status == 2 and "another module called pystuck: mine.py" in answer.err, answer
    program.stop()
    assert program.stderr() == ""


@able
def test_inject_starts_no_interpreter_that_others_could_have_changed(python, start, tmp_path):
    tmp_path.chmod(0o700)
    name = "python" + ".".join(VERSIONS[python].split(".")[:2])
    mine = shutil.copy(os.path.realpath(python), tmp_path / name)
    os.chmod(mine, 0o775)
    program = start(mine, PLAIN, env={"PYTHONHOME": "/usr"})
    answer = run_client("--inject", program.pid, "-c", "1+1", env={"PATH": "/nonexistent"})
    assert answer.status == 2 and "not started with your rights" in answer.err, answer
    assert run_client("--inject", program.pid, "-c", "1+1").out == "2\n", "by the one on $PATH"


@able
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_inject_into_another_users_program_as_root(python, client):
    """Not by way of a directory that is his: he could have root write somewhere else."""
    uid = 65500 + int(VERSIONS[python].split(".")[1])  # each version's own: they are tested at the same time
    his = Path(f"/run/user/{uid}")
    place = his / "place"
    place.mkdir(parents=True, mode=0o700)
    for directory in (his, place):
        directory.chmod(0o700)
        os.chown(directory, uid, uid)
    untouched = his.stat().st_mtime_ns
    env = {**ALONE, "PYSTUCK_SOCKET": str(place / "s.sock")}  # or it would be the server that makes something there
    with subprocess.Popen(["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", python, "-c", PLAIN], cwd="/", text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=program_env("/nonexistent", env)) as program:
        try:
            assert program.stdout.readline() == "READY\n"
            stranger = run_client("--inject", program.pid, "-c", "1+1", prefix=("setpriv", "--reuid", "65532", "--clear-groups"))
            assert stranger.status == 4 and f"runs as uid {uid}" in stranger.err, stranger
            answer = client("--inject", program.pid, "-c", "modules.os.geteuid()")
            assert answer.out == f"{uid}\n", answer
        finally:
            program.kill()
        assert program.stderr.read() == ""
    assert his.stat().st_mtime_ns == untouched
    shutil.rmtree(his)
