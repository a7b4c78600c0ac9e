"""What runs write to disk, declared once: types, ranges, and what must agree. All that is read back is checked by it.

`B` is the batch size, `C` the number of classes. Times are in seconds, NLL in nats.
"""

import hashlib
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from exhibits.common.data.form import ArrayRecord, Digest, Form

FORMAT = 7  # of config.json, run.json and checkpoints; 1 had no number, `ADDED` of a configuration says what came when
MAX_EPOCHS = 10_000

Count = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Meta(ge=0.0, le=1e300)]
LayerAngles = list[list[Annotated[float, Meta(ge=0.0, le=180.0)] | None]]  # of each layer at each measurement, degrees
Temperature = Annotated[float, Meta(ge=1e-3, le=1e3)]
Time = Annotated[str, Meta(pattern=r"^[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}Z\Z")]


class Identity(Struct, frozen=True):
    """All that a run's numbers depend on, but for versions of packages.

    Attributes:
        format: of the files.
        exhibit: folder of the exhibit.
        config: the fields of the configuration that numbers depend on.
        data: SHA-256 of the values of each array that is learned from or chosen by.
        form: how the arrays were read.
        choices: what was left to the program: device kind, synapses.
        settings: of the process, such as XLA_FLAGS.
    """

    format: int
    exhibit: str
    config: dict[str, Any]
    data: dict[str, Digest]
    form: Form
    choices: dict[str, str] = {}
    settings: dict[str, str] = {}

    @property
    def digest(self) -> str:
        """SHA-256 of it all."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    def differences(self, other: "Identity") -> Iterator[str]:
        """What differs in another run, as `name (value of this one there, of the other one here)`."""
        for part in ("config", "choices", "settings"):
            there, here = getattr(self, part), getattr(other, part)
            # The number of epochs is among the numbers of some runs only, see `TrainingConfig.can_be_extended`.
            for name in there | here if part != "config" else [name for name in there if name in here]:
                if there.get(name) != here.get(name):
                    yield f"{name} ({_shown(there.get(name))} there, {_shown(here.get(name))} here)"
        if self.exhibit != other.exhibit:
            yield f"exhibit ({self.exhibit} there, {other.exhibit} here)"
        names = self.data | other.data
        yield from (f"the content of {name}" for name in names if self.data.get(name) != other.data.get(name))
        if self.form.picture != other.form.picture:
            yield f"height and width ({_shown(self.form.picture)} there, {_shown(other.form.picture)} here)"
        for there, here in zip(self.form.integers, other.form.integers, strict=False):
            if there != here:
                yield f"labels ({there} there, {here} here)"
                break


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


class Tally(Struct):
    """Patterns seen so far, how many were predicted right, and the sum of their NLL."""

    n: Count = 0
    n_correct: Count = 0
    nll_sum: NonNegative = 0.0

    def __post_init__(self):
        if self.n_correct > self.n:
            raise ValueError(f"{self.n_correct} of {self.n} correct")

    @property
    def acc(self) -> float:
        """Share of patterns whose label is predicted."""
        return self.n_correct / self.n

    @property
    def nll(self) -> float:
        """Nats per pattern."""
        return self.nll_sum / self.n


class History(Struct):
    """Accuracy and NLL by epoch; element 0 was measured before training. None where there is no development set."""

    trAcc: list[Share] = field(default_factory=list)
    acc: list[Share | None] = field(default_factory=list)
    trNll: list[NonNegative] = field(default_factory=list)
    nll: list[NonNegative | None] = field(default_factory=list)

    def best(self) -> int:
        """The epoch of the highest accuracy on the development set, then of the lowest NLL; without one, the last."""
        epochs = range(1, len(self.acc))
        scores = [
            (acc, -nll, -n)
            for n, acc, nll in zip(epochs, self.acc[1:], self.nll[1:], strict=False)
            if acc is not None and nll is not None
        ]
        return -max(scores)[2] if scores else max(len(self.acc) - 1, 0)

    def add(self, train: Tally, dev: Tally | None) -> None:
        """Appends an epoch."""
        self.trAcc.append(train.acc)
        self.trNll.append(train.nll)
        self.acc.append(None if dev is None else dev.acc)
        self.nll.append(None if dev is None else dev.nll)


class Best(Struct):
    """The best epoch so far; epoch 0 is none. Without a development set, the last one.

    Attributes:
        epoch: its number.
        acc: on the development set.
        nll: there.
        temperature: of the softmax, fitted there; 1 without one.
        step: of its checkpoint: patterns that were learned from until then.
    """

    epoch: Count = 0
    acc: Share | None = None
    nll: NonNegative | None = None
    temperature: Temperature = 1.0
    step: Count = 0


class Activity(Struct):
    """How active a layer was by epoch, on the sample of the training set; None where it was not measured.

    Attributes:
        spikes_per_pattern: mean number of spikes.
        silent: mean share of cells without a spike for a pattern.
        every_step: mean share of cells that were active at every step for a pattern.
        silent_patterns: share of patterns for which no cell spiked.
    """

    spikes_per_pattern: list[NonNegative | None] = field(default_factory=list)
    silent: list[Share | None] = field(default_factory=list)
    every_step: list[Share | None] = field(default_factory=list)
    silent_patterns: list[Share | None] = field(default_factory=list)


class Progress(Struct):
    """How far a run has come: with the parameters, all that it takes to resume it as if nothing had happened.

    Everything random derives from seed, epoch and minibatch, so that no generator's state is part of it.

    Attributes:
        epoch: epochs that are complete.
        partial: of the epoch under way.
        history: by epoch.
        best: the best epoch until now.
        activity: by layer.
        seconds: spent training.
        epoch_seconds: spent learning in each epoch.
        partial_seconds: spent learning in the epoch under way.
    """

    epoch: Annotated[int, Meta(ge=0, le=MAX_EPOCHS)] = 0
    partial: Tally = field(default_factory=Tally)
    history: History = field(default_factory=History)
    best: Best = field(default_factory=Best)
    activity: dict[str, Activity] = field(default_factory=dict)
    seconds: NonNegative = 0.0
    epoch_seconds: list[NonNegative] = field(default_factory=list)
    partial_seconds: NonNegative = 0.0

    def __post_init__(self):
        lengths = {len(getattr(self.history, name)) for name in self.history.__struct_fields__}
        if lengths != {self.epoch + 1} and not (lengths == {0} and self.epoch == 0):
            raise ValueError(f"a history of {sorted(lengths)} values after epoch {self.epoch}")
        if len(self.epoch_seconds) != self.epoch or self.best.epoch > self.epoch:
            raise ValueError(f"times of {len(self.epoch_seconds)} epochs, best epoch {self.best.epoch} of {self.epoch}")
        expected = self.history.acc[self.best.epoch] if self.best.epoch else None
        if self.best.epoch != self.history.best():
            raise ValueError(f"best epoch {self.best.epoch}, in the history {self.history.best()}")
        if self.best.acc != expected or (self.best.acc is None) != (self.best.nll is None):
            raise ValueError(f"best accuracy {self.best.acc} and NLL {self.best.nll}, in the history {expected}")


class Record(Struct):
    """What a checkpoint holds beside its arrays. `identity` is None only in format 1, which did not record it."""

    identity: Identity | None
    progress: Progress

    @classmethod
    def decode(cls, text: bytes) -> "Record":
        """What was written as JSON.

        Raises:
            ValueError: if it is not the JSON of a record, or names no run.
        """
        record = msgspec.json.decode(text, type=cls)
        if record.identity is None:
            raise ValueError("names no run")
        return record


class RunLog(Struct, kw_only=True):
    """run.json: what a run was and how far it came."""

    started: Time
    finished: Time | None = None
    resumed: list[Time] = field(default_factory=list)
    format: int = 1
    exhibit: str = ""
    seed: int | None = None
    python: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    device: str = ""
    git_commit: str | None = None
    command: list[str] = field(default_factory=list)
    digest: Digest | None = None
    choices: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    form: Form | None = None
    data: dict[str, ArrayRecord] = field(default_factory=dict)
    epochs_done: Count = 0
    epoch_seconds: list[NonNegative] = field(default_factory=list)
    seconds: NonNegative | None = None
    best_epoch: Count | None = None
    best_dev_acc: Share | None = None
    best_dev_nll: NonNegative | None = None
    activity: dict[str, Activity] = field(default_factory=dict)

    def __post_init__(self):
        first = self.format == 1
        if first != (self.form is None) or (first and (self.digest or self.data)):
            raise ValueError(f"format {self.format} {'with' if first else 'without'} a record of its data")
        if (self.best_epoch or 0) > self.epochs_done:
            raise ValueError(f"best epoch {self.best_epoch} of {self.epochs_done}")

    @property
    def kept_epoch(self) -> int:
        """The epoch whose parameters are kept: the best on the development set, or the last if there is no such set."""
        return self.best_epoch or self.epochs_done


class StudyRow(Struct, omit_defaults=True, kw_only=True):
    """A task of a study and what every study measures; a study that measures more has a `Row` of its own.

    Attributes:
        task: everything that its numbers depend on.
        acc: accuracy on the development set after each epoch.
        angles: of some tasks: by epoch, from before training on, between each layer's update and the gradient.
        spikes: of some tasks: per cell and pattern of each hidden layer, before training.
        seconds: that it took.
        device: hardware.
        git_commit: of the repository.
    """

    task: dict[str, Any]
    acc: Annotated[list[Share], Meta(min_length=1)]
    angles: Annotated[LayerAngles, Meta(min_length=1)] | None = None
    spikes: Annotated[list[NonNegative], Meta(min_length=1)] | None = None
    seconds: NonNegative
    device: str
    git_commit: str | None = None


class SweepRow(Struct, kw_only=True):
    """A run of a sweep: its task, and its best epoch on the development set; `training` is what it took, in seconds."""

    task: dict[str, Any]
    epoch: Count
    acc: Share
    nll: NonNegative
    training: NonNegative
    seconds: NonNegative
    device: str
    git_commit: str | None = None


class ResultsRow(Struct):
    """A row of a results table: what it was trained with, on which data, and each seed's run and test results."""

    title: str
    config: dict[str, Any]
    runs: list[dict[str, Any]]
    data: Digest | None = None


class SeedResult(Struct):
    """What the results table shows of a seed."""

    seed: int
    epoch: Count
    acc: Share
    nll: NonNegative
    nll_calibrated: NonNegative
    temperature: Temperature
    seconds: NonNegative
    device: str
    best_dev_acc: Share | None = None


class AnalysisResult(Struct):
    """What a comparison reads of `<stem>_analysis.json`.

    Attributes:
        set: which set was presented.
        epoch: that the parameters were from.
        acc: accuracy.
        nll: negative log likelihood, nats.
        sha256: of the set's values and labels; empty if an earlier version wrote the file.
    """

    set: str
    epoch: Count
    acc: Share
    nll: NonNegative
    sha256: str = ""
