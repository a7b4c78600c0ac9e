"""Examples in docstrings: one for each cell, synapse and estimator, and of angles."""

import doctest
from importlib import import_module

import pytest

MODULES = {
    "exhibits.common.cells.components": 3,
    "exhibits.common.cells.hebbian": 2,
    "exhibits.common.cells.events.components": 4,
    "exhibits.glsnn.components": 3,
    "exhibits.equilibrium.model": 2,
    "exhibits.common.experiment.angles": 1,
    "exhibits.bfa_snn.estimator": 1,
    "exhibits.glsnn.estimator": 1,
}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = import_module(name)
    found = [test for test in doctest.DocTestFinder(exclude_empty=True).find(module) if test.examples]
    assert len(found) == MODULES[name]
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0
