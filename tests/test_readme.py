"""Tables in the READMEs and on the site's pages are those of the results files."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import make_patterns, one_line, run

from exhibits.bfa_snn import BFA_SNN
from exhibits.common.circuit.seeds import Keys
from exhibits.common.experiment.evaluation import negative_log_likelihood
from exhibits.common.experiment.schema import StudyRow
from exhibits.common.experiment.studies import run_study
from exhibits.common.report.results import Row, catalogues, generated_part, marks, write_part
from exhibits.common.scripts import commands
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import read_json
from exhibits.common.system.places import exhibits
from exhibits.common.system.scripts import load_script

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
BENCHMARKS = REPOSITORY / "benchmarks"
BFA, GLSNN = (REPOSITORY / "exhibits" / name for name in ("bfa_snn", "glsnn"))


WITH_RESULTS = [name for name in exhibits() if (REPOSITORY / "exhibits" / name / "results.py").exists()]


def test_exhibits_have_results():
    assert {"bfa_snn", "glsnn"} <= set(WITH_RESULTS)


def test_catalogues():
    for readme, name, text in catalogues():
        assert generated_part(readme, name) == text, "results.py --table of any exhibit writes it"


@pytest.mark.parametrize("exhibit", WITH_RESULTS)
def test_results_tables(exhibit):
    results = load_script(REPOSITORY / "exhibits" / exhibit / "results.py").RESULTS
    for readme, name, text in results.tables():
        assert generated_part(readme, name) == text
    for row in results.rows:
        runs = results.stored(row).runs  # refused if measured with other values
        assert [run["seed"] for run in runs] == list(row.seeds)


def test_nll_table():
    folder = BFA / "studies"
    expected = load_script(folder / "nll.py").table(read_json(folder / "results" / "nll.json")["rows"])
    assert generated_part(folder / "nll.md", "nll") == expected


def test_readouts_of_the_nll_study_are_those_of_the_circuit(tmp_path, monkeypatch):
    study = load_script(BFA / "studies" / "nll.py")
    (tmp_path / "results").mkdir()
    flags = ["--hid_dim=10", "--T=12", "--burn_in=4", "--weight_std=0.6", "--epochs=1", "--batch_size=8"]
    for seed, name in enumerate(("data", "dev", "test")):
        for part, array in zip("XY", make_patterns(40, seed=seed), strict=True):
            np.save(tmp_path / f"{name}{part}.npy", array)
            flags.append(f"--{name}{part}={tmp_path / f'{name}{part}.npy'}")
    exp = tmp_path / "results" / study.ROW
    config = commands.train("bfa_snn", [*flags, f"--exp_dir={exp}"])
    monkeypatch.setattr(study, "HERE", tmp_path)
    monkeypatch.setattr(type(config), "exp_dir", tmp_path)
    monkeypatch.setattr(sys, "argv", ["nll.py"])
    write_part_of = "exhibits.common.report.results.write_part"
    monkeypatch.setattr(write_part_of, lambda page, text, name: page.write_text(text))
    study.main()
    rows = read_json(tmp_path / "results" / "nll.json")["rows"]
    assert (tmp_path / "nll.md").read_text() == study.table(rows) and len(rows) == 7
    network = BFA_SNN.load(exp)
    x, y = make_patterns(40, seed=2)
    seen = network.read(x, y, Keys.of(config.seed).test)
    for title, logits in (
        ("current after burn-in / 8 (ours)", seen["logit"]),
        ("current after burn-in / 12", 8 / 12 * seen["logit"]),
        ("active steps of all / 12", seen["count"] / 12),
        ("active steps of all, summed", seen["count"]),
    ):
        assert rows[title]["test"]["nll"] == pytest.approx(negative_log_likelihood(logits, y).mean(), rel=1e-5)
    assert rows["current after burn-in / 8 (ours)"]["test"] != rows["current after burn-in / 8 (ours)"]["dev"]


def test_alignment_of_pretrained_networks():
    study = load_script(BFA / "studies" / "alignment.py")
    assert generated_part(BFA / "studies" / "alignment.md", "pretrained") == study.pretrained_table()


STUDIES = sorted([*REPOSITORY.glob("studies/*.py"), *REPOSITORY.glob("exhibits/*/studies/*.py")])


@pytest.mark.parametrize("script", STUDIES, ids=lambda script: script.stem)
def test_study_tables(script):
    study = load_script(script)
    if not hasattr(study, "Study"):
        pytest.skip("reads what results.py trained")
    tasks = study.grid(study.Study())
    rows = run_study(script, tasks, study.Study(plot_only=True), getattr(study, "Row", StudyRow))
    assert [row["task"] for row in rows] == tasks, "the page's study is not complete"
    assert generated_part(script.with_suffix(".md"), script.stem) == study.table(rows)
    for readme, part in getattr(study, "readmes", lambda _: {})(rows).items():
        assert generated_part(readme, script.stem) == part


@pytest.mark.parametrize("script", STUDIES, ids=lambda script: script.stem)
def test_study_pages_have_one_form(script):
    """A page beside each study, in this order, and a line in FINDINGS.md."""
    page = script.with_suffix(".md")
    headings = [line for line in page.read_text().splitlines() if line.startswith("## ")]
    assert headings == [f"## {name}" for name in ("Question", "Method", "Results", "Finding", "Limits")]
    assert f"]({page.relative_to(REPOSITORY)})" in (REPOSITORY / "FINDINGS.md").read_text()


def test_speed_tables():
    results = {
        name: read_json(BENCHMARKS / "results" / f"{name}.json")
        for name in ("bfasnn", "glsnn", "peers", "checkpoints", "accuracy")
    }
    bfasnn, glsnn, checkpoints, accuracy = (
        load_script(BENCHMARKS / f"bench_{name}.py") for name in ("bfasnn", "glsnn", "checkpoints", "accuracy")
    )
    rows = results["accuracy"]["rows"]
    assert rows.keys() == accuracy.CONTENDERS.keys()
    assert generated_part(DOCS / "results" / "index.md", "accuracy") == accuracy.table(rows, results["bfasnn"])
    assert generated_part(REPOSITORY / "README.md", "accuracy") == accuracy.glance(rows)
    speed = bfasnn.table(results["bfasnn"], results["peers"], results["accuracy"])
    assert generated_part(DOCS / "results" / "index.md", "speed") == speed
    assert "in 5 rounds, on AMD EPYC, 2 cores" in speed and "ms in snnTorch" in speed
    others = {"settings": results["peers"]["settings"] | {"batch_size": 50}}
    with pytest.raises(UserError, match=r"batch_size 50, 250 .*`make bench-peers`"):
        bfasnn.table(results["bfasnn"], results["peers"] | others, results["accuracy"])
    assert generated_part(DOCS / "explanation" / "runs.md", "checkpoints") == checkpoints.table(results["checkpoints"])
    assert generated_part(GLSNN / "README.md", "speed") == glsnn.table(results["glsnn"])


def test_time_to_accuracy_by_hand():
    accuracy = load_script(BENCHMARKS / "bench_accuracy.py")
    quick, slow, never = [(1.0, 0.5), (2.0, 0.97)], [(1.5, 0.9), (4.0, 0.98)], [(3.0, 0.8), (9.0, 0.7)]
    assert accuracy.parts_until(slow, 0.9) == 1 and accuracy.parts_until(never, 0.9) is None
    assert accuracy.seconds_until([quick, slow, quick], 0.97) == 2.0
    assert accuracy.seconds_until([quick, slow], 0.98) is None  # not in every round
    curves = {"page": slow, "best-1": quick, "best-4": slow, "snntorch": never}
    rows = {name: {"device": "a chip", "limit": 60.0, "curves": [curve]} for name, curve in curves.items()}
    speeds = {"rows": [{"label": "ngc-learn's components", "seconds_per_epoch": 100.0}]}
    lines = accuracy.table(rows, speeds).splitlines()
    assert lines[2:6] == [
        "| page's recipe | 4 | 4 | 1 |",
        "| page's recipe, ngc-learn's components stepped from Python (computed: 0.5 epochs of 100 s) | 50 | | |",
        "| `--recipe best --epochs 1` | 2 | not reached (97.00 % after 2 s) | 1 |",
        "| `--recipe best --epochs 4` | 4 | 4 | 1 |",
    ]
    assert "| not reached (80.00 % after 3 s) |" in lines[6]
    assert "libraries stopped at the first measurement after 60 s; a chip." in lines[-1]
    said = accuracy.glance(rows)
    assert "after 2 s of learning (`--recipe best --epochs 1`), and 98 % after 4 s" in said
    assert "With the page's own recipe it takes 4 s here. The page reports" in said
    with pytest.raises(UserError, match=r"no recipe .* 98 %"):
        accuracy.glance({"best-1": rows["best-1"]})
    assert accuracy.ms_per_minibatch({"curves": [quick, never]}) == pytest.approx(1e3 * 11 / (4 * 50))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--rounds=0"], "--rounds 0"),
        (["--limit=nan"], "--limit nan"),
        (["--limit=-1"], "--limit -1"),
        (["--contenders", "snntorch"], "library not installed"),
        (["--out", __file__], "test_readme.py"),
    ],
    ids=str,
)
def test_bad_flags_of_the_benchmark_are_refused_before_it_starts(flags, words):
    done = run(sys.executable, BENCHMARKS / "bench_accuracy.py", *flags)
    assert words in one_line(done) and not done.stdout


@pytest.mark.parametrize(
    ("name", "flags", "words"),
    [
        ("bfasnn", ["--rounds=0"], "--rounds 0"),
        ("glsnn", ["--minibatches=0"], "--minibatches 0"),
        ("checkpoints", ["--batch_size=-1"], "--batch_size -1"),
        ("growth", ["--minibatches=51"], "51000 images in a round"),
    ],
)
def test_bad_flags_of_the_speed_benchmarks_are_refused_before_they_start(name, flags, words):
    done = run(sys.executable, BENCHMARKS / f"bench_{name}.py", *flags)
    assert words in one_line(done) and not done.stdout


@pytest.mark.parametrize("name", ["bfasnn", "glsnn", "growth", "peers"])
def test_seconds_per_epoch_are_those_of_50000_images(name):
    result = read_json(BENCHMARKS / "results" / f"{name}.json")
    for row in result["rows"]:
        batch_size = row["value"] if row.get("axis") == "batch_size" else result["settings"]["batch_size"]
        assert row["seconds_per_epoch"] == pytest.approx(row["ms_per_minibatch"] / 1e3 * 50_000 / batch_size)


def test_a_contest_tells_the_median_of_its_rounds_without_the_first(monkeypatch):
    harness = load_script(BENCHMARKS / "harness.py")
    rounds = [(100.0, 1e6), (1.0, 2e6), (9.0, 3e6), (2.0, 4e6)]  # seconds and bytes; the first one compiles
    end = SimpleNamespace(send=lambda _: None, recv=iter(rounds).__next__, close=lambda: None)
    process = SimpleNamespace(start=lambda: None, join=lambda: None)
    context = SimpleNamespace(Pipe=lambda: (end, end), Process=lambda **_: process)
    monkeypatch.setattr(harness, "multiprocessing", SimpleNamespace(get_context=lambda _: context))
    settings = SimpleNamespace(minibatches=4, batch_size=250, rounds=3)
    assert harness.contest(lambda: None, ["one"], settings) == [
        {
            "ms_per_minibatch": 500.0,
            "ms_per_minibatch_min_max": [250.0, 2250.0],
            "seconds_per_epoch": 100.0,
            "peak_memory_mb": 4.0,
        }
    ]


@pytest.mark.slow
def test_time_to_accuracy_is_measured(tmp_path):
    path = tmp_path / "accuracy.json"
    command = [sys.executable, BENCHMARKS / "bench_accuracy.py", "--rounds=1", "--limit=1", f"--out={path}"]
    done = run(*command, "--contenders", "glsnn-4")
    assert done.returncode == 0, done.stderr
    ((seconds, reached), *_) = read_json(path)["rows"]["glsnn-4"]["curves"][0]
    assert seconds > 0 and 0.8 < reached < 0.98


def test_faults_table():
    result = read_json(REPOSITORY / "tests" / "results" / "faults.json")
    faults = load_script(REPOSITORY / "tests" / "faults.py")
    assert generated_part(DOCS / "explanation" / "runs.md", "faults") == faults.table(result)


def test_a_row_is_trained_tested_and_shown(tmp_path, monkeypatch):
    for stem, n, seed in (("train", 40, 0), ("dev", 16, 1), ("test", 24, 2)):
        for part, array in zip("XY", make_patterns(n, seed=seed), strict=True):
            np.save(tmp_path / f"{stem}{part}.npy", array)
    stems = {"data": "train", "dev": "dev", "test": "test"}
    data = {f"{kind}{part}": tmp_path / f"{stem}{part}.npy" for kind, stem in stems.items() for part in "XY"}
    results = load_script(BFA / "results.py")
    values = {"hid_dim": (10,), "T": 12, "burn_in": 2, "epochs": 1, "batch_size": 8}
    values |= data | {"dataset": None}
    row = Row("tiny", "a tiny circuit", values, (1, 2), "page")
    script = tmp_path / "results.py"
    script.write_text(f"""
from dataclasses import replace
from pathlib import Path, PosixPath
from exhibits.common.report.results import Row
from exhibits.common.system.scripts import load_script

results = load_script(Path({str(BFA / "results.py")!r}))
results.Config.exp_dir = Path({str(tmp_path / "exp")!r})
row = Row("tiny", "a tiny circuit", {values!r}, (1, 2), "page")
run = replace(results.RESULTS, script=Path(__file__), rows=[row]).run
""")
    tiny = replace(results.RESULTS, script=script, rows=[row], at_a_glance=["tiny"])

    def measured(row):
        tiny.measure([row])

    monkeypatch.setattr(results.Config, "exp_dir", results.Config.exp_dir)  # the script's lasts for this test
    measured(row)
    path = tmp_path / "results" / "tiny.json"
    runs = read_json(path)["runs"]
    assert [run["seed"] for run in runs] == [1, 2] and all(run["patterns"] == 24 for run in runs)
    before = path.read_bytes()
    monkeypatch.setattr("exhibits.common.experiment.training.fit", lambda *_: pytest.fail("trained again"))
    measured(row)  # what is there is not even looked for
    assert path.read_bytes() == before
    path.unlink()
    measured(row)  # what is trained is only tested
    assert read_json(path)["runs"] == runs
    again = tiny.run({"row": "tiny", "seed": 1, "temperature": 2.5})  # of another row
    assert again["temperature"] == 2.5 and again["nll_calibrated"] != runs[0]["nll_calibrated"]

    begin, end = marks("results")
    (tmp_path / "README.md").write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    (readme, _, shown_table), (_, name, short) = tiny.tables()
    assert readme == tmp_path / "README.md" and name == "bfa_snn results" and "| a tiny circuit | 2 |" in short
    write_part(tmp_path / "README.md", shown_table)
    assert generated_part(tmp_path / "README.md") == shown_table
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("before\n") and text.endswith("-->\nafter\n") and "old" not in text
    mean = 100 * (runs[0]["acc"] + runs[1]["acc"]) / 2
    cells = shown_table.splitlines()[-1].split(" | ")
    assert cells[:2] == ["| a tiny circuit", "2"] and cells[3].startswith(f"{mean:.2f} ± ")
    with pytest.raises(UserError, match="with other values of T than row tiny has now"):
        measured(replace(row, values=values | {"T": 13}))
    with (
        monkeypatch.context() as changed,
        pytest.raises(UserError, match="with other values of thr than row tiny has now"),
    ):
        changed.setitem(results.Config.RECIPES, "page", replace(results.Config(), thr=0.5))
        measured(row)
    np.save(tmp_path / "trainY.npy", np.roll(np.load(tmp_path / "trainY.npy"), 1, axis=0))
    with pytest.raises(UserError, match="on other data"):
        measured(row)
    assert [name for _, name, _ in replace(tiny, at_a_glance=()).tables()] == ["results"]
    later = Row("later", "all patterns", values | {"T": 13}, seeds=(3,), calibrated_by="tiny")
    with pytest.raises(UserError, match=r"1 training failed.*later, seed 3: measure tiny with this seed first"):
        measured(later)
    unknown = Row("unknown", "", values, (3,))  # to the script that trains
    with pytest.raises(UserError, match=r"2 trainings failed.*unknown, seed 3: unknown: no row"):
        tiny.measure([unknown, replace(later, calibrated_by="unknown")])


def test_seeds_are_kept_once_in_order_and_calibrated_by_the_same_seed(tmp_path, monkeypatch):
    rows = [Row("apart", "", {}, (1, 2)), Row("joined", "", {"join_dev": True}, (1, 2), calibrated_by="apart")]
    results, asked = replace(load_script(BFA / "results.py").RESULTS, script=tmp_path / "results.py", rows=rows), []

    def outcomes(_, tasks, *__):
        for task in [*tasks, *reversed(tasks)]:  # as if another process measured the same
            asked.append((task["row"], task["seed"], task["temperature"]))
            numbers = dict.fromkeys(("acc", "nll", "nll_calibrated"), 0.5) | {"epoch": 1, "seconds": 90.0, "device": ""}
            yield task, numbers | {"seed": task["seed"], "temperature": task["temperature"] or 10.0 * task["seed"]}

    monkeypatch.setattr("exhibits.common.report.results.outcomes", outcomes)
    results.measure(rows)
    for row in rows:
        stored = read_json(tmp_path / "results" / f"{row.name}.json")["runs"]
        assert [(run["seed"], run["temperature"]) for run in stored] == [(1, 10.0), (2, 20.0)]
    assert {each for each in asked if each[0] == "joined"} == {("joined", 1, 10.0), ("joined", 2, 20.0)}
    assert results.table(rows).splitlines()[-1].split(" | ")[-2] == "1.5 min"
