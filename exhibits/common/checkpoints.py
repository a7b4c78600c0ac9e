"""Arrays on disk: Orbax writes arrays only, and a checkpoint appears whole or not at all."""

import logging
import math
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore

from exhibits.common.errors import UserError

# What Orbax logs of damaged files and full disks, we say in one line, and what its threads print then.
logging.getLogger("absl").setLevel(logging.CRITICAL)


def _but_of_closed_loops(unraisable: Any, hook: Callable = sys.unraisablehook) -> None:
    """TensorStore's threads print that Orbax no longer listens when the failure has been raised already."""
    if str(unraisable.exc_value) != "Event loop is closed":
        hook(unraisable)


sys.unraisablehook = _but_of_closed_loops


class ParameterStore:
    """Keeps the last saved arrays, each with the step it was saved at, in a folder of their own.

    Saving goes on in the background. A newer save is complete before the oldest one goes. A checksum travels with the
    arrays, so that a bit that flips on disk is found out. To be used in a `with` block, or closed.

    Args:
        folder: made when something is saved.
        keep: how many saves.
    """

    def __init__(self, folder: Path, keep: int = 1):
        self.folder, self.keep = folder, keep
        self._open: ocp.CheckpointManager | None = None

    def __enter__(self) -> "ParameterStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Waits for what is being saved.

        Raises:
            UserError: if it cannot be written.
        """
        if self._open is not None:
            manager, self._open = self._open, None
            try:
                manager.wait_until_finished()
                manager.close()
            except Exception as error:
                raise self._unwritable(error) from None

    def steps(self) -> list[int]:
        """Steps that are saved, the newest first."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        return sorted((int(name) for name in names if name.isdecimal() and name.isascii()), reverse=True)

    def save(self, step: int, arrays: dict[str, Any]) -> None:
        """Begins to save a dictionary of arrays, in place of what there is of that step and later ones.

        Raises:
            UserError: if this or the save before cannot be written.
        """
        arrays = jax.tree.map(np.asarray, arrays)
        try:
            manager = self._manager()
            for later in self.steps():
                if later >= step:
                    manager.delete(later)
            manager.save(step, args=ocp.args.StandardSave(arrays | {"checksum": _checksum(arrays)}))
        except Exception as error:  # Orbax and TensorStore raise whatever the disk makes them raise
            raise self._unwritable(error) from None

    def wait(self) -> None:
        """Returns when everything is on disk.

        Raises:
            UserError: if it cannot be written.
        """
        try:
            if self._open is not None:
                self._open.wait_until_finished()
        except Exception as error:
            raise self._unwritable(error) from None

    def load(self, like: dict[str, Any], step: int | None = None) -> tuple[int, dict[str, Any]]:
        """Step and arrays of the newest save, or of that step.

        Args:
            like: arrays of the names, shapes and types that are expected.
            step: which save.

        Raises:
            UserError: if there is none, or it is damaged or another circuit's.
        """
        steps = self.steps() if step is None else [step]
        if not steps:
            raise UserError(f"{self.folder}: no saved parameters; train first (sim.sh or the train script)")
        like = like | {"checksum": np.uint32(0)}
        expected = jax.tree.map(lambda a: jax.ShapeDtypeStruct(np.shape(a), np.asarray(a).dtype), like)
        try:
            arrays = self._read(steps[0], expected)
        except Exception as error:  # whatever TensorStore finds
            reason = " ".join(str(error).split())[:160]
            raise UserError(f"{self.folder}: damaged, or of another circuit ({reason}); train again") from None
        checksum = arrays.pop("checksum")
        if checksum != _checksum(arrays):
            raise UserError(f"{self.folder}: damaged (wrong checksum); train again")
        return steps[0], arrays

    def _read(self, step: int, like: Any) -> Any:
        """The arrays of a save, where Orbax has put them: its own reading of a damaged one chatters from many threads.

        Raises:
            ValueError: if one is missing, damaged, or claims to be of another shape or type than `like` has it; before
                memory for it is taken.
        """
        files = {"driver": "ocdbt", "base": f"file://{self.folder.resolve() / str(step) / 'default'}/"}

        def read(path: Any, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            spec = {"driver": "zarr", "kvstore": files | {"path": f"{name}/"}, "fill_missing_data_reads": False}
            array = tensorstore.open(spec, open=True).result()
            claims = (array.shape, array.dtype.numpy_dtype)
            if claims != (leaf.shape, leaf.dtype) or math.prod(array.chunk_layout.read_chunk.shape or ()) > leaf.size:
                raise ValueError(f"{name}: {claims[1]} {claims[0]}, expected {leaf.dtype} {leaf.shape}")
            return array.read().result()

        return jax.tree_util.tree_map_with_path(read, like)

    def _manager(self) -> ocp.CheckpointManager:
        if self._open is None:
            # What a kill has left half-written goes.
            options = ocp.CheckpointManagerOptions(max_to_keep=self.keep, cleanup_tmp_directories=True)
            self._open = ocp.CheckpointManager(self.folder.resolve(), options=options)
        return self._open

    def _unwritable(self, error: Exception) -> UserError:
        reason = " ".join(str(error).split())[:160]
        return UserError(f"{self.folder}: cannot be written ({reason}); the checkpoint before is kept")


def _checksum(arrays: Any) -> np.uint32:
    value = 0
    for leaf in jax.tree.leaves(arrays):
        value = zlib.crc32(np.ascontiguousarray(leaf), value)
    return np.uint32(value)
