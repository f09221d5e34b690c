"""What would have fitted, where a message holds a word of no list, or a field that its type does not have.

Read from the types themselves, and only once something did not fit: a sender is told what to write instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from msgspec import inspect

SENTENCE_MAX = 200
"""Characters of msgspec's sentence, which repeats what was sent: behind them stands what would have fitted."""
SHAPES_KEPT = 64
"""One for each kind of message that the service takes: reading one takes half a millisecond."""


def fitting(sentence: str, kind: Any, steps: Sequence[str]) -> tuple[str, ...]:
    """What would have fitted where msgspec says `sentence` of a value of this type; () where that is no list.

    `steps` are those of the JSON pointer to what it speaks of: to the word, or to the object with the field too many.
    """
    if sentence.startswith("Invalid enum value"):
        return tuple(str(word) for one in _at(kind, steps) for word in _words(one))
    if sentence.startswith("Object contains unknown field"):
        objects = (one for one in _at(kind, steps) if isinstance(one, inspect.StructType))
        return tuple(field.encode_name for one in objects for field in one.fields)
    return ()


def _at(kind: Any, steps: Sequence[str]) -> list[inspect.Type]:
    """Every type that may stand there: of a union all of its parts."""
    found = list(_parts([_shape(kind)]))
    for step in steps:
        found = list(_parts(below for one in found for below in _below(one, step)))
    return found


@lru_cache(maxsize=SHAPES_KEPT)
def _shape(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


def _parts(types: Iterable[inspect.Type]) -> Iterator[inspect.Type]:
    for one in types:
        if isinstance(one, inspect.Metadata):
            yield from _parts([one.type])
        elif isinstance(one, inspect.UnionType):
            yield from _parts(one.types)
        else:
            yield one


def _below(one: inspect.Type, step: str) -> Iterator[inspect.Type]:
    if isinstance(one, inspect.StructType):
        yield from (field.type for field in one.fields if field.encode_name == step)
    elif isinstance(one, inspect.CollectionType):
        yield one.item_type


def _words(one: inspect.Type) -> Iterable[Any]:
    if isinstance(one, inspect.EnumType):
        return (member.value for member in one.cls)
    return one.values if isinstance(one, inspect.LiteralType) else ()
