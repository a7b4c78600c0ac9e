"""What the studies train for a task, and their figures, from the rows that are there; rows that wait for others'."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import make_patterns, within_seconds
from test_bad_input import start
from test_studies import FOLDERS, GLSNN, STUDIES, TOY, run_toy

from exhibits.bfa_snn.backprop import Angles
from exhibits.common.data.loading import Patterns
from exhibits.common.experiment.schema import Tally
from exhibits.common.experiment.studies import StudyConfig
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import locked, read_json
from exhibits.common.system.places import REPOSITORY
from exhibits.common.system.scripts import load_script

FIGURES = {
    "depth": ["depth"],
    "energy": ["energy"],
    "feedback": ["feedback", "controls", "activity", "angles"],
    "alignment": ["alignment", "alignment_controls", "alignment_surrogate"],
    "dale": ["dale"],
    "changes": ["changes"],
}


@pytest.mark.parametrize(("name", "figures"), FIGURES.items())
def test_scripts_draw_what_rows_there_are(name, figures, tmp_path, monkeypatch, capfd):
    kept = read_json(FOLDERS[name] / "results" / f"{name}.json")
    (tmp_path / f"{name}.json").write_text(json.dumps(kept))
    page = (FOLDERS[name] / f"{name}.md").read_bytes()
    command = [str(FOLDERS[name] / f"{name}.py"), "--plot_only", f"--out={tmp_path}"]
    assert start(monkeypatch, command) == 0, capfd.readouterr().err
    for figure in figures:
        assert (tmp_path / f"{figure}.png").read_bytes()[:4] == b"\x89PNG"
    assert (FOLDERS[name] / f"{name}.md").read_bytes() == page


class Made(Exception):
    """What a study would train: the class of the network and its configuration."""


@pytest.fixture
def made(monkeypatch):
    """A function that gives what a study would train for a task."""

    def stop(task, train, kind, config):
        raise Made(kind.__name__, config)

    def find(name, **task):
        study = load_script(FOLDERS[name] / f"{name}.py")
        monkeypatch.setattr(study, "patterns_of", lambda _: (None, None))
        monkeypatch.setattr(study, "circuit_for", stop)
        with pytest.raises(Made) as found:
            study.run({"seed": 1, "epochs": 2} | task)
        return found.value.args

    return find


def test_each_method_of_the_depth_study_has_its_network(made):
    found = {name: made("depth", method=name, hid_dim=[7, 6, 5]) for name in load_script(STUDIES / "depth.py").METHODS}
    assert {name: kind for name, (kind, _) in found.items()} == {
        "glsnn": "GLSNN",
        "direct": "DirectFeedbackAlignment",
        "layerwise": "FeedbackAlignment",
        "backprop": "BackpropGLSNN",
        "bfa_snn": "BFA_SNN",
        "bfa_snn_best": "BFA_SNN",
        "equilibrium": "EquilibriumNetwork",
        "equilibrium_500": "EquilibriumNetwork",
    }
    configs = {name: config for name, (_, config) in found.items()}
    assert all(config.hid_dim == (7, 6, 5) for config in configs.values())
    assert (configs["bfa_snn"].eta_gain, configs["bfa_snn_best"].eta_gain) == (1, 64)
    assert (configs["equilibrium"].n_free, configs["equilibrium_500"].n_free) == (200, 500)


def test_each_variant_of_the_bfa_snns_studies_has_its_network(made):
    alignment = {
        "fixed": "BFA_SNN",
        "untaught": "UntaughtBFA_SNN",
        "redrawn": "RedrawnBFA_SNN",
        "turned": "BFA_SNN",
        "symmetric": "SymmetricBFA_SNN",
        "ungated": "UngatedBFA_SNN",
    }
    best = {"recipe": "best", "hid_dim": [5]}
    assert {name: made("alignment", variant=name, **best)[0] for name in alignment} == alignment
    found = {}
    for name in load_script(FOLDERS["dale"] / "dale.py").VARIANTS:
        kind, config = made("dale", variant=name, **best)
        found[name] = (kind, config.dale, config.eta_gain)
    assert found == {
        "free": ("BFA_SNN", False, 64),
        "faster": ("BFA_SNN", False, 128),
        "dale": ("BFA_SNN", True, 64),
        "fixed": ("FixedInhibitionBFA_SNN", True, 64),
        "excitatory": ("ExcitatoryBFA_SNN", True, 64),
    }


def test_alignment_study_keeps_each_angle_under_its_name(monkeypatch):
    study = load_script(FOLDERS["alignment"] / "alignment.py")
    patterns = Patterns(*make_patterns(20))
    monkeypatch.setattr(study, "patterns_of", lambda _: (patterns, patterns))
    monkeypatch.setattr(study, "circuit_for", lambda *_: None)
    angles = Angles(gradient=[1.0, 2.0], instant=[3.0, 4.0], feedback=[np.nan])
    monkeypatch.setattr("exhibits.bfa_snn.backprop.angles_of", lambda _: lambda *_: angles)
    monkeypatch.setattr("exhibits.common.experiment.epochs.learn_epoch", lambda *_, after_chunk: None)
    monkeypatch.setattr("exhibits.common.experiment.epochs.score", lambda *_: Tally(1))
    row = study.run({"recipe": "page", "variant": "fixed", "hid_dim": [5], "epochs": 1, "seed": 1})
    assert (row["presented"], row["angles"], row["instant"]) == ([0], [[1, 2]], [[3, 4]])
    assert row["feedback"] == [[None]]  # where there is no angle


def test_changes_study_changes_the_recipe_and_scores_a_sample_of_the_training_set(made, monkeypatch):
    kind, config = made("changes", changes={"hid_dim": [5], "centre": 0.25})
    assert (kind, config.hid_dim, config.centre, config.eta_gain) == ("BFA_SNN", (5,), 0.25, 64)
    study = load_script(FOLDERS["changes"] / "changes.py")
    train, dev = (Patterns(*make_patterns(20, seed=seed)) for seed in (0, 1))
    scored = []
    monkeypatch.setattr(study, "patterns_of", lambda _: (train, dev))
    monkeypatch.setattr(study, "circuit_for", lambda *_: None)
    monkeypatch.setattr(study, "learning_curve", lambda *_: [0.5, 0.75])
    monkeypatch.setattr(
        "exhibits.common.experiment.epochs.score", lambda _, patterns, key: scored.append(patterns.x) or Tally(4, 1)
    )
    assert study.run({"changes": {}, "epochs": 2, "seed": 1}) == {"train_acc": [0.25, 0.25], "acc": [0.5, 0.75]}
    for x in scored:
        np.testing.assert_array_equal(x, train.x)


def test_depth_figure_tells_single_seeds_and_the_best_methods_apart():
    study = load_script(STUDIES / "depth.py")
    everything, best = study.draw(read_json(STUDIES / "results" / "depth.json")["rows"]).axes
    left, right = ([text.get_text().replace("\n", " ") for text in axes.texts] for axes in (everything, best))
    assert "BFA-SNN, page's recipe (3 epochs, 1 seed)" in left and "GLSNN (10 epochs, 3 seeds)" in right
    assert len(everything.containers) == len(best.containers) == 4  # error bars of what has several seeds
    assert best.get_ylim()[0] > 95 and -10 < everything.get_ylim()[0] < 0  # chance is not at the edge


def test_feedback_figure_has_a_curve_for_each_depth_and_gain():
    study = load_script(GLSNN / "feedback.py")
    rows = read_json(GLSNN / "results" / "feedback.json")["rows"]
    for axes, gain in zip(study.draw_feedback(rows).axes, study.GAINS, strict=True):
        found = {line.get_label(): line.get_xydata() for line in axes.get_lines()}  # of single seeds
        found |= {bars.get_label(): bars.lines[0].get_xydata() for bars in axes.containers}
        for n in study.LAYERS:
            points = study.curves(rows, gain)[n]
            assert sorted(points) == [*range(n - 1)]  # up to n - 2 pathways
            means = np.array([(n - 2 - k, np.mean(points[k])) for k in sorted(points, reverse=True)])  # by missing ones
            np.testing.assert_allclose(found[f"{n} layers"], means)


def test_layers_with_the_same_angles_share_a_label():
    study = load_script(GLSNN / "feedback.py")
    same = {0: [90.0, 89.0], 1: [10.0, 11.0]}
    angles = {"W1": same, "W2": {0: [90.0], 1: [45.0]}, "W3": {x: [y + 0.5 for y in ys] for x, ys in same.items()}}
    assert study.shared(angles) == {"W1, W3": same, "W2": angles["W2"]}
    axes = study.draw_angles(study.controls(read_json(GLSNN / "results" / "feedback.json")["rows"], "fixed"))
    labels = {text.get_text() for text in axes.texts}
    assert {"orthogonal (90 degrees)", "W6, W7", "W1"} <= labels and "W6" not in labels


def test_growth_figure():
    benchmarks = REPOSITORY / "benchmarks"
    growth, peers = (read_json(benchmarks / "results" / f"{name}.json") for name in ("growth", "peers"))
    figure = load_script(benchmarks / "bench_growth.py").figure(growth, peers)
    assert [axes.get_title(loc="left") for axes in figure.axes] == list("abcdef")
    assert figure.get_supylabel() == "time (ms per minibatch)"
    expected = [row["ms_per_minibatch"] for row in growth["rows"] if (row["synapses"], row["axis"]) == ("event", "T")]
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    np.testing.assert_array_equal(lines["this museum, event-driven"].get_ydata(), expected)
    for line in lines.values():
        np.testing.assert_array_equal(line.get_xdata(), [25, 100, 400])
    assert len(lines) == 4 and len(figure.axes[1].get_lines()) == 2


def test_alignment_figure_marks_where_the_signs_flip_if_they_do():
    study = load_script(FOLDERS["alignment"] / "alignment.py")
    rows = study.network(read_json(FOLDERS["alignment"] / "results" / "alignment.json")["rows"], "page", "turned", 1)
    assert study.turned_at(rows[0]) == 30 and rows[0]["task"]["epochs"] == 2
    longer = rows[0] | {"task": rows[0]["task"] | {"epochs": 3}}
    longer["presented"] = [0, 30_000, 30_000, 60_000, 90_000]
    assert study.turned_at(longer) == 30
    for some, marks in ((rows, 4), ([], 0)):
        figure = study.draw_single(some, [("page", "turned")])
        assert sum(text.get_text() == "signs flipped" for axes in figure.axes for text in axes.texts) == marks


def test_a_row_waits_until_another_process_has_written_its_own(tmp_path):
    (toy := tmp_path / "toy.py").write_text(TOY)
    (out := tmp_path / "out").mkdir()
    with ThreadPoolExecutor(1) as pool:
        with locked(out):
            running = pool.submit(run_toy, toy, [{"a": 1, "marks": str(tmp_path)}], StudyConfig(out=out))
            assert within_seconds(lambda: list(tmp_path.glob("1-*")))  # half a second later it has a row
            with pytest.raises(TimeoutError):
                running.result(timeout=2)
            assert not list(out.iterdir())
        assert [row["value"] for row in running.result(timeout=60)] == [10]


def test_a_folder_that_cannot_be_locked_is_named(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refused)
    with pytest.raises(UserError, match=rf"^{tmp_path}: cannot be locked \(No locks available\)"), locked(tmp_path):
        pass


def test_alignment_figure_draws_turned_feedback_from_where_it_turns():
    study = load_script(FOLDERS["alignment"] / "alignment.py")
    rows = read_json(FOLDERS["alignment"] / "results" / "alignment.json")["rows"]
    some = study.network(rows, "page", "turned", 1)
    for axes in study.draw_single(some, [("page", "turned")]).axes:
        (curve,) = (bars.lines[0].get_xydata() for bars in axes.containers)
        assert curve[0, 0] > 30  # thousands of patterns
        if axes.get_title(loc="left").startswith("a"):
            np.testing.assert_allclose(curve[-1], [60, np.mean([row["angles"][-1][0] for row in some])])


def test_dale_figure_has_the_mean_over_seeds():
    study = load_script(FOLDERS["dale"] / "dale.py")
    task = {"recipe": "page", "variant": "free", "epochs": 2, "hid_dim": [5]}
    rows = [{"task": task | {"seed": n}, "acc": [0.5, acc]} for n, acc in enumerate((0.9, 0.94, 0.89))]
    axes, _ = study.draw(rows).axes
    assert [text.get_text() for text in axes.texts] == ["91.00"]
    np.testing.assert_allclose(axes.get_lines()[0].get_ydata(), [90, 94, 89])
    np.testing.assert_allclose(axes.collections[0].get_segments()[0][:, 1], [91, 91])


def test_changes_figure_tells_the_sets_apart_as_its_legend_does():
    study = load_script(FOLDERS["changes"] / "changes.py")
    task = {"dataset": "own", "changes": {}, "seed": 1, "epochs": 2}
    (axes,) = (figure := study.draw([{"task": task, "train_acc": [0.5, 0.99], "acc": [0.4, 0.97]}])).axes
    learned, dev, *_ = axes.get_lines()
    np.testing.assert_allclose([learned.get_xdata(), dev.get_xdata()], [[99], [97]])
    (legend,) = figure.legends
    handles = dict(zip([text.get_text() for text in legend.get_texts()], legend.legend_handles, strict=True))
    for label, line in (("training set", learned), ("development set", dev)):
        assert handles[label].get_color() == line.get_color()
        assert handles[label].get_markerfacecolor() == line.get_markerfacecolor()


def test_controls_figure_has_means_over_layers_and_over_choices():
    study = load_script(GLSNN / "feedback.py")
    rows = read_json(GLSNN / "results" / "feedback.json")["rows"]
    _, angle, layers = study.draw_controls(rows).axes
    fixed = [row["angles"][0][:5] for row in study.controls(rows, "fixed")]  # W1 to W5: the last two get no random one
    means = {bars.get_label(): bars.lines[0].get_ydata() for bars in angle.containers}
    assert means["fixed"][0] == pytest.approx(np.mean(fixed), abs=1e-3)
    (others,) = (line for line in layers.get_lines() if line.get_label() == "other layers, mean")
    expected = [np.mean([*choices.values()]) for choices in study.elsewhere(rows).values()]
    np.testing.assert_allclose(others.get_ydata(), expected)
