"""Places from files: a map's own names, lists, landmarks; streets with houses, and kilometre posts."""

import json
from pathlib import Path
from typing import Any

import pytest

from routing.gazetteer import Gazetteer, load
from routing.geometry import Point, distance_m, from_local_m
from routing.place_files import COLUMNS, read_places

TASHKENT = Point(41.3111, 69.2797)
ROWS = [
    "kind,name,name_ru,region,lat,lon,house,surface",
    "street,Amir Temur koʻchasi,улица Амира Темура,UZ-TK,41.3200,69.2800,,asphalt",
    "street,Amir Temur koʻchasi,улица Амира Темура,UZ-SA,39.6560,66.9700,,",
    "address,Amir Temur koʻchasi,,,41.3210,69.2810,15,",
    "address,Amir Temur koʻchasi,,,41.3214,69.2812,17А,",
    "address,Amir Temur koʻchasi,,,39.6561,66.9711,15,",
    "neighbourhood,Labzak,,,41.3300,69.2600,,",
    "quarter,Chilonzor 5-mavze,Чиланзар-5,,41.2790,69.2000,,",
    "quarter,Chilonzor 6-mavze,,,41.2750,69.2010,,",
    "address,Chilonzor 5-mavze,,,41.2793,69.2004,12,",
    "hamlet,Kamangaron,,Самаркандская область,39.4100,67.3000,,",
    "kilometre_post,M39,,,41.0000,69.0000,120,",
    "kilometre_post,M39,,,40.9100,69.0000,130,",
    "street,,,,41.3,69.2,,",
    "street,Nowhere,,,55.75,37.61,,",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("map")
    (directory / "gazetteer.csv").write_text("\n".join(ROWS), encoding="utf-8")
    (directory / "list.csv").write_text("\n".join(ROWS), encoding="utf-8")
    return directory


@pytest.fixture(scope="module")
def gazetteer(folder: Path) -> Gazetteer:
    return load([folder / "list.csv"])


def test_what_a_file_lacks_or_has_too_much_is_said_and_left_out(gazetteer: Gazetteer) -> None:
    assert gazetteer.notes == (
        "list.csv: columns left unread: surface",
        "list.csv: 2 rows left out, the first is row 14: it has no name",
    )


def test_a_directory_of_a_map_gives_its_names_and_its_places_may_lie_anywhere(folder: Path) -> None:
    found = load([folder]).search("Nowhere street")
    assert [(place.name, place.region) for place in found[:1]] == [("Nowhere", "")]
    assert read_places([folder.parent]).notes


@pytest.mark.parametrize(
    "text",
    [
        "Amir Temur ko'chasi 15",
        "ул. Амира Темура, д. 15",
        "Амир Темур кўчаси 15-уй",
        "Temur Amir ko'chasi 15",
        "15-uy, Amir Temur ko'chasi",
        "Toshkent, Amir Temur 15",
        "Toshkent Amir Temur ko'chasi 15",
        "Amir Temyr ko'chasi 15",
    ],
)
def test_a_house_is_found_at_its_street_within_fifty_metres(gazetteer: Gazetteer, text: str) -> None:
    first = gazetteer.search(text, near=TASHKENT)[0]
    assert (first.name, first.kind, first.region) == ("Amir Temur koʻchasi, 15", "house", "UZ-TK")
    assert (first.lat, first.lon) == (41.3210, 69.2810)
    assert 20 <= first.accuracy_m <= 50


def test_what_the_text_says_beside_a_name_decides_between_places_of_that_name(gazetteer: Gazetteer) -> None:
    for text in (
        "Samarqand, Amir Temur ko'chasi 15",
        "Amir Temur ko'chasi 15 Samarqand",
        "Самарканд ул. Амир Темур 15",
    ):
        assert gazetteer.search(text)[0].region == "UZ-SA"
    assert gazetteer.search("Amir Temur ko'chasi", near=TASHKENT)[0].region == "UZ-TK"


def test_of_two_streets_of_one_name_that_with_the_number_is_meant(gazetteer: Gazetteer) -> None:
    between = Point(40.49, 68.13)  # as far from either
    assert gazetteer.search("Amir Temur ko'chasi 17A", near=between)[0].region == "UZ-TK"


def test_an_unknown_number_is_near_a_known_one_or_somewhere_in_the_street(gazetteer: Gazetteer) -> None:
    assert gazetteer.search("Amir Temur ko'chasi 17", near=TASHKENT)[0].name.endswith(", 17A")
    between = gazetteer.search("Amir Temur ko'chasi 19", near=TASHKENT)[0]
    street = gazetteer.search("Amir Temur ko'chasi 190", near=TASHKENT)[0]
    assert 50 < between.accuracy_m < 200 < street.accuracy_m
    assert (between.kind, street.kind) == ("house", "street")


def test_a_quarter_is_found_by_its_number_and_never_by_another(gazetteer: Gazetteer) -> None:
    for text in ("Chilonzor 5-mavze 12-uy", "Чиланзар 5-й квартал дом 12", "Чиланзар-5, дом 12"):
        assert gazetteer.search(text)[0].name == "Chilonzor 5-mavze, 12"
    assert gazetteer.search("Chilonzor 6-mavze")[0].name == "Chilonzor 6-mavze"
    seven = gazetteer.search("Chilonzor 7-mavze")[0]
    assert (seven.name, seven.accuracy_m > 2_000) == ("Chilonzor tumani", True)


def test_regions_come_by_name_or_by_position(gazetteer: Gazetteer) -> None:
    assert gazetteer.search("Kamangaron qishlog'i")[0].region == "UZ-SA"
    assert gazetteer.search("Labzak mahallasi")[0].region == "UZ-TK"


def test_a_kilometre_lies_between_its_posts(gazetteer: Gazetteer) -> None:
    for text in ("M39 km 125", "М-39, 125-км", "трасса М39 125 км", "M39 yo'li 125-km", "125 km M39", "m39 125+000 km"):
        (found,) = gazetteer.search(text)
        assert (found.kind, found.name) == ("kilometre_post", "M39 125 km")
        assert (found.lat, found.lon) == pytest.approx((40.955, 69.0))
        assert 100 < found.accuracy_m < 1_000
    assert gazetteer.search("M39 km 400") == []
    assert gazetteer.search("A373 km 125") == []


def feature(shape: str, coordinates: Any, **properties: object) -> dict[str, Any]:
    return {"type": "Feature", "geometry": {"type": shape, "coordinates": coordinates}, "properties": properties}


def ring(around: Point, reach_m: float) -> list[list[list[float]]]:
    corners = [
        from_local_m(around, x * reach_m, y * reach_m) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1))
    ]
    return [[[corner.lon, corner.lat] for corner in corners]]


PARK, STOP = from_local_m(TASHKENT, 2_000, 0), from_local_m(TASHKENT, 0, 2_000)


@pytest.fixture
def landmarks(tmp_path: Path) -> Gazetteer:
    road = [[69.0, 40.5], [69.1, 40.5], [69.1, 40.6]]
    features = [
        feature("Polygon", ring(PARK, 300), name="Navoiy bogʻi", leisure="park", **{"name:ru": "Парк Навои"}),
        feature("Point", [STOP.lon, STOP.lat], name="Чорсу", kind="metro", region="Toshkent shahri"),
        feature("LineString", road, ref="4R-20", km_from=10, km_to=30),
        feature("Point", [69.2, 41.2], kind="stop"),
    ]
    file = tmp_path / "landmarks.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return load([file])


def test_a_position_in_or_beside_a_landmark_is_described_by_it(landmarks: Gazetteer) -> None:
    assert landmarks.describe(*PARK).uz_latn.endswith(", Navoiy bogʻi ichida")
    beside = landmarks.describe(*from_local_m(PARK, 0, 380))
    assert beside.uz_latn.endswith(", Navoiy bogʻi yonida")
    assert beside.ru.endswith(", рядом: Парк Навои")
    assert landmarks.describe(*STOP).uz_cyrl.endswith(", Чорсу ёнида")
    assert "yonida" not in landmarks.describe(*from_local_m(PARK, 0, 700)).uz_latn


def test_a_landmark_is_found_and_is_as_wide_as_its_outline(landmarks: Gazetteer) -> None:
    park = landmarks.search("парк навои")[0]
    assert (park.name, park.kind, park.region) == ("Navoiy bogʻi", "park", "UZ-TK")
    assert park.accuracy_m == pytest.approx(424, rel=0.02)
    assert distance_m((park.lat, park.lon), PARK) < 100
    assert landmarks.search("Chorsu metrosi")[0].kind == "metro"
    assert landmarks.notes == ("landmarks.geojson: 1 features left out: they have no name, or lie outside Uzbekistan",)


def test_a_kilometre_lies_along_the_line_of_its_road(landmarks: Gazetteer) -> None:
    (found,) = landmarks.search("4Р20 18-km")
    assert (found.lat, found.lon) == pytest.approx((40.5, 69.0926), abs=0.001)
    (found,) = landmarks.search("4R-20 20 км")
    assert (found.lat, found.lon) == pytest.approx((40.512, 69.1), abs=0.001)


def test_the_line_of_a_road_is_measured_by_the_posts_beside_it(tmp_path: Path) -> None:
    road = feature("LineString", [[69.0, 40.5], [69.1, 40.5], [69.1, 40.6]], ref="A-373")
    (tmp_path / "road.geojson").write_text(json.dumps({"features": [road]}))
    (tmp_path / "posts.csv").write_text(
        "ref,km,lat,lon\nA373,100,40.5005,69.02\nA373,116,40.58,69.1\nA373,x,40.5,69.1\n"
    )
    straight, bent = (
        load([tmp_path / name for name in names]) for names in (["posts.csv"], ["posts.csv", "road.geojson"])
    )
    assert straight.notes == ("posts.csv: 1 rows left out, the first is row 4: 'x' is no kilometre",)
    assert straight.search("A373 107-km")[0].lon == pytest.approx(69.055, abs=0.001)
    (found,) = bent.search("A373 107-km")
    assert (found.lat, found.lon) == pytest.approx((40.5005, 69.1), abs=0.005)
    (post,) = bent.search("км 116 А373")
    assert (post.lat, post.lon, post.accuracy_m) == (40.58, 69.1, 100.0)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("none.csv", None, "cannot be read"),
        ("bad.csv", "kind,title\n", "has no column lat, lon"),
        ("nameless.csv", "lat,lon\n", "has no column name"),
        ("bad.geojson", "{}", "is no GeoJSON"),
        ("worse.geojson", "[[", "is no GeoJSON"),
        ("shape.geojson", '{"features": [{"geometry": {"type": "Point", "coordinates": ["x"]}}]}', "feature 1"),
    ],
)
def test_a_file_that_is_none_is_the_user_s_mistake(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said):
        read_places([tmp_path / name])


def test_the_columns_are_those_that_a_map_folder_has() -> None:
    assert ",".join(COLUMNS) == (
        "kind,name,name_uz,name_uz_cyrl,name_ru,name_kaa,name_en,other,region,population,lat,lon,house"
    )
