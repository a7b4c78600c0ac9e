"""Inconsistent files of a run, with valid checksums and valid JSON, are refused by name."""

import json
import os

import numpy as np
import pytest
from test_bad_input import TRAIN
from test_identity import analysis, circuit, command, folder, refused, run

from exhibits.bfa_snn.config import Config
from exhibits.common.experiment.checkpoints import FILE, ParameterStore
from exhibits.common.experiment.restoring import exhibit_of, load_snapshot, start_from
from exhibits.common.experiment.schema import Best, History, Progress
from exhibits.common.system.errors import UserError


def spoil(exp, change):
    """Rewrites arrays of all checkpoints, with valid checksums."""
    for path in (exp / "checkpoints").glob(f"*/{FILE}"):
        with np.load(path) as arrays:
            members = dict(arrays)
        change(members)
        np.savez(path, **members)


def of_record(part):
    def change(members):
        record = json.loads(members["record"].tobytes())
        part(record["progress"])
        members["record"] = np.frombuffer(json.dumps(record).encode(), np.uint8)

    return change


def set_to(*path, value):
    def part(progress):
        for name in path[:-1]:
            progress = progress[name]
        progress[path[-1]] = value

    return of_record(part)


def without_identity(record):
    text = json.dumps(json.loads(record.tobytes()) | {"identity": None})
    return np.frombuffer(text.encode(), np.uint8)


CRAFTED = {
    "weights of NaN": lambda m: m.update({"parameters.W1.weights": m["parameters.W1.weights"] * np.float32(np.nan)}),
    "biases of infinity": lambda m: m.update({"parameters.W2.biases": m["parameters.W2.biases"] + np.float32(np.inf)}),
    "temperature 0": set_to("best", "temperature", value=0.0),
    "temperature below 0": set_to("best", "temperature", value=-1.0),
    "temperature null": set_to("best", "temperature", value=None),
    "accuracy of 200 %": set_to("best", "acc", value=2.0),
    "another best accuracy": set_to("best", "acc", value=0.123),
    "a best epoch to come": set_to("best", "epoch", value=9),
    "half an epoch": set_to("epoch", value=0.5),
    "epochs that were not": set_to("epoch", value=2),
    "epoch -1": set_to("epoch", value=-1),
    "more right than seen": set_to("partial", value={"n": 8, "n_correct": 9, "nll_sum": 1.0}),
    "half a minibatch": set_to("partial", value={"n": 7, "n_correct": 3, "nll_sum": 1.0}),
    "a best epoch that ended elsewhere": set_to("best", "step", value=5),
    "a billion patterns": set_to("partial", value={"n": 1_000_000_000, "n_correct": 3, "nll_sum": 1.0}),
    "NLL below 0": set_to("history", "nll", 0, value=-1.0),
    "a history of words": set_to("history", "acc", value=["many", "few"]),
    "a history of no epochs": set_to("history", "acc", value=[]),
    "seconds below 0": set_to("seconds", value=-5.0),
    "weights of 1e38": lambda m: m["parameters.W1.weights"].fill(1e38),
    "a record without identity": lambda m: m.update(record=without_identity(m["record"])),
    "no record": lambda m: m.pop("record"),
    "a record of noise": lambda m: m.update(record=np.arange(200, dtype=np.uint8)),
}
PARTIAL = (
    "half a minibatch",
    "a best epoch that ended elsewhere",
    "a billion patterns",
)  # which an analysis does not read


@pytest.mark.parametrize("name", CRAFTED)
def test_inconsistent_checkpoints_are_refused(name, run, circuit):
    spoil(run / "exp", CRAFTED[name])
    store = ParameterStore(run / "exp" / "checkpoints")
    with pytest.raises(UserError, match=r"exp/checkpoints/.*--resume never"):
        load_snapshot(store, circuit, within=(2, 120))
    if name not in PARTIAL:
        with pytest.raises(UserError, match=r"exp/checkpoints/"):
            load_snapshot(store, circuit)


def test_weights_of_another_run_are_not_begun_with(run, circuit, tmp_path):
    path = run / "exp" / "run.json"
    log = json.loads(path.read_text())
    log["data"]["dataX"]["sha256"] = "0" * 64
    path.write_text(json.dumps(log))
    config = Config(exp_dir=tmp_path / "new", init_from=run / "exp", hid_dim=(12,))
    with pytest.raises(UserError, match=r"not of this run \(differs .* in the content of dataX\)"):
        start_from(circuit, config)


def test_scripts_refuse_such_checkpoints(run, refused):
    spoil(run / "exp", CRAFTED["weights of NaN"])
    refused(command(TRAIN, run), "exp/checkpoints/", "W1.weights holds NaN", "--resume never")
    refused(analysis(run), "exp/checkpoints/", "W1.weights holds NaN")


@pytest.mark.parametrize(
    "change",
    [
        {"finished": 7},
        {"started": "yesterday"},
        {"started": "2026-01-01T00:00:00Z\n"},  # a folder may be named after it
        {"epochs_done": -1},
        {"epochs_done": "two"},
        {"data": []},
        {"data": {"dataX": {"path": "x", "shape": [1], "dtype": "f", "sha256": "short"}}},
        {"form": {"pixels": 0, "picture": None, "classes": 4}},
        {"choices": {"synapses": 7}},
        {"versions": None},
        {"activity": {"z1": {"silent": [7.0]}}},
        {"format": 1},
        {"form": None},
        {"best_epoch": 9},
    ],
    ids=str,
)
def test_inconsistent_records_are_refused(change, run, refused):
    path = run / "exp" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    refused(command(TRAIN, run), "run.json")
    refused(analysis(run), "run.json")


@pytest.mark.parametrize("change", [{"seed": 9}, {"exhibit": "glsnn"}], ids=str)
def test_a_record_of_another_run_is_refused(change, run, refused):
    path = run / "exp" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    for script in (analysis(run), command(TRAIN, run)):
        refused(script, "run.json and config.json differ in", *change)


@pytest.mark.parametrize("name", ["gone_snn", "common.scripts.doctor", "../x"])
def test_a_record_names_an_exhibit_that_is_here(name, run):
    path = run / "exp" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"exhibit": name}))
    with pytest.raises(UserError, match=rf"exp: a run of {name}; expected one of bfa_snn or glsnn"):
        exhibit_of(run / "exp")  # whatever it says is imported


def test_a_fifo_for_a_file_of_the_run_is_not_waited_for(run, refused):
    for name in ("run.json", "config.json"):
        (run / "exp" / name).unlink()
        os.mkfifo(run / "exp" / name)
        refused(analysis(run), name, "is a FIFO")


def test_the_best_epoch_is_the_most_accurate_one_then_the_surest():
    def history(acc, nll):
        return History(trAcc=[0.1] * len(acc), acc=acc, trNll=[1.0] * len(acc), nll=nll)

    assert history([0.9, 0.5, 0.7, 0.7, 0.7], [0.1, 1.0, 0.9, 0.8, 0.8]).best() == 3
    assert history([None] * 3, [None] * 3).best() == 2  # without a development set, the last
    assert History().best() == 0
    with pytest.raises(ValueError, match="best epoch 1, in the history 2"):
        Progress(2, history=history([0.1, 0.4, 0.5], [1.0] * 3), best=Best(1, 0.4, 1.0), epoch_seconds=[1.0, 1.0])
