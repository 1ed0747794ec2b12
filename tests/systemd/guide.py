"""Reads the example of pystuck(7), so that the tests follow the very words that an operator follows."""

import re
from pathlib import Path

MANUAL = Path(__file__).resolve().parents[2] / "man" / "pystuck.7"


def plain(line):
    """What mdoc shows for a line of a literal block."""
    return line.replace("\\e", "\\").replace("\\-", "-").replace("\\(dq", '"').replace("\\(aq", "'").replace("\\&", "")


def blocks(name):
    """The commands and files of the block that begins behind the comment `.\\" example: NAME`, in their order."""
    lines = MANUAL.read_text().splitlines()
    at = lines.index(f'.\\" example: {name}')
    begin = next(i for i in range(at, len(lines)) if lines[i].startswith(".Bd -literal")) + 1
    end = lines.index(".Ed", begin)
    return [plain(line) for line in lines[begin:end]]


def commands(name, prompt="# "):
    """The block as one script: what stands behind the prompt, and the rest of commands that go on over several lines."""
    script, rest = [], iter(blocks(name))
    for line in rest:
        assert line.startswith(prompt), f"{name}: {line}"
        script.append(line[len(prompt):])
        word = re.search(r"<<'(\w+)'", line)
        while script[-1].endswith("\\") or (word and script[-1] != word[1]):
            script.append(next(rest))
    assert script, f"no commands in {name}"
    return "\n".join(script) + "\n"


def follow(machine, name, user=None, prompt="# ", check=True):
    """Does what the block says: subprocess.CompletedProcess. It may have to build all."""
    done = machine.run("sh", "-eu", user=user, check=False, patience=300, input=commands(name, prompt))
    assert not check or done.returncode == 0, f"{name}: status {done.returncode}\n{done.stdout}{done.stderr}"
    return done
