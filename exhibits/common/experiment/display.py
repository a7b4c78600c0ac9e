"""What a training shows of its progress: a line that moves in a terminal, one plain line an epoch elsewhere."""

import sys
import time
from typing import Any

import numpy as np
from tqdm import tqdm

from exhibits.common.circuit import Circuit
from exhibits.common.experiment.schema import Tally

WIDTH = 80  # columns that a line fits in
TIMED_SECONDS = 2.0  # of learning, before it is said how long it takes
EVALUATION = 1.2  # time of an epoch over that of learning


def shown(tally: Tally | None) -> str:
    """Accuracy and NLL (nats) in 12 columns or a few more; dashes where there are none."""
    return "  --    --  " if tally is None else f"{tally.acc:.4f} {nats(tally)}"


def nats(tally: Tally) -> str:
    """NLL (nats) with three decimals; as a power of ten where it is so large that the weights diverge."""
    return f"{tally.nll:.3f}" if tally.nll < 1e4 else f"{tally.nll:.1e}"


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
        parts = [f"{self.title}: train acc {train.acc:.4f}, nll {nats(train)}"]
        parts += [f"dev acc {dev.acc:.4f}, nll {nats(dev)}"] if dev else []
        print("; ".join([*parts, f"{seconds:.1f} s"]), file=sys.stderr, flush=True)


class Expectation:
    """Says once, after some seconds of learning, how long a training takes."""

    def __init__(self):
        self.mark, self.seen = 0.0, 0  # when the call under way began, and how many patterns had been seen then
        self.seconds, self.patterns = 0.0, 0  # of all calls but the first, which compiles the program
        self.compiled = self.said = False

    def begin(self, seen: int) -> None:
        """To be called before the first call of each epoch, of which so many patterns have been seen before."""
        self.mark, self.seen = time.perf_counter(), seen

    def call_ended(self, epochs: int, seen: int, n: int) -> None:
        """To be called after each call of the circuit's program.

        Args:
            epochs: still to be trained, with the one under way.
            seen: patterns of the epoch until now.
            n: of the whole epoch.
        """
        now = time.perf_counter()
        if self.compiled:
            self.seconds += now - self.mark
            self.patterns += seen - self.seen
        self.mark, self.seen, self.compiled = now, seen, True
        if not self.said and self.seconds > TIMED_SECONDS:
            self.said = True
            takes = "1 epoch takes" if epochs == 1 else f"{epochs} epochs take"
            expected = EVALUATION * epochs * n * self.seconds / self.patterns
            print(f"{takes} about {duration(expected)}", flush=True)


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def norms(circuit: Circuit) -> str:
    """The Euclidean norm of every weight matrix, in one line."""
    weights = {name: value for name, value in circuit.get_parameters().items() if name.endswith(".weights")}
    return "  ".join(f"|{name.split('.')[0]}| = {np.linalg.norm(value):.3f}" for name, value in weights.items())
