"""What every circuit keeps to, whatever it computes: run on both exhibits, and on the one that README teaches."""

from dataclasses import dataclass, replace

import jax
import numpy as np
import pytest
from conftest import data_set, make_patterns
from drtp_snn import DRTP_SNN
from drtp_snn import Config as DRTPConfig

from exhibits.bfa_snn.config import CircuitConfig as BFAConfig
from exhibits.bfa_snn.model import BFA_SNN
from exhibits.common.data.form import Form
from exhibits.common.data.loading import load_for_training
from exhibits.common.experiment.checkpoints import ParameterStore
from exhibits.common.experiment.config import AnalysisConfig, TrainingConfig
from exhibits.common.experiment.evaluation import interpret
from exhibits.common.experiment.flags import from_command_line
from exhibits.common.experiment.schema import FORMAT, Identity, Progress, Record
from exhibits.common.experiment.training import fit
from exhibits.common.library.exhibit import Exhibit
from exhibits.common.report.analysis import analyze
from exhibits.common.system import places
from exhibits.glsnn.config import CircuitConfig as GLSNNConfig
from exhibits.glsnn.model import GLSNN

BFA = {"hid_dim": (20, 15), "T": 30, "burn_in": 6, "batch_size": 8, "weight_std": 0.6, "input_gain": 0.5}
DEEP = {"hid_dim": (24, 20, 16), "batch_size": 8, "receptive_field": 3, "eta": 0.01}
DRTP = {"hid_dim": (20, 15), "T": 30, "burn_in": 6, "batch_size": 8, "weight_std": 0.6, "input_gain": 0.5}
CIRCUITS = {
    "bfa_snn-dense": (BFA_SNN, BFAConfig, BFA | {"synapses": "dense"}),
    "bfa_snn-event": (BFA_SNN, BFAConfig, BFA | {"synapses": "event"}),
    "bfa_snn-rate": (BFA_SNN, BFAConfig, BFA | {"encoder": "rate"}),
    "bfa_snn-dale": (BFA_SNN, BFAConfig, BFA | {"synapses": "event", "dale": True}),
    "bfa_snn-centred": (BFA_SNN, BFAConfig, BFA | {"synapses": "event", "centre": 0.05}),
    "glsnn-direct": (GLSNN, GLSNNConfig, DEEP),
    "glsnn-centred": (GLSNN, GLSNNConfig, DEEP | {"centre": 0.05}),
    "glsnn-bernoulli": (GLSNN, GLSNNConfig, DEEP | {"encoder": "bernoulli", "n_feedback": 1}),
    "drtp_snn": (DRTP_SNN, DRTPConfig, DRTP),
}
ADDED = set(places.exhibits()) - {"bfa_snn", "glsnn"}
for name in ADDED:  # with the flags that it gives for tests
    exhibit = Exhibit.named(name)
    config = replace(from_command_line(exhibit.config, exhibit.small), batch_size=8)
    CIRCUITS[name] = (exhibit.network, lambda config=config: config, {})
SILENT = ("bfa_snn-rate", "glsnn-direct", "glsnn-centred")  # circuits without noise


class Subject:
    """A circuit that is compiled once for all tests, and can be put back to where it began."""

    def __init__(self, name: str):
        kind, config, values = CIRCUITS[name]
        self.name = name
        self.circuit = kind(jax.random.PRNGKey(0), 36, 4, config(**values), n_updates=100)
        self.circuit.MINIBATCHES_PER_CALL = 2  # one program for any number of patterns: each compiles for half a second
        # Larger parameters than at the start of training, so that every layer of so small a circuit fires.
        rng = np.random.default_rng(0)
        self.start = self.circuit.get_parameters()
        for n in self.circuit.layers:
            if f"W{n}.biases" not in self.start:  # a fixed layer of an exhibit that was added
                continue
            weights, biases = (np.asarray(self.start[f"W{n}.{part}"]) for part in ("weights", "biases"))
            if kind is GLSNN:
                weights = (weights != 0) * (1.8 * weights + rng.normal(0.05, 0.1, weights.shape))
                biases = rng.normal(1.5 if n == len(self.circuit.layers) else 0.3, 0.1, biases.shape)
            else:
                biases = rng.uniform(0.5, 3.0, biases.shape)
            self.start |= {f"W{n}.weights": np.float32(weights), f"W{n}.biases": np.float32(biases)}
        self.reset()

    def reset(self) -> None:
        self.circuit.set_parameters(self.start)


@pytest.fixture(scope="module", params=CIRCUITS)
def subject(request):
    return Subject(request.param)


@pytest.fixture
def circuit(subject):
    subject.reset()
    return subject.circuit


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(leaves(one), leaves(other), strict=True))


def test_padding_teaches_nothing(circuit):
    (x, y), rng = make_patterns(8), np.random.default_rng(1)
    valid = np.arange(8)[:, None] < 5
    after = []
    for _ in range(2):  # what is in the padding does not matter
        rows = [np.where(valid, rows, rng.random(rows.shape))[None] for rows in (x, y)]
        minibatch = (*map(np.float32, (*rows, valid[None])), jax.random.PRNGKey(2), np.int32(0), np.int32(1))
        learnt, _ = circuit._program(circuit.get_parameters(), *minibatch, np.float32(100), learn=True, detail=False)
        after.append(learnt)
    assert equal(*after)
    assert not equal(after[0], circuit.get_parameters())


def test_noise_is_new_in_each_minibatch_and_in_each_pattern(subject, circuit):
    x, y = make_patterns(1)
    many = np.repeat(x, 24, axis=0), np.repeat(y, 24, axis=0)
    out = circuit.read(*many, jax.random.PRNGKey(3), detail=True)
    answers = {row.tobytes() for row in out["logit"]}
    if subject.name not in ADDED:
        assert (len(answers) == 1) == (subject.name in SILENT)
    assert len(answers) == 1 or len(answers) > 12
    assert equal(out, circuit.read(*many, jax.random.PRNGKey(3), detail=True))


def test_the_size_of_a_chunk_changes_nothing(subject, circuit, monkeypatch):
    x, y = make_patterns(37)  # 5 minibatches, the last partial: chunks of 2, 2 and 1
    told = circuit.read(x, y, jax.random.PRNGKey(0), learn=True)
    after = circuit.get_parameters()
    subject.reset()
    monkeypatch.setattr(circuit, "MINIBATCHES_PER_CALL", 1)
    assert equal(told, circuit.read(x, y, jax.random.PRNGKey(0), learn=True))
    assert equal(after, circuit.get_parameters())


def test_learning_resumes_where_it_stopped(subject, circuit):
    x, y = make_patterns(45)
    circuit.read(x, y, jax.random.PRNGKey(0), learn=True)
    after = circuit.get_parameters()
    subject.reset()
    circuit.read(x[:24], y[:24], jax.random.PRNGKey(0), learn=True)
    assert not equal(after, circuit.get_parameters())
    circuit.read(x, y, jax.random.PRNGKey(0), learn=True, first=24)
    assert equal(after, circuit.get_parameters())


def test_every_parameter_moves_or_is_fixed(subject, circuit):
    x, y = make_patterns(80)
    before = circuit.get_parameters()
    circuit.read(x, y, jax.random.PRNGKey(0), detail=True)
    assert equal(before, circuit.get_parameters()), "without learning nothing moves"
    circuit.read(x, y, jax.random.PRNGKey(0), learn=True)
    after = circuit.get_parameters()
    assert circuit.plastic
    if subject.name not in ADDED:
        assert circuit.plastic & {f"W{n}" for n in circuit.layers}
        assert circuit.plastic <= {f"{kind}{n}" for kind in "WIm" for n in range(len(circuit.sizes))}
    for name in before:
        assert equal(before[name], after[name]) == (name.split(".")[0] not in circuit.plastic), name


def test_what_is_drawn_is_kept(subject):
    """A compartment that a constructor draws is a parameter, or a circuit that is loaded would have another one."""
    kind, config, values = CIRCUITS[subject.name]
    one, other = (kind(jax.random.PRNGKey(seed), 36, 4, config(**values)) for seed in range(2))
    for name, part in one.components.items():
        for what, compartment in part.compartments:
            if what != "key" and not compartment.targeted and f"{name}.{what}" not in one.parameters:
                same = equal(compartment.get(), getattr(other[name], what).get())
                assert same, f"{name}.{what} is drawn and not kept; only `weights` are: see docs/how-to/exhibit.md"


def test_saved_and_loaded_it_predicts_alike(subject, circuit, tmp_path):
    (x, y), key = make_patterns(45), jax.random.PRNGKey(5)
    circuit.read(x, y, jax.random.PRNGKey(0), learn=True)
    expected = circuit.read(x, y, key, detail=True)
    with ParameterStore(tmp_path, keep=1) as store:
        record = Record(Identity(FORMAT, "any", {}, {}, Form(36, None, 4)), Progress())
        store.save(0, {"parameters": circuit.get_parameters()}, record=record)
    subject.reset()
    assert not equal(expected, circuit.read(x, y, key, detail=True))
    with ParameterStore(tmp_path, keep=1) as store:
        _, arrays, _ = store.load({"parameters": circuit.get_parameters()}, 0, lambda record: None)
    circuit.set_parameters(arrays["parameters"])
    assert equal(expected, circuit.read(x, y, key, detail=True))


def test_layers_fire_and_what_is_counted_agrees(subject, circuit):
    (x, y), key = make_patterns(1), jax.random.PRNGKey(5)
    out = circuit.read(np.repeat(x, 16, axis=0), np.repeat(y, 16, axis=0), key, detail=True)
    spikes = circuit.raster(x, y, jax.random.fold_in(key, 0))
    assert list(spikes) == [f"z{n}" for n in range(len(circuit.sizes))]
    for n, cells in enumerate(circuit.sizes):
        assert spikes[f"z{n}"].shape == (circuit.n_steps, cells)
        if f"spikes{n}" in out:
            assert 0 < spikes[f"z{n}"].sum() == out[f"spikes{n}"][0]
    if subject.name not in ADDED:
        assert ("spikes0" in out) == (subject.name not in SILENT)
    if subject.name in SILENT:  # it sends the pixels as they are
        np.testing.assert_array_equal(spikes["z0"], np.repeat(x, circuit.n_steps, axis=0))
    for n in circuit.hidden:
        np.testing.assert_array_equal(spikes[f"z{n}"].sum(axis=0), out[f"onsets{n}"][0])
        assert out[f"rate{n}"].shape == (16, circuit.sizes[n])


def test_the_exhibit_that_readme_teaches_trains(tmp_path):
    data = data_set(400, 60)
    values = DRTP | {"eta_gain": 2.0, "epochs": 4}
    config = DRTPConfig(exp_dir=tmp_path / "exp", **values)
    circuit = DRTP_SNN.for_training(config, data)
    dev = data.dev
    assert dev is not None
    assert interpret(circuit.read(*dev, jax.random.PRNGKey(0)), dev.y).correct.mean() < 0.7
    _, best = fit(circuit, config, data)
    assert best > 0.7


def test_an_exhibit_without_a_hidden_layer_is_analyzed(tmp_path, capsys, monkeypatch):
    @dataclass(frozen=True)
    class Flat(DRTPConfig):
        hid_dim: tuple[int, ...] = ()

        def __post_init__(self):
            TrainingConfig.__post_init__(self)

    files = {f"{name}{part}": tmp_path / f"{name}{part}.npy" for name in ("data", "dev") for part in "XY"}
    arrays = [*make_patterns(60, seed=0), *make_patterns(20, seed=1)]
    for path, array in zip(files.values(), arrays, strict=True):
        np.save(path, array)
    config = Flat(epochs=1, T=20, burn_in=4, exp_dir=tmp_path / "exp", **files)
    data = load_for_training(config)
    fit(DRTP_SNN.for_training(config, data), config, data)
    monkeypatch.setattr(Exhibit, "network", DRTP_SNN)
    exhibit = Exhibit("drtp_snn", "", Flat, AnalysisConfig, "DRTP_SNN", "flat", ())
    analyze(exhibit, AnalysisConfig(exp_dir=tmp_path / "exp"))
    assert "Analysis of the development set, 20 patterns" in capsys.readouterr().out
    pictures = {path.stem for path in (tmp_path / "exp").glob("flat_*.??g")}
    assert {"flat_raster", "flat_potentials", "flat_receptive_fields"} < pictures and not {
        "flat_codes",
        "flat_rates",
    } & pictures
