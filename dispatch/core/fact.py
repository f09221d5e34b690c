"""What every event is: a frozen, tagged value of the journal. The kinds stand in `events.py` and `aid_events.py`."""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", gc=False):
    """A fact of one region. Its time, actor and place in the order stand in the journal's envelope."""


def kind_of(event: Event) -> str:
    """The event's name in the journal."""
    return str(event.__struct_config__.tag)
