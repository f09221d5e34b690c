"""The address for neighbouring cells: who is let in, what is understood, and that the same word has the same answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from dispatch.calling.matching import Matcher, Waiting
from dispatch.calling.recognising import Recogniser
from dispatch.cells.exchange import AidWish, CallOffer, Document, OfferRecall
from dispatch.cells.peers import Peer, enrol, read_peers
from dispatch.core.aid_terms import Wanted, is_told
from dispatch.core.terms import (
    ActorId,
    Body,
    Call,
    CallId,
    CallStatus,
    Channel,
    IncidentId,
    LocationFix,
    Priority,
    RegionId,
    Source,
)
from dispatch.errors import UserMistake
from dispatch.keeping.memory import MemoryStore
from dispatch.store import Store
from dispatch.verify_log import Commitments, Event, Finding
from dispatch.writing.journal import commitment, moment
from tests.core.scene import START
from tests.servers.api_world import CHORSU, SA, TK, TO, ApiWorld, Got, api_world

FA = RegionId("UZ-FA")
CALL = CallId("c-01H00000000000000000000000")
OFFER = "UZ-FA:7"
WORDS_A_SECOND_MOST = 10
TEXT = '{"number":"+998901112233","text":"my neighbour lies in the yard"}'


@pytest.fixture
async def world(store: Store) -> AsyncIterator[ApiWorld]:
    async with api_world(store) as running:
        yield running


def offer(to: RegionId = TK, **changes: Any) -> CallOffer:
    """A call that Fergana gives, classified or not."""
    known: dict[str, Any] = {
        "call_id": CALL,
        "region": FA,
        "channel": Channel.APP,
        "status": CallStatus.QUEUED,
        "at": START,
        "since": START,
        "device": ActorId("device:device"),
        "commitment": "ab" * 32,
    }
    documents = (Document(id=CALL, kind="call", text=TEXT),)
    call = Call(**(known | changes))
    return CallOffer(origin=FA, to=to, offer_id=OFFER, call=call, documents=documents)


def recall() -> OfferRecall:
    return OfferRecall(origin=FA, to=TK, offer_id=OFFER, call_id=CALL)


async def said(world: ApiWorld, message: Any, token: str = "cell_fa", at: str = TK) -> Got:
    return await world.post(f"cells/{at}/messages", msgspec.json.encode(message), token=token)


async def test_a_call_is_taken_once_and_the_same_word_has_the_same_answer(world: ApiWorld) -> None:
    first, again = await said(world, offer()), await said(world, offer())
    assert first.json == again.json == {"outcome": "taken"}
    assert (await said(world, recall())).json == {"outcome": "taken"}
    events = await world.store.events(TK, 0, 100)
    assert [event.kind for event in events].count("call_accepted") == 1


async def test_an_offer_that_was_called_back_is_never_taken(world: ApiWorld) -> None:
    assert (await said(world, recall())).json == {"outcome": "forgone"}
    assert (await said(world, offer())).json == {"outcome": "forgone"}
    assert (await said(world, recall())).json == {"outcome": "forgone"}
    assert CALL not in world.engine.replicas.states[TK].calls


async def test_words_are_sealed_anew_and_stand_in_no_event(world: ApiWorld) -> None:
    await said(world, offer())
    kept = (await world.store.personal([CALL]))[CALL]
    call = world.engine.replicas.states[TK].calls[CALL]
    assert call.commitment == commitment(kept.salt, kept.document) != "ab" * 32
    assert not any(b"neighbour lies" in event.payload for event in await world.store.events(TK, 0, 100))
    card = (await world.get(f"calls/{CALL}", token="taker")).json
    assert (card["caller"]["number"], card["came_from"]) == ("+998901112233", FA)


async def test_words_of_evidence_come_along_and_are_sealed_anew(world: ApiWorld) -> None:
    told, lost = "n-01H00000000000000000000001", "n-01H00000000000000000000002"
    evidence = tuple(
        LocationFix(source=Source.ADDRESS, at=START, note_id=note_id, commitment="ab" * 32) for note_id in (told, lost)
    )
    given = offer(evidence=evidence)
    words = Document(id=told, kind="note", text='{"actor":"user:lola","text":"behind the teahouse"}')
    assert (await said(world, msgspec.structs.replace(given, documents=(*given.documents, words)))).status == 200
    first, second = world.engine.replicas.states[TK].calls[CALL].evidence
    kept = (await world.store.personal([told]))[told]
    assert first.commitment == commitment(kept.salt, kept.document) != "ab" * 32
    assert (second.note_id, second.commitment) == (None, None)
    card = (await world.get(f"calls/{CALL}", token="taker")).json
    assert [piece.get("text") for piece in card["evidence"]] == ["behind the teahouse", None]


async def misfits(world: ApiWorld, *documents: str) -> list[Finding]:
    """What a verifier finds wrong with these personal documents."""
    found: list[Finding] = []
    commitments = Commitments(found.append)
    for event in await world.store.events(TK, 0, 100):
        at = moment(event.at)
        commitments.gather(
            Event(event.region, event.seq, at, event.kind, event.payload, event.actor, event.epoch, event.hash)
        )
    for one in (await world.store.personal(documents)).values():
        row = {"id": one.id, "region": one.region, "salt": one.salt.hex(), "document": one.document.hex()}
        commitments.check(row)
    assert commitments.fitting + len(found) == len(documents)
    return found


async def test_notes_that_come_along_fit_what_the_journal_says_of_them(world: ApiWorld) -> None:
    note = "n-01H00000000000000000000001"
    words = Document(id=note, kind="note", text='{"actor":"user:lola","text":"two people on the roof"}')
    given = offer(notes=(note,))
    await said(world, msgspec.structs.replace(given, documents=(*given.documents, words)))
    assert await misfits(world, CALL, note) == []


async def test_a_note_that_comes_with_two_calls_at_once_fits_what_the_journal_says_of_it(world: ApiWorld) -> None:
    """Two calls of one incident turn out to be ours: each brings its notes, and neither waits for the other."""
    note, other = "n-01H00000000000000000000001", CallId("c-01H00000000000000000000001")
    words = Document(id=note, kind="note", text='{"actor":"user:lola","text":"two people on the roof"}')
    first = msgspec.structs.replace(offer(notes=(note,)), documents=(words,))
    second = msgspec.structs.replace(offer(call_id=other, notes=(note,)), offer_id="UZ-FA:8", documents=(words,))
    answers = await asyncio.gather(said(world, first), said(world, second))
    assert [got.json for got in answers] == [{"outcome": "taken"}] * 2
    assert await misfits(world, note) == []


async def test_a_call_from_where_no_cell_is_known_stays_with_its_incident_and_is_flagged(world: ApiWorld) -> None:
    """It would be handed over to nobody, and its incident be closed for it."""
    call = await world.new_call(incident_type="cardiac_arrest")
    fix = {"source": "app", "point": [71.7864, 40.3842], "accuracy_m": 20}
    got = (await world.post(f"calls/{call['call_id']}/location", fix)).json
    assert (got["region"], got.get("moving_to"), got["flags"]) == (TK, None, ["outside_region"])
    incident = world.engine.replicas.states[TK].incidents[call["incident_id"]]
    assert incident.location is not None and incident.location.regions == (FA, TK)


async def test_a_device_of_ours_is_not_shown_the_call_of_its_namesake(world: ApiWorld) -> None:
    await said(world, offer())
    assert (await world.get(f"calls/{CALL}", token="device")).status == 404


async def test_help_is_opened_once_as_an_incident_of_ours(world: ApiWorld) -> None:
    wanted = Wanted(
        request_id="UZ-FA:9:aid", region=FA, incident_id=IncidentId("FA-3"), incident_type="illness",
        priority=Priority.P2, body=Body.MOH, capability="bls", count=1, version=10,
    )  # fmt: skip
    message = AidWish(origin=FA, to=TK, wanted=wanted)
    first, again = await said(world, message), await said(world, message)
    assert first.json["report"]["incident_id"] == again.json["report"]["incident_id"] == "TK-1"
    card = (await world.get("incidents/TK-1", token="dispatcher")).json
    assert card["aid_for"] == {"region": FA, "incident_id": "FA-3"}


async def test_a_word_that_leads_to_nothing_is_said_again_only_after_a_pause(world: ApiWorld) -> None:
    opened = {"incident_type": "illness", "location": [{"source": "operator", "point": CHORSU}]}
    incident_id = (await world.post("incidents", opened, token="dispatcher")).json["incident_id"]
    wish = {"region": TO, "body": "moh", "capability": "bls"}
    assert (await world.post(f"incidents/{incident_id}/aid", wish, token="dispatcher")).status == 200
    committed, heard = world.engine.replicas.states, world.neighbours.inbox.counts
    async with asyncio.timeout(60):
        while not committed[TO].loans or not all(is_told(loan) for loan in committed[TO].loans.values()):
            await asyncio.sleep(0.02)
    for state in (world.engine.states[TK], committed[TK]):
        # As if the borrower knew a report of a time that no clock of the lender has come to.
        (asked,) = state.asks.values()
        state.asks[asked.request_id] = msgspec.structs.replace(asked, reported=2**60)
    await world.post(f"incidents/{incident_id}/priority", {"priority": "P1"}, token="dispatcher")
    async with asyncio.timeout(60):
        while committed[TO].incidents[IncidentId("TO-1")].priority is not Priority.P1:
            await asyncio.sleep(0.02)
    before = heard["heard"]
    await asyncio.sleep(1.0)
    assert heard["heard"] - before <= WORDS_A_SECOND_MOST


@pytest.mark.parametrize(
    ("message", "at", "status"),
    [
        (offer(), SA, 422),
        (offer(to=RegionId("UZ-AN")), "UZ-AN", 404),
        (msgspec.structs.replace(offer(), origin=SA), TK, 403),
        (msgspec.structs.replace(offer(), offer_id="UZ-SA:7"), TK, 422),
        ({"say": "offer"}, TK, 422),
        ({"say": "sing"}, TK, 422),
    ],
    ids=["other address", "not here", "for another", "another's id", "empty", "unknown"],
)
async def test_what_cannot_be_meant_is_refused(world: ApiWorld, message: Any, at: str, status: int) -> None:
    assert (await said(world, message, at=at)).status == status


@pytest.mark.parametrize("token", ["device", "taker", "dispatcher", "supervisor", "admin", "moh", "TK-A1"])
async def test_nobody_else_may_speak_as_a_cell(world: ApiWorld, token: str) -> None:
    assert (await said(world, offer(), token=token)).code == "out_of_scope"


@pytest.mark.parametrize("path", ["calls", "incidents", "units", "regions", "queue", "events?region=UZ-TK", "cells"])
async def test_a_cell_may_do_nothing_else(world: ApiWorld, path: str) -> None:
    assert (await world.get(path, token="cell_fa")).status == 403


async def test_a_call_comes_without_what_was_of_its_old_region(world: ApiWorld) -> None:
    strange = offer(incident_type="dragon", incident_id=IncidentId("FA-3"), status=CallStatus.LINKED, closed_at=START)
    assert (await said(world, strange)).json == {"outcome": "taken"}
    call = world.engine.states[TK].calls[CALL]
    assert (call.status, call.incident_id, call.incident_type) == (CallStatus.TRANSFERRED, None, None)


async def nothing_waits(call_id: CallId, messages: Sequence[Waiting]) -> None:
    raise AssertionError(f"{len(messages)} messages waited for {call_id}")


@pytest.mark.parametrize("text", ['{"number":5}', "no JSON", "[]"])
async def test_words_that_cannot_be_read_as_a_caller_are_kept_as_words(world: ApiWorld, text: str) -> None:
    broken = (Document(id=CALL, kind="call", text=text),)
    assert (await said(world, msgspec.structs.replace(offer(), documents=broken))).json == {"outcome": "taken"}
    card = (await world.get(f"calls/{CALL}", token="taker")).json
    assert card["caller"]["text"] == text
    matcher = Matcher(lambda call_id: True)
    await Recogniser(matcher, world.store, nothing_waits).know(world.engine.states[TK].calls.values())
    assert len(matcher) <= 1


async def test_a_handset_finds_the_call_that_came_from_another_cell(world: ApiWorld) -> None:
    matcher = Matcher(lambda call_id: True)
    recogniser = Recogniser(matcher, world.store, nothing_waits)
    world.neighbours.inbox.on_taken.append(lambda call: recogniser.know([call]))
    await said(world, offer())
    await said(world, offer())
    assert len(matcher) == 1


async def test_a_document_of_another_call_is_refused(world: ApiWorld) -> None:
    foreign = (Document(id="c-01H00000000000000000000001", kind="call", text=TEXT),)
    assert (await said(world, msgspec.structs.replace(offer(), documents=foreign))).status == 422


# The file that names the neighbours

PEER = {"url": "http://10.0.0.7:8112", "regions": ["UZ-SA"], "key": "k" * 32}


def file(tmp_path: Any, **changes: Any) -> Any:
    path = tmp_path / "cells.json"
    path.write_bytes(msgspec.json.encode({"samarkand": PEER | changes}))
    return path


def test_the_file_names_the_neighbours_and_nothing_prints_their_keys(tmp_path: Any) -> None:
    (peer,) = read_peers(file(tmp_path), [TK])
    assert (peer.name, peer.regions) == ("samarkand", (SA,))
    assert "kkk" not in f"{peer} {peer!r}"
    assert read_peers(tmp_path / "none.json", [TK]) == ()


@pytest.mark.parametrize(
    "changes",
    [{"url": "ftp://x"}, {"url": "http://a:b@x"}, {"regions": ["UZ-TK"]}, {"regions": ["UZ-XX"]}, {"key": "short"},
     {"regions": ["UZ-SA", "UZ-SA"]}, {"colour": "red"}],
)  # fmt: skip
def test_a_neighbour_that_cannot_be_is_the_operators_mistake(tmp_path: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(UserMistake):
        read_peers(file(tmp_path, **changes), [TK])


def test_a_file_that_was_named_must_be_there(tmp_path: Any) -> None:
    with pytest.raises(UserMistake, match=r"none\.json"):
        read_peers(tmp_path / "none.json", [TK], must=True)


async def test_a_neighbour_that_is_not_named_any_more_is_shut_out() -> None:
    store = MemoryStore()
    await store.open()
    old = Peer(url="http://x", regions=(SA,), key="o" * 32, name="old")
    new = Peer(url="http://x", regions=(SA,), key="n" * 32, name="new")
    await enrol(store, [old])
    await enrol(store, [new])
    assert [device.actor for device in await store.list_devices()] == ["cell:new"]
