"""Where files go: beside the code in a checkout that can be written to, else among the user's own data."""

import os
from pathlib import Path

from exhibits.common.system.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[3]
CHECKOUT = (REPOSITORY / "setup.sh").is_file()  # else it is installed as a package


def exhibits() -> list[str]:
    """Names of the exhibits: the folders that have a train script."""
    return sorted(path.parent.name for path in (REPOSITORY / "exhibits").glob("*/train_*.py"))


def expanded(path: str | Path) -> Path:
    """A path, its ~ expanded.

    Raises:
        UserError: if nobody has that home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{path}: there is no such home; give an absolute path") from None


def user_folder(variable: str, fallback: str) -> Path:
    """The folder that a variable of the environment names, or else one in the user's home.

    A user may have no home, as in some containers: then it is a folder that nobody can make.
    """
    named, home = os.environ.get(variable, ""), os.path.expanduser("~")
    if os.path.isabs(named):
        return Path(named)
    return Path(home if os.path.isabs(home) else os.devnull) / fallback


def user_home() -> Path:
    """The folder for what belongs in this checkout but cannot be written there; setup.sh puts its environment there."""
    return user_folder("XDG_DATA_HOME", ".local/share") / "snn-museum" / "-".join(REPOSITORY.parts[1:])


def writable_home(folder: Path, name: str) -> Path:
    """`folder/name` of a checkout, or its place in the user's own folder if it is in none or cannot be written to.

    Args:
        folder: of the repository.
        name: of a folder in it that may have to be made.
    """
    path = folder / name
    if not folder.is_relative_to(REPOSITORY):
        return path
    if CHECKOUT and os.access(path if path.is_dir() else folder, os.W_OK):
        return path
    return user_home() / path.relative_to(REPOSITORY)


def say_if_elsewhere(path: Path) -> None:
    """One line if a folder is among the user's own data."""
    if path.is_relative_to(user_home()):
        why = "The checkout cannot be written to" if CHECKOUT else "The museum is an installed package"
        print(f"{why}: the run is in {path}", flush=True)
