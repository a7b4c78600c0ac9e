"""What cells do: spikes, rates, membrane potentials, receptive fields."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from exhibits.common.report.plots.style import COLORS, figure_of, new_figure, own_axes, styled

BINS = 30  # of a histogram of rates


@styled
def draw_rates(onsets: Sequence[np.ndarray], duration: float, of: str, *, axes: Axes | None = None) -> Axes:
    """How active the cells of each hidden layer are: a histogram of their mean rates over patterns.

    | rate of a cell = mean over N of its spikes / duration

    Args:
        onsets: (N, H) spikes of each hidden layer's cells, the lowest layer first.
        duration: of a presentation, T dt, ms.
        of: which patterns.
        axes: to draw into; a new figure if not given.
    """
    means = [1e3 / duration * layer.mean(axis=0) for layer in onsets]  # Hz
    axes = own_axes(axes, max(5.5, 1.5 + 1.3 * len(means)), 4.2)
    top = 1.02 * max(float(cells.max()) for cells in means) or 1.0
    edges = np.linspace(0, top, BINS + 1)
    shares = [np.histogram(cells, edges)[0] / len(cells) for cells in means]
    longest = max(float(share.max()) for share in shares)
    for place, (cells, share) in enumerate(zip(means, shares, strict=True)):
        axes.stairs(
            place + 0.85 * share / longest, edges, baseline=place, orientation="horizontal", fill=True, color=COLORS[0]
        )
        axes.plot([place, place + 0.85], [cells.mean()] * 2, color=COLORS[1], linewidth=1.5)
        text = f"mean {cells.mean():.3g} Hz\nsilent {100 * (cells == 0).mean():.0f} %\nof {len(cells):,} cells"
        axes.text(place + 0.42, 1.02 * top, text, ha="center", va="bottom", fontsize=8)
    ticks = [place + 0.42 for place in range(len(means))]
    axes.set(xticks=ticks, xticklabels=[f"z{n}" for n in range(1, len(means) + 1)], xlim=(-0.08, len(means)))
    axes.set(ylim=(0, 1.26 * top), title=of, ylabel="mean rate of a cell (Hz)")
    axes.set_xlabel(
        f"hidden layer; bars: share of its cells in each of {BINS} bins, at most {100 * longest:.0f} %; line: mean\n"
        "(silent: cells without a spike for any of the patterns)",
        fontsize="small",
    )
    axes.grid(False, axis="x")
    return axes


@styled
def draw_raster(
    spikes: Mapping[str, np.ndarray],
    graded: Collection[str],
    image: np.ndarray | None,
    dt: float,
    title: str,
    *,
    burn_in: int = 0,
    in_sequence: bool = False,
    figure: Figure | SubFigure | None = None,
) -> dict[str, Axes]:
    """Spikes of one pattern through all layers, and the mean rate of each cell: its spikes / (T dt).

    Args:
        spikes: (T, n) of each layer, from the input up: 1 at the step at which a cell fires.
        graded: layers that do not spike; their panels show the intensities in [0, 1] that they send.
        image: the pattern as a picture (height, width), shown beside the lowest panel; or None.
        dt: length of a time step, ms.
        title: what was presented.
        burn_in: steps at the start that nothing is read out or learned in; shaded.
        in_sequence: whether the layers run one after another, each in a window of T steps of its own.
        figure: to draw into, or a part of one; a new figure if not given.

    Returns:
        Axes of the spikes by layer, those of the rates as `<layer> rates`, and `image`.
    """
    layers = list(spikes.items())[::-1]
    heights = [max(0.7, min(1.3, array.shape[1] / 500)) for _, array in layers]
    figure = figure or new_figure(9, 1.3 + sum(heights))
    widths = [1, 0.22] if image is None else [1, 0.22, 0.16]
    grid = figure.subplots(
        len(layers), len(widths), squeeze=False, gridspec_kw={"height_ratios": heights, "width_ratios": widths}
    )
    figure.suptitle(title)
    rates = {name: (1.0 if name in graded else 1e3 / dt) * array.mean(axis=0) for name, array in layers}
    top = 1.05 * max(float(rates[name].max()) for name, _ in layers if name not in graded) or 1.0
    lowest = [name for name, _ in layers if name not in graded][-1]
    found: dict[str, Axes] = {}
    for (name, array), (axes, rate_axes, *rest) in zip(layers, grid, strict=True):
        T, n = array.shape
        found |= {name: axes, f"{name} rates": rate_axes}
        limits = {"xlim": (0, (T + 1) * dt), "ylim": (-0.5, n - 0.5)}
        if name in graded or (n > 20 and T <= 20):  # dots would cover their neighbours
            extent = (0.5 * dt, (T + 0.5) * dt, -0.5, n - 0.5)
            axes.imshow(array.T, aspect="auto", origin="lower", extent=extent, cmap="gray_r", vmin=0, vmax=1)
            axes.grid(False)
            axes.set(ylabel=f"{name} intensity\ncell" if name in graded else f"{name}\ncell", **limits)
        else:
            step, cell = np.nonzero(array)
            axes.scatter((step + 1) * dt, cell, s=25 if n <= 20 else 0.8, marker="|" if n <= 20 else ".", color="black")
            axes.set(ylabel=f"{name}\ncell", **limits)
        if burn_in and name not in graded:
            axes.axvspan(0, (burn_in + 0.5) * dt, color=COLORS[4], alpha=0.18, linewidth=0)
        if n <= 20:
            axes.set_yticks(range(0, n, 1 if n <= 5 else 3))
        if name != layers[-1][0]:
            axes.tick_params(labelbottom=False)
        rate_axes.stairs(rates[name], np.arange(n + 1) - 0.5, orientation="horizontal", fill=True, color=COLORS[0])
        rate_axes.set(xlim=(0, 1 if name in graded else top), yticks=[], ylim=(-0.5, n - 0.5))
        if name in graded:
            rate_axes.set_xlabel("intensity")
        elif name == lowest:
            rate_axes.set_xlabel("mean rate (Hz)")
        else:
            rate_axes.tick_params(labelbottom=False)
        for axis in rest:
            axis.set_axis_off()
    if burn_in:
        found[layers[0][0]].set_title("shaded: burn-in", loc="left", fontsize="small", color="0.35")
    where = "time in the layer's own window (ms); the layers run one after another" if in_sequence else "time (ms)"
    found[layers[-1][0]].set_xlabel(where)
    if image is not None:
        found["image"] = grid[-1][2]
        found["image"].set_axis_on()
        found["image"].imshow(image, cmap="gray_r", vmin=0, vmax=1)
        found["image"].set(xticks=[], yticks=[], title="pattern")
        found["image"].title.set_fontsize("small")
        found["image"].spines[:].set_visible(True)
    return found


@styled
def draw_potentials(
    v: np.ndarray,
    spikes: np.ndarray,
    threshold: float,
    dt: float,
    title: str,
    *,
    cells: Sequence[int] | None = None,
    burn_in: int = 0,
    figure: Figure | SubFigure | None = None,
) -> dict[str, Axes]:
    """Membrane potentials of a few cells over time, with the threshold and their spikes, which reset them to 0.

    Args:
        v: (T, n) potentials at the end of each step, mV: 0 where the cell has just fired.
        spikes: (T, n) 1 at the step at which a cell fires.
        threshold: at which it does, mV.
        dt: length of a time step, ms.
        title: which pattern, which layer.
        cells: (n,) their numbers, for the labels; 0, 1, ... if not given.
        burn_in: steps at the start that nothing is read out or learned in; shaded.
        figure: to draw into, or a part of one; a new figure if not given.

    Returns:
        The axes, as `cell <number>`.
    """
    T, n = v.shape
    cells = range(n) if cells is None else cells
    figure = figure or new_figure(7, 1.3 + 1.1 * n)
    grid = figure.subplots(n, 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    figure.suptitle(title)
    time = dt * np.arange(1, T + 1)
    low, high = min(0.0, float(v.min())), max(threshold, float(v.max()))
    for number, axes in enumerate(grid):
        at = np.flatnonzero(spikes[:, number])  # where it rises to the threshold and falls to 0
        line = np.insert(time, at, time[at]), np.insert(v[:, number], at, threshold)
        axes.plot(
            *(np.insert(each, 0, 0.0) for each in line), color=COLORS[0], linewidth=1.2, label="membrane potential"
        )
        axes.axhline(threshold, color=COLORS[1], linestyle="--", linewidth=1, label="threshold")
        fired = time[at]
        axes.vlines(fired, threshold, threshold + 0.25 * (high - low), color="black", linewidth=1, label="spike")
        count = f"{len(fired)} spike{'' if len(fired) == 1 else 's'}"
        axes.set_title(f"cell {cells[number]}, {count}", loc="left", fontsize="small")
        if burn_in:
            axes.axvspan(0, (burn_in + 0.5) * dt, color=COLORS[4], alpha=0.18, linewidth=0, label="burn-in")
        axes.set(xlim=(0, (T + 1) * dt), ylim=(low - 0.05 * (high - low), threshold + 0.3 * (high - low)))
    figure.supylabel("membrane potential (mV)", fontsize="medium")
    grid[-1].set_xlabel("time (ms)")
    place = {"loc": "lower right", "bbox_to_anchor": (1, 0.98), "borderaxespad": 0, "ncol": 4}
    grid[0].legend(**place, fontsize="small", handlelength=1.2, columnspacing=1)
    return {f"cell {cell}": axes for cell, axes in zip(cells, grid, strict=True)}


@styled
def draw_receptive_fields(
    weights: np.ndarray, shape: tuple[int, int], unit: str = "", rows: int = 8, *, axes: Axes | None = None
) -> Axes:
    """Incoming weights (D, H) of the rows x rows hidden cells with the largest norms, as pictures.

    Args:
        weights: of the first layer.
        shape: height and width of a pattern as a picture.
        unit: of a weight.
        rows: of pictures, and columns.
        axes: to draw into; a new figure if not given.
    """
    axes = own_axes(axes, 7, 6.4)
    strongest = np.argsort(-np.linalg.norm(weights, axis=0))[: rows * rows]
    limit = float(np.quantile(np.abs(weights[:, strongest]), 0.995)) or 1.0
    height, width = shape
    gap = max(1, max(shape) // 12)
    down = -(-len(strongest) // rows)
    mosaic = np.full((down * (height + gap) - gap, min(rows, len(strongest)) * (width + gap) - gap), np.nan)
    for n, cell in enumerate(strongest):
        row, column = divmod(n, rows)
        top, left = row * (height + gap), column * (width + gap)
        mosaic[top : top + height, left : left + width] = weights[:, cell].reshape(shape)
    colors = colormaps["RdBu_r"].with_extremes(bad="0.75")
    picture = axes.imshow(mosaic, cmap=colors, vmin=-limit, vmax=limit, interpolation="nearest")
    label = f"weight ({unit})" if unit else "weight"
    figure_of(axes).colorbar(picture, ax=axes, shrink=0.7, label=label, extend="both")
    shown, H = len(strongest), weights.shape[1]
    which = f"{shown} of {H:,} hidden cells\nof largest norm" if shown < H else f"{H} hidden cells"
    axes.set_title(f"W1: incoming weights of the {which}")
    axes.set_axis_off()
    return axes
