"""pystuck(7), followed to the letter: a hardened service that group ops can look at and nobody else."""

import pytest

from guide import follow
from machine import wait_until


@pytest.fixture(scope="module")
def app(machine):
    for step in ("program", "service", "socket"):
        follow(machine, step)
    yield machine
    machine.run("systemctl", "disable", "--now", "pystuck@app.socket", "app.service")


def look(machine, user):
    return follow(machine, "look", user, prompt="$ ", check=False)


def test_a_member_of_group_ops_can_look_into_the_service_of_the_guide(app):
    done = look(app, "alice")
    assert done.returncode == 0 and "time.sleep(60)" in done.stdout and "in work" in done.stdout, done
    assert app.pystuck("--unit", "app", "-c", "1+1", user="alice").returncode == 4, "stacks, and no more"


def test_any_other_user_cannot_reach_the_service_of_the_guide(app):
    done = look(app, "mallory")
    assert done.returncode == 4 and done.stdout == "", done
    done = app.pystuck("--socket", "/run/pystuck/app.sock", "--no-repl", user="mallory")
    assert done.returncode == 4 and done.stdout == "" and "uid" in done.stderr, done


def says(app, text, user, word):
    uid = app.run("id", "-u", user).stdout.strip()
    return [line for line in text.splitlines() if f"uid {uid}" in line and word in line]


def journal(app):
    app.run("journalctl", "--sync")
    return follow(app, "journal").stdout


def test_the_journal_tells_about_both(app):
    look(app, "alice")
    look(app, "mallory")
    wait_until(lambda: says(app, journal(app), "alice", "open") and says(app, journal(app), "mallory", "refuse"), "both in the journal")
    assert not says(app, journal(app), "mallory", "open")


def test_the_service_of_the_guide_is_hardened(app):
    done = app.run("systemd-analyze", "security", "--threshold=30", "app.service", check=False)
    assert done.returncode == 0, done.stdout
    assert int(app.show("app.service", "MainPID")) > 1


def test_systemd_has_nothing_to_say_against_the_units(app):
    """systemd-analyze ends with 0 whatever it finds: what it prints counts."""
    installed = "/usr/local/lib/systemd/system/"
    app.run("ln", "-s", installed + "pystuck@.socket", "/run/pystuck@app.socket")
    done = app.run("systemd-analyze", "verify", "/etc/systemd/system/app.service", "/run/pystuck@app.socket",
                   installed + "pystuck-pam.socket", installed + "pystuck-pam@.service", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done


def test_the_groups_and_directories_are_there(app):
    for group in ("pystuck", "pystuck-pam"):
        assert app.run("getent", "group", group).stdout.startswith(f"{group}:")
    assert app.run("stat", "-c", "%a %U:%G", "/run/pystuck", "/etc/pystuck").stdout == "755 root:root\n700 root:root\n"
