"""People and handsets that say where the calls of a world of cells are, to whichever region they first reached.

What was committed of it must be with its call in the end, once; and in order, unless the call came back to where
it had been and met what was still on its way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from random import Random

import msgspec

from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core.evidence import EVIDENCE_KEPT
from dispatch.core.terms import SYSTEM, CallId, Location, LocationFix, RegionId, Source
from tests.sim.cells_region import Region

WEST_LON = 65.0
"""The first region is here, each further one a degree to the east."""


class Witnesses:
    """`see` says one thing; `unheard` what was acknowledged and is not with its call, once."""

    def __init__(self, regions: Mapping[RegionId, Region], chance: Random) -> None:
        self._regions = regions
        self._chance = chance
        self.told: dict[CallId, list[tuple[RegionId, LocationFix]]] = {}

    def see(self, call_id: CallId, now: datetime) -> None:
        """A region that has the call, or had it, is told something new; what it commits is acknowledged."""
        told = self.told.setdefault(call_id, [])
        asked = [r for r, ours in self._regions.items() if call_id in ours.live.calls or call_id in ours.live.gone]
        if not asked or len(told) >= EVIDENCE_KEPT:
            return
        region, place = self._chance.choice(asked), self._chance.choice((None, *range(len(self._regions))))
        fix = LocationFix(
            source=Source.AML,
            at=now,
            lat=41.0 + len(told) / 100 + self._chance.random() / 1000,
            lon=None if place is None else WEST_LON + place,
        )
        ours = self._regions[region]
        if ours.submit(self.placed(c.LocateCall(actor=SYSTEM, call_id=call_id, fix=fix)), now) is not None:
            ours.commit()
            told.append((region, fix))

    def placed(self, command: c.LocateCall) -> c.LocateCall:
        """The command with the estimate that a reception would make."""
        fix = command.fix
        if fix.lat is None or fix.lon is None:
            return command
        names = (list(self._regions)[int(fix.lon - WEST_LON)],)
        found = Location(lat=fix.lat, lon=fix.lon, accuracy_m=20, source=fix.source, at=fix.at, regions=names)
        return msgspec.structs.replace(command, location=found)

    def unheard(self) -> Iterator[str]:
        """What is wrong with the evidence of the calls, now that all of them are closed."""
        for region, ours in self._regions.items():
            if ours.committed.onward:
                yield f"{region} still has to say {list(ours.committed.onward)}"
        for call_id, told in self.told.items():
            calls = [ours.committed.closed_calls.get(call_id) for ours in self._regions.values()]
            (found,) = [call.evidence for call in calls if call is not None and call.moving_to is None]
            if Counter(found) != Counter(fix for _, fix in told):
                yield f"{call_id} has {found}, acknowledged was {told}"
            for region in self._regions if self._went_straight(call_id) else ():
                said = [fix for by, fix in told if by == region]
                if [fix for fix in found if fix in said] != said:
                    yield f"{call_id} has {found} in another order than {said}"

    def _went_straight(self, call_id: CallId) -> bool:
        """Whether the call came to no region twice."""
        stays = [
            region
            for region, ours in self._regions.items()
            for event in map(e.decode, (payload for payload, _ in ours.journal))
            if isinstance(event, e.CallReceived | e.CallAccepted) and event.call.call_id == call_id
        ]
        return len(stays) == len(set(stays))
