"""The traffic of a benchmark: calls at a fixed rate, and call takers.

Open loop: a call is sent when it is due, whether or not those before it are answered. Everybody finishes what
they begin, so that the service's memory can be watched: takers close what nobody needs. Crews: bench_fleet.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from random import Random
from time import monotonic
from typing import Any

import msgspec

from routing.geometry import Point, from_local_m, to_lonlat
from simulators.arrivals import shares
from simulators.lean import Poster
from simulators.sites import chosen, sites, somewhere


class Mix(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of the calls: about a fire that others have called about, about something new; the rest waits for a
    call taker.
    """

    joining: float
    opening: float


BAD_HOUR = Mix(joining=0.90, opening=0.04)
URGENT_SHARE = 0.2
"""Of what is new: the share with a life at risk now (P1)."""
FIRES = 12
FIRE_REACH_M = 60.0
TAKEN_AFTER_S = 3.0
TAKER_SAYS = b'{"disposition":"advice_only"}'


class Sent(msgspec.Struct, frozen=True):
    """A call that was kept: when it was due, when its answer came, and where its delta is to be looked for."""

    due_s: float
    kept_s: float
    call_id: str
    region: str
    seq: int
    incident_id: str | None = None
    opened: bool = False
    urgent: bool = False

    @property
    def spooled(self) -> bool:
        """Whether it lay on the disk of the receiving process when it was answered: no console has its number."""
        return self.seq == 0


class _Receipt(msgspec.Struct):
    call_id: str
    region: str
    seq: int
    incident_id: str | None = None


_receipt = msgspec.json.Decoder(_Receipt).decode


class Tasks:
    """Work that runs beside; whoever starts it need not wait for it."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def done(self, limit_s: float) -> None:
        """Wait for what still runs."""
        if self._running:
            await asyncio.wait(self._running, timeout=limit_s)

    def stop(self) -> None:
        for task in self._running:
            task.cancel()


class Calls:
    """Calls at a rate, each sent when it is due, whether or not the ones before are answered."""

    def __init__(self, poster: Poster, takers: Poster, seed: int, mix: Mix = BAD_HOUR) -> None:
        self.sent = 0
        self.kept: list[Sent] = []
        self.not_kept: dict[int, float] = {}
        """Call -> when it was due: those that were turned away, were never answered, or are still under way."""
        self.turned_away = 0
        self._incidents: set[str] = set()
        self._poster = poster
        self._takers = takers
        self._mix = mix
        self._seed = seed
        """Also what tells the keys of one stretch from those of another: a repeated key is no new call."""
        self._rng = Random(f"{seed}:bench")
        self._tasks = Tasks()
        self._taking = Tasks()
        self._regions = list(shares())
        self._weights = list(shares().values())
        self._fires = [self._place() for _ in range(FIRES)]

    async def place(self, per_second: float, seconds: float) -> None:
        """Poisson arrivals for so long."""
        due_s, until_s = monotonic(), monotonic() + seconds
        while True:
            due_s += self._rng.expovariate(per_second)
            if due_s > until_s:
                return
            body, urgent = self._body()
            wait_s = due_s - monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._tasks.begin(self._call(body, due_s, urgent))

    def due_since(self, since_s: float) -> tuple[list[Sent], list[float]]:
        """Those kept of the calls that were due since then, and when the others of them were."""
        kept = [call for call in self.kept if call.due_s >= since_s]
        return kept, [due_s for due_s in self.not_kept.values() if due_s >= since_s]

    async def answered(self, limit_s: float) -> None:
        """Wait for the answers that are still under way; a call without one by then is not kept."""
        await self._tasks.done(limit_s)
        self._tasks.stop()
        self._taking.stop()

    async def _call(self, body: bytes, due_s: float, urgent: bool) -> None:
        self.sent = number = self.sent + 1
        self.not_kept[number] = due_s
        with contextlib.suppress(OSError):
            reply = await self._poster.post("/api/v1/calls", body, f"bench-{self._seed}-{number}")
            if reply.status == 201:
                said = _receipt(reply.body)
                del self.not_kept[number]
                self.kept.append(self._sent(due_s, reply.at_s, said, urgent))
                if said.incident_id is None:
                    self._taking.begin(self._take(said.call_id))
            else:
                self.turned_away += 1

    def _sent(self, due_s: float, kept_s: float, said: _Receipt, urgent: bool) -> Sent:
        opened = said.incident_id is not None and said.incident_id not in self._incidents
        if opened and said.incident_id is not None:
            self._incidents.add(said.incident_id)
        return Sent(due_s, kept_s, said.call_id, said.region, said.seq, said.incident_id, opened, urgent)

    def close(self) -> None:
        """Close the connections."""
        self._poster.close()
        self._takers.close()

    async def _take(self, call_id: str) -> None:
        """A call taker answers after a moment: nobody is needed."""
        await asyncio.sleep(self._rng.expovariate(1 / TAKEN_AFTER_S))
        with contextlib.suppress(OSError):
            await self._takers.post(f"/api/v1/calls/{call_id}/answer", b"{}", f"answer-{call_id}")
            await self._takers.post(f"/api/v1/calls/{call_id}/close", TAKER_SAYS, f"close-{call_id}")

    def _body(self) -> tuple[bytes, bool]:
        """What a caller says, and whether a life is at risk now."""
        rng = self._rng
        draw = rng.random()
        number = f"+99890{rng.randrange(10_000_000):07d}"
        caller = {"number": number, "language": "uz-Latn"}
        if draw < self._mix.joining:
            fire = rng.choice(self._fires)
            point = from_local_m(fire, rng.gauss(0, FIRE_REACH_M), rng.gauss(0, FIRE_REACH_M))
            return _encoded("app", caller, point, "building_fire"), False
        if draw < self._mix.joining + self._mix.opening:
            urgent = rng.random() < URGENT_SHARE
            kind = "cardiac_arrest" if urgent else "illness"
            return _encoded("app", caller, self._place(), kind), urgent
        return _encoded("voice", caller, self._place(), None), False

    def _place(self) -> Point:
        region = self._rng.choices(self._regions, self._weights)[0]
        return somewhere(chosen(sites(region), self._rng), self._rng)


def _encoded(channel: str, caller: dict[str, str], point: Point, incident_type: str | None) -> bytes:
    source, accuracy_m = ("app", 15.0) if channel == "app" else ("cell", 800.0)
    evidence = {"source": source, "point": {"type": "Point", "coordinates": to_lonlat(point)}}
    body: dict[str, Any] = {
        "channel": channel,
        "caller": caller,
        "location": [evidence | {"accuracy_m": accuracy_m}],
    }
    if incident_type is not None:
        body["incident_type"] = incident_type
    return msgspec.json.encode(body)
