"""What call takers do with a call: claim, answer, classify, hold, transfer, abandon, call back, close."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from consoles.desk import Act, Asked, Desk
from dispatch.calling.calls import CallReceipt, receipt
from dispatch.calling.wishes import TypeName
from dispatch.core.commands import ClassifyCall, CloseCall, Command, MoveCall, RecallCall, TransferCall
from dispatch.core.state import RegionState
from dispatch.core.terms import CallId, CallStatus, Disposition, IncidentId, Priority, RegionId
from dispatch.web.replies import Answering, answering
from dispatch.web.routes import Route

OF = "/api/v1/calls/{call_id}"

OPEN = ("unknown_call", "call_moving")
"""What a command may find of a call that it needs open and at hand."""
TAKES = (CallStatus.CLAIMED, CallStatus.ANSWERED)

Note = Annotated[str, Meta(min_length=1, max_length=4000)]
Identifier = Annotated[str, Meta(min_length=1, max_length=64)]


class Classification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a call is about; `incident_id` joins it to an incident that is open already."""

    incident_type: TypeName
    priority: Priority | None = None
    note: Note | None = None
    incident_id: Identifier | None = None


class Transfer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To another region by hand-over; without one, back into the queue of its own."""

    region: Identifier | None = None


class Ending(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How it ended."""

    disposition: Disposition


def _move(name: str, summary: str, status: CallStatus, action: str = "call.work") -> Act:
    def make(asked: Asked) -> Command:
        return MoveCall(actor=asked.actor.actor_id, call_id=CallId(asked.id), status=status)

    errors = (*OPEN, *(("call_in_hand",) if status in TAKES else ()))
    return Act(name=name, summary=summary, action=action, make=make, errors=errors)


def _classify(asked: Asked) -> Command:
    said: Classification = asked.body
    note_id, sealed = asked.note or (None, None)
    return ClassifyCall(
        actor=asked.actor.actor_id,
        call_id=CallId(asked.id),
        incident_type=said.incident_type,
        priority=said.priority,
        incident_id=IncidentId(said.incident_id) if said.incident_id else None,
        note_id=note_id,
        commitment=sealed,
    )


def _transfer(asked: Asked) -> Command:
    to = RegionId(asked.body.region or asked.region)
    return TransferCall(actor=asked.actor.actor_id, call_id=CallId(asked.id), to=to)


def _close(asked: Asked) -> Command:
    return CloseCall(actor=asked.actor.actor_id, call_id=CallId(asked.id), disposition=asked.body.disposition)


ACTS = (
    _move("claim", "Take a call in hand", CallStatus.CLAIMED),
    _move("answer", "Speak with the caller", CallStatus.ANSWERED),
    _move("hold", "Park a call", CallStatus.HELD),
    # An app tells us itself that its user hung up.
    _move("abandon", "The caller hung up before an answer", CallStatus.ABANDONED, "call.follow"),
    _move("callback", "Ring an abandoned caller back", CallStatus.CALLING_BACK),
    Act(
        name="classify",
        summary="Say what a call is about: it opens an incident, joins one, or corrects its own",
        action="call.work",
        body=Classification,
        make=_classify,
        note=lambda said: said.note,
        errors=(*OPEN, "unknown_incident", "unknown_incident_type", "aid_incident"),
    ),
    Act(
        name="transfer",
        summary="Put a call back into a queue, its region's or another's",
        action="call.work",
        body=Transfer,
        make=_transfer,
        other=lambda said: said.region,
        errors=(*OPEN, "unknown_region", "region_unled", "incident_has_units"),
    ),
    Act(
        name="takeback",
        summary="Take back a call that is being handed over: it is ours again once nobody else can have it",
        action="call.work",
        make=lambda asked: RecallCall(actor=asked.actor.actor_id, call_id=CallId(asked.id)),
        errors=("unknown_call", "not_moving"),
    ),
    Act(
        name="close",
        summary="The contact is over",
        action="call.work",
        body=Ending,
        make=_close,
        errors=OPEN,
    ),
)


def routes(desk: Desk) -> list[Route]:
    """The addresses of the call takers' commands."""
    return desk.routes(OF, ACTS, desk.call, _answer)


def _answer(asked: Asked) -> Answering:
    def made(state: RegionState) -> CallReceipt:
        call = state.call(CallId(asked.id))
        assert call is not None, "the command was about this call"
        return receipt(call, state.seq)

    return answering(200, made)
