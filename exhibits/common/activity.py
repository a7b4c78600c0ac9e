"""How active a circuit's layers are: what is read out for each pattern, its means, and which layers are dead.

`B` patterns of a minibatch, `N` patterns, `n` cells of a layer, `T` time steps. A spike is the step at which a cell
fires; a cell can send s = 1 for longer, and is active at each step where it does. Layers are called as in the circuit:
z0 the input, if it spikes, z1, z2, ... the hidden layers, the highest number the output.
"""

from dataclasses import dataclass

import jax
import numpy as np
from jax import numpy as jnp


@dataclass(frozen=True)
class Activity:
    """How active a layer of n cells is for each of N patterns.

    Attributes:
        spikes: (N,) spikes of all of its cells.
        silent: (N,) share of its cells that never spike.
        every: (N,) share of its cells that are active at every step that a rate code is counted over: the steps after
            burn-in in the BFA-SNN, all T in the GLSNN.
    """

    spikes: np.ndarray
    silent: np.ndarray
    every: np.ndarray


def layer_readouts(layer: int, onsets: jax.Array, every: jax.Array) -> dict[str, jax.Array]:
    """A layer's activity for each pattern of a minibatch, under the names that `Circuit.present` reads out.

    Args:
        layer: its number.
        onsets: (B, n) spikes of each cell.
        every: (B, n) whether each cell is active at every step that the layer's rate code is counted over.

    Returns:
        `spikes<layer>` (B,) spikes of all cells, `silent<layer>` (B,) share of cells that never spike, and
        `every<layer>` (B,) share of cells that are active at every step.
    """
    return {
        f"spikes{layer}": onsets.sum(axis=1).astype(jnp.float32),
        f"silent{layer}": (onsets == 0).mean(axis=1),
        f"every{layer}": every.mean(axis=1),
    }
