"""Checkpoints: each appears whole or not at all, in a thread of its own; NumPy opens them.

`checkpoints/<step>/default/arrays.npz` holds the parameters by name and, as `record`, the JSON of `schema.Record`.
"""

import contextlib
import errno
import os
import re
import secrets
import sys
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import msgspec
import numpy as np

from exhibits.common.experiment import format1
from exhibits.common.experiment.schema import Identity, Record
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import read_arrays, read_some_arrays, write_arrays

FILE = Path("default") / "arrays.npz"
RECORD = "record"
MAX_RECORD_BYTES = 1 << 24
MAX_PARAMETER = 1e18  # in size
# Files of a checkpoint that may be deleted with it; Orbax, which format 1 was written with, left the others.
OUR_FILES = (FILE, Path("_CHECKPOINT_METADATA"), Path("commit_success.txt"), Path("default/commit_success.txt"))


class ParameterStore:
    """Keeps the last saved arrays, each with the step it was saved at, in a folder of their own.

    Saving goes on in the background. A newer save is complete before the oldest one goes. A flipped bit on disk
    is detected. Only saves of the same identity are ever deleted. To be used in a `with` block, or closed.

    Args:
        folder: made when something is saved.
        keep: how many of the newest saves stay.
        identity: of the run that saves; None to read only.
        check: called before anything is written; raises if nothing may be.
    """

    def __init__(
        self,
        folder: Path,
        keep: int = 1,
        identity: Identity | None = None,
        check: Callable[[], None] = lambda: None,
    ):
        self.folder, self.keep, self.identity, self.check = folder, keep, identity, check
        self._own: set[int] = set()  # steps that this run saved, or an earlier part of it
        self._thread: ThreadPoolExecutor | None = None
        self._saving: Future | None = None

    def __enter__(self) -> "ParameterStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Waits for what is being saved.

        Raises:
            UserError: if it cannot be written.
        """
        if self._thread is not None:
            try:
                self.wait()
            finally:
                self._thread.shutdown()
                self._thread = None

    def steps(self) -> list[int]:
        """Steps that are saved, the newest first."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        found = [int(name) for name in names if re.fullmatch(r"0|[1-9]\d{0,17}", name, re.ASCII)]
        return sorted((step for step in found if (self.folder / str(step) / FILE).exists()), reverse=True)

    def save(self, step: int, arrays: dict[str, Any], kept: Collection[int] = (), record: Record | None = None) -> None:
        """Begins to save a dictionary of arrays, in place of what this run has of that step and later ones.

        Args:
            step: number of the save, at least 0.
            arrays: what to save.
            kept: earlier saves that stay, besides the newest ones.
            record: what to save beside the arrays.

        Raises:
            UserError: if the save before could not be written.
        """
        self.wait()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "checkpoints")
        named = _named(arrays)
        if record is not None:
            named[RECORD] = np.frombuffer(msgspec.json.encode(record), np.uint8)
        self._saving = self._thread.submit(self._save, step, named, frozenset(kept))

    def _save(self, step: int, arrays: dict[str, np.ndarray], kept: frozenset[int]) -> None:
        self.check()
        for later in self._own_steps():
            if later >= step:
                self._delete(later)
        folder, unfinished = self.folder / str(step), self.folder / f".{step}.unfinished"
        _remove(unfinished)  # a kill left it
        (unfinished / FILE).parent.mkdir(parents=True)
        write_arrays(unfinished / FILE, arrays)
        self.check()
        if self._is_own(step):  # of an earlier part of this run, which did not load it
            self._delete(step)
        if folder.exists():  # damaged, or a stranger's
            folder.rename(self.folder / f"{step}.set-aside-{secrets.token_hex(4)}")
        unfinished.rename(folder)
        _sync(self.folder)
        self._own.add(step)
        for old in self._own_steps()[self.keep :]:
            if old not in kept:
                self._delete(old)

    def _own_steps(self) -> list[int]:
        return [step for step in self.steps() if step in self._own]

    def _delete(self, step: int) -> None:
        _remove(self.folder / str(step))
        self._own.discard(step)

    def wait(self) -> None:
        """Returns when everything is on disk.

        Raises:
            UserError: if it cannot be written.
        """
        if self._saving is not None:
            saving, self._saving = self._saving, None
            try:
                saving.result()
            except OSError as error:
                message = f"{self.folder}: cannot be written ({reason(error)}); the checkpoint before is kept"
                raise UserError(message) from None

    def record(self, step: int) -> Record | None:
        """What was saved beside the arrays of a step; None if nothing was.

        Raises:
            ValueError: if it is damaged or cannot be.
            Exception: whatever zipfile finds wrong.
        """
        found = read_some_arrays(self.folder / str(step) / FILE, (RECORD, *format1.NAMES), MAX_RECORD_BYTES)
        if RECORD in found:
            return Record.decode(found[RECORD].tobytes())
        return Record(None, format1.progress(found)) if len(found) == len(format1.NAMES) else None

    def load(
        self, like: dict[str, Any], step: int | None = None, check: Callable[[Record | None], None] | None = None
    ) -> tuple[int, dict[str, Any], Record | None]:
        """Step, arrays and record of the newest save that is whole, or of that step.

        Says on standard error what is wrong with newer ones.

        Args:
            like: arrays of the names, shapes and types that are expected.
            step: which save.
            check: of the record; raises a ValueError if it cannot be.

        Raises:
            UserError: if there is none, or all are damaged or of another run or circuit.
        """
        steps = self.steps() if step is None else [step]
        if not steps:
            raise UserError(f"{self.folder}: no saved parameters; train first (sim.sh or the train script)")
        names, kind = _named(like), jax.tree.structure(like)
        wrong = []
        for step in steps:
            path = self.folder / str(step)
            try:
                record = self.record(step)
                if others := self._differences(record):
                    raise ValueError(f"differs from config.json and run.json in {', '.join(others)}")
                if check is not None:
                    check(record)
                arrays = read_arrays(path / FILE, names, extra=MAX_RECORD_BYTES)
                refuse_implausible(arrays)
            except Exception as error:  # whatever zipfile finds
                wrong.append(f"{path}: damaged, or not of this run ({reason(error)})")
                continue
            for each in wrong:
                print(f"{each}; going back to {step}", file=sys.stderr)
            self._own |= {each for each in steps if each == step or self._is_own(each)}
            return step, jax.tree.unflatten(kind, arrays.values()), record
        raise UserError(f"{wrong[0]}; put back the original files, or train again with --resume never")

    def _differences(self, record: Record | None) -> list[str]:
        """What differs between a save's run and this one; empty if nothing does, or if the save is too old to tell."""
        if self.identity is None or record is None or record.identity is None:
            return []
        return list(record.identity.differences(self.identity))

    def _is_own(self, step: int) -> bool:
        try:
            record = self.record(step)
            return record is not None and not self._differences(record)
        except Exception:  # damaged: whose it is cannot be told
            return False


def reason(error: Exception) -> str:
    """What went wrong, in one line."""
    return " ".join(str(error).split())[:160] or type(error).__name__


def _named(arrays: dict[str, Any]) -> dict[str, Any]:
    """The leaves of a tree by path."""
    leaves = jax.tree_util.tree_leaves_with_path(arrays)
    return {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf) for path, leaf in leaves}


def refuse_implausible(arrays: dict[str, np.ndarray]) -> None:
    """Raises a ValueError for NaN, infinity, and numbers so large that sums of products may overflow float32."""
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            continue
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds NaN or infinity")
        if np.abs(array).max(initial=0.0) > MAX_PARAMETER:
            raise ValueError(f"{name} holds numbers beyond {MAX_PARAMETER:g}")


def _remove(checkpoint: Path) -> None:
    """Deletes the files of a checkpoint and its folders, unless something else is there too."""
    for name in OUR_FILES:
        (checkpoint / name).unlink(missing_ok=True)
    for part in (checkpoint / "default").glob(f".{FILE.name}.*"):  # half-written
        part.unlink()
    for folder in (checkpoint / "default", checkpoint):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _sync(folder: Path) -> None:
    """Flushes a folder's names to the disk, where its file system can do that."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # as folders shared with a virtual machine say
            raise
    finally:
        os.close(handle)
