"""Frameworks that are stuck: what is said of each, on every version of Python, and that docs/FRAMEWORKS.md shows just that.

Environment: as test_frameworks.py.
"""

import difflib
import re

import pytest

import stuck
from test_frameworks import BUILD, CLIENT, PYTHON, has

FOUND = stuck.environment(PYTHON)
PAGE = stuck.PAGE.read_text()
MADE_BY_THIS = FOUND is not None and stuck.VERSIONS + stuck.versions_line(FOUND) in PAGE


@pytest.mark.parametrize("one", stuck.ALL, ids=lambda one: one.name)
def test_what_is_said_of_a_framework_that_is_stuck(one, tmp_path):
    for module in one.needs:
        if not has(module):
            pytest.skip(f"no {module} for this Python")
    run = stuck.Run(one.example, PYTHON, BUILD, CLIENT, tmp_path)
    try:
        one.reach(run)
        stuck.look_until_said(one, run)
        if MADE_BY_THIS:
            compare_with_the_page(one, run)
    finally:
        run.close()


def compare_with_the_page(one, run):
    """Until it is the same: threads that wake up now and then are not always where they mostly are."""
    _, wanted, _ = stuck.on_page(one, PAGE)
    last = []

    def is_same():
        last[:] = [stuck.shown(one, run, FOUND["library"], run.look(one.look.split()))]
        return last[0] == wanted

    stuck.wait_until(is_same, lambda: "make show-frameworks writes the page anew:\n" + "\n".join(
        difflib.unified_diff(wanted.splitlines(), last[0].splitlines(), "the page", "what is said now", lineterm="")))


def test_the_page_has_all_of_them_and_its_code_is_that_of_the_examples():
    assert re.findall(r"^<!-- made by make show-frameworks: (\S+) -->$", PAGE, re.M) == [one.name for one in stuck.ALL]
    code = "".join(path.read_text() for path in stuck.EXAMPLES.rglob("*.py"))
    blocks = re.findall(r"^```python\n(.*?)```$", PAGE, re.M | re.S)
    assert len(blocks) >= 6
    for block in blocks:
        for part in block.split("\n\n"):
            assert part.strip("\n") in code, part


def test_the_page_was_made_by_versions_that_are_said():
    line = PAGE.partition(stuck.VERSIONS)[2].partition("\n")[0]
    assert re.fullmatch(r"Python 3\.\d+" + "".join(rf", {name} [\w.]+" for name in stuck.PACKAGES), line), line


@pytest.mark.skipif(not (has("uvicorn") and has("uvloop") and has("requests")), reason="no uvicorn or uvloop for this Python")
def test_a_loop_of_uvloop_that_is_blocked_is_told_too(tmp_path):
    one, = (one for one in stuck.ALL if one.name == "uvicorn-blocked")
    run = stuck.Run(one.example, PYTHON, BUILD, CLIENT, tmp_path)
    try:
        stuck.uvicorn_blocked(run, loop="uvloop")
        assert "Blocked event loop: Loop in thread MainThread" in stuck.look_until_said(one, run)
    finally:
        run.close()
