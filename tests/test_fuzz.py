"""Files from strangers load or are refused: a few of those that `make fuzz` tries for minutes."""

import json

import pytest
from fuzz import IDX, TARGETS, Target, Y, checkpoint, fuzz, npy
from hypothesis import strategies as st

from exhibits.common.experiment.config import to_json
from exhibits.glsnn.config import Config

EXAMPLES = {".npy": 200, "IDX": 200, "config.json": 200, "checkpoint": 40, "arrays.npz": 100}


@pytest.mark.parametrize("name", TARGETS)
def test_files_load_or_are_refused(name, tmp_path):
    fuzz(TARGETS[name], tmp_path, EXAMPLES[name], start=0)


def test_honest_files_load(tmp_path):
    honest = {".npy": npy(Y), "IDX": IDX, "checkpoint": checkpoint(), "config.json": json.dumps(to_json(Config()))}
    honest["arrays.npz"] = honest["checkpoint"]["4/default/arrays.npz"]
    for name, target in TARGETS.items():
        content = honest[name]
        target.check(tmp_path, content.encode() if isinstance(content, str) else content)


def test_finds_are_told(tmp_path):
    def careless(folder, content):
        if len(content) > 2:
            raise KeyError(content)

    with pytest.raises(KeyError):
        fuzz(Target(st.binary(max_size=8), careless), tmp_path, 100, start=0)
