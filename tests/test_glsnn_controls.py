"""Controls of the GLSNN's feedback: which layers it reaches, and how it changes."""

import jax
import numpy as np
import pytest
from conftest import make_patterns

from exhibits.common.system.places import REPOSITORY
from exhibits.common.system.scripts import load_script
from exhibits.glsnn.alternatives import DirectFeedbackAlignment, FeedbackAlignment
from exhibits.glsnn.config import CircuitConfig
from exhibits.glsnn.controls import RedrawnFeedback, turn_feedback, with_feedback_to
from exhibits.glsnn.model import GLSNN

STUDY = REPOSITORY / "exhibits" / "glsnn" / "studies" / "feedback.py"


def make(kind):
    plain = {"receptive_field": 0, "in_dropout": 0.0, "hid_dropout": 0.0}
    config = CircuitConfig(hid_dim=(24, 20, 18, 16), T=3, init_gain=3.0, batch_size=8, **plain)
    return kind(jax.random.PRNGKey(0), 36, 4, config, 100)


def feedback(circuit):
    return {name: np.array(value) for name, value in circuit.get_parameters().items() if name[0] == "F"}


def test_feedback_reaches_the_chosen_layers_and_the_last():
    circuit = make(with_feedback_to(1, 3))
    assert {part.name for part, _ in circuit.evolve.method_order} == {"W1", "W3", "W4", "W5"}
    assert {name for name in circuit.components if name[0] in "Fe"} == {"F1", "F3", "F4", "e1", "e3", "e4", "e5"}
    start = {name: np.array(value) for name, value in circuit.get_parameters().items() if name.endswith("weights")}
    circuit.read(*make_patterns(16), jax.random.PRNGKey(0), learn=True)
    for n in circuit.layers:
        assert np.any(circuit[f"W{n}"].weights.get() != start[f"W{n}.weights"]) == (n != 2)


def test_feedback_is_drawn_anew_in_each_minibatch_that_teaches():
    circuit = make(RedrawnFeedback)
    x, y = make_patterns(8)
    seen, start = [feedback(circuit)], circuit.get_parameters()
    for seed in (0, 1):
        circuit.read(x, y, jax.random.PRNGKey(seed), learn=True)
        seen.append(feedback(circuit))
    assert list(seen[0]) == ["F1.weights", "F2.weights", "F3.weights"]
    for name in seen[0]:
        for one, other in ((0, 1), (1, 2), (0, 2)):
            a, b = seen[one][name], seen[other][name]
            assert a.shape == b.shape and np.abs(a - b).max() > 0.1
            np.testing.assert_allclose(b @ b.T, np.eye(4), atol=1e-5)
    learned = []
    for seed in (0, 1):  # it is what teaches the layers: without dropout, nothing else differs between keys
        circuit.set_parameters(start)
        circuit.read(x, y, jax.random.PRNGKey(seed), learn=True)
        learned.append(np.array(circuit["W1"].weights.get()))
    assert np.any(learned[0] != learned[1])


def test_half_of_the_signs_turn():
    circuit = make(GLSNN)
    before = circuit.get_parameters()
    turn_feedback(circuit, seed=3)
    for name, value in circuit.get_parameters().items():
        if name[0] == "F":
            ratio = np.asarray(value / before[name])
            assert set(np.unique(ratio)) == {-1, 1} and ratio.sum() == 0
        else:
            jax.tree.map(np.testing.assert_array_equal, value, before[name])


def test_all_layers_are_as_active_before_training_at_the_studys_gain():
    """Spikes per cell in layers 2 to 7 within a factor of 1.5; with orthogonal weights, none beyond the third."""
    x, y = make_patterns(100, n_pixels=784, n_classes=10)
    gain, one = load_script(STUDY).GAINS
    assert gain > one == 1
    config = CircuitConfig(hid_dim=(256,) * 7, receptive_field=0, init_gain=gain)
    circuit = GLSNN(jax.random.PRNGKey(0), 784, 10, config)
    circuit.unroll = 1  # compiles faster
    start, spikes = circuit.get_parameters(), []
    for factor in (1, 1 / gain):
        forward = [f"W{n}.weights" for n in circuit.layers]
        circuit.set_parameters(start | {name: factor * start[name] for name in forward})
        out = circuit.read(x, y, jax.random.PRNGKey(0))
        spikes.append([np.nanmean(out[f"spikes{n}"]) / 256 for n in circuit.hidden])
    alike, fading = spikes
    assert min(alike[1:]) > 1 and max(alike[1:]) < 1.5 * min(alike[1:])
    assert fading[0] > 0.1 and max(fading[3:]) == 0


@pytest.mark.parametrize("kind", [DirectFeedbackAlignment, FeedbackAlignment])
def test_alternatives_carry_the_error_by_fixed_random_synapses(kind):
    circuit = make(kind)
    x, y = make_patterns(8)
    start, random = circuit.get_parameters(), feedback(circuit)
    for matrix in random.values():
        few = matrix if len(matrix) <= len(matrix.T) else matrix.T
        np.testing.assert_allclose(few @ few.T, np.eye(len(few)), atol=1e-5)

    run = circuit.run(start, np.ones((8, 1), np.float32), jax.random.PRNGKey(0), learn=False)
    circuit.begin(run, x, y)
    circuit.forward(run)
    run.once(circuit.feedback)
    signals = {5: y - np.asarray(run[circuit.z[5].rate])}
    for n in (4, 3, 2, 1):
        above = signals[5 if kind is DirectFeedbackAlignment else n + 1]
        signals[n] = above @ random[f"F{n}.weights"] * np.asarray(run[circuit.z[n].sensitivity])
    for n in circuit.layers:
        assert np.any(signals[n])
        np.testing.assert_allclose(run[circuit[f"W{n}"].post], signals[n], atol=1e-5)

    circuit.read(x, y, jax.random.PRNGKey(0), learn=True)
    jax.tree.map(np.testing.assert_array_equal, feedback(circuit), random)
    assert all(np.any(circuit[f"W{n}"].weights.get() != start[f"W{n}.weights"]) for n in circuit.layers)
