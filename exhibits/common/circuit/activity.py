"""How active a circuit's layers are: what is read out for each pattern, its means, and which layers are dead.

`B` patterns of a minibatch, `N` patterns, `n` cells of a layer, `T` time steps. A spike is the step at which a cell
fires; a cell can send s = 1 for longer, and is active at each step where it does. Layers are called as in the circuit:
z0 the input, if it spikes, z1, z2, ... the hidden layers, the highest number the output.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np
from jax import numpy as jnp

ROWS = 32  # patterns of a minibatch that activity is read out for unless in detail: what training pays for
MOSTLY = 0.99  # of the patterns, or of all pairs of a cell and a pattern
ADVICE = {
    "diverged": "try a smaller learning rate",
    "silent": "lower the threshold, or the learning rate if it spiked before",
    "every step": "raise the threshold, or lower the learning rate",
    "silent input": "nearly all numbers in the patterns are 0",
    "every step input": "nearly all numbers in the patterns are 1",
}


@dataclass(frozen=True)
class Activity:
    """How active a layer of n cells is for each of N patterns, those that it was read out for.

    Attributes:
        spikes: (N,) spikes of all of its cells.
        silent: (N,) share of its cells that never spike.
        every: (N,) share of its cells that are active at every step that a rate code is counted over: the steps after
            burn-in in the BFA-SNN, all T in the GLSNN.
    """

    spikes: np.ndarray
    silent: np.ndarray
    every: np.ndarray


def layer_readouts(layer: int, onsets: jax.Array, every: jax.Array, batch_size: int) -> dict[str, jax.Array]:
    """A layer's activity for each pattern of a minibatch, under the names that `Circuit.present` reads out.

    Args:
        layer: its number.
        onsets: (b, n) spikes of each cell for the first b patterns.
        every: (b, n) whether each cell is active at every step that the layer's rate code is counted over.
        batch_size: B, at least b.

    Returns:
        `spikes<layer>` (B,) spikes of all cells, `silent<layer>` (B,) share of cells that never spike, and
        `every<layer>` (B,) share of cells that are active at every step; NaN for all patterns but the first b.
    """
    readouts = {"spikes": onsets.sum(axis=1), "silent": (onsets == 0).mean(axis=1), "every": every.mean(axis=1)}
    unknown = (0, batch_size - len(onsets))
    return {
        f"{name}{layer}": jnp.pad(value.astype(jnp.float32), unknown, constant_values=jnp.nan)
        for name, value in readouts.items()
    }


def mean_activity(activity: Mapping[str, Activity]) -> dict[str, dict[str, float]]:
    """Means over N patterns, as JSON can hold them.

    Args:
        activity: of each layer, as in `evaluation.Readout`.

    Returns:
        By layer: `spikes_per_pattern`; `silent`, the share of cells that never spike, and `every_step`, the share of
        cells that are active at every step, both of all pairs of a cell and a pattern; `silent_patterns`, the share of
        patterns for which no cell of the layer spikes.
    """
    return {
        name: {
            "spikes_per_pattern": float(layer.spikes.mean()),
            "silent": float(layer.silent.mean()),
            "every_step": float(layer.every.mean()),
            "silent_patterns": float((layer.spikes == 0).mean()),
        }
        for name, layer in activity.items()
    }


def dead_layers(
    means: Mapping[str, Mapping[str, float]], advice: Mapping[str, str] = ADVICE, *, trained: bool = True
) -> dict[str, str]:
    """Which layers cannot tell patterns apart, as they are silent or fire at every step.

    | hidden layer     silent where   silent >= 0.99            (share of pairs of a cell and a pattern)
    | input, output    silent where   silent_patterns >= 0.99   (where one cell may speak for a pattern)
    | any layer        fires at every step where   every_step >= 0.99

    Before training most layers of both exhibits are silent, whatever the recipe, and learning wakes them up: these are
    named in one line that says so. What learning cannot change, the input, is named with what to change.

    Args:
        means: what `mean_activity` gives; the layer of the highest number is the output.
        advice: what to change, by the keys of `ADVICE`: the circuit's.
        trained: whether the circuit has learnt.

    Returns:
        One line by layer, with what to change; nothing for a layer that is alive. Before training, one line, `asleep`,
        for all silent layers above the input.
    """
    found: dict[str, str] = {}
    silent_below, asleep = "", []
    order = sorted(means, key=lambda name: int(name[1:]))
    for name in order:
        of, kind = means[name], " input" if name == "z0" else ""
        wholly = bool(kind) or name == order[-1]
        silent = of["silent_patterns" if wholly else "silent"]
        if of["every_step"] >= MOSTLY:
            found[name] = (
                f"{name} fires at every step, {_percent(of['every_step'])} of its cells do: "
                + (advice["every step" + kind])
            )
        elif silent >= MOSTLY and not (trained or kind):
            asleep.append(name)
        elif silent >= MOSTLY:
            share = f"for {_percent(silent)} of the patterns" if wholly else f"{_percent(silent)} of its cells are"
            change = f"no spikes come from {silent_below}" if silent_below else advice["silent" + kind]
            found[name] = f"{name} is silent, {share}: {change}"
        silent_below = name if silent >= MOSTLY else ""
    if asleep:
        found["asleep"] = f"hardly a cell of {', '.join(asleep)} spikes, as is usual; learning should wake them up"
    return found


def _percent(share: float) -> str:
    """A share, never rounded up to 100 %."""
    return f"{np.floor(1000 * share) / 10:g} %"
