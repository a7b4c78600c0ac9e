"""Numbers of every kind of circuit, as the first simulation core gave them: a new core or a refactoring keeps them.

`numbers.json` holds, for small circuits that learned three times from the same 90 patterns, the mean size of every
parameter before and after, and the mean readouts of every class. On the machine that wrote it they were compared bit by
bit, whole; here they may differ as far as rounding on another processor can move them. Those of equilibrium propagation
are newer: it had learned from the padding of the last, partial minibatch.
"""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import make_patterns

from exhibits.bfa_snn.config import CircuitConfig as BFAConfig
from exhibits.bfa_snn.model import BFA_SNN
from exhibits.equilibrium.model import EquilibriumConfig, EquilibriumNetwork
from exhibits.glsnn.backprop import BackpropGLSNN
from exhibits.glsnn.config import CircuitConfig as GLSNNConfig
from exhibits.glsnn.model import GLSNN

EXPECTED = json.loads((Path(__file__).parent / "numbers.json").read_text())
BEST = {"input_gain": 0.5, "eta_gain": 64.0, "schedule": "cosine", "resist_m": 20.0, "weight_std": 0.015}
BFA = {"hid_dim": (20,), "T": 30, "burn_in": 6, "batch_size": 8, "weight_std": 0.3, "input_gain": 0.5}
DEEP = {"hid_dim": (24, 20, 16), "batch_size": 8, "receptive_field": 0, "eta": 0.01}
CASES = {
    "bfa-T300": (BFA_SNN, BFAConfig, BFA | {"T": 300}),
    "gl": (GLSNN, GLSNNConfig, DEEP),
    "gl-rf": (GLSNN, GLSNNConfig, DEEP | {"receptive_field": 4}),
    "gl-bern": (GLSNN, GLSNNConfig, DEEP | {"encoder": "bernoulli"}),
    "gl-1": (GLSNN, GLSNNConfig, DEEP | {"hid_dim": (20,)}),
    "gl-const": (GLSNN, GLSNNConfig, DEEP | {"schedule": "constant", "in_dropout": 0.0, "hid_dropout": 0.0}),
    "gl-nf": (GLSNN, GLSNNConfig, DEEP | {"n_feedback": 0}),
    "gl-bp": (BackpropGLSNN, GLSNNConfig, DEEP | {"receptive_field": 4}),
    "eq": (EquilibriumNetwork, EquilibriumConfig, {"hid_dim": (20, 18), "n_free": 30, "batch_size": 8}),
}
for synapses in ("dense", "event"):
    values = BFA | {"synapses": synapses}
    CASES |= {
        f"bfa-{synapses}-{len(hid_dim)}": (BFA_SNN, BFAConfig, values | {"hid_dim": hid_dim})
        for hid_dim in ((20,), (20, 18), (20, 18, 16))
    }
    CASES |= {
        f"bfa-{synapses}-rate": (BFA_SNN, BFAConfig, values | {"encoder": "rate", "hid_dim": (20, 18)}),
        f"bfa-{synapses}-best": (BFA_SNN, BFAConfig, values | BEST),
        f"bfa-{synapses}-noburn": (BFA_SNN, BFAConfig, values | {"burn_in": 0, "batch_size": 40, "refract_time": 0.0}),
    }
QUICK = ("bfa-dense-2", "bfa-event-best", "bfa-event-rate", "gl-rf", "gl-bern", "gl-nf", "gl-bp", "eq")


def test_every_case_is_there():
    assert CASES.keys() == EXPECTED.keys()


@pytest.mark.parametrize("case", [pytest.param(c, marks=[] if c in QUICK else pytest.mark.slow) for c in CASES])
def test_numbers_are_those_of_the_first_core(case):
    (kind, config, values), expected = CASES[case], EXPECTED[case]
    n_updates = 1 if kind is EquilibriumNetwork else 40
    circuit = kind(jax.random.PRNGKey(3), 36, 4, config(**values), n_updates)
    x, y = make_patterns(90)

    def sizes():
        parameters = circuit.get_parameters()
        learned = {name: value for name, value in parameters.items() if name.endswith(("weights", "biases"))}
        return {name: float(np.abs(value).mean()) for name, value in learned.items()}

    compare(sizes(), expected["initial"], rtol=1e-5)
    for epoch in range(3):
        circuit.read(x, y, jax.random.PRNGKey(epoch), learn=True)
    compare(sizes(), expected["learnt"], rtol=1e-3)
    out = circuit.read(x, y, jax.random.PRNGKey(9))
    for name in ("count", "logit"):
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(out[name].mean(axis=0), expected[name], rtol=1e-2, atol=1e-2 * scale, err_msg=name)


def compare(found, expected, rtol):
    assert found.keys() == expected.keys()
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=rtol, atol=1e-7, err_msg=name)
