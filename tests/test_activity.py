"""Activity of layers, by hand, and which layers are dead."""

from functools import partial

import jax
import numpy as np
from conftest import make_patterns
from jax import numpy as jnp

from exhibits.common.circuit.activity import ROWS, Activity, dead_layers, layer_readouts, mean_activity
from exhibits.common.experiment.evaluation import interpret


def means(**layers):
    """Means of layers by hand: z1=(silent, every step, silent patterns)."""
    return {
        name: {"spikes_per_pattern": 1.0, "silent": silent, "every_step": every, "silent_patterns": patterns}
        for name, (silent, every, patterns) in layers.items()
    }


def test_layer_readouts_by_hand():
    onsets = jnp.array([[0, 3, 1, 0], [0, 0, 0, 0]])
    every = jnp.array([[False, True, False, False], [False, False, False, False]])
    out = layer_readouts(2, onsets, every, batch_size=3)
    assert {name: value[:2].tolist() for name, value in out.items()} == {
        "spikes2": [4.0, 0.0], "silent2": [0.5, 1.0], "every2": [0.25, 0.0],
    }  # fmt: skip
    assert all(np.isnan(value[2]) and value.shape == (3,) for value in out.values())


def test_means_by_hand():
    layer = Activity(np.array([4.0, 0.0]), np.array([0.5, 1.0]), np.array([0.25, 0.0]))
    assert mean_activity({"z1": layer}) == {
        "z1": {"spikes_per_pattern": 2.0, "silent": 0.75, "every_step": 0.125, "silent_patterns": 0.5}
    }


def test_dead_layers_are_named_with_what_to_change():
    found = dead_layers(
        means(z0=(0.8, 0, 0), z1=(0.3, 0, 0), z2=(0.9964, 0, 0.5), z3=(1, 0, 1), z4=(0, 0.99, 0), z5=(1, 0, 1))
    )
    assert list(found) == ["z2", "z3", "z4", "z5"]
    assert found["z2"].startswith("z2 is silent, 99.6 % of its cells are: lower the threshold")
    assert found["z3"] == "z3 is silent, 100 % of its cells are: no spikes come from z2"
    assert found["z4"].startswith("z4 fires at every step, 99 % of its cells do: raise the threshold")
    assert found["z5"].startswith("z5 is silent, for 100 % of the patterns: lower the threshold")
    assert all("\n" not in line for line in found.values())
    assert dead_layers(means(z1=(0.9999, 0, 0), z2=(0, 0, 0)))["z1"].startswith("z1 is silent, 99.9 % of its cells are")


def test_healthy_layers_are_not_named():
    assert dead_layers(means(z0=(0.8, 0, 0), z1=(0.98, 0.98, 0.9), z2=(0.9, 0.1, 0))) == {}
    # Of 200 classes one fires at every step and the others are silent; most of a sparse input is 0.
    assert dead_layers(means(z0=(0.999, 0, 0), z1=(0.5, 0, 0), z10=(0.995, 0.005, 0))) == {}


def test_before_training_silence_is_usual_but_for_the_input():
    fresh = means(z0=(1, 0, 1), z1=(1, 0, 1), z2=(0, 1, 0), z3=(1, 0, 1))
    found = dead_layers(fresh, trained=False)
    assert list(found) == ["z0", "z2", "asleep"]
    assert found["asleep"] == "hardly a cell of z1, z3 spikes, as is usual; learning should wake them up"
    assert found["z0"] == "z0 is silent, for 100 % of the patterns: nearly all numbers in the patterns are 0"


def dead(circuit, x, y):
    out = circuit.read(x, y, jax.random.PRNGKey(1))
    return dead_layers(mean_activity(interpret(out, y).activity), circuit.ADVICE)


def test_in_training_activity_is_that_of_the_first_patterns_of_each_minibatch(make_circuit):
    circuit = make_circuit(batch_size=40, weight_std=1.0)
    x, y = make_patterns(90)
    read = partial(circuit.read, x, y, jax.random.PRNGKey(1))
    whole, some = (interpret(read(detail=detail), y).activity for detail in (True, False))
    shown = np.arange(90) % 40 < ROWS
    assert list(whole) == list(some) == ["z0", "z1", "z2"]
    assert whole["z0"].spikes.sum() > 0 and whole["z1"].spikes.sum() > 0
    for layer in whole:
        assert len(whole[layer].spikes) == 90
        for name in ("spikes", "silent", "every"):
            np.testing.assert_array_equal(getattr(whole[layer], name)[shown], getattr(some[layer], name))


def test_a_threshold_out_of_reach(make_circuit):
    circuit = make_circuit(hid_dim=(20,) * 5, thr=40.0)
    x, y = make_patterns(40)
    circuit.read(x, y, jax.random.PRNGKey(0), learn=True)
    found = dead(circuit, x, y)
    assert list(found) == ["z1", "z2", "z3", "z4", "z5", "z6"]
    assert "z1 is silent, 100 % of its cells are: lower --thr, raise --weight_std" in found["z1"]


def test_weights_far_too_large(make_circuit):
    circuit = make_circuit(hid_dim=(20,) * 5, refract_time=50.0)
    start = circuit.get_parameters()
    circuit.set_parameters(start | {f"W{n}.weights": 1e3 + 0 * start[f"W{n}.weights"] for n in circuit.layers})
    found = dead(circuit, *make_patterns(40))
    assert list(found) == ["z1", "z2", "z3", "z4", "z5", "z6"]
    assert found["z3"] == "z3 fires at every step, 100 % of its cells do: raise --thr, or lower --eta_gain (or --eta)"
