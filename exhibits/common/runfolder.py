"""The folder of a training run: one run at a time writes there, an interrupted one can go on, none is ever deleted."""

import contextlib
import fcntl
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exhibits.common.config import TrainingConfig, from_json, to_json
from exhibits.common.errors import UserError
from exhibits.common.files import read_json, write_json

# Fields that may differ between a run and its continuation: no number depends on them.
FREE = ("exp_dir", "verbosity", "resume", "checkpoint_minutes", "debug_nans")


def same_run(a: TrainingConfig, b: TrainingConfig) -> bool:
    """Whether two configurations give the same numbers."""
    return not differing(a, b)


def differing(a: TrainingConfig, b: TrainingConfig) -> list[str]:
    """The fields in which two configurations differ, but for those that no number depends on."""
    return [name for name in vars(a) if name not in FREE and getattr(a, name) != getattr(b, name)]


def finished(config: TrainingConfig) -> dict[str, Any] | None:
    """What `run.json` says of a finished training with this configuration; None if there is none."""
    exp = config.exp_dir
    if not ((exp / "run.json").exists() and (exp / "config.json").exists()):
        return None
    log = read_json(exp / "run.json")
    return log if log.get("finished") and same_run(from_json(type(config), exp / "config.json"), config) else None


class RunFolder:
    """A run's folder while this process alone may write to it; see `claimed`.

    Attributes:
        path: the folder.
        log: what run.json holds.
        resumes: whether it holds an interrupted run to go on with.
    """

    def __init__(self, path: Path, lock: int, log: dict[str, Any], resumes: bool):
        self.path, self._lock, self.log, self.resumes = path, lock, log, resumes

    def note(self, **values: Any) -> None:
        """Adds to run.json.

        Raises:
            UserError: if the folder was deleted or moved meanwhile.
        """
        self.log |= values
        if os.fstat(self._lock).st_nlink == 0 or not self.path.is_dir():
            raise UserError(f"{self.path}: was deleted or moved while the run was writing to it; start it again")
        write_json(self.path / "run.json", self.log)


@contextlib.contextmanager
def claimed(config: TrainingConfig, log: dict[str, Any]) -> Iterator[RunFolder]:
    """The folder `config.exp_dir`, made and locked, with config.json and run.json in place.

    A finished run there, or with `resume="never"` any run, moves to a folder named after its start. The lock is the
    operating system's: it goes when the process does.

    Args:
        config: of the run that is to begin or to go on.
        log: what run.json of a new run begins with, its start time under `started`.

    Raises:
        UserError: if the folder cannot be written to, is another process's, holds files that are not of a run or an
            interrupted run of another configuration, or does not hold the run that `resume="must"` wants.
    """
    exp = config.exp_dir
    # Before anything is written there.
    known = _known(exp) if exp.is_dir() else None
    if config.resume == "must" and (known is None or known.get("finished")):
        raise UserError(f"--resume must: no interrupted run in {exp}; expected one of this configuration")
    try:
        exp.mkdir(parents=True, exist_ok=True)
        if not os.access(exp, os.W_OK):
            raise PermissionError(13, "not writable")
    except OSError as error:
        raise UserError(f"--exp_dir {exp}: {error.strerror}; expected a folder that can be written to") from None
    lock = _lock(exp, log["started"])
    try:
        known = _known(exp)
        resumes = known is not None and not known.get("finished") and config.resume != "never"
        if resumes:
            before = from_json(type(config), exp / "config.json") if (exp / "config.json").exists() else config
            if names := differing(before, config):
                raise UserError(
                    f"--exp_dir {exp}: holds an interrupted run of another configuration (differs in "
                    f"{', '.join(names)}); go on with the same flags, give another --exp_dir, or set it aside with "
                    "--resume never"
                )
        if known is not None and not resumes:
            _set_aside(exp, known["started"])
            os.close(lock)
            exp.mkdir()
            lock = _lock(exp, log["started"])
        folder = RunFolder(exp, lock, known if resumes else log, resumes)
        if not resumes:
            folder.note(finished=None)
        if not (resumes and (exp / "config.json").exists()):  # a full disk may have kept it out
            write_json(exp / "config.json", to_json(config))
        yield folder
    finally:
        os.close(lock)


def _lock(exp: Path, started: str) -> int:
    """An open file that says who writes to the folder, locked as long as it is open."""
    path = exp / ".lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        who = os.read(handle, 200).decode(errors="replace").strip()
        os.close(handle)
        raise UserError(
            f"--exp_dir {exp}: another run is writing there ({who}); wait for it, or give another --exp_dir"
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, f"process {os.getpid()}, started {started}\n".encode())
    return handle


def _known(exp: Path) -> dict[str, Any] | None:
    """What run.json says; None if the folder is empty but for hidden files, as a kill at the very start leaves it."""
    if all(path.name.startswith(".") for path in exp.iterdir()):
        return None
    log = read_json(exp / "run.json") if (exp / "run.json").exists() else None
    started = str(log.get("started", "")) if isinstance(log, dict) else ""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", started):
        raise UserError(f"--exp_dir {exp}: holds files that are not of a run; expected an empty or new folder")
    return log


def _set_aside(exp: Path, started: str) -> None:
    stem = f"{exp.name}-{started.replace(':', '')}"
    names = (stem if n == 1 else f"{stem}-{n}" for n in itertools.count(1))
    target = next(path for path in map(exp.with_name, names) if not path.exists())
    exp.rename(target)
    print(f"The earlier run in {exp} is now in {target}", flush=True)
