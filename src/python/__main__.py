"""`python -m pystuck PROGRAM ARGUMENT...`: the program as python would run it, in a process that pystuck can look into.

What lives here: the command line. What does not: the server (the extension beside this file), the client (a program of its own).
"""

import os
import shutil
import sys
import types

import pystuck

USAGE = "usage: python -m pystuck PROGRAM.py | DIRECTORY | -m MODULE | -c CODE  [ARGUMENT...]"


def serve():
    """As $PYSTUCK=1 does: a program is not kept from running because it cannot be looked into."""
    try:
        pystuck._activate()
    except Exception as e:
        if sys.stderr:
            print("pystuck: not serving:", e, file=sys.stderr)


def fresh_main():
    """An empty __main__ in the place of this one, whose functions are still in use."""
    main = types.ModuleType("__main__")
    main.__builtins__ = sys.modules["builtins"]
    sys.modules["__main__"] = main
    return main


def set_first_path(path, always=False):
    """sys.path[0], which python -m has set to the current directory; python -I and -P have none."""
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path[0] = path
    elif always:
        sys.path.insert(0, path)


def run_module(name):
    import runpy
    fresh_main()
    runpy._run_module_as_main(name)


def run_code(code):
    set_first_path("")
    exec(compile(code, "<string>", "exec"), fresh_main().__dict__)


def run_file(path):
    import runpy
    path = os.path.join(os.getcwd(), path)
    if os.path.isdir(path) or path.endswith((".zip", ".pyz")):
        set_first_path(path, always=True)
        fresh_main()
        runpy._run_module_as_main("__main__", alter_argv=False)
        return
    from importlib.machinery import SourceFileLoader
    loader = SourceFileLoader("__main__", path)
    code = loader.source_to_code(loader.get_data(path), path)
    set_first_path(os.path.dirname(os.path.realpath(path)))
    main = fresh_main()
    main.__file__, main.__loader__, main.__cached__ = path, loader, None
    exec(code, main.__dict__)


def find_client():
    """The one that was installed with this package; else what a shell would take."""
    import sysconfig
    for scheme in (sysconfig.get_default_scheme(), "posix_user"):
        client = os.path.join(sysconfig.get_path("scripts", scheme), "pystuck")
        if os.access(client, os.X_OK):
            return client
    return shutil.which("pystuck")


def run_client(arguments):
    client = find_client()
    if client:
        os.execv(client, ["pystuck", *arguments])
    sys.exit(f"{USAGE}\npystuck: the client is not on $PATH")


def main(arguments):
    first = arguments[0] if arguments else "-"
    if first in ("-m", "-c"):
        if len(arguments) < 2:
            sys.exit(USAGE)
        sys.argv = [first, *arguments[2:]]
        serve()
        run_module(arguments[1]) if first == "-m" else run_code(arguments[1])
    elif first.startswith("-"):
        run_client(arguments)
    else:
        if not os.path.exists(first):
            sys.exit(f"pystuck: there is no {first}")
        sys.argv = arguments
        serve()
        run_file(first)


main(sys.argv[1:])
