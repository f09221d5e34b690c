"""Two hundred seeded worlds of hand-overs and mutual aid: every call has one owner, every unit one assignment, and
evidence that was acknowledged is with its call once.

And the laws are shown to bite: six plausible mistakes are planted, and each is found.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from dispatch.core import calls, onward
from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core.decide import DECIDERS
from dispatch.core.state import RegionState
from dispatch.core.terms import RegionId
from dispatch.core.verdict import NOTHING, Verdict, facts
from tests.sim.cells_region import Broken
from tests.sim.cells_world import World

SEEDS, BLOCK = 240, 40
FINDS = 120


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_no_call_is_lost_or_doubled_and_no_unit_lent_twice(first: int) -> None:
    happened: Counter[str] = Counter()
    for seed in range(first, first + BLOCK):
        happened.update(_ran(seed).happened)
    wanted = {"offer_recalled", "offer_forgone", "call_regained", "call_departed", "call_released"}
    assert not wanted - happened.keys()
    assert not {"evidence_kept", "evidence_heard", "evidence_told"} - happened.keys()
    assert not {"aid_asked", "aid_withdrawn", "aid_reported", "aid_taken", "aid_told"} - happened.keys()


def _ran(seed: int) -> World:
    world = World(seed)
    try:
        world.run()
    except Exception as fault:
        raise AssertionError(f"seed {seed}, {world.now_s:.1f} s into the world: {fault}") from fault
    return world


def _finds() -> int:
    """How many worlds it takes to find the planted mistake."""
    for seed in range(FINDS):
        try:
            World(seed).run()
        except (Broken, AssertionError, KeyError):
            return seed + 1
    pytest.fail(f"not found in {FINDS} worlds")


def test_an_answer_before_the_commit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def ahead(self: World, region: RegionId) -> RegionState:
        return self.regions[region].live

    monkeypatch.setattr(World, "seen", ahead)
    assert _finds() <= FINDS


def test_a_call_taken_back_without_asking_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(state: RegionState, command: c.RecallCall, now: datetime) -> Verdict:
        offer = state.offers.get(command.call_id)
        if offer is None:
            return NOTHING
        return facts(e.CallRegained(call_id=command.call_id, offer_id=offer.offer_id))

    monkeypatch.setitem(_deciders, c.RecallCall, hasty)
    assert _finds() <= FINDS


def test_an_offer_forgone_without_holding_to_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(state: RegionState, command: c.TakeCall, now: datetime) -> Verdict:
        state.forgone.pop(command.offer_id, None)
        return calls.take(state, command, now)

    monkeypatch.setitem(_deciders, c.TakeCall, forgetful)
    assert _finds() <= FINDS


def test_evidence_for_a_call_on_its_way_that_is_dropped_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def deaf(state: RegionState, command: c.LocateCall, now: datetime) -> Verdict:
        return NOTHING if command.call_id in state.offers else onward.locate(state, command, now)

    monkeypatch.setitem(_deciders, c.LocateCall, deaf)
    assert _finds() <= FINDS


def test_evidence_that_is_taken_at_each_repetition_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(state: RegionState, command: c.LocateCall, now: datetime) -> Verdict:
        state.evidence_heard.pop(command.evidence_id or "", None)
        return onward.locate(state, command, now)

    monkeypatch.setitem(_deciders, c.LocateCall, forgetful)
    assert _finds() <= FINDS


def test_evidence_put_to_a_call_whose_offer_is_under_way_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onward, "_is_sent", lambda state, call_id: False)
    assert _finds() <= FINDS


_deciders: Any = DECIDERS
