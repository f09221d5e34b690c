"""`dispatch112 bench search`: does a name find its place, and how quickly, among as many names as a country has.

The questions are the real places of our table, each under a name in one script, as written or with one slip of
the finger; the other names are invented by a seed: villages, mahallas, streets that many towns share. A question is
right when the first answer is a place of that name, at that place; where several places bear it, any of them.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final, NamedTuple

from routing.gazetteer import Gazetteer, Place
from routing.geometry import Point, distance_m, from_local_m
from routing.names import Names, fold, is_cyrillic
from routing.place_files import Found
from routing.places import Settlement, settlements

LATIN, CYRILLIC = "abdefghijklmnopqrstuvxyz", "абвгдежзийклмнопрстуфхчшэюя"
LEAST_LETTERS: Final = 4  # of a word that gets a slip
SAME_PLACE_M: Final = 15_000.0  # a district and its seat are one answer
_SETTLED: Final = ("region", "city", "town", "district", "city_district")


def _words(*texts: str) -> tuple[str, ...]:
    return tuple(word for text in texts for word in text.split())


_BEGINNINGS: Final = _words(
    "Yangi Eski Oq Qora Katta Kichik Yuqori Quyi Oʻrta Besh Uch Olti Toʻrt Ming Gul Bogʻi Chor Qizil Koʻk Sari Shoʻr",
    "Tosh Temir Oltin Navroʻz Doʻst Paxta Bunyod Nur Zar Sam Mehnat Sharq Toʻra Xoʻja Mir Sulton Polvon Usta Ota",
)
_ROOTS: Final = _words(
    "qishloq bogʻ tepa qoʻrgʻon obod koʻl soy buloq ariq guzar rabot oʻzak tosh chorbogʻ mozor masjid hovuz terak tol",
    "oʻrik anor uzum bahor zamin diyor chaman saroy koʻprik quduq togʻ dala adir yaylov toʻqay kent bozor devon",
)
_SYLLABLES: Final = _words(
    "ba bo da do fa ga gʻa ha ja ka ko la lo ma mo na no pa qa qo ra ro sa sha ta to va xa xo ya yo za chi"
)
_ENDINGS: Final = _words("n r l m t z sh ch k q d v b s y bek jon xon boy din rov yor mat")


class Question(NamedTuple):
    """What is typed, what sort of question it is, the name that was meant, and the place."""

    text: str
    sort: str
    name: str
    place: Settlement


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Hit rates in percent by sort of question, and milliseconds."""
    invented = list(invented_places(args.names - len(settlements()), args.seed))
    started, before_kib = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gazetteer = Gazetteer(more=Found(places=invented))
    ready_s = time.perf_counter() - started
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    questions = list(all_questions(args.seed))
    hits: dict[str, list[bool]] = {}
    times_ms, cpu_ms = [], []
    for question in questions:
        started, worked = time.perf_counter(), time.thread_time()
        found = gazetteer.search(question.text, limit=10)
        cpu_ms.append((time.thread_time() - worked) * 1000)
        times_ms.append((time.perf_counter() - started) * 1000)
        hits.setdefault(question.sort, []).append(bool(found) and is_right(question, found[0]))
    return {
        "names": len(gazetteer.places),
        "questions": len(questions),
        **{f"first_{sort}_percent": round(100 * sum(right) / len(right), 2) for sort, right in hits.items()},
        "search_ms": _spread(times_ms),
        "search_cpu_ms": _spread(cpu_ms),
        "index_s": round(ready_s, 2),
        "index_mib": round(grown_kib / 1024 / (1024 if sys.platform == "darwin" else 1), 1),
    }


def all_questions(seed: int) -> Iterator[Question]:
    """Every place of our table by each of its names: as written, with one slip, in another order of its words."""
    chance = Random(f"{seed}:questions")
    for place in settlements():
        for name in dict.fromkeys(place.names.each()):
            script = "cyrillic" if is_cyrillic(name) else "latin"
            yield Question(name, f"exact_{script}", name, place)
            if (typed := slipped(name, chance)) is not None:
                yield Question(typed, f"one_slip_{script}", name, place)
            words = name.split()
            if len(words) > 1:
                yield Question(" ".join(reversed(words)), "other_order", name, place)
        for name in place.other:
            yield Question(name, "other_name", name, place)


def slipped(name: str, chance: Random) -> str | None:
    """The name with one slip in its longest word: a letter wrong, missing, too many, or two swapped; None where the
    word is too short for the slip to leave a name."""
    word = max(name.split(), key=len)
    letters = CYRILLIC if is_cyrillic(word) else LATIN
    if len(word) < LEAST_LETTERS:
        return None
    at = chance.randrange(1, len(word))
    slips: tuple[Callable[[], str], ...] = (
        lambda: word[:at] + chance.choice(letters) + word[at + 1 :],
        lambda: word[:at] + word[at + 1 :],
        lambda: word[:at] + chance.choice(letters) + word[at:],
        lambda: word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :],
    )
    typed = chance.choice(slips)()
    return None if typed.casefold() == word.casefold() else name.replace(word, typed, 1)


def is_right(question: Question, found: Place) -> bool:
    """Whether the answer is the place that was meant, or another one of that name, or of the name that was typed."""
    if distance_m((found.lat, found.lon), question.place.at) <= SAME_PLACE_M and _may_be(found, question.place):
        return True
    return bool({fold(question.text), fold(question.name)} & set(map(fold, found.names.each())))


def _may_be(found: Place, place: Settlement) -> bool:
    """A district and its seat answer for each other; a street or a mahalla beside them does not."""
    return found.kind in _SETTLED and place.kind in _SETTLED


def invented_places(count: int, seed: int) -> Iterator[Settlement]:
    """Villages, mahallas and streets around our towns, in shares of 3 : 3 : 4; four streets share a name."""
    chance = Random(f"{seed}:names")
    towns = [place for place in settlements() if place.kind in ("city", "town")]
    streets = [_person(chance) for _ in range(max(1, count // 10))]
    for i in range(max(0, count)):
        town = chance.choice(towns)
        at = from_local_m(town.at, chance.gauss(0, 6_000), chance.gauss(0, 6_000))
        if i % 10 < 3:
            yield _invented("village", _compound(chance), town, at, chance.randrange(300, 6_000))
        elif i % 10 < 6:
            yield _invented("mahalla", f"{_compound(chance)} mahallasi", town, at)
        else:
            yield _invented("street", f"{chance.choice(streets)} koʻchasi", town, at)


def _invented(kind: str, name: str, town: Settlement, at: Point, population: int = 0) -> Settlement:
    return Settlement(kind=kind, region=town.region, names=Names(name, "", "", "", ""), at=at, population=population)


def _compound(chance: Random) -> str:
    if chance.random() < 0.5:
        return chance.choice(_BEGINNINGS) + chance.choice(_ROOTS)
    return _word(chance) + chance.choice(("", "", chance.choice(_ROOTS)))


def _person(chance: Random) -> str:
    return f"{_word(chance)} {_word(chance)}{chance.choice(('', 'ov', 'iy'))}"


def _word(chance: Random) -> str:
    syllables = "".join(chance.choice(_SYLLABLES) for _ in range(chance.randrange(1, 4)))
    return (syllables + chance.choice(_ENDINGS)).capitalize()


def _spread(times_ms: list[float]) -> dict[str, float]:
    ranked = sorted(times_ms)
    shares = {"p50": 0.5, "p99": 0.99, "worst": 1.0}
    return {name: round(ranked[min(len(ranked) - 1, int(len(ranked) * share))], 3) for name, share in shares.items()}
