"""Who somebody is: log-in by password, sessions by cookie, programs by bearer token, and all of it revocable.

Secrets are 256 random bits and only their SHA-256 is kept, so a copy of the database opens nothing; passwords
are argon2id. What an actor may do is `dispatch/actors.py`. A verified secret is believed for RECHECK_S
without asking again; while the database is away it is believed for AWAY_S, and a program's that is on our own
list for a day (`programs.py`), because calls must come in then.

Nobody guesses 256 random bits, so a secret is looked up before anything is held against its address: a whole
network's callers may come by one. What an address that sent many wrong ones asks for is only looked up by turns.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from consoles.programs import Programs, actor_of_device, scope_of
from consoles.throttle import Lines, Throttle
from dispatch.actors import Actor, Role
from dispatch.clock import Clock
from dispatch.core.terms import ActorId, Body
from dispatch.errors import ServiceAway
from dispatch.store import Store
from dispatch.web.metrics import Metrics
from dispatch.web.problems import Problem
from dispatch.web.websocket import Socket
from dispatch.writing.records import Operator, Session
from dispatch.writing.upkeep import Sayings

log = logging.getLogger(__name__)

COOKIE = "dispatch112_session"
SESSION_KEPT = timedelta(hours=12)
"""A shift. Whoever works longer logs in again."""
RECHECK_S = 1.0
AWAY_S = 3600.0
"""Of a person; a program on our list is believed for BELIEVED_FOR (`programs.py`)."""
KNOWN_MAX = 20_000
SECRET_MAX = 200
DOUBTED_AT_ONCE = 2
DOUBTED_MAX = 200
"""Secrets of one address that stand in line to be looked up, once it has sent too many that were nobody's."""
LOG_OUT = "/api/v1/sessions/current"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# OWASP's second choice: 19 MiB, two passes. 20 ms here, and memory that many log-ins at once can have.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
HASHING_AT_ONCE = 2
_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$MeJdvw4J712bIsU2KmWiqQ$YZnGbxxuEKO9nsXrkUruOOwaRAJOpGWMhxk0PPOZFUs"
"""Of a password that nobody kept: an unknown name is compared with it."""


class Known(msgspec.Struct):
    """A secret that was verified: whose it is, when we last asked, and when we last got the answer."""

    actor: Actor
    asked_s: float
    confirmed_s: float


class Access:
    """The log-ins of one process. `on_over` is told each session that ended here, by its name."""

    def __init__(self, store: Store, clock: Clock, metrics: Metrics, programs: Programs | None = None) -> None:
        self.on_over: list[Callable[[str], None]] = []
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._programs = programs
        self._known: OrderedDict[bytes, Known] = OrderedDict()
        self._hashing = asyncio.Semaphore(HASHING_AT_ONCE)
        self._by_name = Throttle(burst=5, refill_s=12.0)
        self._by_address = Throttle(burst=50, refill_s=1.0)
        self._guesses = Throttle(burst=100, refill_s=0.2)
        self._doubted = Lines(DOUBTED_AT_ONCE, DOUBTED_MAX)
        self._sayings = Sayings()

    # Log-in

    async def log_in(self, username: str, password: str, address: str) -> tuple[Actor, str]:
        """The actor and the cookie's secret. Raises Problem `wrong_password` or `too_many_requests`."""
        pair = f"{username}@{address}"
        wait_s = max(self._by_name.wait_s(pair), self._by_address.wait_s(address))
        if wait_s:
            self._metrics.logins.labels("throttled").inc()
            raise Problem("too_many_requests", retry_after_s=wait_s)
        # Taken before the answer is known: else a hundred guesses at once would all be free.
        self._by_name.failed(pair)
        operator = await self._store.get_operator(username)
        right = await self._matches(operator, password)
        if operator is None or not operator.active or not right:
            self._by_address.failed(address)
            self._metrics.logins.labels("refused").inc()
            raise Problem("wrong_password")
        self._by_name.forgive(pair)
        self._metrics.logins.labels("accepted").inc()
        return await self._session(operator)

    async def log_out(self, actor: Actor) -> None:
        """End the session that the actor came by; a bearer token stays valid."""
        token = bytes.fromhex(actor.session)
        await self._store.drop_session(token)
        self._over(token)

    async def log_out_everywhere(self, username: str) -> int:
        """End every session of a person; returns how many there were."""
        ended = await self._store.drop_sessions(username)
        for token in [t for t, known in self._known.items() if known.actor.username == username]:
            self._over(token)
        return ended

    # Who asks

    async def actor_of(self, request: web.Request) -> Actor | None:
        """The actor of a request, by bearer token or else by cookie; None when it names nobody.

        Raises Problem `unauthenticated`, `token_expired`, `cross_origin` or `too_many_requests`; ServiceAway.
        """
        secret = bearer(request.headers.get("Authorization"))
        if secret is not None:
            return await self.verified(secret, request.remote or "")
        secret = request.cookies.get(COOKIE)
        if secret is None:
            return None
        if request.method not in SAFE_METHODS and not same_origin(request) and not _logs_out(request):
            raise Problem("cross_origin")
        return await self.verified(secret, request.remote or "")

    async def actor_of_handshake(self, socket: Socket) -> Actor | None:
        """The same for a WebSocket. A cookie counts only from our own pages: browsers send it from any."""
        secret = bearer(socket.header("Authorization"))
        if secret is not None:
            return await self.verified(secret, socket.peer)
        secret = cookie(socket.header("Cookie") or "")
        if secret is None:
            return None
        origin, host = socket.header("Origin"), socket.header("Host")
        if origin is None or host is None or not _names(origin, host):
            raise Problem("cross_origin")
        return await self.verified(secret, socket.peer)

    async def verified(self, secret: str, address: str = "") -> Actor:
        """Whose secret this is.

        Raises Problem `unauthenticated` or `token_expired` when it is nobody's, `too_many_requests` instead where
        the address has sent many such, or more than can be looked up.
        """
        token = digest(secret)
        known = self._known.get(token)
        now_s = monotonic()
        if known is not None and now_s - known.asked_s < RECHECK_S:
            return known.actor
        if known is None:
            return await self._first_seen(token, address)
        # Others that come while we look are answered by what was known a second ago.
        known.asked_s = now_s
        actor = await self._looked_up(token, known)
        if actor is None:
            raise Problem("token_expired")
        return actor

    async def live(self, actor: Actor) -> bool:
        """Whether the session or token that the actor came by is still valid."""
        token = bytes.fromhex(actor.session)
        try:
            return await self._looked_up(token, self._known.get(token)) is not None
        except Problem:
            return False
        except Exception:
            return True  # Nobody can say, and a board that is cut off for that sees nothing at all.

    # Inside

    async def _first_seen(self, token: bytes, address: str) -> Actor:
        """Look up a secret that came here never before. Raises Problem; see `verified`."""
        wait_s = self._guesses.wait_s(address)
        if not wait_s or self._is_noted(token):
            actor = await self._looked_up(token, None)
        elif self._doubted.is_full(address):
            raise Problem("too_many_requests", retry_after_s=wait_s)
        else:
            async with self._doubted.turn(address):
                actor = await self._looked_up(token, None)
        if actor is not None:
            return actor
        wait_s = self._guesses.wait_s(address)
        if wait_s:
            raise Problem("too_many_requests", retry_after_s=wait_s)
        self._guesses.failed(address)
        raise Problem("unauthenticated")

    def _is_noted(self, token: bytes) -> bool:
        """Whether a program on our own list has this token: who only guesses has none of it."""
        return self._programs is not None and self._programs.actor_of(token) is not None

    async def _looked_up(self, token: bytes, known: Known | None) -> Actor | None:
        """Ask the store. Raises Problem `token_expired`; ServiceAway, or our own fault, when nobody was sure lately."""
        try:
            actor = await self._found(token)
        except Problem:
            self._over(token)
            raise
        except Exception as fault:
            # Whatever keeps us from asking, calls must come in: whoever was known is known.
            if not isinstance(fault, ServiceAway) and self._sayings.worth(fault):
                log.exception("nobody can be looked up", extra={"action": "access"})
            if known is not None and monotonic() - known.confirmed_s < AWAY_S:
                return known.actor
            noted = self._programs.actor_of(token) if self._programs is not None else None
            if noted is None:
                raise
            return noted
        if actor is None:
            self._over(token)
        else:
            self._remember(token, actor)
        return actor

    async def _found(self, token: bytes) -> Actor | None:
        device = await self._store.get_device(token)
        if device is not None:
            if not device.active:
                raise Problem("token_expired")
            return actor_of_device(device)
        session = await self._store.get_session(token)
        if session is None:
            return None
        operator = await self._store.get_operator(session.username)
        if session.expires_at <= self._clock.wall() or operator is None or not operator.active:
            raise Problem("token_expired")
        return actor_of_operator(operator, token)

    async def _session(self, operator: Operator) -> tuple[Actor, str]:
        secret = secrets.token_urlsafe(32)
        token, now = digest(secret), self._clock.wall()
        session = Session(token=token, username=operator.username, created_at=now, expires_at=now + SESSION_KEPT)
        await self._store.put_session(session)
        actor = actor_of_operator(operator, token)
        self._remember(token, actor)
        return actor, secret

    async def _matches(self, operator: Operator | None, password: str) -> bool:
        # An unknown name costs as much as a known one, so that the time tells nobody which names exist.
        kept = operator.password if operator is not None else _NOBODY
        async with self._hashing:
            return await asyncio.to_thread(_verify, kept, password)

    def _remember(self, token: bytes, actor: Actor) -> None:
        now_s = monotonic()
        self._known[token] = Known(actor, now_s, now_s)
        self._known.move_to_end(token)
        while len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    def _over(self, token: bytes) -> None:
        self._known.pop(token, None)
        if self._programs is not None:
            self._programs.forget(token)
        for told in self.on_over:
            told(token.hex())


def actor_of_operator(operator: Operator, token: bytes) -> Actor:
    return Actor(
        actor_id=ActorId(f"user:{operator.username}"),
        role=Role(operator.role),
        username=operator.username,
        regions=scope_of(operator.regions),
        body=Body(operator.body) if operator.body else None,
        language=operator.language,
        session=token.hex(),
    )


def digest(secret: str) -> bytes:
    """What is kept of a secret. One pass is enough: the secret is 256 random bits, not a word."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


async def hashed(password: str) -> str:
    """An argon2id text of the password; 20 ms in a thread."""
    return await asyncio.to_thread(_hasher.hash, password)


def bearer(header: str | None) -> str | None:
    """The token of an Authorization header; None without one. Raises Problem for any other scheme."""
    if header is None:
        return None
    scheme, _, secret = header.partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret or len(secret) > SECRET_MAX:
        raise Problem("unauthenticated", "Send `Authorization: Bearer <token>`.")
    return secret


def cookie(header: str) -> str | None:
    """Our cookie's value in a Cookie header."""
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value.strip('"')
    return None


def same_origin(request: web.Request) -> bool:
    """Whether a browser sent this from our own pages. What names no origin at all is not believed."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    return _names(request.headers.get("Origin", ""), request.host)


def _logs_out(request: web.Request) -> bool:
    """Whether a program that is no browser ends its own session: a browser always says where a DELETE is from."""
    said = {"Origin", "Sec-Fetch-Site"} & request.headers.keys()
    return request.method == "DELETE" and request.path == LOG_OUT and not said


def _names(origin: str, host: str) -> bool:
    try:
        return bool(origin) and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _verify(kept: str, password: str) -> bool:
    try:
        return _hasher.verify(kept, password)
    except (Argon2Error, InvalidHashError):
        return False
