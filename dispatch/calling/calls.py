"""What a contact says and what it is answered: the body of `POST /calls`, and the values that are made of
it.

Pure: the addresses are in intake.py, where a call is in locating.py. Names, numbers and words leave here as
a personal document under a salted commitment, and never in a command.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from dispatch.actors import Actor, Role
from dispatch.calling.evidence import EVIDENCE_MAX, Evidence, Moment, Whereabouts, fault_in, whereabouts
from dispatch.calling.matching import Caller
from dispatch.calling.wishes import LanguageWord, PriorityWord, ServiceWord, TypeWord, Wishes, understood, unknown_words
from dispatch.core.commands import ReceiveCall
from dispatch.core.terms import (
    Call,
    CallId,
    CallStatus,
    Channel,
    IncidentId,
    Location,
    LocationFix,
    RegionId,
    Source,
)
from dispatch.formats.numbers import e164
from dispatch.web.problems import Fault, Unreadable
from dispatch.writing.journal import canonical, commitment
from dispatch.writing.records import Personal

LATE_MAX = timedelta(minutes=15)
"""A call that says it began earlier than this is taken to begin now."""

_OWN_NUMBER = re.compile(r"\+998[0-9]{9}")

Short = Annotated[str, Meta(max_length=64)]
Name = Annotated[str, Meta(max_length=200)]


class CallerSaid(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who calls. Everything may be absent: a call without a SIM has no number."""

    number: Short | None = None
    name: Name | None = None
    language: LanguageWord | None = None
    imei: Short | None = None


class DeviceSaid(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The telephone that an app runs on. `battery` is in percent."""

    os: Name | None = None
    battery: Annotated[float, Meta(ge=0, le=100)] | None = None


class NewCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A contact as it is sent. `at` is when it began at the sender, where that is known. Null says no more than
    leaving a field out: a telephone that has no fix yet sends `"location": null`.
    """

    channel: Channel
    caller: CallerSaid | None = None
    location: Annotated[list[Evidence], Meta(max_length=EVIDENCE_MAX)] | None = None
    text: Annotated[str, Meta(max_length=10_000)] | None = None
    service: ServiceWord | None = None
    incident_type: TypeWord | None = None
    priority: PriorityWord | None = None
    at: Moment | None = None
    silent: bool | None = None
    device: DeviceSaid | None = None

    @property
    def evidence(self) -> list[Evidence]:
        """What was sent of its location, if anything."""
        return self.location or []

    @property
    def wishes(self) -> Wishes:
        """What is asked for, as far as its words are known."""
        return understood(
            service=self.service,
            incident_type=self.incident_type,
            priority=self.priority,
            language=self.caller.language if self.caller is not None else None,
        )


class CallReceipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The call as it was kept. `seq` is its region's last event. `flags`: without a place `unlocated`; a word
    that is none of its list `unknown_incident_type`, `unknown_service`, `unknown_priority`, `unknown_language`.
    """

    call_id: CallId
    region: RegionId
    status: CallStatus
    seq: int
    location: Whereabouts | None = None
    incident_id: IncidentId | None = None
    moving_to: RegionId | None = None
    flags: tuple[str, ...] = ()


class CallerKnown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The personal document of a call: `number` is E.164, `number_as_sent` what could not be read as one."""

    number: str | None = None
    number_as_sent: str | None = None
    name: str | None = None
    imei: str | None = None
    text: str | None = None
    places: tuple[str, ...] = ()
    os: str | None = None
    battery: float | None = None
    began_at: datetime | None = None


def check(said: NewCall, actor: Actor, raw: bytes) -> None:
    """What the types cannot say. Raises Unreadable: the contact is kept raw and the sender told."""
    fault = fault_in(said.evidence)
    if fault is not None:
        raise Unreadable("outside_country", fault.detail, raw, [fault])
    for index, piece in enumerate(said.evidence):
        fault = confirmed_by_device(piece, actor, f"/location/{index}/source")
        if fault is not None:
            raise Unreadable("invalid_body", fault.detail, raw, [fault])


def confirmed_by_device(piece: Evidence, actor: Actor, pointer: str) -> Fault | None:
    """The source `operator` confirms a place against all other evidence: only a person may say so."""
    if piece.source is Source.OPERATOR and actor.role is Role.DEVICE:
        return Fault(pointer, "Only an operator confirms a place; name where the fix comes from.")
    return None


def caller_of(said: NewCall, call_id: CallId, now: datetime, *, waited: bool = False) -> Caller:
    """By what the call will be recognised when the handset's own location arrives. One that `waited` in the spool may
    have begun long ago.
    """
    believed = said.at is not None and said.at <= now and (waited or now - said.at <= LATE_MAX)
    began = said.at if said.at is not None and believed else now
    if said.caller is None:
        return Caller(call_id=call_id, started_at=began)
    return Caller(
        call_id=call_id,
        started_at=began,
        number=number_of(said.caller.number),
        imei=digits(said.caller.imei) if said.caller.imei else None,
    )


def number_of(sent: str | None) -> str | None:
    """The number in E.164. The country's own full form, most of what comes, needs no tables of the world."""
    if not sent:
        return None
    return sent if _OWN_NUMBER.fullmatch(sent) else e164(sent)


def digits(imei: str | None) -> str | None:
    """An IMEI without the signs people write between its digits; None when it is none."""
    kept = "".join(mark for mark in imei or "" if mark.isascii() and mark.isdigit())
    return kept if 14 <= len(kept) <= 17 and kept.strip("0") else None


def document_of(said: NewCall, caller: Caller) -> bytes | None:
    """What is personal in a contact, as canonical JSON; None when nothing is."""
    sent = said.caller or CallerSaid()
    device = said.device or DeviceSaid()
    known = CallerKnown(
        number=caller.number,
        number_as_sent=sent.number if caller.number is None and sent.number else None,
        name=sent.name or None,
        imei=caller.imei,
        text="\n".join(filter(None, (said.text, said.wishes.text))) or None,
        places=tuple(piece.text for piece in said.evidence if piece.text),
        os=device.os,
        battery=device.battery,
        began_at=said.at,
    )
    document = canonical(known)
    return None if document == b"{}" else document


def personal_of(document: bytes, caller: Caller, region: RegionId, salt: bytes) -> Personal:
    """The row that keeps the document."""
    return Personal(id=caller.call_id, region=region, kind="call", salt=salt, document=document)


def command_of(
    said: NewCall,
    actor: Actor,
    caller: Caller,
    *,
    fixes: Sequence[LocationFix],
    location: Location | None,
    sealed: Personal | None,
) -> ReceiveCall:
    """The wish for the core, without anything personal."""
    wishes = said.wishes
    return ReceiveCall(
        actor=actor.actor_id,
        call_id=caller.call_id,
        channel=said.channel,
        language=wishes.language,
        service=wishes.service,
        incident_type=wishes.incident_type,
        priority=wishes.priority,
        location=location,
        evidence=tuple(fixes[-EVIDENCE_MAX:]),
        commitment=commitment(sealed.salt, sealed.document) if sealed is not None else None,
        has_number=bool(said.caller and said.caller.number),
        silent=bool(said.silent),
        misunderstood=tuple(wishes.unknown),
    )


def receipt(call: Call, seq: int) -> CallReceipt:
    """What the sender is told of its call."""
    return CallReceipt(
        call_id=call.call_id,
        region=call.region,
        status=call.status,
        seq=seq,
        location=whereabouts(call.location),
        incident_id=call.incident_id,
        moving_to=call.moving_to,
        flags=flags_of(call),
    )


def spooled_receipt(said: NewCall, call_id: CallId, region: RegionId, location: Location | None) -> CallReceipt:
    """What the sender is told while the database is away: `seq` 0, and flagged `spooled`."""
    return CallReceipt(
        call_id=call_id,
        region=region,
        status=CallStatus.RINGING if said.channel is Channel.VOICE else CallStatus.QUEUED,
        seq=0,
        location=whereabouts(location),
        flags=("spooled", *(() if location is not None else ("unlocated",)), *said.wishes.flags),
    )


def flags_of(call: Call) -> tuple[str, ...]:
    """What a person must know of a call at once."""
    flags = []
    if call.location is None:
        flags.append("unlocated")
    elif call.location.outside or call.region not in call.location.regions:
        flags.append("outside_region")
    if call.joined_automatically:
        flags.append("joined_automatically")
    if call.location is not None and call.location.contradiction:
        flags.append("contradiction")
    return (*flags, *unknown_words(call.misunderstood))
