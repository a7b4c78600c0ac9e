"""The documentation site: `make docs` builds it in docs/_build/html and executes the notebooks."""

import inspect
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))  # this repository's, whatever else is installed
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])  # the notebooks'

from sphinx.util.inspect import stringify_signature

from exhibits.common.system.environment import pin

pin()  # autodoc imports what computes

project = "Museum of spiking neural networks"
author = copyright = "The authors of the museum of spiking neural networks"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
extensions += ["sphinx-mathjax-offline"]  # MathJax from the site itself, not from elsewhere
exclude_patterns = ["_build", "live"]
html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["museum.css"]
html_theme_options = {"navigation_with_keys": True}
default_role = "code"

# Markdown: pages read well on a code host too, so links are plain ones to files.
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
highlight_language = "none"  # of blocks that do not name theirs

# Notebooks are executed by every build, in folders of their own.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True

# The reference is made from docstrings.
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
napoleon_use_ivar = True

# Pages of the site that include a README. A link to it, or from it, is changed to fit; one to any other file of the
# repository offers that file for download.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "data/README.md": "data.md",
    "exhibits/README.md": "exhibits/index.md",
    "exhibits/bfa_snn/README.md": "exhibits/bfa_snn.md",
    "exhibits/glsnn/README.md": "exhibits/glsnn.md",
    "FINDINGS.md": "results/findings.md",
    **{
        str(page.relative_to(ROOT)): f"results/{page.name}"
        for pattern in ("studies/*.md", "exhibits/*/studies/*.md")
        for page in ROOT.glob(pattern)
    },
}
LINK = re.compile(r"(?<=\]\()[^)#:\s]+(?=[)#])")


def relinked(text: str, folder: Path, page: str) -> str:
    """A Markdown text of a folder, with the links that it needs as a page of the site."""

    def link(match: re.Match) -> str:
        target = (folder / match[0]).resolve()
        if not target.is_file():
            return match[0]
        found = HERE / PAGES.get(str(target.relative_to(ROOT)), target)
        return os.path.relpath(found, (HERE / page).parent)

    return LINK.sub(link, text)


def relink_page(app: Any, name: str, content: list[str]) -> None:
    path = Path(app.env.doc2path(name))
    content[0] = relinked(content[0], path.parent, str(path.relative_to(HERE)))


def relink_readme(app: Any, path: Path, name: str, content: list[str]) -> None:
    readme = (HERE / path).resolve()
    content[0] = relinked(content[0], readme.parent, PAGES[str(readme.relative_to(ROOT))])


docstrings: dict[str, list[str]] = {}  # of attributes, until napoleon has seen them


def with_blocks(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Shows lines of a docstring that begin with "|" as a block of code: they are aligned. Comes before napoleon."""
    new: list[str] = []
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("| ") and not before.startswith("| "):
            new += [".. code-block:: none", ""]
        new.append(f"   {line[2:]}" if line.startswith("| ") else line)
    lines[:] = new
    if what in ("attribute", "property"):
        docstrings[name] = new


def without_types(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Takes back that napoleon reads what is before a colon as the type of an attribute. Comes after napoleon."""
    lines[:] = docstrings.pop(name, lines)


def with_signature(app: Any, what: str, name: str, obj: Any, options: Any, signature: str, returns: str) -> Any:
    """The signature of a component's constructor, which ngc-learn's metaclass hides."""
    if what != "class" or signature != "(*args, **kwargs)":
        return None
    found = inspect.signature(obj.__init__)
    own = found.replace(parameters=list(found.parameters.values())[1:])
    return stringify_signature(own, show_annotation=False), None


def copy_live(app: Any, exception: Exception | None) -> None:
    """The live pages are static: they become a folder of the site."""
    if exception is None and (HERE / "live").is_dir():
        shutil.copytree(HERE / "live", Path(app.outdir) / "live", dirs_exist_ok=True)


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", with_blocks, priority=100)
    app.connect("autodoc-process-docstring", without_types, priority=900)
    app.connect("autodoc-process-signature", with_signature)
    app.connect("source-read", relink_page)
    app.connect("include-read", relink_readme)
    app.connect("build-finished", copy_live)
