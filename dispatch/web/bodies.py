"""What came in with a request, as typed values: body, query and key, each with a limit. Not what it means.

Bad input of any kind ends as a `Problem` with a 4xx status, never as our fault: unknown and doubled fields,
wrong types, NaN and 1e999, lone surrogates, NUL, invalid UTF-8, deep nesting, bodies too large or too slow.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from dispatch.web.problems import Fault, Problem, Unreadable, escaped, fault_of
from dispatch.web.routes import BODY_MAX

T = TypeVar("T")

RAW_KEPT_BYTES = 64 * 1024
ARRIVAL_TIMEOUT_S = 10.0
KEY_MAX = 200

RAW = web.RequestKey("raw", bytes)
"""The body once it was read: whoever must send a request on, or answer it a second time, finds it here."""
GIVEN_KEY = web.RequestKey("given_key", str)
"""A key for a request that came without one, so that it may be sent again when the line to another process breaks."""
PATIENT = web.RequestKey("patient", bool)
"""Whoever called the handler waits for the region's next leader, so it need not be made do without one."""
VOUCHED = web.RequestKey("vouched", bool)
"""This process knows the sender itself: another is shown that by the secret of processes, for it cannot know him."""
SETTLED = web.RequestKey("settled", bool)
"""What the handler did is all that there is to do: no other process need be told."""

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_KEY = re.compile(rf"[\x21-\x7e]{{1,{KEY_MAX}}}")
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


async def body(request: web.Request, kind: type[T], limit: int = BODY_MAX) -> T:
    """The JSON body as a `kind`. Raises Unreadable (400, 408, 413, 415, 422) with the body's beginning."""
    raw = await read(request, limit)
    if request.content_type not in ("application/json", "application/octet-stream"):
        detail = f"Send application/json, not {request.content_type}."
        raise Unreadable("unsupported_media_type", detail, raw[:RAW_KEPT_BYTES])
    return decode(raw, kind)


async def read(request: web.Request, limit: int = BODY_MAX) -> bytes:
    """The raw body. Reads no more than the limit and one chunk. Raises Unreadable (408, 413, 415)."""
    kept = request.get(RAW)
    if kept is None:
        kept = request[RAW] = await _read(request, limit)
    elif len(kept) > limit:
        raise Unreadable("too_large", f"At most {limit} bytes.", kept[:RAW_KEPT_BYTES])
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        # Unpacking would give a small body any size; as it came it may still tell a person something.
        raise Unreadable("unsupported_media_type", "Send the body without Content-Encoding.", kept[:RAW_KEPT_BYTES])
    return kept


async def _read(request: web.Request, limit: int) -> bytes:
    content = request.content
    if content.is_eof() and content.exception() is None and content.total_bytes <= limit:
        # All of it came with the head, as small bodies do: nothing to wait for.
        return content.read_nowait()
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(ARRIVAL_TIMEOUT_S):
            async for chunk in content.iter_any():
                chunks.append(chunk)
                size += len(chunk)
                if size > limit:
                    raise Unreadable("too_large", f"At most {limit} bytes.", _beginning(chunks))
    except TimeoutError:
        detail = f"The body must arrive within {ARRIVAL_TIMEOUT_S:.0f} s."
        raise Unreadable("too_slow", detail, _beginning(chunks)) from None
    except (web.RequestPayloadError, ValueError) as error:
        # A chunk with a broken head, for one: aiohttp names it.
        detail = f"The body is broken: {error}"[:200]
        raise Unreadable("malformed_request", detail, _beginning(chunks)) from None
    return b"".join(chunks)


def decode(raw: bytes, kind: type[T]) -> T:
    """The bytes of a JSON body as a `kind`. Raises Unreadable (400, 422)."""
    kept = raw[:RAW_KEPT_BYTES]
    try:
        value: T = _decoder(kind).decode(raw)
    except msgspec.ValidationError as error:
        fault = fault_of(error, kind)
        raise Unreadable("invalid_body", fault.detail, kept, [fault]) from None
    except (msgspec.DecodeError, UnicodeError) as error:
        detail = str(error) if raw.strip() else "The body is empty: send one JSON object."
        raise Unreadable("malformed_json", detail, kept) from None
    except RecursionError:
        raise Unreadable("malformed_json", "The body is nested too deeply.", kept) from None
    doubled = _doubled(raw)
    if doubled is not None:
        fault = Fault("/" + escaped(doubled), f"The field `{doubled}` occurs twice in one object.")
        raise Unreadable("invalid_body", fault.detail, kept, [fault])
    if _NUL.search(raw):
        raise Unreadable("invalid_body", "Text may not hold the character U+0000.", kept)
    return value


def query(request: web.Request, kind: type[T]) -> T:
    """The query parameters as a `kind`; text becomes numbers and times where the type says so.

    Raises Problem `invalid_query`, naming the parameter, when one is unknown, doubled or out of range.
    """
    values: dict[str, str] = {}
    for name, value in request.query.items():
        if name in values:
            raise Problem("invalid_query", f"`{name}` is given twice.", [Fault(name, "Given twice.")])
        values[name] = value
    return converted(values, kind)


def converted(values: Mapping[str, str], kind: type[T]) -> T:
    """Named texts as a `kind`. Raises Problem `invalid_query`."""
    fields = {field.encode_name for field in msgspec.structs.fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in fields:
            known = ", ".join(sorted(fields)) or "none"
            fault = Fault(name, f"No such parameter. Known: {known}.")
            raise Problem("invalid_query", f"No parameter `{name[:100]}`.", [fault])
    try:
        return msgspec.convert(dict(values), kind, strict=False)
    except msgspec.ValidationError as error:
        fault = fault_of(error, kind)
        named = Fault(fault.pointer.lstrip("/"), fault.detail)
        raise Problem("invalid_query", f"{named.pointer}: {named.detail}", [named]) from None


def idempotency_key(request: web.Request) -> str | None:
    """The Idempotency-Key, or None. Raises Problem `invalid_key`."""
    key = request.headers.get("Idempotency-Key", request.get(GIVEN_KEY))
    if key is not None and not _KEY.fullmatch(key):
        raise Problem("invalid_key")
    return key


def _decoder(kind: type[T]) -> "msgspec.json.Decoder[T]":
    # Kinds are the declared types of the routes: a bounded number, so the table is too.
    if kind not in _decoders:
        _decoders[kind] = msgspec.json.Decoder(kind)
    return _decoders[kind]


class _Doubled(Exception):
    """Ends the second pass at the first field that occurs twice."""


def _single(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise _Doubled(next(name for name in names if names.count(name) > 1))


_pairs = json.JSONDecoder(object_pairs_hook=_single, parse_int=float)


def _doubled(raw: bytes) -> str | None:
    """The field that one object holds twice, if any: msgspec takes the last, another reader may not."""
    if b"\\u" not in raw and _colons(msgspec.json.decode(raw)) == raw.count(b":"):
        return None  # Every colon is accounted for, so no field was lost in reading.
    try:
        _pairs.decode(raw.decode())
    except _Doubled as doubled:
        return str(doubled)
    return None


def _colons(value: Any) -> int:
    """How many colons a JSON value needs when it is written: one a field, and those in its texts."""
    if isinstance(value, str):
        return value.count(":")
    if isinstance(value, dict):
        names: dict[str, Any] = value
        return len(names) + sum(name.count(":") + _colons(inner) for name, inner in names.items())
    return sum(map(_colons, value)) if isinstance(value, list) else 0


def _beginning(chunks: list[bytes]) -> bytes:
    return b"".join(chunks)[:RAW_KEPT_BYTES]
