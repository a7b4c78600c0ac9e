"""Patterns and labels from .npy files: looked at before memory is taken, brought into one form, told apart by content.

`N` patterns of `D` pixels, `C` classes. Loading never runs code.
"""

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from exhibits.common.data import datasets
from exhibits.common.data.form import ArrayRecord, Form, combined
from exhibits.common.system.errors import UserError, counted
from exhibits.common.system.files import npy_header, open_regular
from exhibits.common.system.memory import require_memory

LEARNED = ("dataX", "dataY", "devX", "devY")


class Choice(Protocol):
    """What a configuration says of the data."""

    @property
    def dataset(self) -> datasets.Name | None: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def join_dev(self) -> bool: ...
    def files(self) -> dict[str, Path]: ...


class Patterns(NamedTuple):
    """N labelled patterns.

    Attributes:
        x: (N, D) float32 in [0, 1].
        y: (N, C) float32, one-hot.
    """

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class DataSet:
    """What a run learns from.

    Attributes:
        train: patterns to learn from.
        dev: patterns to choose the epoch by; None if they are learned from too.
        form: how the files were read.
        classes: names of the classes.
        records: what was in each file, by field of the configuration.
    """

    train: Patterns
    dev: Patterns | None
    form: Form
    classes: tuple[str, ...]
    records: dict[str, ArrayRecord]

    @property
    def learned(self) -> dict[str, str]:
        """SHA-256 by field of all that numbers of the training depend on: not of the test set."""
        return {name: record.sha256 for name, record in self.records.items() if not name.startswith("test")}


def load_for_training(config: Choice) -> DataSet:
    """Training and development patterns of a configuration; its test set is looked at too, so that no mistake in it
    comes up only after the training.

    Raises:
        UserError: if a file is missing or unfit, or the sets differ in pixels or classes.
    """
    train, form, records = load_patterns(config, "data")
    dev, _, more = load_patterns(config, "dev", form)
    records |= more
    if "testX" in config.files():
        records |= load_patterns(config, "test", form)[2]
    classes = class_names(config, form)
    if config.join_dev:
        train, dev = Patterns(*map(np.concatenate, zip(train, dev, strict=True))), None
    return DataSet(train, dev, form, classes, records)


def load_patterns(config: Choice, name: str, form: Form | None = None) -> tuple[Patterns, Form, dict[str, ArrayRecord]]:
    """One of the sets of a configuration; prepares a known data set whose arrays are missing.

    Args:
        config: of the run.
        name: "data", "dev" or "test", how the fields of its files begin.
        form: that the training set settled; None for the training set itself.

    Raises:
        UserError: if a file is missing or unfit, or not what was published.
    """
    paths = config.files()
    fields = (f"{name}X", f"{name}Y")
    if config.dataset is not None:
        prepare_if_missing(config.dataset)
    patterns, form, records = read_patterns(paths[fields[0]], paths[fields[1]], form)
    if config.dataset is not None:
        published = datasets.SOURCES[config.dataset].sha256
        for field, record in zip(fields, records, strict=True):
            if record.sha256 != published[datasets.ARRAYS[field]]:
                raise UserError(
                    f"{paths[field]}: differs from the published data set; "
                    f"`python data/prepare.py {config.dataset}` rewrites it"
                )
    return patterns, form, dict(zip(fields, records, strict=True))


def digest_of(folder: Path) -> str:
    """One SHA-256 of the values in a folder's trainX.npy, trainY.npy, validX.npy and validY.npy."""
    if (name := datasets.of_folder(folder.resolve())) is not None:  # whoever loads them compares
        return combined([datasets.SOURCES[name].sha256[datasets.ARRAYS[field]] for field in LEARNED])
    return load_folder(folder)[2]


@functools.lru_cache(maxsize=2)
def load_folder(folder: Path) -> tuple[Patterns, Patterns, str]:
    """Training and development patterns of a folder with such files, and the SHA-256 of them all.

    Raises:
        UserError: if a file is missing or unfit.
    """
    if (name := datasets.of_folder(folder)) is not None:
        prepare_if_missing(name)
        folder = datasets.folder_of(name)
    paths = [folder / f"{datasets.ARRAYS[field]}.npy" for field in LEARNED]
    train, form, records = read_patterns(paths[0], paths[1])
    dev, _, more = read_patterns(paths[2], paths[3], form)
    return train, dev, combined([record.sha256 for record in records + more])


def data_digest(config: Choice) -> str:
    """One SHA-256 of a configuration's training and development arrays; of all that a known data set has published."""
    if config.dataset is not None:
        return datasets.SOURCES[config.dataset].digest
    return combined(sorted(load_for_training(config).learned.values()))


def prepare_if_missing(name: str) -> None:
    """The arrays of known data sets are not in the repository, only the files that they are made from."""
    if not all(path.exists() for path in datasets.files(name).values()):
        print(f"Preparing {name} in {datasets.folder_of(name)}", flush=True)
        datasets.prepare(name)


def class_names(config: Choice, form: Form) -> tuple[str, ...]:
    """Names of the classes: those that were given, of a known data set, or the labels' numbers."""
    if config.classes:
        if len(config.classes) != form.classes:
            raise UserError(
                f"--classes {' '.join(config.classes)[:80]}: {counted(len(config.classes), 'name')}; "
                f"expected {form.classes}, one for each class"
            )
        return config.classes
    if config.dataset is not None:
        return datasets.SOURCES[config.dataset].classes
    return tuple(map(str, form.integers))


def picture_shape(n_pixels: int) -> tuple[int, int] | None:
    """Height and width of a square picture of that many pixels; None if there is none."""
    side = round(n_pixels**0.5)
    return (side, side) if side * side == n_pixels else None


def read_patterns(x_path: Path, y_path: Path, form: Form | None = None) -> tuple[Patterns, Form, list[ArrayRecord]]:
    """Reads and checks patterns and their labels, and says in one line what it made of a file of another form.

    Args:
        x_path: patterns (N, D), or pictures (N, H, W) or (N, H, W, 1); numbers in [0, 1], or bytes, to be divided by
            255.
        y_path: labels, one-hot (N, C) or integers (N,) or (N, 1).
        form: that the training set settled; None for a training set, which settles it.

    Returns:
        The patterns, their form, and a record of each file.

    Raises:
        UserError: if a file is missing or unfit, in one line that names it.
    """
    raw_x = _load(x_path, "patterns (N, D) or pictures (N, H, W)", (2, 3, 4))
    raw_y = _load(y_path, "labels: integers (N,), or one-hot (N, C)", (1, 2))
    x, picture, divisor, done = as_patterns(x_path, raw_x, form)
    if done:
        print(f"{x_path}: {', '.join(done)}", flush=True)
    if len(raw_x) != len(raw_y):
        raise UserError(f"{y_path}: {counted(len(raw_y), 'row')}; expected {len(raw_x)}, as many as in {x_path}")
    y, labels = as_one_hot(y_path, raw_y, form)
    if form is None and labels is not None:
        print(f"{y_path}: integer labels, {len(labels)} classes: {_listed(labels)}", flush=True)
    found = Form(x.shape[1], picture, y.shape[1], labels, divisor)
    records = [_record(x_path, raw_x, x), _record(y_path, raw_y, y)]
    return Patterns(x, y), form or found, records


def _record(path: Path, raw: np.ndarray, array: np.ndarray) -> ArrayRecord:
    return ArrayRecord(str(path), raw.shape, str(raw.dtype), hashlib.sha256(array.data).hexdigest())


class Pictures(NamedTuple):
    """Patterns as they came.

    Attributes:
        x: (N, D) float32 in [0, 1].
        picture: height and width of each as a picture, if it is one.
        divisor: what bytes were divided by.
        done: what was done to them, in words.
    """

    x: np.ndarray
    picture: tuple[int, int] | None
    divisor: int | None
    done: list[str]


def as_patterns(path: Path | str, raw: np.ndarray, form: Form | None) -> Pictures:
    """Patterns from numbers in [0, 1] or bytes, (N, D), (N, H, W) or (N, H, W, 1).

    Args:
        path: what messages call them.
        raw: as they came.
        form: that the training set settled; None for the training set itself.

    Raises:
        UserError: if they are unfit.
    """
    if raw.ndim == 4 and raw.shape[3] != 1:
        raise UserError(
            f"{path}: shape {raw.shape}; expected grey pictures (N, H, W) or (N, H, W, 1), or patterns (N, D)"
        )
    height_width = raw.shape[1:3] if raw.ndim > 2 else None
    n_pixels = int(np.prod(raw.shape[1:]))
    if form is not None and n_pixels != form.pixels:
        raise UserError(f"{path}: {n_pixels} pixels a row; expected {form.pixels}, as in the training set")
    if form is not None and height_width not in (None, form.picture):
        raise UserError(
            f"{path}: pictures of {_by(height_width)}; expected {_by(form.picture)}, as in the training set"
        )
    low, high = raw.min(), raw.max()
    divisor = None
    if raw.dtype == np.uint8:
        divisor = 255 if (high > 1 if form is None else form.divisor != 1) else 1
        if form is not None and divisor == 255 and 0 < high <= 1:
            raise UserError(
                f"{path}: bytes of 0 and 1 alone; expected them as bool or float if 1 is full brightness, as bytes are "
                "divided by 255"
            )
    with np.errstate(over="ignore"):
        highest = np.float32(high)  # as the network gets it: a scaler's 1.0000000000000002 becomes 1
    if not (low >= 0 and highest <= (divisor or 1)):
        hint = ""
        if raw.dtype == np.uint8:
            hint = ", as the training set has no bytes above 1"
        elif low >= 0 and 2 <= high <= 255:
            hint = "; 8-bit pixels are divided by 255 if they are saved as uint8"
        shown = f"{high:g}" if f"{high:g}" != "1" else f"{high:.9g}"
        raise UserError(f"{path}: values from {low:g} to {shown}; expected all in [0, 1]{hint}")
    with np.errstate(over="ignore"):
        x = raw.reshape(len(raw), n_pixels).astype(np.float32, order="C", copy=False)
    done = [f"{_by(height_width)} pictures, each flattened to a row"] if height_width else []
    if divisor == 255:
        x = x / np.float32(255)
        done.append(f"uint8 values from {low} to {high}, divided by 255")
    return Pictures(x, height_width or (form.picture if form else picture_shape(n_pixels)), divisor, done)


def _by(shape: tuple[int, int] | None) -> str:
    return f"{shape[0]} x {shape[1]}" if shape else "rows of numbers"


def as_one_hot(path: Path | str, raw: np.ndarray, form: Form | None) -> tuple[np.ndarray, tuple[int, ...] | None]:
    """Labels (N, C), one-hot, and the integer that stood for each class, if integers did."""
    integers = raw.ndim == 1 or raw.shape[1] == 1
    if not integers:
        y = raw
        if not (np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()):
            raise UserError(f"{path}: rows are not one-hot; expected one 1 among 0s in each of 2 or more columns")
        if form is None and (y[0] == y).all():
            raise UserError(f"{path}: all {len(y)} labels are the same; expected 2 classes or more")
        if form is not None and y.shape[1] != form.classes:
            raise UserError(f"{path}: {y.shape[1]} classes a row; expected {form.classes}, as in the training set")
        if form is not None and form.integers != tuple(range(form.classes)):
            raise UserError(f"{path}: one-hot labels; expected integers, as in the training set")
        return y.astype(np.float32, order="C", copy=False), None
    if raw.dtype.kind not in "iu":
        raise UserError(
            f"{path}: labels of type {raw.dtype}, one each; expected integers (labels.astype(int)), or one-hot (N, C)"
        )
    values = raw.reshape(-1)
    labels = form.integers if form is not None else tuple(np.unique(values).tolist())
    unseen = np.setdiff1d(values, labels)
    if len(unseen):
        raise UserError(
            f"{path}: labels {' '.join(map(str, unseen[:5]))}; expected those of the training set, {_listed(labels)}"
        )
    if len(labels) < 2 or (form is None and 2 * len(labels) > len(values)):
        expected = "expected 2 classes or more, with at least 2 patterns each on average"
        raise UserError(f"{path}: {len(labels)} different labels of {len(values)} patterns; {expected}")
    require_memory(8.0 * len(values) * len(labels), f"{path}: {len(labels)} classes", "expected class numbers")
    y = np.zeros((len(values), len(labels)), np.float32)
    y[np.arange(len(values)), np.searchsorted(labels, values)] = 1.0
    return y, labels


def _listed(labels: tuple[int, ...]) -> str:
    if labels == tuple(range(labels[0], labels[0] + len(labels))):
        return f"{labels[0]} to {labels[-1]}"
    return " ".join(map(str, labels[:20])) + (" ..." if len(labels) > 20 else "")


def _load(path: Path, what: str, dimensions: tuple[int, ...]) -> np.ndarray:
    """A finite, non-empty array of numbers."""
    expected = f"expected a .npy file with {what}"
    try:
        with open_regular(path) as file:
            shape, dtype = npy_header(file)
            if dtype.kind not in "fiub":
                raise UserError(f"{path}: holds values of type {dtype}; {expected}, real numbers")
            if len(shape) not in dimensions or 0 in shape:
                raise UserError(f"{path}: shape {shape}; {expected}, not empty")
            size = int(np.prod(shape, dtype=object)) * dtype.itemsize
            there = os.fstat(file.fileno()).st_size - file.tell()
            if size != there:
                raise UserError(f"{path}: {there} bytes of data, but its header claims {size}; {expected}")
            as_floats = 4 * size / dtype.itemsize
            require_memory(size + 2 * as_floats, f"{path}: {shape[0]} rows", "give fewer patterns")
            file.seek(0)
            array = np.load(file, allow_pickle=False)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; {expected}{datasets.suggestion(path)}") from None
    except (ValueError, EOFError, MemoryError) as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise UserError(f"{path}: not a readable array ({reason}); {expected}") from None
    finite = np.isfinite(array)
    if not finite.all():
        place = np.unravel_index(finite.argmin(), finite.shape)
        names = ("row", "column") if finite.ndim < 3 else ("picture", "row", "column", "channel")
        at = ", ".join(f"{name} {n}" for name, n in zip(names, place, strict=False))
        raise UserError(f"{path}: NaN or infinity in {at}; {expected}, finite numbers")
    return array
