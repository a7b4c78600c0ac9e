r"""Backpropagation through the BFA-SNN's own spikes: what its plasticity is compared with.

A minibatch is presented without learning; the spikes, currents and errors are those that the circuit itself makes. For
the cost C = sum (y - s{L+1})^2 / 2 over the steps after burn-in and the patterns, each rule would change the weights of
layer n, L + 1 being the output, by

| plasticity      sum_t s{n-1}(t)^T d{n}(t)   d{n} as in Eq. (8), d{L+1} = e: what the layer learns
| same time step  sum_t s{n-1}(t)^T g{n}(t)   g{L+1} = e,  g{n} = (g{n+1} W{n+1}^T) * f_surr(j{n})
| through time    sum_t s{n-1}(t)^T h{n}(t)   h{L+1} = e,  h{n} = what `through_time` makes of h{n+1} W{n+1}^T

The second has transposed forward weights in place of the feedback and differs in nothing else. The third is -dC/dW by
backpropagation through time, which follows the memory of the membranes too. All take the derivative of the output
spikes with respect to their current as 1, as Eq. (9) does, and leave out the constants c1 c2 of the surrogate. Each e
is 0 during burn-in.
"""

from collections.abc import Callable
from functools import reduce
from typing import NamedTuple

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from exhibits.bfa_snn.config import CircuitConfig
from exhibits.bfa_snn.model import BFA_SNN
from exhibits.common.cells.components import secant_surrogate, steps_per_spike
from exhibits.common.circuit import Run
from exhibits.common.circuit.minibatches import minibatch_of
from exhibits.common.experiment.angles import angle

Directions = dict[str, list[jax.Array]]  # by rule, how the weights of each layer would change


class Angles(NamedTuple):
    """Angles in degrees, for L hidden layers; NaN where one of the two sides is 0.

    Attributes:
        gradient: (L + 1,) of W1, ..., W{L+1}, between plasticity and backpropagation through time.
        instant: (L + 1,) between plasticity and backpropagation at the same time step.
        feedback: (L,) between E{n+1} and the transpose of W{n+1} ... W{L+1}, for each hidden layer n.
    """

    gradient: list[float]
    instant: list[float]
    feedback: list[float]


def through_time(found: jax.Array, s: jax.Array, onset: jax.Array, slope: jax.Array, c: CircuitConfig) -> jax.Array:
    r"""Carries a gradient back through a layer of SLIF cells, from what it sends to the current that it receives.

    With a = dt / tau_m and m = 0 in the refractory steps after a spike, else 1, a cell does at each step

    | v' = (1 - a m) v + a m R j,   onset = v' > thr,   v = (1 - onset) v'

    and sends s = 1 from the onset for r steps. Resets and masks m are taken as given, and f_surr as the derivative
    of the onset with respect to v'. Backwards in time, u(t) = dC/dv'(t):

    | u(t) = f_surr(t) sum_{k < r} dC/ds(t + k) + (1 - onset(t)) (1 - a m(t + 1)) u(t + 1)
    | dC/dj(t) = a m(t) R u(t)

    Args:
        found: (T, B, n) dC/ds.
        s: (T, B, n) what the cells sent.
        onset: (T, B, n) 1 at the step at which a cell fired.
        slope: (T, B, n) f_surr.
        c: constants of the cells.

    Returns:
        (T, B, n) dC/dj.
    """
    a, free = c.dt / c.tau_m, 1.0 - (s - onset)
    lasting = steps_per_spike(c.refract_time, c.dt, len(s))
    caused = sum(jnp.pad(found[k:], ((0, k), (0, 0), (0, 0))) for k in range(lasting))

    def step(later, now):
        caused, onset, slope, free = now
        u = slope * caused + (1.0 - onset) * later
        return (1.0 - a * free) * u, a * c.resist_m * free * u

    return lax.scan(step, jnp.zeros_like(found[0]), (caused, onset, slope, free), reverse=True)[1]


def directions(circuit: BFA_SNN, run: Run, x: jax.Array, y: jax.Array) -> Directions:
    """Presents a minibatch and returns how the weights would change by each rule, downhill in C.

    Args:
        circuit: the network.
        run: the minibatch; it must not learn. The compartments that it watches are replaced.
        x: (B, D) patterns.
        y: (B, C) one-hot labels.

    Returns:
        "plasticity", "instant" and "gradient": for each layer (inputs, cells), before learning rates.
    """
    c, hidden, out = circuit.config, circuit.hidden, circuit.layers[-1]
    everything = np.s_[:]
    watch = {f"s{n}": sent for n, sent in enumerate(circuit.sent[:-1])}
    watch |= {f"d{n}": circuit[f"W{n}"].post for n in circuit.layers}
    watch |= {f"j{n}": circuit[f"W{n}"].outputs for n in hidden}
    watch |= {f"onset{n}": circuit[f"z{n}"].onset for n in hidden}
    run.watch = {name: (compartment, everything) for name, compartment in watch.items()}
    circuit.present(run, x, y)
    seen = run.traces
    learning = (jnp.arange(c.T) >= c.burn_in)[:, None, None]
    local = {n: learning * seen[f"d{n}"] for n in circuit.layers}
    instant, gradient = {out: local[out]}, {out: local[out]}
    for n in reversed(hidden):
        back = run[circuit[f"W{n + 1}"].weights].T
        slope = secant_surrogate(c.resist_m * seen[f"j{n}"], c.surr_c2)
        instant[n] = (instant[n + 1] @ back) * slope
        gradient[n] = through_time(gradient[n + 1] @ back, seen[f"s{n}"], seen[f"onset{n}"], slope, c)

    def changes(signals: dict[int, jax.Array]) -> list[jax.Array]:
        return [jnp.einsum("tbi,tbj->ij", seen[f"s{n - 1}"], signals[n]) for n in circuit.layers]

    return {"plasticity": changes(local), "instant": changes(instant), "gradient": changes(gradient)}


def angles_of(circuit: BFA_SNN) -> Callable[[np.ndarray, np.ndarray, jax.Array], Angles]:
    """A function of patterns (n, D), at most a minibatch, labels (n, C) and a PRNG key; compiled once.

    Its memory grows with T: it keeps what all cells did at every step. The learning-rate schedule does not affect it.

    Raises:
        ValueError: if inhibitory partners send currents too, or means are subtracted, which the gradients leave out.
    """
    if circuit.config.dale:
        raise ValueError("dale=True: expected False; gradients through inhibitory partners are not computed")
    if circuit.config.centre:
        raise ValueError(f"centre={circuit.config.centre}: expected 0; gradients of centred spikes are not computed")

    @jax.jit
    def compute(parameters, x, y, valid, key):
        run = circuit.run(parameters, valid, key, learn=False, n_updates=jnp.inf)
        found = directions(circuit, run, x, y)
        weights = [run[circuit[f"W{n + 1}"].weights] for n in circuit.hidden]
        return found, weights, [run[circuit[f"E{n + 1}"].weights] for n in circuit.hidden]

    def measure(x: np.ndarray, y: np.ndarray, key: jax.Array) -> Angles:
        rows = minibatch_of(x, y, circuit.batch_size)
        found, weights, feedback = jax.device_get(compute(circuit.get_parameters(), *rows, key))
        weights = [w.astype(float) for w in weights]
        forward = [reduce(np.matmul, weights[n:]) for n in range(len(weights))]

        def beside(rule: str) -> list[float]:
            return [angle(*pair) for pair in zip(found["plasticity"], found[rule], strict=True)]

        turned = [angle(e, w.T) for e, w in zip(feedback, forward, strict=True)]
        return Angles(beside("gradient"), beside("instant"), turned)

    return measure
