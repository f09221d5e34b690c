"""Which process should lead which region: shares that add up, gifts that end, nobody left without a writer."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.core.terms import RegionId
from dispatch.writing.records import Leadership, Process, Seat
from dispatch.writing.sharing import Sharer, fair_share, to_give, vacant, wanted

UNTIL = datetime(2026, 11, 23, tzinfo=UTC)
REGIONS = tuple(RegionId(f"UZ-{number:02}") for number in range(14))


def process(holder: str, regions: Iterable[str] = REGIONS, address: str = "http://there") -> Process:
    return Process(holder=holder, address=address, secret="s", regions=tuple(regions))


def seat(region: str, holder: str) -> Seat:
    return Seat(region=region, holder=holder, address="http://there", epoch=1, until=UNTIL, left_s=2.0)


def sharer(holder: str, held: Iterable[RegionId] = ()) -> Sharer:
    return Sharer(holder=holder, regions=REGIONS, held=set(held))


def test_a_process_alone_takes_every_region() -> None:
    assert wanted(sharer("a"), Leadership(), ()) == list(REGIONS)


def test_two_who_start_at_once_want_different_regions() -> None:
    view = Leadership(processes=(process("a"), process("b")))
    first, second = wanted(sharer("a"), view, ()), wanted(sharer("b"), view, ())
    assert sorted(first + second) == list(REGIONS)


def test_what_is_still_ours_by_lease_is_claimed_whatever_the_share() -> None:
    seats = tuple(seat(region, "a") for region in REGIONS)
    view = Leadership(seats=seats, processes=(process("a"), process("b")))
    assert len(wanted(sharer("a"), view, ())) == len(REGIONS)
    assert wanted(sharer("b"), view, ()) == []


def test_a_region_that_nobody_takes_is_taken_beyond_the_share() -> None:
    view = Leadership(seats=tuple(seat(r, "a") for r in REGIONS[1:]), processes=(process("a"), process("b")))
    me = sharer("a", REGIONS[1:])
    assert wanted(me, view, ()) == []
    assert wanted(me, view, {REGIONS[0]}) == [REGIONS[0]]


def test_nothing_is_given_while_a_region_is_vacant_or_the_other_cannot_answer_yet() -> None:
    full = tuple(seat(region, "a") for region in REGIONS)
    me = sharer("a", REGIONS)
    assert to_give(me, Leadership(seats=full, processes=(process("a"), process("b")))) in REGIONS
    assert to_give(me, Leadership(seats=full, processes=(process("a"), process("b", address="")))) is None
    assert to_give(me, Leadership(seats=full, processes=(process("a"), process("b", ["UZ-99"])))) is None
    some = sharer("a", REGIONS[1:])
    assert to_give(some, Leadership(seats=full[1:], processes=(process("a"), process("b")))) is None


@settings(max_examples=60)
@given(st.lists(st.sampled_from("abcd"), min_size=14, max_size=14), st.integers(1, 4))
def test_gifts_end_with_equal_shares_and_every_region_led(leaders: list[str], count: int) -> None:
    names = "abcd"[:count]
    led = {region: leader if leader in names else names[0] for region, leader in zip(REGIONS, leaders, strict=True)}
    processes = tuple(process(name) for name in names)
    for _ in range(len(REGIONS) * count):
        before = dict(led)
        for name in names:
            view = Leadership(seats=tuple(seat(r, holder) for r, holder in led.items()), processes=processes)
            me = sharer(name, [region for region, holder in led.items() if holder == name])
            assert me.count <= len(REGIONS)
            gift = to_give(me, view)
            if gift is not None:
                takers = [n for n in names if n != name]
                counts = {n: list(led.values()).count(n) for n in takers}
                led[gift] = min(takers, key=lambda n: (counts[n], n))
        if led == before:
            break
    shares = [list(led.values()).count(name) for name in names]
    assert sum(shares) == len(REGIONS)
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize("others", [1, 2, 3])
def test_the_shares_of_all_hold_every_region(others: int) -> None:
    view = Leadership(processes=tuple(process(name) for name in "abcd"[: others + 1]))
    assert fair_share(sharer("a"), view) * (others + 1) >= len(REGIONS)
    assert vacant(sharer("a"), view)[0] != vacant(sharer("b"), view)[0]
