"""Does learning survive depth? Accuracy of six ways to teach 3 to 6 hidden layers; `--help` lists the flags.

The GLSNN; direct feedback alignment, feedback alignment from layer to layer, and backpropagation, the upper reference,
all three in the same cascade; the BFA-SNN with as many layers; equilibrium propagation. Each row of results/depth.json
has the accuracy on the development set after each epoch. Draws figures/depth.png and writes the table in depth.md.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from textwrap import fill
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported

with reported():  # a package may be missing
    from exhibits.common.experiment.flags import from_command_line
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
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DEPTHS = (3, 4, 5, 6)
WIDTH = 256
ZOOM = 95  # %, above which methods are drawn once more, to tell them apart


@dataclass(frozen=True)
class Method:
    """A way to teach, and what the study can afford of it."""

    title: str
    epochs: int
    seeds: int | None = None
    depths: tuple[int, ...] = DEPTHS


METHODS = {
    "glsnn": Method("GLSNN", 10),
    "direct": Method("direct feedback alignment", 10),
    "layerwise": Method("feedback alignment, layer by layer", 10),
    "backprop": Method("backpropagation", 10),
    "bfa_snn": Method("BFA-SNN, page's recipe", 3, 1),
    "bfa_snn_best": Method("BFA-SNN, recipe best", 10, 1),
    "equilibrium": Method("equilibrium propagation", 3, 1),
    "equilibrium_500": Method("equilibrium propagation, 500 free steps", 3, 1, depths=(3,)),
}


@dataclass(frozen=True)
class Study(StudyConfig):
    """Compares ways to teach networks of 3 to 6 hidden layers of 256 cells."""


def grid(config: StudyConfig) -> list[dict]:
    """The tasks of the study."""
    width = 64 if config.quick else WIDTH
    return [
        task
        for name, method in METHODS.items()
        for task in config.tasks(
            [{"method": name, "hid_dim": [width] * depth} for depth in method.depths],
            epochs=method.epochs,
            seeds=method.seeds,
        )
    ]


def run(task: dict) -> dict:
    """Trains one network; gives the accuracy on the development set after each epoch."""
    train, _ = patterns_of(task)
    hid_dim = tuple(task["hid_dim"])
    if task["method"] in ("glsnn", "direct", "layerwise", "backprop"):
        from exhibits.glsnn.alternatives import DirectFeedbackAlignment, FeedbackAlignment
        from exhibits.glsnn.backprop import BackpropGLSNN
        from exhibits.glsnn.config import CircuitConfig
        from exhibits.glsnn.model import GLSNN

        kinds = {"direct": DirectFeedbackAlignment, "layerwise": FeedbackAlignment, "backprop": BackpropGLSNN}
        config = CircuitConfig(hid_dim=hid_dim, receptive_field=0, in_dropout=0.0, hid_dropout=0.0)
        circuit = circuit_for(task, train, kinds.get(task["method"], GLSNN), config)
    elif task["method"] in ("bfa_snn", "bfa_snn_best"):
        from exhibits.bfa_snn.config import Config
        from exhibits.bfa_snn.model import BFA_SNN

        config = replace(Config.RECIPES["best" if task["method"].endswith("best") else "page"], hid_dim=hid_dim)
        circuit = circuit_for(task, train, BFA_SNN, config)
    else:
        from exhibits.equilibrium.model import EquilibriumConfig, EquilibriumNetwork

        steps = {"n_free": 500} if task["method"].endswith("500") else {}
        circuit = circuit_for(task, train, EquilibriumNetwork, EquilibriumConfig(hid_dim=hid_dim, **steps))
    return {"acc": list(learning_curve(circuit, task))}


def curves(rows: list[dict]) -> dict[str, dict[int, list[float]]]:
    """Accuracy (%) after the last epoch: method -> hidden layers -> one per seed."""
    return {
        name: {
            len(hid_dim): [100 * row["acc"][-1] for row in with_values(rows, method=name, hid_dim=list(hid_dim))]
            for hid_dim in sorted({tuple(row["task"]["hid_dim"]) for row in with_values(rows, method=name)}, key=len)
        }
        for name in METHODS
    }


def table(rows: list[dict]) -> str:
    """The last accuracies as a Markdown table."""
    lines = [
        f"| dev accuracy (%) with hidden layers of {WIDTH} | {' | '.join(map(str, DEPTHS))} | epochs | seeds |",
        f"|---|{'---|' * len(DEPTHS)}---|---|",
    ]
    for name, points in curves(rows).items():
        epochs = {row["task"]["epochs"] for row in with_values(rows, method=name)}
        seeds = {row["task"]["seed"] for row in with_values(rows, method=name)}
        cells = [spread(points[depth], 2) if depth in points else "" for depth in DEPTHS]
        lines.append(f"| {METHODS[name].title} | {' | '.join(cells)} | {max(epochs, default='')} | {len(seeds)} |")
    return "\n".join(lines)


def draw(rows: list[dict]) -> "Figure":
    """The accuracies after the last epoch: of all methods with curves, and once more where the best of them differ."""
    from exhibits.common.report.plots import COLORS, MARKERS, draw_seeds, label_ends, museum_style, new_figure

    with museum_style():
        figure = new_figure(10, 4.6)
        everything, zoomed = figure.subplots(1, 2)
        ends: dict[Axes, dict[str, tuple[float, float, str]]] = {everything: {}, zoomed: {}}
        for number, (name, points) in enumerate(curves(rows).items()):
            if not points or METHODS[name].depths != DEPTHS:  # no curve
                continue
            tasks = [row["task"] for row in with_values(rows, method=name)]
            epochs, seeds = max(task["epochs"] for task in tasks), len({task["seed"] for task in tasks})
            label = f"{fill(METHODS[name].title, 22)}\n({epochs} epochs, {seeds} seed{'s' if seeds > 1 else ''})"
            near = min(map(mean, points.values())) > ZOOM
            for axes in (everything, zoomed) if near else (everything,):
                draw_seeds(axes, points, label, COLORS[number], MARKERS[number])
            last = max(points)
            ends[zoomed if near else everything][label] = (last, mean(points[last]), COLORS[number])
        if ends[zoomed]:
            last, top, _ = max(ends[zoomed].values(), key=lambda end: end[1])
            ends[everything]["the others, see b"] = (last, top, "0.3")
        everything.axhline(10, color="0.5", linestyle=":", linewidth=1)
        everything.annotate(
            "chance", (DEPTHS[0], 10), (0, 3), textcoords="offset points", color="0.4", fontsize="small"
        )
        everything.set(title="a  all methods", ylabel="accuracy on the development set (%)", ylim=(-5, 103))
        zoomed.set(title=f"b  methods above {ZOOM} % at every depth")
        for axes in (everything, zoomed):
            axes.set(xlabel="hidden layers", xticks=DEPTHS)
            label_ends(axes, ends[axes], gap=0.16)
    return figure


def main() -> None:
    """Runs what is missing, draws, and updates the page of the study if this is what it reports."""
    config = from_command_line(Study)
    rows = run_study(Path(__file__), grid(config), config)

    from exhibits.common.report.plots import save

    width = rows[0]["task"]["hid_dim"][0]
    caption = (
        f"{config.data.name}; hidden layers of {width}; mean and standard deviation over seeds after the last epoch; "
        "dashed: one seed, so no deviation"
    )
    save(draw(rows), config.folders(Path(__file__))[1] / "depth.png", caption)
    if config.official:
        write_part(HERE / "depth.md", table(rows), "depth")


if __name__ == "__main__":
    with reported():
        main()
