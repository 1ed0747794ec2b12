"""Every kind of wait has its line: in a real program, and in docs/WAITS.md."""

import re

import pytest

import kinds
from conftest import ROOT, wait_until


@pytest.mark.parametrize("section", kinds.SECTIONS, ids=lambda section: section.title)
def test_every_kind_of_wait_has_its_line(python, start, client, section):
    program = start(python, kinds.program(section))
    seen = kinds.Seen(section)
    wait_until(lambda: seen.look(client("--socket", program.socket, "--no-repl", "--no-group").out), "each thread waits",
               lambda: str(seen.missing()))
    assert program.alive()


@pytest.mark.parametrize("number", range(len(kinds.DEADLOCKS)), ids=lambda number: kinds.DEADLOCKS[number][0])
def test_the_deadlocks_of_the_page_are_found(one_python, start, client, number):
    _, text, line = kinds.DEADLOCKS[number]
    program = start(one_python, kinds.deadlock_program(text))
    wait_until(lambda: line in kinds.top(client("--socket", program.socket, "--no-repl").out).split("\n"), line)


def test_every_kind_is_on_the_page_with_a_line_of_its_own():
    """tools/show-waits makes it, from real output."""
    page = (ROOT / "docs" / "WAITS.md").read_text()
    made = page[page.index(kinds.BEGIN):page.index(kinds.END)]
    titles = []
    for section in kinds.SECTIONS:
        part = made[made.index(f"## {section.title}\n"):]
        for kind in section.kinds:
            line = re.search(re.escape(kinds.entry(kind, "")[:-1]) + "(.*)\n", part)
            assert line, f"{kind.title} is not on the page: tools/show-waits"
            assert re.fullmatch(f"(?:{kind.line})" + kinds.TIMES, line[1]), (kind.title, line[1])
            titles.append(kind.title)
    extra = set(re.findall(r"^\*\*(.*)\*\*: `", made, re.M)) - set(titles)
    assert all("IPv6" in title for title in extra), f"on the page, but no kind any more: {extra}"
    for title, _, first in kinds.DEADLOCKS:
        assert f"### {title}\n" in made and f"    {first}\n" in made
