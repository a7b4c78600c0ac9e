"""Files from strangers load or are refused: a few of those that `make fuzz` tries for minutes."""

import json

import pytest
from fuzz import IDX, TARGETS, Target, Y, checkpoint, fuzz, npy
from hypothesis import strategies as st

from exhibits.common.experiment.config import to_json
from exhibits.common.library.exhibit import Exhibit
from exhibits.common.system.places import exhibits

EXAMPLES = {".npy": 200, "IDX": 200, "checkpoint": 40, "arrays.npz": 100}


@pytest.mark.parametrize("name", TARGETS)
def test_files_load_or_are_refused(name, tmp_path):
    fuzz(TARGETS[name], tmp_path, EXAMPLES.get(name, 200), start=0)


def test_honest_files_load(tmp_path):
    honest = {".npy": npy(Y), "IDX": IDX, "checkpoint": checkpoint()}
    for name in exhibits():
        config = Exhibit.named(name).config()
        honest[f"{name}/config.json"] = json.dumps(to_json(config)).encode()
    honest["arrays.npz"] = honest["checkpoint"]["4/default/arrays.npz"]
    for name, target in TARGETS.items():
        target.check(tmp_path, honest[name])


def test_finds_are_told(tmp_path):
    def careless(folder, content):
        if len(content) > 2:
            raise KeyError(content)

    with pytest.raises(KeyError):
        fuzz(Target(st.binary(max_size=8), careless), tmp_path, 100, start=0)
