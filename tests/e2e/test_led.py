"""Sessions in which one evaluation follows the other: the thread that evaluates reads the next request itself.

What lives here: that nobody can tell, whatever happens while it waits. What does not: values and output (test_eval.py).
"""
import base64
import re
from pathlib import Path

import pytest

import stranger
from conftest import wait_until
from stranger import BUSY, GIL, INTERRUPTED, VALUE, Message, Session, encode, frame
from test_attacks import call, threads, works

# Each line that comes is run in the main thread; an empty one ends the program.
SERVED = """
import ctypes, os, sys, threading, time, pystuck
server = pystuck.run_server(gil_timeout=0.3)
print("READY", flush=True)
for line in iter(sys.stdin.readline, "\\n"):
    exec(line)
    print("DONE", flush=True)
sys.exit(7)
"""
READS = re.compile(r"\d+ 0x0 0x[0-9a-f]+ 0x1 ")  # read(0, ..., 1), in the main thread


@pytest.fixture
def program(python, start):
    return start(python, SERVED, args=("-W", "error"))


def does(program, code):
    program.say(code)
    program.out.until("DONE")


def ends_well(program):
    program.say("")
    assert program.wait() == 7, program.stderr()
    assert program.stderr() == ""


def led(session):
    """A session in which enough has been evaluated for it; x is 5."""
    for _ in range(3):
        assert session.eval("x = 5; x").text == "5"
    return session


def led_tcp(port, secret):
    session = Session(stranger.connect_tcp("127.0.0.1", port, secret, 20))
    session.hello()
    return led(session)


def test_evaluations_keep_their_order_and_their_namespace(program):
    with call(program) as session:
        for number in range(300):
            answer = session.eval(f"{number} + 1")
            assert (answer.status, answer.text) == (VALUE, str(number + 1))
        assert session.eval("_ + 1").text == "301"
    ends_well(program)


def test_requests_in_one_packet_are_answered_each(program):
    with led(call(program)) as session:
        for _ in range(30):
            eval_, dump = session.make_eval("x + 1"), session.make_dump()
            session.send(eval_, dump)
            seen = {session.wait("RESULT", "DUMP_END").what, session.wait("RESULT", "DUMP_END").what}
            assert seen == {"RESULT", "DUMP_END"}
            dump, eval_ = session.make_dump(), session.make_eval("x + 2")
            session.send(dump, eval_)
            seen = {session.wait("RESULT", "DUMP_END").what, session.wait("RESULT", "DUMP_END").what}
            assert seen == {"RESULT", "DUMP_END"}
            assert session.dump().end is not None
            assert session.eval("x").text == "5"
    ends_well(program)


def test_a_second_evaluation_at_once_is_refused(program):
    with led(call(program)) as session:
        first, second = session.make_eval("modules.time.sleep(60)"), session.make_eval("2")
        session.send(first, second)
        assert session.wait("ERROR", id=second.id).reason == BUSY
        session.send(Message("DETACH", id=first.id))
        assert session.eval("x").text == "5"
    ends_well(program)


def test_what_is_evaluated_is_interrupted(program):
    with led(call(program)) as session:
        for _ in range(5):
            request = session.make_eval("print('go')\nwhile True: pass")
            session.send(request)
            session.wait("OUTPUT", id=request.id)
            session.send(Message("INTERRUPT", id=request.id))
            assert session.finish(request.id).status == INTERRUPTED
            assert session.eval("x").text == "5"
    ends_well(program)


def test_a_dump_beside_an_evaluation_comes_before_its_end(program):
    with led(call(program)) as session:
        request = session.make_eval("while not modules.builtins.__dict__.get('go'): modules.time.sleep(0.001)")
        session.send(request)
        assert session.dump().end is not None
        assert request.id in session.evals, "not ended yet"
        with call(program) as other:
            other.eval("modules.builtins.go = True")
        session.finish(request.id)
        assert session.eval("x").text == "5"
    ends_well(program)


def test_output_is_streamed_and_held_back_as_ever(program):
    with led(call(program)) as session:
        answer = session.eval("for i in range(3000): print('x' * 1000)")
        assert len(answer.output) == 3000 * 1001
        assert session.eval("x").text == "5"
    ends_well(program)


@pytest.mark.parametrize("last", [None, "while True: pass", "modules.time.sleep(0.01)"],
                         ids=["waiting", "evaluating", "about-to-wait"])
def test_a_client_that_vanishes_leaves_nothing(program, last):
    with led(call(program)) as session:
        if last:
            session.send(session.make_eval(last))
    wait_until(lambda: threads(program) <= 3, "the session's thread has ended (main, net, courier)")
    assert works(program)
    ends_well(program)


def test_half_a_message_holds_nobody_up(program):
    with led(call(program)) as session, led(call(program)) as other:
        request = session.make_eval("x + 37")
        data = frame(encode(request))
        session.evals.add(request.id)
        session.transport.push(data[:9])
        assert other.eval("x").text == "5"
        does(program, "pid = os.fork(); pid or os._exit(0); os.waitpid(pid, 0)")
        session.transport.push(data[9:])
        assert session.finish(request.id).text == "42"
    ends_well(program)


def test_forks_find_no_thread_and_sessions_go_on(program):
    with led(call(program)) as session, led(call(program)) as silent:
        for number in range(10):
            does(program, "pid = os.fork(); pid or os._exit(0); os.waitpid(pid, 0)")
            led(session)
            assert session.eval(f"x + {number}").text == str(5 + number)
        assert silent.eval("x").text == "5"
    ends_well(program)


def test_forks_while_requests_come(python, start):
    program = start(python, SERVED, args=("-W", "ignore"))  # of 3.12 and later: an evaluation may be running
    with led(call(program)) as session:
        program.say("[os.waitpid(os.fork() or os._exit(0), 0) for _ in range(20)]")
        for _ in range(300):
            assert session.eval("x").text == "5"
        program.out.until("DONE")
    ends_well(program)


def test_close_says_goodbye_to_those_who_wait(program):
    with led(call(program)) as session, led(call(program)) as other:
        does(program, "server.close()")
        for each in (session, other):
            assert each.end()[-1].what == "BYE"
    wait_until(lambda: threads(program) == 1, "all threads of ours have ended")
    does(program, "server = pystuck.run_server()")
    assert works(program)
    ends_well(program)


def test_a_second_listener_comes_and_goes_while_requests_come(program):
    with led(call(program)) as session:
        for number in range(5):
            program.say(f"other = pystuck.run_server(socket={str(program.directory / 'other.sock')!r}); other.close()")
            for _ in range(20):
                assert session.eval("x").text == "5"
            program.out.until("DONE")
    ends_well(program)


def test_the_program_ends_while_it_waits(program):
    with led(call(program)) as session:
        ends_well(program)
        assert all(message.what == "BYE" for message in session.end())


def test_the_deadline_for_the_gil_holds(program):
    with led(call(program)) as session:
        program.say("print('HELD', flush=True); ctypes.PyDLL(None).read(0, ctypes.create_string_buffer(1), 1)")
        program.out.until("HELD")
        wait_until(lambda: READS.match(Path(f"/proc/{program.pid}/syscall").read_text()), "the GIL is held")
        answer = session.eval("x")
        assert (answer.what, answer.reason) == ("ERROR", GIL)
        program.say("")
        program.out.until("DONE")
        assert session.eval("x").text == "5"
    ends_well(program)


@pytest.mark.parametrize("then", ["pass", "pid = os.fork(); pid or os._exit(0); os.waitpid(pid, 0)"],
                         ids=["ends", "forks"])
def test_a_program_that_closes_all_fds_is_not_held_up(program, then):
    with led(call(program)), led(call(program)):
        does(program, "os.closerange(3, 1000)")
        for _ in range(3):
            does(program, then)
        ends_well(program)


def test_a_key_that_is_taken_away_ends_the_session_that_waits(python, start, client, tmp_path):
    key = tmp_path / "some.key"
    assert client("--keygen", key, "--key-name", "one").status == 0
    secret = base64.b64decode(key.read_text().split()[2])
    program = start(python, SERVED.replace("gil_timeout=0.3", f"port=0, key={str(key)!r}"))
    program.say("print('PORT', server.address[1], flush=True)")
    port = int(program.out.until(r"PORT (\d+)")[1])
    with led_tcp(port, secret) as session:
        key.unlink()
        assert client("--keygen", key, "--key-name", "two").status == 0
        session.send(session.make_eval("1"))
        assert "taken out" in session.end()[-1].text
    program.out.until("DONE")
    ends_well(program)
