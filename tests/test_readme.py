"""Tables in the READMEs are those of the results files."""

import importlib.util
from pathlib import Path

import pytest

from exhibits.common.files import read_json
from exhibits.common.results import shown, table

REPOSITORY = Path(__file__).resolve().parents[1]
BFA = REPOSITORY / "exhibits" / "bfa_snn"


def load(path):
    """A script as a module, whatever other script has its name."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("exhibit", ["bfa_snn"])
def test_results_table(exhibit):
    folder = REPOSITORY / "exhibits" / exhibit
    results = load(folder / "results.py")
    assert shown(folder / "README.md") == table(results.ROWS, folder / "results", results.REFERENCES)
    for row in results.ROWS:
        runs = read_json(folder / "results" / f"{row.name}.json")["runs"]
        assert [run["seed"] for run in runs] == list(row.seeds)


def test_nll_readouts_table():
    expected = load(BFA / "study_nll.py").table(read_json(BFA / "results" / "nll_readouts.json")["rows"])
    assert shown(BFA / "README.md", "nll readouts") == expected


def test_speed_table():
    bench = load(REPOSITORY / "benchmarks" / "bench_bfasnn.py")
    expected = bench.table(read_json(REPOSITORY / "benchmarks" / "results" / "bfasnn.json"))
    assert shown(REPOSITORY / "README.md", "speed") == expected
