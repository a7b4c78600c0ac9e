"""Files that appear whole or not at all."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from exhibits.common.errors import UserError

MAX_JSON_BYTES = 1 << 20  # no honest file of ours comes near


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A binary file to write to; takes the place of `path` when the block ends well, else leaves no trace."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def write_array(path: Path, array: Any) -> None:
    """Writes a .npy file."""
    with replacing(path) as file:
        np.save(file, np.asarray(array), allow_pickle=False)


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file, indented."""
    with replacing(path) as file:
        file.write((json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """What a JSON file of at most a megabyte holds.

    Raises:
        UserError: if it is missing, larger, or not JSON.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; expected a file that a training run wrote") from None
    if len(text) > MAX_JSON_BYTES:
        raise UserError(f"{path}: more than {MAX_JSON_BYTES} bytes; expected a file that a training run wrote")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}); expected a file that a training run wrote") from None
