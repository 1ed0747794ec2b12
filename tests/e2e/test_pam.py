"""PAM: who has a role must also pass the account check, made by a process of its own that the program never sees."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import procfs
from conftest import BUILD, CLIENT, PATIENCE, wait_until

HELPER = BUILD / "tests" / "pystuck-pam"  # the real one, but for where its services stand
TROUBLE = BUILD / "tests" / "pam_trouble.so"
ME = pwd.getpwuid(os.geteuid()).pw_name
NOBODY = pwd.getpwnam("nobody")
LIMIT = 5  # seconds that PAM may take

needs_helper = pytest.mark.skipif(not HELPER.exists(), reason="built without PAM")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to act as several users")

SERVER = """
import os, signal, sys, pystuck
{before}
server = pystuck.run_server({arguments})
print("ADDRESS", server.address if isinstance(server.address, str) else "%s %d" % server.address, flush=True)
print("READY", flush=True)
{after}
sys.stdin.read()
"""


# What the audit log has of those who are turned away, on standard output.
LOG = """audit=lambda e: os.write(1, f"REFUSED {e['reason']}\\n".encode()) if e["action"] == "refuse" else None,"""


def refused(program, ask, words):
    """Who is turned away now hears why, and the log has the very same reason, in which these words are."""
    answer = ask(program, "1+1")
    reason = program.out.until("REFUSED (.*)")[1]
    assert answer.status == 4 and answer.out == "", answer
    assert words in reason and reason in answer.err, (words, reason, answer)
    return reason


class Pam:
    """A helper of its own, in a directory with the services that it goes by."""

    def __init__(self, directory):
        self.directory = directory
        self.services = directory / "pam.d"
        self.services.mkdir(parents=True)
        directory.chmod(0o755)
        self.program = directory / "pystuck-pam"
        shutil.copy(HELPER, self.program)
        self.program.chmod(0o755)

    def says(self, *lines, service="pystuck"):
        path = self.services / (service + ".new")
        path.write_text("".join(line + "\n" for line in lines))
        path.rename(self.services / service)

    def module(self, *words):
        self.says(" ".join(["account required", str(TROUBLE), *map(str, words)]))


@pytest.fixture
def pam(tmp_path):
    helper = Pam(tmp_path / "helper")
    helper.says("account required pam_permit.so")
    return helper


@pytest.fixture
def serve(start, one_python):
    """serve(helper) -> a program that asks it."""
    def make(helper, arguments="", before="", after="", **kwargs):
        script = SERVER.format(arguments=f"pam={str(helper)!r}, {arguments}", before=before, after=after)
        return start(one_python, script, **kwargs)
    return make


def wait_ended(pid):
    """Until the process is over; that init takes away what is left of it is init's matter."""
    def is_over():
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
        except OSError:
            return True
    wait_until(is_over, f"process {pid} is over")


def noted(path):
    """What the module wrote, as a dict."""
    wait_until(lambda: path.exists() and path.read_text().endswith("\n") and "fds=" in path.read_text(), f"{path} is written")
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


class Asking:
    """A client that asks in the background, within `with`. What must happen meanwhile may be too late on a busy machine,
    since PAM's time is short: then it is tried again."""

    def __init__(self, ask, program):
        self.ask, self.program, self.tries = ask, program, []

    def until(self, meanwhile):
        for _ in range(5):
            happened = meanwhile(self)
            if happened:
                return
        pytest.fail("what should happen meanwhile was late five times")

    def is_going_on(self):
        return self.thread.is_alive()

    def run(self):
        begun = time.monotonic()
        self.answer = self.ask(self.program, "1+1")
        self.took = time.monotonic() - begun

    def __enter__(self):
        self.answer = None
        self.thread = threading.Thread(target=self.run)
        self.tries.append(self.thread)
        self.thread.start()

    def __exit__(self, *exc):
        self.thread.join(PATIENCE)
        assert self.answer, "the client has not ended"


# ---- the real helper ------------------------------------------------------------------------------


@needs_helper
def test_who_passes_the_account_check_comes_in(pam, python, start, ask):
    program = start(python, SERVER.format(arguments=f"pam={str(pam.program)!r}", before="", after=""))
    answer = ask(program, "1+1")
    assert answer.status == 0 and answer.out == "2\n", answer


@needs_helper
def test_every_pam_code_but_success_is_denied_with_its_text(pam, serve, ask):
    program = serve(pam.program)
    for code in [*range(1, 32), 77]:
        pam.module("code", code)
        answer = ask(program, "1+1")
        assert answer.status == 4 and answer.out == "", (code, answer)
        assert "PAM" in answer.err, (code, answer)
    pam.module("code", 13)
    assert "User account has expired (13)" in ask(program, "1+1").err
    pam.module("code", 0)
    assert ask(program, "1+1").out == "2\n"


@needs_helper
def test_the_reason_of_each_refusal_stands_in_the_log(pam, serve, ask):
    codes, reasons = [*range(1, 32), 77], set()
    # The log of one program has ten refusals a second, and then counts them.
    for first in range(0, len(codes), 8):
        program = serve(pam.program, LOG)
        for code in codes[first:first + 8]:
            pam.module("code", code)
            reasons.add(refused(program, ask, "PAM says no: "))
        program.stop()
    assert len(reasons) >= 30, "each in its own words, but for codes that libpam itself takes for others"
    program = serve(pam.program, LOG)
    pam.module("kill")
    refused(program, ask, "without an answer")
    (pam.services / "pystuck").unlink()
    refused(program, ask, "no service file")
    pam.says("auth required pam_permit.so")
    refused(program, ask, "no account line")
    pam.program.unlink()
    refused(program, ask, "cannot be started")  # a long path leaves no room for more


@needs_helper
def test_the_modules_that_administrators_know_decide_without_privilege(pam, serve, ask):
    program = serve(pam.program)
    for line, status in (("pam_deny.so", 4), (f"pam_succeed_if.so quiet user = {ME}", 0),
                         (f"pam_succeed_if.so quiet user != {ME}", 4), ("pam_succeed_if.so quiet ruser = " + ME, 0)):
        pam.says("account required " + line)
        assert ask(program, "1+1").status == status, line


@needs_helper
def test_the_service_other_never_stands_in_for_ours(pam, serve, ask):
    program = serve(pam.program)
    pam.says("account required pam_permit.so", service="other")
    (pam.services / "pystuck").unlink()
    answer = ask(program, "1+1")
    assert answer.status == 4 and "no service file" in answer.err, answer
    for lines in ([], ["# account required pam_permit.so"], ["auth required pam_permit.so"]):
        pam.says(*lines)
        answer = ask(program, "1+1")
        assert answer.status == 4 and "no account line" in answer.err, (lines, answer)
    (pam.services / "pystuck").unlink()
    (pam.services / "pystuck").mkdir()
    assert ask(program, "1+1").status == 4


@needs_helper
def test_a_changed_user_a_question_and_a_print_let_nobody_in_and_break_nothing(pam, serve, ask):
    program = serve(pam.program)
    for word, status, text in (("rename", 4, "changed the user"), ("ask", 4, "onversation"), ("print", 0, ""), ("talk", 0, "")):
        pam.module(word)
        answer = ask(program, "1+1")
        assert answer.status == status and text in answer.err, (word, answer)


@needs_helper
def test_the_helper_owes_nothing_to_the_program_and_names_who_comes(pam, serve, ask, tmp_path):
    note = tmp_path / "note"
    pam.module("note", note)
    program = serve(pam.program, env={"SECRET": "1"}, before="""
for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
kept = os.open("/dev/null", os.O_RDONLY)
os.set_inheritable(kept, True)
""")
    assert ask(program, "1+1").status == 0
    is_now = noted(note)
    assert (is_now["service"], is_now["user"], is_now["ruser"], is_now["rhost"], is_now["tty"]) == (
        "pystuck", ME, ME, "", "pystuck")
    assert (is_now["blocked"], is_now["not default"], is_now["environment"]) == ("0", "0", "0")
    assert (is_now["core"], is_now["cwd"], is_now["sid"]) == ("0", "/", is_now["pid"])
    fds = [fd.split(":")[0] for fd in is_now["fds"].split() if not fd.endswith(str(note))]
    assert fds == ["0", "1", "2"], is_now["fds"]
    assert int(is_now["ppid"]) != program.pid


@needs_helper
def test_over_tcp_the_user_is_the_name_of_the_key(pam, start, one_python, client, tmp_path):
    note, key = tmp_path / "note", tmp_path / "server.key"
    assert client("--keygen", key).status == 0
    pam.module("note", note)
    program = start(one_python, SERVER.format(arguments=f"port=0, key={str(key)!r}, pam={str(pam.program)!r}", before="", after=""),
                    ready=False)
    port = program.out.until(r"ADDRESS \S+ (\d+)").group(1)
    assert client("127.0.0.1", port, "--key", key, "-c", "1+1").out == "2\n"
    is_now = noted(note)
    assert (is_now["user"], is_now["rhost"]) == ("default", "127.0.0.1")
    pam.module("code", 6)
    answer = client("127.0.0.1", port, "--key", key, "-c", "1+1")
    assert answer.status == 4 and "Permission denied (6)" in answer.err, answer


@needs_helper
def test_no_libpam_no_child_no_signal_and_no_zombie_in_the_program(pam, serve, ask, tmp_path):
    note = tmp_path / "note"
    pam.module("note", note)
    program = serve(pam.program, before="""
seen = []
signal.signal(signal.SIGCHLD, lambda number, frame: seen.append(number))
""")
    look = ("(modules['__main__'].seen, modules['os'].waitid(modules['os'].P_ALL, 0, "
            "modules['os'].WEXITED | modules['os'].WNOHANG | modules['os'].WNOWAIT))")
    for _ in range(10):
        answer = ask(program, look)
        # There has never been a child to wait for.
        assert answer.status == 1 and "ChildProcessError" in answer.err + answer.out, answer
        note_pid = noted(note)["pid"]
        note.unlink()
        wait_ended(note_pid)
    assert ask(program, "modules['__main__'].seen").out == "[]\n"
    assert set(procfs.threads(program.pid, "children").values()) == {""}
    assert "libpam" not in Path(f"/proc/{program.pid}/maps").read_text()


@needs_helper
def test_a_helper_that_is_killed_denies(pam, serve, ask):
    program = serve(pam.program)
    pam.module("kill")
    answer = ask(program, "1+1")
    assert answer.status == 4 and "without an answer" in answer.err, answer


@needs_helper
def test_a_stuck_module_denies_after_its_time_and_ends_while_others_are_served(pam, serve, ask, tmp_path):
    program = serve(pam.program)

    def meanwhile(asking):
        note = tmp_path / f"note{len(asking.tries)}"
        pam.module("hang", note, "deaf")
        with asking:
            pid = noted(note)["pid"]
            pam.says("account required pam_permit.so")
            assert ask(program, "1+1").out == "2\n"
            served = asking.is_going_on()
        wait_ended(pid)
        return served

    asking = Asking(ask, program)
    asking.until(meanwhile)
    assert asking.answer.status == 4 and "PAM" in asking.answer.err, asking.answer
    assert asking.took >= LIMIT


@needs_helper
def test_a_client_that_hangs_up_takes_its_helper_along(pam, serve, ask, tmp_path):
    note = tmp_path / "note"
    program = serve(pam.program)
    pam.module("hang", note)
    begun = time.monotonic()
    asker = subprocess.Popen([CLIENT, "--socket", program.socket, "-c", "1+1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        pid = noted(note)["pid"]
        os.kill(int(pid), 0)
    finally:
        asker.kill()
        asker.wait(PATIENCE)
    wait_ended(pid)
    pam.says("account required pam_permit.so")
    assert ask(program, "1+1").out == "2\n"
    assert time.monotonic() - begun < PATIENCE


@needs_helper
@needs_root
def test_pam_is_not_asked_about_who_has_no_role(pam, start, one_python, tmp_path, client):
    note = tmp_path / "note"
    pam.module("note", note)
    with contextlib.ExitStack() as cleanup:
        public = Path("/run") / f"pystuck-test-pam-{os.getpid()}"
        public.mkdir(mode=0o755)
        cleanup.callback(shutil.rmtree, public)
        path = public / "s.sock"
        start(one_python, SERVER.format(
            arguments=f"pam={str(pam.program)!r}, socket={str(path)!r}, mode=0o666, allow={{'daemon': 'stacks'}}", before="", after=""))
        nobody = ("setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups")
        answer = client("--socket", path, prefix=nobody)
        assert answer.status == 4 and not note.exists(), answer
        daemon = pwd.getpwnam("daemon")
        answer = client("--socket", path, prefix=("setpriv", f"--reuid={daemon.pw_uid}", f"--regid={daemon.pw_gid}", "--clear-groups"))
        assert answer.status == 0, answer
        assert noted(note)["user"] == "daemon"


@needs_helper
def test_a_program_that_adopts_orphans_is_told_to_use_the_socket(pam, start, one_python):
    program = start(one_python, SERVER.format(arguments="", after="", before=f"""
import ctypes
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
try:
    pystuck.run_server(pam={str(pam.program)!r})
except ValueError as e:
    print("ERROR", e, flush=True)
"""), ready=False)
    assert "pystuck-pam.socket" in program.out.until("ERROR (.*)").group(1)


@needs_helper
def test_an_asker_that_sends_nonsense_gets_nothing(pam):
    for request in (b"", b"\x01", b"x" * 10000, b"\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00more"):
        ours, its = socket.socketpair()
        with ours, its:
            helper = subprocess.Popen([pam.program], stdin=its)
            its.close()
            ours.settimeout(PATIENCE)
            with contextlib.suppress(BrokenPipeError):
                ours.sendall(request)
                ours.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                assert ours.recv(1) == b"", request
            assert helper.wait(PATIENCE) == 1


@needs_helper
def test_a_silent_asker_is_given_up(pam):
    ours, its = socket.socketpair()
    with ours, its:
        helper = subprocess.Popen([pam.program], stdin=its)
        assert helper.wait(PATIENCE) == -signal.SIGKILL


@needs_helper
def test_the_helper_by_hand_says_how_it_is_started(pam):
    done = subprocess.run([pam.program], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2 and "pystuck-pam.socket" in done.stderr
    done = subprocess.run([pam.program, "--version"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0 and done.stdout.startswith("pystuck-pam ")


# ---- where the helper is --------------------------------------------------------------------------


def complaint(start, python, value):
    program = start(python, f"""
import pystuck
try:
    pystuck.run_server(pam={value!r})
except Exception as e:
    print("ERROR", type(e).__name__, e, flush=True)
else:
    print("ERROR none", flush=True)
""", ready=False)
    return program.out.until("ERROR (.*)").group(1)


def test_a_helper_that_is_missing_or_not_to_be_trusted_is_said_at_the_start(start, one_python, tmp_path):
    missing = tmp_path / "no-such-helper"
    assert complaint(start, one_python, str(missing)).startswith("FileNotFoundError")
    writable = tmp_path / "writable"
    writable.write_text("")
    writable.chmod(0o777)
    assert "others than its user and root may change it" in complaint(start, one_python, str(writable))
    writable.chmod(0o600)
    if os.geteuid() != 0:  # may run nothing that has no x bit, not even as root
        assert "cannot be run" in complaint(start, one_python, str(writable))
    assert "neither a socket nor a program" in complaint(start, one_python, str(tmp_path))
    assert "absolute" in complaint(start, one_python, "pystuck-pam")
    assert complaint(start, one_python, 1).startswith("TypeError")
    if not Path("/run/pystuck-pam.sock").exists() and not Path("/usr/local/libexec/pystuck/pystuck-pam").exists():
        answer = complaint(start, one_python, True)
        assert answer.startswith("FileNotFoundError") and "make install" in answer and "pystuck-pam.socket" in answer


@needs_helper
def test_a_helper_that_has_gone_since_denies(pam, serve, ask):
    program = serve(pam.program)
    pam.program.unlink()
    answer = ask(program, "1+1")
    assert answer.status == 4 and "cannot be started: No such file" in answer.err, answer


# ---- helpers that are played: by a socket, as systemd's ---------------------------------------------


class Played:
    """Listens as pystuck-pam.socket does; what it answers is the test's matter."""

    def __init__(self, path):
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(16)
        self.answer = b""
        self.requests = []
        self.kept = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                asker = self.listener.accept()[0]
            except OSError:
                return
            asker.settimeout(PATIENCE)
            request = b""
            while piece := asker.recv(4096):
                request += piece
            self.requests.append(request)
            if self.answer is None:
                self.kept.append(asker)  # silent
                continue
            with asker:
                asker.sendall(self.answer)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(PATIENCE)
        self.listener.close()
        for asker in self.kept:
            asker.close()


@pytest.fixture
def played(tmp_path):
    helper = Played(tmp_path / "pam.sock")
    yield helper
    helper.close()


def encoded(code, text=b"text", version=1):
    return bytes([version]) + code.to_bytes(4, "big") + len(text).to_bytes(4, "big") + text


def test_only_the_one_whole_answer_success_lets_in(played, serve, ask):
    program = serve(played.path)
    good = encoded(0)
    bad = [b"", good[:1], good[:5], good[:-1], good + b"\0", good * 2, encoded(0, version=2), encoded(6), encoded(1 << 31),
           encoded(0, b"x" * 256), encoded(0, b"a\0b"), b"\0" * 64, b"\xff" * 5000, b"yes\n"]
    for answer in bad:
        played.answer = answer
        said = ask(program, "1+1")
        assert said.status == 4 and said.out == "" and "PAM" in said.err, (answer, said)
    played.answer = encoded(6, b"evil \x1b[31m\n text")
    said = ask(program, "1+1")
    assert said.status == 4 and "\x1b" not in said.err and r"\x1b" in said.err, said
    played.answer = good
    assert ask(program, "1+1").out == "2\n"
    uid = os.geteuid()
    assert set(played.requests) == {b"\x01\x01" + uid.to_bytes(4, "big") + bytes(8)}


def test_a_silent_helper_denies_after_5_s_and_others_are_served_meanwhile(played, serve, ask):
    program = serve(played.path, LOG)

    def meanwhile(asking):
        played.answer = None
        before = len(played.requests)
        with asking:
            wait_until(lambda: len(played.requests) > before, "the helper is asked")
            played.answer = encoded(0)
            assert ask(program, "1+1").out == "2\n"
            return asking.is_going_on()

    asking = Asking(ask, program)
    asking.until(meanwhile)
    assert asking.answer.status == 4 and "PAM said nothing for 5000 ms" in asking.answer.err, asking.answer
    program.out.until("REFUSED PAM said nothing for 5000 ms")
    assert asking.took >= LIMIT
    assert ask(program, "1+1").out == "2\n"


def test_a_flood_of_strangers_does_not_push_out_who_waits_for_pam(played, serve, ask):
    program = serve(played.path)
    played.answer = None

    def flood(asking):
        before = len(played.kept)
        with contextlib.ExitStack() as strangers, asking:
            wait_until(lambda: len(played.kept) > before, "the helper is asked")
            for _ in range(100):
                stranger = strangers.enter_context(socket.socket(socket.AF_UNIX))
                stranger.connect(program.socket)
            with played.kept[before] as waiting, contextlib.suppress(BrokenPipeError):
                waiting.sendall(encoded(0))
        return "said nothing" not in asking.answer.err

    asking = Asking(ask, program)
    asking.until(flood)
    assert asking.answer.out == "2\n", asking.answer


def test_a_helper_that_nobody_is_behind_any_more_denies(tmp_path, serve, ask):
    path = tmp_path / "pam.sock"
    helper = Played(path)
    program = serve(path)
    helper.close()
    answer = ask(program, "1+1")
    assert answer.status == 4 and "cannot be reached" in answer.err, answer
    path.unlink()
    answer = ask(program, "1+1")
    assert answer.status == 4 and "cannot be reached" in answer.err, answer


@needs_root
def test_a_helper_of_another_user_is_not_believed(tmp_path, serve, ask):
    path = tmp_path / "pam.sock"
    script = f"""
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind({str(path)!r})
os.setuid({NOBODY.pw_uid})
listener.listen(1)
print("READY", flush=True)
asker = listener.accept()[0]
asker.sendall({encoded(0)!r})
"""
    helper = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert helper.stdout.readline() == "READY\n"
        program = serve(path)
        answer = ask(program, "1+1")
        assert answer.status == 4 and "belongs to uid" in answer.err, answer
    finally:
        helper.kill()
        helper.wait(PATIENCE)
        helper.stdout.close()


def test_who_half_closes_after_hello_is_still_answered(played, serve):
    """A client that says all that it has to say at once, as a script would."""
    program = serve(played.path)
    played.answer = encoded(0)
    hello = b"\x01" + (7).to_bytes(4, "big") + b"pystuck" + (1).to_bytes(2, "big") + (5).to_bytes(4, "big") + b"0.1.0"
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(PATIENCE)
        peer.connect(program.socket)
        peer.sendall(len(hello).to_bytes(4, "big") + hello)
        peer.shutdown(socket.SHUT_WR)
        first = peer.recv(5)
        assert first[4:5] == b"\x40", first  # WELCOME


# ---- all together ---------------------------------------------------------------------------------

ACCESS = Path("/etc/security/access.conf")
HAS_RULES = ACCESS.exists() and any(line.strip() and not line.startswith("#") for line in ACCESS.read_text().splitlines())


@needs_helper
@pytest.mark.skipif(not ACCESS.exists() or HAS_RULES, reason="this machine's access.conf is missing or has rules")
def test_the_example_service_file_lets_in_where_access_conf_has_no_rule(pam, serve, ask):
    shutil.copy(Path(__file__).parents[2] / "pam" / "pystuck", pam.services / "pystuck")
    program = serve(pam.program)
    assert ask(program, "1+1").out == "2\n"


@needs_helper
def test_a_forked_child_asks_too(pam, serve, client):
    program = serve(pam.program, after="""
child = os.fork()
if child:
    print("CHILD", child, flush=True)
""")
    child = program.out.until(r"CHILD (\d+)").group(1)
    path = program.directory / "pystuck" / f"{child}.sock"
    try:
        wait_until(path.exists, "the child listens")
        assert client("--socket", path, "-c", "1+1").out == "2\n"
        pam.module("code", 6)
        assert client("--socket", path, "-c", "1+1").status == 4
    finally:
        os.kill(int(child), signal.SIGKILL)
