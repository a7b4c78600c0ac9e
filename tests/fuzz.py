"""Throws made-up and damaged files at the loaders: `make fuzz` for minutes at each, test_fuzz.py a little.

Every file must load or be refused with a `UserError` of one line. Anything else, ten seconds over one file or a
gigabyte of memory is a find: Hypothesis shrinks it and prints it, to be kept as a case in the tests of the loader.
"""

import contextlib
import functools
import gzip
import io
import json
import resource
import shutil
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from exhibits.common.system.errors import UserError, reported

with reported():  # a package may be missing
    import numpy as np
    from hypothesis import HealthCheck, given, seed, settings
    from hypothesis import strategies as st

    from exhibits.common.data.datasets import read_idx
    from exhibits.common.data.loading import read_patterns
    from exhibits.common.experiment.checkpoints import ParameterStore
    from exhibits.common.experiment.config import TrainingConfig, from_json, to_json
    from exhibits.common.library.exhibit import Exhibit
    from exhibits.common.system.commandline import Parser
    from exhibits.common.system.places import exhibits

MAX_BYTES = 1 << 30
MAX_SECONDS = 10


@st.composite
def edited(draw: st.DrawFn, content: bytes) -> bytes:
    """Some bytes with a few of them changed, cut, put in or repeated."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at, end = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        how = draw(st.sampled_from(("flip", "cut", "end", "put in", "repeat")))
        if how == "flip" and at < len(data):
            data[at] ^= draw(st.integers(1, 255))
        elif how == "cut":
            del data[at:end]
        elif how == "end":
            del data[end:]
        elif how == "put in":
            data[at:at] = draw(st.binary(max_size=16))
        elif len(data) < 1 << 16:
            data[at:at] = data[at:end]
    return bytes(data)


def npy(array: np.ndarray) -> bytes:
    """An array as a .npy file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


Y = np.eye(3, dtype=np.float32)
SIZES = st.integers(0, 5) | st.sampled_from([-1, 1 << 20, 1 << 31, 1 << 40, 1 << 63, 10**30])
TYPES = st.sampled_from(
    [
        "'<f4'",
        "'>f8'",
        "'|b1'",
        "'|u1'",
        "'<i8'",
        "'<f2'",
        "'<c16'",
        "'|O'",
        "'|S3'",
        "'<U2'",
        "'|V8'",
        "'<M8[s]'",
        "[('a','<f4')]",
        "'<f4,<f4'",
        "()",
        "None",
        "''",
        "'f'*9",
        "'O'",
        "('<f4',(2,2))",
        "__import__('os')",
    ]
)


@st.composite
def npy_files(draw: st.DrawFn) -> bytes:
    """A .npy file whose header says anything."""
    shape = f"({''.join(f'{n}, ' for n in draw(st.lists(SIZES, max_size=4)))})"
    order = draw(st.sampled_from(("False", "True", "0", "'x'")))
    text = f"{{'descr': {draw(TYPES)}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    if draw(st.booleans()):
        text = draw(edited(text))
    major = draw(st.sampled_from((1, 2, 3, 4)))
    length = (len(text) + draw(st.sampled_from((0, 0, 0, -1, 7, 1 << 14)))) % (1 << 16)
    return b"\x93NUMPY" + bytes([major, 0]) + length.to_bytes(2 if major == 1 else 4, "little") + text + draw(BODY)


BODY = st.binary(max_size=64) | st.builds(bytes, st.sampled_from((12, 24, 36, 48, 72)))
IDX = b"\0\0\x08\x03" + np.array([2, 2, 2], ">u4").tobytes() + bytes(range(8))


@st.composite
def idx_files(draw: st.DrawFn) -> bytes:
    """An IDX file of any dimensions, perhaps compressed."""
    sizes = draw(st.lists(SIZES.map(lambda n: n % (1 << 32)), max_size=4))
    kind, n_sizes = draw(st.sampled_from((8, 8, 13, 0))), draw(st.sampled_from((len(sizes), 0, 3, 255)))
    content = bytes([0, 0, kind, n_sizes]) + np.array(sizes, ">u4").tobytes() + draw(BODY)
    return gzip.compress(content) if draw(st.booleans()) else content


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=8), values, max_size=4),
    max_leaves=8,
)


@st.composite
def config_files(draw: st.DrawFn, kind: type[TrainingConfig]) -> bytes:
    """A configuration some of whose fields hold anything."""
    values: dict[str, Any] = to_json(kind())
    for name in draw(st.lists(st.sampled_from(sorted(values)), max_size=3)):
        values[name] = draw(JSON)
    return json.dumps(values).encode()


def check_npy(folder: Path, content: bytes) -> None:
    """Patterns from a stranger."""
    (folder / "x.npy").write_bytes(content)
    np.save(folder / "y.npy", Y)
    (x, y), *_ = read_patterns(folder / "x.npy", folder / "y.npy")
    assert x.dtype == np.float32 and x.ndim == 2 and len(x) == len(y) and 0 <= x.min() <= x.max() <= 1


def check_idx(folder: Path, content: bytes) -> None:
    """A data set's file from a stranger."""
    (folder / "images").write_bytes(content)
    assert read_idx(folder / "images").dtype == np.uint8


def check_config(kind: type[TrainingConfig], folder: Path, content: bytes) -> None:
    """A run's configuration from a stranger."""
    path = folder / "config.json"
    path.write_bytes(content)
    config: Any = from_json(kind, path)
    assert from_json(kind, path) == config
    assert type(config.hid_dim) is tuple and isinstance(config.exp_dir, Path)


ARRAYS = {"parameters": {"W1.weights": np.arange(6, dtype=np.float32).reshape(2, 3)}, "temperature": np.float64(2.5)}
MEMBERS = {"parameters.W1.weights": ARRAYS["parameters"]["W1.weights"], "temperature": np.array(2.5)}


@functools.cache
def checkpoint() -> dict[str, bytes]:
    """The files of a checkpoint."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "store"
        with ParameterStore(folder) as store:
            store.save(4, ARRAYS)
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@st.composite
def checkpoints(draw: st.DrawFn) -> dict[str, bytes]:
    """A checkpoint with one or two damaged or missing files."""
    files = dict(checkpoint())
    for name in draw(st.lists(st.sampled_from(sorted(files)), min_size=1, max_size=2, unique=True)):
        if draw(st.integers(0, 9)) == 0:
            del files[name]
        else:
            files[name] = draw(edited(files[name]))
    return files


def check_checkpoint(folder: Path, content: dict[str, bytes]) -> None:
    """A checkpoint from a stranger, or from a bad disk."""
    store = folder / "store"
    shutil.rmtree(store, ignore_errors=True)
    for name, data in content.items():
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_bytes(data)
    with ParameterStore(store) as opened:
        step, arrays, _ = opened.load(ARRAYS)
    assert step == 4 and arrays["temperature"] == ARRAYS["temperature"]
    np.testing.assert_array_equal(arrays["parameters"]["W1.weights"], ARRAYS["parameters"]["W1.weights"])


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """An .npz file of any members, with honest checksums: what a stranger may make."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")  # of names that come twice
        for name in draw(st.sampled_from(([*MEMBERS], [*MEMBERS][:1], [*MEMBERS] * 2, [*MEMBERS, "x"]))):
            honest = MEMBERS.get(name, Y)
            member = draw(st.just(npy(honest)) | edited(npy(honest)) | npy_files())
            archive.writestr(f"{name}.npy", member, draw(st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))))
    return file.getvalue()


def check_archive(folder: Path, content: bytes) -> None:
    """A checkpoint's arrays from a stranger."""
    path = folder / "strange" / "4" / "default" / "arrays.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    _, arrays, _ = ParameterStore(folder / "strange").load(ARRAYS)
    found = {"parameters.W1.weights": arrays["parameters"]["W1.weights"], "temperature": arrays["temperature"]}
    for name, array in MEMBERS.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)


@dataclass(frozen=True)
class Target:
    """Files of a kind, made up or damaged, and what loads them."""

    files: st.SearchStrategy
    check: Callable[[Path, Any], None]


def damaged(*honest: bytes) -> st.SearchStrategy[bytes]:
    """Damaged files of a kind."""
    return st.one_of(*map(edited, honest))


TARGETS = {
    ".npy": Target(npy_files() | damaged(npy(Y), npy(np.asfortranarray(Y, ">f8"))), check_npy),
    "IDX": Target(idx_files() | damaged(IDX, gzip.compress(IDX)), check_idx),
    "checkpoint": Target(checkpoints(), check_checkpoint),
    "arrays.npz": Target(archives() | archives().flatmap(edited), check_archive),
}


def configuration(name: str) -> Target:
    """The config.json of an exhibit's runs."""
    kind = Exhibit.named(name).config
    files = config_files(kind)
    return Target(files | files.flatmap(edited), functools.partial(check_config, kind))


TARGETS |= {f"{name}/config.json": configuration(name) for name in exhibits()}


def fuzz(target: Target, folder: Path, examples: int, start: int) -> int:
    """Tries so many files; gives how many of them loaded.

    Raises:
        Exception: whatever a find is.
    """
    loaded = 0

    @seed(start)
    @settings(
        max_examples=examples,
        deadline=timedelta(seconds=MAX_SECONDS),
        database=None,
        suppress_health_check=list(HealthCheck),  # pyright: ignore[reportArgumentType]  (hides its members' type)
    )
    @given(target.files)
    def tries(content):
        nonlocal loaded
        with contextlib.suppress(Refused):
            with one_line():
                target.check(folder, content)
            loaded += 1

    tries()
    return loaded


class Refused(Exception):
    """As it should be."""


@contextlib.contextmanager
def one_line():
    """Turns a `UserError` of one line into `Refused`; any other word on standard error, or a warning, is a find."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    except UserError as error:
        assert "\n" not in str(error)
        raise Refused from None
    finally:
        assert not said.getvalue(), said.getvalue()


def main() -> None:
    """Fuzzes every loader for some minutes."""
    parser = Parser(__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"some of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--minutes", type=float, default=10, help="for each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first batch of files (default: %(default)s)")
    options = parser.parse_args()
    for name in options.targets or TARGETS:
        if name not in TARGETS:
            parser.error(f"{name}: expected some of {', '.join(TARGETS)}")
        batch, tried, loaded, until = 500, 0, 0, time.monotonic() + 60 * options.minutes
        with tempfile.TemporaryDirectory() as folder:
            while time.monotonic() < until:
                loaded += fuzz(TARGETS[name], Path(folder), batch, options.seed + tried)
                tried += batch
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(f"{name}: {tried} files, {loaded} loaded, the others refused; {memory >> 20} MB", flush=True)
        if memory > MAX_BYTES:
            sys.exit(f"{name}: took more than {MAX_BYTES >> 20} MB")


if __name__ == "__main__":
    with reported():
        main()
