"""Names in five language tags, and keys by which names are found whatever their script and spelling.

Uzbek is written in Latin and in Cyrillic, Karakalpak in Latin, and Russian has names of its own for most
places. The original spelling is always kept; a key only serves to compare. Not here: the search itself
(gazetteer).
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

Language = Literal["uz-Latn", "uz-Cyrl", "ru", "kaa", "en"]
LANGUAGES: tuple[Language, ...] = ("uz-Latn", "uz-Cyrl", "ru", "kaa", "en")

OKINA, TUTUQ = "\u02bb", "\u02bc"  # the letter part of oʻ gʻ, and tutuq belgisi
APOSTROPHES: Final = (
    "'`\u00b4\u02b9\u02bb\u02bc\u02bd\u02bf\u02c8\u02ca\u02cb\u2018\u2019\u201a\u201b\u2032\u2035\ua78c\uff07"
)
_APOSTROPHE_OF_LETTER = re.compile(f"(?<=[oOgG])[{re.escape(APOSTROPHES)}]")
_OTHER_APOSTROPHE = re.compile(f"[{re.escape(APOSTROPHES.replace(OKINA, ''))}]")

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
# in one of them costs as much as a slip in any other letter. Accents that mean nothing here fall off.
_ACCENTED = {
    chr(code): base
    for code in (*range(0xC0, 0x250), *range(0x1E00, 0x1F00))
    if (base := unicodedata.normalize("NFKD", chr(code))[0]) in "abcdefghijklmnopqrstuvwxyz"
}
_SOUNDS = str.maketrans(_ACCENTED | {
    "а": "a", "б": "b", "в": "v", "г": "g", "ғ": "g", "д": "d", "е": "e", "ё": "yo", "ж": "j", "з": "z", "и": "i",
    "й": "y", "к": "k", "қ": "k", "л": "l", "м": "m", "н": "n", "ң": "n", "о": "o", "ө": "o", "п": "p", "р": "r",
    "с": "s", "т": "t", "у": "u", "ў": "o", "ү": "u", "ф": "f", "х": "h", "ҳ": "h", "ц": "s", "ч": "ç", "ш": "ş",
    "щ": "ş", "ъ": "", "ы": "i", "ь": "", "э": "e", "ю": "yu", "я": "ya", "ә": "a", "і": "i",
    "ş": "ş", "ç": "ç", "š": "ş", "č": "ç", "ž": "j", "ŭ": "o", "ı": "i",
    "x": "h", "q": "k", "w": "v", "-": " ", "\u2010": " ", "\u2011": " ", "\u2013": " ", "\u2014": " ", "\u00ad": "",
    **dict.fromkeys(APOSTROPHES, ""), **dict.fromkeys(map(chr, range(0x300, 0x370)), ""),
})  # fmt: skip
# Two letters of the Latin alphabet, before Cyrillic ones become Latin: «сх» is no «ш», and neither is s'h.
_LATIN_DIGRAPHS = (("sh", "ş"), ("ch", "ç"))
_DIGRAPHS = (
    (re.compile("dzh|dj|zh"), "j"),
    (re.compile("kh"), "h"),
    (re.compile("gh"), "g"),
    (re.compile("ts"), "s"),
    (re.compile("y+e"), "e"),
)
_DOUBLED = re.compile(r"([bcçdfghjklmnprsştvz])\1+")  # consonants: of two vowels one is a slip as often as not
_LOOSE = str.maketrans({"o": "a", "u": "a", "e": "i", "y": ""})
_SPELT_OUT = str.maketrans({"ş": "sh", "ç": "ch"})
# Letters that look alike in both scripts: a keyboard left in the other one writes «Маpгилан» with a Latin p.
_CYRILLIC_LOOKS, _LATIN_LOOKS = "асеорхуктмнві", "aceopxyktmhbi"
_TO_CYRILLIC_LOOKS = str.maketrans(_LATIN_LOOKS, _CYRILLIC_LOOKS)
_TO_LATIN_LOOKS = str.maketrans(_CYRILLIC_LOOKS, _LATIN_LOOKS)
_MIXED = re.compile(r"[a-zа-яёўқғҳ]*(?:[a-z][а-яёўқғҳ]|[а-яёўқғҳ][a-z])[a-zа-яёўқғҳ]*")


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


def read_names(name: str, uz: str = "", uz_cyrl: str = "", ru: str = "", kaa: str = "", en: str = "") -> Names:
    """The names of a place as files of others have them, where any may be missing and `uz` in either script.

    What is missing stays empty, but for `uz_latn`; see `completed`.
    """
    if uz and is_cyrillic(uz):
        uz, uz_cyrl = "", uz_cyrl or uz
    if not (uz or is_cyrillic(name)):
        uz = name
    return Names(uz or name or uz_cyrl or ru or kaa or en, uz_cyrl, ru, kaa, en)


def completed(names: Names) -> Names:
    """All five names: what is missing follows from the Uzbek Latin by rule, with the apostrophes of the alphabet."""
    if all(names.each()):
        return names
    if is_cyrillic(names.uz_latn):
        known = next((name for name in names.each() if name and not is_cyrillic(name)), names.uz_latn)
        return Names(
            known, names.uz_cyrl or names.uz_latn, names.ru or names.uz_latn, names.kaa or known, names.en or known
        )
    latin = _OTHER_APOSTROPHE.sub(TUTUQ, _APOSTROPHE_OF_LETTER.sub(OKINA, names.uz_latn))
    cyrillic = names.uz_cyrl or to_cyrillic(latin)
    return Names(latin, cyrillic, names.ru or cyrillic, names.kaa or latin, names.en or to_plain(latin))


def fold(text: str) -> str:
    """A key that is equal for equal names in any script: «Қўқон», «Qo'qon» and «QOʻQON» are all `kokon`."""
    return " ".join(_folded(text).split())


def fold_letters(text: str) -> str:
    """`fold` for a text with a slip in it: without an i, «Andjon» has a d and a j and not the letter «дж»."""
    return " ".join(_without_digraphs(text).split())


def fold_each(texts: Sequence[str]) -> list[str]:
    """`fold` of many texts, twenty times as quick: a line break inside a text counts as a space."""
    lines = "\n".join(" ".join(text.split()) for text in texts)
    return [" ".join(line.split()) for line in _folded(lines).split("\n")] if texts else []


def loosen(key: str) -> str:
    """A coarser key over `fold`, under which most Russian names meet the Uzbek ones (`kakan`, `kakand`)."""
    return key.translate(_LOOSE)


def spell_out(key: str) -> str:
    """A key with `sh` and `ch` as the two letters that Latin writes: a slip in one of them is then one slip."""
    return key.translate(_SPELT_OUT)


def is_cyrillic(text: str) -> bool:
    """Whether most letters are Cyrillic."""
    letters = [letter for letter in text if letter.isalpha()]
    return 2 * sum("\u0400" <= letter <= "\u052f" for letter in letters) > len(letters)


def _folded(text: str) -> str:
    key = _without_digraphs(text)
    for digraph, letter in _DIGRAPHS:
        key = digraph.sub(letter, key)
    return _DOUBLED.sub(r"\1", key)


def _without_digraphs(text: str) -> str:
    key = unicodedata.normalize("NFC", text).casefold()
    key = _MIXED.sub(_in_one_script, key)
    for two, one in _LATIN_DIGRAPHS:
        key = key.replace(two, one)
    return key.translate(_SOUNDS)


def _in_one_script(match: re.Match[str]) -> str:
    word = match.group()
    return word.translate(_TO_CYRILLIC_LOOKS if is_cyrillic(word) else _TO_LATIN_LOOKS)


def _cyrillic_piece(match: re.Match[str]) -> str:
    piece = match.group()
    cyrillic = "э" if match["open"] else _TO_CYRILLIC[piece.lower()]
    return cyrillic.capitalize() if piece[0].isupper() else cyrillic
