"""What does a pattern cost, in operations and microjoules? `--help` lists the flags.

The trained networks that come with the exhibits, as they are, read out after fewer steps and at higher thresholds; and
networks trained with fewer steps or higher thresholds. Each row of results/energy.json has the accuracy on the
development set and what its mean pattern demands, see `exhibits/common/report/energy.py`. Draws figures/energy.png and
writes the tables in energy.md and in the READMEs of both exhibits.
"""

import dataclasses
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported

with reported():  # a package may be missing
    import msgspec

    from exhibits.common.data.datasets import MNIST
    from exhibits.common.experiment.flags import from_command_line
    from exhibits.common.experiment.schema import StudyRow
    from exhibits.common.experiment.studies import StudyConfig, circuit_for, patterns_of, run_study, with_values
    from exhibits.common.library.exhibit import Exhibit
    from exhibits.common.report.energy import Load, Operations
    from exhibits.common.report.results import spread, write_part

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from exhibits.common.circuit import Circuit
    from exhibits.common.data.loading import Patterns

SHOWN = (94, 99.2)  # %, accuracies in the figure


@dataclass(frozen=True)
class Grid:
    """What the study tries of an exhibit, and what its cells cost.

    Attributes:
        title: in tables.
        pretrained: networks that it comes with.
        recipe: what networks are trained by, with hidden layers of `hid_dim` and for so many epochs.
        own: the T and threshold of the recipe and of the pretrained networks.
        trained_T, trained_thr: others to train with, threshold in mV.
        read_T, read_thr: others to read pretrained networks out with.
        additions: in an update of a cell, beside its one multiplication: of the current to what the leak leaves, of
            the threshold that it is compared with, of a step to the refractory period.
        sticky: steps for which a spike is sent.
    """

    title: str
    pretrained: tuple[str, ...]
    recipe: str
    hid_dim: tuple[int, ...]
    epochs: int
    own: tuple[int, float]
    trained_T: tuple[int, ...]
    trained_thr: tuple[float, ...]
    read_T: tuple[int, ...]
    read_thr: tuple[float, ...]
    additions: int
    sticky: int = 1

    def points(self, steps: tuple[int, ...], thresholds: tuple[float, ...]) -> list[dict]:
        """Its own T and threshold; other T at its own threshold; other thresholds at its own T."""
        T, thr = self.own
        return [
            {"T": T, "thr": thr},
            *({"T": other, "thr": thr} for other in steps),
            *({"T": T, "thr": other} for other in thresholds),
        ]


GRIDS = {
    "bfa_snn": Grid(
        title="BFA-SNN",
        pretrained=("page", "best"),
        recipe="best",
        hid_dim=(1000,),
        epochs=1,
        own=(100, 0.4),
        trained_T=(25, 10),
        trained_thr=(1.6,),
        read_T=(50, 25, 10, 5),
        read_thr=(0.5, 0.6, 0.8, 1.6),
        additions=3,
        sticky=4,
    ),
    "glsnn": Grid(
        title="GLSNN",
        pretrained=("mnist",),
        recipe="mnist",
        hid_dim=(800, 800, 800),
        epochs=5,
        own=(10, 0.5),
        trained_T=(4, 2),
        trained_thr=(0.7, 1.0),
        read_T=(6, 4, 2, 1),
        read_thr=(0.55, 0.6, 0.7, 0.8),
        additions=2,
    ),
}


@dataclass(frozen=True)
class Study(StudyConfig):
    """Weighs accuracy against energy: fewer steps, higher thresholds, with and without training anew."""


class Row(StudyRow, kw_only=True):
    """A row with what the network's mean pattern of the development set demands."""

    load: Load


def folder_of(name: str, network: str) -> Path:
    """Where an exhibit's pretrained network is."""
    return HERE.parent / "exhibits" / name / "pretrained" / network


def grid(config: StudyConfig) -> list[dict]:
    """The tasks of the study: what is only read out, on MNIST, which pretrained networks know; then what is trained."""
    read, trained = [], []
    some = slice(-1, None) if config.quick else slice(None)
    for name, e in GRIDS.items():
        for network in e.pretrained if config.data.resolve() == MNIST.resolve() else ():
            weights = hashlib.sha256((folder_of(name, network) / "weights.npz").read_bytes()).hexdigest()
            of = {"exhibit": name, "pretrained": network, "weights_sha256": weights}
            points = [of | point for point in e.points(e.read_T[some], e.read_thr[some])]
            read += [task | {"epochs": 0} for task in config.tasks(points, epochs=1, seeds=1)]
        width = [64] * len(e.hid_dim) if config.quick else [*e.hid_dim]
        of = {"exhibit": name, "recipe": e.recipe, "hid_dim": width}
        trained += config.tasks(
            [of | point for point in e.points(e.trained_T[some], e.trained_thr[some])], epochs=e.epochs
        )
    return read + trained


def run(task: dict) -> dict:
    """Trains a network, or opens one; gives its accuracy on the development set and what a pattern demands there."""
    from exhibits.common.circuit.seeds import Keys
    from exhibits.common.experiment.epochs import learn_epoch
    from exhibits.common.experiment.evaluation import interpret

    train, dev = patterns_of(task)
    circuit = circuit_of(task, train)
    for epoch in range(1, task["epochs"] + 1):
        learn_epoch(circuit, train, task["seed"], epoch)
    out = circuit.read(*dev, Keys.of(task["seed"]).dev, detail=True)
    readout = interpret(out, dev.y)
    return {
        "acc": [float(readout.correct.mean())],
        "load": msgspec.to_builtins(Load.of(circuit, dev.x, readout.activity)),
    }


def circuit_of(task: dict, train: "Patterns") -> "Circuit":
    """The network of a task: to be trained, or with its trained weights."""
    from exhibits.common.experiment.restoring import opened, restore

    exhibit = Exhibit.named(task["exhibit"])
    values: dict[str, Any] = {"T": task["T"], "thr": task["thr"]}
    if task["exhibit"] == "bfa_snn":
        values["burn_in"] = task["T"] // 5
    if "pretrained" not in task:
        values["hid_dim"] = tuple(task["hid_dim"])
        config = dataclasses.replace(exhibit.config.RECIPES[task["recipe"]], **values)
        return circuit_for(task, train, exhibit.network, config)
    folder = folder_of(task["exhibit"], task["pretrained"])
    config, log, _ = opened(exhibit.config, folder)
    assert log.form is not None  # format 1 did not record it; pretrained networks have newer ones
    circuit = exhibit.network.for_analysis(dataclasses.replace(config, **values), log.form)
    restore(circuit, folder)
    return circuit


def load(row: dict) -> Load:
    """What a row's mean pattern demands."""
    return msgspec.convert(row["load"], Load)


def everything(row: dict) -> Operations:
    """All operations of a row's mean pattern."""
    return load(row).spiking(GRIDS[row["task"]["exhibit"]].additions)


def energy(row: dict) -> float:
    """Of the arithmetic of a row's mean pattern, microjoules."""
    return everything(row).microjoules


def costs_of(row: dict) -> list[tuple[str, Operations, str]]:
    """What a network's mean pattern costs by layer, in all and in other ways: what it is, operations, their kind."""
    e, of, AC, MAC = GRIDS[row["task"]["exhibit"]], load(row), "accumulates", "multiply-accumulates"
    parts = [("pixels to z1, as numbers", of.layer(0), MAC)] if 0 not in of.spikes else []
    for n, spikes in list(of.spikes.items())[:-1]:
        what = f"{'pixels' if n == 0 else f'z{n}'} to z{n + 1}: {spikes:,.1f} spikes x {of.fan_out(n):g}"
        parts.append((what, of.layer(n), AC))
    parts.append((f"cells: {of.steps} steps x {sum(of.sizes[1:]):,}", of.updates(e.additions), "updates"))
    parts.append(("**in all**", everything(row), "synaptic"))
    if e.sticky > 1:
        what = f"in all, with an operation at each of the {e.sticky} steps of a hidden spike"
        parts.append((what, of.spiking(e.additions, e.sticky), "synaptic"))
    if 0 not in of.spikes:
        parts.append(("in all, if each cell that spikes sent its rate, once", of.rates(e.additions), MAC))
    parts.append(("**dense network of the same sizes**", of.dense(), MAC))
    if of.masked() != of.dense():
        parts.append(("the same with the receptive fields", of.masked(), MAC))
    return [*parts, ("the same without pixels that are 0", of.skipping(), MAC)]


def layer_table(rows: list[dict], name: str) -> str:
    """Operations and energy by layer of an exhibit's pretrained networks, beside those of dense ones."""
    e = GRIDS[name]
    lines = ["| network | what | operations | energy (µJ) | with memory (µJ) |", "|---|---|---|---|---|"]
    for network in e.pretrained:
        for row in with_values(rows, exhibit=name, pretrained=network, T=e.own[0], thr=e.own[1]):
            first = f"`{network}`, dev accuracy {100 * row['acc'][0]:.2f} %"
            for what, of, kind in costs_of(row):
                n = of.weights or of.multiplications
                lines.append(f"| {first} | {what} | {n:,.0f} {kind} | {of.microjoules:.2f} | {of.with_memory:.2f} |")
                first = ""
    return "\n".join(lines)


def curves(rows: list[dict], name: str, vary: str) -> dict[str, dict[float, list[dict]]]:
    """The rows of an exhibit by T or threshold, the other as it is: network -> value -> one row per seed."""
    e = GRIDS[name]
    fixed = {"thr": e.own[1]} if vary == "T" else {"T": e.own[0]}
    found: dict[str, dict[float, list[dict]]] = {}
    for row in with_values(rows, exhibit=name, **fixed):
        network = row["task"].get("pretrained", "trained")
        found.setdefault(network, {}).setdefault(row["task"][vary], []).append(row)
    return {network: dict(sorted(points.items(), reverse=vary == "T")) for network, points in found.items()}


def sweep_table(rows: list[dict], vary: str) -> str:
    """Accuracy and energy by T or by threshold."""
    lines = [
        f"| network | {'T' if vary == 'T' else 'threshold (mV)'} | dev accuracy (%) | hidden spikes per pattern "
        "| energy (µJ) | of the dense network's | with memory (µJ) | seeds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, e in GRIDS.items():
        for network, points in curves(rows, name, vary).items():
            for value, some in points.items():
                epochs = some[0]["task"]["epochs"]
                how = f"trained anew, epochs: {epochs}" if network == "trained" else f"`{network}`, not trained again"
                share = mean(energy(row) / load(row).dense().microjoules for row in some)
                cells = [
                    f"{e.title}, {how}",
                    f"{value:g}",
                    spread([100 * row["acc"][0] for row in some], 2),
                    spread([load(row).hidden for row in some], 0),
                    spread([energy(row) for row in some], 2),
                    f"{100 * share:.0f} %",
                    spread([everything(row).with_memory for row in some], 2),
                    str(len(some)),
                ]
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def table(rows: list[dict]) -> str:
    """All tables of the page."""
    parts = [f"**{e.title}, by layer**\n\n{layer_table(rows, name)}" for name, e in GRIDS.items()]
    parts.append(f"**Fewer steps**\n\n{sweep_table(rows, 'T')}")
    parts.append(f"**Higher thresholds**\n\n{sweep_table(rows, 'thr')}")
    return "\n\n".join(parts)


def draw(rows: list[dict]) -> "Figure":
    """Accuracy against energy, over T, and against hidden spikes, over thresholds."""
    from exhibits.common.report.plots import COLORS, museum_style, new_figure

    with museum_style():
        figure = new_figure(11, 5.6)
        left, right = figure.subplots(1, 2, sharey=True)
        for color, marker, (name, e) in zip(COLORS, "os", GRIDS.items(), strict=False):
            style: dict[str, Any] = {"color": color, "marker": marker, "markersize": 5}
            shown = [row for row in rows if row["task"].get("pretrained") in (None, e.pretrained[-1])]
            draw_curves(left, curves(shown, name, "T"), energy, "T = {:g}", e.title, style)
            draw_curves(right, curves(shown, name, "thr"), lambda row: load(row).hidden, "{:g} mV", e.title, style)
            for row in with_values(rows, exhibit=name)[:1]:
                dense = load(row).dense().microjoules, load(row).skipping().microjoules
                for x, line, what in zip(dense, ":-", ("sizes", "synapses, without pixels of 0"), strict=True):
                    label = f"dense network of the {e.title}'s {what}"
                    left.axvline(x, color=color, linestyle=line, linewidth=1, alpha=0.7, label=label)
        left.set(title="a  fewer steps", xlabel="energy of the arithmetic (µJ per pattern)")
        left.set(ylabel="accuracy on the development set (%)", ylim=SHOWN)
        right.set(title="b  higher thresholds", xlabel="spikes of the hidden layers per pattern")
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize="x-small")
    return figure


def draw_curves(axes: "Axes", networks: dict, x: Any, text: str, title: str, style: dict[str, Any]) -> None:
    """Curves of an exhibit: solid where each point was trained, with deviations over seeds, else dashed and hollow."""
    for network, points in networks.items():
        xs, ys = (
            [[of(row) for row in some] for some in points.values()] for of in (x, lambda row: 100 * row["acc"][0])
        )
        at = list(map(mean, xs)), list(map(mean, ys))
        if network == "trained":
            epochs = max(row["task"]["epochs"] for some in points.values() for row in some)
            wide, high = ([stdev(of) if len(of) > 1 else 0.0 for of in values] for values in (xs, ys))
            axes.errorbar(*at, high, wide, capsize=3, label=f"{title}, trained anew, epochs: {epochs}", **style)
        else:
            label = f"{title}, {network}, not trained again"
            axes.plot(*at, "--", markerfacecolor="white", linewidth=1, label=label, **style)
        sides = [((4, -11), "left"), ((-4, -11), "right")] if network == "trained" else [((0, 6), "center")]
        for n, (value, where) in enumerate(zip(points, zip(*at, strict=True), strict=True)):
            place, ha = sides[n % len(sides)]  # neighbours' values on either side
            name: dict[str, Any] = {"color": style["color"], "fontsize": "x-small", "ha": ha}
            axes.annotate(text.format(value), where, place, textcoords="offset points", **name)


def readmes(rows: list[dict]) -> dict[Path, str]:
    """What the READMEs of the exhibits have of it."""
    return {HERE.parent / "exhibits" / name / "README.md": layer_table(rows, name) for name in GRIDS}


def main() -> None:
    """Runs what is missing, draws, and updates the page of the study and the READMEs if this is what they report."""
    config = from_command_line(Study)
    rows = run_study(Path(__file__), grid(config), config, Row)

    from exhibits.common.report.plots import save

    seeds = len({row["task"]["seed"] for row in rows if "pretrained" not in row["task"]})
    what = f"solid: mean and standard deviation, seeds: {seeds}; dashed: one network"
    caption = f"{config.data.name}, accuracies above {SHOWN[0]} % on the development set; {what}"
    save(draw(rows), config.folders(Path(__file__))[1] / "energy.png", caption)
    if config.official:
        write_part(HERE / "energy.md", table(rows), "energy")
        for readme, part in readmes(rows).items():
            write_part(readme, part, "energy")


if __name__ == "__main__":
    with reported():
        main()
