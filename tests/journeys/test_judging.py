"""What chaos would say of runs that went wrong in ways that the service must never show: with invented answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from math import inf

from msgspec.structs import replace

from simulators.phones import Told
from tests.journeys.chaos import time_takeover
from tests.journeys.judging import Struck, count, name_of, same_answer, went_on
from tests.journeys.ledger import Came, Ledger
from tests.journeys.runs import Run, summary

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
TASHKENT, FERGANA, NAVOI = "UZ-TK", "UZ-FA", "UZ-NW"


def told(
    call_id: str, *, key: str = "", seq: int = 0, at_s: tuple[float, float] = (0, 1), region: str = TASHKENT
) -> Told:
    """A call under its key, with its number (0: spooled), that was sent and answered `at_s`."""
    receipt = {"call_id": call_id, "region": region, "seq": seq, "flags": [] if seq else ["spooled"]}
    asked_s, told_s = at_s
    return Told(
        key=key or f"key-{call_id}", body=b"", status=201, answer=json.dumps(receipt).encode(),
        asked_s=asked_s, told_s=told_s,
    )  # fmt: skip


def journal(*came: tuple[str, int], region: str = TASHKENT, epoch: int = 1, at_s: float = 0.0) -> Ledger:
    """A journal with calls (id, number), each of them the answer to a key of its own."""
    ledger = Ledger()
    for call_id, seq in came:
        add(ledger, call_id, Came(region, seq, epoch, NOON + timedelta(seconds=at_s)))
    return ledger


def add(ledger: Ledger, call_id: str, came: Came) -> None:
    ledger.calls_from[call_id] = came
    ledger.answers[f"key-{call_id}"] = {"call_id": call_id}


def counted(calls: list[Told], ledger: Ledger, held_by: dict[str, str] | None = None) -> Run:
    done = Run(number=1, kind="kill", victim="core-1")
    count(done, calls, ledger, held_by or {})
    return done


def test_a_call_is_found_under_the_number_that_was_told_or_an_earlier_one() -> None:
    done = counted([told("c1", seq=4), told("c2", seq=9)], journal(("c1", 4), ("c2", 8)))
    assert (done.acknowledged, done.found, done.faults) == (2, 2, [])


def test_a_call_behind_the_number_that_was_told_is_out_of_order() -> None:
    assert counted([told("c1", seq=4)], journal(("c1", 5))).faults == ["out_of_order: 1"]


def test_a_call_that_was_answered_as_committed_is_missing_though_its_key_names_another() -> None:
    call = told("c1", key="key-c2", seq=4)
    done = counted([call], journal(("c2", 4)))
    assert (done.found, done.renamed, done.missing) == (0, 0, 1)
    assert done.faults == ["missing: 1"]
    assert name_of(call, journal(("c2", 4))) is None


def test_a_spooled_call_may_stand_under_the_name_of_an_earlier_attempt() -> None:
    done = counted([told("c1", key="key-c2")], journal(("c2", 4)))
    assert (done.found, done.renamed, done.missing, done.faults) == (1, 1, 0, [])


def test_a_spooled_call_that_is_nowhere_is_missing() -> None:
    ledger = journal(("c2", 4))
    ledger.answers["key-c1"] = {"call_id": "c0"}
    assert counted([told("c1"), told("c2")], ledger).missing == 1


def test_a_call_that_no_key_leads_to_is_there_twice() -> None:
    ledger = journal(("c1", 4), ("c2", 5))
    ledger.answers["key-c2"] = {"call_id": "c1"}
    assert counted([told("c1", seq=4)], ledger).faults == ["doubled: 1"]


FIRST, SECOND = told("c1", at_s=(0.0, 1.0)), told("c2", at_s=(1.5, 2.0))
TURNED = (("c2", 4), ("c1", 5))


def test_spooled_calls_of_one_process_are_committed_in_the_order_of_their_answers() -> None:
    held_by = {"c1": "core-1", "c2": "core-1"}
    assert counted([FIRST, SECOND], journal(("c1", 4), ("c2", 5)), held_by).faults == []
    done = counted([FIRST, SECOND], journal(*TURNED), held_by)
    assert (done.ordered, done.out_of_order, done.faults) == (2, 1, ["out_of_order: 1"])


def test_of_spooled_calls_that_were_under_way_at_once_either_may_be_first() -> None:
    at_once = told("c2", at_s=(0.9, 2.0))
    assert counted([FIRST, at_once], journal(*TURNED), {"c1": "core-1", "c2": "core-1"}).faults == []


def test_every_call_that_overtook_a_spooled_one_counts() -> None:
    calls = [told(f"c{number}", at_s=(number, number + 0.5)) for number in range(4)]
    held_by = {f"c{number}": "core-2" for number in range(4)}
    ledger = journal(("c1", 4), ("c2", 5), ("c0", 6), ("c3", 7))
    assert counted(calls, ledger, held_by).out_of_order == 2


def test_spools_of_two_processes_have_no_order_between_them() -> None:
    assert counted([FIRST, SECOND], journal(*TURNED), {"c1": "core-1", "c2": "core-2"}).faults == []


def test_regions_have_no_order_between_them() -> None:
    elsewhere = told("c2", at_s=(1.5, 2.0), region=FERGANA)
    ledger = journal(("c1", 5))
    add(ledger, "c2", Came(FERGANA, 4, 1, NOON))
    assert counted([FIRST, elsewhere], ledger, {"c1": "core-1", "c2": "core-1"}).faults == []


def test_a_spool_that_was_not_seen_is_not_judged_and_that_is_said() -> None:
    done = counted([FIRST, SECOND], journal(*TURNED), {"c1": "core-1"})
    assert (done.spooled, done.ordered, done.faults) == (2, 1, [])
    assert "spooled   2 (in order   1)" in done.line()


def test_a_key_is_answered_as_before_or_by_the_name_that_stands_for_it() -> None:
    first, ledger = told("c1", seq=4), journal(("c1", 4))
    assert same_answer(first, told("c1", seq=4), ledger)
    assert not same_answer(first, told("c1", seq=5), ledger)
    assert not same_answer(told("c1"), told("c1", seq=4), ledger), "a spooled answer stands as it was given"
    renamed, standing = told("c1", key="key-c2"), journal(("c2", 4))
    assert same_answer(renamed, told("c2", seq=4), standing)
    assert not same_answer(renamed, renamed, standing), "a name that leads nowhere"
    assert not same_answer(renamed, Told(key="key-c2", body=b"", status=503, answer=b"{}"), standing)


# Takeovers

STRUCK = Struck(at_s=100.0, at=NOON, led={TASHKENT: 3, FERGANA: 3, NAVOI: 3})


def taken(*commits: tuple[str, int, float], spooled: bool = False) -> tuple[list[Told], Ledger]:
    """Calls of 100.5 s by (region, epoch, when they were committed, in seconds after the blow)."""
    ledger, calls = Ledger(), []
    for number, (region, epoch, after_s) in enumerate(commits):
        add(ledger, f"c{number}", Came(region, number + 1, epoch, NOON + timedelta(seconds=after_s)))
        told_s = 100.6 if spooled else 100.0 + after_s
        calls.append(told(f"c{number}", seq=0 if spooled else number + 1, at_s=(100.5, told_s), region=region))
    return calls, ledger


def timed(calls: list[Told], ledger: Ledger, *, kind: str = "kill", back_after_s: float = inf, hit: bool = True) -> Run:
    done = Run(number=1, kind=kind, victim="core-1", hit=hit)
    time_takeover(done, went_on(calls, ledger, replace(STRUCK, back_after_s=back_after_s)))
    return done


def test_a_takeover_lasts_until_the_last_busy_region_has_committed_a_call() -> None:
    done = timed(*taken((TASHKENT, 4, 2.5), (TASHKENT, 4, 1.5), (FERGANA, 4, 2.0), (NAVOI, 4, 3.5)))
    assert (done.takeover_s, done.faults) == (2.0, [])


def test_what_a_spool_held_is_timed_by_the_journal() -> None:
    assert timed(*taken((TASHKENT, 4, 9.0), (FERGANA, 4, 8.0), spooled=True)).takeover_s == 9.0


def test_a_region_that_nobody_came_to_lead_is_a_fault_of_its_own() -> None:
    for kind in ("kill", "freeze"):
        done = timed(*taken((TASHKENT, 4, 1.5), (FERGANA, 3, 1.0)), kind=kind)
        assert done.faults == [f"UZ-FA: people called after the {kind}, nobody led it"]


def test_a_quiet_region_may_have_lost_its_calls_too() -> None:
    calls, _ = taken((TASHKENT, 4, 1.5), (NAVOI, 4, 1.5))
    _, ledger = taken((TASHKENT, 4, 1.5))
    assert timed(calls, ledger).faults == ["UZ-NW: people called after the kill, nobody led it"]


def test_a_kill_without_any_takeover_does_not_pass() -> None:
    done = timed([], Ledger())
    assert done.faults == ["the killed process led busy regions, and no takeover is known"]
    assert timed([], Ledger(), hit=False).faults == []


def test_calls_from_before_the_blow_ask_for_no_takeover() -> None:
    calls, ledger = taken((TASHKENT, 4, 1.5))
    add(ledger, "early", Came(FERGANA, 1, 3, NOON - timedelta(seconds=1)))
    early = told("early", seq=1, at_s=(99.0, 99.1), region=FERGANA)
    assert timed([early, *calls], ledger).faults == []


def test_a_frozen_process_that_woke_in_time_went_on_itself() -> None:
    done = timed(*taken((TASHKENT, 3, 2.5), (FERGANA, 3, 2.5)), kind="freeze", back_after_s=2.0)
    assert (done.takeover_s, done.awoke_leading, done.faults) == (None, True, [])
    assert "takeover not due" in done.line()


def test_a_region_that_is_handed_over_later_was_not_taken_over() -> None:
    done = timed(*taken((TASHKENT, 3, 2.5), (TASHKENT, 4, 3.5)), kind="freeze", back_after_s=2.0)
    assert (done.takeover_s, done.awoke_leading, done.faults) == (None, True, [])


def test_what_was_decided_before_the_freeze_and_answered_after_it_is_no_sign_of_life() -> None:
    calls, ledger = taken((TASHKENT, 3, 2.5))
    add(ledger, "c0", Came(TASHKENT, 1, 3, NOON + timedelta(seconds=0.1)))
    done = timed(calls, ledger, kind="freeze", back_after_s=2.0)
    assert done.faults == ["UZ-TK: people called after the freeze, nobody led it"]


def test_the_figures_say_which_takeovers_nobody_could_time_and_which_blows_hit_nothing() -> None:
    runs = [
        Run(number=0, kind="kill", victim="core-1", takeover_s=3.0),
        Run(number=1, kind="kill", victim="core-1", takeover_s=1.0),
        Run(number=2, kind="kill", victim="core-1"),
        Run(number=3, kind="freeze", victim="core-1", awoke_leading=True),
        Run(number=4, kind="freeze", victim="core-1"),
        Run(number=5, kind="redis restarted", victim="core-1", hit=False),
    ]
    whole = summary(runs)
    assert (whole["runs"], whole["blows"]) == (6, 5)
    assert (whole["takeover_killed_p50_s"], whole["takeover_killed_max_s"]) == (2.0, 3.0)
    assert (whole["takeover_killed_unknown"], whole["takeover_frozen_unknown"]) == (1, 1)
    assert (whole["takeover_killed_not_due"], whole["takeover_frozen_not_due"]) == (0, 1)
    assert "takeover unknown" in runs[2].line()
    assert runs[5].line().endswith("nothing to hit")
