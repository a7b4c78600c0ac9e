"""How many feedback pathways does the GLSNN need? They are added one by one from the top; `--help` lists the flags.

Networks of 7, 8, 10 and 12 layers, the output included. Without feedback only the last two layers learn, with all of
it every layer does. Each row of results/feedback.json has the accuracy on the development set after each epoch; those
of the shallowest network with all feedback also the angle between what each layer learns and the true gradient.
Draws figures/feedback.jpg and figures/angles.jpg and writes the table in the README.
"""

import math
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported

with reported():  # a package may be missing
    from exhibits.common.experiment.config import from_command_line
    from exhibits.common.experiment.studies import StudyConfig, learning_curve, patterns_of, run_study
    from exhibits.common.report.results import show, spread

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


def main() -> None:
    """Runs what is missing, draws, and updates the README if this is the study that it reports."""
    config = from_command_line(Study)
    rows = run_study(Path(__file__), grid(config), config)

    from exhibits.common.report.plots import draw_curves

    folder = config.folders(Path(__file__))[1]
    draw_curves(
        {f"{n} layers": points for n, points in curves(rows).items()},
        "feedback pathways, from the top",
        "accuracy on the development set (%)",
        folder / "feedback.jpg",
        chance=10.0,
    )
    draw_curves(
        angle_curves(rows),
        "epoch (0: before training)",
        "angle between local update and gradient (degrees)",
        folder / "angles.jpg",
        chance=90.0,
    )
    if config.official:
        show(HERE / "README.md", table(rows), "feedback")


if __name__ == "__main__":
    with reported():
        main()
