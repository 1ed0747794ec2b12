"""Clients that ask for values: over one connection, over a new one each time, by a command, many at a time; and 100 MB of output. Plain dicts
of numbers, as in figures.py.
"""
import time
from contextlib import ExitStack

import harness
from figures import Race, summary, summary_of_rounds
from peers import Contestant

LOADS = {"idle": 0, "cpu": 1, "cpu4": 4}  # threads of the program that compute
CLIENTS = 16
OUTPUT = 100 * 1000 * 1000


class Guests:
    """Programs, each with a client of its kind that stays: {name: client}, {name: program}."""

    def __init__(self, bench, with_peers):
        kinds = {"pystuck": ("pystuck", "pystuck"), "bare socket server": ("bare", "bare")}
        if with_peers:
            kinds.update({"rpyc": ("old_unix", "rpyc"), "manhole": ("manhole", "manhole")})
        self.kinds = kinds
        self.programs = {name: bench.program(kind) for name, (kind, _) in kinds.items()}
        self.programs["pystuck, client in C"] = self.programs["pystuck"]
        self.programs["pystuck, client in C, TCP, sealed"] = bench.program("pystuck_tcp")
        self.clients = {name: python_client(bench, kinds[name][1], self.programs[name]) for name in kinds}
        for name in self.programs.keys() - kinds.keys():
            self.clients[name] = c_client(bench, self.programs[name])


def python_client(bench, kind, program):
    return bench.start([bench.python, harness.HERE / "eval_rounds.py", kind, program.address])


def c_client(bench, program):
    return bench.start([bench.build / "bench" / "eval_client", *program.address.split(" ")])


def in_turns(clients, rounds, step):
    """{name: summary}; step(name) -> durations of one round."""
    taken = {name: [] for name in clients}
    for number in range(rounds):
        for name in harness.rotated(clients, number):
            taken[name].append(step(name))
    return {name: summary_of_rounds(series) for name, series in taken.items()}


def evaluations(bench, guests, scale):
    """{"idle" | "cpu" | "cpu4": {name: summary}}, us for one round trip of `1+1`, a client kept open."""
    result = {}
    for load, rounds, count in (("idle", 40, 500), ("cpu", 5, 40), ("cpu4", 3, 40)):
        def step(name):
            with ExitStack() as stack:
                if LOADS[load]:
                    stack.enter_context(guests.programs[name].spinning(LOADS[load]))
                return harness.durations(guests.clients[name], str(count))
        result[load] = in_turns(guests.clients, scale(rounds), step)
    return result


def visits(guests, scale):
    """{name: summary}, us to connect, be let in, and have `1+1` answered."""
    return in_turns(guests.clients, scale(20), lambda name: harness.durations(guests.clients[name], "connect 50"))


def one_shots(bench, venv_python, scale):
    """{"idle" | "cpu": {name: summary}}, ms of a whole command that prints what `1+1` is."""
    client = bench.build / "pystuck"
    asked = [
        Contestant("/bin/true", "none", lambda program: ["/bin/true"]),
        Contestant("pystuck -c", "pystuck", lambda program: [client, "--socket", program.address, "-c", "1+1"]),
        Contestant("pystuck -c, TCP, sealed", "pystuck_tcp",
                   lambda program: [client, "127.0.0.1", program.address.split()[0], "--key", bench.key(), "-c", "1+1"]),
        Contestant("python, a bare socket", "bare", lambda program: [bench.python, "-c", BARE_CLIENT, program.address]),
    ]
    if venv_python is not None:
        asked += [
            Contestant("python, rpyc", "old_unix", lambda program: [bench.python, "-c", RPYC_CLIENT, program.address]),
            Contestant("manhole-cli", "manhole", lambda program: ["/bin/sh", "-c", f'echo 1+1 | "$0" {program.pid}',
                                                                  venv_python.parent / "manhole-cli"]),
        ]
    race = Race(bench, asked, (4, 10), says_two)
    result = {"idle": dict(race.rounds(scale(60), race.spawn), **race.absent)}

    def beside_cpu(name):
        with race.programs[name].spinning():
            time.sleep(0.005)
            return race.spawn(name)
    result["cpu"] = dict(race.rounds(scale(20), beside_cpu), **race.absent)
    bench.stop_all()
    return result


BARE_CLIENT = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b'1+1\\n'); print(s.recv(99).decode())"
RPYC_CLIENT = "import sys; from rpyc.utils.classic import unix_connect; print(unix_connect(sys.argv[1]).builtins.eval('1+1'))"


def says_two(bench, contestant, program):
    status, out = bench.output(contestant.command(program))
    if contestant.name != "/bin/true" and (status != 0 or "2" not in out.split()):
        raise RuntimeError(f"{contestant.name}: status {status}, {out!r}")


def crowd(bench, guests, scale):
    """{name: {"rate": summary of evaluations a second in all, "us": summary of what each waited}}; None: it serves one at a time."""
    result, count = {}, max(20, scale(200))
    for name, (_, client) in guests.kinds.items():
        if name == "manhole":
            result[name] = None
            continue
        clients = [python_client(bench, client, guests.programs[name]) for _ in range(CLIENTS)]
        for one in clients:
            one.ask("1")
        rates, series = [], []
        for _ in range(max(3, scale(5))):
            begun = time.monotonic()
            for one in clients:
                one.say(str(count))
            taken = [int(ns) / 1e3 for one in clients for ns in one.line().split()]
            rates.append((count + harness.WARM_UP) * CLIENTS / (time.monotonic() - begun))
            series.append(taken)
        result[name] = {"rate": summary(rates), "us": summary_of_rounds(series)}
        for one in clients:
            bench.processes.remove(one)
            one.stop()
    return result


def output(bench, scale):
    """{name: summary}, MB a second, from the start of the command to its end; of the bare server without the start of its client."""
    code = f"import sys; text = ('x' * 99 + '\\n') * 10000; any(sys.stdout.write(text) and None for _ in range({OUTPUT // 1000000}))"
    unix, tcp, bare = (bench.program(kind) for kind in ("pystuck", "pystuck_tcp", "bare"))
    client = bench.build / "pystuck"
    commands = {"pystuck": [client, "--socket", unix.address, "-c", code],
                "pystuck, TCP, sealed": [client, "127.0.0.1", tcp.address.split()[0], "--key", bench.key(), "-c", code]}
    spawner, asker = bench.spawner(commands.values()), python_client(bench, "bare", bare)
    taken = {name: [] for name in (*commands, "bare socket server")}
    for number in range(scale(20)):
        for name in harness.rotated(taken, number):
            if name in commands:
                ms, size = harness.spawn_ms(spawner, list(commands).index(name))
                if ms is None or size < OUTPUT:
                    raise RuntimeError(f"{name}: {size} bytes of {OUTPUT}")
            else:
                ms = harness.durations(asker, f"output {OUTPUT}")[0] / 1e3
            taken[name].append(OUTPUT / 1e3 / ms)
    bench.stop_all()
    return {name: summary(series) for name, series in taken.items()}


def measure(bench, venv_python, parts, scale):
    """{part: figures} of "eval", "connect", "oneshot", "crowd", "output", as far as they are wanted."""
    result = {}
    if parts & {"eval", "connect", "crowd"}:
        guests = Guests(bench, venv_python is not None)
        if "eval" in parts:
            result["eval"] = evaluations(bench, guests, scale)
        if "connect" in parts:
            result["connect"] = visits(guests, scale)
        if "crowd" in parts:
            result["crowd"] = crowd(bench, guests, scale)
        bench.stop_all()
    if "oneshot" in parts:
        result["oneshot"] = one_shots(bench, venv_python, scale)
    if "output" in parts:
        result["output"] = output(bench, scale)
    return result
