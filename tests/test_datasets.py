"""IDX files to arrays."""

import gzip
import hashlib
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from exhibits.common.data import datasets
from exhibits.common.data.loading import read_patterns
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import open_regular

TWO_BY_TWO = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2]) + bytes(range(8))


def refused(path, *words, md5=None):
    with pytest.raises(UserError) as error:
        datasets.read_idx(path, md5)
    for word in (str(path), *words):
        assert word in str(error.value)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_by_hand(tmp_path, pack):
    path = tmp_path / "images"
    path.write_bytes(pack(TWO_BY_TWO))
    got = datasets.read_idx(path, hashlib.md5(TWO_BY_TWO).hexdigest())
    np.testing.assert_array_equal(got, [[[0, 1], [2, 3]], [[4, 5], [6, 7]]])
    refused(path, "MD5", "expected 0123", md5="0123")


def test_an_idx_file_is_opened_once(tmp_path, monkeypatch):
    """What was looked at is what is read, whatever takes its place meanwhile."""
    (tmp_path / "images").write_bytes(gzip.compress(TWO_BY_TWO))

    def then_gone(path):
        file = open_regular(path)
        path.unlink()
        return file

    monkeypatch.setattr(datasets, "open_regular", then_gone)
    assert datasets.read_idx(tmp_path / "images").shape == (2, 2, 2)


def test_damaged_idx_is_refused(tmp_path):
    path = tmp_path / "images"
    for content, word in (
        (b"", "IDX"),
        (b"hello, world", "IDX"),
        (TWO_BY_TWO[:-1], "7 bytes of data"),
        (TWO_BY_TWO + b"\0", "more than 8"),
        (TWO_BY_TWO[:9], "header"),
        (b"\0\0\x0d\x03" + TWO_BY_TWO[4:], "unsigned bytes"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "implausible size"),
        (b"\0\0\x08\x03" + b"\0\0\4\0" * 3, "implausible size"),
        (b"\0\0\x08\x03" + b"\0" * 4 + b"\xff" * 8, "implausible size"),
        (gzip.compress(TWO_BY_TWO)[:-12], "images"),
        (gzip.compress(TWO_BY_TWO)[:14] + b"\xff\xff\xff\xff" + gzip.compress(TWO_BY_TWO)[18:], "images"),
    ):
        path.write_bytes(content)
        refused(path, word)
    refused(tmp_path / "none", "No such file")
    refused(tmp_path, "directory")


def test_a_gzip_bomb_takes_no_memory(tmp_path):
    path = tmp_path / "bomb.gz"
    with gzip.GzipFile(path, "wb") as file:
        file.write(TWO_BY_TWO)
        for _ in range(100):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        refused(path, "more than 8 bytes")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    return datasets.prepare("mnist", root=tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize(("split", "n", "first"), [("train", 50_000, 5), ("valid", 10_000, 3), ("test", 10_000, 7)])
def test_mnist_arrays(mnist, split, n, first):
    (x, y), *_ = read_patterns(mnist / f"{split}X.npy", mnist / f"{split}Y.npy")
    assert x.shape == (n, 784) and y.shape == (n, 10) and x.dtype == y.dtype == np.float32
    assert x.min() == 0 and x.max() == 1 and y[0].argmax() == first


def test_mnist_is_the_published_one(mnist):
    load = {stem: np.load(mnist / f"{stem}.npy") for stem in ("trainX", "validX", "testY")}
    both = np.concatenate([load["trainX"], load["validX"]])
    # The mean and standard deviation that everyone normalises MNIST with.
    np.testing.assert_allclose([both.mean(dtype=np.float64), both.std(dtype=np.float64)], [0.1307, 0.3081], atol=5e-5)
    np.testing.assert_array_equal(load["testY"].sum(axis=0), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])


def test_what_cannot_be_prepared_is_said_in_one_line(tmp_path):
    with pytest.raises(UserError, match=r"cifar: .*mnist, fashion_mnist"):
        datasets.prepare("cifar")
    with pytest.raises(UserError, match=r"expected train-images.* or as \.gz$"):
        datasets.prepare("fashion_mnist", source=tmp_path, root=tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="can be written to"):
        datasets.prepare("mnist", root=tmp_path / "file")


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(path, array):
        raise OSError("1 requested and 0 written")  # as numpy does: no error number

    monkeypatch.setattr(datasets, "write_array", full)
    with pytest.raises(UserError, match=r"0 written; expected a folder with room"):
        datasets.prepare("mnist", root=tmp_path)


def test_a_source_that_cannot_be_looked_into_is_named(tmp_path):
    with pytest.raises(UserError, match="File name too long"):
        datasets.prepare("fashion_mnist", source=tmp_path / ("a" * 300), root=tmp_path)


def test_no_file_is_left_behind(mnist):
    assert {path.name for path in mnist.iterdir()} == {f"{stem}.npy" for stem in datasets.ARRAYS.values()}


@pytest.mark.parametrize(
    ("flags", "arguments", "code", "word"),
    [
        ([], ["mnist", "--help"], 0, "--source DIR"),
        ([], ["cifar"], 2, "cifar: expected"),
        ([], ["fashion_mnist", "--source", "nowhere"], 2, "nowhere: expected train-images"),
        (["-I", "-S"], ["mnist"], 2, "numpy is not installed"),
    ],
)
def test_command_line(tmp_path, flags, arguments, code, word):
    script = datasets.DATA / "prepare.py"
    done = subprocess.run([sys.executable, *flags, script, *arguments], cwd=tmp_path, capture_output=True, text=True)
    said = done.stderr if code else done.stdout
    assert done.returncode == code and word in said
    assert code == 0 or said.count("\n") == 1


def test_a_path_that_ends_like_a_known_array_is_told_where_that_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    right = datasets.DATA / "mnist" / "testX.npy"
    assert datasets.suggestion(tmp_path / "mnist" / "testX.npy") == f"; did you mean {right}?"
    told = datasets.suggestion(Path("../data/mnist/testX.npy"))  # the command of ngc-learn's museum page
    path = told.removeprefix("; did you mean ").removesuffix("?")
    assert not Path(path).is_absolute() and Path(path).resolve() == right
    for other in ("testX.npy", "mnist/testX.txt", "mnist/thirdX.npy", "cifar/testX.npy", ""):
        assert datasets.suggestion(Path(other)) == ""
