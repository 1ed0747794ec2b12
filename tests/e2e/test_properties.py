"""Claims about any text at all, with texts that Hypothesis makes up."""

import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from conftest import PYTHONS, Program, run_client

IDLE = """
import sys, pystuck
pystuck.run_server()
print("READY", flush=True)
sys.stdin.read()
"""

# Letters, digits, punctuation, symbols and plain spaces go through as they are; some letters are invisible.
INVISIBLE = "\u115f\u1160\u3164\uffa0\u2800"
VISIBLE = strategies.characters(whitelist_categories=("L", "N", "P", "S", "Zs"), blacklist_characters=INVISIBLE)
FEW = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    directory = tmp_path_factory.mktemp("properties")
    directory.chmod(0o700)
    program = Program(PYTHONS[0], IDLE, directory)
    yield program
    program.stop()


def literal(text):
    """A Python expression for the text, in ASCII, without a NUL."""
    return ascii(text)


@FEW
@given(strategies.text(VISIBLE, max_size=300))
def test_visible_text_comes_as_it_is(program, text):
    answer = run_client("--socket", program.socket, "-c", f"print({literal(text)}, end='')")
    assert (answer.status, answer.out, answer.err) == (0, text, "")


@FEW
@given(strategies.text(strategies.characters(), max_size=300))
def test_no_text_reaches_the_terminal_with_a_control_character(program, text):
    code = f"import sys; print({literal(text)}); print({literal(text)}, file=sys.stderr); {literal(text)}"
    answer = run_client("--socket", program.socket, "-c", code)
    assert answer.status == 0
    for stream in (answer.out, answer.err):
        assert not [c for c in stream if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in "\n\t"]


@FEW
@given(strategies.text(strategies.characters(), max_size=100))
def test_the_names_of_things_cannot_forge_a_line_of_the_dump(program, text):
    assert run_client("--socket", program.socket, "-c", f"modules.threading.main_thread().name = {literal(text)}").status == 0
    answer = run_client("--socket", program.socket, "--no-repl")
    assert answer.status == 0
    assert len([line for line in answer.out.split("\n") if line.startswith("<")]) == 1
    assert run_client("--socket", program.socket, "--json", "--no-repl").json["threads"][0]["class"] == "_MainThread"
