"""What the project's own code must not do: run what a file names, or import against the direction of its rooms."""

import ast
from pathlib import Path

from exhibits.common.system.places import REPOSITORY

FORBIDDEN_CALLS = {"eval", "exec", "__import__"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}


def faults(tree: ast.AST):
    """Lines that load objects or run text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
                yield node.lineno, node.func.id
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle" and getattr(keyword.value, "value", None) is not False:
                    yield node.lineno, "allow_pickle"
            said = {keyword.arg for keyword in node.keywords}
            if ast.unparse(node.func) in ("np.load", "numpy.load") and "allow_pickle" not in said:
                yield node.lineno, "np.load without allow_pickle=False"
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for module in modules:
                if module.split(".")[0] in FORBIDDEN_MODULES:
                    yield node.lineno, module


def test_no_code_from_files():
    paths = [path for folder in ("exhibits", "benchmarks", "data") for path in (REPOSITORY / folder).rglob("*.py")]
    assert len(paths) > 25
    found = [f"{path}:{line}: {what}" for path in paths for line, what in faults(ast.parse(path.read_text()))]
    assert not found


def imports(path: Path) -> set[str]:
    """Modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def inside(modules: set[str], package: str) -> set[str]:
    return {name for name in modules if name == package or name.startswith(f"{package}.")}


# The rooms of `exhibits.common`, from the lowest: each imports itself and what is before it; those of one line do not
# know each other.
ROOMS = (
    ("system",),
    ("ngc.py",),
    ("data", "cells"),
    ("circuit",),
    ("experiment",),
    ("library",),
    ("report",),
    ("scripts",),
)


def test_rooms_import_in_one_direction():
    root = REPOSITORY / "exhibits"
    exhibits = {path.parent.name for path in root.glob("*/__init__.py")} - {"common"}
    assert exhibits >= {"bfa_snn", "glsnn", "equilibrium"}
    rank = {room: n for n, rooms in enumerate(ROOMS) for room in rooms}
    assert {path.name for path in (root / "common").iterdir() if path.name[:2] != "__"} == set(rank)
    for path in root.rglob("*.py"):
        room, *inner = path.relative_to(root).parts
        known = imports(path)
        for other in exhibits - {room}:
            assert not inside(known, f"exhibits.{other}"), f"{path} imports {other}"
        assert path.name == "ngc.py" or not inside(known, "ngclearn") | inside(known, "ngcsimlib"), path
        if room == "common" and inner[0] in rank:
            above = {other for other, n in rank.items() if n >= rank[inner[0]]} - {inner[0]}
            for other in above:
                assert not inside(known, f"exhibits.common.{other.removesuffix('.py')}"), f"{path} imports {other}"


def test_the_list_of_rooms_names_every_file():
    table = (REPOSITORY / "exhibits" / "README.md").read_text().partition("## What is in `common/`")[2]
    for path in (REPOSITORY / "exhibits" / "common").glob("*/*.py"):
        assert path.name == "__init__.py" or f"`{path.name}`" in table, path


def test_the_search_finds_what_it_should():
    text = "import pickle\nfrom dill import load\nexec('1')\nnp.load(f)\nnp.load(f, allow_pickle=True)\nx.exec()\n"
    assert [line for line, _ in faults(ast.parse(text))] == [1, 2, 3, 4, 5]


def test_files_have_one_purpose():
    """And so are short; pages and generated files aside."""
    folders = ("exhibits", "studies", "benchmarks", "data", "docs", "tests")
    paths = [path for folder in folders for path in (REPOSITORY / folder).rglob("*.py") if "_build" not in path.parts]
    assert len(paths) > 100
    assert [path.name for path in paths if path.read_text().count("\n") > 350] == []
