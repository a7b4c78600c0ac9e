"""Exhibits as a library: opened from a run's folder, in other folders, in a notebook's kernel, in threads."""

import copy
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest
from conftest import data_set, make_patterns
from scipy.sparse import csr_array

from exhibits import UserError
from exhibits.bfa_snn import BFA_SNN
from exhibits.bfa_snn import Config as BFAConfig
from exhibits.common.circuit.seeds import Keys
from exhibits.common.experiment.evaluation import interpret
from exhibits.common.experiment.training import fit
from exhibits.glsnn import GLSNN
from exhibits.glsnn import Config as GLSNNConfig

SMALL = {"hid_dim": (20,), "T": 30, "burn_in": 6, "batch_size": 8, "weight_std": 0.3, "eta": (0.05, 0.05)}
DEEP = {"hid_dim": (20, 15), "batch_size": 8, "eta": 0.02, "receptive_field": 3}
RUNS = {"bfa_snn": (BFA_SNN, BFAConfig, SMALL), "glsnn": (GLSNN, GLSNNConfig, DEEP)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A finished run of each exhibit."""
    found, data = {}, data_set(200, 60)
    for name, (kind, config, values) in RUNS.items():
        found[name] = tmp_path_factory.mktemp("runs") / name
        run = config(exp_dir=found[name], epochs=4, **values)
        fit(kind.for_training(run, data), run, data)
    return found


@pytest.fixture(params=RUNS)
def name(request):
    return request.param


@pytest.fixture
def network(name, folders):
    return RUNS[name][0].load(folders[name])


def test_it_answers_as_the_analysis_does(name, network):
    x, y = make_patterns(60, seed=1)
    out = network.read(x, y, Keys.of(1234).test)
    np.testing.assert_array_equal(network.predict(x), interpret(out, y).label)
    np.testing.assert_allclose(network.predict_proba(x), interpret(out, y).probability, rtol=1e-6)
    assert (network.predict(x) == y.argmax(axis=1)).mean() > 0.7
    np.testing.assert_allclose(network.predict_proba(x, calibrated=True).sum(axis=1), 1)
    assert network._temperature != 1 and np.any(network.predict_proba(x, calibrated=True) != network.predict_proba(x))


def test_asking_never_learns_and_asking_again_changes_nothing(network):
    x, _ = make_patterns(20)
    before = [np.asarray(leaf) for leaf in jax.tree.leaves(network.get_parameters())]
    first = network.predict_proba(x)
    network.record(x[:2], {"v": "z1.v"})
    np.testing.assert_array_equal(first, network.predict_proba(x))
    for one, other in zip(before, jax.tree.leaves(network.get_parameters()), strict=True):
        np.testing.assert_array_equal(one, other)


def test_errors_are_recorded_for_labels_that_are_given(make_circuit):
    network = make_circuit()
    x, y = make_patterns(5)
    out = network.record(x, {"e": "e2.dmu", "s": "z2.s"}, y=y)
    np.testing.assert_array_equal(out["e"], y[:, None] - out["s"])
    bare = network.record(x, {"e": "e2.dmu", "s": "z2.s"})
    np.testing.assert_array_equal(bare["e"], -bare["s"])
    with pytest.raises(UserError, match="3 labels; expected 5"):
        network.record(x, {"e": "e2.dmu"}, y=y[:3])


def test_targets_of_the_hidden_layers_are_recorded_for_labels_that_are_given(folders):
    network, (x, y) = GLSNN.load(folders["glsnn"]), make_patterns(3)
    before = network.get_parameters()["W1.weights"]
    seen = network.record(x, {"e1": "e1.dmu", "e2": "e2.dmu", "target": "F1.outputs", "rate": "z1.rate"}, y=y)
    assert all(np.abs(seen[name]).max() > 0 for name in ("e1", "e2"))
    assert (seen["target"][:, -1] != seen["rate"][:, -1]).any()  # rates are complete at the last step
    other = network.record(x, {"e1": "e1.dmu"}, y=np.roll(y, 1, axis=1))
    assert (other["e1"] != seen["e1"]).any()
    np.testing.assert_array_equal(network.get_parameters()["W1.weights"], before)


def test_currents_of_synapses_with_opposite_signs_add_up(make_circuit):
    x, _ = make_patterns(8)
    for hid_dim in ((20,), (20, 15)):
        net = make_circuit(hid_dim=hid_dim, dale=True, weight_std=1.0)
        for n in net.layers:
            seen = net.record(x, {name: f"{name}{n}.outputs" for name in "WI"} | {"j": f"z{n}.j", "s": f"z{n}.s"})
            np.testing.assert_allclose(seen["j"], seen["W"] + seen["I"], rtol=1e-5, atol=1e-5)
            assert seen["W"].min() >= 0 >= seen["I"].max()
            assert n > 1 or (seen["W"].any() and seen["I"].any() and seen["s"].any())


def test_patterns_in_all_their_forms(network):
    x, _ = make_patterns(5)
    whole = network.predict_proba(x)
    np.testing.assert_array_equal(network.predict_proba(x.reshape(5, 6, 6)), whole)
    np.testing.assert_array_equal(network.predict_proba(x.reshape(5, 6, 6, 1)), whole)
    np.testing.assert_array_equal(network.predict_proba(x[0]), whole[:1])
    np.testing.assert_array_equal(network.predict_proba(x[0].reshape(6, 6)), whole[:1])
    np.testing.assert_array_equal(network.predict_proba(x.tolist()), whole)
    as_bytes = np.round(255 * x).astype(np.uint8)
    np.testing.assert_array_equal(network.predict_proba(as_bytes), network.predict_proba(as_bytes / np.float32(255)))
    with pytest.raises(UserError, match="x: bytes of 0 and 1 alone"):  # the others in a call would decide what they are
        network.predict((x > 0.5).astype(np.uint8))
    np.testing.assert_array_equal(network.predict_proba(x > 0.5), network.predict_proba((x > 0.5).astype(float)))


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.ones((2, 35)), "35 pixels a row; expected 36"),
        (np.ones((2, 5, 7)), "35 pixels a row"),
        (np.ones((2, 4, 9)), "pictures of 4 x 9; expected 6 x 6"),
        (2 * np.ones((2, 36)), "values from 2 to 2; expected all in [0, 1]"),
        (-np.ones((2, 36)), "values from -1 to -1"),
        (np.full((2, 36), np.nan), "72 NaN or infinite values"),
        ([[0.1] * 36, [0.2] * 35], "rows of different lengths"),
        (np.ones((0, 36)), "expected numbers in [0, 1], (N, 36)"),
        (np.array([["a"] * 36]), "expected numbers"),
        (None, "expected numbers"),
        (np.ma.masked_greater(np.full((2, 36), 0.5), 0.4), "masked values; expected a number everywhere"),
    ],
)
def test_unfit_patterns(network, x, said):
    for ask in (network.predict, network.predict_proba, lambda x: network.record(x, {"v": "z1.v"})):
        with pytest.raises(UserError) as error:
            ask(x)
        assert said in str(error.value) and str(error.value).startswith("x: ")


def test_what_is_recorded_is_what_happened(name, network):
    x, y = make_patterns(11)  # more than a minibatch
    T, hidden = network.n_steps, network.sizes[1]
    spikes = "onset" if name == "bfa_snn" else "s"
    seen = network.record(x, {"v": "z1.v", "s": f"z1.{spikes}", "j": "z1.j"})
    assert {key: value.shape for key, value in seen.items()} == dict.fromkeys(("v", "s", "j"), (11, T, hidden))
    out = network.read(x, y, Keys.of(1234).test, detail=True)
    np.testing.assert_array_equal(seen["s"].sum(axis=1), out["onsets1"])
    assert seen["s"].sum() > 0 and np.ptp(seen["v"]) > 0 and np.ptp(seen["j"]) > 0
    some = network.record(x, {"v": "z1.v"}, cells=[0, 5, 9])
    np.testing.assert_array_equal(some["v"], seen["v"][:, :, [0, 5, 9]])
    raster = network.raster(x[:1], y[:1], jax.random.fold_in(Keys.of(1234).test, 0), v=network["z1"].v)
    for name, values in (("z1", seen["s"]), ("v", seen["v"])):
        np.testing.assert_array_equal(raster[name], values[0])


def test_the_same_recording_is_compiled_once_and_follows_the_weights(make_circuit, monkeypatch):
    network, made = make_circuit(), []
    tracer = type(network).tracer
    monkeypatch.setattr(type(network), "tracer", lambda self, watch: made.append(watch) or tracer(self, watch))
    x, _ = make_patterns(3)
    first = network.record(x, {"j": "z1.j"}, cells=[0, 1])
    weights = network.get_parameters()
    network.set_parameters(weights | {"W1.biases": weights["W1.biases"] + 1.0})
    again = network.record(x, {"j": "z1.j"}, cells=[0, 1])
    np.testing.assert_allclose(again["j"], first["j"] + 1.0, atol=1e-5)
    assert len(made) == 1
    assert network.record(x, {"j": "z1.j"}, cells=[2])["j"].shape == (3, 30, 1) and len(made) == 2
    assert network.record(x, {}, cells=3) == {}
    copy.copy(network)


BAD_CELLS = ([20], [-1], [2.9], [True, False], [], 3, "all")


def test_what_cannot_be_recorded(network):
    x, _ = make_patterns(1)
    for where, cells, said in (
        ("z9.v", None, "z9.v: no compartment; expected one such as"),
        ("z1.voltage", None, "expected one such as z1."),
        ("z1", None, "no compartment"),
        ("W1.weights", None, "W1.weights: has no value for each pattern"),
        ("W1.biases", None, "W1.biases: has no value for each pattern"),
        *(("z1.v", cells, "expected numbers of cells, 0 to 19, as z1.v has 20") for cells in BAD_CELLS),
    ):
        with pytest.raises(UserError) as error:
            network.record(x, {"a": where}, cells=cells)
        assert said in str(error.value)


def test_it_learns_further(name, network, folders):
    x, y = make_patterns(200)
    turned = np.roll(y, 1, axis=1)  # other names for the classes
    for _ in range(6):
        network.learn(x, turned)
    test, labels = make_patterns(60, seed=1)
    assert (network.predict(test) == (labels.argmax(axis=1) + 1) % 4).mean() > 0.7
    again = RUNS[name][0].load(folders[name])
    for _ in range(6):
        again.learn(x.reshape(-1, 6, 6), turned.argmax(axis=1))
    np.testing.assert_array_equal(again.predict_proba(test), network.predict_proba(test))
    with pytest.raises(UserError, match="y: 3 labels; expected 200"):
        network.learn(x, [0, 1, 2])
    with pytest.raises(UserError, match="y: has masked values"):
        network.learn(x[:2], np.ma.array([0, 1], mask=[False, True]))
    with pytest.raises(UserError, match="labels 7; expected"):
        network.learn(x[:1], [7])
    for y in (None, "a", [[[1]]], []):
        with pytest.raises(UserError, match=r"^y: "):
            network.learn(x[:1], y)
    network.learn(x[0], 2).learn(x[0], np.eye(4)[2])
    assert repr(network).endswith(", then on 1202 more patterns)")


def test_noise_is_new_each_time_that_it_learns(make_circuit):
    network, (x, y), learnt = make_circuit(), make_patterns(8), set()
    start = network.get_parameters()
    for _ in range(3):
        network.set_parameters(start)
        learnt.add(np.asarray(network.learn(x, y).get_parameters()["W1.weights"]).tobytes())
    assert len(learnt) == 3


def test_a_network_that_was_not_loaded_learns_at_the_initial_rates_too():
    config = GLSNNConfig(hid_dim=(20,), batch_size=8, eta=0.02, receptive_field=3)
    network, (x, y) = GLSNN(jax.random.PRNGKey(0), 36, 4, config), make_patterns(8)
    moved, before = [], network.get_parameters()
    for _ in range(3):
        after = network.learn(x, y).get_parameters()
        moved.append(np.abs(after["W2.weights"] - before["W2.weights"]).max())
        before = after
    assert min(moved) > 0.25 * max(moved) > 0  # the cosine schedule would have ended after the first minibatch


def test_weights_that_diverge_are_refused_and_left_as_they_were(make_circuit):
    network, (x, y) = make_circuit(eta=(1e38, 1e38)), make_patterns(16)
    before = network.get_parameters()
    with pytest.raises(FloatingPointError, match=r"W2\..* diverged"):
        network.learn(x, y)
    for name, value in network.get_parameters().items():
        np.testing.assert_array_equal(value, before[name])
    assert np.isfinite(network.predict_proba(x)).all() and "further" not in repr(network)


def test_weights_are_no_patterns_even_of_as_many_cells(make_circuit):
    network = make_circuit(hid_dim=(8,), batch_size=8)
    with pytest.raises(UserError, match=r"W2\.weights: has no value for each pattern"):
        network.record(make_patterns(8)[0], {"w": "W2.weights"})


def test_networks_are_pickled_and_copied(network):
    x, y = make_patterns(16)
    expected, said = network.predict_proba(x, calibrated=True), repr(network)
    others = pickle.loads(pickle.dumps(network)), copy.deepcopy(network), copy.copy(network)
    for other in others:
        np.testing.assert_array_equal(other.predict_proba(x, calibrated=True), expected)
        assert repr(other) == said and other is not network
        other.learn(x, np.roll(y, 1, axis=1))
    np.testing.assert_array_equal(network.predict_proba(x, calibrated=True), expected)
    network.learn(x, np.roll(y, 1, axis=1))
    for other in others:
        np.testing.assert_array_equal(other.predict_proba(x.reshape(-1, 6, 6)), network.predict_proba(x))


def test_parameters_that_do_not_fit(network):
    start = network.get_parameters()
    for values, said in (
        ({}, "missing"),
        (start | {"Wx.weights": 1}, "Wx.weights: unknown; expected W1.weights"),
        (start | {"W1.weights": start["W1.weights"].T}, "W1.weights: shape (20, 36); expected (36, 20)"),
        (start | {"W1.weights": 0.0}, "W1.weights: shape (); expected (36, 20)"),
        (start | {"W1.biases": start["W1.biases"] * np.nan}, "W1.biases: has NaN or infinity; expected finite"),
    ):
        with pytest.raises(ValueError) as error:
            network.set_parameters(values)
        assert said in str(error.value)
    network.set_parameters(start)


def test_compartments_are_named(network):
    for wrong in (["z1.v"], "z1.v", {"v": None}):
        with pytest.raises(UserError, match=r"compartments .*expected names, such as"):
            network.record(make_patterns(1)[0], wrong)
    with pytest.raises(UserError, match=r"x: a sparse csr_array; expected dense patterns, such as x\.toarray\(\)"):
        network.predict(csr_array(make_patterns(1)[0]))
    with pytest.raises(UserError, match="3: expected the folder of a run"):
        type(network).load(3)


def test_it_says_what_it_is(name, network, make_circuit):
    said = {
        "bfa_snn": (
            "BFA_SNN(36-20-4, synapses event; trained on mnist, epoch ",
            " of 4; recipe page with eta 0.05 ",
        ),
        "glsnn": ("GLSNN(36-20-15-4; trained on mnist, epoch ", " of 4; recipe mnist with "),
    }
    assert all(part in repr(network) for part in said[name]), repr(network)
    assert repr(make_circuit()) == "BFA_SNN(36-20-4, synapses event; untrained)"


def test_folders_that_cannot_be_loaded(name, folders, tmp_path):
    kind, other = RUNS[name][0], folders["glsnn" if name == "bfa_snn" else "bfa_snn"]
    for folder, said in (
        (tmp_path, "config.json"),
        (tmp_path / "none", "config.json"),
        (other, f"expected one of {name}"),
    ):
        with pytest.raises(UserError) as error:
            kind.load(folder)
        assert str(folder) in str(error.value) and said in str(error.value)


BLOCK = """
import sys, threading
import numpy as np
argv = list(sys.argv)
from exhibits.bfa_snn import BFA_SNN, Config
assert sys.argv == argv
x = np.random.default_rng(0).random((3, 6, 6), np.float32)

def use():
    net = BFA_SNN.load(FOLDER)
    assert net.predict(x).shape == (3,) and net.predict_proba(x[0]).shape == (1, 4)
    seen = net.record(x, {"v": "z1.v", "s": "z1.s"}, cells=[0, 5, 9])
    assert seen["v"].shape == (3, net.n_steps, 3)
    net.learn(x, [0, 1, 2])
    print(net)

use()
thread = threading.Thread(target=use)
thread.start()
thread.join()
"""


def test_the_block_of_the_readme_runs_in_another_folder_and_in_a_thread(folders, tmp_path):
    code = BLOCK.replace("FOLDER", repr(str(folders["bfa_snn"])))
    done = subprocess.run([sys.executable, "-c", code, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("BFA_SNN(36-20-4") == 2 and not list(tmp_path.iterdir())


def test_networks_are_asked_in_threads(name, folders):
    kind, (x, _) = RUNS[name][0], make_patterns(20)
    expected = kind.load(folders[name]).predict_proba(x)
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(lambda _: kind.load(folders[name]).predict_proba(x), range(3)):
            np.testing.assert_array_equal(found, expected)
