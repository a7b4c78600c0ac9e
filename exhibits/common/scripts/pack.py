"""Packs the best network of a finished run into a folder small enough to ship, measured on the test set of the run,
which it must have."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from exhibits.common.circuit.seeds import Keys
from exhibits.common.data.loading import load_patterns
from exhibits.common.experiment import packed
from exhibits.common.experiment.checkpoints import ParameterStore
from exhibits.common.experiment.config import to_json
from exhibits.common.experiment.restoring import exhibit_of, load_snapshot, opened, restore
from exhibits.common.experiment.runfolder import CHECKPOINTS
from exhibits.common.experiment.schema import RunLog
from exhibits.common.library.exhibit import Exhibit
from exhibits.common.report.analysis import evaluate
from exhibits.common.system.commandline import Parser, path
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import make_folder, write_json

MAX_LOSS = 0.0002  # of test accuracy, by rounding


def main(args: Sequence[str] | None = None) -> None:
    """Packs from the command line."""
    parser = Parser(__doc__)
    parser.prog = "python -m exhibits pack"
    parser.add_argument("run", type=path, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "target", type=path, metavar="TARGET", help="folder to make, such as exhibits/bfa_snn/pretrained/best"
    )
    given = parser.parse_args(args)
    exact, rounded = pack(given.run, given.target)
    print(f"{given.target}: test accuracy {rounded:.4f}, {exact:.4f} before rounding")


def pack(run: Path, target: Path) -> tuple[float, float]:
    """Makes the folder of a pretrained network: config.json, run.json, weights.npz and measured.json.

    Returns:
        Test accuracy before and after rounding.

    Raises:
        UserError: if the run is unfinished, packed or without a test set, the folder exists, or rounding costs too
            much.
    """
    exhibit = Exhibit.named(exhibit_of(run))
    config, log, identity_of = opened(exhibit.config, run)
    if log.form is None:
        raise UserError(f"{run}: of format 1, which does not tell its data; train it again")
    if not log.finished:
        raise UserError(f"{run}: not finished, after {log.epochs_done} epochs; the command that began it resumes it")
    if "testX" not in config.files():
        raise UserError(f"{run}: has no test set; train with --testX --testY, or on a known data set")
    if (run / packed.FILE).exists():
        raise UserError(f"{run}: is packed already; expected the folder of a training run")
    if target.exists() or target.is_symlink():
        raise UserError(f"{target}: exists; expected a new folder")
    circuit = exhibit.network.for_analysis(config, log.form)
    test, *_ = load_patterns(config, "test", log.form)
    key = Keys.of(config.seed).test
    exact, *_ = evaluate(restore(circuit, run, identity_of(log.form)), test, "test set", key)
    with ParameterStore(run / CHECKPOINTS) as store:
        _, progress, _ = load_snapshot(store, circuit)
        record = store.record(progress.best.step)
    assert record is not None  # load_snapshot refuses a checkpoint without one
    best = progress.best
    if (log.best_epoch or best.epoch, log.best_dev_acc) != (best.epoch, best.acc):
        raise UserError(
            f"{run}: run.json has another best epoch ({log.best_epoch}, dev accuracy {log.best_dev_acc}) than the "
            f"checkpoints ({best.epoch}, {best.acc}); put back the one that was changed"
        )
    make_folder(target.parent)
    with _making(target) as folder:
        packed.save(folder / packed.FILE, circuit.get_parameters(), record)
        write_json(folder / "config.json", to_json(dataclasses.replace(config, exp_dir=Path("exp"))))
        write_json(folder / "run.json", _without_paths(log))
        rounded, *_ = evaluate(restore(circuit, folder), test, "test set", key)
        write_json(folder / "measured.json", rounded)
        if rounded["acc"] < exact["acc"] - MAX_LOSS:
            raise UserError(
                f"{run}: rounding lowers test accuracy from {exact['acc']:.4f} to {rounded['acc']:.4f}, by more than "
                f"{MAX_LOSS:.4f}; nothing was packed"
            )
    return exact["acc"], rounded["acc"]


@contextlib.contextmanager
def _making(target: Path) -> Iterator[Path]:
    """A folder that becomes `target` when the block ends well, and else leaves no trace."""
    try:
        with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as unfinished:
            folder = Path(unfinished) / target.name
            folder.mkdir()
            yield folder
            folder.rename(target)
    except OSError as error:
        raise UserError(f"{target}: {error.strerror}; nothing was packed") from None


def _without_paths(log: RunLog) -> RunLog:
    """The record of a run without the folders of whoever trained it."""
    data = {name: msgspec.structs.replace(array, path=Path(array.path).name) for name, array in log.data.items()}
    return msgspec.structs.replace(log, data=data, command=log.command[:1])
