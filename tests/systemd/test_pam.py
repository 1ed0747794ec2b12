"""Account checks by the helper that systemd starts: pystuck-pam.socket, and a service that asks."""

import pytest

RULES = {"pam": True, "allow": {"@ops": "stacks", "@pystuck": "stacks"}, "mode": 0o666}
UNIT = "User=app\nRuntimeDirectory=asks\nSupplementaryGroups=pystuck-pam"


@pytest.fixture
def pam(machine):
    """pam(lines): what /etc/pam.d/pystuck says; the socket listens."""
    before = (machine.root / "etc/pam.d/pystuck").read_text()
    machine.run("systemctl", "start", "pystuck-pam.socket")
    yield lambda lines: machine.write("/etc/pam.d/pystuck", lines)
    machine.run("systemctl", "stop", "pystuck-pam.socket")
    machine.write("/etc/pam.d/pystuck", before)


def stacks(machine, user):
    done = machine.pystuck("--unit", "asks", "--no-repl", user=user)
    assert done.returncode in (0, 4) and ("in work" in done.stdout) == (done.returncode == 0), done
    return done.returncode == 0


def test_the_socket_is_for_services_in_its_group(machine, pam):
    assert machine.run("stat", "-c", "%a %U:%G", "/run/pystuck-pam.sock").stdout == "660 root:pystuck-pam\n"
    assert "/run/pystuck-pam.sock" not in machine.pystuck("--list").stdout, "it is no server"


def test_pam_lets_in_and_keeps_out_by_its_file(machine, service, pam):
    pam("account required pam_succeed_if.so quiet user ingroup ops\n")
    service("asks.service", UNIT, RULES)
    machine.run("usermod", "-aG", "pystuck", "bob")
    assert stacks(machine, "alice")
    assert not stacks(machine, "bob"), "the rules let him in, PAM does not"
    pam("account required pam_succeed_if.so quiet user ingroup pystuck\n")
    assert not stacks(machine, "alice")
    assert stacks(machine, "bob"), "the file is read for each check"


def test_an_account_that_has_expired_is_kept_out(machine, service, pam):
    """pam_unix must read /etc/shadow, which the service itself may not: the helper of systemd may."""
    pam("account required pam_unix.so\n")
    service("asks.service", UNIT, RULES)
    assert stacks(machine, "alice")
    machine.run("chage", "--expiredate=1", "alice")
    try:
        assert not stacks(machine, "alice")
    finally:
        machine.run("chage", "--expiredate=-1", "alice")
    assert stacks(machine, "alice")


def test_without_the_helper_nobody_comes_in(machine, service, pam):
    pam("account required pam_permit.so\n")
    service("asks.service", UNIT, RULES)
    assert stacks(machine, "alice")
    machine.run("systemctl", "stop", "pystuck-pam.socket")
    assert not stacks(machine, "alice")
    machine.run("systemctl", "start", "pystuck-pam.socket")
    assert stacks(machine, "alice")


def test_a_service_outside_the_group_cannot_ask(machine, service, pam):
    pam("account required pam_permit.so\n")
    service("asks.service", "User=app\nRuntimeDirectory=asks", RULES)
    assert not stacks(machine, "alice")


def test_many_checks_at_once_are_all_made(machine, service, pam):
    pam("account required pam_permit.so\n")
    service("asks.service", UNIT, dict(RULES, max_clients=64))
    done = machine.run("sh", "-c", "for i in $(seq 24); do pystuck --socket /run/asks/pystuck.sock --no-repl >/tmp/many.$i & done; wait; "
                       "grep -l 'in work' /tmp/many.* | wc -l; rm /tmp/many.*", user="alice")
    assert done.stdout == "24\n", done
    assert machine.show("pystuck-pam.socket", "ActiveState") == "active"
