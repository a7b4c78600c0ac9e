"""Parameters on disk."""

import numpy as np
import pytest
from jax import numpy as jnp

from exhibits.common.checkpoints import ParameterStore
from exhibits.common.errors import UserError

ARRAYS = {"parameters": {"W1.weights": np.arange(6, dtype=np.float32).reshape(2, 3)}, "temperature": np.float64(2.5)}


def test_last_save_is_what_loads(tmp_path):
    store = ParameterStore(tmp_path / "best")
    store.save(3, ARRAYS)
    store.save(7, {"parameters": {"W1.weights": jnp.ones((2, 3))}, "temperature": np.float64(1.5)})
    epoch, arrays = store.load(ARRAYS)
    assert epoch == 7 and arrays["temperature"] == 1.5
    np.testing.assert_array_equal(arrays["parameters"]["W1.weights"], np.ones((2, 3)))
    assert sorted(path.name for path in (tmp_path / "best").iterdir() if path.name.isdigit()) == ["7"]


def test_bits_survive(tmp_path):
    store = ParameterStore(tmp_path / "best")
    values = {"w": np.array([1e-45, -0.0, 3.4e38, 1 / 3], np.float32)}
    store.save(1, values)
    assert store.load(values)[1]["w"].tobytes() == values["w"].tobytes()


def refused(store, like):
    with pytest.raises(UserError) as error:
        store.load(like)
    assert str(store.folder) in str(error.value) and "train" in str(error.value)


def test_missing_and_foreign_parameters_are_refused(tmp_path):
    refused(ParameterStore(tmp_path / "none"), ARRAYS)
    (tmp_path / "empty").mkdir()
    refused(ParameterStore(tmp_path / "empty"), ARRAYS)
    store = ParameterStore(tmp_path / "best")
    store.save(1, ARRAYS)
    refused(store, ARRAYS | {"parameters": {"W1.weights": np.zeros((2, 4), np.float32)}})
    refused(store, ARRAYS | {"parameters": {"W9.weights": np.zeros((2, 3), np.float32)}})


def test_truncated_parameters_are_refused(tmp_path):
    store = ParameterStore(tmp_path / "best")
    store.save(1, {"w": np.random.default_rng(0).random((300, 300))})
    for path in (tmp_path / "best").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(store, {"w": np.zeros((300, 300))})
