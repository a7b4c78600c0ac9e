"""How a run went, epoch by epoch, as files that other programs read."""

import csv
import io
import math
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from exhibits.common.experiment.runfolder import BOARD, METRICS, RunFolder
from exhibits.common.experiment.schema import MAX_EPOCHS, History, Progress, RunLog
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import npy_header, open_regular, replacing, write_array

TAGS = {"trAcc": "accuracy/train", "acc": "accuracy/dev", "trNll": "nll/train", "nll": "nll/dev"}


def require_board() -> None:
    """Refuses to write for TensorBoard without the package, before a run begins; who only reads a run needs none."""
    if find_spec("tensorboardX") is None:
        raise UserError(f"--tensorboard: tensorboardX is not installed; {sys.executable} -m pip install tensorboardX")


class HistoryFiles:
    """What a run leaves of its epochs.

    Args:
        folder: of the run.
        tensorboard: whether to write event files for TensorBoard too.
    """

    def __init__(self, folder: RunFolder, tensorboard: bool = False):
        self.folder, self._tensorboard = folder, tensorboard
        self._board: Any = None
        self._written = 0  # epochs in the event file of this process, from before training on

    def save(self, progress: Progress) -> None:
        """Writes trAcc.npy, acc.npy, trNll.npy and nll.npy, NaN where there is no development set, and metrics.csv."""
        for name in progress.history.__struct_fields__:
            self.folder.check()
            values = [math.nan if value is None else value for value in getattr(progress.history, name)]
            write_array(self.folder.path / f"{name}.npy", np.array(values, np.float64))
        self.folder.check()
        with replacing(self.folder.path / METRICS) as file:
            file.write(metrics(progress).encode())
        if self._tensorboard:
            self._add(progress)

    def close(self) -> None:
        """Ends the event file."""
        if self._board is not None:
            self._board.close()

    def _add(self, progress: Progress) -> None:
        """Adds to the event file. A resumed run begins one that stands for those before it."""
        self.folder.check()
        if self._board is None:
            from tensorboardX import SummaryWriter  # optional

            self._board = SummaryWriter(str(self.folder.path / BOARD), purge_step=0)
        curves = {tag: getattr(progress.history, name) for name, tag in TAGS.items()}
        layers = progress.activity.items()
        curves |= {f"spikes_per_pattern/{layer}": activity.spikes_per_pattern for layer, activity in layers}
        for epoch in range(self._written, len(progress.history.acc)):
            for tag, values in curves.items():
                if epoch < len(values) and values[epoch] is not None:
                    self._board.add_scalar(tag, values[epoch], epoch)
        self._written = len(progress.history.acc)
        self._board.flush()


def metrics(progress: Progress) -> str:
    """A CSV with a line an epoch, from before training on: accuracy, NLL (nats), seconds of learning, and spikes per
    pattern of each layer that spikes; empty where there is no value."""
    history, layers = progress.history, progress.activity
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["epoch", "train_acc", "train_nll", "dev_acc", "dev_nll", "seconds"]
    writer.writerow([*head, *(f"{layer}_spikes_per_pattern" for layer in layers)])
    columns = [history.trAcc, history.trNll, history.acc, history.nll, [None, *progress.epoch_seconds]]
    columns += [activity.spikes_per_pattern for activity in layers.values()]
    for epoch in range(len(history.acc)):
        row = [column[epoch] if epoch < len(column) else None for column in columns]
        writer.writerow([epoch, *(None if value is None else f"{value:.6g}" for value in row)])
    return text.getvalue()


def curves_of(folder: Path, log: RunLog) -> dict[str, np.ndarray]:
    """Accuracy and NLL of both sets by epoch, by the names of their files; nothing of a run that was packed.

    Args:
        folder: of the run.
        log: what its run.json holds.

    Raises:
        UserError: if a file is damaged, or they are not of one run.
    """
    paths = {name: folder / f"{name}.npy" for name in History.__struct_fields__}
    if not any(path.exists() for path in paths.values()):
        return {}
    curves = {name: _curve(path) for name, path in paths.items()}
    lengths = {name: len(values) for name, values in curves.items()}
    shortest, longest = min(lengths.values()), max(lengths.values())
    if longest > shortest + 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise UserError(f"{folder}: curves of different lengths ({listed}); expected those of one run")
    # A training may still have to write some of the files, or was killed before it did: take the epochs in all of them.
    curves = {name: values[:shortest] for name, values in curves.items()}
    if log.best_epoch is not None and log.best_dev_acc is not None:
        logged = log.best_dev_acc, log.best_dev_nll
        drawn = [curves[name][log.best_epoch : log.best_epoch + 1].tolist() for name in ("acc", "nll")]
        if drawn != [[value] for value in logged]:
            raise UserError(
                f"{folder}: run.json has another accuracy or NLL of epoch {log.best_epoch} than acc.npy and nll.npy; "
                "put back the one that was changed"
            )
    return curves


def _curve(path: Path) -> np.ndarray:
    try:
        with open_regular(path) as file:
            shape, dtype = npy_header(file)
            if len(shape) != 1 or dtype.kind != "f" or not 1 <= shape[0] <= MAX_EPOCHS + 1:
                raise UserError(f"{path}: expected a number for each epoch, as the training wrote them")
            file.seek(0)
            return np.load(file, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a .npy file"
        raise UserError(f"{path}: {reason}; expected what the training wrote") from None
