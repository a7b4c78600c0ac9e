"""Where files go: beside the code, or among the user's own data where a checkout cannot be written to."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]


def exhibits() -> list[str]:
    """Names of the exhibits: the folders that have a train script."""
    return sorted(path.parent.name for path in (REPOSITORY / "exhibits").glob("*/train_*.py"))


def user_home() -> Path:
    """The folder for what belongs in this checkout but cannot be written there; setup.sh puts its environment there."""
    named = os.environ.get("XDG_DATA_HOME", "")
    data = Path(named) if os.path.isabs(named) else Path(os.path.expanduser("~")) / ".local" / "share"
    return data / "snn-museum" / "-".join(REPOSITORY.parts[1:])


def writable_home(folder: Path, name: str) -> Path:
    """`folder/name`, or the place of that name in the user's own folder if that one cannot be written to.

    Args:
        folder: of the repository.
        name: of a folder in it that may have to be made.
    """
    path = folder / name
    if os.access(path if path.is_dir() else folder, os.W_OK) or not folder.is_relative_to(REPOSITORY):
        return path
    return user_home() / path.relative_to(REPOSITORY)


def say_if_elsewhere(path: Path) -> None:
    """One line if a folder is among the user's own data because the checkout cannot be written to."""
    if path.is_relative_to(user_home()):
        print(f"The checkout cannot be written to: the run is in {path}", flush=True)
