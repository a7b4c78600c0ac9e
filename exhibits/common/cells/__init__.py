"""Cells and synapses that ngc-learn does not have; those in `events`, for the CPU, compute only what spikes.

Imports `ngc` and `system`; knows no circuit.
"""

from exhibits.common.cells.components import (
    GatedErrorCell,
    SecantSLIFCell,
    TransposedSynapse,
    dropout_gate,
    steps_per_spike,
)
from exhibits.common.cells.hebbian import CentredHebbianSynapse, Centring, SignedHebbianSynapse

__all__ = [
    "CentredHebbianSynapse",
    "Centring",
    "GatedErrorCell",
    "SecantSLIFCell",
    "SignedHebbianSynapse",
    "TransposedSynapse",
    "dropout_gate",
    "steps_per_spike",
]
