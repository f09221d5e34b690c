"""From an engine's reply to an HTTP answer, and the keys under which a repeated request gets the first one
again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from dispatch.actors import Actor
from dispatch.core.events import Event
from dispatch.core.state import RegionState
from dispatch.engine import Reply
from dispatch.web.bodies import idempotency_key
from dispatch.web.problems import MEDIA_TYPE
from dispatch.writing.keys import ADDRESS_PART, BODY_PART, Key

MISMATCH = "Idempotency-Mismatch"

Answering = Callable[[RegionState, tuple[Event, ...]], tuple[int, bytes]]
"""Makes the answer from the state after a command and the command's events: (status, JSON)."""

encode = msgspec.json.Encoder().encode


def key_of(request: web.Request, actor: Actor, raw: bytes) -> Key | None:
    """The request's idempotency key with its actor, and what it was sent with. Raises Problem `invalid_key`."""
    key = idempotency_key(request)
    if key is None:
        return None
    return Key(actor=actor.actor_id, key=key, body_hash=digest(f"{request.method} {request.path}", raw))


def digest(address: str, raw: bytes) -> bytes:
    """What tells a repeated request from another body, and from another address."""
    return (
        hashlib.sha256(raw).digest()[:BODY_PART]
        + hashlib.sha256(address.encode("utf-8", "surrogatepass")).digest()[:ADDRESS_PART]
    )


def replied(reply: Reply) -> web.Response:
    """The engine's reply as a response: the first answer's bytes again where the key was repeated."""
    response = web.Response(
        body=reply.body,
        status=reply.status,
        content_type="application/json" if reply.status < 400 else MEDIA_TYPE,
    )
    if reply.mismatch:
        response.headers[MISMATCH] = "true"
    return response


def answering(status: int, made: Callable[[RegionState], Any]) -> Answering:
    """An answer of this status whose value is made from the state after the command."""

    def make(state: RegionState, events: tuple[Event, ...]) -> tuple[int, bytes]:
        return status, encode(made(state))

    return make
