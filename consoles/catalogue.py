"""The service's words in its five language tags, read from the hand-written catalogues."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources

LANGUAGES = ("uz-Latn", "uz-Cyrl", "ru", "kaa", "en")
AWAITING_REVIEW = ("kaa",)
"""Languages whose words no native speaker has reviewed yet."""

Words = Mapping[str, Mapping[str, str]]


@cache
def incident_type_names() -> Words:
    """Incident type → language tag → name."""
    return _read("incident_types", "incident_type")


@cache
def paper_words() -> Words:
    """Word on paper → language tag → how it is written."""
    return _read("paper", "word")


def _read(name: str, key: str) -> Words:
    text = resources.files("consoles").joinpath(f"catalogues/{name}.csv").read_text("utf-8")
    return {row.pop(key): row for row in csv.DictReader(text.splitlines())}
