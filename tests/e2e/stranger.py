"""A client for pystuck's protocol, version 1, written from docs/PROTOCOL.md alone: it shares nothing with the C code.

What lives here: every message encoded and decoded, frames, both transports, key files, and a session that holds the server
to the document. What does not: tests (test_stranger.py). The numbers in the comments are sections of the document.
"""

import base64
import hashlib
import hmac
import os
import re
import socket
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

VERSION = 1
FRAME_MAX = 1 << 20
HELLO_MAX = 512
FRAMES_MAX = 130048
SOURCE_MAX = 1048512

STACKS, LOCALS, EVAL = 1, 2, 3  # roles
DENIED, WRONG_VERSION, FULL, GIL, BUSY, STOPPING, DISABLED, LIMIT, UNKNOWN, VETO = range(1, 11)  # reasons
NONE, VALUE, RAISED, INTERRUPTED, INCOMPLETE, EXIT = range(6)  # the status of a RESULT
STDOUT, STDERR = 1, 2


class Malformed(Exception):
    """The other side broke the rules of the document."""


class Truncated(Exception):
    """The end of the stream, where none may be."""


class Lost(Exception):
    """The end of the stream while an answer was owed."""


class Refused(Exception):
    """REFUSED came; its one argument is that message."""


# ---- fields (1) ---------------------------------------------------------------------------------

class Reader:
    """The bytes of one message, read from the front."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if len(self.data) - self.at < count:
            raise Malformed(f"{count} bytes wanted, {len(self.data) - self.at} are left")
        self.at += count
        return self.data[self.at - count:self.at]

    @property
    def left(self):
        return len(self.data) - self.at


class Unsigned:
    def __init__(self, size, allowed=None):
        self.size, self.allowed = size, allowed

    def encode(self, value):
        return value.to_bytes(self.size, "big")

    def decode(self, reader):
        value = int.from_bytes(reader.take(self.size), "big")
        if self.allowed is not None and value not in self.allowed:
            raise Malformed(f"{value} is not one of {self.allowed}")
        return value


class Flags(Unsigned):
    def __init__(self, named):
        super().__init__(1, range(named + 1))
        assert named & (named + 1) == 0


class String:
    """Bytes, at most `limit`."""

    def __init__(self, limit):
        self.limit = limit

    def encode(self, value):
        return len(value).to_bytes(4, "big") + value

    def decode(self, reader):
        length = int.from_bytes(reader.take(4), "big")
        if length > self.limit:
            raise Malformed(f"a string of {length} bytes, where {self.limit} are allowed")
        return reader.take(length)


class Text(String):
    """A str in the program; what is not UTF-8 becomes lone surrogates, and goes out again as it came."""

    def encode(self, value):
        return super().encode(value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape"))

    def decode(self, reader):
        return super().decode(reader).decode("utf-8", "surrogateescape")


class Utf8(String):
    """A str, and bytes that are not UTF-8 are a fault of the sender. To encode, bytes are taken as they are."""

    def encode(self, value):
        return super().encode(value if isinstance(value, bytes) else value.encode())

    def decode(self, reader):
        data = super().decode(reader)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise Malformed(str(error)) from None


class List(String):
    """[str, ...]: each ends with a NUL."""

    def encode(self, value):
        return super().encode("".join(one + "\0" for one in value).encode())

    def decode(self, reader):
        data = super().decode(reader)
        if data and data[-1] != 0:
            raise Malformed("the last of a list does not end")
        return data.decode("utf-8", "surrogateescape").split("\0")[:-1]


class Frames:
    """[(code, line), ...]"""

    def __init__(self, most=FRAMES_MAX):
        self.most = most

    def encode(self, value):
        return len(value).to_bytes(4, "big") + b"".join(struct.pack(">II", *entry) for entry in value)

    def decode(self, reader):
        count = int.from_bytes(reader.take(4), "big")
        if count > self.most:
            raise Malformed(f"{count} frames")
        return list(struct.iter_unpack(">II", reader.take(8 * count)))


NO_FRAME = 0xFFFFFFFF
U8, U16, U32, U64 = map(Unsigned, (1, 2, 4, 8))
BOOL = Unsigned(1, range(2))

# ---- messages (6) -------------------------------------------------------------------------------

TABLE = {
    1: ("HELLO", (("magic", String(16)), ("version", U16), ("client", Text(64)))),
    2: ("DUMP", (("id", U32), ("flags", Flags(127)), ("max_frames", U32))),
    3: ("EVAL", (("id", U32), ("flags", Flags(3)), ("cell", U32), ("source", Utf8(SOURCE_MAX)))),
    4: ("INTERRUPT", (("id", U32),)),
    5: ("DETACH", (("id", U32),)),
    7: ("COMPLETE", (("id", U32), ("flags", Flags(1)), ("source", Utf8(65536)))),
    8: ("WHERE", (("id", U32),)),
    9: ("BACKGROUND", (("id", U32),)),
    6: ("BYE", (("reason", Unsigned(1, range(11))), ("text", Text(1024)))),
    64: ("WELCOME", (("version", U16), ("role", Unsigned(1, range(1, 4))), ("pid", U32), ("uid", U32), ("started_ns", U64),
                     ("pystuck", Text(64)), ("python", Text(64)), ("command", Text(4096)))),
    65: ("REFUSED", (("version", U16), ("reason", Unsigned(1, range(1, 11))), ("text", Text(1024)))),
    66: ("ERROR", (("id", U32), ("reason", Unsigned(1, range(1, 11))), ("text", Text(1024)))),
    67: ("DUMP_BEGIN", (("id", U32), ("how", Unsigned(1, range(1, 4))), ("settled", BOOL), ("time_ns", U64), ("gil_wait_us", U64),
                        ("gil_held_us", U64), ("gil_holder", U32), ("threads", U32), ("note", Text(1024)))),
    68: ("DUMP_CODE", (("code", U32), ("file", Text(4096)), ("function", Text(1024)))),
    69: ("DUMP_SOURCE", (("code", U32), ("line", U32), ("text", Text(4096)))),
    70: ("DUMP_THREAD", (("ident", U64), ("tid", U32), ("flags", Flags(15)), ("state", Unsigned(1, range(10))), ("name", Text(1024)),
                         ("class_name", Text(1024)), ("os_name", Text(1024)), ("detail", Text(1024)), ("omitted_frames", U32),
                         ("frames", Frames()))),
    71: ("DUMP_LOCAL", (("frame", U32), ("name", Text(1024)), ("value", Text(65536)))),
    72: ("DUMP_END", (("id", U32), ("omitted_threads", U32), ("flags", Flags(3)))),
    73: ("OUTPUT", (("id", U32), ("stream", Unsigned(1, range(1, 4))), ("text", Utf8(SOURCE_MAX)))),
    74: ("RESULT", (("id", U32), ("status", Unsigned(1, range(6))), ("duration_us", U64), ("total", U64), ("text", Text(SOURCE_MAX)))),
    77: ("PLACE", (("id", U32), ("text", Text(1024)))),
    75: ("MATCHES", (("id", U32), ("flags", Flags(3)), ("from", U32), ("total", U32), ("signature", Text(1024)),
                     ("matches", List(65536)))),
    76: ("DUMP_WAIT", (("kind", Unsigned(1, range(10))), ("flags", Flags(255)), ("confidence", Unsigned(1, range(4))), ("cpu_us", U64),
                       ("waited_us", U64), ("address", U64), ("holder", U32), ("holder_frame", U32), ("holder_line", U32), ("fd", U32),
                       ("count", U64), ("pid", U32), ("call", Text(1024)), ("type", Text(1024)), ("name", Text(1024)), ("path", Text(4096)),
                       ("local", Text(1024)), ("peer", Text(1024)), ("command", Text(1024)))),
    79: ("DUMP_GREENLET", (("address", U64), ("parent", U64), ("thread", U64), ("state", Unsigned(1, range(1, 4))), ("flags", Flags(7)),
                           ("type", Text(1024)), ("name", Text(1024)), ("wait", Unsigned(1, range(7))), ("events", Flags(3)), ("fd", U32),
                           ("count", U32), ("left_us", U64), ("object", U64), ("holder", U64), ("object_type", Text(1024)),
                           ("local", Text(1024)), ("peer", Text(1024)), ("path", Text(4096)), ("omitted_frames", U32),
                           ("frames", Frames(FRAMES_MAX - 1024)))),
    80: ("DUMP_GENERATOR", (("kind", Unsigned(1, range(1, 4))), ("count", U32), ("omitted_frames", U32),
                            ("frames", Frames(FRAMES_MAX - 1024)))),
    81: ("DUMP_TASKS", (("flags", Flags(1)), ("tasks", U32), ("omitted", U32), ("took_us", U64), ("held_us", U64), ("longest_us", U64))),
    82: ("DUMP_LOOP", (("loop", U32), ("flags", Flags(7)), ("address", U64), ("tid", U32), ("busy_us", U64), ("ready", U32),
                       ("scheduled", U32), ("task", U64), ("type", Text(1024)), ("callback", Text(1024)))),
    83: ("DUMP_TASK", (("id", U64), ("loop", U32), ("state", Unsigned(1, range(4))), ("flags", Flags(255)), ("kind", Unsigned(1, range(13))),
                       ("confidence", Unsigned(1, range(3))), ("address", U64), ("holder", U64), ("left_us", U64), ("count", U64), ("fd", U32),
                       ("name", Text(1024)), ("coroutine", Text(1024)), ("awaitable", Text(1024)), ("how", Text(1024)), ("type", Text(1024)),
                       ("object", Text(1024)), ("local", Text(1024)), ("peer", Text(1024)), ("omitted_frames", U32), ("omitted_awaits", U32),
                       ("awaits", Frames()), ("frames", Frames()))),
    84: ("DUMP_INTERPRETER", (("id", U64), ("flags", Flags(7)), ("gil_holder", U32))),
    85: ("DUMP_NATIVES", (("threads", U32), ("omitted", U32))),
}
TYPES = {name: kind for kind, (name, _) in TABLE.items()}
FROM_SERVER = {"BYE"} | {name for kind, (name, _) in TABLE.items() if kind >= 64}


class Message:
    """Message("EVAL", id=1, ...): the fields are attributes."""

    def __init__(self, what, /, **fields):
        names = [name for name, _ in TABLE[TYPES[what]][1]]
        if sorted(names) != sorted(fields):
            raise TypeError(f"{what} has the fields {names}, not {sorted(fields)}")
        self.what = what
        self.__dict__.update(fields)

    def __eq__(self, other):
        return isinstance(other, Message) and vars(self) == vars(other)

    def __repr__(self):
        return f"{self.what}({', '.join(f'{k}={v!r:.300}' for k, v in vars(self).items() if k != 'what')})"


def encode(message):
    """Without the length of the frame."""
    kind = TYPES[message.what]
    return bytes([kind]) + b"".join(field.encode(getattr(message, name)) for name, field in TABLE[kind][1])


def decode(data):
    reader = Reader(data)
    kind = reader.take(1)[0]
    if kind not in TABLE:
        raise Malformed(f"a message of the type {kind}")
    what, layout = TABLE[kind]
    fields = {}
    try:
        for name, field in layout:
            fields[name] = field.decode(reader)
        if reader.left:
            raise Malformed(f"{reader.left} bytes after a {what}")
    except Malformed:
        # 10.3: of another version only the first fields count.
        steady = {"HELLO": ("magic", "version"), "WELCOME": ("version",), "REFUSED": ("version", "reason")}.get(what, ())
        if not (steady and fields.get("version", VERSION) != VERSION):
            raise
        if what == "REFUSED" and "reason" not in fields:
            fields["reason"] = Reader(data[3:]).take(1)[0]
        for name, field in layout:
            fields.setdefault(name, "" if isinstance(field, Text) else 0)
    return Message(what, **fields)


def frame(data):
    return len(data).to_bytes(4, "big") + data


class Unframer:
    """Bytes in, messages out (3)."""

    def __init__(self, limit=FRAME_MAX):
        self.buffer, self.limit = bytearray(), limit

    def feed(self, data):
        self.buffer += data

    def next(self):
        """The bytes of the next message, or None."""
        if len(self.buffer) < 4:
            return None
        length = int.from_bytes(self.buffer[:4], "big")
        if not 1 <= length <= self.limit:
            raise Malformed(f"a frame of {length} bytes")
        if len(self.buffer) < 4 + length:
            return None
        message = bytes(self.buffer[4:4 + length])
        del self.buffer[:4 + length]
        return message


# ---- key files (2.2) ----------------------------------------------------------------------------

def parse_keys(data):
    """[(name, key of 32 bytes), ...] of the bytes of a key file. A client uses the first."""
    keys = []
    if len(data) > 4096 or not data.endswith(b"\n"):
        raise Malformed("too long, or cut short")
    for line in data[:-1].split(b"\n"):
        if not line or line.startswith(b"#"):
            continue
        found = re.fullmatch(rb"pystuck-key-1 ([A-Za-z0-9._-]{1,32}) ([A-Za-z0-9+/]{43}=)", line)
        if not found:
            raise Malformed("a line that is not: pystuck-key-1 NAME BASE64")
        name, key = found[1].decode(), base64.b64decode(found[2])
        if base64.b64encode(key) != found[2] or not any(key):
            raise Malformed("not the base64 of a key")
        if any(name == other or key == same for other, same in keys):
            raise Malformed("a name or a key twice")
        keys.append((name, key))
    if not 1 <= len(keys) <= 16:
        raise Malformed(f"{len(keys)} keys")
    return keys


# ---- the sealed transport (4) -------------------------------------------------------------------

RECORD_MAX = 65535
TAG = 16
PROTOCOL_NAME = b"Noise_NNpsk0_25519_ChaChaPoly_BLAKE2b".ljust(64, b"\0")
REKEY = 1 << 16


def HASH(data):
    return hashlib.blake2b(data).digest()


def HMAC(key, data):
    return hmac.new(key, data, hashlib.blake2b).digest()


def HKDF(ck, ikm):
    t = HMAC(ck, ikm)
    o1 = HMAC(t, b"\1")
    o2 = HMAC(t, o1 + b"\2")
    return o1, o2, HMAC(t, o2 + b"\3")


def SEAL(k, n, ad, plain):
    return ChaCha20Poly1305(k[:32]).encrypt(bytes(4) + n.to_bytes(8, "little"), plain, ad)


def OPEN(k, n, ad, sealed):
    try:
        return ChaCha20Poly1305(k[:32]).decrypt(bytes(4) + n.to_bytes(8, "little"), sealed, ad)
    except InvalidTag:
        raise Malformed("a tag that does not verify") from None


def PUBLIC(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def DH(secret, public):
    try:
        return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise Malformed("the shared secret is all zeros") from None


def fresh_secret():
    return X25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


class Handshake:
    """One side of 4.3: both are written, the server's for the examples of the document."""

    def __init__(self, psk, secret=None, prologue=b"pystuck\1"):
        self.psk, self.secret = psk, secret or fresh_secret()
        self.ck = PROTOCOL_NAME
        self.h = HASH(PROTOCOL_NAME + prologue)
        self.k = None

    def mix_key(self, ikm):
        self.ck, self.k, _ = HKDF(self.ck, ikm)

    def mix_hash(self, data):
        self.h = HASH(self.h + data)

    def _before_first(self, public):
        self.ck, o2, self.k = HKDF(self.ck, self.psk)
        self.mix_hash(o2)
        self.mix_hash(public)
        self.mix_key(public)

    def _before_second(self, public, other):
        self.mix_hash(public)
        self.mix_key(public)
        self.mix_key(DH(self.secret, other))

    def _seal(self):
        tag = SEAL(self.k, 0, self.h, b"")
        self.mix_hash(tag)
        return tag

    def _open(self, tag):
        OPEN(self.k, 0, self.h, tag)
        self.mix_hash(tag)

    def write_first(self):
        public = PUBLIC(self.secret)
        self._before_first(public)
        return public + self._seal()

    def read_second(self, body):
        if len(body) != 48:
            raise Malformed(f"a handshake message of {len(body)} bytes")
        self._before_second(body[:32], body[:32])
        self._open(body[32:])

    def read_first(self, body):
        if len(body) != 48:
            raise Malformed(f"a handshake message of {len(body)} bytes")
        self.peer = body[:32]
        self._before_first(self.peer)
        self._open(body[32:])

    def write_second(self):
        public = PUBLIC(self.secret)
        self._before_second(public, self.peer)
        return public + self._seal()

    def keys(self):
        """(client to server, server to client)"""
        o1, o2, _ = HKDF(self.ck, b"")
        return o1[:32], o2[:32]


class Direction:
    """The key and the counter of one direction (4.4, 4.6)."""

    def __init__(self, key):
        self.key, self.n, self.cipher = key, 0, ChaCha20Poly1305(key)

    def _next(self):
        """The cipher and the nonce for the next record."""
        if self.n and self.n % REKEY == 0:
            self.key = SEAL(self.key, 2 ** 64 - 1, b"", bytes(32))[:32]
            self.cipher = ChaCha20Poly1305(self.key)
        nonce = bytes(4) + self.n.to_bytes(8, "little")
        self.n += 1
        return self.cipher, nonce

    def seal(self, piece):
        cipher, nonce = self._next()
        return cipher.encrypt(nonce, piece, b"")

    def open(self, body):
        cipher, nonce = self._next()
        try:
            return cipher.decrypt(nonce, body, b"")
        except InvalidTag:
            raise Malformed("a record that does not verify") from None


# ---- transports (2) -----------------------------------------------------------------------------

class Plain:
    """A connected socket. `chop`: how many bytes are given to the kernel at a time."""

    def __init__(self, sock, chop=None):
        self.sock, self.chop = sock, chop

    def push(self, data):
        """Exactly these bytes, on the wire."""
        step = self.chop or 1 << 16  # each piece has a time-out of its own
        for at in range(0, len(data), step):
            self.sock.sendall(data[at:at + step])

    def write(self, data):
        """These bytes, in the stream."""
        self.push(data)

    def read(self):
        """Some bytes of the stream; none at its end."""
        return self.sock.recv(1 << 16)

    def end(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()


class Sealed(Plain):
    """`cut`: the size of the pieces of the stream that become records; a number, or a list that is gone through in turn."""

    def __init__(self, sock, psk, chop=None, cut=RECORD_MAX - TAG):
        super().__init__(sock, chop)
        self.cut = cut if isinstance(cut, list) else [cut]
        self.turn = 0
        self.wire = bytearray()
        self.ended = False
        handshake = Handshake(psk)
        self.push_record(handshake.write_first())
        answer = self.read_record()
        if answer is None:
            raise Lost("the handshake was not answered")
        handshake.read_second(answer)
        to_server, to_client = handshake.keys()
        self.sending, self.receiving = Direction(to_server), Direction(to_client)

    def push_record(self, body):
        self.push(len(body).to_bytes(2, "big") + body)

    def write(self, data):
        wire = bytearray()
        at = 0
        while at < len(data):
            size = self.cut[self.turn % len(self.cut)]
            self.turn += 1
            body = self.sending.seal(data[at:at + size])
            wire += len(body).to_bytes(2, "big") + body
            at += size
        self.push(bytes(wire))

    def read_record(self):
        """The body of the next record; None at the end."""
        while True:
            if len(self.wire) >= 2:
                length = int.from_bytes(self.wire[:2], "big")
                if len(self.wire) >= 2 + length:
                    body = bytes(self.wire[2:2 + length])
                    del self.wire[:2 + length]
                    return body
            data = self.sock.recv(1 << 16)
            if not data:
                if self.wire:
                    raise Truncated("in a record")
                return None
            self.wire += data

    def read(self):
        body = self.read_record()
        if body is None:
            return b""
        if len(body) <= TAG:
            raise Malformed(f"a record of {len(body)} bytes")
        return self.receiving.open(body)


def server_may_be(sock, path):
    """2.1: is who listens there somebody to talk to?"""
    _, uid, _ = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return uid in (os.getuid(), 0, os.stat(os.path.dirname(path) or ".").st_uid)


def connect_unix(path, patience, **how):
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(patience)
        sock.connect(path)
        if not server_may_be(sock, path):
            raise PermissionError(f"{path}: somebody else's server")
        return Plain(sock, **how)
    except BaseException:
        sock.close()
        raise


def connect_tcp(host, port, psk, patience, **how):
    sock = socket.create_connection((host, port), patience)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Sealed(sock, psk, **how)
    except BaseException:
        sock.close()
        raise


# ---- a session (5) ------------------------------------------------------------------------------

class Dump:
    """The messages of one dump, each checked against what came before it."""

    def __init__(self, begin):
        self.begin, self.end = begin, None
        self.codes, self.sources, self.threads, self.suspended = [], {}, [], []
        self.interpreters, self.natives = [], None
        self.framed = set()  # (code, line) of the frames so far

    def take(self, message):
        if message.what == "DUMP_CODE":
            self._insist(message.code == len(self.codes), message)
            self.codes.append((message.file, message.function))
        elif message.what == "DUMP_SOURCE":
            where = message.code, message.line
            self._insist(message.code < len(self.codes) and where not in self.sources and where not in self.framed, message)
            self._insist(message.text == message.text.strip(" \t\f\r\n"), message)
            self.sources[where] = message.text
        elif message.what == "DUMP_THREAD":
            self._insist(len(self.threads) < self.begin.threads, message)
            self._insist(all(code < len(self.codes) for code, _ in message.frames), message)
            self.framed.update(message.frames)
            message.locals = [{} for _ in message.frames]
            self._insist(self.natives is None or not message.frames, message)
            message.wait = None
            message.interpreter = self.interpreters[-1] if self.interpreters else None
            message.native = self.natives is not None
            self.threads.append(message)
        elif message.what == "DUMP_WAIT":
            self._insist(bool(self.threads) and self.threads[-1].wait is None, message)
            self._insist(bool(message.holder) or message.holder_frame == NO_FRAME, message)
            self.threads[-1].wait = message
        elif message.what == "DUMP_INTERPRETER":
            self._insist(self.natives is None and (bool(self.interpreters) or not self.threads), message)
            self._insist(all(message.id > before.id for before in self.interpreters), message)
            self.interpreters.append(message)
        elif message.what == "DUMP_NATIVES":
            self._insist(self.natives is None, message)
            self.natives = message
        elif message.what in ("DUMP_GREENLET", "DUMP_GENERATOR"):
            self._insist(all(code < len(self.codes) for code, _ in message.frames), message)
            self.suspended.append(message)
        elif message.what == "DUMP_LOCAL":
            self._insist(bool(self.threads) and message.frame < len(self.threads[-1].frames), message)
            self.threads[-1].locals[message.frame][message.name] = message.value
        else:
            self._insist(message.what == "DUMP_END" and message.id == self.begin.id and len(self.threads) == self.begin.threads, message)
            self.end = message

    @staticmethod
    def _insist(right, message):
        if not right:
            raise Malformed(f"not here, or not so: {message}")

    def stack(self, thread):
        """[(file, function, line, source or None), ...], outermost first."""
        return [(*self.codes[code], line, self.sources.get((code, line))) for code, line in thread.frames]

    def thread(self, name):
        found = [thread for thread in self.threads if thread.name == name]
        assert len(found) == 1, f"{len(found)} threads are called {name!r}: {[t.name for t in self.threads]}"
        return found[0]


class Session:
    """One conversation. `said` is whether WELCOME has come, `open_eval` and `open_dump` what is owed."""

    def __init__(self, transport):
        self.transport = transport
        self.unframer = Unframer()
        self.welcome, self.bye = None, None
        self.evals = set()  # ids that may be answered with OUTPUT or RESULT
        self.let_go = set()  # ids that DETACH has named: what comes of them is passed over
        self.dumps = set()
        self.dump_open = None
        self.last_id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.transport.close()

    # -- sending --

    def send_raw(self, *frames):
        """These messages, as bytes, in one write."""
        self.transport.write(b"".join(map(frame, frames)))

    def send(self, *messages):
        for message in messages:
            if message.what in ("EVAL", "COMPLETE"):
                self.evals.add(message.id)
            elif message.what == "DUMP":
                self.dumps.add(message.id)
            elif message.what == "DETACH":
                self.let_go.add(message.id)
        self.send_raw(*map(encode, messages))

    def new_id(self):
        self.last_id += 1
        return self.last_id

    def make_eval(self, source, flags=0, cell=0):
        return Message("EVAL", id=self.new_id(), flags=flags, cell=cell, source=source)

    def complete(self, source, flags=0):
        """The MATCHES, or the ERROR, that answers a COMPLETE."""
        request = Message("COMPLETE", id=self.new_id(), flags=flags, source=source)
        self.send(request)
        return self.wait("MATCHES", "ERROR", id=request.id)

    def make_dump(self, flags=0, max_frames=0):
        return Message("DUMP", id=self.new_id(), flags=flags, max_frames=max_frames)

    # -- receiving --

    def receive(self):
        """The next message; None at an end where one may be."""
        while (data := self.unframer.next()) is None:
            more = self.transport.read()
            if not more:
                if self.unframer.buffer:
                    raise Truncated(f"{len(self.unframer.buffer)} bytes of a frame")
                return None
            self.unframer.feed(more)
        message = decode(data)
        self._check(message)
        return message

    def _check(self, message):
        """7: only what may come now."""
        what = message.what
        if what not in FROM_SERVER or self.bye is not None:
            raise Malformed(f"not from a server, or not now: {message}")
        if (self.welcome is None) != (what in ("WELCOME", "REFUSED")):
            raise Malformed(f"not first, or not again: {message}")
        if what == "WELCOME":
            if message.version != VERSION:
                raise Malformed(f"a version that was not asked for: {message}")
            self.welcome = message
        elif what == "REFUSED":
            self.welcome = self.bye = message
        elif what == "BYE":
            self.bye = message
        elif what == "ERROR":
            if message.id and message.id not in self.evals | self.dumps | self.let_go:
                raise Malformed(f"nothing like this was asked: {message}")
            self.evals.discard(message.id)
            self.dumps.discard(message.id)
        elif what == "PLACE":
            if message.id not in self.evals:
                raise Malformed(f"nothing like this was asked: {message}")
        elif what == "MATCHES":
            if message.id not in self.evals:
                raise Malformed(f"nothing like this was asked: {message}")
            self.evals.discard(message.id)
        elif what in ("OUTPUT", "RESULT"):
            if message.id not in self.evals:
                raise Malformed(f"nothing like this was asked: {message}")
            if what == "RESULT":
                self.evals.discard(message.id)
                size = len(message.text.encode("utf-8", "surrogateescape"))
                if message.total < size or (message.status == NONE and message.text):
                    raise Malformed(f"{size} bytes of text: {message}")
        elif what == "DUMP_BEGIN":
            if message.id not in self.dumps or self.dump_open is not None:
                raise Malformed(f"nothing like this was asked: {message}")
            self.dump_open = Dump(message)
        else:
            if self.dump_open is None:
                raise Malformed(f"no dump is open: {message}")
            self.dump_open.take(message)
            if what == "DUMP_END":
                self.dumps.discard(message.id)
                message.dump, self.dump_open = self.dump_open, None

    def wait(self, *names, id=None):
        """The first message of one of these names (and with this id); what others came before it is in self.passed."""
        self.passed = []
        while True:
            message = self.receive()
            if message is None:
                raise Lost(f"the end, and not one of {names}; before it: {self.passed}")
            if message.what == "REFUSED" and "REFUSED" not in names:
                raise Refused(message)
            if message.what in names and (id is None or id == message.id):
                return message
            self.passed.append(message)

    # -- what a user wants --

    def hello(self):
        self.send(Message("HELLO", magic=b"pystuck", version=VERSION, client="stranger"))
        return self.wait("WELCOME")

    def eval(self, source, flags=0, cell=0):
        """The RESULT; its `output` and `errors` are what was printed. ERROR is given back as it is."""
        request = self.make_eval(source, flags, cell)
        self.send(request)
        return self.finish(request.id)

    def finish(self, id):
        answer = self.wait("RESULT", "ERROR", id=id)
        printed = [message for message in self.passed if message.what == "OUTPUT" and message.id == id]
        answer.output = "".join(message.text for message in printed if message.stream == STDOUT)
        answer.errors = "".join(message.text for message in printed if message.stream == STDERR)
        return answer

    def dump(self, flags=0, max_frames=0):
        request = self.make_dump(flags, max_frames)
        self.send(request)
        answer = self.wait("DUMP_END", "ERROR", id=request.id)
        return answer.dump if answer.what == "DUMP_END" else answer

    def end(self):
        """Until the server has ended the conversation: its last messages."""
        rest = []
        while (message := self.receive()) is not None:
            rest.append(message)
        return rest
