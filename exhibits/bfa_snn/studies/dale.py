"""Does the BFA-SNN keep Dale's law, and at what cost? `--help` lists the flags.

Networks with free weights and with weights that keep their sign (`--dale`), with both recipes; with the page's also
networks with free weights and doubled learning rates, with `best` networks whose inhibition does not learn or is left
out. Each row of results/dale.json has the accuracy on the development set after each epoch, and the share of weights
that ended at 0. Draws figures/dale.png and writes the table in dale.md.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from textwrap import fill
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported

with reported():  # a package may be missing
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

EPOCHS = {"page": 2, "best": 1}  # one epoch of `best` reaches more than two of the page's recipe
VARIANTS = {
    "free": "free weights",
    "faster": "free weights, learning rates doubled",
    "dale": "Dale's law (--dale)",
    "fixed": "Dale's law, inhibition does not learn",
    "excitatory": "excitation alone",
}
# By recipe, with all seeds.
COMPARED = {"page": ("free", "faster", "dale"), "best": ("free", "dale")}
CONTROLS = ("fixed", "excitatory")  # with `best` alone, one seed
SYNAPSES = ("W1", "I1", "W2", "I2")


@dataclass(frozen=True)
class Study(StudyConfig):
    """Compares BFA-SNNs of one hidden layer of 1000 cells with free weights and with weights that keep their sign."""

    seeds: int = 5
    """Seeds for each point of the grid: 1234, 1235, ..."""


class Row(StudyRow, kw_only=True):
    """A row with the share of the weights that are 0 after training, by synapse."""

    zero: dict[str, Share]


def grid(config: StudyConfig) -> list[dict]:
    """The tasks of the study."""
    width = 64 if config.quick else 1000
    tasks = []
    for recipe, epochs in EPOCHS.items():
        for variants, seeds in ((COMPARED[recipe], None), (CONTROLS if recipe == "best" else (), 1)):
            points = [{"recipe": recipe, "variant": variant, "hid_dim": [width]} for variant in variants]
            tasks += config.tasks(points, epochs=epochs, seeds=seeds)
    return tasks


def run(task: dict) -> dict:
    """Trains one network; gives the accuracy on the development set after each epoch, and which weights are 0."""
    import numpy as np

    from exhibits.bfa_snn.config import Config
    from exhibits.bfa_snn.controls import ExcitatoryBFA_SNN, FixedInhibitionBFA_SNN
    from exhibits.bfa_snn.model import BFA_SNN

    kinds = {"fixed": FixedInhibitionBFA_SNN, "excitatory": ExcitatoryBFA_SNN}
    train = patterns_of(task)[0]
    variant, config = task["variant"], Config.RECIPES[task["recipe"]]
    values = {"hid_dim": tuple(task["hid_dim"]), "dale": variant not in ("free", "faster")}
    values["eta_gain"] = config.eta_gain * (2 if variant == "faster" else 1)
    config = replace(config, **values)
    circuit = circuit_for(task, train, kinds.get(variant, BFA_SNN), config)
    acc = list(learning_curve(circuit, task))
    weights = {name: np.asarray(circuit[name].weights.get()) for name in SYNAPSES if name in circuit.components}
    return {"acc": acc, "zero": {name: float((w == 0).mean()) for name, w in sorted(weights.items())}}


def table(rows: list[dict]) -> str:
    """Accuracies and shares of weights that are 0 as a Markdown table."""
    lines = [
        "| recipe | epochs | weights | seeds | dev accuracy (%) | weights at 0 (%): W1 | I1 | W2 | I2 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for recipe in EPOCHS:
        for variant, title in VARIANTS.items():
            if some := with_values(rows, recipe=recipe, variant=variant):
                zero = [[100 * row["zero"][name] for row in some if name in row["zero"]] for name in SYNAPSES]
                cells = [spread([100 * row["acc"][-1] for row in some], 2), *(spread(z, 1) if z else "" for z in zero)]
                epochs = some[0]["task"]["epochs"]
                lines.append(f"| {recipe} | {epochs} | {title} | {len(some)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(rows: list[dict]) -> "Figure":
    """Accuracy of each network, a panel per recipe: a dot for each seed, a line at their mean."""
    from exhibits.common.report.plots import COLORS, museum_style, new_figure

    with museum_style():
        figure = new_figure(10, 4.4)
        panels = figure.subplots(1, len(EPOCHS), width_ratios=(1, 2))
        for axes, letter, recipe in zip(panels, "ab", EPOCHS, strict=True):
            found = {variant: with_values(rows, recipe=recipe, variant=variant) for variant in VARIANTS}
            found = {variant: some for variant, some in found.items() if some}
            for place, (variant, some) in enumerate(found.items()):
                values = [100 * row["acc"][-1] for row in some]
                color = COLORS[list(VARIANTS).index(variant)]
                axes.plot([place] * len(values), values, "o", color=color)
                if len(values) > 1:
                    axes.hlines(mean(values), place - 0.25, place + 0.25, color=color)
                axes.annotate(f"{mean(values):.2f}", (place + 0.28, mean(values)), va="center", color=color)
            names = [fill(VARIANTS[variant], 15) + "\n(1 seed)" * (len(some) == 1) for variant, some in found.items()]
            axes.set(xticks=range(len(found)), xlim=(-0.5, len(found) - 0.2))
            axes.set_xticklabels(names, fontsize="small")
            epochs = {row["task"]["epochs"] for some in found.values() for row in some}
            unit = "epoch" if epochs == {1} else "epochs"
            axes.set_title(f"{letter}  --recipe {recipe}, {max(epochs, default=0)} {unit}")
        panels[0].set_ylabel("accuracy on the development set (%)")
    return figure


def main() -> None:
    """Runs what is missing, draws, and updates the page of the study if this is what it reports."""
    config = from_command_line(Study)
    rows = run_study(Path(__file__), grid(config), config, Row)

    from exhibits.common.report.plots import save

    width = rows[0]["task"]["hid_dim"][0]
    caption = (
        f"{config.data.name}; one hidden layer of {width}; a dot for each seed, a line at their mean; "
        "the scales of the panels differ"
    )
    save(draw(rows), config.folders(Path(__file__))[1] / "dale.png", caption)
    if config.official:
        write_part(HERE / "dale.md", table(rows), "dale")


if __name__ == "__main__":
    with reported():
        main()
