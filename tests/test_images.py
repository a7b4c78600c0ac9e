"""Folders of pictures to arrays."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_bad_input import start

from exhibits.common.data.images import prepare_images, read_picture
from exhibits.common.data.loading import read_patterns
from exhibits.common.system.errors import UserError
from exhibits.common.system.places import REPOSITORY


@pytest.fixture
def pictures(tmp_path):
    """Ten pictures each of dark and of bright, as different files."""
    rng = np.random.default_rng(0)
    for name, level in (("bright", 200), ("dark", 40)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for n in range(10):
            grey = rng.integers(level - 20, level + 20, (12, 16)).astype(np.uint8)
            picture = Image.fromarray(grey).convert("RGB" if n % 2 else "L")
            picture.save(tmp_path / "pictures" / name / f"{n}.{'png' if n < 8 else 'bmp'}")
    (tmp_path / "pictures" / "dark" / "notes.txt").write_text("no picture")
    (tmp_path / "pictures" / ".hidden").mkdir()
    return tmp_path / "pictures"


def test_arrays_have_every_picture_once_with_its_class(pictures, tmp_path):
    counts = prepare_images(pictures, tmp_path / "out", size=(6, 8), dev=0.2, test=0.1)
    assert counts == {"bright": [7, 2, 1], "dark": [7, 2, 1]}
    seen = set()
    for name, n in (("data", 14), ("dev", 4), ("test", 2)):
        x, y = (np.load(tmp_path / "out" / f"{name}{part}.npy") for part in "XY")
        assert (x.shape, x.dtype, y.shape) == ((n, 6, 8), np.uint8, (n,))
        np.testing.assert_array_equal(x.mean(axis=(1, 2)) < 120, y == 1)  # dark is the second name
        seen |= {picture.tobytes() for picture in x}
    assert len(seen) == 20
    first = (tmp_path / "out" / "dataX.npy").read_bytes()
    with pytest.raises(UserError, match=r"out: has dataX\.npy; expected a new folder"):
        prepare_images(pictures, tmp_path / "out", size=(6, 8), seed=3)
    assert (tmp_path / "out" / "dataX.npy").read_bytes() == first
    prepare_images(pictures, tmp_path / "again", size=(6, 8), dev=0.2, test=0.1)
    prepare_images(pictures, tmp_path / "other", size=(6, 8), dev=0.2, test=0.1, seed=2)
    assert (tmp_path / "again" / "dataX.npy").read_bytes() == first != (tmp_path / "other" / "dataX.npy").read_bytes()
    patterns, form, _ = read_patterns(tmp_path / "out" / "dataX.npy", tmp_path / "out" / "dataY.npy")
    assert patterns.x.shape == (14, 48) and form.picture == (6, 8) and form.classes == 2


def test_a_picture_is_made_grey_turned_and_inverted(tmp_path):
    left = np.zeros((2, 4, 3), np.uint8)
    left[:, :2] = (255, 0, 0)  # red: 76 in grey
    exif = Image.Exif()
    exif[0x0112] = 3  # taken upside down
    Image.fromarray(left).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", (2, 4)), [[0, 0, 76, 76]] * 2)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", (2, 4), invert=True), [[255, 255, 179, 179]] * 2)


def test_pictures_of_every_kind_keep_their_grey_or_are_refused(tmp_path):
    deep = np.full((4, 4), 32768, np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert (read_picture(tmp_path / "deep.png", (2, 2)) == 128).all()
    deep[:, :2] = 2570
    Image.fromarray(deep).save(tmp_path / "clear deep.png", transparency=2570)
    np.testing.assert_array_equal(read_picture(tmp_path / "clear deep.png", (4, 4)), [[255, 255, 128, 128]] * 4)
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[:, :2, 3] = 255  # a black half on nothing
    Image.fromarray(clear).save(tmp_path / "clear.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "clear.png", (4, 4)), [[0, 0, 255, 255]] * 4)
    Image.fromarray(deep.astype(np.float32)).save(tmp_path / "float.tiff")
    frames = [Image.new("L", (4, 4), grey) for grey in (0, 255)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=frames[1:])
    assert (read_picture(tmp_path / "phone.jpg", (2, 2)) == 0).all()
    for name, words in (("float.tiff", "whose scale is a guess"), ("moving.gif", "2 pictures in one file")):
        with pytest.raises(UserError, match=words):
            read_picture(tmp_path / name, (4, 4))


def test_what_makes_no_data_set_is_refused(pictures, tmp_path):
    out = tmp_path / "out"
    cases: list[tuple[dict[str, Any], str]] = [
        ({"size": (0, 8)}, "--size 0 8"),
        ({"dev": 0.5, "test": 0.5}, "together below 1"),
        ({"dev": float("nan")}, "together below 1"),
        ({"dev": 0.5, "test": 0.4}, "2 pictures to learn from in 2 classes; expected 2 for each on average"),
        ({"out": pictures}, "expected one elsewhere"),
        ({"out": pictures / "arrays"}, "expected one elsewhere"),
        ({"folder": tmp_path / "none"}, "No such file.*subfolder for each class"),
        ({"folder": pictures / "dark"}, "subfolders: 0"),
    ]
    for values, words in cases:
        with pytest.raises(UserError, match=words):
            prepare_images(**{"folder": pictures, "out": out} | values)
    (pictures / "dark" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    with pytest.raises(UserError, match=r"broken\.png: (not a picture|cannot be read)"):
        prepare_images(pictures, out)
    (pictures / "dark" / "broken.png").write_bytes((pictures / "dark" / "1.png").read_bytes()[:90])
    with pytest.raises(UserError, match=r"broken\.png: (not a picture|cannot be read)"):
        prepare_images(pictures, out)
    (pictures / "few").mkdir()
    (pictures / "few" / "1.png").write_bytes((pictures / "dark" / "1.png").read_bytes())
    (pictures / "dark" / "broken.png").unlink()
    with pytest.raises(UserError, match="few: 1 picture; expected at least 3"):
        prepare_images(pictures, out)
    with pytest.raises(UserError, match=r"bright: \d+ pictures; expected some to learn from, .* --dev 0\.6"):
        prepare_images(pictures, out, dev=0.6, test=0.39)
    assert not out.exists()


def test_what_is_left_out_is_named(pictures, tmp_path, capsys):
    bright = pictures / "bright"
    (bright / "more.png").mkdir()
    (bright / "1.png").rename(bright / "more.png" / "1.png")
    for name in (".thumbs", "sizes.csv"):
        (bright / name).write_text("")
    assert prepare_images(pictures, tmp_path / "out") == {"bright": [7, 1, 1], "dark": [8, 1, 1]}
    said = capsys.readouterr().out.splitlines()
    assert [line.partition("; expected pictures (.png ")[0] for line in said] == [
        f"{bright}: left out more.png/ and 1 more",
        f"{pictures / 'dark'}: left out notes.txt",
    ]


@pytest.mark.parametrize("most", [50, 150])  # of 192; Pillow only warns of up to twice as many
def test_a_bomb_is_refused(pictures, monkeypatch, most):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
    with pytest.raises(UserError, match=r"cannot be read \(Image size"):
        read_picture(pictures / "dark" / "1.png", (8, 8))


def test_a_picture_that_does_not_fit_is_refused(pictures, monkeypatch):
    monkeypatch.setattr("exhibits.common.system.memory.available", lambda: 1000)
    with pytest.raises(UserError, match=r"1\.png: about .* GB of memory"):
        read_picture(pictures / "dark" / "1.png", (8, 8))


def test_no_picture_is_run_or_waited_for(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(UserError, match="not a picture"):  # Pillow would have Ghostscript run it
        read_picture(path, (8, 8))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match="is a FIFO, not a regular file"):
        read_picture(path, (8, 8))


def prepare(*args, cwd):
    command = [sys.executable, str(REPOSITORY / "data" / "prepare.py"), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


def test_the_script_says_how_to_train_with_them(pictures, tmp_path):
    done = prepare("images", pictures, "--size", 6, 6, "--out", "my arrays", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "dark: 8 to learn from, 1 to choose the epoch by, 1 to test" in done.stdout
    flags = shlex.split(done.stdout.splitlines()[-1].removeprefix("Train with: "))
    assert flags[-3:] == ["--classes", "bright", "dark"] and Path(tmp_path, flags[1]).is_file()
    for args, words in (
        (["images"], "expected DIR"),
        (["images", pictures, "--source", "x"], "--source: unknown flag"),
        (["images", pictures, "--sice", "6", "6"], "--sice: unknown flag; did you mean --size?"),
        (["mnist", "x"], "x: not expected here"),
        (["mnist", "--out", "x"], "--out: unknown flag"),
        (["cifar"], "MODE cifar: expected fashion_mnist, mnist, images"),
    ):
        wrong = prepare(*args, cwd=tmp_path)
        assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1 and words in wrong.stderr


def test_the_script_passes_on_what_its_flags_say(monkeypatch):
    asked = []
    prepare = "exhibits.common.data.images.prepare_images"
    monkeypatch.setattr(prepare, lambda *given: asked.append(given) or {"a": [3, 2, 1]})
    script = str(REPOSITORY / "data" / "prepare.py")
    flags = "--out o --size 5 7 --dev 0.2 --test 0.3 --invert --seed 9"
    assert start(monkeypatch, [script, "images", "f", *flags.split()]) == 0
    assert start(monkeypatch, [script, "images", "f"]) == 0
    assert asked == [
        (Path("f"), Path("o"), (5, 7), 0.2, 0.3, True, 9),
        (Path("f"), Path("arrays"), (28, 28), 0.1, 0.1, False, 1234),
    ]
