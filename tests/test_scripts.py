"""The exhibits' scripts as a user runs them, in processes of their own, on small data."""

import dataclasses
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import make_patterns
from test_bad_input import start
from test_environment import PINNED
from test_environment import run as run_in_environment

REPOSITORY = Path(__file__).resolve().parents[1]
BFA = REPOSITORY / "exhibits" / "bfa_snn"
SMALL = ["--hid_dim", "30", "--T", "40", "--burn_in", "8", "--batch_size", "16", "--weight_std", "0.3"]


@dataclass
class Exhibit:
    """An exhibit's scripts: train, analyze, how the files are called, and flags for a small circuit."""

    train: Path
    analyze: Path
    stem: str
    small: list[str]
    exp: Path | None = None


GLSNN = REPOSITORY / "exhibits" / "glsnn"
EXHIBITS = {
    "bfa_snn": Exhibit(BFA / "train_bfasnn.py", BFA / "analyze_bfsnn.py", "bfasnn", SMALL),
    "glsnn": Exhibit(
        GLSNN / "train_glsnn.py",
        GLSNN / "analyze_glsnn.py",
        "glsnn",
        ["--hid_dim", "30", "--batch_size", "4", "--eta", "0.02"],
    ),
}


def run(script, *args, cwd=None):
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(script), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for stem, n, seed in (("train", 200, 0), ("valid", 50, 1), ("test", 41, 2)):
        x, y = make_patterns(n, seed=seed)
        np.save(folder / f"{stem}X.npy", x)
        np.save(folder / f"{stem}Y.npy", y)
    return folder


def flags(data, exp):
    names = {"dataX": "trainX", "dataY": "trainY", "devX": "validX", "devY": "validY"}
    return [f"--{flag}={data / name}.npy" for flag, name in names.items()] + ["--exp_dir", exp]


def analysis_flags(data, exp):
    return [f"--dataX={data / 'testX.npy'}", f"--dataY={data / 'testY.npy'}", "--exp_dir", exp]


@pytest.fixture(scope="module")
def train(data, tmp_path_factory):
    """Trains an exhibit, once."""

    @functools.cache
    def train(name):
        exhibit = dataclasses.replace(EXHIBITS[name], exp=tmp_path_factory.mktemp("run") / "exp")
        return exhibit, run(exhibit.train, *flags(data, exhibit.exp), *exhibit.small, "--epochs", 2, "--verbosity", 1)

    return train


@pytest.fixture(scope="module", params=EXHIBITS)
def trained_exhibit(train, request):
    return train(request.param)


@pytest.fixture(scope="module")
def trained(train):
    exhibit, done = train("bfa_snn")
    return exhibit.exp, done


def test_training_writes_all_it_promises(trained_exhibit):
    exhibit, done = trained_exhibit
    exp = exhibit.exp
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    found = re.fullmatch(r" Trial\.sim_time = (\S+) h  \((\S+) sec\)  Best Acc = (\S+)", last)
    assert found, last
    hours, seconds, best = map(float, found.groups())
    np.testing.assert_allclose(hours, seconds / 3600)

    history = {name: np.load(exp / f"{name}.npy", allow_pickle=False) for name in ("trAcc", "acc", "trNll", "nll")}
    for values in history.values():
        assert values.shape == (3,) and np.isfinite(values).all()
    assert best == history["acc"][1:].max()
    assert history["trAcc"][2] > history["trAcc"][0] and history["trNll"][2] < history["trNll"][0]
    config, log = (json.loads((exp / name).read_text()) for name in ("config.json", "run.json"))
    assert config["hid_dim"] == [30] and config["epochs"] == 2 and config["seed"] == 1234
    assert log["seed"] == 1234 and log["finished"] and log["device"] and log["versions"]["ngclearn"]
    assert log["best_dev_acc"] == best and len(log["epoch_seconds"]) == 2
    assert (exp / f"{exhibit.stem}_likelihood.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert (exp / f"{exhibit.stem}_accuracy.png").read_bytes()[:4] == b"\x89PNG"
    assert (exp / "initial").is_dir() and (exp / "checkpoints").is_dir()
    told = [line for line in done.stderr.splitlines() if not line.startswith("Before training hardly a cell of z")]
    assert len(told) == len(done.stderr.splitlines()) - 1
    *_, before, first, second = told  # one plain line each, as this is no terminal
    number = r"\d\.\d+"
    scores = rf"train acc {number}, nll {number}; dev acc {number}, nll {number}; {number} s".replace(r"\d\.", r"\d+\.")
    for title, line in (("before training", before), ("epoch 1/2", first), ("epoch 2/2", second)):
        assert re.fullmatch(rf"{title}: {scores}", line), line
    start = done.stdout.splitlines()[:3]
    assert start[0].startswith("Network 36-30-4") and " on " in start[0] and str(exp) in start[2]
    assert (
        start[1].startswith("Data ") and "200 patterns to learn from, 50 to choose the epoch by, 4 classes" in start[1]
    )
    assert "|W1| =" in done.stdout


def test_analysis_in_a_new_process_finds_the_best_parameters(train, data):
    exhibit, _ = train("bfa_snn")  # test_own_data.py has both
    exp = exhibit.exp
    done = run(exhibit.analyze, *analysis_flags(data, exp))
    assert done.returncode == 0, done.stderr
    out = exp / "analysis-testX"  # the run had no test set
    found = re.search(r"^ => NLL = (\S+)  Acc = (\S+)$", done.stdout, re.MULTILINE)
    assert found, done.stdout
    result = json.loads((out / f"{exhibit.stem}_analysis.json").read_text())
    assert [result["nll"], result["acc"]] == [float(found[1]), float(found[2])]
    assert result["acc"] > 0.7 and result["patterns"] == 41
    assert result["epoch"] == json.loads((exp / "run.json").read_text())["best_epoch"]
    assert np.trace(result["confusion"]) == round(result["acc"] * 41) and np.sum(result["confusion"]) == 41
    assert list(result["spikes_per_pattern"]) == ["z0", "z1", "z2"] and min(result["spikes_per_pattern"].values()) > 0
    for name in ("confusion", "codes", "raster", "rates", "receptive_fields"):
        assert (out / f"{exhibit.stem}_{name}.jpg").read_bytes()[:2] == b"\xff\xd8"
    for name in ("reliability", "misclassified", "potentials"):
        assert (out / f"{exhibit.stem}_{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert (out / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.slow
def test_an_analysis_says_the_same_again(trained, data):
    done, again = (run(BFA / "analyze_bfsnn.py", *analysis_flags(data, trained[0])) for _ in range(2))
    assert done.returncode == 0 and again.stdout == done.stdout


def test_same_seed_same_run_in_any_environment_and_the_first_is_set_aside(trained, data, tmp_path):
    first, _ = trained
    exp = shutil.copytree(first, tmp_path / "exp")
    (tmp_path / "json_files").mkdir()
    (tmp_path / "json_files" / "config.json").write_text("{")  # which ngc-learn reads
    (tmp_path / ".numba_config.yaml").write_text("disable_jit: 1\nopt: 0\n")
    command = [sys.executable, BFA / "train_bfasnn.py", *flags(data, exp), *SMALL, "--epochs", 2]
    done = run_in_environment(*command, cwd=tmp_path, **PINNED)
    assert done.returncode == 0, done.stderr
    for line in done.stderr.replace("\r", "\n").splitlines():  # no package complains
        assert line.lower().startswith(("before training", "epoch ")) or not line, line
    (aside,) = [path for path in tmp_path.iterdir() if path.name.startswith("exp-")]
    assert str(aside) in done.stdout
    for name in ("trAcc", "acc", "trNll", "nll"):
        values = (exp / f"{name}.npy").read_bytes()
        assert values == (aside / f"{name}.npy").read_bytes() == (first / f"{name}.npy").read_bytes()


def snapshot(folder):
    return sorted(str(path) for path in folder.rglob("*"))


def refused(done, *words):
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: "), done.stderr
    for word in words:
        assert str(word) in done.stderr


def test_bad_input_is_refused_and_nothing_is_written(data, tmp_path):
    """One of them; test_bad_input.py has them all."""
    refused(run(BFA / "train_bfasnn.py", *flags(data, tmp_path / "exp"), "--colour", "red"), "--colour")
    assert snapshot(tmp_path) == []


def test_help_is_there_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for script in (script for exhibit in EXHIBITS.values() for script in (exhibit.train, exhibit.analyze)):
        assert start(monkeypatch, [str(script), "--help"]) == 0
        said = capsys.readouterr().out
        assert "--dataX" in said and "--verbosity" in said
    assert snapshot(tmp_path) == []
