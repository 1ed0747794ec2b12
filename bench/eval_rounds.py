"""One client that is kept open and evaluates `1+1` again and again: the same for every server, as cheap as its
protocol allows.

    eval_rounds.py KIND ADDRESS

The interface is that of eval_client.c: each line on standard input is a count, the answer is one line with as many
durations in nanoseconds. The first WARM_UP round trips after a pause are not counted, for any of them.
"""
import socket
import struct
import sys
from time import perf_counter_ns

WARM_UP = 20
PATIENCE = struct.pack("ll", 20, 0)


def dial(path):
    """Blocking, with a deadline that the kernel keeps: a time-out of Python's would cost a poll(2) for each recv."""
    s = socket.socket(socket.AF_UNIX)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, PATIENCE)
    s.connect(path)
    return s


def frame(message):
    return struct.pack(">I", len(message)) + message


def text(data):
    return struct.pack(">I", len(data)) + data


def pystuck(path):
    """docs/PROTOCOL.md: HELLO (1) is answered by WELCOME (64), EVAL (3) by RESULT (74)."""
    s = dial(path)
    s.sendall(frame(b"\x01" + text(b"pystuck") + struct.pack(">H", 1) + text(b"bench")))
    if s.recv(65536)[4] != 64:
        sys.exit("eval_rounds: not welcome")
    source = text(b"1+1")
    head = struct.Struct(">IBIBI")
    reply = struct.Struct(">BIBQQ")
    number = 0

    def ask():
        nonlocal number
        number += 1
        s.sendall(head.pack(10 + len(source), 3, number, 0, number) + source)
        answer = s.recv(65536)
        kind, ident, status, _, _ = reply.unpack_from(answer, 4)
        return kind == 74 and ident == number and status == 1 and answer[30:] == b"2"
    return ask


def rpyc(path):
    from rpyc.utils.classic import unix_connect
    conn = unix_connect(path)
    remote = conn.builtins.eval  # the cheapest of its ways: no proxy in between on the server

    def ask():
        return remote("1+1") == 2
    ask.keep = conn
    return ask


def manhole(path):
    s = dial(path)
    while not s.recv(1 << 20).endswith(b">>> "):
        pass

    def ask():
        s.sendall(b"1+1\n")
        answer = s.recv(65536)
        while not answer.endswith(b">>> "):
            answer += s.recv(65536)
        return answer == b"2\n>>> "
    return ask


def bare(path):
    s = dial(path)

    def ask():
        s.sendall(b"1+1\n")
        return s.recv(65536) == b"2\n"
    return ask


def main():
    ask = {"pystuck": pystuck, "rpyc": rpyc, "manhole": manhole, "bare": bare}[sys.argv[1]](sys.argv[2])
    for line in sys.stdin:
        took = []
        for number in range(WARM_UP + int(line)):
            start = perf_counter_ns()
            right = ask()
            end = perf_counter_ns()
            if not right:
                sys.exit("eval_rounds: a wrong answer")
            if number >= WARM_UP:
                took.append(end - start)
        print(*took, flush=True)


main()
