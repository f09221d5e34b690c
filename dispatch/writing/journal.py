"""The bytes of the journal's hash chain and of commitments to personal data: exact, so that all can verify.

Pure functions; nothing here stores or reads anything. The recipe, for whoever writes another verifier:

    hash of event n = SHA-256( hash of event n-1  ||  field(region)  ||  field(seq)  ||  field(at)
                               ||  field(kind)  ||  field(payload)  ||  field(actor)  ||  field(epoch) )
    field(x)        = length of x in bytes, as 4 bytes, big-endian  ||  x
    region, kind, actor   UTF-8 text             seq, epoch   decimal digits in ASCII
    at              UTC as `2026-11-23T14:32:07.000250Z`, always six digits of a second
    payload         the JSON text exactly as kept, UTF-8
    hash of event 0 = 32 zero bytes (`GENESIS`)

    commitment      = HMAC-SHA-256(key = salt, message = document) in lower-case hexadecimal digits
    document        canonical JSON: keys sorted, no white space, UTF-8 without needless escapes
"""

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import msgspec

GENESIS = bytes(32)
"""Stands for the hash before the first event of a region."""

SALT_BYTES_MIN = 16
"""A shorter salt would let a phone number be found by trying them all."""

_canonical = msgspec.json.Encoder(order="sorted")


def chain(
    previous: bytes, region: str, seq: int, at: datetime, *, kind: str, payload: bytes, actor: str, epoch: int
) -> bytes:
    """The 32-byte hash of an event, chained over the hash of the event before it in its region."""
    assert len(previous) == 32, "a hash has 32 bytes"
    assert at.tzinfo is not None, "times are aware"
    texts = (region, str(seq), moment(at), kind)
    parts = [previous]
    for field in (*map(str.encode, texts), payload, actor.encode(), str(epoch).encode()):
        parts.append(len(field).to_bytes(4, "big"))
        parts.append(field)
    return hashlib.sha256(b"".join(parts)).digest()


def moment(at: datetime) -> str:
    """A time as the chain writes it: UTC, microseconds, `Z`."""
    utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    return utc.isoformat(timespec="microseconds")[:26] + "Z"


def canonical(document: Any) -> bytes:
    """A value of plain types as the JSON bytes that commitments are made of."""
    return _canonical.encode(document)


def commitment(salt: bytes, document: bytes) -> str:
    """What an event carries instead of personal data: silent without the salt, fits one document only."""
    assert len(salt) >= SALT_BYTES_MIN, "the salt is too short to hide a phone number"
    return hmac.digest(salt, document, "sha256").hex()
