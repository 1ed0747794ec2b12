"""What evaluating leaves behind in the program, which is nothing; and the finer points of the prompt's namespace."""

import pytest

import procfs
from conftest import PATIENCE, wait_until
from repl import Repl
from stranger import Session, connect_unix

IDLE = """
import os, sys, threading, pystuck
server = pystuck.run_server()
print("READY", flush=True)
os.read(0, 1)
"""


@pytest.fixture
def program(python, start):
    return start(python, IDLE)


def eval_threads(program):
    """How many evaluation threads the program has."""
    return procfs.thread_names(program.pid).count("pystuck-eval")


def end(program):
    program.process.stdin.close()
    return program.wait()


@pytest.mark.parametrize("code", [
    "exec('raise KeyboardInterrupt')",
    "exec('while True: pass')",
])
def test_a_keyboard_interrupt_does_not_change_how_the_program_ends(python, start, tmp_path, code):
    program = start(python, IDLE)
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        if "while" in code:
            repl.send(f"print('o' + 'n'); {code}\r")
            repl.expect(r"\non\n")
            repl.send("\x03")
            repl.expect(r"KeyboardInterrupt[^\n]*\n(?:.*\n)*.*In \[\d+\]: $")
        else:
            assert "KeyboardInterrupt" in repl.ask(code)
    assert end(program) == 0


@pytest.mark.parametrize("code, status", [
    ("os._exit(5)", 5),
    ("None", 0),
    ("1/0", 1),
])
def test_a_fork_in_an_evaluation_ends_in_the_child_with_the_evaluation(program, ask, code, status):
    answer = ask(program, f"""
import os, warnings
with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # that a program with threads forks
    pid = os.fork()
if pid == 0:
    {code}
    out = None
else:
    out = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
out""")
    assert (answer.status, answer.out) == (0, f"{status}\n"), answer
    assert ask(program, "1+1").out == "2\n" and end(program) == 0


def test_multiprocessing_by_fork_works_in_an_evaluation(program, ask):
    answer = ask(program, """
import multiprocessing, warnings
warnings.simplefilter('ignore')
context = multiprocessing.get_context('fork')
queue = context.Queue()
process = context.Process(target=lambda: queue.put(42))
process.start()
value = queue.get(timeout=20)
process.join()
value, process.exitcode""")
    assert answer.out == "(42, 0)\n", answer


def test_the_program_forks_while_an_evaluation_runs(python, start, tmp_path):
    program = start(python, """
import os, sys, warnings, pystuck
warnings.simplefilter("ignore")
pystuck.run_server()
print("READY", flush=True)
real = sys.__stdout__
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        os._exit(0 if sys.stdout is real else 3)
    real.write(f"CHILD {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\\n")
    real.flush()
""")
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        repl.send("import time; print('o' + 'n'); e = __import__('threading').Event()\r")
        repl.expect(r"\non\n(?:.*\n)*.*In \[\d+\]: $")
        repl.send("for i in range(10**9): print('.', end='', flush=True) if i % 10**6 == 0 else e.is_set()\r")
        repl.expect(r"\.\.")
        program.say("")
        program.out.until(r"CHILD 0")
        repl.send("\x03")
        repl.expect(r"KeyboardInterrupt[^\n]*\n(?:.*\n)*.*In \[\d+\]: $")
        assert repl.ask("1+1").endswith("2")


def test_threading_does_not_learn_of_the_evaluation_thread(program, ask):
    assert "Dummy" in ask(program, "import threading; threading.current_thread().name").out
    assert ask(program, "modules.threading.enumerate()").out.count("<") == 1
    assert ask(program, "len(modules.threading._active)").out == "1\n"


def test_nothing_is_left_in_sys_builtins_or_linecache(program, ask):
    assert ask(program, "1/0").status == 1
    left = """
import builtins, linecache, sys
([n for n in ('last_exc', 'last_type', 'last_value', 'last_traceback') if hasattr(sys, n)],
 hasattr(builtins, '_'), sys.displayhook is sys.__displayhook__, sys.excepthook is sys.__excepthook__,
 [f for f in linecache.cache if 'pystuck' in f])"""
    assert ask(program, left).out == "([], False, True, True, [])\n"


def test_the_programs_stream_is_back_after_an_evaluation(python, start, ask):
    program = start(python, """
import io, sys, pystuck
pystuck.run_server()
real = sys.stdout
print("READY", flush=True)
for line in sys.stdin:
    what = line.strip()
    if what == "none": sys.stdout = None
    if what == "missing": del sys.stdout
    if what == "other": sys.stdout = io.StringIO()
    now = sys.__dict__.get("stdout", "missing")
    real.write(f"NOW {now if now in (None, 'missing') else 'real' if now is real else type(now).__name__}\\n")
    real.flush()
""")

    def now(what=""):
        program.say(what)
        return program.out.until(r"NOW (\w+)")[1]

    assert ask(program, "keep = modules.sys.stdout; print('x', file=keep)").out == "x\n"
    assert now() == "real"
    for what, kind in [("none", "None"), ("missing", "missing"), ("other", "StringIO")]:
        assert now(what) == kind
        assert ask(program, "print('x')").out == "x\n"
        assert now() == kind
    assert ask(program, "modules.sys.stdout = modules.sys.__stdout__").status == 0
    assert now() == "real"


READS = """
import sys, pystuck
pystuck.run_server()
real = sys.stdin
print("READY", flush=True)
for line in real:
    if line == "other\\n": sys.stdin = None
    print("READ", line.strip(), sys.stdin is real, sys.stdin, flush=True)
"""


def test_the_programs_input_is_not_for_evaluations(python, start, ask):
    """Its main thread is in the middle of reading it, and what comes there is its own."""
    program = start(python, READS)
    answer = ask(program, "input('name? ')")
    assert answer.status == 1 and answer.out == "name? ", answer
    assert answer.err.rstrip().endswith("EOFError: there is no input for what is evaluated here: sys.stdin is the program's own")
    assert answer.err.count("File ") == 1, answer
    ways = ("read", "readline", "readlines", "__next__", "buffer.read", "buffer.readline")
    answer = ask(program, "import sys\nfor way in %r:\n    try: eval('sys.stdin.' + way)()\n    except EOFError: print(way)\n"
                 "try: list(sys.stdin)\nexcept EOFError: print('list')\nsys.stdin.encoding" % (ways,))
    assert answer.out.split() == [*ways, "list", "'utf-8'"], answer
    # Neither of the program's other threads', nor of those that an evaluation starts.
    assert "no input" in ask(program, "sys = modules.sys; sys.stdin").out
    assert ask(program, "import threading; got = []; t = threading.Thread(target=lambda: got.append(repr(modules.sys.stdin)))\n"
               "t.start(); t.join(); 'TextIOWrapper' in got[0] and 'no input' not in got[0]").out == "True\n"
    for line in ("one", "other", "two"):
        program.say(line)
        there = program.out.until(rf"READ {line} (\w+) (.*)")
        assert there[1] == str(line == "one") and "no input" not in there[2]
        assert "EOFError" in ask(program, "input()").err


def test_output_of_a_thread_started_by_the_evaluation_is_the_programs(program, ask):
    answer = ask(program, "import threading\nt = threading.Thread(target=print, args=('from the thread',), "
                 "kwargs={'flush': True})\nt.start()\nt.join()\nprint('mine')")
    assert answer.out == "mine\n"
    program.out.until("from the thread")


def test_a_function_put_into_the_program_works_after_the_session(program, ask):
    assert ask(program, "k = 20\ndef helper(): return k + 1\ndef patched(): return helper() * 2\n"
               "modules.__main__.patched = patched").status == 0
    wait_until(lambda: eval_threads(program) == 0, "the session's thread ends")
    assert ask(program, "modules.__main__.patched()").out == "42\n"


def test_evaluation_threads_end_with_their_sessions(program, ask):
    for _ in range(5):
        assert ask(program, "1").out == "1\n"
    wait_until(lambda: eval_threads(program) == 0, "the sessions' threads end")


STUBBORN = """
main = modules.__main__
try:
    print('on')
    while True:
        pass
except KeyboardInterrupt:
    main.fork = True
while True: pass
"""


def test_an_evaluation_whose_client_has_gone_is_interrupted_until_it_ends(python, start):
    """Also across a fork, which ends the thread that interrupts."""
    program = start(python, "import time\nfork = False\n" + IDLE.replace("os.read(0, 1)", """
while not fork: time.sleep(0.01)
pid = os.fork()
if pid == 0: os._exit(0)
os.waitpid(pid, 0)
print("FORKED", flush=True)
os.read(0, 1)
"""))
    with Session(connect_unix(program.socket, PATIENCE)) as session:
        session.hello()
        request = session.make_eval(STUBBORN)
        session.send(request)
        session.wait("OUTPUT", id=request.id)
    program.out.until("^FORKED")
    wait_until(lambda: eval_threads(program) == 0, "it has ended")
    assert end(program) == 0


@pytest.mark.parametrize("code, out", [
    ("modules['os'] is modules.os is modules.sys.modules['os']", "True"),
    ("modules['xml.dom'].minidom.__name__, modules.xml.sax.handler.__name__", "('xml.dom.minidom', 'xml.sax.handler')"),
    ("modules.xml == modules.sys.modules['xml'], hash(modules.xml) == hash(modules.sys.modules['xml'])", "(True, True)"),
    ("import types; isinstance(modules.xml, types.ModuleType)", "True"),
    ("modules.xml.mark = 5; modules.sys.modules['xml'].mark", "5"),
    ("'os' in modules, 'no.such' in modules, 5 in modules", "(True, False, False)"),
    ("len(modules) == len(list(modules)) == len(modules.sys.modules)", "True"),
    ("'os' in dir(modules), 'os.path' in dir(modules)", "(True, False)"),
    ("import sys; sys.modules['none'] = None; sys.modules['seven'] = 7; 'none' in modules, modules['seven']", "(False, 7)"),
])
def test_modules(program, ask, code, out):
    answer = ask(program, code)
    assert answer.out == out + "\n", answer


@pytest.mark.parametrize("code, words", [
    ("modules['nope']", "KeyError: \"no module named 'nope'"),
    ("modules.nope", "AttributeError: no module named 'nope'"),
    ("modules.xml.nope", "AttributeError: module 'xml' has no attribute 'nope'"),
    ("modules[5]", "TypeError: modules[...] takes the name of a module"),
    ("modules.os = 1", "AttributeError: modules cannot be changed here"),
])
def test_modules_that_are_not_there(program, ask, code, words):
    answer = ask(program, code)
    assert answer.status == 1 and words in answer.err, answer


def test_a_module_that_fails_to_import_says_how(program, ask, tmp_path):
    (tmp_path / "broken.py").write_text("import not_there_either\n")
    answer = ask(program, f"modules.sys.path.insert(0, {str(tmp_path)!r})\nmodules.broken")
    assert "ModuleNotFoundError: No module named 'not_there_either'" in answer.err, answer


def test_earlier_values_and_sources_are_kept_for_the_session(program, tmp_path):
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        repl.ask("'first'")
        repl.ask("'second'")
        assert repl.ask("(_, __)").endswith("('second', 'first')")
        assert repl.ask("Out[0], len(Out)").endswith("('first', 3)")
        repl.ask("def fail(): return 1 / 0")
        said = repl.ask("fail()")
        assert "def fail(): return 1 / 0" in said and "In [4]" in said and "In [5]" in said


@pytest.mark.parametrize("lines, more", [
    (["x = [1,", "2]"], [1]),
    (["'''a", "b'''"], [1]),
    (["if True:", "    y = 1", ""], [1, 2]),
    (["if True: y = 1"], []),
    (["def f():", "    return (1,", "        2)", ""], [1, 2, 3]),
    (["x = )"], []),
    (["y = 1 + \\", "2"], [1]),
    (["@staticmethod", "def f(): return 1"], [1]),
])
def test_the_prompt_asks_for_more_only_where_more_can_come(program, tmp_path, lines, more):
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        for n, line in enumerate(lines, 1):
            # What the prompt indented by itself is taken away first.
            repl.send("\x15" + line + "\r")
            _, text = repl.expect(r"\.\.\.: *$" if n in more else r"In \[\d+\]: $")
            assert ("SyntaxError" in text) == (line == "x = )"), text
        assert repl.ask("40 + 2").endswith("42")


def test_an_evaluation_that_was_let_go_of_runs_on_as_a_job_and_prints_nothing_into_the_program(program, tmp_path):
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        repl.ask("import threading; go = threading.Event(); done = threading.Event()")
        # It is also interrupted, which it notices only when it has got the lock.
        repl.send("print('o' + 'n'); exec('try: go.wait()\\nexcept KeyboardInterrupt: pass'); "
                  "print('to its client'); done.set()\r")
        repl.expect(r"\non\n")
        repl.send("\x03")
        repl.expect(r"still running")
        repl.send("\x03")
        repl.expect(r"In \[\d+\]: $")
        said = repl.ask("go.set(); done.wait(20)")
        # The end of the job may be told before the answer or after it, even behind the prompt.
        assert "Out[2]: True\n" in said + "\n" and "[job 1] to its client" in said
    wait_until(lambda: eval_threads(program) == 0, "all its threads end")
    assert end(program) == 0 and not any("to its client" in line for line in program.out.seen)


@pytest.mark.parametrize("later", ["", "import threading; t = threading.Thread(target=print, args=('t',)); t.start(); t.join()"])
def test_the_main_thread_stays_the_main_thread_when_an_evaluation_imports_threading(python, start, ask, later):
    """threading takes the thread that first imports it for the main thread, and an ending program waits for that one."""
    program = start(python, IDLE.replace(", threading", "") + f"""
from sys import modules
assert "threading" in modules
{later}
import threading
main = threading.main_thread()
assert main is threading.current_thread(), main
assert (main.ident, main.native_id) == (threading.get_ident(), os.getpid()), main
assert threading.enumerate() == [main], threading.enumerate()
""")
    assert ask(program, "modules['threading'].main_thread().native_id == modules.os.getpid()").out == "True\n"
    assert end(program) == 0
    assert program.stderr() == ""


COMPUTING = """
import os, sys, threading, pystuck
server = pystuck.run_server({arguments})
seen = set()
def compute():
    while True:
        seen.add(round(sys.getswitchinterval() * 1e6))
threading.Thread(target=compute, daemon=True).start()
print("READY", flush=True)
os.read(0, 1)
"""


def seen(ask, program):
    """The switch intervals that a thread which computes has seen, in us, and the one that stands there afterwards."""
    answer = ask(program, "*sorted(modules['__main__'].seen), modules.sys.getswitchinterval()")
    *before, now = eval(answer.out)
    assert now == 0.005
    return before


def test_the_switch_interval_is_shorter_only_while_a_client_waits(python, start, ask):
    program = start(python, COMPUTING.format(arguments=""))
    wait_until(lambda: 53 in seen(ask, program), "a shorter interval was never seen")
    assert seen(ask, program) == [53, 5000]


def test_hurry_false_leaves_the_switch_interval_alone(python, start, ask):
    program = start(python, COMPUTING.format(arguments="hurry=False"))
    for _ in range(5):
        assert seen(ask, program) == [5000]
