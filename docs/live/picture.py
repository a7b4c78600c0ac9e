"""Takes the picture of the live page that README.md shows: docs/live/picture.png. Needs Chromium and playwright."""

import shutil
import sys
from io import BytesIO
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))  # this repository's, whatever else is installed

from exhibits.common.system.errors import UserError, reported

DIGIT = "3"  # the sample that this key gives


def main() -> None:
    """Takes it."""
    try:
        from PIL import Image
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        raise UserError(f"playwright is not installed: {sys.executable} -m pip install playwright") from None
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise UserError("there is no Chromium on this machine: install it, for instance by apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(
            viewport={"width": 1180, "height": 760},
            device_scale_factor=1.5,
            reduced_motion="reduce",
            color_scheme="light",
        )
        page.goto((HERE / "index.html").as_uri())
        expect(page.locator("#check")).to_contain_text("20 of 20", timeout=60_000)
        page.locator("#draw .pad").press(DIGIT)
        expect(page.locator("#draw [data-is=verdict]")).to_contain_text(f"network says {DIGIT}", timeout=60_000)
        page.evaluate("document.activeElement.blur()")
        page.wait_for_timeout(500)  # for the charts
        taken = Image.open(BytesIO(page.screenshot()))
        chromium.close()
    taken.quantize(128).save(HERE / "picture.png", optimize=True)  # a third of the bytes


if __name__ == "__main__":
    with reported():
        main()
