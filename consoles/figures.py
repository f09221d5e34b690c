"""How well the service does, against the published rules: `GET /kpi`, counted from the read models.

Each figure names the rule that it is measured by. Answering counts voice calls from their arrival to the
answer; dispatching counts incidents from the answer of their first call, or their opening, to the first
unit assigned. A span is read up to ROWS_MAX calls; a longer one says that it was cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar

import msgspec
from aiohttp import web

from consoles.desk import Desk
from consoles.reading import Code
from dispatch.calling.evidence import Moment
from dispatch.core.terms import Call, Channel, Disposition, Incident, RegionId
from dispatch.store import cursor_after
from dispatch.web.application import ACTOR, answer
from dispatch.web.bodies import query
from dispatch.web.problems import Fault, Problem
from dispatch.web.routes import Route

ROWS_MAX = 50_000
PAGE = 1_000
USUAL_SPAN = timedelta(hours=24)
SPAN_MAX = timedelta(days=31)
LAST_ID = "\uffff"
"""Behind every id: where a list that goes backwards from a moment begins."""

Row = dict[str, Any]
T = TypeVar("T")


class RuleName(StrEnum):
    NENA = "NENA-STA-020"
    NFPA = "NFPA-1225"
    RU = "RU-PP-1931"
    EENA = "EENA"


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """So many percent within so many seconds."""

    rule: RuleName
    figure: str
    within_s: float
    percent: float | None = None


LIMITS = (
    Limit(rule=RuleName.NENA, figure="answer", within_s=15, percent=90),
    Limit(rule=RuleName.NENA, figure="answer", within_s=20, percent=95),
    Limit(rule=RuleName.NFPA, figure="answer", within_s=10, percent=90),
    Limit(rule=RuleName.NFPA, figure="dispatch", within_s=60, percent=90),
    Limit(rule=RuleName.RU, figure="answer", within_s=20, percent=98),
    Limit(rule=RuleName.RU, figure="acknowledge", within_s=30),
    Limit(rule=RuleName.EENA, figure="answer", within_s=10),
)
"""The table of rules. RU PP-1931 also asks for a mean of 8 s, EENA for the mean of the longest tenth."""


class FiguresQuery(msgspec.Struct, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}):
    """The last day, unless `from` and `to` say otherwise; one rule, or all."""

    region: Code | None = None
    since: Moment | None = None
    until: Moment | None = None
    rule: RuleName | None = None


class Taken(msgspec.Struct, Generic[T]):
    """What was read of a span, and whether it was cut."""

    found: list[T]
    cut: bool


class Figures:
    """The address of the figures."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/kpi",
                handler=self.show,
                summary="Answering and dispatching against the published rules",
                tag="kpi",
                action="kpi.read",
                query=FiguresQuery,
                responses={200: dict[str, Any]},
            )
        ]

    async def show(self, request: web.Request) -> web.Response:
        """GET /kpi."""
        asked = query(request, FiguresQuery)
        until = asked.until or self._desk.clock.now()
        try:
            since = asked.since or until - USUAL_SPAN
        except OverflowError:  # the calendar has no day before its first
            since = until
        if not timedelta(0) < until - since <= SPAN_MAX:
            detail = f"`from` lies before `to`, at most {SPAN_MAX.days} days."
            raise Problem("invalid_query", detail, [Fault("from", detail)])
        regions = self._desk.regions(request[ACTOR], asked.region)
        calls = await self._span("calls", regions, (since, until), Call)
        incidents = await self._span("incidents", regions, (since, until), Incident)
        shown = {"regions": regions, "from": since, "to": until, "cut": calls.cut or incidents.cut}
        return answer(shown | figures(calls.found, incidents.found, asked.rule))

    async def _span(
        self, table: str, regions: Sequence[RegionId], span: tuple[datetime, datetime], kind: type[T]
    ) -> Taken[T]:
        """The rows of a span, newest first, page by page."""
        since, until = span
        cursor: str | None = cursor_after(LAST_ID, until)
        time = "at" if table == "calls" else "opened_at"
        found: list[T] = []
        while cursor is not None and len(found) < ROWS_MAX:
            rows, cursor = await self._desk.store.rows(table, {"region": regions}, cursor, PAGE)
            kept = [row for row in rows if row[time] >= since]
            found += [msgspec.json.decode(row["doc"], type=kind) for row in kept]
            if len(kept) < len(rows):
                return Taken(found, cut=False)
        return Taken(found, cut=cursor is not None)


def figures(calls: Sequence[Call], incidents: Sequence[Incident], rule: RuleName | None = None) -> Row:
    """Counts, waits and how each stands against its rules."""
    waits = {
        "answer": answer_waits_s(calls),
        "dispatch": dispatch_waits_s(calls, incidents),
        "acknowledge": acknowledge_waits_s(incidents),
    }
    limits = [limit for limit in LIMITS if rule is None or limit.rule is rule]
    return {
        "calls": _counts(calls),
        "incidents": {"opened": len(incidents), "assigned": sum(bool(i.assignments) for i in incidents)},
        "waits": {name: _summary(found) for name, found in waits.items()},
        "rules": [_measured(limit, waits[limit.figure]) for limit in limits],
    }


def answer_waits_s(calls: Iterable[Call]) -> list[float]:
    """Seconds from a voice call's arrival to its answer; those never answered are counted apart."""
    return [
        (call.answered_at - call.at).total_seconds()
        for call in calls
        if call.channel is Channel.VOICE and call.answered_at is not None
    ]


def dispatch_waits_s(calls: Iterable[Call], incidents: Iterable[Incident]) -> list[float]:
    """Seconds from the answer (or the opening, where nobody was answered) to the first unit assigned."""
    answered: dict[str, datetime] = {}
    for call in calls:
        if call.incident_id is not None and call.answered_at is not None:
            known = answered.get(call.incident_id, call.answered_at)
            answered[call.incident_id] = min(known, call.answered_at)
    waits = []
    for incident in incidents:
        if incident.assignments:
            begun = min(incident.opened_at, answered.get(incident.incident_id, incident.opened_at))
            first = min(assignment.assigned_at for assignment in incident.assignments)
            waits.append((first - begun).total_seconds())
    return waits


def acknowledge_waits_s(incidents: Iterable[Incident]) -> list[float]:
    """Seconds from a unit's assignment to its crew's acceptance."""
    return [
        (assignment.accepted_at - assignment.assigned_at).total_seconds()
        for incident in incidents
        for assignment in incident.assignments
        if assignment.accepted_at is not None
    ]


def _counts(calls: Sequence[Call]) -> Row:
    def of(fits: Callable[[Call], bool]) -> int:
        return sum(map(fits, calls))

    abandoned = of(lambda call: call.disposition is Disposition.ABANDONED)
    false = of(lambda call: call.disposition in (Disposition.FALSE_CALL, Disposition.NO_TRACE))
    return {
        "received": len(calls),
        "located": of(lambda call: call.location is not None),
        "joined": of(lambda call: call.incident_id is not None),
        "abandoned": abandoned,
        "abandoned_percent": _percent(abandoned, len(calls)),
        "false": false,
        "false_percent": _percent(false, len(calls)),
    }


def _summary(waits_s: Sequence[float]) -> Row:
    """`longest_tenth_mean_s` is EENA's: the mean of the longest 10 %."""
    ordered = sorted(waits_s)
    tenth = ordered[-max(1, len(ordered) // 10) :]
    return {
        "count": len(ordered),
        "mean_s": _mean(ordered),
        "p50_s": _at(ordered, 0.5),
        "p90_s": _at(ordered, 0.9),
        "p99_s": _at(ordered, 0.99),
        "longest_tenth_mean_s": _mean(tenth),
    }


def _measured(limit: Limit, waits_s: Sequence[float]) -> Row:
    within = _percent(sum(wait <= limit.within_s for wait in waits_s), len(waits_s))
    met = None if within is None or limit.percent is None else within >= limit.percent
    return {
        "rule": limit.rule,
        "figure": limit.figure,
        "within_s": limit.within_s,
        "required_percent": limit.percent,
        "percent": within,
        "count": len(waits_s),
        "met": met,
    }


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 3) if values else None


def _at(ordered: Sequence[float], share: float) -> float | None:
    """The value at the share of a sorted list (nearest rank)."""
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) if ordered else None


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 2) if whole else None
