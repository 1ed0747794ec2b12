"""An extension that was built with EVAL=no. Run by `make no-eval`, on such a build; left out otherwise (conftest.py)."""

import pytest

SERVER = """
import pystuck, sys
server = pystuck.run_server({arguments})
print("READY", flush=True)
sys.stdin.read()
"""


def test_without_evaluation_the_stacks_and_locals_are_there(python, start, client):
    program = start(python, SERVER.format(arguments=""))
    answer = client("--socket", program.socket, "--locals", "--no-repl")
    assert answer.status == 0 and "server = <pystuck.Server" in answer.out, answer


@pytest.mark.parametrize("arguments", ["", "allow={0: 'eval'}", "namespace={'x': 1}", "eval=False"])
def test_without_evaluation_it_is_refused_and_says_why(python, start, client, arguments):
    program = start(python, SERVER.format(arguments=arguments))
    answer = client("--socket", program.socket, "-c", "1+1")
    assert answer.status == 4 and answer.out == "", answer
    assert "built without evaluation" in answer.err, answer
    assert program.alive()


def test_without_evaluation_there_is_no_prompt(python, start, client):
    program = start(python, SERVER.format(arguments=""))
    answer = client("--socket", program.socket, "--no-stacks", stdin="1+1\n")
    assert answer.status == 4 and answer.out == "", answer


def test_without_evaluation_asking_for_it_is_an_error(python, start):
    program = start(python, SERVER.format(arguments="eval=True"), ready=False)
    assert program.wait() == 1
    error = program.stderr()
    assert "ValueError: eval=True: this pystuck was built without evaluation" in error, error


def test_without_evaluation_a_key_may_not_evaluate_either(one_python, start, client, tmp_path):
    key = tmp_path / "key"
    assert client("--keygen", key, "--role", "eval").status == 0
    program = start(one_python, SERVER.format(arguments=f"port=0, key={str(key)!r}").replace(
        'print("READY"', 'print("PORT", server.address[1], flush=True)\nprint("READY"'), ready=False)
    port = program.out.until(r"PORT (\d+)")[1]
    answer = client("127.0.0.1", port, "--key", key, "-c", "1+1")
    assert answer.status == 4 and "built without evaluation" in answer.err, answer
    assert client("127.0.0.1", port, "--key", key, "--no-repl", "--locals").status == 0
