"""Operators, sessions and devices in Postgres. Who may do what is decided elsewhere (consoles/access.py).

Devices and sessions are read by intake's connections, because a call that arrives with a key waits for them.
"""

from typing import Any

import asyncpg

from dispatch.keeping.pool import Pool
from dispatch.writing.records import Device, Operator, Session


class PostgresAccess:
    """The part of the Postgres store that log-ins need."""

    _intake: Pool
    _readers: Pool

    async def put_operator(self, operator: Operator) -> None:
        o = operator
        await self._readers.run(
            "access.put_operator", o.username, o.role, o.password, o.body, o.regions, o.language, o.active
        )

    async def get_operator(self, username: str) -> Operator | None:
        rows = await self._readers.run("access.get_operator", username)
        return Operator(**_scoped(rows[0])) if rows else None

    async def list_operators(self) -> list[Operator]:
        return [Operator(**_scoped(row)) for row in await self._readers.run("access.list_operators")]

    async def put_session(self, session: Session) -> None:
        s = session
        await self._readers.run("access.put_session", s.token, s.username, s.created_at, s.expires_at)

    async def get_session(self, token: bytes) -> Session | None:
        rows = await self._intake.run("access.get_session", token)
        return Session(**rows[0]) if rows else None

    async def drop_session(self, token: bytes) -> None:
        await self._readers.run("access.drop_session", token)

    async def drop_sessions(self, username: str) -> int:
        ended: int = (await self._readers.run("access.drop_sessions", username))[0][0]
        return ended

    async def put_device(self, device: Device) -> None:
        d = device
        await self._readers.run("access.put_device", d.token, d.actor, d.role, d.body, d.regions, d.active)

    async def get_device(self, token: bytes) -> Device | None:
        rows = await self._intake.run("access.get_device", token)
        return Device(**_scoped(rows[0])) if rows else None

    async def list_devices(self) -> list[Device]:
        return [Device(**_scoped(row)) for row in await self._readers.run("access.list_devices")]

    async def drop_device(self, token: bytes) -> None:
        await self._readers.run("access.drop_device", token)


def _scoped(row: asyncpg.Record) -> dict[str, Any]:
    return {**row, "regions": tuple(row["regions"])}
