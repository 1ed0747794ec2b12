"""What docs/PROTOCOL.md says is what a stranger finds: a client made from that document alone (stranger.py) and the real server."""

import ast
import base64
import os
import re
import socket
import time

import pytest

import stranger
from conftest import PATIENCE, PYTHONS, ROOT, Program, wait_until
from stranger import (BUSY, DENIED, DISABLED, EVAL, EXIT, FULL, GIL, INCOMPLETE, INTERRUPTED, LIMIT, LOCALS, NONE, RAISED, STACKS,
                      STOPPING, UNKNOWN, VALUE, VETO, WRONG_VERSION, Lost, Malformed, Message, Refused, Session, Truncated, encode,
                      frame)

PSK = bytes(range(100, 132))
HELLO = frame(encode(Message("HELLO", magic=b"pystuck", version=1, client="stranger")))
BYE = encode(Message("BYE", reason=0, text=""))

SERVE = """
import sys, threading, pystuck
pystuck.run_server({options})
tcp = pystuck.run_server(port=0, key={key!r}{tcp_options})
print("PORT", tcp.address[1], flush=True)
{more}
print("READY", flush=True)
for line in sys.stdin:
    exec(line)
"""


class Served:
    """A program that listens on both transports, and acts on each line that it is told."""

    def __init__(self, python, directory, *, options="", tcp_options="", more="", **how):
        key = directory / "key"
        key.touch(0o600)
        key.write_text(f"# for the tests\npystuck-key-1 default {base64.b64encode(PSK).decode()}\n")
        self.key = key
        self.began_ns = time.time_ns()
        self.program = Program(python, SERVE.format(options=options, key=str(key), tcp_options=tcp_options and ", " + tcp_options,
                                                    more=more), directory, ready=False, **how)
        try:
            self.port = int(self.program.out.until(r"PORT (\d+)")[1])
            self.program.wait_ready()
        except BaseException:
            self.program.stop()
            raise

    def socket(self, transport):
        """A connected socket, and nothing sent."""
        if transport == "tcp":
            sock = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(PATIENCE)
            sock.connect(self.program.socket)
        return sock

    def call(self, transport, **how):
        """A Session, over TCP with the handshake behind it."""
        if transport == "tcp":
            return Session(stranger.connect_tcp("127.0.0.1", self.port, PSK, PATIENCE, **how))
        return Session(stranger.connect_unix(self.program.socket, PATIENCE, **how))

    def greet(self, transport, **how):
        """A Session behind WELCOME."""
        session = self.call(transport, **how)
        try:
            session.hello()
        except BaseException:
            session.transport.close()
            raise
        return session

    def works(self, transport):
        with self.greet(transport) as session:
            return session.eval("6*7").text == "42"


@pytest.fixture(params=["unix", "tcp"])
def transport(request):
    return request.param


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One program for all tests that leave it as it was."""
    it = Served(PYTHONS[0], tmp_path_factory.mktemp("served", numbered=True))
    yield it
    assert it.program.alive(), it.program.stderr()
    it.program.stop()


@pytest.fixture
def serve(tmp_path):
    """serve(python, ...) -> a Served of this test's own."""
    made = []

    def make(python, **how):
        directory = tmp_path / f"served{len(made)}"
        directory.mkdir(mode=0o700)
        made.append(Served(python, directory, **how))
        return made[-1]

    yield make
    for it in made:
        it.program.stop()


def rest_of(session):
    """All messages up to the end of the connection, however it is closed."""
    rest = []
    try:
        while (message := session.receive()) is not None:
            rest.append(message)
    except ConnectionError:
        pass
    return rest


def bytes_until_end(sock):
    got = b""
    try:
        while data := sock.recv(65536):
            got += data
    except ConnectionError:
        pass
    return got


def loop(then=""):
    """A source that says when it runs, and does not end by itself."""
    return f"print('on', flush=True)\n{then or 'while True: pass'}"


def caught(then):
    """A source like that, which does `then` when it is interrupted."""
    # `pass` on a line of its own: some versions of CPython do not look for the handler of a loop that is one line.
    return f"try:\n    print('on', flush=True)\n    while True:\n        pass\nexcept KeyboardInterrupt:\n    {then}"


def begin(session, source):
    """Sends an EVAL and waits until it prints `on`: its id."""
    request = session.make_eval(source)
    session.send(request)
    assert session.wait("OUTPUT", id=request.id).text.startswith("on")
    return request.id


def interrupt(session, id):
    session.send(Message("INTERRUPT", id=id))


# ---- the document by itself ---------------------------------------------------------------------

def blocks():
    text = (ROOT / "docs" / "PROTOCOL.md").read_text()
    found = re.findall(r"```hex\n(.*?)```", text[text.index("## 12."):], re.S)
    return [bytes.fromhex("".join(line.split("|")[0] for line in block.splitlines())) for block in found]


def test_the_examples_of_the_document_are_what_this_client_makes_of_its_text():
    (hello, welcome, evaluation, result, psk, e1, e2, prologue, first, second, h, to_server, to_client, sealed_hello, sealed_welcome,
     rekeyed) = blocks()
    assert hello == frame(encode(Message("HELLO", magic=b"pystuck", version=1, client="0.1.0")))
    assert stranger.decode(welcome[4:]) == Message("WELCOME", version=1, role=EVAL, pid=4242, uid=1000, started_ns=1700000000 * 10 ** 9,
                                                   pystuck="0.1.0", python="3.13.0", command="python3\0app.py")
    assert evaluation == frame(encode(Message("EVAL", id=1, flags=0, cell=0, source="1+1")))
    assert stranger.decode(result[4:]) == Message("RESULT", id=1, status=VALUE, duration_us=35, total=1, text="2")
    client, server = stranger.Handshake(psk, e1), stranger.Handshake(psk, e2)
    assert client.h == server.h == prologue
    assert b"\0\x30" + client.write_first() == first
    server.read_first(first[2:])
    assert b"\0\x30" + server.write_second() == second
    client.read_second(second[2:])
    assert client.h == server.h == h and client.keys() == server.keys() == (to_server, to_client)
    sending, receiving = map(stranger.Direction, client.keys())
    assert sending.seal(hello) == sealed_hello[2:] and receiving.open(sealed_welcome[2:]) == welcome
    sending.n = stranger.REKEY
    assert sending.seal(b"x") == stranger.SEAL(rekeyed, stranger.REKEY, b"", b"x")


def examples():
    """One of each message."""
    values = {"U": 1, "S": b"pystuck", "T": "n\u00e4me", "F": [(0, 7), (1, 0)], "L": ["n\u00e4me", "two"]}
    kinds = {stranger.String: "S", stranger.Frames: "F", stranger.List: "L", stranger.Text: "T", stranger.Utf8: "T"}
    return [Message(what, **{name: values[kinds.get(type(field), "U")] for name, field in layout})
            for what, layout in stranger.TABLE.values()]


def test_every_message_comes_back_from_its_bytes_and_from_no_part_of_them():
    for message in examples():
        data = encode(message)
        assert stranger.decode(data) == message
        for wrong in [data[:n] for n in range(len(data))] + [data + b"\0"]:
            with pytest.raises(Malformed):
                stranger.decode(wrong)


def test_a_welcome_or_refusal_of_another_version_is_read_as_far_as_it_is_for_all_time():
    assert stranger.decode(b"\x40\0\2").version == 2
    assert stranger.decode(b"\x41\0\2\x02and more").reason == WRONG_VERSION
    for short in (b"\x40\0", b"\x41\0\2"):
        with pytest.raises(Malformed):
            stranger.decode(short)


def test_this_client_and_pystuck_call_the_same_key_files_good(served, client, tmp_path):
    def line(name="default", key=PSK, head="pystuck-key-1"):
        return f"{head} {name} {base64.b64encode(key).decode()}\n".encode()

    good = line()
    unused_bits = good[:-3] + bytes([good[-3] + 1]) + good[-2:]  # the same 32 bytes, in another spelling
    assert base64.b64decode(unused_bits.split()[2]) == PSK
    others = [line(f"k{i}", bytes([i]) * 32) for i in range(1, 17)]
    right = [good, b"# a comment\r\xff\n" + good, b"\n\n" + good, good + others[0], line("A.b_c-9"), line("n" * 32),
             good + b"".join(others[:15])]
    wrong = [b"", b"\n", good[:-1], good.replace(b"\n", b"\r\n"), good.replace(b" ", b"\t"), good.replace(b" ", b"  "), b" " + good,
             good.replace(b"\n", b" \n"), good.replace(b"\n", b" more\n"), line("n" * 33), line("a/b"), line("\u00e9"), line(""),
             b" \n" + good, line(head="pystuck-key-2") + good, good.replace(b"=", b""), line(key=PSK[:31]), line(key=PSK + b"x"),
             line(key=bytes(32)), unused_bits, line(key=b"\xff" * 32).replace(b"/", b"_"), good + line("other"),
             good + line(key=b"\1" * 32), good + b"".join(others), b"\xef\xbb\xbf" + good, good + b"#" * 4096 + b"\n", good + b"\0\n"]
    path = tmp_path / "file"
    path.touch(0o600)
    for data in right + wrong:
        path.write_bytes(data)
        try:
            mine = stranger.parse_keys(data)
        except Malformed:
            mine = None
        assert (mine is not None) == (data in right), data
        assert mine is None or mine[0][1] == PSK
        answer = client("127.0.0.1", served.port, "--key", path, "-c", "1+1")
        assert answer.status == (0 if mine else 2), (data, answer)


# ---- HELLO --------------------------------------------------------------------------------------

def test_welcome_says_who_the_program_is_and_what_the_client_may(python, serve, transport):
    served = serve(python)
    with served.call(transport) as session:
        welcome = session.hello()
        assert welcome.version == 1 and welcome.role == EVAL
        assert welcome.pid == served.program.pid and welcome.uid == os.getuid()
        assert welcome.command.removesuffix("\0").split("\0") == served.program.process.args
        assert session.eval("__import__('platform').python_version()").text == repr(welcome.python)
        assert session.eval("__import__('pystuck').__version__").text == repr(welcome.pystuck)
    assert served.began_ns - 10 ** 9 < welcome.started_ns < time.time_ns() + 10 ** 9


def test_requests_behind_hello_are_answered_without_waiting_for_welcome(served, transport):
    with served.call(transport) as session:
        evaluation, dump = session.make_eval("print('out'); 'value'"), session.make_dump()
        session.send(Message("HELLO", magic=b"pystuck", version=1, client=""), evaluation, dump)
        assert session.receive().what == "WELCOME"
        left = {evaluation.id, dump.id}
        while left:
            message = session.receive()
            if message.what == "RESULT":
                assert message.text == "'value'"
                left.remove(message.id)
            elif message.what == "DUMP_END":
                assert message.dump.thread("MainThread").flags & 1
                left.remove(message.id)


def test_a_long_request_may_follow_hello_at_once_in_a_record_of_its_own(served):
    source = "'" + "x" * 200000 + "'"
    with served.call("tcp", cut=[len(HELLO), 65519, 65519, 65519, 65519]) as session:
        request = session.make_eval(source)
        session.send(Message("HELLO", magic=b"pystuck", version=1, client="stranger"), request)
        session.wait("WELCOME")
        assert session.finish(request.id).text == source


def test_a_record_with_hello_of_532_bytes_is_taken_and_of_533_closes_the_connection(served):
    for extra, answers in ((0, ["WELCOME", "RESULT"]), (1, [])):
        with served.call("tcp") as session:
            request = session.make_eval("1".ljust(532 - 16 - len(HELLO) - 4 - len(encode(session.make_eval(""))) + extra))
            session.evals.add(request.id)
            session.transport.write(HELLO + frame(encode(request)))
            got = []
            try:
                while len(got) < 2 and (message := session.receive()) is not None:
                    got.append(message.what)
            except ConnectionError:
                pass
            assert got == answers


@pytest.mark.parametrize("version", [0, 2, 255, 65535])
def test_another_version_is_refused_with_the_one_that_is_spoken(served, transport, version):
    start = b"\1\0\0\0\7pystuck" + version.to_bytes(2, "big")
    for hello in (start, start + b"\0\0\0\1x", start + b"\xff" * 40, start.ljust(512, b"\xfe")):
        with served.call(transport) as session:
            session.send_raw(hello)
            refused = session.receive()
            assert refused.what == "REFUSED" and refused.reason == WRONG_VERSION and refused.version == 1 and refused.text
            assert session.receive() is None
    assert served.works(transport)


@pytest.mark.parametrize("hello", [
    b"\1\0\0\0\7pystucK\0\1\0\0\0\0", b"\1\0\0\0\7pystucK\0\2\0\0\0\0", b"\1\0\0\0\0\0\1\0\0\0\0", b"\1\0\0\0\x08pystuck\0\0\1\0\0\0\0",
    b"\1", b"\1\0\0\0\7pystuck", b"\1\0\0\0\7pystuck\0", b"\1\0\0\0\7pystuck\0\1", b"\1\0\0\0\7pystuck\0\1\0\0\0\0x",
    b"\1\0\0\0\7pystuck\0\1\0\0\0\x41" + b"x" * 65, b"\1\0\0\0\7pystuck\0\2".ljust(513, b"x"), b"\1\xff\xff\xff\xffpystuck\0\1",
    BYE, b"\2\0\0\0\1\0\0\0\0\0", b"\3\0\0\0\1\0\0\0\0\0\0\0\0\0", b"\0", b"\x20", b"\x40", b"\xff"],
    ids=lambda hello: hello[:16].hex())
def test_what_is_not_hello_is_closed_without_a_word(served, transport, hello):
    with served.call(transport) as session:
        session.send_raw(hello)
        assert rest_of(session) == []


@pytest.mark.parametrize("length", [0, 513, 1 << 20, (1 << 32) - 1])
def test_a_length_that_hello_cannot_have_is_closed_as_soon_as_it_is_there(served, transport, length):
    with served.call(transport) as session:
        session.transport.write(length.to_bytes(4, "big"))
        assert rest_of(session) == []


@pytest.mark.parametrize("client_version", [b"", b"x" * 64, b"\xff\xfe\0\x1b[31m"])
def test_the_clients_own_version_may_be_any_64_bytes(served, transport, client_version):
    with served.call(transport) as session:
        session.send(Message("HELLO", magic=b"pystuck", version=1, client=client_version))
        assert session.wait("WELCOME").role == EVAL


def test_who_says_nothing_is_closed_after_5_seconds(served):
    began = time.monotonic()
    with served.socket("unix") as unix, served.socket("tcp") as tcp, served.call("tcp") as handshaken:
        unix.sendall(HELLO[:-1])
        tcp.sendall(b"\0")
        assert bytes_until_end(unix) == bytes_until_end(tcp) == b""
        assert rest_of(handshaken) == []
    assert 4 < time.monotonic() - began < PATIENCE


def test_the_33rd_silent_connection_closes_the_oldest_and_no_other(serve, one_python, transport):
    served = serve(one_python)
    silent = [served.socket(transport) for _ in range(33)]
    try:
        assert bytes_until_end(silent[0]) == b""
        second = stranger.Sealed(silent[1], PSK) if transport == "tcp" else stranger.Plain(silent[1])
        assert Session(second).hello().role == EVAL
    finally:
        for sock in silent:
            sock.close()


def test_the_17th_client_is_refused_as_one_too_many_until_another_leaves(serve, one_python, transport):
    served = serve(one_python)
    sessions = [served.greet(transport) for _ in range(16)]
    try:
        with served.call(transport) as session:
            with pytest.raises(Refused) as refused:
                session.hello()
            assert refused.value.args[0].reason == FULL
            assert rest_of(session) == []
        sessions[7].send(Message("BYE", reason=0, text=""))
        assert sessions[7].receive() is None
        with served.greet(transport) as session:
            assert session.eval("6*7").text == "42"
    finally:
        for session in sessions:
            session.transport.close()


# ---- the handshake ------------------------------------------------------------------------------

def first_message(psk=PSK, prologue=b"pystuck\1"):
    return b"\0\x30" + stranger.Handshake(psk, prologue=prologue).write_first()


def test_a_first_message_with_any_bit_changed_gets_not_one_byte(served):
    for at in range(16, 50 * 8):  # the length has tests of its own
        wire = bytearray(first_message())
        wire[at // 8] ^= 1 << at % 8
        with served.socket("tcp") as sock:
            sock.sendall(wire)
            assert bytes_until_end(sock) == b"", at


@pytest.mark.parametrize("wire", [first_message(psk=bytes(32)), first_message(prologue=b"pystuck\2"), first_message(prologue=b""),
                                  b"\0\x2f" + first_message()[2:49], b"\0\x31" + first_message()[2:] + b"x", b"\0\0", b"\0\1x"],
                         ids=["wrong key", "prologue of another version", "no prologue", "47 bytes", "49 bytes", "0 bytes", "1 byte"])
def test_a_first_message_that_is_not_right_gets_not_one_byte(served, wire):
    with served.socket("tcp") as sock:
        sock.sendall(wire)
        assert bytes_until_end(sock) == b""


def test_an_ephemeral_key_that_makes_the_shared_secret_zero_gets_not_one_byte(served):
    for public in (bytes(32), b"\1" + bytes(31)):
        hands = stranger.Handshake(PSK)
        hands._before_first(public)
        with served.socket("tcp") as sock:
            sock.sendall(b"\0\x30" + public + hands._seal())
            assert bytes_until_end(sock) == b""


def test_every_handshake_of_the_server_has_a_fresh_key(served):
    seen = set()
    for _ in range(20):
        with served.socket("tcp") as sock:
            sock.sendall(first_message())
            answer = b""
            while len(answer) < 50:
                answer += sock.recv(50 - len(answer))
            seen.add(answer[2:34])
    assert len(seen) == 20


def test_a_first_message_that_is_cut_short_gets_not_one_byte(served):
    wire = first_message()
    for n in range(len(wire)):
        with served.socket("tcp") as sock:
            sock.sendall(wire[:n])
            sock.shutdown(socket.SHUT_WR)
            assert bytes_until_end(sock) == b"", n


def test_a_record_with_any_byte_changed_closes_the_connection_without_bye(served):
    request = frame(encode(Message("EVAL", id=1, flags=0, cell=0, source="modules['__main__'].struck = 1")))
    for at in range(len(request) + 16):
        with served.greet("tcp") as session:
            body = bytearray(session.transport.sending.seal(request))
            body[at] ^= 0x80
            session.transport.push_record(bytes(body))
            assert rest_of(session) == [], at
    with served.greet("tcp") as session:
        assert session.eval("hasattr(modules['__main__'], 'struck')").text == "False"


def test_a_record_sent_again_or_left_out_closes_the_connection(served):
    for which in ([0, 0], [1]):
        with served.greet("tcp") as session:
            bodies = [session.transport.sending.seal(frame(encode(Message("INTERRUPT", id=i)))) for i in range(2)]
            for i in which:
                session.transport.push_record(bodies[i])
            assert rest_of(session) == []


def test_a_record_too_short_to_hold_anything_ends_the_session(served):
    for length in range(17):
        with served.greet("tcp") as session:
            session.transport.push_record(session.transport.sending.seal(b"") if length == 16 else bytes(length))
            rest = rest_of(session)
            assert [message.what for message in rest] == ["BYE"] and rest[0].reason == LIMIT, length


# ---- how the bytes are cut ----------------------------------------------------------------------

def conversation(session):
    """Some of everything, whatever the transport does to the bytes."""
    session.hello()
    answer = session.eval("print('caf\u00e9'); 'x' * 3000 # " + "y" * 3000)
    assert (answer.status, answer.output, len(answer.text)) == (VALUE, "caf\u00e9\n", 3002)
    assert session.dump().thread("MainThread").frames
    assert session.eval("1/0").status == RAISED
    session.send(Message("BYE", reason=0, text=""))
    assert session.receive() is None


@pytest.mark.parametrize("chop", [1, 2, 3, 5, 7, 11, 4096])
def test_messages_may_come_in_pieces_of_any_size(served, transport, chop):
    with served.call(transport, chop=chop) as session:
        conversation(session)


@pytest.mark.parametrize("cut", [[1], [2], [3], [1, 4, 3, 5], [26, 2, 500, 1], [27, 1, 65519]], ids=str)
@pytest.mark.parametrize("chop", [1, 17, None])
def test_records_may_cut_the_stream_anywhere(served, cut, chop):
    with served.call("tcp", cut=cut, chop=chop) as session:
        conversation(session)


def test_the_longest_source_is_run_and_one_byte_more_ends_the_session(served, transport):
    longest = b"7".rjust(stranger.SOURCE_MAX, b"\n")
    with served.greet(transport) as session:
        assert session.eval(longest).text == "7"
        session.send(session.make_eval(b"\n" + longest))
        assert session.wait("BYE").reason == UNKNOWN
        assert rest_of(session) == []


# ---- rekey --------------------------------------------------------------------------------------

def test_both_directions_go_on_behind_65536_records(serve, one_python):
    served = serve(one_python, tcp_options="allow={'key:default': 'stacks'}")
    with served.greet("tcp") as session:
        hands = session.transport
        denied = frame(encode(Message("INTERRUPT", id=1)))
        while min(hands.sending.n, hands.receiving.n) < stranger.REKEY + 3:
            session.evals.add(1)
            hands.write(denied)  # one at a time: each answer has a record of its own
            assert session.receive().reason == DENIED
        assert session.dump().thread("MainThread").frames


def test_a_stream_in_records_of_one_byte_goes_on_behind_the_second_rekey(served):
    with served.greet("tcp", cut=[1]) as session:
        length = 2 * stranger.REKEY
        assert session.eval("#".ljust(length, "#") + "\n'here'").text == "'here'"
        assert session.transport.sending.n > 2 * stranger.REKEY
        assert session.eval("6*7").text == "42"


def test_a_record_under_the_old_key_behind_the_boundary_closes_the_connection(served):
    with served.greet("tcp", cut=[1]) as session:
        hands = session.transport
        source = "#" * (stranger.REKEY - hands.sending.n - 4 - 14)
        assert session.eval(source).status == NONE
        assert hands.sending.n == stranger.REKEY
        old = stranger.SEAL(hands.sending.key, hands.sending.n, b"", frame(encode(Message("INTERRUPT", id=1))))
        hands.push_record(old)
        assert rest_of(session) == []


# ---- DUMP ---------------------------------------------------------------------------------------

THREADS = r'''
import _thread, functools, os, time
facts = {}
never, held = threading.Event(), threading.Lock()
held.acquire()
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    os.close(writing)
    os.read(reading, 1)  # until the program is gone
    os._exit(0)

class Worker(threading.Thread):
    def run(self):
        def inner(one, two="zwei", three=(3, None)):
            four = {"k": [1, 2.5]}
            long = "x" * 1000000
            return held.acquire()  # é: here it waits 	 
        return inner(1)

class Shy:
    def __repr__(self):
        raise ValueError("no")

def deep(n):
    if n:
        return deep(n - 1)
    never.wait()

def in_text():
    exec("shy = Shy()\ntime.sleep(10000)", dict(globals()))

def unknown_to_threading():
    facts["unknown"] = _thread.get_ident(), threading.get_native_id()
    os.read(reading, 1)

def spin():
    while True: pass

Worker(name="worker", daemon=True).start()
for name, run, daemon in (("sleeper", lambda: time.sleep(10000), True), ("reader", functools.partial(os.read, reading, 1), True),
                          ("child", lambda: os.waitpid(child, 0), False), ("na\u00efve \x1b[31m\udc80", in_text, True),
                          ("deep", lambda: deep(200), True), ("spin", spin, True), ("", never.wait, True)):
    threading.Thread(target=run, name=name, daemon=daemon).start()
_thread.start_new_thread(unknown_to_threading, ())
'''

# What Python itself says of its threads, in the words of the protocol.
TRUTH = r'''
def truth():
    import linecache, sys, threading, traceback
    known = {thread.ident: thread for thread in threading.enumerate()}
    main = modules["__main__"]
    found = []
    for ident, top in sys._current_frames().items():
        if ident == threading.get_ident():
            continue
        frames = []
        for frame, line in traceback.walk_stack(top):
            code = frame.f_code
            text = linecache.getline(code.co_filename, line).strip()
            frames.insert(0, (code.co_filename, getattr(code, "co_qualname", code.co_name), line, text or None))
        thread = known.get(ident)
        tid = thread.native_id if thread else main.facts["unknown"][1]
        flags = (thread is threading.main_thread()) + 2 * bool(thread and thread.daemon)
        with open("/proc/self/task/%d/comm" % tid) as comm:
            os_name = comm.read().rstrip("\n")
        name = thread.name.encode("utf-8", "backslashreplace").decode() if thread else ""
        found.append((ident, tid, flags, name, type(thread).__name__ if thread else "", os_name, frames))
    return sorted(found)
'''


def test_a_dump_is_what_python_says_of_its_threads(python, serve, transport):
    served = serve(python, more=THREADS)
    with served.greet(transport) as session:
        assert session.eval(TRUTH).status == NONE

        def agreed():
            truth = ast.literal_eval(session.eval("truth()").text)
            dump = session.dump()
            seen = sorted((t.ident, t.tid, t.flags, t.name, t.class_name, t.os_name, dump.stack(t)) for t in dump.threads)
            return seen == truth and dump

        dump = wait_until(agreed, "a dump that is what Python says")
        assert dump.begin.how == 1 and dump.begin.settled == 1
        assert abs(dump.begin.time_ns - time.time_ns()) < PATIENCE * 10 ** 9
        assert dump.begin.threads == len(dump.threads) == 10
        assert dump.end.omitted_threads == 0 and dump.end.flags == 0
        assert all(thread.omitted_frames == 0 and not any(thread.locals) for thread in dump.threads)
        worker = dump.stack(dump.thread("worker"))[-1]
        assert worker[3] == "return held.acquire()  # \u00e9: here it waits"
        assert [f[1:] for f in dump.stack(dump.thread("na\u00efve \x1b[31m\\udc80"))][-1] == ("<module>", 2, None)

        def states():
            dump = session.dump()
            names = {thread.name or thread.class_name: thread for thread in dump.threads}
            return {name: thread.state for name, thread in names.items()}

        expected = {"worker": 3, "sleeper": 4, "reader": 5, "child": 6, "MainThread": 5}
        wait_until(lambda: expected.items() <= states().items(), f"the states {expected}")
        assert states()["spin"] in (1, 2)


def test_a_dump_with_variables_shows_those_of_each_frame_within_bounds(python, serve, transport):
    served = serve(python, more=THREADS)
    with served.greet(transport) as session:
        def there():
            dump = session.dump(1)
            frames = dump.stack(dump.thread("worker"))
            return frames[-1][1].endswith("inner") and frames[-1][3].startswith("return held") and dump

        dump = wait_until(there, "the thread is where it waits")
        inner = dict(dump.thread("worker").locals[-1])
        long = inner.pop("long")
        assert inner == {"one": "1", "two": "'zwei'", "three": "(3, None)", "four": "{'k': [1, 2.5]}"}
        assert long.startswith("'xxx") and len(long) < 65536
        text = dump.thread("na\u00efve \x1b[31m\\udc80")
        assert "shy" in text.locals[-1]
        assert [frame["n"] for frame in dump.thread("deep").locals if "n" in frame] == [str(n) for n in range(200, -1, -1)]


def test_max_frames_keeps_the_innermost_and_says_how_many_are_missing(python, serve, transport):
    served = serve(python, more=THREADS)
    with served.greet(transport) as session:
        def settled():
            dump = session.dump()
            return dump.stack(dump.thread("deep"))[-1][1].endswith("wait") and dump.thread("deep").state == 3 and dump

        whole = wait_until(settled, "the deep thread waits")
        stack = whole.stack(whole.thread("deep"))
        cut = session.dump(max_frames=3)
        thread = cut.thread("deep")
        assert cut.stack(thread) == stack[-3:] and thread.omitted_frames == len(stack) - 3
        assert cut.end.flags == 1 and cut.end.omitted_threads == 0


def test_a_stack_of_ten_thousand_frames_comes_whole(serve, one_python):
    served = serve(one_python, more="""
import time
sys.setrecursionlimit(20000)
def down(n):
    if n: down(n - 1)
    else: time.sleep(10000)
t = threading.Thread(target=down, args=(10000,), name="down", daemon=True)
t.start()
""")
    with served.greet("tcp") as session:
        dump = wait_until(lambda: (d := session.dump()).thread("down").state == 4 and d, "the thread sleeps")
        assert sum(entry[1] == "down" for entry in dump.stack(dump.thread("down"))) == 10001
        assert len(dump.sources) < 20, "a line is sent once"


def test_the_evaluator_is_in_a_dump_only_when_it_is_asked_for(served, transport):
    with served.greet(transport) as session:
        assert session.eval("1").text == "1"
        assert all(not thread.flags & 4 for thread in session.dump().threads)
        own = [thread for thread in session.dump(2).threads if thread.flags & 4]
        assert own and all(thread.os_name.startswith("pystuck") for thread in own)


def test_without_the_gil_a_dump_still_comes_and_an_evaluation_is_an_error(serve, one_python):
    served = serve(one_python, more="import re, time; threading.Thread(target=time.sleep, args=(10000,), daemon=True).start()")
    with served.greet("unix") as session:
        served.program.say(r"re.match(r'(a+)+$', 'a' * 60 + 'b')")
        dump = wait_until(lambda: (d := session.dump()).begin.how != 1 and d, "the GIL is not to be had")
        assert dump.begin.how in (2, 3) and dump.begin.gil_wait_us > 900000 and dump.begin.gil_held_us == 0 and dump.begin.note
        assert dump.begin.gil_holder == served.program.pid
        threads = {thread.tid: thread for thread in dump.threads}
        assert threads[served.program.pid].flags & 1 and len(threads) == 2
        if dump.begin.how == 3:
            assert dump.codes == [] and all(not t.frames and not t.ident and not t.name for t in dump.threads)
        answer = session.eval("1")
        assert answer.what == "ERROR" and answer.reason == GIL


def test_dumps_that_are_asked_for_at_once_are_each_whole_or_busy(served, transport):
    with served.greet(transport) as session:
        requests = [session.make_dump(3) for _ in range(5)]
        session.send(*requests)
        answers = [session.wait("DUMP_END", "ERROR") for _ in requests]
        assert [answer.id for answer in answers if answer.what == "DUMP_END"][0] == requests[0].id
        assert {answer.id for answer in answers} == {request.id for request in requests}
        assert all(answer.what == "DUMP_END" or answer.reason == BUSY for answer in answers)


# ---- EVAL ---------------------------------------------------------------------------------------

def test_an_expression_gives_its_value_and_a_statement_none(python, serve, transport):
    with serve(python).greet(transport) as session:
        for source, status, text in (("1+1", VALUE, "2"), ("x = 5", NONE, ""), ("None", NONE, ""), ("", NONE, ""), ("x; x + 1", VALUE, "6"),
                                     ("def f():\n    return 'caf\u00e9'\nf()", VALUE, "'caf\u00e9'"), ("x = 1\n\n\nx\n\n", VALUE, "1")):
            answer = session.eval(source)
            assert (answer.status, answer.text, answer.total) == (status, text, len(text.encode())), source


def test_what_is_printed_comes_before_the_result_with_the_stream_it_went_to(python, serve, transport):
    with serve(python).greet(transport) as session:
        answer = session.eval("import sys\nprint('out \u00e9\U0001f600')\nprint('err', file=sys.stderr)\nprint('tail', end='')\n7")
        assert (answer.status, answer.text, answer.output, answer.errors) == (VALUE, "7", "out \u00e9\U0001f600\ntail", "err\n")
        assert "\ud800" not in session.eval("print('\\ud800')").output  # a Utf8 field: decoding it would have failed


def test_three_megabytes_of_output_come_whole_and_in_whole_characters(served, transport):
    with served.greet(transport) as session:
        answer = session.eval("for i in range(3): print(str(i) + '\u20ac' * 333333)")
        assert answer.output == "".join(f"{i}" + "\u20ac" * 333333 + "\n" for i in range(3))


def test_a_value_that_is_cut_says_how_long_it_was(served, transport):
    with served.greet(transport) as session:
        answer = session.eval("'\u20ac' * 1000000")
        assert answer.status == VALUE and answer.total == 3000002
        size = len(answer.text.encode())
        assert 1000 < size <= stranger.SOURCE_MAX and answer.text.startswith("'\u20ac") and "\ufffd" not in answer.text


def test_a_traceback_names_the_cell_and_the_line(python, serve, transport):
    with serve(python).greet(transport) as session:
        answer = session.eval("\n1/0", cell=4711)
        assert answer.status == RAISED and answer.text.startswith("Traceback (most recent call last):")
        assert "4711" in answer.text and "line 2" in answer.text and answer.text.endswith("ZeroDivisionError: division by zero\n")
        answer = session.eval("a b", cell=3)
        assert answer.status == RAISED and "SyntaxError" in answer.text


def test_source_that_is_not_text_is_an_error_of_the_source_and_not_of_the_session(served, transport):
    with served.greet(transport) as session:
        for source in (b"'\xff'", b"1\0", b"'\xed\xa0\x80'"):
            answer = session.eval(source)
            assert answer.status == RAISED and answer.text, source
        assert session.eval("6*7").text == "42"


def test_an_interactive_input_that_can_go_on_is_incomplete_and_not_run(python, serve, transport):
    with serve(python).greet(transport) as session:
        for source, indent in (("(", ""), ("if 1:", "    "), ("if 1:\n  x = 'run'", "  "), ("'''", ""), ("def f():\n\tpass", "\t"),
                               ("if 1:\n  for x in y:", "      ")):
            answer = session.eval(source, flags=1)
            assert answer.status == INCOMPLETE, source
            assert answer.text.strip() == "" and answer.text == indent, source
            assert answer.total == len(indent)
        assert session.eval("'x' in globals()", flags=1).text == "False"
        assert session.eval("if 1:\n  x = 'run'\n", flags=1).status == NONE
        assert session.eval("x", flags=1).text == "'run'"
        assert session.eval("(\n1,\n2)", flags=1).text == "(1, 2)"
        assert session.eval(")", flags=1).status == RAISED
        assert session.eval("(", flags=0).status == RAISED, "without the flag nothing can go on"


def test_system_exit_is_caught_and_told(python, serve, transport):
    with serve(python).greet(transport) as session:
        answer = session.eval("raise SystemExit(3)")
        assert answer.status == EXIT and "3" in answer.text
        assert session.eval("6*7").text == "42"


def test_a_session_has_one_namespace_and_shares_it_with_no_other(served, transport):
    with served.greet(transport) as one, served.greet(transport) as other:
        assert one.eval("mine = 5").status == NONE
        assert one.eval("mine").text == "5"
        assert "NameError" in other.eval("mine").text


def test_a_second_evaluation_is_busy_and_the_first_goes_on(served, transport):
    with served.greet(transport) as session:
        id = begin(session, loop("while True:\n    pass"))
        for _ in range(3):
            answer = session.eval("'second'")
            assert answer.what == "ERROR" and answer.reason == BUSY and answer.text
        dump = session.dump()
        assert dump.thread("MainThread").frames, "a dump is answered while an evaluation runs"
        interrupt(session, id)
        assert session.finish(id).status == INTERRUPTED
        assert session.eval("'third'").text == "'third'"


def test_any_id_but_0_may_be_chosen_and_comes_back(served, transport):
    with served.greet(transport) as session:
        for id in (1, 0x80000000, 0xffffffff):
            session.last_id = id - 1
            assert session.eval("6*7").id == id
        session.last_id = 0xfffffffd
        assert session.dump().begin.id == 0xfffffffe


def test_the_server_gives_an_id_back_and_does_not_check_it(served, transport):
    with served.greet(transport) as session:
        for id in (0, 5, 5):
            session.last_id = id - 1
            assert session.eval("6*7").id == id


# ---- INTERRUPT, DETACH, BYE, the end ------------------------------------------------------------

def test_interrupt_ends_the_evaluation_with_a_traceback(python, serve, transport):
    with serve(python).greet(transport) as session:
        id = begin(session, loop())
        interrupt(session, id)
        answer = session.finish(id)
        assert answer.status == INTERRUPTED and "KeyboardInterrupt" in answer.text and answer.text.startswith("Traceback")
        assert session.eval("6*7").text == "42"


def test_interrupt_right_behind_its_evaluation_is_not_lost(served, transport):
    with served.greet(transport) as session:
        for _ in range(50):
            request = session.make_eval("while True: pass")
            session.send(request, Message("INTERRUPT", id=request.id))
            assert session.finish(request.id).status == INTERRUPTED


def test_interrupt_is_an_exception_that_the_code_may_catch(served, transport):
    with served.greet(transport) as session:
        id = begin(session, caught("caught = 'caught'\ncaught"))
        interrupt(session, id)
        answer = session.finish(id)
        assert answer.status == VALUE and answer.text == "'caught'"


def test_interrupt_and_detach_of_what_is_not_there_do_nothing(served, transport):
    with served.greet(transport) as session:
        done = session.eval("1").id
        id = begin(session, loop())
        session.send_raw(*(encode(Message(what, id=wrong)) for what in ("INTERRUPT", "DETACH") for wrong in (done, id + 1000, 0)))
        assert session.eval("2").reason == BUSY, "the evaluation goes on"
        interrupt(session, id)
        assert session.finish(id).status == INTERRUPTED
        session.send_raw(encode(Message("INTERRUPT", id=id)), encode(Message("DETACH", id=id)))
        assert session.eval("6*7").text == "42"


def test_detach_leaves_the_evaluation_running_and_takes_the_next_at_once(served, transport):
    name = f"detached_{transport}"
    with served.greet(transport) as session:
        assert session.eval(f"go = modules['__main__'].{name} = modules['threading'].Event()").status == NONE
        id = begin(session, loop(f"go.wait()\nprint('nowhere')\nmodules['__main__'].{name}_done = True\n'lost'"))
        next_one = session.make_eval("'next'")
        session.send(Message("DETACH", id=id), next_one)
        assert session.finish(next_one.id).text == "'next'"
        printed = "".join(m.text for m in session.passed)
        assert session.eval("go.set()").status == NONE
        wait_until(lambda: session.eval(f"hasattr(modules['__main__'], '{name}_done')").text == "True", "the detached code went on")
        answer = session.eval("6*7")
        assert answer.text == "42" and "nowhere" not in printed + "".join(m.text for m in session.passed), "its output went nowhere"


def test_what_goes_on_in_the_background_still_answers(served, transport):
    with served.greet(transport) as session:
        first = session.make_eval("import time; print('begun', flush=True)\nwhile not 'go' in globals(): time.sleep(0.01)\n'done'")
        session.send(first)
        session.wait("OUTPUT", id=first.id)
        session.send(Message("WHERE", id=first.id))
        session.wait("PLACE", id=first.id)
        session.send(Message("BACKGROUND", id=first.id))
        second = session.make_eval("go = 40 + 2; go")
        session.send(second)
        answers = {id: session.wait("RESULT", id=id).text for id in (second.id, first.id)}
        assert answers == {first.id: "'done'", second.id: "42"}
        assert session.eval("1").text == "1"


def test_what_goes_on_in_the_background_ends_with_its_client(served, transport):
    name = f"background_{transport}"
    with served.greet(transport) as session:
        id = begin(session, f"import time; m = modules['__main__']; m.{name} = 1; print('on', flush=True)\ntry:\n  while 1: time.sleep(0.01)\nfinally: m.{name} = 2")
        session.send(Message("BACKGROUND", id=id))
        assert session.eval("1").text == "1"
    with served.greet(transport) as session:
        wait_until(lambda: session.eval(f"modules['__main__'].{name}").text == "2", "it was interrupted")


def test_the_id_of_what_was_detached_is_not_taken_again(served, transport):
    with served.greet(transport) as session:
        session.eval("go = modules['threading'].Event()")
        id = begin(session, loop("go.wait()"))
        session.send(Message("DETACH", id=id))
        session.last_id = id - 1
        answer = session.eval("1")
        assert answer.what == "ERROR" and answer.id == id and answer.reason == UNKNOWN
        assert session.eval("go.set(); 6*7").text == "42"


def test_what_was_detached_goes_on_when_the_client_has_gone(served, transport):
    name = f"left_{transport}"
    with served.greet(transport) as session:
        session.eval(f"go = modules['__main__'].{name} = modules['threading'].Event()")
        id = begin(session, loop(f"go.wait()\nmodules['__main__'].{name}_done = True"))
        session.send(Message("DETACH", id=id), Message("BYE", reason=0, text=""))
        assert all(message.what == "OUTPUT" for message in rest_of(session))
    with served.greet(transport) as session:
        assert session.eval(f"modules['__main__'].{name}.set()").status == NONE
        wait_until(lambda: session.eval(f"hasattr(modules['__main__'], '{name}_done')").text == "True", "the detached code went on")


@pytest.mark.parametrize("how", ["bye", "close", "cut"])
def test_an_evaluation_is_interrupted_when_its_client_goes(served, transport, how):
    name = f"gone_{how}_{transport}"
    session = served.greet(transport)
    try:
        begin(session, caught(f"modules['__main__'].{name} = True"))
        if how == "bye":
            session.send(Message("BYE", reason=0, text=""))
            assert all(message.what in ("OUTPUT", "RESULT") for message in rest_of(session))
        elif how == "cut":
            session.transport.write(b"\0\0\1")
    finally:
        session.transport.close()
    with served.greet(transport) as session:
        wait_until(lambda: session.eval(f"hasattr(modules['__main__'], '{name}')").text == "True", "the code was interrupted")


def test_bye_is_the_last_that_is_looked_at_and_is_not_answered(served, transport):
    name = f"after_bye_{transport}"
    with served.greet(transport) as session:
        session.send_raw(BYE, encode(session.make_eval(f"modules['__main__'].{name} = 1")), b"\xff garbage")
        assert rest_of(session) == []
    with served.greet(transport) as session:
        assert session.eval(f"hasattr(modules['__main__'], '{name}')").text == "False"


def test_after_shutdown_of_one_direction_what_was_asked_is_answered(served, transport):
    with served.greet(transport) as session:
        session.send(session.make_dump())
        session.transport.end()
        assert session.wait("DUMP_END").dump.thread("MainThread").frames
        assert session.receive() is None
    if transport == "unix":
        with served.greet(transport) as session:
            request = session.make_eval("print('out'); sum(range(100000)); 6*7")
            session.send(request)
            session.transport.end()
            answer = session.finish(request.id)
            assert answer.output == "out\n" and answer.text == "42"
            assert session.receive() is None


def test_over_tcp_shutdown_of_one_direction_interrupts_the_evaluation_and_closes(served):
    with served.greet("tcp") as session:
        begin(session, caught("modules['__main__'].half = True"))
        session.transport.end()
        assert [message.what for message in rest_of(session) if message.what not in ("OUTPUT", "RESULT")] == []
    with served.greet("tcp") as session:
        wait_until(lambda: session.eval("hasattr(modules['__main__'], 'half')").text == "True", "the code was interrupted")


def test_interrupt_is_acted_on_while_the_client_does_not_read(served, transport):
    with served.greet(transport) as session, served.greet(transport) as watch:
        name = f"written_{transport}"
        request = session.make_eval(
            f"count = 0\nwhile True:\n    print('x' * 10000)\n    count += 1\n    modules['__main__'].{name} = count")
        session.send(request)
        seen = [0, 0, 0]

        def stands_still():
            answer = watch.eval(f"getattr(modules['__main__'], '{name}', 0)")
            seen.append(int(answer.text))
            return seen[-1] > 0 and seen[-1] == seen[-2] == seen[-3]

        wait_until(stands_still, "the evaluation waits for its reader")
        interrupt(session, request.id)
        assert session.finish(request.id).status == INTERRUPTED


def stream():
    return [HELLO, frame(encode(Message("DUMP", id=1, flags=0, max_frames=0)))]


def test_a_conversation_that_the_client_cuts_anywhere_is_answered_up_to_there(served, transport):
    hello, dump = stream()
    for n in range(len(hello + dump)):
        with served.call(transport, cut=[27, 1, 3, 2]) if transport == "tcp" else served.call(transport) as session:
            session.dumps.add(1)
            session.transport.write((hello + dump)[:n])
            session.transport.end()
            assert [message.what for message in rest_of(session)] == (["WELCOME"] if n >= len(hello) else []), n
    assert served.works(transport)


def test_a_record_that_the_client_cuts_anywhere_is_not_used(served):
    for n in range(2 + len(stream()[1]) + 16):
        with served.greet("tcp") as session:
            body = session.transport.sending.seal(stream()[1])
            session.transport.push((len(body).to_bytes(2, "big") + body)[:n])
            session.transport.end()
            assert rest_of(session) == [], n
    assert served.works("tcp")


class Tape(stranger.Plain):
    """A transport that keeps what it has read."""

    read_so_far = b""

    def read(self):
        data = super().read()
        self.read_so_far += data
        return data


class Replay:
    def __init__(self, data):
        self.data = [data]

    def write(self, data):
        pass

    def read(self):
        return self.data.pop() if self.data else b""


def test_a_conversation_that_the_server_cuts_anywhere_is_never_taken_for_a_whole_one(served):
    def talk(session):
        session.hello()
        answer = session.eval("print('out'); 6*7")
        return answer.output, answer.text, len(session.dump().threads)

    tape = Tape(served.socket("unix"))
    with Session(tape) as session:
        whole = talk(session)
    said = tape.read_so_far
    assert talk(Session(Replay(said))) == whole
    for n in range(len(said)):
        with pytest.raises((Truncated, Lost)):
            talk(Session(Replay(said[:n])))


# ---- what may not be sent -----------------------------------------------------------------------

def test_every_type_that_is_not_for_the_server_ends_the_session(served, transport):
    for kind in [1, *range(10, 256), 0]:
        with served.greet(transport) as session:
            session.send_raw(bytes([kind]) + b"\0\0\0\1")
            rest = rest_of(session)
            assert [message.what for message in rest] == ["BYE"] and rest[0].reason == UNKNOWN and rest[0].text, kind


@pytest.mark.parametrize("data", [
    b"\2\0\0\0\1\x80\0\0\0\0", b"\2\0\0\0\1\0\0\0\0", b"\2\0\0\0\1\0\0\0\0\0\0", b"\2",
    b"\3\0\0\0\1\x08\0\0\0\0\0\0\0\0", b"\3\0\0\0\1\0\0\0\0\0\0\0\0\2x",
    b"\3\0\0\0\1\0\0\0\0\0\0\0\0\1xx", b"\3\0\0\0\1\0\0\0\0\0\xff\xff\xff\xffx",
    b"\7\0\0\0\1\2\0\0\0\0", b"\7\0\0\0\1\0\0\0\0", b"\7\0\0\0\1\0\0\0\0\1xx", b"\7\0\0\0\1\0\0\1\0\1" + b"x" * 65537,
    b"\4\0\0\0", b"\4\0\0\0\1\0", b"\5\0\0\0", b"\5\0\0\0\1\0", b"\6", b"\6\x0b\0\0\0\0", b"\6\0\0\0\0\1", b"\6\0\0\0\0\0x",
    b"\6\0\0\0\4\1" + b"x" * 1025], ids=lambda data: data[:16].hex())
def test_a_malformed_message_ends_the_session(served, transport, data):
    with served.greet(transport) as session:
        session.send_raw(data)
        rest = rest_of(session)
        assert [message.what for message in rest] == ["BYE"] and rest[0].reason in (UNKNOWN, LIMIT)


def test_every_prefix_of_a_request_in_a_whole_frame_ends_the_session(served, transport):
    for request in (Message("EVAL", id=1, flags=0, cell=0, source="not = run"), Message("DUMP", id=1, flags=3, max_frames=7)):
        data = encode(request)
        for n in range(1, len(data)):
            with served.greet(transport) as session:
                session.send_raw(data[:n])
                assert [message.what for message in rest_of(session)] == ["BYE"], n


@pytest.mark.parametrize("length", [0, (1 << 20) + 1, (1 << 32) - 1])
def test_a_length_that_no_message_has_ends_the_session(served, transport, length):
    with served.greet(transport) as session:
        session.transport.write(length.to_bytes(4, "big"))
        rest = rest_of(session)
        assert [message.what for message in rest] == ["BYE"] and rest[0].reason in (UNKNOWN, LIMIT)


def test_what_was_asked_before_a_bad_message_is_not_mixed_up_with_it(served, transport):
    with served.greet(transport) as session:
        id = begin(session, loop())
        session.send_raw(b"\x20")
        rest = rest_of(session)
        assert [message.what for message in rest if message.what not in ("OUTPUT", "RESULT")] == ["BYE"] and rest[-1].what == "BYE"
        assert all(message.id == id for message in rest[:-1])


# ---- roles --------------------------------------------------------------------------------------

def everything(session):
    """Each request once: {name: reason, or None where it was carried out}."""
    found = {}
    for name, message in (("dump", session.make_dump()), ("locals", session.make_dump(1)), ("eval", session.make_eval("1")),
                          ("complete", Message("COMPLETE", id=76, flags=0, source="o")),
                          ("interrupt", Message("INTERRUPT", id=77)), ("detach", Message("DETACH", id=78)), ("where", Message("WHERE", id=79)),
                          ("background", Message("BACKGROUND", id=80))):
        session.evals.add(message.id)
        session.send(message)
        if name in ("interrupt", "detach", "where", "background") and session.welcome.role == EVAL:
            found[name] = None
            continue
        answer = session.wait("DUMP_END", "RESULT", "MATCHES", "ERROR", id=message.id)
        found[name] = answer.reason if answer.what == "ERROR" else None
    assert session.dump().threads, "the session goes on"
    return found


@pytest.mark.parametrize("role, denied", [
    ("stacks", ["locals", "eval", "complete", "interrupt", "detach", "where", "background"]),
    ("locals", ["eval", "complete", "interrupt", "detach", "where", "background"]), ("eval", [])])
def test_a_role_may_what_the_table_says_and_the_rest_is_denied(serve, one_python, role, denied):
    served = serve(one_python, tcp_options=f"allow={{'key:default': {role!r}}}")
    with served.greet("tcp") as session:
        assert session.welcome.role == {"stacks": STACKS, "locals": LOCALS, "eval": EVAL}[role]
        assert [name for name, reason in everything(session).items() if reason == DENIED] == denied


def test_where_evaluation_is_off_it_is_disabled_and_the_rest_goes(serve, one_python, transport):
    served = serve(one_python, options="eval=False", tcp_options="eval=False")
    with served.greet(transport) as session:
        assert session.welcome.role == LOCALS
        assert everything(session) == {"dump": None, "locals": None, "eval": DISABLED, "complete": DISABLED,
                                       "interrupt": DISABLED, "detach": DISABLED, "where": DISABLED, "background": DISABLED}


def test_who_has_no_role_is_refused_as_denied(serve, one_python):
    served = serve(one_python, tcp_options="allow={'key:other': 'stacks'}")
    with served.call("tcp") as session:
        with pytest.raises(Refused) as refused:
            session.hello()
        assert refused.value.args[0].reason == DENIED and refused.value.args[0].version == 1
        assert rest_of(session) == []


def test_an_audit_hook_of_the_program_may_say_no(serve, one_python, transport):
    served = serve(one_python, more="""
def hook(event, args):
    if event == "pystuck.eval": raise RuntimeError("not today")
sys.addaudithook(hook)
""")
    with served.greet(transport) as session:
        answer = session.eval("1")
        assert answer.what == "ERROR" and answer.reason == VETO and "not today" in answer.text


def test_a_server_that_stops_says_so_to_who_is_there(serve, one_python, transport):
    served = serve(one_python)
    with served.greet(transport) as session:
        served.program.say("pystuck.stop_server()")
        rest = rest_of(session)
        assert [message.what for message in rest] == ["BYE"] and rest[0].reason == STOPPING
