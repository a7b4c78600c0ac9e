"""Starting: from any folder, through links, by any shell, with or without packages."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import HEEDING, environment, line_of, make_patterns, one_line, run

from exhibits.common.data import datasets
from exhibits.common.system import places

REPOSITORY = Path(__file__).resolve().parents[1]
EXHIBITS = REPOSITORY / "exhibits"
OLDER = [*(Path.home() / ".pyenv" / "versions").glob("3.8.*/bin/python"), *map(Path, ("/usr/bin/python3.8",))]
SCRIPTS = sorted(
    path
    for pattern in (
        *(
            "exhibits/*/train_*.py",
            "exhibits/*/analyze_*.py",
            "exhibits/*/studies/*.py",
            "studies/*.py",
            "exhibits/[!c]*/results.py",
        ),
        *("exhibits/common/scripts/doctor.py", "data/prepare.py", "benchmarks/bench_*.py", "benchmarks/readme.py"),
        *("tests/faults.py", "tests/fuzz.py"),
    )
    for path in REPOSITORY.glob(pattern)
)
NEEDED = {"prepare.py": ["mnist"]}  # what a script wants to be told
TOY = """
import json, os, sys, time
from pathlib import Path
from types import SimpleNamespace

def main(args):
    if "--help" in args:
        print("usage")
        sys.exit(0)
    if "--wait" in args:
        print("training", flush=True)
        time.sleep(60)
    if "INTERRUPT" in os.environ and NAME.startswith("analyze"):
        raise KeyboardInterrupt
    print(json.dumps([NAME, sys.argv[1:], list(args)]))
    return SimpleNamespace(exp_dir=Path("my exp"))
"""


@pytest.fixture(scope="module")
def museum(tmp_path_factory):
    """A copy of the museum, in a folder with a space, whose BFA-SNN only says what it was asked."""
    root = tmp_path_factory.mktemp("some where") / "mu seum"
    shutil.copytree(EXHIBITS / "common", root / "exhibits" / "common", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "exhibits" / "bfa_snn").mkdir()
    for name in ("setup.sh", "Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, root / name)
    for name in ("__init__.py", "bfa_snn/sim.sh"):
        shutil.copy(EXHIBITS / name, root / "exhibits" / name)
    for name in ("train_bfasnn", "analyze_bfsnn"):
        (root / "exhibits" / "bfa_snn" / f"{name}.py").write_text(TOY.replace("NAME", repr(name)))
    return root


SAID = """\
["train_bfasnn", ["--T", "3 4"], ["--T", "3 4"]]
["analyze_bfsnn", ["--exp_dir=my exp"], ["--exp_dir=my exp"]]
"""


@pytest.mark.parametrize("shell", [[], ["sh"], ["bash"]], ids=str)
@pytest.mark.parametrize("way", ["itself", "link to the file", "link to the folder", "relative"])
def test_sim_trains_and_then_analyzes_where_the_training_wrote(shell, way, museum, tmp_path):
    path = museum / "exhibits" / "bfa_snn" / "sim.sh"
    if way == "link to the file":
        (tmp_path / "link").symlink_to(path)
        path = tmp_path / "link"
    elif way == "link to the folder":
        (tmp_path / "link").symlink_to(path.parent)
        path = tmp_path / "link" / "sim.sh"
    elif way == "relative":
        path = Path(os.path.relpath(path, tmp_path))
        path = path if shell else Path(".") / path
    done = run(*shell, path, "--T", "3 4", cwd=tmp_path, env=environment(CDPATH=f"/:{museum}", PYTHONSAFEPATH="1"))
    assert (done.returncode, done.stdout) == (0, SAID), done.stderr


def test_sim_ends_after_the_help(museum):
    done = run(museum / "exhibits" / "bfa_snn" / "sim.sh", "--help", env=environment())
    assert (done.returncode, done.stdout) == (0, "usage\n")


def test_an_interrupted_analysis_is_told_how_to_be_made_without_training_again(museum):
    done = run(museum / "exhibits" / "bfa_snn" / "sim.sh", env=environment(INTERRUPT="1"))
    assert done.returncode == 130 and done.stderr.endswith("interrupted\n"), done.stderr
    command = done.stderr.partition("The training is complete; to analyze it: ")[2].splitlines()[0]
    analyze = museum / "exhibits" / "bfa_snn" / "analyze_bfsnn.py"
    assert shlex.split(command)[1:] == [str(analyze), "--exp_dir=my exp"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_sim_reaches_the_training(number, museum):
    command = [*HEEDING, str(museum / "exhibits" / "bfa_snn" / "sim.sh"), "--wait"]
    running = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert line_of(running) == "training\n"
    running.send_signal(number)
    running.communicate(timeout=60)
    assert running.returncode in (-number, 128 + number)
    assert nobody_is_left(running)


def nobody_is_left(process):
    """Whether all processes of its session end."""
    return within_seconds(lambda: not run("ps", "-o", "args=", "--sid", process.pid).stdout)


def within_seconds(happens):
    return any(happens() or time.sleep(0.1) for _ in range(200))


def test_scripts_without_packages_say_what_to_run(tmp_path):
    bare = tmp_path / "bare"
    run(sys.executable, "-m", "venv", "--without-pip", bare)
    assert len(SCRIPTS) >= 16
    for script in SCRIPTS:
        said = one_line(run(bare / "bin" / "python", script, *NEEDED.get(script.name, []), cwd=tmp_path))
        assert "not installed" in said and "make " in said and str(bare) in said, said


@pytest.mark.skipif(not any(path.exists() for path in OLDER), reason="no Python that is too old")
def test_scripts_say_that_a_python_is_too_old():
    old = next(path for path in OLDER if path.exists())
    for script in SCRIPTS:
        assert "Python 3.8 is too old, expected 3.11" in one_line(run(old, script))


QUICK = ("train_bfasnn.py", "depth.py", "prepare.py", "readme.py")  # one of a kind


@pytest.mark.parametrize(
    "script",
    [pytest.param(path, marks=[] if path.name in QUICK else pytest.mark.slow, id=path.name) for path in SCRIPTS],
)
def test_scripts_find_their_own_repository(script, tmp_path):
    """Whatever is installed or on the path, and where Python is told to trust no folder."""
    for package in ("exhibits", "exhibits/common", "exhibits/bfa_snn", "exhibits/glsnn"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('another museum')")
    strange = environment(PYTHONPATH=str(tmp_path), PYTHONSAFEPATH="1", PYTHONOPTIMIZE="2")
    help_ = run(sys.executable, script, "--help", cwd=tmp_path, env=strange)
    assert help_.returncode == 0 and "usage: " in help_.stdout and not help_.stderr, help_.stderr
    wrong = [*NEEDED.get(script.name, []), "--helpp"]
    said = one_line(run(sys.executable, script, *wrong, cwd=tmp_path, env=strange))
    assert "--helpp" in said and ("did you mean --help" in said or "--help lists" in said), said


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
def fresh(museum, tmp_path):
    """Runs setup.sh of a fresh checkout with a Python that only pretends to install; the folder and the function."""
    root = tmp_path / "fresh check"
    shutil.copytree(museum, root)
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


READ_ONLY = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
READ_ONLY += ['mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"']
needs_namespaces = pytest.mark.skipif(
    shutil.which("unshare") is None or run(*READ_ONLY, REPOSITORY / "tests", "true").returncode != 0,
    reason="this user may not mount anything",
)


def test_setup_makes_an_environment_once(fresh):
    root, setup = fresh
    done = setup()
    assert done.stdout == f"{root}/.venv/bin/python\n" and "Installing" in done.stderr, done.stderr
    again = setup("--run", "script.py", "a b")
    assert (again.stdout, again.stderr) == ("ran script.py a b\n", "")
    assert setup("--dev").returncode == 0
    pip = (root / ".venv" / "bin" / "pip").read_text().splitlines()
    assert len(pip) == 2 and pip[0].endswith(f"-e {root}") and pip[1].endswith(f"-e {root}[dev]")
    assert setup("--docs").returncode == 0 and (root / ".venv" / ".installed").unlink() is None
    assert setup().stderr == ""  # what the tests need includes what the exhibits need
    (root / ".venv" / "bin" / "packages").unlink()  # an environment that was damaged is mended
    assert "Installing" in setup().stderr and (root / ".venv" / "bin" / "packages").exists()
    assert not list(root.glob(".venv.log"))


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
        ([], {"VENV": "env", "PYTHON": str(other)}, "not the Python of"),
        ([], {"VENV": "env", "PYTHON": "./another python"}, "not the Python of"),
        ([], {"VENV": "env", "PYTHON": "/none"}, "PYTHON=/none: not the Python of"),
    ):
        assert words in one_line(setup(*args, **values))
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
def test_an_active_environment_has_to_have_the_versions(version, taken, fresh, tmp_path):
    root, setup = fresh
    active = tmp_path / "active" / "bin" / "python"
    active.parent.mkdir(parents=True)
    active.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    active.chmod(0o755)
    if version is not None:  # of a package whose bounds it is outside of
        info = tmp_path / "other" / f"msgspec-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: msgspec\nVersion: {version}\n")
    (tmp_path / "operator.py").write_text("print('not the library')\nraise SystemExit(1)")  # in the working folder
    done = setup(VIRTUAL_ENV=str(tmp_path / "active"), PYTHONPATH=str(tmp_path / "other"))
    assert done.stdout == (f"{active}\n" if taken else f"{root}/.venv/bin/python\n"), done.stderr
    assert ("lacks some of the requirements or is of another" in done.stderr) == (not taken)


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


def in_background(*command, **values):
    pipe = subprocess.PIPE
    return subprocess.Popen([*map(str, command)], stdout=pipe, stderr=pipe, text=True, start_new_session=True, **values)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PIP_SAYS": "ERROR: No space left on device"}, ["(No space left on device)", "the log is", ".venv.log"]),
        ({"PIP_SAYS": "  WARNING: Retrying after NewConnectionError"}, ["the package index cannot be reached"]),
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


@needs_namespaces
def test_a_checkout_that_cannot_be_written_to_trains_elsewhere(tmp_path):
    for stem, n, seed in (("train", 40, 0), ("valid", 20, 1)):
        for part, array in zip("XY", make_patterns(n, seed=seed), strict=True):
            np.save(tmp_path / f"{stem}{part}.npy", array)
    names = {"dataX": "trainX", "dataY": "trainY", "devX": "validX", "devY": "validY"}
    flags = [*(f"--{flag}={name}.npy" for flag, name in names.items()), "--hid_dim=9", "--batch_size=8", "--epochs=1"]
    values = environment(XDG_DATA_HOME=str(tmp_path / "data"), HOME="/proc/none", JAX_PLATFORMS="cpu")
    command = [sys.executable, EXHIBITS / "glsnn" / "train_glsnn.py", *flags]
    done = run(*READ_ONLY, REPOSITORY, *command, cwd=tmp_path, env=values)
    exp = tmp_path / "data" / "snn-museum" / str(REPOSITORY)[1:].replace("/", "-") / "exhibits" / "glsnn" / "exp"
    assert done.returncode == 0, done.stderr
    assert f"cannot be written to: the run is in {exp}\n" in done.stdout
    assert (exp / "run.json").is_file() and "Matplotlib" not in done.stderr


def test_files_go_elsewhere_only_if_they_must(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    elsewhere = tmp_path / "snn-museum" / str(REPOSITORY)[1:].replace("/", "-")
    mnist = datasets.DATA / "mnist"
    assert places.writable_home(EXHIBITS, "exp") == EXHIBITS / "exp" and datasets.folder_of("mnist") == mnist
    monkeypatch.setattr(os, "access", lambda path, mode: not Path(path).is_relative_to(REPOSITORY))
    assert places.writable_home(EXHIBITS, "exp") == elsewhere / "exhibits" / "exp"
    assert places.writable_home(tmp_path, "exp") == tmp_path / "exp"
    monkeypatch.setattr(datasets, "ARRAYS", {"dataX": "thirdX"})
    there = datasets.folder_of("mnist")
    assert there == elsewhere / "data" / "mnist" and datasets.files("mnist") == {"dataX": there / "thirdX.npy"}
    assert (
        datasets.dataset_of(there / "thirdX.npy", "dataX")
        == datasets.dataset_of(mnist / "thirdX.npy", "dataX")
        == "mnist"
    )
    assert datasets.dataset_of(tmp_path / "data" / "mnist" / "thirdX.npy", "dataX") is None
    monkeypatch.setattr(datasets, "ARRAYS", {})  # all that there are, are there
    assert datasets.folder_of("mnist") == mnist
