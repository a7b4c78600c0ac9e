"""The page of a run, and the pictures that an analysis saves."""

import csv
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from conftest import make_patterns

from exhibits.bfa_snn import Analysis, Config
from exhibits.common.data.form import ArrayRecord, Form
from exhibits.common.experiment.history import curves_of
from exhibits.common.experiment.restoring import restore
from exhibits.common.experiment.schema import Activity, RunLog
from exhibits.common.report import analysis, comparison
from exhibits.common.report.comparison import write_csv
from exhibits.common.report.page import activity, configuration, timings
from exhibits.common.report.pictures import Album, add_curves, caption_of
from exhibits.common.scripts import commands
from exhibits.common.system.errors import UserError
from exhibits.glsnn import Config as GLSNNConfig

EVIL = '<script>alert("1")</script>'
PICTURES = {
    *("likelihood", "accuracy", "confusion", "reliability", "misclassified", "raster", "potentials", "rates"),
    *("receptive_fields", "codes"),
}
SMALL = {
    "bfa_snn": "--hid_dim 30 --T 40 --burn_in 8 --batch_size 16 --weight_std 0.3",
    "glsnn": "--hid_dim 30 20 --batch_size 4 --eta 0.02",
}


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.images, self.links, self.ids, self.pieces, self.marked = [], [], [], set(), [], 0
        self.feed(text)
        self.text = " ".join(" ".join(self.pieces).split())

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        self.ids |= {attributes["id"]} if "id" in attributes else set()
        self.marked += attributes.get("class") == "differs"
        if tag == "img":
            self.images.append(attributes)
        self.links += [attributes[name] for name in ("src", "href") if name in attributes]

    def handle_data(self, data):
        self.pieces.append(data)


@pytest.fixture(scope="module", params=SMALL)
def analyzed(tmp_path_factory, request):
    """A run of patterns whose first class has an evil name, trained and analyzed."""
    folder = tmp_path_factory.mktemp("run")
    files = {}
    for name, n, seed in (("data", 200, 0), ("dev", 50, 1), ("test", 41, 2)):
        x, y = make_patterns(n, seed=seed)
        if name == "test":
            y[:3] = y[:3, ::-1]  # so that some are wrong
        for part, array in (("X", x), ("Y", y)):
            files[f"{name}{part}"] = folder / f"{name}{part}.npy"
            np.save(files[f"{name}{part}"], array)
    exp = folder / "exp"
    data = [f"--{name}={path}" for name, path in files.items()]
    stem = "bfasnn" if request.param == "bfa_snn" else "glsnn"
    config = commands.train(
        request.param,
        [*data, *SMALL[request.param].split(), "--epochs=2", f"--exp_dir={exp}", "--classes", EVIL, "b", "c", "d"],
    )
    assert {path.name for path in exp.glob("*.[jp][pn]g")} == {f"{stem}_likelihood.jpg", f"{stem}_accuracy.png"}
    commands.analyze(request.param, [f"--exp_dir={exp}"])
    return exp, config, stem, Page((exp / "report.html").read_text())


def test_the_page_needs_nothing_but_itself(analyzed):
    *_, page = analyzed
    assert {link.partition(":")[0] if link[0] != "#" else "#" for link in page.links} == {"data", "#"}
    assert {link[1:] for link in page.links if link[0] == "#"} <= page.ids
    assert not {"script", "link", "iframe", "object"} & set(page.tags)


def test_names_of_classes_are_escaped(analyzed):
    exp, _, _, page = analyzed
    text = (exp / "report.html").read_text()
    assert EVIL not in text and "<script" not in text
    assert EVIL in page.text  # as the reader sees it, among the values of the configuration


def test_the_page_shows_every_picture_that_was_saved(analyzed):
    exp, _, stem, page = analyzed
    saved = {path.name for path in exp.iterdir() if path.suffix in (".jpg", ".png")}
    assert {name.removeprefix(f"{stem}_").partition(".")[0] for name in saved} == PICTURES
    assert len(page.images) == len(PICTURES) and all(image["alt"] for image in page.images)
    assert {f"picture-{name}" for name in PICTURES} <= page.ids and all(name in page.text for name in saved)
    images = ("data:image/png;base64,iVBOR", "data:image/jpeg;base64,/9j/")
    assert all(image["src"].startswith(images) for image in page.images)
    assert "svg" in page.tags and "W1" in page.text


def test_the_page_has_the_numbers_of_the_analysis(analyzed):
    exp, config, stem, page = analyzed
    result = json.loads((exp / f"{stem}_analysis.json").read_text())
    log = json.loads((exp / "run.json").read_text())
    for number in (f"{100 * result['acc']:.2f} %", f"{result['nll']:.3f}", f"{100 * result['ece']:.2f} %"):
        assert number in page.text
    assert 0 < result["ece_calibrated"] < 1 and result["acc"] < 1
    assert [*result["spikes_per_pattern"]] == (["z0", "z1", "z2"] if stem == "bfasnn" else ["z1", "z2", "z3"])
    for layer, spikes in result["spikes_per_pattern"].items():
        before = log["activity"][layer]["spikes_per_pattern"][0]
        assert f"{layer} {before:,.1f}" in page.text and f"{spikes:,.1f}" in page.text
    for text in (*log["versions"].values(), log["device"], log["started"], str(config.dataX), "seed 1234"):
        assert text in page.text
    assert page.marked == sum(usual is not None for rows in configuration(config).values() for *_, usual in rows) > 3


def test_what_differs_from_the_recipe_is_told():
    def differing(config):
        return {name: usual for rows in configuration(config).values() for name, _, usual in rows if usual is not None}

    assert differing(Config()) == differing(Config.RECIPES["best"]) == {}
    assert differing(Config(T=50, seed=7)) == {"T": "100", "seed": "1234"}
    assert differing(GLSNNConfig(dataset="fashion_mnist", surr_a=1.0)).keys() >= {"surr_a"}
    shown = {name: value for rows in configuration(Config()).values() for name, value, _ in rows}
    assert (shown["hid_dim"], shown["eta"], shown["dt"], shown["classes"]) == ("1000", "not given", "0.25", "none")


def test_activity_and_times_by_hand():
    z1 = Activity(spikes_per_pattern=[1.04, 7.0, 1234.56, 9.0], silent=[None, 0.5, 0.1256, 0.5], every_step=[0.0])
    log = RunLog(started="2026-11-27T00:00:00", activity={"z1": z1}, seconds=5400.0, epoch_seconds=[1.0, 2.0, 9.0])
    result = {"epoch": 2, "spikes_per_pattern": {"z1": 2345.67, "z2": 3.0}, "patterns": 10_000}
    names = [f"{what}_{when}" for when in ("before", "trained") for what in Activity.__struct_fields__[:3]]
    assert activity(log, result) == [
        {"layer": "z1", "analyzed": "2,345.7"}
        | dict(zip(names, ["1.0", "", "0.0 %", "1,234.6", "12.6 %", ""], strict=True)),
        {"layer": "z2", "analyzed": "3.0"} | dict.fromkeys(names, ""),
    ]
    assert timings(log, result, 12.34) == {
        "training, with its evaluations": "1.5 h",
        "learning, median of 3 epochs": "2.0 s",
        "this analysis of 10,000 patterns": "12.3 s",
    }
    assert len(timings(RunLog(started="2026-11-27T00:00:00"), result, 1.0)) == 1


@pytest.mark.parametrize("analyzed", ["bfa_snn"], indirect=True)  # the album is both exhibits'
def test_pictures_in_another_format(analyzed, capsys):
    exp, config, stem, _ = analyzed
    commands.analyze(config.exhibit, [f"--exp_dir={exp}", "--format=svg", "--tsne_patterns=20"])
    said = capsys.readouterr().out
    assert {path.stem.removeprefix(f"{stem}_") for path in exp.glob("*.svg")} == PICTURES
    assert "Placing the rate codes of 20 of 41 patterns by t-SNE" in said
    assert re.findall(r"^  .*\.(\w+)$", said, re.MULTILINE) == ["svg"] * len(PICTURES)


def test_without_a_temperature_nothing_is_called_calibrated(analyzed, tmp_path, monkeypatch, unpictured, capsys):
    exp, config, *_ = analyzed
    here = shutil.copytree(exp, tmp_path / "exp")
    monkeypatch.setattr(analysis, "restore", lambda *given: replace(restore(*given), temperature=None))
    assert "temperature" in (here / "report.html").read_text()
    commands.analyze(config.exhibit, [f"--exp_dir={here}", "--tsne_patterns=20"])
    assert "=> Not calibrated: there was no development set" in capsys.readouterr().out
    text = Page((here / "report.html").read_text()).text
    assert "ECE" in text and "calibrated" not in text and "temperature" not in text


def test_wrong_flags_are_refused():
    with pytest.raises(UserError, match="--tsne_patterns -1: expected at least 0"):
        Analysis(tsne_patterns=-1)
    with pytest.raises(UserError, match=r"gif.*--help"):
        commands.analyze("bfa_snn", ["--format=gif"])


def test_pictures_say_which_network_they_are_of():
    summary = "36-20-4"
    said = caption_of(Config.RECIPES["best"], summary, 7)
    assert said == "bfa_snn; 36-20-4; recipe best; mnist; seed 1234; epoch 7 of 30"
    files: Any = {name: Path(f"{name}.npy") for name in ("dataX", "dataY", "devX", "devY")}
    said = caption_of(Config(T=50, seed=5, **files), summary, 1)
    assert said == "bfa_snn; 36-20-4; recipe page with T 50; own data; seed 5; epoch 1 of 30"


@pytest.mark.parametrize(("join_dev", "n"), [(False, 300), (True, 320)])
def test_curves_say_which_epoch_was_kept_and_how_many_patterns_they_are_of(join_dev, n, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(Album, "add", lambda self, name, axes, *_: drawn.update({name: axes}))
    for name in ("trAcc", "acc", "trNll", "nll"):
        np.save(tmp_path / f"{name}.npy", np.array([0.1, 0.2, 0.5, 0.4]))
    records = {f"{name}X": ArrayRecord("x", (n, 36), "float32", 64 * "0") for name, n in (("data", 300), ("dev", 20))}
    best = {"best_epoch": 2, "best_dev_acc": 0.5, "best_dev_nll": 0.5}
    log = RunLog(started="2026-11-27T00:00:00", format=2, form=Form(36, None, 4), data=records, epochs_done=3, **best)
    add_curves(Album(tmp_path, "x", ""), tmp_path, Config(join_dev=join_dev), log)
    assert list(drawn) == ["likelihood", "accuracy"]
    for axes, more in zip(drawn.values(), ("", ", 10.0 % before training"), strict=True):
        said = [text.get_text() for text in axes.get_legend().get_texts()]
        assert said == [f"train ({n} patterns){more}", f"dev{more}", "epoch 2, the best on dev"]


def test_curves_are_read_while_a_training_writes_them(tmp_path):
    log = RunLog(started="2026-11-27T00:00:00", epochs_done=3, best_epoch=2, best_dev_acc=1.0, best_dev_nll=1.0)
    for name, n in (("trAcc", 4), ("acc", 4), ("trNll", 3), ("nll", 3)):
        np.save(tmp_path / f"{name}.npy", np.linspace(0, (n - 1) / 2, n))
    curves = curves_of(tmp_path, log)
    assert all(values.tolist() == [0.0, 0.5, 1.0] for values in curves.values()) and len(curves) == 4


def test_curves_that_are_damaged_are_refused(tmp_path):
    log = RunLog(started="2026-11-27T00:00:00", epochs_done=2, best_epoch=2, best_dev_acc=1.0, best_dev_nll=1.0)
    assert curves_of(tmp_path, log) == {}  # a packed network has none
    for name in ("trAcc", "acc", "trNll", "nll"):
        np.save(tmp_path / f"{name}.npy", np.linspace(0, 1, 3))
    assert [len(values) for values in curves_of(tmp_path, log).values()] == [3] * 4
    for value in (0.5, None):
        edited = msgspec.structs.replace(log, best_dev_nll=value)
        with pytest.raises(UserError, match=r"another accuracy or NLL of epoch 2 than acc\.npy"):
            curves_of(tmp_path, edited)
    damaged = b"\x93NUMPY\x01\x00\x08\x00{'descr'"
    for content in (b"x" * 200, b"", damaged):
        (tmp_path / "acc.npy").write_bytes(content)
        with pytest.raises(UserError, match=r"acc\.npy: not a \.npy file; expected"):
            curves_of(tmp_path, log)
    np.save(tmp_path / "acc.npy", np.zeros(1))
    with pytest.raises(UserError, match=r"different lengths .*acc 1"):
        curves_of(tmp_path, log)
    for values in (np.zeros((3, 1)), np.zeros(10_002)):
        np.save(tmp_path / "acc.npy", values)
        with pytest.raises(UserError, match="a number for each epoch"):
            curves_of(tmp_path, log)


def test_no_text_of_a_table_is_a_formula(tmp_path):
    harmless = {"run": "a=b", "eta": "-0.5,-1e-3", "n": -3, "best": None, "hardware": "CPU, 2 cores"}
    formulas = dict(zip(harmless, ("=1+1", "+cmd|x", "-A1", "@SUM(A1)", "\t=1"), strict=True))
    write_csv([harmless, formulas], tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        same, changed = csv.DictReader(file)
    assert same == harmless | {"n": "-3", "best": ""}
    assert changed == {name: f"'{text}" for name, text in formulas.items()}


def test_names_of_compared_folders_can_be_written(monkeypatch):
    monkeypatch.setattr(comparison, "_load", lambda folder, name: name)
    assert comparison.load([Path("/runs/a\udcff\x1b[1m"), Path("/runs/é")]) == ["a\\udcff\\x1b[1m", "é"]
