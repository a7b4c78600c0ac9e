"""Pictures of runs and studies. A function draws into the axes that it is given, or makes its own, and returns them.

    draw_confusion(matrix, classes, "test set", axes=my_axes)      # part of a figure of yours, in your style
    save(draw_confusion(matrix, classes, "test set"), path)        # a figure of its own, in the museum's style

Pictures of several panels are given a figure, or a part of one, and return their axes by name. Nothing here changes
Matplotlib's style or backend outside of a call.
"""

from exhibits.common.report.plots.cells import (
    draw_potentials,
    draw_raster,
    draw_rates,
    draw_receptive_fields,
)
from exhibits.common.report.plots.classes import (
    draw_codes,
    draw_confusion,
    draw_misclassified,
    draw_reliability,
)
from exhibits.common.report.plots.curves import (
    draw_accuracy,
    draw_likelihood,
    draw_seeds,
    label_ends,
)
from exhibits.common.report.plots.style import COLORS, MARKERS, data_uri, museum_style, new_figure, save

__all__ = [
    "COLORS",
    "MARKERS",
    "data_uri",
    "draw_accuracy",
    "draw_codes",
    "draw_confusion",
    "draw_likelihood",
    "draw_misclassified",
    "draw_potentials",
    "draw_raster",
    "draw_rates",
    "draw_receptive_fields",
    "draw_reliability",
    "draw_seeds",
    "label_ends",
    "museum_style",
    "new_figure",
    "save",
]
