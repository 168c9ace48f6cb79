"""The viewer and its panel as a person uses them: logins, the panel's parts, what is wrong with a panel.

`python -m tests.flows.panel_pages FOLDER` renews the pictures of the viewer in docs/screenshots.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from demo import main_job, people
from demo.run import Run
from demo.viewer import chromium, draw_segmentation
from deploy.settings import ROOT
from tests.servers.stack import make_stack

LOCALES = {"ko": "ko-KR", "en": "en-GB"}
EMPTY = "/pacs-viewer/manifest.json"
"""A page of the viewer's address and policy without the viewer: the panel alone loads in a moment."""

# What is wrong with the panel for somebody who cannot see it, or sees little.
FAULTS = """() => {
  const root = document.querySelector('neuronova-results').shadowRoot, faults = [];
  const start = element => element.outerHTML.slice(0, 60);
  if (root.host.scrollWidth > root.host.clientWidth) faults.push('wider than the panel');
  for (const field of root.querySelectorAll('input, textarea'))
    if (!field.labels.length) faults.push('no label: ' + start(field));
  for (const one of root.querySelectorAll('a, button, summary, section')) {
    if (!(one.getAttribute('aria-label') || one.textContent).trim()) faults.push('no name: ' + start(one));
    if (one.tagName !== 'SECTION' && one.offsetHeight && one.tagName !== 'A' && one.offsetHeight < 24)
      faults.push('low to touch: ' + start(one));
  }
  for (const cell of root.querySelectorAll('th')) if (!cell.scope) faults.push('no scope: ' + start(cell));
  const light = color => {
    const [r, g, b] = color.match(/[0-9.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (let e = element; e; e = e.parentElement ?? e.getRootNode().host) {
      const color = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$/.test(color)) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  for (const element of root.querySelectorAll('section *')) {
    if (![...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faults.push(`contrast ${contrast.toFixed(1)}: ${start(element)}`);
  }
  return faults;
}"""

_ALONE = """async study => {
  const { ResultPanel } = await import('/pacs-viewer/neuronova/panel.js');
  ResultPanel.study = () => study;
  if (!customElements.get('neuronova-results')) customElements.define('neuronova-results', ResultPanel);
  document.body.replaceChildren(document.createElement('neuronova-results'));
  document.body.style.margin = '0';
}"""


class Viewer:
    """One person's browser on the product: what it asks of others and what goes wrong is kept."""

    def __init__(self, context: BrowserContext, base_url: str) -> None:
        self.base_url = base_url
        self.page: Page = context.new_page()
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda told: self._told(told.text) if told.type == "error" else None)
        context.on("request", lambda asked: self._asked(asked.url))

    def log_in(self, person: dict[str, Any], path: str) -> None:
        """Log in by the page and go on to `path`."""
        self.page.goto(f"{self.base_url}/auth/login?next={quote(path)}")
        self.page.fill("input[name=username]", person["username"])
        self.page.fill("input[name=password]", person["password"])
        self.page.click("button[type=submit]")

    def alone(self, study: str) -> None:
        """The panel without the viewer around it."""
        self.page.goto(f"{self.base_url}{EMPTY}")
        self.page.evaluate(_ALONE, study)

    @property
    def panel(self) -> Locator:
        """The panel."""
        return self.page.locator("neuronova-results section")

    def wait(self, state: str) -> Locator:
        """The newest result once it is in this state."""
        found = self.panel.locator(f"[data-state='{state}']").first
        found.wait_for(timeout=60_000)
        return found

    @contextmanager
    def without_news(self) -> Iterator[None]:
        """What the panel shows stays as it is: no change that it is told of makes it ask again."""
        element = self.page.locator("neuronova-results")
        element.evaluate("one => { one.onNews = () => {}; clearTimeout(one.timer); one.asked = null; }")
        yield
        element.evaluate("one => { delete one.onNews; }")

    def judged(self) -> list[str]:
        """What is wrong with the panel as it stands."""
        found: list[str] = self.page.evaluate(FAULTS)
        return found

    def _told(self, text: str) -> None:
        if "Failed to load resource" not in text:  # an act that was refused answers 4xx
            self.faults.append(text)

    def _asked(self, url: str) -> None:
        if not url.startswith((self.base_url, "blob:", "data:")):
            self.faults.append(f"asked for {url}")


def person(browser: Browser, base_url: str, lang: str, width: int = 1400) -> Viewer:
    """Somebody's browser, in this language."""
    context = browser.new_context(viewport={"width": width, "height": 900}, locale=LOCALES[lang])
    return Viewer(context, base_url)


def main(folder: Path) -> int:
    """Take the pictures: a draft with its segmentation before the doctor decides, in both languages."""
    stack = make_stack()
    try:
        stack.need()
        run = Run.load(stack.base_url, stack.var, ROOT)
        for step in (
            *people.ALL,
            *(main_job.order, main_job.upload, main_job.available, main_job.report),
        ):
            step(run)
        with chromium() as browser:
            for lang in LOCALES:
                picture(person(browser, stack.base_url, lang), run, folder / f"viewer-{lang}-desktop.jpg")
    finally:
        stack.close()
    return 0


def picture(viewer: Viewer, run: Run, path: Path) -> None:
    """The doctor has opened the segmentation and is about to approve."""
    address = f"/pacs-viewer/segmentation?StudyInstanceUIDs={run.facts['study_uid']}"
    viewer.log_in(run.facts["people"]["doctor"], address)
    viewer.wait("preliminary")
    draw_segmentation(viewer.page)
    slice_ = viewer.page.locator("[data-cy=viewport-overlay-bottom-right]").first
    before = slice_.inner_text()
    viewer.page.get_by_text("Enhancing tumour", exact=True).first.click()  # goes to its middle
    expect(slice_).not_to_have_text(before)
    viewer.page.locator("[data-cy=results-btn]").click()
    viewer.wait("preliminary").get_by_role("button").first.click()
    viewer.page.screenshot(path=str(path), animations="disabled", type="jpeg", quality=80)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
