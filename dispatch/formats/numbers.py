"""Phone numbers as E.164, which is how a handset's own message is matched to its call.

A number is evidence, not a credential: spelling is forgiven, but a number is never invented.
Calls without a SIM have none, and that is normal.
"""

import re
from functools import lru_cache

import phonenumbers

HOME_REGION = "UZ"
MAX_NUMBER_CHARS = 64
NATIONAL_DIGITS = 9
CACHED_NUMBERS = 16_384

_SPELLING = re.compile(r"\+?[\d\s().\-/\u00a0\u2010-\u2015]+")
_SCHEME = re.compile(r"(?:tel|sips?|pres|im):", re.IGNORECASE)
_NOT_DIGITS = re.compile(r"\D+")


def e164(text: str | None, region: str = HOME_REGION) -> str | None:
    """The number as `+` and 7 to 15 digits, or `None`.

    Takes national and international spellings, `tel:` and `sip:` addresses. With a plus it is believed
    as it stands; without one it must be a number of `region`, or else a valid one of the world.
    """
    if not text or len(text) > MAX_NUMBER_CHARS:
        return None
    return _e164(text, region)


def similar(a: str | None, b: str | None) -> bool:
    """Whether two spellings can be the same subscriber: equal, or the shorter ends the longer."""
    first, second = e164(a) or _digits(a), e164(b) or _digits(b)
    if not first or not second:
        return False
    shorter, longer = sorted((first.lstrip("+"), second.lstrip("+")), key=len)
    return shorter == longer or (len(shorter) >= NATIONAL_DIGITS and longer.endswith(shorter))


@lru_cache(maxsize=CACHED_NUMBERS)
def _e164(text: str, region: str) -> str | None:
    bare = _SCHEME.sub("", text.strip(), count=1)
    bare = re.split(r"[@;?]", bare, maxsplit=1)[0].strip().replace("\N{FULLWIDTH PLUS SIGN}", "+")
    if not _SPELLING.fullmatch(bare):
        return None
    if bare.startswith("+"):
        return _believed(bare)
    return _guessed(_digits(bare), region)


def _believed(number: str) -> str | None:
    parsed = _parsed(number, None)
    if parsed is None:
        return None
    written = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return written if 8 <= len(written) <= 16 else None


def _guessed(digits: str, region: str) -> str | None:
    """Home first, then the world, then the exit and trunk codes 810 and 8 that old exchanges still prefix."""
    home = _parsed(digits, region)
    tries = [home, _parsed("+" + digits, None)]
    if digits.startswith("8"):
        tries += [_parsed("+" + digits.removeprefix("810"), None), _parsed(digits[1:], region)]
    for parsed in tries:
        if parsed is not None and phonenumbers.is_valid_number(parsed):
            return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    # A new operator's prefix is possible long before the tables call it valid.
    possible = phonenumbers.ValidationResult.IS_POSSIBLE
    if home is not None and phonenumbers.is_possible_number_with_reason(home) == possible:
        return phonenumbers.format_number(home, phonenumbers.PhoneNumberFormat.E164)
    return None


def _parsed(number: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None


def _digits(text: str | None) -> str:
    return _NOT_DIGITS.sub("", text or "")[:MAX_NUMBER_CHARS]
