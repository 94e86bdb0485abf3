"""Reports in a real browser: rendered, quiet, accessible, within the width of a telephone, and on paper.

Needs the extra `browser` and a Chromium; skipped where there is none.
"""

from __future__ import annotations

import io
import shutil

import numpy as np
import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(params=["hostile", pytest.param("fit", marks=pytest.mark.slow)])
def page(request, browser, tmp_path_factory):
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    opened.said = []
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.on("dialog", lambda dialog: (opened.said.append(dialog.message), dialog.dismiss()))
    opened.on("request", lambda asked: opened.said.append(asked.url) if asked.url[:4] == "http" else None)
    path = tmp_path_factory.getbasetemp() / f"{request.param}.html"
    if not path.exists():
        request.getfixturevalue(request.param).report(path)
    opened.goto(path.as_uri())
    opened.wait_for_load_state()
    yield opened
    opened.close()


def test_it_renders_and_says_nothing_to_the_console(page):
    assert page.said == []
    loaded = page.evaluate("[...document.images].map(i => i.complete && i.naturalWidth > 0)")
    assert loaded
    assert all(loaded)
    box = page.locator("math").first.bounding_box()
    assert box["width"] > 200
    assert box["height"] > 60
    from PIL import Image

    picture = np.asarray(Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("L"))
    assert picture.shape[0] > 3000
    blank = (picture > 250).all(axis=1)
    longest = max(len(run) for run in "".join("0" if empty else "1" for empty in blank).split("1"))
    assert longest < 600  # no figure is left out


def test_it_fits_a_telephone(page):
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.slow
def test_the_keyboard_reaches_what_scrolls(page):
    page.set_viewport_size({"width": 360, "height": 740})
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the estimates"
    unreachable = page.evaluate(
        "[...document.querySelectorAll('*')].filter(e => e.scrollWidth > e.clientWidth + 1 && "
        "['auto', 'scroll'].includes(getComputedStyle(e).overflowX) && e.tabIndex < 0).length"
    )
    assert unreachable == 0


@pytest.mark.slow
def test_it_prints(page):
    printed = page.pdf(format="A4", prefer_css_page_size=True)
    assert printed[:5] == b"%PDF-"
    assert 3 <= printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") <= 30


def test_axe_finds_no_barrier(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
