"""What checkpoints of format 1 held instead of a record: arrays, padded with NaN to the run's number of epochs."""

from typing import Any

import msgspec
import numpy as np

from exhibits.common.experiment.schema import MAX_EPOCHS, Progress

SHAPES = {"epoch": 0, "partial": 1, "history": 2, "best": 1, "best_step": 0, "seconds": 0, "epoch_seconds": 1}
NAMES = tuple(SHAPES)


def progress(arrays: dict[str, np.ndarray]) -> Progress:
    """How far the run had come.

    Raises:
        ValueError: if it can be of no run.
    """
    for name, dimensions in SHAPES.items():
        if arrays[name].ndim != dimensions or arrays[name].size > 4 * (MAX_EPOCHS + 1):
            raise ValueError(f"{name}: shape {arrays[name].shape}")
    epoch = int(arrays["epoch"])
    if not 0 <= epoch <= arrays["epoch_seconds"].size or len(arrays["history"]) != 4:
        raise ValueError(f"after epoch {epoch} of {arrays['epoch_seconds'].size}")
    n, n_correct, nll_sum = _plain(arrays["partial"])
    acc, minus_nll, best_epoch, temperature = _plain(arrays["best"])
    history = [_plain(values[: epoch + 1]) for values in arrays["history"]]
    found = {
        "epoch": epoch,
        "partial": {"n": _whole(n), "n_correct": _whole(n_correct), "nll_sum": nll_sum},
        "history": dict(zip(("trAcc", "acc", "trNll", "nll"), history, strict=True)),
        "best": {
            "epoch": _whole(best_epoch),
            "acc": acc if best_epoch else None,  # before the first epoch it was -1
            "nll": -minus_nll if best_epoch and minus_nll is not None else None,
            "temperature": temperature,
            "step": int(arrays["best_step"]),
        },
        "seconds": float(arrays["seconds"]),
        "epoch_seconds": _plain(arrays["epoch_seconds"][:epoch]),
    }
    return msgspec.convert(found, Progress)


def _plain(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _whole(value: float | None) -> Any:
    """An integer that was kept as a float, or what the schema refuses."""
    return int(value) if value is not None and value == int(value) else value
