"""The live exhibits as a visitor uses them, in Chromium: make test-browser."""

import functools
import http.server
import re
import shutil
import threading
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[browser]'")

LIVE = Path(__file__).resolve().parents[2] / "docs" / "live"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ROOMS = ("index.html#draw", "index.html#learn", "index.html#lesion", "glsnn.html")
MINUTES = 180_000  # ms, for what a slow machine has to simulate

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")

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


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def server():
    """The address of a server of the pages."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

    handler = functools.partial(Quiet, directory=str(LIVE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def visit(browser):
    """Opens a room: visit(room, base=..., width=..., **options of the context); fails if a page reports an error."""
    contexts, errors, requests = [], [], []

    def open_room(room: str, base: str = LIVE.as_uri(), width: int = 1280, motion: str = "reduce", **options):
        height = 800 if width > 500 else 844
        context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion=motion, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(MINUTES)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: requests.append((base, request.url)))
        page.goto(f"{base}/{room}")
        return page

    yield open_room
    for context in contexts:
        context.close()
    assert errors == []
    for base, url in requests:
        assert url.startswith((base, "data:")), "a page asked somebody else"


def said(page, room: str) -> str:
    """What the page says once the answer is there."""
    verdict = page.locator(f"{room} [data-is=verdict]")
    sync_api.expect(verdict).to_contain_text("network says", timeout=MINUTES)
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
    sync_api.expect(line).to_have_text(re.compile(pattern), timeout=MINUTES)
    return line.inner_text()


def share(text: str) -> float:
    return float(text.partition("%")[0]) / 100


@pytest.mark.parametrize("served", [False, True])
@pytest.mark.parametrize("page_name", ["index.html", "glsnn.html"])
def test_every_spike_is_that_of_python(page_name, served, visit, server):
    page = visit(page_name, base=server if served else LIVE.as_uri())
    sync_api.expect(page.locator("#check")).to_contain_text("20 of 20", timeout=MINUTES)
    sync_api.expect(page.locator("#check")).to_contain_text("this page is the model")


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


def test_clear_digits_are_recognized(visit):
    page = visit("index.html#draw")
    right = 0
    for digit, strokes in STROKES.items():
        page.get_by_role("button", name="Clear").first.click()
        draw(page, strokes)
        right += f"says {digit}," in said(page, "#draw")
    assert right >= 9


def test_a_digit_plays_before_a_visitor_draws(visit):
    page = visit("index.html#draw", motion="no-preference")
    assert "The network says" in said(page, "#draw")
    draw(page, STROKES[1])  # on an empty pad, though nobody cleared it
    assert "says 1," in said(page, "#draw")


def test_a_finger_draws_too(visit):
    page = visit("index.html#draw", width=390, has_touch=True, is_mobile=True)
    box = page.locator("#draw .pad").bounding_box()
    touch = page.context.new_cdp_session(page)
    for kind, y in [("touchStart", 40), *(("touchMove", y) for y in range(50, 240, 10)), ("touchEnd", None)]:
        points = [] if y is None else [{"x": box["x"] + box["width"] / 2, "y": box["y"] + y * box["height"] / 280}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert "says 1," in said(page, "#draw")


def test_a_presentation_plays_pauses_and_steps(visit):
    page = visit("index.html#draw", motion="no-preference")
    clock = page.locator("#draw [data-is=player] output")
    page.locator("#draw .pad").press("4")
    sync_api.expect(page.get_by_role("button", name="Pause")).to_be_visible()
    sync_api.expect(clock).not_to_have_text("0.00 ms")
    page.get_by_role("button", name="Pause").click()
    before = float(clock.inner_text().split()[0])
    assert before < 25
    page.get_by_role("button", name="Step").click()
    assert float(clock.inner_text().split()[0]) == before + 0.25
    page.get_by_role("combobox", name="Speed").select_option("25")
    page.get_by_role("button", name="Play").click()
    assert said(page, "#draw")
    sync_api.expect(clock).to_have_text("25.00 ms")


def test_reduced_motion_shows_all_at_once(visit):
    page = visit("index.html#draw")
    page.locator("#draw .pad").press("4")
    sync_api.expect(page.locator("#draw [data-is=player] output")).to_have_text("25.00 ms")
    assert page.get_by_role("button", name="Play").is_visible()


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
    sync_api.expect(page.locator("#draw [data-is=player] output")).to_have_text("0.25 ms")
    tab_to(f"{focused}.dataset.is === 'cell'")
    page.keyboard.type("5")
    page.keyboard.press("Enter")
    page.locator("#draw-tab").focus()
    page.keyboard.press("ArrowRight")
    sync_api.expect(page.locator("#learn")).to_be_visible()
    page.keyboard.press("ArrowRight")
    sync_api.expect(page.locator("#lesion")).to_be_visible()
    tab_to(f"{focused}.dataset.is === 'cells'")
    page.keyboard.press("ArrowRight")
    sync_api.expect(page.locator("[data-is=cells-share]")).to_have_text(re.compile(r"5\s%"))


def test_another_cell_is_chosen_by_a_click(visit):
    page = visit("index.html#draw")
    page.locator("#draw .pad").press("4")
    box = page.locator("#draw [data-is=raster]").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.8)
    assert page.locator("#draw [data-is=layer]").input_value() == "2"


def test_learning_needs_its_feedback(visit):
    """From random weights, in minibatches of 20. The sign matters once the output synapses align with it."""
    accuracies = {}
    for feedback in ("off", "on"):
        page = visit("index.html#learn")
        status(page, "#learn", "right after 0 digits")
        page.locator("#learn [data-is=feedback]").select_option(feedback)
        for taught in (100, 200):
            page.locator("#learn [data-is=many]").click()
            accuracies[feedback] = share(status(page, "#learn", f"right after {taught} digits"))
    assert accuracies["on"] > 0.5 and accuracies["off"] < 0.3
    page.locator("#learn [data-is=feedback]").select_option("flipped")
    page.locator("#learn [data-is=many]").click()
    assert share(status(page, "#learn", "right after 300 digits")) < accuracies["on"] - 0.1


def test_a_drawn_digit_can_be_taught(visit):
    page = visit("index.html#learn")
    status(page, "#learn", "right after 0 digits")
    page.locator("#learn .pad").press("3")
    assert page.locator("#learn [data-is=label]").input_value() == "3"
    page.locator("#learn [data-is=one]").click()
    status(page, "#learn", "Taught 3")
    assert "mean change of 0.0" in page.locator("#learn [data-is=changed]").inner_text()


def test_damage_lowers_the_accuracy(visit):
    page = visit("index.html#lesion")
    page.get_by_role("button", name="Measure accuracy").click()
    whole = share(status(page, "#lesion", "right with this damage"))
    page.locator("#lesion [data-is=synapses]").fill("95")
    page.get_by_role("button", name="Measure accuracy").click()
    assert share(status(page, "#lesion", "right with this damage")) < whole - 0.1


def test_feedback_pathways_of_the_glsnn(visit):
    page = visit("glsnn.html")
    page.locator(".pad").press("7")
    assert "says" in said(page, "#cascade")
    page.locator("[data-is=label]").select_option("3")
    notes = page.locator(".check output")
    sync_api.expect(notes.nth(1)).to_contain_text("mean 0.")
    before = page.evaluate("Museum.page.weights.W2.slice(0, 800).join()")
    page.locator("[data-pathway='2']").uncheck()
    sync_api.expect(notes.nth(1)).to_contain_text("off")
    learn = page.get_by_role("button", name="Learn once")
    learn.click()
    status(page, "#cascade", "Update 1")
    assert page.evaluate("Museum.page.weights.W2.slice(0, 800).join()") == before
    for n in range(2, 12):
        learn.click()
        status(page, "#cascade", f"Update {n}")
    assert "says 3" in said(page, "#cascade")
    page.get_by_role("button", name="Forget").click()
    assert "says 7" in said(page, "#cascade")
