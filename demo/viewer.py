"""The doctor opens the study in OHIF: a headless Chromium logs in, loads the study and is looked at.

The pixels that the browser decoded are read back from the viewer's own cache and compared with the source,
so the step holds only if HTJ2K really came through WebAssembly unchanged and the segmentation is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pydicom
from playwright.sync_api import Browser, Page, sync_playwright

from demo.run import Run, require

CHROMIUM = "/usr/bin/chromium-headless-shell"
ARGUMENTS = (
    "--no-sandbox",  # the demo and the tests may run as root, where Chromium's sandbox cannot start
    "--disable-gpu",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
)
LOAD_MS = 120_000

# What one viewport shows: the frame's address, the decoded pixels' type and a checksum that a plain sum of
# equal values in another order would not give.
_SHOWN = """() => {
  const engines = window.cornerstone?.getRenderingEngines?.() ?? [];
  for (const engine of engines) for (const viewport of engine.getViewports()) {
    const imageId = viewport.getCurrentImageId?.();
    const image = imageId && window.cornerstone.cache.getImage(imageId);
    if (!image) continue;
    const pixels = image.voxelManager?.getScalarData?.() ?? image.getPixelData();
    let sum = 0;
    for (let i = 0; i < pixels.length; i++) sum = (sum + pixels[i] * ((i % 997) + 1)) % 2147483647;
    return {imageId, length: pixels.length, sum, viewport: viewport.id};
  }
  return null;
}"""

# The labels of the segments that a viewport really represents; null while there is none.
_SEGMENTS = """() => {
  const state = window.cornerstoneTools?.segmentation.state;
  for (const {segmentationId, segments} of state?.getSegmentations() ?? []) {
    if (!state.getViewportIdsWithSegmentation(segmentationId).length) continue;
    const labels = Object.values(segments).map(segment => segment.label);
    if (labels.length) return labels;
  }
  return null;
}"""


@dataclass(frozen=True)
class Shown:
    """What the viewer showed."""

    image_id: str
    length: int
    checksum: int
    segments: list[str]
    foreign_requests: list[str]


def checksum(pixels: np.ndarray[Any, Any]) -> int:
    """The same checksum as the page computes, of an array in row order."""
    flat = pixels.reshape(-1).astype(np.int64)
    weights = np.arange(flat.size, dtype=np.int64) % 997 + 1
    return int(np.sum(flat * weights % 2147483647) % 2147483647)


def log_in(page: Page, base_url: str, path: str, username: str, password: str) -> None:
    """Log in by the page, and go on to `path`."""
    page.goto(f"{base_url}/auth/login?next={quote(path)}")
    page.fill("input[name=username]", username)
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser; each context of it is another person's."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def view(base_url: str, username: str, password: str, study_uid: str, screenshot: Path) -> Shown:
    """Log in, open the study, wait for pixels and the segmentation, take the screenshot."""
    foreign: list[str] = []
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        context.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((base_url, "blob:", "data:"))
                else foreign.append(request.url[:120])
            ),
        )
        page = context.new_page()
        path = f"/pacs-viewer/segmentation?StudyInstanceUIDs={study_uid}"
        log_in(page, base_url, path, username, password)
        page.wait_for_function(_SHOWN, timeout=LOAD_MS)
        shown = page.evaluate(_SHOWN)
        segments = draw_segmentation(page)
        page.screenshot(path=str(screenshot))
    return Shown(shown["imageId"], shown["length"], shown["sum"], segments, foreign)


def draw_segmentation(page: Page) -> list[str]:
    """Open the SEG series as a person does (double click) and wait until its segments are drawn."""
    page.get_by_text("SEG", exact=True).first.dblclick()
    page.wait_for_function(_SEGMENTS, timeout=LOAD_MS)
    page.wait_for_function(_SHOWN, timeout=LOAD_MS)
    labels: list[str] = page.evaluate(_SEGMENTS)
    return labels


def open_study(run: Run) -> str:
    """Log in as the doctor, open the study, compare the pixels on the screen with the source."""
    person = run.facts["people"]["doctor"]
    target = run.var / "demo-viewer.png"
    shown = view(run.base_url, person["username"], person["password"], run.facts["study_uid"], target)
    require(len(shown.segments) == 3, f"segments drawn: {shown.segments}")
    require(not shown.foreign_requests, f"the viewer asked other hosts: {shown.foreign_requests[:3]}")
    for file in run.live["study"].files:
        source = pydicom.dcmread(file)
        if f"/{source.SOPInstanceUID}/" in shown.image_id:
            require(
                checksum(source.pixel_array) == shown.checksum, "other pixels on the screen than were sent"
            )
            break
    else:
        require(False, f"the viewer shows an image that was not sent: {shown.image_id}")
    return f"pixels equal; drawn: {', '.join(shown.segments)}; screenshot {target}"
