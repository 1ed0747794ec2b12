"""%tee: the program's own output copied to a client, without the program noticing."""

import os
import re
import signal
import stat

import pytest

from conftest import wait_until
from repl import Repl

PRINTS = """
import os, sys, threading, time
import pystuck
original = sys.stdout
server = pystuck.run_server()
def other(text): t = threading.Thread(target=print, args=(text,), kwargs={"flush": True}); t.start(); t.join()
print("READY", flush=True)
for line in sys.stdin:
    what, _, text = line.strip().partition(" ")
    if what == "say": print(text, flush=True)
    elif what == "thread": other(text)
    elif what == "err": print(text, file=sys.stderr, flush=True)
    elif what == "lines": sys.stdout.writelines(part + "\\n" for part in text.split(",")); sys.stdout.flush()
    elif what == "flood":
        began = time.monotonic()
        for n in range(int(text)): print("x" * 1000)
        print("FLOODED", round(time.monotonic() - began, 1), flush=True)
    elif what == "replace":
        class Loud:
            def write(self, text): return original.write(text.upper())
            def flush(self): original.flush()
        sys.stdout = Loud()
    elif what == "fork":
        pid = os.fork()
        if pid == 0:
            print(text, sys.stdout is original, flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
    elif what == "is": print("IS", sys.stdout is original, type(sys.stdout).__name__, flush=True)
"""


@pytest.fixture
def program(python, start):
    return start(python, PRINTS)


def open_prompt(program, tmp_path):
    return Repl("--socket", program.socket, "--no-stacks", home=tmp_path)


def says(program, what, line):
    program.say(f"{what} {line}")
    program.out.until(f"^{line}$")


def is_as_it_was(program):
    program.say("is")
    return program.out.until(r"IS (\w+)")[1] == "True"


def test_what_the_program_prints_arrives_while_one_types(program, tmp_path):
    with open_prompt(program, tmp_path) as repl:
        assert repl.ask("%tee stdout") == ""
        repl.send("half a line")
        says(program, "say", "from-main")
        repl.until_screen(r"^\[stdout\] from-main$.*In \[0\]: half a line\Z")
        says(program, "thread", "from-thread")
        repl.until_screen(r"^\[stdout\] from-thread$")
        program.say("lines one,tw\u00f6")
        repl.until_screen(r"^\[stdout\] one$.*^\[stdout\] tw\u00f6$")
        assert program.out.until("tw\u00f6")
        program.say("say \x1b[2Jnasty")
        repl.until_screen(r"^\[stdout\] \\x1b\[2Jnasty$")
        repl.send("\x15")
        # Neither stream has the other's, nor what the session itself prints.
        program.say("err not-here")
        program.err.until("not-here")
        assert repl.ask("print('mine')") == "mine"
        assert repl.ask("%jobs") == "[stdout]  %tee stdout"
        repl.ask("%tee off")
        assert is_as_it_was(program)
        says(program, "say", "unheard")
        assert "nothing runs" in repl.ask("%jobs")
        text = repl.screen()
        assert "unheard" not in text and "not-here" not in text and "[stdout] mine" not in text


def test_a_user_who_reads_or_edits_keeps_nobody_waiting(program, tmp_path):
    """A pager has the terminal, then an editor: what comes meanwhile is read, the file of a tee goes on, and the screen waits."""
    copy, busy, leave = tmp_path / "copy", tmp_path / "busy", tmp_path / "leave"
    busy.write_text(f"#!/bin/sh\necho it-began; read line < {leave}; echo 6 > \"${{1:-/dev/null}}\"\n")
    busy.chmod(0o755)
    os.mkfifo(leave)
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path, rows=10, env={"PAGER": str(busy), "EDITOR": str(busy)}) as repl:
        repl.ask(f"%tee stdout {copy}")
        repl.ask("%tee stderr")
        for what, word, answer in ("help(str)", "while-it-is-read", ""), ("%edit", "while-it-is-edited", r"Out\[\d\]: 6\n"):
            repl.send(what + "\r")
            repl.until_screen(rf"{re.escape(what)}\nit-began\s*\Z")
            program.say("err for-the-screen")
            program.err.until("for-the-screen")
            says(program, "say", word)
            wait_until(lambda: word in copy.read_text(), "the file goes on")
            assert "for-the-screen" not in repl.screen()[repl.screen().rindex("it-began"):]
            repl.send("\x1a")  # stops both: the shell that started the client has the terminal then
            wait_until(lambda: os.waitpid(repl.pid, os.WNOHANG | os.WUNTRACED)[0], "the client is stopped")
            os.kill(repl.pid, signal.SIGCONT)
            leave.write_text("\n")
            repl.until_screen(rf"it-began\n(\^Z)?\[stderr\] for-the-screen\n{answer}\n*In \[\d\]:\s*\Z")
        repl.ask("%tee off")
        assert repl.ask("1 + 1").endswith("2")


def test_both_streams_and_a_private_file(program, tmp_path):
    copy = tmp_path / "copy"
    with open_prompt(program, tmp_path) as repl:
        repl.ask(f"%tee stdout {copy}")
        repl.ask("%tee stderr")
        says(program, "say", "to-the-file")
        program.say("err to-the-screen")
        repl.until_screen(r"^\[stderr\] to-the-screen$")
        wait_until(lambda: copy.read_text() == "to-the-file\n", "the copy is written")
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        repl.ask("%tee stdout off")
        says(program, "say", "no-more")
        program.say("err still")
        repl.until_screen(r"^\[stderr\] still$")
        assert copy.read_text() == "to-the-file\n" and "to-the-file" not in repl.screen()
        open_file = tmp_path / "open"
        open_file.write_text("")
        open_file.chmod(0o644)
        assert "mode 0644" in repl.ask(f"%tee stdout {open_file}")
        assert "%tee stdout" in repl.ask("%tee nonsense")


def test_two_clients_each_get_a_copy(program, tmp_path):
    with open_prompt(program, tmp_path) as a, open_prompt(program, tmp_path) as b:
        a.ask("%tee stdout")
        b.ask("%tee stdout")
        says(program, "say", "for-both")
        a.until_screen(r"^\[stdout\] for-both$")
        b.until_screen(r"^\[stdout\] for-both$")
        a.ask("%tee off")
        assert not is_as_it_was(program)
        says(program, "say", "for-one")
        b.until_screen(r"^\[stdout\] for-one$")
        assert "for-one" not in a.screen()
        b.ask("%tee off")
        assert is_as_it_was(program)


@pytest.mark.parametrize("end", ["quit", "kill", "reconnect"])
def test_nothing_is_left_behind_however_it_ends(program, tmp_path, end):
    with open_prompt(program, tmp_path) as repl:
        repl.ask("%tee stdout")
        says(program, "say", "heard")
        repl.until_screen(r"^\[stdout\] heard$")
        if end == "quit":
            repl.send("%quit\r")
            assert repl.wait() == 0
        elif end == "kill":
            os.kill(repl.pid, signal.SIGKILL)
        else:
            repl.ask("%reconnect")
        wait_until(lambda: is_as_it_was(program), "sys.stdout is the program's own")
        says(program, "say", "and the program goes on")


def test_a_client_that_does_not_read_never_slows_the_program(one_python, start, tmp_path):
    program = start(one_python, PRINTS)
    copy = tmp_path / "copy"
    with open_prompt(program, tmp_path) as repl:
        repl.ask(f"%tee stdout {copy}")
        os.kill(repl.pid, signal.SIGSTOP)
        program.say("flood 5000")  # 5 MB, of which a socket and a queue hold less than one
        program.out.until("FLOODED")
        assert sum(line.startswith("xxx") for line in program.out.seen) == 5000, "the program's own output is whole"
        os.kill(repl.pid, signal.SIGCONT)

        def is_heard_again():
            says(program, "say", "after-it")
            return "after-it" in copy.read_text()

        wait_until(is_heard_again, "what is printed arrives again")
        assert repl.ask("1 + 1").endswith("2")
        repl.ask("%tee off")
    text = copy.read_text()
    dropped = [int(n) for n in re.findall(r"\n\.\.\. (\d+) bytes dropped \.\.\.\n", text)]
    arrived = re.sub(r"\n\.\.\. \d+ bytes dropped \.\.\.\n", "", text)
    printed = "".join(program.out.seen).partition("READY\n")[2]
    assert dropped and len(arrived) + sum(dropped) == len(printed), "what did not arrive was counted, to the byte"


def test_a_replaced_stream_is_kept_and_followed_from_the_next_evaluation_on(program, tmp_path):
    with open_prompt(program, tmp_path) as repl:
        repl.ask("%tee stdout")
        program.say("replace")
        program.say("say quiet")
        program.out.until("QUIET")
        repl.ask("1")
        program.say("say heard")
        program.out.until("HEARD")
        repl.until_screen(r"^\[stdout\] heard$")
        repl.ask("%tee off")
        program.say("is")
        assert program.out.until(r"IS FALSE (\w+)")[1] == "LOUD"


def test_a_forked_child_prints_for_itself(program, tmp_path):
    with open_prompt(program, tmp_path) as repl:
        repl.ask("%tee stdout")
        program.say("fork of-the-child")
        assert program.out.until(r"of-the-child (\w+)")[1] == "True"
        says(program, "say", "of-the-parent")
        repl.until_screen(r"^\[stdout\] of-the-parent$")
        assert "of-the-child" not in repl.screen()
        program.process.stdin.close()
        assert program.wait() == 0 and program.stderr() == ""
