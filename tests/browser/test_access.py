"""The live exhibits on small screens, in light and dark, by keyboard and with a screen reader."""

import re

import pytest

from .conftest import MINUTES
from .visitor import expect, said, status

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
    unnamed = "(e) => !(e.ariaLabel || e.labels?.length || (e.localName === 'button' && e.textContent.trim()))"
    controls = "[...document.querySelectorAll('button, select, input')].filter((e) => e.checkVisibility())"
    assert page.evaluate(f"{controls}.filter({unnamed}).map((e) => e.outerHTML)") == []
    for canvas in page.locator("main canvas:visible").all():
        assert canvas.get_attribute("aria-label")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(scheme, visit):
    page = visit("index.html", color_scheme=scheme)
    least = dict.fromkeys(("ink", "soft", "input", "hidden", "output"), 4.5)  # text: WCAG AA
    least |= dict.fromkeys(("up", "down", "focus", "edge"), 3)  # bars, cells, outlines and borders of controls
    colours = page.evaluate(
        "(names) => names.map(Museum.colour).map((hex) =>"
        " [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255))",
        ["paper", "panel", *least],
    )

    def luminance(rgb):
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    paper, panel, *shown = map(luminance, colours)
    assert (paper > 0.5) == (scheme == "light")
    for ground in (paper, panel):
        for (name, contrast), colour in zip(least.items(), shown, strict=True):
            assert (max(ground, colour) + 0.05) / (min(ground, colour) + 0.05) >= contrast, name


def test_paper_is_light_in_the_dark_too(visit):
    page = visit("index.html#draw", color_scheme="dark")
    said(page, "#draw")
    chart = "document.querySelector('#draw [data-is=raster]').toDataURL()"
    dark, colours = page.evaluate(chart), [page.evaluate("Museum.colour('ink')")]
    page.emulate_media(media="print")
    page.wait_for_function(f"(dark) => {chart} !== dark", arg=dark, timeout=MINUTES / 6)
    colours.append(page.evaluate("Museum.colour('ink')"))
    page.emulate_media(media="screen")
    page.wait_for_function(f"(dark) => {chart} === dark", arg=dark, timeout=MINUTES / 6)
    assert colours == ["#eceae4", "#1c1b19"]


def test_forced_colours_leave_bars_and_show_one_tab(visit):
    page = visit("index.html#draw", forced_colors="active")
    said(page, "#draw")
    drawn = "(what) => getComputedStyle(document.querySelector(what))"
    ground = page.evaluate(f"({drawn})('body').backgroundColor")
    assert page.evaluate(f"({drawn})('#draw .best i').backgroundColor") != ground
    assert page.evaluate(f"({drawn})('#draw-tab').borderBottomColor") != ground
    assert page.evaluate(f"({drawn})('#learn-tab').borderBottomColor") == ground


def test_curves_differ_in_more_than_colour(visit):
    page = visit("index.html#lesion")
    shapes = page.evaluate(
        """() => {
          const canvas = document.querySelector("#lesion [data-is=accuracy]");
          const chart = new Museum.AccuracyChart(canvas, { label: "", most: () => 2, ticks: () => [] });
          return ["hidden", "output", "input", "soft"].map((colour) => {
            chart.show([{ points: [[1, 0.75]], colour }]);
            const { data } = chart.context.getImageData(0, 0, canvas.width, canvas.height);
            return data.filter((_, i) => i % 4 === 3).join();
          });
        }"""
    )
    assert len(set(shapes)) == 4


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
    page.keyboard.press("Home")
    expect(page.locator("#draw")).to_be_visible()
    page.keyboard.press("Alt+ArrowRight")  # the browser's
    expect(page.locator("#draw")).to_be_visible()
    page.keyboard.press("End")
    expect(page.locator("#lesion")).to_be_visible()
    tab_to(f"{focused}.dataset.is === 'cells'")
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-is=cells-share]")).to_have_text(re.compile(r"5\s%"))
    slider = page.get_by_role("slider", name="Silent hidden cells", exact=True)
    assert slider.get_attribute("aria-valuetext") == "5\u00a0%"


def test_back_shows_what_the_networks_are(visit):
    page = visit("index.html#draw")
    controls = "[...document.querySelectorAll('[autocomplete]')].map((e) => e.checked ?? e.value).join()"

    def change_all() -> None:
        page.evaluate(
            """() => document.querySelectorAll("[autocomplete]").forEach((e) => {
              e.localName === "select" ? (e.selectedIndex = 1) : e.type === "checkbox" ? e.click() : (e.value = 35);
            })"""
        )

    page.locator("#learn-tab").click()
    first = page.evaluate(controls)
    change_all()
    assert page.evaluate(controls) != first
    page.goto(page.url.replace("index.html#learn", "glsnn.html"))
    second = page.evaluate(controls)
    change_all()
    page.go_back()
    page.locator("#draw-tab").click()
    assert page.evaluate(controls) == first
    page.go_forward()
    assert page.evaluate(controls) == second


def test_screen_readers_hear_results_only(visit):
    page = visit("index.html#learn")
    line = page.locator("#learn [data-is=status]")
    expect(line).to_contain_text("Measuring", timeout=MINUTES)
    assert line.get_attribute("aria-busy") == "true"
    status(page, "#learn", "right after 0 digits")
    assert line.get_attribute("aria-busy") == "false"
    page.locator("#lesion-tab").click()
    empty = page.locator("#lesion [data-is=status]")  # one that is not rendered would not be heard
    assert empty.inner_text() == "" and empty.evaluate("(e) => getComputedStyle(e).display") == "block"
    page.locator("#draw-tab").click()
    assert page.locator("#draw [data-is=player] output").get_attribute("aria-live") == "off"


def test_the_focus_stays_on_teach_it(visit):
    page = visit("index.html#learn")
    status(page, "#learn", "right after 0 digits")
    page.locator("#learn .pad").press("3")
    page.locator("#learn [data-is=one]").focus()
    for _ in range(2):  # the second while it teaches
        page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.is") == "one"
    status(page, "#learn", "Taught 3")
    assert page.evaluate("document.activeElement.dataset.is") == "one"


@pytest.mark.parametrize("page_name", ["index.html", "glsnn.html"])
def test_a_page_without_scripts_says_so(page_name, visit):
    page = visit(page_name, java_script_enabled=False)
    assert "needs JavaScript" in page.locator("#check").inner_text()


def test_charts_are_drawn_again_at_another_pixel_ratio(visit):
    page = visit("index.html#draw")
    page.locator("#draw .pad").press("4")
    session = page.context.new_cdp_session(page)
    for ratio in (2, 3):
        # Chromium tells pages of an emulated ratio only if the window's size changes too.
        screen = {"width": 1280, "height": 800 + ratio, "deviceScaleFactor": ratio, "mobile": False}
        session.send("Emulation.setDeviceMetricsOverride", screen)
        page.wait_for_function(
            "(ratio) => { const raster = document.querySelector('[data-is=raster]');"
            " return Math.abs(raster.width - ratio * raster.clientWidth) <= 1; }",
            arg=ratio,
            timeout=MINUTES / 6,
        )
