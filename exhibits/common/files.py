"""Files that appear whole or not at all."""

import contextlib
import io
import json
import os
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from exhibits.common.errors import UserError

MAX_HEADER_BYTES = 2000  # of an array in an .npz file: zip's two headers and NumPy's
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


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an .npz file, not compressed: weights hardly get smaller."""
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read_arrays(path: Path, like: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of an .npz file of `write_arrays`, of the names, shapes and types that `like` has.

    Raises:
        ValueError: if one is missing, damaged (each has its CRC-32), or claims to be other than expected; before memory
            is taken for it.
        Exception: whatever else zipfile finds wrong.
    """
    with path.open("rb") as file:
        there, most = os.fstat(file.fileno()).st_size, sum(leaf.nbytes + MAX_HEADER_BYTES for leaf in like.values())
        if there > most:
            raise ValueError(f"{there} bytes, expected at most {most}")
        with zipfile.ZipFile(file) as archive:
            return {name: _read_member(archive, name, leaf.shape, leaf.dtype) for name, leaf in like.items()}


def _read_member(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name}: compressed, as none of ours is")
    content = io.BytesIO(archive.read(info))
    claims = npy_header(content)
    if claims != (shape, dtype):
        raise ValueError(f"{name}: {claims[1]} {claims[0]}, expected {dtype} {shape}")
    content.seek(0)
    return np.lib.format.read_array(content, allow_pickle=False)


def npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type that a .npy file claims to hold.

    Raises:
        ValueError: if it is not one.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"format version {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the syntax of a damaged header, of types that NumPy will not know
            shape, _, dtype = read(file)
    except OSError:
        raise
    except Exception as error:  # a damaged header raises whatever ast, tokenize or np.dtype do
        raise ValueError(f"header: {error}") from None
    if not all(0 <= n < 2**40 for n in shape):
        raise ValueError(f"shape {shape}")
    return shape, dtype


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
