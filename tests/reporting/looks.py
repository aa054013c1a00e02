"""How a page is looked at in a real browser: on which screens, and what is wrong there.

Chromium is that of the machine (Debian: ``apt install chromium``), driven by Playwright.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
SCREENS = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
NARROW = 390
LEAST_CONTRAST = 4.5
# What is wider than the screen, or than the box that scrolls by itself; and what is hard to read.
WIDER = """() => {
  const found = [], width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) found.push("the page: " +
    document.documentElement.scrollWidth);
  for (const one of document.querySelectorAll("main *, header *, footer *")) {
    const box = one.getBoundingClientRect();
    if (!box.width || one.closest("svg") || getComputedStyle(one).position === "absolute") continue;
    if (box.right > width + 0.5 && !one.closest(".matrix")) found.push(one.tagName + "." +
      one.className + " " + Math.round(box.right) + " " + one.textContent.slice(0, 40));
  }
  return found.slice(0, 5);
}"""
CUT = """() => [...document.querySelectorAll(".wide")]
  .filter(one => !one.querySelector(".matrix") && one.scrollWidth > one.clientWidth + 1)
  .map(one => one.scrollWidth + " in " + one.clientWidth + ": " + one.textContent.slice(0, 60))"""
CONTRAST = """least => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const read = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]))
    .concat(1);
  const ground = one => {
    const layers = [];
    for (let at = one; at; at = at.parentElement)
      layers.push(read(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(
    v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
  ).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.textContent.trim(), one = walk.currentNode.parentElement;
    if (!text || one.closest("title, style") || !one.getClientRects().length) continue;
    const style = getComputedStyle(one), below = ground(one);
    const ink = over(read(one.closest("svg") ? style.fill : style.color), below);
    const [a, b] = [light(ink), light(below)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least) found.push(ratio.toFixed(2) + " " + text.slice(0, 40));
  }
  return found;
}"""


@contextmanager
def opened(browser: Any, path: Path, width: int, scheme: str) -> Iterator[Any]:
    """Open a page on a screen, everything unfolded; ``errors`` of it are what it complained of."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.errors = []
    page.on("console", lambda told: page.errors.append(told.text))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("request", lambda asked: page.errors.extend(_foreign(asked.url, path)))
    page.goto(path.as_uri())
    page.evaluate("() => document.querySelectorAll('details').forEach(one => one.open = true)")
    yield page
    context.close()


def wrong_with(page: Any) -> dict[str, list[str]]:
    """Return what is wrong with a page that is open: nothing, if it fits and can be read."""
    found = {
        "errors": page.errors,
        "wider": page.evaluate(WIDER),
        "cut": page.evaluate(CUT),
        "contrast": page.evaluate(CONTRAST, LEAST_CONTRAST),
    }
    return {name: told for name, told in found.items() if told}


def _foreign(url: str, path: Path) -> list[str]:
    return [] if url == path.as_uri() or url.startswith("data:") else [f"asks for {url}"]
