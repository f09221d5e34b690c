"""Which function carries out which fact: filled by the modules that evolve, asked by `evolve` alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from dispatch.core.events import Event
from dispatch.core.state import RegionState

Step = Callable[[RegionState, Any, datetime], None]
STEPS: dict[type[Event], Step] = {}


def on(kind: type[Event]) -> Callable[[Step], Step]:
    """Let the decorated function carry out facts of this kind."""

    def register(step: Step) -> Step:
        assert kind not in STEPS, f"{kind.__name__} is carried out twice"
        STEPS[kind] = step
        return step

    return register
