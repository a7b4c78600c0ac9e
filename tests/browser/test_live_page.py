"""The live exhibits as a visitor uses them, in Chromium: make test-browser."""

import pytest

from .conftest import LIVE, MINUTES
from .visitor import STROKES, draw, expect, said, share, status


@pytest.mark.parametrize("served", [False, True])
@pytest.mark.parametrize("page_name", ["index.html", "glsnn.html"])
def test_every_spike_is_that_of_python(page_name, served, visit, server):
    page = visit(page_name, base=server if served else LIVE.as_uri())
    expect(page.locator("#check")).to_contain_text("20 of 20", timeout=MINUTES)
    expect(page.locator("#check")).to_contain_text("this page is the model")


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


@pytest.mark.parametrize("fingers", [1, 2])
def test_a_finger_draws_too_and_a_second_one_does_not(fingers, visit):
    page = visit("index.html#draw", width=390, has_touch=True, is_mobile=True)
    box = page.locator("#draw .pad").bounding_box()
    touch = page.context.new_cdp_session(page)
    for kind, y in [("touchStart", 40), *(("touchMove", y) for y in range(50, 240, 10)), ("touchEnd", None)]:
        points = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"] / 280, "id": n}
            for n, x in enumerate((0.5, 0.9)[:fingers])
            if y is not None
        ]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert "says 1," in said(page, "#draw")
    right = "document.querySelector('#draw .pad').getContext('2d').getImageData(210, 0, 70, 280).data"
    assert page.evaluate(f"{right}.every((byte, i) => byte === (i % 4 === 3 ? 255 : 0))")


def test_a_finger_beside_the_mouse_does_not_draw(visit):
    page = visit("index.html#draw", has_touch=True)
    box = page.locator("#draw .pad").bounding_box()
    touch = page.context.new_cdp_session(page)

    def finger(kind: str, *places: tuple[int, int]) -> None:
        points = [{"x": box["x"] + x, "y": box["y"] + y} for x, y in places]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def mouse(x: int, y: int) -> None:
        page.mouse.move(box["x"] + x, box["y"] + y, steps=3)

    mouse(40, 20)
    page.mouse.down()
    mouse(40, 100)
    finger("touchStart", (220, 60))
    mouse(40, 150)
    finger("touchMove", (220, 90))
    mouse(40, 200)
    finger("touchEnd")
    mouse(40, 240)
    page.mouse.up()
    assert "says 1," in said(page, "#draw")
    right = "document.querySelector('#draw .pad').getContext('2d').getImageData(90, 0, 190, 280).data"
    assert page.evaluate(f"{right}.every((byte, i) => byte === (i % 4 === 3 ? 255 : 0))")


def test_only_the_left_button_draws(visit):
    page = visit("index.html#draw")
    drawing = "document.querySelector('#draw .pad').toDataURL()"
    before = page.evaluate(drawing)
    page.locator("#draw .pad").click(button="right")
    assert page.evaluate(drawing) == before
    page.locator("#draw .pad").click()
    assert page.evaluate(drawing) != before


def test_a_presentation_plays_pauses_and_steps(visit):
    page = visit("index.html#draw", motion="no-preference")
    clock = page.locator("#draw [data-is=player] output")
    page.locator("#draw .pad").press("4")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(clock).not_to_have_text("0.00 ms")
    page.get_by_role("button", name="Pause").click()
    before = float(clock.inner_text().split()[0])
    assert before < 25
    page.get_by_role("button", name="Step").click()
    assert float(clock.inner_text().split()[0]) == before + 0.25
    page.get_by_role("combobox", name="Speed").select_option("25")
    page.get_by_role("button", name="Play").click()
    assert said(page, "#draw")
    expect(clock).to_have_text("25.00 ms")


def test_a_new_digit_plays_from_its_start(visit):
    """Though the frame that the old one has asked for is still to come."""
    page = visit("index.html#draw", motion="no-preference")
    before, after = page.evaluate(
        """async () => {
          const [pad, speed, clock] = [".pad", "[aria-label=Speed]", "output"].map((what) =>
            document.querySelector(`#draw ${what}`));
          const press = (key) => pad.dispatchEvent(new KeyboardEvent("keydown", { key }));
          const frame = () => new Promise(requestAnimationFrame);
          press("4");
          while (parseFloat(clock.textContent) < 2) await frame();
          const before = parseFloat(clock.textContent);
          speed.value = 2.5; // ms per second
          press("7");
          await frame();
          await frame();
          return [before, parseFloat(clock.textContent)];
        }"""
    )
    assert before < 25
    assert after < 1


def test_a_presentation_waits_while_no_frames_are_drawn(visit):
    """As in a hidden tab."""
    page = visit("index.html#draw", motion="no-preference")
    after = page.evaluate(
        """async () => {
          const [pad, speed, clock] = [".pad", "[aria-label=Speed]", "output"].map((what) =>
            document.querySelector(`#draw ${what}`));
          const frame = () => new Promise(requestAnimationFrame);
          speed.value = 2.5; // ms per second
          pad.dispatchEvent(new KeyboardEvent("keydown", { key: "4" }));
          await frame();
          const began = performance.now();
          while (performance.now() < began + 4000);
          await frame();
          await frame();
          return parseFloat(clock.textContent);
        }"""
    )
    assert after < 5


def test_reduced_motion_shows_all_at_once(visit):
    page = visit("index.html#draw")
    page.locator("#draw .pad").press("4")
    expect(page.locator("#draw [data-is=player] output")).to_have_text("25.00 ms")
    assert page.get_by_role("button", name="Play").is_visible()


def test_another_cell_is_chosen_by_a_click(visit):
    page = visit("index.html#draw")
    page.locator("#draw .pad").press("4")
    box = page.locator("#draw [data-is=raster]").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.8)
    assert page.locator("#draw [data-is=layer]").input_value() == "2"


def test_learning_needs_its_feedback(visit):
    """From random weights, in minibatches of 20. The sign matters once the output synapses align with it."""
    accuracies = {}
    for feedback in ("off", "shuffled", "on"):
        page = visit("index.html#learn")
        status(page, "#learn", "right after 0 digits")
        page.locator("#learn [data-is=feedback]").select_option(feedback)
        for taught in (100, 200):
            page.locator("#learn [data-is=many]").click()
            accuracies[feedback] = share(status(page, "#learn", f"right after {taught} digits"))
    assert accuracies["on"] > 0.5 and accuracies["off"] < 0.3
    assert accuracies["shuffled"] > 0.4  # feedback that changes teaches too
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
    assert "in all of W1: 0.0" in page.locator("#learn [data-is=changed]").inner_text()


def test_a_digit_that_is_cleared_meanwhile_is_taught_to_its_end(visit):
    page = visit("index.html#learn")
    status(page, "#learn", "right after 0 digits")
    page.locator("#learn .pad").press("3")
    page.evaluate(
        """() => {
          document.querySelector("#learn [data-is=one]").click();
          [...document.querySelectorAll("#learn button")].find((button) => button.textContent === "Clear").click();
        }"""
    )
    status(page, "#learn", "Taught 3")
    assert page.get_by_role("button", name="Teach 100 digits").is_visible()
    assert page.locator("#learn [data-is=one]").is_disabled()


def test_start_again_leaves_nothing_of_before(visit):
    page = visit("index.html#learn")
    status(page, "#learn", "right after 0 digits")
    curve = "document.querySelector('#learn [data-is=accuracy]').toDataURL()"
    drawn = page.evaluate(curve)
    page.locator("#learn [data-is=feedback]").select_option("flipped")
    assert page.evaluate(curve) != drawn  # a curve of another colour begins
    page.locator("#learn .pad").press("3")
    page.locator("#learn [data-is=one]").click()
    status(page, "#learn", "Taught 3")
    left = page.evaluate(
        """() => {
          document.querySelector("#learn [data-is=restart]").click();
          return ["taught", "changed", "number"].map((name) => document.querySelector(`#learn [data-is=${name}]`))
            .map((line) => line.textContent.trim());
        }"""
    )
    assert left == ["", "", ""]
    empty = page.evaluate(curve)
    status(page, "#learn", "right after 0 digits")
    assert page.evaluate(curve) != empty
    page.evaluate("for (let i = 0; i < 2; i++) document.querySelector('#learn [data-is=many]').click()")
    status(page, "#learn", "^Stopped; digits taught: 0.$")


def around(page, method: str, before: str = "", after: str = "") -> None:
    """Has the page do something before and after a method of the room that learns, which is `Museum.room` then."""
    page.evaluate(
        f"""() => {{
          const {{ prototype }} = Museum.LearnRoom;
          const {{ {method} }} = prototype;
          prototype.{method} = function (...given) {{
            Museum.room = this;
            {before};
            const answer = {method}.apply(this, given);
            {after};
            return answer;
          }};
        }}"""
    )


def test_accuracy_belongs_to_the_feedback_that_taught(visit):
    """Though another one is chosen while it is measured."""
    page = visit("index.html#learn")
    status(page, "#learn", "right after 0 digits")
    feedback = "const feedback = document.querySelector('#learn [data-is=feedback]'); feedback.value = 'flipped'"
    around(page, "measure", after=f"{feedback}; feedback.dispatchEvent(new Event('change'))")
    page.locator("#learn [data-is=many]").click()
    status(page, "#learn", "right after 100 digits")
    taught = page.evaluate("Museum.room.curves.map(({ colour, points }) => [colour, points.map(([x]) => x)])")
    assert taught == [["hidden", [0, 100]], ["output", [100]]]


def test_a_stopped_minibatch_is_taken_back(visit):
    page = visit("index.html#learn")
    status(page, "#learn", "right after 0 digits")
    around(page, "learnStep", "Museum.first ??= this.weights.W1.slice(); Museum.steps = (Museum.steps ?? 0) + 1")
    learned = "Museum.room.weights.W1.some((w, i) => w !== Museum.first[i])"
    page.locator("#learn [data-is=many]").click()
    page.wait_for_function(f"Museum.steps > 25 && {learned}")
    page.locator("#learn [data-is=many]").click()
    status(page, "#learn", "^Stopped; digits taught: 0.$")
    assert not page.evaluate(learned)


def test_damage_lowers_the_accuracy(visit):
    page = visit("index.html#lesion")
    page.get_by_role("button", name="Measure accuracy").click()
    whole = share(status(page, "#lesion", "right with this damage"))
    page.locator("#lesion [data-is=synapses]").fill("95")
    page.get_by_role("button", name="Measure accuracy").click()
    assert share(status(page, "#lesion", "right with this damage")) < whole - 0.1


def test_another_digit_leaves_what_is_measured_alone(visit):
    page = visit("index.html#lesion")
    number = page.locator("#lesion [data-is=number]")
    page.get_by_role("button", name="Measure accuracy").click()
    status(page, "#lesion", "Measuring")
    page.get_by_role("button", name="Next digit").click()
    measured = status(page, "#lesion", "right with this damage")
    page.get_by_role("button", name="Next digit").click()
    assert share(number.inner_text()) == share(measured)
    page.get_by_role("button", name="Measure accuracy").click()
    status(page, "#lesion", "Measuring")
    page.get_by_role("button", name="Damage others").click()
    status(page, "#lesion", "^Stopped")
    assert number.inner_text() == ""
    page.get_by_role("button", name="Damage others").click()
    status(page, "#lesion", "^$")


def test_feedback_is_not_drawn_while_a_digit_plays(visit):
    page = visit("glsnn.html", motion="no-preference")
    page.evaluate(
        """() => {
          document.querySelector("[aria-label=Speed]").value = 20;
          Museum.drawn = 0;
          const { showFeedback } = Museum.page;
          Museum.page.showFeedback = function (...shown) {
            Museum.drawn++;
            showFeedback.apply(this, shown);
          };
        }"""
    )
    page.locator(".pad").press("7")
    said(page, "#cascade")
    page.locator(".pad").press("8")
    page.get_by_role("button", name="Pause").click()
    assert page.evaluate("Museum.drawn") <= 3


def test_feedback_pathways_of_the_glsnn(visit):
    page = visit("glsnn.html")
    page.locator(".pad").press("7")
    assert "says" in said(page, "#cascade")
    page.locator("[data-is=label]").select_option("3")
    notes = page.locator(".check .note")
    expect(notes.nth(1)).to_contain_text("mean ±0.")
    before = page.evaluate("Museum.page.weights.W2.slice(0, 800).join()")
    page.locator("[data-pathway='2']").uncheck()
    expect(notes.nth(1)).to_contain_text("off")
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
