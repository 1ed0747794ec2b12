"""The static client and a program in a container: namespaces of its own for users, processes, files and the network."""

import os
import shutil

import pytest

from conftest import BUILD, PYTHONS, environment, run

CLIENT = BUILD / "pystuck-static"
CONTAINER = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="other processes' namespaces need root")


@needs_root
def test_the_static_client_finds_the_program_in_its_container_and_from_outside(private, program):
    shutil.copy(CLIENT, private / "client")
    contained = program([*CONTAINER, PYTHONS[0]], socket=str(private / "pystuck.sock"))
    outer = contained.process.pid
    pid, = open(f"/proc/{outer}/task/{outer}/children").read().split()
    # As `docker exec` does it. There is one server in there, and it has the number 1.
    enter = ["nsenter", "--target", pid, "--user", "--preserve-credentials", "--mount", "--pid", "--net"]
    inside = environment(XDG_RUNTIME_DIR="/nonexistent", HOME="/nonexistent")
    assert "in stuck_here" in run(*enter, private / "client", "--no-repl", env=inside)
    assert run(*enter, private / "client", "--pid", "1", "-c", "modules.os.getpid()", env=inside) == "1\n"
    # Outside it has another number.
    assert "in stuck_here" in run(CLIENT, "--pid", pid, "--no-repl")
    assert run(CLIENT, "--pid", pid, "-c", "modules.os.getpid()") == "1\n"
