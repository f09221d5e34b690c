"""The HTTP application: declared routes behind one guard. Who asks is found by `authenticate`, handed in.

The order of one request: guard (metrics, errors as problems) -> actor -> the role's right -> time limit
-> handler.
A handler reads `request[ACTOR]`, decodes with `bodies.body` and `bodies.query`, checks region and body with
`actors.require`, and answers with `answer`. It raises `Problem` for everything that is not a success.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from dispatch.actors import Actor, require
from dispatch.errors import ServiceAway
from dispatch.web.metrics import Metrics
from dispatch.web.problems import KINDS, MEDIA_TYPE, Problem
from dispatch.web.routes import Route, Routes

log = logging.getLogger(__name__)

ACTOR = web.RequestKey("actor", Actor)
"""`request[ACTOR]`: set for every route that names an action."""

Authenticate = Callable[[web.Request], Awaitable[Actor | None]]
"""None: the request names nobody. Raises Problem when what it names is wrong, expired or cross-origin."""

POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""Everything from our own origin; blob workers because MapLibre makes its worker so."""

PAGE_HEADERS = {
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": POLICY,
}

PAGE_TYPES = ("text/", "application/javascript", "image/svg")
"""What a browser may take for a page or a script; the rest is data, and `nosniff` says so."""

JSON = {"Content-Type": "application/json"}

_STATUS_CODES = {
    400: "malformed_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}


def application(
    routes: Routes,
    authenticate: Authenticate,
    metrics: Metrics,
    pages: Iterable[web.AbstractRouteDef] = (),
) -> web.Application:
    """The application of declared routes, and of pages (the console's files, the map) beside them."""
    app = web.Application(middlewares=[_guard(metrics)])
    for route in routes:
        # aiohttp answers HEAD with a GET handler's headers alone; a stream has no end to wait for.
        if route.method == "GET" and route.timeout_s is not None:
            app.router.add_get(route.path, _served(route, authenticate), allow_head=True)
        else:
            app.router.add_route(route.method, route.path, _served(route, authenticate))
    app.router.add_routes(pages)
    app.on_response_prepare.append(_secured)
    return app


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A value as JSON. `bytes` are taken as JSON that is encoded already."""
    raw = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return web.Response(body=raw, status=status, headers={**JSON, **(headers or {})})


def nothing(status: int = 204) -> web.Response:
    """Success that has nothing to say."""
    return web.Response(status=status)


def problem_response(problem: Problem) -> web.Response:
    response = web.Response(body=problem.body(), status=problem.status, content_type=MEDIA_TYPE)
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if problem.retry_after_s is not None:
        response.headers["Retry-After"] = str(problem.retry_after_s)
    return response


def _served(route: Route, authenticate: Authenticate) -> Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        if route.action is not None:
            actor = await authenticate(request)
            if actor is None:
                raise Problem("unauthenticated")
            require(actor, route.action)
            request[ACTOR] = actor
        if any("\0" in value for value in request.match_info.values()):
            raise Problem("malformed_request", "The address holds the character U+0000.")
        if route.timeout_s is None:
            return await route.handler(request)
        return await _within(route.timeout_s, route.handler(request))

    return serve


async def _within(limit_s: float, answering: Awaitable[web.StreamResponse]) -> web.StreamResponse:
    try:
        async with asyncio.timeout(limit_s) as limit:
            return await answering
    except TimeoutError:
        if limit.expired():
            raise Problem("timed_out") from None
        raise


def _guard(metrics: Metrics) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        began_s = time.perf_counter()
        response = await _answered(request, handler, metrics)
        resource = request.match_info.route.resource
        path = resource.canonical if resource is not None else "unknown"
        method = request.method if request.method in _METHODS else "other"
        metrics.answered((method, path, response.status), time.perf_counter() - began_s)
        return response

    return guard


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


async def _answered(request: web.Request, handler: Handler, metrics: Metrics) -> web.StreamResponse:
    """The handler's answer, or the problem that it ended with."""
    try:
        return await handler(request)
    except Problem as raised:
        problem = raised
    except web.HTTPException as raised:
        if raised.status < 400:
            return raised
        problem = _of_framework(request, raised)
    except ServiceAway as away:
        log.warning("a server is away", extra={"action": request.path, "reason": str(away)})
        problem = Problem("service_away", retry_after_s=1)
    except (asyncio.CancelledError, ConnectionError):
        raise
    except Exception:
        log.exception("fault while answering %s %s", request.method, request.match_info.route.resource)
        metrics.faults.labels("http").inc()
        problem = Problem("fault")
    metrics.problems.labels(problem.code).inc()
    response = problem_response(problem)
    if isinstance(problem, _Allowed):
        response.headers["Allow"] = ", ".join(sorted(problem.methods))
    return response


class _Allowed(Problem):
    """405 must name the methods that the address has."""

    def __init__(self, methods: Iterable[str]) -> None:
        super().__init__("method_not_allowed")
        self.methods = tuple(methods)


def _of_framework(request: web.Request, error: web.HTTPException) -> Problem:
    if isinstance(error, web.HTTPMethodNotAllowed):
        return _Allowed(error.allowed_methods)
    code = _STATUS_CODES.get(error.status, "malformed_request" if error.status < 500 else "fault")
    assert code in KINDS
    return Problem(code)


async def _secured(request: web.Request, response: web.StreamResponse) -> None:
    headers = response.headers
    headers["X-Content-Type-Options"] = "nosniff"
    headers.setdefault("Cache-Control", "no-store")
    if headers.get("Content-Type", "").startswith(PAGE_TYPES):
        headers.update(PAGE_HEADERS)
