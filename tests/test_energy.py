"""Operations and energy of a pattern, by hand and against recorded spikes, and the study that compares them."""

import json
from typing import Any

import jax
import msgspec
import numpy as np
import pytest
from conftest import make_patterns, presented
from matplotlib.figure import Figure

from exhibits.common.data.datasets import MNIST
from exhibits.common.data.loading import digest_of
from exhibits.common.experiment.studies import run_study
from exhibits.common.report.energy import Load
from exhibits.common.system.places import REPOSITORY
from exhibits.common.system.scripts import load_script
from exhibits.glsnn.config import CircuitConfig
from exhibits.glsnn.model import GLSNN

STUDY = REPOSITORY / "studies" / "energy.py"


def test_energy_by_hand():
    load = Load((3, 4, 2), (12, 8), lit=5, spikes={0: 10, 1: 6, 2: 1}, active={0: 2, 1: 3, 2: 1}, steps=5)
    assert [load.layer(n).weights for n in (0, 1)] == [10 * 4, 6 * 2] and load.hidden == 6
    everything = load.spiking(additions=3)
    updates = 5 * (4 + 2)
    assert (everything.additions, everything.multiplications) == (40 + 12 + 3 * updates, updates)
    assert everything.microjoules == pytest.approx(1e-6 * (0.9 * 142 + 3.7 * 30))
    assert everything.with_memory == pytest.approx(everything.microjoules + 5e-6 * (40 + 12))
    assert load.spiking(3, per_spike=4).additions == 142 + 3 * 12  # the pixels are sent once at a spike all the same
    assert load.dense().microjoules == pytest.approx(20 * 4.6e-6)
    assert (load.masked(), load.skipping().weights) == (load.dense(), 5 + 8)


def test_energy_of_pixels_sent_as_numbers_by_hand():
    load = Load((3, 4, 2), (6, 8), lit=5, spikes={1: 6, 2: 1}, active={1: 3, 2: 1}, steps=10)
    first = load.layer(0)
    assert (first.additions, first.multiplications, first.weights) == (5, 5, 5)
    assert load.spiking(2).multiplications == 5 + 10 * 6
    assert load.rates(2).weights == 5 + 3 * 2  # each of 3 cells sends one number to 2 cells
    assert [each().weights for each in (load.dense, load.masked, load.skipping)] == [20, 14, 13]


@pytest.mark.parametrize("name", ["bfa_snn", "dale", "glsnn"])
def test_the_load_is_that_of_the_raster(name, make_circuit):
    x, y = make_patterns(1)
    x[:, ::3] = 0
    if name != "glsnn":
        circuit = make_circuit(thr=0.02, dale=name == "dale")
    else:
        config = CircuitConfig(hid_dim=(30, 20), receptive_field=3, thr=0.02, T=6, batch_size=8)
        circuit = GLSNN(jax.random.PRNGKey(1), 36, 4, config)
    load = Load.of(circuit, x, presented(circuit, x, y).activity)
    raster = circuit.raster(x, y, jax.random.fold_in(jax.random.PRNGKey(0), 0))
    spiking = range(name == "glsnn", len(circuit.sizes))
    assert load.spikes == {n: raster[f"z{n}"].sum() for n in spiking}
    assert load.active == {n: pytest.approx(raster[f"z{n}"].any(axis=0).sum()) for n in spiking}
    assert load.spikes[1] > load.active[1] > 0
    reached = np.asarray(circuit["W1"].weights.get()) != 0  # all of them, or those of the receptive fields
    if name == "dale":
        reached = 2 * reached  # by the inhibitory partners too
        assert load.synapses[1] == 2 * load.sizes[1] * load.sizes[2]
    assert (load.synapses[0], load.lit) == (reached.sum(), reached[x[0] > 0].sum())
    assert load.steps == circuit.config.T and load.sizes == (36, *circuit.config.hid_dim, 4)
    assert msgspec.convert(json.loads(msgspec.json.encode(load)), Load, strict=False) == load


def test_receptive_fields_of_pixels_that_spike_are_refused():
    config = CircuitConfig(hid_dim=(30,), receptive_field=3, encoder="bernoulli", in_dropout=0.0, T=6, batch_size=8)
    circuit = GLSNN(jax.random.PRNGKey(1), 36, 4, config)
    x, y = make_patterns(1)
    with pytest.raises(ValueError, match="receptive fields of pixels that spike"):
        Load.of(circuit, x, presented(circuit, x, y).activity)


def test_pages_of_some_rows_and_of_other_data(tmp_path):
    study = load_script(STUDY)
    rows = run_study(STUDY, study.grid(study.Study()), study.Study(plot_only=True), study.Row)
    some = [row for row in rows if row["task"].get("pretrained") != "mnist"]
    assert "`page`" in study.table(some) and "`mnist`" not in study.table(some)
    for stem in ("train", "valid"):
        for part, array in zip("XY", make_patterns(8), strict=True):
            np.save(tmp_path / f"{stem}{part}.npy", array)
    assert not any("pretrained" in task for task in study.grid(study.Study(data=tmp_path)))


def test_study_trains_and_opens_networks(tmp_path):
    study = load_script(STUDY)
    for stem, n, seed in (("train", 64, 0), ("valid", 32, 1)):
        for part, array in zip("XY", make_patterns(n, seed=seed), strict=True):
            np.save(tmp_path / f"{stem}{part}.npy", array)
    own = {"data": str(tmp_path), "data_sha256": digest_of(tmp_path), "seed": 5, "epochs": 1}
    trained = study.run(own | {"exhibit": "bfa_snn", "recipe": "best", "hid_dim": [9], "T": 10, "thr": 0.2})
    assert trained["load"]["sizes"] == (36, 9, 4) and trained["load"]["steps"] == 10
    mnist = {"data": str(MNIST), "data_sha256": digest_of(MNIST), "seed": 5, "epochs": 0, "patterns": 300}
    task = {"exhibit": "glsnn", "pretrained": "mnist", "T": 10, "thr": 0.5}
    row = {"task": task, **study.run(mnist | task)}
    assert row["acc"][0] > 0.95 and study.load(row).synapses == (800 * 14 * 14, 800 * 800, 800 * 800, 8000)
    assert 0 < study.energy(row) < study.load(row).dense().microjoules


def test_figure_of_the_study():
    study = load_script(STUDY)
    rows = run_study(STUDY, study.grid(study.Study()), study.Study(plot_only=True), study.Row)
    left, right = study.draw(rows).axes
    assert [len(axes.containers) for axes in (left, right)] == [2, 2]  # of both exhibits, what was trained
    dense = [line.get_xdata()[0] for line in left.get_lines() if len(set(line.get_xdata())) == 1]
    assert {round(float(x), 2) for x in dense} >= {round(4.6e-6 * n, 2) for n in (794_000, 1_915_200)}


def test_bars_of_the_figure_are_the_deviations_of_what_they_lie_along():
    axes: Any = Figure().subplots()
    points = {10: [{"task": {"epochs": 5}, "acc": [acc], "x": x} for acc, x in ((0.90, 1.0), (0.96, 2.0))]}
    style = {"color": "black", "marker": "o", "markersize": 5}
    load_script(STUDY).draw_curves(axes, {"trained": points}, lambda row: row["x"], "T = {:g}", "GLSNN", style)
    across, up = (bars.get_segments()[0] for bars in axes.containers[0].lines[2])
    np.testing.assert_allclose(across, [[1.5 - 0.5**0.5, 93], [1.5 + 0.5**0.5, 93]])
    np.testing.assert_allclose(up, [[1.5, 93 - 18**0.5], [1.5, 93 + 18**0.5]])
    assert [text.get_text() for text in axes.texts] == ["T = 10"]


@pytest.mark.parametrize(("exhibit", "network", "T", "thr"), [("bfa_snn", "page", 25, 0.5), ("glsnn", "mnist", 4, 0.6)])
def test_pretrained_networks_are_opened_with_the_steps_and_the_threshold_of_the_task(exhibit, network, T, thr):
    study = load_script(STUDY)
    task = {"exhibit": exhibit, "pretrained": network, "T": T, "thr": thr}
    circuit = study.circuit_of(task, None)
    assert (circuit.config.T, circuit.config.thr) == (T, thr)
    assert np.all(circuit["z1"].thr == thr if exhibit == "glsnn" else circuit["z1"].thr.get() == np.float32(thr))
    assert getattr(circuit.config, "burn_in", 5) == 5  # a fifth of the steps, as at T = 100
