"""From a folder of pictures, one subfolder a class, to arrays that the exhibits read."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from exhibits.common.system.errors import UserError, counted
from exhibits.common.system.files import make_folder, open_regular, write_array
from exhibits.common.system.memory import require_memory

SETS = ("data", "dev", "test")
# Whatever a file is called: of other formats, Pillow would hand some to programs, such as PostScript to Ghostscript.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
PIXEL_BYTES = 24  # of memory that reading takes at most, for each pixel
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


def prepare_images(
    folder: Path,
    out: Path,
    size: tuple[int, int] = (28, 28),
    dev: float = 0.1,
    test: float = 0.1,
    invert: bool = False,
    seed: int = 1234,
) -> dict[str, list[int]]:
    """Writes {data,dev,test}{X,Y}.npy: grey levels (N, H, W) as bytes, and the number of each picture's class.

    A picture is turned as its camera noted, laid on white where it is transparent, made grey, and scaled to H x W as a
    whole, without keeping its proportions. The sets have the same share of every class; which picture is in which is
    drawn at random. Pictures are recognized by the endings of their file names; folders inside that of a class are not
    searched. For each class where something is left out, a line says so.

    Args:
        folder: with a subfolder of pictures for each class; the classes are numbered by name.
        out: folder for the arrays; made if need be.
        size: H and W, pixels.
        dev: share of the pictures to choose the epoch by.
        test: share of the pictures to test.
        invert: whether black becomes white: cells answer to bright pixels, ink is dark.
        seed: of the split.

    Returns:
        How many pictures of each class are in the three sets, by class.

    Raises:
        UserError: if there are too few pictures or classes, or one cannot be read.
    """
    if min(size) < 1 or max(size) > 1024:
        raise UserError(f"--size {size[0]} {size[1]}: expected 1 to 1024 pixels")
    if not (dev > 0 and test > 0 and dev + test < 1):  # NaN neither
        raise UserError(f"--dev {dev:g} --test {test:g}: expected two shares above 0, together below 1")
    if out.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"--out {out}: in the folder of the pictures; expected one elsewhere")
    if taken := [path for path in (out / f"{name}{part}.npy" for name in SETS for part in "XY") if path.exists()]:
        raise UserError(f"--out {out}: has {taken[0].name}; expected a new folder, or one without such arrays")
    classes = _classes(folder)
    rng = np.random.default_rng(seed)
    patterns: dict[str, list[np.ndarray]] = {name: [] for name in SETS}
    labels: dict[str, list[int]] = {name: [] for name in SETS}
    counts = {}
    for label, (name, paths) in enumerate(classes.items()):
        n_dev, n_test = (max(1, round(share * len(paths))) for share in (dev, test))
        n_data = len(paths) - n_dev - n_test
        if n_data < 1:
            expected = (
                "at least 3, one for each set"
                if len(paths) < 3
                else f"some to learn from, beside {n_dev} for --dev {dev:g} and {n_test} for --test {test:g}"
            )
            raise UserError(f"{folder / name}: {counted(len(paths), 'picture')}; expected {expected}")
        counts[name] = [n_data, n_dev, n_test]
        sets = np.repeat(SETS, counts[name])
        for kind, path in zip(sets, rng.permutation(np.array(paths, object)), strict=True):
            patterns[kind].append(read_picture(path, size, invert))
            labels[kind].append(label)
    if (n_learned := len(labels[SETS[0]])) < 2 * len(classes):
        raise UserError(
            f"{folder}: {n_learned} pictures to learn from in {len(classes)} classes; expected 2 for each on average: "
            "add pictures, or lower --dev and --test"
        )
    make_folder(out)
    for name in SETS:
        order = rng.permutation(len(labels[name]))
        write_array(out / f"{name}X.npy", np.stack(patterns[name])[order])
        write_array(out / f"{name}Y.npy", np.array(labels[name])[order])
    return counts


def _classes(folder: Path) -> dict[str, list[Path]]:
    """Pictures by class."""
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}; expected a folder with a subfolder for each class") from None
    if len(names) < 2:
        raise UserError(f"{folder}: subfolders: {len(names)}; expected one for each of two or more classes")
    seen: dict[Path, str] = {}
    for name in names:
        if name.startswith("-"):
            raise UserError(f"{folder / name}: a class name that reads as a flag; rename it")
        if (other := seen.setdefault((folder / name).resolve(), name)) != name:
            raise UserError(f"{folder / name}: the same folder as {other}; expected one for each class")
    return {name: sorted(_pictures(folder / name)) for name in names}


def _pictures(folder: Path) -> Iterator[Path]:
    """Pictures in a class's folder; prints what else is there, apart from hidden files."""
    left_out = []
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.suffix.lower() in ENDINGS and not path.is_dir():
            yield path
        else:
            left_out.append(f"{path.name}/" if path.is_dir() else path.name)
    if left_out:
        kinds = " ".join(ENDINGS)
        others = f" and {len(left_out) - 1} more" if len(left_out) > 1 else ""
        print(f"{folder}: left out {min(left_out)}{others}; expected pictures ({kinds}) and no folders", flush=True)


def read_picture(path: Path, size: tuple[int, int], invert: bool = False) -> np.ndarray:
    """A picture's grey levels (H, W) as bytes, scaled to H x W; those of 16 bits divided by 257.

    Raises:
        UserError: if it is no file, no picture, an animation, of numbers whose scale is a guess, or of more pixels than
            Pillow accepts without a warning.
    """
    height, width = size
    try:
        with open_regular(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as picture:
                require_memory(PIXEL_BYTES * picture.width * picture.height, str(path), "give a smaller picture")
                frames = getattr(picture, "n_frames", 1)
                if frames > 1 and picture.format != "MPO":  # of phones: the first is the photograph
                    raise UserError(f"{path}: {frames} pictures in one file; expected one")
                grey = _grey(ImageOps.exif_transpose(picture), path).resize((width, height), Image.Resampling.LANCZOS)
    except UserError:
        raise
    except UnidentifiedImageError:
        raise UserError(f"{path}: not a picture; remove or replace it") from None
    except Exception as error:  # whatever Pillow's parts raise for a damaged file
        reason = " ".join((getattr(error, "strerror", None) or str(error)).split())[:120] or type(error).__name__
        raise UserError(f"{path}: cannot be read ({reason}); remove or replace it") from None
    values = np.asarray(grey, np.uint8)
    return 255 - values if invert else values


def _grey(picture: Image.Image, path: Path) -> Image.Image:
    """A picture in 8 bits of grey."""
    if picture.mode.startswith("I;16"):
        deep = np.asarray(picture)
        grey = np.round(deep / 257).astype(np.uint8)
        grey[deep == picture.info.get("transparency", -1)] = 255  # the one level that a PNG can mark as transparent
        return Image.fromarray(grey)
    if picture.mode in ("I", "F"):
        raise UserError(f"{path}: numbers of mode {picture.mode}, whose scale is a guess; save it with 8 or 16 bits")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("L")
