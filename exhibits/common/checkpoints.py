"""A circuit's parameters on disk: Orbax writes arrays only, and a folder appears whole or not at all."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from exhibits.common.errors import UserError


class ParameterStore:
    """Keeps the last saved parameters, with the epoch they were saved at, in a folder of their own.

    A newer save is complete before the older one goes.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def save(self, epoch: int, arrays: dict[str, Any]) -> None:
        """Saves a dictionary of arrays; returns when it is on disk."""
        with self._manager(max_to_keep=1) as manager:
            manager.save(epoch, args=ocp.args.StandardSave(jax.tree.map(np.asarray, arrays)))
            manager.wait_until_finished()

    def load(self, like: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Epoch and arrays, which must have the names, shapes and types of those in `like`.

        Raises:
            UserError: if there are none, or they are damaged or another circuit's.
        """
        if not self.folder.is_dir():
            raise UserError(f"{self.folder}: no saved parameters; train first (sim.sh or the train script)")
        expected = jax.tree.map(lambda a: jax.ShapeDtypeStruct(np.shape(a), np.asarray(a).dtype), like)
        try:
            with self._manager(create=False) as manager:
                epoch = manager.latest_step()
                if epoch is None:
                    raise UserError(f"{self.folder}: no saved parameters; train first (sim.sh or the train script)")
                arrays = manager.restore(epoch, args=ocp.args.StandardRestore(expected))
        except UserError:
            raise
        except Exception as error:  # Orbax and TensorStore raise whatever the damage makes them raise
            reason = " ".join(str(error).split())[:160]
            raise UserError(f"{self.folder}: damaged, or of another circuit ({reason}); train again") from None
        fits = jax.tree.map(lambda e, a: (e.shape, e.dtype) == (a.shape, a.dtype), expected, arrays)
        if not all(jax.tree.leaves(fits)):
            raise UserError(f"{self.folder}: shapes of another circuit; train again")
        return epoch, arrays

    def _manager(self, **options) -> ocp.CheckpointManager:
        return ocp.CheckpointManager(self.folder.resolve(), options=ocp.CheckpointManagerOptions(**options))
