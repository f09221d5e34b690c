"""Mixtures of round normal distributions: products and circles held to sums over many points."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.mixtures import Mixture, centre, concentric_radius, mixture, product, radius_holding


def mixtures(least_m: float) -> st.SearchStrategy[Mixture]:
    metres = st.floats(-3e3, 3e3)
    variances = st.floats(least_m, 2e3).map(lambda sigma_m: sigma_m * sigma_m)
    parts = st.tuples(st.floats(0.05, 1.0), metres, metres, variances, st.sampled_from([0, 1, 2]))
    return st.lists(parts, min_size=1, max_size=5).map(mixture)


def density(found: Mixture, at: tuple[float, float]) -> float:
    away = (found.east - at[0]) ** 2 + (found.north - at[1]) ** 2
    return float(np.sum(found.weight * np.exp(-away / (2 * found.variance)) / (2 * math.pi * found.variance)))


def drawn(found: Mixture, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    part = rng.choice(len(found.weight), count, p=found.weight)
    sigma = np.sqrt(found.variance[part])
    return found.east[part] + sigma * rng.normal(size=count), found.north[part] + sigma * rng.normal(size=count)


@given(mixtures(400), mixtures(400), st.tuples(st.floats(-2e3, 2e3), st.floats(-2e3, 2e3)))
def test_a_product_is_everywhere_in_proportion_to_the_product_of_the_densities(
    a: Mixture, b: Mixture, at: tuple[float, float]
) -> None:
    both = product(a, b)
    assert both.weight.sum() == pytest.approx(1.0)
    peak = float(both.east[0]), float(both.north[0])
    expected = density(a, at) * density(b, at) / (density(a, peak) * density(b, peak))
    assert density(both, at) / density(both, peak) == pytest.approx(expected, rel=0.05, abs=0.02)


def test_a_product_remembers_who_is_taken_for_wrong() -> None:
    one = mixture([(0.9, 0, 0, 100, 0), (0.1, 0, 0, 1e8, 1)])
    far = mixture([(0.9, 20_000, 0, 100, 0), (0.1, 20_000, 0, 1e8, 2)])
    both = product(one, far)
    assert set(both.wrong.tolist()) <= {1, 2, 3}
    assert both.weight[both.wrong == 0].sum() == 0


def test_places_a_thousand_kilometres_apart_still_multiply() -> None:
    both = product(mixture([(1, 0, 0, 25, 0)]), mixture([(1, 1e6, 0, 25, 0)]))
    assert both.east[0] == pytest.approx(5e5) and np.isfinite(both.weight).all()


@given(mixtures(10), st.sampled_from([0.5, 0.68, 0.9]))
def test_a_circle_holds_the_share_that_it_should(found: Mixture, share: float) -> None:
    middle = centre(found)
    east, north = drawn(found, 20_000)
    radius_m = radius_holding(found, middle, share)
    held = float(np.mean(np.hypot(east - middle[0], north - middle[1]) <= radius_m))
    assert held == pytest.approx(share, abs=0.03)


@given(st.lists(st.tuples(st.floats(0.02, 1), st.floats(1, 1e4)), min_size=1, max_size=6))
def test_about_one_middle_the_radius_is_exact(given_parts: list[tuple[float, float]]) -> None:
    total = sum(weight for weight, _ in given_parts)
    weights = [weight / total for weight, _ in given_parts]
    radius_m = concentric_radius(weights, [sigma * sigma for _, sigma in given_parts], 0.9)
    held = sum(
        weight * -math.expm1(-radius_m * radius_m / (2 * sigma * sigma))
        for weight, (_, sigma) in zip(weights, given_parts, strict=True)
    )
    assert held == pytest.approx(0.9, abs=1e-3)


def test_the_middle_is_where_most_of_the_weight_is_and_not_between_two_places() -> None:
    found = mixture([(0.6, 0, 0, 400, 0), (0.4, 9_000, 0, 400, 0)])
    assert centre(found) == pytest.approx((0, 0), abs=1)


def test_a_sharp_but_unlikely_place_does_not_draw_the_middle() -> None:
    found = mixture([(0.1, 5_000, 0, 25, 0), (0.9, 0, 0, 300**2, 0)])
    assert centre(found) == pytest.approx((0, 0), abs=60)
