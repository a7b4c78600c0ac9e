"""Numbers in the READMEs are those of the results files."""

import importlib.util
from pathlib import Path

import pytest

from exhibits.common.results import shown, table

EXHIBITS = Path(__file__).resolve().parents[1] / "exhibits"


@pytest.mark.parametrize("exhibit", ["bfa_snn"])
def test_results_table_is_that_of_the_results(exhibit):
    folder = EXHIBITS / exhibit
    spec = importlib.util.spec_from_file_location(f"{exhibit}_results", folder / "results.py")
    results = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(results)
    assert shown(folder / "README.md") == table(results.ROWS, folder / "results", results.REFERENCES)
    assert {path.stem for path in (folder / "results").glob("*.json")} == {row.name for row in results.ROWS}
