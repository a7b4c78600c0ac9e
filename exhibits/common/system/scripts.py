"""A script as a module, to call its functions."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType


def load_script(script: Path) -> ModuleType:
    """Runs a script's definitions, whatever other folder has one of that name."""
    spec = spec_from_file_location(f"{script.parent.name}_{script.stem}", script)
    assert spec is not None and spec.loader is not None, f"{script}: no Python script"
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
