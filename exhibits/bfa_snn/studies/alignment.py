"""Does feedback alignment align in the BFA-SNN? `--help` lists the flags.

Networks of 1 to 3 hidden layers, and controls with 1. Before and during training: the angle between what each layer
learns from a minibatch of the development set and the gradient, and that between feedback and forward weights.
Draws figures/alignment*.png and writes the table in alignment.md.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported

with reported():  # a package may be missing
    from exhibits.common.experiment.flags import from_command_line
    from exhibits.common.experiment.schema import Count, LayerAngles, StudyRow, Tally
    from exhibits.common.experiment.studies import (
        StudyConfig,
        circuit_for,
        half_of,
        patterns_of,
        run_study,
        with_values,
    )
    from exhibits.common.report.results import spread, write_part

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DEPTHS = (1, 2, 3)
WIDTH = 256
EPOCHS, DEEP_EPOCHS = 2, 1  # with one hidden layer, with more
PATTERNS = 30_000  # of the training set: the first ones
NOTED = (2500, 5000, 10_000, 20_000)  # patterns of an epoch after which angles are measured, besides its end
ANGLES = {
    "angles": "update and gradient through time",
    "instant": "update and gradient at the same time step",
    "feedback": "feedback and transposed weights",
}
PRESENTED = "patterns presented (thousands)"
TITLES = {
    "fixed": "fixed random feedback",
    "untaught": "no feedback: W1 does not learn",
    "redrawn": "feedback redrawn for each minibatch",
    "turned": "half the feedback's signs flipped after half of the epochs",
    "symmetric": "feedback = transposed weights",
    "ungated": "without the surrogate",
}
JUMP = 1e-3  # by which a figure moves what was measured just after the feedback was turned to the right
Curve = dict[float, list[float]]  # thousands of training patterns presented -> one per seed


@dataclass(frozen=True)
class Study(StudyConfig):
    """Measures how the weights of BFA-SNNs of 1 to 3 hidden layers of 256 cells align with their feedback."""


class Row(StudyRow, kw_only=True):
    """A row with angles, measured after several numbers of training patterns.

    Attributes:
        presented: these numbers.
        angles: between the update of each layer and the gradient through time.
        instant: between the update of each layer and the gradient that leaves out the cells' memory.
        feedback: between each hidden layer's feedback and the transposed forward weights above it.
    """

    presented: list[Count]
    angles: LayerAngles  # pyright: ignore[reportGeneralTypeIssues, reportIncompatibleVariableOverride]  (not of some tasks, but all)
    instant: LayerAngles
    feedback: LayerAngles

    def __post_init__(self):
        hidden = len(self.task["hid_dim"])
        for name, layers in (("angles", hidden + 1), ("instant", hidden + 1), ("feedback", hidden)):
            if [len(each) for each in getattr(self, name)] != [layers] * len(self.presented) or not self.presented:
                raise ValueError(f"{name}: expected {layers} layers at each of {len(self.presented)} measurements")


def grid(config: StudyConfig) -> list[dict]:
    """The tasks of the study: each depth with fixed feedback, each control with one hidden layer."""
    width = 64 if config.quick else WIDTH
    single = [{"recipe": "page", "variant": variant, "hid_dim": [width]} for variant in TITLES]
    single += [
        {"recipe": "best", "variant": variant, "hid_dim": [width]} for variant in ("fixed", "untaught", "ungated")
    ]
    deep = [{"recipe": "page", "variant": "fixed", "hid_dim": [width] * depth} for depth in DEPTHS[1:]]
    tasks = config.tasks(single, epochs=EPOCHS) + config.tasks(deep, epochs=DEEP_EPOCHS)
    return [{"patterns": PATTERNS} | task for task in tasks]


def run(task: dict) -> dict:
    """Trains one network; gives the accuracy on the development set after each epoch, and angles, see `Row`."""
    import jax

    from exhibits.bfa_snn import controls
    from exhibits.bfa_snn.backprop import angles_of
    from exhibits.bfa_snn.config import Config
    from exhibits.bfa_snn.model import BFA_SNN
    from exhibits.common.circuit.seeds import Keys
    from exhibits.common.experiment.epochs import learn_epoch, score

    kinds = {
        "untaught": controls.UntaughtBFA_SNN,
        "redrawn": controls.RedrawnBFA_SNN,
        "symmetric": controls.SymmetricBFA_SNN,
        "ungated": controls.UngatedBFA_SNN,
    }
    (train, dev), seed, epochs = patterns_of(task), task["seed"], task["epochs"]
    config = replace(Config.RECIPES[task["recipe"]], hid_dim=tuple(task["hid_dim"]))
    circuit = circuit_for(task, train, kinds.get(task["variant"], BFA_SNN), config)
    key, n = jax.random.PRNGKey(seed), len(train.x)
    measure = angles_of(circuit)
    found: dict[str, list] = {"acc": [], "presented": [], "angles": [], "instant": [], "feedback": []}

    def note(presented: int) -> None:
        found["presented"].append(presented)
        angles = measure(dev.x[: config.batch_size], dev.y[: config.batch_size], key)
        for name, values in zip(("angles", "instant", "feedback"), angles, strict=True):
            found[name].append([value if math.isfinite(value) else None for value in values])

    def after_chunk(before: int, epoch: Tally) -> None:
        if epoch.n in NOTED or epoch.n == n:
            note(before + epoch.n)

    note(0)
    for epoch in range(epochs):
        if task["variant"] == "turned" and epoch == half_of(epochs):
            controls.turn_feedback(circuit, key)
            note(epoch * n)
        learn_epoch(circuit, train, seed, epoch + 1, after_chunk=partial(after_chunk, epoch * n))
        found["acc"].append(score(circuit, dev, Keys.of(seed).dev).acc)
    return found


def turned_at(row: dict) -> float:
    """When the signs of a row's feedback flip: after how many thousands of presented training patterns."""
    epochs = row["task"]["epochs"]
    return row["presented"][-1] * half_of(epochs) / epochs / 1000


def title_of(recipe: str, variant: str) -> str:
    """What tables and figures call a network."""
    return TITLES[variant] + f", --recipe {recipe}" * (recipe != "page")


def curve(rows: list[dict], what: str, layer: int) -> Curve:
    """Angles of a layer; the second ones at the same number of patterns stand a little to the right.

    Args:
        rows: of one network, one per seed.
        what: "angles", "instant" or "feedback".
        layer: from 0; for "feedback", the hidden layer that it leads to.
    """
    found: Curve = {}
    for row in rows:
        for n, presented in enumerate(row["presented"]):
            again = presented in row["presented"][:n]
            if (angle := row[what][n][layer]) is not None:
                found.setdefault(presented / 1000 + JUMP * again, []).append(angle)
    return found


def network(rows: list[dict], recipe: str, variant: str, depth: int) -> list[dict]:
    """The rows of one network, one per seed."""
    return [row for row in with_values(rows, recipe=recipe, variant=variant) if len(row["task"]["hid_dim"]) == depth]


def table(rows: list[dict]) -> str:
    """Angles before and after training, accuracy after it, as a Markdown table."""
    lines = [
        "| network | passes | layer | update and gradient through time: before | after | at the same time step: after "
        "| feedback and weights: after | dev accuracy (%) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    tasks = [row["task"] for row in rows]
    for recipe, variant, depth in dict.fromkeys((t["recipe"], t["variant"], len(t["hid_dim"])) for t in tasks):
        some = network(rows, recipe, variant, depth)
        title = title_of(recipe, variant) + f", {depth} hidden layers" * (depth > 1)
        passes = some[0]["task"]["epochs"]
        acc = spread([100 * row["acc"][-1] for row in some], 2)
        for layer in range(depth):
            before, *after = (curve(some, what, layer) for what in ("angles", *ANGLES))
            found = [before.get(0, []), *(points[max(points)] if points else [] for points in after)]
            cells = [spread(values, 1) if values else "" for values in found]
            lines.append(f"| {title} | {passes} | W{layer + 1} | {' | '.join(cells)} | {acc} |")
            title = passes = acc = ""
    return "\n".join(lines)


def pretrained_table() -> str:
    """How far E2 and W2 agree in the pretrained networks, also without what all classes share, as a Markdown table."""
    import numpy as np

    from exhibits.bfa_snn.model import BFA_SNN
    from exhibits.common.experiment.angles import angle

    lines = [
        "| pretrained network | E2 and transposed W2 (degrees) | norm of what all classes share (% of W2's) "
        "| the angle without it |",
        "|---|---|---|---|",
    ]
    for recipe in ("page", "best"):
        values = BFA_SNN.load(HERE.parent / "pretrained" / recipe).get_parameters()
        E, W = np.asarray(values["E2.weights"], float), np.asarray(values["W2.weights"], float).T  # (C, H)
        same = np.broadcast_to(W.mean(axis=0), W.shape)
        share = 100 * np.linalg.norm(same) / np.linalg.norm(W)
        lines.append(
            f"| `pretrained/{recipe}` | {angle(E, W):.1f} | {share:.0f} | {angle(E - E.mean(axis=0), W - same):.1f} |"
        )
    return "\n".join(lines)


def limit_angles(axes: "Axes") -> None:
    """Limits for angles, and a line where two directions have nothing in common."""
    axes.axhline(90, color="0.5", linestyle=":", linewidth=1)
    axes.annotate("orthogonal", (0.2, 90), (0, 8), ("axes fraction", "data"), "offset points", color="0.4")
    axes.set(ylim=(-4, 109), yticks=range(0, 91, 30))


def draw_depth(rows: list[dict]) -> "Figure":
    """Angles of every hidden layer, a column per depth: to both gradients, and between feedback and forward weights."""
    from exhibits.common.report.plots import COLORS, MARKERS, draw_seeds, museum_style, new_figure

    with museum_style():
        figure = new_figure(10, 8)
        panels = figure.subplots(len(ANGLES), len(DEPTHS), sharex=True, sharey=True)
        for column, depth in enumerate(DEPTHS):
            some = network(rows, "page", "fixed", depth)
            for n in range(depth):
                forward = " ".join(f"W{above}" for above in range(n + 2, depth + 2))
                for axes, what in zip(panels[:, column], ANGLES, strict=True):
                    label = f"E{n + 2}, {forward}" if what == "feedback" else f"W{n + 1}"
                    draw_seeds(axes, curve(some, what, n), label, COLORS[n], MARKERS[n])
            panels[0, column].set(title=f"{'abc'[column]}  {depth} hidden layer{'s' if depth > 1 else ''}")
            panels[-1, column].set(xlabel=PRESENTED)
            for axes in panels[:, column]:
                limit_angles(axes)
                axes.legend(loc="lower left", fontsize="small", ncols=2)
        for axes, title in zip(panels[:, 0], ANGLES.values(), strict=True):
            axes.set_ylabel(fill(f"{title} (degrees)", 24))
    return figure


def draw_single(rows: list[dict], networks: Sequence[tuple[str, str]]) -> "Figure":
    """Angles and accuracy of networks of one hidden layer, given by recipe and variant.

    That whose feedback's signs are flipped is drawn from there on: until then, it is the one with fixed feedback.
    """
    from exhibits.common.report.plots import COLORS, MARKERS, draw_seeds, museum_style, new_figure

    with museum_style():
        figure = new_figure(10, 7.5)
        *angles, accuracy = panels = figure.subplots(2, 2, sharex=True).ravel()
        recipes = {recipe for recipe, _ in networks}
        for number, (recipe, variant) in enumerate(networks):
            some = network(rows, recipe, variant, 1)
            title = title_of(recipe, variant) + ", page's recipe" * (recipe == "page" and len(recipes) > 1)
            style = (title, COLORS[number], MARKERS[number])
            flipped = turned_at(some[0]) if some and variant == "turned" else -1
            for axes, what in zip(angles, ANGLES, strict=True):
                draw_seeds(axes, {x: of for x, of in curve(some, what, 0).items() if x > flipped}, *style)
            for axes in panels if flipped >= 0 else ():
                axes.axvline(flipped, color="0.5", linestyle=":", linewidth=1)
                axes.annotate("signs flipped", (flipped, 2), (4, 0), textcoords="offset points", color="0.4")
            reached: Curve = {}
            for row in some:
                for epoch, acc in enumerate(row["acc"], 1):
                    presented = row["presented"][-1] * epoch / len(row["acc"]) / 1000
                    if presented > flipped:
                        reached.setdefault(presented, []).append(100 * acc)
            draw_seeds(accuracy, reached, *style)
        for axes, letter, title in zip(angles, "abc", ANGLES.values(), strict=True):
            limit_angles(axes)
            axes.set(title=f"{letter}  {title}", ylabel="angle (degrees)")
        accuracy.set(title="d  accuracy", ylabel="accuracy on the development set (%)")
        for axes in panels[2:]:
            axes.set(xlabel=PRESENTED)
        figure.legend(*accuracy.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def main() -> None:
    """Runs what is missing, draws, and updates the page of the study if this is what it reports."""
    config = from_command_line(Study)
    rows = run_study(Path(__file__), grid(config), config, Row)

    from exhibits.common.report.plots import save

    width = rows[0]["task"]["hid_dim"][0]
    seeds = len({row["task"]["seed"] for row in rows})
    about = (
        f"of {width}; {config.data.name}; {seeds} seed{'s' if seeds > 1 else ''}: "
        "mean and standard deviation; angles on a minibatch of the development set"
    )
    folder = config.folders(Path(__file__))[1]
    save(draw_depth(rows), folder / "alignment.png", f"BFA-SNN, page's recipe; hidden layers {about}")
    single = f"one hidden layer {about}"
    feedback = [("page", variant) for variant in TITLES if variant not in ("ungated", "untaught")]
    save(draw_single(rows, feedback), folder / "alignment_controls.png", f"BFA-SNN, page's recipe; {single}")
    surrogate = [(recipe, variant) for recipe in ("page", "best") for variant in ("fixed", "ungated")]
    save(draw_single(rows, surrogate), folder / "alignment_surrogate.png", f"BFA-SNN; {single}")
    if config.official:
        write_part(HERE / "alignment.md", table(rows), "alignment")
        write_part(HERE / "alignment.md", pretrained_table(), "pretrained")


if __name__ == "__main__":
    with reported():
        main()
