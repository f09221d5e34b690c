"""Names in five language tags, and keys by which names are found whatever their script and spelling.

Uzbek is written in Latin and in Cyrillic, Karakalpak in Latin, and Russian has names of its own for most
places. The original spelling is always kept; a key only serves to compare. Not here: the search itself
(gazetteer).
"""

import re
from typing import Literal

import msgspec

Language = Literal["uz-Latn", "uz-Cyrl", "ru", "kaa", "en"]
LANGUAGES: tuple[Language, ...] = ("uz-Latn", "uz-Cyrl", "ru", "kaa", "en")

OKINA, TUTUQ = "\u02bb", "\u02bc"  # the letter part of oʻ gʻ, and tutuq belgisi
_APOSTROPHES = "'`\u00b4\u02b9\u02bb\u02bc\u2018\u2019\u201b\u2032"

_TO_CYRILLIC = {
    "yo" + OKINA: "йў", "o" + OKINA: "ў", "g" + OKINA: "ғ", "sh": "ш", "ch": "ч", "yo": "ё", "yu": "ю", "ya": "я",
    "ye": "е", "a": "а", "b": "б", "d": "д", "e": "е", "f": "ф", "g": "г", "h": "ҳ", "i": "и", "j": "ж", "k": "к",
    "l": "л", "m": "м", "n": "н", "o": "о", "p": "п", "q": "қ", "r": "р", "s": "с", "t": "т", "u": "у", "v": "в",
    "x": "х", "y": "й", "z": "з", TUTUQ: "ъ",
}  # fmt: skip
# At the start of a word and after a vowel, e is э; "ye" is taken whole before that is asked.
_OPEN_E = r"(?P<open>(?<![^\W\d_])e|(?<=[aiou\u02bb])e)"
_LATIN_PIECE = re.compile("|".join([_OPEN_E, *sorted(_TO_CYRILLIC, key=len, reverse=True)]), re.IGNORECASE)

# Every letter that writes the same sound falls on one letter; digraphs first become one letter, so that a slip
# in one of them costs as much as a slip in any other letter.
_SOUNDS = str.maketrans({
    "а": "a", "б": "b", "в": "v", "г": "g", "ғ": "g", "д": "d", "е": "e", "ё": "yo", "ж": "j", "з": "z", "и": "i",
    "й": "y", "к": "k", "қ": "k", "л": "l", "м": "m", "н": "n", "ң": "n", "о": "o", "ө": "o", "п": "p", "р": "r",
    "с": "s", "т": "t", "у": "u", "ў": "o", "ү": "u", "ф": "f", "х": "h", "ҳ": "h", "ц": "s", "ч": "ç", "ш": "ş",
    "щ": "ş", "ъ": "", "ы": "i", "ь": "", "э": "e", "ю": "yu", "я": "ya", "ә": "a",
    "ö": "o", "ó": "o", "ŏ": "o", "ŭ": "o", "ğ": "g", "ǵ": "g", "ń": "n", "ñ": "n", "ı": "i", "á": "a", "ú": "u",
    "x": "h", "q": "k", "w": "v", "-": " ", **dict.fromkeys(_APOSTROPHES, ""),
})  # fmt: skip
# The letters of our own alphabet first, so that what other spellings write with two letters cannot cut through them.
_DIGRAPHS = (
    (re.compile("sh"), "ş"),
    (re.compile("ch"), "ç"),
    (re.compile("dzh|dj|zh"), "j"),
    (re.compile("kh"), "h"),
    (re.compile("gh"), "g"),
    (re.compile("ts"), "s"),
    (re.compile("y+e"), "e"),
)
_DOUBLED = re.compile(r"([^\W\d_])\1+")
_LOOSE = str.maketrans({"o": "a", "e": "i", "y": ""})


class Names(msgspec.Struct, frozen=True):
    """One name in each of the five language tags; the scripts are properties of the tags."""

    uz_latn: str
    uz_cyrl: str
    ru: str
    kaa: str
    en: str

    def in_language(self, language: str) -> str:
        """The name for a language tag; Uzbek Latin, the official script, for a tag that is not ours."""
        return str(getattr(self, language.replace("-", "_").lower(), self.uz_latn))

    def each(self) -> tuple[str, str, str, str, str]:
        """All five, in the order of LANGUAGES."""
        return self.uz_latn, self.uz_cyrl, self.ru, self.kaa, self.en


def to_cyrillic(latin: str) -> str:
    """Uzbek Latin (with U+02BB and U+02BC) in Uzbek Cyrillic, by the rule of the 1995 alphabet."""
    return _LATIN_PIECE.sub(_cyrillic_piece, latin)


def to_plain(latin: str) -> str:
    """Uzbek Latin as English text writes it, without the letters that its keyboards lack."""
    return latin.replace(OKINA, "").replace(TUTUQ, "")


def fold(text: str) -> str:
    """A key that is equal for equal names in any script: «Қўқон», «Qo'qon» and «QOʻQON» are all `kokon`."""
    key = text.casefold().translate(_SOUNDS)
    for digraph, letter in _DIGRAPHS:
        key = digraph.sub(letter, key)
    return " ".join(_DOUBLED.sub(r"\1", key).split())


def loosen(key: str) -> str:
    """A coarser key over `fold`, under which most Russian names meet the Uzbek ones (`kakan`, `kakand`)."""
    return key.translate(_LOOSE)


def _cyrillic_piece(match: re.Match[str]) -> str:
    piece = match.group()
    cyrillic = "э" if match["open"] else _TO_CYRILLIC[piece.lower()]
    return cyrillic.capitalize() if piece[0].isupper() else cyrillic
