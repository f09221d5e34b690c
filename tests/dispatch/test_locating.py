"""From evidence to one place: labelled, with its regions, and never from words that name nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dispatch.calling.evidence import Evidence, Point, fault_of, fix_of
from dispatch.calling.locating import Locator, aml_fix
from dispatch.core.terms import LocationFix, Sector, Source
from dispatch.errors import UserMistake
from dispatch.formats.aml_message import AmlMessage
from dispatch.formats.values import Point as AmlPoint
from dispatch.searching import gazetteer
from dispatch.settings import Settings
from routing.gazetteer import Gazetteer
from routing.regions import Regions

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def locator() -> Locator:
    return Locator(Regions(), Gazetteer())


def fix(source: Source, lat: float, lon: float, **more: object) -> LocationFix:
    return LocationFix(source=source, lat=lat, lon=lon, at=NOW, **more)  # type: ignore[arg-type]


def test_no_evidence_is_no_place(locator: Locator) -> None:
    assert locator.estimate((), NOW) is None
    assert locator.estimate((LocationFix(source=Source.ADDRESS, at=NOW),), NOW) is None


def test_a_place_in_a_city_is_urban_and_one_in_the_desert_is_not(locator: Locator) -> None:
    city = locator.estimate((fix(Source.APP, 41.3264, 69.2346),), NOW)
    desert = locator.estimate((fix(Source.APP, 42.6, 62.0),), NOW)
    assert city is not None
    assert desert is not None
    assert (city.urban, desert.urban) == (True, False)
    assert set(city.place) == {"uz-Latn", "uz-Cyrl", "ru", "kaa", "en"}


def test_a_place_beyond_the_border_but_in_the_country_s_box_has_no_region(locator: Locator) -> None:
    dushanbe = locator.estimate((fix(Source.APP, 38.56, 68.79),), NOW)
    assert dushanbe is not None
    assert dushanbe.regions == ()


def test_an_operator_s_word_wins_over_later_evidence(locator: Locator) -> None:
    said = fix(Source.OPERATOR, 41.31, 69.28, confirmed=True)
    later = fix(Source.APP, 41.33, 69.20, accuracy_m=5)
    found = locator.estimate((said, later), NOW + timedelta(minutes=1))
    assert found is not None
    assert (found.lat, found.confirmed) == (41.31, True)
    assert found.contradiction is not None


@pytest.mark.parametrize("text", ["Urganch", "Ургенч", "урганч", "Urgench shahri"])
def test_a_town_by_name_is_found_in_any_script_and_rough(locator: Locator, text: str) -> None:
    (found,) = locator.fixes([Evidence(source=Source.ADDRESS, text=text)], NOW)
    assert found.lat == pytest.approx(41.55, abs=0.1)
    assert found.accuracy_m is not None
    assert found.accuracy_m >= 2_000


def test_an_address_is_as_exact_as_what_is_known_of_it(locator: Locator, tmp_path: Path) -> None:
    file = tmp_path / "houses.csv"
    file.write_text(
        "kind,name,lat,lon,house\n"
        "street,Bunyodkor koʻchasi,41.2800,69.2100,\n"
        "house,Bunyodkor koʻchasi,41.2810,69.2110,15\n"
    )
    exact = Locator(Regions(), gazetteer(Settings(places=(file,)), Regions()))
    text = "Toshkent, Bunyodkor ko'chasi 15-uy"
    found = [each.fixes([Evidence(source=Source.ADDRESS, text=text)], NOW)[0] for each in (locator, exact)]
    assert [fix.accuracy_m and round(fix.accuracy_m, -1) for fix in found] == [10_580, 30]
    assert (found[1].lat, found[1].lon) == (41.2810, 69.2110)


@pytest.mark.parametrize("text", ["Navoiy ko'chasi 15", "Chilonzorda uy yonyapti tez keling", "yordam", "12"])
def test_words_that_only_might_name_a_place_send_nobody_anywhere(locator: Locator, text: str) -> None:
    (found,) = locator.fixes([Evidence(source=Source.ADDRESS, text=text)], NOW)
    assert found.lat is None


def test_a_position_or_a_plus_code_that_was_read_out_is_one(locator: Locator) -> None:
    for text in ("41,3111 69,2797", "8JHF876H+CV", "https://yandex.uz/maps/?pt=69.2797,41.3111"):
        (found,) = locator.fixes([Evidence(source=Source.ADDRESS, text=text)], NOW)
        assert (found.lat, found.lon) == pytest.approx((41.3111, 69.2797), abs=2e-4)


def test_a_file_of_places_that_cannot_be_read_is_the_user_s_mistake() -> None:
    with pytest.raises(UserMistake, match=r"DISPATCH112_PLACES: none\.csv cannot be read"):
        gazetteer(Settings(places=(Path("none.csv"),)), Regions())


def test_a_town_that_a_file_brings_is_a_town(locator: Locator, tmp_path: Path) -> None:
    file = tmp_path / "towns.csv"
    file.write_text("kind,name,lat,lon,population\ntown,Sharshora,42.5000,62.0000,40000\n")
    brought = Locator(Regions(), gazetteer(Settings(places=(file,)), Regions()))
    assert [each.is_urban(42.5, 62.0) for each in (locator, brought)] == [False, True]
    assert not brought.is_urban(42.7, 62.0)


def test_a_place_without_a_region_has_that_of_the_outlines_in_force(tmp_path: Path) -> None:
    ring = [[61.9, 42.4], [62.1, 42.4], [62.1, 42.6], [61.9, 42.6], [61.9, 42.4]]
    feature = {
        "type": "Feature",
        "properties": {"iso": "UZ-XO", "name": "Xorazm", "admin_level": "4"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    (tmp_path / "regions.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    file = tmp_path / "towns.csv"
    file.write_text("kind,name,lat,lon\ntown,Sharshora,42.5,62.0\n")
    outlines = Regions.from_map(tmp_path)
    found = [gazetteer(Settings(places=(file,)), each).search("Sharshora")[0].region for each in (Regions(), outlines)]
    assert found == ["UZ-NW", "UZ-XO"]


def test_words_beside_a_point_do_not_move_it(locator: Locator) -> None:
    piece = Evidence(source=Source.ADDRESS, text="Urganch", point=[69.23, 41.32], accuracy_m=40)
    (found,) = locator.fixes([piece], NOW)
    assert (found.lat, found.lon, found.accuracy_m) == (41.32, 69.23, 40)


def test_a_fix_from_the_future_counts_as_made_now() -> None:
    piece = Evidence(source=Source.APP, point=[69.23, 41.32], at=NOW + timedelta(days=400))
    assert fix_of(piece, NOW).at == NOW
    slightly = Evidence(source=Source.APP, point=[69.23, 41.32], at=NOW + timedelta(seconds=30))
    assert fix_of(slightly, NOW).at == NOW + timedelta(seconds=30)


def test_a_radius_of_zero_is_unknown() -> None:
    piece = Evidence(source=Source.APP, point=[69.23, 41.32], accuracy_m=0)
    assert fix_of(piece, NOW).accuracy_m is None


@pytest.mark.parametrize(
    ("coordinates", "said"),
    [([41.3, 69.2], "did you send [lat, lon]?"), ([0, 0], "outside"), ([69.2, -41.3], "outside")],
)
def test_a_point_that_cannot_be_meant_is_told_why(coordinates: list[float], said: str) -> None:
    fault = fault_of(Evidence(source=Source.APP, point=Point(coordinates=coordinates)))
    assert fault is not None
    assert said in fault.detail


def test_a_handset_that_knows_no_position_or_one_abroad_places_nobody() -> None:
    nowhere = AmlMessage(transport="sms", version="1")
    abroad = AmlMessage(transport="sms", version="1", position=AmlPoint(lat=48.8, lon=2.3))
    here = AmlMessage(transport="sms", version="1", position=AmlPoint(lat=41.3, lon=69.2), accuracy_m=9)
    assert aml_fix(nowhere, NOW) is None
    assert aml_fix(abroad, NOW) is None
    found = aml_fix(here, NOW)
    assert found is not None
    assert (found.source, found.at, found.accuracy_m) == (Source.AML, NOW, 9)


def test_a_radius_of_nine_cases_in_ten_counts_as_less_than_one_of_two_in_three() -> None:
    point = AmlPoint(lat=41.3, lon=69.2)
    sure, usual = (
        aml_fix(AmlMessage(transport="sms", version="1", position=point, accuracy_m=35, confidence=confidence), NOW)
        for confidence in (90.0, 68.0)
    )
    assert sure is not None and usual is not None
    assert sure.accuracy_m == pytest.approx(35 * 0.703, abs=0.1)
    assert usual.accuracy_m == 35


def test_a_name_that_several_places_share_keeps_them_all(locator: Locator) -> None:
    (found,) = locator.fixes([Evidence(source=Source.LANDMARK, text="Yangiobod")], NOW)
    assert len(found.spots) >= 2
    alone = locator.estimate((found,), NOW)
    near = found.spots[1]
    told = locator.estimate((found, fix(Source.CELL, near.lat, near.lon, accuracy_m=5_000)), NOW)
    assert alone is not None and told is not None
    assert alone.accuracy_m > 50_000 > told.accuracy_m
    assert told.lat == pytest.approx(near.lat, abs=0.05)


def test_a_city_and_the_district_about_it_are_one_place(locator: Locator) -> None:
    (found,) = locator.fixes([Evidence(source=Source.ADDRESS, text="Samarqand")], NOW)
    assert found.spots == () and found.accuracy_m == pytest.approx(5_000, rel=0.1)


@pytest.mark.parametrize(
    ("said", "sector"),
    [
        ({"azimuth_deg": 90}, Sector(azimuth_deg=90, width_deg=120, range_m=3_000)),
        ({"range_m": 800, "min_range_m": 200}, Sector(width_deg=360, range_m=800, min_range_m=200)),
        ({"azimuth_deg": 0, "width_deg": 65, "accuracy_m": 900}, Sector(azimuth_deg=0, width_deg=65, range_m=900)),
        ({"accuracy_m": 900}, None),
    ],
)
def test_a_cell_says_its_sector_as_far_as_it_knows(said: dict[str, float], sector: Sector | None) -> None:
    assert fix_of(Evidence(source=Source.CELL, point=[69.2, 41.3], **said), NOW).sector == sector  # type: ignore[arg-type]
    assert fix_of(Evidence(source=Source.APP, point=[69.2, 41.3], **said), NOW).sector is None  # type: ignore[arg-type]


def test_the_district_is_named_where_the_map_brought_districts(tmp_path: Path) -> None:
    ring = [[69.15, 41.25], [69.25, 41.25], [69.25, 41.31], [69.15, 41.31], [69.15, 41.25]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "properties": {"name": "Chilonzor tumani", "admin_level": "6"}, "geometry": shape}
    (tmp_path / "districts.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    placed = Locator(Regions.from_map(tmp_path), Gazetteer())
    inside = placed.estimate((fix(Source.APP, 41.28, 69.2),), NOW)
    outside = placed.estimate((fix(Source.APP, 41.35, 69.3),), NOW)
    assert inside is not None and outside is not None
    assert inside.district["uz-Cyrl"] == "Чилонзор тумани"
    assert outside.district == {}


def test_a_contradiction_names_both_places_in_five_languages(locator: Locator) -> None:
    found = locator.estimate((fix(Source.ADDRESS, 41.272, 69.197), fix(Source.AML, 41.36, 69.33, accuracy_m=15)), NOW)
    assert found is not None and isinstance(found.contradiction, dict)
    assert found.contradiction["en"].startswith(("address: Tashkent, Chilanzar", "phone: Tashkent"))
    assert all("≠" in line and "(14." in line for line in found.contradiction.values())
    assert len(set(found.contradiction.values())) == 5


def test_a_handsets_time_is_an_age_on_the_wall_whatever_the_services_time_is() -> None:
    wall = NOW - timedelta(hours=1)  # The machine's clock was set back.
    piece = Evidence(source=Source.APP, point=Point(coordinates=[69.2, 41.3]), at=wall - timedelta(seconds=40))
    assert fix_of(piece, NOW, wall).at == NOW - timedelta(seconds=40)
    assert fix_of(piece, NOW).at == NOW - timedelta(hours=1, seconds=40)
    ahead = Evidence(source=Source.APP, point=piece.point, at=wall + timedelta(minutes=30))
    assert fix_of(ahead, NOW, wall).at == NOW
