"""Simulated staff at consoles: call takers who answer and classify, dispatchers who confirm recommendations.

They see what the boards show and act by HTTP, as people at the page do. What a caller would tell them stands
in the caller's own script (callers.py). They leave a region alone while a person has taken it over, and a call
that is none of the simulation's for a while, in case a person wants it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Coroutine
from random import Random
from time import monotonic
from typing import Any, Protocol

import msgspec

from routing.geometry import distance_m, to_lonlat
from simulators.callers import Contact
from simulators.client import Answer, Client
from simulators.mirror import Mirror, Row, View
from simulators.pace import Pace

WAITING = frozenset({"ringing", "queued", "transferred", "abandoned"})
ANNOUNCEMENT_S, REACTION_MEAN_S = 5.0, 3.0
"""A call is answered after the announcement, and then as soon as a call taker reaches for it."""
HANDLING_MEAN_S = 55.0
"""Of all calls, hung up ones included: for how many call takers a rate of calls needs."""
TAKERS_FOR_ONE = 1.5
"""So many call takers for each one who would be busy all the time, lest callers wait."""
RING_BACK_S = 15.0
STRANGER_GRACE_S = 20.0
"""Wall seconds for which a call from outside the simulation is left to people."""
STRANGER_TALK_S = 45.0
ASKS_BEYOND_M = 500.0
"""A call taker asks for the place when it is known less exactly than this."""
SAID_ACCURACY_M = 60.0
SAME_PLACE_M = 600.0
LOOK_S, WHOLE_BOARD_EVERY = 0.2, 10
NOTED_MOST = 10_000
LOOK_MEAN_S, CONFIRM_MEAN_S, LOOK_AGAIN_S = 6.0, 4.0, 45.0

log = logging.getLogger(__name__)


class Ongoing(msgspec.Struct, kw_only=True):
    """A call of the simulation: its caller's script, and what has become of it."""

    contact: Contact
    answered: bool = False
    hung_up: bool = False


class Tally(Protocol):
    """Who wants to know when a request of ours opened an incident."""

    def opening(self, incident_id: str, sent_s: float) -> None: ...


Calls = dict[str, Ongoing]
"""The calls of the simulation that are going on, by their ids."""


class Desk:
    """One region's staff: so many may be busy at a time."""

    def __init__(self, region: str, staff: int) -> None:
        self.region = region
        self.staff = staff
        self.busy: set[asyncio.Task[None]] = set()
        self.waiting: dict[str, float] = {}
        """What waits for a free hand, and since when (monotonic)."""
        self.mine: set[str] = set()

    @property
    def free(self) -> int:
        return self.staff - len(self.busy)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.busy.add(task)
        task.add_done_callback(self.busy.discard)


class CallTakers:
    """All call takers, by region. `listen` goes into a mirror's listeners, `run` beside it."""

    def __init__(self, client: Client, mirror: Mirror, calls: Calls, *, pace: Pace, tally: Tally, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self.desks: dict[str, Desk] = {}
        self._client = client
        self._mirror = mirror
        self._calls = calls
        self._pace = pace
        self._tally = tally
        self._rng = Random(f"{seed}:takers")

    def hire(self, region: str, calls_per_s: float) -> None:
        """Staff for a region at this rate of calls (service time)."""
        staff = math.ceil(TAKERS_FOR_ONE * calls_per_s * HANDLING_MEAN_S) + 2
        self.desks[region] = Desk(region, staff)

    def listen(self, view: View, changes: Row | None) -> None:
        """What the board says of calls."""
        desk = self.desks.get(view.region)
        if desk is None:
            return
        rows = view.board["calls"] if changes is None else changes.get("calls", {})
        for call_id, row in rows.items():
            if row is None or row["status"] not in WAITING:
                desk.waiting.pop(call_id, None)
            elif call_id not in desk.mine:
                desk.waiting.setdefault(call_id, monotonic())
        self._serve(desk)

    async def run(self) -> None:
        """Look at all desks now and then: hands become free, and strangers' time runs out.

        Now and then at the whole board too, for a call that nobody could take the first time.
        """
        turn = 0
        while True:
            await asyncio.sleep(LOOK_S)
            turn += 1
            for region, desk in self.desks.items():
                view = self._mirror.views.get(region)
                if view is not None and turn % WHOLE_BOARD_EVERY == 0:
                    self.listen(view, None)
                self._serve(desk)

    def _serve(self, desk: Desk) -> None:
        view = self._mirror.views.get(desk.region)
        if view is None or is_attended(view) or desk.free <= 0:
            return
        for call_id in list(desk.waiting):
            if desk.free <= 0:
                return
            known = self._calls.get(call_id)
            if known is None and monotonic() - desk.waiting[call_id] < STRANGER_GRACE_S:
                continue
            del desk.waiting[call_id]
            desk.mine.add(call_id)
            desk.start(self._guarded(desk, call_id, known))

    async def _guarded(self, desk: Desk, call_id: str, known: Ongoing | None) -> None:
        try:
            await self._handle(desk, call_id, known)
        except Exception:
            log.exception("a call taker failed")
            self.counts["faults"] += 1
        finally:
            desk.mine.discard(call_id)
            self._calls.pop(call_id, None)

    async def _handle(self, desk: Desk, call_id: str, known: Ongoing | None) -> None:
        await self._pace.sleep(ANNOUNCEMENT_S + self._rng.expovariate(1 / REACTION_MEAN_S))
        row = self._row(desk, call_id)
        if row is None or row["status"] not in WAITING:
            return
        if row["status"] == "abandoned":
            await self._ring_back(call_id)
            return
        if not (await self._act(call_id, "claim")).good:
            return
        if known is not None:
            known.answered = True
        if not (await self._act(call_id, "answer")).good:
            return
        self.counts["answered"] += 1
        await self._pace.sleep(known.contact.talk_s if known is not None else STRANGER_TALK_S)
        if known is None:
            await self._classify(call_id, {"incident_type": _guess(row)})
        elif known.hung_up or known.contact.fate != "genuine":
            await self._close(call_id, "abandoned" if known.hung_up else known.contact.ending)
        else:
            await self._work(desk, call_id, known.contact)

    async def _work(self, desk: Desk, call_id: str, contact: Contact) -> None:
        """Somebody needs help: know the place, see whether it is known already, and say what it is."""
        row = self._row(desk, call_id)
        if row is None or row["lat"] is None or (row["accuracy_m"] or 0) > ASKS_BEYOND_M:
            asked = await self._ask_place(call_id, contact)
            if not asked.good or asked.body.get("moving_to"):
                return
        assert contact.incident_type is not None
        said: dict[str, Any] = {"incident_type": contact.incident_type}
        if contact.priority is not None:
            said["priority"] = contact.priority
        same = self._same(desk, contact) if contact.again else None
        if same is not None:
            said["incident_id"] = same
            self.counts["joined_by_hand"] += 1
        await self._classify(call_id, said)

    async def _ask_place(self, call_id: str, contact: Contact) -> Answer:
        self.counts["asked_for_place"] += 1
        point = {"type": "Point", "coordinates": to_lonlat(contact.point)}
        said = {"source": "operator", "point": point, "accuracy_m": SAID_ACCURACY_M}
        return await self._act(call_id, "location", said)

    def _same(self, desk: Desk, contact: Contact) -> str | None:
        """An incident on the board that this call is plainly about."""
        for incident_id, row in self._mirror.views[desk.region].board["incidents"].items():
            alike = row["incident_type"] == contact.incident_type and row["lat"] is not None
            if alike and distance_m((row["lat"], row["lon"]), contact.point) < SAME_PLACE_M:
                return str(incident_id)
        return None

    async def _classify(self, call_id: str, said: dict[str, Any]) -> None:
        answer = await self._act(call_id, "classify", said)
        if answer.good:
            self.counts["classified"] += 1
            incident_id, flags = answer.body.get("incident_id"), answer.body.get("flags", ())
            if incident_id and "incident_id" not in said and "joined_automatically" not in flags:
                self._tally.opening(incident_id, answer.sent_s)

    async def _ring_back(self, call_id: str) -> None:
        """A caller who hung up is rung back; those of the simulation do not answer."""
        if (await self._act(call_id, "callback")).good:
            self.counts["rung_back"] += 1
            await self._pace.sleep(RING_BACK_S)
            await self._close(call_id, "abandoned")

    async def _close(self, call_id: str, ending: str) -> None:
        if (await self._act(call_id, "close", {"disposition": ending})).good:
            self.counts[f"closed_{ending}"] += 1

    async def _act(self, call_id: str, name: str, body: dict[str, Any] | None = None) -> Answer:
        return await self._client.post(f"calls/{call_id}/{name}", body, f"{name}-{call_id}-{monotonic():.6f}")

    def _row(self, desk: Desk, call_id: str) -> Row | None:
        row: Row | None = self._mirror.views[desk.region].board["calls"].get(call_id)
        return row


class Dispatchers:
    """All dispatchers: they confirm what is recommended, in regions whose policy asks for it."""

    def __init__(self, client: Client, mirror: Mirror, *, pace: Pace, seed: int, staff: int = 4) -> None:
        self.counts: Counter[str] = Counter()
        self._client = client
        self._mirror = mirror
        self._pace = pace
        self._staff = staff
        self._rng = Random(f"{seed}:dispatchers")
        self._desks: dict[str, Desk] = {}
        self._not_before: dict[str, float] = {}

    async def run(self) -> None:
        """Look at the boards a few times a second."""
        while True:
            await asyncio.sleep(0.1)
            for view in self._mirror.views.values():
                if view.board.get("policy", {}).get("dispatch") == "confirm" and not is_attended(view):
                    self._serve(view)

    def _serve(self, view: View) -> None:
        desk = self._desks.setdefault(view.region, Desk(view.region, self._staff))
        rows = sorted(
            (row for row in view.board["incidents"].values() if _wants_units(row)),
            key=lambda row: (row["priority"], row["opened_at"]),
        )
        now_s = self._pace.seconds()
        for row in rows:
            incident_id = row["incident_id"]
            if desk.free <= 0:
                return
            if incident_id not in desk.mine and self._not_before.get(incident_id, 0.0) <= now_s:
                desk.mine.add(incident_id)
                desk.start(self._guarded(desk, incident_id))

    async def _guarded(self, desk: Desk, incident_id: str) -> None:
        try:
            await self._confirm(desk.region, incident_id)
        except Exception:
            log.exception("a dispatcher failed")
            self.counts["faults"] += 1
        finally:
            desk.mine.discard(incident_id)
            if len(self._not_before) >= NOTED_MOST:
                self._not_before.clear()
            self._not_before[incident_id] = self._pace.seconds() + LOOK_AGAIN_S

    async def _confirm(self, region: str, incident_id: str) -> None:
        await self._pace.sleep(self._rng.expovariate(1 / LOOK_MEAN_S))
        advice = await self._client.get(f"incidents/{incident_id}/recommendation")
        units = [choice["unit_id"] for choice in advice.body.get("chosen", ())] if advice.good else []
        if not units:
            self.counts["nobody_free"] += 1
            return
        await self._pace.sleep(self._rng.expovariate(1 / CONFIRM_MEAN_S))
        await self._read_hazards(region, incident_id)
        said = {"units": units, "recommendation_id": advice.body["recommendation_id"]}
        key = f"assign-{advice.body['recommendation_id']}"
        answer = await self._client.post(f"incidents/{incident_id}/assign", said, key)
        self.counts["confirmed" if answer.good else f"refused_{answer.code}"] += 1

    async def _read_hazards(self, region: str, incident_id: str) -> None:
        """Nobody is sent before somebody has read of what threatens there."""
        row = self._mirror.views[region].board["incidents"].get(incident_id) or {}
        for hazard in row.get("hazards", ()):
            if not hazard["acknowledged"]:
                path = f"hazards/{hazard['hazard_id']}/acknowledge"
                key = f"acknowledge-{hazard['hazard_id']}-{incident_id}"
                await self._client.post(path, {"incident_id": incident_id}, key)


def is_attended(view: View) -> bool:
    """Whether a person has taken the region over."""
    return bool(view.board.get("policy", {}).get("attended"))


def _wants_units(row: Row) -> bool:
    return bool(row["waiting"]) and not row["held"] and row["lat"] is not None


def _guess(row: Row) -> str:
    """What a stranger's call is taken to be about when nobody says."""
    return str(row["incident_type"] or "medical_call")
