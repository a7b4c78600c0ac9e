"""Event-driven synapses for the CPU: work in proportion to spikes instead of to cells.

`components.py` has what a circuit is wired from and `kernels.py` the loops; `lanes.py`, `threads.py` and `bridge.py`
make them fast.
"""

import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax

from exhibits.common.cells import CentredHebbianSynapse, SecantSLIFCell, SignedHebbianSynapse
from exhibits.common.ngc import stock
from exhibits.common.system.errors import UserError

TESTED_JAX = ("0.10", "0.11", "0.12")  # versions whose call frame `bridge.py` can read


class Kinds(NamedTuple):
    """Classes of components with the same equations, dense or event-driven.

    Attributes:
        bernoulli: an encoder.
        cell: a `SecantSLIFCell`.
        synapse: a two-factor Hebbian synapse for spikes, plain gradient steps.
        graded: the same for inputs that are not spikes.
    """

    bernoulli: Callable[..., Any]
    cell: Callable[..., Any]
    synapse: Callable[..., Any]
    graded: Callable[..., Any]


def kinds(event: bool, *, signed: bool = False, centred: bool = False) -> Kinds:
    """What to build a circuit from, event-driven or dense.

    Args:
        event: whether event-driven.
        signed: whether synapses take a `sign`, 1 or -1, and keep it.
        centred: whether synapses take a `share`, and subtract the slow means of their inputs.
    """
    dense = partial(stock.HebbianSynapse, w_bound=0.0, optim_type="sgd")
    if signed or centred:
        dense = CentredHebbianSynapse if centred else SignedHebbianSynapse
    if not event:
        return Kinds(stock.BernoulliCell, SecantSLIFCell, dense, dense)
    from exhibits.common.cells.events import components

    synapse = components.EventCentredSynapse if centred else components.EventHebbianSynapse
    return Kinds(components.EventBernoulliCell, components.EventSLIFCell, synapse, dense)


def chosen(synapses: str) -> bool:
    """Whether to build a circuit with event-driven synapses.

    Args:
        synapses: "event", "dense", or "auto": events on the CPU where Numba is installed and this version of JAX
            has been tested with them.

    Raises:
        UserError: if events are requested where they cannot be used.
    """
    if synapses == "dense":
        return False
    device = jax.default_backend()
    if device != "cpu":
        lack = f"this process computes on a {device}"
    elif importlib.util.find_spec("numba") is None:
        lack = "numba missing (pip install numba)"
    elif ".".join(jax.__version__.split(".")[:2]) not in TESTED_JAX:
        lack = f"JAX {jax.__version__} has not been tested with them, {' '.join(TESTED_JAX)} have"
    else:
        return True
    if synapses == "event":
        raise UserError(f"--synapses event: {lack}; expected a CPU, numba and such a JAX, or --synapses dense")
    if device == "cpu":
        print(f"Dense synapses, several times slower than events: {lack}", file=sys.stderr)
    return False
