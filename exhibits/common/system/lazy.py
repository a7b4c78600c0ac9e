"""Names of a package that are imported when they are asked for, so that a command line is read without JAX."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazily(package: str, **names: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` of a package, and its `__dir__`, from which shells complete these names.

    Args:
        package: its name.
        names: what each of its modules is asked for.
    """
    modules = {name: module for module, name in names.items()}

    def __getattr__(name: str) -> Any:
        if name in modules:
            return getattr(import_module(f"{package}.{modules[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return __getattr__, __dir__
