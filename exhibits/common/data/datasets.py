"""From the IDX files of MNIST and Fashion-MNIST to the arrays that the exhibits read."""

import contextlib
import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from exhibits.common.data.form import combined
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import open_regular, write_array
from exhibits.common.system.places import CHECKOUT, REPOSITORY, user_folder, writable_home

Name = Literal["mnist", "fashion_mnist"]
DATA = REPOSITORY / "data"
N_CLASSES = 10
N_VALID = 10_000  # the last patterns of the training file
MAX_IDX_BYTES = 1 << 26  # the largest file here has 47 million
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class Source:
    """Where a data set's four IDX files are found.

    Attributes:
        md5: of the raw (decompressed) files, in the order of `FILES`.
        sha256: of the values of the arrays made from them, by name.
        folders: looked into in turn.
        url: where the files, gzipped, can be downloaded from; None if they need not be.
        download_md5: of the gzipped files there.
        hint: how else to get them.
        classes: names of the classes.
    """

    md5: tuple[str, ...]
    sha256: dict[str, str]
    folders: tuple[Path, ...]
    url: str | None = None
    download_md5: tuple[str, ...] = ()
    hint: str = ""
    classes: tuple[str, ...] = tuple("0123456789")

    @property
    def digest(self) -> str:
        """One SHA-256 of all arrays."""
        return combined(self.sha256.values())


SOURCES: dict[Name, Source] = {
    "mnist": Source(
        md5=(
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ),
        sha256={
            "trainX": "c323bbe66689595489df08ed4bfdef7be25a29e0215fce7338c3f979902ac157",
            "trainY": "7eb0795b94527e972c33704208849ae1c634ad495b095ed4ff34867d03a4e384",
            "validX": "bf4c038611fd4e213d4a1476703fd313d2e9fbd8ae28317c45699788e0bed5ee",
            "validY": "668895918732a54630b9f386f6ca4f460081b55cddd7e31e2a22776751d2efd5",
            "testX": "bc9f8f501f39b3ca61f899a2f402edf2024bde012b73223431b6bd735e47a165",
            "testY": "2f8f366b93e2a655c1c1a74771f505326f2624697831cf9c8112282bd6c49b7e",
        },
        folders=(DATA / "mnist",),
        hint="restore data/mnist from the repository: git checkout -- data/mnist"
        if CHECKOUT
        else "they come with the museum's repository: clone it, or give data of your own",
    ),
    "fashion_mnist": Source(
        md5=(
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "9018921c3c673c538a1fc5bad174d6f9",
            "8181f5470baa50b63fa0f6fddb340f0a",
            "15d484375f8d13e6eb1aabb0c3f46965",
        ),
        sha256={
            "trainX": "531f80be11f04dbf1edf77a3779747c0f3ea8be3382e0d94b8050f600498308a",
            "trainY": "a9eb122e6d0571e45fd09b20868e5f0a6bf277f20e281ef3e0c7f114a45361e5",
            "validX": "1d89979be330d813c49dfa0bd92f91773e4cb6ad38212ec45a0d08c18a3ed3c1",
            "validY": "2c473b0a3bdb851423352a6e3e5f5a8f99542b5aa1df7e68082dc895bf1c00b0",
            "testX": "0c0f08b9d95e81a9c662a7e200cbb82a22e7669e3a79c4e861585d1dbf736efd",
            "testY": "10c968ac4b9b4cba41c0f5db0ae330bb11ad46c5a4c91cf551bac4b4cf4d94ee",
        },
        folders=(Path("/usr/share/datasets/fashion-mnist"),),
        url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        download_md5=(
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
        hint="install Debian's package dataset-fashion-mnist, or name a folder with the four files: --source DIR",
        classes=(
            "T-shirt/top",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ),
    ),
}
ARRAYS = {  # by the field of a configuration that names it
    f"{field}{part}": f"{split}{part}"
    for field, split in (("data", "train"), ("dev", "valid"), ("test", "test"))
    for part in "XY"
}


def files(name: str) -> dict[str, Path]:
    """The arrays of a data set by the fields of a configuration: dataX, dataY, devX, devY, testX, testY."""
    return {field: folder_of(name) / f"{stem}.npy" for field, stem in ARRAYS.items()}


def folder_of(name: str) -> Path:
    """Folder of a known data set's arrays, which need not be there yet: data/<name>, where that can be written to."""
    folder = DATA / name
    if all((folder / f"{array}.npy").is_file() for array in ARRAYS.values()):
        return folder
    return writable_home(DATA, name)


MNIST = folder_of("mnist")


def of_folder(folder: Path) -> Name | None:
    """Name of the data set whose arrays `prepare` makes in a folder; None if there is none."""
    name = folder.name
    return name if name in SOURCES and folder in (DATA / name, folder_of(name)) else None


def dataset_of(path: Path, field: str) -> Name | None:
    """Name of the data set whose array for that field a file is, under whatever spelling; None if it is another."""
    path = Path(os.path.realpath(path.parent)) / path.name
    return of_folder(path.parent) if is_array_of(path, field) else None


def is_array_of(path: Path, field: str) -> bool:
    """Whether a path ends as the array of a known data set for that field does, in whatever copy of the repository."""
    return path.parent.name in SOURCES and path.parent.parent.name == "data" and path.name == f"{ARRAYS[field]}.npy"


def prepare(name: str, source: Path | None = None, root: Path | None = None) -> Path:
    """Writes `{train,valid,test}{X,Y}.npy` in a data set's folder from its verified IDX files.

    Patterns are float32 (N, 784) in [0, 1], labels float32 one-hot (N, 10): the first 50,000 of the training file
    as train, its last 10,000 as valid, the 10,000 of the test file as test.

    Args:
        name: "mnist" or "fashion_mnist".
        source: folder with the IDX files, gzipped or not; where they are usually found by default.
        root: folder to make the data set's folder in; by default it is that of `folder_of`.

    Returns:
        The data set's folder.

    Raises:
        UserError: if files are missing or not the published ones, or the folder cannot be written to.
    """
    if name not in SOURCES:
        raise UserError(f"{name}: not a data set that is known here; expected one of {', '.join(SOURCES)}")
    found = _locate(name, source)
    pixels, labels, test_pixels, test_labels = (
        read_idx(path, md5) for path, md5 in zip(found, SOURCES[name].md5, strict=True)
    )
    patterns = _patterns(pixels)
    one_hot = np.eye(N_CLASSES, dtype=np.float32)
    arrays = {
        "trainX": patterns[:-N_VALID],
        "trainY": one_hot[labels[:-N_VALID]],
        "validX": patterns[-N_VALID:],
        "validY": one_hot[labels[-N_VALID:]],
        "testX": _patterns(test_pixels),
        "testY": one_hot[test_labels],
    }
    folder = folder_of(name) if root is None else root / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for stem, array in arrays.items():
            write_array(folder / f"{stem}.npy", array)
    except OSError as error:
        raise UserError(
            f"{folder}: {error.strerror or error}; expected a folder with room that can be written to"
        ) from None
    return folder


def suggestion(path: Path) -> str:
    """A hint at a known data set's array for a path that leads nowhere but ends like one of theirs; empty if not."""
    name, file = path.parts[-2:] if len(path.parts) > 1 else ("", "")
    if name not in SOURCES or file not in [f"{array}.npy" for array in ARRAYS.values()]:
        return ""
    right = folder_of(name) / file
    return f"; did you mean {right if path.is_absolute() else os.path.relpath(right)}?"


def _patterns(pixels: np.ndarray) -> np.ndarray:
    """(N, height * width) float32 in [0, 1] of (N, height, width) bytes."""
    return pixels.reshape(len(pixels), -1).astype(np.float32) / np.float32(255)


def _locate(name: Name, given: Path | None) -> list[Path]:
    """Paths of the four IDX files, downloaded if there is no other way."""
    source = SOURCES[name]
    folders, hint = (source.folders, f"; {source.hint}") if given is None else ((given,), "")
    for folder in folders:
        try:
            if found := idx_files(folder):
                return found
        except OSError as error:
            raise UserError(f"{folder}: {error.strerror}; expected a folder that can be read{hint}") from None
    if given is not None or source.url is None:
        raise UserError(f"{folders[-1]}: expected {', '.join(FILES)}, each as it is or as .gz{hint}")
    return _download(source, source.url)


def idx_files(folder: Path) -> list[Path]:
    """The four IDX files of a folder, each as it is or gzipped; empty unless all are there.

    Raises:
        OSError: if the folder cannot be read.
    """
    pairs = [(folder / file, folder / f"{file}.gz") for file in FILES]
    found = [next((path for path in pair if path.is_file()), None) for pair in pairs]
    there = [path for path in found if path is not None]
    return there if len(there) == len(FILES) else []


def _download(source: Source, url: str) -> list[Path]:
    import pooch

    zipped = [f"{file}.gz" for file in FILES]
    registry = {file: f"md5:{md5}" for file, md5 in zip(zipped, source.download_md5, strict=True)}
    fetcher = pooch.create(user_folder("XDG_CACHE_HOME", ".cache") / "snn-museum", url, registry=registry)
    try:
        return [Path(fetcher.fetch(file)) for file in zipped]
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{url}: download failed ({reason}); {source.hint}") from None


def read_idx(path: Path, md5: str | None = None) -> np.ndarray:
    """Reads an IDX file of unsigned bytes, gzipped or not.

    Args:
        path: the file.
        md5: of the decompressed file; not checked if None.

    Returns:
        uint8 array of the shape in the file's header.

    Raises:
        UserError: if the file cannot be read, is no such IDX file, or has another checksum.
    """
    try:
        with contextlib.ExitStack() as opened:
            file = opened.enter_context(open_regular(path))
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if zipped:
                file = opened.enter_context(gzip.GzipFile(fileobj=file))
            head = file.read(4)
            if len(head) < 4 or head[:3] != b"\0\0\x08" or not 1 <= head[3] <= 3:
                raise UserError(f"{path}: starts with {head.hex()}; expected an IDX file of unsigned bytes")
            head += file.read(4 * head[3])
            shape = np.frombuffer(head[4 : 4 + 4 * (len(head) // 4 - 1)], ">u4").astype(int)
            size = int(np.prod(shape, dtype=object))
            if len(head) != 4 + 4 * head[3] or not 0 < size <= MAX_IDX_BYTES:
                raise UserError(
                    f"{path}: header {head.hex()} gives an implausible size; expected 1 to {MAX_IDX_BYTES} bytes"
                )
            body = file.read(size + 1)  # no more, whatever a compressed file would swell to
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or error}; expected an IDX file") from None
    if len(body) != size:
        got = f"{len(body)}" if len(body) < size else f"more than {size}"
        raise UserError(f"{path}: {got} bytes of data; expected {size}, as its header says")
    if md5 is not None and (got := hashlib.md5(head + body, usedforsecurity=False).hexdigest()) != md5:
        raise UserError(f"{path}: MD5 of the raw file is {got}; expected {md5}, that of the source file")
    return np.frombuffer(body, np.uint8).reshape(shape)
