"""Parameters and other files on disk."""

import errno
import io
import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from jax import numpy as jnp

from exhibits.common.data.form import Form
from exhibits.common.experiment import checkpoints
from exhibits.common.experiment.checkpoints import FILE, ParameterStore
from exhibits.common.experiment.schema import Identity, Progress, Record
from exhibits.common.system import files
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import read_json, replacing, write_json

ARRAYS = {"parameters": {"W1.weights": np.arange(6, dtype=np.float32).reshape(2, 3)}, "temperature": np.float64(2.5)}


def test_last_save_is_what_loads(tmp_path):
    with ParameterStore(tmp_path / "best") as store:
        store.save(3, ARRAYS)
        store.save(7, {"parameters": {"W1.weights": jnp.ones((2, 3))}, "temperature": np.float64(1.5)})
    epoch, arrays, _ = store.load(ARRAYS)
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


def test_named_saves_stay(tmp_path):
    with ParameterStore(tmp_path, keep=2) as store:
        for step, also in enumerate([{0}, {0, 1}, {1}, {1}, {1}, {1, 5}, {5}, {5}, {5}]):
            store.save(step, ARRAYS, also)
            store.wait()
            assert set(store.steps()) == also | {step} | ({step - 1} if step else set())


def test_a_damaged_save_is_said_and_the_one_before_serves(tmp_path, capsys):
    with ParameterStore(tmp_path, keep=2) as store:
        store.save(1, ARRAYS)
        store.save(2, ARRAYS)
    for path in (tmp_path / "2").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert store.load(ARRAYS)[0] == 1
    err = capsys.readouterr().err
    assert err.startswith(f"{tmp_path / '2'}: damaged") and err.endswith("going back to 1\n") and err.count("\n") == 1
    with pytest.raises(UserError, match=r"damaged.*; put back the original.*train again with --resume never"):
        store.load(ARRAYS, 2)


def test_bits_survive(tmp_path):
    values = {"w": np.array([1e-45, -0.0, 1e18, 1 / 3], np.float32)}
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


def npz(path, **members):
    """An .npz file of members as they are, or compressed."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, (data, how) in members.items():
            archive.writestr(f"{name}.npy", data, how)


def npy(shape, descr, data):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + data


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ((npy((1 << 20, 1 << 20), "<f4", b""), zipfile.ZIP_STORED), r"float32 \(1048576, 1048576\), expected"),
        ((npy((2, 3), "<f8", bytes(48)), zipfile.ZIP_STORED), "float64"),
        ((npy((2, 3), "|O", bytes(48)), zipfile.ZIP_STORED), "object"),
        ((npy((2, 3), "<f4", bytes(24)), zipfile.ZIP_DEFLATED), "compressed"),
        ((npy((2, 3), "<f4", bytes(20)), zipfile.ZIP_STORED), "damaged"),
        ((bytes(1 << 20), zipfile.ZIP_STORED), r"\d+ bytes, expected at most 24"),
        ((b"", zipfile.ZIP_STORED), "damaged"),
    ],
)
def test_claims_are_checked_before_memory_is_taken(tmp_path, member, said):
    with ParameterStore(tmp_path) as store:
        store.save(1, {"w": np.zeros((2, 3), np.float32)})
    npz(tmp_path / "1" / "default" / "arrays.npz", w=member)
    with pytest.raises(UserError, match=said):
        store.load({"w": np.zeros((2, 3), np.float32)})


def test_every_flipped_bit_is_found_or_harmless(tmp_path):
    like = {"w": np.arange(6, dtype=np.float32)}
    with ParameterStore(tmp_path) as store:
        store.save(1, like)
    path = tmp_path / "1" / "default" / "arrays.npz"
    whole, found = path.read_bytes(), 0
    for place in range(8 * len(whole)):
        data = bytearray(whole)
        data[place // 8] ^= 1 << place % 8
        path.write_bytes(data)
        try:
            arrays = store.load(like)[1]
        except UserError:
            found += 1
        else:  # a date, say
            assert arrays["w"].tobytes() == like["w"].tobytes()
    assert found > 4 * len(whole)


def test_arrays_open_with_numpy(tmp_path):
    with ParameterStore(tmp_path) as store:
        store.save(1, ARRAYS)
    with np.load(tmp_path / "1" / "default" / "arrays.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["parameters.W1.weights"], ARRAYS["parameters"]["W1.weights"])
        assert arrays["temperature"] == 2.5


def test_what_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space\n left on device")

    monkeypatch.setattr("exhibits.common.experiment.checkpoints.write_arrays", full)
    store = ParameterStore(tmp_path)
    store.save(1, ARRAYS)
    with pytest.raises(UserError, match=r"cannot be written \(.*No space left on device.*\)"):
        store.close()
    store.close()  # once is enough
    assert store.steps() == []


def test_a_save_is_on_the_disk_before_the_one_before_goes(tmp_path, monkeypatch):
    flushed, fsync = [], os.fsync

    def noted(handle):
        fsync(handle)
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        size = os.fstat(handle).st_size if path.is_file() else 0
        flushed.append((path.name[:11], size, {path.name for path in tmp_path.iterdir()}))

    with ParameterStore(tmp_path) as store:
        store.save(1, ARRAYS)
        store.wait()
        monkeypatch.setattr(os, "fsync", noted)
        store.save(2, ARRAYS)
    size = (tmp_path / "2" / FILE).stat().st_size
    assert flushed == [(".arrays.npz", size, {"1", ".2.unfinished"}), (tmp_path.name[:11], 0, {"1", "2"})]
    assert [path.name for path in tmp_path.iterdir()] == ["2"]


def test_saves_go_on_where_folders_cannot_be_flushed(tmp_path, monkeypatch):
    fsync = os.fsync

    def files_only(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", files_only)
    with ParameterStore(tmp_path) as store:
        store.save(1, ARRAYS)
    assert store.steps() == [1]


def run_of(seed):
    """Arguments of the store of a run, and what it saves beside its arrays."""
    identity = Identity(7, "none", {"seed": seed}, {}, Form(1, None, 2))
    return {"keep": 2, "identity": identity}, Record(identity, Progress())


def test_a_run_that_goes_on_deletes_what_it_saved_before(tmp_path):
    given, record = run_of(seed=1)
    for steps in ((1, 2), (3, 4)):
        with ParameterStore(tmp_path, **given) as store:
            if steps[0] > 1:
                store.load(ARRAYS)
            for step in steps:
                store.save(step, ARRAYS, record=record)
    assert store.steps() == [4, 3]


def test_what_another_run_saved_is_set_aside(tmp_path):
    for seed in (1, 2):
        given, record = run_of(seed)
        with ParameterStore(tmp_path, **given) as store:
            store.save(5, ARRAYS | {"temperature": np.float64(seed)}, record=record)
    assert store.load(ARRAYS)[1]["temperature"] == 2
    (aside,) = tmp_path.glob("5.set-aside-*")
    assert np.load(aside / FILE)["temperature"] == 1


def test_what_a_kill_left_half_written_goes(tmp_path):
    (tmp_path / ".1.unfinished" / FILE).parent.mkdir(parents=True)
    (tmp_path / ".1.unfinished" / FILE).with_name(".arrays.npz.0123abcd").write_bytes(b"PK")
    with ParameterStore(tmp_path) as store:
        store.save(1, ARRAYS)
    assert [path.name for path in tmp_path.rglob("*")] == ["1", "default", "arrays.npz"]


def test_a_folder_that_changes_hands_while_a_save_is_written_is_left_alone(tmp_path, monkeypatch):
    moved = []

    def check():
        if moved:
            raise UserError("moved")

    monkeypatch.setattr(checkpoints, "write_arrays", lambda path, _: moved.append(path.touch()))
    store = ParameterStore(tmp_path, check=check)
    (tmp_path / "1").mkdir()  # of whoever writes there now
    store.save(1, ARRAYS)
    with pytest.raises(UserError, match="moved"):
        store.close()
    assert [path.name for path in tmp_path.iterdir() if path.name[0] != "."] == ["1"]


def test_a_file_is_whole_on_the_disk_before_it_takes_the_place_of_another(tmp_path, monkeypatch):
    flushed, fsync, path = [], os.fsync, tmp_path / "run.json"
    write_json(path, [1])
    before = path.read_text()
    monkeypatch.setattr(os, "fsync", lambda n: (flushed.append((os.fstat(n).st_size, path.read_text())), fsync(n)))
    write_json(path, [1, 2])
    after = path.read_text()
    assert flushed == [(len(after), before)] and after != before
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_text() == after and list(tmp_path.iterdir()) == [path]


def test_a_name_that_is_not_utf_8_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"run\.json: cannot name 'caf\\udce9', which is not UTF-8"):
        write_json(tmp_path / "run.json", {"command": [os.fsdecode(b"caf\xe9")]})
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_larger_than_any_that_a_run_writes_is_not_read(tmp_path, monkeypatch):
    (path := tmp_path / "run.json").write_text("[1, 2, 3]")
    monkeypatch.setattr(files, "MAX_JSON_BYTES", 9)
    assert read_json(path) == [1, 2, 3]
    path.write_text("[1, 2, 3] ")
    with pytest.raises(UserError, match=r"run\.json: more than 9 bytes; expected a file that a training run wrote"):
        read_json(path)
