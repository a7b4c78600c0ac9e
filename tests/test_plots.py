"""What pictures say, read off the figures before they are written."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from exhibits.common.report import plots

NOWHERE = Path("nowhere.jpg")


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn, laid out as for a file."""
    drawn = []

    def keep(figure, path):
        figure.canvas.draw()
        drawn.append(figure)
        plots.plt.close(figure)

    monkeypatch.setattr(plots, "save", keep)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield drawn


@pytest.mark.parametrize("n_classes", [2, 10, 30, 31, 200])
def test_many_classes(figures, n_classes):
    classes = [f"class {n}" for n in range(n_classes)]
    labels = np.arange(3 * n_classes) % n_classes
    plots.draw_confusion(3 * np.eye(n_classes, dtype=int), classes, "dev set", NOWHERE)
    plots.draw_codes(np.random.default_rng(0).normal(size=(len(labels), 2)), labels, classes, "codes", NOWHERE)
    confusion, codes = figures
    axes = confusion.axes[0]
    assert axes.get_title() == f"dev set: {3 * n_classes} of {3 * n_classes} patterns right"
    assert len(axes.texts) == (n_classes**2 if n_classes <= 30 else 0)
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert len(names) <= 30 and names[:2] == [classes[0], classes[-(-n_classes // 30)]]
    assert (codes.axes[0].get_legend() is None) == (n_classes > 20)
    assert len(codes.axes) == (2 if n_classes > 20 else 1)


def test_raster_shows_spikes_and_hertz(figures):
    # z1's cell 2 fires in steps 1 and 4 of 4, of 0.5 ms each: 2 spikes in 2 ms, 1000 Hz.
    spikes = {"z0": np.full((4, 5), 0.25), "z1": np.zeros((4, 3)), "z2": np.zeros((4, 200))}
    spikes["z1"][[0, 3], 2] = 1
    plots.draw_raster(spikes, {"z0"}, None, 0.5, "title", NOWHERE)
    (_, _), (z1, rate), (z0, intensity) = np.reshape(figures[0].axes, (3, 2))
    np.testing.assert_array_equal(z1.collections[0].get_offsets(), [[0.5, 2], [2.0, 2]])
    np.testing.assert_array_equal(rate.patches[0].get_data().values, [0, 0, 1000])
    assert rate.get_xlabel() == "mean rate (Hz)" and z1.get_ylabel() == "z1\ncell"
    assert not z0.collections and z0.images[0].get_array().shape == (5, 4)
    assert intensity.get_xlabel() == "intensity" and "intensity" in z0.get_ylabel()
    np.testing.assert_array_equal(intensity.patches[0].get_data().values, np.full(5, 0.25))


def test_raster_of_silence_has_panels_too(figures):
    plots.draw_raster({"z0": np.zeros((4, 5)), "z1": np.zeros((4, 3))}, set(), np.zeros((2, 2)), 1.0, "title", NOWHERE)
    assert figures[0].axes[-1].get_xlabel() == "mean rate (Hz)"


def test_rates_are_in_hertz(figures):
    # Cell 0 spikes 1 and 3 times in 25 ms: 80 Hz in the mean; cell 1 never.
    plots.draw_rates([np.array([[1, 0], [3, 0]]), np.zeros((2, 4))], 25.0, "test set", NOWHERE)
    axes = figures[0].axes[0]
    assert [text.get_text() for text in axes.texts] == ["mean 40 Hz\nsilent 50 %", "mean 0 Hz\nsilent 100 %"]
    assert axes.get_title() == "test set" and "(Hz)" in axes.get_ylabel() and "silent:" in axes.get_xlabel()


def test_any_backend_in_the_environment():
    """ngc-learn imports Matplotlib, which refuses names that it does not know."""
    code = "import exhibits.common.report.plots, exhibits.common.circuit, matplotlib; print(matplotlib.get_backend())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"MPLBACKEND": "nonsense"}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().lower() == "agg"
