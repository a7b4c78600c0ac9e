"""How many feedback pathways does the GLSNN need? They are added one by one from the top; `--help` lists the flags.

Networks of 7, 8, 10 and 12 layers, the output included. Without feedback only the last two layers learn, with all of
it every layer does. Each row of results/feedback.json has the accuracy on the development set after each epoch; those
of the shallowest network with all feedback also the angle between what each layer learns and the true gradient.
Draws figures/feedback.png and figures/angles.png and writes the table in feedback.md.
"""

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported

with reported():  # a package may be missing
    from exhibits.common.experiment.flags import from_command_line
    from exhibits.common.experiment.studies import StudyConfig, learning_curve, patterns_of, run_study
    from exhibits.common.report.results import show, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LAYERS = (7, 8, 10, 12)
WIDTH = 256
EPOCHS = 10


@dataclass(frozen=True)
class Study(StudyConfig):
    """Trains networks of 7 to 12 layers of 256 cells with feedback to none, one, two, ... all of the hidden layers."""


def grid(config: StudyConfig) -> list[dict]:
    """The tasks of the study: a network of n layers has n - 2 pathways besides that to its last hidden layer."""
    width = 64 if config.quick else WIDTH
    points = [{"hid_dim": [width] * (n - 1), "n_feedback": k} for n in LAYERS for k in range(n - 1)]
    return config.tasks(points, epochs=EPOCHS)


def run(task: dict) -> dict:
    """Trains one network; gives the accuracy on the development set after each epoch, angles in degrees (see above)."""
    import jax

    from exhibits.glsnn.backprop import angles
    from exhibits.glsnn.config import CircuitConfig
    from exhibits.glsnn.model import GLSNN

    train, dev = patterns_of(task)
    hid_dim, n_feedback = tuple(task["hid_dim"]), task["n_feedback"]
    config = CircuitConfig(hid_dim=hid_dim, n_feedback=n_feedback, receptive_field=0, in_dropout=0.0, hid_dropout=0.0)
    n_updates = task["epochs"] * -(-len(train.x) // config.batch_size)
    circuit = GLSNN(jax.random.PRNGKey(task["seed"]), train.x.shape[1], train.y.shape[1], config, n_updates)
    if len(task["hid_dim"]) + 1 > min(LAYERS) or task["n_feedback"] < len(task["hid_dim"]) - 1:
        return {"acc": list(learning_curve(circuit, task))}
    some = dev.x[: config.batch_size], dev.y[: config.batch_size]

    def measured() -> list[float | None]:
        return [angle if math.isfinite(angle) else None for angle in angles(circuit, *some).tolist()]

    by_epoch, acc = [measured()], []
    for value in learning_curve(circuit, task):
        acc.append(value)
        by_epoch.append(measured())
    return {"acc": acc, "angles": by_epoch}


def curves(rows: list[dict]) -> dict[int, dict[int, list[float]]]:
    """Accuracy (%) after the last epoch: layers -> pathways -> one a seed."""
    found = {}
    for row in rows:
        points = found.setdefault(len(row["task"]["hid_dim"]) + 1, {})
        points.setdefault(row["task"]["n_feedback"], []).append(100 * row["acc"][-1])
    return found


def angle_curves(rows: list[dict]) -> dict[str, dict[int, list[float]]]:
    """Angles, degrees: layer -> epoch -> one a seed; of a layer that has no gradient, none."""
    found = {}
    for row in rows:
        for epoch, angles in enumerate(row.get("angles", [])):
            for n, angle in enumerate(angles, 1):
                if angle is not None:
                    found.setdefault(f"W{n}", {}).setdefault(epoch, []).append(angle)
    return found


def table(rows: list[dict]) -> str:
    """The last accuracies as a Markdown table."""
    lines = [
        f"| layers (hidden ones of {WIDTH}) | no feedback | all but two | all but one | all | seeds |",
        "|---|---|---|---|---|---|",
    ]
    for n, points in curves(rows).items():
        cells = [spread(points[k], 2) if k in points else "" for k in (0, n - 4, n - 3, n - 2)]
        lines.append(f"| {n} | {' | '.join(cells)} | {max(map(len, points.values()))} |")
    return "\n".join(lines)


def draw_feedback(rows: list[dict]) -> "Axes":
    """The last accuracies against the number of pathways that are missing: as such, the curves are one."""
    from exhibits.common.report.plots import COLORS, MARKERS, draw_seeds, museum_style, new_figure

    with museum_style():
        axes = new_figure(6.5, 4.6).subplots()
        for number, (n, points) in enumerate(sorted(curves(rows).items())):
            missing = {n - 2 - k: values for k, values in points.items()}
            draw_seeds(axes, missing, f"{n} layers", COLORS[number], MARKERS[number])
        axes.axhline(10, color="0.5", linestyle=":", linewidth=1, label="chance")
        axes.set(xlabel="feedback pathways that are missing, from the input up (0: none)", ylim=(0, 103))
        axes.set(ylabel="accuracy on the development set (%)", xticks=range(max(LAYERS) - 1))
        axes.legend(loc="upper right")
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


def shared(angles: dict[str, dict[int, list[float]]]) -> dict[str, dict[int, list[float]]]:
    """Curves of angles, those that are nowhere a degree apart as one, under both names."""
    found: list[tuple[list[str], dict[int, list[float]]]] = []
    for label, points in sorted(angles.items()):
        for labels, others in found:
            if points.keys() == others.keys() and all(abs(mean(points[x]) - mean(others[x])) < 1 for x in points):
                labels.append(label)
                break
        else:
            found.append(([label], points))
    return {", ".join(labels): points for labels, points in found}


def main() -> None:
    """Runs what is missing, draws, and updates the page of the study if this is what it reports."""
    config = from_command_line(Study)
    rows = run_study(Path(__file__), grid(config), config)

    from exhibits.common.report.plots import save
    from exhibits.glsnn.config import CircuitConfig

    folder = config.folders(Path(__file__))[1]
    width = rows[0]["task"]["hid_dim"][0]
    epochs = max(row["task"]["epochs"] for row in rows)
    seeds = len({row["task"]["seed"] for row in rows})
    about = f"GLSNN; {config.data.name}; hidden layers of {width}; {epochs} epochs; {seeds} seed{'s'[: seeds - 1]}"
    save(draw_feedback(rows), folder / "feedback.png", f"{about}: mean and standard deviation")
    measured = [row["task"]["hid_dim"] for row in rows if row.get("angles")]
    if measured:
        sizes = f"{len(measured[0])} hidden layers, all feedback, {CircuitConfig().batch_size} patterns of the dev set"
        save(draw_angles(rows), folder / "angles.png", f"{about}; {sizes}")
    if config.official:
        show(HERE / "feedback.md", table(rows), "feedback")


if __name__ == "__main__":
    with reported():
        main()
