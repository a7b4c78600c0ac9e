"""What makes the BFA-SNN more accurate? `--help` lists the flags.

Networks with `--recipe best` and one or two values changed, on MNIST and Fashion-MNIST, chosen on nothing but the
development set. Each row of results/changes.json has the accuracy on a sample of the training set and on the
development set after each epoch. Draws figures/changes.png and writes the table in changes.md.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported

with reported():  # a package may be missing
    from exhibits.common.data.datasets import MNIST, folder_of
    from exhibits.common.experiment.flags import from_command_line
    from exhibits.common.experiment.schema import Share, StudyRow
    from exhibits.common.experiment.studies import (
        StudyConfig,
        circuit_for,
        learning_curve,
        patterns_of,
        run_study,
        with_values,
    )
    from exhibits.common.report.results import spread, write_part

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EPOCHS = 4
TITLES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "own": "own data"}
# By data set: values that differ from `best`, whose layer has 1000 cells.
CHANGES: dict[str, list[dict[str, Any]]] = {
    "mnist": [
        {},
        {"input_gain": 0.25},
        {"input_gain": 1.0},
        {"in_dropout": 0.2},
        {"hid_dim": [2000]},
        {"hid_dim": [2000], "in_dropout": 0.2},
        {"centre": 0.001},
        {"hid_dim": [2000], "centre": 0.001},
        {"hid_dim": [1000, 1000]},
        {"hid_dim": [1000, 1000], "centre": 0.001},
    ],
    "fashion_mnist": [
        {},
        {"input_gain": 1.0},
        {"eta_gain": 24.0},
        {"eta_gain": 8.0},
        {"in_dropout": 0.1},
        {"hid_dim": [2000]},
        {"centre": 0.001},
        {"hid_dim": [2000], "centre": 0.001},
    ],
}


@dataclass(frozen=True)
class Study(StudyConfig):
    """Trains BFA-SNNs with `--recipe best` and one or two values changed."""


class Row(StudyRow, kw_only=True):
    """A row with the accuracy on a sample of the training set after each epoch."""

    train_acc: list[Share]

    def __post_init__(self):
        if len(self.train_acc) != len(self.acc):
            raise ValueError(f"train_acc of {len(self.train_acc)} epochs, acc of {len(self.acc)}")


def grid(config: StudyConfig) -> list[dict]:
    """The tasks of the study; on data of the user's own, with the changes of MNIST."""
    tasks = []
    own = config.data.resolve() != MNIST.resolve()
    for dataset, changes in {"own": CHANGES["mnist"]}.items() if own else CHANGES.items():
        if not own:
            config = replace(config, data=folder_of(dataset))
        points = [{"dataset": dataset, "changes": dict(change)} for change in changes]
        if config.quick:
            points = [point | {"changes": {"hid_dim": [64]} | point["changes"]} for point in points]
        tasks += config.tasks(points, epochs=EPOCHS, seeds=1)
    return tasks


def run(task: dict) -> dict:
    """Trains one network; gives the accuracy on a sample of the training set and on the development set by epoch."""
    from exhibits.bfa_snn.config import Config
    from exhibits.bfa_snn.model import BFA_SNN
    from exhibits.common.circuit.seeds import Keys
    from exhibits.common.experiment.epochs import sample_of, score

    train, seed = patterns_of(task)[0], task["seed"]
    changes = {name: tuple(value) if name == "hid_dim" else value for name, value in task["changes"].items()}
    circuit = circuit_for(task, train, BFA_SNN, replace(Config.RECIPES["best"], **changes))
    key, sample = Keys.of(seed).sample, sample_of(train)
    measured: dict[str, list[float]] = {"train_acc": [], "acc": []}
    for acc in learning_curve(circuit, task):
        measured["train_acc"].append(score(circuit, sample, key).acc)
        measured["acc"].append(acc)
    return measured


def title(changes: dict[str, Any]) -> str:
    """Changes as flags."""
    shown = {name: value if name == "hid_dim" else [f"{value:g}"] for name, value in changes.items()}
    return " ".join(f"--{name} {' '.join(map(str, values))}" for name, values in shown.items()) or "as it is"


def of(rows: list[dict], dataset: str) -> dict[str, list[dict]]:
    """The rows of a data set by their changes, as flags."""
    some = with_values(rows, dataset=dataset)
    found = {title(row["task"]["changes"]): row["task"]["changes"] for row in some}
    return {flags: with_values(some, changes=changes) for flags, changes in found.items()}


def datasets(rows: list[dict]) -> list[str]:
    """The data sets of rows."""
    return list(dict.fromkeys(row["task"]["dataset"] for row in rows))


def last(rows: list[dict], name: str) -> list[float]:
    """Accuracies (%) after the last epoch."""
    return [100 * row[name][-1] for row in rows]


def table(rows: list[dict]) -> str:
    """Accuracies as a Markdown table."""
    lines = ["| data | `best` changed by | training accuracy (%) | dev accuracy (%) | seeds |", "|---|---|---|---|---|"]
    for dataset in datasets(rows):
        for flags, some in of(rows, dataset).items():
            cells = [spread(last(some, name), 2) for name in ("train_acc", "acc")]
            shown = f"`{flags}`" if flags.startswith("--") else flags
            lines.append(f"| {TITLES[dataset]} | {shown} | {' | '.join(cells)} | {len(some)} |")
    return "\n".join(lines)


def draw(rows: list[dict]) -> "Figure":
    """Training and development accuracy of each network, a panel per data set."""
    from exhibits.common.report.plots import COLORS, museum_style, new_figure

    with museum_style():
        figure = new_figure(11, 3.8)
        shown = datasets(rows)
        panels = figure.subplots(1, len(shown), squeeze=False)[0]
        for axes, letter, dataset in zip(panels, "ab", shown, strict=False):
            found = of(rows, dataset)
            for place, some in enumerate(found.values()):
                learned, dev = last(some, "train_acc"), last(some, "acc")
                axes.plot(learned, [place] * len(learned), "o", color=COLORS[1], markerfacecolor="none")
                axes.plot(dev, [place] * len(dev), "o", color=COLORS[0])
            baseline = last(next(iter(found.values())), "acc")
            axes.axvline(sum(baseline) / len(baseline), color="0.5", linestyle=":", linewidth=1, zorder=0)
            axes.set(yticks=range(len(found)), ylim=(len(found) - 0.5, -0.5), xlabel="accuracy (%)")
            axes.set_yticklabels(list(found), fontsize="small")
            axes.set_title(f"{letter}  {TITLES[dataset]}")
        for label, color, face in (("training set", COLORS[1], "none"), ("development set", COLORS[0], COLORS[0])):
            panels[-1].plot([], [], "o", color=color, markerfacecolor=face, label=label)
        figure.legend(loc="outside upper center", ncols=2)
    return figure


def main() -> None:
    """Runs what is missing, draws, and updates the page of the study if this is what it reports."""
    config = from_command_line(Study)
    rows = run_study(Path(__file__), grid(config), config, Row)

    from exhibits.common.report.plots import save

    epochs = rows[0]["task"]["epochs"]
    caption = f"BFA-SNN with --recipe best, {epochs} epochs, one or two values changed; 1 seed; dotted: as it is"
    save(draw(rows), config.folders(Path(__file__))[1] / "changes.png", caption)
    if config.official:
        write_part(HERE / "changes.md", table(rows), "changes")


if __name__ == "__main__":
    with reported():
        main()
