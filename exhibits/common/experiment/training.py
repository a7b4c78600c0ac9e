"""Training, whatever the circuit: epochs, shuffling, history, the best parameters on the development set, resuming."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import jax
import numpy as np
from jax import numpy as jnp

from exhibits.common.circuit import Circuit, first_not_finite
from exhibits.common.circuit.activity import dead_layers, mean_activity
from exhibits.common.circuit.seeds import Keys
from exhibits.common.data.loading import DataSet
from exhibits.common.experiment import runlog
from exhibits.common.experiment.checkpoints import MAX_PARAMETER, ParameterStore
from exhibits.common.experiment.config import TrainingConfig
from exhibits.common.experiment.display import EpochBar, Expectation, norms
from exhibits.common.experiment.epochs import learn_epoch, order_and_key, sample_of, tally_of
from exhibits.common.experiment.evaluation import fit_temperature, interpret
from exhibits.common.experiment.history import HistoryFiles, require_board
from exhibits.common.experiment.restoring import load_snapshot
from exhibits.common.experiment.runfolder import CHECKPOINTS, INITIAL, RunFolder, finished, held
from exhibits.common.experiment.schema import FORMAT, Activity, Best, Identity, Progress, Record, RunLog, Tally
from exhibits.common.system.environment import settings
from exhibits.common.system.errors import UserError
from exhibits.common.system.interruption import stoppable

DEEP = 50  # hidden layers that take a minute to compile


def identity_of(circuit: Circuit, config: TrainingConfig, data: DataSet) -> Identity:
    """All that the numbers of a run depend on."""
    choices = {**circuit.choices, "device": jax.default_backend()}
    numbers = {name: value for name, value in config.numbers(data.form).items() if name not in choices}
    return Identity(FORMAT, config.exhibit, numbers, data.learned, data.form, choices, settings())


def record_of(identity: Identity, config: TrainingConfig, data: DataSet) -> RunLog:
    """What run.json of a new run begins with."""
    return RunLog(
        **runlog.describe(),
        exhibit=config.exhibit,
        seed=config.seed,
        started=runlog.now(),
        format=FORMAT,
        digest=identity.digest,
        choices=identity.choices,
        settings=identity.settings,
        form=data.form,
        data=data.records,
    )


def fit(circuit: Circuit, config: TrainingConfig, data: DataSet) -> tuple[float, float]:
    """Trains a circuit and writes everything about it to `config.exp_dir`; resumes an interrupted run of it.

    Each epoch's order of presentation comes from (seed, epoch), its noise from the run's key, epoch and minibatch.
    Scores of the training and the development set are measured alike: after the epoch, without learning; those of the
    training set on a fixed sample of it. Best is the highest development accuracy, then the lowest NLL. A checkpoint
    follows each epoch, and within one `checkpoint_minutes` after the last; a run that is resumed from it ends with the
    numbers of one that was not interrupted.

    Args:
        circuit: freshly built.
        config: its configuration; saved as config.json.
        data: what to learn from and to choose the epoch by; without a development set the last epoch is kept, with a
            softmax temperature of 1.

    Returns:
        Seconds that training took, best development accuracy (NaN without a development set).

    Raises:
        UserError: if `exp_dir` cannot be written to or is not for this run, or the weights diverge; what was saved
            before stays.
        SystemExit: with code 128 + the signal's number, after Ctrl-C, SIGTERM or SIGHUP and a checkpoint.
    """
    if config.tensorboard:
        require_board()
    identity = identity_of(circuit, config, data)
    try:
        with held(config, identity, record_of(identity, config, data)) as folder, stoppable() as stopping:
            return _Run(circuit, config, data, identity, folder, stopping).complete()
    except OSError as error:
        raise UserError(f"{config.exp_dir}: {error.strerror}; what was saved before is kept") from None


def fit_unless_finished(circuit: Circuit, config: TrainingConfig, data: DataSet) -> tuple[Identity, RunLog]:
    """Trains, unless this very run is finished in `config.exp_dir`; gives its identity and its record."""
    identity = identity_of(circuit, config, data)
    log = finished(config, identity)
    if log is None:
        fit(circuit, config, data)
        log = finished(config, identity)
    if log is None:
        raise UserError(f"{config.exp_dir}: was changed while the run was writing to it")
    return identity, log


def largest(parameters: Mapping[str, Any]) -> dict[str, jax.Array]:
    """The largest magnitude among the numbers of each parameter; NaN if one of them is NaN."""
    leaves = {name: jax.tree.leaves(value) for name, value in parameters.items()}
    return {name: jnp.array([jnp.abs(leaf).max() for leaf in each]).max() for name, each in leaves.items()}


class _Run:
    """A training run in its folder."""

    def __init__(
        self,
        circuit: Circuit,
        config: TrainingConfig,
        data: DataSet,
        identity: Identity,
        folder: RunFolder,
        stopping: Callable[[], int],
    ):
        self.circuit, self.config, self.data, self.identity = circuit, config, data, identity
        self.train, self.dev, self.sample = data.train, data.dev, sample_of(data.train)
        self.folder, self.stopping = folder, stopping
        self.history = HistoryFiles(folder, config.tensorboard)
        self.keys = Keys.of(config.seed)
        self.progress = Progress()
        self.start = self.saved_at = self.epoch_start = time.perf_counter()  # of the process, a checkpoint, an epoch
        self.expectation = Expectation()
        self.named: set[str] = set()  # layers that were said to be dead
        self.chunk_start = (0, {})  # with --debug_nans, see `_keep`
        self.checkpoints = ParameterStore(folder.path / CHECKPOINTS, keep=2, identity=identity, check=folder.check)
        self.best_saved = 0  # step of the best epoch's checkpoint when the last one was saved
        self.largest = jax.jit(largest)

    def complete(self) -> tuple[float, float]:
        """Trains from the start or from where an interrupted run has come to."""
        self._introduce()
        with self.checkpoints, contextlib.closing(self.history):
            if not (self.folder.resumes and self._restore()):
                self._begin()
            while self.progress.epoch < self.config.epochs:
                self._epoch(self.progress.epoch + 1)
        self.folder.note(finished=runlog.now())
        best = self.progress.best.acc
        return self.progress.seconds, math.nan if best is None else best

    def _introduce(self) -> None:
        """Says what is trained on what, and where it goes."""
        what = self.config.dataset or self.config.files()["dataX"].parent
        sets = [f"{len(self.train.x)} patterns to learn from"]
        sets += [] if self.dev is None else [f"{len(self.dev.x)} to choose the epoch by"]
        print(f"Network {self.circuit.summary}, on {runlog.hardware()}")
        print(f"Data    {what}: {', '.join(sets)}, {self.data.form.classes} classes")
        size, n = self.circuit.batch_size, len(self.train.x)
        if size > n:
            print(f"Batch   {size} exceeds the {n} patterns: an epoch is one update, as slow as for {size} patterns")
        if (n_hidden := len(self.circuit.hidden)) > DEEP:
            print(f"Depth   {n_hidden} hidden layers: they are compiled first, which takes minutes")
        print(f"Folder  {self.folder.path}", flush=True)

    def _begin(self) -> None:
        """Evaluates the fresh circuit and saves it."""
        with ParameterStore(self.folder.path / INITIAL, identity=self.identity, check=self.folder.check) as initial:
            initial.save(0, self.circuit.get_parameters(), record=Record(self.identity, Progress()))
        begin = time.perf_counter()
        total = len(self.sample.x) + (0 if self.dev is None else len(self.dev.x))
        with EpochBar("before training", total) as bar:
            self._evaluate(bar, begin)
        self.history.save(self.progress)
        self._checkpoint()

    def _epoch(self, epoch: int) -> None:
        """Learns for an epoch, or the rest of one, evaluates, and saves."""
        progress, config, circuit = self.progress, self.config, self.circuit
        n = len(self.train.x)
        self.epoch_start = time.perf_counter() - progress.partial_seconds
        self._keep()
        self.expectation.begin(progress.partial.n)
        with EpochBar(f"epoch {epoch}/{config.epochs}", n, progress.partial.n) as bar:
            learn_epoch(circuit, self.train, config.seed, epoch, bar, progress.partial, self._after_chunk)
            progress.partial, progress.partial_seconds = Tally(), 0.0
            progress.epoch_seconds.append(time.perf_counter() - self.epoch_start)
            scored = self._evaluate(bar, self.epoch_start)
        if config.verbosity >= 1:
            print(norms(circuit), flush=True)
        progress.epoch = epoch
        self.folder.note(epochs_done=epoch, epoch_seconds=progress.epoch_seconds)
        self.history.save(progress)
        if scored is None:
            progress.best = Best(epoch, step=epoch * n)
        elif progress.history.best() == epoch:
            dev, logit, y = scored
            progress.best = Best(epoch, dev.acc, dev.nll, fit_temperature(logit, y), epoch * n)
            self.folder.note(best_epoch=epoch, best_dev_acc=dev.acc, best_dev_nll=dev.nll)
        self._checkpoint()
        self.folder.note(seconds=progress.seconds)
        if self.stopping() and epoch < config.epochs:
            self._stop()

    def _evaluate(self, bar: EpochBar, begin: float) -> tuple[Tally, np.ndarray, np.ndarray] | None:
        """Adds the scores of both sets and the activity of all layers to the progress.

        Returns:
            Scores, logits and labels of the development set; None if there is none.
        """
        circuit, progress = self.circuit, self.progress
        seen = interpret(circuit.read(*self.sample, self.keys.sample), self.sample.y)
        train, dev, scored = tally_of(seen), None, None
        if self.dev is not None:
            out = circuit.read(*self.dev, self.keys.dev)
            dev = tally_of(interpret(out, self.dev.y))
            scored = dev, out["logit"], self.dev.y
        if not all(math.isfinite(tally.nll_sum) for tally in (train, dev) if tally is not None):
            if not progress.history.acc:
                raise UserError("before training: the NLL is not a finite number; try smaller initial weights")
            raise UserError(
                f"after epoch {progress.epoch + 1}: the NLL is not a finite number; {self.circuit.ADVICE['diverged']}. "
                f"The last checkpoint is in {self.folder.path}"
            )
        bar.finish(train, dev, time.perf_counter() - begin)
        progress.history.add(train, dev)
        activity = mean_activity(seen.activity)
        for layer, values in activity.items():
            curves = progress.activity.setdefault(layer, Activity())
            for name, value in values.items():
                by_epoch = getattr(curves, name)
                by_epoch += [None] * (len(progress.history.acc) - 1 - len(by_epoch))  # format 1 did not measure it
                by_epoch.append(float(f"{value:.4g}"))
        self.folder.note(activity=progress.activity)
        trained = len(progress.history.acc) > 1
        when = f"After epoch {progress.epoch + 1}" if trained else "Before training"
        for layer, message in dead_layers(activity, circuit.ADVICE, trained=trained).items():
            if layer not in self.named:
                self.named.add(layer)
                print(f"{when} {message}", file=sys.stderr, flush=True)
        return scored

    def _after_chunk(self, partial: Tally) -> None:
        """After each call of the circuit's program: refuses to go on, stops, or saves if it is time."""
        self._refuse_divergence()
        self.expectation.call_ended(self.config.epochs - self.progress.epoch, partial.n, len(self.train.x))
        self._keep()
        if self.progress.partial.n == len(self.train.x):
            return
        if self.stopping():
            self._checkpoint()
            self._stop()
        if time.perf_counter() - self.saved_at > 60 * self.config.checkpoint_minutes > 0:
            self._checkpoint()

    def _keep(self) -> None:
        """Notes where the chunk begins that comes next, so that the first NaN in it can be found."""
        if self.config.debug_nans:
            self.chunk_start = (self.progress.partial.n, self.circuit.get_parameters())

    def _refuse_divergence(self) -> None:
        """Refuses parameters that no checkpoint may have."""
        epoch, partial = self.progress.epoch + 1, self.progress.partial
        sizes = jax.device_get(self.largest(self.circuit.get_parameters()))
        not_finite = [name for name, size in sizes.items() if not math.isfinite(size)]
        too_large = [name for name, size in sizes.items() if size > MAX_PARAMETER]
        if not_finite or not math.isfinite(partial.nll_sum):
            what = f"{', '.join(not_finite) or 'NLL'} is not a finite number"
            where = self._first_not_finite(epoch)
        elif too_large:
            what, where = f"{', '.join(too_large)} is beyond {MAX_PARAMETER:g}", ""
        else:
            return
        minibatch = -(-partial.n // self.circuit.batch_size)
        raise UserError(
            f"epoch {epoch}, minibatch {minibatch}: {what}, the weights diverged{where}; "
            f"{self.circuit.ADVICE['diverged']}. The last checkpoint is in {self.folder.path}"
        )

    def _first_not_finite(self, epoch: int) -> str:
        if not self.config.debug_nans:
            return " (--debug_nans shows where)"
        first, parameters = self.chunk_start
        self.circuit.set_parameters(parameters)
        order, key = order_and_key(self.config.seed, epoch, len(self.train.x))
        found = first_not_finite(self.circuit, *self.train, key, order=order, first=first)
        return f" ({found or 'all values stayed finite when run step by step'})"

    def _checkpoint(self) -> None:
        """Saves where the run is. The best epoch's checkpoint stays, and that of the best epoch until then."""
        progress, now = self.progress, time.perf_counter()
        progress.seconds += now - self.start
        self.start = self.saved_at = now
        progress.partial_seconds = now - self.epoch_start if progress.partial.n else 0.0
        step = progress.epoch * len(self.train.x) + progress.partial.n
        arrays = {"parameters": self.circuit.get_parameters()}
        self.checkpoints.save(step, arrays, {self.best_saved, progress.best.step}, Record(self.identity, progress))
        self.best_saved = progress.best.step

    def _restore(self) -> bool:
        """Goes back to the newest checkpoint that is whole; False if the run was interrupted before its first."""
        path = self.folder.path
        if not self.checkpoints.steps():
            print(f"The run in {path} was interrupted before its first checkpoint: it starts again", flush=True)
            return False
        within = self.config.epochs, len(self.train.x)
        parameters, self.progress, _ = load_snapshot(self.checkpoints, self.circuit, within=within)
        self.circuit.set_parameters(parameters)
        self.best_saved = self.progress.best.step
        self.history.save(self.progress)
        for name, then, now in runlog.changed_versions(self.folder.log.versions):
            print(f"{name} {then} when the run began, {now} now: the last digits may differ", flush=True)
        self.folder.note(resumed=[*self.folder.log.resumed, runlog.now()])
        print(f"Resuming the run in {path}: {self._where()}", flush=True)
        return True

    def _where(self) -> str:
        share = 100 * self.progress.partial.n / len(self.train.x)
        return f"epoch {self.progress.epoch + 1}, {share:.0f} %" if share else f"after epoch {self.progress.epoch}"

    def _stop(self) -> NoReturn:
        self.checkpoints.wait()
        where = f"Stopped in {self.folder.path}: {self._where()}"
        print(f"{where}; the same command resumes it", file=sys.stderr, flush=True)
        sys.exit(128 + self.stopping())  # as a shell reports a program that the signal ended
