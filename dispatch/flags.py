"""Values of flags that are checked as they are read: numbers in a range, files that can be written.

A wrong one is the user's mistake, said in one line before anything is started.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from dispatch.errors import UserMistake

SEED_MAX = 2**63 - 1
WEEK_S = 7 * 86_400.0
RATE_MAX = 10_000.0
"""Calls a second; a benchmark's generator cannot make more."""


def more_than(low: float, high: float) -> Callable[[str], float]:
    """A finite number above `low`, at most `high`."""

    def read(text: str) -> float:
        number = _number(text)
        if not low < number <= high:
            raise argparse.ArgumentTypeError(f"a number above {low:g} and up to {high:g}, not {text[:40]}")
        return number

    return read


def between(low: float, high: float) -> Callable[[str], float]:
    """A finite number from `low` to `high`."""

    def read(text: str) -> float:
        number = _number(text)
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"a number from {low:g} to {high:g}, not {text[:40]}")
        return number

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number from `low` to `high`."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"a whole number from {low} to {high}, not {text[:40]}")
        return number

    return read


seed = whole(-SEED_MAX, SEED_MAX)
"""What a simulation is drawn from."""


def can_be_written(path: Path) -> None:
    """Raises UserMistake when the file cannot be written, before the work whose result it is to hold."""
    there = path.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
        if not there:
            path.unlink()
    except (OSError, ValueError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else fault
        raise UserMistake(f"cannot write {path}: {why}") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan  # In no range.
