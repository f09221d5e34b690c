"""Everything between the regions of this process and those of others, put together: lines, inbox, outbox, measures.

And what an operator sees of it: a word for the health page, gauges, and a list of the neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from aiohttp import web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dispatch.cells.exchange import CallEvidence, CallOffer, OfferRecall, messages
from dispatch.cells.inbox import Inbox
from dispatch.cells.line import Line, closed
from dispatch.cells.outbox import Outbox, Siblings
from dispatch.cells.peers import Peer
from dispatch.clock import Clock
from dispatch.core.terms import RegionId
from dispatch.engine import Engine
from dispatch.ids import IdSource
from dispatch.store import Store
from dispatch.web.application import answer
from dispatch.web.routes import Route

LOCAL = "here"
NOBODY = "nobody"


class Waiting(msgspec.Struct):
    """What is not settled with one cell, and the age of its oldest call."""

    calls: int = 0
    aid: int = 0
    evidence: int = 0
    oldest_s: float = 0.0


class Neighbours(Collector):
    """`run` beside the service. Register it with the metrics."""

    def __init__(self, engine: Engine, store: Store, clock: Clock, peers: Iterable[Peer] = ()) -> None:
        self._engine = engine
        self._clock = clock
        self.lines = [Line(peer) for peer in peers]
        by_region = {region: line for line in self.lines for region in line.peer.regions}
        self.inbox = Inbox(engine, store, IdSource(clock))
        self.outbox = Outbox(engine, store, self.inbox, by_region)

    async def run(self) -> None:
        """Carry what is to be said until cancelled."""
        try:
            await self.outbox.run()
        finally:
            await closed(self.lines)

    def beside(self, siblings: Siblings) -> None:
        """Regions of this cell that other processes lead are reached through them."""
        self.outbox.siblings = siblings

    def health(self) -> str:
        """`none` without neighbours, `ok` while none is known to be cut off, `away` when all are, else `degraded`."""
        cut = sum(bool(line.failures) for line in self.lines)
        if not self.lines:
            return "none"
        return "ok" if not cut else "away" if cut == len(self.lines) else "degraded"

    def cell_of(self, region: RegionId) -> str:
        """The name of the cell that a region is of; `here` for our own, `nobody` for one that nobody named."""
        line = self.outbox.lines.get(region)
        if line is not None:
            return line.peer.name
        return LOCAL if region in self._engine.replicas.states else NOBODY

    def reaches(self, region: RegionId) -> bool:
        """Whether anybody could ever take a call that is handed over to this region, or hear a request for aid."""
        return self.cell_of(region) != NOBODY

    def waiting(self) -> dict[str, Waiting]:
        """By cell what our regions still have to say to it."""
        found = {line.peer.name: Waiting() for line in self.lines}
        now = self._clock.now()
        for region in self._engine.led:
            for message in messages(self._engine.replicas.states[region]):
                entry = found.setdefault(self.cell_of(message.to), Waiting())
                if isinstance(message, CallOffer | OfferRecall):
                    entry.calls += 1
                    entry.oldest_s = max(entry.oldest_s, _age_s(self._since(region, message), now))
                elif isinstance(message, CallEvidence):
                    entry.evidence += 1
                else:
                    entry.aid += 1
        return found

    def _since(self, region: RegionId, message: CallOffer | OfferRecall) -> datetime | None:
        call_id = message.call.call_id if isinstance(message, CallOffer) else message.call_id
        call = self._engine.replicas.states[region].calls.get(call_id)
        return call.moving_since if call is not None else None

    def collect(self) -> Iterable[Metric]:
        waiting = self.waiting()
        for name, help_text, field in (
            ("dispatch112_cell_offers_waiting", "Calls that are being handed over", "calls"),
            ("dispatch112_cell_oldest_offer_seconds", "Service time since the oldest of them was offered", "oldest_s"),
            ("dispatch112_cell_aid_waiting", "Words about mutual aid that are not settled", "aid"),
            ("dispatch112_cell_evidence_waiting", "Calls that evidence waits for after they have left", "evidence"),
        ):
            gauge = GaugeMetricFamily(name, help_text, labels=["cell"])
            for cell, entry in waiting.items():
                gauge.add_metric([cell], float(getattr(entry, field)))
            yield gauge
        up = GaugeMetricFamily("dispatch112_cell_up", "Whether the last word to a cell was answered", labels=["cell"])
        cuts = CounterMetricFamily("dispatch112_cell_cuts", "Times the line to a cell was cut", labels=["cell"])
        for line in self.lines:
            up.add_metric([line.peer.name], float(line.up))
            cuts.add_metric([line.peer.name], line.cuts)
        yield from (up, cuts)
        answers = CounterMetricFamily(
            "dispatch112_cell_answers", "Messages to our regions, by answer", labels=["outcome"]
        )
        for outcome, count in self.inbox.counts.items():
            answers.add_metric([outcome], count)
        yield answers
        faults = CounterMetricFamily("dispatch112_cell_faults", "Our own bugs while saying what is to be said, caught")
        faults.add_metric([], self.outbox.faults)
        yield faults

    def routes(self) -> tuple[Route, ...]:
        shown = Route(
            method="GET",
            path="/api/v1/cells",
            handler=self.show,
            summary="The neighbouring cells: whether they answer, and what waits for them",
            tag="cells",
            action="cell.read",
            responses={200: dict[str, Any]},
        )
        return (shown, *self.inbox.routes())

    async def show(self, request: web.Request) -> web.Response:
        """GET /cells."""
        waiting = self.waiting()
        rows = [
            {
                "cell": line.peer.name,
                "regions": line.peer.regions,
                "up": line.up,
                "failures": line.failures,
                "calls_waiting": waiting[line.peer.name].calls,
                "oldest_call_s": round(waiting[line.peer.name].oldest_s, 1),
                "aid_waiting": waiting[line.peer.name].aid,
                "evidence_waiting": waiting[line.peer.name].evidence,
            }
            for line in self.lines
        ]
        return answer({"cells": rows, "health": self.health()})


def _age_s(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since is not None else 0.0
