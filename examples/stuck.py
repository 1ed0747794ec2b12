"""A program that is stuck, to try pystuck on: python3 examples/stuck.py

The main thread waits for a lock. Thread-1 holds it, and has a long computation to do; Thread-2 waits for an answer from
the network that does not come. Which is to blame? Ask: pystuck --pid PID
"""
import pystuck

server = pystuck.run_server()

import math
import signal
import socket
import sys
import threading
import time

lock = threading.RLock()
ready = threading.Barrier(3)


def do_math():
    with lock:
        ready.wait()
        total = 0.0
        while True:  # "it takes a while", said the one who wrote it
            total += sum(math.sqrt(n) for n in range(1000))
            time.sleep(0.1)


def foo():
    do_network()


def do_network():
    ours, theirs = socket.socketpair()
    ready.wait()
    ours.recv(4096)  # nobody ever writes to `theirs`


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    threading.Thread(target=do_math, name="Thread-1", daemon=True).start()
    threading.Thread(target=foo, name="Thread-2", daemon=True).start()
    ready.wait()
    print(server.address, flush=True)
    with lock:  # could block
        print("done")


main()
