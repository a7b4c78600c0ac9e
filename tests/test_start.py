"""Starting: from any folder, through links, by any shell, with or without packages."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
EXHIBITS = REPOSITORY / "exhibits"
OLDER = [*(Path.home() / ".pyenv" / "versions").glob("3.8.*/bin/python"), *map(Path, ("/usr/bin/python3.8",))]
SCRIPTS = sorted(
    path
    for pattern in (
        *("exhibits/*/train_*.py", "exhibits/*/analyze_*.py", "exhibits/*/study_*.py", "exhibits/[!c]*/results.py"),
        *("exhibits/common/doctor.py", "data/prepare.py", "benchmarks/bench_*.py", "benchmarks/readme.py"),
        *("tests/faults.py", "tests/fuzz.py"),
    )
    for path in REPOSITORY.glob(pattern)
)
NEEDED = {"prepare.py": ["mnist"]}  # what a script wants to be told
TOY = """
import json, sys, time
from pathlib import Path
from types import SimpleNamespace

def main(args):
    if "--help" in args:
        print("usage")
        sys.exit(0)
    if "--wait" in args:
        print("training", flush=True)
        time.sleep(60)
    print(json.dumps([NAME, sys.argv[1:], list(args)]))
    return SimpleNamespace(exp_dir=Path("my exp"))
"""


def run(*command, **values):
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120, **values)


def one_line(done):
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def environment(**values):
    """Ours, as after activating the environment that the tests run in."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VENV")} | {
        "VIRTUAL_ENV": sys.prefix,
        **values,
    }


@pytest.fixture(scope="module")
def museum(tmp_path_factory):
    """A copy of the museum, in a folder with a space, whose BFA-SNN only says what it was asked."""
    root = tmp_path_factory.mktemp("some where") / "mu seum"
    for folder in ("common", "bfa_snn"):
        (root / "exhibits" / folder).mkdir(parents=True)
    for name in ("setup.sh", "Makefile", "requirements.txt", "pyproject.toml", "exhibits/bfa_snn/sim.sh"):
        shutil.copy(REPOSITORY / name, root / name)
    for path in (
        "exhibits/__init__.py",
        *(f"exhibits/common/{path.name}" for path in (EXHIBITS / "common").glob("*.py")),
    ):
        shutil.copy(REPOSITORY / path, root / path)
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_sim_reaches_the_training(number, museum):
    command = [museum / "exhibits" / "bfa_snn" / "sim.sh", "--wait"]
    running = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert running.stdout.readline() == "training\n"
    running.send_signal(number)
    running.communicate(timeout=20)
    assert running.returncode in (-number, 130)
    for _ in range(50):  # whoever of its session is left
        left = run("ps", "-o", "pid=", "--sid", running.pid).stdout.split()
        if not left:
            return
        time.sleep(0.1)
    raise AssertionError(left)


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


def test_scripts_find_their_own_repository(tmp_path):
    """Whatever is installed or on the path, and where Python is told to trust no folder."""
    (tmp_path / "exhibits" / "common").mkdir(parents=True)
    for name in ("exhibits/__init__.py", "exhibits/common/__init__.py", "bfasnn_config.py", "glsnn_config.py"):
        (tmp_path / name).write_text("raise SystemExit('another museum')")
    strange = environment(PYTHONPATH=str(tmp_path), PYTHONSAFEPATH="1")
    for script in SCRIPTS:
        help_ = run(sys.executable, script, "--help", cwd=tmp_path, env=strange)
        assert help_.returncode == 0 and "usage: " in help_.stdout and not help_.stderr, (script, help_.stderr)
        wrong = [*NEEDED.get(script.name, []), "--helpp"]
        said = one_line(run(sys.executable, script, *wrong, cwd=tmp_path, env=strange))
        assert "--helpp" in said and ("did you mean --help" in said or "--help lists" in said), said
