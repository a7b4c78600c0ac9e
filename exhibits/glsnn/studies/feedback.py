"""How many feedback pathways does the GLSNN need? They are added one by one from the top; `--help` lists the flags.

Networks of 7, 8, 10 and 12 layers, the output included. Without feedback only the last two layers learn, with all of
it every layer does. Two initial gains: orthogonal weights, of which hardly a spike passes the second layer, and larger
ones, with which all layers are active from the start. Each row of results/feedback.json has the accuracy on the
development set after each epoch; those of the shallowest network with all feedback also the angle between what each
layer learns and the gradient. Controls: feedback that is drawn anew in each minibatch, that turns half its signs
halfway, or that reaches other layers than those at the top. Draws four figures and writes the tables in feedback.md.
"""

import math
import sys
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from random import Random
from statistics import mean
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported

with reported():  # a package may be missing
    from exhibits.common.experiment.angles import shared
    from exhibits.common.experiment.flags import from_command_line
    from exhibits.common.experiment.studies import (
        StudyConfig,
        circuit_for,
        half_of,
        learning_curve,
        patterns_of,
        run_study,
        with_values,
    )
    from exhibits.common.report.results import spread, write_part

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from exhibits.common.data.loading import Patterns
    from exhibits.glsnn.model import GLSNN

LAYERS = (7, 8, 10, 12)
MEASURED = (1.0, 2.0, 2.25, 2.5, 3.0)  # initial gains at which to measure how active layers are before training
GAINS = (2.25, 1.0)  # of the initial weights: with the first, all layers are about as active before training
WIDTH = 256
EPOCHS = 10
CHOICES = 3  # of other layers than those at the top, for each number of pathways
SHOWN = (1, 5, 6, 10)  # epochs in the table of the controls
CHANGES = ("redrawn", "turned")  # what becomes of the feedback: drawn anew in each minibatch, half its signs turned
TITLES = {
    "fixed": "fixed",
    "turned": "half its signs flipped after half of the epochs",
    "redrawn": "redrawn for each minibatch",
    "none": "no feedback",
}


@dataclass(frozen=True)
class Study(StudyConfig):
    """Trains networks of 7 to 12 layers of 256 cells with feedback to none, one, two, ... all of the hidden layers."""


def grid(config: StudyConfig) -> list[dict]:
    """The tasks of the study: a network of n layers has n - 2 pathways besides that to its last hidden layer.

    The controls are of the shallowest network: what becomes of all of its feedback, or which layers get some of it.
    """
    width, shallow, deep = 64 if config.quick else WIDTH, LAYERS[0], LAYERS[-1]
    tasks = []
    for gain in MEASURED:
        untaught = {"hid_dim": [width] * (deep - 1), "n_feedback": 0, "control": "gain"}
        tasks += config.tasks([untaught | with_gain(gain)], epochs=1, seeds=1)
    for gain in GAINS:
        for n in LAYERS:
            points = [{"hid_dim": [width] * (n - 1), "n_feedback": k} | with_gain(gain) for k in range(n - 1)]
            tasks += config.tasks(points, epochs=EPOCHS)
    taught = {"hid_dim": [width] * (shallow - 1), "n_feedback": shallow - 2} | with_gain(GAINS[0])
    tasks += config.tasks([taught | {"control": control} for control in CHANGES], epochs=EPOCHS)
    draw = Random(1234)
    for k in range(1, shallow - 2):
        others = list(combinations(range(1, shallow - 1), k))[:-1]  # the last ones are the k at the top
        chosen = sorted(draw.sample(others, CHOICES))
        points = [taught | {"n_feedback": k, "control": "elsewhere", "layers": list(layers)} for layers in chosen]
        tasks += config.tasks(points, epochs=EPOCHS, seeds=1)
    return tasks


def with_gain(gain: float) -> dict[str, float]:
    """An initial gain as a task names it; of 1, the default, it does not, as some of these rows are older."""
    return {} if gain == 1 else {"init_gain": gain}


def gain_of(task: dict) -> float:
    """The initial gain of a task's network."""
    return task.get("init_gain", 1.0)


def network(task: dict, train: "Patterns") -> "GLSNN":
    """The circuit of a task that is to learn from these patterns."""
    from exhibits.glsnn.config import CircuitConfig
    from exhibits.glsnn.controls import RedrawnFeedback, with_feedback_to
    from exhibits.glsnn.model import GLSNN

    kinds = {"redrawn": RedrawnFeedback, "elsewhere": with_feedback_to(*task.get("layers", ()))}
    shape = {"hid_dim": tuple(task["hid_dim"]), "n_feedback": task["n_feedback"], "init_gain": gain_of(task)}
    config = CircuitConfig(**shape, receptive_field=0, in_dropout=0.0, hid_dropout=0.0)
    return circuit_for(task, train, kinds.get(task.get("control", ""), GLSNN), config)


def run(task: dict) -> dict:
    """Trains one network; gives the accuracy on the development set after each epoch.

    Of the shallowest network with all feedback also angles in degrees, from before training on; where half the signs
    turn, those of that epoch are measured after it. Of a network whose initial gain is tried out, spikes.
    """
    import numpy as np

    from exhibits.common.circuit.seeds import Keys
    from exhibits.glsnn.backprop import angles_of
    from exhibits.glsnn.controls import turn_feedback

    train, dev = patterns_of(task)
    control, hidden = task.get("control"), len(task["hid_dim"])
    circuit = network(task, train)
    if control == "gain":
        out = circuit.read(dev.x, dev.y, Keys.of(task["seed"]).dev)
        spikes = [float(np.nanmean(out[f"spikes{n}"])) / circuit.sizes[n] for n in circuit.hidden]
        return {"acc": list(learning_curve(circuit, task)), "spikes": spikes}
    if hidden + 1 > LAYERS[0] or task["n_feedback"] < hidden - 1:
        return {"acc": list(learning_curve(circuit, task))}
    some, angles = (dev.x[: circuit.batch_size], dev.y[: circuit.batch_size]), angles_of(circuit)

    def measured() -> list[float | None]:
        return [angle if math.isfinite(angle) else None for angle in angles(*some).tolist()]

    by_epoch, acc = [measured()], []
    for value in learning_curve(circuit, task):
        acc.append(value)
        if control == "turned" and len(acc) == half_of(task["epochs"]):
            turn_feedback(circuit, task["seed"])
        by_epoch.append(measured())
    return {"acc": acc, "angles": by_epoch}


def curves(rows: list[dict], gain: float) -> dict[int, dict[int, list[float]]]:
    """Accuracy (%) after the last epoch at this initial gain: layers -> pathways -> one per seed."""
    found = {}
    for row in rows:
        if gain_of(row["task"]) == gain and "control" not in row["task"]:
            points = found.setdefault(len(row["task"]["hid_dim"]) + 1, {})
            points.setdefault(row["task"]["n_feedback"], []).append(100 * row["acc"][-1])
    return found


def angle_curves(rows: list[dict]) -> dict[str, dict[int, list[float]]]:
    """Angles, degrees: layer -> epoch -> one per seed; of a layer that has no gradient, none."""
    found = {}
    for row in rows:
        for epoch, angles in enumerate(row.get("angles", [])):
            for n, angle in enumerate(angles, 1):
                if angle is not None:
                    found.setdefault(f"W{n}", {}).setdefault(epoch, []).append(angle)
    return found


def controls(rows: list[dict], name: str) -> list[dict]:
    """The rows of a control; those of the same network with all of its feedback, "fixed", or with none."""
    pathways = {"fixed": LAYERS[0] - 2, "none": 0}
    if name not in pathways:
        return with_values(rows, control=name)
    found = with_values(rows, init_gain=GAINS[0], n_feedback=pathways[name])
    return [row for row in found if "control" not in row["task"] and len(row["task"]["hid_dim"]) == LAYERS[0] - 1]


def table(rows: list[dict]) -> str:
    """The last accuracies as Markdown tables: of networks with ever more feedback, and of the controls."""
    lines = [
        f"| initial gain | layers (hidden ones of {WIDTH}) | no feedback | all but four | all but three | all but two "
        "| all but one | all | seeds |",
        f"|{'---|' * 9}",
    ]
    for gain in GAINS:
        for n, points in curves(rows, gain).items():
            cells = [spread(points[k], 2) if k in points else "" for k in (0, *(n - 2 - m for m in (4, 3, 2, 1, 0)))]
            lines.append(f"| {gain:g} | {n} | {' | '.join(cells)} | {max(map(len, points.values()))} |")
    epochs = " | ".join(f"epoch {epoch}" for epoch in SHOWN)
    lines += ["", f"| feedback ({LAYERS[0]} layers, initial gain {GAINS[0]:g}) | {epochs} | seeds |"]
    lines.append(f"|{'---|' * (len(SHOWN) + 2)}")
    for name, title in TITLES.items():
        chosen = controls(rows, name)
        cells = [spread([100 * row["acc"][epoch - 1] for row in chosen], 2) for epoch in SHOWN] if chosen else []
        lines.append(f"| {title} | {' | '.join(cells)} | {len(chosen)} |")
    top = curves(rows, GAINS[0]).get(LAYERS[0], {})
    lines += ["", f"| pathways | to the top layers | {CHOICES} choices of other layers, 1 seed |", "|---|---|---|"]
    for k, found in elsewhere(rows).items():
        choices = "; ".join(f"to {layers}: {accuracy:.2f}" for layers, accuracy in found.items())
        lines.append(f"| {k} | {spread(top[k], 2) if k in top else ''} | {choices} |")
    return "\n".join(lines)


def elsewhere(rows: list[dict]) -> dict[int, dict[str, float]]:
    """Last accuracies (%) with feedback to other layers than those at the top: pathways -> layers -> accuracy."""
    found = {}
    for row in controls(rows, "elsewhere"):
        layers = ", ".join(map(str, row["task"]["layers"]))
        found.setdefault(row["task"]["n_feedback"], {})[layers] = 100 * row["acc"][-1]
    return found


def draw_feedback(rows: list[dict]) -> "Figure":
    """The last accuracies against the number of pathways that are missing, a panel for each initial gain."""
    from exhibits.common.report.plots import COLORS, MARKERS, draw_seeds, museum_style, new_figure

    with museum_style():
        figure = new_figure(10, 4.6)
        panels = figure.subplots(1, len(GAINS), sharex=True, sharey=True)
        for axes, gain, letter in zip(panels, GAINS, "ab", strict=True):
            for n, points in sorted(curves(rows, gain).items()):
                missing = {n - 2 - k: values for k, values in points.items()}
                draw_seeds(axes, missing, f"{n} layers", COLORS[LAYERS.index(n)], MARKERS[LAYERS.index(n)])
            axes.axhline(10, color="0.5", linestyle=":", linewidth=1, label="chance")
            axes.set(title=f"{letter}  initial gain {gain:g}", xticks=range(max(LAYERS) - 1), ylim=(0, 103))
            axes.set(xlabel="hidden layers without feedback, from the bottom up")
        panels[0].set(ylabel="accuracy on the development set (%)")
        named = dict(zip(*reversed(panels[-1].get_legend_handles_labels()), strict=True))
        labels = [*(f"{n} layers" for n in LAYERS if f"{n} layers" in named), "chance"]
        panels[-1].legend([named[label] for label in labels], labels, loc="center right")
    return figure


def draw_controls(rows: list[dict]) -> "Figure":
    """Controls of the shallowest network: accuracy and angle by epoch; other layers than those at the top."""
    from exhibits.common.report.plots import COLORS, MARKERS, draw_seeds, museum_style, new_figure

    with museum_style():
        figure = new_figure(11, 4.6)
        accuracy, angle, layers = figure.subplots(1, 3)
        halfway = half_of(max(row["task"]["epochs"] for row in rows))
        for number, (name, title) in enumerate(TITLES.items()):
            chosen = controls(rows, name)
            style = (title, COLORS[number], MARKERS[number])
            begin = halfway if name == "turned" else 0  # until then it is the one with fixed feedback
            if chosen:
                epochs = range(begin + 1, len(chosen[0]["acc"]) + 1)
                acc = {n: [100 * row["acc"][n - 1] for row in chosen] for n in epochs}
                draw_seeds(accuracy, acc, *style)
            if measured := [row for row in chosen if "angles" in row]:
                random = [f"W{n}" for n in range(1, LAYERS[0] - 1)]  # the layers that random feedback reaches
                each = [angle_curves([row]) for row in measured]
                epochs = range(begin, len(measured[0]["angles"]))
                points = {n: [mean(a[w][n][0] for w in random if n in a.get(w, {})) for a in each] for n in epochs}
                draw_seeds(angle, points, *style)
        for axes in (accuracy, angle):
            axes.axvline(halfway, color="0.5", linestyle=":", linewidth=1)
            axes.annotate("signs flipped", (halfway, 2), (4, 0), textcoords="offset points", color="0.4", fontsize=9)
            axes.locator_params(axis="x", integer=True)
        angle.axhline(90, color="0.5", linestyle=":", linewidth=1)
        accuracy.set(title="a  what becomes of the feedback", xlabel="epoch", ylim=(0, 103))
        accuracy.set(ylabel="accuracy on the development set (%)")
        angle.set(title="b  angle of the layers that it reaches", xlabel="epoch (0: before training)", ylim=(0, 108))
        angle.set(ylabel="mean angle to the gradient (degrees)", yticks=range(0, 91, 30))
        figure.legend(*accuracy.get_legend_handles_labels(), loc="outside upper left", ncols=2, fontsize="small")
        draw_seeds(layers, curves(rows, GAINS[0]).get(LAYERS[0], {}), "the top layers", COLORS[0], MARKERS[0])
        points = {k: [*choices.values()] for k, choices in elsewhere(rows).items()}
        for k, values in points.items():
            layers.plot([k] * len(values), values, "_", color=COLORS[1], markersize=9)
        means = [mean(values) for values in points.values()]
        layers.plot(list(points), means, f"{MARKERS[1]}--", color=COLORS[1], markersize=5, label="other layers, mean")
        layers.plot([], [], "_", color=COLORS[1], markersize=9, label="each choice of other layers")
        layers.set(title="c  which layers get it", xlabel="feedback pathways", ylim=(0, 103))
        layers.set(ylabel="accuracy on the development set (%)")
        layers.legend(loc="lower right", fontsize="small")
    return figure


def draw_activity(rows: list[dict]) -> "Axes":
    """How active each hidden layer is before training, for each initial gain."""
    from exhibits.common.report.plots import COLORS, MARKERS, label_ends, museum_style, new_figure

    with museum_style():
        axes = new_figure(6.5, 4.2).subplots()
        ends: dict[str, tuple[float, float, str]] = {}
        for number, row in enumerate(rows):
            layers = range(1, len(row["spikes"]) + 1)
            color, label = COLORS[number % len(COLORS)], f"gain {gain_of(row['task']):g}"
            axes.plot(layers, row["spikes"], f"{MARKERS[number]}-", color=color, markersize=5, clip_on=False)
            ends[label] = (layers[-1], row["spikes"][-1], color)
        axes.set(xlabel="hidden layer", ylabel="spikes per cell and pattern before training", ylim=(0, None))
        axes.locator_params(axis="x", integer=True)
        label_ends(axes, ends)
    return axes


def draw_angles(rows: list[dict]) -> "Axes":
    """Angles by epoch; layers whose curves are one share a label."""
    from exhibits.common.report.plots import COLORS, MARKERS, draw_seeds, label_ends, museum_style, new_figure

    with museum_style():
        axes = new_figure(6.5, 4.8).subplots()
        ends: dict[str, tuple[float, float, str]] = {}
        for number, (label, points) in enumerate(shared(angle_curves(rows)).items()):
            color = COLORS[number % len(COLORS)]
            draw_seeds(axes, points, label, color, MARKERS[number])
            ends[label] = (max(points), mean(points[max(points)]), color)
        axes.axhline(90, color="0.5", linestyle=":", linewidth=1)
        axes.annotate("orthogonal (90 degrees)", (1, 90), (0, 4), textcoords="offset points", color="0.4", fontsize=9)
        axes.set(xlabel="epoch (0: before training)", ylim=(-3, 100))
        axes.set(ylabel="angle between local update and gradient (degrees)")
        axes.locator_params(axis="x", integer=True)
        label_ends(axes, ends)
    return axes


def main() -> None:
    """Runs what is missing, draws, and updates the page of the study if this is what it reports."""
    config = from_command_line(Study)
    rows = run_study(Path(__file__), grid(config), config)

    from exhibits.common.report.plots import save
    from exhibits.glsnn.config import CircuitConfig

    folder = config.folders(Path(__file__))[1]
    about = f"GLSNN; {config.data.name}; hidden layers of {rows[0]['task']['hid_dim'][0]}"
    over = f"mean and standard deviation, seeds: {len({row['task']['seed'] for row in rows})}"
    trained = f"{about}; {max(row['task']['epochs'] for row in rows)} epochs; {over}"
    shallowest = f"{LAYERS[0] - 1} hidden layers, initial gain {GAINS[0]:g}"
    save(draw_feedback(rows), folder / "feedback.png", trained)
    save(draw_controls(rows), folder / "controls.png", f"{trained}; other layers: one seed a choice; {shallowest}")
    if untaught := [row for row in with_values(rows, control="gain") if "spikes" in row]:
        save(draw_activity(untaught), folder / "activity.png", f"{about}; development set; 1 seed")
    if measured := [row for row in controls(rows, "fixed") if "angles" in row]:
        batch = f"all feedback, {CircuitConfig().batch_size} patterns of the development set"
        save(draw_angles(measured), folder / "angles.png", f"{about}; {shallowest}; {batch}; {over}")
    if config.official:
        write_part(HERE / "feedback.md", table(rows), "feedback")


if __name__ == "__main__":
    with reported():
        main()
