"""Runs beside each other: a table, and their curves in one picture."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from exhibits.common.data.form import combined
from exhibits.common.experiment.config import TrainingConfig, to_json
from exhibits.common.experiment.history import curves_of
from exhibits.common.experiment.restoring import exhibit_of, opened
from exhibits.common.experiment.schema import AnalysisResult, RunLog
from exhibits.common.library.exhibit import Exhibit
from exhibits.common.report.plots.style import COLORS, MARKERS, new_figure, styled
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import read_json, replacing
from exhibits.common.system.output import escaped

FORMULA = re.compile(r"[=@\t\r]|[+-](?![\d.,e+-]*\Z)")  # how one begins; numbers are none
BEGUN = "initial weights"  # a run that began with those of another


@dataclass(frozen=True)
class Run:
    """What a comparison shows of a run.

    Attributes:
        name: of its folder, with as many folders above it as tell it from the others.
        exhibit: that it is of.
        config: of the run.
        log: its record.
        acc: accuracy on the development set by epoch, NaN where there is none.
        nll: negative log likelihood there, nats.
        test: its analysis of the test set; None if there is none of the epoch and the set that the run has now.
    """

    name: str
    exhibit: str
    config: TrainingConfig
    log: RunLog
    acc: np.ndarray
    nll: np.ndarray
    test: AnalysisResult | None


def load(folders: Sequence[Path]) -> list[Run]:
    """The runs of some folders.

    Raises:
        UserError: if one is of no run, or none of its epochs is complete.
    """
    resolved = [folder.resolve() for folder in folders]
    if len(set(resolved)) < len(resolved):
        raise UserError(f"{' '.join(map(str, folders))}: the same run twice; expected different ones")
    depth = next(n for n in range(1, 100) if len({path.parts[-n:] for path in resolved}) == len(resolved))
    names = ["/".join(path.parts[-depth:]).encode(errors="backslashreplace").decode() for path in resolved]
    return [_load(folder, escaped(name)) for folder, name in zip(folders, names, strict=True)]


def _load(folder: Path, name: str) -> Run:
    exhibit = Exhibit.named(exhibit_of(folder))
    config, log, _ = opened(exhibit.config, folder)
    curves = curves_of(folder, log)
    if not curves:
        raise UserError(f"{folder}: a network without the curves of its training; expected the folder of a run")
    test = _analysis_of(folder / f"{exhibit.stem}_analysis.json", log)
    return Run(name, exhibit.name, config, log, curves["acc"], curves["nll"], test)


def _analysis_of(path: Path, log: RunLog) -> AnalysisResult | None:
    """The analysis of a run's test set; None if it is of another set or of an earlier epoch."""
    if not path.exists():
        return None
    result = read_json(path, AnalysisResult, "what the analysis wrote; analyze the run again")
    recorded = combined(log.data[name].sha256 for name in ("testX", "testY") if name in log.data)
    same_set = result.sha256 in ("", recorded) or log.format == 1  # which recorded no data
    same_epoch = result.epoch == log.kept_epoch
    return result if result.set == "test set" and same_set and same_epoch else None


def rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row a run: the fields of the configuration in which the runs differ, and how each went."""
    values = [run.config.numbers(run.log.form) if run.log.form else to_json(run.config) for run in runs]
    names = [name for name in values[0] if all(name in each for each in values)]  # what all exhibits here have
    differing = [name for name in names if len({repr(each[name]) for each in values}) > 1]
    table = []
    for run, each in zip(runs, values, strict=True):
        log, has_dev = run.log, not np.isnan(run.acc).all()
        table.append(
            {"run": run.name, "exhibit": run.exhibit, "data": _data_of(run), "recipe": run.config.recipe}
            | {name: each[name] for name in differing}
            | ({BEGUN: log.choices.get(BEGUN)} if any(BEGUN in other.log.choices for other in runs) else {})
            | {
                "epochs": log.epochs_done,
                "finished": "yes" if log.finished else f"no, of {run.config.epochs}",
                "best epoch": log.best_epoch,
                "dev accuracy (%)": 100 * log.best_dev_acc if has_dev and log.best_dev_acc is not None else None,
                "dev NLL (nats)": log.best_dev_nll,
                "test accuracy (%)": 100 * run.test.acc if run.test else None,
                "test NLL (nats)": run.test.nll if run.test else None,
                "training (s)": log.seconds,
                "hardware": log.device,
            }
        )
    return table


def _data_of(run: Run) -> str:
    """Which data a run is of: the set's name, or the start of its patterns' digest."""
    if run.config.dataset is not None:
        return run.config.dataset
    patterns = run.log.data.get("dataX")  # format 1 recorded none
    return f"own {patterns.sha256[:8]}" if patterns else "own"


def write_csv(table: Sequence[dict[str, Any]], path: Path) -> None:
    """Writes rows of the same columns. Text that a spreadsheet would take for a formula gets a ' in front."""
    with replacing(path) as file:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in table)
        file.write(text.getvalue().encode())


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


@styled
def draw(runs: Sequence[Run], figure: Figure | None = None) -> Figure:
    """Accuracy and NLL on the development set by epoch, a line a run, from the first epoch on.

    Args:
        runs: to draw; those without a development set are left out.
        figure: to draw into; a new one if not given.
    """
    figure = figure or new_figure(11, 4.6)
    left, right = figure.subplots(1, 2)
    drawn = [run for run in runs if len(run.acc) > 1 and not np.isnan(run.acc).all()]
    for number, run in enumerate(drawn):
        epochs, color = np.arange(1, len(run.acc)), COLORS[number % len(COLORS)]
        line = f"{MARKERS[number % len(MARKERS)]}-"
        left.plot(epochs, 100 * run.acc[1:], line, color=color, markersize=3, label=run.name)
        right.plot(epochs, run.nll[1:], line, color=color, markersize=3)
    left.set(ylabel="accuracy on the development set (%)")
    right.set(ylabel="negative log likelihood there (nats)", ylim=(0, None))
    for axes in (left, right):
        axes.set(xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if drawn:
        names = [run.name for run in drawn]  # explicit: Matplotlib skips artists whose label begins with _
        figure.legend(left.lines, names, loc="outside lower center", ncol=min(3, len(drawn)))
    return figure
