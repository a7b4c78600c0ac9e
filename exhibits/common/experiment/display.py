"""What a training shows of its progress: a line that moves in a terminal, one plain line an epoch elsewhere."""

import sys
from typing import Any

import numpy as np
from tqdm import tqdm

from exhibits.common.circuit import Circuit
from exhibits.common.experiment.schema import Tally

WIDTH = 80  # columns that a line fits in


def shown(tally: Tally | None) -> str:
    """Accuracy and NLL (nats) in 11 columns; dashes where there are none."""
    return "  --    --  " if tally is None else f"{tally.acc:.4f} {tally.nll:.3f}"


class EpochBar:
    """The line of an epoch, or of the evaluation before training; to be used in a `with` block.

    Args:
        title: such as "epoch 3/30".
        total: patterns.
        done: how many of them were presented before.
    """

    def __init__(self, title: str, total: int, done: int = 0):
        self.title, self.moves = title, sys.stderr.isatty()
        shape = "{desc} {percentage:3.0f}%|{bar:8}| {elapsed}{postfix}"
        self.bar = tqdm(
            total=total,
            initial=done,
            desc=title,
            bar_format=shape,
            disable=not self.moves,
            ncols=WIDTH,
            file=sys.stderr,
        )

    def __enter__(self) -> "EpochBar":
        return self

    def __exit__(self, *error: Any) -> None:
        self.bar.close()

    def update(self, n: int, tally: Tally) -> None:
        """Moves on by n patterns; `tally` is the score until now."""
        self.bar.set_postfix_str(f"while learning {shown(tally)}", refresh=False)
        self.bar.update(n)

    def finish(self, train: Tally, dev: Tally | None, seconds: float) -> None:
        """Shows the scores after the epoch."""
        if self.moves:
            self.bar.set_postfix_str(f"train {shown(train)} dev {shown(dev)}", refresh=False)
            self.bar.update(self.bar.total - self.bar.n)
            return
        parts = [f"{self.title}: train acc {train.acc:.4f}, nll {train.nll:.3f}"]
        parts += [f"dev acc {dev.acc:.4f}, nll {dev.nll:.3f}"] if dev else []
        print("; ".join([*parts, f"{seconds:.1f} s"]), file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def norms(circuit: Circuit) -> str:
    """The Euclidean norm of every weight matrix, in one line."""
    weights = {name: value for name, value in circuit.get_parameters().items() if name.endswith(".weights")}
    return "  ".join(f"|{name.split('.')[0]}| = {np.linalg.norm(value):.3f}" for name, value in weights.items())
