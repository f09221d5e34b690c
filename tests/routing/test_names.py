"""Scripts and keys: one name, written in many ways, is one name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.names import OKINA, TUTUQ, Names, completed, fold, fold_each, read_names, to_cyrillic, to_plain

LETTERS = [*"abdefghijklmnopqrstuvxyz", "o" + OKINA, "g" + OKINA, "sh", "ch", "yo", "yu", "ya", "ye", TUTUQ, " "]
latin_words = st.lists(st.sampled_from(LETTERS), max_size=12).map("".join)


@pytest.mark.parametrize(
    ("latin", "cyrillic"),
    [
        ("Toshkent", "Тошкент"),
        ("Gʻijduvon", "Ғиждувон"),
        ("Yangiyer", "Янгиер"),
        ("Eskiarab", "Эскиараб"),
        ("Yangiyoʻl", "Янгийўл"),
        ("Ellikqalʼa", "Элликқалъа"),
        ("Boyovut", "Боёвут"),
        ("Chortoq", "Чортоқ"),
        ("Oʻzbekiston", "Ўзбекистон"),
    ],
)
def test_latin_is_written_in_cyrillic_by_rule(latin: str, cyrillic: str) -> None:
    assert to_cyrillic(latin) == cyrillic


@given(latin_words)
def test_latin_and_cyrillic_have_the_same_key(word: str) -> None:
    assert fold(to_cyrillic(word)) == fold(word)


@given(st.text(max_size=40))
def test_the_key_of_any_text_ignores_case_and_the_space_around_it(text: str) -> None:
    assert fold(f"  {text.upper()} ") == fold(text.upper()) == fold(text.upper().casefold())


@pytest.mark.parametrize(
    "spellings",
    [
        ("Qoʻqon", "Qo'qon", "QO‘QON", "Қўқон", "qoqon", "Qo`qon", "Qöqon"),
        ("Chirchiq", "Çirçiq", "Чирчиқ", "чирчик"),
        ("Xiva", "Khiva", "Хива", "Hiva"),
        ("Shahrisabz", "Şahrisabz", "Шаҳрисабз", "Шахрисабз"),
        ("Jizzax", "Жиззах", "Jizah"),
    ],
)
def test_spellings_of_one_name_share_a_key(spellings: tuple[str, ...]) -> None:
    assert len({fold(spelling) for spelling in spellings}) == 1


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("Маpгилан", "Маргилан"),  # a Latin p
        ("Tошкент", "Тошкент"),  # a Latin T
        ("Samаrqаnd", "Samarqand"),  # two Cyrillic а
        ("O\u0306zbekiston", "Ŏzbekiston"),  # a letter and its mark apart
        ("Õzbekiston", "Oʻzbekiston"),
        ("Nókis", "Nokis"),
    ],
)
def test_letters_of_the_other_script_and_marks_are_seen_through(typed: str, meant: str) -> None:
    assert fold(typed) == fold(meant)


def test_two_letters_are_one_only_in_the_script_that_writes_so() -> None:
    assert fold("Исхоқ") == fold("Is'hoq") != fold("Ishoq")
    assert fold("Шиин") != fold("Шин")


def test_many_names_are_folded_as_one_is() -> None:
    names = ["Qoʻqon", "", "  Шаҳри   Сабз ", "Ёзёвон\ttumani", "8-mart"]
    assert fold_each(names) == [fold(name) for name in names]
    assert fold_each([]) == []


def test_missing_names_follow_from_the_one_that_is_there() -> None:
    assert completed(read_names("O'rikzor")) == Names("Oʻrikzor", "Ўрикзор", "Ўрикзор", "Oʻrikzor", "Orikzor")
    assert completed(read_names("Чорсу", en="Chorsu")).each() == ("Chorsu", "Чорсу", "Чорсу", "Chorsu", "Chorsu")
    assert read_names("Навоий", uz="Навоий", ru="Навои") == Names("Навоий", "Навоий", "Навои", "", "")


def test_different_places_have_different_keys() -> None:
    assert len({fold(name) for name in ("Koson", "Kosonsoy", "Kogon", "Qoʻqon", "Gurlan", "Guliston")}) == 6


def test_plain_text_has_none_of_the_letters_that_keyboards_lack() -> None:
    assert to_plain("Gʻoliblar Ellikqalʼa") == "Goliblar Ellikqala"


def test_an_unknown_language_gets_the_official_script() -> None:
    names = Names("Xiva", "Хива", "Хива", "Xiywa", "Khiva")
    assert [names.in_language(tag) for tag in ("uz-Cyrl", "ru", "kaa", "en", "de")] == [
        "Хива", "Хива", "Xiywa", "Khiva", "Xiva",
    ]  # fmt: skip
