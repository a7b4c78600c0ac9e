"""A run is what its numbers depend on: with other data, values or choices it is neither resumed nor analyzed."""

import json
import os
import shutil

import numpy as np
import pytest
from conftest import make_patterns
from test_bad_input import ANALYZE, GLSNN_ANALYZE, GLSNN_TRAIN, TRAIN, start

from exhibits.bfa_snn.config import Config
from exhibits.bfa_snn.model import BFA_SNN
from exhibits.common.data.form import Form
from exhibits.common.experiment.checkpoints import FILE
from exhibits.common.experiment.config import from_json
from exhibits.common.experiment.schema import Identity, RunLog
from exhibits.common.system.files import read_json

SETS = {"data": (120, 0), "dev": (40, 1), "test": (30, 2)}
QUICK = {
    TRAIN: "--hid_dim 12 --T 14 --burn_in 4 --batch_size 8 --epochs 2 --weight_std 0.3",
    GLSNN_TRAIN: "--hid_dim 12 --batch_size 8 --epochs 2",
}


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Own data, and a run of the BFA-SNN on them that was killed after its first epoch."""
    folder = tmp_path_factory.mktemp("own")
    for name, (n, seed) in SETS.items():
        for part, array in zip("XY", make_patterns(n, seed=seed), strict=True):
            np.save(folder / f"{name}{part}.npy", array)
    with pytest.MonkeyPatch.context() as patch:
        from exhibits.common.experiment import training

        patch.setattr(training._Run, "_introduce", lambda run: None)
        original = training._Run._epoch

        def killed(run, epoch):
            original(run, epoch)
            run.checkpoints.wait()
            raise Killed

        patch.setattr(training._Run, "_epoch", killed)
        with pytest.raises(Killed):
            start(patch, command(TRAIN, folder))
    return folder


def command(script, folder, *more, prefix=""):
    flags = [f"--{name}{part}={prefix or folder}/{name}{part}.npy" for name in SETS for part in "XY"]
    return [str(script), *flags, f"--exp_dir={folder / 'exp'}", *QUICK[script].split(), *more]


def analysis(folder, *more):
    return [str(ANALYZE), f"--exp_dir={folder / 'exp'}", *more]


@pytest.fixture(scope="module")
def circuit(folder):
    """The circuit of that run."""
    log = read_json(folder / "exp" / "run.json", RunLog)
    assert log.form is not None
    return BFA_SNN.for_analysis(from_json(Config, folder / "exp" / "config.json"), log.form)


@pytest.fixture
def run(folder, tmp_path):
    """A copy of it, to spoil."""
    return shutil.copytree(folder, tmp_path / "run")


@pytest.fixture
def refused(monkeypatch, capsys):
    def check(arguments, *words):
        capsys.readouterr()
        assert start(monkeypatch, arguments) == 2
        *_, said = capsys.readouterr().err.splitlines()  # after a word on what serves instead, or why it does not
        assert said.startswith("error: "), said
        for word in words:
            assert word in said, said

    return check


def test_run_json_tells_what_numbers_depend_on(run):
    log = json.loads((run / "exp" / "run.json").read_text())
    assert sorted(log["data"]) == ["dataX", "dataY", "devX", "devY", "testX", "testY"]
    assert log["data"]["dataX"]["shape"] == [120, 36] and len(log["data"]["dataX"]["sha256"]) == 64
    assert log["choices"] == {"synapses": "event", "device": "cpu"} and len(log["digest"]) == 64
    assert (
        log["format"] == 7
        and log["exhibit"] == "bfa_snn"
        and log["versions"]["jax"]
        and log["form"]["picture"] == [6, 6]
    )
    activity = log["activity"]["z1"]
    assert len(activity["spikes_per_pattern"]) == 2 and 0 <= activity["silent"][0] <= 1


def test_the_same_content_from_elsewhere_is_resumed(run, tmp_path, monkeypatch, capsys):
    shutil.copytree(run, tmp_path / "other", ignore=shutil.ignore_patterns("exp"))
    for name in ("dataX", "devX"):  # as other bytes
        array = np.load(tmp_path / "other" / f"{name}.npy")
        np.save(tmp_path / "other" / f"{name}.npy", np.asfortranarray(array, np.float64))
    monkeypatch.chdir(tmp_path)
    moved = (run / "exp").rename(run / "moved")
    np.save(tmp_path / "other" / "devY.npy", np.load(run / "devY.npy").argmax(axis=1))  # as integers
    flags = command(TRAIN, run, "--synapses=event", "--checkpoint_minutes=1", prefix="run/../other")
    assert start(monkeypatch, [*flags, f"--exp_dir={moved}"]) == 0
    assert "Resuming the run" in capsys.readouterr().out
    assert json.loads((moved / "run.json").read_text())["epochs_done"] == 2


@pytest.mark.parametrize("name", ["dataX", "dataY", "devX", "devY"])
def test_other_content_is_refused(name, run, refused):
    array = np.load(run / f"{name}.npy")
    np.save(run / f"{name}.npy", 1 - array if name.endswith("X") else np.roll(array, 1, axis=1))
    refused(command(TRAIN, run), f"the content of {name}", "--resume never")


def test_labels_that_number_the_classes_differently_are_refused(run, refused):
    for name in SETS:
        np.save(run / f"{name}Y.npy", np.load(run / f"{name}Y.npy").argmax(axis=1) + 10)
    refused(command(TRAIN, run), "labels (0 there, 10 here)", "--resume never")


def test_fewer_rows_are_refused(run, refused):
    for part in "XY":
        np.save(run / f"data{part}.npy", np.load(run / f"data{part}.npy")[:77])
    refused(command(TRAIN, run), "the content of dataX, the content of dataY")


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--T=15", "T (14 there, 15 here)"),
        ("--hid_dim 12 12", "hid_dim (12 there, 12 12 here)"),
        ("--seed=9", "seed (1234 there, 9 here)"),
        ("--join_dev", "join_dev"),
        ("--recipe=best", "input_gain (0.25 there, 0.5 here)"),
        ("--synapses=dense", "synapses (event there, dense here)"),
    ],
)
def test_another_configuration_is_refused(flag, words, run, refused):
    refused(command(TRAIN, run, *flag.split()), words)


def test_synapses_that_are_not_there_any_more_are_refused(run, refused, monkeypatch):
    monkeypatch.setattr("exhibits.common.cells.events.importlib.util.find_spec", lambda name: None)
    refused(command(TRAIN, run), "synapses (event there, dense here)")
    refused(analysis(run), "--synapses event", "numba")


def test_another_device_is_refused(run, refused, monkeypatch):
    monkeypatch.setattr("exhibits.common.experiment.training.jax.default_backend", lambda: "gpu")
    refused(command(TRAIN, run), "device (cpu there, gpu here)")


@pytest.mark.parametrize("change", [{"thr": 0.01}, {"T": 15}, {"seed": 5}, {"burn_in": 3}])
def test_an_edited_config_is_refused(change, run, refused):
    path = run / "exp" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    name, value = next(iter(change.items()))
    refused(analysis(run), f"{name} (", f"{value} here)")
    refused(command(TRAIN, run), name)


def test_a_run_of_another_exhibit_is_refused(run, refused):
    refused([str(GLSNN_ANALYZE), f"--exp_dir={run / 'exp'}"], "a run of bfa_snn; expected one of glsnn")


@pytest.mark.usefixtures("unpictured")
def test_an_analysis_is_of_the_runs_own_test_set(run, refused, monkeypatch, capsys):
    exp = run / "exp"
    config = json.loads((exp / "config.json").read_text())

    def analyzed(*more, folder=exp):
        capsys.readouterr()
        assert start(monkeypatch, analysis(run, *more)) == 0
        out = capsys.readouterr().out
        result = json.loads((folder / "bfasnn_analysis.json").read_text())
        assert f"Report: {folder / 'report.html'}" in out
        assert f"Analysis of the {result['set']}, {result['patterns']} patterns" in out
        return result["set"], result["patterns"]

    for part in "XY":  # where the run's configuration says that they are
        config[f"test{part}"] = str(run / f"test{part}.npy")
        config[f"dev{part}"] = str(run / f"dev{part}.npy")
    (exp / "config.json").write_text(json.dumps(config))
    assert analyzed() == ("test set", 30)
    np.save(run / "copy.npy", np.load(run / "testX.npy"))
    assert analyzed(f"--dataX={run / 'copy.npy'}", f"--dataY={run / 'testY.npy'}") == ("test set", 30)
    x, y, own = run / "dataX.npy", run / "dataY.npy", (exp / "bfasnn_analysis.json").read_bytes()
    other = exp / "analysis-dataX"
    assert analyzed(f"--dataX={x}", f"--dataY={y}", folder=other) == ("set dataX.npy", 120)
    assert (exp / "bfasnn_analysis.json").read_bytes() == own
    (run / "more").mkdir()
    for array in (x, y):
        np.save(run / "more" / array.name, np.load(array)[:60])
    more = (f"--dataX={run / 'more' / x.name}", f"--dataY={run / 'more' / y.name}")
    for _ in range(2):  # another set of that name has a folder of its own, the same set the same one
        assert analyzed(*more, folder=exp / "analysis-dataX-2") == ("set dataX.npy", 60)
    assert analyzed(f"--dataX={x}", f"--dataY={y}", folder=other) == ("set dataX.npy", 120)
    other.rename(run / "elsewhere")
    other.symlink_to(run / "elsewhere")
    refused(analysis(run, f"--dataX={x}", f"--dataY={y}"), "analysis-dataX: is a link")
    other.unlink()
    np.save(run / "testX.npy", 1 - np.load(run / "testX.npy"))
    refused(analysis(run), "testX.npy: its content differs")
    config["testX"] = config["testY"] = None
    (exp / "config.json").write_text(json.dumps(config))
    assert analyzed() == ("development set", 40)
    np.save(run / "other.npy", make_patterns(30, n_pixels=49)[0])
    refused(
        analysis(run, f"--dataX={run / 'other.npy'}", f"--dataY={run / 'testY.npy'}"), "49 pixels a row; expected 36"
    )


def test_settings_and_shapes_of_pictures_tell_runs_apart():
    here = Identity(7, "any", {}, {}, Form(36, (6, 6), 4), settings={"XLA_FLAGS": "b", "JAX_X": "1"})
    there = Identity(7, "any", {}, {}, Form(36, (4, 9), 4), settings={"XLA_FLAGS": "a"})
    assert sorted(there.differences(here)) == [
        "JAX_X (None there, 1 here)",
        "XLA_FLAGS (a there, b here)",
        "height and width (4 9 there, 6 6 here)",
    ]
    assert not list(here.differences(here))


@pytest.mark.parametrize("name", ["checkpoints", "initial", ".lock", "run.json", "config.json", "nll.npy"])
def test_links_are_not_followed(name, run, tmp_path, refused):
    """What a link leads to may be anybody's."""
    target = tmp_path / "precious"
    (run / "exp" / name).rename(target)
    (run / "exp" / name).symlink_to(target)
    before = {path: path.read_bytes() for path in (target, *target.rglob("*")) if path.is_file()}
    refused(command(TRAIN, run), f"{name}: is a link")
    refused(command(TRAIN, run, "--resume=never"), f"{name}: is a link")
    refused(analysis(run), f"{name}: is a link")
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.parametrize("name", ["weights.npz", "bfasnn_analysis.json", "analysis-x/bfasnn_analysis.json"])
def test_links_in_place_of_results_are_not_followed(name, run, tmp_path, refused):
    (tmp_path / "precious").write_text("{}")
    (run / "exp" / name).parent.mkdir(exist_ok=True)
    (run / "exp" / name).symlink_to(tmp_path / "precious")
    refused(analysis(run), f"{name}: is a link")


def test_only_this_runs_checkpoints_are_deleted(run, monkeypatch, tmp_path):
    checkpoints = run / "exp" / "checkpoints"
    (checkpoints / "7").mkdir()
    (checkpoints / "7" / "notes.txt").write_text("mine")
    newest = max(checkpoints.glob("*/default"), key=lambda path: int(path.parent.name)).parent
    shutil.copytree(newest, checkpoints / "9000")
    with np.load(checkpoints / "9000" / FILE) as arrays:
        members = dict(arrays)
    record = json.loads(members["record"].tobytes())
    record["identity"]["config"]["seed"] = 99  # of another run
    members["record"] = np.frombuffer(json.dumps(record).encode(), np.uint8)
    np.savez(checkpoints / "9000" / FILE, **members)
    kept = (checkpoints / "9000" / FILE).read_bytes()
    assert start(monkeypatch, command(TRAIN, run, "--checkpoint_minutes=1e-9")) == 0
    assert (checkpoints / "7" / "notes.txt").read_text() == "mine" and (
        checkpoints / "9000" / FILE
    ).read_bytes() == kept


def test_files_have_the_modes_that_the_umask_leaves(run, monkeypatch):
    before = os.umask(0o077)
    try:
        assert start(monkeypatch, command(TRAIN, run)) == 0
    finally:
        os.umask(before)
    for name in ("run.json", "acc.npy", ".lock"):
        assert (run / "exp" / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("flags", ["--hid_dim 1000000 1000000", "--batch_size 1000000000", "--T 1000000000"])
def test_what_does_not_fit_in_memory_is_refused(flags, run, refused, monkeypatch):
    monkeypatch.setattr(BFA_SNN, "build", lambda *_: pytest.fail("memory was taken"))
    flags = [*command(TRAIN, run), *flags.split(), f"--exp_dir={run / 'new'}"]
    refused(flags, "GB of memory", "GB are free", "--hid_dim")
    assert not (run / "new").exists()
