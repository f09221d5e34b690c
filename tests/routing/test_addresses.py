"""Texts as people write addresses, cut into names with their kinds, and the house number apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.addresses import house_number, name_keys, readings

Names = list[tuple[str, str | None]]


def first(text: str) -> tuple[Names, str | None]:
    address = readings(text)[0]
    return [(" ".join(part.words), part.kind) for part in address.parts], address.house


@pytest.mark.parametrize(
    ("text", "names", "house"),
    [
        ("Amir Temur koʻchasi 15", [("amir temur", "street")], "15"),
        ("Amir Temur ko'chasi, 15-uy", [("amir temur", "street")], "15"),
        ("Амир Темур шоҳ кўчаси 15", [("amir temur", "street")], "15"),
        ("ул. Навои, д. 15, кв. 3", [("navoi", "street")], "15"),
        ("улица Навои дом 15", [("navoi", "street")], "15"),
        ("Навои улица 12", [("navoi", "street")], "12"),
        ("пр-т Навои 12-й дом", [("navoi", "street")], "12"),
        ("Navoiy ko'ch. 12A", [("navoiy", "street")], "12a"),
        ("Navoiy koʻchasi 12/1", [("navoiy", "street")], "12/1"),
        ("Mirobod ko'chasi 12 korpus 3, 5-xonadon", [("mirobod", "street")], "12/3"),
        ("8-mart ko'chasi 3", [("8 mart", "street")], "3"),
        ("Gulzor berk ko'chasi, uy 7", [("gulzor", "street")], "7"),
        ("Chilonzor 5-mavze 12-uy", [("çilonzor 5", "quarter")], "12"),
        ("Юнусабад 4-й квартал дом 12", [("yunusabad 4", "quarter")], "12"),
        ("Labzak MFY", [("labzak", "mahalla")], None),
        ("Toshkent sh., Chilonzor t.", [("toşkent", "city"), ("çilonzor t", None)], None),
        (
            "г. Ташкент, Чиланзарский р-н, ул. Бунёдкор, 12",
            [("taşkent", "city"), ("çilanzarskiy", "district"), ("bunyodkor", "street")],
            "12",
        ),
        (
            "Samarqand viloyati Urgut tumani Kamangaron qishlog'i",
            [("samarkand", "region"), ("urgut", "district"), ("kamangaron", "village")],
            None,
        ),
        ("Bogʻ koʻchasi", [("bog", "street")], None),
        ("Buvayda tumanida, Navoiy koʻchasidan", [("buvayda", "district"), ("navoiy", "street")], None),
    ],
)
def test_an_address_is_cut_at_its_words_of_kind(text: str, names: Names, house: str | None) -> None:
    assert first(text) == (names, house)


def test_what_may_be_meant_in_two_ways_is_read_in_both() -> None:
    read = [([" ".join(part.words) for part in way.parts], way.house) for way in readings("Yunusobod 4")]
    assert read == [(["yunusobod 4"], None), (["yunusobod"], "4")]


@pytest.mark.parametrize("text", ["", "  ", "!!!", "🔥", "\x00\x07", "’"])
def test_nothing_is_read_where_nothing_is_written(text: str) -> None:
    assert readings(text) == []


@given(st.text(max_size=600))
def test_any_text_can_be_read(text: str) -> None:
    assert all(way.parts and all(part.key for part in way.parts) for way in readings(text))


def test_a_house_number_is_one_in_any_writing() -> None:
    assert {house_number(text) for text in ("12А", "12-а", "12 a", "12A")} == {"12a"}


def test_a_name_has_keys_with_and_without_the_words_of_its_kind() -> None:
    (keys,) = name_keys(["Mirzo Ulugʻbek tumani"])
    assert keys["mirzoulugbektumani"] == 0.0
    assert 0 < keys["mirzoulugbek"] < keys["mulugbek"] < keys["ulugbek"]


def test_a_word_of_kind_is_left_out_only_where_it_is_one() -> None:
    bare = [
        min(keys, key=lambda key: (keys[key] == 0, keys[key]))
        for keys in name_keys(["Amir Temur shoh koʻchasi", "Tor"])
    ]
    assert bare == ["amirtemur", "tor"]
    assert "ming" not in [key for key, cost in name_keys(["Katta Ming"])[0].items() if cost < 2]
