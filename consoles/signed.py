"""Signs the heads of the journal each hour, and shows them to everybody: GET /api/v1/heads.

A copy that somebody else keeps is what makes a signed head worth something, so no log-in is asked for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime

import msgspec
from aiohttp import web
from prometheus_client import Counter, Gauge

from dispatch.clock import Clock
from dispatch.core.events import Event
from dispatch.core.terms import RegionId
from dispatch.errors import ServiceAway
from dispatch.keeping.heads import Head, Series
from dispatch.store import Store
from dispatch.verify_log import SignedHead
from dispatch.web.application import answer
from dispatch.web.metrics import Metrics
from dispatch.web.routes import Route
from dispatch.writing.records import Recorded

log = logging.getLogger(__name__)

SIGN_EVERY_S = 3600.0
AGAIN_S = 30.0


class SignedHeadShown(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the series, as the verifier reads it."""

    kind: str
    number: int
    region: str
    seq: int
    hash: str
    at: str
    previous: str
    key: str
    signature: str


class SignedHeads(msgspec.Struct, frozen=True, kw_only=True):
    """The present public key, and the newest signed head of each region that this process writes."""

    public_key: str
    heads: tuple[SignedHeadShown, ...]


class Signer:
    """Signs for one process: `run` beside the service, `committed` told of each commit."""

    def __init__(
        self, series: Series, store: Store, clock: Clock, *, regions: Sequence[RegionId], metrics: Metrics
    ) -> None:
        self._series = series
        self._store = store
        self._clock = clock
        self._regions = regions
        self._committed: dict[str, tuple[int, bytes]] = {}
        self._newest: dict[str, SignedHead] = {}
        self._public_key = ""
        self._signed_at: datetime | None = None
        self._differing = Counter(
            "dispatch112_heads_differing_total", "Heads that are not what was committed", registry=metrics.registry
        )
        age = Gauge("dispatch112_signed_heads_age_seconds", "Since heads were signed", registry=metrics.registry)
        age.set_function(self.age_s)

    def age_s(self) -> float:
        """Wall seconds since heads were signed last; infinite before the first."""
        if self._signed_at is None:
            return float("inf")
        return (self._clock.wall() - self._signed_at).total_seconds()

    def committed(self, region: RegionId, recorded: Sequence[Recorded], events: Sequence[Event]) -> None:
        """What this process knows that it has committed, whatever the database says later."""
        self._committed[region] = (recorded[-1].seq, recorded[-1].hash)

    async def run(self) -> None:
        """Sign now and each hour until cancelled; while the database is away or the disk is full, when that is over."""
        while True:
            try:
                await self.sign()
                pause_s = SIGN_EVERY_S
            except (ServiceAway, OSError) as fault:
                log.warning("heads are not signed: %s", fault, extra={"action": "sign"})
                pause_s = AGAIN_S
            await asyncio.sleep(pause_s)

    async def sign(self) -> None:
        """Sign where each region of ours ends now. In a thread: the arithmetic takes milliseconds a head."""
        known = dict(self._committed)
        kept = await self._store.heads()
        heads = [self._head(region, known.get(region), kept[region]) for region in self._regions if region in kept]
        signed = await asyncio.to_thread(self._series.sign, heads, self._clock.wall())
        self._public_key = await asyncio.to_thread(self._series.public_key)
        self._newest.update({line.region: line for line in signed})
        self._signed_at = self._clock.wall()

    def _head(self, region: str, known: tuple[int, bytes] | None, kept: tuple[int, bytes]) -> Head:
        """What we committed goes before what the database says, where the two cannot both be right."""
        if known is not None and (kept[0] < known[0] or (kept[0] == known[0] and kept[1] != known[1])):
            log.error("the database's head is not what was committed", extra={"region": region, "action": "sign"})
            self._differing.inc()
            return (region, *known)
        return (region, *kept)

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                method="GET", path="/api/v1/heads", handler=self.heads, tag="about",
                summary="Signed heads of the journal, for whoever keeps a copy", responses={200: SignedHeads},
            ),
        )  # fmt: skip

    async def heads(self, request: web.Request) -> web.Response:
        """GET /heads."""
        shown = tuple(SignedHeadShown(**self._newest[region]._asdict()) for region in sorted(self._newest))
        return answer(SignedHeads(public_key=self._public_key, heads=shown))
