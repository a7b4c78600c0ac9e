"""The pictures of the museum; each function draws one and saves it whole or not at all."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

os.environ["MPLBACKEND"] = "Agg"  # pictures go to files; Matplotlib does not start with a name that it does not know

import matplotlib

matplotlib.use("Agg")  # where it was imported before

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from exhibits.common.system.files import replacing

MANY = 30  # classes, above which a picture does not name each of them
plt.style.use(Path(__file__).with_name("museum.mplstyle"))


def save(figure: Figure, path: Path) -> None:
    """Writes a figure in the format of the path's ending and closes it."""
    with replacing(path) as file:
        figure.savefig(file, format=path.suffix[1:])
    plt.close(figure)


def draw_likelihood(exp: Path, path: Path) -> None:
    """Negative log likelihood on training and development set by epoch, from trNll.npy and nll.npy in `exp`."""
    figure, axes = plt.subplots(figsize=(5.5, 4))
    for name, label, color in (("trNll", "train", "C1"), ("nll", "dev", "C0")):
        values = np.load(exp / f"{name}.npy", allow_pickle=False)
        if np.isnan(values).all():
            continue  # there was no development set
        axes.plot(np.arange(len(values)), values, "o-", markersize=3, color=color, label=label)
    axes.set(xlabel="epoch (0: before training)", ylabel="negative log likelihood (nats)", ylim=(0, None))
    axes.locator_params(axis="x", integer=True)
    axes.legend(ncol=2)
    save(figure, path)


def draw_curves(
    curves: Mapping[str, Mapping[int, Sequence[float]]], xlabel: str, ylabel: str, path: Path, chance: float
) -> None:
    """Curves over a grid: the mean over seeds, a bar for the standard deviation and a dot for each seed.

    Args:
        curves: by label, the values of the seeds at each x.
        xlabel: what x is, with its unit.
        ylabel: what the values are, with their unit.
        path: where to.
        chance: the value of a network that has learnt nothing, drawn as a dotted line.
    """
    figure, axes = plt.subplots(figsize=(6.5, 5))
    markers = "osD^vP*X<>ph"
    for number, (label, points) in enumerate(curves.items()):
        xs = sorted(points)
        means, deviations = zip(
            *((np.mean(points[x]), np.std(points[x], ddof=len(points[x]) > 1)) for x in xs), strict=True
        )
        color, marker = f"C{number}", markers[number % len(markers)]
        axes.errorbar(xs, means, deviations, color=color, marker=marker, markersize=5, capsize=3, label=label)
        for x in xs:
            axes.plot([x] * len(points[x]), points[x], ".", color=color, markersize=3, alpha=0.6)
    axes.axhline(chance, color="0.5", linestyle=":", linewidth=1, label="chance")
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.locator_params(axis="x", integer=True)
    figure.legend(loc="outside lower center", ncol=2 if max(map(len, curves)) > 10 else 4)
    save(figure, path)


def _thinned(n: int, most: int = MANY) -> range:
    """Places of at most so many ticks among n classes, evenly spaced from the first one."""
    return range(0, n, -(-n // most))


def draw_confusion(matrix: np.ndarray, classes: Sequence[str], of: str, path: Path) -> None:
    """Confusion matrix (C, C) of pattern counts, rows the true and columns the predicted class.

    Args:
        matrix: the counts; written into the cells for up to 30 classes.
        classes: (C,) names; some are left out beside the axes where there are more than 30.
        of: which patterns.
        path: where to.
    """
    few = len(classes) <= MANY
    figure, axes = plt.subplots(figsize=(6.5, 6) if len(classes) <= 10 else (9, 8))
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    picture = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(picture, ax=axes, shrink=0.8, label="share of the true class")
    if few:
        size = min(8, 100 / len(classes))
        for row, column in np.ndindex(matrix.shape):
            color = "white" if share[row, column] > 0.5 else "black"
            axes.text(column, row, str(matrix[row, column]), ha="center", va="center", fontsize=size, color=color)
    ticks = _thinned(len(classes))
    names = [classes[tick] for tick in ticks]
    axes.set(xticks=ticks, yticks=ticks, xlabel="predicted class", ylabel="true class")
    long = max(map(len, names)) > (3 if len(classes) <= 10 else 1)
    axes.set_xticklabels(names, rotation=(45 if len(classes) <= 10 else 90) if long else 0)
    if long and len(classes) <= 10:
        plt.setp(axes.get_xticklabels(), ha="right")
    axes.set_yticklabels(names)
    axes.set_title(f"{of}: {np.trace(matrix)} of {matrix.sum()} patterns right")
    axes.grid(False)
    save(figure, path)


def draw_codes(points: np.ndarray, labels: np.ndarray, classes: Sequence[str], title: str, path: Path) -> None:
    """Points of a t-SNE (N, 2), coloured by class (N,): a legend for up to 20 classes, a colour bar for more."""
    figure, axes = plt.subplots(figsize=(7, 6))
    axes.set(xticks=[], yticks=[], xlabel="t-SNE 1", ylabel="t-SNE 2", title=title)
    if len(classes) > 20:
        last = len(classes) - 1
        dots = axes.scatter(*points.T, s=3, c=labels, cmap="turbo", vmin=0, vmax=last, linewidths=0)
        bar = figure.colorbar(dots, ax=axes, label="class")
        ticks = _thinned(len(classes), 12)
        bar.set_ticks(ticks, labels=[classes[tick] for tick in ticks])
    else:
        colors = plt.get_cmap("tab10" if len(classes) <= 10 else "tab20")
        for index, name in enumerate(classes):
            axes.scatter(*points[labels == index].T, s=3, color=colors(index), label=name, linewidths=0)
        axes.legend(markerscale=5, loc="center left", bbox_to_anchor=(1, 0.5), title="class")
    save(figure, path)


def draw_rates(onsets: Sequence[np.ndarray], duration: float, of: str, path: Path) -> None:
    """How active the cells of each hidden layer are: the spread of their mean rates over patterns.

    | rate of a cell = mean over N of its spikes / duration

    Args:
        onsets: (N, H) spikes of each hidden layer's cells, the lowest layer first.
        duration: of a presentation, T dt, ms.
        of: which patterns.
        path: where to.
    """
    means = [1e3 / duration * layer.mean(axis=0) for layer in onsets]  # Hz
    figure, axes = plt.subplots(figsize=(max(5.5, 1.5 + 1.1 * len(means)), 4.2))
    places = range(1, len(means) + 1)
    axes.violinplot(means, places, widths=0.8, showmeans=True, showextrema=False)
    top = 1.05 * max(float(cells.max()) for cells in means) or 1.0
    for place, cells in zip(places, means, strict=True):
        text = f"mean {cells.mean():.3g} Hz\nsilent {100 * (cells == 0).mean():.0f} %"
        axes.text(place, 1.02 * top, text, ha="center", va="bottom", fontsize=7)
    axes.set(xticks=places, xticklabels=[f"z{place}" for place in places], ylim=(0, 1.18 * top), title=of)
    axes.set(xlabel="hidden layer (silent: share of cells without a spike for any of the patterns)")
    axes.set(ylabel="mean rate of a cell (Hz)")
    save(figure, path)


def draw_raster(
    spikes: Mapping[str, np.ndarray],
    graded: Collection[str],
    image: np.ndarray | None,
    dt: float,
    title: str,
    path: Path,
) -> None:
    """Spikes of one pattern through all layers, and the mean rate of each cell: its spikes / (T dt).

    Args:
        spikes: (T, n) of each layer, from the input up: 1 where a cell fires.
        graded: layers that do not spike; their panels show the intensities in [0, 1] that they send.
        image: the pattern as a picture (height, width), shown in the lowest panel; or None.
        dt: length of a time step, ms.
        title: what was presented.
        path: where to.
    """
    layers = list(spikes.items())[::-1]
    heights = [max(1.0, min(2.5, array.shape[1] / 300)) for _, array in layers]
    figure, axes = plt.subplots(
        len(layers),
        2,
        figsize=(9, max(4.0, 1.4 * sum(heights))),
        sharex="col" if not graded else False,
        squeeze=False,
        gridspec_kw={"height_ratios": heights, "width_ratios": [1, 0.22]},
    )
    figure.suptitle(title)
    rates = {name: (1.0 if name in graded else 1e3 / dt) * array.mean(axis=0) for name, array in layers}
    top = 1.05 * max(float(rates[name].max()) for name, _ in layers if name not in graded) or 1.0
    lowest = [name for name, _ in layers if name not in graded][-1]
    for (name, array), (axis, rate_axis) in zip(layers, axes, strict=True):
        T, n = array.shape
        limits = {"xlim": (0, (T + 1) * dt), "ylim": (-0.5, n - 0.5)}
        if name in graded:
            extent = (0.5 * dt, (T + 0.5) * dt, -0.5, n - 0.5)
            axis.imshow(array.T, aspect="auto", origin="lower", extent=extent, cmap="gray_r", vmin=0, vmax=1)
            axis.grid(False)
            axis.set(ylabel=f"{name} intensity\ncell", **limits)
        else:
            step, cell = np.nonzero(array)
            axis.scatter((step + 1) * dt, cell, s=40 if n <= 20 else 0.8, marker="|" if n <= 20 else ".", color="black")
            axis.set(ylabel=f"{name}\ncell", **limits)
        if n <= 20:
            axis.set_yticks(range(n))
            axis.tick_params(axis="y", labelsize=7)
        if name != layers[-1][0]:
            axis.tick_params(labelbottom=False)
        rate_axis.stairs(rates[name], np.arange(n + 1) - 0.5, orientation="horizontal", fill=True, color="C0")
        rate_axis.set(xlim=(0, 1 if name in graded else top), yticks=[], ylim=(-0.5, n - 0.5))
        if name in graded:
            rate_axis.set_xlabel("intensity")
        elif name == lowest:
            rate_axis.set_xlabel("mean rate (Hz)")
        else:
            rate_axis.tick_params(labelbottom=False)
    axes[-1][0].set_xlabel("time (ms)")
    if image is not None:
        inset = axes[-1][0].inset_axes([0.87, 0.02, 0.12, 0.3])
        inset.imshow(image, cmap="gray_r")
        inset.set(xticks=[], yticks=[])
        inset.spines[:].set_visible(True)
    save(figure, path)


def draw_receptive_fields(weights: np.ndarray, shape: tuple[int, int], path: Path, rows: int = 8) -> None:
    """Incoming weights (D, H) of the rows x rows hidden cells with the largest norms, as pictures."""
    strongest = np.argsort(-np.linalg.norm(weights, axis=0))[: rows * rows]
    limit = float(np.quantile(np.abs(weights[:, strongest]), 0.995)) or 1.0
    figure, axes = plt.subplots(rows, rows, figsize=(8, 8))
    for axis in axes.flat:
        axis.set_axis_off()
    pictures = [
        axis.imshow(weights[:, cell].reshape(shape), cmap="RdBu_r", vmin=-limit, vmax=limit)
        for cell, axis in zip(strongest, axes.flat, strict=False)
    ]
    figure.colorbar(pictures[-1], ax=axes, shrink=0.6, label="weight")
    figure.suptitle(f"W1: receptive fields of the {len(strongest)} hidden cells with the largest weights")
    save(figure, path)
