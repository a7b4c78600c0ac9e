"""What the project's own code must not do: run what a file names, or import against the direction of its rooms."""

import ast
from pathlib import Path

from exhibits.common.config import REPOSITORY

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
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
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


# Which part of `exhibits.common` must not know which others: the simulation core knows no files, no command line and
# no training; data know no circuit; nothing but the scripts' own parts knows them.
UNKNOWN = {
    "common/circuit": (
        "checkpoints",
        "runfolder",
        "training",
        "analysis",
        "plots",
        "commandline",
        "commands",
        "network",
    ),
    "common/events": ("checkpoints", "config", "training", "analysis", "data", "circuit"),
    "common/components.py": ("config", "training", "analysis", "data", "circuit", "events"),
    "common/data.py": ("circuit", "training", "analysis", "ngc"),
    "common/checkpoints.py": ("circuit", "training", "analysis"),
    "common/network.py": ("analysis", "plots"),
    "common/training.py": ("analysis", "plots", "network", "commands"),
    "common/analysis.py": ("network", "commands"),
}


def test_rooms_import_in_one_direction():
    root = REPOSITORY / "exhibits"
    exhibits = {path.parent.name for path in root.glob("*/__init__.py")} - {"common"}
    assert exhibits >= {"bfa_snn", "glsnn", "equilibrium"}
    for path in root.rglob("*.py"):
        room, known = path.relative_to(root).parts[0], imports(path)
        for other in exhibits - {room}:
            assert not inside(known, f"exhibits.{other}"), f"{path} imports {other}"
        assert path.name == "ngc.py" or not inside(known, "ngclearn") | inside(known, "ngcsimlib"), path
    for part, unknown in UNKNOWN.items():
        paths = [root / part] if part.endswith(".py") else list((root / part).glob("*.py"))
        for path in paths:
            for other in unknown:
                assert not inside(imports(path), f"exhibits.common.{other}"), f"{path} imports {other}"


def test_the_search_finds_what_it_should():
    text = "import pickle\nfrom dill import load\nexec('1')\nnp.load(f)\nnp.load(f, allow_pickle=True)\nx.exec()\n"
    assert [line for line, _ in faults(ast.parse(text))] == [1, 2, 3, 4, 5]
