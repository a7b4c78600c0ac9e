"""Studies: a task for each point of a grid, in this process or on a Dask cluster, its row kept as soon as it is there.

A task is a JSON object with everything that its numbers depend on; the script of a study has a function `run` that
takes one and gives the measurements. A rerun skips the tasks whose rows are in the study's file.
"""

import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec
from tqdm import tqdm

from exhibits.common.data.datasets import MNIST
from exhibits.common.data.loading import Patterns, digest_of, load_folder
from exhibits.common.experiment.schema import MAX_EPOCHS, StudyRow
from exhibits.common.experiment.values import require, settle_types
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import locked, make_folder, read_json, write_json
from exhibits.common.system.places import REPOSITORY, expanded
from exhibits.common.system.scripts import load_script

if TYPE_CHECKING:  # ngc-learn reads the command line when it is imported
    from exhibits.common.circuit import Circuit

C = TypeVar("C", bound="Circuit")
Task = dict[str, Any]
Row = dict[str, Any]  # {"task": Task, ...}

FIRST_SEED = 1234
QUICK_PATTERNS, QUICK_EPOCHS = 5000, 3


@dataclass(frozen=True)
class StudyConfig:
    """What every study's command line has."""

    epochs: int | None = None
    """Passes through the training set, the same for every task; the study's own numbers if not given."""
    seeds: int = 3
    """Seeds for each point of the grid: 1234, 1235, ..."""
    quick: bool = False
    """Whether to try the study out: small networks, few patterns and epochs, 1 seed."""
    plot_only: bool = False
    """Whether to draw the rows that there are instead of running what is missing."""
    scheduler: str | None = None
    """Address of a Dask scheduler, such as tcp://127.0.0.1:8786, to send the tasks to; this process if not given."""
    data: Path = MNIST
    """Folder with trainX.npy, trainY.npy, validX.npy and validY.npy; on a cluster, of each worker."""
    out: Path | None = None
    """Folder for rows and figures; if not given, results/ and figures/ beside the script, exp/quick/ with --quick."""

    def __post_init__(self):
        settle_types(self)
        for name in ("data", "out"):
            if (path := getattr(self, name)) is not None:
                object.__setattr__(self, name, expanded(path))
        require(self, "epochs", f"1 to {MAX_EPOCHS}", self.epochs is None or 1 <= self.epochs <= MAX_EPOCHS)
        require(self, "seeds", "1 to 100", 1 <= self.seeds <= 100)
        address = r"(tcp://)?[^\s/]+:\d{1,5}"
        valid = self.scheduler is None or re.fullmatch(address, self.scheduler)
        require(self, "scheduler", "an address such as tcp://127.0.0.1:8786", bool(valid))

    @property
    def official(self) -> bool:
        """Whether this is the study that its page reports."""
        return self.out is None and self.grid_values == type(self)().grid_values

    @property
    def grid_values(self) -> tuple:
        """What the tasks follow from."""
        return self.epochs, self.seeds, self.quick, self.data

    def folders(self, script: Path) -> tuple[Path, Path]:
        """Where the rows and the figures of a study go."""
        if self.out is not None:
            return self.out, self.out
        if self.quick:
            return script.parent / "exp" / "quick", script.parent / "exp" / "quick"
        return script.parent / "results", script.parent / "figures"

    def tasks(self, points: Sequence[Task], *, epochs: int, seeds: int | None = None) -> list[Task]:
        """A task for each of some points of the grid and each seed.

        Args:
            points: what differs between them.
            epochs: passes through the training set, unless the command line says otherwise.
            seeds: at most so many.
        """
        n_seeds = 1 if self.quick else min(self.seeds, seeds or self.seeds)
        rest = {
            "epochs": self.epochs or (min(QUICK_EPOCHS, epochs) if self.quick else epochs),
            "data": _portable(self.data),
            "data_sha256": digest_of(self.data),
        }
        rest |= {"patterns": QUICK_PATTERNS} if self.quick else {}
        return [point | rest | {"seed": FIRST_SEED + n} for point in points for n in range(n_seeds)]


def run_study(script: Path, tasks: Sequence[Task], config: StudyConfig, kind: type = StudyRow) -> list[Row]:
    """What `measure_tasks` gives, for a study that draws it.

    Raises:
        UserError: as `measure_tasks`; also if there are no rows or, after all other tasks, if some failed.
    """
    rows, failure = measure_tasks(script, tasks, config, kind)
    if failure is not None:
        raise failure
    rows_folder, figures_folder = config.folders(script)
    if not rows:
        path = rows_folder / f"{script.stem}.json"
        raise UserError(f"{path}: no row of this study yet; run it without --plot_only first")
    make_folder(figures_folder)
    return rows


def measure_tasks(
    script: Path, tasks: Sequence[Task], config: StudyConfig, kind: type = StudyRow
) -> tuple[list[Row], UserError | None]:
    """Runs the tasks whose rows are missing and keeps each row as soon as it is there, beside those of others.

    Args:
        script: file of the study, `<name>.py`; its rows are in `<name>.json`.
        tasks: of the study's grid.
        config: the command line.
        kind: what a row is, as msgspec can decode it.

    Returns:
        The rows of these tasks that there are, in the order of the grid; and what to say if some failed.

    Raises:
        UserError: if the scheduler cannot be reached.
    """
    rows_folder, _ = config.folders(script)
    path = rows_folder / f"{script.stem}.json"
    stored = _stored(path, kind)
    missing = [task for task in tasks if _identity(task) not in stored]
    failures = []
    if missing and not config.plot_only:
        make_folder(rows_folder)
        bar = tqdm(total=len(tasks), initial=len(tasks) - len(missing), unit="task", desc=path.stem, smoothing=0)
        with bar:
            for task, row in outcomes(script, missing, config.scheduler):
                if isinstance(row, UserError):
                    failures.append(f"{task.get('folder') or json.dumps(task)}: {row}")
                else:
                    with locked(rows_folder):  # other processes keep their rows there too
                        stored = _stored(path, kind) | {_identity(task): {"task": task} | row}
                        write_json(path, {"rows": list(stored.values())})
                bar.update()
    rows = [stored[_identity(task)] for task in tasks if _identity(task) in stored]
    if not failures:
        return rows, None
    kept = f", the rest is in {path}" if rows else ""
    return rows, UserError(f"{len(failures)} of {len(missing)} tasks failed{kept}; {failures[0]}")


def _portable(path: Path) -> str:
    """A path as another machine's copy of the repository has it too: REPOSITORY / _portable(path) is the path."""
    path = path.resolve()
    return (path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path).as_posix()


def _identity(task: Task) -> str:
    """What tells a task from others: all of it, but for the folder that its data were in."""
    return json.dumps({name: value for name, value in task.items() if name != "data"}, sort_keys=True)


def _stored(path: Path, kind: type) -> dict[str, Row]:
    if not path.exists():
        return {}
    rows = read_json(path, dict[Literal["rows"], list[kind]], "the rows of this study; move it away to start anew")
    return {_identity(row["task"]): row for row in msgspec.to_builtins(rows).get("rows", [])}


def outcomes(script: Path, tasks: Sequence[Task], scheduler: str | None) -> Iterator[tuple[Task, Row | UserError]]:
    """Each task with its measurements, or with what went wrong, in the order in which they end."""
    where = _portable(script)
    if scheduler is not None:
        yield from _on_cluster(scheduler, where, tasks)
        return
    for task in tasks:
        try:
            yield task, run_task(where, task)
        except UserError as error:
            yield task, error


def _on_cluster(address: str, where: str, tasks: Sequence[Task]) -> Iterator[tuple[Task, Row | UserError]]:
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise UserError(f"--scheduler: Dask is not installed; {sys.executable} -m pip install distributed") from None
    try:
        client = Client(address, timeout=5)
    except Exception as error:  # ImportError, TypeError, ValueError, ...: each protocol has its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"--scheduler {address}: no Dask scheduler there ({reason}); start one with `dask scheduler`, "
            "workers with `dask worker ADDRESS --nthreads 1`"
        ) from None
    with client:
        if not client.scheduler_info()["workers"]:
            print(f"{address} has no workers yet; start some: dask worker {address} --nthreads 1", file=sys.stderr)
        futures = {client.submit(run_task, where, task, pure=False): task for task in tasks}
        for future in as_completed(futures):
            error = future.exception()
            task = futures[future]
            if error is None:
                yield task, future.result()
            else:
                kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
                yield task, UserError(f"{kind}{error}")


def run_task(where: str, task: Task) -> Row:
    """Runs one task, in whatever process.

    Args:
        where: the study's script, relative to the repository or absolute.
        task: of its grid.

    Returns:
        What the script's `run` measured; if not among that, the seconds that it took, hardware and git commit.
    """
    from exhibits.common.experiment import runlog
    from exhibits.common.system.environment import pin

    pin()
    from exhibits.common.ngc import scratch

    script = REPOSITORY / where
    with scratch():
        if str(script.parent) not in sys.path:  # in a worker; a study may import what is beside it
            sys.path.append(str(script.parent))
        start = time.perf_counter()
        measured = load_script(script).run(task)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "device": runlog.hardware(), "git_commit": runlog.git_commit()} | measured


def patterns_of(task: Task) -> tuple[Patterns, Patterns]:
    """Training and development patterns of a task.

    Raises:
        UserError: if they are not what the task is about.
    """
    folder = REPOSITORY / task["data"]
    train, dev, digest = load_folder(folder)
    if digest != task["data_sha256"]:
        raise UserError(f"{folder}: its arrays are not those of the study; copy them from where it was started")
    train, dev = (Patterns(*(array[: task.get("patterns")] for array in each)) for each in (train, dev))
    return train, dev


def circuit_for(task: Task, train: Patterns, kind: type[C], config: Any) -> C:
    """A circuit of that kind that is to learn a task's patterns, in the task's epochs.

    Its initial weights come from the task's seed, but are not those of a training run of this seed.
    """
    import jax

    from exhibits.common.circuit.minibatches import n_updates

    updates = n_updates(len(train.x), config.batch_size, task["epochs"])
    return kind(jax.random.PRNGKey(task["seed"]), train.x.shape[1], train.y.shape[1], config, updates)


def learning_curve(circuit: "Circuit", task: Task) -> Iterator[float]:
    """Trains a circuit as `training.fit` does and yields its accuracy on the development set after each epoch."""
    from exhibits.common.circuit.seeds import Keys
    from exhibits.common.experiment.epochs import learn_epoch, score

    train, dev = patterns_of(task)
    for epoch in range(1, task["epochs"] + 1):
        learn_epoch(circuit, train, task["seed"], epoch)
        yield score(circuit, dev, Keys.of(task["seed"]).dev).acc


def half_of(epochs: int) -> int:
    """After how many of its epochs a study changes the feedback that a network learns by, as a control."""
    return max(1, epochs // 2)


def with_values(rows: Sequence[Row], **values: Any) -> list[Row]:
    """The rows whose tasks have these values."""
    return [row for row in rows if values.items() <= row["task"].items()]
