"""AML: a handset in an emergency call says by itself where it is, and its call is located before anybody
asks.

`POST /aml` takes Google's HTTPS form and the text of an SMS from a gateway. A message is used only when its
hmac is right, or when it comes from a logged-in device or an allowed address, or when another process of the
service vouches for it; the answer is 204 whatever becomes of it, because the sender can do nothing about it,
and every outcome is counted. Which call it belongs to is matching.py's question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

import msgspec
from aiohttp import web
from prometheus_client import Counter, Gauge

from dispatch.actors import Actor, Role, may
from dispatch.calling.contacts import Contacts
from dispatch.calling.locating import aml_fix
from dispatch.calling.matching import Match, Matcher, Waiting
from dispatch.calling.reception import is_of_a_caller
from dispatch.calling.recognising import PersonalShelf, Recogniser
from dispatch.core.commands import LocateCall
from dispatch.core.terms import ActorId, Call, CallId, LocationFix
from dispatch.errors import ServiceAway, UserMistake
from dispatch.formats.aml import MAX_AML_BYTES, AmlMessage, decode
from dispatch.formats.values import FormatError
from dispatch.intake import Intake
from dispatch.web.application import Authenticate, nothing
from dispatch.web.bodies import SETTLED, VOUCHED, read
from dispatch.web.metrics import Metrics
from dispatch.web.problems import Problem, Unreadable
from dispatch.web.routes import Route

FORM, TEXT = "application/x-www-form-urlencoded", "text/plain"
FORWARDED = {"Forwarded", "X-Forwarded-For", "Via"}
TIDY_S = 1.0

GATEWAY = Actor(actor_id=ActorId("device:aml"), role=Role.DEVICE, username="aml")
"""Whoever sent by an allowed address or with the right signature: nobody logged in."""

OUTCOMES = {
    "used": "added to its call",
    "sent_on": "its call has gone to another region: committed, and carried after it",
    "shared": "added to the newer of several calls with one number",
    "waiting": "no such call yet; kept ten minutes",
    "expired": "its call never came",
    "dropped": "gave way to newer ones: too many wait",
    "late_used": "its call was over; the incident of the call has its place now",
    "late": "its call was over and nothing took its place; kept for a supervisor",
    "refused": "the call did not take it now; kept for a supervisor",
    "no_position": "says that it knows no position",
    "misplaced": "readable, but its position is none, or abroad; kept for a supervisor",
    "unnamed": "neither number nor IMEI",
    "forged": "the hmac is wrong, or there is no key to try it with",
    "unauthenticated": "nobody vouches for it",
    "unreadable": "not AML",
    "away": "its call's region is not written here now; kept like one that waits",
}
"""What became of a message: the label of the counter."""

FOR_A_PERSON = {
    "late": "AML of a call that is over",
    "refused": "AML that its call did not take",
    "misplaced": "AML without a usable position",
}
"""Outcomes in which somebody's place would be lost unless a person looks at the message."""

WAITS = {"waiting", "away"}
"""Outcomes of a message that is kept until its call comes, or can be told."""

OF_ITSELF = {"no_position", "misplaced", "unnamed", "unreadable"}
"""Outcomes in which no call has a part: whoever hears such a message first has done all that is to be done."""


class Trust:
    """Who may send AML: the key of the form's hmac, and the addresses of the operators' gateways."""

    def __init__(self, key: bytes | None = None, allowed: tuple[str, ...] = ()) -> None:
        self.key = key
        self._networks = [ip_network(address) for address in allowed]

    def allows(self, remote: str | None) -> bool:
        """Whether the sender's address is one of a gateway's."""
        try:
            address = ip_address(remote or "")
        except ValueError:
            return False
        return any(address in network for network in self._networks)


KEY_FILE = "aml.key"


def trusted(home: Path) -> Trust:
    """What the installation's files say: `aml.key` holds the key, `aml.allow` an address or network a line.

    Without them only senders who are logged in are trusted. Raises UserMistake for a line that is no address.
    """
    key, allow = home / KEY_FILE, home / "aml.allow"
    lines = allow.read_text("utf-8").splitlines() if allow.is_file() else []
    allowed = tuple(said for line in lines if (said := line.partition("#")[0].strip()))
    secret = key.read_bytes().strip() if key.is_file() else b""
    try:
        return Trust(secret or None, allowed)
    except ValueError as fault:
        raise UserMistake(f"{allow}: {fault}") from None


class AmlDoor:
    """Takes AML in, trusts it or not, and hands it to its call."""

    def __init__(
        self, intake: Intake, trust: Trust, authenticate: Authenticate, metrics: Metrics, *, shelf: PersonalShelf
    ) -> None:
        self._reception = intake.reception
        self._spool = intake.spool
        self._trust = trust
        self._authenticate = authenticate
        self.admits: Callable[[str], bool] = lambda shown: False
        """Whether whoever shows this as its authorization is another process of the service."""
        self.matcher: Matcher = intake.matcher
        self.contacts: Contacts = intake.contacts
        self._recogniser = Recogniser(self.matcher, shelf, self._put_waiting)
        said = "AML messages: " + "; ".join(f"{name}: {what}" for name, what in OUTCOMES.items())
        self._counter = Counter("dispatch112_aml_total", said, ["outcome"], registry=metrics.registry)
        waiting = Gauge("dispatch112_aml_waiting", "AML messages that wait for their call", registry=metrics.registry)
        waiting.set_function(lambda: self.matcher.waiting)

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                method="POST", path="/api/v1/aml", handler=self.receive, tag="calls", takes=FORM,
                summary="A handset's own location, as form or SMS text", responses={204: None},
                body_max=MAX_AML_BYTES,
                description="Google's ELS form signed with `hmac` as its last field: the hex HMAC-SHA256 (or SHA1) "
                "of everything before `&hmac=`, under the installation's `aml.key`; or text/plain with `A\"ML=…` and "
                "the number that sent it in `?from=`. Always 204; what is not authenticated is counted and never "
                "used, nor is a form whose hmac is wrong or cannot be tried, whoever sent it. A process tells the "
                "others what it vouches for with `Authorization: Process SECRET`, as for `POST /spooled`.",
            ),
        )  # fmt: skip

    async def receive(self, request: web.Request) -> web.Response:
        """POST /aml."""
        try:
            raw = await read(request, MAX_AML_BYTES)
        except Unreadable as cause:
            await self._kept_raw(request, cause.raw, cause.detail)
            outcome = "unreadable"
        else:
            outcome = await self._taken(request, raw)
        self._count(outcome)
        request[SETTLED] = outcome in OF_ITSELF
        return nothing()

    async def _taken(self, request: web.Request, raw: bytes) -> str:
        try:
            message = decode(raw, key=self._trust.key, sender=_sender(request))
        except FormatError as fault:
            await self._kept_raw(request, raw, str(fault))
            return "unreadable"
        request[VOUCHED] = vouched = self._knows(request, raw, message)
        if not vouched and _is_signed(raw, message):
            return "forged"
        sender = GATEWAY if vouched else await self._logged_in(request)
        if sender is None:
            return "unauthenticated"
        outcome = await self.deliver(message)
        if outcome in FOR_A_PERSON:
            why = self._words(outcome, message, self.matcher.match(message, self._reception.clock.now()))
            await self.contacts.keep(raw, why, sender, ("aml", request.content_type))
        return outcome

    def vouches(self, request: web.Request, raw: bytes) -> bool:
        """Whether this process knows the sender itself, by the hmac or the address. One that only sends messages on
        must say so: by the time that another has them, they come from our address.
        """
        try:
            return self._knows(request, raw, decode(raw, key=self._trust.key))
        except FormatError:
            return self._knows(request, raw, None)

    async def deliver(self, message: AmlMessage) -> str:
        """Hand an authenticated message to its call, or keep it until the call comes. The outcome."""
        now = self._reception.clock.now()
        fix = aml_fix(message, now, self._reception.clock.wall())
        if fix is None:
            return "no_position" if message.unknown else "misplaced"
        if message.number is None and message.imei is None:
            return "unnamed"
        outcome = await self._handed(self.matcher.match(message, now), fix)
        if outcome in WAITS:
            self._count("dropped", self.matcher.keep(message, now))
        return outcome

    async def _handed(self, match: Match | None, fix: LocationFix) -> str:
        """What becomes of a location that belongs to this call, if there is one yet."""
        if match is None or self._reception.is_arriving(match.call_id):
            return "waiting"
        try:
            if self._reception.unwritten(match.call_id) is not None:
                raise ServiceAway("nobody writes its region here now")
            outcome = await self._put(match.call_id, fix)
        except ServiceAway:
            self._reception.untold.add(match.call_id)
            return "away"
        return "shared" if outcome == "used" and match.shared else outcome

    async def _put(self, call_id: CallId, fix: LocationFix) -> str:
        found = self._reception.open_call(call_id)
        left = self._reception.left_from(call_id) if found is None else None
        if left is not None:
            command = LocateCall(actor=GATEWAY.actor_id, call_id=call_id, fix=fix)
            return "sent_on" if (await self._reception.hear(left, command)).refusal is None else "refused"
        if found is None:
            return "late_used" if await self._reception.locate_ended(call_id, fix, GATEWAY.actor_id) else "late"
        region, call = found
        reply = await self._reception.locate(region, call, fix, GATEWAY.actor_id)
        return "used" if reply.refusal is None else "refused"

    def _words(self, outcome: str, message: AmlMessage, match: Match | None) -> str:
        """Why a message waits for a person, and with which call it belongs."""
        of = f" (call {match.call_id})" if match is not None else ""
        why = "; ".join(message.warnings) if outcome == "misplaced" else ""
        return f"{FOR_A_PERSON[outcome]}{of}{': ' + why if why else ''}"

    async def recognise(self, calls: Iterable[Call]) -> None:
        """Know open calls by their callers, at start and whenever they come to us; what waited for them is theirs."""
        await self._recogniser.know(calls)

    async def run(self) -> None:
        """Forget what is past its window, until cancelled: else the index would only grow. Try again what was away."""
        while True:
            await asyncio.sleep(TIDY_S)
            self.tidy()
            await self._recogniser.read()
            untold = self._reception.untold
            for call_id in [call_id for call_id in untold if self._reception.unwritten(call_id) is None]:
                untold.discard(call_id)
                await self._put_waiting(call_id, self.matcher.claim_for(call_id))

    def tidy(self) -> None:
        """One turn of it."""
        self._count("expired", self._reception.tidy(self._is_awaited))

    def _is_awaited(self, message: AmlMessage) -> bool:
        """Whether a call of the message's sender is in the spool: it has to wait as long."""
        return self._spool is not None and is_of_a_caller(message, self._spool.holds)

    async def _put_waiting(self, call_id: CallId, waiting: Sequence[Waiting]) -> None:
        """What waited for a call; with its region away once more it waits again. One that is over by now, or went to
        another cell, has it as from whoever sends it now.
        """
        if self._reception.open_call(call_id) is not None or self._reception.away(call_id) is not None:
            await self._reception.put(call_id, waiting)
            return
        for each in waiting:
            await self._put_late(each)

    async def _put_late(self, waiting: Waiting) -> None:
        message, fix = waiting.message, self._reception.fix_of(waiting)
        assert fix is not None, "a message without a position waits for nothing"
        match = self.matcher.match(message, self._reception.clock.now(), waiting.received_at)
        if match is not None and self._reception.has_heard(match.call_id, fix):
            # From whoever led its region then: this was our copy.
            self.matcher.used([waiting])
            return
        outcome = await self._handed(match, fix)
        self._count(outcome)
        (self.matcher.give_back if outcome in WAITS else self.matcher.used)([waiting])
        if outcome in FOR_A_PERSON:
            # As it was read: how it was written has gone with whoever sent it.
            raw, why = msgspec.json.encode(message), self._words(outcome, message, match)
            await self.contacts.keep(raw, why, GATEWAY, ("aml", "application/json"))

    def _knows(self, request: web.Request, raw: bytes, message: AmlMessage | None) -> bool:
        """Whether we know the sender: another process, a right hmac, or an allowed address that signs nothing."""
        if self.admits(request.headers.get("Authorization", "")):
            return True
        if message is not None and _is_signed(raw, message):
            return message.verified is True
        # What somebody sent on comes from that somebody's address, not from the sender's.
        return not FORWARDED & request.headers.keys() and self._trust.allows(request.remote)

    async def _logged_in(self, request: web.Request) -> Actor | None:
        """Whoever is logged in and may send AML."""
        try:
            actor = await self._authenticate(request)
        except (Problem, ServiceAway):
            return None
        return actor if actor is not None and may(actor, "aml.receive") else None

    async def _kept_raw(self, request: web.Request, raw: bytes, fault: str) -> None:
        sender = GATEWAY if self._knows(request, raw, None) else await self._logged_in(request)
        if sender is not None:
            await self.contacts.keep(raw, fault, sender, ("aml", request.content_type))

    def _count(self, outcome: str, times: int = 1) -> None:
        assert outcome in OUTCOMES
        if times:
            self._counter.labels(outcome).inc(times)


def _sender(request: web.Request) -> str | None:
    """The number an SMS came from; a plus that was not escaped arrives as a blank."""
    sender = request.query.get("from")
    return "+" + sender.strip() if sender is not None and sender.startswith(" ") else sender


def _is_signed(raw: bytes, message: AmlMessage) -> bool:
    return message.transport == "form" and b"hmac=" in raw.lower()
