"""What one server costs a fresh program to start: prints one JSON object.

    startup.py KIND ADDRESS USUAL

USUAL 1: after the modules that a service has imported anyway. Only modules that Python imports by itself are used
before the measurement, so that nothing is there that a bare program would not have.
"""
import os
import sys
from time import perf_counter, sleep

USUAL = "argparse asyncio collections contextlib datetime functools json logging os queue random re select signal " \
    "socket ssl subprocess tempfile threading time traceback types typing uuid weakref".split()
OWN = {"pystuck": "pystuck", "old_tcp": "pystuck", "manhole": "manhole", "bare": "-"}


def read(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, 65536)
    finally:
        os.close(fd)


def private_kib(rollup):
    """Private_Clean and Private_Dirty, in KiB."""
    fields = {}
    for line in rollup.decode().splitlines()[1:]:
        name, value = line.split()[:2]
        fields[name] = int(value)
    return fields["Private_Clean:"], fields["Private_Dirty:"]


def main():
    kind, address, usual = sys.argv[1], sys.argv[2], int(sys.argv[3])
    for name in USUAL if usual else ():
        __import__(name)
    source = START[kind].format(address=address)
    code = compile(source, "<start>", "exec")
    private_kib(read("/proc/self/smaps_rollup"))  # the first reading makes memory of its own
    modules = set(sys.modules)
    threads = len(os.listdir("/proc/self/task"))
    before = read("/proc/self/smaps_rollup")

    start = perf_counter()
    exec(code, {})
    took = perf_counter() - start

    sleep(0.05)  # the new threads have touched their stacks by now
    after = read("/proc/self/smaps_rollup")
    new_threads = len(os.listdir("/proc/self/task")) - threads
    new = sorted(m for m in set(sys.modules) - modules if m.split(".")[0] != OWN[kind])
    (clean0, dirty0), (clean, dirty) = private_kib(before), private_kib(after)
    import json
    print(json.dumps({"ms": took * 1e3, "kib": clean + dirty - clean0 - dirty0, "clean_kib": clean - clean0,
                      "dirty_kib": dirty - dirty0, "threads": new_threads, "modules": len(new), "names": new}),
          flush=True)
    os._exit(0)  # some peers would hold the end up


START = {
    "pystuck": "import pystuck; pystuck.run_server(socket='{address}')",
    "old_tcp": "import pystuck; pystuck.run_server(port={address})",
    "manhole": "import manhole; manhole.install()",
    "bare": """
import socket, threading
listener = socket.socket(socket.AF_UNIX)
listener.bind('{address}')
listener.listen(8)
def serve():
    while True:
        client, _ = listener.accept()
threading.Thread(target=serve, daemon=True).start()
""",
}

main()
