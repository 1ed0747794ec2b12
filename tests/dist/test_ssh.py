"""From elsewhere by SSH, as pystuck(7) has it: the client on the machine itself, and the client here with the socket forwarded.

Needs root, and an sshd: /usr/sbin/sshd, or the one that PYSTUCK_SSHD names. It runs in a network of its own and serves this test alone.
"""

import os
import shutil
import subprocess
import time

import pytest

from conftest import BUILD, PATIENCE, PYTHONS, ROOT, environment, run

SSHD = os.environ.get("PYSTUCK_SSHD", "/usr/sbin/sshd")
pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists(SSHD) or shutil.which("ssh") is None, reason="needs root, ssh and sshd")

CONFIG = """
Port 2222
ListenAddress 127.0.0.1
HostKey {here}/host
AuthorizedKeysFile {here}/user.pub
StrictModes no
UsePAM no
PidFile none
PermitRootLogin yes
"""
# A place of its own with loopback, the user that sshd wants, a program that is stuck, and then what the test runs in there.
MACHINE = """
set -e
ip link set lo up
mount -t tmpfs tmpfs /run
mkdir -m 755 /run/sshd
{ grep -v '^sshd:' /etc/passwd; echo 'sshd:x:65534:65534::/run/sshd:/bin/false'; } >/run/passwd
mount --bind /run/passwd /etc/passwd
mkdir -m 700 /run/app /run/here
"$SSHD" -D -e -f "$HERE/sshd.conf" 2>"$HERE/sshd.log" &
mkfifo /run/ready
PYSTUCK_SOCKET=/run/app/pystuck.sock "$PYTHON" "$EXAMPLE" >/run/ready &
head -n 1 /run/ready >/dev/null
echo UP
exec cat
"""
CONNECT = ["-p", "2222", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
           "-o", "ConnectionAttempts=50"]


@pytest.fixture
def inside(private):
    """inside: the command that runs another one on the machine with sshd."""
    for name in ("host", "user"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", private / name)
    (private / "sshd.conf").write_text(CONFIG.format(here=private))
    env = environment(HERE=str(private), SSHD=SSHD, PYTHON=PYTHONS[0], EXAMPLE=str(ROOT / "examples" / "stuck.py"), PYTHONPATH=str(BUILD / "python"))
    machine = subprocess.Popen(["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
                                "sh", "-c", MACHINE], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert machine.stdout.readline() == "UP\n"
    outer = machine.pid
    pid, = open(f"/proc/{outer}/task/{outer}/children").read().split()
    yield ["nsenter", "--target", pid, "--mount", "--net", "--pid"]
    machine.kill()
    machine.wait(PATIENCE)
    machine.stdin.close()
    machine.stdout.close()


def test_the_client_runs_there_and_the_socket_can_be_brought_here(inside, private):
    ssh = [*inside, "ssh", *CONNECT, "-i", str(private / "user")]
    there = [*ssh, "root@127.0.0.1", BUILD / "pystuck", "--socket", "/run/app/pystuck.sock"]
    assert "held by Thread-1 at" in run(*there, "--no-repl")
    assert run(*there[:-2], "--no-stacks", "-c", "'6 * 7'") == "42\n", "it is found"
    with subprocess.Popen([*ssh, "-nNT", "-L", "/run/here/app.sock:/run/app/pystuck.sock", "root@127.0.0.1"]) as forwarding:
        try:
            until = time.monotonic() + PATIENCE
            while subprocess.run([*inside, "test", "-S", "/run/here/app.sock"]).returncode != 0:
                assert time.monotonic() < until and forwarding.poll() is None
                time.sleep(0.05)
            here = [*inside, BUILD / "pystuck", "--socket", "/run/here/app.sock"]
            assert "held by Thread-1 at" in run(*here, "--no-repl")
            assert run(*here, "-c", "6 * 7") == "42\n"
        finally:
            forwarding.terminate()
