"""Runs that earlier versions wrote open, and give the numbers that they gave then.

old_runs/<exhibit> is a finished run of format 1 with its analysis, old_runs/<exhibit>-interrupted the same, stopped
after two of its three epochs.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import make_patterns
from test_bad_input import ANALYZE, BFA, GLSNN, GLSNN_ANALYZE, GLSNN_TRAIN, TRAIN, start

OLD = Path(__file__).resolve().parent / "old_runs"
assert BFA.name == "bfa_snn" and GLSNN.name == "glsnn"
SCRIPTS = {"bfa_snn": (TRAIN, ANALYZE, "bfasnn"), "glsnn": (GLSNN_TRAIN, GLSNN_ANALYZE, "glsnn")}
FLAGS = {
    "bfa_snn": "--hid_dim 30 --T 40 --burn_in 8 --batch_size 16 --weight_std 0.3 --epochs 3 --eta 0.002 0.002",
    "glsnn": "--hid_dim 30 20 --batch_size 4 --eta 0.002 --epochs 3",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The arrays that those runs learned from."""
    folder = tmp_path_factory.mktemp("data")
    for stem, n, seed in (("train", 403, 0), ("valid", 62, 1), ("test", 41, 2)):
        for part, array in zip("XY", make_patterns(n, seed=seed), strict=True):
            np.save(folder / f"{stem}{part}.npy", array)
    return folder


@pytest.mark.usefixtures("unpictured")
@pytest.mark.parametrize("exhibit", SCRIPTS)
def test_a_finished_run_is_analyzed(exhibit, data, tmp_path, monkeypatch, capsys):
    _, script, stem = SCRIPTS[exhibit]
    exp = shutil.copytree(OLD / exhibit, tmp_path / "exp")
    then = json.loads((exp / f"{stem}_analysis.json").read_text())
    flags = [f"--dataX={data / 'testX.npy'}", f"--dataY={data / 'testY.npy'}", f"--exp_dir={exp}"]
    assert start(monkeypatch, [str(script), *flags]) == 0
    assert then == json.loads((exp / f"{stem}_analysis.json").read_text())  # format 1 does not tell its test set
    now = json.loads((exp / "analysis-testX" / f"{stem}_analysis.json").read_text())
    for name in ("patterns", "epoch", "acc", "confusion", "nll", "nll_calibrated", "temperature"):
        np.testing.assert_allclose(now[name], then[name], rtol=1e-6)  # another processor may round otherwise
    assert f" => NLL = {now['nll']}  Acc = {then['acc']}" in capsys.readouterr().out


@pytest.mark.parametrize("exhibit", SCRIPTS)
def test_an_interrupted_run_is_resumed(exhibit, data, tmp_path, monkeypatch, capsys):
    script, _, _ = SCRIPTS[exhibit]
    exp = shutil.copytree(OLD / f"{exhibit}-interrupted", tmp_path / "exp")
    names = {"dataX": "trainX", "dataY": "trainY", "devX": "validX", "devY": "validY"}
    names |= {"testX": "testX", "testY": "testY"}  # which is new
    flags = [f"--{flag}={data / name}.npy" for flag, name in names.items()]
    command = [str(script), *flags, f"--exp_dir={exp}", *FLAGS[exhibit].split()]
    assert start(monkeypatch, [*command, "--seed=7"]) == 2
    assert "differs in seed (1234 there, 7 here)" in capsys.readouterr().err
    assert start(monkeypatch, command) == 0
    said = capsys.readouterr().out
    assert "began in format 1" in said and "Resuming the run" in said and "after epoch 2" in said
    for name in ("acc", "nll"):
        np.testing.assert_allclose(np.load(exp / f"{name}.npy"), np.load(OLD / exhibit / f"{name}.npy"), rtol=1e-6)
    log = json.loads((exp / "run.json").read_text())
    assert json.loads((exp / "config.json").read_text())["testX"] == str(data / "testX.npy")
    assert log["finished"] and log["epochs_done"] == 3 and log["activity"]["z1"]["silent"][:3] == [None] * 3
