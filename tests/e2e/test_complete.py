"""Tab at the prompt: what it finds, and what it leaves alone."""

import pytest

from conftest import wait_until
from repl import PROMPT, Repl
from stranger import BUSY, Message
from test_stranger import serve, served, transport  # noqa: F401 (fixtures)

PROGRAM = """
import collections, os, sys, threading
import pystuck
TOUCHED = os.environ["TOUCHED"]
def touch(what):
    with open(TOUCHED, "a") as f:
        f.write(what + "\\n")
class Meta(type):
    def __getattribute__(cls, name):
        touch("meta " + name)
        return type.__getattribute__(cls, name)
    def __dir__(cls):
        touch("meta dir")
        return ["meta_dir"]
    def __instancecheck__(cls, other):
        touch("instancecheck")
        return True
    @property
    def __class__(cls):
        touch("class")
        return type
class Key(str):
    def __eq__(self, other):
        touch("eq")
        return str.__eq__(self, other)
    def __hash__(self):
        return hash("secret_one")
class Hostile(metaclass=Meta):
    own_class = 1
    def __init__(self):
        object.__setattr__(self, "own_value", collections.OrderedDict(inner=1))
    def __getattr__(self, name):
        touch("getattr " + name)
        return self
    def __getattribute__(self, name):
        touch("getattribute " + name)
        return object.__getattribute__(self, name)
    def __dir__(self):
        touch("dir")
        return ["from_dir", "from_dir_too"]
    @property
    def prop(self):
        touch("prop")
        return "text"
    def method(self, alpha, beta=2, *, gamma=None):
        touch("method")
class Slots:
    __slots__ = ("first_slot", "empty_slot")
    def __init__(self):
        self.first_slot = {"in_slot": 1}
    @classmethod
    def make(cls, one, two=2): pass
def handler(request, /, timeout=3.5, *args, retry=True, **kw): return request
hostile, slots = Hostile(), Slots()
vars_with_keys = {Key("secret_one"): 1}
d = {"users": {"deep": [0, slots]}, "user names": 1, "it's": 2, 3: 3, (1, 2): 4, 44: 5}
many = {"key%05d" % i: i for i in range(2500)}
environ = os.environ
quiet = threading.Event()
threading.Thread(target=quiet.wait, name="worker-7", daemon=True).start()
pystuck.run_server()
print("READY", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def program(python, start, tmp_path):
    return start(python, PROGRAM, env={"TOUCHED": str(tmp_path / "touched")})


@pytest.fixture
def repl(program, tmp_path):
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path, columns=300) as session:
        session.ask("m = modules.__main__")
        yield session


CLEAR = "\x15"  # Ctrl-U: an empty line


def lists(repl, typed, *names, without=()):
    """Tab behind `typed` lists these names, between that line and the line again."""
    text = repl.type(CLEAR + typed + "\t", r"%s$.+^In \[\d+\]: \S[^\n]*\Z" % _re(typed.rstrip()))
    listed = text.rsplit("\n", 1)[0].rsplit(typed.rstrip(), 1)[1].split()
    assert set(names) <= set(listed), (typed, listed)
    assert not set(without) & set(listed), (typed, listed)
    return listed


def becomes(repl, typed, line):
    """Tab behind `typed` makes it `line`."""
    repl.type(CLEAR + typed + "\t", r"^In \[\d+\]: %s\Z" % _re(line))


def _re(text):
    import re
    return re.escape(text)


def test_tab_completes_names_attributes_keys_arguments_modules_and_files(repl, tmp_path):
    (tmp_path / "only_one_here.txt").write_text("")
    (tmp_path / "sub dir").mkdir()
    becomes(repl, "modu", "modules")
    becomes(repl, "isinst", "isinstance")
    becomes(repl, "x = Fal", "x = False")
    becomes(repl, "m.hand", "m.handler")
    becomes(repl, "modules['thread", "modules['threading']")
    becomes(repl, "modules.threading.Ev", "modules.threading.Event")
    becomes(repl, "modules['os'].path.isab", "modules['os'].path.isabs")
    becomes(repl, "'abc'.upp", "'abc'.upper")
    becomes(repl, "import colle", "import collections")
    becomes(repl, "from os.path import exi", "from os.path import exists")
    becomes(repl, "m.d['users']['de", "m.d['users']['deep']")
    becomes(repl, "m.d['users']['deep'][1].first_slot['in", "m.d['users']['deep'][1].first_slot['in_slot']")
    becomes(repl, "m.d[\"user n", "m.d[\"user names\"]")
    becomes(repl, "m.d['it", "m.d['it\\'s']")
    becomes(repl, "m.d[4", "m.d[44]")
    becomes(repl, "m.handler(ti", "m.handler(timeout=")
    becomes(repl, f"open('{tmp_path}/onl", f"open('{tmp_path}/only_one_here.txt")
    becomes(repl, f"open('{tmp_path}/sub", f"open('{tmp_path}/sub dir/")
    lists(repl, "m.d[", "'users']", "'user", "3]", "44]")
    lists(repl, "m.s", "slots", "sys")
    lists(repl, "m.slots.", "first_slot", "empty_slot", "make", without=["__init__"])
    lists(repl, "m.slots.__", "__init__", "__slots__")
    lists(repl, "%stacks ", "MainThread", "worker-7", "--locals")


def test_what_is_typed_behind_a_completion_stands_behind_it(repl):
    becomes(repl, "m.hosti", "m.hostile")
    repl.type(".own_v\t.x", r"^In \[\d+\]: m\.hostile\.own_value\.x\Z")
    # In the middle of a line the rest stays where it is.
    repl.type(CLEAR + "m.slo, 1" + "\x1b[D" * 3 + "\t", r"^In \[\d+\]: m\.slots, 1\Z")
    repl.type("!", r"^In \[\d+\]: m\.slots!, 1\Z")
    repl.send("\x05\x15")


def test_tab_in_a_call_shows_how_it_is_called(repl):
    text = repl.type("m.handler(\t", r"m\.handler\(request, /, timeout=3\.5, \*args, retry=True, \*\*kw\)")
    assert "request=" not in text
    repl.type(CLEAR + "m.hostile.method(\t", r"m\.hostile\.method\(alpha, beta=2, \*, gamma=None\)$.*alpha=")
    repl.type(CLEAR + "m.Slots.make(\t", r"m\.Slots\.make\(one, two=2\)$")
    repl.type(CLEAR + "m.os.getenv(\t", r"m\.os\.getenv\(key, default=None\)$")


def test_the_second_line_of_an_input_is_completed_too(repl):
    repl.type("for i in m.d:\r", r"\.\.\.:\s*\Z")
    repl.type("m.hand\t", r"\.\.\.:\s+m\.handler\Z")
    repl.send("\x03")
    repl.expect(PROMPT)


def test_tab_indents_where_the_line_is_empty(repl):
    repl.type("if 1:\r", r"\.\.\.:\s*\Z")
    repl.type("\x15\tx = 5\r", r"\.\.\.:     x = 5\n")
    repl.send("\r")
    repl.expect(PROMPT)
    assert repl.ask("x").endswith("5")


def test_the_first_tab_runs_nothing_of_the_program(repl, tmp_path):
    for typed in ("m.hostile.", "m.Hostile.", "m.hostile.me", "m.hostile.own_value['in", "m.hostile.prop.", "m.hostile.nothing.x",
                  "m.hostile[", "m.hostile['a", "m.hostile.method(", "m.Hostile(", "m.vars_with_keys['s", "m.vars_with_keys['secret_one'].x",
                  "m.hostile(", "m.environ['PA", "f(m.hostile.own_class."):
        repl.send(CLEAR + typed + "\t")
    # An evaluation comes after all of them.
    repl.send(CLEAR)
    assert repl.ask("40 + 2").endswith("42")
    assert not (tmp_path / "touched").exists(), (tmp_path / "touched").read_text()
    repl.send("m.hostile.\t")
    text = repl.until_screen(r"own_value.*Tab again asks the object itself")[1]
    assert "from_dir" not in text and "method" in text
    assert not (tmp_path / "touched").exists()


def test_the_second_tab_asks_the_object(repl, tmp_path):
    repl.type("m.hostile.fr\t", "Tab again asks")
    repl.type("\t", r"m\.hostile\.from_dir\Z")
    wait_until(lambda: "dir\n" in (tmp_path / "touched").read_text(), "the program's __dir__ ran")
    repl.send(CLEAR)
    repl.type("m.hostile.prop.upp\t", "Tab again asks.*Tab again asks")
    repl.type("\t", r"m\.hostile\.prop\.upper\Z")
    repl.type(CLEAR + "m.environ['XDG_RUNTIME\t", "Tab again.*Tab again.*Tab again")
    repl.type("\t", r"m\.environ\['XDG_RUNTIME_DIR'\]\Z")


def test_a_long_list_is_cut_and_says_so(repl):
    repl.type("m.many['key0\t", r"\.\.\. \d+ of 2500: type more of it")
    becomes(repl, "m.many['key0249", "m.many['key0249")
    becomes(repl, "m.many['key02499", "m.many['key02499']")


def test_a_dir_that_never_ends_is_let_go_of(repl, program):
    repl.ask("class Slow:\n    def __dir__(self): modules.time.sleep(1000)\n")
    repl.send("\r")
    repl.expect(PROMPT)
    repl.ask("slow = Slow()")
    repl.type("slow.\t", "Tab again")
    repl.type("\t", "no completion: it took too long")
    repl.send(CLEAR)
    assert repl.ask("40 + 2").endswith("42")


def test_what_is_being_typed_decides(served, transport):  # noqa: F811
    with served.greet(transport) as session:
        session.eval("value = {'first': 1, 'second': 2}")
        answer = session.complete("print(value['f")
        assert (answer.matches, answer.flags, answer.total) == (["first']"], 0, 1)
        assert getattr(answer, "from") == len("print(value['")
        assert session.complete("value.setd").matches == ["setdefault"]
        for source in ("", "1.", "# val", "value[", "x" * 65536, "(" * 65536, "'" * 65535, "\0", "a\0b.c", "é.", "value['\\"):
            assert session.complete(source).what == "MATCHES", source
        assert session.eval("value").text == "{'first': 1, 'second': 2}"


def test_an_audit_hook_says_no_to_running_code_for_a_completion(python, start, tmp_path):
    program = start(python, PROGRAM.replace("pystuck.run_server()", """
def hook(event, args):
    if event == "pystuck.eval" and args[1].startswith("h.from"):
        touch("asked")
        raise RuntimeError("no")
pystuck.run_server()
m = sys.modules["__main__"]
sys.addaudithook(hook)"""), env={"TOUCHED": str(tmp_path / "touched")})
    with Repl("--socket", program.socket, "--no-stacks", home=tmp_path) as repl:
        repl.ask("h = modules.__main__.__dict__['hos' + 'tile']")
        repl.type("h.from\t", "Tab again asks")
        repl.send("\t")
        repl.send("\x15")
        assert repl.ask("40 + 2").endswith("42")
        assert (tmp_path / "touched").read_text() == "asked\n"


def test_a_completion_beside_an_evaluation_is_one_too_many(served, transport):  # noqa: F811
    with served.greet(transport) as session:
        request = session.make_eval("while 1: pass")
        session.send(request)
        assert session.complete("o").reason == BUSY
        session.send(Message("INTERRUPT", id=request.id))
        session.wait("RESULT", id=request.id)
        assert "modules" in session.complete("mod").matches
