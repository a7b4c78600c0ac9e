"""The pictures of the museum; each function draws one and saves it whole or not at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from exhibits.common.files import replacing

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
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(ncol=2)
    save(figure, path)


def draw_curves(
    curves: Mapping[str, Mapping[float, Sequence[float]]], xlabel: str, ylabel: str, path: Path, chance: float
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
    axes.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(loc="outside lower center", ncol=2 if max(map(len, curves)) > 10 else 4)
    save(figure, path)


def draw_confusion(matrix: np.ndarray, classes: Sequence[str], path: Path) -> None:
    """Confusion matrix (C, C) of pattern counts, rows the true and columns the predicted class."""
    figure, axes = plt.subplots(figsize=(6.5, 6))
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(matrix.shape):
        color = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, matrix[row, column], ha="center", va="center", fontsize=8, color=color)
    ticks = range(len(classes))
    axes.set(xticks=ticks, yticks=ticks, xlabel="predicted class", ylabel="true class")
    long = max(map(len, classes)) > 3
    axes.set_xticklabels(classes, rotation=45 if long else 0, ha="right" if long else "center")
    axes.set_yticklabels(classes)
    axes.set_title(f"{np.trace(matrix)} of {matrix.sum()} patterns right")
    axes.grid(False)
    save(figure, path)


def draw_codes(points: np.ndarray, labels: np.ndarray, classes: Sequence[str], title: str, path: Path) -> None:
    """Points of a t-SNE (N, 2), coloured by class (N,)."""
    figure, axes = plt.subplots(figsize=(7, 6))
    colors = plt.get_cmap("tab10")
    for index, name in enumerate(classes):
        chosen = labels == index
        axes.scatter(*points[chosen].T, s=3, color=colors(index % 10), label=name, linewidths=0)
    axes.set(xticks=[], yticks=[], xlabel="t-SNE 1", ylabel="t-SNE 2", title=title)
    axes.legend(markerscale=5, loc="center left", bbox_to_anchor=(1, 0.5), title="class")
    save(figure, path)


def draw_rates(rates: Sequence[np.ndarray], path: Path) -> None:
    """How active the cells of each hidden layer are: the spread of their mean rates over patterns.

    Args:
        rates: (N, H) rate codes, spikes per step, of each hidden layer, the lowest first.
        path: where to.
    """
    means = [layer.mean(axis=0) for layer in rates]
    figure, axes = plt.subplots(figsize=(max(4.5, 1.5 + 1.1 * len(rates)), 4))
    places = range(1, len(rates) + 1)
    axes.violinplot(means, places, widths=0.8, showmeans=True, showextrema=False)
    top = 1.05 * max(float(cells.max()) for cells in means) or 1.0
    for place, cells in zip(places, means, strict=True):
        text = f"mean {cells.mean():.3f}\nsilent {100 * (cells == 0).mean():.0f} %"
        axes.text(place, 1.02 * top, text, ha="center", va="bottom", fontsize=7)
    axes.set(xticks=places, xticklabels=[f"z{place}" for place in places], ylim=(0, 1.18 * top))
    axes.set(xlabel="hidden layer", ylabel="mean rate of a cell (spikes per step)")
    save(figure, path)


def draw_raster(spikes: Mapping[str, np.ndarray], image: np.ndarray | None, dt: float, title: str, path: Path) -> None:
    """Spikes of one pattern through all layers.

    Args:
        spikes: a (T, n) array of 0 and 1 (or of rates) for each layer, from the input up.
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
        figsize=(9, 1.4 * sum(heights)),
        sharex="col",
        gridspec_kw={"height_ratios": heights, "width_ratios": [1, 0.22]},
    )
    figure.suptitle(title)
    for (name, array), (axis, rate_axis) in zip(layers, axes, strict=True):
        step, unit = np.nonzero(array)
        dense = array.shape[1] <= 20
        axis.scatter((step + 1) * dt, unit, s=40 if dense else 0.8, marker="|" if dense else ".", color="black")
        axis.set(ylabel=f"{name}\nunit", xlim=(0, (len(array) + 1) * dt), ylim=(-0.5, array.shape[1] - 0.5))
        if dense:
            axis.set_yticks(range(array.shape[1]))
            axis.tick_params(axis="y", labelsize=7)
        rate_axis.barh(np.arange(array.shape[1]), array.mean(axis=0), height=1.0, color="C0")
        rate_axis.set(
            xlim=(0, 1), xticks=[0, 0.5, 1], xticklabels=["0", "", "1"], yticks=[], ylim=(-0.5, array.shape[1] - 0.5)
        )
    axes[-1][0].set_xlabel("time (ms)")
    axes[-1][1].set_xlabel("spikes per step")
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
    for cell, axis in zip(strongest, axes.flat, strict=False):
        picture = axis.imshow(weights[:, cell].reshape(shape), cmap="RdBu_r", vmin=-limit, vmax=limit)
    figure.colorbar(picture, ax=axes, shrink=0.6, label="weight")
    figure.suptitle(f"W1: receptive fields of the {len(strongest)} hidden cells with the largest weights")
    save(figure, path)
