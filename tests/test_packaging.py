"""What is installed, and what it says of itself."""

import subprocess
import tomllib
from importlib import import_module
from pathlib import Path

import jax
import numpy as np

from exhibits.common.experiment import runlog
from exhibits.common.system import places

REPOSITORY = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PRETRAINED = {"config.json", "measured.json", "run.json", "weights.npz"}


def test_package_data_are_the_trained_networks_and_nothing_that_lies_beside_them():
    root = REPOSITORY / "exhibits"
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["exhibits"]
    shipped = {path.relative_to(root) for pattern in patterns for path in root.glob(pattern)}
    networks = {path.parent.relative_to(root) for path in root.glob("*/pretrained/*/weights.npz")}
    assert len(networks) >= 4 and {path.name for path in shipped} - PRETRAINED == {"README.md", "py.typed"}
    assert {folder / name for folder in networks for name in PRETRAINED} <= shipped


def test_versions_agree():
    version = PROJECT["project"]["version"]
    assert f"\nversion: {version}\n" in (REPOSITORY / "CITATION.cff").read_text()
    assert f"\n## {version}" in (REPOSITORY / "CHANGELOG.md").read_text()


def test_a_run_names_the_commit_of_no_other_repository(tmp_path, monkeypatch):
    for command in (["init"], ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-m", "x", "--allow-empty"]):
        subprocess.run(["git", "-C", tmp_path, *command], check=True, capture_output=True)
    monkeypatch.setattr(runlog, "REPOSITORY", tmp_path)
    assert runlog.git_commit() is not None
    (tmp_path / "site-packages").mkdir()
    monkeypatch.setattr(runlog, "REPOSITORY", tmp_path / "site-packages")
    assert runlog.git_commit() is None


def test_a_commit_with_changes_has_a_plus(tmp_path, monkeypatch):
    (tmp_path / "code.py").write_text("1")
    for command in (["init"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-m", "x"]):
        subprocess.run(["git", "-C", tmp_path, *command], check=True, capture_output=True)
    monkeypatch.setattr(runlog, "REPOSITORY", tmp_path)
    (tmp_path / "notes.txt").write_text("which nobody added")
    commit = runlog.git_commit()
    (tmp_path / "code.py").write_text("22")
    assert commit is not None and len(commit) == 40 and runlog.git_commit() == f"{commit}+"


def test_packages_that_are_not_what_they_were_are_named():
    then = {"jax": "0.0.1", "numpy": np.__version__, "no-such-package": "1.0"}
    assert list(runlog.changed_versions(then)) == [("jax", "0.0.1", jax.__version__)]


def test_an_installed_package_keeps_its_runs_among_the_users_data(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(places, "CHECKOUT", False)
    folder = places.writable_home(REPOSITORY / "exhibits" / "glsnn", "exp")
    assert folder.is_relative_to(tmp_path / "snn-museum") and folder.parts[-3:] == ("exhibits", "glsnn", "exp")
    places.say_if_elsewhere(folder)
    assert capsys.readouterr().out == f"The museum is an installed package: the run is in {folder}\n"


def test_dir_lists_what_is_imported_late():
    for package in ("bfa_snn", "glsnn"):
        module = import_module(f"exhibits.{package}")
        assert set(module.__all__) <= set(dir(module))
