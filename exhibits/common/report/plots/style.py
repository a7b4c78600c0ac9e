"""How the museum's pictures look, and how they become files; no state of Matplotlib outlives a call."""

import base64
import functools
import io
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from PIL import Image

from exhibits.common.system.files import replacing

STYLE = Path(__file__).with_name("museum.mplstyle")
# Okabe and Ito's, which colour-blind people can tell apart.
COLORS: list[str] = matplotlib.rc_params_from_file(STYLE)["axes.prop_cycle"].by_key()["color"]
MARKERS = "osD^vP*X<>ph"
# Fallbacks for class names in other scripts: Matplotlib looks up a missing character in the next one installed.
FALLBACK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
)
SCREEN_DPI = 150  # of the pictures in a page, half of what files have
JPEG_QUALITY = 92

P = ParamSpec("P")
R = TypeVar("R")


def museum_style() -> AbstractContextManager[None]:
    """A block in which Matplotlib has the museum's style, whatever the user's is."""
    return matplotlib.rc_context({"font.family": _families()}, STYLE)


@functools.cache
def _families() -> list[str]:
    """Matplotlib's own font, then those of `FALLBACK_FONTS` that are installed."""
    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in FALLBACK_FONTS if name in installed)]


_REPORTED: set[str] = set()


@contextmanager
def _reporting_missing_characters() -> Iterator[None]:
    """A block after which one line on stderr names the characters that no font in use has, each once per process."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    missing = set()
    for warning in caught:
        if found := re.match(r"Glyph (\d+) .* missing from font", str(warning.message)):
            missing.add(chr(int(found[1])))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if new := missing - _REPORTED:
        _REPORTED.update(new)
        characters = "".join(sorted(new))[:20]
        print(
            f"No font in use has {characters}, so boxes are drawn; Noto Sans CJK has Chinese, Japanese and Korean",
            file=sys.stderr,
        )


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """A function that draws in the museum's style if it makes its own figure, else in that of its caller."""

    @functools.wraps(draw)
    def drawing(*args: P.args, **options: P.kwargs) -> R:
        if options.get("axes") is not None or options.get("figure") is not None:
            return draw(*args, **options)
        with museum_style():
            return draw(*args, **options)

    return drawing


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that Matplotlib's pyplot does not know of: nobody need close it."""
    return Figure(figsize=(width, height))


def own_axes(axes: Axes | None, width: float, height: float) -> Axes:
    """The axes that were given, or those of a new figure."""
    return new_figure(width, height).subplots() if axes is None else axes


def figure_of(drawn: Axes | Mapping[str, Axes] | Figure) -> Figure:
    """The figure that something was drawn in."""
    if isinstance(drawn, Figure):
        return drawn
    axes = drawn if isinstance(drawn, Axes) else next(iter(drawn.values()))
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure


def save(drawn: Axes | Mapping[str, Axes] | Figure, path: str | Path, caption: str = "") -> None:
    """Writes a figure in the format of the path's ending, whole or not at all.

    Args:
        drawn: a figure, or what a drawing function returned.
        path: where to.
        caption: a line below the figure: of which network, from which seed, after how many epochs.
    """
    figure, path = figure_of(drawn), Path(path)
    options: dict[str, Any] = {"pil_kwargs": {"quality": JPEG_QUALITY}} if path.suffix == ".jpg" else {}
    with museum_style(), _reporting_missing_characters(), replacing(path) as file:
        if caption:
            size = max(7, 0.75 * figure.get_figwidth())  # wide figures are shown smaller
            figure.supxlabel(caption, x=0.01, ha="left", fontsize=size, color="0.35")
        figure.savefig(file, format=path.suffix[1:], **options)


def data_uri(drawn: Axes | Mapping[str, Axes] | Figure, path: Path) -> str:
    """The figure in the resolution of a screen, as a page can hold it.

    Args:
        drawn: a figure, or what a drawing function returned.
        path: file that `save` wrote; an image is made half as large, which is faster than drawing again.
    """
    file, kind = io.BytesIO(), "jpeg" if path.suffix == ".jpg" else "png"
    with museum_style(), _reporting_missing_characters():
        if path.suffix in (".jpg", ".png"):
            with Image.open(path) as image:
                image.reduce(2).save(file, kind, quality=JPEG_QUALITY)
        else:
            figure_of(drawn).savefig(file, format=kind, dpi=SCREEN_DPI)
    return f"data:image/{kind};base64," + base64.b64encode(file.getvalue()).decode()
