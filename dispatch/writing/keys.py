"""An idempotency key as it came with a request, and how it is told from the one that was answered."""

from __future__ import annotations

import msgspec

from dispatch.core.terms import ActorId
from dispatch.writing.records import Answer, Recorded

BODY_PART, ADDRESS_PART = 16, 8
"""Bytes of a key's digest that stand for the body, and after them for method and path."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """An idempotency key with its actor, and a digest of what came with it: BODY_PART of the body, then the address."""

    actor: ActorId
    key: str
    body_hash: bytes

    def answered(self, status: int, body: bytes, first: Recorded) -> Answer:
        """What stands under the key from now on; `first` is the first event that the request led to."""
        return Answer(
            actor=self.actor,
            key=self.key,
            region=first.region,
            body_hash=self.body_hash,
            status=status,
            body=body,
            at=first.at,
        )

    def is_of(self, first: Answer) -> bool:
        """Whether the first answer was given at the same address: else the key stands for something else."""
        # A digest of another length is of a program that kept the body's alone.
        comparable = len(first.body_hash) == len(self.body_hash)
        return not comparable or first.body_hash[BODY_PART:] == self.body_hash[BODY_PART:]

    def has_body_of(self, first: Answer) -> bool:
        """Whether the first request had the same body."""
        return first.body_hash[:BODY_PART] == self.body_hash[:BODY_PART]
