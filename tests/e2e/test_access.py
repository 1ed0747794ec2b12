"""Who gets in: by user, by group, by key; and what each role may do. Needs root, to be several users."""

import os
import pwd
import grp
import subprocess
import sys

import pytest

from conftest import wait_until

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
def serve(start, one_python, tmp_path):
    """serve(arguments) -> (program, path of a socket that everybody may reach)."""
    def make(arguments, python=None):
        place = tmp_path / "open"
        place.mkdir(exist_ok=True)
        for directory in (place, *place.parents):
            if directory.stat().st_uid == os.geteuid() and str(directory).startswith("/tmp/"):
                directory.chmod(0o755)
        program = start(python or one_python, SERVER.format(arguments=f"socket={str(place / 's.sock')!r}, {arguments}"))
        return program, place / "s.sock"
    return make


@needs_root
def test_another_user_is_refused_even_where_the_mode_lets_him_connect(serve, client):
    program, path = serve("mode=0o666")
    answer = client("--socket", path, prefix=as_user(NOBODY))
    assert answer.status == 4 and answer.out == "", answer
    assert "65534" in answer.err or "nobody" in answer.err
    assert client("--socket", path, "-c", "1+1").out == "2\n"


@needs_root
def test_the_mode_is_0600_and_keeps_others_from_connecting(serve, client):
    program, path = serve("")
    assert os.stat(path).st_mode & 0o777 == 0o600
    answer = client("--socket", path, prefix=as_user(DAEMON))
    assert answer.status == 4 and "Permission" in answer.err, answer


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


@needs_root
def test_a_server_of_a_plain_user_serves_that_user_and_root(serve, start, client, one_python, tmp_path):
    directory = tmp_path / "of-daemon"
    directory.mkdir(mode=0o755)
    for parent in directory.parents:
        if parent.stat().st_uid == 0 and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    os.chown(directory, DAEMON.pw_uid, DAEMON.pw_gid)
    program = start("/usr/bin/python3" if os.path.exists("/usr/bin/python3") else one_python,
                    SERVER.format(arguments=f"socket={str(directory / 's.sock')!r}"), prefix=as_user(DAEMON))
    assert client("--socket", directory / "s.sock", "-c", "modules.os.getuid()").out == f"{DAEMON.pw_uid}\n"
    assert client("--socket", directory / "s.sock", "-c", "1+1", prefix=as_user(DAEMON)).out == "2\n"


@needs_root
def test_the_client_refuses_a_server_of_another_plain_user(client, tmp_path):
    """nobody's socket in daemon's directory: somebody else put it there."""
    import socket
    directory = tmp_path / "trap"
    directory.mkdir(mode=0o777)
    directory.chmod(0o777)
    for parent in directory.parents:
        if parent.stat().st_uid == 0 and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
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
