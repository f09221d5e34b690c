"""Turns: what a network made of an extract allows is what a search over streets and their bans allows.

The oracle drives from street to street and looks at each ban by itself; it knows nothing of split nodes. Streets have
names, so that none are joined: one turns round at the end of a street and not in the midst of it.
"""

import heapq
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing.cch import UNREACHABLE
from routing.geometry import distance_m
from routing.travel import Travel
from tests.routing.osm_files import Drawn, drawn, imported

PACE_KMH = 22.0  # of a residential street in a built-up place, whatever the map around
Passage = tuple[int, int]
"""From node to node: every street of these sheets is one straight way."""


class Bans(NamedTuple):
    """Turns that are not made: from passage to passage, and by way of a third."""

    turns: set[tuple[Passage, Passage]]
    chains: set[tuple[Passage, Passage, Passage]]


def ms_of(sheet: Drawn, passage: Passage) -> float:
    return distance_m(sheet.at(passage[0]), sheet.at(passage[1])) / PACE_KMH * 3_600


def oracle_ms(sheet: Drawn, passages: set[Passage], bans: Bans, start: Passage, end: Passage) -> float | None:
    """From the middle of one street to the middle of another, either way along both."""
    heap: list[tuple[float, Passage, Passage]] = []
    for passage in {start, start[::-1]} & passages:
        heapq.heappush(heap, (ms_of(sheet, passage) / 2, (0, 0), passage))
    done: set[tuple[Passage, Passage]] = set()
    arrived: list[float] = []
    while heap:
        ms, before, here = heapq.heappop(heap)
        if (before, here) in done:
            continue
        done.add((before, here))
        for onto in passages:
            banned = (here, onto) in bans.turns or (before, here, onto) in bans.chains
            if onto[0] == here[1] and not banned:
                if onto in (end, end[::-1]):
                    arrived.append(ms + ms_of(sheet, onto) / 2)
                heapq.heappush(heap, (ms + ms_of(sheet, onto), here, onto))
    return min(arrived, default=None)


def travel_ms(sheet: Drawn, travel: Travel, start: Passage, end: Passage) -> int | None:
    travel.move("unit", *sheet.between(*start))
    ms = int(travel.times(["unit"], *sheet.between(*end)).ms[0])
    return ms if ms < UNREACHABLE else None


def crossroads() -> Drawn:
    """1 north, 2 east, 3 south, 4 west of 5, each arm with a stump beyond it, and a way round from 1 over 6 to 2."""
    sheet = drawn()
    for id, row, column in ((5, 0, 0), (1, 1, 0), (2, 0, 1), (3, -1, 0), (4, 0, -1), (6, 1, 1)):
        sheet.node(id, row, column)
    for id, refs in enumerate(([1, 5], [5, 2], [3, 5], [4, 5], [1, 6], [6, 2]), 11):
        sheet.way(id, refs, maxspeed="UZ:urban", name=f"street {id}")
    return sheet


def passages_of(sheet: Drawn) -> set[Passage]:
    found: set[Passage] = set()
    for refs, said in sheet.ways.values():
        found.add((refs[0], refs[-1]))
        if said.get("oneway") != "yes":
            found.add((refs[-1], refs[0]))
    return found


def compare(sheet: Drawn, bans: Bans, directory: Path, left: frozenset[Passage] = frozenset()) -> None:
    """All streets to all others, but for what lies on islands, where nobody is looked for, and for starts on the middle
    street of a ban: whoever stands there may have come from where the ban begins."""
    travel, passages = Travel(imported(sheet, directory)[0]), passages_of(sheet)
    streets = sorted({(min(p), max(p)) for p in passages if travel.snap(*sheet.between(*p)).distance_m < 1})
    for start in streets:
        for end in streets:
            if start != end and start not in left:
                expected = oracle_ms(sheet, passages, bans, start, end)
                found = travel_ms(sheet, travel, start, end)
                assert (found is None) == (expected is None), (start, end, found, expected)
                assert expected is None or found == pytest.approx(expected, abs=40), (start, end)


def test_a_banned_left_turn_is_driven_around(tmp_path: Path) -> None:
    sheet = crossroads()
    sheet.turn("no_left_turn", 13, 5, 14)
    compare(sheet, Bans({((3, 5), (5, 4))}, set()), tmp_path)


def test_an_only_straight_on_bans_every_other_turn(tmp_path: Path) -> None:
    sheet = crossroads()
    sheet.turn("only_straight_on", 13, 5, 11)
    compare(sheet, Bans({((3, 5), (5, to)) for to in (2, 3, 4)}, set()), tmp_path)


def test_a_ban_on_turning_round_is_kept(tmp_path: Path) -> None:
    sheet = crossroads()
    sheet.turn("no_u_turn", 13, 5, 13)
    sheet.turn("no_left_turn", 14, 5, 11)
    compare(sheet, Bans({((3, 5), (5, 3)), ((4, 5), (5, 1))}, set()), tmp_path)


def test_a_ban_by_way_of_a_street_binds_those_who_come_from_the_first(tmp_path: Path) -> None:
    sheet = crossroads()
    sheet.node(7, 2, 0)
    sheet.way(17, [1, 7], maxspeed="UZ:urban")
    sheet.restriction("no_left_turn", ("w", 14, "from"), ("w", 11, "via"), ("w", 15, "to"))
    ban = ((4, 5), (5, 1), (1, 6))
    compare(sheet, Bans(set(), {ban}), tmp_path, left=frozenset({(1, 5)}))


def test_nobody_stands_on_a_turn_or_on_the_copy_of_a_street(tmp_path: Path) -> None:
    sheet = crossroads()
    sheet.turn("no_left_turn", 13, 5, 14)
    sheet.restriction("no_left_turn", ("w", 14, "from"), ("w", 11, "via"), ("w", 15, "to"))
    roads, _ = imported(sheet, tmp_path)
    assert roads.snaps is not None and roads.snaps.sum() == 12
    assert roads.metres[roads.snaps].min() > 0 and (roads.twin[roads.snaps] >= 0).all()


def test_a_street_between_two_crossings_with_bans_is_left_both_ways(tmp_path: Path) -> None:
    sheet = crossroads()
    sheet.turn("no_left_turn", 13, 5, 14)
    sheet.turn("no_left_turn", 11, 1, 15)
    compare(sheet, Bans({((3, 5), (5, 4)), ((5, 1), (1, 6))}, set()), tmp_path)


def test_a_ban_that_excepts_cars_binds_nobody(tmp_path: Path) -> None:
    sheet = crossroads()
    sheet.turn("no_left_turn", 13, 5, 14, except_="motorcar")
    assert travel_ms(sheet, Travel(imported(sheet, tmp_path)[0]), (3, 5), (4, 5)) == pytest.approx(
        ms_of(sheet, (3, 5)) / 2 + ms_of(sheet, (5, 4)) / 2, abs=40
    )


@pytest.mark.parametrize(("excepted", "extra_ms"), [("emergency", 0), ("psv", 7_000)])
def test_crews_turn_against_a_sign_for_some_seconds(tmp_path: Path, excepted: str, extra_ms: int) -> None:
    sheet = crossroads()
    sheet.turn("no_left_turn", 13, 5, 14, except_=excepted)
    plain = ms_of(sheet, (3, 5)) / 2 + ms_of(sheet, (5, 4)) / 2
    unit = Travel(imported(sheet, tmp_path, "unit")[0])
    assert travel_ms(sheet, unit, (3, 5), (4, 5)) == pytest.approx(plain + extra_ms, abs=40)
    quiet = travel_ms(sheet, Travel(imported(sheet, tmp_path, "moh-quiet")[0]), (3, 5), (4, 5))
    assert quiet is not None and (quiet > 2 * plain) == (excepted == "psv"), "without sirens the sign is obeyed"


def test_a_restriction_that_does_not_say_which_side_is_meant_is_left_alone(tmp_path: Path) -> None:
    sheet = drawn()
    for id, row, column in ((5, 0, 0), (1, 1, 0), (2, 0, 1), (3, -1, 0), (4, 0, -1)):
        sheet.node(id, row, column)
    sheet.way(11, [1, 5, 3])
    sheet.way(12, [4, 5, 2])
    sheet.turn("no_left_turn", 11, 5, 12)
    assert imported(sheet, tmp_path)[1].counts["restrictions_obeyed"] == 0


STREETS = [(r * 3 + c + 1, n) for r in range(3) for c in range(3) for n in ((r * 3 + c + 2), (r * 3 + c + 4))]
GRID = [(a, b) for a, b in STREETS if b <= 9 and (b - a == 3 or a % 3)]


@st.composite
def grids(draw: st.DrawFn) -> tuple[Drawn, Bans]:
    """Nine crossings in a square, some streets one-way, some turns banned, some crossings with a bollard."""
    sheet = drawn()
    for id in range(1, 10):
        barrier = {"barrier": "bollard"} if draw(st.integers(0, 9)) == 0 else {}
        sheet.node(
            id, id // 3.5 + draw(st.integers(-9, 9)) / 40, (id - 1) % 3 + draw(st.integers(-9, 9)) / 40, **barrier
        )
    way_of: dict[tuple[int, int], int] = {}
    for number, (a, b) in enumerate(GRID, 100):
        one_way = draw(st.integers(0, 3)) == 0
        ends = [b, a] if draw(st.booleans()) else [a, b]
        sheet.way(number, ends, maxspeed="UZ:urban", name=f"street {number}", **({"oneway": "yes"} if one_way else {}))
        way_of[a, b] = way_of[b, a] = number
    passages = passages_of(sheet)
    turns = sorted((p, q) for p in passages for q in passages if p[1] == q[0])
    bans = Bans({turn for turn in turns if sheet.nodes[turn[0][1]][2] and turn[1] != turn[0][::-1]}, set())
    for come, go in draw(st.lists(st.sampled_from(turns), max_size=4)):
        if draw(st.booleans()):
            sheet.turn("no_left_turn", way_of[come], come[1], way_of[go])
            bans.turns.add((come, go))
        else:
            sheet.turn("only_right_turn", way_of[come], come[1], way_of[go])
            bans.turns.update((p, q) for p, q in turns if p == come and q != go)
    onward = [(p, q, r) for p, q in turns for s, r in turns if q == s and p != q[::-1] and q != r[::-1]]
    for p, q, r in draw(st.lists(st.sampled_from(onward), max_size=2) if onward else st.just([])):
        sheet.restriction("no_left_turn", ("w", way_of[p], "from"), ("w", way_of[q], "via"), ("w", way_of[r], "to"))
        bans.chains.add((p, q, r))
    return sheet, bans


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(grids())
def test_any_grid_with_any_bans_allows_what_the_oracle_allows(case: tuple[Drawn, Bans]) -> None:
    sheet, bans = case
    with tempfile.TemporaryDirectory() as directory:
        left = frozenset((min(passage), max(passage)) for _, passage, _ in bans.chains)
        compare(sheet, bans, Path(directory), left)
