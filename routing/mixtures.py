"""Where somebody may be, as a mixture of round normal distributions on a plane: what evidence is multiplied as.

Two mixtures multiply into a mixture without any integral, so a best point and its circle cost microseconds. Not
here: what a source's word is worth (sources.py), and what is made of the result (locate.py).
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_PARTS: Final = 100  # a product keeps its weightiest parts: with fewer its circle is too narrow
LEAST_WEIGHT: Final = 3e-4  # and none that carries less
NEARBY_M: Final = 300.0  # who stands so near will find the caller: the best point has the most weight about it
CENTRING_STEPS: Final = 4
MOST_MIDDLES: Final = 12  # parts that are tried as the middle, the weightiest
SOLVING_STEPS: Final = 60
CLOSE: Final = 0.01  # a radius known to a hundredth is known
EVEN: Final = 0.7  # as likely as so much of the likeliest place: the mean is taken for the middle
FIRST_STEP: Final = 0.25

Floats = NDArray[np.float64]
Marks = NDArray[np.int64]


class Mixture(NamedTuple):
    """Parts as arrays of shape (n,): `weight` sums to 1, `east` and `north` in metres, `variance` in m² along
    each axis. `wrong` marks by its bits which pieces of evidence a part takes for mistaken."""

    weight: Floats
    east: Floats
    north: Floats
    variance: Floats
    wrong: Marks


def mixture(parts: Sequence[tuple[float, float, float, float, int]]) -> Mixture:
    """A mixture of (weight, east, north, variance, wrong) in any scale of weights."""
    weight, east, north, variance, wrong = np.array(parts, dtype=np.float64).T
    return Mixture(weight / weight.sum(), east, north, variance, wrong.astype(np.int64))


def product(a: Mixture, b: Mixture) -> Mixture:
    """What both say together, its weightiest parts. Exact but for the parts that are dropped."""
    both = a.variance[:, None] + b.variance
    east, north = b.east - a.east[:, None], b.north - a.north[:, None]
    # Logarithms: the density of a part a thousand kilometres away is below the least number there is.
    fit = np.log(a.weight)[:, None] + np.log(b.weight) - np.log(both) - (east * east + north * north) / (2 * both)
    kept = np.argsort(-fit, axis=None, kind="stable")[:MOST_PARTS]
    weight = np.exp(fit.ravel()[kept] - fit.ravel()[kept[0]])
    kept = kept[weight > LEAST_WEIGHT * weight.sum()]
    weight = weight[: len(kept)]
    i, j = kept // len(b.weight), kept % len(b.weight)
    share = a.variance[i] / both[i, j]
    return Mixture(
        weight / weight.sum(),
        a.east[i] + share * east[i, j],
        a.north[i] + share * north[i, j],
        b.variance[j] * share,
        a.wrong[i] | b.wrong[j],
    )


def centre(found: Mixture) -> tuple[float, float]:
    """The place (east, north) about which, within NEARBY_M, most of the weight lies; amid an even area its middle."""
    spread = found.variance + NEARBY_M**2
    tried = np.argsort(-found.weight, kind="stable")[:MOST_MIDDLES]
    mean = found.weight @ found.east, found.weight @ found.north
    easts, norths = np.append(found.east[tried], mean[0]), np.append(found.north[tried], mean[1])
    away = (easts[:, None] - found.east) ** 2 + (norths[:, None] - found.north) ** 2
    near = np.exp(away / (-2 * spread)) @ (found.weight / spread)
    best = -1 if near[-1] > EVEN * near.max() else int(near.argmax())
    east, north = float(easts[best]), float(norths[best])
    for _ in range(CENTRING_STEPS):
        away = (found.east - east) ** 2 + (found.north - north) ** 2
        pull = found.weight / spread**2 * np.exp(-away / (2 * spread))
        total = pull.sum()
        east, north = float(pull @ found.east / total), float(pull @ found.north / total)
    return east, north


def radius_holding(found: Mixture, at: tuple[float, float], share: float) -> float:
    """The radius in metres of the circle about a place that holds a share (0..1) of the weight; to 2 %.

    A part's share is that of a noncentral chi-squared distribution with two degrees of freedom, by Abdel-Aty's
    cube root (Biometrika 41, 1954): within 0.01 of the truth.
    """
    off = ((found.east - at[0]) ** 2 + (found.north - at[1]) ** 2) / found.variance
    mean = 2.0 + off
    slack = 2.0 * (1.0 + off / mean) / (9.0 * mean)
    steep, scale = 1.0 / np.sqrt(slack), 1.0 / (mean * found.variance)
    start = (slack - 1.0) * steep

    def missing(radius: float) -> float:
        return share - float(found.weight @ _normal(np.cbrt(radius * radius * scale) * steep + start))

    # Each part's own radius, about: the mixture's is near that at which their weights come to the share.
    own = np.sqrt((off + 4.6) * found.variance)
    order = own.argsort()
    guess = float(own[order[np.searchsorted(found.weight[order].cumsum(), share - 1e-9)]])
    return _root(missing, guess)


def _root(missing: Callable[[float], float], guess: float) -> float:
    """Where a falling function of a positive number is 0, to a hundredth: regula falsi on its logarithm, kept from
    creeping (Illinois: a side that stays counts half)."""
    low = high = math.log(guess)
    first = last = missing(guess)
    step = FIRST_STEP
    while last > 0:
        low, first, high, step = high, last, high + step, 2 * step
        last = missing(math.exp(high))
    while first < 0:
        high, last, low, step = low, first, low - step, 2 * step
        first = missing(math.exp(low))
    while high - low > CLOSE:
        middle = (low * -last + high * first) / (first - last)
        found = missing(math.exp(middle))
        if abs(found) < CLOSE / 10:
            return math.exp(middle)
        if found > 0:
            low, first, last = middle, found, last / 2
        else:
            high, last, first = middle, found, first / 2
    return math.exp((low + high) / 2)


def concentric_radius(weights: Sequence[float], variances: Sequence[float], share: float) -> float:
    """The same where all parts have one middle, exactly. `weights` sum to 1.

    The share within grows ever more slowly with the squared radius, so Newton's steps from below never overshoot.
    """
    square = -2.0 * min(variances) * math.log(1.0 - share)
    parts = [(weight, 0.5 / variance) for weight, variance in zip(weights, variances, strict=True)]
    for _ in range(SOLVING_STEPS):
        missing, slope = share - 1.0, 0.0
        for weight, rate in parts:
            beyond = weight * math.exp(-square * rate)
            missing += beyond
            slope += rate * beyond
        square += missing / slope
        if missing < 1e-4:
            break
    return math.sqrt(square)


def _normal(z: Floats) -> Floats:
    """The normal distribution's share below z, within 0.0004 (Page, Applied Statistics 26, 1977)."""
    return 0.5 + 0.5 * np.tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * z * z * z))
