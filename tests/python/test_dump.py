"""The dump half of src/python, inside a Python process: what is answered against what Python itself says.

Run by ./run, which builds the extension `dumphost` first. PYSTUCK_DUMPS sets the number of dumps of the stress test.
"""
import gc
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import traceback
import types
import unittest

import dumphost

LOCALS, OURS, RAW = 1, 2, 4
MAIN, DAEMON, MARKED_OURS, MOVING = 1, 2, 4, 8
WAIT = 10.0
HAS_QUALNAME = sys.version_info >= (3, 11)


class Dump:
    """The messages of one answer, checked for their order and put together."""

    def __init__(self, messages):
        self.codes, self.sources, self.threads, self.error = {}, {}, [], None
        self.begin, self.end, last, self.natives = None, None, None, None
        for kind, *rest in messages:
            if kind == "error":
                self.error = tuple(rest)
            elif kind == "begin":
                assert self.begin is None
                self.begin = rest[0]
            elif kind == "code":
                assert rest[0] == len(self.codes), "codes count up from 0"
                self.codes[rest[0]] = (rest[1], rest[2])
            elif kind == "source":
                assert rest[0] in self.codes and (rest[0], rest[1]) not in self.sources
                self.sources[rest[0], rest[1]] = rest[2]
            elif kind == "thread":
                last = rest[0]
                last["stack"] = [self.codes[code] + (line, self.sources.get((code, line), ""))
                                 for code, line in last["frames"]]
                (self.threads if self.natives is None else self.natives).append(last)
            elif kind == "natives":
                self.natives = []
            elif kind == "wait":
                assert "wait" not in last
                last["wait"] = rest[0]
            elif kind == "local":
                assert rest[0] < len(last["frames"])
                last["locals"].append(tuple(rest))
            elif kind == "end":
                self.end = rest[0]
        if self.error is None:
            assert self.begin["threads"] == len(self.threads) + len(self.natives or ())
            assert self.end["id"] == self.begin["id"]

    def by_ident(self, ident):
        found = [t for t in self.threads if t["ident"] == ident]
        assert len(found) == 1, (ident, found)
        return found[0]

    def of(self, thread):
        return self.by_ident(thread.ident)


def dump(flags=0, max_frames=0):
    return Dump(dumphost.dump(flags, max_frames))


def expected_stack(frame):
    """What Python says of a frame and its callers: outermost first."""
    stack = []
    for f, line in traceback.walk_stack(frame):
        code = f.f_code
        name = code.co_qualname if HAS_QUALNAME else code.co_name
        stack.append((code.co_filename, name, line or 0))
    return stack[::-1]


def until(condition, what):
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.002)
    raise AssertionError("not within %g s: %s" % (WAIT, what))


class Held:
    """A thread that runs `target(self)` and is waited for at the end; target calls wait() where it is to be looked at."""

    def __init__(self, target, cls=threading.Thread, **kwargs):
        self.go, self.there = threading.Event(), threading.Event()
        self.thread = cls(target=target, args=(self,), **kwargs)

    def wait(self):
        self.there.set()
        self.go.wait(WAIT * 3)

    def __enter__(self):
        self.thread.start()
        assert self.there.wait(WAIT)
        # The thread is in the wait itself: its innermost frame holds still.
        until(lambda: sys._current_frames()[self.thread.ident].f_code.co_name == "wait"
              and self.blocked(), "the thread to wait")
        return self.thread

    def blocked(self):
        with open("/proc/self/task/%d/stat" % self.thread.native_id, errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "S"

    def __exit__(self, *exc):
        self.go.set()
        self.thread.join(WAIT)
        assert not self.thread.is_alive()


# --- ways of calling -------------------------------------------------------------------------------------------------

def by_function(held):
    def inner(a, b=2):
        held.wait()
    inner(1)


def by_generator(held):
    def numbers():
        yield 1
        held.wait()
        yield 2
    list(numbers())


def by_delegation(held):
    def low():
        held.wait()
        yield 1

    def high():
        yield from low()
    for _ in high():
        pass


def by_comprehension(held):
    [held.wait() for _ in range(1)]
    {k: held for k in (held.wait() for _ in range(1))}


def by_class_body(held):
    class Body:
        x = 1
        held.wait()


def by_exec(held):
    exec("a = 1\n\nheld.wait()\n", {"held": held})


def by_c_function(held):
    sorted([1], key=lambda x: held.wait() or 0)


def by_init(held):
    class Thing:
        def __init__(self):
            held.wait()
    Thing()


def by_property(held):
    class Thing:
        @property
        def value(self):
            held.wait()
    Thing().value


def by_coroutine(held):
    async def low():
        held.wait()

    async def high():
        await low()
    try:
        high().send(None)
    except StopIteration:
        pass


def by_exception(held):
    try:
        raise ValueError
    except ValueError:
        try:
            1 / 0
        except ZeroDivisionError:
            held.wait()
        finally:
            pass


def by_recursion(held, depth=300):
    if depth:
        by_recursion(held, depth - 1)
    else:
        held.wait()


def by_long_lines(held):
    return (1,
            2,
            held.wait(
            ),
            4)


WAYS = [v for k, v in sorted(globals().items()) if k.startswith("by_")]


class Stacks(unittest.TestCase):
    def test_stacks_are_those_of_current_frames(self):
        for way in WAYS:
            with self.subTest(way.__name__), Held(way) as thread:
                d = dump()
                expected = expected_stack(sys._current_frames()[thread.ident])
                self.assertEqual([s[:3] for s in d.of(thread)["stack"]], expected)
                self.assertEqual(d.of(thread)["omitted"], 0)

    def test_source_lines_are_those_of_the_files(self):
        import linecache
        with Held(by_delegation) as thread:
            stack = dump().of(thread)["stack"]
        self.assertIn("held.wait()", [s[3] for s in stack])
        for file, _, line, source in stack:
            self.assertEqual(source, linecache.getline(file, line).strip(), (file, line))

    def test_the_asking_thread_and_the_main_thread_come_first(self):
        helds = [Held(by_function) for _ in range(3)]
        for h in helds:
            h.__enter__()
        d = dump()
        for h in helds:
            h.__exit__()
        self.assertEqual(d.threads[0]["ident"], threading.main_thread().ident)
        self.assertEqual(d.threads[0]["flags"] & MAIN, MAIN)
        self.assertEqual([t["ident"] for t in d.threads[1:]], [h.thread.ident for h in helds])
        self.assertEqual([t["flags"] & MAIN for t in d.threads[1:]], [0, 0, 0])

    def test_begin_says_how_it_was_taken(self):
        before = time.time_ns()
        d = dump()
        self.assertEqual((d.begin["id"], d.begin["how"], d.begin["settled"], d.begin["note"]), (7, 1, 1, ""))
        self.assertTrue(before <= d.begin["time_ns"] <= time.time_ns())
        self.assertEqual((d.end["omitted"], d.end["cut"]), (0, 0))

    def test_native_ids_and_names_are_those_of_threading(self):
        with Held(by_function, name="worker \u00e9\u20ac", daemon=True) as thread:
            t = dump().of(thread)
            self.assertEqual(t["tid"], thread.native_id)
        self.assertEqual((t["name"], t["class"], t["flags"]), ("worker \u00e9\u20ac", "Thread", DAEMON))
        main = dump().threads[0]
        self.assertEqual((main["name"], main["class"]), ("MainThread", "_MainThread"))
        self.assertEqual(main["tid"], os.getpid())

    def test_innermost_frames_are_kept_and_the_rest_counted(self):
        with Held(by_recursion) as thread:
            whole, part = dump().of(thread), dump(0, 5)
            self.assertEqual(part.of(thread)["stack"], whole["stack"][-5:])
            self.assertEqual(part.of(thread)["omitted"], len(whole["stack"]) - 5)
            self.assertEqual(part.end["cut"], 1)

    def test_deep_recursion_is_bounded(self):
        old = sys.getrecursionlimit()
        sys.setrecursionlimit(40000)
        size = threading.stack_size(512 << 20)
        try:
            with Held(lambda held: by_recursion(held, 20000)) as thread:
                t = dump().of(thread)
        finally:
            sys.setrecursionlimit(old)
            threading.stack_size(size)
        self.assertEqual(len(t["stack"]), 16384)
        self.assertGreater(t["omitted"], 20000 - 16384)
        self.assertEqual(t["stack"][-1][1].split(".")[-1], "wait")

    def test_own_threads_are_shown_on_demand_only(self):
        idents = {t.ident for t in threading.enumerate()}
        self.assertEqual({t["ident"] for t in dump().threads}, idents)
        ours = [t for t in dump(OURS).threads if t["flags"] & MARKED_OURS]
        self.assertEqual([t["os_name"] for t in ours], ["pystuck-courier"])

    def test_threads_of_the_program_stay_as_they_are(self):
        before = threading.enumerate(), set(sys._current_frames())
        dump(LOCALS)
        self.assertEqual(before, (threading.enumerate(), set(sys._current_frames())))

    def test_code_objects_are_let_go(self):
        code = compile("held.wait()\n", "gone.py", "exec")
        count = sys.getrefcount(code)
        with Held(lambda held: exec(code, {"held": held})):
            for _ in range(50):
                dump()
        dumphost.park()
        self.assertEqual(sys.getrefcount(code), count)

    def test_odd_names_are_text(self):
        code = compile("def f(held):\n held.wait()", "odd\udc80\u20ac\U0001f600.py", "exec")
        space = {}
        exec(code, space)
        with Held(space["f"]) as thread:
            files = [s[0] for s in dump().of(thread)["stack"]]
        self.assertIn("odd\\udc80\u20ac\U0001f600.py", files)

    def test_a_thread_that_python_did_not_start_is_shown(self):
        import ctypes
        there, go = threading.Event(), threading.Event()

        @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
        def foreign(arg):
            there.set()
            go.wait(WAIT)
            return 0
        libc = ctypes.CDLL(None)
        handle = ctypes.c_ulong()
        self.assertEqual(libc.pthread_create(ctypes.byref(handle), None, foreign, None), 0)
        there.wait(WAIT)
        found = [t for t in dump().threads if t["ident"] == handle.value]
        go.set()
        libc.pthread_join(handle, None)
        self.assertEqual(len(found), 1)
        self.assertIn("foreign", found[0]["stack"][0][1])
        self.assertGreater(found[0]["tid"], 0)


class NoCodeOfTheProgram(unittest.TestCase):
    def test_no_property_and_no_getattribute_is_called(self):
        calls = []

        class Odd(threading.Thread):
            def __getattribute__(self, name):
                if threading.current_thread() is not main and name != "go":
                    calls.append(name)
                return super().__getattribute__(name)

        class Property(threading.Thread):
            @property
            def _name(self):
                calls.append("property")
                return "made up"

            @_name.setter
            def _name(self, value):
                pass
        main = threading.current_thread()
        with Held(by_function, cls=Odd, name="odd") as odd, Held(by_function, cls=Property) as prop:
            calls.clear()
            d = dump(LOCALS)
            self.assertEqual(calls, [])
            self.assertEqual(d.of(odd)["name"], "odd")
            self.assertEqual((d.of(prop)["name"], d.of(prop)["class"]), ("", "Property"))
            calls.clear()

    def test_a_name_that_is_no_text_is_left_out(self):
        with Held(by_function) as thread:
            thread._name = 42
            self.assertEqual(dump().of(thread)["name"], "")
            thread._name = "x" * 1000
            self.assertEqual(dump().of(thread)["name"], "x" * 128)
            thread._name = "x" * 127 + "\u20ac"
            self.assertEqual(dump().of(thread)["name"], "x" * 127)

    def test_no_garbage_collection_is_started(self):
        runs = []
        old = gc.get_threshold()
        gc.callbacks.append(lambda phase, info: runs.append(phase))
        with Held(by_recursion):
            gc.collect()
            gc.set_threshold(1)
            try:
                runs.clear()
                messages = dumphost.measure(LOCALS)
                count = len(runs)
            finally:
                gc.set_threshold(*old)
                gc.callbacks.pop()
        self.assertTrue(messages[2] > 0)
        # The measuring function itself makes a tuple: one run.
        self.assertLessEqual(count, 2)

    def test_something_else_in_place_of_threading_is_no_harm(self):
        real = sys.modules["threading"]
        for other in (types.ModuleType("threading"), 42, types.SimpleNamespace(_active={})):
            sys.modules["threading"] = other
            try:
                messages = dumphost.dump()
            finally:
                sys.modules["threading"] = real
            self.assertEqual(Dump(messages).threads[0]["name"], "MainThread")
        real_active = real._active
        real._active = {"x": 1, None: None, 2 ** 80: 3, -1: 4, threading.get_ident(): object()}
        try:
            messages = dumphost.dump()
        finally:
            real._active = real_active
        self.assertEqual(Dump(messages).threads[0]["class"], "object")


class Lines(unittest.TestCase):
    def test_decoder_agrees_with_python_over_the_standard_library(self):
        root = os.path.dirname(os.__file__)
        instructions = files = 0
        for folder, folders, names in os.walk(root):
            folders[:] = [f for f in folders if f not in ("site-packages", "dist-packages", "test", "tests", "lib2to3",
                                                          "idlelib", "__pycache__")]
            for name in names:
                if not name.endswith(".py"):
                    continue
                with open(os.path.join(folder, name), "rb") as f:
                    source = f.read()
                try:
                    code = compile(source, name, "exec", dont_inherit=True)
                except (SyntaxError, ValueError):
                    continue
                files += 1
                todo = [code]
                while todo:
                    code = todo.pop()
                    todo += [c for c in code.co_consts if isinstance(c, types.CodeType)]
                    checked, wrong = dumphost.check_lines(code)
                    instructions += checked
                    self.assertEqual(wrong, 0, (folder, name, code.co_name))
        self.assertGreater(files, 150)
        self.assertGreater(instructions, 100000)

    def test_decoder_survives_any_bytes(self):
        import random
        rng = random.Random(1)
        for _ in range(20000):
            table = bytes(rng.randrange(256) for _ in range(rng.randrange(40)))
            dumphost.decode(table, rng.randrange(-5, 1 << 20), rng.randrange(-4, 400))
        self.assertEqual(dumphost.decode(b"", 7, 0), 0)
        self.assertEqual(dumphost.decode(b"", 7, -2), 7)


class Sources(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def source_of(self, file, line=2):
        """The source that a dump shows for a frame said to be in this file at this line."""
        text = "\n" * (line - 1) + "held.wait()\n"
        code = compile(text, "x", "exec").replace(co_filename=file)
        with Held(lambda held: exec(code, {"held": held})) as thread:
            return [s[3] for s in dump().of(thread)["stack"] if s[1] == "<module>"]

    def write(self, content, name="x.py"):
        with open(self.path(name), "wb") as f:
            f.write(content)
        return self.path(name)

    def test_indentation_and_line_end_are_stripped(self):
        self.assertEqual(self.source_of(self.write(b"1\n \t held.wait()  # x \n3\n")), ["held.wait()  # x"])

    def test_all_line_ends_of_python_count(self):
        self.assertEqual(self.source_of(self.write(b"1\r\nsecond\r\n3")), ["second"])
        self.assertEqual(self.source_of(self.write(b"1\rsecond\r3")), ["second"])
        self.assertEqual(self.source_of(self.write(b"1\nsecond")), ["second"])

    def test_line_ends_across_reads_count_once(self):
        chunk = 64 * 1024
        for end in (b"\r\n", b"\n", b"\r"):
            for shift in range(-2, 3):
                first = b"#" * (chunk + shift)
                self.assertEqual(self.source_of(self.write(first + end + b"second" + end)), ["second"], (end, shift))

    def test_missing_lines_and_files_give_no_source(self):
        self.assertEqual(self.source_of(self.write(b"1\n")), [""])
        self.assertEqual(self.source_of(self.write(b"")), [""])
        self.assertEqual(self.source_of(self.path("nowhere.py")), [""])
        self.assertEqual(self.source_of("<string>"), [""])
        self.assertEqual(self.source_of("nul\0.py"), [""])

    def test_long_lines_are_cut(self):
        self.assertEqual(self.source_of(self.write(b"1\n" + b" " * 5000 + b"y" * 5000 + b"\n")), ["y" * 1000])

    def test_a_byte_order_mark_is_no_text(self):
        self.assertEqual(self.source_of(self.write(b"\xef\xbb\xbffirst\n"), line=1), ["first"])

    def test_bytes_that_are_no_utf8_come_as_they_are(self):
        self.assertEqual(self.source_of(self.write(b"1\n'\xff'\n")), ["'\\xff'"])

    def test_fifo_directory_and_device_are_not_read(self):
        os.mkfifo(self.path("fifo"))
        for file in (self.path("fifo"), self.folder.name, "/dev/zero"):
            started = time.monotonic()
            self.assertEqual(self.source_of(file), [""])
            self.assertLess(time.monotonic() - started, 2)

    def test_relative_names_belong_to_the_directory_of_the_start(self):
        self.write(b"1\nrelative\n", "rel.py")
        program = textwrap.dedent("""
            import dumphost, os, sys
            os.chdir("/")
            code = compile("\\nmessages = dumphost.dump()", "rel.py", "exec")
            exec(code)
            print([m[3] for m in messages if m[0] == "source" and m[2] == 2])
        """)
        out = subprocess.run([sys.executable, "-c", program], cwd=self.folder.name, env=dict(
            os.environ, PYTHONPATH=os.path.dirname(dumphost.__file__)), capture_output=True, text=True, timeout=30)
        self.assertEqual(out.stdout.strip(), "['relative']", out.stderr)

    def test_no_file_stays_open(self):
        before = sorted(os.listdir("/proc/self/fd"))
        dump(LOCALS)
        dumphost.os_dump()
        self.assertEqual(sorted(os.listdir("/proc/self/fd")), before)


class Waits(unittest.TestCase):
    def state_of(self, block, release):
        thread = threading.Thread(target=block, daemon=True)
        thread.start()
        try:
            return until(lambda: self.blocked_state(thread), "a thread that waits")
        finally:
            release()
            thread.join(WAIT)
            self.assertFalse(thread.is_alive())

    def blocked_state(self, thread):
        t = dump().of(thread)
        # On its way there it runs, or waits for the GIL.
        return (t["state"], t["detail"]) if t["state"] not in ("cpu", "gil") and t["stack"] else None

    def test_lock(self):
        lock = threading.Lock()
        lock.acquire()
        self.assertEqual(self.state_of(lock.acquire, lock.release), ("lock", "waiting for lock"))

    def test_recv(self):
        a, b = socket.socketpair()
        with a, b:
            self.assertEqual(self.state_of(lambda: a.recv(1), lambda: b.send(b"x")), ("io", "in recv"))

    def test_accept(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            def release():
                socket.create_connection(s.getsockname()).close()
            self.assertEqual(self.state_of(lambda: s.accept()[0].close(), release), ("io", "in accept"))

    def test_read(self):
        r, w = os.pipe()
        self.assertEqual(self.state_of(lambda: os.read(r, 1), lambda: os.write(w, b"x")), ("io", "in read"))
        os.close(r)
        os.close(w)

    def test_sleep(self):
        state = self.state_of(lambda: time.sleep(0.5), lambda: None)
        self.assertEqual(state[0], "sleep")
        self.assertIn(state[1], ("in nanosleep", "in select"))

    def test_select_poll_epoll(self):
        r, w = os.pipe()
        poll, epoll = select.poll(), select.epoll()
        poll.register(r, select.POLLIN)
        epoll.register(r, select.EPOLLIN)
        for block, detail in ((lambda: select.select([r], [], []), "in select"), (poll.poll, "in poll"),
                              (epoll.poll, "in epoll_wait")):
            self.assertEqual(self.state_of(block, lambda: os.write(w, b"x")), ("io", detail))
            os.read(r, 1)
        epoll.close()
        os.close(r)
        os.close(w)

    def test_child(self):
        child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
        self.assertEqual(self.state_of(lambda: os.waitpid(child.pid, 0), child.stdin.close), ("child", "in wait4"))
        child.returncode = 0

    def test_cpu(self):
        import hashlib
        stop, data = [], b"x" * (8 << 20)

        def burn():
            while not stop:
                hashlib.sha256(data).digest()
        thread = threading.Thread(target=burn)
        thread.start()
        try:
            until(lambda: dump().of(thread)["state"] == "cpu", "a thread on CPU")
        finally:
            stop.append(1)
            thread.join()

    def test_waiting_for_the_gil(self):
        """Seen by the kernel while this thread holds the GIL and another one wants it."""
        go, stop = threading.Event(), []

        def spin():
            go.set()
            while not stop:
                pass
        thread = threading.Thread(target=spin)
        thread.start()
        go.wait(WAIT)
        try:
            for _ in range(50):
                dumphost.hold_gil(10)
                d = Dump(dumphost.os_dump())
                t = [t for t in d.threads if t["tid"] == thread.native_id][0]
                if t["state"] == "gil":
                    break
        finally:
            stop.append(1)
            thread.join()
        self.assertEqual((t["state"], t["detail"]), ("gil", "waiting for the GIL"))

    def test_lines_of_the_kernel(self):
        low, high = dumphost.gil_range()
        futex, machine = (202, "x86_64") if os.uname().machine == "x86_64" else (98, "aarch64")
        if os.uname().machine != machine:
            self.skipTest("numbers of system calls of another machine")
        tail = "0x0 0x0 0x0 0x0 0x7ffe 0x7fff\n"
        for word, state in ((low, "gil"), (high - 1, "gil"), (high, "lock"), (low - 1, "lock"), (0, "lock")):
            self.assertEqual(dumphost.syscall("%d 0x%x 0x189 %s" % (futex, word, tail))[0], state)
        self.assertEqual(dumphost.syscall("running\n"), ("cpu", ""))
        self.assertIsNone(dumphost.syscall("-1 0x7ffe 0x7fff\n"))
        self.assertIsNone(dumphost.syscall(""))
        self.assertEqual(dumphost.syscall("99999 0x0"), ("c", "in system call 99999"))

    def test_a_process_that_is_not_dumpable_still_says_something(self):
        lock = threading.Lock()
        lock.acquire()
        dumphost.set_dumpable(0)
        try:
            state = self.state_of(lock.acquire, lock.release)
        finally:
            dumphost.set_dumpable(1)
        self.assertIn(state, (("lock", "waiting for lock"), ("c", "")))


class Locals(unittest.TestCase):
    def render(self, value):
        return dumphost.render(value).decode()

    def test_builtin_values_look_like_their_repr(self):
        for v in (None, True, False, 0, -1, 2 ** 70, -2 ** 500, 1.5, float("inf"), -0.0, 1e300, 2j, "", "a'b", 'a"b',
                  "a'\"b", "\n\t\r\\", "\x01\x7f", "\u20ac\U0001f600", b"", b"a'b", b"\xff\0\n", [], (), {}, set(),
                  frozenset(), [1, [2, ()]], (1,), (1, 2), {1: "a", "b": None}, {7}, frozenset({7}), ..., {"k": [1]}):
            self.assertEqual(self.render(v), repr(v))

    def test_locks_say_whether_they_are_locked(self):
        lock, rlock = threading.Lock(), threading.RLock()
        for _ in range(2):
            self.assertEqual(self.render(lock), repr(lock))
            self.assertEqual(self.render(rlock), repr(rlock))
            lock.acquire(blocking=False)
            rlock.acquire()

    def test_other_values_are_told_by_type_alone(self):
        calls = []

        class Meta(type):
            def __repr__(cls):
                calls.append(1)
                return "x"

            def __getattribute__(cls, name):
                calls.append(name)
                return super().__getattribute__(name)

        class Hostile(metaclass=Meta):
            def __repr__(self):
                calls.append(1)
                return "y"
            __str__ = __format__ = __iter__ = __len__ = __hash__ = __eq__ = __repr__

            def __getattribute__(self, name):
                calls.append(name)
                return super().__getattribute__(name)

        class Str(str):
            __repr__ = Hostile.__repr__

        class List(list):
            __iter__ = __len__ = Hostile.__repr__
        one, text, items = Hostile(), Str("x"), List([1])
        calls.clear()
        name = "test_dump.Locals.test_other_values_are_told_by_type_alone.<locals>." if __name__ == "test_dump" else (
            "__main__.Locals.test_other_values_are_told_by_type_alone.<locals>.")
        got = [self.render(one), self.render([one]), self.render(Hostile), self.render(text), self.render(items)]
        self.assertEqual(calls, [])
        address = "<%sHostile object at 0x%x>" % (name, id(one))
        self.assertEqual(got, [address, "[%s]" % address, "<class '%sHostile'>" % name,
                               "<%sStr object at 0x%x>" % (name, id(text)),
                               "<%sList object at 0x%x>" % (name, id(items))])

    def test_functions_modules_and_classes_are_named(self):
        self.assertEqual(self.render(os), "<module 'os'>")
        self.assertEqual(self.render(by_init), "<function by_init at 0x%x>" % id(by_init))
        self.assertEqual(self.render(int), "<class 'int'>")
        import collections
        self.assertEqual(self.render(collections.deque()).split(" object")[0], "<collections.deque")

    def test_values_are_bounded(self):
        for v in ("x" * 10 ** 6, b"\xff" * 10 ** 6, list(range(10 ** 6)), {i: i for i in range(10 ** 5)},
                  set(range(10 ** 5)), ["\u20ac" * 1000], (("x" * 100,) * 50,) * 50):
            text = dumphost.render(v)
            self.assertLessEqual(len(text), 200)
            self.assertTrue(text.endswith(b"...") or b"..." in text, text)
            text.decode()
        started = time.monotonic()
        self.assertEqual(self.render(1 << 10 ** 7), "<int of 10000001 bits>")
        self.assertLess(time.monotonic() - started, 0.5)

    def test_cycles_and_depth_end(self):
        loop = []
        loop.append(loop)
        self.assertEqual(self.render(loop), "[[[...]]]")
        loop = {}
        loop["x"] = loop
        self.assertEqual(self.render(loop), "{'x': {'x': {...}}}")
        self.assertEqual(self.render(((((1,),),),)), "(((...),),)")

    def test_removed_set_entries_are_not_shown(self):
        s = set(range(8))
        for i in range(7):
            s.discard(i)
        self.assertEqual(self.render(s), "{7}")

    def test_variables_of_functions(self):
        free = "from outside"

        def function(held, parameter=1, *args, **kwargs):
            cell = "in a cell"
            unbound = 1
            del unbound

            def inner():
                return cell, free
            held.wait()
            later = 2
            return later, inner
        with Held(function) as thread:
            t = dump(LOCALS).of(thread)
        at = [i for i, s in enumerate(t["stack"]) if s[1].endswith("function")][0]
        got = {name: value for frame, name, value in t["locals"] if frame == at}
        self.assertEqual({k: got[k] for k in ("parameter", "args", "kwargs", "cell", "free")},
                         {"parameter": "1", "args": "()", "kwargs": "{}", "cell": "'in a cell'",
                          "free": "'from outside'"})
        self.assertEqual(set(got), {"parameter", "args", "kwargs", "cell", "free", "held", "inner"})

    def test_variables_of_modules_without_furniture(self):
        source = "import os\ndef f(): pass\nclass C: pass\n__dunder__ = 1\nvalue = 2\nthing = C()\nheld.wait()\n"
        space = {"held": None, "__name__": "some"}

        def target(held):
            space["held"] = held
            exec(compile(source, "m.py", "exec"), space)
        with Held(target) as thread:
            t = dump(LOCALS).of(thread)
        at = [i for i, s in enumerate(t["stack"]) if s[0] == "m.py"][0]
        got = {name: value for frame, name, value in t["locals"] if frame == at}
        self.assertEqual(set(got), {"value", "thing", "held"})
        self.assertEqual(got["value"], "2")
        self.assertEqual(got["thing"].split(" at ")[0], "<some.C object")

    def test_variables_of_class_bodies(self):
        with Held(by_class_body) as thread:
            t = dump(LOCALS).of(thread)
        self.assertIn(("x", "1"), [(n, v) for _, n, v in t["locals"]])

    def test_none_without_the_flag(self):
        with Held(by_function) as thread:
            self.assertEqual(dump().of(thread)["locals"], [])

    def test_many_variables_are_cut_and_said_so(self):
        names = ["v%d" % i for i in range(200)]
        source = "def f(held):\n" + "".join("  %s = 'x' * 300\n" % n for n in names) + "  held.wait()\n"
        space = {}
        exec(source, space)
        with Held(space["f"]) as thread:
            d = dump(LOCALS)
        t = d.of(thread)
        at = [i for i, s in enumerate(t["stack"]) if s[1] == "f"][0]
        self.assertEqual(len([1 for frame, _, _ in t["locals"] if frame == at]), 50)
        self.assertEqual(d.end["cut"], 1)

    def test_all_together_are_bounded(self):
        def deep(held, n, a="x" * 300, b="y" * 300, c="z" * 300):
            d = e = f = a
            if n:
                deep(held, n - 1)
            else:
                held.wait()
            return d, e, f
        with Held(lambda held: deep(held, 800)):
            d = dump(LOCALS)
        size = sum(len(n) + len(v) for t in d.threads for _, n, v in t["locals"])
        self.assertLess(size, 1 << 20)
        self.assertGreater(size, 1 << 13)
        self.assertEqual(d.end["cut"], 1)


class Text(unittest.TestCase):
    def test_utf8_is_whole_and_bounded(self):
        for s in ("", "abc", "\u00e9" * 5, "\u20ac" * 5, "\U0001f600" * 5, "a\u00e9\u20ac\U0001f600"):
            self.assertEqual(dumphost.utf8(s, 1000), s.encode())
            for most in range(12):
                got = dumphost.utf8(s, most)
                self.assertLessEqual(len(got), most)
                self.assertTrue(s.encode().startswith(got))
                got.decode()
        self.assertEqual(dumphost.utf8("\udc80x", 100), b"\\udc80x")
        self.assertEqual(dumphost.utf8("\udc80x", 5), b"")


def without_times(threads):
    """What two dumps of threads that hold still agree on, the asking thread's innermost frames apart."""
    keys = ("ident", "tid", "flags", "name", "class", "omitted", "stack")
    return [{k: t[k] for k in keys} for t in threads]


class Raw(unittest.TestCase):
    def setUp(self):
        self.assertIsNone(dumphost.raw_trouble())

    def assert_same(self, **kwargs):
        """Both ways to dump give the same threads, names, frames, lines and sources."""
        settled = until(lambda: (d := dump(RAW, **kwargs)).begin["settled"] and d, "a settled dump")
        self.assertEqual(settled.begin["how"], 2)
        usual = dump(0, **kwargs)
        ours, theirs = without_times(settled.threads), without_times(usual.threads)
        # The asking thread calls dump() from two places.
        for one in ours, theirs:
            for t in one:
                if t["ident"] == threading.get_ident():
                    t["stack"] = None
        self.assertEqual(ours, theirs)
        self.assertEqual(settled.end, usual.end)
        return settled

    def test_stacks_are_those_of_current_frames_and_of_the_usual_dump(self):
        for way in WAYS:
            with self.subTest(way.__name__), Held(way) as thread:
                d = self.assert_same()
                expected = expected_stack(sys._current_frames()[thread.ident])
                self.assertEqual([s[:3] for s in d.of(thread)["stack"]], expected)

    def test_the_interpreter_counts_whenever_another_thread_gets_the_gil(self):
        go, gone = threading.Semaphore(0), threading.Semaphore(0)
        def other():
            for _ in range(100):
                go.acquire()
                gone.release()
        thread = threading.Thread(target=other)
        thread.start()
        for _ in range(100):
            before = dumphost.gil_switches()
            go.release()
            gone.acquire()  # the other one has run, and then this one
            self.assertGreaterEqual(dumphost.gil_switches(), before + 2)
        thread.join()

    def test_names_of_all_widths_are_read(self):
        held = Held(by_function)
        for name in ("plain", "caf\u00e9", "\u4e2d\u6587", "\U0001d49c\U0001d4b7"):
            space = {"held": held}
            exec(compile("def f_%s(): held.wait()" % name, "<%s>" % name, "exec"), space)
            function = next(v for k, v in space.items() if k.startswith("f_"))
            with self.subTest(name), Held(lambda h: (space.update(held=h), function()), name=name * 3) as thread:
                t = self.assert_same().of(thread)
                self.assertEqual(t["name"], name * 3)
                self.assertIn(("<%s>" % name, function.__name__), [s[:2] for s in t["stack"]])

    def test_threads_of_other_classes_and_with_attributes_of_their_own_are_named(self):
        class Many(threading.Thread):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                for i in range(100):
                    setattr(self, "attribute_%d" % i, i)  # more than objects share the keys of
        class Slots(threading.Thread):
            __slots__ = ("a", "b")
        for cls in Many, Slots:
            with self.subTest(cls.__name__), Held(by_function, cls=cls, name="one of " + cls.__name__, daemon=True) as thread:
                vars(thread)  # a dict is made of it
                t = self.assert_same().of(thread)
                self.assertEqual((t["name"], t["class"], t["flags"]), ("one of " + cls.__name__, cls.__name__, DAEMON))

    def test_innermost_frames_are_kept_and_the_rest_counted(self):
        with Held(by_recursion) as thread:
            whole, part = dump(RAW).of(thread), dump(RAW, 5)
            self.assertEqual(part.of(thread)["stack"], whole["stack"][-5:])
            self.assertEqual(part.of(thread)["omitted"], len(whole["stack"]) - 5)
            self.assertEqual(part.end["cut"], 1)

    def test_deep_recursion_is_whole_up_to_the_limit(self):
        old = sys.getrecursionlimit()
        sys.setrecursionlimit(40000)
        size = threading.stack_size(512 << 20)
        try:
            for depth in 10000, 20000:
                with Held(lambda held: by_recursion(held, depth)) as thread:
                    self.assert_same()
        finally:
            sys.setrecursionlimit(old)
            threading.stack_size(size)

    def test_a_thousand_threads_are_shown(self):
        gate, started = threading.Event(), threading.Semaphore(0)
        size = threading.stack_size(256 << 10)
        def wait():
            started.release()
            gate.wait()
        crowd = [threading.Thread(target=wait, name="crowd %d" % i) for i in range(1000)]
        try:
            for t in crowd:
                t.start()
            for _ in crowd:
                started.acquire()
            d = until(lambda: (d := dump(RAW)).begin["settled"] and d, "a settled dump")
            named = {t["name"]: t for t in d.threads}
            self.assertEqual(d.end["omitted"], 0)
            for t in crowd:
                self.assertEqual((named[t.name]["ident"], named[t.name]["tid"]), (t.ident, t.native_id))
                self.assertEqual(named[t.name]["stack"][0][1].split(".")[-1], "_bootstrap")
                self.assertIn("wait", named[t.name]["stack"][3][1])
        finally:
            gate.set()
            for t in crowd:
                t.join()
            threading.stack_size(size)

    def test_own_threads_are_shown_on_demand_only(self):
        idents = {t.ident for t in threading.enumerate()}
        self.assertEqual({t["ident"] for t in dump(RAW).threads}, idents)

    def test_who_keeps_the_gil_is_named_and_all_stacks_are_read(self):
        with Held(by_generator) as thread:
            d = Dump(dumphost.late_dump())
            expected = expected_stack(sys._current_frames()[thread.ident])
        self.assertEqual((d.begin["how"], d.begin["settled"], d.begin["wait_us"], d.begin["held_us"]), (2, 1, 1040000, 0))
        self.assertEqual(d.begin["holder"], os.getpid())
        self.assertEqual(d.begin["note"], "GIL not available for 1.0 s, held by MainThread (tid %d) in C code;"
                         " stacks read without it; settled" % os.getpid())
        self.assertEqual([s[:3] for s in d.of(thread)["stack"]], expected)
        own = d.of(threading.main_thread())
        self.assertEqual(own["stack"][-1][1].split(".")[-1], "test_who_keeps_the_gil_is_named_and_all_stacks_are_read")

    def test_the_garbage_collector_is_named(self):
        class Finalized:
            def __del__(self):
                answers.append(Dump(dumphost.late_dump()))
        answers, one = [], Finalized()
        one.itself = one
        del one
        gc.collect()
        self.assertEqual(len(answers), 1)
        self.assertIn("(tid %d) in C code, collecting garbage; stacks read" % os.getpid(), answers[0].begin["note"])
        self.assertEqual(answers[0].of(threading.main_thread())["stack"][-1][1].split(".")[-1], "__del__")

    def test_it_works_where_the_process_is_not_dumpable(self):
        dumphost.set_dumpable(0)
        try:
            with Held(by_function):
                self.assert_same()
        finally:
            dumphost.set_dumpable(1)

    def test_it_works_where_files_may_not_grow(self):
        import resource
        old = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, old[1]))
        try:
            with Held(by_function):
                self.assert_same()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)

    def test_nothing_is_left_behind(self):
        before = sorted(os.listdir("/proc/self/fd"))
        for _ in range(100):
            dump(RAW)
        self.assertEqual(sorted(os.listdir("/proc/self/fd")), before)
        def readers():
            names = []
            for tid in os.listdir("/proc/self/task"):
                try:
                    with open("/proc/self/task/%s/comm" % tid, errors="replace") as f:
                        names.append(f.read().strip())
                except FileNotFoundError:
                    pass
            return "pystuck-raw" in names
        until(lambda: not readers(), "the thread that reads to end")


class WithoutTheGil(unittest.TestCase):
    def test_threads_states_and_the_holder_are_told(self):
        with Held(by_function) as thread:
            d = Dump(dumphost.os_dump())
            tids = {t["tid"] for t in d.threads}
            self.assertEqual(tids, {os.getpid(), thread.native_id})
        self.assertEqual((d.begin["how"], d.begin["settled"], d.begin["wait_us"]), (3, 0, 1040000))
        self.assertEqual(d.begin["holder"], os.getpid())
        self.assertEqual(d.begin["note"],
                         "GIL not available for 1.0 s, held by thread %d; Python stacks unknown: they could not be read in time"
                         % os.getpid())
        self.assertEqual(d.threads[0]["flags"], MAIN)
        self.assertEqual(d.threads[1]["state"], "lock")
        self.assertEqual([t["frames"] for t in d.threads], [[], []])

    def test_a_locked_list_of_threads_is_given_up(self):
        gave_up, us = dumphost.collect_locked()
        self.assertTrue(gave_up)
        self.assertLess(us, 1000000)


class Courier(unittest.TestCase):
    def couriers(self):
        """The ids of the threads with the courier's name; threads of other tests may still be leaving."""
        found = []
        for tid in os.listdir("/proc/self/task"):
            try:
                with open("/proc/self/task/%s/comm" % tid, errors="replace") as f:
                    if f.read().strip() == "pystuck-courier":
                        found.append(tid)
            except FileNotFoundError:
                pass
        return found

    def test_it_is_started_by_the_first_job_and_ends_when_parked(self):
        dumphost.park()
        self.assertEqual(self.couriers(), [])
        dumphost.dump()
        self.assertEqual(len(self.couriers()), 1)
        dumphost.park()
        self.assertEqual(self.couriers(), [])
        dumphost.park()
        dumphost.dump()
        self.assertEqual(len(self.couriers()), 1)

    def test_all_signals_are_blocked_in_it(self):
        dumphost.dump()
        courier, = self.couriers()
        with open("/proc/self/task/%s/status" % courier) as f:
            blocked = [int(line.split()[1], 16) for line in f if line.startswith("SigBlk")][0]
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1, signal.SIGSEGV):
            self.assertTrue(blocked >> (number - 1) & 1, number)

    def test_a_late_claim_answers_nothing(self):
        self.assertTrue(dumphost.late())

    def test_it_says_how_long_it_waits(self):
        self.assertEqual(dumphost.waiting_us(), 0)
        self.assertGreater(dumphost.courier_waits(5000), 5000)
        dumphost.park()
        self.assertEqual(dumphost.waiting_us(), 0)

    def test_threads_that_park_and_ask_at_once_all_come_back(self):
        def ask():
            for _ in range(100):
                dumphost.dump()

        def park():
            for _ in range(100):
                dumphost.park()
        threads = [threading.Thread(target=t) for t in (ask, park, ask, park)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
        self.assertFalse(any(t.is_alive() for t in threads))

    def run_program(self, program, code=0):
        out = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], env=dict(
            os.environ, PYTHONPATH=os.path.dirname(dumphost.__file__)), capture_output=True, text=True, timeout=60)
        self.assertEqual(out.returncode, code, out.stderr)
        return out.stdout.strip()

    def test_after_a_stop_jobs_are_refused(self):
        out = self.run_program("""
            import dumphost
            dumphost.dump()
            print(dumphost.stop(2000), dumphost.dump()[0][:3:2], dumphost.stop(2000))
        """)
        self.assertEqual(out, "True ('error', 'stopping') True")

    def test_a_stop_that_is_not_waited_out_leaves_the_exit_alone(self):
        out = self.run_program("""
            import atexit, dumphost, time
            def stop():
                started = time.monotonic()
                print(dumphost.stop(100), time.monotonic() - started < 5)
            atexit.register(stop)
            dumphost.busy_courier(700)
            time.sleep(0.1)
        """)
        self.assertEqual(out, "False True")

    def test_it_works_in_a_forked_child(self):
        out = self.run_program("""
            import dumphost, os, warnings
            warnings.simplefilter("ignore")
            dumphost.dump()
            pid = os.fork()
            if pid == 0:
                dumphost.forget()
                ok = dumphost.dump()[-1][0] == "end"
                dumphost.park()
                os._exit(0 if ok else 1)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), dumphost.dump()[-1][0])
        """)
        self.assertEqual(out, "0 end")

    def test_threading_is_not_imported_for_it(self):
        out = self.run_program("""
            import sys, dumphost
            before = set(sys.modules)
            messages = dumphost.dump(1)
            print(set(sys.modules) - before, [m[1]["name"] for m in messages if m[0] == "thread"])
        """)
        self.assertEqual(out, "set() ['MainThread']")


STRESS = """
    import dumphost, gc, sys, threading, time, weakref
    dumps = int(sys.argv[1])
    gc.set_threshold(1)
    stop = []
    def churn(n):
        while not stop:
            space = {}
            exec("def f%d(x):\\n def g(y):\\n  return sum(i for i in (x, y))\\n return g(1)\\n" % n, space)
            space["f%d" % n](1)
            n += 1
    def starter():
        while not stop:
            ts = [threading.Thread(target=lambda: list(map(str, range(20)))) for _ in range(5)]
            for t in ts: t.start()
            for t in ts: t.join()
    def generators():
        def g(n):
            if n: yield from g(n - 1)
            yield n
        while not stop:
            for _ in g(20): pass
    def sleeper():
        while not stop:
            time.sleep(0.0001)
    ts = [threading.Thread(target=t, args=a) for t, a in
          ((churn, (0,)), (churn, (10 ** 6,)), (starter, ()), (generators, ()), (sleeper, ()), (sleeper, ()))]
    for t in ts: t.start()
    sys.setswitchinterval(0.0002)
    frames = 0
    for i in range(dumps):
        m = dumphost.dump(i % 4, 0) if i % 10 == 0 else dumphost.measure(i % 4)
        if i % 10 == 0:
            assert m[0][0] == "begin" and m[-1][0] == "end", m
            frames += sum(len(t[1]["frames"]) for t in m if t[0] == "thread")
    stop.append(1)
    for t in ts: t.join()
    dumphost.park()
    print(frames > dumps // 10)
"""


class Stress(unittest.TestCase):
    def test_dumps_of_a_changing_program_never_crash_it(self):
        dumps = os.environ.get("PYSTUCK_DUMPS", "300")
        out = subprocess.run([sys.executable, "-c", textwrap.dedent(STRESS), dumps], env=dict(
            os.environ, PYTHONPATH=os.path.dirname(dumphost.__file__)), capture_output=True, text=True,
            timeout=120 + int(dumps) // 10)
        self.assertEqual((out.returncode, out.stdout.strip()), (0, "True"), out.stderr[-2000:])


if __name__ == "__main__":
    unittest.main()
