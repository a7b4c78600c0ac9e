"""The live exhibits of docs/live, in Node: spike for spike equal to Python.

Node runs the pages' own files; both sides use the weights that the pages load, which are rounded to int8.
"""

import base64
import json
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from exhibits.bfa_snn.config import CircuitConfig as BFAConfig
from exhibits.bfa_snn.config import Config
from exhibits.bfa_snn.model import BFA_SNN
from exhibits.common.circuit.seeds import Keys
from exhibits.common.data.loading import load_patterns
from exhibits.common.experiment.evaluation import predicted_label
from exhibits.glsnn.config import CircuitConfig as GLSNNConfig
from exhibits.glsnn.model import GLSNN

LIVE = Path(__file__).resolve().parents[1] / "docs" / "live"
NODE = shutil.which("node")
KINDS = {"bfa_snn": (BFA_SNN, BFAConfig), "glsnn": (GLSNN, GLSNNConfig)}
BYTES = 4_000_000  # at most, of everything that a visitor's browser may load

pytestmark = pytest.mark.skipif(NODE is None, reason="there is no node to run the pages' scripts in")


@pytest.fixture(autouse=True, scope="module")
def as_users_compile():
    """With all optimizations, which decide where a product and a sum are rounded once."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


def few_and_many(few: int, many: int):
    """Parameters of a test: a quick number, and a slow one."""
    return [few, pytest.param(many, marks=pytest.mark.slow)]


def generated(name: str) -> dict:
    """What docs/live/weights.py wrote to a file."""
    text = (LIVE / f"{name}.js").read_text()
    return json.loads(text[text.index(f".{name} = ") + len(f".{name} = ") : text.rindex(";")])


def unpacked(text: str, dtype="float32") -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


def packed(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """The 200 held-out pictures of the pages, (N, D) bytes, and their labels."""
    held_out = generated("digits")["heldOut"]
    return unpacked(held_out["images"], "uint8").reshape(-1, held_out["size"]), np.array(
        [*map(int, held_out["labels"])]
    )


@pytest.fixture(scope="module")
def test_set() -> tuple[np.ndarray, np.ndarray]:
    (_, form, _) = load_patterns(Config(), "data")
    (x, y), *_ = load_patterns(Config(), "test", form)
    return np.rint(255 * x).astype(np.uint8), y.argmax(axis=1)


def network(name: str, n_updates: float = np.inf, **values):
    """Python's circuit with the pages' weights.

    Args:
        name: of the exhibit.
        n_updates: infinite: it learns at the initial learning rates.
        values: what to change of the configuration.
    """
    shipped = generated(f"{name}_weights")
    kind, config = KINDS[name]
    fields = {field: tuple(v) if isinstance(v, list) else v for field, v in shipped["config"].items()}
    D, *_, C = shipped["sizes"]
    net = kind(None, D, C, config(**(fields | values)))
    net.n_updates, net._seed = n_updates, shipped["seed"]
    net.set_parameters(net.get_parameters() | matrices(shipped, net) | biases(shipped))
    return net


def biases(shipped: dict) -> dict:
    return {f"{part}.biases": jnp.asarray(unpacked(text))[None] for part, text in shipped["biases"].items()}


def matrices(shipped: dict, net) -> dict:
    found = {}
    for part, matrix in shipped["matrices"].items():
        q, scale = unpacked(matrix["q"], "int8"), unpacked(matrix["scale"])
        w = q.reshape(-1, len(scale)).astype(np.float32) * scale
        if "first" in matrix:  # only what is inside of each cell's receptive field, column by column
            inside = np.asarray(net["W1"].mask.get()) > 0
            whole = np.zeros(inside.shape, np.float32)
            whole.T[inside.T] = w.T.reshape(-1)
            w = whole
        found[f"{part}.weights"] = jnp.asarray(w)
    return found


def in_node(tmp_path: Path, job: str, name: str | None = None, images: np.ndarray | None = None, **fields):
    """What tests/live_node.js answers."""
    if name:
        fields |= {"name": f"{name}_weights", "weightsFile": str(LIVE / f"{name}_weights.js")}
    if images is not None:
        fields["images"] = packed(images)
    (tmp_path / "job.json").write_text(json.dumps({"job": job} | fields))
    command = [NODE, str(Path(__file__).with_name("live_node.js")), str(tmp_path / "job.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def fused() -> bool:
    """Whether this CPU has fused multiply-add, with which XLA and LLVM compute and the pages as well."""
    cpu = Path("/proc/cpuinfo")
    return platform.machine() in ("arm64", "aarch64") or (cpu.exists() and " fma " in cpu.read_text())


def assert_same(here: np.ndarray, there: np.ndarray) -> None:
    """Bit for bit; without fused multiply-add to rounding."""
    if fused():
        np.testing.assert_array_equal(here, there)
    else:
        np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-6)


def test_keys_are_those_of_jax(tmp_path):
    answer = in_node(tmp_path, "random", seed=1234, n=7)
    key = Keys.of(1234).test
    assert answer["key"] == jax.random.PRNGKey(1234).tolist()
    assert answer["test"] == key.tolist()
    assert answer["folded"] == jax.random.fold_in(key, 7).tolist()


def test_tanh_is_that_of_xla(tmp_path):
    x = np.concatenate([np.linspace(-25, 25, 5001), np.logspace(-8, 0, 500)]).astype(np.float32)
    assert_same(unpacked(in_node(tmp_path, "tanh", x=packed(x))), np.asarray(jax.jit(jnp.tanh)(x)))


@pytest.mark.parametrize("n", few_and_many(3, 200))
def test_every_spike_current_and_potential_of_the_bfa_snn(n, tmp_path, digits):
    x = digits[0][:n]
    compartments = [
        f"{part}{layer}.{what}" for layer in (1, 2) for part, what in (("z", "v"), ("z", "s"), ("z", "onset"))
    ]
    compartments += ["z0.outputs", "W1.outputs", "W2.outputs"]
    B = 20
    seen = network("bfa_snn", batch_size=B).record(x, {where: where for where in compartments})
    for first in range(0, n, B):
        answers = in_node(tmp_path, "bfaRecord", "bfa_snn", x[first : first + B], minibatch=first // B)
        for where in compartments:
            here = seen[where][first : first + B]
            there = np.stack([unpacked(answer[where]).reshape(here.shape[1:]) for answer in answers])
            if where in ("z0.outputs", "z1.s", "z1.onset", "z2.s", "z2.onset"):
                np.testing.assert_array_equal(there, here, err_msg=where)
            else:
                assert_same(there, here)
    assert seen["z1.onset"].sum() > 100 * n


@pytest.mark.parametrize("n", few_and_many(40, 10_000))
def test_answers_of_the_bfa_snn(n, tmp_path, request):
    x, labels = request.getfixturevalue("test_set" if n > 200 else "digits")
    net = network("bfa_snn", batch_size=250)
    out = net.read(x[:n] / np.float32(255), np.zeros((n, 10), np.float32), Keys.of(net._seed).test)
    assert_same_answers(out, in_node(tmp_path, "bfaRead", "bfa_snn", x[:n], batch=250), labels[:n])


@pytest.mark.parametrize("n", few_and_many(20, 10_000))
def test_answers_of_the_glsnn(n, tmp_path, request):
    x, labels = request.getfixturevalue("test_set" if n > 200 else "digits")
    net = network("glsnn", batch_size=1)
    out = net.read(x[:n] / np.float32(255), np.zeros((n, 10), np.float32), Keys.of(net._seed).test)
    assert_same_answers(out, in_node(tmp_path, "glsnnRead", "glsnn", x[:n]), labels[:n])


def assert_same_answers(out: dict, answer: dict, labels: np.ndarray) -> None:
    np.testing.assert_array_equal(unpacked(answer["count"]).reshape(-1, 10), out["count"])
    assert_same(unpacked(answer["logit"]).reshape(-1, 10), out["logit"])
    np.testing.assert_array_equal(answer["label"], predicted_label(out["count"], out["logit"]))
    assert (answer["label"] == labels).mean() > 0.9


@pytest.mark.parametrize("n_minibatches", few_and_many(2, 20))
def test_learning_of_the_bfa_snn(n_minibatches, tmp_path, digits):
    B = 10
    x, labels = (values[: B * n_minibatches] for values in digits)
    net = network("bfa_snn", batch_size=B, synapses="event")
    before = net.get_parameters()
    y = np.eye(10, dtype=np.float32)[labels]
    out = net.read(x / np.float32(255), y, Keys.of(net._seed).test, learn=True)
    answer = in_node(tmp_path, "bfaLearn", "bfa_snn", x, labels=labels.tolist(), batch=B)
    np.testing.assert_array_equal(unpacked(answer["count"]).reshape(-1, 10), out["count"])
    for name, what in (("W1", "weights"), ("b1", "biases"), ("W2", "weights"), ("b2", "biases")):
        after = net.get_parameters()[f"{name.replace('b', 'W')}.{what}"]
        there = unpacked(answer[name]).reshape(after.shape)
        if jax.__version_info__ >= (0, 12):
            assert_same(there, np.asarray(after))
        else:  # its XLA rounds some signals differently in the last bit
            np.testing.assert_allclose(there, after, atol=1e-6)
        assert np.any(after != before[f"{name.replace('b', 'W')}.{what}"])


def test_damage_is_that_of_the_weights(tmp_path, digits):
    damage = {"cells": 0.3, "synapses": 0.2}
    x, _ = (values[:20] for values in digits)
    answer = in_node(tmp_path, "bfaRead", "bfa_snn", x, batch=20, damage=damage)
    net = network("bfa_snn", batch_size=20)
    whole = net.get_parameters()["W2.weights"]
    W = {name: unpacked(answer["weights"][name]) for name in ("W1", "b1", "W2")}
    shapes = {"W1": ("W1.weights", (784, 1000)), "b1": ("W1.biases", (1, 1000)), "W2": ("W2.weights", (1000, 10))}
    new = {where: jnp.asarray(W[name].reshape(shape)) for name, (where, shape) in shapes.items()}
    net.set_parameters(net.get_parameters() | new)
    out = net.read(x / np.float32(255), np.zeros((20, 10), np.float32), Keys.of(net._seed).test)
    np.testing.assert_array_equal(unpacked(answer["count"]).reshape(-1, 10), out["count"])
    assert (W["W1"].reshape(784, 1000) == 0).all(axis=0).sum() >= 300
    survived = W["W2"].reshape(1000, 10)[np.asarray(whole) != 0] != 0
    assert 0.78 < survived.mean() < 0.82


@pytest.mark.parametrize("n", few_and_many(3, 200))
def test_every_spike_current_and_potential_of_the_glsnn(n, tmp_path, digits):
    x = digits[0][:n]
    net = network("glsnn", batch_size=1)
    at_each_step = [f"z{layer}.{what}" for layer in net.layers for what in ("s", "v")]
    at_the_end = [where.format(layer) for layer in net.layers for where in ("W{}.outputs", "z{}.rate")]
    to_rounding = [f"z{layer}.sensitivity" for layer in net.layers]  # only learning needs it
    seen = net.record(x, {name: name for name in at_each_step + at_the_end + to_rounding})
    for i, answer in enumerate(in_node(tmp_path, "glsnnRecord", "glsnn", x)):
        for name in at_each_step:
            assert_same(unpacked(answer[name]).reshape(seen[name][i].shape), seen[name][i])
        for name in at_the_end:  # the current is constant
            assert_same(unpacked(answer[name]), seen[name][i, -1])
        for name in to_rounding:
            np.testing.assert_allclose(unpacked(answer[name]), seen[name][i, -1], rtol=1e-4, atol=1e-6, err_msg=name)


def test_learning_of_the_glsnn(tmp_path, digits):
    """The digit gets a wrong label: Adam's first step is the sign of an error, and that of 0 is rounding."""
    x, labels = digits[0][:1], (digits[1][:1] + 1) % 10
    net = network("glsnn", batch_size=1, in_dropout=0.0, hid_dropout=0.0)
    before = net.get_parameters()
    net.read(x / np.float32(255), np.eye(10, dtype=np.float32)[labels], Keys.of(net._seed).test, learn=True)
    answer = in_node(tmp_path, "glsnnLearn", "glsnn", x, labels=labels.tolist())
    for n in net.layers:
        for name, what in ((f"W{n}", "weights"), (f"b{n}", "biases")):
            was, new = (np.asarray(values[f"W{n}.{what}"]) for values in (before, net.get_parameters()))
            moved = unpacked(answer[name]).reshape(new.shape) - was
            np.testing.assert_allclose(moved, new - was, rtol=0.01, atol=1e-5, err_msg=name)
            assert np.abs(moved).max() > 9e-4  # the learning rate is 1e-3


@pytest.mark.parametrize("name", KINDS)
def test_the_hashes_that_the_page_checks_itself_by(name, tmp_path):
    samples = generated("digits")["samples"]
    x = unpacked(samples["images"], "uint8")
    job = {"bfa_snn": "bfaHashes", "glsnn": "glsnnHashes"}[name]
    hashes = in_node(tmp_path, job, name, x)
    assert len(set(hashes)) == 20
    assert hashes == generated(f"{name}_weights")["check"]


def test_a_drawing_becomes_a_picture_like_those_of_mnist(tmp_path, digits):
    x = digits[0][:10]
    drawn = x.reshape(-1, 28, 28).repeat(10, axis=1).repeat(10, axis=2)
    for picture, there in zip(x, in_node(tmp_path, "toMnist", images=drawn, width=280, height=280), strict=True):
        there = unpacked(there, "uint8")
        assert abs(there.astype(int) - picture).max() <= 8  # the page takes fainter ink for none


@pytest.mark.parametrize("name", KINDS)
def test_the_pages_have_the_pretrained_weights(name):
    folder = LIVE.parents[1] / "exhibits" / name / "pretrained" / {"bfa_snn": "best", "glsnn": "mnist"}[name]
    if not folder.exists():
        pytest.skip(f"there is no {folder}")
    with np.load(folder / "weights.npz", allow_pickle=False) as arrays:
        assert generated(f"{name}_weights")["matrices"]["W2"]["q"] == packed(arrays["W2.weights"]), (
            "run docs/live/weights.py"
        )


def test_weights_of_no_network_are_refused(tmp_path):
    command = [sys.executable, str(LIVE / "weights.py"), "--glsnn", str(tmp_path), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --") and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_pages_are_small_and_ask_nobody_for_anything():
    files = [path for path in LIVE.rglob("*") if path.suffix in (".html", ".js", ".css")]
    assert sum(path.stat().st_size for path in files) <= BYTES
    for path in files:
        assert not re.search(r"https?://|fetch\(|XMLHttpRequest|import\(|@import|url\((?!data:)", path.read_text()), (
            path
        )
