"""An index of many keys that finds the few like a query: one slip away at once, further ones by shared pieces.

Two stages, both on loosened keys. A slip (a letter wrong, missing, too many, or two swapped) leaves the same rest
when one letter is taken out of either side, so all keys one slip away stand under the hashes of the query and its
rests. What is further away is found by the trigrams it shares. Both give candidates; `likeness` judges
them.
Not here: what a key stands for (gazetteer).
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import OSA

from routing.names import loosen, spell_out

MOST_ALIKE: Final = 128  # keys judged of those that share pieces
LEAST_SHARED: Final = 0.3  # of a query's pieces, by a key that may be it
MOST_BEGUN: Final = 400  # keys looked at that begin as the query does
LONGEST: Final = 64  # letters of a key that count
VOWEL_SLIP: Final = (
    0.35  # what a wrong vowel costs, in letters: half the country's Russian names differ in nothing else
)
NUMBER_COST: Final = 25.0  # another number in a name is another place

_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
_LETTERS: Final = 64  # of the trigrams' alphabet
_LONE: Final = frozenset("şç")  # one letter here, two in Latin
_NUMBER: Final = re.compile(r"\d+")

Ints = NDArray[np.int32]
Codes = NDArray[np.uint32]


class KeyIndex:
    """Keys by number, in the order given; they must be folded, without spaces, and different from each other.

    `whole` says which of them are found by their beginning.
    """

    def __init__(self, keys: Sequence[str], whole: NDArray[np.bool_]) -> None:
        self.keys = list(keys)
        self._loose, rows, owners = _forms(self.keys)
        self._number = {key: i for i, key in enumerate(self.keys)}
        self._sorted = sorted(self.keys[i] for i in np.flatnonzero(whole).tolist())
        groups = _by_length(rows)
        self._hashes, self._hashed = _rests(groups, owners)
        self._letters = {letter: i for i, letter in enumerate(sorted({letter for row in rows for letter in row}), 2)}
        self._starts, self._postings = _postings(groups, owners, self._letters)
        self._lengths = np.array([len(key) for key in self._loose], dtype=np.float32)

    def near(self, query: str) -> list[int]:
        """The keys within one slip of the query, and a few that are not."""
        found: set[int] = set()
        for form in _forms_of(query[:LONGEST]):
            codes = _hashes_of(form)
            lows, highs = np.searchsorted(self._hashes, codes), np.searchsorted(self._hashes, codes, "right")
            for low, high in zip(lows.tolist(), highs.tolist(), strict=True):
                found.update(self._hashed[low:high].tolist())
        return sorted(found)

    def alike(self, query: str) -> list[int]:
        """The keys that share most pieces with the query."""
        pieces = _trigrams(loosen(query[:LONGEST]), self._letters)
        parts = [self._postings[self._starts[code] : self._starts[code + 1]] for code in pieces]
        if not parts or not self.keys:
            return []
        shared = np.bincount(np.concatenate(parts), minlength=len(self.keys))
        some = np.flatnonzero(shared >= max(2, len(pieces) * LEAST_SHARED))
        dice = shared[some] / (self._lengths[some] + len(pieces))
        best = np.argpartition(dice, -MOST_ALIKE)[-MOST_ALIKE:] if len(some) > MOST_ALIKE else slice(None)
        return [int(i) for i in some[best]]

    def likeness(self, query: str, which: Sequence[int]) -> dict[int, float]:
        """How like some keys are to a folded query, 0 to 100: 100 less the slips, in letters of the longer one."""
        query = query[:LONGEST]
        keys = [self.keys[i] for i in which]
        slips = _slips(query, keys, [self._loose[i] for i in which])
        spelt = [j for j, key in enumerate(keys) if not _LONE.isdisjoint(key) or not _LONE.isdisjoint(query)]
        if spelt:
            forms = [spell_out(keys[j]) for j in spelt]
            slips[spelt] = np.minimum(slips[spelt], _slips(spell_out(query), forms, list(map(loosen, forms))))
        lengths = np.array([max(len(query), len(key)) for key in keys], dtype=np.float64)
        numbers = _NUMBER.findall(query)
        other = np.array([numbers != _NUMBER.findall(key) for key in keys], dtype=bool)
        scores = 100.0 * (1 - slips / lengths) - NUMBER_COST * other
        return dict(zip(which, scores.tolist(), strict=True))

    def beginning(self, query: str) -> list[int]:
        """The keys that begin with the query, in their alphabet's order."""
        low = bisect_left(self._sorted, query)
        high = bisect_left(self._sorted, query + chr(0x10FFFF), low, min(len(self._sorted), low + MOST_BEGUN))
        return [self._number[key] for key in self._sorted[low:high]]


def _slips(query: str, keys: list[str], loose: list[str]) -> NDArray[np.float64]:
    """The slips from a query to each key, of which those among vowels count less."""
    every = process.cdist([query], keys, scorer=OSA.distance, dtype=np.int32)[0].astype(np.float64)
    coarse = process.cdist([loosen(query)], loose, scorer=OSA.distance, dtype=np.int32)[0].astype(np.float64)
    return np.asarray(np.minimum(every, coarse + VOWEL_SLIP * np.maximum(0.0, every - coarse)))


def _forms_of(key: str) -> tuple[str, ...]:
    """The loosened key, and where a letter stands for two also that with both."""
    loose, spelt = loosen(key), loosen(spell_out(key))
    return (loose,) if loose == spelt else (loose, spelt)


def _forms(keys: Sequence[str]) -> tuple[list[str], list[str], Ints]:
    """The loosened keys; all forms by which keys are found; and the key of each form."""
    every = "\n".join(key[:LONGEST] for key in keys)  # one long text is loosened much sooner than many short ones
    loose, spelt = loosen(every).split("\n"), loosen(spell_out(every)).split("\n")
    two = [i for i, pair in enumerate(zip(loose, spelt, strict=True)) if pair[0] != pair[1]]
    rows = [*enumerate(loose), *((i, spelt[i]) for i in two)]
    rows = [(i, form) for i, form in rows if form]
    return loose, [form for _, form in rows], np.array([i for i, _ in rows], dtype=np.int32)


def _by_length(rows: list[str]) -> list[tuple[Codes, Ints]]:
    """Rows of one length as a matrix of their letters, with the numbers of the rows."""
    lengths = np.array([len(row) for row in rows], dtype=np.int32)
    groups = []
    for length in np.unique(lengths).tolist():
        which = np.flatnonzero(lengths == length)
        letters = np.array([rows[i] for i in which.tolist()], dtype=f"U{length}").view(np.uint32)
        groups.append((letters.reshape(-1, length), which.astype(np.int32)))
    return groups


def _rests(groups: Iterable[tuple[Codes, Ints]], owners: Ints) -> tuple[NDArray[np.uint32], Ints]:
    """The hashes of all rows and of what is left of them without one letter, sorted, with their keys' numbers."""
    hashes, hashed = [np.zeros(0, np.uint32)], [np.zeros(0, np.int32)]
    for letters, which in groups:
        rests = _hash_each(letters)
        hashes.append(rests.ravel())
        hashed.append(np.repeat(owners[which], rests.shape[1]))
    every, owner = np.concatenate(hashes), np.concatenate(hashed)
    order = np.argsort(every, kind="stable")
    return every[order], owner[order]


def _hash_each(letters: Codes) -> NDArray[np.uint32]:
    """For each row, shape (n, length), the hash of the whole and of its rests, shape (n, 1 + length).

    The hash is a polynomial: what stands before the letter keeps its power, what stands behind moves down by one.
    """
    count, length = letters.shape
    powers = np.ones(length, np.uint64)
    np.cumprod(np.full(length - 1, _BASE), out=powers[1:])
    before = np.zeros((count, length + 1), np.uint64)
    np.cumsum(letters * powers, axis=1, out=before[:, 1:])
    behind = np.zeros((count, length + 1), np.uint64)
    np.cumsum(letters[:, 1:] * powers[:-1], axis=1, out=behind[:, 2:])
    rests = before[:, :-1] + behind[:, -1:] - behind[:, 1:]
    return np.column_stack([before[:, -1], rests]).view(np.uint32)[:, 1::2].copy()


def _hashes_of(form: str) -> NDArray[np.uint32]:
    letters = np.array([form], dtype=f"U{max(1, len(form))}").view(np.uint32).reshape(1, -1)
    return np.asarray(_hash_each(letters)[0])


def _postings(
    groups: Iterable[tuple[Codes, Ints]], owners: Ints, letters: dict[str, int]
) -> tuple[NDArray[np.int64], Ints]:
    """For each trigram the keys that have it: where its list begins in the second array, and all lists."""
    numbers = np.zeros(0x110000, np.int64) if letters else np.zeros(1, np.int64)
    for letter, number in letters.items():
        numbers[ord(letter)] = number % _LETTERS
    codes, having = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
    for matrix, which in groups:
        padded = np.pad(numbers[matrix], ((0, 0), (1, 1)), constant_values=1)
        triples = (padded[:, :-2] * _LETTERS + padded[:, 1:-1]) * _LETTERS + padded[:, 2:]
        codes.append(triples.ravel())
        having.append(np.repeat(owners[which], triples.shape[1]))
    every, owner = np.concatenate(codes), np.concatenate(having)
    order = np.argsort(every, kind="stable")
    return np.searchsorted(every[order], np.arange(_LETTERS**3 + 1)), owner[order]


def _trigrams(loose: str, letters: dict[str, int]) -> list[int]:
    padded = [1, *(letters.get(letter, 0) % _LETTERS for letter in loose), 1]
    triples = zip(padded, padded[1:], padded[2:], strict=False)
    return sorted({(a * _LETTERS + b) * _LETTERS + c for a, b, c in triples})
