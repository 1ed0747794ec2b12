"""What the kernel says of a running program. Its threads and fds come and go while one looks: what has gone is left out."""

import contextlib
import os
from pathlib import Path


def _each(folder, read):
    """{name: read(path)} of what is in the folder; without what went meanwhile."""
    found = {}
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found[name] = read(Path(folder) / name)
    return found


def threads(pid, file):
    """{tid: the text of that file in /proc/PID/task/TID}."""
    return {int(tid): text for tid, text in _each(f"/proc/{pid}/task", lambda task: (task / file).read_text()).items()}


def thread_names(pid):
    return sorted(name.rstrip("\n") for name in threads(pid, "comm").values())


def fds(pid):
    """{fd: what it is open on}."""
    return {int(fd): link for fd, link in _each(f"/proc/{pid}/fd", os.readlink).items()}


def fd_flags(pid):
    """{fd: its flags, O_CLOEXEC among them}."""
    def flags(file):
        return next(int(line.split()[1], 8) for line in file.read_text().splitlines() if line.startswith("flags:"))

    return {int(fd): bits for fd, bits in _each(f"/proc/{pid}/fdinfo", flags).items()}
