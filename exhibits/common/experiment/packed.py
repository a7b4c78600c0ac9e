"""Trained networks small enough to ship: weights in 8 bits, with a scale for each column.

The folder of a pretrained network is that of a run, with `weights.npz` in place of its checkpoints: of each matrix the
integers and, as `<name>:scale`, what each of its columns is multiplied by; biases and means as they are; and the record
of the best epoch's checkpoint. The state of the optimizer is left out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from exhibits.common.circuit.circuit import WEIGHTS
from exhibits.common.experiment.checkpoints import MAX_RECORD_BYTES, RECORD, reason, refuse_implausible
from exhibits.common.experiment.schema import Record
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import read_arrays, read_some_arrays, write_arrays

FILE = "weights.npz"
SCALE = ":scale"


def pack(parameters: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of `weights.npz`: w = integer * scale, with the largest |w| of a column at 127."""
    arrays = {}
    for name, value in parameters.items():
        if not name.endswith(WEIGHTS):
            continue
        w = np.asarray(value)
        if not name.endswith(".weights"):
            arrays[name] = w
        else:
            largest = np.abs(w).max(axis=0)
            scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
            arrays |= {name: np.rint(w / scale).astype(np.int8), name + SCALE: scale}
    return arrays


def unpack(arrays: Mapping[str, np.ndarray], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A circuit's parameters with the weights and biases of such arrays."""

    def restored(name: str, value: Any) -> Any:
        if name + SCALE in arrays:
            return arrays[name].astype(np.float32) * arrays[name + SCALE]
        return arrays.get(name, value)

    return {name: restored(name, value) for name, value in parameters.items()}


def save(path: Path, parameters: Mapping[str, Any], record: Record) -> None:
    """Writes `weights.npz`."""
    write_arrays(path, pack(parameters) | {RECORD: np.frombuffer(msgspec.json.encode(record), np.uint8)})


def load(path: Path, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], Record]:
    """What `save` wrote, for a circuit with such parameters.

    Raises:
        UserError: if it is damaged, or of another circuit.
    """
    try:
        record = Record.decode(read_some_arrays(path, (RECORD,), MAX_RECORD_BYTES)[RECORD].tobytes())
        arrays = read_arrays(path, pack(parameters), extra=MAX_RECORD_BYTES)
        refuse_implausible(arrays)
    except Exception as error:  # whatever zipfile finds
        why = reason(error)
        raise UserError(f"{path}: damaged, or not of this circuit ({why}); put back the original file") from None
    return unpack(arrays, parameters), record
