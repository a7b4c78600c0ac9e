"""Opens the live exhibits in Chromium."""

import functools
import http.server
import shutil
import threading
from pathlib import Path

import pytest

LIVE = Path(__file__).resolve().parents[2] / "docs" / "live"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MINUTES = 300_000  # ms, for what a slow machine has to simulate


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if BROWSER is None:
        pytest.skip("there is no Chromium on this machine")
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
