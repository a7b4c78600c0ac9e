"""Passes through a set of patterns: their order, their noise, and the score of the answers."""

from collections.abc import Callable

import jax
import numpy as np

from exhibits.common.circuit import Circuit
from exhibits.common.circuit.seeds import Keys
from exhibits.common.data.loading import Patterns
from exhibits.common.experiment.display import EpochBar
from exhibits.common.experiment.evaluation import Readout, interpret
from exhibits.common.experiment.schema import Tally

SAMPLE = 10_000  # patterns of the training set on which training scores are measured


def sample_of(patterns: Patterns) -> Patterns:
    """The patterns that training scores are measured on: all, or 10,000 at even distances."""
    n = len(patterns.x)
    chosen = np.arange(n) if n <= SAMPLE else np.arange(SAMPLE) * n // SAMPLE
    return Patterns(patterns.x[chosen], patterns.y[chosen])


def add(tally: Tally, out: dict[str, np.ndarray], y: np.ndarray) -> None:
    """Takes in what a circuit read out for the patterns with one-hot labels y (n, C)."""
    readout = interpret(out, y)
    tally.n += len(y)
    tally.n_correct += int(readout.correct.sum())
    tally.nll_sum += float(readout.nll.sum())


def tally_of(readout: Readout) -> Tally:
    """Score of a set of patterns."""
    return Tally(len(readout.correct), int(readout.correct.sum()), float(readout.nll.sum()))


def order_and_key(seed: int, epoch: int, n: int) -> tuple[np.ndarray, jax.Array]:
    """Order of presentation of n patterns, and PRNG key of the noise, in an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(n), jax.random.fold_in(Keys.of(seed).train, epoch)


def learn_epoch(
    circuit: Circuit,
    train: Patterns,
    seed: int,
    epoch: int,
    bar: EpochBar | None = None,
    total: Tally | None = None,
    after_chunk: Callable[[Tally], None] | None = None,
) -> Tally:
    """One pass through the training set, in the order and with the noise of this seed and epoch; see `score`."""
    order, key = order_and_key(seed, epoch, len(train.x))
    return score(circuit, train, key, bar, order=order, learn=True, total=total, after_chunk=after_chunk)


def score(
    circuit: Circuit,
    patterns: Patterns,
    key: jax.Array,
    bar: EpochBar | None = None,
    *,
    order: np.ndarray | None = None,
    learn: bool = False,
    total: Tally | None = None,
    after_chunk: Callable[[Tally], None] | None = None,
) -> Tally:
    """Presents patterns, moving a progress bar if there is one, and scores the answers.

    Args:
        circuit: to present them to.
        patterns: all of them.
        key: PRNG key of the presentation.
        bar: to move.
        order: of presentation.
        learn: whether the synapses adapt.
        total: the score of the first patterns, which were presented before; it goes on from there.
        after_chunk: called with the score so far after each call of the circuit's program.
    """
    y = patterns.y if order is None else patterns.y[order]
    total = Tally() if total is None else total
    for out in circuit.stream(patterns.x, patterns.y, key, order=order, learn=learn, first=total.n):
        n = len(out["count"])
        add(total, out, y[total.n : total.n + n])
        if bar is not None:
            bar.update(n, total)
        if after_chunk is not None:
            after_chunk(total)
    return total
