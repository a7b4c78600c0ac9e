"""Small circuits and data that several test files use."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

# Circuits of one kind are compiled once for all tests of a worker and the processes that they start: it halves their
# time. Each worker has a folder of its own, as JAX does not write the files of this cache atomically.
os.environ |= {
    "JAX_COMPILATION_CACHE_DIR": str(
        Path(__file__).resolve().parents[1] / ".pytest_cache" / "jax" / os.environ.get("PYTEST_XDIST_WORKER", "main")
    ),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "OMP_WAIT_POLICY": "PASSIVE",  # as in scripts: t-SNE would wait for the other worker's processor,
    "OPENBLAS_NUM_THREADS": "1",  # and so would NumPy
}

import jax
import numpy as np
import pytest

from exhibits.bfa_snn.config import CircuitConfig
from exhibits.bfa_snn.model import BFA_SNN
from exhibits.common.circuit import Circuit
from exhibits.common.data.form import ArrayRecord, Form
from exhibits.common.data.loading import DataSet, Patterns, picture_shape
from exhibits.common.experiment.evaluation import Readout, interpret
from exhibits.common.ngc import temporary
from exhibits.common.system import environment as settings

# Circuits here compile for longer than they run: in the processes of the tests, though not in those that they start,
# the compiler leaves out most optimizations. Numbers may then differ in the last bit.
settings.JAX_PINNED["jax_disable_most_optimizations"] = True
settings.pin()


def make_patterns(n: int, n_pixels: int = 36, n_classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy prototypes, one per class: learnable within an epoch."""
    rng = np.random.default_rng(seed)
    prototypes = np.random.default_rng(99).random((n_classes, n_pixels)) < 0.3
    labels = rng.integers(0, n_classes, n)
    noise = rng.random((n, n_pixels))
    x = np.clip(0.9 * prototypes[labels] * noise + 0.05 * noise, 0, 1).astype(np.float32)
    return x, np.eye(n_classes, dtype=np.float32)[labels]


def data_set(n_train: int, n_dev: int, **values) -> DataSet:
    """Such patterns to learn from and to choose the epoch by, as if they came from files."""
    train, dev = Patterns(*make_patterns(n_train, **values)), Patterns(*make_patterns(n_dev, seed=1, **values))
    (_, pixels), (_, classes) = train.x.shape, train.y.shape
    arrays = {"dataX": train.x, "dataY": train.y, "devX": dev.x, "devY": dev.y}
    records = {
        name: ArrayRecord(f"{name}.npy", array.shape, "float32", hashlib.sha256(array.data).hexdigest())
        for name, array in arrays.items()
    }
    form = Form(pixels, picture_shape(pixels), classes)
    return DataSet(train, dev, form, tuple(map(str, range(classes))), records)


def presented(circuit: Circuit, x: np.ndarray, y: np.ndarray, seed: int = 0) -> Readout:
    """What a circuit answers without learning."""
    return interpret(circuit.read(x, y, jax.random.PRNGKey(seed), detail=True), y)


def run(*command, **values):
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300, **values)


def one_line(done):
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def line_of(process):
    """The next line that a process writes."""
    assert process.stdout is not None
    return process.stdout.readline()


def environment(**values):
    """Ours, as after activating the environment that the tests run in."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VENV")} | {
        "VIRTUAL_ENV": sys.prefix,
        **values,
    }


def nobody_is_left(process):
    """Whether all processes of its session end."""
    return within_seconds(lambda: not run("ps", "-o", "args=", "--sid", process.pid).stdout)


def within_seconds(happens):
    return any(happens() or time.sleep(0.1) for _ in range(200))


# Before a folder and a command: the command cannot write to the folder.
READ_ONLY = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
READ_ONLY += ['mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"']
needs_namespaces = pytest.mark.skipif(
    shutil.which("unshare") is None or run(*READ_ONLY, Path(__file__).parent, "true").returncode != 0,
    reason="this user may not mount anything",
)


# Before a command: it heeds SIGHUP and SIGINT, also if pytest runs under nohup or in the background.
HEEDING = (
    sys.executable,
    "-c",
    "import os, sys; from signal import *; [signal(number, SIG_DFL) for number in (SIGHUP, SIGINT)]; "
    "os.execvp(sys.argv[1], sys.argv[1:])",
)


# Files that take longest, in this order: pytest-xdist hands out whole files, and the last one should be a short one.
LONG = (
    *("test_estimator", "test_contract", "test_resume", "test_studies", "test_glsnn", "test_bfasnn", "test_scripts"),
    *("test_own_data", "test_library", "test_packed", "test_identity", "test_start"),
)


def pytest_collection_modifyitems(items: list) -> None:
    """Long files first."""
    places = {f"{name}.py": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))


@pytest.fixture(autouse=True)
def unregistered():
    """No test's circuits are left to the next ones."""
    with temporary():
        yield


@pytest.fixture
def unpictured(monkeypatch):
    """Analyses in this process save no pictures, which take most of their time: for tests of numbers."""
    monkeypatch.setattr("exhibits.common.report.pictures.Album.add", lambda *_: None)


@pytest.fixture(scope="session")
def make_circuit():
    """Builds a small BFA-SNN: make_circuit(seed=0, hid_dim=(20,), ...)."""

    def build(seed: int | None = 0, n_pixels: int = 36, n_classes: int = 4, **values) -> BFA_SNN:
        key = None if seed is None else jax.random.PRNGKey(seed)  # without one nothing is drawn
        defaults = {"hid_dim": (20,), "T": 30, "burn_in": 6, "batch_size": 8, "weight_std": 0.3, "input_gain": 0.5}
        return BFA_SNN(key, n_pixels, n_classes, CircuitConfig(**(defaults | values)))

    return build
