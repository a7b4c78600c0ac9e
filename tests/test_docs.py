"""The READMEs and the site's pages: links lead somewhere, commands name what there is, notebooks are in style."""

import ast
import dataclasses
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from conftest import make_patterns, run
from test_bad_input import start

from exhibits import __main__ as exhibits
from exhibits.common.library.exhibit import Exhibit
from exhibits.common.system.places import REPOSITORY
from exhibits.common.system.scripts import load_script

DOCS = REPOSITORY / "docs"
PAGES = sorted(
    path
    for pattern in ("*.md", "data/*.md", "exhibits/**/*.md", "studies/*.md", "docs/**/*.md")
    for path in REPOSITORY.glob(pattern)
    if not path.is_relative_to(DOCS / "_build") and not path.is_relative_to(DOCS / "live")
)
NOTEBOOKS = [path for path in PAGES if "file_format: mystnb" in path.read_text()]
FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page: Path, kind: str) -> list[str]:
    """The code blocks of a page in a language."""
    return [text for language, text in FENCE.findall(page.read_text()) if language == kind]


def prose(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"`[^`\n]+`", "", FENCE.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """What links can lead to in a page, as code hosts and the site name it."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)|href=\"([^\"]+)\"", prose(page)):
        target, _, anchor = "".join(link).partition("#")
        if re.match("https?:", target):
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.is_relative_to(REPOSITORY) and path.exists(), f"{page}: no {target}"
        assert not anchor or anchor in anchors(path), f"{page}: no #{anchor} in {target}"


def test_links_of_links_would_be_found(tmp_path):
    (tmp_path / "page.md").write_text("# A `b` & c\n\n## What is in `x/`, d_e\n```sh\n# no heading\n```\n`](code)`\n")
    assert anchors(tmp_path / "page.md") == {"a-b--c", "what-is-in-x-d_e"}
    assert "](code)" not in prose(tmp_path / "page.md")


OURS = r"\S*python|\S*sim\.sh|\S*setup\.sh|make|\"\$\(museum\S+"
PROGRAMS = rf"(\w+=\S* )*({OURS}|pip|\S*dask|sbatch|mv|git|\S*jupytext)( \S.*)?"


def commands(page: Path) -> Iterator[str]:
    """What a page tells a reader to type, without comments: lines of shell blocks, and of code in a sentence."""
    text = FENCE.sub("", page.read_text())
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    lines += re.findall(r"^    (\S.*)$", text, re.MULTILINE) + re.findall(r"`([^`\n]+ [^`\n]+)`", text)
    for line in lines:
        for command in re.split(r" && ", re.split(r"\s#", line)[0]):
            command = command.strip().removesuffix("&").strip()
            if re.fullmatch(PROGRAMS, command):
                yield command


COMMANDS = sorted({(page, command) for page in PAGES for command in commands(page)})

STUDIES = ("depth", "feedback", "alignment", "dale", "changes")
# Which test runs a command, perhaps with smaller networks or fewer epochs, and what it says of it; or why none does.
RUN = {
    r"make (setup|lint test|test|doctor)": ("test_setup.py", "setup.sh", '"lint": ', '"test": ', '"doctor": '),
    r"\./sim\.sh.*|exhibits/\w+/sim\.sh( --(seed|init_from) .*)?": ("test_start.py", '"sim.sh"'),
    r"python analyze_\w+\.py": ("test_scripts.py", "analyze_bfsnn.py", "analyze_glsnn.py"),
    r"python exhibits/\w+/analyze_\w+\.py --exp_dir .*": ("test_packed.py", "commands.analyze("),
    r"python \.\./common/scripts/circuits\.py": ("test_diagram.py", "scripts.circuits import"),
    r"(\.venv/bin/)?python data/prepare\.py (\w+mnist.*|mnist)": ("test_datasets.py", "prepare.py", '["mnist"]'),
    r"python data/prepare\.py images .*": ("test_images.py", "prepare.py", 'prepare("images"'),
    r"python -m exhibits (compare|sweep)( .*)?": ("test_runs.py", 'main(["compare"', 'main(["sweep"'),
    r"python -m exhibits pack .*": ("test_packed.py", 'main(["pack"'),
    r".*museum/.*": ("test_own_data.py", "own-data.md"),
    r"\.venv/bin/python exhibits/glsnn/studies/width\.py.*": ("test_docs.py", "study.md"),
    **{rf"\S*python \S*studies/{name}\.py.*": ("test_studies.py", f'"{name}.py"') for name in STUDIES},
    r"\S*python \S*studies/energy\.py.*": ("test_energy.py", "energy.py"),
    r"\.venv/bin/dask .*|dask \w+": ("test_studies.py", '"dask", '),
    r"\.venv/bin/python exhibits/bfa_snn/results\.py (best|page)": ("test_readme.py", "results.py"),
    r"make docs": ("test_docs.py", "sphinx"),
    r"make fuzz": ("test_fuzz.py", "import IDX, TARGETS"),
}
NOT_RUN = {
    r"git clone( \.\.\.)?|git diff .*|git tag .*|mv .*": "nothing of the museum's",
    r"\S*jupytext .*": "needs the packages of `make docs`",
    r"pip install .*|pre-commit .*|\.venv/bin/python -m pip install .*": "downloads",
    r"\S*python -c .*|(JAX|CUDA|XLA)_\w+=.*": "for a GPU",
    r"sbatch .*": "for Slurm",
    r"make (test-all|lint test-all faults fuzz|help)|\.venv/bin/python -m pytest .*": "the tests themselves",
    r"VENV=\S+ PYTHON=\S+ make .*": "the tests with another Python",
    r"make test-browser": "needs Chromium",
    r"make (bench|bench-peers|faults|results .*)": "hours, or a machine on which nothing else runs",
    r".*(studies/nll|glsnn/results|benchmarks/readme)\.py.*": "writes what test_readme.py compares",
}


def test_every_command_is_run_by_a_test_or_named_here():
    assert len(COMMANDS) > 40
    used = set()
    for page, command in COMMANDS:
        known = [pattern for pattern in (*RUN, *NOT_RUN) if re.fullmatch(pattern, command)]
        assert len(known) == 1, f"{page}: {command}: {known or 'neither run nor named as not run'}"
        used |= set(known)
    assert used == {*RUN, *NOT_RUN}
    for test, *words in RUN.values():
        text = (REPOSITORY / "tests" / test).read_text()
        assert all(word in text for word in words), f"{test}: {words}"


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=lambda value: getattr(value, "name", value))
def test_commands_name_what_there_is(page, command):
    words = [word for word in shlex.split(command.replace("[", "").replace("]", "")) if "..." not in word]
    while re.match(r"\w+=", words[0]):
        words.pop(0)
    if words[0] == "make":
        targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
        assert {word for word in words[1:] if "=" not in word} <= targets
        return
    if words[1:3] == ["-m", "exhibits"]:
        assert words[3] in exhibits.COMMANDS
        own = flags(REPOSITORY / "exhibits" / words[4] / "sim.sh") if words[3] == "sweep" else set()
        assert {word for word in words if word.startswith("--")} <= own
        return
    script = next((word for word in words if word.endswith((".py", "sim.sh")) and "pip" not in words), None)
    if script in (None, "digits.py") or script.endswith("studies/width.py"):  # made as the page says
        return
    relative = "/" not in script.removeprefix("./").removeprefix("../")
    here = page.parents[page.parent.name == "pretrained"]  # whose commands are for the exhibit's folder
    path = (here if relative or script.startswith("..") else REPOSITORY) / script.removeprefix("museum/")
    assert path.exists()
    mode, *rest = [*words[words.index(script) + 1 :], ""]
    given = {word.partition("=")[0] for word in (mode, *rest) if word.startswith("--")}
    assert not given or given <= flags(path.resolve(), *([mode] if path.name == "prepare.py" else [])), command


def flags(script: Path, *mode: str) -> set[str]:
    """The flags of a script, from its configuration; or of one of its modes, from its help."""
    folder = script.parent
    if script.name.startswith(("train_", "analyze_")) or script.name == "sim.sh":
        exhibit = Exhibit.named(folder.name)
        kind = exhibit.analysis if script.name.startswith("analyze_") else exhibit.config
    elif folder.name == "studies" and (study := getattr(load_script(script), "Study", None)):
        kind = study
    else:
        helped = subprocess.run([sys.executable, script, *mode, "--help"], capture_output=True, text=True, check=True)
        return set(re.findall(r"--\w+", helped.stdout))
    known = {field.name for field in dataclasses.fields(kind)} | {"help"}
    return {f"--{name}" for name in known | ({"recipe"} if getattr(kind, "RECIPES", {}) else set())}


@pytest.mark.parametrize("page", NOTEBOOKS, ids=lambda page: page.stem)
def test_notebooks_are_in_style(page):
    assert len(NOTEBOOKS) == 6
    cells = re.findall(r"^```\{code-cell\} python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    assert cells
    for command, text in (("check", "\n\n".join(cells)), *(("format", cell) for cell in cells)):
        given = ["-"] if command == "check" else ["--check", "-"]
        options = ["--config", REPOSITORY / "pyproject.toml", "--stdin-filename", page.with_suffix(".py")]
        ruff = [sys.executable, "-m", "ruff", command, *options]
        done = subprocess.run([*ruff, *given], input=text, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr + text


def test_examples_in_pages_are_python():
    found = [block for page in PAGES for block in blocks(page, "python")]
    assert len(found) > 4
    for block in found:
        ast.parse(block)


def test_the_study_of_the_how_to(tmp_path, monkeypatch, capsys):
    (script,) = blocks(DOCS / "how-to" / "study.md", "python")
    path = tmp_path / "exhibits" / "glsnn" / "studies" / "width.py"
    path.parent.mkdir(parents=True)
    path.write_text(script.replace("WIDTHS = (10, 30, 100, 300)", "WIDTHS = (5,)"))
    for name, n, seed in (("train", 40, 0), ("valid", 20, 1)):
        for part, array in zip("XY", make_patterns(n, seed=seed), strict=True):
            np.save(tmp_path / f"{name}{part}.npy", array)
    command = [str(path), "--data", str(tmp_path), "--quick"]
    done = run(sys.executable, *command, env=os.environ | {"PYTHONPATH": str(REPOSITORY)})
    assert done.returncode == 0, done.stderr
    picture = Path(done.stdout.strip())
    assert picture.name == "width.png" and picture.exists()
    picture.unlink()
    monkeypatch.setattr(sys, "path", [*sys.path])  # which the script changes
    assert start(monkeypatch, [*command, "--plot_only"]) == 0
    assert capsys.readouterr().out.strip() == str(picture) and picture.exists()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("myst_nb") is None, reason="needs the packages of `make docs`")
def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-M", "html", DOCS, tmp_path, "-W", "--keep-going", "-q"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for page in PAGES:
        if page.is_relative_to(DOCS):
            assert (tmp_path / "html" / page.relative_to(DOCS).with_suffix(".html")).exists()
