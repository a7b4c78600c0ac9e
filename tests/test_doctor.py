"""The report for bug reports."""

import dataclasses
import os
import subprocess
import sys

import pytest
from conftest import make_patterns

from exhibits.common.data.datasets import FILES
from exhibits.common.scripts import doctor
from exhibits.common.system.places import REPOSITORY


def report():
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(REPOSITORY / "exhibits" / "common" / "scripts" / "doctor.py")]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def test_damaged_data_are_told(tmp_path, monkeypatch, capsys):
    source = doctor.SOURCES["mnist"]
    for file in FILES:
        (tmp_path / file).write_bytes(b"no digits")
    monkeypatch.setitem(doctor.SOURCES, "mnist", dataclasses.replace(source, folders=(tmp_path,)))
    monkeypatch.setattr(doctor, "self_test", lambda script, folder: (True, "ok"))
    monkeypatch.setattr(doctor, "load_patterns", lambda *_: (make_patterns(4), None, {}))
    assert doctor.main([]) == 1
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["mnist"].startswith("FAILED") and str(tmp_path) in lines["mnist"]
    assert {"commit", "system", "packages", "device", "memory", "disk", "bfa_snn", "glsnn"} <= set(lines)


@pytest.mark.slow
def test_a_healthy_checkout_passes():
    done = report()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the published files" in done.stdout and done.stdout.count(": ") >= 4 and "FAILED" not in done.stdout
