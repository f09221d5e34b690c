"""The declared addresses of the service: each says what it takes, gives, refuses and who may ask.

`application.py` serves a list of routes, `consoles/openapi.py` describes the same list: what is not
declared here is neither served nor documented.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
from aiohttp import web

from dispatch.actors import RIGHTS
from dispatch.web.problems import KINDS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

KIB = 1024
BODY_MAX = 1024 * KIB
TIMEOUT_S = 30.0

_PARAMETER = re.compile(r"\{(\w+)\}")


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One method on one path. Example:

    Route(method="POST", path="/api/v1/calls", handler=receive, summary="A contact", tag="calls",
          action="call.receive", request=NewCall, responses={201: CallReceipt}, creates=True,
          errors=("outside_country",))
    """

    method: str
    path: str
    """With `{parameters}` that stand for one segment each."""
    handler: Handler
    summary: str
    tag: str
    action: str | None = None
    """The right that the actor's role must have (`actors.RIGHTS`); None: open without log-in."""
    request: Any = None
    """The type of the JSON body; None: no body."""
    query: type[msgspec.Struct] | None = None
    """The type of the query parameters."""
    responses: dict[int, Any]
    """Status -> type of the JSON answer; None: no body, or one that `media` names."""
    media: str = "application/json"
    """The answer's media type."""
    takes: str = "application/json"
    """The body's media type."""
    errors: tuple[str, ...] = ()
    """Codes of `problems.KINDS` beside those that every address of its sort has."""
    creates: bool = False
    """Takes an Idempotency-Key."""
    body_max: int = BODY_MAX
    timeout_s: float | None = TIMEOUT_S
    """After so long the answer is 503; None: a stream."""
    description: str = ""

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(_PARAMETER.findall(self.path))

    def codes(self) -> tuple[str, ...]:
        """Every code that this address may answer with, in a fixed order."""
        found = ["malformed_request", "head_too_large", "fault", "service_away", "overloaded", *self.errors]
        if self.timeout_s is not None:
            found.append("timed_out")
        if self.action is not None:
            found += ["unauthenticated", "token_expired", "out_of_scope", "too_many_requests"]
        if self.request is not None:
            found += ["malformed_json", "invalid_body", "too_large", "unsupported_media_type", "too_slow"]
        if self.query is not None:
            found.append("invalid_query")
        if self.creates:
            found += ["invalid_key", "idempotency_reuse"]
        return tuple(sorted(set(found)))


class Routes:
    """The routes of one process, in the order in which they were added."""

    def __init__(self, *routes: Route) -> None:
        self._routes: list[Route] = []
        self.add(*routes)

    def add(self, *routes: Route) -> None:
        for route in routes:
            assert route.action is None or route.action in RIGHTS, f"no such action: {route.action}"
            assert all(code in KINDS for code in route.errors), f"unlisted code at {route.path}"
            assert (route.method, route.path) not in self, f"declared twice: {route.method} {route.path}"
            self._routes.append(route)

    def __contains__(self, key: tuple[str, str]) -> bool:
        return any((route.method, route.path) == key for route in self._routes)

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def __len__(self) -> int:
        return len(self._routes)
