"""How the cost of BFA-SNN training grows: with T, minibatch, width, depth and how much of the input spikes.

Time a minibatch by events and dense, and memory against T beside what bench_peers.py has measured.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported
from harness import EPOCH, RESULTS, contest, images, options, require_images, save, settings_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXES = {
    "T": ("time steps T", (25, 100, 400)),
    "batch_size": ("patterns in a minibatch", (50, 250, 1000)),
    "width": ("cells in the hidden layer", (250, 1000, 4000)),
    "layers": ("hidden layers of 1000", (1, 2, 3)),
    "input_gain": ("input gain (spike probability of a white pixel)", (0.05, 0.25, 1.0)),
}
SYNAPSES = {"event": "this museum, event-driven", "dense": "this museum, dense"}
FIGURE = RESULTS.parent / "figures" / "growth.png"


def build(name: str, batch_size: int, n_minibatches: int) -> Callable[[], object]:
    """What a contender, `synapses axis value`, does in a round: learns from some minibatches."""
    import jax

    from exhibits.bfa_snn.config import Config
    from exhibits.bfa_snn.model import BFA_SNN

    synapses, axis, text = name.split()
    values: dict[str, Any] = {"batch_size": batch_size, "synapses": synapses}
    if axis == "width":
        values["hid_dim"] = (int(text),)
    elif axis == "layers":
        values["hid_dim"] = (1000,) * int(text)
    else:
        values[axis] = float(text) if axis == "input_gain" else int(text)
    config = Config(**values)
    x, y = images(n_minibatches * config.batch_size)
    circuit = BFA_SNN(jax.random.PRNGKey(0), x.shape[1], y.shape[1], config)
    return lambda: circuit.read(x, y, jax.random.PRNGKey(0), learn=True)


def main() -> None:
    """Measures and writes results/growth.json; readme.py draws it."""
    settings = options(__doc__, "growth.json", batch_size=250, minibatches=4)
    require_images(settings.minibatches, max(AXES["batch_size"][1]))

    from exhibits.bfa_snn.config import Config
    from exhibits.common.data.loading import load_patterns

    config = Config()
    load_patterns(config, "data")  # prepares the arrays, once for all
    rows = []
    for axis, (_, values) in AXES.items():
        contenders = [(synapses, axis, value) for synapses in SYNAPSES for value in values]
        measured = contest(build, [" ".join(map(str, each)) for each in contenders], settings)
        for (synapses, _, value), row in zip(contenders, measured, strict=True):
            batch_size = value if axis == "batch_size" else settings.batch_size
            seconds = row["ms_per_minibatch"] / 1e3 * EPOCH / batch_size
            rows.append({"synapses": synapses, "axis": axis, "value": value} | row | {"seconds_per_epoch": seconds})
    described = settings_of(settings, T=config.T, sizes=[784, *config.hid_dim, 10], input_gain=config.input_gain)
    save(settings.out, settings=described, rows=rows)
    for row in rows:
        print(f"{row['synapses']} {row['axis']} {row['value']}: {row['ms_per_minibatch']:.0f} ms per minibatch")


def figure(growth: dict[str, Any], peers: dict[str, Any]) -> "Figure":
    """A panel for each axis, with the libraries of bench_peers.py where T grows, and one for memory.

    Args:
        growth: what results/growth.json holds.
        peers: what results/peers.json holds.
    """
    from exhibits.common.report.plots import COLORS, MARKERS, museum_style, new_figure

    lines: dict[tuple[str, str], list[dict[str, float]]] = {}  # by title and axis
    for row in growth["rows"]:
        lines.setdefault((SYNAPSES[row["synapses"]], row["axis"]), []).append(row)
    for row in peers["rows"]:
        lines.setdefault((row["library"], "T"), []).append(row | {"value": row["T"]})
    titles = list(dict.fromkeys(title for title, _ in lines))

    def plot(axes: "Axes", title: str, axis: str, column: str, unit: float = 1.0) -> None:
        number, rows = titles.index(title), lines[title, axis]
        heights = [row[column] / unit for row in rows]
        values = [row["value"] for row in rows]
        axes.plot(values, heights, MARKERS[number] + "-", color=COLORS[number], label=title)

    with museum_style():
        drawn = new_figure(11, 6.8)
        grid = drawn.subplots(2, 3)
        memory = grid.flat[-1]
        for axes, (axis, (label, values)) in zip(grid.flat, AXES.items(), strict=False):
            for title in titles:
                if (title, axis) in lines:
                    plot(axes, title, axis, "ms_per_minibatch")
            axes.set(xlabel=label, yscale="log", ylim=(5, 6000))
            axes.set_yticks([10, 100, 1000], ["10", "100", "1000"])
            axes.set_xscale("linear" if axis == "layers" else "log")
            axes.set_xticks(values, [f"{value:g}" for value in values])
        for title in titles:
            plot(memory, title, "T", "peak_memory_mb", 1e3)
        memory.set(xlabel=AXES["T"][0], ylabel="peak memory (GB)", xticks=AXES["T"][1])
        memory.set_ylim(bottom=0)
        for letter, axes in zip("abcdef", grid.flat, strict=True):
            axes.minorticks_off()
            axes.set_title(letter, loc="left", fontweight="bold")
        drawn.supylabel("time (ms per minibatch)")
        handles, labels = memory.get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside upper center", ncol=len(labels))
    return drawn


def draw() -> None:
    """Writes the figure of what has been measured."""
    from exhibits.common.report.plots import save
    from exhibits.common.system.files import read_json

    growth, peers = (read_json(RESULTS / f"{name}.json") for name in ("growth", "peers"))
    settings = growth["settings"]
    sizes = "-".join(map(str, settings["sizes"]))
    caption = (
        f"{growth['device']}; except for what a panel varies: {sizes}, T = {settings['T']}, minibatches of "
        f"{settings['batch_size']}, input gain {settings['input_gain']:g}; medians of {settings['rounds']} rounds. "
        "Other libraries were measured at several T only: a, f."
    )
    FIGURE.parent.mkdir(exist_ok=True)
    save(figure(growth, peers), FIGURE, caption)


if __name__ == "__main__":
    with reported():
        main()
