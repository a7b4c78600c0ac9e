"""What it costs to present one pattern: its operations, and an estimate of their energy.

A spike adds the weight of each synapse that it reaches to a current, an accumulate; a number that is sent is multiplied
by the weight first, a multiply-accumulate. A cell is updated at every time step, whether it spikes or not. What is 0 is
not sent. Left out: the sending itself, drawing random numbers, the memory of the cells' states, and learning.

Energies are of 32-bit floating-point arithmetic in 45 nm at 0.9 V; a comparison counts as an addition. Source:
M. Horowitz, "Computing's energy problem (and what we can do about it)", IEEE International Solid-State Circuits
Conference, 2014, 10-14.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np

from exhibits.common.circuit import Circuit
from exhibits.common.circuit.activity import Activity
from exhibits.common.report.diagram import parts_of

ADD = 0.9  # pJ
MULTIPLY = 3.7  # pJ
FETCH = 5.0  # pJ for 32 of the 64 bits read from 8 KB, the smallest memory of the source


@dataclass(frozen=True)
class Operations:
    """Operations of one kind, or their sum.

    Attributes:
        additions: comparisons too.
        multiplications: of two numbers.
        weights: read from memory, one for each synapse that something reaches.
    """

    additions: float = 0.0
    multiplications: float = 0.0
    weights: float = 0.0

    def __add__(self, other: "Operations") -> "Operations":
        return Operations(
            self.additions + other.additions,
            self.multiplications + other.multiplications,
            self.weights + other.weights,
        )

    @property
    def microjoules(self) -> float:
        """Energy of the arithmetic, microjoules."""
        return 1e-6 * (ADD * self.additions + MULTIPLY * self.multiplications)

    @property
    def with_memory(self) -> float:
        """Energy of the arithmetic and of reading every weight from the smallest memory, microjoules."""
        return self.microjoules + 1e-6 * FETCH * self.weights


def accumulates(n: float) -> Operations:
    """n weights that spikes add to currents."""
    return Operations(additions=n, weights=n)


def multiply_accumulates(n: float) -> Operations:
    """n weights that are multiplied by what is sent, and added to currents."""
    return Operations(n, n, n)


@dataclass(frozen=True)
class Load:
    """What a mean pattern demands of a network.

    Attributes:
        sizes: pixels, cells of each hidden layer, classes.
        synapses: into each layer above the pixels; fewer than all pairs if cells see a part of the image, twice as many
            with inhibitory partners.
        lit: synapses of the first layer whose pixel is not 0.
        spikes: of each layer that spikes, by its number; without 0 if the pixels are sent as numbers, once.
        active: cells that spike at least once, by the number of their layer.
        steps: T, updates of each cell.
    """

    sizes: tuple[int, ...]
    synapses: tuple[int, ...]
    lit: float
    spikes: Mapping[int, float]
    active: Mapping[int, float]
    steps: int

    @classmethod
    def of(cls, circuit: Circuit, x: np.ndarray, activity: Mapping[str, Activity]) -> Self:
        """What the mean of some patterns demands.

        Args:
            circuit: whose layers are each connected to the next, with one or more synapses per pair of cells.
            x: (N, D) patterns.
            activity: of each layer, as in `evaluation.Readout`.

        Raises:
            ValueError: if pixels that spike reach different numbers of cells: where they spike is not known.
        """
        sizes = circuit.sizes
        mask = getattr(circuit["W1"], "mask", None)  # receptive fields (D, H), or (1, 1)
        n_synapses = {n: len(synapses) for n, synapses in parts_of(circuit).forward.items()}
        seen = n_synapses[1] * np.broadcast_to(1.0 if mask is None else np.asarray(mask.get()), sizes[:2]).sum(axis=1)
        layers = {int(name[1:]): layer for name, layer in activity.items()}
        if 0 in layers and np.ptp(seen):
            raise ValueError("receptive fields of pixels that spike; expected pixels that are sent as numbers")
        return cls(
            sizes=sizes,
            synapses=(int(seen.sum()), *(n_synapses[n] * a * b for n, (a, b) in enumerate(pairwise(sizes[1:]), 2))),
            lit=float(((x > 0) @ seen).mean()),
            spikes={n: float(layer.spikes.mean()) for n, layer in layers.items()},
            active={n: float(sizes[n] * (1 - layer.silent).mean()) for n, layer in layers.items()},
            steps=circuit.n_steps,
        )

    def fan_out(self, n: int) -> float:
        """Synapses that a spike of layer n reaches, on average."""
        return self.synapses[n] / self.sizes[n]

    @property
    def hidden(self) -> float:
        """Spikes of all hidden layers."""
        return sum(self.spikes[n] for n in range(1, len(self.sizes) - 1))

    def layer(self, n: int, per_spike: float = 1.0) -> Operations:
        """Synaptic operations of what layer n sends.

        Args:
            n: its number; the output sends nothing.
            per_spike: operations at each synapse that a spike reaches; of the pixels, there is always one.
        """
        if n:
            return accumulates(self.spikes[n] * self.fan_out(n) * per_spike)
        return accumulates(self.spikes[0] * self.fan_out(0)) if 0 in self.spikes else multiply_accumulates(self.lit)

    def updates(self, additions: int) -> Operations:
        """Of all cells: at each step one multiplication, the leak's, and some additions."""
        n = self.steps * sum(self.sizes[1:])
        return Operations(additions * n, n)

    def spiking(self, additions: int, per_spike: float = 1.0) -> Operations:
        """Everything; see `layer` and `updates`."""
        synaptic = (self.layer(n, per_spike) for n in range(len(self.synapses)))
        return sum(synaptic, self.updates(additions))

    def rates(self, additions: int) -> Operations:
        """Everything, if each cell that spikes sent its rate instead, once."""
        sent = (multiply_accumulates(self.active[n] * self.fan_out(n)) for n in range(1, len(self.synapses)))
        return sum(sent, self.layer(0) + self.updates(additions))

    def dense(self) -> Operations:
        """A network of the same sizes that computes every product once."""
        return multiply_accumulates(sum(a * b for a, b in pairwise(self.sizes)))

    def masked(self) -> Operations:
        """The same with no synapses but those that there are."""
        return multiply_accumulates(sum(self.synapses))

    def skipping(self) -> Operations:
        """The same again, without the products of pixels that are 0."""
        return multiply_accumulates(self.lit + sum(self.synapses[1:]))
