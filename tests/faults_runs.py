"""Small runs of every exhibit, as processes that faults are tried on."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from conftest import make_patterns

from exhibits.common.experiment.config import from_json
from exhibits.common.experiment.restoring import restore
from exhibits.common.library.exhibit import Exhibit
from exhibits.common.system.places import REPOSITORY, exhibits

HISTORY = ("trAcc", "acc", "trNll", "nll")
EPOCHS = 12
RUNS = exhibits()


class Bench:
    """Small data, a folder for runs, and an exhibit whose uninterrupted numbers are known."""

    def __init__(self, folder: Path, exhibit: str):
        self.folder, self.exhibit = folder / exhibit, exhibit
        self.folder.mkdir()
        for stem, n, seed in (("train", 2000, 0), ("valid", 100, 1)):
            for part, array in zip("XY", make_patterns(n, seed=seed), strict=True):
                np.save(self.folder / f"{stem}{part}.npy", array)
        whole = self.folder / "whole"
        began = time.perf_counter()
        code, _, err = finish(self.start(whole))
        assert code == 0, err
        self.seconds = time.perf_counter() - began
        self.expected = self.numbers(whole)
        self.size = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())

    def command(self, exp: Path, *more: str) -> list[str]:
        """The command line of a run."""
        (script,) = (REPOSITORY / "exhibits" / self.exhibit).glob("train_*.py")
        small = Exhibit.named(self.exhibit).small
        names = {"dataX": "trainX", "dataY": "trainY", "devX": "validX", "devY": "validY"}
        data = [f"--{flag}={self.folder / name}.npy" for flag, name in names.items()]
        rest = ["--epochs", str(EPOCHS), "--checkpoint_minutes", "1e-9", "--exp_dir", str(exp), *more]
        return [sys.executable, str(script), *data, *small, *rest]

    def start(self, exp: Path, *more: str) -> subprocess.Popen:
        """Starts a run."""
        return popen(self.command(exp, *more))

    def numbers(self, exp: Path) -> list[bytes]:
        """Everything that must not differ: history and the weights of the best epoch."""
        exhibit = Exhibit.named(self.exhibit)
        config = from_json(exhibit.config, exp / "config.json")
        trained = restore(exhibit.network(jax.random.PRNGKey(0), 36, 4, config), exp)
        weights = jax.tree.leaves(trained.circuit.get_parameters())
        history = [(exp / f"{name}.npy").read_bytes() for name in HISTORY]
        return [*history, str(trained.epoch).encode(), *(np.asarray(each).tobytes() for each in weights)]

    def resumes(self, exp: Path) -> bool:
        """Whether the same command ends with the uninterrupted run's numbers."""
        code, _, _ = finish(self.start(exp))
        return code == 0 and self.numbers(exp) == self.expected


def popen(command: list[str]) -> subprocess.Popen:
    """A process in a session of its own, so that it can be killed with its children."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def finish(process: subprocess.Popen) -> tuple[int, str, str]:
    """Exit code and what was said."""
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def refused(process: subprocess.Popen) -> bool:
    """Whether a process ends with exit code 2 and one line of error after whatever progress bars."""
    code, _, err = finish(process)
    return code == 2 and "Traceback" not in err and err.splitlines()[-1].startswith("error: ")


def kill(process: subprocess.Popen) -> None:
    """Ends a process at once."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen) -> bool:
    """Waits until a condition holds; False if the process ended before."""
    while process.poll() is None:
        with contextlib.suppress(OSError, ValueError):
            if condition():
                return True
        time.sleep(0.0005)
    return False


def epochs_done(exp: Path) -> int:
    """How many epochs run.json says are done."""
    return json.loads((exp / "run.json").read_text()).get("epochs_done", 0)
