"""What the routing tests share: the demo's road network, drawn once a run, and the data that may be absent."""

import json
from pathlib import Path

import pytest

from routing import roads
from routing.roads import Roads
from routing.travel import Travel

REGION_OF_SOATO = {
    1703: "UZ-AN", 1706: "UZ-BU", 1708: "UZ-JI", 1710: "UZ-QA", 1712: "UZ-NW", 1714: "UZ-NG", 1718: "UZ-SA",
    1722: "UZ-SU", 1724: "UZ-SI", 1726: "UZ-TK", 1727: "UZ-TO", 1730: "UZ-FA", 1733: "UZ-XO", 1735: "UZ-QR",
}  # fmt: skip
SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def demo_roads(tmp_path_factory: pytest.TempPathFactory) -> Roads:
    """The demo country's network, built as a first start builds it."""
    return roads.demo(tmp_path_factory.mktemp("map"), say=lambda _: None)


@pytest.fixture
def demo_travel(demo_roads: Roads) -> Travel:
    """Travel times on the demo's roads, with no units yet."""
    return Travel(demo_roads)


@pytest.fixture(scope="session")
def districts_file() -> Path:
    """Outlines of 199 districts that nobody here drew."""
    path = SHARED_DATA / "geo" / "geoBoundaries-UZB-ADM2.geojson"
    if not path.exists():
        pytest.skip("the districts' outlines for comparison are not on this machine")
    return path


@pytest.fixture(scope="session")
def districts_by_name() -> list[dict[str, str]]:
    """Districts and cities by their SOATO codes, in Latin, Cyrillic and Russian, with our region's id."""
    path = SHARED_DATA / "geo" / "mimaxuz_districts.json"
    if not path.exists():
        pytest.skip("the official list of districts for comparison is not on this machine")
    listed = json.loads(path.read_text(encoding="utf-8-sig"))
    groups = [row for row in listed if row["name_ru"] is not None]  # one row heads those of the capital
    return [
        row | {"region": REGION_OF_SOATO[row["soato_id"] // 10 ** (len(str(row["soato_id"])) - 4)]} for row in groups
    ]
