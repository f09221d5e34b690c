"""What a person typed or said, cut into names with their kinds, and the house number apart.

«Toshkent sh., Chilonzor tumani, Bunyodkor shoh koʻchasi 12A» and «ул. Навои, д. 15, кв. 3» come out alike, in
whichever language and order. Nothing is looked up here, so what a name without a kind names stays open, and of
two ways to understand a text both are given.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec
from rapidfuzz import process
from rapidfuzz.distance import OSA

from routing.names import APOSTROPHES, fold, fold_each, fold_letters
from routing.words import (
    ABBREVIATIONS,
    BESIDE,
    BUILDING,
    ENDINGS,
    HOUSE,
    INSIDE,
    KIND_WORDS,
    LANES,
    ORDINALS,
    RUSSIAN_CASES,
)

MOST_CHARS: Final = 500  # a longer text names no place
MOST_WORDS: Final = 16  # what comes after them is not read
BARE_COST: Final = 0.5  # a name without the words of its kind
INITIAL_COST: Final = 1.5
WORD_COST, REST_COST = 5.0, 14.0  # one word of several: for that, and by the share of letters not said
LEAST_KIND_WORD: Final = 5  # letters of a word of kind that is known with a slip in it
LEAST_STEM: Final = 4  # letters of a word without the ending of its case
LEAST_ADJECTIVE: Final = 2  # letters before «-ский»
LEAST_WORD: Final = 4  # letters of a word that a name is found by

_ABBREVIATED: Final = re.compile(
    r"(?<![\w'-])(?:" + "|".join(sorted(map(re.escape, ABBREVIATIONS), key=len, reverse=True)) + r")(?![\w'-])"
)
_TO_APOSTROPHE: Final = str.maketrans(dict.fromkeys(APOSTROPHES, "'"))
_TOKEN: Final = re.compile(
    r"(?P<number>\d+(?:\s?/\s?\d+)?(?:[ -]?[a-hа-жк](?![\w']))?(?:\s?/\s?\d+)?)(?P<glue>[-–](?=[^\W\d_]))?"
    r"|(?P<word>[^\W\d_][^\W\d_'\u0300-\u036f]*(?:['\u0300-\u036f]+[^\W\d_'\u0300-\u036f]*)*)"
    r"|(?P<cut>[,;:()\[\]|\n])"
)
_IN_A_HOUSE_NUMBER: Final = re.compile(r"[\s-]")
_NO_WORD: Final = re.compile(r"(?:[^\w\n]|_)+")


def _any_of(words: Iterable[str]) -> str:
    """A pattern of whole words, the longest first."""
    return r"(?<![^\W_])(?:" + "|".join(sorted(words, key=len, reverse=True)) + r")(?![^\W_])"


# A word of one letter may be somebody's initial.
_KIND_OF_NAME: Final = re.compile(_any_of(word for word in KIND_WORDS if len(word) > 1))
_STREET_WORDS: Final = _any_of(word for word, (kind, _) in KIND_WORDS.items() if kind == "street")
_LANE_OF_NAME: Final = re.compile(rf"{_any_of(LANES)} (?={_STREET_WORDS})")
_LONG_KIND_WORDS: Final = [word for word in KIND_WORDS if len(word) >= LEAST_KIND_WORD]

Sort = Literal["number", "word", "cut", "house", "building", "inside", "ordinal", "lane", "kind"]


class Part(msgspec.Struct, frozen=True):
    """One name: its folded words, numbers among them, and the kind that was said, if any."""

    words: tuple[str, ...]
    kind: str | None = None

    @property
    def key(self) -> str:
        """What the name is compared by."""
        return "".join(self.words)


class Address(msgspec.Struct, frozen=True):
    """The names of a text in its order, and a house number in the form of `house_number`."""

    parts: tuple[Part, ...]
    house: str | None = None
    as_written: bool = False  # one name with the words of kind in it, which make different names look alike


class _Token(msgspec.Struct, frozen=True):
    text: str
    sort: Sort
    glued: bool = False  # to the word behind it: «8-mart»
    letters: str = ""  # of a word, where two of them may be one


def readings(text: str) -> list[Address]:
    """The ways to understand a text, the likeliest first; none where it has no letter and no digit."""
    tokens = _tokens(text)
    address = _Reader(tokens).read()
    ways = [address]
    if any(token.sort not in ("word", "cut", "number") for token in tokens):
        ways.append(Address((Part(tuple(token.text for token in tokens if token.sort != "cut")),), as_written=True))
    ways += [*_with_quarters_joined(address), *_with_a_number_a_house(address)]
    for other in (_as_kind, _as_letters, _as_initial, _as_name):
        changed = [token for token in map(other, tokens) if token.text]
        if changed != tokens:
            ways.append(_Reader(changed).read())
    return [way for way in dict.fromkeys(ways) if way.parts]


def house_number(text: str) -> str:
    """A house number as it is compared: «12-А», «12 a» and «12А» are all `12a`."""
    return fold(_IN_A_HOUSE_NUMBER.sub("", text))


def name_keys(names: Sequence[str]) -> list[dict[str, float]]:
    """The keys by which places of these names are found, each with what a match by it costs, 0 to 100.

    A name is found without the words of its kind, as it is written, with an initial, and by one of its words.
    """
    whole = _NO_WORD.sub(" ", "\n".join(fold_each(names)))
    bare = _KIND_OF_NAME.sub("", _LANE_OF_NAME.sub("", whole))
    pairs = zip(whole.split("\n"), bare.split("\n"), strict=True)
    return [_keys(full.split(), rest.split()) for full, rest in pairs] if names else []


def _keys(every: list[str], rest: list[str]) -> dict[str, float]:
    words = rest or every
    length = sum(map(len, words))
    keys = {"".join(words): BARE_COST} | {"".join(every): 0.0}
    if len(words) > 1:
        one = {word: WORD_COST + REST_COST * (1 - len(word) / length) for word in words if len(word) >= LEAST_WORD}
        initial = {words[0][0] + "".join(words[1:]): INITIAL_COST} if words[0].isalpha() else {}
        keys = one | initial | keys
    keys.pop("", None)
    return keys


def _tokens(text: str) -> list[_Token]:
    plain = " ".join(text[:MOST_CHARS].split()).casefold().translate(_TO_APOSTROPHE)
    plain = _ABBREVIATED.sub(lambda short: ABBREVIATIONS[short.group()], plain)
    found = [_token(match) for match in _TOKEN.finditer(plain)]
    return [token for token in found if token.text][: 2 * MOST_WORDS]


def _token(match: re.Match[str]) -> _Token:
    if match["number"]:
        return _Token(house_number(match["number"]), "number", match["glue"] is not None)
    if match["cut"]:
        return _Token(",", "cut")
    word = fold(match["word"])
    sorts: tuple[tuple[Sort, frozenset[str]], ...] = (
        ("house", HOUSE), ("building", BUILDING), ("inside", INSIDE), ("ordinal", ORDINALS), ("lane", LANES),
    )  # fmt: skip
    known = next((sort for sort, words in sorts if word in words), None)
    stem = word if word in KIND_WORDS else _stem(word)
    if known is None and stem in KIND_WORDS:
        return _Token(stem, "kind")
    return _Token(word, known or "word", letters=fold_letters(match["word"]))


def _as_letters(token: _Token) -> _Token:
    return _Token(token.letters, "word") if token.sort == "word" and token.letters != token.text else token


def _as_kind(token: _Token) -> _Token:
    """A word that is one slip from a word of kind, «tumqni», as that word."""
    if token.sort != "word" or len(token.text) < LEAST_KIND_WORD:
        return token
    found = process.extractOne(token.text, _LONG_KIND_WORDS, scorer=OSA.distance, score_cutoff=1)
    return token if found is None else _Token(found[0], "kind")


def _as_initial(token: _Token) -> _Token:
    return _Token(token.text, "word") if token.sort == "kind" and len(token.text) == 1 else token


def _as_name(token: _Token) -> _Token:
    """A word without the ending of its case, and nothing for one that only says «near» or «in»."""
    if token.sort != "word":
        return token
    if token.text in BESIDE:
        return _Token("", "word")
    stem = _stem(token.text)
    return _Token(stem, "word") if stem != token.text else token


def _stem(word: str) -> str:
    """A folded word in its first case."""
    for ending, first in RUSSIAN_CASES.items():
        if word.endswith(ending) and len(word) - len(ending) >= LEAST_ADJECTIVE:
            return word.removesuffix(ending) + first
    ending = next((each for each in ENDINGS if word.endswith(each)), "")
    return word.removesuffix(ending) if len(word) - len(ending) >= LEAST_STEM else word


def _with_quarters_joined(address: Address) -> list[Address]:
    """«Chilonzor, 5-mavze»: maps write the quarter's name with its district's, or the number alone."""
    for i, part in enumerate(address.parts):
        before = address.parts[i - 1] if i else None
        if part.kind == "quarter" and _is_number(part.words) and before is not None:
            joined = Part(before.words + part.words, "quarter")
            return [Address((*address.parts[: i - 1], joined, *address.parts[i + 1 :]), address.house)]
        if part.kind == "quarter" and len(part.words) > 1 and _is_number(part.words[-1:]):
            pieces = (Part(part.words[:-1]), Part(part.words[-1:], "quarter"))
            return [Address((*address.parts[:i], *pieces, *address.parts[i + 1 :]), address.house)]
    return []


def _with_a_number_a_house(address: Address) -> list[Address]:
    """«Navoiy 15», «Navoiy 15 Toshkent»: the number is a part of the name, or a house."""
    for i, part in enumerate(address.parts) if address.house is None else ():
        at = next((at for at, word in enumerate(part.words) if at and _is_number((word,))), 0)
        if at and part.kind != "quarter":
            names, house = (part.words[:at], part.words[at + 1 :]), part.words[at]
            pieces = [Part(words, part.kind) for words in names if words]
            return [Address((*address.parts[:i], *pieces, *address.parts[i + 1 :]), house)]
    return []


def _is_number(words: tuple[str, ...]) -> bool:
    return all(word[0].isdigit() for word in words)


class _Reader:
    """Reads tokens from left to right; a word of kind ends the name before it or begins the one behind it."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._parts: list[Part] = []
        self._words: list[str] = []
        self._kind: str | None = None  # said before the name
        self._house: str | None = None

    def read(self) -> Address:
        """The address that the tokens say."""
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            self._take(token)
        self._close()
        return Address(tuple(self._parts[:MOST_WORDS]), self._house)

    def _take(self, token: _Token) -> None:
        match token.sort:
            case "number":
                self._take_number(token)
            case "kind":
                self._take_kind(token)
            case "cut":
                self._close()
            case "house":
                self._take_house_word(token)
            case "building":
                self._take_building(token)
            case "inside" if self._skip("number") is not None:
                pass
            case "lane" if self._is_next("kind") and KIND_WORDS[self._tokens[self._at].text][0] == "street":
                pass
            case _:
                self._words.append(token.text)

    def _is_next(self, *sorts: Sort) -> bool:
        return self._at < len(self._tokens) and self._tokens[self._at].sort in sorts

    def _skip(self, *sorts: Sort) -> _Token | None:
        """The next token, passed over, when it is of one of these sorts."""
        if not self._is_next(*sorts):
            return None
        self._at += 1
        return self._tokens[self._at - 1]

    def _take_number(self, number: _Token) -> None:
        self._skip("ordinal")
        if self._skip("inside") is not None:
            return
        if self._skip("house") is not None or self._is_behind_street(number):
            self._set_house(number)
        else:
            self._words.append(number.text)

    def _is_behind_street(self, number: _Token) -> bool:
        """Whether the number follows a street's name at once: it is a house then, unless more names follow on it."""
        street = bool(self._parts) and self._parts[-1].kind == "street"
        return street and not (self._words or self._kind or self._house or number.glued or self._is_next("kind"))

    def _take_house_word(self, word: _Token) -> None:
        number = self._skip("number")
        if number is not None:
            self._set_house(number)
        elif len(word.text) > 1:
            self._words.append(word.text)

    def _set_house(self, number: _Token) -> None:
        self._house = number.text
        self._close()

    def _take_building(self, word: _Token) -> None:
        """«12 korpus 2» is the house 12/2."""
        number = self._skip("number")
        if number is None:
            self._words.append(word.text)
            return
        if self._house is None and self._words and self._words[-1][0].isdigit():
            self._house = self._words.pop()
        self._house = f"{self._house}/{number.text}" if self._house else number.text

    def _take_kind(self, word: _Token) -> None:
        kind, side = KIND_WORDS[word.text]
        numbered = bool(self._words) and self._words[-1][0].isdigit()
        if kind == "quarter" and self._is_next("number") and not numbered and not self._is_other_quarter_next():
            self._words.append(self._tokens[self._at].text)
            self._at += 1
            self._skip("ordinal")
            self._close(kind)
        elif side == "before" and self._is_next("word", "lane", *(() if self._words else ("number",))):
            self._close()
            self._kind = kind
        elif self._words:
            self._close_behind(kind)
        elif self._is_next("word", "number", "lane", "kind") and len(word.text) > 1:
            self._kind = kind
        else:
            self._words.append(word.text)

    def _is_other_quarter_next(self) -> bool:
        """«Chilonzor massivi 5-kvartal»: the number belongs to the word behind it."""
        behind = next((token for token in self._tokens[self._at + 1 :] if token.sort != "ordinal"), None)
        return behind is not None and behind.sort == "kind" and KIND_WORDS[behind.text][0] == "quarter"

    def _close_behind(self, kind: str) -> None:
        """End the name at the word of its kind; «город Ташкент Чиланзарский район» is two names."""
        if self._kind is not None and self._kind != kind and len(self._words) > 1:
            self._parts.append(Part((self._words.pop(0),), self._kind))
        self._kind = None
        self._close(kind)

    def _close(self, kind: str | None = None) -> None:
        kind, self._kind = kind or self._kind, None
        words, self._words = tuple(self._words), []
        if words and kind is None and _is_number(words) and self._parts and self._house is None:
            self._house = words[0]
        elif words:
            self._parts.append(Part(words, kind))
