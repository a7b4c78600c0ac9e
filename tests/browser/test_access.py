"""The live exhibits on small screens, in light and dark, by keyboard and with a screen reader."""

import re

import pytest

from .visitor import expect, said

ROOMS = ("index.html#draw", "index.html#learn", "index.html#lesion", "glsnn.html")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("room", ROOMS)
def test_rooms_fit_the_screen(room, width, visit):
    page = visit(room, width=width)
    page.wait_for_timeout(300)
    across, down = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert across == width
    if width == 1280:
        assert down <= 800
    for control in page.locator("button:visible, select:visible, input:visible:not([type=checkbox])").all():
        assert control.bounding_box()["height"] >= 44, control.inner_text()
    for canvas in page.locator("main canvas:visible").all():
        assert canvas.get_attribute("aria-label")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(scheme, visit):
    page = visit("index.html", color_scheme=scheme)
    colours = page.evaluate(
        "['paper', 'ink', 'soft', 'input', 'hidden', 'output'].map(Museum.colour).map((hex) =>"
        " [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255))"
    )

    def luminance(rgb):
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    paper, *texts = map(luminance, colours)
    assert (paper > 0.5) == (scheme == "light")
    for text in texts:
        assert (max(paper, text) + 0.05) / (min(paper, text) + 0.05) >= 4.5  # WCAG AA


def test_the_keyboard_is_enough(visit):
    page = visit("index.html")
    focused = "document.activeElement"

    def tab_to(condition: str) -> None:
        for _ in range(40):
            if page.evaluate(condition):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"no Tab leads to {condition}")

    tab_to(f"{focused}.id === 'draw-tab'")
    tab_to(f"{focused}.className === 'pad'")
    assert page.evaluate(f"getComputedStyle({focused}).outlineStyle") == "solid"
    page.keyboard.press("0")
    assert "says 0," in said(page, "#draw")
    tab_to(f"{focused}.textContent === 'Step'")
    page.keyboard.press("Enter")
    expect(page.locator("#draw [data-is=player] output")).to_have_text("0.25 ms")
    tab_to(f"{focused}.dataset.is === 'cell'")
    page.keyboard.type("5")
    page.keyboard.press("Enter")
    page.locator("#draw-tab").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#learn")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#lesion")).to_be_visible()
    tab_to(f"{focused}.dataset.is === 'cells'")
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-is=cells-share]")).to_have_text(re.compile(r"5\s%"))
