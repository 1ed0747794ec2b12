"""Writes the seeds of fuzz_raw: images of memory with two threads, some frames and their names, in each layout that fuzz_raw.c knows.

Run by hand when the layout there changes: python3 tests/fuzz/corpus_raw.py. What lives here: how such an image is put together.
"""
import pathlib
import struct

BASE = 0x100000
FOLDER = pathlib.Path(__file__).parent / "corpus" / "raw"
(CODE, FRAME, STR, BYTES, DICT, INT, MODULE, TRUE, NONE, THREADING, ACTIVE, NAME, DAEMONIC, NATIVE_ID,
 FLOAT, LIST, TUPLE, SET, FROZENSET, CELL, FUNCTION, C_FUNCTION, FALSE, ELLIPSIS) = (BASE + 0x40 + 8 * i for i in range(24))
STEP = 64  # from a frame to the next


class Image:
    def __init__(self):
        self.bytes = bytearray(0x100)

    def put(self, data):
        at = len(self.bytes)
        self.bytes += data + bytes(-len(data) % 8)
        return BASE + at

    def set(self, address, format, *values):
        struct.pack_into("<" + format, self.bytes, address - BASE, *values)

    def words(self, *values):
        return self.put(struct.pack("<%dQ" % len(values), *values))

    def str(self, text):
        raw, kind = (text.encode("latin1"), 1) if max(map(ord, text)) < 256 else (text.encode("utf-16-le"), 2)
        ascii = text.isascii()
        return self.put(struct.pack("<QQQI", 1, STR, len(text), kind | 8 | (16 if ascii else 0)) + bytes(4 if ascii else 20) + raw + b"\0")

    def int(self, value, tagged):
        digits = [value & (1 << 30) - 1, value >> 30]
        return self.put(struct.pack("<QQQII", 1, INT, 2 << 3 if tagged else 2, *digits))

    def bytes_(self, data):
        return self.put(struct.pack("<QQQ", 1, BYTES, len(data)) + data)

    def tuple(self, *items, type=TUPLE):
        return self.words(1, type, len(items), *items)

    def code(self, name, file, table, names, old):
        """With names for two slots, the second a cell."""
        tuples = ((self.tuple(names[0]), 0, self.tuple(names[1]), self.tuple()) if old else
                  (self.tuple(*names), self.bytes_(b"\x20\x60"), 0, 0))
        return self.put(struct.pack("<QQQQQiiiiQ4Q", 1, CODE, self.str(name), self.str(file), self.bytes_(table), 7, 0, 0, 0, 0, *tuples) +
                        bytes(64))

    def values(self, tagged):
        """One of each kind, in a list."""
        dict_ = self.dict([(self.str("key"), self.int(5, tagged))], False, not tagged)
        table = self.words(self.str("member"), 7, 0, 0)
        items = [NONE, TRUE, FALSE, ELLIPSIS, self.int(1 << 40, tagged), self.put(struct.pack("<QQd", 1, FLOAT, 0.1)), self.str("it's é"),
                 self.bytes_(b"a\0\xff"), self.tuple(self.int(7, tagged)), dict_, self.words(1, SET, 1, 1, table),
                 self.words(1, FROZENSET, 1, 1, table), self.words(1, FUNCTION)]
        return self.words(1, LIST, len(items), self.words(*items))

    def dict(self, items, general, old):
        entries = b"".join(struct.pack("<QQQ", 5, k, v) if general or old else struct.pack("<QQ", k, v) for k, v in items)
        if old:
            keys = struct.pack("<QQQ", 1, 8, len(items)) + bytes(8) + entries
        else:
            keys = struct.pack("<QBBBxIQ", 1, 3, 3, 0 if general else 1, 0, len(items)) + bytes(8) + entries
        return self.words(1, DICT, self.put(keys), 0, len(items))


def image(kind):
    i, old, tags = Image(), kind == 0, kind >= 4
    table = b"\x04\x01\x04\x02" if old else b"\xd8\x00\xd8\x04"
    names = [i.str("plain"), i.str("celled")]
    codes = [i.code("outer", "/a.py", table, names, old), i.code("café.inner", "/中.py", table, names, old)]
    values = i.values(not old)
    cell, namespace = i.words(1, CELL, values), i.dict([(names[0], values)], False, old)
    states = [len(i.bytes) + BASE, len(i.bytes) + BASE + 80]
    i.bytes += bytes(160)
    for n, state in enumerate(states):
        chunk = i.put(bytes(512))
        base, before, at = i.put(bytes(32)), 0, chunk + 24
        if kind >= 2:  # the interpreter's own frame comes first
            i.set(at, "QQQBB", 0, base if kind == 5 else 0, 0, 3, 0)
            before, at = at, at + STEP
        for k, code in enumerate(codes * 2):
            if old:
                i.set(at, "QQQQi", 1, FRAME, code, before, 2)
            else:
                i.set(at, "QQQBB", code | (1 if tags else 0), before, code + 58, 0, 1 if k == 0 else 0)
            i.set(at + (40 if old else 32), "QQ", values, cell)
            i.set(at + 56, "Q", namespace)
            before, at = at, at + STEP
        frame = i.words(0, before) if kind in (1, 2) else before
        i.set(state, "QQQQQQQQQ", 0 if n == 0 else states[0], states[1] if n == 0 else 0, BASE, n + 1, 100 + n, frame, chunk, at, base)
    type = i.put(struct.pack("<QQQQQQQQ", 1, 0, 0, i.put(b"app.Worker\0"), 0, 32, 16, 0))
    threads = []
    for n in range(2):
        names = i.dict([(NAME, i.str("worker é")), (DAEMONIC, TRUE), (NATIVE_ID, i.int(100 + n, not old))], False, old)
        threads.append((i.int(n + 1, not old), i.words(1, type, 0, 0, names)))
    module = i.words(1, MODULE, i.dict([(ACTIVE, i.dict(threads, True, old))], False, old))
    i.set(BASE, "QQiiiiQ", states[0], i.dict([(THREADING, module)], False, old), 0, 0, 1, 0, states[1])
    return bytes(i.bytes)


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for kind, name in enumerate(("3.10", "3.11", "3.12", "3.13", "3.14", "3.15")):
        for every in (0, 40):
            (FOLDER / (name + ("-changing" if every else ""))).write_bytes(bytes((kind, every)) + image(kind))


if __name__ == "__main__":
    main()
