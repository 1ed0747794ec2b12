"""Called by hatchling for a wheel: has make compile pystuck for this interpreter, and says what goes where.

What lives here: which of make's files belong into a wheel. What does not: how they are made (Makefile), the metadata
(pyproject.toml), wheels that work on other machines (tools/wheels).

$PYSTUCK_MAKE: more variables for make, as in PYSTUCK_MAKE="OPT=-Os EDITLINE=libedit". $PYSTUCK_BUNDLED: a directory with the
licences of libraries that will go into the wheel.
"""

import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "__init__.pyi", "__main__.py", "py.typed"
SHARED = {"man/pystuck.1": "share/man/man1/pystuck.1", "man/pystuck.7": "share/man/man7/pystuck.7",
          "completions/pystuck.bash": "share/bash-completion/completions/pystuck",
          "completions/_pystuck": "share/zsh/site-functions/_pystuck",
          "completions/pystuck.fish": "share/fish/vendor_completions.d/pystuck.fish"}


def refuse(sentence):
    """Ends the build with this alone: a traceback would hide it."""
    sys.exit(sentence)


def tool_missing():
    if not sys.platform.startswith("linux") or sys.implementation.name != "cpython":
        return "pystuck needs Linux and CPython 3.10 or later"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "pystuck does not work in free-threaded builds of Python: install it for one with the GIL"
    compiler = shlex.split(os.environ.get("CC", "cc"))[0]
    missing = [name for name in ("make", compiler) if not shutil.which(name)]
    if missing:
        return (f"pystuck needs {' and '.join(missing)} to be built: on Debian and Ubuntu make gcc libc6-dev, on Fedora make gcc, "
                "on Alpine make gcc musl-dev")
    return None


def make(build, arguments):
    """Runs make; what is missing here is said in make's own sentence, anything else with all that it printed."""
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "DESTDIR")}
    jobs = len(os.sched_getaffinity(0))
    ended = subprocess.run(["make", "--no-print-directory", f"-j{jobs}", f"BUILD={build}", f"PYTHON={sys.executable}", "PAM=no",
                            *arguments, f"{build}/pystuck", "module"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True)
    if ended.returncode != 0:
        sentences = [line for line in ended.stdout.splitlines() if line.startswith("pystuck needs ")]
        refuse(sentences[0] if sentences else f"{ended.stdout}make ended with status {ended.returncode}")


class WheelHook(BuildHookInterface):
    """One wheel: the extension, the client, the line for site-packages, manuals and completions."""

    def initialize(self, version, build_data):
        missing = tool_missing()
        if missing:
            refuse(missing)
        self.scratch = tempfile.mkdtemp(prefix="pystuck-wheel-")
        build = pathlib.Path(self.scratch)
        os.chdir(self.root)
        try:
            make(build, shlex.split(os.environ.get("PYSTUCK_MAKE", "")))
        except BaseException:
            shutil.rmtree(self.scratch, ignore_errors=True)
            raise
        extension = "__init__" + sysconfig.get_config_var("EXT_SUFFIX")
        files = {str(build / "python/pystuck" / name): f"pystuck/{name}" for name in (extension, *PACKAGE)}
        files["src/python/pystuck.pth"] = "pystuck.pth"
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"].update(files)
        build_data["force_include_editable"].update(files)
        build_data["shared_scripts"][str(build / "pystuck")] = "pystuck"
        build_data["shared_data"].update(SHARED)
        for name in sorted(pathlib.Path(os.environ.get("PYSTUCK_BUNDLED") or self.scratch).glob("*.copyright")):
            build_data["shared_data"][str(name)] = f"share/doc/pystuck/{name.name}"

    def finalize(self, version, build_data, artifact_path):
        shutil.rmtree(self.scratch, ignore_errors=True)
