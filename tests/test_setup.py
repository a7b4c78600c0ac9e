"""setup.sh and make: what they install, where, and what they refuse."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import READ_ONLY, environment, needs_namespaces, nobody_is_left, one_line, run, within_seconds

REPOSITORY = Path(__file__).resolve().parents[1]


FAKE_PYTHON = r"""#!/bin/sh
here=$(dirname "$0")
case "$1 ${2:-}" in
"-c import pip") [ -f "$here/has pip" ] ;;
"-c "*version_info\[:2\]*) echo VERSION ;;
"-c "*print*) echo "$0" ;;
"-c "*) ;;
"-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && touch "$3/bin/has pip" ;;
"-m ensurepip") touch "$here/has pip" ;;
"-m pip")
  [ "${PIP_USER:-0}" = 0 ] || exit 1 # as pip does in an environment
  [ -f "$here/has pip" ] && echo "$@" >>"$here/pip" || exit 1
  while [ -n "${PIP_WAITS_FOR:-}" ] && [ ! -e "$PIP_WAITS_FOR" ]; do sleep 0.05; done
  [ -z "${PIP_SAYS:-}" ] || { echo "$PIP_SAYS"; exit 1; }
  touch "$here/packages"
  ;;
"- "*pyproject.toml) echo "a package" ;;
"- "*) [ -f "$here/packages" ] ;;
*) echo "ran $*" ;;
esac
"""


@pytest.fixture
def fresh(tmp_path):
    """A fresh checkout, and a function that runs its setup.sh with a Python that only pretends to install."""
    root = tmp_path / "fresh check"
    root.mkdir()
    for name in ("setup.sh", "Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, root / name)
    python = tmp_path / "my python"
    python.write_text(FAKE_PYTHON.replace("VERSION", f"{sys.version_info[0]}.{sys.version_info[1]}"))
    python.chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "CONDA_PREFIX", "VENV")}
    clean |= {"PYTHON": str(python), "HOME": str(tmp_path / "home")}
    (tmp_path / "home").mkdir()

    def setup(*args, read_only=False, start=run, **variables):
        command = [root / "setup.sh", *args]
        if read_only:
            command = [*READ_ONLY, root, *command]
        return start(*command, cwd=tmp_path, env=clean | variables)

    return root, setup


@pytest.fixture
def active(tmp_path):
    """The Python of an environment in the folder `active` that has what the tests' own has."""
    python = tmp_path / "active" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return python


def test_setup_makes_an_environment_once(fresh):
    root, setup = fresh
    done = setup()
    assert done.stdout == f"{root}/.venv/bin/python\n" and "Installing" in done.stderr, done.stderr
    again = setup("--run", "script.py", "a b")
    assert (again.stdout, again.stderr) == ("ran script.py a b\n", "")
    assert setup("--dev").returncode == 0
    pip = (root / ".venv" / "bin" / "pip").read_text().splitlines()
    assert len(pip) == 2 and pip[0].endswith(f"-e {root}") and pip[1].endswith(f"-e {root}[dev]")
    (root / ".venv" / ".installed").unlink()
    assert setup().stderr == ""  # what the tests need includes what the exhibits need
    (root / ".venv" / "bin" / "packages").unlink()  # an environment that was damaged is mended
    assert "Installing" in setup().stderr and (root / ".venv" / "bin" / "packages").exists()
    assert not list(root.glob(".venv.log"))


def test_the_versions_of_the_lock_are_installed_unless_the_newest_are_asked_for(fresh):
    root, setup = fresh
    (root / "locks").mkdir()
    lock = root / "locks" / f"{sys.version_info[0]}.{sys.version_info[1]}.txt"
    lock.write_text("numpy==2.0\n")
    for venv, values, options, said in (
        ("locked", {}, f" -c {lock} -e {root}", "Installing the requirements in"),
        ("newest", {"UNLOCKED": "1"}, f" --disable-pip-version-check -e {root}", "(the newest that are allowed) in"),
    ):
        done = setup(VENV=venv, PIP_USER="1", **values)
        assert done.returncode == 0 and said in done.stderr, done.stderr
        assert (root / venv / "bin" / "pip").read_text().endswith(f"{options}\n")
    lock.write_text("numpy==2.1\n")  # other versions are installed anew
    assert "Installing" in setup(VENV="locked").stderr and setup(VENV="locked").stderr == ""


def test_setup_installs_again_where_the_checkout_was_moved(fresh):
    root, setup = fresh
    assert setup().returncode == 0
    root.rename(moved := root.with_name("moved"))
    again = run(moved / "setup.sh", env=environment(VENV=".venv", HOME="/none"))
    assert again.returncode == 0 and "Installing" in again.stderr, again.stderr
    assert (moved / ".venv" / "bin" / "pip").read_text().splitlines()[-1].endswith(f"-e {moved}")


def test_setup_refuses_what_it_would_have_to_ignore(fresh, tmp_path):
    root, setup = fresh
    assert setup(VENV="env/").stdout == f"{root}/env/bin/python\n"
    other = tmp_path / "another python"
    other.write_text(FAKE_PYTHON.replace("VERSION", "3.99"))
    other.chmod(0o755)
    for args, values, words in (
        (["--dev", "--docs"], {}, "--dev --docs: expected"),
        ([], {"VENV": "env", "PYTHON": str(other)}, f"{other}: 3.99, but"),
        ([], {"VENV": "env", "PYTHON": "./another python"}, "another python: 3.99, but"),
        ([], {"VENV": "env", "PYTHON": "/none"}, "PYTHON=/none: does not run, but"),
    ):
        assert words in one_line(setup(*args, **values))
    assert setup(VENV="env2", PYTHON="./my python").stdout == f"{root}/env2/bin/python\n"
    (root / "env" / "bin" / "python").unlink()
    (root / "env" / "bin" / "python").symlink_to("/none/python3")
    assert "the Python that it was made with is gone" in one_line(setup(VENV="env"))


def test_an_environment_without_pip_gets_it(fresh, tmp_path):
    _, setup = fresh
    python = tmp_path / "bare" / "bin" / "python"
    python.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "my python", python)
    done = setup(VENV=str(tmp_path / "bare"))
    assert done.stdout == f"{python}\n" and (python.parent / "packages").exists(), done.stderr


@pytest.mark.slow
def test_an_environment_without_pip_gets_pythons_own(fresh, tmp_path):
    _, setup = fresh
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    done = setup(VENV=str(tmp_path / "bare"), PIP_INDEX_URL="http://127.0.0.1:1", PIP_RETRIES="0")
    assert done.returncode == 2 and "requirements could not be installed" in done.stderr.splitlines()[-1], done.stderr
    assert list((tmp_path / "bare").glob("lib/*/site-packages/pip"))


@pytest.mark.parametrize(("version", "taken"), [("0.9.0", False), ("1.5.1", False), ("1.5.1rc1", False), (None, True)])
def test_an_active_environment_has_to_have_the_versions(version, taken, fresh, active, tmp_path):
    root, setup = fresh
    if version is not None:  # of a package whose bounds it is outside of
        info = tmp_path / "other" / f"msgspec-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: msgspec\nVersion: {version}\n")
    (tmp_path / "operator.py").write_text("print('not the library')\nraise SystemExit(1)")  # in the working folder
    done = setup(VIRTUAL_ENV=str(tmp_path / "active"), PYTHONPATH=str(tmp_path / "other"))
    assert done.stdout == (f"{active}\n" if taken else f"{root}/.venv/bin/python\n"), done.stderr
    assert ("lacks some of the requirements or has another" in done.stderr) == (not taken)


def test_a_script_imports_what_lies_beside_it_unless_python_is_told_not_to(fresh, active, tmp_path):
    _, setup = fresh
    (tmp_path / "beside.py").write_text("print('found')")
    (tmp_path / "script.py").write_text("import beside")
    environments = {"VIRTUAL_ENV": str(active.parents[1])}
    for told, code in (("", 0), ("1", 1)):
        done = setup("--run", str(tmp_path / "script.py"), PYTHONSAFEPATH=told, **environments)
        assert done.returncode == code and ("found" in done.stdout) == (code == 0), done.stderr


def test_two_setups_at_once_install_once(fresh):
    root, setup = fresh
    pip, go = root / ".venv" / "bin" / "pip", root / "go"
    first = setup(start=in_background, PIP_WAITS_FOR=str(go))
    assert within_seconds(pip.exists)
    second = setup(start=in_background)
    assert second.stderr.readline().startswith("Waiting for another process that installs")
    go.touch()
    assert [process.communicate(timeout=60)[0] for process in (first, second)] == [f"{root}/.venv/bin/python\n"] * 2
    assert len(pip.read_text().splitlines()) == 1


def test_setup_goes_on_where_files_cannot_be_locked(fresh, tmp_path):
    root, setup = fresh
    flock = tmp_path / "bin" / "flock"
    flock.parent.mkdir()
    flock.write_text('#!/bin/sh\necho "flock: $1: No locks available" >&2\nexit 71\n')  # as on some network disks
    flock.chmod(0o755)
    done = setup(PATH=f"{flock.parent}:{os.environ['PATH']}")
    assert done.stdout == f"{root}/.venv/bin/python\n" and "cannot be locked" in done.stderr, done.stderr


def in_background(*command, **values):
    pipe = subprocess.PIPE
    return subprocess.Popen([*map(str, command)], stdout=pipe, stderr=pipe, text=True, start_new_session=True, **values)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PIP_SAYS": "ERROR: No space left on device"}, ["(No space left on device)", "the log is", ".venv.log"]),
        ({"PIP_SAYS": "  WARNING: Retrying after NewConnectionError"}, ["the package index cannot be reached"]),
        ({"PIP_SAYS": "ERROR: No matching numba (from versions: none)"}, ["no build for this system", "glibc"]),
        ({"PIP_SAYS": "Segmentation fault"}, ["(Segmentation fault)"]),
        ({"PYTHON": "/none/python3"}, ["no Python 3.11 or newer", "tried /none/python3", "PYTHON="]),
        ({"VENV": "/proc/none/venv"}, ["/proc/none: cannot be written to", "VENV="]),
    ],
    ids=str,
)
def test_what_keeps_setup_from_installing_is_one_line(variables, words, fresh):
    _, setup = fresh
    done = setup(**variables)
    told = [line for line in done.stderr.splitlines() if not line.startswith(("Making ", "Installing "))]
    assert done.returncode == 2 and done.stdout == "" and len(told) == 1, done.stderr
    assert told[0].startswith("error: ")
    for word in words:
        assert word in told[0]


def test_a_signal_ends_an_installation(fresh):
    root, setup = fresh
    running = setup("--run", "x", start=in_background, PIP_WAITS_FOR="/none")
    assert within_seconds((root / ".venv" / "bin" / "pip").exists)
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=60)
    assert running.returncode == 143 and nobody_is_left(running)


@needs_namespaces
def test_a_checkout_that_cannot_be_written_to_has_its_environment_elsewhere(fresh, tmp_path):
    root, setup = fresh
    home = tmp_path / "home" / ".local" / "share" / "snn-museum" / str(root)[1:].replace("/", "-")
    done = setup(read_only=True)
    assert done.stdout == f"{home}/venv/bin/python\n" and "cannot be written to" in done.stderr, done.stderr
    assert " -e " not in (home / "venv" / "bin" / "pip").read_text()
    other = setup(read_only=True, XDG_DATA_HOME=str(tmp_path / "data"))
    assert other.stdout.startswith(str(tmp_path / "data" / "snn-museum"))
    one_line(setup(read_only=True, XDG_DATA_HOME="/proc"))
    assert not (root / ".venv").exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_make_works_in_a_path_with_a_space(fresh, tmp_path):
    root, _ = fresh
    values = environment(PYTHON=str(tmp_path / "my python"), VENV="my venv")
    del values["VIRTUAL_ENV"]
    for target, ran in {
        "lint": "ran -m ruff check .\nran -m ruff format --check .\n"
        f"ran -m pyright --pythonpath {root}/my venv/bin/python\n",
        "test": "ran -m pytest\n",
        "doctor": "ran exhibits/common/scripts/doctor.py\n",
    }.items():
        done = run("make", "--no-print-directory", "-C", root, target, env=values)
        assert (done.returncode, done.stdout) == (0, ran), done.stderr
    wrong = run("make", "--no-print-directory", "-C", root, "results", "EXHIBIT=none", env=values)
    assert wrong.returncode == 2 and "error: EXHIBIT=none" in wrong.stderr
