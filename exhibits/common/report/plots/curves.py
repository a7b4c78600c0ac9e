"""Curves: learning by epoch, and studies' grids with several seeds for each point."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from exhibits.common.report.plots.style import COLORS, own_axes, styled

Values = Sequence[float] | np.ndarray
X = TypeVar("X", int, float)


@styled
def draw_likelihood(
    train: Values, dev: Values, best_epoch: int = 0, sample: int = 0, *, axes: Axes | None = None
) -> Axes:
    """Negative log likelihood of training and development set by epoch, on a logarithmic scale.

    Args:
        train: NLL of the training set (nats); element 0 was measured before training.
        dev: of the development set; all NaN if there was none.
        best_epoch: the epoch that was kept; 0 for none.
        sample: patterns of the training set that its values were measured on.
        axes: to draw into; a new figure if not given.
    """
    axes = own_axes(axes, 5.5, 4.2)
    values = _by_epoch(axes, train, dev, best_epoch, sample, first=0)
    axes.set(xlabel="epoch (0: before training)", ylabel="negative log likelihood (nats)")
    if (values > 0).all():
        axes.set_yscale("log")
        span = values.max() / values.min()
        ticks = (1, 1.5, 2, 3, 4, 5, 7) if span < 10 else (1, 2, 5) if span < 100 else (1, 3)
        axes.yaxis.set_major_locator(LogLocator(subs=ticks))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    return axes


@styled
def draw_accuracy(
    train: Values, dev: Values, best_epoch: int = 0, sample: int = 0, *, axes: Axes | None = None
) -> Axes:
    """Accuracy of training and development set by epoch, from the first one on; what it was before is in the legend.

    Args:
        train: shares of the training patterns that are predicted right; element 0 was measured before training.
        dev: of the development set; all NaN if there was none.
        best_epoch: the epoch that was kept; 0 for none.
        sample: patterns of the training set that its values were measured on.
        axes: to draw into; a new figure if not given.
    """
    axes = own_axes(axes, 5.5, 4.2)
    _by_epoch(
        axes, 100 * np.asarray(train, float), 100 * np.asarray(dev, float), best_epoch, sample, first=1, unit=" %"
    )
    axes.set(xlabel="epoch", ylabel="accuracy (%)")
    low, high = axes.get_ylim()
    if (missing := 1.0 - (high - low)) > 0:  # percentage points: differences of a few hundredths mean nothing
        axes.set_ylim(low - missing / 2, high + missing / 2)
    return axes


def _by_epoch(
    axes: Axes, train: Values, dev: Values, best_epoch: int, sample: int, first: int, unit: str = ""
) -> np.ndarray:
    """Both curves and the epoch that was kept; gives all values that were drawn."""
    drawn, has_dev = [], not np.isnan(np.asarray(dev, float)).all()
    what = f"train ({sample:,} patterns)" if sample else "train"
    for label, values, color, line in ((what, train, COLORS[1], "s--"), ("dev", dev, COLORS[0], "o-")):
        values = np.asarray(values, float)
        if np.isnan(values).all():
            continue  # there was no development set
        shown = first if len(values) > first else 0
        if shown:
            label += f", {values[0]:.1f}{unit} before training"
        epochs = np.arange(shown, len(values))
        axes.plot(epochs, values[shown:], line, markersize=3, linewidth=1.3, color=color, label=label)
        drawn.append(values[shown:])
    if 0 < best_epoch < len(train):
        why = "the best on dev" if has_dev else "the last"
        axes.axvline(best_epoch, color="0.4", linestyle=":", linewidth=1.2, label=f"epoch {best_epoch}, {why}")
    if first == len(train) - 1:  # a single point: around it, a range that has whole numbers
        axes.set_xlim(first - 1, first + 1)
    axes.locator_params(axis="x", integer=True)
    below = {"loc": "upper left", "bbox_to_anchor": (0, -0.16), "fontsize": "small"}  # the curves can be anywhere
    legend = axes.legend(title="after each epoch, without learning", **below)
    legend.set(alignment="left")
    legend.get_title().set_fontsize("small")
    return np.concatenate(drawn)


def draw_seeds(axes: Axes, points: Mapping[X, Sequence[float]], label: str, color: str, marker: str = "o") -> None:
    """A curve over a grid: mean and standard deviation over seeds, and a dot for each seed.

    A curve of single seeds has no bars; it is dashed, with hollow markers.

    Args:
        axes: to draw into.
        points: values of the seeds at each x.
        label: of the curve.
        color: of the curve.
        marker: of the means.
    """
    xs = sorted(points)
    means = [float(np.mean(points[x])) for x in xs]
    if all(len(points[x]) == 1 for x in xs):
        axes.plot(xs, means, f"{marker}--", color=color, markerfacecolor="white", markersize=5, label=label)
        return
    deviations = [float(np.std(points[x], ddof=len(points[x]) > 1)) for x in xs]
    bars: dict[str, Any] = {"color": color, "marker": marker, "markersize": 5, "capsize": 3}
    axes.errorbar(xs, means, deviations, label=label, **bars)
    for x in xs:
        axes.plot([x] * len(points[x]), points[x], ".", color=color, markersize=3, alpha=0.6)


def label_ends(axes: Axes, ends: Mapping[str, tuple[float, float, str]], gap: float = 0.055) -> None:
    """Names curves at their right ends, so that no legend is needed.

    Args:
        axes: whose limits are final.
        ends: by label, x and y of the end and the colour.
        gap: least distance of two labels, as a share of the axes' height.
    """
    if not ends:
        return
    to_axes = axes.transData + axes.transAxes.inverted()
    places = {label: to_axes.transform((x, y)) for label, (x, y, _) in ends.items()}
    order = sorted(places, key=lambda label: places[label][1])
    heights = np.array([places[label][1] for label in order])
    for _ in range(100):  # neighbours that are too close push each other apart
        for n in range(len(heights) - 1):
            lacking = gap - (heights[n + 1] - heights[n])
            if lacking > 1e-9:
                heights[n] -= lacking / 2
                heights[n + 1] += lacking / 2
    steps = gap * np.arange(len(heights))
    heights = np.maximum(np.minimum(heights, 1 - steps[::-1]), steps)  # none is above the axes, or below
    right = max(place[0] for place in places.values())
    for label, height in zip(order, heights, strict=True):
        axes.text(
            right + 0.02, height, label, transform=axes.transAxes, color=ends[label][2], va="center", fontsize="small"
        )
