"""What a handset said goes along with its call when that is carried out of the spool to another process.

This process alone still has it: in the others it waited for ten minutes, as for a call that never came.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

import msgspec
from msgspec.structs import replace

from dispatch.calling.calls import NewCall, caller_of
from dispatch.calling.evidence import ACCURACY_MAX_M, EVIDENCE_MAX, Evidence
from dispatch.calling.matching import Waiting
from dispatch.calling.reception import Reception
from dispatch.core.terms import CallId, LocationFix, RegionId
from dispatch.draining import Carry
from dispatch.keeping.spool import Spooled
from dispatch.web.bodies import decode
from dispatch.web.problems import Unreadable


class _Laden(msgspec.Struct, frozen=True, kw_only=True):
    """A call as it is carried, with what of its handset it has taken up, and to which region that leads."""

    call: Spooled
    region: RegionId
    waiting: Sequence[Waiting] = ()


def with_handsets(reception: Reception, carry: Carry) -> Carry:
    """The same way to other processes, on which a call has its handset's words as its own evidence.

    With them it may belong to another region: it is carried to there, where all that is said of it leads the same way.
    """

    async def carried(calls: Sequence[Spooled], region: RegionId) -> Collection[CallId]:
        laden = [_laden(reception, call, region) for call in calls]
        kept: set[CallId] = set()
        try:
            for target in dict.fromkeys(one.region for one in laden):
                kept.update(await carry(_calls_of(laden, target), target))
            for one in laden:
                if one.call.call_id in kept:
                    reception.matcher.used(one.waiting)
            return kept
        finally:
            for one in laden:
                reception.matcher.give_back(one.waiting)

    return carried


def _calls_of(laden: Sequence[_Laden], region: RegionId) -> list[Spooled]:
    return [one.call for one in laden if one.region == region]


def _laden(reception: Reception, call: Spooled, region: RegionId) -> _Laden:
    said = _read(call) if reception.matcher.waiting else None
    if said is None:
        return _Laden(call=call, region=region)
    now, wall = reception.clock.now(), reception.clock.wall()
    caller = caller_of(replace(said, at=said.at or call.at), call.call_id, now, waited=True)
    waiting = reception.matcher.claim(caller)
    if not waiting:
        return _Laden(call=call, region=region)
    ahead = wall - now
    told = [_as_evidence(fix, ahead) for each in waiting if (fix := reception.fix_of(each)) is not None]
    said = replace(said, location=[*said.evidence, *told][-EVIDENCE_MAX:])
    location = reception.locator.estimate(reception.locator.fixes(said.evidence, now, wall), now)
    return _Laden(
        call=replace(call, raw=msgspec.json.encode(said)),
        region=reception.region_for(location, call.actor),
        waiting=waiting,
    )


def _read(call: Spooled) -> NewCall | None:
    try:
        return decode(call.raw, NewCall)
    except Unreadable:
        return None


def _as_evidence(fix: LocationFix, ahead: timedelta) -> Evidence:
    """The fix as a sender says it; `ahead` is the wall's time before the service's."""
    assert fix.lat is not None and fix.lon is not None, "a message without a position waits for nothing"
    accuracy_m = None if fix.accuracy_m is None else min(fix.accuracy_m, ACCURACY_MAX_M)
    return Evidence(source=fix.source, point=[fix.lon, fix.lat], accuracy_m=accuracy_m, at=fix.at + ahead)
