"""Arrays from files: what fits is loaded, all else is refused in one line, and nothing is run."""

import dataclasses
import io
import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import make_patterns

from exhibits.common.data.form import Form
from exhibits.common.data.loading import class_names, datasets, load_for_training, picture_shape, read_patterns
from exhibits.common.experiment.config import TrainingConfig
from exhibits.common.system.errors import UserError

X, Y = make_patterns(12)


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    return tmp_path / "x.npy", tmp_path / "y.npy"


def refused(files, path, *words):
    with pytest.raises(UserError) as error, warnings.catch_warnings():
        warnings.simplefilter("error")
        read_patterns(*files)
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
    (x, y), _, _ = read_patterns(*files)
    np.testing.assert_allclose(x, X, atol=1e-3)
    np.testing.assert_array_equal(y, Y)
    assert x.dtype == y.dtype == np.float32 and x.flags.c_contiguous


@pytest.mark.parametrize("dtype", ["?", "u1", "i8"])
def test_zeros_and_ones_load_as_they_are(files, dtype):
    np.save(files[0], np.ones((12, 36), dtype))
    np.save(files[1], Y.astype(dtype))
    (x, y), _, _ = read_patterns(*files)
    np.testing.assert_array_equal(x, np.ones((12, 36)))
    np.testing.assert_array_equal(y, Y)
    assert x.dtype == y.dtype == np.float32


def test_what_rounds_to_one_is_one_and_what_exceeds_it_is_shown(files):
    np.save(files[0], X.astype(float) / X.max() * (1 + 2**-52))  # as MinMaxScaler may leave it
    (x, _), *_ = read_patterns(*files)
    assert x.max() == 1
    np.save(files[0], X / X.max() * np.float32(1 + 2**-23))
    with pytest.raises(UserError, match=r"values from \S+ to 1\.00000012; expected all in \[0, 1\]$"):
        read_patterns(*files)


def changed(array, index, value):
    copy = array.copy()
    copy[index] = value
    return copy


@pytest.mark.parametrize(
    ("which", "array", "words"),
    [
        (0, changed(X, (3, 5), np.nan), ["NaN", "row 3, column 5"]),
        (0, changed(X.reshape(12, 6, 6), (3, 5, 2), np.nan), ["NaN", "picture 3, row 5, column 2"]),
        (0, changed(X, (0, 0), np.inf), ["infinity"]),
        (0, changed(X, (0, 0), 1.01), ["[0, 1]"]),
        (0, changed(X, (0, 0), -0.01), ["[0, 1]"]),
        (0, (255 * X).astype(np.int16), ["[0, 1]", "saved as uint8"]),
        (0, 255 * X, ["[0, 1]", "saved as uint8"]),
        (0, np.full((12, 36), 1e300), ["[0, 1]"]),
        (0, X[:-1], ["rows"]),
        (0, X[:0], ["not empty"]),
        (0, X[:, :0], ["not empty"]),
        (0, X[0], ["(36,)"]),
        (0, X[None, None, None], ["(1, 1, 1, 12, 36)"]),
        (0, X.reshape(12, 3, 4, 3), ["grey pictures"]),
        (0, np.float32(1), ["()"]),
        (0, X.astype(complex), ["complex128"]),
        (0, X.astype("U4"), ["<U4"]),
        (0, np.zeros(3, [("a", "f4")]), ["type"]),
        (1, Y.argmax(axis=1).astype(float), ["labels.astype(int)"]),
        (1, np.arange(12), ["12 different labels of 12 patterns"]),
        (1, np.zeros(12, int), ["1 different labels"]),
        (1, 0.5 * Y, ["one-hot"]),
        (1, np.eye(4)[[2] * 12], ["all 12 labels are the same", "2 classes or more"]),
        (1, np.zeros_like(Y), ["one-hot"]),
        (1, np.ones_like(Y), ["one-hot"]),
        (1, np.ones((12, 1)), ["labels.astype(int)"]),
        (1, Y[:, :, None], ["one-hot"]),
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
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",  # a header of 4 GB
        header((12, 36)),
        header((1 << 38, 1 << 38)) + bytes(100),
        header((-12, 36)) + bytes(100),
        header((True, 36)) + bytes(144),
        header((12, 36)) + bytes(12 * 36 * 4 - 1),
        header((12, 36)) + bytes(12 * 36 * 4 + 1),
        header((2, 2), descr="|O") + pickle.dumps([1, 2, 3, 4]),
        raw_header("{'descr': (\n"),
        raw_header("{'descr': '''\n"),
        raw_header("(" * 5000),
        raw_header("{'descr': (), 'fortran_order': False, 'shape': (2, 2)}\n"),
        raw_header("{'descr': '<\\,f4', 'fortran_order': False, 'shape': (2, 2)}\n"),
    ],
    ids=range(18),
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


def save(folder, **arrays):
    """Files of arrays, as fields of a configuration name them."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return {name: folder / f"{name}.npy" for name in arrays}


def own(folder, **changed):
    """A configuration of own data, some of its arrays changed."""
    x, y = make_patterns(8, seed=1)
    arrays = {"dataX": X, "dataY": Y, "devX": x, "devY": y} | changed
    return TrainingConfig(**save(folder, **arrays))


def test_all_sets_must_fit(tmp_path):
    for n_pixels, n_classes, word in ((49, 4, "49 pixels"), (36, 5, "5 classes")):
        x, y = make_patterns(20, n_pixels, n_classes)
        for name in ("dev", "test"):
            with pytest.raises(UserError, match=rf"{name}.*{word}"):
                load_for_training(own(tmp_path, **{f"{name}X": x, f"{name}Y": y}))


def test_joined_sets_are_one_after_the_other(tmp_path):
    apart = load_for_training(own(tmp_path))
    joined = load_for_training(dataclasses.replace(own(tmp_path), join_dev=True))
    assert joined.dev is None and joined.learned == apart.learned and apart.dev is not None
    for both, first, second in zip(joined.train, apart.train, apart.dev, strict=True):
        np.testing.assert_array_equal(both, np.concatenate([first, second]))


PIXELS = np.arange(12 * 6, dtype=np.uint8).reshape(12, 6)


@pytest.mark.parametrize("shape", [(12, 6), (12, 2, 3), (12, 2, 3, 1)])
def test_bytes_are_divided_and_pictures_are_rows(files, shape, capsys):
    np.save(files[0], PIXELS.reshape(shape))
    (x, _), form, (record, _) = read_patterns(*files)
    np.testing.assert_array_equal(x, PIXELS / np.float32(255))
    assert form.picture == (None if shape == (12, 6) else (2, 3)) and form.divisor == 255
    assert record.shape == shape and record.dtype == "uint8"
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and f"{files[0]}: " in said and "from 0 to 71, divided by 255" in said
    assert ("2 x 3 pictures" in said) == (len(shape) > 2)


def test_the_same_values_have_the_same_digest(files):
    digests = set()
    for array in (PIXELS, PIXELS / np.float32(255), np.asfortranarray(PIXELS), PIXELS.reshape(12, 2, 3)):
        np.save(files[0], array)
        digests.add(read_patterns(*files)[2][0].sha256)
    assert len(digests) == 1
    np.save(files[0], PIXELS[::-1])
    assert read_patterns(*files)[2][0].sha256 not in digests


@pytest.mark.parametrize("shape", [(12,), (12, 1)])
def test_integer_labels_become_one_hot(files, shape, capsys):
    labels = np.array([7, -1, 30, 7, 7, 30, -1, 7, 30, 30, 7, -1])
    np.save(files[1], labels.reshape(shape))
    (_, y), form, _ = read_patterns(*files)
    assert form.labels == (-1, 7, 30) and form.classes == 3
    np.testing.assert_array_equal(np.array(form.labels)[y.argmax(axis=1)], labels)
    assert (y.sum(axis=1) == 1).all() and "3 classes: -1 7 30" in capsys.readouterr().out
    assert class_names(TrainingConfig(), form) == tuple("0123456789")  # of a known data set
    # Later sets are read as the training set was.
    np.save(files[1], np.full(12, 30, np.uint8))
    np.testing.assert_array_equal(read_patterns(*files, form=form)[0].y, np.eye(3, dtype=np.float32)[[2] * 12])
    np.save(files[1], np.full(12, 8))
    with pytest.raises(UserError, match=r"labels 8; expected those of the training set, -1 7 30"):
        read_patterns(*files, form=form)
    np.save(files[1], np.eye(3)[[0] * 12])
    with pytest.raises(UserError, match="expected integers, as in the training set"):
        read_patterns(*files, form=form)


def test_later_sets_are_read_as_the_training_set_was(files):
    np.save(files[0], PIXELS.reshape(12, 2, 3))
    form = read_patterns(*files)[1]
    np.save(files[0], np.full((12, 6), 2, np.uint8))
    np.testing.assert_allclose(read_patterns(*files, form=form)[0].x, 2 / 255)
    np.save(files[0], np.ones((12, 6), np.uint8))  # black, or full brightness: bytes of this data set are divided
    with pytest.raises(UserError, match="bytes of 0 and 1 alone; expected them as bool or float"):
        read_patterns(*files, form=form)
    np.save(files[0], np.ones((12, 6), bool))
    assert (read_patterns(*files, form=form)[0].x == 1).all()
    np.save(files[0], PIXELS.reshape(12, 3, 2))
    with pytest.raises(UserError, match=r"pictures of 3 x 2; expected 2 x 3"):
        read_patterns(*files, form=form)
    np.save(files[0], np.ones((12, 6), np.uint8))
    form = read_patterns(*files)[1]
    assert form.divisor == 1
    np.save(files[0], PIXELS)
    with pytest.raises(UserError, match="from 0 to 71"):
        read_patterns(*files, form=form)


def test_what_is_no_regular_file_is_not_waited_for(files, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    refused((tmp_path / "fifo", files[1]), "is a FIFO, not a regular file")
    refused((files[0], Path("/dev/zero")), "is a device")


def test_more_than_memory_is_refused_before_it_is_taken(files, monkeypatch):
    monkeypatch.setattr("exhibits.common.system.memory.available", lambda: 1000)
    refused(files, files[0], "GB of memory", "fewer patterns")


def test_class_names(tmp_path):
    config, form = TrainingConfig(dataset="fashion_mnist"), Form(784, (28, 28), 10)
    assert class_names(config, form)[9] == "ankle boot"
    assert class_names(TrainingConfig(), form) == tuple("0123456789")
    config = own(tmp_path)
    assert class_names(config, Form(36, (6, 6), 3)) == ("0", "1", "2")
    assert class_names(config, Form(36, (6, 6), 3, (5, 7, 9))) == ("5", "7", "9")
    named = dataclasses.replace(config, classes=("cat", "dog", "hen"))
    assert class_names(named, Form(36, (6, 6), 3)) == ("cat", "dog", "hen")
    with pytest.raises(UserError, match=r"3 names; expected 4"):
        class_names(named, Form(36, (6, 6), 4))


def test_arrays_of_known_data_sets_are_compared_with_the_published_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "DATA", tmp_path)
    (tmp_path / "mnist").mkdir()
    for path in datasets.files("mnist").values():
        np.save(path, np.zeros((12, 784), np.float32) if path.stem[-1] == "X" else np.eye(10)[[1, 2] * 6])
    with pytest.raises(UserError, match=r"trainX\.npy: differs from the published data set.*prepare\.py mnist"):
        load_for_training(TrainingConfig())


def test_picture_shape():
    assert picture_shape(784) == (28, 28) and picture_shape(783) is None
