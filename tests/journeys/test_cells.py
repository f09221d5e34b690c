"""Two cells with servers of their own: calls handed over, units lent, the link cut and healed, a cell killed.

Nothing that was acknowledged is lost or doubled: the books of both databases are read and compared.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dispatch.core.aid_terms import is_told
from dispatch.core.terms import CallId
from tests.journeys.cells import SAMARKAND, TASHKENT, Cell, Nation, nation, until

CUT_S = float(os.environ.get("CELLS_CUT_S") or 4.0)
"""How long the link stays cut while both go on. `CELLS_CUT_S=180` for minutes."""
HANDED_OVER = 16
BLOWS_S = (0.02, 0.06, 0.15)
"""When a cell is killed after the first of these calls was offered."""


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Nation]:
    async with nation(tmp_path) as both:
        yield both


async def owned_once(both: Nation, calls: list[str]) -> None:
    """Both books hold in themselves, and each call is of exactly one cell; nothing is under way any more."""
    books = [await cell.ledger() for cell in (both.a, both.b)]
    assert [book.faults for book in books] == [[], []]
    states = [both_state for book in books for both_state in book.states.values()]
    for call_id in map(CallId, calls):
        owners = [
            state.region
            for state in states
            if call_id in state.calls or (call_id in state.closed_calls and not state.closed_calls[call_id].moving_to)
        ]
        assert len(owners) == 1, (call_id, owners)
    assert not any(state.offers for state in states)
    assert all(is_told(loan) for state in states for loan in state.loans.values())


async def handed(cell: Cell, call_id: str, to: str) -> None:
    await cell.post(f"calls/{call_id}/transfer", {"region": to})


async def arrived(cell: Cell, call_id: str) -> dict[str, Any]:
    async def here() -> dict[str, Any] | None:
        card = await cell.card(f"calls/{call_id}")
        return card if card.get("region") == cell.region and not card["moving_to"] else None

    card: dict[str, Any] = await until(here, f"{call_id} is with {cell.name}")
    return card


async def settled(both: Nation) -> None:
    async def quiet() -> bool:
        rows = [(await cell.ask("GET", "cells"))[1]["cells"][0] for cell in (both.a, both.b)]
        return all(row["calls_waiting"] == row["aid_waiting"] == 0 for row in rows)

    await until(quiet, "nothing is under way between the cells")


async def followed(both: Nation, call_id: str, words: str) -> None:
    """What the old cell is told of a call's place is on the new one's card."""
    await both.a.post(f"calls/{call_id}/location", {"source": "address", "text": words})

    async def there() -> bool:
        card = await both.b.card(f"calls/{call_id}")
        return words in [piece.get("text") for piece in card["evidence"]]

    await until(there, f"{words} is known of {call_id}")


async def test_a_call_goes_over_with_its_words_and_both_sides_say_where(two: Nation) -> None:
    call_id = await two.a.new_call("my father fell off a roof")
    await handed(two.a, call_id, SAMARKAND)
    card = await arrived(two.b, call_id)
    assert card["caller"] == {"number": "+998901234567", "text": "my father fell off a roof"}
    assert card["came_from"] == TASHKENT
    await settled(two)
    gone = await two.a.card(f"calls/{call_id}")
    assert (gone["status"], gone["disposition"], gone["moving_to"]) == ("closed", "referred", SAMARKAND)
    await followed(two, call_id, "by the old well")
    await owned_once(two, [call_id])
    await handed(two.b, call_id, TASHKENT)
    card = await arrived(two.a, call_id)
    assert (card["status"], card["caller"]["text"]) == ("ringing", "my father fell off a roof")
    await settled(two)
    await owned_once(two, [call_id])


async def test_the_notes_about_a_call_go_with_it(two: Nation) -> None:
    call_id = await two.a.new_call("smoke", incident_type="illness")
    incident_id = (await two.a.card(f"calls/{call_id}"))["incident_id"]
    await two.a.post(f"incidents/{incident_id}/notes", {"text": "the gate is locked"})
    await handed(two.a, call_id, SAMARKAND)
    card = await arrived(two.b, call_id)
    theirs = await two.b.card(f"incidents/{card['incident_id']}")
    assert [note["text"] for note in theirs["notes"]] == ["the gate is locked"]
    await owned_once(two, [call_id])


async def test_only_a_neighbour_speaks_for_its_own_region(two: Nation) -> None:
    for role in ("dispatcher", "admin", "device", "unit"):
        status, said = await two.a.ask("POST", f"cells/{TASHKENT}/messages", {}, role)
        assert (status, said["code"]) == (403, "out_of_scope"), role


async def test_cut_off_both_go_on_and_healed_nothing_is_lost_or_doubled(two: Nation) -> None:
    before = await two.a.new_call("before the cut")
    await handed(two.a, before, SAMARKAND)
    await arrived(two.b, before)
    two.cut()
    waiting = [await two.a.new_call(f"for Samarkand {n}") for n in range(6)]
    for call_id in waiting:
        await handed(two.a, call_id, SAMARKAND)
    own = [await own_work(cell, number) for cell in (two.a, two.b) for number in range(5)]
    await asyncio.sleep(CUT_S)
    card = await two.a.card(f"calls/{waiting[0]}")
    assert "handing_over" in card["flags"] and card["moving_since"]
    shown = (await two.a.ask("GET", "cells"))[1]
    assert (shown["health"], shown["cells"][0]["calls_waiting"]) == ("away", len(waiting))
    assert shown["cells"][0]["oldest_call_s"] >= min(CUT_S, 1.0)
    metrics = await two.a.service.metrics()
    assert 'dispatch112_cell_offers_waiting{cell="samarkand"} 6.0' in metrics
    # Nothing of it was sent, so it is ours again at once, and can be worked.
    taken_back = waiting.pop()
    await two.a.post(f"calls/{taken_back}/takeback")
    await two.a.post(f"calls/{taken_back}/claim")
    two.heal()
    for call_id in waiting:
        await arrived(two.b, call_id)
    await settled(two)
    assert (await two.a.card(f"calls/{taken_back}"))["status"] == "claimed"
    await owned_once(two, [before, taken_back, *waiting, *own])


async def own_work(cell: Cell, number: int) -> str:
    """A call of the cell's own region, answered with a unit: what goes on whatever the link does."""
    call_id = await cell.new_call(f"own {number}", incident_type="assault")
    incident_id = (await cell.card(f"calls/{call_id}"))["incident_id"]
    unit = f"{cell.region[3:]}-P{1 + 4 * number}"
    await cell.post(f"incidents/{incident_id}/assign", {"units": [unit]})
    return call_id


@pytest.mark.parametrize("lost", ["question", "answer"])
async def test_a_call_in_doubt_has_one_owner_whichever_word_of_it_was_lost(two: Nation, lost: str) -> None:
    first, second = await two.a.new_call("reaches it"), await two.a.new_call("does it?")
    await handed(two.a, first, SAMARKAND)
    await arrived(two.b, first)
    # The line has just answered, so the next word goes out at once, and is lost or its answer is.
    two.there.breaks_at = lost
    await handed(two.a, second, SAMARKAND)

    async def broken() -> bool:
        return two.there.is_cut

    await until(broken, "the link breaks")
    await two.a.post(f"calls/{second}/takeback")
    card = await two.a.card(f"calls/{second}")
    assert "taking_back" in card["flags"] and card["region"] == TASHKENT
    status, said = await two.a.ask("POST", f"calls/{second}/claim", {})
    assert (status, said["code"]) == (409, "call_moving")
    two.there.heal()
    await settled(two)
    if lost == "answer":
        await arrived(two.b, second)
    else:
        await two.a.post(f"calls/{second}/claim")
        assert not await two.b.card(f"calls/{second}")
    await owned_once(two, [first, second])


@pytest.mark.parametrize("killed", ["giver", "taker"])
async def test_a_cell_killed_in_the_middle_of_hand_overs_loses_and_doubles_nothing(two: Nation, killed: str) -> None:
    victim = two.a if killed == "giver" else two.b
    calls: list[str] = []
    for blow_s in BLOWS_S:
        fresh = [await two.a.new_call(f"call {number}") for number in range(HANDED_OVER)]
        calls += fresh
        handing = asyncio.gather(*(handed(two.a, call_id, SAMARKAND) for call_id in fresh), return_exceptions=True)
        await asyncio.sleep(blow_s)
        victim.service.kill()
        await handing
        await victim.service.start()
        for call_id in fresh:  # What was not offered before the blow is offered now; the rest is under way.
            await two.a.ask("POST", f"calls/{call_id}/transfer", {"region": SAMARKAND})
    for call_id in calls:
        assert (await arrived(two.b, call_id))["caller"]["text"].startswith("call ")
    await settled(two)
    await owned_once(two, calls)


async def test_a_unit_is_lent_across_a_cut_and_a_kill_and_comes_home(two: Nation) -> None:
    call_id = await two.a.new_call("a brawl", incident_type="assault")
    incident_id = (await two.a.card(f"calls/{call_id}"))["incident_id"]
    wish = {"region": SAMARKAND, "body": "mia", "capability": "patrol"}
    await two.a.post(f"incidents/{incident_id}/aid", wish)
    theirs = await accepted(two.a, incident_id)
    helping = await two.b.card(f"incidents/{theirs}")
    assert helping["aid_for"] == {"region": TASHKENT, "incident_id": incident_id}
    await two.b.post(f"incidents/{theirs}/assign", {"units": ["SA-P1"]})
    assert (await two.b.card("units/SA-P1"))["lent_to"] == TASHKENT
    shown = await lent(two.a, incident_id, "dispatched")
    assert (shown["call_sign"], shown["region"]) == ("P1", SAMARKAND)
    two.cut()
    await two.b.post("units/SA-P1/status", {"status": "on_scene"})
    two.a.service.kill()
    await two.a.service.start()
    await asyncio.sleep(1.0)
    assert (await lent(two.a, incident_id, "dispatched"))["unit_id"] == "SA-P1"
    two.heal()
    await lent(two.a, incident_id, "on_scene")
    await two.b.post("units/SA-P1/status", {"status": "available"})

    async def home() -> bool:
        card = await two.a.card(f"incidents/{incident_id}")
        return not card["lent"] and not card["aid"]

    await until(home, "the help is over")
    await settled(two)
    card = await two.a.card(f"incidents/{incident_id}")
    assert card["lent_units"][0]["cleared_reason"] == "completed"
    assert (await two.b.card("units/SA-P1"))["lent_to"] is None
    await owned_once(two, [call_id])


async def accepted(cell: Cell, incident_id: str) -> str:
    async def theirs() -> Any:
        rows = (await cell.card(f"incidents/{incident_id}"))["aid"]
        return rows[0]["their_incident"] if rows else None

    return str(await until(theirs, "the request is accepted"))


async def lent(cell: Cell, incident_id: str, status: str) -> dict[str, Any]:
    async def row() -> Any:
        rows = (await cell.card(f"incidents/{incident_id}"))["lent"]
        return rows[0] if rows and rows[0]["status"] == status else None

    shown: dict[str, Any] = await until(row, f"the lent unit is {status}")
    return shown
