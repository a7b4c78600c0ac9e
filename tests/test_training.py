"""Training: history, the choice of the best epoch, what goes wrong."""

import contextlib
import dataclasses
import json
import math
import shutil
from types import SimpleNamespace
from unittest.mock import Mock

import jax
import numpy as np
import pytest
from conftest import data_set, make_patterns

from exhibits.bfa_snn.config import Config
from exhibits.common.circuit.nonfinite import first_not_finite
from exhibits.common.data.loading import Patterns
from exhibits.common.experiment import epochs, runfolder, training
from exhibits.common.experiment.checkpoints import ParameterStore
from exhibits.common.experiment.display import Expectation
from exhibits.common.experiment.epochs import add, sample_of
from exhibits.common.experiment.restoring import restore
from exhibits.common.experiment.runfolder import finished, held
from exhibits.common.experiment.schema import RunLog, Tally
from exhibits.common.experiment.training import fit, identity_of
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import write_json
from exhibits.glsnn import GLSNN
from exhibits.glsnn import Config as GLSNNConfig


@pytest.fixture
def sets():
    return data_set(60, 20)


def test_score_by_hand():
    score = Tally()
    for label in (0, 1):  # two spikes for class 0; currents ln 3 and ln 1: probability 3/4 of class 0
        add(score, {"count": np.array([[2, 0]]), "logit": np.log([[3.0, 1.0]])}, np.eye(2)[[label]])
    assert (score.n, score.acc) == (2, 0.5)
    np.testing.assert_allclose(score.nll, -(np.log(3 / 4) + np.log(1 / 4)) / 2)


def test_training_scores_are_of_patterns_at_even_distances(monkeypatch):
    monkeypatch.setattr(epochs, "SAMPLE", 4)
    x, y = np.arange(10.0)[:, None], np.arange(20.0).reshape(10, 2)
    for n, chosen in ((10, [0, 2, 5, 7]), (4, [0, 1, 2, 3]), (3, [0, 1, 2])):
        sample = sample_of(Patterns(x[:n], y[:n]))
        assert sample.x[:, 0].tolist() == chosen and sample.y.tolist() == y[chosen].tolist()


def test_the_best_epoch_is_what_is_kept(make_circuit, sets, tmp_path):
    config = Config(exp_dir=tmp_path / "exp", epochs=3)
    circuit = make_circuit()
    start = {name: np.array(value) for name, value in circuit.get_parameters().items()}
    _, best = fit(circuit, config, sets)
    history = {name: np.load(tmp_path / "exp" / f"{name}.npy") for name in ("acc", "nll")}
    expected = max(range(1, 4), key=lambda epoch: (history["acc"][epoch], -history["nll"][epoch]))
    trained = restore(make_circuit(seed=5), config.exp_dir)
    assert trained.epoch == expected and best == history["acc"][expected]
    assert trained.temperature is not None and trained.temperature > 0
    log = json.loads((tmp_path / "exp" / "run.json").read_text())
    assert (log["best_epoch"], log["best_dev_acc"], log["epochs_done"]) == (expected, best, 3)
    kept = trained.circuit.get_parameters()
    assert np.any(kept["W1.weights"] != start["W1.weights"])
    np.testing.assert_array_equal(kept["E2.weights"], start["E2.weights"])


def test_without_a_development_set_the_last_epoch_is_kept(make_circuit, sets, tmp_path):
    config = Config(exp_dir=tmp_path / "exp", epochs=2, join_dev=True)
    circuit = make_circuit()
    data = dataclasses.replace(sets, dev=None)
    _, best = fit(circuit, config, data)
    trained = restore(make_circuit(seed=5), config.exp_dir)
    assert (trained.epoch, trained.temperature) == (2, None) and np.isnan(best)
    for name, value in trained.circuit.get_parameters().items():
        if name.endswith("weights"):
            np.testing.assert_array_equal(value, circuit.get_parameters()[name])
    history = {name: np.load(tmp_path / "exp" / f"{name}.npy") for name in ("trAcc", "acc", "trNll", "nll")}
    assert np.isfinite([history["trAcc"], history["trNll"]]).all() and np.isnan([history["acc"], history["nll"]]).all()
    identity = identity_of(circuit, config, data)
    assert finished(config, identity) and not finished(dataclasses.replace(config, epochs=3), identity)


@pytest.fixture
def clock(monkeypatch):
    """Each minibatch takes 20 s: the time now, and what was said of the progress after every minibatch."""
    clock = SimpleNamespace(now=0.0, left=[])

    def chunk_ended(_, *progress):
        clock.now += 20
        clock.left.append(progress)

    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    monkeypatch.setattr(Expectation, "call_ended", chunk_ended)
    monkeypatch.setattr("exhibits.common.circuit.Circuit.MINIBATCHES_PER_CALL", 1)
    return clock


def test_checkpoints_and_times_follow_the_clock(make_circuit, sets, tmp_path, monkeypatch, clock):
    saved, save = [], ParameterStore.save

    def noted(self, step, *args, **values):
        saved.append(step)
        save(self, step, *args, **values)

    monkeypatch.setattr(ParameterStore, "save", noted)
    config = Config(exp_dir=tmp_path / "exp", epochs=2, checkpoint_minutes=1)
    seconds, _ = fit(make_circuit(), config, sets)  # 8 minibatches of 8 patterns: the fourth exceeds a minute
    assert saved == [0, 0, 32, 60, 60 + 32, 120]
    seen = [*range(8, 60, 8), 60]
    assert clock.left == [(epochs, n, 60) for epochs in (2, 1) for n in seen]  # for the time that it takes
    log = json.loads((tmp_path / "exp" / "run.json").read_text())
    assert log["seconds"] == seconds == 2 * 8 * 20 and log["epoch_seconds"] == [160, 160]


def test_times_of_a_resumed_epoch_include_what_came_before(make_circuit, sets, tmp_path, monkeypatch, clock):
    config = Config(exp_dir=tmp_path / "exp", epochs=2)
    monkeypatch.setattr(training, "stoppable", lambda: contextlib.nullcontext(lambda: 15 * (clock.now == 220)))
    with pytest.raises(SystemExit):
        fit(make_circuit(), config, sets)  # after 3 of 8 minibatches of the second epoch
    clock.now += 1000
    seconds, _ = fit(make_circuit(), config, sets)
    log = json.loads((tmp_path / "exp" / "run.json").read_text())
    assert log["seconds"] == seconds == 320 and log["epoch_seconds"] == [160, 160]


def test_the_best_checkpoint_until_then_stays_when_an_epoch_is_better(make_circuit, sets, tmp_path, monkeypatch):
    correct = iter([5, 12, 8, 8, 16])
    scores = lambda readout: Tally(n := len(readout.correct), next(correct) if n == 20 else n, 1.0)  # noqa: E731
    monkeypatch.setattr(training, "tally_of", scores)
    config = Config(exp_dir=tmp_path / "exp", epochs=4)
    fit(make_circuit(), config, sets)
    assert ParameterStore(config.exp_dir / "checkpoints").steps() == [240, 180, 60]
    assert restore(make_circuit(seed=5), config.exp_dir).epoch == 4
    shutil.rmtree(config.exp_dir / "checkpoints" / "240")
    assert restore(make_circuit(seed=5), config.exp_dir).epoch == 1


@pytest.mark.parametrize("n_epochs", [1, 2])
def test_a_signal_when_an_epoch_ends_stops_a_run_with_more_to_do(n_epochs, make_circuit, sets, tmp_path, monkeypatch):
    curve = tmp_path / "exp" / "acc.npy"  # of an epoch more as soon as one is complete
    stopping = contextlib.nullcontext(lambda: 15 if curve.exists() and len(np.load(curve)) > 1 else 0)
    monkeypatch.setattr(training, "stoppable", lambda: stopping)
    with pytest.raises(SystemExit) if n_epochs > 1 else contextlib.nullcontext() as stop:
        fit(make_circuit(), Config(exp_dir=tmp_path / "exp", epochs=n_epochs), sets)
    log = json.loads((tmp_path / "exp" / "run.json").read_text())
    assert (log["epochs_done"], bool(log["finished"])) == (1, n_epochs == 1)
    assert stop is None or stop.value.code == 128 + 15


@pytest.mark.parametrize(("batch_size", "said"), [(60, False), (61, True)])
def test_a_minibatch_of_more_patterns_than_there_are_is_named(
    make_circuit, sets, tmp_path, capsys, monkeypatch, batch_size, said
):
    monkeypatch.setattr(training._Run, "_begin", Mock(side_effect=RuntimeError("begun")))
    with pytest.raises(RuntimeError, match="begun"):
        fit(make_circuit(None, batch_size=batch_size), Config(exp_dir=tmp_path / "exp", epochs=1), sets)
    lines = capsys.readouterr().out.splitlines()
    expected = "Batch   61 exceeds the 60 patterns: an epoch is one update, as slow as for 61 patterns"
    assert (expected in lines) is said and any(line.startswith("Batch ") for line in lines) is said


def test_diverging_weights_stop_the_run_and_say_so(make_circuit, sets, tmp_path):
    circuit = make_circuit(eta=(1e38, 1e38), encoder="rate")
    with pytest.raises(UserError, match=r"epoch 1, minibatch 1: W2.biases, W2.weights is not.*--eta"):
        fit(circuit, Config(exp_dir=tmp_path / "exp", epochs=2), sets)
    assert np.load(tmp_path / "exp" / "nll.npy").shape == (1,)


def test_weights_too_large_for_a_checkpoint_stop_the_run_and_say_so(make_circuit, sets, tmp_path):
    config = Config(exp_dir=tmp_path / "exp", epochs=2, debug_nans=True)
    with pytest.raises(UserError, match=r"minibatch \d: .*W2.weights is beyond 1e\+18, the weights diverged; try"):
        fit(make_circuit(eta=(1e22, 1e22), encoder="rate"), config, sets)
    assert np.load(tmp_path / "exp" / "nll.npy").shape == (1,)


def test_an_nll_that_is_not_finite_stops_the_run_and_says_so(make_circuit, sets, tmp_path, monkeypatch):
    scores, circuit = [], make_circuit()

    def score(readout):  # two sets each time
        scores.append(1.0 if len(scores) < finite else math.inf)
        return Tally(len(readout.correct), 0, scores[-1])

    def add(tally, _, y):
        tally.n, tally.nll_sum = tally.n + len(y), math.inf

    monkeypatch.setattr(training, "tally_of", score)
    for finite, said in ((0, "before training: the NLL is not .*; try smaller initial"), (2, "after epoch 1: the NLL")):
        with pytest.raises(UserError, match=said):
            fit(circuit, Config(exp_dir=tmp_path / f"{finite}", epochs=1), sets)
        scores.clear()
    finite = 9
    monkeypatch.setattr(epochs, "add", add)
    with pytest.raises(UserError, match="epoch 1, minibatch 1: NLL is not a finite number, the weights diverged"):
        fit(circuit, Config(exp_dir=tmp_path / "exp", epochs=1), sets)


@pytest.mark.parametrize(("synapses", "dale"), [("event", False), ("dense", False), ("dense", True)])
def test_the_first_number_that_is_not_finite_is_found(make_circuit, sets, tmp_path, synapses, dale):
    values = {"T": 10, "burn_in": 4, "eta": (1e38, 1e38), "synapses": synapses, "weight_std": 1.0, "dale": dale}
    config = Config(exp_dir=tmp_path / "exp", epochs=2, debug_nans=True)
    # Learning begins at the fifth step, 0.25 ms each; 8 patterns of 0.25 ms: the first update is of 1e38 times errors.
    with pytest.raises(UserError, match=r"diverged \([WI]\d\.\w+ is the first, in minibatch \d at t = \d(\.\d+)? ms\)"):
        fit(make_circuit(**values), config, sets)


def test_the_search_for_what_is_not_finite_presents_the_minibatches_of_the_training(make_circuit, monkeypatch):
    circuit, (x, y), key = make_circuit(T=4, burn_in=1, encoder="rate"), make_patterns(32), jax.random.PRNGKey(3)
    begin, keys = circuit.run, []
    monkeypatch.setattr(circuit, "run", lambda *given, **more: keys.append(given[2]) or begin(*given, **more))
    x[17] = np.nan  # in the third minibatch of 8; the second one, if the patterns come backwards
    for order, first, minibatches in ((np.arange(32), 8, (2, 3)), (np.arange(32)[::-1], 0, (1, 2))):
        found = first_not_finite(circuit, x, y, key, order=order, first=first)
        assert found == f"z0.j is the first, in minibatch {minibatches[-1]} at t = 0.25 ms"
        drawn = [jax.random.fold_in(key, n - 1) for n in minibatches]
        np.testing.assert_array_equal(keys, drawn)
        keys.clear()
    assert first_not_finite(circuit, x[:8], y[:8], key, order=np.arange(8), first=0) == ""


def test_the_first_number_that_is_not_finite_is_found_in_a_cascade(sets, tmp_path):
    values = {"hid_dim": (20,), "receptive_field": 0, "init_gain": 2.25, "eta": 1e12, "batch_size": 8}
    config = GLSNNConfig(exp_dir=tmp_path / "exp", epochs=2, debug_nans=True, **values)
    with pytest.raises(UserError, match=r"diverged \(\w\d\.\w+ is the first, in minibatch \d+ at t = 0 ms\)"):
        fit(GLSNN.for_training(config, sets), config, sets)


def test_folders_of_others_are_left_alone(tmp_path, make_circuit, sets):
    def claim(folder):
        config = Config(exp_dir=folder)
        with held(config, identity_of(make_circuit(), config, sets), RunLog(started="2020-01-01T00:00:00Z")):
            pass

    (tmp_path / "run.json").write_text("[1]")
    with pytest.raises(UserError, match=r"run\.json.*expected the record of a run"):
        claim(tmp_path)
    with pytest.raises(UserError, match="can be written to"):
        claim(tmp_path / "run.json")
    assert (tmp_path / "run.json").read_text() == "[1]"


@pytest.fixture
def taken(make_circuit, sets, tmp_path, monkeypatch):
    """Takes a run's folder; another process writes there just before it is locked, as many times as are given."""

    def take(*writes):
        lock, left = runfolder._lock, list(writes)

        def late(exp, locks):
            left.pop(0)(exp)
            return lock(exp, locks)

        monkeypatch.setattr(runfolder, "_lock", late)
        config = Config(exp_dir=tmp_path / "exp")
        with held(config, identity_of(make_circuit(), config, sets), RunLog(started="2020-02-02T00:00:00Z")):
            return json.loads((tmp_path / "exp" / "run.json").read_text())["started"]

    return take


def finish(exp):
    write_json(exp / "run.json", RunLog(started="2020-01-01T00:00:00Z", finished="2020-01-01T01:00:00Z"))


def test_a_run_that_ended_before_the_folder_was_locked_is_set_aside(taken, tmp_path):
    assert taken(finish, lambda _: None) == "2020-02-02T00:00:00Z"
    assert json.loads((tmp_path / "exp-2020-01-01T000000Z" / "run.json").read_text())["finished"]


def test_a_run_that_another_process_began_meanwhile_is_left_alone(taken, tmp_path):
    with pytest.raises(UserError, match="another run has begun there"):
        taken(finish, finish)
    assert json.loads((tmp_path / "exp" / "run.json").read_text())["started"] == "2020-01-01T00:00:00Z"


def test_a_folder_that_another_process_sets_aside_while_it_is_locked_is_refused(taken, tmp_path, monkeypatch):
    flock = runfolder.fcntl.flock

    def slow(handle, how):
        flock(handle, how)
        (tmp_path / "exp").rename(tmp_path / "aside")
        (tmp_path / "exp").mkdir()

    monkeypatch.setattr(runfolder.fcntl, "flock", slow)
    with pytest.raises(UserError, match="another run is writing there"):
        taken(lambda _: None)
    assert not list((tmp_path / "exp").iterdir())
