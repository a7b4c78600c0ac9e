"""What runs leave, compared with each other, and sweeps of many."""

import csv
import json
import re
import shutil
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from conftest import make_patterns
from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]  (protobuf makes it at run time)
from test_studies import cluster

from exhibits.__main__ import main
from exhibits.common.experiment.config import from_json
from exhibits.common.experiment.history import metrics
from exhibits.common.experiment.schema import Activity, Best, History, Progress
from exhibits.common.report import comparison
from exhibits.common.scripts import commands, sweep
from exhibits.common.system.errors import UserError
from exhibits.common.system.places import REPOSITORY
from exhibits.glsnn import Config

SMALL = {
    "bfa_snn": "--hid_dim=20 --T=30 --burn_in=6 --weight_std=.3 --eta .05 .05 --batch_size=8 --epochs=2",
    "glsnn": "--hid_dim 20 15 --eta=.02 --batch_size=8 --epochs=2",
}


def lines(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Flags that name arrays of one's own."""
    folder, flags = tmp_path_factory.mktemp("data"), []
    for stem, n, seed in (("data", 200, 0), ("dev", 60, 1)):
        for part, array in zip("XY", make_patterns(n, seed=seed), strict=True):
            np.save(folder / f"{stem}{part}.npy", array)
            flags.append(f"--{stem}{part}={folder / f'{stem}{part}.npy'}")
    return flags


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """Finished runs, by name."""
    root, found = tmp_path_factory.mktemp("runs"), {}
    trained = (("one", "bfa_snn", []), ("two", "bfa_snn", ["--seed=2"]), ("deep", "glsnn", ["--tensorboard"]))
    for name, exhibit, more in trained:
        found[name] = root / name / "exp"
        commands.train(exhibit, [*SMALL[exhibit].split(), *data, *more, f"--exp_dir={found[name]}"])
    return found


def test_metrics_have_a_line_an_epoch():
    progress = Progress(
        epoch=1,
        history=History(trAcc=[0.1, 0.5], acc=[None, None], trNll=[2.3, 1.25], nll=[None, None]),
        activity={"z1": Activity(spikes_per_pattern=[None, 12.5])},
        best=Best(1),
        epoch_seconds=[3.0],
    )
    assert metrics(progress).splitlines() == [
        "epoch,train_acc,train_nll,dev_acc,dev_nll,seconds,z1_spikes_per_pattern",
        "0,0.1,2.3,,,,",
        "1,0.5,1.25,,,3,12.5",
    ]


def test_a_run_leaves_its_metrics(runs):
    for name, layers in (("one", {"z0", "z1", "z2"}), ("deep", {"z1", "z2", "z3"})):
        table = lines(runs[name] / "metrics.csv")
        assert [row["epoch"] for row in table] == ["0", "1", "2"]
        assert {column.split("_")[0] for column in table[0] if column.endswith("_spikes_per_pattern")} == layers
        acc = np.load(runs[name] / "acc.npy")
        np.testing.assert_allclose([float(row["dev_acc"]) for row in table], acc, rtol=1e-5)
        assert table[0]["seconds"] == "" and float(table[2]["seconds"]) > 0


def events(folder):
    """What TensorBoard would show of a run: values by tag and epoch."""
    (path,) = folder.glob("events.*")
    data, found = path.read_bytes(), {}
    while data:  # records of their length, its checksum, an event and its checksum
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]
        for value in event.summary.value:
            curve = found.setdefault(value.tag, {})
            assert event.step not in curve, "each epoch is written once"
            curve[event.step] = value.simple_value
    return found


def test_tensorboard_gets_the_curves(runs):
    found = events(runs["deep"] / "tensorboard")
    assert not (runs["one"] / "tensorboard").exists()
    layers = {f"spikes_per_pattern/z{n}" for n in (1, 2, 3)}
    assert found.keys() == {"accuracy/train", "accuracy/dev", "nll/train", "nll/dev"} | layers
    acc = np.load(runs["deep"] / "acc.npy")
    np.testing.assert_allclose([found["accuracy/dev"][epoch] for epoch in (0, 1, 2)], acc, rtol=1e-6)


def test_tensorboard_that_is_not_there_is_said_before_anything_is_written(data, tmp_path, monkeypatch):
    monkeypatch.setattr("exhibits.common.experiment.history.find_spec", lambda _: None)
    with pytest.raises(UserError, match="-m pip install tensorboardX"):
        commands.train("glsnn", [*SMALL["glsnn"].split(), *data, "--tensorboard", f"--exp_dir={tmp_path / 'exp'}"])
    assert not (tmp_path / "exp").exists()


def test_a_run_with_curves_for_tensorboard_opens_without_it(runs, monkeypatch):
    monkeypatch.setattr("exhibits.common.experiment.history.find_spec", lambda _: None)
    assert from_json(Config, runs["deep"] / "config.json").tensorboard


def test_runs_of_both_exhibits_are_compared(runs, tmp_path, capsys):
    main(["compare", *map(str, runs.values()), "--out", str(tmp_path / "new")])
    table = lines(tmp_path / "new" / "compare.csv")
    assert [row["run"] for row in table] == ["one/exp", "two/exp", "deep/exp"]
    assert [row["exhibit"] for row in table] == ["bfa_snn", "bfa_snn", "glsnn"]
    assert len({row["data"] for row in table}) == 1 and re.fullmatch("own [0-9a-f]{8}", table[0]["data"])
    assert (
        [row["seed"] for row in table] == ["1234", "2", "1234"] and "epochs" in table[0] and "burn_in" not in table[0]
    )
    best = np.load(runs["two"] / "acc.npy")[1:].max()
    assert float(table[1]["dev accuracy (%)"]) == pytest.approx(100 * best)
    assert table[1]["test accuracy (%)"] == ""
    said = capsys.readouterr().out
    assert "two/exp" in said and "compare.png" in said
    assert (tmp_path / "new" / "compare.png").read_bytes()[:4] == b"\x89PNG"


def test_only_the_analysis_of_the_best_epoch_and_the_present_test_set_is_compared(runs, tmp_path):
    shutil.copytree(runs["one"], here := tmp_path / "here")
    epoch, path = json.loads((here / "run.json").read_text())["best_epoch"], here / "bfasnn_analysis.json"
    result = {"set": "test set", "epoch": epoch, "acc": 0.5, "nll": 1.0}
    for changed, shown in (({}, "50.0"), ({"epoch": epoch + 1}, ""), ({"sha256": "0" * 64}, ""), ({"set": "x"}, "")):
        path.write_text(json.dumps(result | changed))
        main(["compare", str(here), "--out", str(tmp_path / "out")])
        assert lines(tmp_path / "out" / "compare.csv")[0]["test accuracy (%)"] == shown
    path.write_text(json.dumps(result | {"sha256": "0" * 64}))
    unrecorded = {"format": 1, "form": None, "data": {}, "digest": ""}  # of its data, in that format
    old = msgspec.structs.replace(comparison.load([here])[0].log, **unrecorded)
    assert comparison._analysis_of(path, old) is not None
    path.write_text('{"set": "test set"}')
    with pytest.raises(UserError, match=r"bfasnn_analysis\.json: .*analyze the run again"):
        main(["compare", str(here), "--out", str(tmp_path / "out")])


def test_a_run_that_is_not_finished_says_so(runs, tmp_path):
    here = shutil.copytree(runs["one"], tmp_path / "here")
    record = json.loads((here / "run.json").read_text())
    (here / "run.json").write_text(json.dumps(record | {"finished": None}))
    table = comparison.rows(comparison.load([runs["one"], here]))
    assert [row["finished"] for row in table] == ["yes", "no, of 2"]


def test_what_cannot_be_compared_is_refused(runs, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(runs["one"], broken)
    (broken / "acc.npy").write_bytes(b"no array")
    shutil.copytree(runs["one"], empty := tmp_path / "empty")
    (empty / "nll.npy").write_bytes(b"")
    shutil.copytree(runs["one"], strange := tmp_path / "strange")
    log = json.loads((strange / "run.json").read_text()) | {"exhibit": ""}
    (strange / "run.json").write_text(json.dumps(log))
    (strange / "config.json").write_text("{}")
    for folders, words in (
        ([runs["one"], runs["one"]], "same run twice"),
        ([runs["one"], tmp_path / "none"], r"none/run\.json"),
        ([broken], r"acc\.npy: not a \.npy file"),
        ([empty], r"nll\.npy: not a \.npy file"),
        ([strange], "strange: a run of no exhibit that is here"),
        ([], "expected RUN"),
    ):
        with pytest.raises(UserError, match=words):
            main(["compare", *map(str, folders), "--out", str(tmp_path)])
    assert not (tmp_path / "compare.csv").exists()


def test_a_run_whose_name_begins_with_an_underscore_is_in_the_legend(runs, tmp_path):
    drawn = comparison.load([runs["one"], shutil.copytree(runs["two"], tmp_path / "_two")])
    (legend,) = comparison.draw(drawn).legends
    assert [text.get_text() for text in legend.get_texts()] == ["exp", "_two"]


def swept(out, data, *values):
    main(["sweep", "glsnn", *values, *SMALL["glsnn"].replace("20 15", "20,15").split(), *data, "--out", str(out)])


def test_a_sweep_trains_every_combination_once(data, tmp_path, capsys):
    swept(tmp_path, data, "--lr_target", "0.2", "0.4", "--seed", "1", "2")
    table = lines(tmp_path / "sweep.csv")
    assert [(row["lr_target"], row["seed"]) for row in table] == [
        ("0.2", "1"),
        ("0.2", "2"),
        ("0.4", "1"),
        ("0.4", "2"),
    ]
    first = [float(row["dev accuracy (%)"]) for row in table[:2]]
    summary = lines(tmp_path / "summary.csv")
    assert [(row["lr_target"], row["seeds"]) for row in summary] == [("0.2", "2"), ("0.4", "2")]
    head = next(line for line in capsys.readouterr().out.splitlines() if "dev accuracy (%), mean" in line)
    assert "lr_target" in head and "hid_dim" not in head  # it is the same in all lines
    assert float(summary[0]["dev accuracy (%), mean"]) == pytest.approx(statistics.mean(first))
    assert float(summary[0]["dev accuracy (%), deviation"]) == pytest.approx(statistics.stdev(first))
    for row in table:
        assert float(row["dev accuracy (%)"]) == pytest.approx(100 * np.load(f"{row['folder']}/acc.npy")[1:].max())
    times = {row["folder"]: (row["training (s)"]) for row in table}
    swept(tmp_path, data, "--lr_target", "0.2", "--seed", "1", "2", "3")
    again = {row["folder"]: row["training (s)"] for row in lines(tmp_path / "sweep.csv")}
    assert len(again) == 3 and len(again.items() & times.items()) == 2  # only the third seed was trained
    (line,) = lines(tmp_path / "summary.csv")
    assert (line["lr_target"], line["seeds"]) == ("0.2", "3")


def test_a_sweeps_tasks_find_the_same_data_from_any_folder(data, tmp_path, monkeypatch):
    here, elsewhere = Path(data[0].partition("=")[2]).parent, tmp_path / "elsewhere"
    shutil.copytree(here, elsewhere)
    changed = elsewhere / "dataX.npy"
    np.save(changed, 1 - np.load(changed))
    flags = [word.replace(f"{here}/", "") for word in data]
    monkeypatch.chdir(here)
    (point,) = sweep.grid("glsnn", [*flags, "--epochs", "1"], tmp_path / "out")
    task = sweep.task_of("glsnn", point, {})
    monkeypatch.chdir(elsewhere)  # as a worker of a cluster may be
    assert sweep.config_of(Config, task["flags"], point.config.exp_dir) == point.config
    other = task | {"flags": task["flags"] | {"dataX": str(changed)}}
    with pytest.raises(UserError, match="elsewhere: its arrays are not those of the sweep"):
        sweep.run(other)


@pytest.mark.slow
def test_a_killed_worker_costs_a_sweep_only_its_run(data, tmp_path):
    address, processes = cluster(tmp_path, 2)
    values = ["--lr_target", "0.2", "0.4", "--seed", "1", "2", *SMALL["glsnn"].replace("20 15", "20,15").split()]
    command = [sys.executable, "-m", "exhibits", "sweep", "glsnn", *values, *data, "--out", str(tmp_path / "out")]
    try:
        sweeping = subprocess.Popen([*command, "--scheduler", address], cwd=REPOSITORY, stdout=subprocess.DEVNULL)
        for _ in range(1200):
            if list(tmp_path.glob("out/*/run.json")):
                break
            time.sleep(0.1)
        else:
            pytest.fail("no run has begun")
        processes[1].kill()  # in the middle of a run
        assert sweeping.wait(300) == 0
    finally:
        for process in processes:
            process.kill()
            process.wait()
    table = lines(tmp_path / "out" / "sweep.csv")
    assert [(row["lr_target"], row["seed"]) for row in table] == [
        ("0.2", "1"),
        ("0.2", "2"),
        ("0.4", "1"),
        ("0.4", "2"),
    ]
    swept(tmp_path / "here", data, "--lr_target", "0.2", "0.4", "--seed", "1", "2")
    score = "dev accuracy (%)"
    assert [row[score] for row in table] == [row[score] for row in lines(tmp_path / "here" / "sweep.csv")]


def test_runs_of_a_sweep_begin_with_the_weights_that_are_asked_for(data, runs, tmp_path):
    swept(tmp_path, data, "--init_from", str(runs["deep"]), "--seed", "1", "2")
    begun = [np.load(f"{row['folder']}/acc.npy")[0] for row in lines(tmp_path / "sweep.csv")]
    other = shutil.copytree(runs["deep"], tmp_path / "other")
    record = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps(record | {"best_epoch": 3 - record["best_epoch"]}))
    tasks = [sweep.begun_with(Config(init_from=folder)) for folder in (runs["deep"], other)]
    assert tasks[0] != tasks[1] and not sweep.begun_with(Config())  # other weights are another task
    assert begun[0] == begun[1] == pytest.approx(np.load(runs["deep"] / "acc.npy")[1:].max())
    (other / "run.json").write_text(json.dumps(record | {"digest": "0" * 64}))  # a run that began in the same second
    assert sweep.begun_with(Config(init_from=other)) != tasks[0]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--lr_targets", "1"], "--lr_targets: unknown flag; did you mean --lr_target"),
        (["--lr_target", "1", "x"], "--lr_target"),
        (["--lr_target", "1", "-1"], "--lr_target -1.*above 0"),
        (["--lr_target"], "one or more values"),
        (["--lr_target", "1", "1"], "different values"),
        (["--lr_target", "1", "1.0", "--seed", "2"], "--lr_target 1 1.0: the same value twice"),
        (["--exp_dir", "x"], "the sweep's own"),
        (["--join_dev"], "the sweep's own"),
        (["word"], "expected a flag"),
        ([], "glsnn: expected flags to sweep, such as --seed 1 2 3"),
        (["--scheduler", "nowhere"], "--scheduler nowhere"),
        (["--classes", "a,b,c,d", "a,b"], "--classes a b: 2 names"),
    ],
    ids=str,
)
def test_a_sweep_that_cannot_be_is_refused_before_anything_is_trained(flags, words, data, tmp_path):
    with pytest.raises(UserError, match=words):
        main(
            ["sweep", "glsnn", *flags, *(data if flags and flags[0] != "word" else []), "--out", str(tmp_path / "out")]
        )
    assert not (tmp_path / "out").exists()


def test_a_flag_without_a_value_is_swept_by_true_and_false(tmp_path):
    points = sweep.grid("bfa_snn", ["--dale", "True", "False", "--seed", "1"], tmp_path)
    assert [(vars(point.config)["dale"], point.config.seed) for point in points] == [(True, 1), (False, 1)]
    (point,) = sweep.grid("bfa_snn", ["--dale", "--seed", "1"], tmp_path)
    assert vars(point.config)["dale"]
    with pytest.raises(UserError, match="--dale yes: expected True, False or both"):
        sweep.grid("bfa_snn", ["--dale", "yes"], tmp_path)


def test_flags_of_a_sweep_may_be_spelled_with_hyphens_and_given_one_by_one(tmp_path):
    points = sweep.grid("glsnn", ["--lr-target", "0.2", "--lr_target=0.4"], tmp_path)
    assert [vars(point.config)["lr_target"] for point in points] == [0.2, 0.4]
    points = sweep.grid("glsnn", ["--lr_target", "0.2", "--eta", "0.01", "--lr_target", "0.4"], tmp_path)
    assert [point.values for point in points] == [{"lr_target": value, "eta": "0.01"} for value in ("0.2", "0.4")]
    spelled = ["--eta", "1e-2", "--seed", "07", "--hid_dim", "20,015", "--lr_target=2.0"]
    (point,) = sweep.grid("glsnn", spelled, tmp_path)
    assert point.config.exp_dir.name == "eta=0.01,hid_dim=20-15,lr_target=2,seed=7"  # however numbers are spelled


def test_a_sweep_of_another_exhibit_needs_another_folder(runs, tmp_path):
    shutil.copytree(runs["one"], tmp_path / "seed=1")
    with pytest.raises(UserError, match=r"--out .*: seed=1 holds a run of bfa_snn; give the sweep of glsnn another"):
        main(["sweep", "glsnn", "--seed", "1", "--out", str(tmp_path)])
    assert not (tmp_path / "sweep.json").exists()
    log = json.loads((tmp_path / "seed=1" / "run.json").read_text())
    del log["exhibit"]
    (tmp_path / "seed=1" / "run.json").write_text(json.dumps(log))  # as before format 3
    sweep.refuse_another_exhibit("bfa_snn", tmp_path / "seed=1")


def test_names_of_folders():
    assert (
        sweep.folder_of({"eta_gain": "16", "hid_dim": "500,500", "seed": "1"}) == "eta_gain=16,hid_dim=500-500,seed=1"
    )
    assert sweep.folder_of({"seed": "1", "eta_gain": "16"}) == sweep.folder_of({"eta_gain": "16", "seed": "1"})
    for values in ({"dataX": "/a/b.npy", "seed": "1"}, {"classes": "a/b"}, {}):
        assert len(sweep.folder_of(values)) == 16
