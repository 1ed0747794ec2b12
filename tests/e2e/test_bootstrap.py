"""bootstrap on machines that are not this one: a PATH with only what such a machine has, and package managers that take notes."""

import shutil
import subprocess

import pytest

from conftest import ROOT

TOOLS = "sh awk tr grep sed cat dirname mktemp rm timeout nproc env true".split()
NAMES = {
    "apt-get": "gcc libc6-dev make pkg-config libsodium-dev libbsd-dev libreadline-dev python3 python3-dev",
    "dnf": "gcc make pkgconf-pkg-config libsodium-devel libbsd-devel readline-devel python3 python3-devel",
    "apk": "gcc musl-dev make pkgconf libsodium-dev libbsd-dev readline-dev python3 python3-dev",
}


class Machine:
    def __init__(self, directory, uid):
        self.bin = directory / "bin"
        self.bin.mkdir()
        self.notes = directory / "notes"
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        self.has("id", f"echo {uid}")

    def has(self, command, body=""):
        path = self.bin / command
        path.write_text(f'#!/bin/sh\necho "{command} $*" >>{self.notes}\n{body}\n')
        path.chmod(0o755)

    def bootstrap(self, *args):
        # find_python also looks at /usr/bin/python3: PYTHON keeps it to this machine's PATH.
        env = {"PATH": str(self.bin), "HOME": "/nonexistent", "PYTHON": "python3"}
        return subprocess.run([ROOT / "bootstrap", *args], env=env, capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, cwd="/")

    def called(self, command):
        if not self.notes.exists():
            return []
        return [line for line in self.notes.read_text().splitlines() if line.startswith(command + " ")]


@pytest.fixture
def machine(tmp_path):
    def make(uid):
        return Machine(tmp_path, uid)
    return make


@pytest.mark.parametrize("manager", NAMES)
def test_bootstrap_without_root_names_the_packages_and_stops(machine, manager):
    bare = machine(uid=1000)
    bare.has(manager)
    done = bare.bootstrap("demo")
    assert done.returncode == 1, done
    assert done.stderr.splitlines()[-1].endswith(" " + NAMES[manager]), done
    assert not bare.called(manager)


def test_bootstrap_uses_sudo_that_asks_for_no_password(machine):
    bare = machine(uid=1000)
    bare.has("sudo", 'while [ "$1" != "${1#-}" ]; do shift; done; exec "$@"')
    bare.has("apk", "exit 1")
    done = bare.bootstrap("demo")
    assert done.returncode == 1 and "apk could not install" in done.stderr, done
    assert bare.called("apk")[0] == "apk add " + NAMES["apk"]
    assert "sudo -n true" in bare.called("sudo")


def test_bootstrap_asks_the_archive_anew_when_a_package_is_not_found(machine):
    bare = machine(uid=0)
    bare.has("apt-get", f'case $* in update) : >{bare.bin}/lists ;; *) [ -f {bare.bin}/lists ] ;; esac')
    done = bare.bootstrap("demo")
    install = "apt-get install -y --no-install-recommends " + NAMES["apt-get"]
    assert bare.called("apt-get") == [install, "apt-get update", install]
    assert done.returncode == 1 and "CPython 3.10" in done.stderr, done


def test_bootstrap_without_a_known_manager_says_what_is_missing(machine):
    done = machine(uid=0).bootstrap("demo")
    assert done.returncode == 1 and "cc make pkg-config libsodium" in done.stderr, done


def test_bootstrap_installs_nothing_that_is_there(machine):
    bare = machine(uid=0)
    for command in ("cc", "make", "pkg-config", "python3"):
        bare.has(command, "echo GNU Make 4.3")
    bare.has("apt-get", "exit 100")
    done = bare.bootstrap("demo")
    assert not bare.called("apt-get"), done


@pytest.mark.parametrize("word, status", [("help", 0), ("--help", 0), ("nonsense", 2)])
def test_bootstrap_says_how_to_use_it(machine, word, status):
    done = machine(uid=0).bootstrap(word)
    assert done.returncode == status
    assert "./bootstrap demo" in (done.stdout if status == 0 else done.stderr)
