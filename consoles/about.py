"""What a console needs to know before anybody logs in: regions, incident types, live or simulation."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from consoles.catalogue import incident_type_names
from dispatch import __version__
from dispatch.core.plans import PLANS
from dispatch.core.terms import Body, Priority
from dispatch.web.alarms import Alarm
from dispatch.web.application import answer
from dispatch.web.routes import Route
from routing.names import LANGUAGES, Names
from routing.regions import region_facts

NAME = "112"


class Capital(msgspec.Struct, frozen=True):
    lat: float
    lon: float


class RegionAbout(msgspec.Struct, frozen=True, kw_only=True):
    """`bbox` is [west, south, east, north]."""

    region: str
    names: dict[str, str]
    capital: Capital
    bbox: tuple[float, float, float, float]


class IncidentTypeAbout(msgspec.Struct, frozen=True, kw_only=True):
    incident_type: str
    body: Body
    names: dict[str, str]
    priority: Priority


class DemoLogIn(msgspec.Struct, frozen=True, kw_only=True):
    username: str
    password: str
    role: str


class About(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`demo_logins` only in the demo, and only to a browser on the same machine.

    `alarms`: what is wrong now, without detail; absent while nothing is.
    """

    name: str
    version: str
    mode: str
    speed: float
    regions: tuple[RegionAbout, ...]
    incident_types: tuple[IncidentTypeAbout, ...]
    demo_logins: tuple[DemoLogIn, ...] = ()
    alarms: tuple[Alarm, ...] = ()


class AboutPage:
    """GET /api/v1/about. `regions`: those that this installation covers; `alarms`: those that stand."""

    def __init__(
        self, regions: tuple[str, ...], mode: str, speed: float, alarms: Callable[[], tuple[Alarm, ...]] = tuple
    ) -> None:
        self._about = About(
            name=NAME,
            version=__version__,
            mode=mode,
            speed=speed,
            regions=tuple(_region(region) for region in regions),
            incident_types=_incident_types(),
        )
        self._demo: tuple[DemoLogIn, ...] = ()
        self._alarms = alarms

    def offer(self, credentials: dict[str, dict[str, Any]]) -> None:
        """Offer the demo's log-ins on the log-in page of this machine."""
        self._demo = tuple(
            DemoLogIn(username=kept["username"], password=kept["password"], role=role)
            for role, kept in credentials.items()
            if "password" in kept and role != "unit"
        )

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                method="GET", path="/api/v1/about", handler=self.about, tag="about",
                summary="What this installation is", responses={200: About},
            ),
        )  # fmt: skip

    async def about(self, request: web.Request) -> web.Response:
        """GET /about."""
        offered = self._demo if self._demo and on_this_machine(request) else ()
        return answer(msgspec.structs.replace(self._about, demo_logins=offered, alarms=self._alarms()))


def on_this_machine(request: web.Request) -> bool:
    """Whether the request comes over loopback, by this machine's own name, and not by a proxy for somebody else.

    The name matters: a foreign page may have its own name lead to this machine and read what we answer there.
    """
    try:
        near = ipaddress.ip_address(request.remote or "").is_loopback
        name = urlsplit(f"//{request.host}").hostname
    except ValueError:
        return False
    own = name in ("localhost", "127.0.0.1", "::1")
    return near and own and not {"Forwarded", "X-Forwarded-For"} & request.headers.keys()


def _region(region: str) -> RegionAbout:
    facts = region_facts()[region]
    south, west, north, east = facts.box
    return RegionAbout(
        region=region,
        names=_names(facts.names),
        capital=Capital(facts.capital_at.lat, facts.capital_at.lon),
        bbox=(west, south, east, north),
    )


def _names(names: Names) -> dict[str, str]:
    return {language: names.in_language(language) for language in LANGUAGES}


def _incident_types() -> tuple[IncidentTypeAbout, ...]:
    words = incident_type_names()
    return tuple(
        IncidentTypeAbout(
            incident_type=name,
            body=plan.needs[0].body,
            names=dict(words.get(name, {})),
            priority=plan.priority,
        )
        for name, plan in PLANS.items()
    )
