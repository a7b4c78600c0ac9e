"""The BFA-SNN with one thing changed: controls of feedback alignment and of Dale's law."""

from collections.abc import Iterable
from functools import reduce
from typing import Any

import jax
from jax import numpy as jnp

from exhibits.bfa_snn.model import BFA_SNN
from exhibits.common.circuit import Builder, Run


class RedrawnBFA_SNN(BFA_SNN):
    """Its feedback is drawn anew for every minibatch: no weights can come to agree with it."""

    def begin(self, run: Run, x: jax.Array, y: jax.Array) -> None:
        super().begin(run, x, y)
        for n in self.hidden:
            E = self[f"E{n + 1}"].weights
            key = jax.random.fold_in(run.key, 2**31 + n)  # far from the numbers that cells fold in
            run[E] = self.config.weight_std * jax.random.normal(key, run[E].shape)


class UntaughtBFA_SNN(BFA_SNN):
    """Its feedback is 0: the hidden layers keep their initial weights, and only the output layer learns."""

    def build(self, make: Builder, sizes: tuple[int, ...]) -> None:
        super().build(make, sizes)
        _set_to_0(make, (f"E{n + 1}" for n in self.hidden))


class SymmetricBFA_SNN(BFA_SNN):
    """Its feedback is, at the start of every minibatch, the transpose of the forward weights above, at its drawn norm.

    E{n+1} has the direction of (W{n+1} ... W{L+1})^T and the norm of the feedback that was drawn, so that the hidden
    layers learn as fast as with random feedback: the upper reference.
    """

    def begin(self, run: Run, x: jax.Array, y: jax.Array) -> None:
        super().begin(run, x, y)
        for n in self.hidden:
            E = self[f"E{n + 1}"].weights
            forward = reduce(jnp.matmul, (run[self[f"W{above}"].weights] for above in self.layers[n:]))
            run[E] = forward.T * (jnp.linalg.norm(run[E]) / jnp.linalg.norm(forward))


class UngatedBFA_SNN(BFA_SNN):
    """Its teaching signals are d = e E, without f_surr, as if f_surr were 1 at every current."""

    def build(self, make: Builder, sizes: tuple[int, ...]) -> None:
        super().build(make, sizes)
        for n in self.hidden:
            cell: Any = make.components[f"z{n}"]
            cell.d_spike_fx = jnp.ones_like  # what Eq. (8) takes as f_surr


class FixedInhibitionBFA_SNN(BFA_SNN):
    """With `dale`, its inhibitory synapses do not learn."""

    def build(self, make: Builder, sizes: tuple[int, ...]) -> None:
        super().build(make, sizes)
        learners: list[Any] = [make.components[f"W{n}"] for n in self.layers]
        self.evolve = make.evolve("learn", *learners)
        make.plastic -= {f"I{n}" for n in self.layers}


class ExcitatoryBFA_SNN(FixedInhibitionBFA_SNN):
    """With `dale`, its inhibitory synapses are 0."""

    def build(self, make: Builder, sizes: tuple[int, ...]) -> None:
        super().build(make, sizes)
        _set_to_0(make, (f"I{n}" for n in self.layers))


def _set_to_0(make: Builder, names: Iterable[str]) -> None:
    """Gives synapses weights of 0."""
    for name in names:
        synapse: Any = make.components[name]
        synapse.weights.set(0.0 * synapse.weights.get())


def turn_feedback(circuit: BFA_SNN, key: jax.Array) -> None:
    """Flips the sign of half of the feedback weights, at random, so that what had aligned no longer does."""
    values = circuit.get_parameters()
    for n in circuit.hidden:
        name = f"E{n + 1}.weights"
        E = values[name]
        places = jax.random.permutation(jax.random.fold_in(key, n), E.size).reshape(E.shape)
        values[name] = jnp.where(places % 2 == 0, -E, E)
    circuit.set_parameters(values)
