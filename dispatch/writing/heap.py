"""The garbage collector and working threads, kept out of a call's way.

A look at everything takes hundreds of milliseconds once roads, regions and open incidents are in memory, and
nobody answers a call meanwhile. What is there after the start stays, so it is never looked at again; values of
the core hold no cycles and are not looked at either (`gc=False`); reference counts free all of these as ever.
"""

from __future__ import annotations

import gc
import sys

YOUNG, MIDDLE, OLD = 50_000, 20, 20
"""New containers before the youngest are looked at, and how many looks before the next older generation."""

SWITCH_S = 0.0005
"""How long a thread that renders or signs may keep the loop waiting at a time; Python's own 5 ms, at each of a
call's many system calls, made it tenfold slower while the paper kit was written."""


def settle() -> None:
    """Call once, when the process has loaded what it keeps."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    sys.setswitchinterval(SWITCH_S)
