"""Arrays from files: what fits is loaded, all else is refused in one line, and nothing is run."""

import io
import pickle
import warnings

import numpy as np
import pytest
from conftest import make_patterns

from exhibits.common import datasets
from exhibits.common.config import TrainingConfig
from exhibits.common.data import class_names, load_for_training, load_patterns, picture_shape
from exhibits.common.errors import UserError

X, Y = make_patterns(12)


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    return tmp_path / "x.npy", tmp_path / "y.npy"


def refused(files, path, *words):
    with pytest.raises(UserError) as error, warnings.catch_warnings():
        warnings.simplefilter("error")
        load_patterns(*files)
    assert "\n" not in str(error.value)
    for word in (str(path), *words):
        assert word in str(error.value)


def header(shape, descr="<f4"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


def raw_header(text):
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
def test_real_numbers_load_whatever_their_type(files, dtype):
    np.save(files[0], np.asfortranarray(X.astype(dtype)))
    np.save(files[1], Y.astype(bool))
    x, y = load_patterns(*files)
    np.testing.assert_allclose(x, X, atol=1e-3)
    np.testing.assert_array_equal(y, Y)
    assert x.dtype == y.dtype == np.float32 and x.flags.c_contiguous


@pytest.mark.parametrize("dtype", ["?", "u1", "i8"])
def test_integers_in_range_load(files, dtype):
    np.save(files[0], np.ones((12, 36), dtype))
    np.save(files[1], Y.astype(dtype))
    x, y = load_patterns(*files)
    np.testing.assert_array_equal(x, np.ones((12, 36)))
    np.testing.assert_array_equal(y, Y)
    assert x.dtype == y.dtype == np.float32


def changed(array, index, value):
    copy = array.copy()
    copy[index] = value
    return copy


@pytest.mark.parametrize(
    ("which", "array", "words"),
    [
        (0, changed(X, (3, 5), np.nan), ["NaN", "row 3, column 5"]),
        (0, changed(X, (0, 0), np.inf), ["infinity"]),
        (0, changed(X, (0, 0), 1.01), ["[0, 1]"]),
        (0, changed(X, (0, 0), -0.01), ["[0, 1]"]),
        (0, (255 * X).astype(np.uint8), ["[0, 1]", "divide 8-bit pixels by 255"]),
        (0, np.full((12, 36), 1e300), ["[0, 1]"]),
        (0, X[:-1], ["rows"]),
        (0, X[:0], ["not empty"]),
        (0, X[:, :0], ["not empty"]),
        (0, X[0], ["(36,)"]),
        (0, X[None], ["(1, 12, 36)"]),
        (0, np.float32(1), ["()"]),
        (0, X.astype(complex), ["complex128"]),
        (0, X.astype("U4"), ["<U4"]),
        (0, np.zeros(3, [("a", "f4")]), ["type"]),
        (1, Y.argmax(axis=1), ["np.eye"]),
        (1, 0.5 * Y, ["one-hot"]),
        (1, np.zeros_like(Y), ["one-hot"]),
        (1, np.ones_like(Y), ["one-hot"]),
        (1, np.ones((12, 1)), ["one-hot"]),
        (1, Y[:5], ["5 rows", "expected 12"]),
    ],
    ids=lambda value: str(value) if isinstance(value, list) else "",
)
def test_unfit_arrays_are_refused(files, which, array, words):
    np.save(files[which], array)
    refused(files, files[1] if words == ["rows"] else files[which], *words)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an array",
        b"\x93NUMPY",
        b"\x93NUMPY\x09\x00\x00\x00",
        b"\x93NUMPY\x01\x00\xff\xff{",
        header((12, 36)),
        header((1 << 38, 1 << 38)) + bytes(100),
        header((-12, 36)) + bytes(100),
        header((12, 36)) + bytes(12 * 36 * 4 - 1),
        header((12, 36)) + bytes(12 * 36 * 4 + 1),
        header((2, 2), descr="|O") + pickle.dumps([1, 2, 3, 4]),
        raw_header("{'descr': (\n"),
        raw_header("{'descr': '''\n"),
        raw_header("(" * 5000),
        raw_header("{'descr': (), 'fortran_order': False, 'shape': (2, 2)}\n"),
        raw_header("{'descr': '<\\,f4', 'fortran_order': False, 'shape': (2, 2)}\n"),
    ],
    ids=range(16),
)
def test_files_that_are_no_honest_array_are_refused(files, content):
    files[0].write_bytes(content)
    refused(files, files[0])


def test_missing_files_and_folders_are_refused(files, tmp_path):
    refused((tmp_path / "none.npy", files[1]), "none.npy", "No such file")
    refused((files[0], tmp_path), tmp_path, "directory")


def test_folders_that_link_to_themselves_are_refused(files, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    path = tmp_path / "loop" / "mnist" / "trainX.npy"
    refused((path, files[1]), path)


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_is_never_opened(files, tmp_path):
    sprung = tmp_path / "sprung"
    np.save(files[0], np.array([[Trap(sprung)]], dtype=object), allow_pickle=True)
    refused(files, files[0], "type object")
    files[0].write_bytes(pickle.dumps(Trap(sprung)))
    refused(files, files[0])
    np.savez(tmp_path / "archive.npz", X)
    (tmp_path / "archive.npz").replace(files[0])
    refused(files, files[0])
    assert not sprung.exists()


def test_training_and_development_set_must_fit(files, tmp_path):
    for n_pixels, n_classes, word in ((49, 4, "49 pixels"), (36, 5, "5 classes")):
        x, y = make_patterns(20, n_pixels, n_classes)
        np.save(tmp_path / "dev_x.npy", x)
        np.save(tmp_path / "dev_y.npy", y)
        config = TrainingConfig(*files, tmp_path / "dev_x.npy", tmp_path / "dev_y.npy")
        with pytest.raises(UserError, match=word):
            load_for_training(config)


def test_joined_sets_are_one_after_the_other(files, tmp_path):
    x, y = make_patterns(7)
    np.save(tmp_path / "dev_x.npy", x)
    np.save(tmp_path / "dev_y.npy", y)
    paths = (*files, tmp_path / "dev_x.npy", tmp_path / "dev_y.npy")
    train, dev = load_for_training(TrainingConfig(*paths))
    joined, none = load_for_training(TrainingConfig(*paths, join_dev=True))
    assert none is None
    for both, first, second in zip(joined, train, dev, strict=True):
        np.testing.assert_array_equal(both, np.concatenate([first, second]))


def test_class_names():
    assert class_names(datasets.DATA / "fashion_mnist" / "testY.npy", 10)[9] == "ankle boot"
    assert class_names(datasets.DATA / "mnist" / "validY.npy", 10) == tuple("0123456789")
    assert class_names(datasets.DATA / "mnist" / "mine.npy", 3) == ("0", "1", "2")


def test_picture_shape():
    assert picture_shape(784) == (28, 28) and picture_shape(783) is None
