"""A contradiction between two pieces of evidence in words for people: who says what, and how far apart that is.

In all five languages, with places as the gazetteer names them. That there is one is routing's to find.
"""

from __future__ import annotations

from collections.abc import Callable

from routing.locate import Contradiction
from routing.names import LANGUAGES, Names

SOURCES = {
    "aml": Names("telefon", "телефон", "телефон", "telefon", "phone"),
    "app": Names("ilova", "илова", "приложение", "qosımsha", "app"),
    "ecall": Names("avtomobil", "автомобиль", "автомобиль", "avtomobil", "car"),
    "cell": Names("sota", "сота", "сота", "sota", "cell"),
    "address": Names("manzil", "манзил", "адрес", "mánzil", "address"),
    "landmark": Names("moʻljal", "мўлжал", "ориентир", "belgi orın", "landmark"),
    "vehicle": Names("transport", "транспорт", "транспорт", "transport", "vehicle"),
    "operator": Names("operator", "оператор", "оператор", "operator", "operator"),
}
_KILOMETRE = Names("km", "км", "км", "km", "km")


def in_words(found: Contradiction, describe: Callable[[float, float], Names]) -> dict[str, str]:
    """One sentence a language tag, such as `address: Tashkent, Chilanzar ≠ phone: Tashkent, Sergeli (9.1 km)`."""
    said = [
        zip(SOURCES[fix.source].each(), describe(fix.lat, fix.lon).each(), strict=True)
        for fix in (found.other, found.one)
    ]
    apart = f"{found.apart_m / 1000:.1f}"
    lines = (
        f"{other}: {there} ≠ {one}: {here} ({apart} {unit})"
        for (other, there), (one, here), unit in zip(*said, _KILOMETRE.each(), strict=True)
    )
    return dict(zip(LANGUAGES, lines, strict=True))
