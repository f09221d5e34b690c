"""Every incident type and every word on paper is there in every language, in the right script."""

import json
import re

import pytest

from consoles.catalogue import LANGUAGES, incident_type_names, paper_words
from dispatch.core.plans import PLANS
from dispatch.web.alarms import CODES
from tests.style import ROOT


def test_every_incident_type_is_in_the_catalogue_and_nothing_else() -> None:
    assert set(incident_type_names()) == set(PLANS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_name_is_there_in_its_own_script(language: str) -> None:
    cyrillic = language in ("uz-Cyrl", "ru")
    for names in incident_type_names().values():
        letters = re.sub(r"[\W\d]", "", names[language])
        assert letters and bool(re.fullmatch(r"[Ѐ-ӿ]+", letters)) == cyrillic, names[language]


def test_uzbek_latin_has_its_own_letter_and_no_apostrophe() -> None:
    for names in incident_type_names().values():
        assert not set("'’`") & set(names["uz-Latn"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_on_paper_is_there_in_its_own_script(language: str) -> None:
    cyrillic = language in ("uz-Cyrl", "ru")
    for name, words in paper_words().items():
        written = re.sub(r"telephones\.csv|SMS|eCall", "", words[language])
        letters = re.sub(r"[\W\d]", "", written)
        assert words[language], name
        assert not letters or bool(re.fullmatch(r"[Ѐ-ӿ]+", letters)) == cyrillic, words[language]
    assert not any(set("'’`") & set(words["uz-Latn"]) for words in paper_words().values())


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_console_has_words_for_every_alarm_and_for_no_other(language: str) -> None:
    words = json.loads((ROOT / "consoles/web/src/lang" / f"{language}.json").read_text("utf-8"))
    worded = {key.removeprefix("alarm.") for key in words if key.startswith("alarm.")}
    assert worded == CODES
