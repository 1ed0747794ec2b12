"""How long each part of a dump takes, in a program whose threads wait for all kinds of things. One JSON object on standard output.

    phases.py THREADS FRAMES ROUNDS

dumpphases is dumpphases.c. A figure is [median us, least us, median us on a processor, least of those]: where others want the
processors, too, the latter say more. What the threads wait for, in turns: a Lock and an RLock that the main thread
has, an Event of their own, a shared Condition, a queue.Queue, time.sleep, a socket, a Future.
"""
import json
import os
import queue
import socket
import sys
import threading
import time
from concurrent.futures import Future
from statistics import median

import dumpphases

lock, rlock, condition = threading.Lock(), threading.RLock(), threading.Condition()
there = threading.Semaphore(0)
sockets = []


def wait_lock():
    with lock:
        pass


def wait_rlock():
    with rlock:
        pass


def wait_event():
    threading.Event().wait()


def wait_condition():
    with condition:
        condition.wait()


def wait_queue():
    queue.Queue().get()


def wait_sleep():
    time.sleep(100000)


def wait_socket():
    pair = socket.socketpair()
    sockets.append(pair)
    pair[0].recv(1)


def wait_future():
    Future().result()


KINDS = (wait_lock, wait_rlock, wait_event, wait_condition, wait_queue, wait_sleep, wait_socket, wait_future)


def odd(depth, kind):
    if depth > 1:
        return even(depth - 1, kind)
    there.release()
    return KINDS[kind]()


def even(depth, kind):
    if depth > 1:
        return odd(depth - 1, kind)
    there.release()
    return KINDS[kind]()


def are_waiting():
    """No thread but this one is running: the dump shall find them where they stay."""
    for tid in os.listdir("/proc/self/task"):
        if int(tid) != os.getpid():
            with open(f"/proc/self/task/{tid}/stat", "rb") as file:
                if file.read().rpartition(b")")[2].split()[0] != b"S":
                    return False
    return True


def main():
    threads, frames, rounds = map(int, sys.argv[1:4])
    threading.stack_size(1 << 20)
    with lock, rlock:
        for i in range(threads):
            threading.Thread(target=odd, args=(frames, i % len(KINDS)), daemon=True).start()
        for i in range(threads):
            there.acquire()
        for _ in range(3):
            while not are_waiting():
                time.sleep(0.05)
        result = {}
        for name, raw in ("usual", False), ("raw", True):
            dumpphases.phases(raw)
            runs = [dumpphases.phases(raw) for _ in range(rounds)]
            result[name] = {phase: [round(f(r[phase][i] for r in runs), 1) for i in (0, 1) for f in (median, min)] for phase in runs[0]}
    print(json.dumps(result), flush=True)
    os._exit(0)  # its threads wait for ever


main()
