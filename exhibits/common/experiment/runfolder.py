"""The folder of a training run: one run at a time writes there, an interrupted one can be resumed, none is deleted."""

import contextlib
import dataclasses
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exhibits.common.data.form import Form
from exhibits.common.experiment.config import FILES, TrainingConfig, from_json, to_json
from exhibits.common.experiment.schema import History, Identity, RunLog
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import numbered, read_json, replacing, write_json

CHECKPOINTS, INITIAL = "checkpoints", "initial"
TEST = ("testX", "testY")
METRICS, BOARD = "metrics.csv", "tensorboard"
HISTORY = (*(f"{name}.npy" for name in History.__struct_fields__), METRICS, BOARD)
RUN_FILES = ("run.json", "config.json", ".lock", "weights.npz", CHECKPOINTS, INITIAL, *HISTORY)


def recorded_identity(config: TrainingConfig, log: RunLog, form: Form) -> Identity:
    """What a run's numbers depended on, as its config.json and run.json tell.

    Args:
        config: what config.json holds.
        log: what run.json holds.
        form: of the data, if run.json is of format 1, which does not tell.
    """
    form = log.form or form
    learned = {name: record.sha256 for name, record in log.data.items() if not name.startswith("test")}
    numbers = {name: value for name, value in config.numbers(form).items() if name not in log.choices}
    return Identity(log.format, config.exhibit, numbers, learned, form, log.choices, log.settings)


def refuse_inconsistent(exp: Path, config: TrainingConfig, log: RunLog) -> None:
    """Refuses a folder whose run.json is of another run than its config.json."""
    for name, logged, expected in (("exhibit", log.exhibit, config.exhibit), ("seed", log.seed, config.seed)):
        if logged not in (None, "", expected):  # format 1 told neither
            which = f"{name} ({logged} in run.json, {expected} here)"
            raise UserError(f"{exp}: run.json and config.json differ in {which}; put back the one that was changed")


def finished(config: TrainingConfig, identity: Identity) -> RunLog | None:
    """What run.json says of a finished training of this identity in `config.exp_dir`; None if there is none."""
    exp = config.exp_dir
    if not ((exp / "run.json").exists() and (exp / "config.json").exists()):
        return None
    log = read_json(exp / "run.json", RunLog)
    if not log.finished or log.epochs_done != config.epochs:
        return None
    there = recorded_identity(from_json(type(config), exp / "config.json"), log, identity.form)
    return None if _differences(there, identity) else log


def _differences(there: Identity, here: Identity) -> list[str]:
    """In what two runs differ; of format 1 only the configuration is known."""
    if there.format == 1:
        choices = dict.fromkeys(here.choices)
        there_config = {name: value for name, value in there.config.items() if name not in choices}
        there = Identity(here.format, here.exhibit, there_config, here.data, here.form, here.choices, here.settings)
    return list(there.differences(here))


class RunFolder:
    """A run's folder while this process alone may write to it; see `held`.

    Attributes:
        path: the folder.
        log: what run.json holds.
        resumes: whether it holds an interrupted run to resume.
    """

    def __init__(self, path: Path, handle: int, log: RunLog, resumes: bool):
        self.path, self._handle, self.log, self.resumes = path, handle, log, resumes

    def check(self) -> None:
        """To be called before anything is written.

        Raises:
            UserError: if the folder was deleted or moved meanwhile.
        """
        held = os.fstat(self._handle)
        try:
            there = os.stat(self.path)
        except OSError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (held.st_dev, held.st_ino):
            raise UserError(
                f"{self.path}: was deleted or moved while the run was writing to it; what was saved went with it; "
                "if it was moved, --exp_dir with its new path resumes it"
            )

    def note(self, **values: Any) -> None:
        """Adds to run.json.

        Raises:
            UserError: if the folder was deleted or moved meanwhile.
        """
        for name, value in values.items():
            setattr(self.log, name, value)
        self.check()
        write_json(self.path / "run.json", self.log)


@contextlib.contextmanager
def held(config: TrainingConfig, identity: Identity, log: RunLog) -> Iterator[RunFolder]:
    """The folder `config.exp_dir`, made and locked, with config.json and run.json in place.

    A finished run there, or with `resume="never"` any run, moves to a folder named after its start. The lock is the
    operating system's, on the folder itself: it goes when the process does, and moves with the folder.

    Args:
        config: of the run that is to begin or to be resumed.
        identity: of that run.
        log: what run.json of a new run begins with.

    Raises:
        UserError: if the folder cannot be written to, is another process's, holds links or files that are not of a
            run, or an interrupted run that differs, or does not hold the run that `resume="must"` wants.
    """
    exp = config.exp_dir
    # Before anything is written there.
    existing = _log_of(exp) if exp.is_dir() else None
    if config.resume == "must":
        _refuse_unresumable(config, existing)
    try:
        exp.mkdir(parents=True, exist_ok=True)
        if not os.access(exp, os.W_OK):
            raise PermissionError(13, "not writable")
    except OSError as error:
        reason = "a link that leads nowhere" if exp.is_symlink() and not exp.exists() else error.strerror
        raise UserError(f"--exp_dir {exp}: {reason}; expected a folder that can be written to") from None
    with contextlib.ExitStack() as locks:
        handle = _lock(exp, locks)
        existing = _log_of(exp)
        wanted = existing is not None and (
            config.resume == "must" or (config.resume == "auto" and not existing.finished)
        )
        resumed = existing if wanted else None
        if resumed is not None:
            _refuse_another_run(config, identity, resumed)
        elif existing is not None:
            place = exp.resolve() if exp.is_symlink() else exp  # a link stays, and leads to the new run
            aside = _set_aside(place, existing.started)
            if (
                config.resume == "auto"
                and existing.finished
                and existing.epochs_done < config.epochs
                and config.can_be_extended
            ):
                continuing = f"--resume must --exp_dir {aside} continues it instead"
                print(f"It ended after epoch {existing.epochs_done}; {continuing}", flush=True)
            locks.close()
            place.mkdir(exist_ok=True)
            handle = _lock(exp, locks)
            if _log_of(exp) is not None:
                raise UserError(f"--exp_dir {exp}: another run has begun there; give another --exp_dir")
        folder = RunFolder(exp, handle, resumed or log, resumes=resumed is not None)
        _write_owner(exp, log.started)
        if not folder.resumes:
            folder.note()
        if not (folder.resumes and (exp / "config.json").exists()):  # a full disk may have kept it out
            write_json(exp / "config.json", to_json(config))
        else:
            recorded = from_json(type(config), exp / "config.json")
            # The same content from elsewhere, or a test set more.
            files = {name: getattr(config, name) for name in ("dataset", *FILES)}
            if config.dataset is None and config.testX is None:
                files |= {"testX": recorded.testX, "testY": recorded.testY}
            classes = config.classes or recorded.classes
            now = dataclasses.replace(recorded, epochs=config.epochs, classes=classes, **files)
            if now != recorded:
                write_json(exp / "config.json", to_json(now))
                if folder.log.format > 1:  # 1 recorded no data
                    folder.note(data=folder.log.data | {name: log.data[name] for name in TEST if name in log.data})
        if folder.resumes and folder.log.finished:
            folder.note(finished=None)
        yield folder


def _refuse_unresumable(config: TrainingConfig, existing: RunLog | None) -> None:
    """Refuses `resume="must"` where there is no run to resume."""
    exp = config.exp_dir
    if existing is None:
        raise UserError(f"--resume must: no interrupted run in {exp}; expected one of this configuration")
    if not existing.finished:
        return
    if config.epochs <= existing.epochs_done:
        raise UserError(
            f"--resume must: the run in {exp} is finished, after {existing.epochs_done} epochs; ask for more --epochs"
        )
    # Of another schedule, `_refuse_another_run` says so.
    if not (config.can_be_extended or from_json(type(config), exp / "config.json").can_be_extended):
        raise UserError(
            f"--resume must: the run in {exp} is finished, and its learning rates fell to 0 along its "
            f"{existing.epochs_done} epochs; begin a new run with its weights: --init_from {exp} and another --exp_dir"
        )


def refuse_links(exp: Path) -> None:
    """Refuses a run's folder in which a link stands for one of its files: what it leads to is not the run's."""
    places = [exp / name for name in RUN_FILES]
    for store in (CHECKPOINTS, INITIAL):
        if not (exp / store).is_symlink():
            places += (exp / store).rglob("*")  # which does not follow links
    for pattern in ("analysis-*", "*_analysis.json", "analysis-*/*_analysis.json"):
        places += exp.glob(pattern)
    for place in places:
        if place.is_symlink():
            raise UserError(f"{place}: is a link; replace it with the file or folder that it points to")


def _refuse_another_run(config: TrainingConfig, identity: Identity, existing: RunLog) -> None:
    """Refuses to resume a run whose numbers would not be those of an uninterrupted one."""
    exp = config.exp_dir
    if config.epochs < existing.epochs_done:
        raise UserError(
            f"--epochs {config.epochs}: the run in {exp} has done {existing.epochs_done}; ask for as many or more"
        )
    if not (exp / "config.json").exists():  # its checkpoints tell whether it is another run
        return
    recorded = from_json(type(config), exp / "config.json")
    refuse_inconsistent(exp, recorded, existing)
    if names := _differences(recorded_identity(recorded, existing, identity.form), identity):
        raise UserError(
            f"--exp_dir {exp}: holds a run that differs in {', '.join(names)}; "
            "resume it with its own settings and data, give another --exp_dir, or set it aside with --resume never"
        )
    if existing.format == 1:
        print(
            f"The run in {exp} began in format 1, which did not record its data and settings, so that "
            "these cannot be checked; from here on, this version trains and measures it",
            flush=True,
        )


def _lock(exp: Path, locks: contextlib.ExitStack) -> int:
    """The open folder, locked as long as it is open: until the stack is closed."""
    handle = os.open(exp, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    locks.callback(os.close, handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        there = os.stat(exp)
        held = os.fstat(handle)
        if (there.st_dev, there.st_ino) != (held.st_dev, held.st_ino):  # another run set it aside meanwhile
            raise BlockingIOError
    except BlockingIOError:
        raise UserError(
            f"--exp_dir {exp}: another run is writing there ({_owner(exp)}); wait for it, or give another --exp_dir"
        ) from None
    except OSError as error:
        raise UserError(f"--exp_dir {exp}: cannot be locked ({error.strerror}); give one on a local disk") from None
    return handle


def _write_owner(exp: Path, started: str) -> None:
    """Leaves word of who writes, for people and messages; the lock itself is on the folder."""
    with replacing(exp / ".lock") as file:
        file.write(f"process {os.getpid()}, started {started}\n".encode())


def _owner(exp: Path) -> str:
    try:
        handle = os.open(exp / ".lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return "unknown process: .lock is missing or unreadable"
    with os.fdopen(handle, "rb") as file:
        return file.read(200).decode(errors="replace").strip()


def _log_of(exp: Path) -> RunLog | None:
    """What run.json says; None if the folder is empty but for hidden files, as a kill at the very start leaves it."""
    refuse_links(exp)
    if all(path.name.startswith(".") for path in exp.iterdir()):
        return None
    if not (exp / "run.json").exists():
        raise UserError(f"--exp_dir {exp}: holds files that are not of a run; expected an empty or new folder")
    return read_json(exp / "run.json", RunLog, "the record of a run; give an empty or new folder, or put it back")


def _set_aside(exp: Path, started: str) -> Path:
    """Renames a run's folder after its start, and gives its new path."""
    wanted = exp.with_name(f"{exp.name}-{started.replace(':', '')}")
    target = next(path for path in numbered(wanted) if not path.exists())
    exp.rename(target)
    print(f"The earlier run in {exp} is now in {target}", flush=True)
    return target
