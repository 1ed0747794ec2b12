"""What the journal says: who came, who was turned away, what was evaluated, with fields to search by."""

import json

import pytest

from machine import wait_until

RULES = {"mode": 0o666, "allow": {"@ops": "eval"}}
UNIT = "User=app\nRuntimeDirectory=told\nPrivateNetwork=yes\nRestrictAddressFamilies=AF_UNIX\nProtectSystem=strict\nNoNewPrivileges=yes"


def events(machine, unit, **fields):
    """The events of a unit's program, oldest first; those with these fields."""
    machine.run("journalctl", "--sync")
    text = machine.run("journalctl", "--no-pager", "--quiet", "--output=json", f"_SYSTEMD_UNIT={unit}", "SYSLOG_IDENTIFIER=pystuck",
                       *(f"{name}={value}" for name, value in fields.items())).stdout
    return [json.loads(line) for line in text.splitlines()]


def at_least(count, found):
    return found if len(found) >= count else None


def told(machine, unit, count=1, **fields):
    """The same, once there are so many: the program tells at its own pace. More is a failure, too."""
    found = wait_until(lambda: at_least(count, events(machine, unit, **fields)), f"{count} of {fields}")
    assert len(found) == count, found
    return found


def uid(machine, user):
    return machine.run("id", "-u", user).stdout.strip()


def test_the_journal_tells_who_came_and_what_was_evaluated(machine, service):
    service("told.service", UNIT, RULES)
    assert machine.pystuck("--unit", "told", "-c", "6 * 7", user="alice").stdout == "42\n"
    who = uid(machine, "alice")
    opened, = told(machine, "told.service", PYSTUCK_ACTION="open")
    assert opened["PYSTUCK_UID"] == who and opened["PYSTUCK_ROLE"] == "eval" and int(opened["PYSTUCK_PID"]) > 0, opened
    evaluated, = told(machine, "told.service", PYSTUCK_ACTION="eval")
    assert evaluated["PYSTUCK_UID"] == who and evaluated["PYSTUCK_SOURCE"] == "6 * 7", evaluated
    assert [e["PYSTUCK_UID"] for e in told(machine, "told.service", PYSTUCK_ACTION="disconnect")] == [who]


def test_the_journal_tells_who_was_turned_away_and_why(machine, service):
    service("away.service", UNIT.replace("=told", "=away"), RULES)
    assert machine.pystuck("--socket", "/run/away/pystuck.sock", user="mallory").returncode == 4
    refused, = told(machine, "away.service", PYSTUCK_ACTION="refuse")
    assert refused["PYSTUCK_UID"] == uid(machine, "mallory") and refused["PYSTUCK_REASON"], refused
    assert events(machine, "away.service", PYSTUCK_ACTION="open") == []


def test_the_journal_names_the_key(machine, service):
    machine.run("pystuck", "--keygen", "/etc/pystuck/named.key", "--key-name", "ci")
    service("named.service", "User=app\nLoadCredential=pystuck.key:/etc/pystuck/named.key", {"port": 7003})
    assert machine.pystuck("127.0.0.1", "7003", "--key", "/etc/pystuck/named.key", "--no-repl").returncode == 0
    opened, = told(machine, "named.service", PYSTUCK_ACTION="open")
    assert opened["PYSTUCK_KEY"] == "ci" and opened["PYSTUCK_ROLE"] == "eval", opened


@pytest.mark.parametrize("source", ["'\\x1b[31m'\n'FORGED=1'", "x = '\\n'\nPYSTUCK_UID = 0\n"], ids=["escape", "field"])
def test_an_evaluation_cannot_forge_an_event(machine, service, source):
    # A name of its own: the journal keeps what the one before did.
    unit = service(f"forged-{len(source)}.service", UNIT.replace("=told", "=forged"), RULES)
    machine.pystuck("--unit", unit, "-c", source, user="alice")
    evaluated, = told(machine, unit, PYSTUCK_ACTION="eval")
    assert evaluated["PYSTUCK_UID"] == uid(machine, "alice") and "FORGED" not in evaluated and isinstance(evaluated["MESSAGE"], str)
    assert "\x1b" not in evaluated["MESSAGE"] and "\n" not in evaluated["MESSAGE"], evaluated
