"""What runs of chaos came to: one run as a line and in the file of those that are done, all of them as figures."""

from __future__ import annotations

from statistics import median
from typing import Any

import msgspec

DEPOSING = {"kill": "killed", "freeze": "frozen"}
"""The blows after which another process must lead what the victim led, and the word for their victims."""
COUNTED = ("acknowledged", "found", "missing", "doubled", "out_of_order", "spooled", "ordered", "renamed")


class Run(msgspec.Struct, kw_only=True):
    """What one run came to."""

    number: int
    kind: str
    victim: str
    hit: bool = True
    """False: there was nothing to hit, so the run tells nothing about its blow."""
    acknowledged: int = 0
    found: int = 0
    missing: int = 0
    doubled: int = 0
    out_of_order: int = 0
    spooled: int = 0
    ordered: int = 0
    """Of the spooled: those of which it is known whose spool held them, so that their order is judged."""
    renamed: int = 0
    """Spooled while an earlier attempt under the same key was committed elsewhere: one call, under that name."""
    refused: dict[str, int] = {}
    takeover_s: float | None = None
    awoke_leading: bool = False
    """The frozen one was awake before its leases were over, so that nobody had to take over."""
    longest_wait_s: float = 0.0
    seconds: float = 0.0
    faults: list[str] = []

    def line(self) -> str:
        return (
            f"run {self.number:>4}  {self.kind:<24} {self.victim:<7} acknowledged {self.acknowledged:>4}"
            f" found {self.found:>4} missing {self.missing} doubled {self.doubled} out of order {self.out_of_order}"
            f" spooled {self.spooled:>3} (in order {self.ordered:>3}) renamed {self.renamed}"
            f" takeover {self._takeover():>7}, longest wait {self.longest_wait_s:5.2f} s,"
            f" refused {self.refused or 0}, {self.seconds:4.1f} s{'' if self.hit else '; nothing to hit'}"
        )

    def _takeover(self) -> str:
        if self.takeover_s is not None:
            return f"{self.takeover_s:.2f} s"
        if self.kind not in DEPOSING or not self.hit:
            return "-"
        return "not due" if self.awoke_leading else "unknown"


class State(msgspec.Struct):
    """The runs that are done, by number."""

    runs: dict[int, Run] = {}


def summary(runs: list[Run]) -> dict[str, Any]:
    """All runs together. Of takeovers also how many were not due and how many nobody could time."""
    whole: dict[str, Any] = {"runs": len(runs), "blows": sum(run.hit for run in runs)}
    for name in COUNTED:
        whole[name] = sum(getattr(run, name) for run in runs)
    for kind, name in DEPOSING.items():
        some = [run for run in runs if run.kind == kind and run.hit]
        took = [run.takeover_s for run in some if run.takeover_s is not None]
        awoke = sum(run.takeover_s is None and run.awoke_leading for run in some)
        whole[f"takeover_{name}_p50_s"] = round(median(took), 2) if took else None
        whole[f"takeover_{name}_max_s"] = round(max(took), 2) if took else None
        whole[f"takeover_{name}_not_due"] = awoke
        whole[f"takeover_{name}_unknown"] = len(some) - len(took) - awoke
    whole["longest_wait_s"] = round(max((run.longest_wait_s for run in runs), default=0.0), 2)
    return whole
