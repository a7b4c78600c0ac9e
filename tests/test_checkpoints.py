"""Parameters on disk."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tensorstore
from jax import numpy as jnp

from exhibits.common.checkpoints import ParameterStore
from exhibits.common.errors import UserError

ARRAYS = {"parameters": {"W1.weights": np.arange(6, dtype=np.float32).reshape(2, 3)}, "temperature": np.float64(2.5)}


def test_last_save_is_what_loads(tmp_path):
    with ParameterStore(tmp_path / "best") as store:
        store.save(3, ARRAYS)
        store.save(7, {"parameters": {"W1.weights": jnp.ones((2, 3))}, "temperature": np.float64(1.5)})
    epoch, arrays = store.load(ARRAYS)
    assert epoch == 7 and arrays["temperature"] == 1.5
    np.testing.assert_array_equal(arrays["parameters"]["W1.weights"], np.ones((2, 3)))
    assert sorted(path.name for path in (tmp_path / "best").iterdir() if path.name.isdigit()) == ["7"]


def test_the_past_can_be_saved_again(tmp_path):
    with ParameterStore(tmp_path / "latest", keep=2) as store:
        for step in (1, 2, 3):
            store.save(step, ARRAYS | {"temperature": np.float64(step)})
        store.wait()
        assert store.steps() == [3, 2]
        store.save(2, ARRAYS)
        store.wait()
        assert store.steps() == [2] and store.load(ARRAYS)[1]["temperature"] == 2.5


def test_bits_survive(tmp_path):
    values = {"w": np.array([1e-45, -0.0, 3.4e38, 1 / 3], np.float32)}
    with ParameterStore(tmp_path / "best") as store:
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
    with ParameterStore(tmp_path / "best") as store:
        store.save(1, ARRAYS)
    refused(store, ARRAYS | {"parameters": {"W1.weights": np.zeros((2, 4), np.float32)}})
    refused(store, ARRAYS | {"parameters": {"W9.weights": np.zeros((2, 3), np.float32)}})


def test_truncated_parameters_are_refused(tmp_path):
    with ParameterStore(tmp_path / "best") as store:
        store.save(1, {"w": np.random.default_rng(0).random((300, 300))})
    for path in (tmp_path / "best").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(store, {"w": np.zeros((300, 300))})


@pytest.mark.parametrize("claim", [{"shape": [1 << 20, 1 << 20]}, {"chunks": [1 << 20, 1 << 20]}, {"dtype": "<f8"}])
def test_claims_are_checked_before_memory_is_taken(tmp_path, claim):
    with ParameterStore(tmp_path / "best") as store:
        store.save(1, {"w": np.zeros((2, 3), np.float32)})
    files = {"driver": "ocdbt", "base": f"file://{tmp_path}/best/1/default/"}
    opened = tensorstore.KvStore.open(files).result()
    described = json.loads(opened.read("w/.zarray").result().value)
    opened.write("w/.zarray", json.dumps(described | claim)).result()
    refused(store, {"w": np.zeros((2, 3), np.float32)})


def test_what_closing_raises_is_one_line_too(tmp_path):
    def full():
        raise ValueError("RESOURCE_EXHAUSTED:\n no space left")

    store = ParameterStore(tmp_path)
    store._open = SimpleNamespace(wait_until_finished=lambda: None, close=full)
    with pytest.raises(UserError, match=r"cannot be written \(RESOURCE_EXHAUSTED: no space left\)"):
        store.close()
    store.close()  # once is enough
