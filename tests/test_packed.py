"""Networks small enough to ship: 8 bits per weight, opened, analyzed and trained further like any run."""

import json
import shutil
from dataclasses import replace

import jax
import msgspec
import numpy as np
import pytest
from conftest import make_patterns

from exhibits.__main__ import main
from exhibits.bfa_snn import BFA_SNN
from exhibits.common.circuit.circuit import WEIGHTS
from exhibits.common.circuit.seeds import Keys
from exhibits.common.data.form import ArrayRecord, Form
from exhibits.common.experiment import packed
from exhibits.common.experiment.evaluation import interpret
from exhibits.common.experiment.restoring import opened, start_from
from exhibits.common.experiment.schema import RunLog
from exhibits.common.scripts import commands
from exhibits.common.scripts import pack as scripts_pack
from exhibits.common.system.errors import UserError
from exhibits.glsnn import GLSNN

SMALL = {
    "bfa_snn": (BFA_SNN, "--hid_dim=20 --T=30 --burn_in=6 --weight_std=.3 --dale --eta .05 .05"),
    "glsnn": (GLSNN, "--hid_dim 20 15 --centre=.05 --eta=.02"),
}


def test_a_column_is_its_integers_times_its_scale():
    w = np.array([[1.27, 0, -0.5], [-0.635, 0, 0.25]], np.float32)
    arrays = packed.pack({"W1.weights": w, "W1.biases": w[:1], "W1.opt_params": np.float32(3)})
    assert arrays["W1.weights"].dtype == np.int8
    np.testing.assert_array_equal(arrays["W1.weights"], [[127, 0, -127], [-64, 0, 64]])  # half to even: -63.5, 63.5
    np.testing.assert_allclose(arrays["W1.weights:scale"], [0.01, 1, 0.5 / 127], rtol=1e-6)
    found = packed.unpack(arrays, {"W1.weights": w, "W1.biases": 0 * w[:1], "W1.opt_params": np.float32(0)})
    np.testing.assert_allclose(found["W1.weights"], w, atol=0.005)
    np.testing.assert_array_equal(found["W1.biases"], w[:1])
    assert found["W1.opt_params"] == 0


def test_nobodys_folders_are_shipped():
    array = ArrayRecord("/home/me/x.npy", (1, 1), "uint8", "0" * 64)
    command, values = ["train.py", "--dataX", array.path], {"form": Form(1, None, 2), "data": {"dataX": array}}
    shipped = scripts_pack._without_paths(RunLog(started="", format=7, command=command, **values))
    assert shipped.command == ["train.py"] and shipped.data == {"dataX": msgspec.structs.replace(array, path="x.npy")}


@pytest.fixture(scope="module", params=SMALL)
def trained(request, tmp_path_factory):
    """Name, model, flags and folder of a small run on data of its own, and of its packed network."""
    folder = tmp_path_factory.mktemp("packed")
    kind, small = SMALL[request.param]
    flags = [*small.split(), "--batch_size=8", "--epochs=3"]
    for stem, n, seed in (("data", 200, 0), ("dev", 60, 1), ("test", 60, 2)):
        for part, array in zip("XY", make_patterns(n, seed=seed), strict=True):
            np.save(folder / f"{stem}{part}.npy", array)
            flags.append(f"--{stem}{part}={folder / f'{stem}{part}.npy'}")
    commands.train(request.param, [*flags, f"--exp_dir={folder / 'run'}"])
    main(["pack", str(folder / "run"), str(folder / "pretrained")])
    return request.param, kind, flags, folder


def test_it_answers_as_the_run_does(trained):
    _, kind, _, folder = trained
    whole, small = kind.load(folder / "run"), kind.load(folder / "pretrained")
    x, y = make_patterns(60, seed=2)
    np.testing.assert_allclose(small.predict_proba(x), whole.predict_proba(x), atol=0.1)
    assert repr(small) == repr(whole) and small._temperature == whole._temperature != 1
    files = {path.name for path in (folder / "pretrained").iterdir()}
    assert files == {"config.json", "run.json", "weights.npz", "measured.json"}
    said = json.loads((folder / "pretrained" / "measured.json").read_text())
    assert said["acc"] == pytest.approx((small.predict(x) == y.argmax(axis=1)).mean()) and said["set"] == "test set"
    assert str(folder) not in (folder / "pretrained" / "run.json").read_text()


def test_it_is_analyzed_like_a_run(trained, tmp_path, unpictured, capsys):
    name, _, _, folder = trained
    shutil.copytree(folder / "pretrained", tmp_path / "here")
    before = json.loads((tmp_path / "here" / "measured.json").read_text())
    commands.analyze(name, [f"--exp_dir={tmp_path / 'here'}"])
    assert "Analysis of the test set" in capsys.readouterr().out
    (written,) = (tmp_path / "here").glob("*_analysis.json")
    result = json.loads(written.read_text())
    assert len(result.pop("sha256")) == 64 and result == before


@pytest.mark.parametrize("source", ["run", "pretrained"])
def test_a_training_begins_with_its_weights(source, trained, tmp_path):
    name, kind, flags, folder = trained
    here = [*flags, f"--exp_dir={tmp_path / 'exp'}", f"--init_from={folder / source}", "--epochs=1"]
    commands.train(name, here)
    record = json.loads((tmp_path / "exp" / "run.json").read_text())
    assert len(record["choices"]["initial weights"]) == 16
    x, y = np.load(folder / "devX.npy"), np.load(folder / "devY.npy")
    circuit = kind.load(folder / source)
    begun = interpret(circuit.read(x, y, Keys.of(1234).dev), y).correct.mean()
    acc = np.load(tmp_path / "exp" / "acc.npy")
    assert acc[0] == pytest.approx(begun) and acc[0] > 0.6  # from scratch it is chance, 0.25


def test_nothing_but_weights_is_taken_from_another_run(trained, tmp_path):
    _, kind, _, folder = trained
    config, *_ = opened(kind.CONFIG, folder / "run")
    circuit, source = kind(jax.random.PRNGKey(7), 36, 4, config), kind.load(folder / "run").get_parameters()
    fresh = circuit.get_parameters()
    start_from(circuit, replace(config, exp_dir=tmp_path, init_from=folder / "run"))
    for name, value in circuit.get_parameters().items():  # the optimizer, and with it the schedule, begins anew
        expected, other = (source, fresh) if name.endswith(WEIGHTS) else (fresh, source)
        leaves, wanted, unwanted = map(jax.tree.leaves, (value, expected[name], other[name]))
        assert all(map(np.array_equal, leaves, wanted)) and not all(map(np.array_equal, leaves, unwanted)), name


def test_weights_that_do_not_fit_are_refused(trained, tmp_path):
    name, _, flags, folder = trained
    other = {"bfa_snn": ["--hid_dim", "21"], "glsnn": ["--hid_dim", "20", "15", "--receptive_field", "3"]}[name]
    for more, words in (
        (other, [other[-2] if name == "glsnn" else "--hid_dim", "there", "here"]),
        ([f"--init_from={tmp_path}"], ["config.json"]),
        ([f"--init_from={tmp_path / 'gone'}"], ["gone: No such file or directory; expected the folder of a trained"]),
        ([f"--init_from={tmp_path / 'exp'}"], ["--init_from", "give another --exp_dir"]),
    ):
        given = [*flags, f"--exp_dir={tmp_path / 'exp'}", f"--init_from={folder / 'pretrained'}", *more]
        with pytest.raises(UserError) as refused:
            commands.train(name, given)
        assert all(word in str(refused.value) for word in words), refused.value
        assert not (tmp_path / "exp").exists()


def test_weights_of_other_synapses_are_refused(trained, tmp_path):
    name, _, flags, folder = trained
    flag, said = {"bfa_snn": ("--dale", "--dale True there, False here"), "glsnn": ("--centre=.05", "--centre 0.05")}[
        name
    ]
    given = [each for each in flags if each != flag]
    assert len(given) == len(flags) - 1
    with pytest.raises(UserError, match=f"{said}.*expected the same"):
        commands.train(name, [*given, f"--exp_dir={tmp_path / 'exp'}", f"--init_from={folder / 'pretrained'}"])


@pytest.mark.parametrize("trained", ["bfa_snn"], indirect=True)  # whose schedule is constant
def test_a_test_set_given_when_a_run_is_resumed_is_kept(trained, tmp_path, unpictured, capsys):
    name, _, flags, _ = trained
    exp, without = f"--exp_dir={tmp_path / 'exp'}", [flag for flag in flags if not flag.startswith("--test")]
    commands.train(name, [*without, "--epochs=1", exp])
    for given, epochs in ((flags, 2), (without, 3)):
        commands.train(name, [*given, f"--epochs={epochs}", "--resume=must", exp])
    config = json.loads((tmp_path / "exp" / "config.json").read_text())
    assert {f"--testX={config['testX']}", f"--testY={config['testY']}"} < set(flags) and config["epochs"] == 3
    recorded = json.loads((tmp_path / "exp" / "run.json").read_text())["data"]
    assert {config["testX"], config["testY"]} == {recorded[part]["path"] for part in ("testX", "testY")}
    commands.analyze(name, [exp])
    assert "Analysis of the test set, 60 patterns" in capsys.readouterr().out


@pytest.mark.parametrize("trained", ["bfa_snn"], indirect=True)
def test_a_run_is_resumed_when_the_network_that_it_began_with_is_gone(trained, tmp_path):
    name, _, flags, folder = trained
    source, straight = tmp_path / "source", tmp_path / "straight"
    shutil.copytree(folder / "run", source)
    more = [*flags, f"--init_from={source}", "--epochs=2"]
    commands.train(name, [*more, f"--exp_dir={straight}"])
    exp = f"--exp_dir={tmp_path / 'exp'}"
    commands.train(name, [*more, exp, "--epochs=1"])
    shutil.rmtree(source)
    commands.train(name, [*more, exp, "--resume=must"])
    for curve in ("acc.npy", "nll.npy"):
        np.testing.assert_array_equal(np.load(tmp_path / "exp" / curve), np.load(straight / curve))


def test_a_packed_network_has_no_curves_to_compare(trained):
    *_, folder = trained
    with pytest.raises(UserError, match="pretrained: a network without the curves"):
        main(["compare", str(folder / "pretrained")])


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "stranger"])
def test_damaged_weights_are_refused_in_one_line(damage, trained, tmp_path):
    _, kind, _, folder = trained
    shutil.copytree(folder / "pretrained", tmp_path / "here")
    path = tmp_path / "here" / "weights.npz"
    data = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        data[data.index(b"W1.weights.npy") + 400] ^= 1
        path.write_bytes(data)
    elif damage == "gone":
        path.unlink()
    else:
        np.savez(path, record=np.zeros(3, np.uint8))
    with pytest.raises(UserError, match=r"weights\.npz|no saved parameters"):
        kind.load(tmp_path / "here")


def test_an_edited_configuration_is_refused(trained, tmp_path):
    _, kind, _, folder = trained
    config = json.loads((shutil.copytree(folder / "pretrained", tmp_path / "here") / "config.json").read_text())
    (tmp_path / "here" / "config.json").write_text(json.dumps(config | {"thr": 0.3}))
    with pytest.raises(UserError, match=r"weights\.npz: of another run, differs in thr \(0\.\d there, 0\.3 here\)"):
        kind.load(tmp_path / "here")


def test_what_cannot_be_packed_is_refused(trained, tmp_path, monkeypatch):
    *_, folder = trained
    dangling = folder / "dangling"
    dangling.symlink_to("nowhere")
    for args, words in (
        ([str(folder), str(tmp_path / "x")], "run.json"),
        ([str(folder / "run"), str(folder)], "exists"),
        ([str(folder / "pretrained"), str(tmp_path / "x")], "is packed already"),
        ([str(folder / "run"), str(dangling)], "exists"),
        ([str(folder / "run"), str(folder / "dataX.npy" / "x")], "expected a folder that can be written to"),
        ([], "expected RUN, TARGET"),
    ):
        with pytest.raises(UserError, match=words):
            main(["pack", *args])
    edited = shutil.copytree(folder / "run", tmp_path / "edited")
    log = json.loads((edited / "run.json").read_text())
    (edited / "run.json").write_text(json.dumps(log | {"best_dev_acc": 0.99}))
    with pytest.raises(UserError, match=r"run\.json has another best epoch \(\d, dev accuracy 0.99\)"):
        main(["pack", str(edited), str(tmp_path / "x")])
    (edited / "run.json").write_text(json.dumps(log | {"finished": None}))
    with pytest.raises(UserError, match="not finished, after 3 epochs; the command that began it resumes it"):
        main(["pack", str(edited), str(tmp_path / "x")])
    (edited / "run.json").write_text(json.dumps(log))
    config = json.loads((edited / "config.json").read_text())
    (edited / "config.json").write_text(json.dumps(config | {"testX": None, "testY": None}))
    with pytest.raises(UserError, match="has no test set; train with --testX --testY"):
        main(["pack", str(edited), str(tmp_path / "x")])
    shutil.rmtree(edited)
    monkeypatch.setattr(scripts_pack, "evaluate", lambda *_: ({"acc": accuracies.pop(0)},))
    accuracies = [0.9, 0.8997]
    with pytest.raises(UserError, match=r"from 0\.9000 to 0\.8997"):
        main(["pack", str(folder / "run"), str(tmp_path / "worse")])
    assert not list(tmp_path.iterdir()), "nothing half-written is left"

    def full(*_):
        raise OSError(28, "No space left on device")

    accuracies = [0.9]
    monkeypatch.setattr(scripts_pack.packed, "save", full)
    with pytest.raises(UserError, match=r"worse: No space left on device; nothing was packed"):
        main(["pack", str(folder / "run"), str(tmp_path / "worse")])
    assert not list(tmp_path.iterdir()), "nothing half-written is left"
    for args in ([], ["unpack"]):
        with pytest.raises(UserError, match="expected one of compare, sweep, pack"):
            main(args)
