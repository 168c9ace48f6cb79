"""The viewer in headless Chromium: time to the study list, the first image, all images of 4 x 155 slices.

Each round is a browser that has nothing yet but the login: 3.4 MB of scripts come in, WebAssembly is
compiled, and HTJ2K is decoded by the page's workers on the same two cores that serve it. The reference of
"all images" is the page fetching the same frames again without decoding or drawing them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

from playwright.sync_api import Browser, Page, sync_playwright

from bench.installation import Installation
from bench.pipeline import uploaded_study
from bench.rows import Row, stated
from demo.viewer import ARGUMENTS, CHROMIUM, LOAD_MS, log_in

ROUNDS = 3
POLL_MS = 50

_LISTED = "() => document.body?.innerText.includes('Patient One')"

# Every image of every viewport, decoded; null until there are as many as were sent.
_ALL = """count => {
  const ids = new Set();
  for (const engine of window.cornerstone?.getRenderingEngines?.() ?? [])
    for (const viewport of engine.getViewports())
      for (const id of viewport.getImageIds?.() ?? []) ids.add(id);
  return ids.size >= count && [...ids].every(id => window.cornerstone.cache.getImage(id)) ? [...ids] : null;
}"""
_FIRST = """() => (window.cornerstone?.getRenderingEngines?.() ?? []).some(engine =>
  engine.getViewports().some(viewport => {
    const id = viewport.getCurrentImageId?.();
    return id && window.cornerstone.cache.getImage(id);
  }))"""
_FETCH = """async ids => {
  const left = ids.map(id => id.slice(id.indexOf(':') + 1)), began = performance.now();
  const options = {cache: 'reload', headers: {Accept: 'image/jphc'}};
  const one = async () => {
    for (let url; (url = left.pop()); ) await (await fetch(url, options)).arrayBuffer();
  };
  await Promise.all(Array.from({length: 10}, one));
  return performance.now() - began;
}"""


def rows(product: Installation) -> Iterator[Row]:
    """The three times, and what the network alone takes of the last."""
    study, count = uploaded_study(product.run)
    times: dict[str, list[float]] = {"list": [], "first": [], "all": [], "fetch": []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            for _ in range(ROUNDS):
                times["list"].append(_seconds(browser, product, "/pacs-viewer/", _LISTED)[0])
                path = f"/pacs-viewer/viewer?StudyInstanceUIDs={study}"
                times["first"].append(_seconds(browser, product, path, _FIRST)[0])
                path = f"/pacs-viewer/segmentation?StudyInstanceUIDs={study}"
                seconds, fetch = _seconds(browser, product, path, _ALL, count)
                times["all"].append(seconds)
                times["fetch"].append(fetch)
        finally:
            browser.close()
    found = {name: median(values) for name, values in times.items()}
    yield stated("viewer, empty cache: study list shown", found["list"], "s")
    yield stated("viewer, empty cache: first image shown", found["first"], "s")
    title = f"viewer, empty cache: all {count} images decoded; reference: fetched without decoding"
    yield stated(title, found["all"], "s", found["fetch"])


def _seconds(
    browser: Browser, product: Installation, path: str, done: str, count: int = 0
) -> tuple[float, float]:
    """From the address to what is waited for, in a context of its own; then the bare fetches, if counted."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    try:
        page: Page = context.new_page()
        person = product.run.facts["people"]["doctor"]
        log_in(page, product.settings.base_url, "/auth/me", person["username"], person["password"])
        page.wait_for_url("**/auth/me")
        began = time.monotonic()
        page.goto(f"{product.settings.base_url}{path}", wait_until="commit")
        page.wait_for_function(done, arg=count, timeout=LOAD_MS, polling=POLL_MS)
        seconds = time.monotonic() - began
        if not count:
            return seconds, 0.0
        return seconds, page.evaluate(_FETCH, page.evaluate(_ALL, count)) / 1000
    finally:
        context.close()
