"""Walks every page of login and account in headless Chromium, and looks at each as a person would.

`python -m tests.flows.login_pages FOLDER` renews the pictures in docs/screenshots, with a stack of its own.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyotp
from playwright.sync_api import Browser, Page

from demo.viewer import chromium
from tests.servers.stack import Stack, make_stack

PASSWORD = "correct horse battery staple"
PROGRAMS = ("redis", "facade", "nginx")
WIDTHS = {"desktop": (1280, 860), "phone": (390, 844)}

# What is wrong with a page for somebody who cannot see it, or reads it on a phone.
_FAULTS = """() => {
  const faults = [];
  const start = element => element.outerHTML.slice(0, 60);
  if (document.documentElement.scrollWidth > window.innerWidth) faults.push('wider than the screen');
  if (document.querySelectorAll('h1').length !== 1) faults.push('not one h1');
  if (!document.querySelector('main')) faults.push('no main');
  if (!document.title) faults.push('no title');
  const levels = [...document.querySelectorAll('h1,h2,h3')].map(h => Number(h.tagName[1]));
  if (levels.some((level, i) => level > (levels[i - 1] ?? 0) + 1)) faults.push('heading left out');
  for (const field of document.querySelectorAll('input:not([type=hidden])')) {
    if (!field.labels.length) faults.push('no label: ' + field.name);
    for (const id of (field.getAttribute('aria-describedby') ?? '').split(' ').filter(Boolean))
      if (!document.getElementById(id)) faults.push('no description: ' + id);
  }
  for (const one of document.querySelectorAll('a, button'))
    if (!(one.getAttribute('aria-label') || one.textContent).trim()) faults.push('no name: ' + one.outerHTML);
  for (const box of document.querySelectorAll('main, section, ul, li, dl, dd, p, form, h1, h2, h3'))
    if (box.clientWidth && box.scrollWidth > box.clientWidth + 1) faults.push('flows over: ' + start(box));
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
  if (new Set(ids).size !== ids.length) faults.push('an id twice');
  const light = color => {
    const [r, g, b] = color.match(/[0-9.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$/.test(color)) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  for (const element of document.querySelectorAll('body *')) {
    const text = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!text || element.closest('svg') || element.tagName === 'STYLE') continue;
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faults.push(`contrast ${contrast.toFixed(1)}: ${start(element)}`);
  }
  for (const one of document.querySelectorAll('button, input:not([type=hidden]), .button, .menu a')) {
    if (one.getBoundingClientRect().height < 44) faults.push('low to touch: ' + start(one));
  }
  return faults;
}"""


class Walk:
    """One person at one screen in one language."""

    def __init__(self, stack: Stack, page: Page, lang: str, screen: str, pictures: Path | None) -> None:
        self.stack = stack
        self.page = page
        self.lang = lang
        self.screen = screen
        self.pictures = pictures
        self.faults: list[str] = []
        self.seen: list[str] = []
        page.on("console", lambda told: self._told(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: self._told(str(error)))
        page.on("request", lambda asked: self._asked(asked.url))

    def look(self, name: str) -> None:
        """Judge the page that is shown, and take its picture."""
        page = self.page
        self.seen.append(name)
        found = page.evaluate(_FAULTS)
        if page.locator("html").get_attribute("lang") != self.lang:
            found.append("another language")
        self.faults += [f"{name}: {fault}" for fault in found]
        if self.pictures is not None:
            path = self.pictures / f"{name}-{self.lang}-{self.screen}.png"
            page.screenshot(path=str(path), full_page=self.screen == "phone", animations="disabled")

    def open(self, path: str) -> None:
        """Go to a page of the product."""
        self.page.goto(f"{self.stack.base_url}{path}")

    def send(self, **fields: str) -> None:
        """Fill in the form by keyboard alone and send it with Enter."""
        for name, value in fields.items():
            self.page.locator(f"[name={name}]").focus()
            self.page.keyboard.type(value)
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")

    def _told(self, text: str) -> None:
        if "Failed to load resource" not in text:  # a form that was not accepted answers 4xx
            self.faults.append(f"{self.page.url}: {text}")

    def _asked(self, url: str) -> None:
        if not url.startswith(self.stack.base_url):
            self.faults.append(f"asked for {url}")


def walk(stack: Stack, walk_: Walk, username: str) -> None:
    """Invitation, login, second factor, account, logout."""
    page = walk_.page
    walk_.open("/auth/setup")
    walk_.look("setup")
    walk_.open(f"/auth/invite/{invited(stack, username)}")
    walk_.look("invite")
    walk_.send(password=PASSWORD, password_again="another")
    walk_.look("invite-error")
    walk_.send(password=PASSWORD, password_again=PASSWORD)
    walk_.look("saved")
    walk_.open("/auth/invite/unknown")
    walk_.look("link-invalid")
    walk_.open("/auth/login?next=/auth/me")
    walk_.look("login")
    walk_.send(username=username, password="wrong")
    walk_.look("login-error")
    walk_.send(username=username, password=PASSWORD)
    walk_.look("me")
    walk_.open("/auth/account/second-factor")
    walk_.look("enrol")
    generator = pyotp.TOTP(re.sub(r"\s", "", page.locator(".key code").inner_text()))
    walk_.send(password_old=PASSWORD, code=generator.now())
    walk_.look("recovery")
    codes = page.locator(".codes code").all_inner_texts()
    page.get_by_role("link").last.click()
    walk_.look("account")
    walk_.open("/auth/account/password")
    walk_.look("change-password")
    walk_.open("/auth/account/second-factor")
    walk_.look("second-factor-off")
    walk_.open("/auth/logout")
    walk_.look("logout")
    with page.expect_navigation():
        page.get_by_role("button").click()
    walk_.look("logged-out")
    walk_.open("/auth/login?next=/auth/account")
    walk_.send(username=username, password=PASSWORD)
    walk_.look("code")
    walk_.send(code="000000")
    walk_.look("code-error")
    walk_.send(code=codes[0])
    page.wait_for_url("**/auth/account")


def invited(stack: Stack, username: str) -> str:
    """The code of an invitation link."""
    command = [str(stack.cli), "--var", str(stack.var), "users", "add", username, "--role", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip().rpartition("/")[2]


@contextmanager
def pages(browser: Browser, lang: str, screen: str, scheme: str = "light") -> Iterator[Callable[[], Page]]:
    """Opens pages; each is another person's, with cookies of its own."""
    width, height = WIDTHS[screen]
    locale = {"ko": "ko-KR", "en": "en-GB"}[lang]
    with ExitStack() as open_:
        yield lambda: open_.enter_context(
            browser.new_context(
                viewport={"width": width, "height": height},
                locale=locale,
                color_scheme="dark" if scheme == "dark" else "light",
            )
        ).new_page()


def main(folder: Path) -> int:
    """Take the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    stack = make_stack()
    try:
        stack.need(*PROGRAMS)
        for lang, screen in (("en", "desktop"), ("ko", "phone")):
            with chromium() as browser, pages(browser, lang, screen) as new_page:
                one = Walk(stack, new_page(), lang, screen, folder)
                walk(stack, one, f"doctor.{lang}{int(time.time())}")
                print("\n".join(one.faults) or f"{len(one.seen)} pages")  # noqa: T201 - for the person who looks
    finally:
        stack.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
