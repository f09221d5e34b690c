"""The demo's log-ins: one of each role, a device and a unit, made at the first start and kept in one file.

The file is the only place where these secrets stand; the store holds their digests. Not for real work.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from pathlib import Path
from typing import Any

from consoles.access import digest, hashed
from dispatch.actors import Role
from dispatch.calling.aml import KEY_FILE
from dispatch.core.terms import Body
from dispatch.store import Store
from dispatch.writing.records import Device, Operator

FILE = "credentials.json"
PEOPLE = (Role.CALL_TAKER, Role.DISPATCHER, Role.SUPERVISOR, Role.PLANNER, Role.ADMIN, Role.BODY)
BODY = Body.MIA
DEVICE = "device:demo"
UNIT = "TK-A1"
AML_ALGORITHM = "HMAC-SHA256, hex, of everything before &hmac="
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without those that look alike: the passwords are read off a terminal."""

Credentials = dict[str, dict[str, Any]]


async def seed_demo_credentials(
    store: Store, data_dir: Path, unit_id: str = UNIT, *, mqtt_url: str | None = None
) -> Credentials:
    """The credentials of this data directory, made when there are none, and known to the store afterwards.

    `{"dispatcher": {"username", "password", "token"}, …, "body": {…, "body"}, "device": {"actor", "token"},
    "unit": {"unit_id", "username", "password", "token", "mqtt_url"}, "aml": {"hmac_key", "algorithm"}}`; each
    sees every region. The unit's user name and password are for the broker, which answers at `mqtt_url`. A form
    to `POST /aml` is signed with the key of `aml`, which the service itself reads from its own file.
    """
    kept = await asyncio.to_thread(_kept, data_dir / FILE, unit_id, mqtt_url)
    for role in PEOPLE:
        await _ensure_person(store, role, kept[str(role)])
    await _ensure_device(store, DEVICE, Role.DEVICE, kept["device"]["token"])
    await _ensure_device(store, f"unit:{kept['unit']['unit_id']}", Role.UNIT, kept["unit"]["token"])
    return kept


def _kept(path: Path, unit_id: str, mqtt_url: str | None) -> Credentials:
    """The file's credentials, made if there are none. Where the broker answers may change from start to start."""
    known = _read(path)
    kept = known if known is not None else _made(unit_id)
    unit = kept["unit"] | ({"mqtt_url": mqtt_url} if mqtt_url is not None else {})
    aml = {"hmac_key": _aml_key(path.parent, kept.get("aml", {})), "algorithm": AML_ALGORITHM}
    told = kept | {"unit": unit, "aml": aml}
    if told != known:
        _write(path, told)
    return told


def _aml_key(data_dir: Path, kept: dict[str, Any]) -> str:
    """The key that the service holds forms to; made, or given back to it, when it has none."""
    path = data_dir / KEY_FILE
    if not path.is_file():
        _write_private(path, kept.get("hmac_key") or secrets.token_urlsafe(32))
    return path.read_text("utf-8").strip()


def _made(unit_id: str) -> Credentials:
    made: Credentials = {
        str(role): {"username": str(role), "password": _password(), "token": secrets.token_urlsafe(32)}
        for role in PEOPLE
    }
    made["body"]["body"] = str(BODY)
    made["device"] = {"actor": DEVICE, "token": secrets.token_urlsafe(32)}
    made["unit"] = {
        "unit_id": unit_id,
        "username": unit_id,
        "password": secrets.token_urlsafe(24),
        "token": secrets.token_urlsafe(32),
    }
    return made


def _password() -> str:
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(3))


async def _ensure_person(store: Store, role: Role, kept: dict[str, Any]) -> None:
    """The token is written after the person: where it is known, so is the person, with this password."""
    if await store.get_device(digest(kept["token"])) is not None:
        return
    body = str(BODY) if role is Role.BODY else None
    password = await hashed(kept["password"])
    await store.put_operator(Operator(username=kept["username"], role=str(role), password=password, body=body))
    await _ensure_device(store, f"user:{kept['username']}", role, kept["token"])


async def _ensure_device(store: Store, actor: str, role: Role, secret: str) -> None:
    body = str(BODY) if role is Role.BODY else None
    await store.put_device(Device(token=digest(secret), actor=actor, role=str(role), body=body))


def _read(path: Path) -> Credentials | None:
    try:
        kept: Credentials = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    return kept


def _write(path: Path, credentials: Credentials) -> None:
    _write_private(path, json.dumps(credentials, indent=1))


def _write_private(path: Path, text: str) -> None:
    """For the owner alone, and whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
