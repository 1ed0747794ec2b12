"""The eval channel: values, output, tracebacks, interrupts; and what it must never do to the program."""

import re
import subprocess
import time

import pytest

from conftest import CLIENT, PATIENCE, wait_until
from repl import Repl

IDLE = """
import sys, threading, time
import pystuck
server = pystuck.run_server(namespace={"answer": 42})
print("READY", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def program(python, start):
    return start(python, IDLE)


@pytest.mark.parametrize("code, out", [
    ("1+1", "2\n"),
    ("None", ""),
    ("x = 5", ""),
    ("x = 5; x", "5\n"),
    ("def f(n):\n    return n * 2\n\nf(21)", "42\n"),
    ("for i in range(3): print(i)", "0\n1\n2\n"),
    ("print('a', end='')", "a"),
    ("'\\u00e9\\u4e2d\\U0001f600'", "'\u00e9\u4e2d\U0001f600'\n"),
    ("answer", "42\n"),
    ("__name__", "'__pystuck__'\n"),
    ("  1+1", "2\n"),
    ("# a comment", ""),
    ("", ""),
    ("class A:\n    x = 1\n    y = 2\nA.y", "2\n"),
    ("[x for x in range(3)]", "[0, 1, 2]\n"),
    ("(lambda: (yield))", None),
    ("import sys; sys.stdout.write('w')", "w1\n"),
])
def test_values_and_output(program, ask, code, out):
    answer = ask(program, code)
    assert answer.status == 0 and answer.err == "", answer
    assert out is None or answer.out == out, answer


@pytest.mark.parametrize("code, words", [
    ("1/0", ["Traceback (most recent call last):", "<pystuck In [", "1/0", "ZeroDivisionError: division by zero"]),
    ("def f():\n    return {}['key']\n\nf()", ["in f", "return {}['key']", "KeyError: 'key'"]),
    ("1 +", ["SyntaxError"]),
    ("if True:", ["Error: "]),
    ("raise SystemExit(3)", ["SystemExit"]),
    ("raise KeyboardInterrupt", ["KeyboardInterrupt"]),
    ("exec('def f(): f()'); f()", ["RecursionError"]),
    ("raise ValueError('a') from TypeError('b')", ["TypeError: b", "direct cause", "ValueError: a"]),
    ("modules['os'].path.join(5)", ["TypeError"]),
    ("def f(): await something", ["SyntaxError"]),
    ("await something", ["RuntimeError: await takes an event loop"]),
])
def test_tracebacks_have_source_and_the_program_goes_on(program, ask, code, words):
    answer = ask(program, code)
    assert answer.status == 1 and answer.out == "", answer
    for word in words:
        assert word in answer.err, answer
    assert answer.err.count("File ") <= 4 or "RecursionError" in answer.err, "frames of ours are not in it"
    assert ask(program, "1+1").out == "2\n" and program.alive()


def test_stderr_of_the_evaluation_comes_to_stderr(program, ask):
    answer = ask(program, "import sys; print('out'); print('err', file=sys.stderr)")
    assert (answer.out, answer.err) == ("out\n", "err\n")


def test_what_other_threads_print_stays_the_programs(python, start, ask):
    program = start(python, """
import sys, threading, time, pystuck
pystuck.run_server()
stop = threading.Event()
def chatter():
    n = 0
    while not stop.is_set():
        sys.stdout.write(f"program line {n}\\n"); n += 1
        time.sleep(0.0005)
    print("LAST", n, flush=True)
print("READY", flush=True)
threading.Thread(target=chatter, daemon=True).start()
sys.stdin.readline()
stop.set()
sys.stdin.read()
""")
    program.out.until("program line 0")
    for _ in range(20):
        answer = ask(program, "for i in range(50): print('mine', i)")
        assert answer.out == "".join(f"mine {i}\n" for i in range(50))
    program.say("")
    count = int(program.out.until(r"LAST (\d+)")[1])
    lines = [line for line in program.out.seen if line.startswith("program line")]
    assert lines == [f"program line {n}\n" for n in range(count)] and not any("mine" in l for l in program.out.seen)


def test_output_arrives_while_the_evaluation_runs(program, tmp_path):
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        repl.send("import time, sys\r")
        repl.expect(r"In \[1\]: $")
        repl.send("print('first'); sys.stdin and None; e = __import__('threading').Event(); e.wait()\r")
        repl.expect(r"\nfirst\n")
        repl.send("\x03")


def test_a_gigabyte_of_output_does_not_grow_the_program(one_python, start, client):
    program = start(one_python, IDLE)

    def rss():
        return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{program.pid}/status").read())[1])

    client("--socket", program.socket, "-c", "1+1")
    before = rss()
    process = subprocess.Popen([CLIENT, "--socket", program.socket, "-c",
                                "for i in range(200): print('x' * 1000000)"], stdout=subprocess.PIPE)
    total = 0
    while data := process.stdout.read(1 << 20):
        total += len(data)
    assert process.wait(PATIENCE) == 0 and total == 200 * 1000001
    process.stdout.close()
    assert rss() - before < 20_000, "KiB"


def test_a_reader_that_does_not_read_stops_only_its_own_evaluation(one_python, start, client):
    program = start(one_python, IDLE)
    process = subprocess.Popen([CLIENT, "--socket", program.socket, "-c", "while True: print('x' * 1000)"],
                               stdout=subprocess.PIPE)
    process.stdout.read(1)
    for _ in range(20):
        assert client("--socket", program.socket, "-c", "1+1").out == "2\n"
    process.kill()
    process.wait()
    process.stdout.close()
    wait_until(lambda: client("--socket", program.socket, "-c",
               "len([1 for t in modules.os.listdir('/proc/self/task')])").out.strip() in "12345",
               "the evaluation of the client that is gone ends")


def test_ctrl_c_interrupts_the_evaluation_and_not_the_client(program, tmp_path):
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        for _ in range(5):
            repl.send("print('o' + 'n'); exec('while True: pass')\r")
            repl.expect(r"\non\n")
            repl.send("\x03")
            repl.expect(r"KeyboardInterrupt[^\n]*\n(?:.*\n)*.*In \[\d+\]: $")
        assert repl.ask("1+1").endswith("2")


def test_a_second_ctrl_c_lets_go_of_an_evaluation_in_c_code(program, tmp_path):
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        repl.ask("x = 7; import time")
        repl.send("print('o' + 'n'); time.sleep(3600)\r")
        repl.expect(r"\non\n")
        repl.send("\x03")
        repl.expect(r"still running")
        repl.send("\x03")
        repl.expect(r"In \[\d+\]: $")
        assert repl.ask("x").endswith("7"), "same session, same names"


def test_a_client_that_dies_takes_its_evaluation_with_it(python, start, client):
    program = start(python, IDLE)
    process = subprocess.Popen([CLIENT, "--socket", program.socket, "-c",
                                "print('on', flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
    assert process.stdout.read(3) == b"on\n"
    process.kill()
    process.wait()
    process.stdout.close()

    def calm():
        def ticks():
            return sum(int(x) for x in open(f"/proc/{program.pid}/stat").read().rpartition(")")[2].split()[11:13])
        before = ticks()
        time.sleep(0.2)  # the time over which CPU use is measured
        return ticks() - before < 10

    wait_until(calm, "the program is idle again")
    assert client("--socket", program.socket, "-c", "1+1").out == "2\n"


def test_sessions_do_not_see_each_others_names(program, tmp_path):
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as a, \
            Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as b:
        a.ask("mine = 1")
        assert "NameError" in b.ask("mine")
        assert a.ask("mine").endswith("1")


def test_everything_of_a_session_is_dropped_when_it_ends(python, start, client, tmp_path):
    program = start(python, """
import sys, weakref, pystuck
class Thing: pass
pystuck.run_server(namespace={"Thing": Thing})
refs = []
print("READY", flush=True)
for line in sys.stdin:
    print("ALIVE", sum(r() is not None for r in refs), hasattr(sys, "last_traceback"), flush=True)
""")
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        repl.ask("t = Thing(); modules['__main__'].refs.append(modules.weakref.ref(t))")
        repl.ask("t")
        repl.ask("1/0")
        repl.ask("def f(x): return x/0")
        repl.ask("f(t)")
        program.say("")
        assert program.out.until(r"ALIVE (\d) (\w+)").groups() == ("1", "False")

    def gone():
        program.say("")
        return program.out.until(r"ALIVE (\d)")[1] == "0"

    wait_until(gone, "the session's names are dropped")


def test_an_audit_hook_can_veto_an_evaluation(python, start, ask):
    program = start(python, """
import sys, pystuck
def hook(event, args):
    if event == "pystuck.eval":
        print("AUDIT", args[0].split(",")[0], repr(args[1]), flush=True)
        if "secret" in args[1]: raise PermissionError("not that")
sys.addaudithook(hook)
pystuck.run_server()
print("READY", flush=True)
sys.stdin.read()
""")
    assert ask(program, "1+1").out == "2\n"
    program.out.until(r"AUDIT uid \d+ '1\+1'")
    answer = ask(program, "secret = 1")
    assert answer.status != 0 and "not that" in answer.err, answer


@pytest.mark.parametrize("body, words", [
    ("def __repr__(self): raise ValueError('no repr')", "no repr"),
    ("def __repr__(self): return 5", "TypeError"),
    ("def __repr__(self): return repr(self)", "RecursionError"),
    ("def __repr__(self): raise SystemExit", "SystemExit"),
])
def test_a_bad_repr_is_survived(program, ask, body, words):
    answer = ask(program, f"class A:\n    {body}\nA()")
    assert words in answer.out + answer.err, answer
    assert ask(program, "1+1").out == "2\n"


def test_a_huge_value_is_cut_and_says_so(program, ask):
    answer = ask(program, "'x' * 10_000_000")
    assert answer.status == 5 and 100_000 < len(answer.out) < 2_000_000, (answer.status, len(answer.out), answer.err)
    assert "cut" in answer.err + answer.out[-200:]


def test_a_script_on_standard_input(program, client):
    answer = client("--socket", program.socket, "--no-stacks", stdin="x = 20\nfor i in range(2):\n    x += i\n\nprint(x)\nx + 1\n")
    assert answer.status == 0 and answer.out == "21\n22\n", answer
    answer = client("--socket", program.socket, "--no-stacks", stdin="1/0\n")
    assert answer.status == 1 and "ZeroDivisionError" in answer.err


@pytest.mark.parametrize("code, status, expected", [
    ("40 + 2", 0, {"status": "value", "repr": "42", "exception": None}),
    ("x = 1", 0, {"status": "none", "repr": None, "exception": None}),
    ("", 0, {"status": "none", "repr": None, "exception": None}),
    ("print('o'); import sys; sys.stderr.write('e') and None", 0, {"stdout": "o\n", "stderr": "e"}),
    ("{}['key']", 1, {"status": "raised", "repr": None, "type": "KeyError", "message": "'key'"}),
    ("import json; json.loads('x')", 1, {"type": "json.decoder.JSONDecodeError", "message": "Expecting value: line 1 column 1 (char 0)"}),
    ("1 +", 1, {"type": "SyntaxError"}),
    ("raise SystemExit(3)", 1, {"status": "exit", "type": "SystemExit", "message": "3"}),
    ("class E(Exception):\n    def __str__(self): return 1/0\nraise E", 1, {"type": "__pystuck__.E", "message": ""}),
    ("raise ValueError('two\\nlines') from TypeError('before')", 1, {"type": "ValueError", "message": "two\nlines"}),
])
def test_json_says_value_output_and_exception_apart(program, ask, client, code, status, expected):
    for answer in (ask(program, code, "--json"), client("--socket", program.socket, "--json", "--no-stacks", stdin=code)):
        assert answer.status == status and answer.err == "", answer
        got = answer.json
        assert set(got) == {"schema", "status", "repr", "stdout", "stderr", "exception", "cut", "duration_us"}
        if status:
            assert got["exception"]["type"] in got["exception"]["traceback"]
            got.update(got["exception"])
        assert {name: got[name] for name in expected} == expected


def test_a_script_gets_no_prompt_no_banner_and_no_colour(program, client):
    answer = client("--socket", program.socket, "--no-stacks", stdin="print('line')\n{'a': 1}\n", env={"TERM": "xterm"})
    assert (answer.status, answer.out, answer.err) == (0, "line\n{'a': 1}\n", "")
    answer = client("--socket", program.socket, "--no-stacks", stdin="1/0\n", env={"TERM": "xterm"})
    assert answer.status == 1 and answer.out == "" and "\x1b" not in answer.err


def test_sixteen_clients_at_once_each_get_their_own_answers(one_python, start, client):
    program = start(one_python, IDLE)
    code = "import time\nfor i in range(200): print({0}, i)\n{0}"
    clients = [subprocess.Popen([CLIENT, "--socket", program.socket, "-c", code.format(n)], stdout=subprocess.PIPE, text=True)
               for n in range(16)]
    for n, process in enumerate(clients):
        out, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        assert out == "".join(f"{n} {i}\n" for i in range(200)) + f"{n}\n"
