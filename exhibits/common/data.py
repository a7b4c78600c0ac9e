"""Patterns and labels from .npy files, checked before memory is taken; loading never runs code."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from exhibits.common import datasets
from exhibits.common.config import TrainingConfig
from exhibits.common.errors import UserError
from exhibits.common.files import npy_header


class Patterns(NamedTuple):
    """N labelled patterns.

    Attributes:
        x: (N, D) float32 in [0, 1].
        y: (N, C) float32, one-hot.
    """

    x: np.ndarray
    y: np.ndarray


def load_for_training(config: TrainingConfig) -> tuple[Patterns, Patterns | None]:
    """Training and development patterns of a configuration; both as one, and None, if it wants them joined.

    Raises:
        UserError: if a file is missing or unfit, or the two sets differ in pixels or classes.
    """
    train = load_patterns(config.dataX, config.dataY)
    dev = load_patterns(config.devX, config.devY)
    for what, path, expected, got in (
        ("pixels", config.devX, train.x.shape[1], dev.x.shape[1]),
        ("classes", config.devY, train.y.shape[1], dev.y.shape[1]),
    ):
        if got != expected:
            raise UserError(f"{path}: {got} {what} a row; expected {expected}, as in the training set")
    return (Patterns(*map(np.concatenate, zip(train, dev, strict=True))), None) if config.join_dev else (train, dev)


def load_patterns(x_path: Path, y_path: Path) -> Patterns:
    """Loads and checks patterns and their labels; prepares a known data set whose arrays are missing.

    Raises:
        UserError: if a file is missing or unfit, in one line that names it.
    """
    for path in (x_path, y_path):
        _prepare_if_known(path)
    x, y = _load(x_path, "patterns (N, D)"), _load(y_path, "one-hot labels (N, C)")
    if not (x.min() >= 0 and x.max() <= 1):
        hint = "; divide 8-bit pixels by 255" if x.max() <= 255 and x.min() >= 0 else ""
        raise UserError(f"{x_path}: values from {x.min():g} to {x.max():g}; expected all in [0, 1]{hint}")
    if len(x) != len(y):
        raise UserError(f"{y_path}: {len(y)} rows; expected {len(x)} rows, as many as in {x_path}")
    if y.shape[1] < 2 or not (np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()):
        raise UserError(f"{y_path}: rows are not one-hot; expected one 1 among 0s in each of 2 or more columns")
    return Patterns(x, y)


def picture_shape(n_pixels: int) -> tuple[int, int] | None:
    """Height and width of a square picture of that many pixels; None if there is none."""
    side = round(n_pixels**0.5)
    return (side, side) if side * side == n_pixels else None


def class_names(y_path: Path, n_classes: int) -> tuple[str, ...]:
    """Names of the classes of labels from a file: those of a known data set, else 0, 1, ..."""
    name = datasets.known(y_path)
    return datasets.SOURCES[name].classes if name else tuple(map(str, range(n_classes)))


def _prepare_if_known(path: Path) -> None:
    """The arrays of known data sets are not in the repository, only the files that they are made from."""
    name = datasets.known(path)
    if name and not path.exists():
        print(f"Preparing {name} in {path.parent}", flush=True)
        datasets.prepare(name)


def _load(path: Path, what: str) -> np.ndarray:
    """A finite, non-empty matrix of numbers, as float32."""
    expected = f"expected a .npy file with {what}"
    try:
        with path.open("rb") as file:
            shape, dtype = npy_header(file)
            if dtype.kind not in "fiub":
                raise UserError(f"{path}: holds values of type {dtype}; {expected}, real numbers")
            if len(shape) != 2 or 0 in shape:
                hint = "; np.eye(C)[labels] makes one-hot rows" if len(shape) == 1 and "labels" in what else ""
                raise UserError(f"{path}: shape {shape}; {expected}, not empty{hint}")
            size = int(np.prod(shape, dtype=object)) * dtype.itemsize
            there = os.fstat(file.fileno()).st_size - file.tell()
            if size != there:
                raise UserError(f"{path}: {there} bytes of data, but its header claims {size}; {expected}")
            file.seek(0)
            array = np.load(file, allow_pickle=False)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; {expected}") from None
    except (ValueError, EOFError, MemoryError) as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise UserError(f"{path}: not a readable array ({reason}); {expected}") from None
    finite = np.isfinite(array)
    if not finite.all():
        row, column = np.unravel_index(finite.argmin(), finite.shape)
        raise UserError(f"{path}: NaN or infinity in row {row}, column {column}; {expected}, finite numbers")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which no range admits
        return array.astype(np.float32, order="C", copy=False)
