"""The drawing of a circuit says what its components and wires say."""

import re
from xml.etree import ElementTree

import pytest
from drtp_snn import DRTP_SNN
from drtp_snn import Config as DRTPConfig

from exhibits.bfa_snn import BFA_SNN
from exhibits.bfa_snn import Config as BFAConfig
from exhibits.common.report.diagram import FIXED, LEARNS, Link, draw_circuit, parts_of
from exhibits.common.scripts.circuits import drawing
from exhibits.common.system.places import REPOSITORY, exhibits
from exhibits.glsnn import GLSNN
from exhibits.glsnn import Config as GLSNNConfig

SVG = "{http://www.w3.org/2000/svg}"


def circuit_of(kind, config):
    return kind(None, 36, 4, config)  # nothing is drawn: only the structure counts


def glsnn(*hid_dim, **values):
    return circuit_of(GLSNN, GLSNNConfig(hid_dim=hid_dim, receptive_field=0, **values))


@pytest.mark.parametrize("name", exhibits())
def test_the_committed_drawing_is_that_of_the_code(name):
    folder = REPOSITORY / "exhibits" / name
    assert (folder / "figures" / "circuit.svg").read_text() == drawing(name), "run exhibits/common/scripts/circuits.py"
    assert "(figures/circuit.svg)" in (folder / "README.md").read_text()


def test_parts_are_sorted_by_their_wires():
    parts = parts_of(circuit_of(BFA_SNN, BFAConfig(hid_dim=(20, 15))))
    assert parts.layers == ("z0", "z1", "z2", "z3")
    assert parts.forward == {1: ("W1",), 2: ("W2",), 3: ("W3",)}
    assert parts.teaching == {"d1": 1, "d2": 2, "e3": 3} and parts.feedback == {"E2": 1, "E3": 2}
    assert {Link("d1", "dmu", "W1", "post"), Link("z1", "surrogate", "d1", "modulator")} <= set(parts.links)


def test_synapses_of_opposite_signs_stand_below_each_other():
    circuit = circuit_of(BFA_SNN, BFAConfig(hid_dim=(20,), dale=True))
    parts = parts_of(circuit)
    assert parts.forward == {1: ("W1", "I1"), 2: ("W2", "I2")} and parts.teaching == {"d1": 1, "e2": 2}
    assert {Link("d1", "dmu", name, "post") for name in ("W1", "I1")} <= set(parts.links)
    drawn = draw_circuit(circuit)
    assert all(f">{name}<" in drawn for name in ("W1", "I1", "W2", "I2", "E2"))


def test_layers_without_feedback_are_not_taught():
    parts = parts_of(glsnn(20, 15, 10, n_feedback=1))
    assert parts.layers == (None, "z1", "z2", "z3", "z4")
    assert parts.teaching == {"e2": 2, "e3": 3, "e4": 4} and parts.feedback == {"F2": 2, "F3": 3}


def test_an_expression_is_a_wire_from_each_of_its_compartments():
    from exhibits.common.ngc import Summation, place, sources

    circuit = glsnn(20)
    rate, current = circuit["z1"].rate, circuit["z1"].j
    assert [place(each) for each in sources(Summation(rate, Summation(current)))] == [("z1", "rate"), ("z1", "j")]


CIRCUITS = {
    "bfa_snn 1": lambda: circuit_of(BFA_SNN, BFAConfig(hid_dim=(20,))),
    "bfa_snn 3": lambda: circuit_of(BFA_SNN, BFAConfig(hid_dim=(20, 15, 10), encoder="rate", synapses="dense")),
    "glsnn 1": lambda: glsnn(20),
    "glsnn 3": lambda: glsnn(20, 15, 10, encoder="bernoulli"),
    "glsnn 3, no feedback": lambda: glsnn(20, 15, 10, n_feedback=0),
    "drtp_snn 2": lambda: circuit_of(DRTP_SNN, DRTPConfig(hid_dim=(20, 15))),
}


@pytest.mark.parametrize("name", CIRCUITS)
def test_every_component_is_shown_inside_the_drawing(name):
    circuit = CIRCUITS[name]()
    root = ElementTree.fromstring(draw_circuit(circuit))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    boxes = [box for box in root.iter(f"{SVG}rect") if box.get("stroke")][:-2]  # without those of the legend
    names = {text.partition(":")[0] for text in texts if text}
    assert circuit.components.keys() <= names
    for component, part in circuit.components.items():
        shown = (
            "{} \N{MULTIPLICATION SIGN} {}".format(*part.shape)
            if hasattr(part, "weights")
            else f"{component}: {part.n_units}"
        )
        assert shown in texts
    synapses = [part for part in circuit.components if hasattr(circuit[part], "weights")]
    fills = [box.get("fill") for box in boxes]
    assert fills.count(LEARNS) == len(circuit.plastic) and fills.count(FIXED) == len(synapses) - len(circuit.plastic)
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    rectangles = [tuple(float(box.attrib[side]) for side in ("x", "y", "width", "height")) for box in boxes]
    for x, y, w, h in rectangles:
        assert x >= 0 and y >= 0 and x + w <= width and y + h <= height
    for n, (x, y, w, h) in enumerate(rectangles):
        for x2, y2, w2, h2 in rectangles[:n]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y, "two boxes overlap"


def test_lines_say_what_teaches_and_what_feeds_back():
    text = draw_circuit(glsnn(20, 15))
    assert "W3 transposed" in text
    arrows = re.findall(r"url\(#(\w+)\)", text)
    assert arrows.count("teach") == 3 + 1 and arrows.count("feed") == 2 * 2 + 1  # one each in the legend


def test_the_title_is_escaped():
    text = draw_circuit(glsnn(20), "<script>")
    assert "<script>" not in text and "<title>&lt;script&gt;</title>" in text
