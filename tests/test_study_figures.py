"""Figures of the studies, from the rows that are there; rows that wait for those of others."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import within_seconds
from test_bad_input import start
from test_studies import FOLDERS, GLSNN, STUDIES, TOY, run_toy

from exhibits.common.experiment.studies import StudyConfig
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
