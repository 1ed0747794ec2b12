"""What is told of those who come: the program's audit hooks, the system's log, a function of the program."""

from pathlib import Path

from repl import Repl

HOOKED = """
import sys, pystuck
heard = []
def hook(event, args):
    if event.startswith("pystuck."):
        heard.append((event, *args))
        HOOK
sys.addaudithook(hook)
server = pystuck.run_server(MORE)
print("READY", flush=True)
WORK
"""


def hooked(start, python, hook, more="", work="sys.stdin.read()"):
    return start(python, HOOKED.replace("HOOK", hook).replace("MORE", more).replace("WORK", work))


def threads(program):
    """The names of the program's native threads."""
    names = []
    for comm in Path(f"/proc/{program.pid}/task").glob("*/comm"):
        try:
            names.append(comm.read_text().strip())
        except OSError:
            pass  # it has ended
    return names


def test_an_audit_hook_hears_of_a_connection_and_then_of_each_evaluation(python, start, ask):
    program = hooked(start, python, "pass")
    answer = ask(program, "modules['__main__'].heard")
    assert answer.status == 0, answer
    heard = eval(answer.out)
    assert [event for event, *_ in heard] == ["pystuck.connect", "pystuck.eval"], heard
    assert heard[0][1] == heard[1][1] and heard[0][1].startswith("uid ") and "pid " in heard[0][1]
    assert heard[0][2] == "eval" and heard[1][2] == "modules['__main__'].heard"


def test_an_audit_hook_can_veto_a_connection(python, start, client, ask):
    program = hooked(start, python, "if event == 'pystuck.connect' and len(heard) < 3: raise PermissionError('not\\n\\x1b[2Jtoday')")
    for _ in range(2):
        answer = client("--socket", program.socket, "--no-repl")
        assert answer.status == 4 and answer.out == "", answer
        assert "PermissionError: not" in answer.err and "\x1b" not in answer.err, answer
    assert ask(program, "1+1").out == "2\n"
    assert program.alive()


# Holds the GIL until the test writes a line.
WEDGE = """
import ctypes
sys.stdin.readline()
print("HELD", flush=True)
ctypes.PyDLL(None).read(0, ctypes.create_string_buffer(1), 1)
print("FREE", flush=True)
sys.stdin.read()
"""


def test_without_the_gil_nobody_comes_in_past_an_audit_hook(python, start, client):
    program = hooked(start, python, "pass", "gil_timeout=0.2", WEDGE)
    program.say("go")
    program.out.until("HELD")
    answer = client("--socket", program.socket, "--no-repl")
    assert answer.status == 4 and answer.out == "" and "audit hooks" in answer.err, answer
    program.say("")
    program.out.until("FREE")
    answer = client("--socket", program.socket, "-c", "[event for event, *_ in modules['__main__'].heard]")
    assert answer.out == "['pystuck.connect', 'pystuck.eval']\n", "who was refused without being asked about is not heard of"


def test_without_audit_hooks_the_gil_is_not_asked_for(one_python, start, client):
    program = start(one_python, "import sys, pystuck\npystuck.run_server(gil_timeout=0.2)\nprint('READY', flush=True)" + WEDGE)
    program.say("go")
    program.out.until("HELD")
    answer = client("--socket", program.socket, "--json")
    assert answer.json["how"] == "os", answer
    assert "pystuck-admit" not in threads(program)


def test_a_hook_that_never_returns_stops_no_session_that_is_open(one_python, start, client, ask, tmp_path):
    program = hooked(start, one_python, "if event == 'pystuck.connect' and len(heard) > 1: import time; time.sleep(1000)",
                     "gil_timeout=0.3")
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        assert "2" in repl.ask("1+1")
        first = client("--socket", program.socket, "--no-repl")
        assert first.status != 0 and first.out == "", first
        second = client("--socket", program.socket, "--no-repl")
        assert second.status == 4 and "audit hooks" in second.err, second
        assert "4" in repl.ask("2+2")
        assert "MainThread" in repl.ask("%stacks")
