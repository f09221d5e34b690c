"""What cannot be understood is said in the log now and then: a stuck device sends thousands of such messages a second.

How many there were is counted where they come in.
"""

from __future__ import annotations

import logging
import time

from dispatch.core.terms import UnitId

SAID_EVERY_S = 1.0


class Complaints:
    """At most one line each SAID_EVERY_S, of whichever unit comes then."""

    def __init__(self, log: logging.Logger, action: str) -> None:
        self._log = log
        self._action = action
        self._not_before_s = 0.0

    def say(self, unit_id: UnitId, what: str) -> None:
        now_s = time.monotonic()
        if now_s >= self._not_before_s:
            self._not_before_s = now_s + SAID_EVERY_S
            self._log.info(what, extra={"unit": unit_id, "action": self._action})
