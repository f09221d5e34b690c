"""Log in, who am I, log out: the addresses on which a console's session begins and ends."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web

from consoles.access import COOKIE, SESSION_KEPT, Access, same_origin
from dispatch.actors import RIGHTS, Actor, Role, may
from dispatch.web.application import ACTOR, answer, nothing
from dispatch.web.audit import Audit
from dispatch.web.bodies import body
from dispatch.web.problems import Problem
from dispatch.web.routes import KIB, Route

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Password = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class LogIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    username: Name
    password: Password


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """The actor as the console knows it; `regions` `["*"]` means every region. `may`: the acts that the role has a
    right to, by name; a console offers no others."""

    username: str
    role: Role
    body: str | None
    regions: tuple[str, ...]
    language: str | None
    may: tuple[str, ...]


class Sessions:
    """The three addresses, on one Access."""

    def __init__(self, access: Access, audit: Audit) -> None:
        self._access = access
        self._audit = audit

    def routes(self) -> tuple[Route, ...]:
        path = "/api/v1/sessions"
        return (
            Route(
                method="POST", path=path, handler=self.begin, tag="sessions", summary="Log in",
                request=LogIn, responses={201: Who}, body_max=4 * KIB,
                errors=("wrong_password", "too_many_requests", "cross_origin"),
                description="Sets an HttpOnly, SameSite=Strict cookie that is valid for twelve hours.",
            ),
            Route(
                method="GET", path=f"{path}/current", handler=self.current, tag="sessions",
                summary="Who is logged in", action="session.read", responses={200: Who},
            ),
            Route(
                method="DELETE", path=f"{path}/current", handler=self.end, tag="sessions",
                summary="Log out", action="session.read", responses={204: None}, errors=("cross_origin",),
            ),
        )  # fmt: skip

    async def begin(self, request: web.Request) -> web.Response:
        """POST /sessions."""
        if "Origin" in request.headers and not same_origin(request):
            raise Problem("cross_origin")
        asked = await body(request, LogIn, 4 * KIB)
        actor, secret = await self._access.log_in(asked.username, asked.password, request.remote or "")
        self._audit.note(actor, "logged_in", str(actor.actor_id))
        response = answer(who(actor), 201)
        response.set_cookie(
            COOKIE,
            secret,
            max_age=int(SESSION_KEPT.total_seconds()),
            path="/",
            httponly=True,
            samesite="Strict",
            secure=request.secure,
        )
        return response

    async def current(self, request: web.Request) -> web.Response:
        """GET /sessions/current."""
        return answer(who(request[ACTOR]))

    async def end(self, request: web.Request) -> web.Response:
        """DELETE /sessions/current."""
        actor = request[ACTOR]
        await self._access.log_out(actor)
        self._audit.note(actor, "logged_out", str(actor.actor_id))
        response = nothing()
        response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict", secure=request.secure)
        return response


def who(actor: Actor) -> Who:
    return Who(
        username=actor.username,
        role=actor.role,
        body=str(actor.body) if actor.body else None,
        regions=tuple(actor.regions),
        language=actor.language,
        may=tuple(action for action in RIGHTS if may(actor, action)),
    )
