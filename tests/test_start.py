"""Starting: from any folder, through links, by any shell, with or without packages."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import (
    HEEDING,
    READ_ONLY,
    environment,
    line_of,
    make_patterns,
    needs_namespaces,
    nobody_is_left,
    one_line,
    run,
)

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


def test_scripts_without_packages_say_what_to_run(tmp_path):
    bare = tmp_path / "bare"
    run(sys.executable, "-m", "venv", "--without-pip", bare)
    assert len(SCRIPTS) >= 16
    for script in SCRIPTS:
        said = one_line(run(bare / "bin" / "python", script, *NEEDED.get(script.name, []), cwd=tmp_path))
        assert "not installed" in said and "make " in said and str(bare) in said, said


def test_a_library_of_the_system_that_packages_lack_is_named(tmp_path):
    lacking = "libstdc++.so.6: cannot open shared object file: No such file or directory"
    (tmp_path / "numpy.py").write_text(f"raise ImportError('Original error was: {lacking}\\n')")  # as NumPy's does
    script = EXHIBITS / "bfa_snn" / "train_bfasnn.py"
    said = one_line(run(sys.executable, script, "--help", env=environment() | {"PYTHONPATH": str(tmp_path)}))
    assert said.startswith("error: libstdc++.so.6: cannot open shared object file; packages of "), said


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
