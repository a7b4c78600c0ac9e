"""Patterns in minibatches, some of them in each call of a circuit's compiled program."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

SECONDS_PER_CALL = 5.0  # or one minibatch, if it takes longer: in between, a training can be saved and stopped


def in_chunks(
    program: Callable[..., tuple[Any, Any]],
    parameters: Any,
    x: np.ndarray,
    y: np.ndarray,
    key: jax.Array,
    n_updates: float,
    size: tuple[int, int],
    *,
    order: np.ndarray | None = None,
    first: int = 0,
) -> Iterator[tuple[Any, dict[str, np.ndarray]]]:
    """Calls a circuit's program for a chunk of minibatches after another; see `Circuit.stream`.

    The first chunk is one minibatch, the others as many as take `SECONDS_PER_CALL`.

    Args:
        program: of the circuit, learning or not.
        parameters: to begin with.
        x: (N, D) patterns.
        y: (N, C) one-hot labels.
        key: PRNG key; minibatch i draws from ``fold_in(key, i)``.
        n_updates: minibatches after which a schedule has brought the learning rates to their end.
        size: B, and minibatches a call, at most: a chunk of fewer is padded.
        order: (N,) order of presentation; as stored by default.
        first: how many patterns to leave out: whole minibatches.

    Yields:
        Parameters after the chunk, and the readouts of its n patterns, each with leading axis n.
    """
    order = np.arange(len(x)) if order is None else order
    B, minibatches = size
    start, count = first, 1
    while start < len(order):
        began, chosen = time.perf_counter(), order[start : start + B * count]
        rows = minibatches_of(x[chosen], y[chosen], B, minibatches)
        counted = (np.int32(start // B), np.int32(-(-len(chosen) // B)), np.float32(n_updates))
        parameters, out = program(parameters, *rows, key, *counted)
        flat = {name: np.asarray(value).reshape(-1, *value.shape[2:]) for name, value in out.items()}
        start += len(chosen)
        seconds = time.perf_counter() - began
        yield parameters, {name: value[: len(chosen)] for name, value in flat.items()}
        count = max(1, min(minibatches, int(count * SECONDS_PER_CALL / seconds)))


def n_updates(n: int, batch_size: int, epochs: int) -> int:
    """How many minibatches n patterns make in so many epochs; the last of each epoch may be partial."""
    return epochs * -(-n // batch_size)


def minibatch_of(x: np.ndarray, y: np.ndarray, B: int) -> list[np.ndarray]:
    """x (n, D), y (n, C) and 1 for each, padded with zeros, as (B, D), (B, C) and (B, 1)."""
    return [array[0] for array in minibatches_of(x, y, B, 1)]


def minibatches_of(x: np.ndarray, y: np.ndarray, B: int, M: int) -> list[np.ndarray]:
    """x (n, D), y (n, C) and 1 for each, padded with zeros, as (M, B, D), (M, B, C) and (M, B, 1)."""

    def padded(rows: np.ndarray) -> np.ndarray:
        whole = np.zeros((M * B, *rows.shape[1:]), np.float32)
        whole[: len(rows)] = rows
        return whole.reshape(M, B, *rows.shape[1:])

    return [padded(rows) for rows in (x, y, np.ones((len(x), 1), np.float32))]
