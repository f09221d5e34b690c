"""Commands of a socket, put to our own HTTP addresses as its owner.

So they meet the same scope, keys and refusals as any other, and are sent on to whoever leads the region.
"""

from __future__ import annotations

from typing import Any

import aiohttp
import msgspec

from dispatch.errors import ServiceAway
from dispatch.web.websocket import Socket

KEPT_HEADERS = ("Authorization", "Cookie", "Origin", "Host")
"""By these the owner of a socket is known, and believed, again."""
CONNECTIONS_MAX = 64
PATIENCE_S = 35.0
"""A little longer than an address takes at most."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is not a success."""

    status: int
    code: str = "fault"
    detail: str = ""


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    code: str = "fault"
    detail: str = ""


class Onward:
    """`at` is where our own door is, once it is open."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.at = ""
        self._session = session

    async def post(self, socket: Socket, path: str, body: Any, key: str) -> Refused | None:
        """None: it was done. Raises ServiceAway when nobody can say."""
        headers = {name: value for name in KEPT_HEADERS if (value := socket.header(name)) is not None}
        headers |= {"Content-Type": "application/json", "Idempotency-Key": key}
        data = msgspec.json.encode(body)
        try:
            async with self._session.post(self.at + path, data=data, headers=headers) as answer:
                raw = await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as broken:
            raise ServiceAway(f"our own door does not answer: {broken}") from None
        return None if answer.status < 400 else _refused(answer.status, raw)


def _refused(status: int, raw: bytes) -> Refused:
    try:
        said = msgspec.json.decode(raw, type=_Problem)
    except msgspec.DecodeError:
        said = _Problem()
    return Refused(status=status, code=said.code, detail=said.detail)


def asking() -> aiohttp.ClientSession:
    """A session that keeps nothing of one owner for the next."""
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=PATIENCE_S),
        connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
    )
