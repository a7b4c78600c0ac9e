"""Writes the arrays that exhibits learn from: of a known data set, or of a folder of pictures."""

import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported


def main() -> None:
    """Prepares what the command line names."""
    from exhibits.common.data.datasets import SOURCES, prepare
    from exhibits.common.data.images import SETS, prepare_images
    from exhibits.common.system.commandline import Mode, Parser, path
    from exhibits.common.system.errors import UserError

    parser = Parser(__doc__, "MODE --help lists the flags of each.")
    modes = parser.add_subparsers(dest="name", metavar="MODE", required=True, parser_class=Mode)
    for name in sorted(SOURCES):
        known = modes.add_parser(
            name, doc=f"Verifies the IDX files of {name}, writes data/{name}/*.npy.", help=f"data/{name}/*.npy"
        )
        known.add_argument("--source", type=path, metavar="DIR", help="folder with the four IDX files, gzipped or not")
    about = "From pictures in one subfolder per class to {data,dev,test}{X,Y}.npy."
    own = modes.add_parser("images", doc=about, help="arrays of a folder of pictures")
    own.add_argument("folder", type=path, metavar="DIR", help="folder with the subfolders")
    own.add_argument("--out", type=path, metavar="DIR", default=Path("arrays"), help="for the arrays (%(default)s)")
    own.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), default=(28, 28), help="pixels (28 28)")
    own.add_argument("--invert", action="store_true", help="black becomes white, for dark ink on bright paper")
    own.add_argument("--dev", type=float, metavar="SHARE", default=0.1, help="to choose the epoch by (%(default)s)")
    own.add_argument("--test", type=float, metavar="SHARE", default=0.1, help="to test (%(default)s)")
    own.add_argument("--seed", type=int, metavar="N", default=1234, help="of the split (%(default)s)")
    given = parser.parse_args()
    if given.name != "images":
        print(f"Wrote the arrays to {prepare(given.name, given.source)}")
        return
    if given.seed < 0:
        raise UserError(f"--seed {given.seed}: expected 0 or more")
    counts = prepare_images(given.folder, given.out, tuple(given.size), given.dev, given.test, given.invert, given.seed)
    for name, numbers in counts.items():
        print(f"{name}: {numbers[0]} to learn from, {numbers[1]} to choose the epoch by, {numbers[2]} to test")
    flags = [word for kind in SETS for part in "XY" for word in (f"--{kind}{part}", f"{given.out / kind}{part}.npy")]
    print("Train with:", shlex.join([*flags, "--classes", *counts]))


if __name__ == "__main__":
    with reported():
        main()
