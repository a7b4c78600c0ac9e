"""The example of the how-to about own data, as it stands there."""

import json
import os
import re
import subprocess
import sys

import pytest

from exhibits.common.system.places import REPOSITORY

PYTHON, SHELL = (
    re.findall(rf"```{kind}\n(.*?)```", (REPOSITORY / "docs" / "how-to" / "own-data.md").read_text(), re.DOTALL)[0]
    for kind in ("python", "sh")
)


@pytest.mark.parametrize(
    ("epochs", "least"),
    [("--epochs 4 --hid_dim 200", 0.3), pytest.param("--epochs 20", 0.9, marks=pytest.mark.slow)],
)
def test_the_example(epochs, least, tmp_path):
    (tmp_path / "museum").symlink_to(REPOSITORY)
    (tmp_path / "digits.py").write_text(PYTHON)
    commands = SHELL.replace("--epochs 20", epochs)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["VIRTUAL_ENV"] = sys.prefix
    done = subprocess.run(
        ["sh", "-euc", commands], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert "8 x 8 pictures, each flattened to a row, uint8 values from 0 to 255, divided by 255" in done.stdout
    assert "integer labels, 10 classes: 0 to 9" in done.stdout
    assert done.stdout.count("Analysis of the test set, 300 patterns") == 2
    for exhibit, stem in (("bfa_snn", "bfasnn"), ("glsnn", "glsnn")):
        result = json.loads((tmp_path / exhibit / f"{stem}_analysis.json").read_text())
        assert result["acc"] >= least and (result["set"], result["patterns"]) == ("test set", 300)
        assert f"Acc = {result['acc']}" in done.stdout
        for picture in ("likelihood", "confusion", "codes", "raster", "rates", "receptive_fields"):
            assert (tmp_path / exhibit / f"{stem}_{picture}.jpg").exists()
