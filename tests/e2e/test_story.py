"""What the README promises: the stacks of a stuck program, and the examples of the original tool, as printed there."""

import re

from conftest import wait_until

STORY = """
import threading, time, socket
import pystuck
pystuck.run_server()
lock = threading.RLock()
held = threading.Event()
ends = socket.socketpair()
global_var = 1

def do_math():
    with lock:
        held.set()
        while True:
            time.sleep(3600)

def do_network():
    ends[0].recv(1)

def foo():
    do_network()

threading.Thread(target=do_math, daemon=True).start()
threading.Thread(target=foo, daemon=True).start()
held.wait()
print("READY", flush=True)
with lock:  # could block
    print("never")
"""


def test_stacks_of_three_threads_in_the_originals_shape(python, start, client):
    program = start(python, STORY)
    # A lock is named when its waiter has not run during the look.
    wait_until(lambda: "lock 'lock'" in client("--socket", program.socket).out, "all of them wait")
    answer = client("--socket", program.socket)
    assert answer.status == 0, answer
    summary, main, math, network = [part for part in answer.out.split("\n\n") if part.strip()]
    assert re.fullmatch(r"3 threads: 1 waiting for lock 'lock' \(held by Thread-1.*\), 1 in recv, 1 asleep", summary)
    assert re.match(r"<_MainThread\(MainThread, started \d+\)>", main)
    assert re.search(r'  File ".*program.py", line \d+, in <module>\n    with lock:  # could block', main)
    assert re.match(r"<Thread\(Thread-1.*, started daemon \d+\)>", math)
    assert re.search(r'in do_math\n    time.sleep\(3600\)', math)
    assert re.match(r"<Thread\(Thread-2.*, started daemon \d+\)>", network)
    assert re.search(r'in foo\n    do_network\(\)\n  File ".*", line \d+, in do_network\n    ends\[0\].recv\(1\)', network)
    assert "waiting for lock 'lock' (RLock at 0x" in main.splitlines()[0]
    assert "sleep" in math.splitlines()[0]
    assert "recv" in network.splitlines()[0]


def test_the_locks_owner_is_found_through_the_frames(python, start, client, dump):
    program = start(python, STORY)
    threads = dump(program)["threads"]
    idents = {t["name"].split(" ")[0]: t["ident"] for t in threads}
    script = (f"modules['sys']._current_frames()[{idents['MainThread']}].f_locals['lock']\n")
    answer = client("--socket", program.socket, "--no-stacks", stdin=script)
    assert answer.status == 0, answer
    assert f"<locked _thread.RLock object owner={idents['Thread-1']} count=1" in answer.out


def test_underscore_is_the_last_answer_within_a_session(python, start, client, dump, tmp_path):
    from repl import Repl
    program = start(python, STORY)
    ident = dump(program)["threads"][0]["ident"]
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        repl.ask("modules['sys']._current_frames()")
        assert "frame" in repl.ask(f"_[{ident}]")
        assert "RLock" in repl.ask("_.f_locals")


def test_stdout_of_the_program_can_be_diverted_for_good(python, start, ask, tmp_path):
    program = start(python, """
import sys, pystuck
pystuck.run_server()
print("READY", flush=True)
for line in sys.stdin:
    print("said", line.strip(), flush=True)
    print("answered", file=sys.stderr, flush=True)
""")
    program.say("one")
    program.out.until("said one")
    log = tmp_path / "log.txt"
    answer = ask(program, f"modules['sys'].stdout = open({str(log)!r}, 'w')")
    assert answer.status == 0 and answer.out == "", answer
    program.err.until("answered")
    program.say("two")
    program.err.until("answered")
    assert log.read_text() == "said two\n"


def test_a_global_of_main_is_changed_for_the_program(python, start, ask):
    program = start(python, """
import sys, pystuck
global_var = 1
pystuck.run_server()
print("READY", flush=True)
for line in sys.stdin:
    print("global_var is", global_var, flush=True)
""")
    assert ask(program, "modules['__main__'].global_var = 100").status == 0
    program.say("?")
    program.out.until("global_var is 100")


def test_a_socket_made_at_the_prompt_lives_in_the_program(python, start, client, tmp_path):
    from repl import Repl
    program = start(python, STORY)
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        repl.ask("s = modules['socket'].socket()")
        fd = repl.ask("s.fileno()").split()[-1]
        assert "socket" in repl.ask(f"modules['os'].readlink('/proc/{program.pid}/fd/{fd}')")


def test_modules_import_on_demand(python, start, ask):
    program = start(python, STORY)
    assert ask(program, "modules['xml.dom'].minidom.__name__").out == "'xml.dom.minidom'\n"
    assert ask(program, "modules.os.getpid()").out == f"{program.pid}\n"
    answer = ask(program, "modules['no_such_module']")
    assert answer.status == 1 and "no_such_module" in answer.err


def test_our_threads_are_neither_in_the_dump_nor_in_threading(python, start, ask, dump):
    program = start(python, STORY)
    assert ask(program, "len(modules['threading'].enumerate())").out == "3\n"
    assert ask(program, "modules['threading'].current_thread() and None").status == 0
    assert ask(program, "len(modules['threading'].enumerate())").out == "3\n"
    assert len(dump(program)["threads"]) == 3
