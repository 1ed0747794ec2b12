"""The completions of bash, zsh and fish, asked as those shells ask them, against pystuck --help."""

import os
import re
import shutil

import pytest

from conftest import BUILD, PYTHONS, ROOT, Terminal, environment, run

CLIENT = BUILD / "pystuck"
COMPLETIONS = ROOT / "completions"


def needs(shell):
    return pytest.mark.skipif(not shutil.which(shell), reason=f"no {shell}")


@pytest.fixture(scope="module")
def options():
    """All that --help says, long and short."""
    text = run(CLIENT, "--help")
    found = set(re.findall(r"(?<![\w-])(--?[A-Za-z][\w-]*)", text.split("Exit status")[0]))
    assert {"-c", "--command", "--no-ipython", "--help"} <= found
    return found


def bash(line):
    """What bash offers for the last word of a line."""
    script = f"""
        source {COMPLETIONS}/pystuck.bash
        COMP_LINE=$1 COMP_POINT=${{#1}}
        read -ra COMP_WORDS <<<"$1"
        [[ $1 == *' ' ]] && COMP_WORDS+=('')
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _pystuck
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    return set(run("bash", "--norc", "-c", script, "bash", line, env=environment(PATH=f"{BUILD}:{os.environ['PATH']}")).split())


def fish(line, home):
    script = f"source {COMPLETIONS}/pystuck.fish; complete -C {line!r}"
    answer = run("fish", "--no-config", "-c", script, env=environment(HOME=str(home), PATH=f"{BUILD}:{os.environ['PATH']}"))
    return {row.split("\t")[0] for row in answer.splitlines()}


def zsh(line, home):
    """zsh completes only on a terminal: the list that Tab shows there, of a line that is typed."""
    (home / ".zshrc").write_text(f"""
        fpath=({COMPLETIONS} $fpath)
        autoload -U compinit; compinit -u -D
        PROMPT='> ' LISTMAX=10000 ZLE_REMOVE_SUFFIX_CHARS=
        zstyle ':completion:*' list-separator '--'
        zstyle ':completion:*' verbose no
        setopt no_auto_menu no_list_ambiguous no_list_packed
        stty columns 60 rows 200
        print READY
    """)
    terminal = Terminal([shutil.which("zsh"), "-i"], environment(ZDOTDIR=str(home), HOME=str(home), TERM="vt100",
                                                                  PATH=f"{BUILD}:{os.environ['PATH']}"))
    terminal.until(b"READY")
    terminal.until(b"> ")
    terminal.type(line.encode() + b"\x04")  # Ctrl-D lists
    terminal.type(b"\x15print DO''NE\r")
    shown = terminal.until(b"DONE").decode()
    terminal.type(b"exit\r")
    terminal.end()
    return set(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\0", " ", shown).split())


def written_zsh():
    text = (COMPLETIONS / "_pystuck").read_text()
    return set(re.findall(r"(?:'\*?|\)|\{|,|\")(--?[A-Za-z][\w-]*)(?=\[|,|\})", text))


def test_bash_completes_every_option_of_the_help_and_no_other(options):
    assert bash("pystuck -") == options


@needs("fish")
def test_fish_completes_every_option_of_the_help_and_no_other(options, tmp_path):
    # fish offers long options for --, and short ones with all of them for -.
    assert fish("pystuck -", tmp_path) | fish("pystuck --", tmp_path) == options


def test_the_completion_of_zsh_has_every_option_of_the_help_and_no_other(options):
    assert written_zsh() == options


@needs("zsh")
def test_zsh_offers_every_option_of_the_help(options, tmp_path):
    shown = zsh("pystuck -", tmp_path)
    assert {word for word in shown if re.fullmatch(r"--?[A-Za-z][\w-]*", word)} == options


@pytest.mark.parametrize("line, offered", [
    ("pystuck --role ", {"stacks", "locals", "eval"}),
    ("pystuck --role l", {"locals"}),
    ("pystuck --color a", {"auto", "always"}),
    ("pystuck --no-", {"--no-stacks", "--no-repl", "--no-ipython", "--no-rc", "--no-group", "--no-greenlets"}),
    ("pystuck -c ", set()),
])
def test_bash_and_fish_complete_the_values(line, offered, tmp_path):
    assert bash(line) == offered
    if shutil.which("fish") and offered:
        assert fish(line, tmp_path) == offered


def test_bash_completes_key_files(tmp_path):
    (tmp_path / "one.key").touch()
    assert bash(f"pystuck --key {tmp_path}/on") == {f"{tmp_path}/one.key"}


def test_bash_completes_the_processes_that_serve(private, program, monkeypatch):
    (private / "pystuck").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(private))
    server = program(PYTHONS[0])
    assert str(server.process.pid) in bash("pystuck --pid ")
