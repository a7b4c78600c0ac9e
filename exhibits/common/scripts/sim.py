"""What every exhibit's sim.sh runs: trains, then analyzes where the training wrote.

python sim.py FOLDER TRAIN_SCRIPT ANALYZE_SCRIPT [arguments of the train script]. It is one process, so that a signal
to sim.sh, which turns into it, reaches the training and leaves nothing behind.
"""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from exhibits.common.system.errors import reported


def load(script: Path, args: Sequence[str]) -> ModuleType:
    """A script as a module, the command line as if it had been started by itself: ngc-learn and the log read it."""
    sys.argv = [str(script), *args]
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(folder: Path, train: str, analyze: str, args: Sequence[str]) -> None:
    """Runs an exhibit's train script with these arguments, then its analyze script."""
    config = load(folder / train, args).main(args)
    args = [f"--exp_dir={config.exp_dir}"]
    load(folder / analyze, args).main(args)


if __name__ == "__main__":
    with reported():
        main(Path(sys.argv[1]).resolve(), *sys.argv[2:4], sys.argv[4:])
