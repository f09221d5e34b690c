"""The words for incident types in the service's five language tags, read from the hand-written catalogue."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources

LANGUAGES = ("uz-Latn", "uz-Cyrl", "ru", "kaa", "en")
AWAITING_REVIEW = ("kaa",)
"""Languages whose words no native speaker has reviewed yet."""


@cache
def incident_type_names() -> Mapping[str, Mapping[str, str]]:
    """Incident type → language tag → name."""
    text = resources.files("consoles").joinpath("catalogues/incident_types.csv").read_text("utf-8")
    return {row.pop("incident_type"): row for row in csv.DictReader(text.splitlines())}
