"""What users get wrong: one line on standard error that names it, exit code 2, and exp/ as it was."""

import fcntl
import json
import os
import runpy
import shutil
import sys

import numpy as np
import pytest
from conftest import make_patterns

from exhibits.common.system.places import REPOSITORY

BFA, GLSNN = (REPOSITORY / "exhibits" / name for name in ("bfa_snn", "glsnn"))
TRAIN, ANALYZE = BFA / "train_bfasnn.py", BFA / "analyze_bfsnn.py"
GLSNN_TRAIN, GLSNN_ANALYZE = GLSNN / "train_glsnn.py", GLSNN / "analyze_glsnn.py"
QUICK = {
    TRAIN: ["--hid_dim", "10", "--T", "12", "--burn_in", "2", "--batch_size", "8", "--epochs", "1"],
    GLSNN_TRAIN: ["--hid_dim", "10", "--batch_size", "8", "--epochs", "1"],
}

FLAGS = [  # script, flags, what the line names
    (TRAIN, "--unknown 1", ["--unknown"]),
    (TRAIN, "--epoch 1", ["--epoch"]),
    (TRAIN, "--T many", ["--T", "many"]),
    (TRAIN, "--T 0", ["--T 0"]),
    (TRAIN, "--exp_dir ~nobody_here/runs", ["~nobody_here/runs: there is no such home"]),
    (TRAIN, "--hid_dim", ["--hid_dim"]),
    (TRAIN, "--hid_dim 0", ["--hid_dim 0", "above 0"]),
    (TRAIN, "--hid_dim 20 -3", ["--hid_dim"]),
    (TRAIN, "--batch_size 0", ["--batch_size 0", "at least 1"]),
    (TRAIN, "--epochs 0", ["--epochs 0"]),
    (TRAIN, "--burn_in 100", ["--burn_in 100", "below T"]),
    (TRAIN, "--input_gain 1.5", ["--input_gain 1.5", "1e-12 to 1"]),
    (TRAIN, "--tau_m nan", ["--tau_m"]),
    (TRAIN, "--thr inf", ["--thr inf", "1e-12 to 1e+12"]),
    (TRAIN, "--dt 0", ["--dt 0"]),
    (TRAIN, "--dt 30", ["--dt 30", "tau_m"]),
    (TRAIN, "--eta 0.1", ["--eta 0.1", "2 numbers"]),
    (TRAIN, "--eta 0.1 -1", ["--eta"]),
    (TRAIN, "--encoder poisson", ["--encoder", "poisson"]),
    (TRAIN, "--seed -1", ["--seed -1"]),
    (TRAIN, "--verbosity 7", ["--verbosity 7"]),
    (TRAIN, "--resume perhaps", ["--resume", "perhaps"]),
    (TRAIN, "--checkpoint_minutes -1", ["--checkpoint_minutes -1"]),
    (GLSNN_TRAIN, "--hid_dim", ["--hid_dim"]),
    (GLSNN_TRAIN, "--hid_dim 800 0", ["--hid_dim 800 0", "above 0"]),
    (GLSNN_TRAIN, "--hid_dim -5", ["--hid_dim"]),
    (GLSNN_TRAIN, "--receptive_field -1", ["--receptive_field", "at least 0"]),
    (GLSNN_TRAIN, "--n_feedback 3", ["--n_feedback 3", "0 to 2"]),
    (GLSNN_TRAIN, "--n_feedback -1", ["--n_feedback -1", "0 to 2"]),
    (GLSNN_TRAIN, "--hid_dim 9 --n_feedback 1", ["--n_feedback 1", "0 to 0"]),
    (GLSNN_TRAIN, "--dataset cifar", ["--dataset", "cifar"]),
    (GLSNN_TRAIN, "--receptive_field 7", ["--receptive_field 7", "at most 6", "6 x 6"]),
    (GLSNN_TRAIN, "--weight_decay 1e-320", ["--weight_decay"]),
    (GLSNN_TRAIN, "--tau_m 1e308", ["--tau_m"]),
    (GLSNN_TRAIN, "--batch_size 1000000000", ["GB of memory"]),
    (GLSNN_TRAIN, "--hid_dim 100000 100000", ["GB of memory", "--hid_dim"]),
    (TRAIN, "--thr 1e-320", ["--thr"]),
    (TRAIN, "--gamma 1e300", ["--gamma"]),
    (TRAIN, "--eta 1e-320 1", ["--eta"]),
    (TRAIN, "--T 1000000000", ["GB of memory", "--T"]),
    (TRAIN, "--epochs 100000000", ["--epochs", "10000"]),
    (TRAIN, "--classes a b", ["--classes a b", "2 names; expected 4"]),
    (TRAIN, "--classes a b c c", ["different name"]),
    (GLSNN_TRAIN, "--dt 3", ["--dt 3", "tau_m"]),
    (GLSNN_TRAIN, "--in_dropout 1", ["--in_dropout 1", "below 1"]),
    (TRAIN, "--centre 2", ["--centre 2.0", "0, or 1e-12 to 1"]),
    (TRAIN, "--centre 0.1 --dale", ["--centre 0.1", "0 with --dale"]),
    (TRAIN, "--in_dropout -0.1", ["--in_dropout -0.1", "at least 0"]),
    (GLSNN_TRAIN, "--weight_decay -0.1", ["--weight_decay", "at least 0"]),
    (GLSNN_TRAIN, "--eta nan", ["--eta"]),
    (GLSNN_TRAIN, "--schedule step", ["--schedule", "step"]),
    (ANALYZE, "--verbosity 2", ["--verbosity 2"]),
    (GLSNN_ANALYZE, "--hid_dim 10", ["--hid_dim"]),
]

X, Y = make_patterns(24)
FILES = {  # flag, content (an array or bytes), what the line names beside the file; test_data.py has all kinds
    "too few rows": ("dataX", X[:-1], ["rows"]),
    "nan": ("dataX", np.where(X.max() == X, np.nan, X), ["NaN"]),
    "labels that were not learned": ("devY", np.arange(12), ["labels 4 5 6", "0 to 3"]),
    "a terabyte": ("dataX", b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little"), []),
    "other height and width": ("devX", make_patterns(12)[0].reshape(12, 4, 9), ["4 x 9"]),
}
HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (274877906944, 1), }"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Flags of data that fit."""
    folder = tmp_path_factory.mktemp("data")
    x, y = make_patterns(12, seed=1)
    for name, array in {"dataX": X, "dataY": Y, "devX": x, "devY": y}.items():
        np.save(folder / f"{name}.npy", array)
    return {name: folder / f"{name}.npy" for name in ("dataX", "dataY", "devX", "devY")}


def command(script, data, exp, *flags):
    names = ("dataX", "dataY") if script in (ANALYZE, GLSNN_ANALYZE) else [] if "--dataset" in flags else data
    return [str(script), *(f"--{name}={data[name]}" for name in names), f"--exp_dir={exp}", *map(str, flags)]


def start(monkeypatch, arguments):
    """Runs a script as Python would; gives its exit code."""
    monkeypatch.setattr(sys, "argv", arguments)
    try:
        runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture
def exp(tmp_path):
    """A folder with something to lose."""
    folder = tmp_path / "exp"
    folder.mkdir()
    (folder / "run.json").write_text('{"started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:00:01Z"}')
    (folder / "config.json").write_text("{}")
    (folder / "nll.npy").write_bytes(b"numbers")
    return folder


@pytest.fixture
def refused(monkeypatch, capsys):
    """Checks that a script refuses in one line with these words, and what is in a folder stays."""

    def contents(folder):
        paths = (path for path in folder.rglob("*") if path.name != ".lock")  # which says who had it last
        return {path: path.read_bytes() if path.is_file() else None for path in paths}

    def check(folder, words, script, *arguments):
        before = contents(folder)
        capsys.readouterr()
        code = start(monkeypatch, command(script, *arguments))
        *_, said = capsys.readouterr().err.splitlines()  # what was wrong with newer checkpoints may come before
        assert code == 2 and said.startswith("error: "), said
        for word in words:
            assert str(word) in said
        assert contents(folder) == before

    return check


@pytest.mark.parametrize(("script", "flags", "words"), FLAGS, ids=[f"{s.stem} {f}" for s, f, _ in FLAGS])
def test_flags(script, flags, words, good, exp, refused):
    refused(exp.parent, words, script, good, exp, *flags.split())


@pytest.mark.parametrize("name", FILES)
def test_data(name, good, exp, refused):
    flag, content, words = FILES[name]
    path = exp.parent / "bad.npy"
    if name == "a terabyte":
        content += HEADER.ljust(117).encode() + b"\n" + bytes(64)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    named = path if name != "too few rows" else good["dataY"]
    refused(exp.parent, [named, *words], TRAIN, good | {flag: path}, exp)


@pytest.mark.parametrize(("name", "word"), [("none.npy", "No such file"), ("", "directory")])
def test_data_that_are_not_there(name, word, good, exp, refused):
    refused(exp.parent, [exp.parent / name, word], GLSNN_TRAIN, good | {"devY": exp.parent / name}, exp)


def test_folders_that_are_not_a_runs(good, tmp_path, refused):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("do not touch")
    refused(tmp_path, [mine, "not of a run"], TRAIN, good, mine, *QUICK[TRAIN])
    refused(tmp_path, [mine, "can be written to"], TRAIN, good, mine / "thesis.txt", *QUICK[TRAIN])
    (tmp_path / "link").symlink_to("nowhere")
    refused(tmp_path, [tmp_path / "link", "leads nowhere"], TRAIN, good, tmp_path / "link", *QUICK[TRAIN])
    (mine / "run.json").write_text("{")
    refused(tmp_path, [mine / "run.json", "JSON"], TRAIN, good, mine, *QUICK[TRAIN])
    (mine / "run.json").write_text('{"started": "../.."}')
    refused(tmp_path, [mine, "the record of a run"], TRAIN, good, mine, *QUICK[TRAIN])


def test_runs_that_cannot_go_on(good, exp, refused, monkeypatch):
    refused(exp.parent, ["--resume must"], TRAIN, good, exp.parent / "none", "--resume=must", *QUICK[TRAIN])
    shutil.rmtree(exp)
    assert start(monkeypatch, command(TRAIN, good, exp, *QUICK[TRAIN])) == 0
    refused(exp.parent, ["--resume must"], TRAIN, good, exp, "--resume=must", *QUICK[TRAIN])
    held = os.open(exp, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    refused(exp.parent, ["another run is writing there", f"process {os.getpid()}"], TRAIN, good, exp, *QUICK[TRAIN])
    os.close(held)
    log = json.loads((exp / "run.json").read_text())
    (exp / "run.json").write_text(json.dumps(log | {"finished": None}))
    refused(
        exp.parent,
        ["differs in seed (1234 there, 9 here)", "--resume never"],
        TRAIN,
        good,
        exp,
        "--seed=9",
        *QUICK[TRAIN],
    )


@pytest.mark.parametrize(("train", "analyze"), [(TRAIN, ANALYZE), (GLSNN_TRAIN, GLSNN_ANALYZE)])
def test_analyses_of_what_is_not_there(train, analyze, good, tmp_path, refused, monkeypatch):
    exp = tmp_path / "exp"
    refused(tmp_path, [exp / "config.json", "train"], analyze, good, exp)
    assert start(monkeypatch, command(train, good, exp, *QUICK[train])) == 0
    x, y = make_patterns(10, n_pixels=49)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    other = good | {"dataX": tmp_path / "x.npy", "dataY": tmp_path / "y.npy"}
    refused(tmp_path, [tmp_path / "x.npy", "49 pixels a row; expected 36"], analyze, other, exp)
    config = json.loads((exp / "config.json").read_text())
    for change in ({"T": "100"}, {"T": True}, {"hid_dim": []}, {"encoder": "poisson"}, {"surprise": 1}):
        (exp / "config.json").write_text(json.dumps(config | change))
        refused(tmp_path, [next(iter(change))], analyze, good, exp)
    (exp / "config.json").write_text(json.dumps(config))
    for path in (exp / "checkpoints").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(tmp_path, [exp / "checkpoints"], analyze, good, exp)
    shutil.rmtree(exp / "checkpoints")
    refused(tmp_path, [exp / "checkpoints", "train first"], analyze, good, exp)
