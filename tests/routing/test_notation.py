"""Positions in any notation: the same place, however it is written, and no place where none is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.geometry import COUNTRY_EAST, COUNTRY_NORTH, COUNTRY_SOUTH, COUNTRY_WEST, distance_m
from routing.notation import decode, find_code, read_position

HERE = (41.3111, 69.2797)


@pytest.mark.parametrize(
    "text",
    [
        "41.3111, 69.2797",
        "41.3111 69.2797",
        "41,3111 69,2797",
        "41,3111, 69,2797",
        "41,3111; 69,2797",
        "69.2797 41.3111",
        "(41.3111; 69.2797)",
        "41.3111° N, 69.2797° E",
        "N41.3111 E69.2797",
        "lat=41.3111 lon=69.2797",
        "С 41.3111 В 69.2797",
        "41,3111° с.ш., 69,2797° в.д.",
        "shimoliy kenglik 41.3111 sharqiy uzunlik 69.2797",
        "41°18'40\"N 69°16'47\"E",
        "41°18′40″ с.ш. 69°16′47″ в.д.",
        "69°16′47″ в. д., 41°18′40″ с. ш.",
        "41 18 40 N 69 16 47 E",
        "N 41° 18.667' E 69° 16.782'",
        "41°18,667' 69°16,782'",
        "41:18:40 69:16:47",
        "41 18.667 69 16.782",
        "[69.2797, 41.3111]",
        "41 градус 18 минут 40 секунд северной широты, 69 градусов 16 минут 47 секунд восточной долготы",
        "41 daraja 18 daqiqa 40 soniya shimoliy kenglik 69 daraja 16 daqiqa 47 soniya sharqiy uzunlik",
        "41 даража 18 дақиқа 40 сония шимолий кенглик, 69 даража 16 дақиқа 47 сония шарқий узунлик",
        "41 degrees 18 minutes 40 seconds north, 69 degrees 16 minutes 47 seconds east",
        "41,3111° ш. 69,2797° д.",
        "Ш 41.3111 Д 69.2797",
        "arqa keńlik 41.3111 shıǵıs uzınlıq 69.2797",
        "41-18-40 69-16-47",
        "4118.666N 06916.782E",
        "geo:41.3111,69.2797;u=35",
        "https://www.google.com/maps/@41.3111,69.2797,15z",
        "https://maps.google.com/?q=41.3111,69.2797",
        "https://www.google.com/maps/place/X/@41.30,69.20,17z/data=!3d41.3111!4d69.2797",
        "https://yandex.uz/maps/?ll=69.20%2C41.30&pt=69.2797%2C41.3111&z=15",
        "https://yandex.uz/maps/10335/tashkent/?ll=69.2797%2C41.3111&z=15",
        "https://www.openstreetmap.org/#map=15/41.3111/69.2797",
        "https://www.openstreetmap.org/?mlat=41.3111&mlon=69.2797#map=15/41.3/69.2",
        "https://2gis.uz/tashkent/geo/69.2797,41.3111",
    ],
)
def test_one_place_in_any_notation(text: str) -> None:
    found = read_position(text)
    assert found is not None
    assert distance_m(found.at, HERE) < 25


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Navoiy 12",
        "12/1",
        "41 69",
        "41.3111",
        "55.75, 37.61",
        "41°75'00\" 69°16'47\"",
        "1,2,3,4",
        "-41.3, 69.2",
        "M39 km 125",
    ],
)
def test_what_is_no_position_here_is_none(text: str) -> None:
    assert read_position(text) is None


def test_a_position_is_as_exact_as_it_was_written() -> None:
    exact = [read_position(text) for text in ("41.3, 69.3", "41.31, 69.28", "41.3111, 69.2797", "41°18' 69°16'")]
    assert [round(found.accuracy_m) for found in exact if found] == [5560, 556, 10, 927]


latitudes = st.floats(COUNTRY_SOUTH + 0.01, COUNTRY_NORTH - 0.01)
longitudes = st.floats(COUNTRY_WEST + 0.01, COUNTRY_EAST - 0.01)


@given(latitudes, longitudes)
def test_every_position_of_the_country_is_read_in_both_orders_and_with_commas(lat: float, lon: float) -> None:
    texts = (f"{lat:.5f} {lon:.5f}", f"{lon:.5f}, {lat:.5f}", f"{lat:.5f} {lon:.5f}".replace(".", ","))
    found = [read_position(text) for text in texts]
    assert all(position is not None and distance_m(position.at, (lat, lon)) < 2 for position in found)


def test_a_full_plus_code_is_its_cell_and_a_short_one_the_cell_nearest_to_the_reference() -> None:
    full = decode("8JHF876H+CV", None)
    assert full is not None
    assert distance_m(full.at, HERE) < 20
    for reference in (HERE, (41.7, 69.6), (41.0, 69.0)):
        assert decode("876H+CV", reference) == full
    assert decode("876H+CV", None) is None
    assert decode("8FVC9G8F+6W", None) is None  # Zurich


def test_a_plus_code_is_found_among_words_and_nothing_else_is_one() -> None:
    assert find_code("876H+CV, Toshkent") == ("876H+CV", "Toshkent")
    assert find_code("Toshkent 876h+cv") == ("876H+CV", "Toshkent")
    assert [find_code(text) for text in ("12+34", "+998901234567", "M39 125+300", "C++")] == [None] * 4
