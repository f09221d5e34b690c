"""Chromium for the journeys, and the console's page as a person uses it: keys, rows, what is on the screen."""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Route

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "consoles" / "web"
AXE = (
    WEB / "node_modules" / "axe-core" / "axe.min.js",
    Path(sys.prefix) / "share" / "dispatch112" / "axe.min.js",
)
"""Where the checker of accessible pages may lie: beside the sources, or kept by set-up."""
FLAGS = (
    *("--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
    *("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
)
LANGUAGES = ("uz-Latn", "uz-Cyrl", "ru", "kaa", "en")
PATIENCE_S = 60.0
"""How long anything may take to show on a busy machine: how fast it is belongs to the benchmarks."""
WIDE, NARROW = {"width": 1600, "height": 1000}, {"width": 1280, "height": 800}

SETTLING_LOOKS = 15

COLOURS = """async picture => {
  const image = new Image();
  image.src = 'data:image/png;base64,' + picture;
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height);
  const ctx = canvas.getContext('2d');
  ctx.drawImage(image, 0, 0);
  const pixels = new Uint32Array(ctx.getImageData(0, 0, image.width, image.height).data.buffer);
  return new Set(pixels).size;
}"""
OVERFLOWING = """() => {
  const page = document.documentElement;
  const found = page.scrollWidth > page.clientWidth ? ['the page itself'] : [];
  for (const one of document.querySelectorAll('header, .pane, .pane > *, .button, [role=tab], select, h2, h3')) {
    const style = getComputedStyle(one);
    if (one.matches('.ground')) continue;  // The map is cut at its edge by intention.
    if (style.position === 'absolute' || style.textOverflow === 'ellipsis') continue;
    if (one.clientWidth > 0 && one.scrollWidth > one.clientWidth + 1) found.push(one.outerHTML.slice(0, 120));
  }
  return found;
}"""
VIOLATIONS = """async () => (await axe.run(document)).violations
  .map(one => `${one.id}: ${one.help}: ${one.nodes.map(node => node.target).join(' | ').slice(0, 300)}`)"""


def built_console() -> Path:
    """The built console. Where a browser is promised, its absence is a failure, not a skip."""
    built = WEB / "dist"
    if not (built / "index.html").exists():
        missing = "the console is not built: make web"
        if os.environ.get("DISPATCH112_REQUIRE_BROWSER"):
            pytest.fail(missing)
        pytest.skip(missing)
    return built


def opened(playwright: Playwright, program: str) -> Browser:
    return playwright.chromium.launch(executable_path=program, args=list(FLAGS))


def catalogue(language: str) -> dict[str, str]:
    words: dict[str, str] = json.loads((WEB / "src" / "lang" / f"{language}.json").read_text("utf-8"))
    return words


def axe() -> str:
    """The checker's source; without it the test skips."""
    found = next((path for path in AXE if path.exists()), None)
    if found is None:
        pytest.skip("axe-core is not on this machine: make web")
    return found.read_text("utf-8")


def dressed(browser: Browser, language: str, theme: str, state: Any = None) -> BrowserContext:
    """A browser of one workplace: its language and theme, and the log-in of `state` if there is one."""
    context = browser.new_context(viewport=WIDE, storage_state=state)  # type: ignore[arg-type]
    kept = json.dumps({"dispatch112.language": language, "dispatch112.theme": theme})
    context.set_default_timeout(PATIENCE_S * 1000)
    context.add_init_script(f"for (const [k, v] of Object.entries({kept})) localStorage.setItem(k, v)")
    return context


class Console:
    """One window of the console. `asked` holds every request it made as (method, address); `faults` what broke."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.page: Page = context.new_page()
        self.url = url
        self.asked: list[tuple[str, str]] = []
        self.faults: list[str] = []
        self.page.on("request", lambda request: self.asked.append((request.method, request.url)))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))

    def open(self) -> None:
        """Load the page and wait until its boards stand."""
        self.page.goto(self.url)
        self.stands()

    def log_in(self, username: str, password: str) -> None:
        self.page.goto(self.url)
        self.page.fill("input[name=username]", username)
        self.page.fill("input[name=password]", password)
        self.page.keyboard.press("Enter")
        self.stands()

    def stands(self) -> None:
        self.page.wait_for_selector("[data-link=live]")
        self.page.wait_for_selector("[data-unit]")

    def pick(self, incident: str) -> None:
        """Open an incident and wait for its card."""
        self.page.click(row(incident))
        self.page.wait_for_selector(f".card b:text-is('{incident}')")

    def advised(self) -> None:
        """Wait until there is something to confirm."""
        self.page.wait_for_selector("[data-option='0']:not(:disabled)")

    def step_back(self) -> None:
        """Take the pointer off the queue, whose order is held as long as it is there."""
        self.page.mouse.move(800, 400)

    def hold_advice(self) -> None:
        """From here on the page is told the present recommendation, as if the world had not moved since."""
        held: list[dict[str, Any]] = []

        def answer(route: Route) -> None:
            if not held:
                held.append(route.fetch().json() | {"age_s": 0})
            route.fulfill(json=held[0])

        self.page.route("**/recommendation", answer)

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def outcome(self, outcome: str) -> str:
        """Wait until the last order from here came to this; what the card says of it."""
        return self.page.locator(f"[data-outcome={outcome}]").inner_text()

    def after(self, began_s: float, selector: str, state: Literal["attached", "detached"] = "attached") -> float:
        """Milliseconds since `began_s` when the thing is there, or gone."""
        self.page.wait_for_selector(selector, state=state)
        return (time.monotonic() - began_s) * 1000

    def rows(self) -> dict[str, bool]:
        """The incidents on the screen in their order, and whether each waits."""
        script = "found => found.map(one => [one.dataset.incident, 'waiting' in one.dataset])"
        return dict(self.page.eval_on_selector_all("[data-incident]", script))

    def units(self) -> dict[str, str]:
        """The unit cells in sight: unit -> its status in words."""
        script = "found => found.map(one => [one.dataset.unit, one.querySelector('.out-of-sight').textContent])"
        return dict(self.page.eval_on_selector_all("[data-unit]", script))

    def under(self, x: float, y: float) -> str | None:
        """The incident whose row is at this place on the screen."""
        script = "at => document.elementFromPoint(...at)?.closest('[data-incident]')?.dataset.incident"
        found: str | None = self.page.evaluate(script, [x, y])
        return found

    def colours(self, selector: str) -> int:
        """How many different colours a part of the page shows."""
        picture = self.page.locator(selector).screenshot()
        blank = self.page.context.new_page()
        try:
            return int(blank.evaluate(COLOURS, base64.b64encode(picture).decode()))
        finally:
            blank.close()

    def overflowing(self) -> list[str]:
        """What still does not fit when the page has had its time to settle."""
        found: list[str] = []
        for _ in range(SETTLING_LOOKS):
            found = self.page.evaluate(OVERFLOWING)
            if not found:
                break
            self.page.wait_for_timeout(200)
        return found

    def violations(self, source: str) -> list[str]:
        """What axe has against the page as it is now."""
        self.page.evaluate(source)
        found: list[str] = self.page.evaluate(VIOLATIONS)
        return found


def row(incident: str) -> str:
    return f"[data-incident='{incident}']"
