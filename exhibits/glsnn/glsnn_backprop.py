"""Backpropagation through the GLSNN's own cascade, by JAX's autodiff: what local plasticity is measured against.

The same cells, weights, dropout and Adam; only how the error reaches the hidden layers differs. The gradients are
those of C = |r_L - y|^2 / 2 by every weight, from layer to layer through the transposed weights and backwards through
time, with the same triangular surrogate for the derivative of a spike and the resets taken as given. As in the GLSNN,
the derivative of the output rates by their currents is taken as 1: with the surrogate there too, output cells that
start far below threshold have no gradient and stay silent.
"""

from functools import partial

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from exhibits.common.simulation import run_once
from glsnn_components import triangular_surrogate
from glsnn_model import GLSNN


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def spike(x: jax.Array, a: float) -> jax.Array:
    """1 where the membrane potential minus threshold x, mV, is above 0; its derivative is the surrogate of height a."""
    return (x > 0.0).astype(jnp.float32)


@spike.defjvp
def _spike_jvp(a, primals, tangents):
    (x,), (dx,) = primals, tangents
    return spike(x, a), triangular_surrogate(x, a) * dx


def cascade(circuit: GLSNN, weights: list, rate: jax.Array, gates: list) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The forward phase as a function that autodiff can pass through.

    Args:
        circuit: whose constants to use.
        weights: (weights (n, m), biases (1, m)) of each layer.
        rate: (B, D) rates of the input.
        gates: (B, n) gain of each hidden layer.

    Returns:
        Rates, spike counts and membrane potentials (mV) of the output layer, each (B, C); the rates' derivative by
        the current is 1.
    """
    c = circuit.config
    for (w, b), gate in zip(weights, [*gates, 1.0], strict=True):
        j = rate @ w + b

        def step(carry, _, j=j):
            v, count = carry
            v = v + c.dt / c.tau_m * (j - v)
            s = spike(v - c.thr, c.surr_a)
            return (v * (1.0 - lax.stop_gradient(s)), count + s), None

        zeros = jnp.zeros_like(j)
        (v, count), _ = lax.scan(step, (zeros, zeros), length=c.T, unroll=circuit.unroll)
        rate = gate * (count / c.T)
    return j + lax.stop_gradient(rate - j), count, v


def gradients(circuit: GLSNN, state) -> tuple[list, tuple[jax.Array, jax.Array]]:
    """Gradients of the cost by (weights, biases) of each layer, summed over the minibatch that `state` begins with.

    Returns:
        The gradients, 0 where there is no synapse; spike counts and membrane potentials (mV) of the output layer.
    """
    error = circuit[f"e{circuit.layers[-1]}"]
    y, valid = state[error.target.target], state[error.modulator.target]
    gates = [state[circuit[f"z{n}"].gate.target] for n in circuit.hidden]
    parts = [(circuit[f"W{n}"].weights.target, circuit[f"W{n}"].biases.target) for n in circuit.layers]

    def cost(weights):
        rate, count, v = cascade(circuit, weights, state[circuit.rate[0].target], gates)
        return 0.5 * jnp.sum(valid * jnp.square(rate - y)), (count, v)

    found, answer = jax.grad(cost, has_aux=True)([(state[w], state[b]) for w, b in parts])
    masks = [state[circuit[f"W{n}"].mask.target] for n in circuit.layers]
    return [(mask * dw, db) for mask, (dw, db) in zip(masks, found, strict=True)], answer


class BackpropGLSNN(GLSNN):
    """The GLSNN's cells and synapses, taught by backpropagation instead; its feedback F has no part in it."""

    def present(self, state, x, y, valid, key, *, learn, detail):
        if not learn:
            return super().present(state, x, y, valid, key, learn=learn, detail=detail)
        state, _ = self._begin(state, x, y, valid, key, learn)
        found, (count, v) = gradients(self, state)
        for n, gradient in zip(self.layers, found, strict=True):
            synapse = self[f"W{n}"]
            parts = [part.target for part in (synapse.weights, synapse.biases, synapse.opt_params)]
            new = synapse.adam(*(state[part] for part in parts), gradient, state[synapse.eta.target])
            state |= dict(zip(parts, new, strict=True))
        return state, self._answer(count, v)


def angles(circuit: GLSNN, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Angle between what each layer learns from a minibatch by local plasticity and by backpropagation.

    Args:
        circuit: with feedback to all of its hidden layers.
        x: (n, D) patterns, at most as many as the circuit's batch size.
        y: (n, C) one-hot labels.

    Returns:
        (L + 1,) degrees between the two updates of W1, ..., W{L+1}, before Adam; below 90, both lower the cost.
        Not a number for a layer of which one of them is 0.
    """
    padding = ((0, circuit.batch_size - len(x)), (0, 0))
    x, y, valid = (np.pad(rows, padding) for rows in (x, y, np.ones((len(x), 1), np.float32)))

    def measure(state):
        state, _ = circuit._begin(state, x, y, valid, jax.random.PRNGKey(0))
        true = [dw for dw, _ in gradients(circuit, state)[0]]
        state, _ = circuit._forward(state)
        state = run_once(state, [circuit.feedback], 0.0, circuit.dt)
        synapses = [circuit[f"W{n}"] for n in circuit.layers]
        local = [-state[s.mask.target] * (state[s.pre.target].T @ state[s.post.target]) for s in synapses]
        cosines = [jnp.vdot(a, b) / (jnp.linalg.norm(a) * jnp.linalg.norm(b)) for a, b in zip(true, local, strict=True)]
        return jnp.degrees(jnp.arccos(jnp.clip(jnp.stack(cosines), -1.0, 1.0)))

    return np.asarray(jax.jit(measure)(circuit.state()))
