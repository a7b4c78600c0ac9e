"""Training, whatever the circuit: epochs, shuffling, history, the best parameters on the development set, going on."""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np
from jax import numpy as jnp
from tqdm import tqdm

from exhibits.common import runlog
from exhibits.common.checkpoints import ParameterStore
from exhibits.common.config import TrainingConfig
from exhibits.common.data import Patterns
from exhibits.common.errors import UserError
from exhibits.common.evaluation import fit_temperature, interpret
from exhibits.common.files import write_array
from exhibits.common.interruption import CODE, stoppable
from exhibits.common.runfolder import RunFolder, claimed
from exhibits.common.simulation import Circuit

CHECKPOINTS = "checkpoints"
WEIGHTS = (".weights", ".biases")


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


@dataclass
class Progress:
    """How far a run has come: with the parameters, all that it takes to go on as if nothing had happened.

    Everything random derives from seed, epoch and minibatch, so that no generator's state is part of it.
    """

    epoch: int = 0  # epochs that are complete
    partial: Score = field(default_factory=Score)  # of the epoch under way
    history: History = field(default_factory=History)
    best: tuple[float, float, int, float] = (-1.0, 0.0, 0, 1.0)  # dev accuracy, -NLL (nats), epoch, temperature
    best_step: int = 0  # of the best epoch's checkpoint: patterns that were learned from until then
    seconds: float = 0.0
    epoch_seconds: list[float] = field(default_factory=list)

    def arrays(self, epochs: int) -> dict[str, np.ndarray]:
        """As arrays whose shapes depend on the number of epochs alone."""

        def padded(values: list[float], length: int) -> list[float]:
            return [*values, *[math.nan] * (length - len(values))]

        return {
            "epoch": np.int64(self.epoch),
            "partial": np.array([self.partial.n, self.partial.n_correct, self.partial.nll_sum], np.float64),
            "history": np.array([padded(values, epochs + 1) for values in vars(self.history).values()], np.float64),
            "best": np.array(self.best, np.float64),
            "best_step": np.int64(self.best_step),
            "seconds": np.float64(self.seconds),
            "epoch_seconds": np.array(padded(self.epoch_seconds, epochs), np.float64),
        }

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray]) -> "Progress":
        """What `arrays` gave.

        Raises:
            ValueError: if it can be of no run.
        """
        epoch = int(arrays["epoch"])
        n, n_correct, nll_sum = arrays["partial"].tolist()
        acc, minus_nll, best_epoch, temperature = arrays["best"].tolist()
        if not (0 <= best_epoch <= epoch <= len(arrays["epoch_seconds"]) and 0 <= n_correct <= n < math.inf):
            raise ValueError(f"epoch {epoch}, best {best_epoch}, {n_correct} of {n} correct")
        return cls(
            epoch,
            Score(int(n), int(n_correct), nll_sum),
            History(*(values[: epoch + 1].tolist() for values in arrays["history"])),
            (acc, minus_nll, int(best_epoch), temperature),
            int(arrays["best_step"]),
            float(arrays["seconds"]),
            arrays["epoch_seconds"][:epoch].tolist(),
        )


def snapshot(circuit: Circuit, progress: Progress, epochs: int) -> dict[str, Any]:
    """What a checkpoint of a run of so many epochs holds."""
    return {"parameters": circuit.get_parameters(), **progress.arrays(epochs)}


def load_snapshot(
    store: ParameterStore, circuit: Circuit, epochs: int, step: int | None = None
) -> tuple[dict[str, Any], Progress, int]:
    """Parameters, progress and step of the newest checkpoint that is whole, or of that step.

    Raises:
        UserError: if there is none.
    """
    step, arrays = store.load(snapshot(circuit, Progress(), epochs), step)
    try:
        return arrays["parameters"], Progress.of(arrays), step
    except (ValueError, OverflowError) as error:
        raise UserError(f"{store.folder / str(step)}: of no run ({error}); train again, with --resume never") from None


def fit(circuit: Circuit, config: TrainingConfig, train: Patterns, dev: Patterns | None) -> tuple[float, float]:
    """Trains a circuit and writes everything about it to `config.exp_dir`; an interrupted run of it goes on.

    Each epoch's order of presentation comes from (seed, epoch), its noise from the run's key, epoch and
    minibatch. Training accuracy and NLL are those of the minibatches as they are learnt from, read out by the
    rule that also serves the development set. Best is the highest development accuracy, then the lowest NLL.
    A checkpoint follows each epoch, and within one `checkpoint_minutes` after the last; a run that goes on from it
    ends with the very numbers of one that was not interrupted.

    Args:
        circuit: freshly built.
        config: its configuration; saved as config.json.
        train: patterns to learn from.
        dev: patterns to choose the epoch by; None keeps the last epoch, with a softmax temperature of 1.

    Returns:
        Seconds that training took, best development accuracy (not a number without a development set).

    Raises:
        UserError: if `exp_dir` cannot be written to or is not for this run, or the weights diverge; what was saved
            before stays.
        SystemExit: with code 130, after Ctrl-C or SIGTERM and a checkpoint.
    """
    log = runlog.describe() | {"seed": config.seed, "started": runlog.now()}
    try:
        with claimed(config, log) as folder, stoppable() as stopping:
            return _Run(circuit, config, train, dev, folder, stopping).complete()
    except OSError as error:
        raise UserError(f"{config.exp_dir}: {error.strerror}; what was saved before is kept") from None


class _Run:
    """A training run in its folder."""

    def __init__(
        self,
        circuit: Circuit,
        config: TrainingConfig,
        train: Patterns,
        dev: Patterns | None,
        folder: RunFolder,
        stopping: Callable[[], bool],
    ):
        self.circuit, self.config, self.train, self.dev = circuit, config, train, dev
        self.folder, self.stopping = folder, stopping
        self.keys = Keys.of(config.seed)
        self.progress = Progress()
        self.start = self.epoch_start = self.saved = time.perf_counter()
        self.before = (0, {})  # --debug_nans: patterns learned from in the epoch before this chunk, parameters then
        self.checkpoints = ParameterStore(folder.path / CHECKPOINTS, keep=2)
        self.best_saved = 0  # step of the best epoch's checkpoint when the last one was saved
        self.whole = jax.jit(lambda tree: {name: jnp.isfinite(value).all() for name, value in tree.items()})

    def complete(self) -> tuple[float, float]:
        """Trains from the start or from where an interrupted run has come to."""
        with self.checkpoints:
            if not (self.folder.resumes and self._restore()):
                self._begin()
            while self.progress.epoch < self.config.epochs:
                self._epoch(self.progress.epoch + 1)
        self.folder.note(finished=runlog.now())
        return self.progress.seconds, self.progress.best[0]

    def _begin(self) -> None:
        """Evaluates the fresh circuit and saves it."""
        with ParameterStore(self.folder.path / "initial") as initial:
            initial.save(0, self.circuit.get_parameters())
        total = len(self.train.x) + (0 if self.dev is None else len(self.dev.x))
        with tqdm(total=total, unit="img", desc="before training") as bar:
            train_score = score(self.circuit, self.train, jax.random.fold_in(self.keys.train, 0), bar)
            dev_score = None if self.dev is None else score(self.circuit, self.dev, self.keys.dev, bar)
        self.progress.history.add(train_score, dev_score)
        self.progress.history.save(self.folder.path)
        self._checkpoint()

    def _epoch(self, epoch: int) -> None:
        """Learns for an epoch, or the rest of one, evaluates, and saves."""
        progress, config, circuit, dev = self.progress, self.config, self.circuit, self.dev
        n = len(self.train.x)
        self.epoch_start = time.perf_counter()
        self.before = (progress.partial.n, circuit.get_parameters())
        with tqdm(total=n, initial=progress.partial.n, unit="img", desc=f"epoch {epoch}/{config.epochs}") as bar:
            learn_epoch(circuit, self.train, config.seed, epoch, bar, progress.partial, self._after_chunk)
            train_score, progress.partial = progress.partial, Score()
            epoch_seconds = time.perf_counter() - self.epoch_start
            said, dev_score = f"acc={train_score.acc:.4f}, nll={train_score.nll:.3f}", None
            if dev is not None:
                out = circuit.read(dev.x, dev.y, self.keys.dev)
                dev_score = Score()
                dev_score.add(out, dev.y)
                said += f", dev acc={dev_score.acc:.4f}, dev nll={dev_score.nll:.3f}"
            bar.set_postfix_str(said)
        if config.verbosity >= 1:
            print(norms(circuit), flush=True)
        progress.epoch = epoch
        progress.epoch_seconds.append(epoch_seconds)
        progress.history.add(train_score, dev_score)
        self.folder.note(epochs_done=epoch, epoch_seconds=progress.epoch_seconds)
        progress.history.save(self.folder.path)
        if dev_score is None:
            progress.best, progress.best_step = (math.nan, math.nan, epoch, 1.0), epoch * n
        elif (dev_score.acc, -dev_score.nll) > progress.best[:2]:
            temperature = fit_temperature(out["logit"], dev.y)
            progress.best, progress.best_step = (dev_score.acc, -dev_score.nll, epoch, temperature), epoch * n
            self.folder.note(best_epoch=epoch, best_dev_acc=dev_score.acc, best_dev_nll=dev_score.nll)
        self._checkpoint()
        self.folder.note(seconds=progress.seconds)
        if self.stopping() and epoch < config.epochs:
            self._stop()

    def _after_chunk(self, _: Score) -> None:
        """After each call of the circuit's program: refuses to go on, stops, or saves if it is time."""
        self._refuse_what_is_not_finite()
        self.before = (self.progress.partial.n, self.circuit.get_parameters())
        if self.progress.partial.n == len(self.train.x):
            return
        if self.stopping():
            self._checkpoint()
            self._stop()
        if time.perf_counter() - self.saved > 60 * self.config.checkpoint_minutes > 0:
            self._checkpoint()

    def _refuse_what_is_not_finite(self) -> None:
        epoch, partial = self.progress.epoch + 1, self.progress.partial
        parameters = {name: value for name, value in self.circuit.get_parameters().items() if name.endswith(WEIGHTS)}
        bad = [name for name, whole in self.whole(parameters).items() if not whole]
        if bad or not math.isfinite(partial.nll_sum):
            minibatch = -(-partial.n // self.circuit.batch_size)
            raise UserError(
                f"epoch {epoch}, minibatch {minibatch}: {', '.join(bad) or 'NLL'} is not a finite number, the weights "
                f"diverged{self._first_not_finite(epoch)}; try a smaller --eta. "
                f"The checkpoint before is in {self.folder.path}"
            )

    def _first_not_finite(self, epoch: int) -> str:
        if not self.config.debug_nans:
            return " (--debug_nans finds out where)"
        first, parameters = self.before
        self.circuit.set_parameters(parameters)
        order, key = order_and_key(self.config.seed, epoch, len(self.train.x))
        found = self.circuit.first_not_finite(*self.train, key, order=order, first=first)
        return f" ({found or 'not so when run step by step'})"

    def _checkpoint(self) -> None:
        """Saves where the run is. The best epoch's checkpoint stays, and that of the best epoch until then."""
        now = time.perf_counter()
        self.progress.seconds += now - self.start
        self.start = self.saved = now
        step = self.progress.epoch * len(self.train.x) + self.progress.partial.n
        arrays = snapshot(self.circuit, self.progress, self.config.epochs)
        self.checkpoints.save(step, arrays, also={self.best_saved, self.progress.best_step})
        self.best_saved = self.progress.best_step

    def _restore(self) -> bool:
        """Goes back to the newest checkpoint that is whole; False if the run was interrupted before its first."""
        path = self.folder.path
        if not self.checkpoints.steps():
            print(f"The run in {path} was interrupted before its first checkpoint: it starts again", flush=True)
            return False
        parameters, self.progress, _ = load_snapshot(self.checkpoints, self.circuit, self.config.epochs)
        self.circuit.set_parameters(parameters)
        self.best_saved = self.progress.best_step
        self.progress.history.save(path)
        self.folder.note(resumed=[*self.folder.log.get("resumed", []), runlog.now()])
        print(f"Going on with the run in {path}: {self._where()}", flush=True)
        return True

    def _where(self) -> str:
        share = 100 * self.progress.partial.n / len(self.train.x)
        return f"epoch {self.progress.epoch + 1}, {share:.0f} %" if share else f"after epoch {self.progress.epoch}"

    def _stop(self) -> NoReturn:
        self.checkpoints.wait()
        print(
            f"Stopped in {self.folder.path}: {self._where()}; the same command goes on from here",
            file=sys.stderr,
            flush=True,
        )
        sys.exit(CODE)


def order_and_key(seed: int, epoch: int, n: int) -> tuple[np.ndarray, jax.Array]:
    """Order of presentation of n patterns, and PRNG key of the noise, in an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(n), jax.random.fold_in(Keys.of(seed).train, epoch)


def learn_epoch(
    circuit: Circuit,
    train: Patterns,
    seed: int,
    epoch: int,
    bar: tqdm | None = None,
    total: "Score | None" = None,
    after_chunk: Callable[[Score], None] | None = None,
) -> Score:
    """One pass through the training set, in the order and with the noise of this seed and epoch; see `score`."""
    order, key = order_and_key(seed, epoch, len(train.x))
    return score(circuit, train, key, bar, order=order, learn=True, total=total, after_chunk=after_chunk)


def score(
    circuit: Circuit,
    patterns: Patterns,
    key: jax.Array,
    bar: tqdm | None = None,
    *,
    order: np.ndarray | None = None,
    learn: bool = False,
    total: Score | None = None,
    after_chunk: Callable[[Score], None] | None = None,
) -> Score:
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
    total = Score() if total is None else total
    for out in circuit.stream(patterns.x, patterns.y, key, order=order, learn=learn, first=total.n):
        n = len(out["count"])
        total.add(out, y[total.n : total.n + n])
        if bar is not None:
            bar.set_postfix_str(f"acc={total.acc:.4f}, nll={total.nll:.3f}", refresh=False)
            bar.update(n)
        if after_chunk is not None:
            after_chunk(total)
    return total


def norms(circuit: Circuit) -> str:
    """The Euclidean norm of every weight matrix, in one line."""
    weights = {name: value for name, value in circuit.get_parameters().items() if name.endswith(".weights")}
    return "  ".join(f"|{name.split('.')[0]}| = {np.linalg.norm(value):.3f}" for name, value in weights.items())
