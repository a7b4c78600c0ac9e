"""The project's own code runs nothing that a file names."""

import ast

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


def test_the_search_finds_what_it_should():
    text = "import pickle\nfrom dill import load\nexec('1')\nnp.load(f)\nnp.load(f, allow_pickle=True)\nx.exec()\n"
    assert [line for line, _ in faults(ast.parse(text))] == [1, 2, 3, 4, 5]
