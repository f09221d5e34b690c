"""A road closed by its name in a real browser: searched, chosen, cut, seen, confirmed by keys alone; live on another
console; opened again. On a small map with street names, and roads picked on it with the pointer.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.conftest import LoopThread
from tests.journeys.browser import Console, axe, built_console, catalogue, dressed, opened
from tests.journeys.crew import EmptyCountry
from tests.routing.avenue import AVENUE, BOBUR, NAVOIY, avenue_map

WORDS = catalogue("en")
MARGINS = (380, 100)
"""Left and right of what the map brings into view beside the open list, in pixels."""
TRIES = 20


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, session_loop: LoopThread) -> Iterator[EmptyCountry]:
    built_console()
    service = EmptyCountry(tmp_path_factory.mktemp("town"))
    service.options = ("--map", str(avenue_map(tmp_path_factory.mktemp("avenue"))))
    session_loop.run(service.start())
    yield service
    session_loop.run(service.stop())


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = opened(playwright, chromium)
        yield running
        running.close()


def console_of(town: EmptyCountry, browser: Browser, role: str, language: str = "en") -> Console:
    console = Console(dressed(browser, language, "light"), town.url)
    known = town.credentials[role]
    console.log_in(known["username"], known["password"])
    return console


def shown(console: Console, count: int) -> None:
    """Wait until so many closures are drawn on the map."""
    console.page.wait_for_function("n => document.querySelector('.ground').dataset.closures === String(n)", arg=count)


def test_a_road_is_closed_by_name_and_key_seen_by_all_and_opened_again(town: EmptyCountry, browser: Browser) -> None:
    desk, taker = console_of(town, browser, "dispatcher"), console_of(town, browser, "call_taker", "ru")
    page = desk.page
    page.wait_for_selector(".ground[data-settled]")
    _ask_for(desk, AVENUE)
    page.wait_for_selector(".choices button:focus")
    assert page.locator(".choices button").count() == 2  # one in Tashkent, one in Samarkand: nothing is guessed
    desk.press("Enter")
    page.wait_for_selector("[name=reason]:focus")
    page.fill("[list=meets] >> nth=0", NAVOIY)
    page.fill("[list=meets] >> nth=1", BOBUR)
    assert page.is_disabled("[name=close]")
    desk.press("Enter")
    page.wait_for_selector(f".shown:has-text('{NAVOIY} – {BOBUR}')")
    page.wait_for_selector("[name=reason]:focus")
    assert desk.violations(axe()) == [] and desk.overflowing() == []
    page.keyboard.type("a fair")
    desk.press("Enter")
    page.wait_for_selector(f"[data-closure]:has-text('{AVENUE}'):has-text('a fair')")
    shown(desk, 1)

    shown(taker, 1)
    taker.press("F4")
    there = taker.page.wait_for_selector("[data-closure]")
    assert there is not None and catalogue("ru")["closure.closed"] in there.inner_text()
    offered = taker.page.locator(".panel").inner_text()
    assert not any(catalogue("ru")[key] in offered for key in ("closure.new", "closure.reopen"))

    page.click(f"[data-closure] button:text-is('{WORDS['closure.reopen']}')")
    page.click(f"[data-closure] button:text-is('{WORDS['closure.sure']}')")
    page.wait_for_selector("[data-closure]", state="detached")
    shown(taker, 0)
    assert desk.faults == taker.faults == []


def test_a_road_is_picked_on_the_map_and_said_to_be_slow(town: EmptyCountry, browser: Browser) -> None:
    desk = console_of(town, browser, "dispatcher")
    page = desk.page
    page.wait_for_selector(".ground[data-settled]")
    _ask_for(desk, BOBUR)
    page.wait_for_selector("[name=reason]:focus")
    ground = page.locator(".ground").bounding_box()
    assert ground is not None
    across, down = MARGINS[0] + (ground["width"] - sum(MARGINS)) / 2, ground["height"] / 2
    picked = f".search:has-text('{WORDS['closure.point_end']}')"
    for _ in range(TRIES):  # The map glides to the street, which then leads north through its middle.
        page.mouse.click(ground["x"] + across, ground["y"] + down)
        page.wait_for_selector(f"{picked}, .panel .bad")
        if page.locator(picked).count():
            break
        page.wait_for_timeout(300)
    page.locator(".panel select").nth(0).select_option("3")
    page.fill("[name=reason]", "snow")
    desk.press("Enter")
    slow = page.wait_for_selector("[data-closure]")
    assert slow is not None and WORDS["closure.slow"].replace("{factor}", "3") in slow.inner_text()
    shown(desk, 1)
    assert desk.faults == []


def _ask_for(console: Console, name: str) -> None:
    """From anywhere: the list, the form, the name, all by keys."""
    console.press("F4")
    console.page.wait_for_selector(".panel [data-first]:focus")
    console.press("Enter")
    console.page.wait_for_selector("#closure-text:focus")
    console.page.keyboard.type(name)
    console.press("Enter")
