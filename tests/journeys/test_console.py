"""What a dispatcher sees and does, in a real browser at the real service: roads, units, orders over the air.

One country without load serves the whole module; each journey works with incidents of its own. Times are
printed and not judged, for the machine may be busy. The last journey kills the country's server, and with it the
broker that the crews speak to.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import APIRequestContext, Browser, Playwright, sync_playwright
from websockets.asyncio.client import connect

from tests.conftest import LoopThread
from tests.journeys.browser import (
    LANGUAGES,
    NARROW,
    PATIENCE_S,
    WIDE,
    Console,
    axe,
    built_console,
    catalogue,
    dressed,
    opened,
    row,
)
from tests.journeys.crew import Crews, EmptyCountry, units_of

URGENCH, GULISTAN = (41.5500, 60.6333), (40.4897, 68.7842)
"""The capitals of Xorazm and Sirdaryo, (lat, lon): regions where a person confirms each recommendation."""

_numbers = itertools.count()


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory, session_loop: LoopThread) -> Iterator[EmptyCountry]:
    built_console()
    service = EmptyCountry(tmp_path_factory.mktemp("country"))
    session_loop.run(service.start())
    yield service
    session_loop.run(service.stop())


@pytest.fixture(scope="module")
def crews(country: EmptyCountry, session_loop: LoopThread) -> Iterator[Crews]:
    heard = Crews(session_loop, country.addresses.mqtt_url, units_of("UZ-XO"))
    heard.start()
    yield heard
    heard.stop()


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(chromium: str, playwright: Playwright) -> Iterator[Browser]:
    running = opened(playwright, chromium)
    yield running
    running.close()


@pytest.fixture(scope="module")
def desk(country: EmptyCountry, playwright: Playwright) -> Iterator[APIRequestContext]:
    """Another console: the same service by HTTP, as a dispatcher."""
    token = country.credentials["dispatcher"]["token"]
    asking = playwright.request.new_context(
        base_url=country.url, extra_http_headers={"Authorization": f"Bearer {token}"}
    )
    yield asking
    asking.dispose()


@pytest.fixture(scope="module")
def logged_in(country: EmptyCountry, browser: Browser) -> Any:
    """The cookie of a person who logged in through the page."""
    with dressed(browser, "en", "dark") as context:
        known = country.credentials["dispatcher"]
        Console(context, country.url).log_in(known["username"], known["password"])
        return context.storage_state()


@pytest.fixture
def console(country: EmptyCountry, browser: Browser, logged_in: Any) -> Iterator[Console]:
    with dressed(browser, "en", "dark", logged_in) as context:
        window = Console(context, country.url)
        window.open()
        yield window
        assert window.faults == []


def opened_incident(desk: APIRequestContext, place: tuple[float, float] = URGENCH, priority: str = "P1") -> str:
    """An injured person some way from where anybody was injured before; the incident's id."""
    step = next(_numbers)
    lat, lon = place[0] + 0.006 * (step % 9), place[1] + 0.006 * (step // 9)
    evidence = {"source": "operator", "point": {"type": "Point", "coordinates": [lon, lat]}, "accuracy_m": 20}
    said = {"incident_type": "injury", "priority": priority, "location": [evidence]}
    return str(post(desk, "incidents", said)["incident_id"])


def post(desk: APIRequestContext, path: str, body: dict[str, Any]) -> dict[str, Any]:
    got = desk.post(f"/api/v1/{path}", data=body, headers={"Idempotency-Key": f"test-{next(_numbers)}"})
    assert got.ok, got.text()
    answer: dict[str, Any] = got.json()
    return answer


def read(desk: APIRequestContext, path: str) -> dict[str, Any]:
    got = desk.get(f"/api/v1/{path}")
    assert got.ok, got.text()
    answer: dict[str, Any] = got.json()
    return answer


def best_unit(desk: APIRequestContext, incident: str) -> str:
    return str(read(desk, f"incidents/{incident}/recommendation")["chosen"][0]["unit_id"])


def test_one_key_sends_the_best_unit_and_the_card_follows_its_crew(
    country: EmptyCountry, crews: Crews, desk: APIRequestContext, browser: Browser
) -> None:
    person = country.credentials["dispatcher"]
    with dressed(browser, "en", "dark") as context:
        console = Console(context, country.url)
        console.log_in(person["username"], person["password"])
        incident = opened_incident(desk)
        console.page.wait_for_selector(row(incident) + "[data-waiting]")
        console.pick(incident)
        console.advised()
        card = console.page.inner_text(".card")
        assert "nearest by road of" in card and "with siren" in card
        unit = best_unit(desk, incident)

        began_s = time.monotonic()
        console.press("F9")
        shown_ms = console.after(began_s, "[data-assignment]")
        order = crews.order(unit, incident)
        ordered_ms = (time.monotonic() - began_s) * 1000
        print(f"F9 to the assignment row {shown_ms:.0f} ms, to the order at the unit at most {ordered_ms:.0f} ms")
        assert order.kind == "dispatch"

        crews.accept(unit, order)
        console.page.wait_for_selector("[data-assignment]:has-text('accepted')")
        for status, words in (("en_route", "en route"), ("on_scene", "on scene")):
            crews.report(unit, status, order)
            console.page.wait_for_selector(f"[data-assignment]:has-text('{words}')")
        console.page.wait_for_function(
            "unit => document.querySelector(`[data-unit='${unit}']`)?.title.includes('on scene')", arg=unit
        )
        assert console.faults == []


def test_a_key_pressed_twice_sends_once(console: Console, crews: Crews, desk: APIRequestContext) -> None:
    incident = opened_incident(desk)
    console.pick(incident)
    console.advised()
    console.press("F9")
    console.press("F9")
    console.outcome("sent")
    time.sleep(0.6)  # Past the lock: a second order, had one been taken, would be on its way by now.
    assert len(read(desk, f"incidents/{incident}")["assignments"]) == 1
    sent = [address for method, address in console.asked if method == "POST" and address.endswith("/assign")]
    assert len(sent) == 1


def test_a_recommendation_that_the_world_has_overtaken_is_refused_with_its_reason(
    console: Console, crews: Crews, desk: APIRequestContext
) -> None:
    wanted, other = opened_incident(desk), opened_incident(desk)
    console.hold_advice()
    console.pick(wanted)
    console.advised()
    unit = best_unit(desk, wanted)
    post(desk, f"incidents/{other}/assign", {"units": [unit]})
    console.press("F9")
    said = console.outcome("refused")
    words = catalogue("en")
    assert any(words[f"refusal.{code}"] in said for code in ("recommendation_stale", "unit_taken")), said
    assert read(desk, f"incidents/{wanted}")["assignments"] == []


def test_an_order_is_recalled_with_one_key(console: Console, crews: Crews, desk: APIRequestContext) -> None:
    incident = opened_incident(desk)
    console.pick(incident)
    console.advised()
    console.press("F9")
    console.outcome("sent")
    console.press("F10")
    console.outcome("recalled")
    console.page.wait_for_selector(row(incident) + "[data-waiting]")


def test_a_change_of_policy_that_was_not_made_is_put_back_and_said(console: Console) -> None:
    words, page = catalogue("en"), console.page
    page.click(".picker > button")
    choice = page.locator(f".picker select[aria-label^='{words['policy.dispatch']}']").first
    taken = page.locator(f".picker input[aria-label^='{words['policy.taken']}']").first
    was = choice.input_value(), taken.is_checked()
    said = page.locator(".picker [role=alert]")

    problem = {"title": "", "status": 503, "code": "service_away"}
    page.route("**/policy", lambda route: route.fulfill(status=503, json=problem))
    choice.select_option("confirm" if was[0] == "automatic" else "automatic")
    said.filter(has_text=words["policy.failed"].format(why=words["refusal.service_away"])).wait_for()
    assert (choice.input_value(), taken.is_checked()) == was

    page.unroute("**/policy")
    page.route("**/policy", lambda route: route.abort())
    taken.click()
    said.filter(has_text=words["policy.unknown"]).wait_for()
    assert (choice.input_value(), taken.is_checked()) == was

    page.unroute("**/policy")
    taken.click()
    said.wait_for(state="detached")
    assert taken.is_checked() is not was[1]


def test_what_one_console_does_the_other_shows(
    console: Console, country: EmptyCountry, browser: Browser, logged_in: Any, crews: Crews, desk: APIRequestContext
) -> None:
    incident = opened_incident(desk)
    with dressed(browser, "ru", "light", logged_in) as context:
        other = Console(context, country.url)
        other.open()
        console.pick(incident)
        console.advised()
        taken_ms = []
        for held in (True, False, True, False):
            words = catalogue("en")["card.hold" if held else "card.release"]
            chip = f"{row(incident)} .chip:text-is('{catalogue('ru')['flag.held']}')"
            began_s = time.monotonic()
            console.page.click(f".card button:text-is('{words}')")
            taken_ms.append(other.after(began_s, chip, "attached" if held else "detached"))
        began_s = time.monotonic()
        console.press("F9")
        taken_ms.append(other.after(began_s, row(incident) + ":not([data-waiting])"))
        print("one console to the other, ms:", [round(one) for one in taken_ms])


def test_rows_stay_under_the_pointer_while_fifty_incidents_come_in(console: Console, desk: APIRequestContext) -> None:
    own = [opened_incident(desk, GULISTAN, "P3") for _ in range(3)]
    console.page.wait_for_selector(row(own[-1]))
    console.pick(own[1])
    console.page.locator(row(own[1])).scroll_into_view_if_needed()
    box = console.page.locator(row(own[1])).bounding_box()
    assert box is not None
    x, y = box["x"] + 60, box["y"] + box["height"] / 2
    console.page.mouse.move(x, y)
    before = list(console.rows())
    fresh = []
    for _ in range(50):
        fresh.append(opened_incident(desk, GULISTAN, "P1"))
        assert console.under(x, y) == own[1]
    console.page.wait_for_selector(".pin.new:has-text('50 new')")
    assert list(console.rows()) == before and console.under(x, y) == own[1]
    console.step_back()
    console.page.wait_for_selector(row(fresh[-1]))
    shown = list(console.rows())
    assert max(map(shown.index, fresh)) < shown.index(own[0]) < shown.index(own[1])
    assert console.page.get_attribute(row(own[1]), "aria-selected") == "true"


def test_the_map_is_drawn_from_this_machine_alone(
    console: Console, country: EmptyCountry, crews: Crews, desk: APIRequestContext
) -> None:
    console.pick(opened_incident(desk))
    ground = ".ground[data-settled]"
    console.page.wait_for_selector(ground)
    for drawn in ("units", "incidents"):
        console.page.wait_for_function("what => document.querySelector('.ground').dataset[what] > 0", arg=drawn)
    give_up = time.monotonic() + PATIENCE_S
    while (colours := console.colours(ground)) <= 200 and time.monotonic() < give_up:
        time.sleep(0.2)
    print(f"the map shows {colours} colours")
    assert colours > 200
    assert any("/map/tiles/" in address for _, address in console.asked)
    own = (country.url, country.url.replace("http", "ws"), "data:", "blob:")
    assert [address for _, address in console.asked if not address.startswith(own)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_console_fits_its_window_in_every_language(
    country: EmptyCountry, browser: Browser, logged_in: Any, desk: APIRequestContext, language: str
) -> None:
    assert_complete(language)
    incident = opened_incident(desk)
    with dressed(browser, language, "dark" if language in ("ru", "kaa") else "light", logged_in) as context:
        console = Console(context, country.url)
        console.open()
        console.pick(incident)
        console.page.wait_for_selector(".card .legs")
        assert console.page.get_attribute("html", "lang") == language
        assert catalogue(language)["queue.incidents"] in console.page.inner_text(".queue")
        for window in (WIDE, NARROW):
            console.page.set_viewport_size(window)  # type: ignore[arg-type]
            assert console.overflowing() == []
        assert console.faults == []


def assert_complete(language: str) -> None:
    """The same keys as English, none empty."""
    words = catalogue(language)
    assert words.keys() == catalogue("en").keys()
    assert [key for key, text in words.items() if not text.strip()] == []


@pytest.mark.parametrize(
    ("language", "theme"), [("uz-Latn", "light"), ("ru", "dark"), ("kaa", "light"), ("en", "dark")]
)
def test_nothing_keeps_anybody_out(
    country: EmptyCountry, browser: Browser, logged_in: Any, crews: Crews, desk: APIRequestContext,
    language: str, theme: str,
) -> None:  # fmt: skip
    checker = axe()
    incident = opened_incident(desk)
    with dressed(browser, language, theme) as context:
        door = Console(context, country.url)
        door.page.goto(country.url)
        door.page.wait_for_selector("input[name=username]")
        assert door.violations(checker) == []
    with dressed(browser, language, theme, logged_in) as context:
        console = Console(context, country.url)
        console.open()
        console.pick(incident)
        console.advised()
        assert console.violations(checker) == []


def test_a_killed_server_is_said_at_once_and_nothing_is_sent_later(
    console: Console, country: EmptyCountry, crews: Crews, desk: APIRequestContext, session_loop: LoopThread
) -> None:
    incident = opened_incident(desk)
    console.pick(incident)
    console.advised()
    began_s = time.monotonic()
    country.kill()
    shown_ms = console.after(began_s, "[role=alert] .bar")
    print(f"SIGKILL to the red bar {shown_ms:.0f} ms")
    console.page.wait_for_selector("[data-link=lost]")
    asked = len(console.asked)
    console.press("F9")
    assert catalogue("en")["send.lost"] in console.page.inner_text(".card")
    console.page.wait_for_timeout(500)
    assert [one for one in console.asked[asked:] if one[0] != "GET"] == []

    restarted_s = session_loop.run(country.start())
    began_s = time.monotonic()
    back_ms = console.after(began_s, "[data-link=live]")
    print(f"restarted in {restarted_s:.1f} s, live again {back_ms:.0f} ms after it was ready")
    console.page.wait_for_selector("[role=alert] .bar", state="detached")
    time.sleep(1.5)  # Whatever was kept back would be sent by now.
    assert [one for one in console.asked[asked:] if one[0] != "GET"] == []
    assert read(desk, f"incidents/{incident}")["assignments"] == []
    console.step_back()
    boards = session_loop.run(fresh_boards(country, console.page.context.cookies()))
    give_up = time.monotonic() + PATIENCE_S
    while console.rows() != rows_of(boards) and time.monotonic() < give_up:
        time.sleep(0.2)
    assert console.rows() == rows_of(boards)
    told = {unit: catalogue("en")[f"status.{status}"] for unit, status in units_on(boards).items()}
    shown = console.units()
    assert shown and shown == {unit: told[unit] for unit in shown}


async def fresh_boards(country: EmptyCountry, cookies: list[Any]) -> list[dict[str, Any]]:
    """What a console that comes now is shown: the boards of all regions."""
    headers = {"Cookie": "; ".join(f"{one['name']}={one['value']}" for one in cookies), "Origin": country.url}
    address = country.url.replace("http", "ws") + "/ws/v1/board"
    boards: dict[str, dict[str, Any]] = {}
    async with asyncio.timeout(PATIENCE_S), connect(address, additional_headers=headers, max_size=None) as line:
        while len(boards) < 14:
            frame = json.loads(await line.recv())
            if frame["type"] == "snapshot":
                boards[frame["region"]] = frame["board"]
    return list(boards.values())


def rows_of(boards: list[dict[str, Any]]) -> dict[str, bool]:
    """The queue that these boards make: waiting ones first, each by priority and age."""
    rows = [row for board in boards for row in board["incidents"].values()]
    rows.sort(key=lambda row: (not row["waiting"], row["priority"], row["opened_at"], row["incident_id"]))
    return {row["incident_id"]: row["waiting"] for row in rows if row["waiting"] or row["status"] != "closed"}


def units_on(boards: list[dict[str, Any]]) -> dict[str, str]:
    return {unit: cell["status"] for board in boards for unit, cell in board["units"].items()}
