"""Files that appear whole or not at all; files that are looked at before they are read."""

import contextlib
import fcntl
import io
import itertools
import math
import os
import secrets
import stat
import warnings
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar, overload

import msgspec
import numpy as np

from exhibits.common.system.errors import UserError

MAX_HEADER_BYTES = 2000  # of an array in an .npz file: zip's two headers and NumPy's
MAX_NPY_HEADER_BYTES = 10_000  # NumPy's own limit, which it applies once it has read all of the header
MAX_JSON_BYTES = 1 << 24  # a run of 10,000 epochs writes some 3 MB
KINDS = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}

T = TypeVar("T")


def open_regular(path: Path) -> IO[bytes]:
    """Opens a file for reading; anything else (a FIFO, a device) might block or never end.

    Raises:
        OSError: if there is no such file, or it is of another kind.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    kind = stat.S_IFMT(os.fstat(handle).st_mode)
    if kind == stat.S_IFREG:
        return os.fdopen(handle, "rb")
    os.close(handle)
    raise OSError(0, f"is {KINDS.get(kind, 'a device')}, not a regular file")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A binary file to write to; takes the place of `path` when the block ends well, else leaves no trace."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)  # what the umask leaves
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
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


def read_arrays(path: Path, like: Mapping[str, Any], extra: int = 0) -> dict[str, np.ndarray]:
    """The arrays of an .npz file of `write_arrays`, of the names, shapes and types that `like` has.

    Args:
        path: the file.
        like: arrays by name.
        extra: bytes that the file may have besides them.

    Raises:
        ValueError: if one is missing, damaged (each has its CRC-32), or claims to be other than expected; before memory
            is taken for it.
        Exception: whatever else zipfile finds wrong.
    """
    most = extra + sum(leaf.nbytes + MAX_HEADER_BYTES for leaf in like.values())
    with _archive(path, most) as archive:
        found = {}
        for name, leaf in like.items():
            content, (shape, dtype) = _member(archive, name, leaf.nbytes)
            if (shape, dtype) != (leaf.shape, leaf.dtype):
                raise ValueError(f"{name}: {dtype} {shape}, expected {leaf.dtype} {leaf.shape}")
            found[name] = np.lib.format.read_array(content, allow_pickle=False)
        return found


def read_some_arrays(path: Path, names: Collection[str], most: int) -> dict[str, np.ndarray]:
    """Those of some arrays that an .npz file of `write_arrays` has, of at most so many bytes each.

    Raises:
        ValueError: as `read_arrays`.
        Exception: whatever else zipfile finds wrong.
    """
    with _archive(path) as archive:
        there = [name for name in names if f"{name}.npy" in archive.namelist()]
        contents = {name: _member(archive, name, most)[0] for name in there}
        return {name: np.lib.format.read_array(content, allow_pickle=False) for name, content in contents.items()}


@contextlib.contextmanager
def _archive(path: Path, most: int | None = None) -> Iterator[zipfile.ZipFile]:
    with open_regular(path) as file:
        there = os.fstat(file.fileno()).st_size
        if most is not None and there > most:
            raise ValueError(f"{there} bytes, expected at most {most}")
        with zipfile.ZipFile(file) as archive:
            yield archive


def _member(archive: zipfile.ZipFile, name: str, most: int) -> tuple[io.BytesIO, tuple[tuple[int, ...], np.dtype]]:
    """An array of an archive as a .npy file, with the shape and type that it claims; no larger than `most` bytes."""
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name}: compressed, as none of ours is")
    if info.file_size > most + MAX_HEADER_BYTES:
        raise ValueError(f"{name}: {info.file_size} bytes, expected at most {most}")
    content = io.BytesIO(archive.read(info))
    shape, dtype = npy_header(content)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content.getbuffer()) - content.tell():
        raise ValueError(f"{name}: {dtype} {shape}, expected as much as its {info.file_size} bytes hold")
    content.seek(0)
    return content, (shape, dtype)


def npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type that a .npy file claims to hold.

    Raises:
        ValueError: if it is not one.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"format version {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    start = file.tell()
    length = int.from_bytes(file.read(2 if version == (1, 0) else 4), "little")
    if length > MAX_NPY_HEADER_BYTES:
        raise ValueError(f"header of {length} bytes")
    file.seek(start)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the syntax of a damaged header, of types that NumPy will not know
            shape, _, dtype = read(file)
    except OSError:
        raise
    except Exception as error:  # a damaged header raises whatever ast, tokenize or np.dtype do
        raise ValueError(f"header: {error}") from None
    if not all(type(n) is int and 0 <= n < 2**40 for n in shape):  # True is an int as well
        raise ValueError(f"shape {shape}")
    return shape, dtype


def numbered(path: Path) -> Iterator[Path]:
    """That path, then with -2, -3, ... at its end, without end."""
    yield path
    yield from (path.with_name(f"{path.name}-{n}") for n in itertools.count(2))


def make_folder(folder: Path) -> None:
    """Makes a folder, and those above it, where there is none.

    Raises:
        UserError: if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}; expected a folder that can be written to") from None


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file, indented. Numbers that are not finite become null.

    Raises:
        UserError: if it holds the name of a file that is not UTF-8.
    """
    try:
        text = msgspec.json.encode(value, enc_hook=_plain)
    except UnicodeEncodeError as error:
        raise UserError(f"{path}: cannot name {error.object!r}, which is not UTF-8; rename it") from None
    with replacing(path) as file:
        file.write(msgspec.json.format(text, indent=2) + b"\n")


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays, and paths, as what JSON has."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


@overload
def read_json(path: Path) -> Any: ...
@overload
def read_json(path: Path, kind: type[T], expected: str = ...) -> T: ...
def read_json(path: Path, kind: Any = Any, expected: str = "a file that a training run wrote") -> Any:
    """What a JSON file of at most 16 MB holds, with the types and ranges that `kind` declares.

    Args:
        path: the file.
        kind: what msgspec can decode: a `Struct`, a dictionary or list of them, or Any.
        expected: what the file should have been, for the message.

    Raises:
        UserError: if it is missing, larger, not JSON, or something else.
    """
    try:
        with open_regular(path) as file:
            text = file.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; expected {expected}") from None
    if len(text) > MAX_JSON_BYTES:
        raise UserError(f"{path}: more than {MAX_JSON_BYTES} bytes; expected {expected}")
    try:
        return msgspec.json.decode(text, type=kind)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON as expected ({error}); expected {expected}") from None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes that lock the same folder out of the block; waits for those that are in theirs.

    Raises:
        UserError: if it cannot be locked.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            raise UserError(f"{folder}: cannot be locked ({error.strerror}); expected one on a local disk") from None
        yield
    finally:
        os.close(handle)
