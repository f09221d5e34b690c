"""The callers' side of a load: calls arrive open-loop, AML follows, some hang up; every answer is kept account of.

Open-loop: the next call does not wait for the answer to the last one, so a slow service shows as latency and
not as fewer calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Coroutine
from typing import Any
from urllib.parse import urlencode

from simulators.arrivals import Arrivals
from simulators.callers import Aml, Callers, Contact
from simulators.client import Answer, Client
from simulators.mirror import Mirror, Row, View
from simulators.operators import Calls, Ongoing
from simulators.pace import Pace
from simulators.report import Courses, Samples

ACCEPTED_MOST = 200_000
"""Calls that are looked for at the end: the newest ones."""
UNDER_WAY_MOST = 5_000
"""Calls whose callers are on the line at once; further ones find the country's lines engaged, and are counted."""

log = logging.getLogger(__name__)


class Phoning:
    """`run` until cancelled; `close` waits for the answers that are under way."""

    def __init__(
        self,
        client: Client,
        mirror: Mirror,
        calls: Calls,
        *,
        pace: Pace,
        courses: Courses,
        seed: int,
        run: str,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.accepted: OrderedDict[str, None] = OrderedDict()
        self.to_commit = Samples()
        self.to_console = Samples()
        self._client = client
        self._mirror = mirror
        self._calls = calls
        self._pace = pace
        self._courses = courses
        self._callers = Callers(seed)
        self._run = run
        self._unseen: dict[str, deque[tuple[int, float]]] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        mirror.listeners.append(self._listen)

    async def run(self, arrivals: Arrivals) -> None:
        """Place calls as they arrive, from now on."""
        for at, region in arrivals.after(self._pace.now()):
            await self._pace.until(at)
            contact = self._callers.call(at, region)
            if len(self._under_way) >= UNDER_WAY_MOST:
                self.counts["engaged"] += 1
                continue
            self.counts["offered"] += 1
            self._start(self._call(contact))

    async def close(self, limit_s: float) -> None:
        """Let the calls that are under way be answered; those that hang up or wait to send AML are let go."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while self.counts["offered"] > self.counts["answered"]:
                    await asyncio.sleep(0.02)
        for task in self._under_way:
            task.cancel()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _call(self, contact: Contact) -> None:
        key = f"{self._run}-{contact.number}"
        try:
            answer = await self._client.post("calls", contact.body(), key)
        finally:
            self.counts["answered"] += 1
        if answer.status != 201:
            self.counts["not_accepted"] += 1
            return
        self._accepted(contact, answer)
        call_id = answer.body["call_id"]
        if contact.aml is not None:
            await self._send_aml(contact, contact.aml)
        if contact.hangs_up_after_s is not None:
            await self._hang_up(call_id, contact.hangs_up_after_s)

    def _accepted(self, contact: Contact, answer: Answer) -> None:
        self.to_commit.add(answer.got_s - answer.sent_s)
        body = answer.body
        call_id, incident_id = body["call_id"], body.get("incident_id")
        self.accepted[call_id] = None
        if len(self.accepted) > ACCEPTED_MOST:
            self.accepted.popitem(last=False)
        self.counts[f"channel_{contact.channel}"] += 1
        self.counts[f"fate_{contact.fate}"] += 1
        if incident_id is None:
            self._calls[call_id] = Ongoing(contact=contact)
        elif "joined_automatically" not in body.get("flags", ()):
            self._courses.opening(incident_id, answer.sent_s)
        self._look_for(body["region"], body["seq"], answer.sent_s)

    def _look_for(self, region: str, seq: int, sent_s: float) -> None:
        """When did, or when will, the first delta arrive that tells of this call?"""
        view = self._mirror.views.get(region)
        knew_s = view.knew_at_s(seq) if view is not None else None
        if knew_s is not None:
            self.to_console.add(knew_s - sent_s)
        else:
            self._unseen.setdefault(region, deque(maxlen=UNDER_WAY_MOST)).append((seq, sent_s))

    def _listen(self, view: View, changes: Row | None) -> None:
        unseen = self._unseen.get(view.region)
        if not unseen:
            return
        for seq, sent_s in list(unseen):
            knew_s = view.knew_at_s(seq)
            if knew_s is not None:
                unseen.remove((seq, sent_s))
                self.to_console.add(knew_s - sent_s)

    async def _send_aml(self, contact: Contact, aml: Aml) -> None:
        await self._pace.sleep(aml.after_s)
        answer = await self._client.post_form("aml", self._aml_form(contact, aml))
        self.counts["aml_sent" if answer.good else "aml_failed"] += 1

    def _aml_form(self, contact: Contact, aml: Aml) -> bytes:
        """Google's form, as a handset sends it; vouched for by the log-in it comes with."""
        fields = {
            "v": "1",
            "emergency_number": "112",
            "source": "CALL",
            "time": str(int(self._pace.now().timestamp() * 1000)),
            "location_latitude": f"{aml.point.lat:.6f}",
            "location_longitude": f"{aml.point.lon:.6f}",
            "location_time": str(int(self._pace.now().timestamp() * 1000)),
            "location_accuracy": f"{aml.accuracy_m:.1f}",
            "location_source": "gps",
            "location_confidence": "0.683",
            "device_number": contact.phone or "",
        }
        return urlencode(fields).encode()

    async def _hang_up(self, call_id: str, after_s: float) -> None:
        await self._pace.sleep(after_s)
        known = self._calls.get(call_id)
        if known is None:
            return
        known.hung_up = True
        if known.answered:
            self.counts["hung_up_after_answer"] += 1
            return
        answer = await self._client.post(f"calls/{call_id}/abandon", None, f"abandon-{call_id}")
        self.counts["hung_up" if answer.good else "hung_up_late"] += 1
