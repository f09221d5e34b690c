"""A program that speaks to the service by HTTP: one log-in, answers as values, refusals counted by their code.

A POST carries an idempotency key and is sent again with it while the service cannot be reached, as every good
client does; so a call is never lost on its way in, nor taken twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from time import monotonic
from typing import Any

import aiohttp
import msgspec

AGAIN_S = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0)
"""Waits before a request is sent again, in wall seconds; after the last the request has failed."""
AWAY = frozenset({429, 502, 503, 504})
TIMEOUT_S = 30.0
JSON = {"Content-Type": "application/json"}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. `sent_s` is when it was sent first, `got_s` when the answer was there (monotonic)."""

    status: int
    body: dict[str, Any]
    sent_s: float
    got_s: float

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """The code of a refusal."""
        return str(self.body.get("code", self.status))


class Counts(msgspec.Struct, kw_only=True):
    """Of all clients of one load: requests, those sent again, those given up, refusals by code."""

    requests: int = 0
    again: int = 0
    failed: int = 0
    refused: Counter[str] = msgspec.field(default_factory=Counter)


class Client:
    """Requests of one actor. Closed by its owner."""

    def __init__(self, url: str, token: str, counts: Counts, connections: int = 64) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self._counts = counts
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=60),
            headers={"Authorization": f"Bearer {token}"},
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        await self._session.close()

    async def get(self, path: str, asked: Mapping[str, str] | None = None) -> Answer:
        """GET /api/v1/{path}."""
        return await self._asked("GET", path, None, {}, asked)

    async def post(self, path: str, body: Mapping[str, Any] | None = None, key: str | None = None) -> Answer:
        """POST /api/v1/{path} with a JSON body."""
        headers = JSON if key is None else JSON | {"Idempotency-Key": key}
        return await self._asked("POST", path, msgspec.json.encode(body or {}), headers)

    async def put(self, path: str, body: Mapping[str, Any]) -> Answer:
        """PUT /api/v1/{path} with a JSON body."""
        return await self._asked("PUT", path, msgspec.json.encode(body), JSON)

    async def post_form(self, path: str, form: bytes) -> Answer:
        """POST /api/v1/{path} as a handset's form."""
        return await self._asked("POST", path, form, {"Content-Type": "application/x-www-form-urlencoded"})

    async def _asked(
        self,
        method: str,
        path: str,
        data: bytes | None,
        headers: Mapping[str, str],
        asked: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request, repeated while the service is away. Status 0: it stayed away."""
        self._counts.requests += 1
        sent_s = monotonic()
        answer = await self._once(method, path, data, headers, asked)
        for wait_s in AGAIN_S:
            if answer is not None and answer.status not in AWAY:
                break
            self._counts.again += 1
            await asyncio.sleep(wait_s)
            answer = await self._once(method, path, data, headers, asked)
        if answer is None or answer.status >= 500:
            self._counts.failed += 1
        elif not answer.good:
            self._counts.refused[answer.code] += 1
        status, body = (0, {}) if answer is None else (answer.status, answer.body)
        return Answer(status=status, body=body, sent_s=sent_s, got_s=monotonic())

    async def _once(
        self,
        method: str,
        path: str,
        data: bytes | None,
        headers: Mapping[str, str],
        asked: Mapping[str, str] | None,
    ) -> Answer | None:
        try:
            url = f"{self.url}/api/v1/{path}"
            async with self._session.request(method, url, data=data, headers=headers, params=asked) as response:
                raw = await response.read()
                body = msgspec.json.decode(raw) if raw else {}
                return Answer(status=response.status, body=body, sent_s=0.0, got_s=0.0)
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError):
            return None
