"""The words between two regions, and what follows from each: pure, the same live, in simulation and in tests.

All that has to be said is read off the giving region's committed state, so nothing but that state has to survive a
crash. A message may be lost, repeated, delayed and overtaken: the receiver's command is idempotent under the id
that it carries, its answer is read off *its* committed state, and only such an answer moves the sender on.

    offered ──▶ sent ──▶ taken ──▶ released              the call is theirs
       │          └─▶ recalled ──▶ forgone ──▶ regained  the call is ours again
       └──────────────────────────────────▶ regained     nothing was sent: at once
    asked ──▶ accepted (an incident of theirs) ──▶ reported … ──▶ over      withdrawn at any time
    evidence kept ──▶ (its call is theirs, or ours again) ──▶ heard ──▶ told
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from dispatch.core import commands as c
from dispatch.core.aid import stale, wanted
from dispatch.core.aid_terms import AidReport, Wanted, is_told, report_of
from dispatch.core.evidence import EVIDENCE_KEPT
from dispatch.core.evolve import NOTES_KEPT
from dispatch.core.onward_terms import Onward
from dispatch.core.plans import PLANS
from dispatch.core.regaining import holds
from dispatch.core.state import RegionState
from dispatch.core.terms import ActorId, Call, CallId, LocationFix, RegionId, Word

DOCUMENTS_MAX = 128
DOCUMENT_MAX = 64 * 1024

NAME_MAX = 80

Name = Annotated[str, Meta(min_length=1, max_length=NAME_MAX)]


class Outcome(Word):
    """Taken: the receiver has the call. Forgone: it never will. Heard: it knows. Later: not now, ask again."""

    TAKEN = "taken"
    FORGONE = "forgone"
    HEARD = "heard"
    LATER = "later"


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A personal document on its way to another cell, which seals it anew. `id`: of the call or of a note."""

    id: Name
    kind: Annotated[str, Meta(pattern="^(call|note)$")]
    text: Annotated[str, Meta(max_length=DOCUMENT_MAX)]


class _Said(msgspec.Struct, frozen=True, kw_only=True, tag_field="say"):
    origin: RegionId
    to: RegionId


class CallOffer(_Said, frozen=True, kw_only=True, tag="offer"):
    """Take this call."""

    offer_id: Name
    call: Call
    documents: Annotated[tuple[Document, ...], Meta(max_length=DOCUMENTS_MAX)] = ()

    @property
    def id(self) -> str:
        return self.offer_id


class OfferRecall(_Said, frozen=True, kw_only=True, tag="recall"):
    """Never take this call, unless you have it already."""

    offer_id: Name
    call_id: CallId

    @property
    def id(self) -> str:
        return self.offer_id


class AidWish(_Said, frozen=True, kw_only=True, tag="aid"):
    """Help with this incident, or no longer."""

    wanted: Wanted

    @property
    def id(self) -> str:
        return self.wanted.request_id


class AidWord(_Said, frozen=True, kw_only=True, tag="report"):
    """How the help stands that you asked for."""

    report: AidReport

    @property
    def id(self) -> str:
        return self.report.request_id


class CallEvidence(_Said, frozen=True, kw_only=True, tag="evidence"):
    """Where a call is that you have: we took it after the call had left, or may have."""

    evidence_id: Name
    call_id: CallId
    fix: LocationFix
    documents: Annotated[tuple[Document, ...], Meta(max_length=1)] = ()

    @property
    def id(self) -> str:
        return self.evidence_id


Message = CallOffer | OfferRecall | AidWish | AidWord | CallEvidence


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the receiver's committed state says after a message."""

    outcome: Outcome
    report: AidReport | None = None


def messages(state: RegionState) -> Iterator[Message]:
    """Everything that a region still has to say to others, from its committed state; without documents."""
    for call_id, offer in state.offers.items():
        if offer.recalled:
            yield OfferRecall(origin=state.region, to=offer.to, offer_id=offer.offer_id, call_id=call_id)
        else:
            call = state.calls[call_id]
            yield CallOffer(origin=state.region, to=offer.to, offer_id=offer.offer_id, call=call)
    for asked in state.asks.values():
        said = wanted(state, asked) if asked.heard < asked.version else None
        if said is not None:
            yield AidWish(origin=state.region, to=asked.to, wanted=said)
    for loan in state.loans.values():
        if not is_told(loan):
            yield AidWord(origin=state.region, to=loan.region, report=report_of(loan, state.stamp))
    yield from _evidence(state)


def _evidence(state: RegionState) -> Iterator[CallEvidence]:
    """Of each call, to one region, the oldest piece alone: none overtakes another."""
    first: dict[tuple[CallId, RegionId | None], Onward] = {}
    for piece in state.onward.values():
        first.setdefault((piece.call_id, piece.to), piece)
    for piece in first.values():
        if piece.to is not None:
            yield CallEvidence(
                origin=state.region,
                to=piece.to,
                evidence_id=piece.evidence_id,
                call_id=piece.call_id,
                fix=piece.fix,
            )


def chores(state: RegionState, actor: ActorId) -> list[c.Command]:
    """What a region has to say to itself first: requests whose incident has changed or is over."""
    return [
        c.RestateAid(actor=actor, request_id=asked.request_id) for asked in state.asks.values() if stale(state, asked)
    ]


def fault_in(message: Message) -> str | None:
    """Why a message cannot be meant: it speaks for another region than its sender's, or names what it may not."""
    ids = [message.id]
    if isinstance(message, CallOffer | CallEvidence):
        ids.append(message.call.call_id if isinstance(message, CallOffer) else message.call_id)
    if any(not 0 < len(id) <= NAME_MAX for id in ids):
        return f"an id has at most {NAME_MAX} characters"
    if isinstance(message, CallOffer):
        theirs = {message.call.call_id: "call"} | dict.fromkeys(notes_of(message.call), "note")
        if any(theirs.get(document.id) != document.kind for document in message.documents):
            return "a document belongs to the call or is one of its notes"
    if isinstance(message, CallEvidence) and any(
        (document.id, document.kind) != (message.fix.note_id, "note") for document in message.documents
    ):
        return "the document of evidence is its words"
    if not message.id.startswith(f"{message.origin}:") and not isinstance(message, AidWord):
        return f"{message.id} is none of {message.origin}"
    if isinstance(message, AidWord) and not message.id.startswith(f"{message.to}:"):
        return f"{message.id} was not asked by {message.to}"
    if isinstance(message, AidWish) and message.wanted.region != message.origin:
        return f"{message.origin} asks for {message.wanted.region}"
    return None


def notes_of(call: Call) -> list[str]:
    """The ids of the notes about a call, and of the words that its evidence came with."""
    return [*call.notes, *(fix.note_id for fix in call.evidence if fix.note_id is not None)]


def received(message: Message, actor: ActorId) -> c.Command:
    """The wish that a message is, in the receiving region."""
    match message:
        case CallOffer():
            call = _as_given(message.call)
            return c.TakeCall(actor=actor, call=call, origin=message.origin, offer_id=message.offer_id)
        case OfferRecall():
            return c.ForgoOffer(actor=actor, call_id=message.call_id, offer_id=message.offer_id)
        case CallEvidence(evidence_id=evidence_id, call_id=call_id, fix=fix):
            return c.LocateCall(actor=actor, call_id=call_id, fix=fix, evidence_id=evidence_id)
        case AidWish():
            return c.TakeAid(actor=actor, wanted=message.wanted)
        case AidWord():
            return c.HearAid(actor=actor, report=message.report, lender=message.origin)


def _as_given(call: Call) -> Call:
    """The call without what was of its old region alone. A type that our catalogue lacks, a person says anew."""
    return msgspec.structs.replace(
        call,
        incident_type=call.incident_type if call.incident_type in PLANS else None,
        incident_id=None,
        joined_automatically=False,
        disposition=None,
        closed_at=None,
        evidence=call.evidence[-EVIDENCE_KEPT:],
        notes=call.notes[-NOTES_KEPT:],
    )


def answer(committed: RegionState, message: Message) -> Answer:
    """What the receiver may answer. A decision that is not committed yet is no answer: it may still be lost."""
    match message:
        case CallOffer(offer_id=offer_id, call=Call(call_id=call_id)) | OfferRecall(offer_id=offer_id, call_id=call_id):
            return Answer(outcome=_whose(committed, offer_id, call_id))
        case CallEvidence(evidence_id=evidence_id):
            ours = committed.region == message.origin
            heard = evidence_id not in committed.onward if ours else evidence_id in committed.evidence_heard
            return Answer(outcome=Outcome.HEARD if heard else Outcome.LATER)
        case AidWish():
            return _lent(committed, message.wanted)
        case AidWord():
            asked = committed.asks.get(message.id)
            if asked is None or asked.to != message.origin:
                return Answer(outcome=Outcome.HEARD)
            known = asked.reported >= message.report.version and not message.report.over
            return Answer(outcome=Outcome.HEARD if known else Outcome.LATER)


def _whose(committed: RegionState, offer_id: str, call_id: CallId) -> Outcome:
    if offer_id in committed.forgone:
        return Outcome.FORGONE
    moving = committed.calls.get(call_id)
    if offer_id not in committed.taken_offers and moving is not None and moving.moving_to is not None:
        return Outcome.LATER  # It is on its way back to whoever offers it: see calls.take.
    return Outcome.TAKEN if holds(committed, offer_id, call_id) else Outcome.LATER


def _lent(committed: RegionState, asked: Wanted) -> Answer:
    past = committed.past_loans.get(asked.request_id)
    if past is not None:
        return Answer(outcome=Outcome.HEARD, report=past)
    loan = committed.loans.get(asked.request_id)
    if loan is None or loan.heard < asked.version:
        return Answer(outcome=Outcome.LATER)
    return Answer(outcome=Outcome.HEARD, report=report_of(loan, committed.stamp))


def concluded(message: Message, said: Answer, actor: ActorId, *, abroad: bool) -> c.Command | None:
    """What the answer means for the sender; None: nothing yet."""
    match message:
        case CallOffer(offer_id=offer_id, call=Call(call_id=call_id)) | OfferRecall(offer_id=offer_id, call_id=call_id):
            if said.outcome is Outcome.TAKEN:
                return c.ReleaseCall(actor=actor, call_id=call_id, offer_id=offer_id, abroad=abroad)
            gone = said.outcome is Outcome.FORGONE
            return c.RegainCall(actor=actor, call_id=call_id, offer_id=offer_id) if gone else None
        case CallEvidence(evidence_id=evidence_id):
            heard = said.outcome is Outcome.HEARD
            return c.MarkEvidenceTold(actor=actor, evidence_id=evidence_id) if heard else None
        case AidWish():
            if said.report is None or said.report.request_id != message.id:
                return None
            return c.HearAid(actor=actor, report=said.report, lender=message.to)
        case AidWord():
            return c.MarkTold(actor=actor, report=message.report) if said.outcome is Outcome.HEARD else None
