"""The trained networks that come with the exhibits: they open, answer as well as they say, and are small."""

import numpy as np
import pytest

from exhibits.common.circuit.seeds import Keys
from exhibits.common.data.loading import load_patterns
from exhibits.common.experiment.restoring import exhibit_of, opened, restore
from exhibits.common.library.exhibit import Exhibit
from exhibits.common.report.analysis import evaluate
from exhibits.common.system.files import read_json
from exhibits.common.system.places import REPOSITORY, exhibits

FOLDERS = sorted(path.parent for path in (REPOSITORY / "exhibits").glob("*/pretrained/*/config.json"))
PATTERNS = 1000


def test_every_exhibit_has_one_and_all_are_small():
    assert {"bfa_snn", "glsnn"} <= {folder.parents[1].name for folder in FOLDERS} <= set(exhibits())
    assert sum(path.stat().st_size for folder in FOLDERS for path in folder.iterdir()) < 8e6
    for folder in FOLDERS:
        assert exhibit_of(folder) == folder.parents[1].name
        text = (folder / "run.json").read_text() + (folder / "config.json").read_text()
        assert '"/' not in text and '"finished": "20' in text  # nobody's paths


def require_data_of(config):
    """Skips the test where the data set is not there, such as Fashion-MNIST in a fresh clone."""
    if not (REPOSITORY / "data" / config.dataset).is_dir():
        pytest.skip(f"data/{config.dataset} is missing: python data/prepare.py {config.dataset}")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parents[1].name}-{folder.name}")
def test_it_answers_as_well_as_it_says(folder):
    exhibit = Exhibit.named(exhibit_of(folder))
    network = exhibit.network.load(folder)
    config, log, _ = opened(exhibit.config, folder)
    require_data_of(config)
    dev, *_ = load_patterns(config, "dev", log.form)
    acc = (network.predict(dev.x[:PATTERNS]) == dev.y[:PATTERNS].argmax(axis=1)).mean()
    p = log.best_dev_acc
    assert p and acc > p - 4 * np.sqrt(p * (1 - p) / PATTERNS)
    assert f"epoch {log.best_epoch} of {config.epochs}" in repr(network)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parents[1].name}-{folder.name}")
def test_it_is_loaded_on_another_kind_of_device(folder, monkeypatch, capsys):
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    exhibit = Exhibit.named(exhibit_of(folder))
    network = exhibit.network.load(folder)
    assert "Trained on a cpu, now on a gpu" in capsys.readouterr().out
    assert network.choices.get("synapses", "dense") == "dense"


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parents[1].name}-{folder.name}")
def test_its_test_numbers_are_those_of_its_file(folder):
    exhibit = Exhibit.named(exhibit_of(folder))
    config, log, identity_of = opened(exhibit.config, folder)
    require_data_of(config)
    assert log.form is not None
    circuit = exhibit.network.for_analysis(config, log.form)
    test, *_ = load_patterns(config, "test", log.form)
    trained = restore(circuit, folder, identity_of(log.form))
    result, *_ = evaluate(trained, test, "test set", Keys.of(config.seed).test)
    written = read_json(folder / "measured.json")
    assert result["acc"] == pytest.approx(written["acc"], abs=5e-4)  # on another processor a few digits may turn
    assert result["nll"] == pytest.approx(written["nll"], rel=5e-3)
