"""What every exhibit's sim.sh runs: trains, then analyzes where the training wrote.

python sim.py FOLDER TRAIN_SCRIPT ANALYZE_SCRIPT [arguments of the train script]. It is one process, so that a signal
to sim.sh, which turns into it, reaches the training and leaves nothing behind.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from exhibits.common.system.errors import reported
from exhibits.common.system.scripts import load_script


def load(script: Path, args: Sequence[str]) -> ModuleType:
    """A script as a module, the command line as if it had been started by itself: ngc-learn and the log read it."""
    sys.argv = [str(script), *args]
    return load_script(script)


def main(folder: Path, train: str, analyze: str, args: Sequence[str]) -> None:
    """Runs an exhibit's train script with these arguments, then its analyze script."""
    config = load(folder / train, args).main(args)
    args = [f"--exp_dir={config.exp_dir}"]
    try:
        load(folder / analyze, args).main(args)
    except KeyboardInterrupt:
        command = shlex.join([sys.executable, str(folder / analyze), *args])
        print(f"The training is complete; to analyze it: {command}", file=sys.stderr, flush=True)
        raise


if __name__ == "__main__":
    with reported():
        folder, train, analyze, *args = sys.argv[1:]
        main(Path(folder).resolve(), train, analyze, args)
