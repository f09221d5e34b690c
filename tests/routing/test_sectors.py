"""Sectors and areas as cells: all of them where they are said to be, whatever is sent."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.geometry import bearing_deg, distance_m
from routing.sectors import LEAST_SIGMA_M, SPILL, Area, Sector

MAST = (41.3, 69.25)

sectors = st.builds(
    Sector,
    azimuth_deg=st.floats(0, 360),
    width_deg=st.floats(0, 360),
    range_m=st.floats(0, 100_000),
    min_range_m=st.floats(0, 100_000),
)
corners = st.tuples(st.floats(41.0, 41.5), st.floats(69.0, 69.5))


@given(sectors)
def test_the_cells_of_a_sector_lie_between_its_ranges_and_within_its_opening(sector: Sector) -> None:
    area = Area.of_sector(MAST, sector)
    outer = max(1.0, sector.range_m)
    inner = sector.min_range_m if sector.min_range_m < outer else 0.0
    for cell in area.cells:
        away_m = distance_m(MAST, (cell.lat, cell.lon))
        assert inner * 0.98 - 1 <= away_m <= outer * 1.02 + 1
        turn = (bearing_deg(MAST, (cell.lat, cell.lon)) - sector.azimuth_deg + 180) % 360 - 180
        assert away_m < 50 or abs(turn) <= sector.width_deg / 2 + 2
        assert cell.sigma_m >= SPILL * outer


def test_a_sector_that_looks_everywhere_has_its_mast_in_the_middle() -> None:
    area = Area.of_sector(MAST, Sector(range_m=2_000))
    assert distance_m(MAST, area.middle) < 50
    assert 1_500 < area.reach_m < 3_500


@given(st.lists(corners, min_size=4, max_size=8))
def test_any_ring_has_cells_within_its_box(ring: list[tuple[float, float]]) -> None:
    area = Area.of_ring(tuple(ring))
    lats, lons = zip(*ring, strict=True)
    assert area.cells and math.isfinite(area.reach_m)
    for cell in area.cells:
        assert min(lats) - 1e-6 <= cell.lat <= max(lats) + 1e-6
        assert min(lons) - 1e-6 <= cell.lon <= max(lons) + 1e-6


@pytest.mark.parametrize("ring", [((41.3, 69.2),) * 4, ((41.3, 69.2), (41.3, 69.3), (41.3, 69.25), (41.3, 69.2))])
def test_a_ring_without_an_area_is_a_place_all_the_same(ring: tuple[tuple[float, float], ...]) -> None:
    area = Area.of_ring(ring)
    middle = area.middle
    assert all(cell.sigma_m >= LEAST_SIGMA_M for cell in area.cells)
    assert middle.lat == pytest.approx(41.3) and 69.2 - 1e-9 <= middle.lon <= 69.3
