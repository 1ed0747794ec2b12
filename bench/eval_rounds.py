"""One client that is kept open and evaluates `1+1` again and again: the same for every server, as cheap as its
protocol allows.

    eval_rounds.py KIND ADDRESS

The interface is that of eval_client.c: each line on standard input is a count, the answer is one line with as many
durations in nanoseconds; of a new connection each, if the line is "connect COUNT". "output BYTES": how long the bare socket server
takes to send so many. The first WARM_UP round trips after a pause are not counted, for any of them.
"""
import socket
import struct
import sys
from time import perf_counter_ns

WARM_UP = 20  # as harness.py has it
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
    ask.close = s.close
    return ask


def rpyc(path):
    from rpyc.utils.classic import unix_connect
    conn = unix_connect(path)
    remote = conn.builtins.eval  # the cheapest of its ways: no proxy in between on the server

    def ask():
        return remote("1+1") == 2
    ask.close = conn.close
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
    ask.close = s.close
    return ask


def bare(path):
    s = dial(path)

    def ask():
        s.sendall(b"1+1\n")
        return s.recv(65536) == b"2\n"
    ask.close = s.close
    return ask


def visit(make, path):
    """A connection for one question."""
    ask = make(path)
    right = ask()
    ask.close()
    return right


def output(path, size):
    s = dial(path)
    s.sendall(b"'x' * %d\n" % size)
    space, left = bytearray(1 << 20), size + 3  # two quotes and a newline
    while left > 0:
        got = s.recv_into(space)
        if got == 0:
            return False
        left -= got
    return left == 0


def durations(what, count, warm_up=WARM_UP):
    took = []
    for number in range(warm_up + count):
        start = perf_counter_ns()
        right = what()
        end = perf_counter_ns()
        if not right:
            sys.exit("eval_rounds: a wrong answer")
        if number >= warm_up:
            took.append(end - start)
    return took


def main():
    make, path = {"pystuck": pystuck, "rpyc": rpyc, "manhole": manhole, "bare": bare}[sys.argv[1]], sys.argv[2]
    ask = None
    for line in sys.stdin:
        words = line.split()
        if words[0] == "connect":
            if ask is not None:  # some serve one at a time
                ask.close()
                ask = None
            took = durations(lambda: visit(make, path), int(words[1]))
        elif words[0] == "output":
            took = durations(lambda: output(path, int(words[1])), 1, 0)
        else:
            ask = ask or make(path)
            took = durations(ask, int(words[0]))
        print(*took, flush=True)


main()
