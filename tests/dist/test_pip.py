"""Wheels and the sdist, installed the ways people install: the module, the command, the activation by the environment."""

import os
import pathlib
import re
import shutil
import subprocess
import zipapp

import pytest

from conftest import PYTHONS, ROOT, environment, run, version
from test_static import port_of

TOOLS = pathlib.Path(os.environ.get("TOOLS") or
                     pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"), "pystuck/wheel-tools"))
CAN_MOUNT = os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


@pytest.fixture(scope="session")
def handed_out(tmp_path_factory):
    """The directory with the sdist and the wheels that tools/wheels makes."""
    out = tmp_path_factory.mktemp("wheels")
    made = subprocess.run([ROOT / "tools/wheels", out, *PYTHONS], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=1500)
    if made.returncode == 77:
        pytest.skip(made.stderr.strip())
    assert made.returncode == 0, made.stdout + made.stderr
    assert made.stdout.count("PASSED") == len(PYTHONS) + 1, made.stdout
    return out


@pytest.fixture(params=PYTHONS, ids=lambda path: pathlib.Path(path).parents[1].name)
def python(request):
    return request.param


@pytest.fixture
def install(handed_out):
    """install(python, ...): the wheel that pip chooses, with no help from a network."""
    def do(python, *how, **env):
        return run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--only-binary=:all:",
                   "--find-links", handed_out, *how, "pystuck", env=environment(**env), timeout=300)
    return do


@pytest.fixture
def venv(python, install, tmp_path):
    run(python, "-m", "venv", tmp_path / "venv", timeout=300)
    install(tmp_path / "venv/bin/python")
    return tmp_path / "venv"


def libraries_of(server):
    return {line.split()[-1] for line in pathlib.Path(f"/proc/{server.process.pid}/maps").read_text().splitlines() if ".so" in line}


def test_a_wheel_runs_on_older_machines_than_this_and_has_libsodium_inside(handed_out):
    wheels = sorted(path.name for path in handed_out.glob("*.whl"))
    assert len(wheels) == len(PYTHONS)
    for name in wheels:
        major, minor = map(int, re.search(r"manylinux_(\d+)_(\d+)_x86_64", name).groups())
        assert (major, minor) <= (2, 31)
        listed = run("unzip", "-Z1", handed_out / name)
        assert re.search(r"^pystuck\.libs/libsodium-", listed, re.MULTILINE)
        assert "libreadline" not in listed
        assert "share/doc/pystuck/libsodium23.copyright" in listed


def test_the_client_in_a_wheel_needs_only_the_c_library(venv):
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-dW", venv / "bin/pystuck"))
    assert needed and all(re.match(r"lib(c|pthread|dl|m|rt)\.so|ld-linux", name) for name in needed), needed


def test_a_wheel_in_a_venv_serves_with_its_own_libsodium(venv, private, program):
    run(venv / "bin/pystuck", "--keygen", private / "key")
    server = program(venv / "bin/python", env=environment(), host="127.0.0.1", port=0, key=str(private / "key"))
    assert server.file.startswith(str(venv))
    address = ["127.0.0.1", port_of(server.process.pid), "--key", private / "key"]
    assert run(venv / "bin/pystuck", *address, "-c", "6 * 7") == "42\n"
    assert "in stuck_here" in run(venv / "bin/pystuck", *address, "--no-repl")
    sodium = [path for path in libraries_of(server) if "sodium" in path]
    assert sodium and all(path.startswith(str(venv)) for path in sodium), sodium


def test_python_m_pystuck_runs_the_client_of_its_own_venv(venv):
    assert run(venv / "bin/python", "-m", "pystuck", "--version", env=environment(PATH="/usr/bin:/bin")) == f"pystuck {version()}\n"
    assert run(venv / "bin/python", "-m", "pystuck", "--help") == run(venv / "bin/pystuck", "--help")


def serves(command, run_client, address, **env):
    """The program is ready, is asked, and ends well."""
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(**env))
    try:
        assert program.stdout.readline() == "READY\n"
        assert run(run_client, "--socket", address, "-c", "6 * 7") == "42\n"
    finally:
        program.communicate("\n", timeout=60)
    assert program.returncode == 0


def test_a_wheel_brings_the_activation_by_the_environment(venv, private):
    serves([venv / "bin/python", "-c", "print('READY', flush=True); input()"], venv / "bin/pystuck", private / "a.sock",
           PYSTUCK_SOCKET=str(private / "a.sock"))


def test_pip_uninstall_leaves_nothing(venv):
    def ours():
        return {str(path) for path in venv.rglob("*pystuck*")}
    assert any(path.endswith("share/man/man1/pystuck.1") for path in ours())
    assert any(path.endswith("bash-completion/completions/pystuck") for path in ours())
    run(venv / "bin/python", "-m", "pip", "uninstall", "--quiet", "--disable-pip-version-check", "-y", "pystuck", env=environment())
    assert {path for path in ours() if not pathlib.Path(path).is_dir()} == set()


def test_a_wheel_works_in_a_user_site(python, install, private, program):
    base = private / "base"
    install(python, "--user", "--ignore-installed", PYTHONUSERBASE=str(base))
    env = environment(PYTHONUSERBASE=str(base))
    server = program(python, env=env, socket=str(private / "a.sock"))
    assert server.file.startswith(str(base))
    assert run(base / "bin/pystuck", "--socket", private / "a.sock", "-c", "6 * 7") == "42\n"
    assert run(python, "-m", "pystuck", "--version", env=env | {"PATH": "/usr/bin:/bin"}) == f"pystuck {version()}\n"


def test_a_wheel_works_beside_a_zipapp(python, install, private):
    install(python, "--target", private / "app")
    source = private / "source"
    source.mkdir()
    (source / "__main__.py").write_text(
        "import os, sys; sys.path.insert(0, os.path.dirname(sys.argv[0]))\nimport pystuck\n"
        "with pystuck.run_server(socket=sys.argv[1]):\n    print('READY', flush=True)\n    input()\n")
    zipapp.create_archive(source, private / "app" / "app.pyz")
    serves([python, private / "app" / "app.pyz", private / "a.sock"], private / "app/bin/pystuck", private / "a.sock")


@pytest.mark.skipif(not CAN_MOUNT, reason="mounts and chroot need root")
def test_a_wheel_works_in_a_root_without_any_of_the_libraries(python, handed_out, tmp_path):
    """This machine's root below an overlay, in which libsodium, libbsd, readline, libedit and libtinfo are no more."""
    # Not below tmp_path: an overlay's upper directory is best on a file system of its own.
    script = f"""
        set -eu
        mkdir {tmp_path}/over
        mount -t tmpfs tmpfs {tmp_path}/over
        cd {tmp_path}/over
        mkdir upper work root
        mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
        for library in sodium bsd readline edit tinfo; do
            find root/lib/ root/usr/lib/ -name "lib$library.so*" -delete
        done
        mkdir -m 1777 -p root/wheels root/new
        cp {handed_out}/*.whl root/wheels
        mount -t proc proc root/proc
        mount --rbind /dev root/dev
        exec chroot root env -i PATH=/usr/bin:/bin HOME=/new PYTHON={python} sh -eu /new/inside
    """
    inside = """
        $PYTHON -m venv /new/venv
        /new/venv/bin/python -m pip install -q --disable-pip-version-check --no-index --find-links /wheels pystuck
        /new/venv/bin/pystuck --keygen /new/key 2>/dev/null
        mkfifo /new/ready
        /new/venv/bin/python -c 'import pystuck; pystuck.run_server("127.0.0.1", 6667, key="/new/key"); print("READY", flush=True); import time; time.sleep(600)' >/new/ready &
        read -r line </new/ready
        /new/venv/bin/pystuck 127.0.0.1 6667 --key /new/key -c '6 * 7'
        kill $!
    """
    script = script.replace("exec chroot", f"cat >root/new/inside <<'END'\n{inside}\nEND\n        ip link set lo up\n        exec chroot")
    answer = run("unshare", "--mount", "--net", "--propagation", "private", "--pid", "--fork", "--kill-child", "sh", "-c", script, timeout=300)
    assert answer.splitlines()[-1] == "42", answer


def from_source(handed_out, target, status=0, **env):
    [sdist] = handed_out.glob("*.tar.gz")
    return run(TOOLS / "bin/python", "-m", "pip", "install", "--no-index", "--no-build-isolation", "--no-deps", "--target", target,
               sdist, env=environment(**env), status=status, timeout=600)


def test_the_sdist_is_built_and_installed(handed_out, private, program):
    from_source(handed_out, private / "site")
    server = program(TOOLS / "bin/python", env=environment(PYTHONPATH=str(private / "site")), socket=str(private / "a.sock"))
    assert server.file.startswith(str(private / "site"))
    assert run(private / "site/bin/pystuck", "--socket", private / "a.sock", "-c", "6 * 7") == "42\n"


@pytest.mark.parametrize("env, names", [
    ({"PKG_CONFIG_LIBDIR": "/nonexistent"}, ["libsodium-dev", "libbsd-dev", "libsodium-devel", "Alpine"]),
    ({"CC": "no-such-compiler"}, ["no-such-compiler", "gcc"]),
])
def test_without_what_it_needs_pip_says_so_in_one_sentence(handed_out, private, env, names):
    said = from_source(handed_out, private / "site", status=1, **env)
    assert "Traceback" not in said
    sentences = [line.strip() for line in said.splitlines() if "pystuck needs" in line]
    assert len(sentences) == 1, said
    assert all(name in sentences[0] for name in names)
    assert not re.search(r"[.!?] [A-Z]", sentences[0])
    assert "[1 lines of output]" in said, said


def test_no_file_of_the_sdist_is_left_out_of_what_make_install_needs(handed_out, private):
    [sdist] = handed_out.glob("*.tar.gz")
    shutil.unpack_archive(sdist, private)
    [tree] = private.glob("pystuck-*")
    run("make", "-C", tree, "-n", "install", f"BUILD={private}/build", f"DESTDIR={private}/root", f"PYTHON={PYTHONS[0]}", env=environment())
