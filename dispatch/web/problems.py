"""Every answer that is not a success, as an RFC 9457 problem: one table of codes, one shape, one exception.

A problem is `{type, title, status, detail, code, errors: [{pointer, detail}]}`; `pointer` is a JSON pointer
(RFC 6901) into the body, or the name of a query parameter. This file knows nothing of the web framework:
the engine makes the body of a refusal with it, `application.py` turns a raised `Problem` into a response.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from dispatch.core.terms import Refusal
from dispatch.core.verdict import REFUSALS
from dispatch.formats.fitting import SENTENCE_MAX, fitting

MEDIA_TYPE = "application/problem+json"
URN = "urn:dispatch112:problem:"
ERRORS_MAX = 20
CHOICES_MAX = 12
DETAIL_MAX = 500


class Kind(msgspec.Struct, frozen=True):
    """What a code always means: its HTTP status, and a sentence for the list in docs/refusals.md."""

    status: int
    title: str


_OURS: dict[str, Kind] = {
    # What the sender got wrong, whatever the state of the world.
    "malformed_json": Kind(400, "The body is not JSON."),
    "malformed_request": Kind(400, "The request's line, headers or parameters cannot be read."),
    "invalid_body": Kind(422, "The body is JSON, but not what this address takes."),
    "invalid_query": Kind(422, "A parameter of the query is missing, unknown or out of range."),
    "invalid_key": Kind(400, "An Idempotency-Key is 1 to 200 visible ASCII characters."),
    "idempotency_reuse": Kind(422, "The Idempotency-Key was used at another address. Nothing was done."),
    "outside_country": Kind(422, "The position is outside the country. Positions are [longitude, latitude]."),
    "no_road_there": Kind(422, "The drawing has no road along it, or no road leads between its ends."),
    "street_ambiguous": Kind(422, "The words fit several streets. Choose one: its name, and its point as near."),
    "district_ambiguous": Kind(422, "The street runs through several districts of this name. Choose one by its point."),
    "no_such_crossing": Kind(422, "The two streets do not cross, or they cross more than once."),
    "no_street_names": Kind(409, "The map of this service has no street names. Draw the road, or point at it."),
    "unsupported_media_type": Kind(415, "The body's Content-Type is not one that this address takes."),
    "too_large": Kind(413, "The body is larger than this address takes."),
    "not_found": Kind(404, "There is nothing at this address."),
    "method_not_allowed": Kind(405, "The address exists, but not for this method."),
    "head_too_large": Kind(431, "The request's line and headers are larger than we take."),
    "upgrade_required": Kind(426, "This address speaks WebSocket only."),
    "too_slow": Kind(408, "The request did not arrive in time."),
    # Who is asking.
    "unauthenticated": Kind(401, "The request names no actor that we know. Log in, or send a bearer token."),
    "token_expired": Kind(401, "The session or token has expired or was revoked. Log in again."),
    "wrong_password": Kind(401, "The user name or the password is wrong."),
    "out_of_scope": Kind(403, "The actor's role, region or body does not allow this."),
    "cross_origin": Kind(403, "A browser may change something only from the console's own pages."),
    "too_many_requests": Kind(429, "Too many attempts. Wait for as long as Retry-After says."),
    # What is not there.
    "unknown_region": Kind(404, "No region of this service has this code."),
    "region_unled": Kind(409, "Nobody leads this region: neither this cell nor any neighbour that it knows."),
    "unknown_street": Kind(404, "No street of the map has this name there. `choices` are those with a name like it."),
    "unknown_district": Kind(404, "The map has no outline of a district of this name."),
    "unknown_contact": Kind(404, "No unreadable contact with this id waits."),
    "unknown_recommendation": Kind(409, "The recommendation is forgotten or was never made. Ask again."),
    # What went wrong with us.
    "fault": Kind(500, "Our fault. It was recorded; try again."),
    "service_away": Kind(503, "A server that we need does not answer. Nothing was changed; try again."),
    "timed_out": Kind(503, "The answer took too long. It may have been done: repeat with the same key."),
    "overloaded": Kind(503, "Too much work waits already. Nothing was changed; try again."),
    "not_ready": Kind(503, "The service is starting."),
}


def _kind_of_refusal(code: str, sentence: str) -> Kind:
    """A refusal of the core says that something is not there, or that the world does not allow it now."""
    missing = 404 if code.startswith("unknown_") else 409
    return Kind(422 if code == "unknown_incident_type" else missing, sentence[0].upper() + sentence[1:] + ".")


assert not _OURS.keys() & REFUSALS.keys(), "a code has one meaning"
KINDS: Mapping[str, Kind] = _OURS | {code: _kind_of_refusal(code, sentence) for code, sentence in REFUSALS.items()}
"""Every code that the service answers with; docs/refusals.md lists them for people."""


class Fault(msgspec.Struct, frozen=True):
    """One thing wrong with a body (`pointer`: `/location/0/point`) or a query (`pointer`: its name)."""

    pointer: str
    detail: str


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One of the things that the words of a body may mean: say it by its name and this position, [lon, lat]. `where`
    says in each language where that is."""

    name: str
    where: dict[str, str]
    point: tuple[float, float]
    metres: float


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"kind": "type"}):
    """The problem as it is sent. `choices`: what to choose from, where words may mean several things."""

    kind: str
    title: str
    status: int
    detail: str
    code: str
    errors: tuple[Fault, ...] = ()
    choices: tuple[Choice, ...] = ()


class Problem(Exception):
    """Raised to end a request with this problem. Status and title follow from `code`."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        errors: Iterable[Fault] = (),
        *,
        retry_after_s: int | None = None,
        choices: Iterable[Choice] = (),
    ) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s
        self.choices = tuple(choices)
        self.status = status_of(code)

    def body(self) -> bytes:
        return document(self.code, self.detail, self.errors, self.choices)


class Unreadable(Problem):
    """A body that cannot be understood; `raw` is its beginning (≤ 64 KiB), so that no contact is lost."""

    def __init__(self, code: str, detail: str, raw: bytes, errors: Iterable[Fault] = ()) -> None:
        super().__init__(code, detail, errors)
        self.raw = raw


def status_of(code: str) -> int:
    """The HTTP status of a code; one that is not in the table still gets a sensible one."""
    if code in KINDS:
        return KINDS[code].status
    return 404 if code.startswith("unknown_") else 409


def document(code: str, detail: str = "", errors: Iterable[Fault] = (), choices: Iterable[Choice] = ()) -> bytes:
    """The problem as `application/problem+json`."""
    kind = KINDS.get(code) or Kind(status_of(code), code.replace("_", " ").capitalize() + ".")
    return msgspec.json.encode(
        Document(
            kind=URN + code,
            title=kind.title,
            status=kind.status,
            detail=(detail or kind.title)[:DETAIL_MAX],
            code=code,
            errors=tuple(errors)[:ERRORS_MAX],
            choices=tuple(choices)[:CHOICES_MAX],
        )
    )


def refused(refusal: Refusal) -> tuple[int, bytes]:
    """The core's refusal as (HTTP status, body)."""
    errors = (Fault(refusal.pointer, refusal.message),) if refusal.pointer else ()
    return status_of(refusal.code), document(refusal.code, refusal.message, errors)


def listing() -> list[str]:
    """The rows of the table in docs/refusals.md, which a test holds to this."""
    return [f"| `{code}` | {kind.status} | {kind.title} |" for code, kind in sorted(KINDS.items())]


_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>\$.*)`)?$", re.DOTALL)
_NAMED = re.compile(r"(?:unknown|required) field `(?P<name>[^`]*)`")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")


def fault_of(error: msgspec.ValidationError, kind: Any) -> Fault:
    """msgspec's sentence with a JSON path as a fault with a JSON pointer, and with what `kind` takes there instead.

    `Expected `int`, got `str` - at `$.location[0].point`` -> `/location/0/point`. A missing or unknown field
    is pointed at itself, not at the object around it.
    """
    match = _AT.match(str(error))
    assert match is not None, "the pattern matches every text"
    what, path = match["what"][:SENTENCE_MAX], match["path"] or "$"
    steps = [name or index for name, index in _STEP.findall(path[1:]) if name or index]
    known = fitting(what, kind, steps)
    named = _NAMED.search(what)
    if named is not None:
        steps.append(named["name"])
    detail = f"{what}. Known: {', '.join(known)}." if known else what
    return Fault("".join("/" + escaped(step) for step in steps), detail)


def escaped(step: str) -> str:
    """One step of a JSON pointer (RFC 6901, section 3)."""
    return step.replace("~", "~0").replace("/", "~1")
