"""How a run went, epoch by epoch, as files that other programs read."""

import csv
import io
import math

import numpy as np

from exhibits.common.experiment.runfolder import RunFolder
from exhibits.common.experiment.schema import Progress
from exhibits.common.system.files import replacing, write_array

METRICS = "metrics.csv"


def save_history(progress: Progress, folder: RunFolder) -> None:
    """Writes trAcc.npy, acc.npy, trNll.npy and nll.npy, NaN where there is no development set, and metrics.csv."""
    for name in progress.history.__struct_fields__:
        folder.check()
        values = [math.nan if value is None else value for value in getattr(progress.history, name)]
        write_array(folder.path / f"{name}.npy", np.array(values, np.float64))
    folder.check()
    with replacing(folder.path / METRICS) as file:
        file.write(metrics(progress).encode())


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
