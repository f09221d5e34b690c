"""The service's own measures as numbers: reads the text that /metrics prints, and takes differences."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from time import monotonic
from urllib.request import urlopen

import msgspec

_LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{([^}]*)\})? (\S+)$")
TIMEOUT_S = 60.0
"""Whoever is measured at its limit answers late."""
FOLLOWED = "dispatch112_open"
"""What each process says of every region that it leads or follows: the same in all of them."""

Measures = dict[tuple[str, str], float]
"""(name, labels as printed) -> value."""


class Reading(msgspec.Struct, frozen=True):
    """What the service said of itself, and when (monotonic)."""

    at_s: float
    measures: Measures

    def value(self, name: str, labels: str = "") -> float:
        return self.measures.get((name, labels), 0.0)

    @property
    def memory_mb(self) -> float:
        """Resident memory in megabytes of a million bytes."""
        return self.value("process_resident_memory_bytes") / 1e6

    @property
    def cpu_s(self) -> float:
        return self.value("process_cpu_seconds_total")


async def read(*urls: str) -> Reading:
    """Ask the service; what several processes of it say is added up."""
    texts = await asyncio.gather(*(asyncio.to_thread(_fetched, f"{url}/metrics") for url in urls))
    return Reading(monotonic(), together([parsed(text) for text in texts]))


def together(said: Sequence[Measures]) -> Measures:
    """Several processes as one: their sums, but of what lies in a region the most that any of them knows."""
    found: Measures = {}
    for measures in said:
        for key, value in measures.items():
            known = found.get(key, 0.0)
            found[key] = max(known, value) if key[0] == FOLLOWED else known + value
    return found


def parsed(text: str) -> Measures:
    """The values of Prometheus' text format, without its comments and time stamps."""
    found: Measures = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is not None:
            found[match.group(1), match.group(2) or ""] = float(match.group(3))
    return found


def stages(before: Reading, after: Reading) -> dict[str, tuple[float, float]]:
    """Stage -> (seconds, runs) between two readings."""
    found = {}
    for name, labels in after.measures:
        if name == "dispatch112_stage_seconds_total":
            seconds = after.value(name, labels) - before.value(name, labels)
            runs = after.value("dispatch112_stage_runs_total", labels)
            runs -= before.value("dispatch112_stage_runs_total", labels)
            found[labels.partition('"')[2].rstrip('"')] = (seconds, runs)
    return found


def depths(reading: Reading) -> dict[str, float]:
    """What was open in all regions together, by its kind."""
    found: dict[str, float] = {}
    for (name, labels), value in reading.measures.items():
        if name == FOLLOWED:
            what = labels.partition('what="')[2].rstrip('"')
            found[what] = found.get(what, 0) + value
    return found


def _fetched(url: str) -> str:
    with urlopen(url, timeout=TIMEOUT_S) as response:
        return str(response.read().decode())
