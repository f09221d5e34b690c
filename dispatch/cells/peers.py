"""The neighbouring cells of this one, as its operator named them in a file: where they are, what they lead, by
which key the two know each other. The key is a secret: the file is for its owner alone, and nothing prints it.

    {"samarkand": {"url": "http://10.0.0.7:8112", "regions": ["UZ-SA"], "key": "…at least 32 characters…"}}
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from dispatch.actors import Role
from dispatch.core.terms import RegionId
from dispatch.errors import UserMistake
from dispatch.store import Store
from dispatch.writing.records import Device
from routing.regions import region_facts

FILE = "cells.json"
PEERS_MAX = 64
KEY_MIN = 32


class Peer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One neighbour. Both sides have the same `key`: each sends it, and each knows the other by it."""

    url: Annotated[str, Meta(max_length=500)]
    regions: Annotated[tuple[RegionId, ...], Meta(min_length=1, max_length=64)]
    key: Annotated[str, Meta(min_length=KEY_MIN, max_length=200)]
    name: str = ""

    def __repr__(self) -> str:
        return f"{self.name} at {self.url} for {','.join(self.regions)}, key ***"


def read_peers(path: Path, ours: Collection[RegionId], *, must: bool = False) -> tuple[Peer, ...]:
    """The neighbours that the file names; none without a file, unless there `must` be one. Raises UserMistake."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, Peer])
    except FileNotFoundError:
        if must:
            raise UserMistake(f"there is no file {path} to name the neighbouring cells") from None
        return ()
    except (msgspec.DecodeError, OSError) as broken:
        raise UserMistake(f"{path}: {broken}") from None
    peers = tuple(msgspec.structs.replace(peer, name=name) for name, peer in found.items())
    faults = [*filter(None, (_fault(peer, ours) for peer in peers)), *filter(None, [_twice(peers)])]
    if faults:
        raise UserMistake(f"{path}: {faults[0]}")
    return peers


def _fault(peer: Peer, ours: Collection[RegionId]) -> str | None:
    parts = urlsplit(peer.url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        return f"the url of {peer.name} must be http://HOST:PORT or https://HOST, without a log-in"
    unknown = [region for region in peer.regions if region not in region_facts()]
    if unknown:
        return f"{peer.name} names {unknown[0]}, which is no region"
    both = [region for region in peer.regions if region in ours]
    return f"{both[0]} cannot be of {peer.name} and of this cell" if both else None


def _twice(peers: tuple[Peer, ...]) -> str | None:
    if len(peers) > PEERS_MAX:
        return f"at most {PEERS_MAX} cells"
    named = [region for peer in peers for region in peer.regions]
    double = next((region for region in named if named.count(region) > 1), None)
    return f"two cells have {double}" if double else None


async def enrol(store: Store, peers: Collection[Peer]) -> None:
    """Let these neighbours in by their keys, and no other: one that is not named any more is shut out."""
    known = {_token(peer): peer for peer in peers}
    for device in await store.list_devices():
        if device.role == Role.CELL and device.token not in known:
            await store.drop_device(device.token)
    for token, peer in known.items():
        made = Device(token=token, actor=f"cell:{peer.name}", role=str(Role.CELL), regions=peer.regions)
        await store.put_device(made)


def _token(peer: Peer) -> bytes:
    return hashlib.sha256(peer.key.encode()).digest()
