"""What pictures say, read off the axes."""

import subprocess
import sys
import warnings
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from exhibits.common.experiment.evaluation import calibration
from exhibits.common.report import plots
from exhibits.common.report.plots import style
from exhibits.common.report.plots.style import figure_of


@pytest.fixture(autouse=True)
def strict():
    """Warnings of Matplotlib are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def laid_out(drawn: Any) -> Any:
    """What was drawn, once its figure has been laid out as for a file."""
    figure_of(drawn).draw_without_rendering()
    return drawn


def texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def legend(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_the_best_epoch_is_marked_on_a_logarithmic_axis():
    train, dev = [2.3, 0.5, 0.2, 0.1], [2.3, 0.6, 0.3, 0.4]
    axes = laid_out(plots.draw_likelihood(train, dev, best_epoch=2, sample=10_000))
    first, second, best = axes.get_lines()
    np.testing.assert_array_equal(first.get_xydata(), np.c_[range(4), train])
    np.testing.assert_array_equal(second.get_ydata(), dev)
    assert set(best.get_xdata()) == {2} and axes.get_yscale() == "log"
    assert legend(axes) == ["train (10,000 patterns)", "dev", "epoch 2, the best on dev"]
    assert axes.get_legend().get_title().get_text() == "after each epoch, without learning"


def test_accuracy_is_in_percent_and_begins_after_the_first_epoch():
    axes = laid_out(plots.draw_accuracy([0.1, 0.9, 0.95], [0.08, 0.85, 0.9], best_epoch=2))
    train, dev, _ = axes.get_lines()
    np.testing.assert_allclose(train.get_xydata(), [[1, 90], [2, 95]])
    np.testing.assert_allclose(dev.get_xydata(), [[1, 85], [2, 90]])
    assert legend(axes)[:2] == ["train, 10.0 % before training", "dev, 8.0 % before training"]


def test_curves_without_a_development_set_or_with_perfect_scores():
    axes = laid_out(plots.draw_likelihood([2.0, 0.0], [np.nan, np.nan], best_epoch=1))
    assert legend(axes) == ["train", "epoch 1, the last"] and axes.get_yscale() == "linear"


@pytest.mark.parametrize("n_classes", [2, 10, 20, 30, 31, 200])
def test_many_classes(n_classes):
    classes = [f"class {n}" for n in range(n_classes)]
    labels = np.arange(3 * n_classes) % n_classes
    axes = laid_out(plots.draw_confusion(3 * np.eye(n_classes, dtype=int), classes, "dev set"))
    points = np.random.default_rng(0).normal(size=(len(labels), 2))
    codes = laid_out(plots.draw_codes(points, labels, classes, "codes", "t-SNE"))
    assert axes.get_title() == f"dev set: 100.00 % correct ({3 * n_classes} of {3 * n_classes})"
    assert len(axes.texts) == (n_classes if n_classes <= 30 else 0)
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert len(names) <= 30 and names[:2] == [classes[0], classes[-(-n_classes // 30)]]
    assert (codes.get_legend() is None) == (n_classes > 20)
    assert len(figure_of(codes).axes) == (2 if n_classes > 20 else 1)
    assert codes.get_xlabel() == "t-SNE" and texts(codes) == (classes if n_classes <= 20 else [])


def test_colours_of_the_confusion_matrix_are_those_of_the_errors():
    # 90 of 100 and 30 of 50 right: 10 % and 40 % errors.
    axes = laid_out(plots.draw_confusion(np.array([[90, 10], [20, 30]]), "ab", "test set"))
    assert axes.get_title() == "test set: 80.00 % correct (120 of 150)"
    shown = axes.images[0].get_array()
    np.testing.assert_array_equal(shown.mask, np.eye(2, dtype=bool))
    np.testing.assert_allclose(shown[[0, 1], [1, 0]], [10, 40])
    assert axes.images[0].get_clim() == (0, 40) and texts(axes) == ["90", "10", "20", "30"]


def test_predictions_are_told_from_true_classes_and_shares_from_probabilities():
    confusion = laid_out(plots.draw_confusion(np.array([[9, 1], [2, 8]]), "ab", "test set"))
    assert (confusion.get_xlabel(), confusion.get_ylabel()) == ("predicted class", "true class")
    number = {text.get_text(): text.get_position() for text in confusion.texts}
    assert number["1"] == (1, 0) and number["2"] == (0, 1)  # of a, one as b: in the row of a
    curve = calibration(np.full(4, 0.75), np.array([1, 1, 1, 0], bool), bins=2)
    reliability = plots.draw_reliability({"softmax": curve}, "dev set")
    assert reliability.get_xlabel() == "probability of the predicted class, in 2 bins"
    assert reliability.get_ylabel() == "share of predictions that are right"


def test_no_two_classes_look_alike():
    n = 20
    axes = laid_out(plots.draw_codes(np.eye(n)[:, :2], np.arange(n), [str(k) for k in range(n)], "codes", "how"))
    looks = [(dots.get_facecolor().tobytes(), dots.get_paths()[0].vertices.tobytes()) for dots in axes.collections]
    assert len(looks) == len(set(looks)) == n
    shown: Any = axes.get_legend()
    assert [tuple(each.get_facecolor()[0]) for each in shown.legend_handles] == [
        tuple(each.get_facecolor()[0]) for each in axes.collections
    ]


def test_a_class_whose_name_begins_with_an_underscore_is_in_the_legend():
    axes = plots.draw_codes(np.eye(2), np.array([0, 1]), ["_rest", "one"], "codes", "how")
    legend = axes.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == ["_rest", "one"]


def test_classes_are_named_among_their_points():
    points = np.array([[0.0, 0.0], [0.1, 0.0], [0.2, 0.1], [5.0, 5.0]])
    axes = laid_out(plots.draw_codes(points, np.array([0, 0, 0, 1]), ["zero", "one"], "codes", "how"))
    assert [text.get_position() for text in axes.texts] == [(0.1, 0.0), (5.0, 5.0)]


def test_reliability_shows_shares_and_the_calibration_error():
    # Two bins: 4 predictions at 0.25, of which 2 are right; 4 at 0.75, of which 3 are. ECE (4 / 8) 0.25 = 12.5 %.
    confidence, correct = np.repeat([0.25, 0.75], 4), np.array([1, 1, 0, 0, 1, 1, 1, 0], bool)
    axes = laid_out(plots.draw_reliability({"softmax": calibration(confidence, correct, bins=2)}, "dev set"))
    hollow, joined = axes.get_lines()[-2:]
    np.testing.assert_allclose(hollow.get_xydata(), [[0.25, 0.5], [0.75, 0.75]])
    assert not len(joined.get_xydata())  # as there are fewer than 10 patterns in each
    assert legend(axes) == ["perfectly calibrated", "softmax: ECE 12.50 %"]
    (bars,) = axes.containers[0].lines[2]
    # Wilson's interval of 2 in 4: 0.5 -+ sqrt(0.25 / 4 + 0.25 / 16) / 1.25; of 3 in 4, around (0.75 + 0.125) / 1.25.
    ends = [segment[:, 1] for segment in bars.get_segments()]
    half = np.array([np.sqrt(0.078125), np.sqrt(0.0625)]) / 1.25
    np.testing.assert_allclose(ends, [[0.5 - half[0], 0.5 + half[0]], [0.7 - half[1], 0.7 + half[1]]])
    sure = calibration(np.full(20, 0.9), np.ones(20, bool), bins=2)
    axes = laid_out(plots.draw_reliability({"softmax": sure}, "dev set"))
    ((segment,),) = (bars.get_segments() for bars in axes.containers[0].lines[2])
    np.testing.assert_allclose(segment[:, 1], [20 / 21, 1])  # not of no length, though all are right
    np.testing.assert_allclose(axes.get_lines()[-1].get_xydata(), [[0.9, 1]])


def test_misclassified_patterns_say_what_was_predicted():
    pictures = np.stack([np.zeros((2, 3)), np.full((2, 3), 0.5)])
    axes = laid_out(plots.draw_misclassified(pictures, ["7", "a long name"], ["2", "another one"], [0.5, 0.913], "two"))
    assert texts(axes) == ["7 \N{RIGHTWARDS ARROW} 2  0.50", "a long name\n\N{RIGHTWARDS ARROW} another one  0.91"]
    np.testing.assert_array_equal(axes.images[1].get_array(), pictures[1])
    left, right, bottom, top = axes.images[1].get_extent()
    np.testing.assert_allclose((right - left) / (bottom - top), 3 / 2)
    nothing = laid_out(plots.draw_misclassified(np.zeros((0, 2, 3)), [], [], [], "none"))
    assert texts(nothing) == ["every pattern is predicted right"] and not nothing.images


def test_raster_shows_spikes_and_hertz():
    # z1's cell 2 fires in steps 1 and 4 of 4, of 0.5 ms each: 2 spikes in 2 ms, 1000 Hz.
    spikes = {"z0": np.full((4, 5), 0.25), "z1": np.zeros((4, 3)), "z2": np.zeros((4, 200))}
    spikes["z1"][[0, 3], 2] = 1
    drawn = laid_out(plots.draw_raster(spikes, {"z0"}, None, 0.5, "title", burn_in=2))
    np.testing.assert_array_equal(drawn["z1"].collections[0].get_offsets(), [[0.5, 2], [2.0, 2]])
    np.testing.assert_array_equal(drawn["z1 rates"].patches[0].get_data().values, [0, 0, 1000])
    assert drawn["z1 rates"].get_xlabel() == "mean rate (Hz)" and drawn["z1"].get_ylabel() == "z1\ncell"
    assert not drawn["z0"].collections and drawn["z0"].images[0].get_array().shape == (5, 4)
    assert drawn["z0 rates"].get_xlabel() == "intensity" and "intensity" in drawn["z0"].get_ylabel()
    np.testing.assert_array_equal(drawn["z0 rates"].patches[0].get_data().values, np.full(5, 0.25))
    shaded = drawn["z1"].patches[0].get_extents().transformed(drawn["z1"].transData.inverted())
    np.testing.assert_allclose((shaded.x0, shaded.x1), (0, 1.25), atol=1e-9)  # both steps of the burn-in, no third
    assert len(drawn["z2"].patches) == 1 and not drawn["z0"].patches  # spikes are shaded, intensities not
    assert drawn["z0"].get_xlabel() == "time (ms)" and "image" not in drawn
    few = {"z0": np.zeros((4, 30)), "z1": np.zeros((4, 3))}  # so many cells in so few steps that they are an image
    few["z0"][1, 0] = 1
    (image,) = laid_out(plots.draw_raster(few, set(), None, 0.5, "title"))["z0"].images
    assert image.origin == "lower" and image.get_array()[0, 1] == 1  # cell 0 at the bottom, as in the other panels
    assert image.get_extent() == [0.25, 2.25, -0.5, 29.5]


def test_raster_of_silence_has_panels_too_and_the_pattern_beside_them():
    spikes = {"z0": np.zeros((4, 5)), "z1": np.zeros((4, 3))}
    image = np.arange(6.0).reshape(2, 3)
    drawn = laid_out(plots.draw_raster(spikes, set(), image, 1.0, "title", in_sequence=True))
    assert "own window" in drawn["z0"].get_xlabel()
    np.testing.assert_array_equal(drawn["image"].images[0].get_array(), image)
    assert drawn["image"].get_position().x0 > drawn["z0 rates"].get_position().x1


def test_potentials_show_threshold_and_spikes():
    v = np.array([[0.2, 0.1], [0.0, 0.2], [0.3, 0.3]])
    spikes = np.array([[0, 0], [1, 0], [0, 0]])
    drawn = laid_out(plots.draw_potentials(v, spikes, 0.4, 0.5, "z1", cells=[7, 3]))
    first = drawn["cell 7"]
    line = [[0, 0], [0.5, 0.2], [1.0, 0.4], [1.0, 0], [1.5, 0.3]]  # up to the threshold, and down
    np.testing.assert_allclose(first.get_lines()[0].get_xydata(), line)
    np.testing.assert_array_equal(first.get_lines()[1].get_ydata(), [0.4, 0.4])
    (spike,) = first.collections[0].get_segments()
    assert set(spike[:, 0]) == {1.0} and spike[:, 1].min() == 0.4
    assert not drawn["cell 3"].collections[0].get_segments()
    assert drawn["cell 3"].get_title(loc="left") == "cell 3, 0 spikes"
    assert "burn-in" not in legend(first)
    first = laid_out(plots.draw_potentials(v, spikes, 0.4, 0.5, "z1", burn_in=2))["cell 0"]
    shaded = first.patches[0].get_extents().transformed(first.transData.inverted())
    np.testing.assert_allclose((shaded.x0, shaded.x1), (0, 1.25), atol=1e-9)
    assert legend(first) == ["membrane potential", "threshold", "spike", "burn-in"]


def test_rates_are_a_histogram_in_hertz():
    # Cell 0 spikes 1 and 3 times in 25 ms: 80 Hz in the mean; cell 1 never.
    axes = laid_out(plots.draw_rates([np.array([[1, 0], [3, 0]]), np.zeros((2, 4))], 25.0, "test set"))
    assert texts(axes) == ["mean 40 Hz\nsilent 50 %\nof 2 cells", "mean 0 Hz\nsilent 100 %\nof 4 cells"]
    assert axes.get_title() == "test set" and "(Hz)" in axes.get_ylabel() and "silent:" in axes.get_xlabel()
    widths, edges, place = axes.patches[0].get_data()
    assert place == 0 and np.count_nonzero(widths) == 2 and edges[0] == 0 and edges[-1] > 80
    assert widths[0] == widths[np.searchsorted(edges, 80) - 1] == 0.425  # half of the cells; all of the other layer's
    assert axes.patches[1].get_data().values[0] == 1 + 0.85 and "at most 100 %" in axes.get_xlabel()
    uneven = laid_out(plots.draw_rates([np.array([[0, 0, 3]])], 25.0, "test set"))
    np.testing.assert_allclose(uneven.get_lines()[0].get_ydata(), [40, 40])  # the mean, not the median


def test_receptive_fields_are_those_of_the_largest_norm_at_equal_gaps():
    weights = np.zeros((6, 5))
    weights[:, 3], weights[:, 1] = 2.0, -1.0
    axes = laid_out(plots.draw_receptive_fields(weights, (2, 3), "current per spike", rows=2))
    mosaic = axes.images[0].get_array()
    assert mosaic.shape == (5, 7) and (mosaic[:2, :3] == 2).all() and (mosaic[:2, 4:] == -1).all()
    low, middle, high = axes.images[0].cmap([0.0, 0.5, 1.0])[:, [0, 2]]  # red and blue of -, 0, +
    assert low[0] < low[1] and high[0] > high[1] and abs(middle[0] - middle[1]) < 0.05
    assert np.sum(axes.images[0].get_clim()) == 0  # no weight is white
    assert mosaic.mask[2].all() and mosaic.mask[:, 3].all()
    assert axes.get_title() == "W1: incoming weights of the 4 of 5 hidden cells\nof largest norm"
    assert figure_of(axes).axes[1].get_ylabel() == "weight (current per spike)"


def test_single_seeds_have_no_bars():
    axes: Any = Figure().subplots()
    plots.draw_seeds(axes, {3: [1.0, 3.0], 4: [5.0, 5.0]}, "two", "#000000")
    plots.draw_seeds(axes, {3: [1.0], 4: [2.0]}, "one", "#000000")
    assert len(axes.containers) == 1
    (bars,) = axes.containers[0].lines[2]
    np.testing.assert_allclose(bars.get_segments()[0][:, 1], 2 + np.sqrt(2) * np.array([-1, 1]))
    assert axes.get_lines()[-1].get_linestyle() == "--"


def test_labels_at_the_ends_of_curves_do_not_overlap():
    axes: Any = Figure().subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    plots.label_ends(axes, {})  # nothing to name
    plots.label_ends(axes, {"a": (1, 0.5, "r"), "b": (1, 0.51, "k"), "c": (1, 0.1, "g"), "d": (1, 1.0, "b")}, gap=0.1)
    heights = {text.get_text(): text.get_position()[1] for text in axes.texts}
    assert heights["b"] - heights["a"] > 0.0999 and heights["a"] < 0.5 < heights["b"]
    np.testing.assert_allclose([heights["c"], heights["d"]], [0.1, 1.0])
    assert {text.get_text(): text.get_color() for text in axes.texts} == {"a": "r", "b": "k", "c": "g", "d": "b"}


def test_a_callers_axes_are_drawn_into_in_the_callers_style():
    figure = Figure()
    mine, other = figure.subplots(1, 2)
    assert plots.draw_likelihood([2.0, 1.0], [2.0, 1.0], axes=mine) is mine and mine.get_lines()
    assert not other.get_lines() and figure.get_layout_engine() is None
    parts: Any = Figure().subfigures(1, 2)
    drawn = plots.draw_potentials(np.zeros((3, 1)), np.zeros((3, 1)), 1.0, 1.0, "mine", figure=parts[1])
    assert drawn["cell 0"].figure is parts[1]


def test_nothing_of_matplotlib_is_changed():
    code = (
        "import matplotlib; matplotlib.use('svg'); before = dict(matplotlib.rcParams)\n"
        "from exhibits.common.report import plots\n"
        "import io, pathlib, tempfile, sys\n"
        "plots.save(plots.draw_likelihood([2, 1], [2, 1]), pathlib.Path(tempfile.mkdtemp()) / 'a.png')\n"
        "assert dict(matplotlib.rcParams) == before and matplotlib.get_backend() == 'svg'\n"
        "assert 'matplotlib.pyplot' not in sys.modules or not matplotlib.pyplot.get_fignums()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("ending", "start"), [("png", b"\x89PNG"), ("jpg", b"\xff\xd8"), ("pdf", b"%PDF"), ("svg", b"<?xml")]
)
def test_the_ending_says_which_format(ending, start, tmp_path):
    axes = plots.draw_likelihood([2.0, 1.0], [2.0, 1.0])
    plots.save(axes, str(tmp_path / f"a.{ending}"), "seed 7")
    assert (tmp_path / f"a.{ending}").read_bytes().startswith(start)
    assert figure_of(axes).get_supxlabel() == "seed 7"


def test_accuracies_that_hardly_differ_look_alike():
    low, high = plots.draw_accuracy([0.1, 0.9067], [0.1, 0.9101]).get_ylim()
    assert high - low == pytest.approx(1) and low < 90.67 < 91.01 < high
    low, high = plots.draw_accuracy([0.1, 0.5, 0.9], [0.1, 0.5, 0.9]).get_ylim()
    assert low < 50 < 90 < high < 95


def test_pictures_have_300_dots_per_inch(tmp_path):
    plots.save(plots.draw_likelihood([2.0, 1.0], [2.0, 1.0]), tmp_path / "a.png")
    height, width, _ = matplotlib.image.imread(tmp_path / "a.png").shape
    np.testing.assert_allclose([width, height], [300 * 5.5, 300 * 4.2], rtol=0.1)


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path):
    axes = plots.draw_likelihood([2.0, 1.0], [2.0, 1.0])
    with pytest.raises(ValueError, match="Format"):
        plots.save(axes, tmp_path / "a.nonsense")
    assert not list(tmp_path.iterdir())


def test_characters_that_no_font_has_are_named_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(style, "_REPORTED", set())
    axes = style.new_figure(2, 2).subplots()
    axes.set_title("cat \U000f0000")  # for private use: no font has it
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        style.save(axes, tmp_path / "a.png")
        style.save(axes, tmp_path / "b.png")
    said = capsys.readouterr().err
    assert said.startswith("No font in use has \U000f0000,") and said.count("\n") == 1


def test_a_single_epoch_has_whole_numbers_beside_it():
    axes = plots.draw_accuracy([0.1, 0.8], [0.1, 0.7])
    assert axes.get_xlim() == (0, 2) and all(tick == int(tick) for tick in axes.get_xticks())
