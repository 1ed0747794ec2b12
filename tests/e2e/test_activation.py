"""Programs that do not mention pystuck, or want it only when asked: the environment, python -m pystuck.

What lives here: how a server comes to be there. What does not: what it does then (test_lifecycle.py and the others).
"""

import os
import subprocess

import pytest

from conftest import BUILD, CLIENT, PATIENCE, ROOT, VERSIONS, program_env

PLAIN = """
import sys
print("READY", flush=True)
sys.stdin.readline()
print("HAS", "pystuck" in sys.modules, flush=True)
sys.exit(7)
"""


@pytest.fixture
def installed(tmp_path, python):
    """The environment of a Python into whose site-packages pystuck was installed."""
    base = tmp_path / "base"
    site = base / "lib" / ("python" + ".".join(VERSIONS[python].split(".")[:2])) / "site-packages"
    site.mkdir(parents=True)
    (site / "pystuck.pth").write_text((ROOT / "src/python/pystuck.pth").read_text())
    (site / "pystuck").symlink_to(BUILD / "python" / "pystuck")
    return {"PYTHONUSERBASE": str(base), "PYTHONPATH": None}


def asked(installed, **more):
    return dict(installed, **more)


def test_pystuck_1_in_the_environment_serves_a_program_that_knows_nothing_of_it(python, start, client, installed):
    program = start(python, PLAIN, env=asked(installed, PYSTUCK="1"))
    assert client("--socket", program.socket, "-c", "modules.os.getpid()").out == f"{program.pid}\n"
    program.say("")
    program.out.until("HAS True")
    assert program.wait() == 7 and program.stderr() == ""
    assert not os.path.exists(program.socket)


def test_pystuck_socket_in_the_environment_says_where(python, start, client, installed, tmp_path):
    place = tmp_path / "place"
    place.mkdir(mode=0o700)
    program = start(python, PLAIN, env=asked(installed, PYSTUCK_SOCKET=f"{place}/app-{{pid}}.sock"))
    assert client("--socket", place / f"app-{program.pid}.sock", "-c", "6*7").out == "42\n"


@pytest.mark.parametrize("env, options", [({}, ()), ({}, ("-W", "error")), ({"PYSTUCK": "0", "PYSTUCK_SOCKET": "/x"}, ()), ({"PYSTUCK": ""}, ()),
                                          ({"PYSTUCK": "1"}, ("-S",)), ({"PYSTUCK": "1"}, ("-E",)), ({"PYSTUCK": "1"}, ("-I",))])
def test_nothing_is_imported_where_nobody_asked(python, start, installed, env, options):
    program = start(python, PLAIN, env=asked(installed, **env), args=options)
    program.say("")
    program.out.until("HAS False")
    assert program.wait() == 7 and program.stderr() == ""


@pytest.mark.parametrize("how", ["environment", "module"])
def test_a_server_that_cannot_start_is_one_sentence_and_the_program_runs(python, start, installed, how):
    env = asked(installed, PYSTUCK_SOCKET="/nonexistent/s.sock")
    if how == "module":
        env = {"PYSTUCK_SOCKET": "/nonexistent/s.sock"}
    program = start(python, PLAIN, env=env, args=("-m", "pystuck") if how == "module" else ())
    program.say("")
    assert program.wait() == 7
    lines = program.stderr().splitlines()
    assert len(lines) == 1 and lines[0].startswith("pystuck: not serving: ") and "/nonexistent" in lines[0], lines


def test_a_package_that_cannot_be_imported_is_one_sentence_and_the_program_runs(python, start, installed, tmp_path):
    broken = tmp_path / "broken" / "pystuck"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('not for this Python')\n")
    program = start(python, PLAIN, env=asked(installed, PYSTUCK="1", PYTHONPATH=str(broken.parent)))
    program.say("")
    assert program.wait() == 7
    assert program.stderr() == "pystuck: not serving: not for this Python\n"


def test_a_program_that_calls_run_server_itself_is_served_as_it_says(python, start, client, installed):
    program = start(python, """
import pystuck, sys
try: pystuck.run_server(mode="wrong")
except TypeError: pass
server = pystuck.run_server(eval=False)
print("READY", flush=True)
sys.stdin.readline()
""", env=asked(installed, PYSTUCK="1"))
    assert client("--socket", program.socket, "-c", "1+1").status == 4
    assert client("--socket", program.socket, "--no-repl").status == 0


def run_as_main(python, directory, *arguments, options=(), env=None, **kwargs):
    return subprocess.run([python, *options, "-m", "pystuck", *arguments], env=program_env(directory, env), capture_output=True,
                          text=True, timeout=PATIENCE, cwd=directory, **kwargs)


SAYS = """
import os, pickle, sys
class Here: pass
print(sys.argv, __name__, globals().get("__file__"), sys.path[0], sys.modules["__main__"].Here is Here)
pickle.loads(pickle.dumps(Here()))
assert os.path.exists(os.path.join(os.environ["XDG_RUNTIME_DIR"], "pystuck", "%d.sock" % os.getpid()))
sys.exit(9)
"""


@pytest.mark.parametrize("how", ["file", "module", "directory", "code"])
def test_python_m_pystuck_runs_the_program_as_python_would(python, tmp_path, how):
    tmp_path.chmod(0o700)
    (tmp_path / "sub").mkdir()
    for name in ("app.py", "sub/app.py", "sub/__main__.py"):
        (tmp_path / name).write_text(SAYS)
    arguments = {"file": ["sub/app.py"], "module": ["-m", "app"], "directory": ["sub"], "code": ["-c", SAYS]}[how]
    plain = subprocess.run([python, *arguments, "-x", "y z"], env=program_env(tmp_path), capture_output=True, text=True,
                           timeout=PATIENCE, cwd=tmp_path)
    served = run_as_main(python, tmp_path, *arguments, "-x", "y z")
    assert (served.returncode, served.stdout, served.stderr) == (9, plain.stdout, ""), (served, plain)
    assert plain.returncode == 1, "not served: the socket is not there"


def test_python_m_pystuck_with_a_program_that_spawns_processes(python, tmp_path):
    tmp_path.chmod(0o700)
    (tmp_path / "app.py").write_text("""
import multiprocessing
def work(n): return n + 1
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool: print(pool.map(work, [1, 2]))
""")
    done = run_as_main(python, tmp_path, "app.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[2, 3]\n", "")


def test_python_m_pystuck_without_a_program_is_the_client(one_python, tmp_path):
    tmp_path.chmod(0o700)
    path = os.path.dirname(CLIENT) + os.pathsep + os.environ["PATH"]
    assert run_as_main(one_python, tmp_path, "--version", env={"PATH": path}).stdout.startswith("pystuck ")
    done = run_as_main(one_python, tmp_path, env={"PATH": "/nonexistent"})
    assert done.returncode == 1 and "usage: python -m pystuck" in done.stderr
    done = run_as_main(one_python, tmp_path, "missing.py")
    assert done.returncode == 1 and "missing.py" in done.stderr
