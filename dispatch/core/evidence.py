"""The evidence of where one call is: how much of it is kept."""

from __future__ import annotations

from dispatch.core.terms import LocationFix

EVIDENCE_KEPT = 16


def with_fix(evidence: tuple[LocationFix, ...], fix: LocationFix) -> tuple[LocationFix, ...]:
    """The evidence with one more piece; over the limit the oldest that nobody confirmed goes."""
    kept = (*evidence, fix)
    while len(kept) > EVIDENCE_KEPT:
        spare = next((f for f in kept if not f.confirmed), kept[0])
        kept = tuple(f for f in kept if f is not spare)
    return kept
