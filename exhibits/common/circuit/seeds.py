"""Where randomness comes from: one seed, from which every key is split."""

from dataclasses import dataclass

import jax
from jax import numpy as jnp


def untyped(key: jax.Array) -> jax.Array:
    """The integers (2,) of a PRNG key, which is what components keep; keys of `jax.random.key` have their own dtype."""
    return jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key


@dataclass(frozen=True)
class Keys:
    """One PRNG key for each thing that is drawn at random, all from one seed."""

    init: jax.Array
    train: jax.Array
    dev: jax.Array
    test: jax.Array

    @classmethod
    def of(cls, seed: int) -> "Keys":
        """The keys of a run."""
        return cls(*jax.random.split(jax.random.PRNGKey(seed), 4))

    @property
    def sample(self) -> jax.Array:
        """Of the presentations that training scores are measured by."""
        return jax.random.fold_in(self.train, 0)  # epochs begin at 1
