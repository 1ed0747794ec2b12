"""The files of pystuck --sample in a real browser: they open without an error, search, zoom, and nothing in them runs but what is ours.

What lives here: the browser, headless, spoken to over a pipe (Chrome DevTools Protocol). What does not: what is in the files
(tests/e2e/test_sample.py, whose fake server with its names is used here). PYSTUCK_BROWSER: which browser. `make check-browser`.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from conftest import PATIENCE, run_client  # noqa: E402
from fake_server import FakeServer  # noqa: E402
from test_sample import HOSTILE, answer_hostile  # noqa: E402

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = os.environ.get("PYSTUCK_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page at a time. `problems` has what it complained about: exceptions, refused scripts, dialogs."""

    def __init__(self, home):
        to_read, self.to = os.pipe()
        self.answers, from_write = os.pipe()
        # The browser reads from its fd 3 and writes to its fd 4.
        shell = 'exec "$@" 3<&"$IN" 4>&"$OUT"'
        flags = ["--headless", "--disable-gpu", "--no-first-run", f"--user-data-dir={home}", "--remote-debugging-pipe",
                 *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        self.process = subprocess.Popen(["bash", "-c", shell, "browser", BROWSER, *flags], pass_fds=(to_read, from_write),
                                        env=dict(os.environ, IN=str(to_read), OUT=str(from_write)), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(from_write)
        self.pending, self.number, self.session, self.problems, self.loaded = b"", 0, None, [], False

    def close(self):
        os.close(self.to)
        os.close(self.answers)
        self.process.kill()
        self.process.wait(PATIENCE)

    def _next(self):
        while b"\0" not in self.pending:
            data = os.read(self.answers, 1 << 20)
            assert data, "the browser has ended"
            self.pending += data
        message, _, self.pending = self.pending.partition(b"\0")
        return json.loads(message)

    def _note(self, message):
        method, parameters = message.get("method"), message.get("params", {})
        self.loaded |= method == "Page.loadEventFired"
        if method in ("Runtime.exceptionThrown", "Page.javascriptDialogOpening", "Network.requestWillBeSent"):
            url = parameters.get("request", {}).get("url", "")
            if not url.startswith("file:") or method != "Network.requestWillBeSent":
                self.problems.append(message)
        if method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.problems.append(message)

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def open(self, path):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=path.as_uri())
        while not self.loaded:
            self._note(self._next())

    def ask(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")


@pytest.fixture(scope="module", params=["svg", "html"])
def page(request, tmp_path_factory):
    if BROWSER is None:
        pytest.fail(f"no browser: none of {NAMES} is there, and PYSTUCK_BROWSER says nothing")
    directory = tmp_path_factory.mktemp("browser")
    directory.chmod(0o700)
    file = directory / f"profile.{request.param}"
    with FakeServer(directory / "fake.sock", answer_hostile):
        done = run_client("--socket", directory / "fake.sock", "--sample", "0.1", "--output", file)
    assert done.status == 0, done
    browser = Browser(directory / "home")
    try:
        browser.open(file)
        yield browser
    finally:
        browser.close()


WIDTH = "Number({}.querySelector('rect').getAttribute('width'))"


def box(name):
    """The first box of this name, in JavaScript."""
    return (f"Array.from(document.querySelectorAll('#flame g.box')).find(g => g.querySelector('title').textContent.split('\\n')[0] === "
            f"{json.dumps(name)})")


def test_it_opens_without_a_complaint_and_asks_for_nothing(page):
    assert page.ask("document.querySelectorAll('script').length") == 1
    assert page.ask("document.querySelectorAll('#flame g.box').length") == 1 + len(HOSTILE) * 3 + len(HOSTILE) // 2
    assert page.ask("document.querySelectorAll('b, img, iframe').length") == 0
    assert not page.problems


def test_a_name_is_text(page):
    name = "<script>alert(1)</script> (tid 1)"
    assert page.ask(f"{box(name)} !== undefined")
    assert not page.problems


def test_a_click_makes_a_box_as_wide_as_the_picture_and_another_one_gives_it_back(page):
    thread = box("<script>alert(1)</script> (tid 1)")
    before = page.ask(WIDTH.format(thread))
    assert 0 < before < 1200 / len(HOSTILE) + 1
    page.ask(f"{thread}.dispatchEvent(new MouseEvent('click'))")
    assert page.ask(WIDTH.format(thread)) == 1200
    assert page.ask("Array.from(document.querySelectorAll('#flame g.box')).filter(g => g.style.display !== 'none').length") == 4
    page.ask("document.getElementById('flame-whole').click()")
    assert page.ask(WIDTH.format(thread)) == before


def test_searching_marks_what_has_the_words_in_its_name(page):
    page.ask("document.getElementById('flame-search').value = 'ALERT(1)';"
             "document.getElementById('flame-search').dispatchEvent(new Event('input'))")
    assert page.ask("document.querySelectorAll('#flame g.hit').length") == 3
    assert page.ask("document.getElementById('flame-matched').textContent").endswith(f"{100 / len(HOSTILE):.1f} %")
    page.ask("document.getElementById('flame-search').value = '';"
             "document.getElementById('flame-search').dispatchEvent(new Event('input'))")
    assert page.ask("document.querySelectorAll('#flame g.hit').length") == 0


def test_waiting_and_computing_are_seen_apart(page):
    waits, computes = box("[sleeping]"), box("<script>alert(1)</script> (tid 1)")
    for measure, shown, hidden in ("cpu", computes, waits), ("wait", waits, computes):
        page.ask(f"document.querySelector('#flame button[value={measure}]').click()")
        assert page.ask(WIDTH.format(shown)) == pytest.approx(1200 / (len(HOSTILE) / 2), abs=0.01)
        assert page.ask(f"{hidden}.style.display") == "none"
    page.ask("document.querySelector('#flame button[value=all]').click()")


def test_pointing_at_a_box_tells_its_name_and_times(page):
    page.ask(f"{box('<script>alert(1)</script> (tid 1)')}.dispatchEvent(new MouseEvent('mouseenter'))")
    told = page.ask("document.getElementById('flame-info').textContent")
    assert told.startswith("<script>alert(1)</script> (tid 1): ") and "on CPU" in told
