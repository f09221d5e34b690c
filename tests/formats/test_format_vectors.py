"""Messages from open code and public pages, as kept outside the project; skipped where they are not."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dispatch.formats import aml
from dispatch.formats.osmand import decode_osmand
from dispatch.formats.pidf_lo import decode_pidf_lo
from dispatch.formats.trackers import Position, decode_owntracks
from dispatch.formats.values import FormatError

STANDARDS = Path(__file__).resolve().parents[3] / "shared" / "data" / "standards"
pytestmark = pytest.mark.skipif(not STANDARDS.is_dir(), reason="../shared/data/standards is not on this machine")


def vectors(name: str) -> list[dict[str, Any]]:
    path = STANDARDS / name
    return json.loads(path.read_text()) if path.is_file() else []


@pytest.mark.parametrize("vector", vectors("aml.json"), ids=lambda vector: vector["input"][:40])
def test_aml_of_others_is_understood_as_they_expect(vector: dict[str, Any]) -> None:
    key = vector.get("hmac_sha1_key", "").encode() or None
    message, expected = aml.decode(vector["input"], key=key), vector["expect"]
    place = message.position
    assert (None if place is None else place.lat) == expected.get("lat")
    assert (None if place is None else place.lon) == expected.get("lon")
    assert message.accuracy_m == expected.get("rad")
    assert message.at == datetime.fromisoformat(expected["top"])
    assert message.confidence == float(expected["conf"])
    assert message.method == (expected.get("pm") or expected.get("src"))
    assert message.imei == expected["imei"]
    assert message.number == expected.get("num")
    assert message.verified is (True if key else None)
    assert message.warnings == ()


@pytest.mark.parametrize(
    "vector", vectors("osmand_owntracks.json"), ids=lambda v: str(v.get("query", v.get("body")))[:40]
)
def test_trackers_of_others_give_a_position_or_say_why_not(vector: dict[str, Any]) -> None:
    text = vector.get("query") or vector["body"]
    decoded = decode_osmand(text) if vector["test"].startswith("OsmAnd") else decode_owntracks(text)
    assert isinstance(decoded, Position)
    assert decoded.device
    if vector.get("verify") == "verifyNotNull":
        assert decoded.point is None
        assert decoded.warnings
    else:
        assert decoded.point is not None


@pytest.mark.parametrize(
    ("name", "place", "radius_m"),
    [
        ("civic-circle__location.xml", (48.123, 14.456), 24.0),
        ("rfc5491__point-example.xml", (-34.407, 150.883), None),
        ("simple-circle__invalid-tuple.xml", (48.123, 14.456), 24.0),
        ("wifi-location__location.xml", (48.197457, 14.482596), 270.0),
        ("simple-civic__valid-civic-address.xml", None, None),
        ("invalid-pidf-lo__invalid-part-2.xml", None, None),
    ],
)
def test_pidf_lo_of_others_is_located(name: str, place: tuple[float, float] | None, radius_m: float | None) -> None:
    location = decode_pidf_lo((STANDARDS / "pidf-lo" / name).read_bytes())
    point = location.position
    assert (None if point is None else (point.lat, point.lon)) == place
    assert location.accuracy_m == radius_m


def test_pidf_lo_without_a_document_is_refused() -> None:
    with pytest.raises(FormatError):
        decode_pidf_lo((STANDARDS / "pidf-lo" / "invalid-pidf-lo__invalid-full-2.xml").read_bytes())
