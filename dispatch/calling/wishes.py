"""What a sender asks for by a word of a closed list: service, incident type, priority; and its language.

A word that is none of the list does not stop a call: it counts as not said, the call is flagged, and a person
reads the word beside the caller's own. The lists stand in the served document.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from dispatch.core.plans import PLANS
from dispatch.core.terms import Priority, Service

WORD_MAX = 64
WISHES_KEPT = 4_096
"""Combinations of words in memory: nearly all calls use one of a few dozen."""

_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")

Known = TypeVar("Known", bound=StrEnum)


def _listed(values: list[str], more: str) -> Meta:
    """The list for programs, beside any other text for what they do not know yet."""
    schema: dict[str, Any] = {"anyOf": [{"enum": values}, {"type": "string"}]}
    return Meta(max_length=WORD_MAX, description=more, extra_json_schema=schema)


_ELSE = "another word is flagged, kept with the text, and counts as not said"

ServiceWord = Annotated[str, _listed([str(name) for name in Service], f"A service; {_ELSE}.")]
TypeWord = Annotated[str, _listed(list(PLANS), f"A type of the catalogue; {_ELSE}.")]
PriorityWord = Annotated[str, _listed([str(name) for name in Priority], f"P1 to P4; {_ELSE}.")]
LanguageWord = Annotated[str, Meta(max_length=WORD_MAX, description=f"A BCP 47 tag; {_ELSE}.")]

TypeName = Annotated[str, Meta(min_length=1, max_length=WORD_MAX, extra_json_schema={"enum": list(PLANS)})]
"""The same list where an operator chooses from it: nothing else is taken."""


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """The words that are known, and those that are not by the field in which they stood."""

    service: Service | None = None
    incident_type: str | None = None
    priority: Priority | None = None
    language: str | None = None
    unknown: Mapping[str, str] = {}

    @property
    def flags(self) -> tuple[str, ...]:
        """`unknown_incident_type` and the like: what a person must know of the call at once."""
        return unknown_words(self.unknown)

    @property
    def text(self) -> str:
        """The unknown words as a person reads them below the caller's own."""
        return "\n".join(f"{field}: {word}" for field, word in self.unknown.items())


def unknown_words(fields: Iterable[str]) -> tuple[str, ...]:
    """The flags of fields whose word is none of their list."""
    return tuple(f"unknown_{field}" for field in fields)


@lru_cache(maxsize=WISHES_KEPT)
def understood(*, service: str | None, incident_type: str | None, priority: str | None, language: str | None) -> Wishes:
    """The words as values, whatever their case and the blanks around them; an empty one was not said."""
    said = {"service": service, "incident_type": incident_type, "priority": priority, "language": language}
    words = {field: word.strip() for field, word in said.items() if word and word.strip()}
    kind = words.get("incident_type", "").lower()
    tongue = words.get("language", "")
    found = Wishes(
        service=_one_of(Service, words.get("service", "").lower()),
        incident_type=kind if kind in PLANS else None,
        priority=_one_of(Priority, words.get("priority", "").upper()),
        language=tongue if _LANGUAGE.fullmatch(tongue) else None,
    )
    missed = {field: word for field, word in words.items() if getattr(found, field) is None}
    return msgspec.structs.replace(found, unknown=missed) if missed else found


def _one_of(kind: type[Known], word: str) -> Known | None:
    try:
        return kind(word)
    except ValueError:
        return None
