"""Who gets in: by user, by group, by key; and what each role may do. Needs root, to be several users."""

import contextlib
import grp
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from conftest import BUILD, CLIENT, PATIENCE, PYTHONS, SANITIZED

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to act as several users")

NOBODY = pwd.getpwnam("nobody")
DAEMON = pwd.getpwnam("daemon")

SERVER = """
import sys, pystuck
secret = "a value"
server = pystuck.run_server({arguments})
print("ADDRESS", server.address if isinstance(server.address, str) else "%s %d" % server.address, flush=True)
print("READY", flush=True)
sys.stdin.read()
"""


def as_user(user, groups=()):
    """A command prefix that becomes this user, without capabilities."""
    return ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}",
            f"--groups={','.join(str(g) for g in groups)}" if groups else "--clear-groups", "--inh-caps=-all")


@pytest.fixture
def public():
    """A directory that everybody may enter and only root may write, as are all those above it."""
    path = Path(tempfile.mkdtemp(prefix="pystuck-test-", dir="/run"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def serve(start, one_python, public):
    """serve(arguments) -> (program, path of a socket that everybody may reach, if its mode lets him)."""
    def make(arguments):
        program = start(one_python, SERVER.format(arguments=f"socket={str(public / 's.sock')!r}, {arguments}"))
        return program, public / "s.sock"
    return make


@needs_root
def test_another_user_is_refused_even_where_the_mode_lets_him_connect(serve, client):
    program, path = serve("mode=0o666, allow={'daemon': 'stacks'}")
    answer = client("--socket", path, prefix=as_user(NOBODY))
    assert answer.status == 4 and answer.out == "", answer
    assert "65534" in answer.err or "nobody" in answer.err
    assert client("--socket", path, "-c", "1+1").out == "2\n"


@needs_root
def test_the_mode_is_0600_and_keeps_others_from_connecting(serve, client):
    program, path = serve("")
    assert os.stat(path).st_mode & 0o777 == 0o600
    answer = client("--socket", path, prefix=as_user(DAEMON))
    assert answer.status == 4 and "permission denied" in answer.err, answer


@needs_root
def test_each_role_may_do_its_part_and_no_more(serve, client):
    rules = "mode=0o666, allow={'daemon': 'stacks', 'bin': 'locals', 'sys': 'eval'}"
    program, path = serve(rules)
    for name, stacks, local, evaluate in (("daemon", 0, 4, 4), ("bin", 0, 0, 4), ("sys", 0, 0, 0)):
        prefix = as_user(pwd.getpwnam(name))
        assert client("--socket", path, prefix=prefix).status == stacks, name
        answer = client("--socket", path, "--locals", "--no-repl", prefix=prefix)
        assert answer.status == local and ("a value" in answer.out) == (local == 0), (name, answer)
        answer = client("--socket", path, "-c", "1+1", prefix=prefix)
        assert answer.status == evaluate, (name, answer)
        assert answer.out == ("2\n" if evaluate == 0 else ""), name


@needs_root
def test_a_group_rule_counts_main_and_supplementary_groups(serve, client):
    group = grp.getgrnam("games")
    program, path = serve("mode=0o660, group='games', allow={'@games': 'stacks'}")
    assert client("--socket", path, prefix=as_user(DAEMON, [group.gr_gid])).status == 0
    assert client("--socket", path, prefix=as_user(DAEMON)).status == 4


@needs_root
def test_eval_false_is_a_ceiling_for_everybody(serve, client):
    program, path = serve("eval=False")
    answer = client("--socket", path, "-c", "1+1")
    assert answer.status == 4 and answer.out == "", answer
    assert client("--socket", path, "--locals", "--no-repl").status == 0


def system_python():
    """An interpreter that a user other than root can run."""
    for python in PYTHONS:
        if subprocess.run([*as_user(DAEMON), python, "-c", ""], capture_output=True, timeout=20).returncode == 0:
            return python
    pytest.fail(f"nobody but root can run any of {PYTHONS}")


@contextlib.contextmanager
def server_of(user, public, arguments=""):
    """A program of this user that serves in a directory of its own: (the process, its socket)."""
    shutil.copytree(BUILD / "python", public / "python", dirs_exist_ok=True)
    shutil.copy(CLIENT, public / "pystuck")
    own = public / "own"
    own.mkdir(exist_ok=True)
    os.chown(own, user.pw_uid, user.pw_gid)
    program = subprocess.Popen(
        [*as_user(user), system_python(), "-c", SERVER.format(arguments=f"socket={str(own / 's.sock')!r}, {arguments}")],
        env={"PYTHONPATH": str(public / "python"), "PATH": os.environ["PATH"], "LD_PRELOAD": os.environ.get("PYSTUCK_PRELOAD", ""),
             "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True)
    try:
        yield program, own / "s.sock"
    finally:
        program.communicate("")


def ask_as(user, public, path, *what):
    return subprocess.run([*as_user(user), public / "pystuck", "--socket", path, *what], capture_output=True, text=True, timeout=20)


@needs_root
def test_a_server_of_a_plain_user_serves_that_user_and_root(client, public):
    with server_of(DAEMON, public) as (program, path):
        assert program.stdout.readline().startswith("ADDRESS") and program.stdout.readline() == "READY\n"
        assert client("--socket", path, "-c", "modules.os.getuid()").out == f"{DAEMON.pw_uid}\n"
        as_daemon = ask_as(DAEMON, public, path, "-c", "1+1")
        assert as_daemon.stdout == "2\n", as_daemon
    assert program.returncode == 0 and not path.exists()


@needs_root
def test_a_server_of_the_overflow_uid_says_so_and_needs_rules(public):
    overflow = int(Path("/proc/sys/kernel/overflowuid").read_text())
    user = pwd.struct_passwd(("overflow", "x", overflow, overflow, "", "/", "/bin/false"))
    with server_of(user, public) as (program, path):
        _, error = program.communicate("", timeout=20)
        assert program.returncode == 1 and "ValueError" in error and f"allow={{{overflow}: " in error, error
        assert not path.exists()
    with server_of(user, public, f"allow={{{overflow}: 'stacks'}}") as (program, path):
        assert program.stdout.readline().startswith("ADDRESS") and program.stdout.readline() == "READY\n"
        stacks = ask_as(user, public, path, "--no-repl")
        assert stacks.returncode == 0, stacks
        refused = ask_as(user, public, path, "-c", "1+1")
        assert refused.returncode == 4 and refused.stdout == "", refused


@needs_root
def test_the_client_refuses_a_server_of_another_plain_user(client, public):
    """nobody's socket in daemon's directory: somebody else put it there."""
    directory = public / "trap"
    directory.mkdir()
    directory.chmod(0o777)
    os.chown(directory, DAEMON.pw_uid, DAEMON.pw_gid)
    path = directory / "s.sock"
    code = ("import socket, sys\ns = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()\n"
            "print('up', flush=True)\nc, _ = s.accept()\nprint(len(c.recv(100)), flush=True)")
    fake = subprocess.Popen([*as_user(NOBODY), "/usr/bin/python3", "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert fake.stdout.readline() == "up\n"
        answer = client("--socket", path)
        assert answer.status == 4, answer
        assert fake.stdout.readline() == "0\n", "not one byte was sent"
    finally:
        fake.kill()
        fake.wait()
        fake.stdout.close()


@needs_root
def test_who_comes_is_decided_without_a_look_into_proc(start, one_python, public, client, tmp_path):
    """Neither for who is let in nor for who is refused is a file of the client's process opened, or looked for."""
    if SANITIZED or not shutil.which("strace"):
        pytest.skip("needs strace, and a Python without a sanitizer")
    log = tmp_path / "log"
    path = public / "s.sock"
    start(one_python, SERVER.format(arguments=f"socket={str(path)!r}, mode=0o666, allow={{'daemon': 'stacks'}}"),
          prefix=("strace", "-f", "-qq", "-s", "200", "-e", "trace=%file", "-o", log))
    pids = []
    # Where they may run it, wherever it was built.
    mine = shutil.copy(CLIENT, public / "pystuck")
    for user, status in ((DAEMON, 0), (NOBODY, 4)):
        # exec: the client is the process that sh was.
        done = subprocess.run([*as_user(user), "sh", "-c", 'echo $$; exec "$@"', "sh", mine, "--socket", path, "--no-repl"],
                              capture_output=True, text=True, timeout=PATIENCE, env=dict(os.environ, HOME="/nonexistent"))
        assert done.returncode == status, done
        pids.append(int(done.stdout.split("\n")[0]))
    calls = log.read_text()
    assert "pystuck" in calls  # it has been traced
    for pid in pids:
        assert f"/proc/{pid}" not in calls, [line for line in calls.splitlines() if f"/proc/{pid}" in line]
