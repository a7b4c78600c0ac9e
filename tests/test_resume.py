"""Runs that are interrupted: what goes on ends with the numbers of what was never interrupted, byte for byte."""

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import HEEDING, data_set, make_patterns
from test_scripts import EXHIBITS, flags

from exhibits.bfa_snn.config import Config
from exhibits.common.experiment import runfolder
from exhibits.common.experiment.checkpoints import ParameterStore
from exhibits.common.experiment.config import from_json
from exhibits.common.experiment.restoring import restore
from exhibits.common.experiment.runfolder import finished
from exhibits.common.experiment.training import fit, identity_of
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import write_json
from exhibits.common.system.places import REPOSITORY

HISTORY = ("trAcc", "acc", "trNll", "nll")


class Killed(Exception):
    """Stands for the end of a process at a moment that a test chooses."""


@pytest.fixture
def sets():
    return data_set(200, 40)


def contents(exp, make_circuit):
    """What a finished run must share with another: bytes of history and best weights, and which epoch was best."""
    trained = restore(make_circuit(seed=9), exp)
    log = json.loads((exp / "run.json").read_text())
    assert log["finished"]
    return (
        [(exp / f"{name}.npy").read_bytes() for name in HISTORY],
        {name: np.asarray(value).tobytes() for name, value in trained.circuit.get_parameters().items()},
        (trained.epoch, trained.temperature),
        [log.get(name) for name in ("best_epoch", "best_dev_acc", "best_dev_nll", "epochs_done")],
    )


def killed_after(monkeypatch, n_calls, name):
    """Makes the n-th call of a method the last thing that happens."""
    owner, method = name
    original, calls = getattr(owner, method), []

    def counted(self, *args, **kwargs):
        result = original(self, *args, **kwargs)
        calls.append(method)
        if len(calls) == n_calls:
            raise Killed
        return result

    monkeypatch.setattr(owner, method, counted)


OFTEN = [pytest.param(n, marks=[] if n in (1, 5) else pytest.mark.slow) for n in (1, 2, 3, 5, 8)]


@pytest.mark.parametrize("join_dev", [False, True])
@pytest.mark.parametrize("n_calls", OFTEN)
def test_a_run_is_resumed_wherever_it_was_killed(n_calls, join_dev, make_circuit, sets, tmp_path, monkeypatch):
    monkeypatch.setattr("exhibits.common.circuit.Circuit.MINIBATCHES_PER_CALL", 5)
    values = {"epochs": 3, "seed": 3, "join_dev": join_dev, "checkpoint_minutes": 1e-9}
    data = dataclasses.replace(sets, dev=None) if join_dev else sets
    make = lambda seed=0: make_circuit(seed=seed, eta=(0.01, 0.01))  # noqa: E731
    fit(make(), Config(exp_dir=tmp_path / "whole", **values), data)
    expected = contents(tmp_path / "whole", make)
    config = Config(exp_dir=tmp_path / "exp", **values)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, n_calls, (ParameterStore, "save"))
        fit(make(), config, data)
    fit(make(), config, data)
    assert contents(tmp_path / "exp", make) == expected
    assert not list(tmp_path.glob("exp-*"))


def interrupted(make_circuit, sets, exp, monkeypatch, n_calls=4):
    """A run of three epochs that was killed in its third."""
    config = Config(exp_dir=exp, epochs=3, seed=3)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, n_calls, (ParameterStore, "save"))
        fit(make_circuit(), config, sets)
    return config


def test_a_run_that_was_killed_at_once_starts_again_and_leaves_nothing_over(make_circuit, sets, tmp_path, monkeypatch):
    config = interrupted(make_circuit, sets, tmp_path / "exp", monkeypatch, n_calls=1)  # the initial parameters' save
    fit(make_circuit(), config, sets)
    assert [path.name for path in (config.exp_dir / "initial").iterdir()] == ["0"]


def test_damaged_checkpoints_are_found_out(make_circuit, sets, tmp_path, monkeypatch, capsys):
    config = interrupted(make_circuit, sets, tmp_path / "exp", monkeypatch)
    fit(make_circuit(), Config(exp_dir=tmp_path / "whole", epochs=3, seed=3), sets)
    steps = ParameterStore(tmp_path / "exp" / "checkpoints").steps()
    shutil.copytree(tmp_path / "exp", tmp_path / "copy")

    def damage(step):
        # One bit in the middle of the largest file, the weights.
        files = (tmp_path / "exp" / "checkpoints" / str(step)).rglob("*")
        path = max(files, key=lambda path: path.is_file() and path.stat().st_size)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    damage(steps[0])
    fit(make_circuit(), config, sets)
    assert f"going back to {steps[1]}" in capsys.readouterr().err
    assert contents(tmp_path / "exp", make_circuit) == contents(tmp_path / "whole", make_circuit)

    shutil.rmtree(tmp_path / "exp")
    shutil.copytree(tmp_path / "copy", tmp_path / "exp")
    for step in steps:
        damage(step)
    with pytest.raises(UserError, match=r"damaged.*--resume never"):
        fit(make_circuit(), config, sets)


def test_another_configuration_is_refused_with_what_differs(make_circuit, sets, tmp_path, monkeypatch):
    config = interrupted(make_circuit, sets, tmp_path / "exp", monkeypatch)
    before = {path: path.read_bytes() for path in config.exp_dir.rglob("*") if path.is_file() and path.name != ".lock"}
    with pytest.raises(
        UserError, match=r"differs in T \(100 there, 90 here\), burn_in \(20 there, 10 here\);.*--resume never"
    ):
        fit(make_circuit(), Config(exp_dir=config.exp_dir, epochs=4, seed=3, T=90, burn_in=10), sets)
    assert before == {path: path.read_bytes() for path in before}
    never = Config(exp_dir=config.exp_dir, epochs=1, seed=3, resume="never", verbosity=1)
    fit(make_circuit(), never, sets)
    (aside,) = tmp_path.glob("exp-*")
    assert json.loads((aside / "run.json").read_text())["finished"] is None
    with pytest.raises(UserError, match="--resume must"):
        fit(make_circuit(), Config(exp_dir=config.exp_dir, epochs=1, seed=3, resume="must"), sets)


@pytest.mark.parametrize("ended", ["finished", "killed"])
def test_more_epochs_go_on_where_a_run_ended(ended, make_circuit, sets, tmp_path, monkeypatch):
    fit(make_circuit(), Config(exp_dir=tmp_path / "whole", epochs=4, seed=3), sets)
    exp = tmp_path / "exp"
    if ended == "finished":
        fit(make_circuit(), Config(exp_dir=exp, epochs=2, seed=3), sets)
        with pytest.raises(UserError, match="finished, after 2 epochs; ask for more"):
            fit(make_circuit(), Config(exp_dir=exp, epochs=2, seed=3, resume="must"), sets)
    else:
        interrupted(make_circuit, sets, exp, monkeypatch)
        with pytest.raises(UserError, match=r"--epochs 1: the run in .* has done 2"):
            fit(make_circuit(), Config(exp_dir=exp, epochs=1, seed=3), sets)
    fit(make_circuit(), Config(exp_dir=exp, epochs=4, seed=3, resume="must"), sets)
    assert contents(exp, make_circuit) == contents(tmp_path / "whole", make_circuit)
    assert from_json(Config, exp / "config.json").epochs == 4
    assert not list(tmp_path.glob("exp-*"))


def test_a_finished_run_that_could_go_on_says_so_when_it_is_set_aside(
    make_circuit, sets, tmp_path, capsys, monkeypatch
):
    for epochs, said in ((1, False), (1, False), (2, True)):
        fit(make_circuit(), Config(exp_dir=tmp_path / "exp", epochs=epochs, seed=3), sets)
        out = capsys.readouterr().out
        assert ("It ended after epoch 1; --resume must --exp_dir" in out) == said
    shutil.copytree(tmp_path / "exp", tmp_path / "bare")
    (tmp_path / "bare" / "config.json").unlink()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, 1, (ParameterStore, "save"))
        fit(make_circuit(), Config(exp_dir=tmp_path / "bare", epochs=9, seed=3, resume="must"), sets)
    assert json.loads((tmp_path / "bare" / "run.json").read_text())["finished"] is None  # it goes on
    aside = out.partition("--resume must --exp_dir ")[2].partition(" continues it instead")[0]
    fit(make_circuit(), Config(exp_dir=Path(aside), epochs=2, seed=3, resume="must"), sets)
    assert contents(Path(aside), make_circuit) == contents(tmp_path / "exp", make_circuit)


def test_a_link_to_a_folder_stays_when_the_run_there_is_set_aside(make_circuit, sets, tmp_path):
    (tmp_path / "disk" / "runs").mkdir(parents=True)
    (tmp_path / "exp").symlink_to(tmp_path / "disk" / "runs")
    for _ in range(2):
        fit(make_circuit(), Config(exp_dir=tmp_path / "exp", epochs=1, seed=3), sets)
    assert (tmp_path / "exp").is_symlink() and sorted(path.name for path in tmp_path.iterdir()) == ["disk", "exp"]
    first, second = sorted((tmp_path / "disk").iterdir())
    assert first.name == "runs" and second.name.startswith("runs-2")
    assert all((folder / "acc.npy").exists() for folder in (first, second))


def test_a_folder_that_is_taken_when_a_run_is_set_aside_is_said(make_circuit, sets, tmp_path, monkeypatch):
    config = Config(exp_dir=tmp_path / "exp", epochs=1, seed=3)
    fit(make_circuit(), config, sets)
    locks = iter([runfolder._lock])

    def lock(*args):  # the second time, another run is faster
        return next(locks, refuse)(*args)

    def refuse(exp, _):
        raise UserError(f"--exp_dir {exp}: another run is writing there")

    monkeypatch.setattr(runfolder, "_lock", lock)
    with pytest.raises(UserError, match="another run is writing there"):
        fit(make_circuit(), config, sets)


def test_a_run_that_must_resume_does_so_without_its_configuration(make_circuit, sets, tmp_path, monkeypatch):
    interrupted(make_circuit, sets, tmp_path / "exp", monkeypatch)
    (tmp_path / "exp" / "config.json").unlink()  # which a full disk had kept out
    with pytest.raises(UserError, match=r"--epochs 1: the run in .* has done 2"):
        fit(make_circuit(), Config(exp_dir=tmp_path / "exp", epochs=1, seed=3), sets)
    fit(make_circuit(), Config(exp_dir=tmp_path / "exp", epochs=4, seed=3, resume="must"), sets)
    assert json.loads((tmp_path / "exp" / "run.json").read_text())["finished"]


def test_a_schedule_that_has_ended_does_not_go_on(make_circuit, sets, tmp_path):
    values = {"exp_dir": tmp_path / "exp", "schedule": "cosine", "seed": 3}
    fit(make_circuit(schedule="cosine"), Config(epochs=1, **values), sets)
    with pytest.raises(UserError, match=r"fell to 0 along its 1 epochs; .*--init_from"):
        fit(make_circuit(schedule="cosine"), Config(epochs=2, resume="must", **values), sets)
    assert json.loads((tmp_path / "exp" / "run.json").read_text())["finished"]


def test_a_disk_that_is_full_from_the_start(make_circuit, sets, tmp_path, monkeypatch):
    config = Config(exp_dir=tmp_path / "exp", epochs=1)

    def full(path, value):
        if path.name == "config.json":
            raise OSError(28, "No space left on device")
        write_json(path, value)

    with monkeypatch.context() as patch:
        patch.setattr("exhibits.common.experiment.runfolder.write_json", full)
        with pytest.raises(UserError, match="exp: No space left on device"):
            fit(make_circuit(), config, sets)
    assert not (config.exp_dir / "config.json").exists()
    fit(make_circuit(), config, sets)
    assert from_json(Config, config.exp_dir / "config.json") == config
    assert finished(config, identity_of(make_circuit(), config, sets))


def test_a_folder_that_vanishes_is_said(make_circuit, sets, tmp_path, monkeypatch):
    config = Config(exp_dir=tmp_path / "exp", epochs=3)
    save = ParameterStore.save

    def vanish(self, step, arrays, kept=(), record=None):
        save(self, step, arrays, kept, record)
        self.wait()
        if self.folder.name == "checkpoints":
            config.exp_dir.rename(tmp_path / "elsewhere")

    monkeypatch.setattr(ParameterStore, "save", vanish)
    with pytest.raises(UserError, match="deleted or moved"):
        fit(make_circuit(), config, sets)


SMALL = {
    "bfa_snn": ["--hid_dim", "30", "--T", "40", "--burn_in", "8", "--batch_size", "16", "--weight_std", "0.3"],
    "glsnn": ["--hid_dim", "30", "--batch_size", "4", "--eta", "0.02"],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for stem, n, seed in (("train", 2000, 0), ("valid", 50, 1)):
        for part, array in zip("XY", make_patterns(n, seed=seed), strict=True):
            np.save(folder / f"{stem}{part}.npy", array)
    return folder


def start(name, data, exp, *more, **variables):
    command = [sys.executable, str(EXHIBITS[name].train), *flags(data, exp), *SMALL[name], *more]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"} | variables
    pipe = subprocess.PIPE
    return subprocess.Popen([*HEEDING, *map(str, command)], env=environment, stdout=pipe, stderr=pipe, text=True)


def wait_for_epoch(process, exp, n):
    for _ in range(6000):
        assert process.poll() is None, process.communicate()
        try:
            if json.loads((exp / "run.json").read_text()).get("epochs_done", 0) >= n:
                return
        except OSError:
            pass
        time.sleep(0.05)
    pytest.fail(f"not {n} epochs after minutes")


def numbers(exp):
    return [(exp / f"{name}.npy").read_bytes() for name in HISTORY]


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_a_signal_ends_a_run_that_can_be_resumed(number, data, tmp_path):
    exp, epochs = tmp_path / "exp", ("--epochs", 12)
    running = start("glsnn", data, exp, *epochs)
    wait_for_epoch(running, exp, 1)
    running.send_signal(signal.SIGSTOP)
    _, err = start("glsnn", data, exp, *epochs).communicate(timeout=300)
    assert err.startswith("error: ") and err.count("\n") == 1
    assert str(exp) in err and f"process {running.pid}, started 20" in err
    running.send_signal(number)
    running.send_signal(signal.SIGCONT)
    _, err = running.communicate(timeout=300)
    assert running.returncode == 128 + number, err
    assert "the same command resumes it" in err and "Traceback" not in err
    again = start("glsnn", data, exp, *epochs)
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0 and "Resuming the run" in out, err
    start("glsnn", data, tmp_path / "whole", *epochs).communicate(timeout=300)
    assert numbers(exp) == numbers(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("name", EXHIBITS)
def test_kills_at_random_moments_change_nothing(name, data, tmp_path):
    whole, exp, epochs = tmp_path / "whole", tmp_path / "exp", ("--epochs", 40)
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "jax")}  # a kill can leave half a file there
    began = time.perf_counter()
    start(name, data, whole, *epochs, **cache).communicate(timeout=600)
    lasts = time.perf_counter() - began
    moments = random.Random(7)
    for _ in range(15):
        running = start(name, data, exp, *epochs, "--checkpoint_minutes", "0.001", **cache)
        try:
            running.communicate(timeout=moments.uniform(0, lasts))
        except subprocess.TimeoutExpired:
            running.kill()
            running.communicate()
        if running.returncode == 0:
            break
    else:
        start(name, data, exp, *epochs, **cache).communicate(timeout=600)
    assert numbers(exp) == numbers(whole)
