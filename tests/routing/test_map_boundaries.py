"""Boundaries that an imported map brings: they replace the built-in ones, mended, or the map is refused in one line."""

import json
from pathlib import Path
from typing import Any

import pytest
import shapely

from routing.districts import Districts
from routing.regions import SNAP_LIMIT_M, Regions, read_outlines

Ring = list[tuple[float, float]]
SQUARE: Ring = [(69.0, 41.0), (69.5, 41.0), (69.5, 41.5), (69.0, 41.5), (69.0, 41.0)]


def feature(coordinates: Any, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "properties": properties,
        "geometry": {"type": "Polygon", "coordinates": coordinates},
    }


def written(folder: Path, name: str, *features: dict[str, Any]) -> Path:
    (folder / name).write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return folder


def test_without_files_the_built_in_regions_stay_and_there_are_no_districts(tmp_path: Path) -> None:
    regions = Regions.from_map(tmp_path)
    assert regions.outlines.keys() == read_outlines().keys()
    assert regions.at(41.3111, 69.2797).region == "UZ-TK"
    assert regions.district_at(41.3111, 69.2797) is None


def test_a_map_moves_a_border_and_leaves_the_other_regions_what_it_does_not_take(tmp_path: Path) -> None:
    regions = Regions.from_map(written(tmp_path, "regions.geojson", feature([SQUARE], iso="UZ-TK", admin_level="4")))
    assert regions.at(41.05, 69.05).region == "UZ-TK"
    assert regions.at(39.65, 66.96).region == "UZ-SA"
    rest = regions.outlines["UZ-TO"]
    assert rest.intersection(shapely.Polygon(SQUARE)).area == pytest.approx(0, abs=1e-9)


def test_exclaves_and_foreign_enclaves_of_a_map_are_kept(tmp_path: Path) -> None:
    hole = [(69.42, 41.42), (69.42, 41.46), (69.46, 41.46), (69.46, 41.42), (69.42, 41.42)]
    main = feature([SQUARE, hole], iso="UZ-TO")
    exclave = feature([[(x + 1.5, y) for x, y in SQUARE]], iso="UZ-TO")
    everything = feature([[(x * 3 - 141, y * 3 - 84) for x, y in SQUARE]], iso="UZ-NG", admin_level=2)
    regions = Regions.from_map(written(tmp_path, "regions.geojson", main, exclave, everything))
    assert regions.at(41.25, 70.75).region == "UZ-TO"
    abroad = regions.at(41.44, 69.44)
    assert abroad.snapped and abroad.distance_to_border_m < SNAP_LIMIT_M


@pytest.mark.parametrize(
    "said",
    [
        {"name_uz": "Samarqand viloyati"},
        {"name_ru": "Самаркандская область"},
        {"code": "UZ-SA", "name": "Samarqand"},
        {"code": "Samarqand Viloyati", "name:en": "Samarkand Region"},
        {"ISO3166-2": "uz-sa"},
    ],
)
def test_a_region_without_a_code_is_known_by_its_name(tmp_path: Path, said: dict[str, str]) -> None:
    regions = Regions.from_map(written(tmp_path, "regions.geojson", feature([SQUARE], **said)))
    assert regions.at(41.1, 69.1).region == "UZ-SA"


@pytest.mark.parametrize("features", [(), (feature([[(x + 6, y + 2) for x, y in SQUARE]], code="KG-C", name="Chüy"),)])
def test_a_map_without_regions_of_ours_leaves_the_built_in_ones(tmp_path: Path, features: Any) -> None:
    regions = Regions.from_map(written(tmp_path, "regions.geojson", *features))
    assert regions.outlines.keys() == read_outlines().keys()
    assert regions.at(41.3111, 69.2797).region == "UZ-TK"


def test_a_ring_that_crosses_itself_is_mended(tmp_path: Path) -> None:
    bow = [(69.0, 41.0), (69.5, 41.5), (69.5, 41.0), (69.0, 41.5), (69.0, 41.0)]
    regions = Regions.from_map(written(tmp_path, "regions.geojson", feature([bow], iso="UZ-JI")))
    assert regions.at(41.25, 69.05).region == "UZ-JI"
    assert regions.outlines["UZ-JI"].is_valid


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (feature([SQUARE], iso="UZ-XX", name="Nowhere"), "no region of ours: UZ-XX"),
        (feature([SQUARE], name="Atlantis"), "no region of ours: Atlantis"),
        (feature([[(69.0, 41.0), (69.1, 41.0)]], iso="UZ-TK"), "the outline of feature 1 cannot be read"),
        (feature([[(69.0, 41.0), (69.1, 41.0), (69.2, 41.0), (69.0, 41.0)]], iso="UZ-TK"), "feature 1 has no area"),
        ({"type": "Feature", "properties": None, "geometry": None}, "the outline of feature 1 cannot be read"),
    ],
)
def test_a_map_that_cannot_be_meant_is_refused_in_one_line(tmp_path: Path, bad: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as fault:
        Regions.from_map(written(tmp_path, "regions.geojson", bad))
    assert "regions.geojson" in str(fault.value) and "\n" not in str(fault.value)


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"features": 3}', b'{"features": [1]}', b"\xff\xfe"])
def test_a_file_that_is_no_geojson_is_refused_in_one_line(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "districts.geojson").write_bytes(raw)
    with pytest.raises(ValueError, match=r"districts\.geojson"):
        Districts.from_map(tmp_path)


def test_a_district_is_named_in_five_languages_from_what_the_map_has(tmp_path: Path) -> None:
    east, far = ([(x + away, y) for x, y in SQUARE] for away in (0.5, 1.0))
    folder = written(
        tmp_path,
        "districts.geojson",
        feature([SQUARE], id="r7", name="Chilonzor tumani", name_ru="Чиланзарский район", admin_level="6"),
        feature([east], name="Сергели тумани", admin_level=6),
        feature([SQUARE], name="a region", admin_level=4),
        feature([far], **{"name": "Bekobod", "name:ru": "Бекабадский район", "name:en": "Bekabad"}),
    )
    districts = Districts.from_map(folder)
    assert districts is not None and len(districts) == 3
    found, other = districts.at(41.2, 69.2), districts.at(41.2, 69.7)
    assert found is not None and found.id == "r7"
    assert (found.names.uz_latn, found.names.uz_cyrl) == ("Chilonzor tumani", "Чилонзор тумани")
    assert found.names.ru == "Чиланзарский район"
    assert other is not None and other.names.uz_cyrl == "Сергели тумани" and all(other.names.each())
    third = districts.at(41.2, 70.2)
    assert third is not None
    assert third.names.each() == ("Bekobod", "Бекобод", "Бекабадский район", "Bekobod", "Bekabad")
    assert districts.at(38.0, 60.0) is None
    assert Regions.from_map(folder).district_at(41.2, 69.2) == found
