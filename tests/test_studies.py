"""Studies: grid, rows that are kept, Dask workers that die, the scripts' figures and tables."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from conftest import make_patterns
from test_bad_input import start

from exhibits.common.data.datasets import MNIST
from exhibits.common.data.loading import Patterns, digest_of, load_folder
from exhibits.common.experiment.studies import StudyConfig, measure_tasks, patterns_of, run_study, with_values
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import read_json
from exhibits.common.system.places import REPOSITORY
from exhibits.common.system.scripts import load_script

BFA, GLSNN = (REPOSITORY / "exhibits" / name / "studies" for name in ("bfa_snn", "glsnn"))
STUDIES = REPOSITORY / "studies"
FOLDERS = {"depth": STUDIES, "energy": STUDIES, "feedback": GLSNN, "alignment": BFA, "dale": BFA, "changes": BFA}
TOY = """
import os, pathlib, time
from exhibits.common.system.errors import UserError

def run(task):
    if task.get("bad"):
        raise UserError("as told")
    if "marks" in task:
        (pathlib.Path(task["marks"]) / f"{task['a']}-{os.getpid()}").touch()
        time.sleep(0.5)
    return {"value": 10 * task["a"]}
"""


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.py"
    path.write_text(TOY)
    return path


class ToyRow(msgspec.Struct):
    """A row of the study above."""

    task: dict
    value: int
    seconds: float
    device: str
    git_commit: str | None = None


def run_toy(script, tasks, config):
    """The study above."""
    return run_study(script, tasks, config, ToyRow)


@pytest.fixture
def small_data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for stem, n, seed in (("train", 64, 0), ("valid", 32, 1)):
        for part, array in zip("XY", make_patterns(n, seed=seed), strict=True):
            np.save(folder / f"{stem}{part}.npy", array)
    return folder


def cluster(tmp_path, n_workers):
    """A scheduler and workers, each a process of its own: address and processes."""
    file, out = tmp_path / "scheduler.json", (tmp_path / "dask.log").open("wb")

    def dask(n, *command):
        own = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / f"jax{n}")}  # JAX does not write its files atomically
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"} | own
        every = [sys.executable, "-m", "dask", *command, "--scheduler-file", str(file), "--no-dashboard"]
        return subprocess.Popen(every, env=environment, stdout=out, stderr=out)

    processes = [dask(0, "scheduler", "--host", "127.0.0.1", "--port", "0")]
    for n in range(1, n_workers + 1):
        options = ["--nthreads", "1", "--no-nanny", "--death-timeout", "60"]
        processes.append(dask(n, "worker", *options, "--local-directory", str(tmp_path / f"worker{n}")))
    for _ in range(600):
        with contextlib.suppress(OSError, ValueError):  # it is not there yet, or not whole
            return json.loads(file.read_text())["address"], processes
        time.sleep(0.1)
    raise TimeoutError((tmp_path / "dask.log").read_text())


@pytest.fixture
def workers(tmp_path, request):
    address, processes = cluster(tmp_path, request.param)
    yield address, processes
    for process in processes:
        process.kill()
        process.wait()


def test_a_task_is_a_point_of_the_grid_and_a_seed():
    tasks = StudyConfig(seeds=2).tasks([{"a": 1}, {"a": 2}], epochs=10)
    rest = {"epochs": 10, "data": "data/mnist", "data_sha256": digest_of(MNIST)}
    assert tasks == [{"a": a, "seed": seed} | rest for a in (1, 2) for seed in (1234, 1235)]
    assert [t["epochs"] for t in StudyConfig(epochs=4).tasks([{}], epochs=10, seeds=1)] == [4]
    (quick,) = StudyConfig(quick=True).tasks([{}], epochs=10)
    assert quick == rest | {"epochs": 3, "seed": 1234, "patterns": 5000}


def test_a_task_is_told_apart_by_its_datas_content(small_data, tmp_path, toy):
    def tasks(folder):
        return StudyConfig(data=folder).tasks([{"a": 1}], epochs=1, seeds=1)

    copy = shutil.copytree(small_data, tmp_path / "copy")
    config = StudyConfig(out=tmp_path / "out")
    (row,) = run_toy(toy, tasks(small_data), config)
    toy.write_text(TOY.replace("10 *", "100 *"))
    assert run_toy(toy, tasks(copy), config) == [row]  # the same content elsewhere
    load_folder.cache_clear()
    np.save(copy / "trainX.npy", make_patterns(64, seed=5)[0])
    (other,) = run_toy(toy, tasks(copy), config)
    assert other["value"] == 100 and run_toy(toy, tasks(small_data), config) == [row]
    np.save(copy / "trainX.npy", make_patterns(64, seed=6)[0])
    load_folder.cache_clear()
    with pytest.raises(UserError, match="not those of the study"):
        patterns_of(other["task"])


def test_only_the_readmes_grid_updates_the_readme():
    assert StudyConfig(scheduler="tcp://somewhere:1", plot_only=True).official
    for name, value in {"epochs": 3, "seeds": 1, "quick": True, "data": MNIST.parent, "out": Path("x")}.items():
        assert not replace(StudyConfig(), **{name: value}).official


def test_rows_are_kept_and_not_run_again(toy, tmp_path):
    config = StudyConfig(out=tmp_path / "out")
    tasks = [{"a": 1, "seed": 0}, {"a": 2, "seed": 0}, {"a": 2, "seed": 1}]
    first = run_toy(toy, tasks[:2], config)
    assert [row["value"] for row in first] == [10, 20] and all(row["seconds"] >= 0 for row in first)
    toy.unlink()
    assert run_toy(toy, tasks[:2], config) == first == read_json(tmp_path / "out" / "toy.json")["rows"]
    toy.write_text(TOY.replace("10 *", "100 *"))
    rows = run_toy(toy, tasks, config)
    assert [row["value"] for row in rows] == [10, 20, 200]
    assert with_values(rows, a=2) == rows[1:]
    assert run_toy(toy, tasks[2:], StudyConfig(out=tmp_path / "out", plot_only=True)) == rows[2:]


def test_writers_of_one_file_keep_each_others_rows(toy, tmp_path):
    toy.write_text(TOY.replace("import os", "import os; import toy_peer"))
    peer = f"""
import json, pathlib
def run_other(path):
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    if not any(row["task"] == {{"a": 7}} for row in rows):
        row = {{"task": {{"a": 7}}, "value": 70, "seconds": 1.0, "device": "", "git_commit": None}}
        path.write_text(json.dumps({{"rows": [*rows, row]}}))
run_other(pathlib.Path({str(tmp_path / "out" / "toy.json")!r}))
"""
    (tmp_path / "toy_peer.py").write_text(peer)
    rows = run_toy(toy, [{"a": 1}, {"a": 2}], StudyConfig(out=tmp_path / "out"))
    kept = read_json(tmp_path / "out" / "toy.json")["rows"]
    assert [row["value"] for row in rows] == [10, 20] and sorted(row["value"] for row in kept) == [10, 20, 70]


def test_a_task_that_fails_costs_only_itself(toy, tmp_path):
    config = StudyConfig(out=tmp_path / "out")
    with pytest.raises(UserError, match=r'1 of 3 tasks failed.*\{"a": 2, "bad": true\}: as told'):
        run_toy(toy, [{"a": 1}, {"a": 2, "bad": True}, {"a": 3}], config)
    assert [row["value"] for row in run_toy(toy, [{"a": 1}, {"a": 3}], config)] == [10, 30]
    assert "as told" in str(measure_tasks(toy, [{"a": 5, "bad": True}], config, ToyRow)[1])  # where no row is asked for


def test_bad_rows_files_are_refused_and_stay(toy, tmp_path):
    row = '{"task": {}, "value": 1, "seconds": 1, "device": ""}'
    for text in (
        *("[]", "[null]", '{"rows": [1]}', "{", '{"rows": 1}', '{"rows": [{}]}', '{"other": []}'),
        *(f'{{"rows": [{row.replace(a, b)}]}}' for a, b in (("{}", "1"), ('"value": 1, ', ""), ("1,", "NaN,"))),
    ):
        (tmp_path / "toy.json").write_text(text)
        with pytest.raises(UserError, match=r"toy\.json"):
            run_toy(toy, [{"a": 1}], StudyConfig(out=tmp_path))
        assert (tmp_path / "toy.json").read_text() == text
    (tmp_path / "toy.json").unlink()
    with pytest.raises(UserError, match="no row of this study yet"):
        run_toy(toy, [{"a": 1}], StudyConfig(out=tmp_path, plot_only=True))


@pytest.mark.parametrize("workers", [1], indirect=True)
def test_a_cluster_gives_the_rows_of_one_process(small_data, tmp_path, workers):
    address, _ = workers
    script = STUDIES / "depth.py"
    grid = [{"method": "glsnn", "hid_dim": [10, 8]}]
    rows = []
    for scheduler in (None, address):
        config = StudyConfig(data=small_data, epochs=1, seeds=2, scheduler=scheduler, out=tmp_path / f"out{len(rows)}")
        rows.append([(row["task"], row["acc"]) for row in run_study(script, config.tasks(grid, epochs=1), config)])
    assert rows[0] == rows[1] and len(rows[0]) == 2 and all(len(acc) == 1 for _, acc in rows[0])


@pytest.mark.parametrize("workers", [2], indirect=True)
def test_a_killed_worker_costs_nothing(toy, tmp_path, workers):
    address, (_, victim, _) = workers
    marks = tmp_path / "marks"
    marks.mkdir()
    config = StudyConfig(scheduler=address, out=tmp_path / "out")
    tasks = [{"a": a, "marks": str(marks)} for a in range(12)]
    path = tmp_path / "out" / "toy.json"
    program = f"""
from pathlib import Path
from exhibits.common.experiment.studies import StudyConfig, run_study
config = StudyConfig(scheduler={address!r}, out=Path({str(path.parent)!r}))
run_study(Path({str(toy)!r}), {tasks!r}, config, dict)
"""
    running = subprocess.Popen([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(REPOSITORY)})
    for _ in range(600):  # until the victim is in the middle of a task
        if any(mark.name.endswith(f"-{victim.pid}") for mark in marks.iterdir()):
            break
        time.sleep(0.1)
    else:
        pytest.fail("the victim has not begun a task")
    victim.send_signal(signal.SIGKILL)
    assert running.wait(120) == 0
    begun = {}
    for mark in marks.iterdir():
        a, pid = mark.name.split("-")
        begun.setdefault(int(a), set()).add(int(pid))
    again = [a for a, pids in begun.items() if len(pids) == 2]
    assert len(again) <= 1 and victim.pid in set().union(*begun.values())
    rows = run_toy(toy, tasks, config)
    assert [row["value"] for row in rows] == [10 * a for a in range(12)]
    assert len(read_json(path)["rows"]) == 12


def test_feedback_study_measures_angles_where_all_layers_are_taught(small_data):
    study = load_script(GLSNN / "feedback.py")
    data = {"data": str(small_data), "data_sha256": digest_of(small_data)}
    task = {"hid_dim": [12, 10, 8], "epochs": 2, "seed": 5, "init_gain": 2.0} | data
    full, none = (study.run(task | {"n_feedback": k}) for k in (2, 0))
    assert len(full["acc"]) == len(none["acc"]) == 2 and "angles" not in none
    turned = study.run(task | {"n_feedback": 2, "control": "turned"})
    assert turned["acc"][0] == full["acc"][0]  # they turn after the first of two epochs
    assert turned["angles"][0] == full["angles"][0] and turned["angles"][1] != full["angles"][1]
    spikes = study.run(task | {"n_feedback": 0, "control": "gain"})["spikes"]
    assert len(spikes) == 3 and 0 < min(spikes) <= max(spikes) <= 10
    assert [len(angles) for angles in full["angles"]] == [4, 4, 4]
    json.dumps(full, allow_nan=False)
    rows = [{"task": task, **full}]
    for layer, points in study.angle_curves(rows).items():
        for (angle,) in points.values():
            assert 0 <= angle < (1 if layer in ("W3", "W4") else 180)


def test_alignment_study_measures_before_and_after_the_feedback_is_turned(small_data):
    study = load_script(BFA / "alignment.py")
    data = {"data": str(small_data), "data_sha256": digest_of(small_data)}
    task = {"recipe": "page", "variant": "turned", "hid_dim": [12], "epochs": 2, "seed": 5} | data
    row = {"task": task} | study.run(task)
    assert len(row["acc"]) == 2 and row["presented"] == [0, 64, 64, 128] and len(row["angles"]) == 4
    json.dumps(row, allow_nan=False)
    points = study.curve([row], "feedback", 0)
    (before,), (after,) = points[0.064], points[0.064 + study.JUMP]
    assert len(points) == 4 and abs(before - after) > 5


def test_feedback_studys_controls_reach_other_layers_or_change_the_feedback():
    study = load_script(GLSNN / "feedback.py")
    patterns = Patterns(*make_patterns(20, n_pixels=9, n_classes=3))
    shallowest = [task for task in study.grid(study.Study(quick=True)) if len(task["hid_dim"]) == 6]
    tasks = {
        name: [task for task in shallowest if task.get("control", "fixed") == name and study.gain_of(task) != 1]
        for name in ("fixed", "elsewhere", *study.CHANGES)
    }
    assert [task["n_feedback"] for task in tasks["fixed"]] == [*range(6)]
    for k in range(1, 5):
        choices = {tuple(task["layers"]) for task in tasks["elsewhere"] if task["n_feedback"] == k}
        assert len(choices) == study.CHOICES and all(len(layers) == k for layers in choices)
        assert tuple(range(6 - k, 6)) not in choices  # those at the top
    made = {name: study.network(of[0] | {"hid_dim": [5] * 6}, patterns) for name, of in tasks.items()}
    kinds = {"fixed": "GLSNN", "elsewhere": "ChosenFeedback", "redrawn": "RedrawnFeedback", "turned": "GLSNN"}
    assert {name: type(circuit).__name__ for name, circuit in made.items()} == kinds
    assert tuple(made["fixed"].taught) == (6,) and made["elsewhere"].taught == (*tasks["elsewhere"][0]["layers"], 6)


def test_dale_studys_controls_have_no_inhibition_that_learns(small_data):
    study = load_script(BFA / "dale.py")
    grid = study.grid(study.Study(quick=True, data=small_data))
    tasks = {task["variant"]: task for task in grid if task["recipe"] == "best"}
    assert list(tasks) == [*study.COMPARED["best"], *study.CONTROLS]
    zero = {name: study.run(tasks[name] | {"hid_dim": [8], "epochs": 1})["zero"] for name in study.CONTROLS}
    assert list(zero["fixed"]) == sorted(study.SYNAPSES)
    assert zero["excitatory"]["I1"] == zero["excitatory"]["I2"] == 1
    assert zero["fixed"]["I1"] == zero["fixed"]["I2"] == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--scheduler", "tcp://127.0.0.1:1"], ["tcp://127.0.0.1:1", "dask scheduler"]),
        (["--scheduler", "nonsense://x"], ["nonsense://x"]),
        (["--epochs", "0"], ["--epochs 0"]),
        (["--seeds", "0"], ["--seeds 0"]),
        (["--data", "none"], ["none"]),
        (["--plot_only"], ["no row of this study yet"]),
        (["--colour"], ["--colour"]),
    ],
    ids=str,
)
def test_bad_flags_are_refused(flags, words, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert start(monkeypatch, [str(STUDIES / "depth.py"), *flags, f"--out={out}"]) == 2
    said = capsys.readouterr().err
    lines = [line for line in said.replace("\r", "\n").splitlines() if line and not line.startswith("depth:")]
    assert len(lines) == 1 and lines[0].startswith("error: "), said
    for word in words:
        assert word in lines[0]
    assert not list(out.rglob("*.json"))


def test_changes_study_measures_what_is_learned_and_what_is_not(small_data):
    study = load_script(BFA / "changes.py")
    tasks = study.grid(study.Study(quick=True, data=small_data))
    assert {task["dataset"] for task in tasks} == {"own"} and len(tasks) == len(study.CHANGES["mnist"])
    task = tasks[3] | {"epochs": 2, "changes": {"hid_dim": [9], "in_dropout": 0.25, "T": 24}}
    row = {"task": task} | study.run(task)
    assert len(row["acc"]) == len(row["train_acc"]) == 2
    assert study.title(task["changes"]) == "--hid_dim 9 --in_dropout 0.25 --T 24"
    shown = f"| own data | `--hid_dim 9 --in_dropout 0.25 --T 24` | {100 * row['train_acc'][-1]:.2f} | "
    assert study.table([row]).splitlines()[-1].startswith(shown)


@pytest.mark.parametrize("change", [{"angles": None}, {"angles": []}, {"feedback": [[]]}, {"presented": []}], ids=str)
def test_rows_without_what_a_study_draws_are_refused(change, tmp_path, monkeypatch, capsys):
    rows = json.loads((BFA / "results" / "alignment.json").read_text())
    rows["rows"][1] |= change
    (tmp_path / "alignment.json").write_text(json.dumps(rows))
    command = [str(BFA / "alignment.py"), "--plot_only", f"--out={tmp_path}"]
    assert start(monkeypatch, command) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "alignment.json" in told and "move it away" in told
