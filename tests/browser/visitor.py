"""What a visitor of the live exhibits does and reads."""

import re

import pytest

from .conftest import MINUTES

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: make test-browser installs it"
)
expect = sync_api.expect

# A clear digit of each class, as strokes on a pad of 280 x 280.
STROKES = {
    0: [[(140, 40), (95, 70), (80, 140), (95, 210), (140, 240), (185, 210), (200, 140), (185, 70), (140, 40)]],
    1: [[(150, 40), (140, 140), (130, 240)]],
    2: [[(85, 85), (105, 50), (150, 40), (190, 65), (190, 105), (150, 160), (85, 235), (140, 232), (205, 235)]],
    3: [
        [(85, 60), (130, 40), (180, 60), (185, 100), (135, 135)],
        [(135, 135), (190, 160), (195, 210), (145, 240), (85, 225)],
    ],
    4: [[(105, 45), (90, 100), (85, 145), (140, 145), (195, 140)], [(185, 50), (180, 140), (175, 240)]],
    5: [[(190, 45), (105, 48), (95, 125), (150, 120), (190, 155), (185, 210), (140, 240), (85, 225)]],
    6: [
        [
            (170, 40),
            (115, 85),
            (85, 150),
            (90, 210),
            (135, 240),
            (180, 220),
            (185, 175),
            (145, 150),
            (100, 170),
            (90, 200),
        ]
    ],
    7: [[(80, 55), (140, 50), (200, 50), (165, 130), (130, 240)]],
    8: [
        [(140, 135), (95, 95), (105, 55), (145, 40), (185, 60), (180, 100), (140, 135)],
        [(140, 135), (95, 175), (95, 220), (140, 240), (185, 220), (185, 175), (140, 135)],
    ],
    9: [
        [
            (185, 95),
            (160, 130),
            (110, 130),
            (90, 90),
            (110, 50),
            (160, 45),
            (187, 75),
            (185, 95),
            (180, 170),
            (165, 240),
        ]
    ],
}


def said(page, room: str) -> str:
    """What the page says once the answer is there."""
    verdict = page.locator(f"{room} [data-is=verdict]")
    expect(verdict).to_contain_text("network says", timeout=MINUTES)
    return verdict.inner_text()


def draw(page, strokes, pad="#draw .pad") -> None:
    box = page.locator(pad).bounding_box()
    for stroke in strokes:
        places = [(box["x"] + x * box["width"] / 280, box["y"] + y * box["height"] / 280) for x, y in stroke]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place, steps=4)
        page.mouse.up()


def status(page, room: str, pattern: str) -> str:
    """What the room's status line says once it fits the pattern."""
    line = page.locator(f"{room} [data-is=status]")
    expect(line).to_have_text(re.compile(pattern), timeout=MINUTES)
    return line.inner_text()


def share(text: str) -> float:
    return float(text.partition("%")[0]) / 100
