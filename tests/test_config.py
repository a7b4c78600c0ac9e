"""What configurations hold: recipes, data sets, types, config.json."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exhibits.bfa_snn import config as bfa_config
from exhibits.bfa_snn.config import Config
from exhibits.common.data.datasets import MNIST
from exhibits.common.data.form import Form
from exhibits.common.experiment.config import from_json, to_json
from exhibits.common.experiment.flags import from_command_line
from exhibits.common.library.exhibit import Exhibit
from exhibits.common.system.errors import UserError
from exhibits.common.system.places import REPOSITORY
from exhibits.glsnn import config as deep_config


def test_defaults_are_the_seed_pages():
    config = from_command_line(Config, [])
    assert (config.T, config.dt, config.tau_m, config.resist_m, config.thr, config.refract_time) == (
        100,
        0.25,
        20,
        1,
        0.4,
        1,
    )
    assert (config.burn_in, config.weight_std, config.batch_size, config.epochs) == (20, 0.055, 250, 30)
    assert (config.hid_dim, config.input_gain, config.encoder, config.seed) == ((1000,), 0.25, "bernoulli", 1234)


def test_both_spellings_of_a_flag():
    flags = ["--dataX=a.npy", "--dataY", "b.npy", "--devX", "c.npy", "--devY=d.npy"]
    config = from_command_line(Config, [*flags, "--hid_dim", "30", "20", "--exp-dir", "e"])
    assert (config.dataX, config.devY) == (Path.cwd() / "a.npy", Path.cwd() / "d.npy")
    assert (config.hid_dim, config.exp_dir) == ((30, 20), Path("e"))


def test_glsnn_defaults_are_brain_cogs_and_data_sets_have_names():
    config = from_command_line(deep_config.Config, ["--dataset", "fashion_mnist"])
    assert (config.T, config.dt, config.tau_m, config.thr, config.surr_a, config.lr_target) == (10, 1, 2, 0.5, 2, 0.4)
    assert (config.hid_dim, config.eta, config.batch_size) == ((800, 800, 800), 1e-3, 100)
    assert config.files()["dataX"].parts[-2:] == ("fashion_mnist", "trainX.npy")
    assert from_command_line(deep_config.Config, []).files()["devX"].parts[-2:] == ("mnist", "validX.npy")
    assert from_command_line(Config, ["--dataset", "fashion_mnist"]).files() == config.files()


OWN = ["--dataX=~/x.npy", "--dataY=y.npy", "--devX=../v.npy", "--devY=w.npy"]


def test_own_files_are_a_data_set_of_their_own(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    config = from_command_line(Config, OWN)
    assert config.dataset is None and sorted(config.files()) == ["dataX", "dataY", "devX", "devY"]
    assert config.files()["dataX"] == Path("/home/me/x.npy") and config.files()["devX"] == Path.cwd().parent / "v.npy"
    assert config.picture_stem("bfasnn") == "bfasnn"
    assert Config().picture_stem("bfasnn") == "bfasnn_mnist"
    config = from_command_line(deep_config.Config, [*OWN, "--testX=t.npy", "--testY=u.npy"])
    assert config.files()["testY"] == Path.cwd() / "u.npy" and config.receptive_field == 0


def test_files_of_a_known_data_set_are_that_data_set(monkeypatch):
    """However they are spelled: the museum page's commands name MNIST's arrays."""
    monkeypatch.chdir(REPOSITORY / "exhibits" / "bfa_snn")
    names = {"dataX": "trainX", "dataY": "trainY", "devX": "validX", "devY": "validY"}
    flags = [f"--{flag}=../../data/mnist/{name}.npy" for flag, name in names.items()]
    assert from_command_line(Config, flags) == from_command_line(Config, ["--dataset", "mnist"]) == Config()
    assert from_command_line(Config, flags[:1]) == Config()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--dataset", "mnist", *OWN], ["--dataX", "--dataset mnist", "not both"]),
        (["--dataset", "fashion_mnist", f"--dataX={MNIST / 'trainX.npy'}"], ["--dataX", "--dataset fashion_mnist"]),
        (["--dataset", "mnist", "--testX=t.npy", "--testY=t.npy"], ["--testX", "not both"]),
        (OWN[:2], ["--dataX --dataY", "also need --devX --devY"]),
        (OWN[2:], ["--devX --devY", "also need --dataX --dataY"]),
        ([*OWN, "--testX=t.npy"], ["--testY"]),
        ([*OWN[:3], f"--devY={MNIST / 'validY.npy'}", "--testY=u.npy"], ["--testX"]),
        ([*OWN, "--classes", "a", "a"], ["--classes a a", "different name"]),
    ],
    ids=str,
)
def test_paths_of_no_one_data_set_are_refused(flags, words):
    with pytest.raises(UserError) as error:
        from_command_line(Config, flags)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("value", ["1e-320", "1e-13", "1e13", "1e308", "0", "-1"])
@pytest.mark.parametrize("name", ["thr", "tau_m", "dt", "resist_m", "gamma", "weight_std", "surr_c2"])
def test_numbers_far_from_what_float32_can_add_up_are_refused(name, value):
    with pytest.raises(UserError, match=rf"--{name} .*expected"):
        from_command_line(Config, [f"--{name}={value}"])


def test_a_recipe_is_what_flags_that_are_not_given_come_from():
    best = bfa_config.Config.RECIPES["best"]
    assert from_command_line(bfa_config.Config, ["--recipe", "best"]) == best
    assert from_command_line(bfa_config.Config, []) == bfa_config.Config.RECIPES["page"] == bfa_config.Config()
    changed = from_command_line(bfa_config.Config, ["--eta_gain", "3", "--recipe=best", "--hid_dim", "20", "30"])
    assert changed == dataclasses.replace(best, eta_gain=3.0, hid_dim=(20, 30))
    assert (best.input_gain, best.schedule, changed.recipe) == (
        0.5,
        "cosine",
        "best with eta_gain 3.0, hid_dim 20 30",
    )
    with pytest.raises(UserError, match="--recipe"):
        from_command_line(bfa_config.Config, ["--recipe", "None"])
    with pytest.raises(UserError, match="--recipes: unknown flag; did you mean --recipe"):
        from_command_line(bfa_config.Config, ["--recipes", "best"])
    with pytest.raises(TypeError, match="recipe"):  # no value could be told from one that was given
        bfa_config.Config(recipe="best")  # pyright: ignore[reportCallIssue]  (which is what is tested)


def test_glsnn_recipe_follows_the_data_set_unless_it_is_named(capsys):
    recipes = deep_config.Config.RECIPES
    values = ("receptive_field", "surr_a", "weight_decay", "in_dropout", "hid_dropout")
    for name, recipe in recipes.items():
        data = OWN if name == "own" else ["--dataset", name]
        config = from_command_line(deep_config.Config, [*data, "--in_dropout", "0"])
        assert [getattr(config, v) for v in values] == [
            getattr(dataclasses.replace(recipe, in_dropout=0.0), v) for v in values
        ]
        assert config.dataset == (None if name == "own" else name) and config.epochs == 60
        alone = from_command_line(deep_config.Config, ["--recipe", name])
        assert alone.dataset == ("mnist" if name == "own" else name)
        named = from_command_line(deep_config.Config, [*OWN, "--recipe", name])
        assert (named.dataset, named.surr_a, named.recipe) == (None, recipe.surr_a, name)
    with pytest.raises(SystemExit):
        from_command_line(deep_config.Config, ["--dataset", "fashion_mnist", "--help"])
    assert "(default: fashion_mnist)" in capsys.readouterr().out


@pytest.mark.parametrize("data", [[], ["--dataset", "fashion_mnist"], [*OWN, "--classes", "a", "b"]], ids=str)
def test_json_round_trip(data, tmp_path):
    values = ["--hid_dim", "3", "4", "--eta", "0.1", "0.2", "0.3", "--encoder", "rate", "--tau_m", "7"]
    config = from_command_line(Config, [*data, *values, f"--exp_dir={tmp_path}"])
    path = tmp_path / "config.json"
    path.write_text(json.dumps(to_json(config)))
    assert from_json(Config, path) == config


def test_formats(tmp_path):
    path, values = tmp_path / "config.json", to_json(Config())

    def read(changed):
        path.write_text(json.dumps(changed))
        return from_json(Config, path)

    old = {name: value for name, value in values.items() if name not in ("format", *Config.ADDED)}
    paths = {"dataX": "trainX", "dataY": "trainY", "devX": "validX", "devY": "validY"}
    mnist = {flag: f"/another/copy/data/mnist/{name}.npy" for flag, name in paths.items()}
    assert read(old | mnist) == Config()  # format 1 had no number, and named MNIST's files
    second = {name: value for name, value in values.items() if name != "init_from"} | {"format": 2, "recipe": "page"}
    assert read(second) == Config()
    own = read(old | mnist | {"devX": "/my/validX.npy"})
    assert own.dataset is None and own.dataX == Path(mnist["dataX"])
    with pytest.raises(UserError, match="of format 8; this version reads 1 to 7"):
        read(values | {"format": 8})
    with pytest.raises(UserError, match=r"unknown surprise \(format 7\)"):
        read(values | {"surprise": 1})
    with pytest.raises(UserError, match=r"config\.json: --in_dropout 1\.5: expected at least 0"):
        read(values | {"in_dropout": 1.5})
    with pytest.raises(UserError, match="lacks classes"):
        read({name: value for name, value in values.items() if name != "classes"})
    assert read(values) == Config()
    with pytest.raises(UserError, match=r"unknown burn_in,.*configuration of glsnn"):
        from_json(deep_config.Config, path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v: v | {"T": "100"}, "T: Expected `int`, got `str`"),
        (lambda v: v | {"T": True}, "T: Expected `int`, got `bool`"),
        (lambda v: v | {"T": 1e9}, "T: Expected `int`, got `float`"),
        (lambda v: v | {"tau_m": None}, "tau_m: Expected `float`, got `null`"),
        (lambda v: v | {"hid_dim": []}, "--hid_dim : expected one or more numbers above 0"),
        (lambda v: v | {"hid_dim": 30}, "hid_dim: Expected `array`, got `int`"),
        (lambda v: v | {"hid_dim": [30, "40"]}, "hid_dim[1]: Expected `int`, got `str`"),
        (lambda v: v | {"encoder": "poisson"}, "encoder: Invalid enum value 'poisson'"),
        (lambda v: v | {"surprise": 1}, "unknown surprise (format 7)"),
        (lambda v: {k: v[k] for k in v if k != "dt"}, "lacks dt; expected"),
        (lambda v: [v], "not JSON as expected (Expected `object`, got `array`)"),
        (lambda v: None, "not JSON as expected (Expected `object`, got `null`)"),
    ],
)
def test_damaged_json_is_refused_in_one_line(tmp_path, change, said):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(change(to_json(Config()))))
    with pytest.raises(UserError) as refused:
        from_json(Config, path)
    assert str(refused.value).startswith(f"{path}: {said}") and "\n" not in str(refused.value)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b" " * (20 << 20), b'{"T": NaN}'])
def test_what_is_not_json_is_refused(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_bytes(text)
    with pytest.raises(UserError, match=r"config\.json"):
        from_json(Config, path)
    with pytest.raises(UserError, match=r"No such file"):
        from_json(Config, tmp_path / "none.json")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"encoder": "poisson"}, "--encoder 'poisson': expected bernoulli, rate"),
        ({"dataset": "cifar"}, "--dataset 'cifar': expected mnist, fashion_mnist"),
        ({"resume": "x"}, "--resume 'x': expected auto, never, must"),
        ({"seed": 1.5}, "--seed 1.5: expected int"),
        ({"T": "50"}, "--T '50': expected int"),
        ({"T": True}, "--T True: expected int"),
        ({"hid_dim": 100}, "--hid_dim 100: expected tuple"),
        ({"hid_dim": (1.5,)}, r"--hid_dim \(1.5,\): expected int"),
        ({"eta": 0.1}, "--eta 0.1: expected tuple"),
        ({"classes": "cat"}, "--classes 'cat': expected tuple"),
        ({"dale": 1}, "--dale 1: expected bool"),
    ],
    ids=str,
)
def test_values_of_python_code_are_of_the_types_of_the_command_line(values, said):
    for kind in (bfa_config.Config, bfa_config.CircuitConfig):
        if values.keys() <= {field.name for field in dataclasses.fields(kind)}:
            with pytest.raises(UserError, match=f"^{said}$"):
                kind(**values)


def test_the_folder_of_a_run_has_a_name_that_can_be_changed(tmp_path, monkeypatch):
    (tmp_path / "exp").mkdir()
    monkeypatch.chdir(tmp_path / "exp")
    for given, there in ((".", tmp_path / "exp"), ("..", tmp_path), ("exp", Path("exp")), ("a/..", tmp_path / "exp")):
        assert Config(exp_dir=Path(given)).exp_dir == there


def test_analyses_made_in_python_are_checked_as_those_of_the_command_line_are():
    assert bfa_config.Analysis(exp_dir="exp").exp_dir == Path("exp")  # pyright: ignore[reportArgumentType]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"classes": ("a", "a")}, "--classes a a: expected a different name"),
        ({"format": "gif"}, "--format 'gif': expected png"),
    ]
    for values, said in cases:
        with pytest.raises(UserError, match=said):
            bfa_config.Analysis(**values)


def test_lists_numpys_numbers_and_texts_become_what_fields_declare(tmp_path):
    values = {"hid_dim": np.array([5, 6]), "eta_gain": 64, "seed": np.int64(3), "exp_dir": str(tmp_path)}
    config = bfa_config.Config(**values)
    assert config == dataclasses.replace(config, hid_dim=(np.int64(5), np.int32(6)))
    flags = ["--hid_dim", "5", "6", "--eta_gain=64", "--seed=3", f"--exp_dir={tmp_path}"]
    assert config == from_command_line(bfa_config.Config, flags)
    assert [type(value) for value in (*config.hid_dim, config.eta_gain, config.seed)] == [int, int, float, int]
    assert hash(config) == hash(dataclasses.replace(config))


def test_receptive_fields_fit_the_picture_and_are_none_where_they_are_all_of_it():
    wide, square = Form(24, (4, 6), 3), Form(36, (6, 6), 3)
    deep_config.Config(receptive_field=4).require_form(wide)
    with pytest.raises(UserError, match=r"^--receptive_field 5: expected at most 4, as patterns are 4 x 6$"):
        deep_config.Config(receptive_field=5).require_form(wide)
    with pytest.raises(UserError, match=r"^--receptive_field 1: expected 0, as patterns are of 7 pixels, no picture$"):
        deep_config.Config(receptive_field=1).require_form(Form(7, None, 3))
    for side, counts in ((0, 0), (5, 5), (6, 0)):  # networks with 0 and 6 are the same
        assert deep_config.Config(receptive_field=side).numbers(square)["receptive_field"] == counts


def test_an_exhibit_is_called_as_its_folder(monkeypatch):
    monkeypatch.setattr(Config, "exhibit", "other")
    with pytest.raises(TypeError, match=r"exhibits/bfa_snn: Config.exhibit is 'other'; expected 'bfa_snn'"):
        Exhibit.named("bfa_snn")


@pytest.mark.parametrize("name", ["exp_dir", "init_from", "classes"])
def test_names_that_no_file_can_hold_are_refused(name):
    for text in ("a\udcff", "a\0"):  # a byte that is not UTF-8
        value: Any = ("b", text) if name == "classes" else Path(text)
        with pytest.raises(UserError, match=f"--{name} .*: expected text in UTF-8"):
            dataclasses.replace(Config(), **{name: value})


@pytest.mark.parametrize("name", ["T", "batch_size", "hid_dim"])
def test_numbers_beyond_all_memory_are_refused(name):
    with pytest.raises(UserError, match=rf"--{name} 9+: expected at most 1e\+12"):
        from_command_line(Config, [f"--{name}", "9" * 400])


def test_more_layers_than_can_be_compiled_and_names_longer_than_a_picture_are_refused():
    with pytest.raises(UserError, match=r"--hid_dim .*: expected at most 1000 layers"):
        Config(hid_dim=(1,) * 1001)
    with pytest.raises(UserError, match=r"^--classes a{20}\.\.\.: a name of 5000 characters; expected at most 100$"):
        Config(classes=("b", "a" * 5000))
