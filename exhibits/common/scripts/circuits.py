"""Draws the circuits in the exhibits' READMEs, `figures/circuit.svg` of each, from the components as they are wired."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported


def drawing(name: str) -> str:
    """The circuit of an exhibit's defaults for MNIST, as an SVG document."""
    import jax

    from exhibits.common.library.exhibit import Exhibit
    from exhibits.common.report.diagram import draw_circuit

    exhibit = Exhibit.named(name)
    circuit = exhibit.network(jax.random.PRNGKey(0), 784, 10, exhibit.config())
    return draw_circuit(circuit, f"Circuit of the {exhibit.model.replace('_', '-')}")


def main() -> None:
    """Writes all of them."""
    from exhibits.common.system.commandline import Parser
    from exhibits.common.system.environment import pin
    from exhibits.common.system.files import replacing
    from exhibits.common.system.places import REPOSITORY, exhibits

    Parser(__doc__).parse_args()
    pin()
    for name in exhibits():
        path = REPOSITORY / "exhibits" / name / "figures" / "circuit.svg"
        with replacing(path) as file:
            file.write(drawing(name).encode())
        print(path)


if __name__ == "__main__":
    with reported():
        main()
