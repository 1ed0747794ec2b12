"""The program that is measured: threads that wait at a known depth, and one of the servers.

It runs in a process of its own on the interpreter under test; harness.py starts it and talks to it. What lives here:
what the program does. What does not: what is asked of it (figures.py).

    program.py KIND ADDRESS THREADS FRAMES FLAG

KIND is a key of START; ADDRESS is where it listens: a path, or a TCP port. FLAG is a file of one byte: while it is 1,
so many threads of its own compute ("spin 4"), or the main thread looks at the clock ("watch"). Commands come on standard input,
answers go to standard output, one line each.
"""
import os
import sys
import threading
from time import perf_counter, perf_counter_ns, thread_time


def none(_address):
    """The program without any server."""


def pystuck(address):
    import pystuck
    pystuck.run_server(socket=address)


def pystuck_tcp(address):
    """On the loopback interface, sealed: PORT KEYFILE."""
    import pystuck
    port, key = address.split(" ", 1)
    pystuck.run_server("127.0.0.1", int(port), key=key)


def pystuck_calm(address):
    """Which leaves the switch interval alone."""
    import pystuck
    pystuck.run_server(socket=address, hurry=False)


def old_tcp(address):
    """The original, whose client speaks TCP only."""
    import pystuck
    pystuck.run_server(port=int(address))


def old_unix(address):
    import pystuck
    pystuck.run_server(unix_socket=address)


def manhole(address):
    import manhole
    manhole.install()


def bare(address):
    """The least that Python can do: a thread that evaluates each line that comes."""
    import socket
    import threading
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(8)

    def talk(client):
        while True:
            line = client.recv(65536)
            if not line:
                return
            client.sendall(repr(eval(line)).encode() + b"\n")

    def serve():
        while True:
            client, _ = listener.accept()
            threading.Thread(target=talk, args=(client,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()


START = {f.__name__: f for f in (none, pystuck, pystuck_tcp, pystuck_calm, old_tcp, old_unix, manhole, bare)}


def odd(depth, there, gate):
    """Two functions that call each other: traceback would fold one that calls itself, and print less."""
    if depth > 1:
        even(depth - 1, there, gate)
    else:
        there.release()
        gate.wait()


def even(depth, there, gate):
    if depth > 1:
        odd(depth - 1, there, gate)
    else:
        there.release()
        gate.wait()


def park_threads(count, frames):
    """Starts `count` threads that stand `frames` calls deep in a wait, and returns when all do."""
    gate, there = threading.Event(), threading.Semaphore(0)
    threading.stack_size(1 << 20)
    for _ in range(count):
        threading.Thread(target=odd, args=(frames, there, gate), daemon=True).start()
    for _ in range(count):
        there.acquire()


def dump_by_faulthandler(nowhere):
    import faulthandler
    faulthandler.dump_traceback(nowhere, all_threads=True)


def dump_by_traceback(nowhere):
    import traceback
    for ident, frame in sys._current_frames().items():
        nowhere.write("Thread %d\n%s" % (ident, "".join(traceback.format_stack(frame))))
    nowhere.flush()


DUMPS = {"faulthandler": dump_by_faulthandler, "traceback": dump_by_traceback}


class Spinner:
    """A thread that computes while the flag is up, and sleeps else."""

    def __init__(self, flag):
        self.flag = flag
        self.wake, self.began, self.rested = threading.Event(), threading.Event(), threading.Event()
        threading.Thread(target=self.run, daemon=True).start()

    def spin(self):
        self.began.clear()
        self.rested.clear()
        self.wake.set()
        self.began.wait()

    def run(self):
        flag = self.flag
        while True:
            self.wake.wait()
            self.wake.clear()
            end = perf_counter() + 0.01
            while perf_counter() < end:  # so that the scheduler has seen it, too
                pass
            self.began.set()
            number = 0
            while flag[0]:
                number += 1
            self.rested.set()


def watch(flag, least=20e-6):
    """Looks at the clock without pause while the flag is up; how long, in s, it was kept from that, if over `least`."""
    gaps = []
    clock = perf_counter
    last = clock()
    end = last + 60
    while flag[0] and last < end:
        now = clock()
        if now - last > least:
            gaps.append(now - last)
        last = now
    return gaps


def work(seconds):
    """Turns of some computing, and the time that they took, by the clock and on a processor."""
    begun, cpu, turns = perf_counter(), thread_time(), 0
    while perf_counter() < begun + seconds:
        sum(number for number in range(2000))
        turns += 1
    return turns, perf_counter() - begun, thread_time() - cpu


def call(seconds):
    """The same for a thread that lets go of the GIL all the time, as a server does."""
    begun, cpu, turns = perf_counter(), thread_time(), 0
    while perf_counter() < begun + seconds:
        os.stat("/")
        turns += 1
    return turns, perf_counter() - begun, thread_time() - cpu


WORK = {"work": work, "call": call}


def main():
    kind, address, threads, frames, flag_path = sys.argv[1:6]
    START[kind](address)
    # After the server, so that it is started in a program that has not imported more than it must.
    import json
    import mmap
    with open(flag_path, "r+b") as file:
        flag = mmap.mmap(file.fileno(), 1)
    park_threads(int(threads), int(frames))
    spinners = [Spinner(flag)]
    # Not the buffered streams: some peers put their own in sys.stdin and sys.stdout while they work.
    commands, answers = open(0, closefd=False), open(1, "w", buffering=1, closefd=False)
    answers.write("READY\n")
    for line in commands:
        command = line.strip()
        if command.startswith("spin "):
            count = int(command.split()[1])
            spinners += [Spinner(flag) for _ in range(len(spinners), count)]
            for spinner in spinners[:count]:
                spinner.spin()
            answers.write("spinning\n")
        elif command == "rest":  # the flag is down
            for spinner in spinners[:count]:
                spinner.rested.wait()
            answers.write("resting\n")
        elif command in DUMPS:
            with open("/dev/null", "w") as nowhere:
                began = perf_counter_ns()
                DUMPS[command](nowhere)
                answers.write("%d\n" % (perf_counter_ns() - began))
        elif command.split()[0] in WORK:
            what, seconds = command.split()
            answers.write("%d %f %f\n" % WORK[what](float(seconds)))
        elif command == "watch":
            answers.write("watching\n")
            answers.write(json.dumps(watch(flag)) + "\n")


main()
