"""Checkpoints: Orbax has each appear whole or not at all, and keeps the right ones; NumPy writes the arrays.

A checkpoint's `default/arrays.npz` opens with `numpy.load`.
"""

import logging
import sys
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, LatestN, PreservationPolicy

from exhibits.common.errors import UserError
from exhibits.common.files import read_arrays, write_arrays

FILE = "arrays.npz"
logging.getLogger("absl").setLevel(logging.CRITICAL)  # what Orbax logs of full disks, we say in one line


class _Handler(ocp.CheckpointHandler):
    """Writes the arrays of a checkpoint for Orbax."""

    def save(self, directory: Path, args: "_Save") -> None:
        write_arrays(Path(directory) / FILE, args.arrays)

    def restore(self, directory: Path, args: Any = None) -> Any:
        raise NotImplementedError("ParameterStore.load reads")


@ocp.args.register_with_handler(_Handler, for_save=True, for_restore=True)
@dataclass
class _Save(ocp.args.CheckpointArgs):
    arrays: dict[str, np.ndarray]


class _Named(PreservationPolicy):
    """The saves that stay because they were named."""

    steps: Collection[int] = ()

    def should_preserve(self, checkpoints: Any, *, context: Any) -> list[bool]:
        return [checkpoint.step in self.steps for checkpoint in checkpoints]


class ParameterStore:
    """Keeps the last saved arrays, each with the step it was saved at, in a folder of their own.

    Saving goes on in the background. A newer save is complete before the oldest one goes. A bit that flips on disk is
    found out. To be used in a `with` block, or closed.

    Args:
        folder: made when something is saved.
        keep: how many of the newest saves stay.
    """

    def __init__(self, folder: Path, keep: int = 1):
        self.folder, self.keep = folder, keep
        self._also = _Named()
        self._thread: ThreadPoolExecutor | None = None  # the only one that calls the manager
        self._manager: ocp.CheckpointManager | None = None
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
                self._saving = self._thread.submit(self._manager.close)
                self.wait()
            finally:
                self._thread.shutdown()
                self._thread = self._manager = None

    def steps(self) -> list[int]:
        """Steps that are saved, the newest first."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        return sorted((int(name) for name in names if name.isdecimal() and name.isascii()), reverse=True)

    def save(self, step: int, arrays: dict[str, Any], also: Collection[int] = ()) -> None:
        """Begins to save a dictionary of arrays, in place of what there is of that step and later ones.

        Args:
            step: number of the save, at least 0.
            arrays: what to save.
            also: earlier saves that stay, besides the newest ones.

        Raises:
            UserError: if the save before could not be written.
        """
        self.wait()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "checkpoints")
        self._saving = self._thread.submit(self._save, step, _named(arrays), frozenset(also))

    def _save(self, step: int, arrays: dict[str, np.ndarray], also: frozenset[int]) -> None:
        if self._manager is None:
            stays = AnyPreservationPolicy([LatestN(self.keep), self._also])
            # In the thread of ours Orbax takes less time; what a kill has left half-written goes.
            options = ocp.CheckpointManagerOptions(
                preservation_policy=stays, enable_async_checkpointing=False, cleanup_tmp_directories=True
            )
            self._manager = ocp.CheckpointManager(self.folder.resolve(), options=options, item_handlers=_Handler())
        for later in self.steps():
            if later >= step:
                self._manager.delete(later)
        self._also.steps = also
        self._manager.save(step, args=_Save(arrays))

    def wait(self) -> None:
        """Returns when everything is on disk.

        Raises:
            UserError: if it cannot be written.
        """
        if self._saving is not None:
            saving, self._saving = self._saving, None
            try:
                saving.result()
            except Exception as error:  # Orbax raises whatever the disk makes it raise
                reason = " ".join(str(error).split())[:160]
                message = f"{self.folder}: cannot be written ({reason}); the checkpoint before is kept"
                raise UserError(message) from None

    def load(self, like: dict[str, Any], step: int | None = None) -> tuple[int, dict[str, Any]]:
        """Step and arrays of the newest save that is whole, or of that step.

        Says on standard error what is wrong with newer ones.

        Args:
            like: arrays of the names, shapes and types that are expected.
            step: which save.

        Raises:
            UserError: if there is none, or all are damaged or another circuit's.
        """
        steps = self.steps() if step is None else [step]
        if not steps:
            raise UserError(f"{self.folder}: no saved parameters; train first (sim.sh or the train script)")
        names, kind = _named(like), jax.tree.structure(like)
        wrong = []
        for step in steps:
            try:
                arrays = read_arrays(self.folder / str(step) / "default" / FILE, names)
            except Exception as error:  # whatever zipfile finds
                reason = " ".join(str(error).split())[:160]
                wrong.append(f"{self.folder / str(step)}: damaged, or of another circuit ({reason})")
                continue
            for each in wrong:
                print(f"{each}; going back to {step}", file=sys.stderr)
            return step, jax.tree.unflatten(kind, arrays.values())
        raise UserError(f"{wrong[0]}; train again, with --resume never")


def _named(arrays: dict[str, Any]) -> dict[str, Any]:
    """The leaves of a tree by path."""
    leaves = jax.tree_util.tree_leaves_with_path(arrays)
    return {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf) for path, leaf in leaves}
