"""pystuck in services of a real systemd: where they listen, who gets in, what works in a hardened one, and how the client finds them."""

import re

import pytest

HARDENED = """
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProcSubset=pid
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateNetwork=yes
RestrictAddressFamilies=AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
RemoveIPC=yes
UMask=0077
"""
OPS = {"@ops": "stacks"}


def group_socket(name, group="ops"):
    """The template's instance for a service, for a group of our own."""
    return {f"pystuck@{name}.socket": "[Unit]\nPartOf={0}.service\n[Socket]\nService={0}.service\nListenStream=/run/pystuck/{0}.sock\n"
            "FileDescriptorName=pystuck\nSocketMode=0660\nSocketGroup={1}\nRemoveOnStop=yes\n".format(name, group)}


def stat(machine, path):
    return machine.run("stat", "-c", "%a %U:%G", path).stdout.strip()


# --- where it listens, and who gets in ---

def test_the_template_for_sockets_serves_any_service(machine, service):
    service("api.service", "User=app\n", {"allow": {"@pystuck": "stacks"}}, start=False)
    machine.run("systemctl", "enable", "--now", "pystuck@api.socket", "api.service", check=False)
    machine.start("api.service")
    try:
        assert stat(machine, "/run/pystuck/api.sock") == "660 root:pystuck"
        machine.run("usermod", "-aG", "pystuck", "bob")
        assert machine.pystuck("--socket", "/run/pystuck/api.sock", "--no-repl", user="bob").returncode == 0
        assert machine.pystuck("--socket", "/run/pystuck/api.sock", user="alice").returncode == 4
        assert machine.pystuck("--unit", "api", "-c", "modules.os.getuid()", user="root").stdout.strip() != "0"
    finally:
        machine.run("systemctl", "disable", "--now", "pystuck@api.socket")


def test_the_activated_socket_lets_in_whom_mode_and_rules_let_in(machine, service):
    service("act.service", "User=app\nSockets=pystuck@act.socket", {"allow": OPS}, group_socket("act"))
    path = "/run/pystuck/act.sock"
    assert stat(machine, path) == "660 root:ops"
    assert "sleep(1e6)" in machine.pystuck("--socket", path, "--no-repl", user="alice").stdout
    done = machine.pystuck("--socket", path, user="mallory")
    assert done.returncode == 4 and "permission denied" in done.stderr, done
    machine.run("usermod", "-aG", "ops", "carol")
    done = machine.pystuck("--socket", path, "-c", "1+1", user="carol")
    assert done.returncode == 4 and done.stdout == "", done
    assert machine.pystuck("--socket", path, "-c", "1+1").stdout == "2\n"


def test_a_group_that_may_connect_but_is_in_no_rule_is_refused(machine, service):
    service("norule.service", "User=app\nSockets=pystuck@norule.socket", {}, group_socket("norule"))
    done = machine.pystuck("--socket", "/run/pystuck/norule.sock", "--no-repl", user="alice")
    assert done.returncode == 4 and done.stdout == "", done
    assert machine.pystuck("--unit", "norule", "--no-repl").returncode == 0


def test_with_the_drop_in_it_listens_in_the_runtime_directory_for_its_user_and_root(machine, service):
    service("plain.service", "User=app", files={"plain.service.d/pystuck.conf": drop_in(machine)})
    path = "/run/plain/pystuck.sock"
    assert stat(machine, path) == "600 app:app"
    assert machine.pystuck("--socket", path, "-c", "1+1").stdout == "2\n"
    assert machine.pystuck("--socket", path, "-c", "1+1", user="app").stdout == "2\n"
    assert machine.pystuck("--socket", path, user="alice").returncode == 4
    machine.run("systemctl", "stop", "plain.service")
    assert machine.run("test", "-e", "/run/plain", check=False).returncode == 1, "nothing is left"


def drop_in(machine, **settings):
    text = (machine.root / "usr/local/share/pystuck/pystuck.conf").read_text()
    for name, value in settings.items():
        text, found = re.subn(rf"^#({name}=).*{value}.*$", lambda line: line[0][1:], text, flags=re.MULTILINE)
        assert found == 1, name
    return text


def test_the_drop_in_needs_no_change_in_the_program(machine, service):
    machine.write("/opt/test/unchanged.py", "import time\ndef untouched():\n    time.sleep(1e6)\nuntouched()\n")
    service("unchanged.service", f"{HARDENED}\nDynamicUser=yes\nType=exec\nExecStart=\nExecStart=/usr/bin/python3 /opt/test/unchanged.py",
            files={"unchanged.service.d/pystuck.conf": drop_in(machine)})
    machine.run("sh", "-c", "until test -S /run/unchanged/pystuck.sock; do sleep 0.05; done")
    done = machine.pystuck("--unit", "unchanged", "--no-repl")
    assert done.returncode == 0 and "in untouched" in done.stdout, done
    assert machine.pystuck("--unit", "unchanged", user="alice").returncode == 4


def test_with_the_drop_in_a_group_can_be_let_in(machine, service):
    service("grouped.service", "User=app", {"mode": 0o660, "group": "ops", "allow": OPS},
            {"grouped.service.d/pystuck.conf": drop_in(machine, SupplementaryGroups="ops")})
    path = "/run/grouped/pystuck.sock"
    assert stat(machine, path) == "660 app:ops"
    assert "in work" in machine.pystuck("--socket", path, "--no-repl", user="alice").stdout
    assert machine.pystuck("--socket", path, "--no-repl", user="mallory").returncode == 4


def test_of_several_runtime_directories_the_first_is_taken(machine, service):
    service("several.service", "User=app\nRuntimeDirectory=several several-more",
            files={"several.service.d/pystuck.conf": drop_in(machine)})
    assert machine.pystuck("--socket", "/run/several/pystuck.sock", "-c", "1+1").stdout == "2\n"


def test_the_key_is_a_credential_for_tcp(machine, service):
    machine.run("pystuck", "--keygen", "/etc/pystuck/tcp.key", "--key-name", "root")
    machine.run("pystuck", "--keygen", "/etc/pystuck/other.key")
    service("tcp.service", "User=app", {"port": 7001}, {"tcp.service.d/pystuck.conf": drop_in(machine, LoadCredential="key")})
    assert machine.pystuck("127.0.0.1", "7001", "--key", "/etc/pystuck/tcp.key", "-c", "1+1").stdout == "2\n"
    assert machine.pystuck("127.0.0.1", "7001", "--key", "/etc/pystuck/other.key").returncode == 4
    machine.run("systemctl", "stop", "tcp.service")
    # And when systemd makes the socket.
    service("tcp.service", "User=app\nSockets=pystuck-tcp.socket", files={
        "pystuck-tcp.socket": "[Socket]\nListenStream=127.0.0.1:7001\nFileDescriptorName=pystuck\nService=tcp.service\n",
        "tcp.service.d/pystuck.conf": drop_in(machine, LoadCredential="key")})
    assert machine.pystuck("127.0.0.1", "7001", "--key", "/etc/pystuck/tcp.key", "-c", "1+1").stdout == "2\n"
    assert machine.pystuck("127.0.0.1", "7001", "--key", "/etc/pystuck/other.key").returncode == 4


def test_tcp_without_a_credential_does_not_start(machine, service):
    service("nokey.service", "User=app", {"port": 7002}, start=False)
    assert machine.run("systemctl", "start", "nokey.service", check=False).returncode != 0
    assert "no key, no TCP" in machine.journal("nokey.service")


# --- hardened ---

@pytest.fixture(params=["User=app", "DynamicUser=yes"], ids=["static", "dynamic"])
def hardened(machine, service, request):
    service("hard.service", f"{request.param}\n{HARDENED}\nSockets=pystuck@hard.socket", {"allow": {"@ops": "eval"}}, group_socket("hard"))
    return lambda *args, **more: machine.pystuck("--unit", "hard", *args, user="alice", **more)


def test_everything_works_in_a_hardened_service(hardened):
    done = hardened("--no-repl")
    assert done.returncode == 0 and "in work" in done.stdout and "sleeping" in done.stdout, done
    done = hardened("--no-repl", "--locals")
    assert done.returncode == 0 and "a local" in done.stdout, done
    assert hardened("-c", "modules['__main__'].secret").stdout == "'a value'\n"
    assert hardened("-c", "print('printed'); 6 * 7").stdout == "printed\n42\n"
    done = hardened("-c", "while True: pass", "--timeout", "0.5")
    assert done.returncode == 3 and "KeyboardInterrupt" in done.stderr, done
    done = hardened("--json", "--locals")
    assert done.returncode == 0 and "a local" in done.stdout, done
    done = hardened("--raw", "--locals", "--json", "--no-repl")
    assert done.returncode == 0 and '"how": "raw"' in done.stdout and "a local" in done.stdout, done
    assert hardened("--no-stacks", input="x = 1\nprint(x + 1)\n").stdout == "2\n"


@pytest.mark.parametrize("user", ["User=app", "DynamicUser=yes"], ids=["static", "dynamic"])
def test_a_hardened_service_makes_its_own_socket(machine, service, user):
    service("own.service", f"{user}\n{HARDENED}\nRuntimeDirectory=own\nSupplementaryGroups=ops",
            {"mode": 0o660, "group": "ops", "allow": OPS})
    assert "in work" in machine.pystuck("--unit", "own", "--no-repl", user="alice").stdout
    assert machine.pystuck("--unit", "own", "-c", "modules['os'].getpid()").stdout.strip() == machine.show("own.service", "MainPID")
    assert machine.pystuck("--unit", "own", user="mallory").returncode == 4


def test_a_service_that_cannot_tell_users_apart_lets_in_itself_and_root(machine, service):
    service("apart.service", f"User=app\n{HARDENED}\nPrivateUsers=yes\nSockets=pystuck@apart.socket", {"allow": OPS},
            {"pystuck@apart.socket": group_socket("apart")["pystuck@apart.socket"].replace("0660", "0666")})
    path = "/run/pystuck/apart.sock"
    assert machine.pystuck("--socket", path, "-c", "1+1").stdout == "2\n"
    assert machine.pystuck("--socket", path, "-c", "1+1", user="app").stdout == "2\n"
    done = machine.pystuck("--socket", path, "--no-repl", user="alice")
    assert done.returncode == 4 and done.stdout == "", done


# --- how the client finds it ---

def test_a_unit_is_found_by_its_name(machine, service):
    service("find.service", "User=app\nRuntimeDirectory=find")
    pid = machine.show("find.service", "MainPID")
    for name in ("find", "find.service"):
        assert machine.pystuck("--unit", name, "-c", "modules.os.getpid()").stdout.strip() == pid
        assert machine.pystuck("--unit", name, "-c", "modules.os.getpid()", user="app").stdout.strip() == pid


def test_a_unit_with_its_socket_in_an_unusual_place_is_found(machine, service):
    service("odd.service", "User=app\nPrivateNetwork=yes\nRuntimeDirectory=elsewhere/deep", {"socket": "/run/elsewhere/deep/any.where"})
    assert machine.pystuck("--socket", "/run/elsewhere/deep/any.where", "-c", "1+1").stdout == "2\n", "now its thread has its name"
    assert machine.pystuck("--unit", "odd", "-c", "1+1").stdout == "2\n"


def test_instances_are_told_apart_and_several_are_listed(machine, service):
    service("inst@.service", "User=app\nRuntimeDirectory=inst-%i")
    assert machine.pystuck("--unit", "inst@", "-c", "1+1").stdout == "2\n", "the only one"
    machine.start("inst@2.service")
    for instance in "12":
        pid = machine.pystuck("--unit", f"inst@{instance}", "-c", "modules.os.getpid()").stdout.strip()
        assert pid == machine.show(f"inst@{instance}.service", "MainPID")
    done = machine.pystuck("--unit", "inst@", "--no-repl")
    assert done.returncode == 2 and done.stdout == "", done
    assert "inst@1.service" in done.stderr and "inst@2.service" in done.stderr and "2 servers" in done.stderr


def test_a_unit_that_does_not_run_or_has_no_server_is_said(machine, service):
    machine.write("/etc/systemd/system/none.service", "[Service]\nExecStart=/bin/sleep 1000\n")
    machine.run("systemctl", "daemon-reload")
    done = machine.pystuck("--unit", "none")
    assert done.returncode == 3 and "no unit none.service is running" in done.stderr, done
    machine.start("none.service")
    done = machine.pystuck("--unit", "none")
    assert done.returncode == 3 and "unit none.service has no pystuck server" in done.stderr, done
    machine.run("systemctl", "stop", "none.service")
    service("closed.service", "User=app\nRuntimeDirectory=closed")
    assert machine.pystuck("--unit", "closed", "-c", "1+1").stdout == "2\n", "now its thread has its name"
    done = machine.pystuck("--unit", "closed", user="mallory")
    assert done.returncode == 4 and "unit closed.service has a pystuck server, but none of the sockets" in done.stderr, done


def test_a_process_in_another_users_group_does_not_pass_for_a_unit(machine, service):
    """Only systemd's own groups name units: what a service makes below its own does not."""
    service("honest.service", "User=app\nRuntimeDirectory=honest\nDelegate=yes\n"
            "ExecStartPre=/bin/mkdir -p /sys/fs/cgroup/system.slice/honest.service/victim.service\n"
            "ExecStartPost=+/bin/sh -c 'echo $MAINPID >/sys/fs/cgroup/system.slice/honest.service/victim.service/cgroup.procs'")
    assert "victim.service" in machine.run("cat", f"/proc/{machine.show('honest.service', 'MainPID')}/cgroup").stdout
    assert machine.pystuck("--unit", "victim").returncode == 3
    assert machine.pystuck("--unit", "honest", "-c", "1+1").stdout == "2\n"


def test_the_list_shows_units(machine, service):
    service("listed.service", "User=app\nPrivateNetwork=yes\nSockets=pystuck@listed.socket", {"allow": OPS}, group_socket("listed"))
    for user in ("root", "alice"):
        done = machine.pystuck("--list", user=user)
        line = next(line for line in done.stdout.splitlines() if "/run/pystuck/listed.sock" in line)
        assert done.stdout.split()[:3] == ["PID", "USER", "UNIT"], done.stdout
        assert line.split()[:3] == [machine.show("listed.service", "MainPID"), "app", "listed.service"], done.stdout


def test_pid_finds_the_server_of_another_user(machine, service):
    service("bypid.service", f"DynamicUser=yes\n{HARDENED}\nSockets=pystuck@bypid.socket", {"allow": OPS}, group_socket("bypid"))
    pid = machine.show("bypid.service", "MainPID")
    assert "in work" in machine.pystuck("--pid", pid, "--no-repl", user="alice").stdout
    assert "in work" in machine.pystuck("--pid", pid, "--no-repl").stdout
    done = machine.pystuck("--pid", pid, user="mallory")
    assert done.returncode == 4 and f"process {pid} has a pystuck server, but none of the sockets" in done.stderr, done


def test_a_process_in_a_container_is_found_by_its_number_here(machine, service):
    service("contained.service", "", {"socket": "/run/contained/pystuck.sock"}, {"contained.service.d/container.conf":
            "[Service]\nRuntimeDirectory=contained\nExecStart=\nExecStart=/usr/bin/unshare --mount --pid --net --fork --kill-child --mount-proc "
            "/bin/sh -euc 'mount -t tmpfs -o mode=755 tmpfs /run/contained; /usr/bin/python3 /opt/test/serve.py; true'\n"})
    inside = [pid for pid in machine.run("cat", "/sys/fs/cgroup/system.slice/contained.service/cgroup.procs").stdout.split()
              if "serve.py" in machine.run("cat", f"/proc/{pid}/cmdline").stdout.split("\0")[-2]
              and machine.run("cat", f"/proc/{pid}/comm").stdout.startswith("python")]
    assert len(inside) == 1, inside
    assert machine.run("test", "-e", "/run/contained/pystuck.sock", check=False).returncode == 1, "not among the files here"
    told = machine.pystuck("--pid", inside[0], "-c", "modules.os.getpid()").stdout.strip()
    assert told and told != inside[0], "it has another number there"
    assert machine.pystuck("--unit", "contained", "-c", "1+1").stdout == "2\n"


# --- the life of a service ---

def test_a_restart_makes_the_socket_anew_and_a_stop_removes_it(machine, service):
    service("again.service", "User=app\nSockets=pystuck@again.socket", {"allow": OPS}, group_socket("again"))
    for _ in range(2):
        first = machine.show("again.service", "MainPID")
        machine.run("systemctl", "restart", "again.service")
        pid = machine.pystuck("--unit", "again", "-c", "modules.os.getpid()").stdout.strip()
        assert pid == machine.show("again.service", "MainPID") != first
        assert stat(machine, "/run/pystuck/again.sock") == "660 root:ops"
    machine.run("systemctl", "stop", "again.service")
    assert machine.run("test", "-e", "/run/pystuck/again.sock", check=False).returncode == 1
    machine.pystuck("--list")
    assert machine.show("again.service", "ActiveState") == "inactive", "to look does not start it"


def test_a_dead_socket_in_a_kept_directory_is_replaced(machine, service):
    service("kept.service", "User=app\nRuntimeDirectory=kept\nRuntimeDirectoryPreserve=yes")
    machine.run("systemctl", "kill", "--signal=KILL", "kept.service")
    machine.run("systemctl", "stop", "kept.service")
    assert machine.run("test", "-S", "/run/kept/pystuck.sock", check=False).returncode == 0, "left by the one that was killed"
    machine.run("systemctl", "reset-failed")
    machine.start("kept.service")
    assert machine.pystuck("--unit", "kept", "-c", "1+1").stdout == "2\n"
