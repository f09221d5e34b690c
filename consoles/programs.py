"""The programs whose token is valid, written down while the database answers: an emergency must get in without it.

A phone network's gateway or an app may come to a process that has never seen its token, on the day when nobody can
look it up. Persons are not on the list: what they do needs the database anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from dispatch.actors import EVERYWHERE, Actor, Role
from dispatch.clock import SystemClock
from dispatch.core.terms import ActorId, Body, RegionId, UnitId
from dispatch.errors import ServiceAway
from dispatch.keeping.files import write_whole
from dispatch.store import Store
from dispatch.writing.records import Device

log = logging.getLogger(__name__)

NOTED_EVERY_S = 60.0
NOTED_MAX = 20_000
"""Programs on the list, some 2 MB."""
BELIEVED_FOR = timedelta(hours=24)
"""So long a program is believed on our own word: enough for an outage, not for ever for one that was locked out."""
FILE = "programs.json"


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """The programs that had a valid token at a moment, by the digests of their tokens."""

    at: datetime
    devices: tuple[Device, ...]


class Programs:
    """The list of one process: `run` beside the service keeps it fresh."""

    def __init__(self, data_dir: Path, store: Store) -> None:
        self._path = data_dir / FILE
        self._store = store
        self._at: datetime | None = None
        self._actors: dict[bytes, Actor] = {}
        self._changed = asyncio.Event()
        with contextlib.suppress(OSError, ValueError):  # A first start, or a torn disk: nobody is known yet.
            self._learn(msgspec.json.decode(self._path.read_bytes(), type=Noted))

    def actor_of(self, token: bytes) -> Actor | None:
        """Whose token has this digest, as far as somebody wrote it down lately."""
        lately = self._at is not None and SystemClock().wall() - self._at <= BELIEVED_FOR
        return self._actors.get(token) if lately else None

    def forget(self, token: bytes) -> None:
        """The database has just said that the token is nobody's any more."""
        if self._actors.pop(token, None) is not None:
            self._changed.set()

    async def run(self) -> None:
        """Keep the list fresh until cancelled; without room for its file the old one stands."""
        while True:
            self._changed.clear()
            try:
                await self._note()
            except (ServiceAway, OSError) as fault:
                log.warning("the programs' list is not renewed: %s", fault, extra={"action": "note"})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(NOTED_EVERY_S):
                    await self._changed.wait()

    async def _note(self) -> None:
        devices = [device for device in await self._store.list_devices() if device.active]
        # Units last: what they do needs the database anyway.
        devices.sort(key=lambda device: device.role == Role.UNIT)
        if len(devices) > NOTED_MAX:
            log.warning("%d programs are not on the list", len(devices) - NOTED_MAX, extra={"action": "note"})
        noted = Noted(at=SystemClock().wall(), devices=tuple(devices[:NOTED_MAX]))
        self._learn(noted)
        await asyncio.to_thread(self._write, msgspec.json.encode(noted))

    def _write(self, content: bytes) -> None:
        # A process without servers of its own may be the first to keep anything here.
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(self._path, content, 0o600)

    def _learn(self, noted: Noted) -> None:
        self._at = noted.at
        self._actors = {}
        for device in noted.devices:
            with contextlib.suppress(ValueError):  # Of a role that only another version of us knows.
                self._actors[device.token] = actor_of_device(device)


def actor_of_device(device: Device) -> Actor:
    """A program's actor; `unit:TK-A22` speaks for that unit."""
    sort, _, name = device.actor.partition(":")
    return Actor(
        actor_id=ActorId(device.actor),
        role=Role(device.role),
        username=name,
        regions=scope_of(device.regions),
        body=Body(device.body) if device.body else None,
        unit_id=UnitId(name) if sort == "unit" else None,
        session=device.token.hex(),
    )


def scope_of(regions: tuple[str, ...]) -> tuple[RegionId, ...]:
    return tuple(RegionId(region) for region in regions) or (EVERYWHERE,)
