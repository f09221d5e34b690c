"""Two cells over HTTP and a line between them that is cut: where a call is reaches it, whichever cell was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from consoles.following import LOOK_S
from dispatch.calling.reception import GOES_ON
from dispatch.cells.line import Line as CellLine
from dispatch.cells.peers import Peer, enrol
from dispatch.core.events import Event, OfferSent
from dispatch.core.terms import Call, CallId, LocationFix, RegionId
from dispatch.formats.aml import AFTER_CALL_S
from dispatch.writing.journal import commitment
from tests.journeys.proxy import Line
from tests.servers.api_world import CHORSU, TK, ApiWorld, Got, api_world
from tests.servers.test_api_aml import form, outcome, send
from tests.servers.test_api_reading import followed

FA = RegionId("UZ-FA")
KEY = "k" * 32
NUMBER = "+998901234567"
FERGANA = [71.7843, 40.3864]
PATIENCE_S = 60.0


class Two:
    """Tashkent takes the calls and Fergana gets them; `line` is Tashkent's to Fergana."""

    def __init__(self, ours: ApiWorld, theirs: ApiWorld, line: Line) -> None:
        self.ours, self.theirs, self.line = ours, theirs, line
        self.said = 0

    async def call(self) -> CallId:
        receipt = await self.ours.new_call(channel="voice", caller={"number": NUMBER})
        return CallId(receipt["call_id"])

    async def offer(self, call_id: CallId) -> None:
        got = await self.ours.post(f"calls/{call_id}/transfer", {"region": FA}, token="dispatcher")
        assert got.status == 200, got.raw

    async def locate(self, call_id: CallId, **more: Any) -> Got:
        """New evidence to the cell that took the call: acknowledged."""
        self.said += 1
        piece = {"source": "app", "accuracy_m": 10 + self.said, "point": {"type": "Point", "coordinates": CHORSU}}
        got = await self.ours.post(f"calls/{call_id}/location", piece | more, token="dispatcher")
        assert got.status == 200, got.raw
        return got

    def cut_in_the_middle(self) -> None:
        """Cut the line when the next offer is marked as sent, and nothing of it has left."""

        def heard(region: RegionId, recorded: object, events: Sequence[Event]) -> None:
            if any(isinstance(event, OfferSent) for event in events):
                self.line.cut()

        self.ours.engine.on_commit.append(heard)

    def here(self, call_id: CallId) -> Call | None:
        return self.ours.engine.replicas.states[TK].call(call_id)

    def there(self, call_id: CallId) -> Call | None:
        return self.theirs.engine.replicas.states[FA].call(call_id)

    async def until(self, so: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not so():
                await asyncio.sleep(0.02)

    async def heard(self, call_id: CallId, pieces: int) -> tuple[LocationFix, ...]:
        """The evidence of the call over there, once nothing waits for it any more."""
        await self.until(lambda: not self.ours.engine.replicas.states[TK].onward)
        call = self.there(call_id)
        assert call is not None and len(call.evidence) == pieces, call
        return call.evidence

    async def restart(self) -> None:
        await self.ours.stop()
        await self.ours.start()


@pytest.fixture
async def two() -> AsyncIterator[Two]:
    async with api_world() as ours, api_world() as theirs:
        await ours.stop()
        await theirs.stop()
        ours.regions, theirs.regions = (TK,), (FA,)
        theirs.peers = (Peer(url="http://127.0.0.1:1", regions=(TK,), key=KEY, name="tashkent"),)
        await enrol(theirs.store, theirs.peers)
        await theirs.start()
        async with Line(("127.0.0.1", int(theirs.url.rpartition(":")[2]))) as line:
            ours.peers = (Peer(url=f"http://127.0.0.1:{line.port}", regions=(FA,), key=KEY, name="fergana"),)
            await ours.start()
            yield Two(ours, theirs, line)


def radii(evidence: tuple[LocationFix, ...]) -> list[float | None]:
    return [fix.accuracy_m for fix in evidence]


async def test_evidence_for_a_waiting_call_counts_here_at_once_and_goes_with_it(two: Two) -> None:
    two.line.cut()
    call_id = await two.call()
    await two.offer(call_id)
    receipt = (await two.locate(call_id)).json
    assert receipt["moving_to"] == FA and receipt["location"]["point"]["coordinates"] == CHORSU
    two.line.heal()
    await two.until(lambda: two.there(call_id))
    assert radii(await two.heard(call_id, 1)) == [11]


async def test_what_comes_while_nobody_knows_whose_the_call_is_follows_it_with_its_words(two: Two) -> None:
    call_id = await two.call()
    two.cut_in_the_middle()
    await two.offer(call_id)
    await two.until(lambda: two.line.shut)
    assert two.ours.engine.replicas.states[TK].offers[call_id].sent
    await two.locate(call_id, text="behind the teahouse")
    await send(two.ours, form(device_number=NUMBER, location_accuracy=40))
    assert await outcome(two.ours, "used") == 1
    card = (await two.ours.get(f"calls/{call_id}", token="taker")).json
    assert [piece.get("text") for piece in card["evidence_waiting"]] == ["behind the teahouse", None]
    await two.restart()
    assert len(two.ours.engine.states[TK].onward) == 2
    two.line.heal()
    first, second = await two.heard(call_id, 2)
    kept = (await two.theirs.store.personal([str(first.note_id)]))[str(first.note_id)]
    assert first.commitment == commitment(kept.salt, kept.document) and second.source == "aml"
    card = (await two.theirs.get(f"calls/{call_id}", token="taker")).json
    assert [piece.get("text") for piece in card["evidence"]] == ["behind the teahouse", None]
    events = [*await two.ours.store.events(TK, 0, 500), *await two.theirs.store.events(FA, 0, 500)]
    assert not any(b"teahouse" in event.payload for event in events)


async def test_a_call_that_has_gone_is_found_by_what_its_old_cell_is_told(two: Two) -> None:
    call_id = await two.call()
    await two.offer(call_id)
    await two.until(lambda: TK in two.ours.engine.states and call_id in two.ours.engine.replicas.states[TK].gone)
    two.line.cut()
    receipt = (await two.locate(call_id)).json
    assert (receipt["status"], receipt["moving_to"]) == ("closed", FA)
    await two.restart()
    await send(two.ours, form(device_number=NUMBER, location_accuracy=40))
    assert await outcome(two.ours, "sent_on") == 1
    await two.locate(call_id)
    assert [row["evidence_waiting"] for row in (await two.ours.get("cells", token="supervisor")).json["cells"]] == [1]
    two.line.heal()
    evidence = await two.heard(call_id, 3)
    assert radii(evidence) == [11, evidence[1].accuracy_m, 12] and evidence[1].source == "aml"
    found = two.there(call_id)
    assert found is not None and found.location is not None


async def test_a_handset_is_taken_to_be_on_the_line_for_half_an_hour_after_its_call_has_gone(two: Two) -> None:
    call_id = await two.call()
    await two.offer(call_id)
    await two.until(lambda: call_id in two.ours.engine.replicas.states[TK].gone)
    reception = two.ours.interface.intake.reception
    reception.tidy()
    two.ours.clock.advance(GOES_ON.total_seconds() - 5)
    await send(two.ours, form(device_number=NUMBER))
    assert await outcome(two.ours, "sent_on") == 1
    two.ours.clock.advance(10)
    reception.tidy()
    two.ours.clock.advance(AFTER_CALL_S + 1)
    reception.tidy()
    assert len(reception.matcher) == 0
    await send(two.ours, form(device_number=NUMBER, location_accuracy=40))
    assert await outcome(two.ours, "waiting") == 1


async def test_the_place_of_an_incident_over_there_follows_and_late_evidence_is_kept(two: Two) -> None:
    call_id = await two.call()
    await two.offer(call_id)
    await two.until(lambda: call_id in two.ours.engine.replicas.states[TK].gone)
    said = {"incident_type": "illness"}
    got = await two.theirs.post(f"calls/{call_id}/classify", said, token="dispatcher")
    incident_id = got.json["incident_id"]
    there = {"point": {"type": "Point", "coordinates": FERGANA}}
    await two.locate(call_id, **there)
    await two.heard(call_id, 1)
    card = (await two.theirs.get(f"incidents/{incident_id}", token="dispatcher")).json
    assert card["location"]["point"]["coordinates"] == FERGANA
    await two.theirs.post(f"calls/{call_id}/close", {"disposition": "advice_only"}, token="dispatcher")
    await two.locate(call_id, **there)
    await two.heard(call_id, 2)


async def test_a_call_that_is_taken_back_has_what_came_meanwhile(two: Two) -> None:
    call_id = await two.call()
    two.line.cut()
    await two.offer(call_id)
    await two.locate(call_id)
    assert (await two.ours.post(f"calls/{call_id}/takeback", token="dispatcher")).status == 200
    await two.locate(call_id)
    call = two.here(call_id)
    assert call is not None and call.moving_to is None and radii(call.evidence) == [11, 12]


async def test_a_device_adds_to_its_own_call_alone_also_after_it_has_gone(two: Two) -> None:
    call_id = await two.call()
    await two.offer(call_id)
    await two.until(lambda: call_id in two.ours.engine.replicas.states[TK].gone)
    piece = {"source": "app", "accuracy_m": 5, "point": {"type": "Point", "coordinates": CHORSU}}
    assert (await two.ours.post(f"calls/{call_id}/location", piece, token="device_sa")).code == "unknown_call"
    assert (await two.ours.post(f"calls/{call_id}/location", piece, token="device")).status == 200
    await two.heard(call_id, 1)


@asynccontextmanager
async def gone(two: Two) -> AsyncIterator[CallId]:
    """An app's call that Fergana has; there is a line back."""
    call_id = CallId((await two.ours.new_call())["call_id"])
    await two.offer(call_id)
    await two.until(lambda: call_id in two.ours.engine.replicas.states[TK].gone)
    await enrol(two.ours.store, two.ours.peers)
    home = CellLine(Peer(url=two.ours.url, regions=(TK,), key=KEY, name="tashkent"))
    two.theirs.neighbours.outbox.lines = {TK: home}
    try:
        yield call_id
    finally:
        await home.close()


async def come_home(two: Two, call_id: CallId) -> None:
    got = await two.theirs.post(f"calls/{call_id}/transfer", {"region": TK}, token="dispatcher")
    assert got.status == 200, got.raw
    await two.until(lambda: call_id in two.ours.engine.replicas.states[TK].calls)
    await two.until(lambda: call_id in two.theirs.engine.replicas.states[FA].gone)


async def test_a_call_that_comes_home_knows_its_own_app(two: Two) -> None:
    async with gone(two) as call_id:
        await come_home(two, call_id)
    piece = {"source": "app", "accuracy_m": 5, "point": {"type": "Point", "coordinates": CHORSU}}
    assert (await two.ours.post(f"calls/{call_id}/location", piece, token="device_sa")).code == "unknown_call"
    assert (await two.ours.post(f"calls/{call_id}/location", piece, token="device")).status == 200
    call = two.here(call_id)
    assert call is not None and radii(call.evidence) == [5]


async def test_an_app_is_told_that_its_call_goes_on_elsewhere_and_when_it_is_back(two: Two) -> None:
    async with gone(two) as call_id:
        following = asyncio.create_task(followed(two.ours, call_id, 2))
        await two.until(lambda: two.ours.interface.following.open == 1)
        await asyncio.sleep(2 * LOOK_S)
        await come_home(two, call_id)
        async with asyncio.timeout(PATIENCE_S):
            told = await following
    assert [(name, data["status"], data["region"]) for name, data in told] == [
        ("state", "transferred", FA),
        ("state", "queued", TK),
    ]
