"""The example of data/README.md, as it stands there."""

import json
import os
import re
import subprocess
import sys

from exhibits.common.config import REPOSITORY

PYTHON, SHELL = (
    re.search(rf"```{kind}\n(.*?)```", (REPOSITORY / "data" / "README.md").read_text(), re.DOTALL)[1]
    for kind in ("python", "sh")
)


def test_the_readmes_example(tmp_path):
    (tmp_path / "museum").symlink_to(REPOSITORY)
    (tmp_path / "digits.py").write_text(PYTHON)
    commands = SHELL
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
        assert result["acc"] >= 0.9 and (result["set"], result["patterns"]) == ("test set", 300)
        assert f"Acc = {result['acc']}" in done.stdout
        for picture in ("likelihood", "confusion", "codes", "raster", "rates", "receptive_fields"):
            assert (tmp_path / exhibit / f"{stem}_{picture}.jpg").exists()
