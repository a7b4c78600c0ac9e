"""Training, whatever the circuit: epochs, shuffling, history, the best parameters on the development set."""

import itertools
import math
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from exhibits.common import runlog
from exhibits.common.checkpoints import ParameterStore
from exhibits.common.config import TrainingConfig, from_json, to_json
from exhibits.common.data import Patterns
from exhibits.common.errors import UserError
from exhibits.common.evaluation import fit_temperature, interpret
from exhibits.common.files import read_json, write_array, write_json
from exhibits.common.simulation import Circuit


@dataclass
class History:
    """Accuracy and negative log likelihood (nats) by epoch; element 0 was measured before training."""

    trAcc: list[float] = field(default_factory=list)
    acc: list[float] = field(default_factory=list)
    trNll: list[float] = field(default_factory=list)
    nll: list[float] = field(default_factory=list)

    def add(self, train: "Score", dev: "Score | None") -> None:
        """Appends an epoch; not a number is what there is no development set for."""
        dev_acc, dev_nll = (math.nan, math.nan) if dev is None else (dev.acc, dev.nll)
        for values, value in zip(vars(self).values(), (train.acc, dev_acc, train.nll, dev_nll), strict=True):
            values.append(value)

    def save(self, folder: Path) -> None:
        """Writes trAcc.npy, acc.npy, trNll.npy and nll.npy."""
        for name, values in vars(self).items():
            write_array(folder / f"{name}.npy", np.array(values))


@dataclass
class Score:
    """Running accuracy and mean negative log likelihood (nats)."""

    n: int = 0
    n_correct: int = 0
    nll_sum: float = 0.0

    def add(self, out: dict[str, np.ndarray], y: np.ndarray) -> None:
        """Takes in what a circuit read out for the patterns with one-hot labels y (n, C)."""
        readout = interpret(out, y)
        self.n += len(y)
        self.n_correct += int(readout.correct.sum())
        self.nll_sum += float(readout.nll.sum())

    @property
    def acc(self) -> float:
        """Share of patterns whose label is predicted."""
        return self.n_correct / self.n

    @property
    def nll(self) -> float:
        """Nats per pattern."""
        return self.nll_sum / self.n


@dataclass(frozen=True)
class Keys:
    """One PRNG key for each thing that is drawn at random, all from one seed."""

    init: jax.Array
    train: jax.Array
    dev: jax.Array
    test: jax.Array

    @classmethod
    def of(cls, seed: int) -> "Keys":
        """The keys of a run."""
        return cls(*jax.random.split(jax.random.PRNGKey(seed), 4))


def fit(circuit: Circuit, config: TrainingConfig, train: Patterns, dev: Patterns | None) -> tuple[float, float]:
    """Trains a circuit and writes everything about it to `config.exp_dir`.

    Each epoch's order of presentation comes from (seed, epoch), its noise from the run's key, epoch and
    minibatch. Training accuracy and NLL are those of the minibatches as they are learnt from, read out by the
    rule that also serves the development set. Best is the highest development accuracy, then the lowest NLL.

    Args:
        circuit: freshly built.
        config: its configuration; saved as config.json.
        train: patterns to learn from.
        dev: patterns to choose the epoch by; None keeps the last epoch, with a softmax temperature of 1.

    Returns:
        Seconds that training took, best development accuracy (not a number without a development set).

    Raises:
        UserError: if `exp_dir` cannot be written to, or the weights diverge; what was best before stays.
    """
    exp, keys = config.exp_dir, Keys.of(config.seed)
    make_way(exp)
    start = time.perf_counter()
    log = runlog.describe() | {"seed": config.seed, "started": runlog.now(), "finished": None}
    write_json(exp / "config.json", to_json(config))
    write_json(exp / "run.json", log)

    ParameterStore(exp / "initial").save(0, circuit.get_parameters())
    history = History()
    total = len(train.x) + (0 if dev is None else len(dev.x))
    with tqdm(total=total, unit="img", desc="before training") as bar:
        train_score = score(circuit, train, jax.random.fold_in(keys.train, 0), bar)
        history.add(train_score, None if dev is None else score(circuit, dev, keys.dev, bar))
    history.save(exp)

    best = (-1.0, 0.0)
    temperature = 1.0
    epoch_seconds = []
    for epoch in range(1, config.epochs + 1):
        epoch_start = time.perf_counter()
        with tqdm(total=len(train.x), unit="img", desc=f"epoch {epoch}/{config.epochs}") as bar:
            train_score = learn_epoch(circuit, train, config.seed, epoch, bar)
            epoch_seconds.append(time.perf_counter() - epoch_start)
            said, dev_score = f"acc={train_score.acc:.4f}, nll={train_score.nll:.3f}", None
            if dev is not None:
                out = circuit.read(dev.x, dev.y, keys.dev)
                dev_score = Score()
                dev_score.add(out, dev.y)
                said += f", dev acc={dev_score.acc:.4f}, dev nll={dev_score.nll:.3f}"
            bar.set_postfix_str(said)
        if not math.isfinite(train_score.nll + (dev_score.nll if dev_score else 0.0)):
            raise UserError(f"epoch {epoch}: NLL is not a finite number, the weights diverged; try a smaller --eta")
        if config.verbosity >= 1:
            print(norms(circuit), flush=True)
        history.add(train_score, dev_score)
        history.save(exp)
        log |= {"epochs_done": epoch, "epoch_seconds": epoch_seconds, "seconds": time.perf_counter() - start}
        better = dev_score is not None and (dev_score.acc, -dev_score.nll) > best
        if better:
            best = (dev_score.acc, -dev_score.nll)
            temperature = fit_temperature(out["logit"], dev.y)
            log |= {"best_epoch": epoch, "best_dev_acc": best[0], "best_dev_nll": -best[1]}
        if better or (dev is None and epoch == config.epochs):
            arrays = {"parameters": circuit.get_parameters(), "temperature": np.float64(temperature)}
            ParameterStore(exp / "best").save(epoch, arrays)
        write_json(exp / "run.json", log)
    write_json(exp / "run.json", log | {"finished": runlog.now()})
    return time.perf_counter() - start, math.nan if dev is None else best[0]


def finished(config: TrainingConfig) -> dict[str, Any] | None:
    """What `run.json` says of a finished training with exactly this configuration; None if there is none."""
    exp = config.exp_dir
    if not ((exp / "run.json").exists() and (exp / "config.json").exists()):
        return None
    log = read_json(exp / "run.json")
    return log if log.get("finished") and from_json(type(config), exp / "config.json") == config else None


def learn_epoch(circuit: Circuit, train: Patterns, seed: int, epoch: int, bar: tqdm | None = None) -> Score:
    """One pass through the training set, in the order and with the noise of this seed and epoch."""
    order = np.random.default_rng([seed, epoch]).permutation(len(train.x))
    return score(circuit, train, jax.random.fold_in(Keys.of(seed).train, epoch), bar, order=order, learn=True)


def score(
    circuit: Circuit,
    patterns: Patterns,
    key: jax.Array,
    bar: tqdm | None = None,
    *,
    order: np.ndarray | None = None,
    learn: bool = False,
) -> Score:
    """Presents patterns, moving a progress bar if there is one, and scores the answers."""
    y = patterns.y if order is None else patterns.y[order]
    total = Score()
    for out in circuit.stream(patterns.x, patterns.y, key, order=order, learn=learn):
        n = len(out["count"])
        total.add(out, y[total.n : total.n + n])
        if bar is not None:
            bar.set_postfix_str(f"acc={total.acc:.4f}, nll={total.nll:.3f}", refresh=False)
            bar.update(n)
    return total


def make_way(exp: Path) -> None:
    """Makes an empty folder; an earlier run there moves to a folder named after its start, and is never deleted.

    Raises:
        UserError: if the folder cannot be made, or holds files that are not of a run.
    """
    try:
        if exp.is_dir() and any(exp.iterdir()):
            _set_aside(exp)
        exp.mkdir(parents=True, exist_ok=True)
        os.close(os.open(exp, os.O_RDONLY))
        if not os.access(exp, os.W_OK):
            raise PermissionError(13, "not writable")
    except OSError as error:
        raise UserError(f"--exp_dir {exp}: {error.strerror}; expected a folder that can be written to") from None


def _set_aside(exp: Path) -> None:
    log = read_json(exp / "run.json")
    started = str(log.get("started", "")) if isinstance(log, dict) else ""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", started):
        raise UserError(f"--exp_dir {exp}: holds files that are not of a run; expected an empty or new folder")
    stem = f"{exp.name}-{started.replace(':', '')}"
    names = (stem if n == 1 else f"{stem}-{n}" for n in itertools.count(1))
    target = next(path for path in map(exp.with_name, names) if not path.exists())
    exp.rename(target)
    print(f"The earlier run in {exp} is now in {target}")


def norms(circuit: Circuit) -> str:
    """The Euclidean norm of every weight matrix, in one line."""
    weights = {name: value for name, value in circuit.get_parameters().items() if name.endswith(".weights")}
    return "  ".join(f"|{name.split('.')[0]}| = {np.linalg.norm(value):.3f}" for name, value in weights.items())
