"""What was predicted: confusion, calibration, misclassified patterns, and where the patterns of each class lie."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from exhibits.common.experiment.evaluation import Calibration
from exhibits.common.report.plots.style import COLORS, MARKERS, figure_of, own_axes, styled

MANY = 30  # classes, above which a picture does not name each of them
# Paul Tol's muted colours and a grey: ten that colour-blind people can tell apart.
TEN = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#888888")


def _thinned(n: int, most: int = MANY) -> range:
    """Places of at most so many ticks among n classes, evenly spaced from the first one."""
    return range(0, n, -(-n // most))


@styled
def draw_confusion(matrix: np.ndarray, classes: Sequence[str], of: str, *, axes: Axes | None = None) -> Axes:
    """Confusion matrix (C, C) of pattern counts, rows the true and columns the predicted class.

    Colours are those of the errors alone, as shares of the true class: the diagonal would drown them.

    Args:
        matrix: the counts; written into the cells for up to 30 classes.
        classes: (C,) names; some are left out beside the axes where there are more than 30.
        of: which patterns.
        axes: to draw into; a new figure if not given.
    """
    n = len(classes)
    axes = own_axes(axes, *((6.5, 6) if n <= 10 else (9, 8)))
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    errors = np.ma.masked_where(np.eye(n, dtype=bool), 100 * share)
    top = float(errors.max()) if errors.count() else 0.0
    picture = axes.imshow(errors, cmap=colormaps["YlOrRd"].with_extremes(bad="0.9"), vmin=0, vmax=top or 1.0)
    figure_of(axes).colorbar(picture, ax=axes, shrink=0.8, label="errors (% of the true class)")
    if n <= MANY:
        for row, column in np.ndindex(matrix.shape):
            if matrix[row, column] == 0:
                continue
            right = row == column
            color = "white" if not right and 100 * share[row, column] > 0.6 * top else "black"
            weight = "bold" if right else "normal"
            text = {"ha": "center", "va": "center", "fontsize": min(8, 100 / n)}
            axes.text(column, row, f"{matrix[row, column]}", color=color, fontweight=weight, **text)
    ticks = _thinned(n)
    names = [classes[tick] for tick in ticks]
    axes.set(xticks=ticks, yticks=ticks, xlabel="predicted class", ylabel="true class")
    long = max(map(len, names)) > (3 if n <= 10 else 1)
    slanted = long and n <= 10
    axes.set_xticklabels(names, rotation=(45 if slanted else 90) if long else 0, ha="right" if slanted else "center")
    axes.set_yticklabels(names)
    right, total = int(np.trace(matrix)), int(matrix.sum())
    axes.set_title(f"{of}: {100 * right / total:.2f} % correct ({right:,} of {total:,})")
    axes.grid(False)
    return axes


@styled
def draw_reliability(curves: Mapping[str, Calibration], of: str, *, axes: Axes | None = None) -> Axes:
    """Reliability diagram: how often predictions of each confidence are right, with Wilson's interval of one standard
    error; hollow, and not joined, where fewer than 10 patterns are in a bin.

    Args:
        curves: by label, such as before and after calibration; each label gets its expected calibration error (ECE).
        of: which patterns.
        axes: to draw into; a new figure if not given.
    """
    axes = own_axes(axes, 5.2, 5)
    axes.plot([0, 1], [0, 1], ":", color="0.4", label="perfectly calibrated")
    for number, (label, curve) in enumerate(curves.items()):
        some = curve.count > 0
        x, share, count = curve.confidence[some], curve.accuracy[some], curve.count[some]
        middle = (share + 0.5 / count) / (1 + 1 / count)
        half = np.sqrt(share * (1 - share) / count + 0.25 / count**2) / (1 + 1 / count)
        error = np.maximum(0, [share - (middle - half), middle + half - share])
        style: dict[str, Any] = {"color": COLORS[number], "clip_on": False}
        axes.errorbar(x, share, error, fmt="none", capsize=2, linewidth=1.2, **style)
        style |= {"marker": MARKERS[number], "markersize": 5}
        few = count < 10
        axes.plot(x[few], share[few], linestyle="none", markerfacecolor="white", **style)
        axes.plot(x[~few], share[~few], linewidth=1.2, label=f"{label}: ECE {100 * curve.ece:.2f} %", **style)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal", title=of)
    bins = max(len(curve.count) for curve in curves.values())
    axes.set(xlabel=f"probability of the predicted class, in {bins} bins", ylabel="share of predictions that are right")
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(0, -0.13),
        fontsize="small",
        title_fontsize="small",
        title="bars: 68 % intervals; hollow: fewer than 10 patterns",
    )  # below: points can be anywhere
    return axes


@styled
def draw_misclassified(
    pictures: np.ndarray,
    true: Sequence[str],
    predicted: Sequence[str],
    probability: Sequence[float] | np.ndarray,
    title: str,
    *,
    axes: Axes | None = None,
) -> Axes:
    """Patterns (n, height, width) whose class was not predicted, five in a row, with what was predicted instead.

    Args:
        pictures: the patterns, in [0, 1].
        true: (n,) names of their classes.
        predicted: (n,) names of the predicted classes.
        probability: (n,) of these.
        title: what is shown.
        axes: to draw into; a new figure if not given.
    """
    rows = max(1, -(-len(pictures) // 5))
    axes = own_axes(axes, 6.5, 0.8 + 1.3 * rows)
    height, width = pictures.shape[1:]
    scale = 0.8 / max(height, width)
    for n, picture in enumerate(pictures):
        row, column = divmod(n, 5)
        half = scale * width / 2
        extent = (column + 0.5 - half, column + 0.5 + half, row + 0.1 + scale * height, row + 0.1)
        axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1, extent=extent)
        text = f"{true[n]} \N{RIGHTWARDS ARROW} {predicted[n]}  {probability[n]:.2f}"
        if len(text) > 18:
            text = f"{true[n]}\n\N{RIGHTWARDS ARROW} {predicted[n]}  {probability[n]:.2f}"
        axes.text(column + 0.5, row + 0.08, text, ha="center", va="bottom", fontsize=8)
    if not len(pictures):
        axes.text(2.5, 0.5, "every pattern is predicted right", ha="center", va="center")
    axes.set(xlim=(0, 5), ylim=(rows, -0.15), aspect="equal", title=title)
    axes.set_axis_off()
    return axes


@styled
def draw_codes(
    points: np.ndarray, labels: np.ndarray, classes: Sequence[str], title: str, how: str, *, axes: Axes | None = None
) -> Axes:
    """Points in the plane (N, 2) that stand for rate codes, coloured by class (N,).

    Up to 20 classes are named where most of their points are, and in a legend; more have a colour bar.

    Args:
        points: such as t-SNE gives.
        labels: numbers of the classes.
        classes: (C,) names.
        title: what is shown.
        how: how the points came about, below them.
        axes: to draw into; a new figure if not given.
    """
    axes = own_axes(axes, 7, 6)
    axes.set(xticks=[], yticks=[], title=title, xlabel=how)
    if len(classes) > 20:
        last = len(classes) - 1
        dots = axes.scatter(*points.T, s=3, c=labels, cmap="turbo", vmin=0, vmax=last, linewidths=0)
        bar = figure_of(axes).colorbar(dots, ax=axes, label="class")
        ticks = _thinned(len(classes), 12)
        bar.set_ticks(ticks, labels=[classes[tick] for tick in ticks])
        return axes
    handles = []
    for index, name in enumerate(classes):
        chosen = points[labels == index]
        marker, size = ("o", 4) if index < len(TEN) else ("^", 7)
        color = TEN[index % len(TEN)]
        handles.append(axes.scatter(*chosen.T, s=size, marker=marker, color=color, linewidths=0))
        if len(chosen):
            nearest = np.abs(chosen - np.median(chosen, axis=0)).sum(axis=1).argmin()
            x, y = chosen[nearest]
            text = axes.text(x, y, name, fontweight="bold", fontsize=13, ha="center", va="center")
            text.set_path_effects([withStroke(linewidth=3, foreground="white")])
    # With explicit handles and names: by itself, Matplotlib leaves out labels that begin with an underscore.
    axes.legend(handles, classes, markerscale=4, loc="center left", bbox_to_anchor=(1, 0.5), title="class")
    return axes
