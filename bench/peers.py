"""Who takes part: the peers, in a virtual environment of the bench's own, and how each is started and asked.

Nothing of theirs is part of the project; without a package index the bench measures pystuck alone, and says so.
"""
import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = ["pystuck==0.8.5", "manhole"]
EVERYTHING = ["--no-repl", "--no-group"]  # of pystuck: every thread with its frames, as the peers show them
DEBUGGERS = ["py-spy", "pystack"]  # which look from outside; each only where it can be installed
PLOTTER = "matplotlib"  # for the pictures (pictures.py)
LOOKED_AT = "greenlet"  # what the program has very many of (many.py)


def run(*command, **kwargs):
    return subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **kwargs)


def install(python, directory):
    """The virtual environment's interpreter, or None (with a word on standard error) when there are no peers."""
    venv_python = directory / "bin" / "python"
    stamp = directory / "installed"
    version = run(python, "-c", "import sys; print(sys.version)", timeout=30).stdout
    wanted = "\n".join([version, *REQUIREMENTS, *DEBUGGERS, PLOTTER, LOOKED_AT])
    if stamp.exists() and stamp.read_text() == wanted:
        return venv_python
    shutil.rmtree(directory, ignore_errors=True)
    try:
        made = run(python, "-m", "venv", directory, timeout=120)
        if made.returncode == 0:
            made = run(venv_python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", *REQUIREMENTS,
                       timeout=300)
    except subprocess.TimeoutExpired as late:
        print(f"bench: the peers could not be installed: {late}", file=sys.stderr)
        return None
    if made.returncode != 0:
        print(f"bench: the peers could not be installed, so they are not measured:\n{made.stdout}", file=sys.stderr)
        return None
    for name in [*DEBUGGERS, PLOTTER, LOOKED_AT]:
        run(venv_python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", name, timeout=300)
    stamp.write_text(wanted)
    return venv_python


def versions(venv_python):
    """{"pystuck": "0.8.5", ...} of what is installed."""
    names = ("pystuck", "rpyc", "manhole")
    code = f"from importlib.metadata import version\nfor n in {names!r}: print(n, version(n))"
    out = run(venv_python, "-c", code, timeout=60).stdout
    return dict(line.split() for line in out.splitlines())


def gdb_command(pid):
    return ["gdb", "-nx", "-batch", "-iex", "set auto-load safe-path /", "-iex", "set debuginfod enabled off",
            "-ex", "set pagination off", "-p", str(pid), "-ex", "thread apply all py-bt"]


class Contestant:
    """name: as printed; kind: of program.py; command(program): what a user types to see the stacks; frame: what stands once for
    each frame in what that prints."""

    def __init__(self, name, kind, command, frame=r'File:? "'):  # manhole has a colon
        self.name, self.kind, self.command, self.frame = name, kind, command, frame


def contestants(build, venv_python):
    """All whose stacks a shell command shows, ours first; /bin/true is the yardstick."""
    found = [
        Contestant("/bin/true", "none", lambda program: ["/bin/true"]),
        Contestant("pystuck", "pystuck",
                   lambda program: [build / "pystuck", "--socket", program.address, *EVERYTHING]),
        Contestant("pystuck --raw", "pystuck",
                   lambda program: [build / "pystuck", "--socket", program.address, *EVERYTHING, "--raw"]),
    ]
    if venv_python is not None:
        bin_dir = Path(venv_python).parent
        version = versions(venv_python)
        found += [
            Contestant(f"pystuck {version['pystuck']} (rpyc {version['rpyc']})", "old_tcp",
                       lambda program: [bin_dir / "pystuck", "--port", program.address, "--no-ipython"]),
            Contestant(f"manhole {version['manhole']}", "manhole",
                       lambda program: [bin_dir / "manhole-cli", program.pid]),
        ]
    return found


def debuggers(venv_python):
    """Those that look into a process from outside, as far as they are there: they need no server in it."""
    if venv_python is None:
        return []
    bin_dir = Path(venv_python).parent
    found = [
        Contestant("py-spy dump", "none", lambda program: [bin_dir / "py-spy", "dump", "--pid", program.pid], r"(?m)^    \S"),
        Contestant("pystack remote", "none", lambda program: [bin_dir / "pystack", "remote", program.pid]),
    ]
    return [c for c in found if (bin_dir / c.name.split()[0]).exists()]


def clean_environment(home):
    """What every process of the bench gets: nothing of the user's that could change what it does."""
    keep = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")
    env = {k: v for k, v in os.environ.items() if k in keep}
    env.update(HOME=str(home), XDG_RUNTIME_DIR=str(home), PYTHONDONTWRITEBYTECODE="1")
    return env
