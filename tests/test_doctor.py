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


def test_an_exhibit_that_does_not_train_fails_the_report(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "data", lambda name: "here")
    monkeypatch.setattr(doctor, "load_patterns", lambda *_: (make_patterns(4), None, {}))
    monkeypatch.setattr(doctor, "self_test", lambda script, folder: (script.parent.name != "glsnn", "said"))
    assert doctor.main([]) == 1 and "said" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("program", "ok", "said"),
    [
        ("print('Best Acc = 0.85')", True, "ok, "),
        ("print('Best Acc = 0.12')", False, "FAILED, expected at least 0.2, "),
        ("print('nothing')", False, "FAILED, expected at least 0.2, "),
        ("import sys; sys.exit('first\\nerror: as told')", False, "FAILED with code 1, "),
    ],
)
def test_an_exhibit_has_to_learn_more_than_chance(program, ok, said, tmp_path):
    (tmp_path / "train_x.py").write_text(program)
    found = doctor.self_test(tmp_path / "train_x.py", tmp_path)
    assert found[0] == ok and found[1].startswith(said)
    assert ("code" in said) == found[1].endswith("s: error: as told")


def test_the_arrays_of_all_three_sets_are_compared_with_the_published_ones(tmp_path, monkeypatch):
    compared = []
    monkeypatch.setattr(doctor, "files", lambda name: {"dataX": tmp_path})
    monkeypatch.setattr(doctor, "load_patterns", lambda config, part: compared.append((config.dataset, part)))
    assert doctor.data("fashion_mnist").endswith(": the arrays made from them")
    assert compared == [("fashion_mnist", part) for part in ("data", "dev", "test")]
    monkeypatch.setattr(doctor, "files", lambda name: {"dataX": tmp_path / "none"})
    source = dataclasses.replace(doctor.SOURCES["fashion_mnist"], folders=(tmp_path,))
    monkeypatch.setitem(doctor.SOURCES, "fashion_mnist", source)
    assert doctor.data("fashion_mnist").startswith("not here: install Debian's package") and len(compared) == 3


@pytest.mark.slow
def test_a_healthy_checkout_passes():
    done = report()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the published files" in done.stdout and done.stdout.count(": ") >= 4 and "FAILED" not in done.stdout
