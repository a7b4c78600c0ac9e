"""Writes the weights, digits and self-checks of the live exhibits: docs/live/*_weights.js and digits.js."""

import base64
import dataclasses
import json
import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))  # this repository's, whatever else is installed

from exhibits.common.system.errors import UserError, reported

DEFAULTS = {"bfa_snn": "exhibits/bfa_snn/pretrained/best", "glsnn": "exhibits/glsnn/pretrained/mnist"}
D, C = 784, 10
SAMPLES, HELD_OUT, LESSONS = 2, 20, 40  # digits of each class

CREDIT = "// Images of MNIST by Y. LeCun, C. Cortes and C. J. C. Burges, CC BY-SA 3.0, repackaged: see NOTICE.\n"


def main() -> None:
    """Writes the files."""
    from exhibits.common.system.commandline import Parser, path

    parser = Parser(__doc__)
    for name, folder in DEFAULTS.items():
        text = f"folder of the pretrained network; by default {folder}"
        parser.add_argument(f"--{name}", type=path, default=ROOT / folder, metavar="DIR", help=text)
    parser.add_argument("--out", type=path, default=HERE, metavar="DIR", help="where to write; by default docs/live")
    arguments = parser.parse_args()
    for name in DEFAULTS:
        require_pretrained(name, getattr(arguments, name))
    digits = choose_digits()
    write(arguments.out / "digits.js", "digits", {name: pack_digits(*some) for name, some in digits.items()}, CREDIT)
    for name in DEFAULTS:
        network = Shipped(name, getattr(arguments, name))
        write(arguments.out / f"{name}_weights.js", f"{name}_weights", network.packed(digits["samples"][0]))


def require_pretrained(name: str, folder: Path) -> None:
    """Refuses a folder without packed weights before anything is written."""
    if not (folder / "weights.npz").is_file():
        raise UserError(f"--{name} {folder}: no weights.npz; expected a folder that `python -m exhibits pack` made")


def write(path: Path, name: str, value: dict, credit: str = "") -> None:
    """A classic script that hangs a value on `globalThis.Museum`: it can be opened from disk."""
    from exhibits.common.system.files import replacing

    text = json.dumps(value, separators=(",", ":"))
    with replacing(path) as file:
        file.write(
            f"// Written by docs/live/weights.py.\n{credit}"
            f"globalThis.Museum ??= {{}};\nMuseum.{name} = {text};\n".encode()
        )
    print(f"{path.name}: {path.stat().st_size:,} bytes")


def choose_digits() -> dict:
    """Pictures (N, D) and labels (N,) by what they are for: none is of the test set."""
    from exhibits.bfa_snn import Config
    from exhibits.common.data.loading import load_patterns

    config = Config()
    train, form, _ = load_patterns(config, "data")
    dev, *_ = load_patterns(config, "dev", form)
    return {
        "samples": of_each_class(dev, 0, SAMPLES),
        "heldOut": of_each_class(dev, SAMPLES, HELD_OUT),
        "lessons": of_each_class(train, 0, LESSONS),
    }


def of_each_class(patterns, first: int, n: int):
    """n patterns of each class, leaving out the first ones, class after class in turn."""
    import numpy as np

    labels = patterns.y.argmax(axis=1)
    chosen = [np.flatnonzero(labels == k)[first : first + n] for k in range(patterns.y.shape[1])]
    order = np.stack(chosen, axis=1).reshape(-1)
    return patterns.x[order], labels[order]


def pack_digits(x, labels) -> dict:
    """Pictures as bytes, labels as a string of digits."""
    return {"images": b64(as_bytes(x)), "labels": "".join(map(str, labels)), "size": x.shape[1]}


def as_bytes(x):
    """Brightness 0 to 255, from which float32 division gives x (N, D) back."""
    import numpy as np

    return np.rint(255 * x).astype(np.uint8)


def b64(array) -> str:
    """The bytes of an array, as text."""
    import numpy as np

    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


class Shipped:
    """A pretrained network as the page has it: with weights rounded to int8, a float32 scale for each column.

    Args:
        name: of the exhibit.
        folder: of the pretrained network, as `python -m exhibits pack` makes it.

    Attributes:
        network: Python's, with the same rounded weights.
        arrays: of weights.npz.
    """

    def __init__(self, name: str, folder: Path):
        import numpy as np

        from exhibits.common.experiment.packed import FILE

        package = import_module(f"exhibits.{name}")
        self.name, self.network = name, getattr(package, package.MODEL).load(folder)
        self.config = self.network.config
        self.circuit_config = import_module(f"exhibits.{name}.config").CircuitConfig
        self._require_one_that_the_page_can_run(folder)
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            self.arrays = dict(arrays)

    def _require_one_that_the_page_can_run(self, folder: Path) -> None:
        c, sizes = self.config, self.network.sizes
        if (sizes[0], sizes[-1]) != (D, C):
            raise UserError(f"{folder}: {sizes[0]} inputs and {sizes[-1]} classes; expected {D} and {C}, as MNIST has")
        if self.name == "bfa_snn" and (c.encoder != "bernoulli" or len(c.hid_dim) != 1 or c.dale or c.centre):
            expected = "--encoder bernoulli, one hidden layer, no --dale and --centre 0"
            raise UserError(f"{folder}: expected {expected}, as the page has no other")
        if self.name == "glsnn" and (c.encoder != "direct" or c.centre):
            raise UserError(f"{folder}: expected --encoder direct and --centre 0, as the page has no other")

    def packed(self, samples) -> dict:
        """What the page loads."""
        temperature, accuracy = self.calibrated()
        return self.described() | {
            "temperature": temperature,
            "accuracy": accuracy,
            "check": [self.spike_hash(x) for x in samples],
        }

    def described(self) -> dict:
        """Configuration and weights."""
        config = {field.name: getattr(self.config, field.name) for field in dataclasses.fields(self.circuit_config)}
        if self.name == "bfa_snn":
            config["eta"] = [self.network[f"W{n}"].rate for n in self.network.layers]
        return {
            "config": config,
            "sizes": self.network.sizes,
            "seed": self.config.seed,
            "matrices": self._matrices(),
            "biases": {
                n.partition(".")[0]: b64(v)
                for n, v in self.arrays.items()
                if n.startswith("W") and n.endswith(".biases")
            },
        }

    def _matrices(self) -> dict:
        packed = {}
        for name, q in self.arrays.items():
            if not name.endswith(".weights"):
                continue
            part = name.partition(".")[0]
            packed[part] = {"q": b64(q), "scale": b64(self.arrays[f"{name}:scale"]), "shape": q.shape}
            if part == "W1" and getattr(self.config, "receptive_field", 0):
                packed[part] |= self._patches(q)
        return packed

    def _patches(self, q) -> dict:
        """Of a masked matrix the patches alone, pixel by pixel, and where the first pixel of each is."""
        import numpy as np

        mask = np.asarray(self.network["W1"].mask.get()) > 0
        _, width = self.network.picture
        side = self.config.receptive_field
        inside = q.T[mask.T].reshape(-1, side * side).T
        first = mask.argmax(axis=0).astype(np.uint16)
        return {"q": b64(inside), "first": b64(first), "side": side, "width": width}

    def calibrated(self) -> tuple[float, float]:
        """Softmax temperature and accuracy of the rounded weights on the development set."""
        from exhibits.common.circuit.seeds import Keys
        from exhibits.common.data.loading import load_patterns
        from exhibits.common.experiment.evaluation import fit_temperature, interpret

        _, form, _ = load_patterns(self.config, "data")
        (x, y), *_ = load_patterns(self.config, "dev", form)
        out = self.network.read(x, y, Keys.of(self.config.seed).dev)
        return fit_temperature(out["logit"], y), float(interpret(out, y).correct.mean())

    def spike_hash(self, x) -> int:
        """FNV-1a over all spikes of one pattern (D,): layer and number of the cell, step by step."""
        import numpy as np

        from exhibits.common.circuit.seeds import Keys

        y = np.zeros((1, self.network.sizes[-1]), np.float32)
        raster = self.network.raster(x[None], y, Keys.of(self.config.seed).test)
        first = 0 if self.name == "bfa_snn" else 1  # the GLSNN's input does not spike
        value = 2166136261
        for t in range(self.network.n_steps):
            for n in range(first, len(raster)):
                for i in np.flatnonzero(raster[f"z{n}"][t]):
                    value = ((value ^ (int(i) | n << 16)) * 16777619) & 0xFFFFFFFF
        return value


if __name__ == "__main__":
    with reported():
        main()
