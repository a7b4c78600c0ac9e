"""A circuit as a drawing (SVG), read off its components and wires, so that it cannot differ from the code.

Columns are the layers, from the input to the output. Rows, from the top: the layers' cells with the synapses between
them; the cells whose signals teach these synapses; the synapses that carry feedback to those cells.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from itertools import chain
from typing import Any

from exhibits.common.circuit import Circuit
from exhibits.common.ngc import place, sources

LABEL, PIXELS = "label", "pixels"  # what stands for the outside
COLUMN, CELL, SYNAPSE = 236, (124, 52), (84, 46)  # distance of columns; widths and heights
FORWARD, TEACHING, FEEDBACK, BUS = 62, 212, 336, 404  # heights of the rows' middles, and of the first line below them
INK, TEACHES, FEEDS = "#333333", "#b34700", "#0072b2"
LEARNS, FIXED = "#fde3cf", "#eeeeee"


@dataclass(frozen=True)
class Link:
    """A wire from one component's compartment to another's."""

    source: str
    value: str
    target: str
    port: str


@dataclass(frozen=True)
class Parts:
    """A circuit's components, sorted by what they do.

    Attributes:
        links: all wires between components.
        layers: the cells of each layer, the input first, which has none if pixels go straight to synapses.
        forward: the synapses that lead to each layer, by its number.
        teaching: cells that are no layer's, with the number of the layer that they belong to.
        feedback: synapses that lead to such cells, with the number of the layer.
    """

    links: tuple[Link, ...]
    layers: tuple[str | None, ...]
    forward: dict[int, tuple[str, ...]]
    teaching: dict[str, int]
    feedback: dict[str, int]


def parts_of(circuit: Circuit) -> Parts:
    """Sorts the components of a circuit by how they are wired.

    Args:
        circuit: with `spikes`, which says what its layers are.
    """
    synapses = {name for name, part in circuit.components.items() if hasattr(part, "weights")}
    links = tuple(_links(circuit))
    cells = [place(compartment)[0] for compartment in circuit.spikes]
    layers = tuple(None if cell in synapses else cell for cell in cells)
    numbers = {cell: n for n, cell in enumerate(layers) if cell is not None}
    forward: dict[int, tuple[str, ...]] = {}
    for link in links:
        if link.source in synapses and link.target in numbers:
            n = numbers[link.target]
            forward[n] = (*forward.get(n, ()), link.source)
    leads_to = {synapse: n for n, names in forward.items() for synapse in names}
    teaching = {}
    for name in circuit.components.keys() - synapses - numbers.keys():
        taught = [leads_to[link.target] for link in links if link.source == name and link.target in leads_to]
        watched = [numbers[link.source] for link in links if link.target == name and link.source in numbers]
        teaching[name] = min([*taught, *watched], default=len(layers) - 1)
    feedback = {
        link.source: teaching[link.target] for link in links if link.source in synapses and link.target in teaching
    }
    return Parts(links, layers, forward, dict(sorted(teaching.items())), feedback)


def _links(circuit: Circuit) -> Iterator[Link]:
    for wire, port in circuit.wires:
        for source in sources(wire):
            link = Link(*place(source), *place(port))
            if link.source != link.target:
                yield link


def draw_circuit(circuit: Circuit, title: str = "") -> str:
    """The drawing, an SVG document of its own.

    Args:
        circuit: as built; nothing is run.
        title: of the drawing; the network in a few words if not given.
    """
    return _Drawing(circuit, parts_of(circuit), title or circuit.summary).svg()


class _Drawing:
    """The places of the components, and the elements so far."""

    def __init__(self, circuit: Circuit, parts: Parts, title: str):
        self.circuit, self.parts, self.title = circuit, parts, title
        left = 24 + CELL[0] / 2 + (0 if parts.layers[0] is None else 110)
        self.x = [left + COLUMN * n for n in range(len(parts.layers))]
        self.middle: dict[str, tuple[float, float]] = {PIXELS: (24 + CELL[0] / 2, FORWARD)}
        if parts.layers[0] is not None:
            self.middle[PIXELS] = (24 + 35, FORWARD)
        for n, cell in enumerate(parts.layers):
            if cell is not None:
                self.middle[cell] = (self.x[n], FORWARD)
            for k, synapse in enumerate(parts.forward.get(n, ())):
                self.middle[synapse] = (self.x[n] - COLUMN / 2, FORWARD + 62 * k)
        for name, n in parts.teaching.items():
            self.middle[name] = (self.x[n], TEACHING)
        for name, n in parts.feedback.items():
            self.middle[name] = (self.x[n], FEEDBACK)
        self.middle[LABEL] = (self.x[-1] + CELL[0] / 2 + 66, TEACHING)
        self.width, self.height = self.middle[LABEL][0] + 52, (BUS if parts.feedback else TEACHING + 50) + 56
        self.lines: list[str] = []
        self.boxes: list[str] = []

    def svg(self) -> str:
        """All of it."""
        self._forward()
        self._teach()
        self._feed_back()
        self._components()
        self._legend()
        size = f"{self.width:g} {self.height:g}"
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{self.width:g}" '
            f'height="{self.height:g}" role="img" font-family="Helvetica, Arial, sans-serif" font-size="13">'
        )
        arrows = "".join(
            f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto" '
            f'markerUnits="userSpaceOnUse"><path d="M0 0L8 4L0 8z" fill="{color}"/></marker>'
            for name, color in (("on", INK), ("teach", TEACHES), ("feed", FEEDS))
        )
        ground = f'<rect width="{self.width:g}" height="{self.height:g}" rx="8" fill="white"/>'
        body = [head, f"<title>{escape(self.title)}</title>", f"<defs>{arrows}</defs>", ground]
        return "\n".join([*body, *self.lines, *self.boxes, "</svg>", ""])

    def _forward(self) -> None:
        """From the pixels to the output, and down to the cells that compare it with the label."""
        layers, links = self.parts.layers, self.parts.links
        first = layers[0]
        if first is not None:
            self._line([(self._right(PIXELS, 35), FORWARD), (self._left(first), FORWARD)])
        for n, synapses in self.parts.forward.items():
            for synapse in synapses:
                sent = [link for link in links if link.target == synapse and link.port == "inputs"]
                x, y = self.middle[synapse]
                for source in [link.source for link in sent] or [layers[n - 1] or PIXELS]:
                    start = self._right(source, CELL[0] / 2)
                    bend = [(start + 14, FORWARD), (start + 14, y)] if y != FORWARD else []
                    self._line([(start, FORWARD), *bend, (x - SYNAPSE[0] / 2, y)])
                end = self._left(layers[n])
                bend = [(end - 12, y), (end - 12, FORWARD)] if y != FORWARD else []
                self._line([(x + SYNAPSE[0] / 2, y), *bend, (end, FORWARD)])
        for n, cell in enumerate(layers):
            for name, number in self.parts.teaching.items():
                values = self._values(cell, name)
                if number == n and values:
                    self._line([(self.x[n], FORWARD + CELL[1] / 2), (self.x[n], TEACHING - CELL[1] / 2)])
                    self._text(self.x[n] - 6, FORWARD + CELL[1] / 2 + 40, values, 11, "#666666", anchor="end")

    def _values(self, source: str | None, target: str) -> str:
        """What one component gets from another."""
        return ", ".join(dict.fromkeys(k.value for k in self.parts.links if (k.source, k.target) == (source, target)))

    def _teach(self) -> None:
        """From the cells that teach to the synapses that they teach."""
        names = set(chain.from_iterable(self.parts.forward.values()))
        for link in self.parts.links:
            if link.target in names and link.port == "post" and link.source in self.parts.teaching:
                x, y = self.middle[link.target]
                across = self.middle[link.source][0] - CELL[0] / 2
                end = [(x, TEACHING), (x, y + SYNAPSE[1] / 2)]
                if any(self.middle[other][0] == x and self.middle[other][1] > y for other in names):  # around it
                    edge = x - SYNAPSE[0] / 2
                    end = [(edge - 8, TEACHING), (edge - 8, y + 14), (edge, y + 14)]
                self._line([(across, TEACHING), *end], TEACHES, "teach", dashed=True)
        for name in self.parts.teaching:
            if self._wants_label(name):
                x, y = self.middle[name]
                if abs(x - self.x[-1]) < 1:
                    self._line([(self.middle[LABEL][0] - 35, y), (x + CELL[0] / 2, y)])

    def _wants_label(self, name: str) -> bool:
        """Whether a cell has a target that no wire gives it: that is where a circuit puts the label."""
        target = getattr(self.circuit[name], "target", None)
        return target is not None and not target.targeted

    def _feed_back(self) -> None:
        """From where feedback begins, through its synapses, to the cells that teach."""
        links = self.parts.links
        origins = list(dict.fromkeys(self._origin(name) for name in self.parts.feedback))
        for synapse in self.parts.feedback:
            x, y = self.middle[synapse]
            origin = self._origin(synapse)
            if origin is not None:
                start, below = self.middle[origin]
                bus = BUS + 14 * origins.index(origin)
                begin = start + (10 if origin != LABEL else 0)
                end = y + SYNAPSE[1] / 2 + 14 * bool(self._shared(synapse))
                path = [(begin, below + CELL[1] / 2), (begin, bus), (x, bus), (x, end)]
                self._line(path, FEEDS, "feed")
            for link in links:
                if link.source == synapse and link.target in self.parts.teaching:
                    self._line([(x, y - SYNAPSE[1] / 2), (x, TEACHING + CELL[1] / 2)], FEEDS, "feed")
                if link.target == synapse and link.source in self.parts.layers:  # such as a rate, to be added up
                    right = self.x[self.parts.layers.index(link.source)] + CELL[0] / 2
                    top = FORWARD + CELL[1] / 2
                    around = [(right - 12, top), (right - 12, top + 16), (right + 9, top + 16), (right + 9, y)]
                    self._line([*around, (x + SYNAPSE[0] / 2, y)])
                    self._text(right + 6, y - 7, link.value, 11, "#666666", anchor="end")

    def _origin(self, synapse: str) -> str | None:
        """The cell whose signal a feedback synapse sends, or the label, if the signal is what the cell is told."""
        for link in self.parts.links:
            if link.target == synapse and link.port == "inputs" and link.source in self.middle:
                return LABEL if link.value == "target" else link.source
        return None

    def _shared(self, synapse: str) -> list[str]:
        """The synapse whose weights it uses, if it has none of its own."""
        return [link.source for link in self.parts.links if (link.target, link.port) == (synapse, "weights")]

    def _components(self) -> None:
        """A box for each component: cells are rounded, synapses are not."""
        self._box(PIXELS, (70, 40), "white", PIXELS, [f"{self.circuit.sizes[0]}"], 20)
        if any(map(self._wants_label, self.parts.teaching)):
            self._box(LABEL, (70, 40), "white", LABEL, [f"{self.circuit.sizes[-1]}"], 20)
        for name in chain((cell for cell in self.parts.layers if cell), self.parts.teaching):
            part: Any = self.circuit[name]
            self._box(name, CELL, "white", f"{name}: {part.n_units}", [type(part).__name__], 14)
        for name in chain(chain.from_iterable(self.parts.forward.values()), self.parts.feedback):
            part = self.circuit[name]
            learns = name in self.circuit.plastic
            lines = ["{} \N{MULTIPLICATION SIGN} {}".format(*part.shape)]
            lines += [f"{source} transposed" for source in self._shared(name)]
            self._box(name, SYNAPSE, LEARNS if learns else FIXED, name, lines, 0, dashed=not learns)

    def _legend(self) -> None:
        y = self.height - 26
        for x, fill, dash in ((24, LEARNS, ""), (190, FIXED, ' stroke-dasharray="4 3"')):
            self.boxes.append(
                f'<rect x="{x}" y="{y - 11:g}" width="22" height="15" fill="{fill}" stroke="{INK}"{dash}/>'
            )
        self._text(52, y + 1, "synapses that learn", anchor="start")
        self._text(218, y + 1, "that do not", anchor="start")
        entries = [(312, "sends", INK, "on", False), (408, "teaches", TEACHES, "teach", True)]
        entries += [(516, "feedback", FEEDS, "feed", False)] if self.parts.feedback else []
        for x, text, color, arrow, dashed in entries:
            self._line([(x, y - 4), (x + 32, y - 4)], color, arrow, dashed=dashed)
            self._text(x + 38, y + 1, text, anchor="start")

    def _left(self, name: str | None) -> float:
        return self.middle[name or PIXELS][0] - CELL[0] / 2

    def _right(self, name: str, half: float) -> float:
        return self.middle[name][0] + (35 if name == PIXELS else half)

    def _line(
        self, points: Iterable[tuple[float, float]], color: str = INK, arrow: str = "on", dashed: bool = False
    ) -> None:
        d = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.lines.append(
            f'<path d="{d}" fill="none" stroke="{color}" stroke-width="1.5"{dash} marker-end="url(#{arrow})"/>'
        )

    def _box(
        self,
        name: str,
        size: tuple[float, float],
        fill: str,
        title: str,
        lines: list[str],
        radius: float,
        dashed: bool = False,
    ) -> None:
        x, y = self.middle[name]
        width, height = size[0], size[1] + 14 * (len(lines) - 1)
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self.boxes.append(
            f'<rect x="{x - width / 2:g}" y="{y - size[1] / 2:g}" width="{width:g}" height="{height:g}" '
            f'rx="{radius:g}" fill="{fill}" stroke="{INK}"{dash}/>'
        )
        self._text(x, y - 4, title, 14, weight="bold")
        for n, line in enumerate(lines):
            self._text(x, y + 13 + 14 * n, line, 11, "#444444")

    def _text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 13,
        color: str = INK,
        anchor: str = "middle",
        weight: str = "normal",
    ) -> None:
        bold = f' font-weight="{weight}"' if weight != "normal" else ""
        self.boxes.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size:g}" fill="{color}"{bold}>'
            f"{escape(text)}</text>"
        )
