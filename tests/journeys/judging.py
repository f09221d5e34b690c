"""What callers were told, held against the journal when all is quiet. Nothing here asks a server or waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import inf

import msgspec

from simulators.phones import Told
from tests.journeys.ledger import Ledger
from tests.journeys.runs import Run


class Struck(msgspec.Struct, frozen=True, kw_only=True):
    """The moment of a blow: by the clock of the callers, by the wall's, and what its victim led, with the epochs."""

    at_s: float
    at: datetime
    led: dict[str, int]
    back_after_s: float = inf
    """When a frozen victim wakes. A killed one is never back as who it was."""


class WentOn(msgspec.Struct, frozen=True, kw_only=True):
    """How the regions that the victim led went on, as far as anybody called there after the blow."""

    took_s: dict[str, float]
    """From the blow to the first call that a next leader committed."""
    kept: set[str]
    """Where the victim itself went on, awake in time, and nobody took over."""
    silent: set[str]
    """Where people called and nobody came to lead."""


def name_of(call: Told, ledger: Ledger) -> str | None:
    """The id under which an acknowledged call is in the journal; None where it is in none.

    Only a spooled one may stand there under another id than its sender was told: that of an earlier attempt.
    """
    named: str = call.receipt["call_id"]
    if named in ledger.calls_from:
        return named
    first: str | None = ledger.answers.get(call.key, {}).get("call_id")
    return first if call.spooled and first in ledger.calls_from else None


def count(done: Run, told: Sequence[Told], ledger: Ledger, held_by: Mapping[str, str]) -> None:
    """Look for each acknowledged call; `held_by` says in whose spool one was."""
    done.acknowledged, done.spooled = len(told), sum(call.spooled for call in told)
    for call in told:
        name = name_of(call, ledger)
        done.found += name is not None
        done.missing += name is None
        done.renamed += name is not None and name != call.receipt["call_id"]
        done.out_of_order += not call.spooled and _later_than_told(call, ledger)
    for queue in _queues(told, ledger, held_by):
        done.ordered += len(queue)
        done.out_of_order += _overtaking(queue)
    # Every call came under a key, so one that no key's answer names is there twice.
    done.doubled = len(ledger.calls_from.keys() - {answer["call_id"] for answer in ledger.answers.values()})
    for fault in ("missing", "doubled", "out_of_order"):
        if getattr(done, fault):
            done.faults.append(f"{fault}: {getattr(done, fault)}")


def _later_than_told(call: Told, ledger: Ledger) -> bool:
    """Whether the journal has the call behind the number that its sender was told."""
    came = ledger.calls_from.get(call.receipt["call_id"])
    return came is not None and came.region == call.receipt["region"] and came.seq > call.receipt["seq"]


def _queues(told: Sequence[Told], ledger: Ledger, held_by: Mapping[str, str]) -> list[list[tuple[Told, int]]]:
    """The spooled calls of each process and region, with their numbers: these are committed in their order.

    Not so those of two processes, nor one that an earlier attempt had brought into the journal already.
    """
    queues: dict[tuple[str, str], list[tuple[Told, int]]] = {}
    for call in told:
        named = call.receipt["call_id"]
        came, holder = ledger.calls_from.get(named), held_by.get(named)
        if call.spooled and holder is not None and came is not None and came.region == call.receipt["region"]:
            queues.setdefault((holder, came.region), []).append((call, came.seq))
    return list(queues.values())


def _overtaking(queue: Sequence[tuple[Told, int]]) -> int:
    """How many calls stand before one that had been answered when they were first sent.

    Of two that were under way at the same time either may be the first.
    """
    answered = sorted(queue, key=lambda each: each[0].told_s)
    overtaking = place = highest = 0
    for call, seq in sorted(queue, key=lambda each: each[0].asked_s):
        while answered[place][0].told_s < call.asked_s:
            highest = max(highest, answered[place][1])
            place += 1
        overtaking += seq < highest
    return overtaking


def same_answer(first: Told, again: Told, ledger: Ledger) -> bool:
    """Whether a key was answered as before, or by the name under which its call is in the journal."""
    name = name_of(first, ledger)
    if name == first.receipt["call_id"]:
        return again.answer == first.answer
    return name is not None and again.status == 201 and again.receipt["call_id"] == name


def went_on(calls: Sequence[Told], ledger: Ledger, struck: Struck) -> WentOn:
    """Who went on in the victim's regions, and when."""
    called, kept = set[str](), set[str]()
    took_s: dict[str, float] = {}
    for call in calls:
        if call.status != 201:
            continue
        if call.asked_s > struck.at_s and call.receipt["region"] in struck.led:
            called.add(call.receipt["region"])
        came = ledger.calls_from.get(name_of(call, ledger) or "")
        if came is None or came.region not in struck.led:
            continue
        decided_s = (came.at - struck.at).total_seconds()
        if came.epoch > struck.led[came.region]:
            # The answer to a spooled call says nothing about its commit, but the journal does, to within the commit.
            since_s = decided_s if call.spooled else call.told_s - struck.at_s
            took_s[came.region] = min(took_s.get(came.region, since_s), since_s)
        elif decided_s > struck.back_after_s:
            kept.add(came.region)
    # Where it goes on itself a later leader was given the region, and has taken nothing over.
    taken = {region: took_s[region] for region in took_s.keys() & called - kept}
    return WentOn(took_s=taken, kept=kept & called, silent=called - taken.keys() - kept)
