"""What the routing tests share: the demo's road network, drawn once a run, and the data that may be absent."""

from pathlib import Path

import pytest

from routing import roads
from routing.roads import Roads
from routing.travel import Travel

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
