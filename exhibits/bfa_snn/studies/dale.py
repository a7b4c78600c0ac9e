"""Does the BFA-SNN keep Dale's law, and at what cost? `--help` lists the flags.

Networks by both recipes with free weights, with weights that keep their sign (`--dale`), and the latter with inhibition
that does not learn, or without inhibition. Each row of results/dale.json has the accuracy on the development set after
each epoch, and the share of weights that ended at 0. Draws figures/dale.png and writes the table in dale.md.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported

with reported():  # a package may be missing
    from exhibits.common.experiment.flags import from_command_line
    from exhibits.common.experiment.studies import StudyConfig, by_seed, patterns_of, run_study
    from exhibits.common.report.results import show, spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EPOCHS = 2
VARIANTS = {
    "free": "free weights",
    "dale": "Dale's law (--dale)",
    "fixed": "Dale's law, inhibition does not learn",
    "excitatory": "excitation alone",
}
CONTROLS = ("fixed", "excitatory")  # by one recipe, with one seed
RECIPES = ("page", "best")


@dataclass(frozen=True)
class Study(StudyConfig):
    """Compares BFA-SNNs of one hidden layer of 1000 cells with free weights and with weights that keep their sign."""


def grid(config: StudyConfig) -> list[dict]:
    """The tasks of the study."""
    width = 64 if config.quick else 1000
    main = [
        {"recipe": recipe, "variant": variant, "hid_dim": [width]}
        for recipe in RECIPES
        for variant in VARIANTS
        if variant not in CONTROLS
    ]
    controls = [{"recipe": "best", "variant": variant, "hid_dim": [width]} for variant in CONTROLS]
    return config.tasks(main, epochs=EPOCHS) + config.tasks(controls, epochs=EPOCHS, seeds=1)


def run(task: dict) -> dict:
    """Trains one network; gives the accuracy on the development set after each epoch, and which weights are 0."""
    import jax
    import numpy as np

    from exhibits.bfa_snn.config import Config
    from exhibits.bfa_snn.controls import ExcitatoryBFA_SNN, FixedInhibitionBFA_SNN
    from exhibits.bfa_snn.model import BFA_SNN
    from exhibits.common.circuit.seeds import Keys
    from exhibits.common.experiment.epochs import learn_epoch, score

    kinds = {"fixed": FixedInhibitionBFA_SNN, "excitatory": ExcitatoryBFA_SNN}
    (train, dev), seed, epochs = patterns_of(task), task["seed"], task["epochs"]
    values = {"hid_dim": tuple(task["hid_dim"]), "dale": task["variant"] != "free"}
    config = replace(Config.RECIPES[task["recipe"]], **values)
    n_updates = epochs * -(-len(train.x) // config.batch_size)
    kind = kinds.get(task["variant"], BFA_SNN)
    circuit = kind(jax.random.PRNGKey(seed), train.x.shape[1], train.y.shape[1], config, n_updates)
    acc = []
    for epoch in range(1, epochs + 1):
        learn_epoch(circuit, train, seed, epoch)
        acc.append(score(circuit, dev, Keys.of(seed).dev).acc)
    weights = {name: np.asarray(circuit[name].weights.get()) for name in circuit.plastic}
    return {"acc": acc, "zero": {name: float((w == 0).mean()) for name, w in sorted(weights.items())}}


def table(rows: list[dict]) -> str:
    """Accuracies and shares of weights that are 0 as a Markdown table."""
    lines = [
        "| recipe | weights | seeds | dev accuracy (%) after 1 epoch | after the last "
        "| weights at 0 (%): W1 | I1 | W2 | I2 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for recipe in RECIPES:
        for variant, title in VARIANTS.items():
            some = by_seed(rows, recipe=recipe, variant=variant)
            if not some:
                continue
            first, last = (spread([100 * row["acc"][n] for row in some], 2) for n in (0, -1))
            zero = [
                spread([100 * row["zero"][name] for row in some], 0) if name in some[0]["zero"] else ""
                for name in ("W1", "I1", "W2", "I2")
            ]
            lines.append(f"| {recipe} | {title} | {len(some)} | {first} | {last} | {' | '.join(zero)} |")
    return "\n".join(lines)


def draw(rows: list[dict]) -> "Figure":
    """Accuracy by epoch, a panel a recipe."""
    from exhibits.common.report.plots import COLORS, MARKERS, draw_seeds, museum_style, new_figure

    with museum_style():
        figure = new_figure(10, 4.4)
        panels = figure.subplots(1, len(RECIPES))
        for axes, letter, recipe in zip(panels, "ab", RECIPES, strict=True):
            epochs = 0
            for number, (variant, title) in enumerate(VARIANTS.items()):
                points: dict[float, list[float]] = {}
                for row in by_seed(rows, recipe=recipe, variant=variant):
                    for epoch, acc in enumerate(row["acc"], 1):
                        points.setdefault(epoch, []).append(100 * acc)
                if points:
                    draw_seeds(axes, points, fill(title, 24), COLORS[number], MARKERS[number])
                    epochs = max(points)
            axes.set(title=f"{letter}  --recipe {recipe}", xlabel="epoch", xticks=range(1, int(epochs) + 1))
        panels[0].set_ylabel("accuracy on the development set (%)")
        panels[1].legend(loc="lower right", fontsize="small")
    return figure


def main() -> None:
    """Runs what is missing, draws, and updates the page of the study if this is what it reports."""
    config = from_command_line(Study)
    rows = run_study(Path(__file__), grid(config), config)

    from exhibits.common.report.plots import save

    width = rows[0]["task"]["hid_dim"][0]
    caption = (
        f"{config.data.name}; one hidden layer of {width}; mean and standard deviation over seeds; dashed: one seed"
    )
    save(draw(rows), config.folders(Path(__file__))[1] / "dale.png", caption)
    if config.official:
        show(HERE / "dale.md", table(rows), "dale")


if __name__ == "__main__":
    with reported():
        main()
