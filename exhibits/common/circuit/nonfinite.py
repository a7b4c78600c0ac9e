"""Which compartment held the first NaN or infinity, and when: a search that runs a circuit uncompiled."""

from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from jax.core import Tracer

from exhibits.common.circuit.circuit import Circuit
from exhibits.common.circuit.minibatches import minibatch_of
from exhibits.common.circuit.run import State, path


class NotFiniteError(ArithmeticError):
    """A compartment holds a NaN or an infinity."""


def first_not_finite(
    circuit: Circuit, x: np.ndarray, y: np.ndarray, key: jax.Array, *, order: np.ndarray, first: int
) -> str:
    """Learns on, process by process instead of compiled, until a compartment holds a NaN or an infinity.

    Args:
        circuit: whose parameters diverged; they are left as they are.
        x: (N, D) patterns.
        y: (N, C) one-hot labels.
        key: PRNG key, as `stream` had it.
        order: (N,) order of presentation.
        first: how many patterns the circuit's parameters have learned from.

    Returns:
        Compartment, minibatch and time of the first such number; empty if no minibatch of a chunk makes one.
    """
    compartments = [(f"{n}.{what}", c) for n, part in circuit.components.items() for what, c in part.compartments]
    names = {path(c): name for name, c in compartments if not c.targeted}  # a wire has its source's value
    parameters, m = circuit.get_parameters(), first // circuit.batch_size

    def inspect(state: State, t: Any) -> None:
        # In the order in which components are advanced; that of the state is alphabetical.
        leaves = {where: jax.tree.leaves(state[where]) for where in names if where in state}
        if any(isinstance(leaf, Tracer) for each in leaves.values() for leaf in each):
            return  # only the shapes are asked for
        for where, each in leaves.items():
            if not all(np.isfinite(leaf).all() for leaf in each if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)):
                raise NotFiniteError(f"{names[where]} is the first, in minibatch {m + 1} at t = {float(t):g} ms")

    last = min(m + circuit.MINIBATCHES_PER_CALL, -(-len(order) // circuit.batch_size))
    try:
        with jax.disable_jit():
            while m < last:
                chosen = order[m * circuit.batch_size : (m + 1) * circuit.batch_size]
                x_m, y_m, valid = map(jnp.asarray, minibatch_of(x[chosen], y[chosen], circuit.batch_size))
                run = circuit.run(parameters, valid, jax.random.fold_in(key, m), learn=True, inspect=inspect)
                circuit.present(run, x_m, y_m)
                parameters = {name: run[c] for name, c in circuit.parameters.items()}
                m += 1
    except NotFiniteError as found:
        return str(found)
    return ""
