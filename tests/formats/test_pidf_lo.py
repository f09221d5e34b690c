"""PIDF-LO: every shape becomes a circle that covers it, and sloppy documents still locate the caller."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.formats.pidf_lo import PidfLocation, decode_pidf_lo
from dispatch.formats.values import FormatError, Point

NAMESPACES = (
    'xmlns="urn:ietf:params:xml:ns:pidf" xmlns:gp="urn:ietf:params:xml:ns:pidf:geopriv10"'
    ' xmlns:gml="http://www.opengis.net/gml" xmlns:gs="http://www.opengis.net/pidflo/1.0"'
    ' xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:con="urn:ietf:params:xml:ns:geopriv:conf"'
    ' xmlns:ca="urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr"'
)
M = 'uom="urn:ogc:def:uom:EPSG::9001"'
DEG = 'uom="urn:ogc:def:uom:EPSG::9102"'
CRS = 'srsName="urn:ogc:def:crs:EPSG::4326"'
CRS_3D = 'srsName="urn:ogc:def:crs:EPSG::4979"'
CIVIC = (
    "<ca:civicAddress><ca:country>UZ</ca:country><ca:A1>Toshkent</ca:A1><ca:A3>Chilonzor</ca:A3>"
    "<ca:RD>Bunyodkor shoh koʻchasi</ca:RD><ca:HNO>12</ca:HNO><ca:FLR>3</ca:FLR></ca:civicAddress>"
)
METRES = 111_320.0


def document(location: str, extra: str = "", entity: str = "sip:+998901234567@ims.uz") -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><presence {NAMESPACES} entity="{entity}"><dm:device id="d">'
        f"<gp:geopriv><gp:location-info>{location}</gp:location-info><gp:method>GPS</gp:method></gp:geopriv>"
        f"{extra}<dm:timestamp>2026-11-23T14:52:02Z</dm:timestamp></dm:device></presence>"
    )


def located(location: str) -> PidfLocation:
    return decode_pidf_lo(document(location))


def metres(a: Point, b: Point) -> float:
    """Distance on a plane: enough for shapes of some kilometres."""
    return math.hypot(a.lat - b.lat, (a.lon - b.lon) * math.cos(math.radians(a.lat))) * METRES


def circle(radius: str = f"<gs:radius {M}>24</gs:radius>", pos: str = "41.31108 69.24056") -> str:
    return f"<gs:Circle {CRS}><gml:pos>{pos}</gml:pos>{radius}</gs:Circle>"


def test_a_circle_keeps_centre_radius_time_and_caller() -> None:
    location = located(circle())
    assert location.position == Point(lat=41.31108, lon=69.24056)
    assert (location.accuracy_m, location.shape, location.confidence) == (24.0, "Circle", 95.0)
    assert location.at == datetime(2026, 11, 23, 14, 52, 2, tzinfo=UTC)
    assert (location.method, location.number) == ("GPS", "+998901234567")
    assert location.warnings == ()


def test_a_point_has_no_radius() -> None:
    location = located(f"<gml:Point {CRS}><gml:pos>-34.407 150.883</gml:pos></gml:Point>")
    assert location.position == Point(lat=-34.407, lon=150.883)
    assert location.accuracy_m is None
    assert location.confidence is None


@pytest.mark.parametrize(
    ("shape", "radius_m", "altitude_m"),
    [
        (f"<gml:Point {CRS_3D}><gml:pos>41.3 69.2 455.5</gml:pos></gml:Point>", None, 455.5),
        (
            f"<gs:Circle {CRS}><gml:pos>41.3 69.2 20.7</gml:pos><gs:radius {M}>24</gs:radius></gs:Circle>",
            24.0,
            20.7,
        ),
        (
            f"<gs:Sphere {CRS_3D}><gml:pos>41.3 69.2 26.3</gml:pos><gs:radius {M}>850.24</gs:radius></gs:Sphere>",
            850.24,
            26.3,
        ),
        (
            f"<gs:Ellipse {CRS}><gml:pos>41.3 69.2</gml:pos>"
            f"<gs:semiMajorAxis {M}>1275</gs:semiMajorAxis>"
            f"<gs:semiMinorAxis {M}>670</gs:semiMinorAxis>"
            f"<gs:orientation {DEG}>43.2</gs:orientation></gs:Ellipse>",
            1275.0,
            None,
        ),
        (
            f"<gs:Ellipsoid {CRS_3D}><gml:pos>41.3 69.2 26.3</gml:pos>"
            f"<gs:semiMajorAxis {M}>7.7156</gs:semiMajorAxis>"
            f"<gs:semiMinorAxis {M}>3.31</gs:semiMinorAxis><gs:verticalAxis {M}>28.7</gs:verticalAxis>"
            f"<gs:orientation {DEG}>142</gs:orientation></gs:Ellipsoid>",
            7.7156,
            26.3,
        ),
    ],
    ids=["point3d", "circle-height", "sphere", "ellipse", "ellipsoid"],
)
def test_round_shapes_keep_their_centre(shape: str, radius_m: float | None, altitude_m: float | None) -> None:
    location = located(shape)
    assert location.position == Point(lat=41.3, lon=69.2)
    assert (location.accuracy_m, location.altitude_m) == (radius_m, altitude_m)
    assert location.warnings == ()


def arc_band(inner: float, outer: float, start: float, opening: float) -> str:
    return (
        f"<gs:ArcBand {CRS}><gml:pos>41.3 69.2</gml:pos><gs:innerRadius {M}>{inner}</gs:innerRadius>"
        f"<gs:outerRadius {M}>{outer}</gs:outerRadius><gs:startAngle {DEG}>{start}</gs:startAngle>"
        f"<gs:openingAngle {DEG}>{opening}</gs:openingAngle></gs:ArcBand>"
    )


def test_a_narrow_arc_band_lies_on_its_bisector() -> None:
    location = located(arc_band(3594, 4148, 20, 20))
    assert location.position is not None
    apex = Point(lat=41.3, lon=69.2)
    assert 3594 < metres(apex, location.position) < 4148
    east = (location.position.lon - apex.lon) * math.cos(math.radians(41.3))
    assert math.degrees(math.atan2(east, location.position.lat - apex.lat)) == pytest.approx(30.0, abs=0.1)


def test_a_full_ring_is_its_outer_circle() -> None:
    location = located(arc_band(100, 500, 0, 360))
    assert location.position is not None
    assert metres(Point(lat=41.3, lon=69.2), location.position) < 0.5
    assert location.accuracy_m == pytest.approx(500, abs=0.5)


@settings(deadline=None)
@given(
    st.floats(0, 5000),
    st.floats(1, 5000),
    st.floats(0, 360),
    st.floats(1, 360),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_the_circle_of_an_arc_band_covers_every_point_of_it(
    inner: float, width: float, start: float, opening: float, across: float, along: float
) -> None:
    location = located(arc_band(inner, inner + width, start, opening))
    assert location.position is not None
    assert location.accuracy_m is not None
    bearing = math.radians(start + opening * along)
    reach = inner + width * across
    place = Point(
        lat=41.3 + reach * math.cos(bearing) / METRES,
        lon=69.2 + reach * math.sin(bearing) / METRES / math.cos(math.radians(41.3)),
    )
    assert metres(location.position, place) <= location.accuracy_m * 1.01 + 1.0


def polygon(ring: str, crs: str = CRS) -> str:
    ring = f"<gml:LinearRing>{ring}</gml:LinearRing>"
    return f"<gml:Polygon {crs}><gml:exterior>{ring}</gml:exterior></gml:Polygon>"


SQUARE = ["41.30 69.20", "41.30 69.22", "41.32 69.22", "41.32 69.20"]


@pytest.mark.parametrize(
    "ring",
    [
        f"<gml:posList>{' '.join([*SQUARE, SQUARE[0]])}</gml:posList>",
        f"<gml:posList>{' '.join(SQUARE)}</gml:posList>",
        f"<gml:posList>{', '.join(pair.replace(' ', ',') for pair in SQUARE)}</gml:posList>",
        "".join(f"<gml:pos>{pair}</gml:pos>" for pair in [*SQUARE, SQUARE[0]]),
        "".join(f"<gml:pos>{pair}</gml:pos>" for pair in SQUARE),
        f"<gml:posList srsDimension='3'>{' 455 '.join(SQUARE)} 455</gml:posList>",
        f"<gml:posList>{' '.join(reversed(SQUARE))}</gml:posList>",
    ],
    ids=["closed", "open", "commas", "pos", "pos-open", "3d", "clockwise"],
)
def test_a_polygon_is_its_centroid_and_farthest_corner(ring: str) -> None:
    location = located(polygon(ring))
    assert location.position is not None
    assert location.position.lat == pytest.approx(41.31, abs=1e-6)
    assert location.position.lon == pytest.approx(69.21, abs=1e-6)
    assert location.accuracy_m == pytest.approx(
        metres(Point(lat=41.31, lon=69.21), Point(lat=41.30, lon=69.20)), rel=1e-3
    )


def test_a_prism_stands_half_its_height_above_its_base() -> None:
    ring = f"<gml:posList>{' 36.6 '.join([*SQUARE, SQUARE[0]])} 36.6</gml:posList>"
    location = located(
        f"<gs:Prism {CRS_3D}><gs:base>{polygon(ring, '')}</gs:base><gs:height {M}>2.4</gs:height></gs:Prism>"
    )
    assert location.shape == "Prism"
    assert location.position is not None
    assert location.position.lat == pytest.approx(41.31, abs=1e-6)
    assert location.altitude_m == pytest.approx(37.8)


def test_a_hole_does_not_move_a_polygon() -> None:
    ring = "<gml:LinearRing><gml:posList>10 10 10 11 11 11</gml:posList></gml:LinearRing>"
    hole = f"<gml:interior>{ring}</gml:interior>"
    whole = polygon(f"<gml:posList>{' '.join(SQUARE)}</gml:posList>")
    assert located(whole.replace("</gml:Polygon>", hole + "</gml:Polygon>")).position == located(whole).position


def test_a_polygon_across_the_date_line_stays_small() -> None:
    location = located(polygon("<gml:posList>10 179.9 10 -179.9 10.2 -179.9 10.2 179.9</gml:posList>"))
    assert location.accuracy_m is not None
    assert location.accuracy_m < 20_000
    assert location.position is not None
    assert abs(location.position.lon) > 179.9


@pytest.mark.parametrize("ring", ["41.3 69.2", "41.3 69.2 41.3 69.2", "41.3 69.2 41.4 69.2 41.5 69.2"])
def test_a_ring_without_area_still_has_a_middle(ring: str) -> None:
    location = located(polygon(f"<gml:posList>{ring}</gml:posList>"))
    assert location.position is not None
    assert 41.3 <= location.position.lat <= 41.5


@pytest.mark.parametrize(
    ("crs", "pos"),
    [
        ("urn:ogc:def:crs:EPSG::4326", "41.31108 69.24056"),
        ("urn:ogc:def::crs:EPSG::4326", "41.31108 69.24056"),
        ("EPSG:4326", "41.31108,69.24056"),
        ("http://www.opengis.net/def/crs/EPSG/0/4326", "41.31108, 69.24056"),
        ("urn:ogc:def:crs:EPSG::4979", "41.31108 69.24056 455"),
        ("urn:ogc:def:crs:OGC:1.3:CRS84", "69.24056 41.31108"),
        ("CRS84", "69.24056 41.31108"),
        ("urn:ogc:def:crs:EPSG::4326", "\n  41.31108\t69.24056\n"),
    ],
)
def test_axes_follow_the_reference_system_however_it_is_spelled(crs: str, pos: str) -> None:
    location = located(f'<gml:Point srsName="{crs}"><gml:pos>{pos}</gml:pos></gml:Point>')
    assert location.position == Point(lat=41.31108, lon=69.24056)
    assert location.warnings == ()


@pytest.mark.parametrize(
    "point",
    [
        "<gml:Point><gml:pos>41.31108 69.24056</gml:pos></gml:Point>",
        '<gml:Point srsName="urn:ogc:def:crs:EPSG::28412"><gml:pos>41.31108 69.24056</gml:pos></gml:Point>',
        f"<gml:Point {CRS}><gml:pos>41,31108 69,24056</gml:pos></gml:Point>",
    ],
)
def test_a_guessed_reading_is_flagged(point: str) -> None:
    location = located(point)
    assert location.position == Point(lat=41.31108, lon=69.24056)
    assert len(location.warnings) == 1


def test_degrees_of_rfc_4119_are_read() -> None:
    point = f"<gml:Point {CRS}><gml:coordinates>37:46:30N 122:25:10W</gml:coordinates></gml:Point>"
    location = located(point)
    assert location.position is not None
    assert location.position.lat == pytest.approx(37.775)
    assert location.position.lon == pytest.approx(-122.419444, abs=1e-6)


@pytest.mark.parametrize("pos", ["", "41.3", "0 0 xxxxxxx", "91 69", "41 200", "0 0", "a b", "1 2 3 4", "nan nan"])
def test_a_position_that_cannot_be_is_none_with_a_warning(pos: str) -> None:
    location = located(circle(pos=pos))
    assert location.position is None
    assert location.accuracy_m is None
    assert location.warnings
    assert location.method == "GPS"


@pytest.mark.parametrize(
    "radius", ["", "<gs:radius>wide</gs:radius>", "<gs:radius>-3</gs:radius>", "<gs:radius>0</gs:radius>"]
)
def test_a_circle_without_a_usable_radius_is_a_point(radius: str) -> None:
    location = located(circle(radius))
    assert location.position is not None
    assert location.accuracy_m is None


def test_radius_in_kilometres_and_feet_is_metres() -> None:
    assert located(circle('<gs:radius uom="urn:ogc:def:uom:EPSG::9036">2</gs:radius>')).accuracy_m == 2000.0
    assert located(circle('<gs:radius uom="EPSG:9002">100</gs:radius>')).accuracy_m == pytest.approx(30.48)


def test_the_first_location_that_can_be_read_is_taken() -> None:
    broken, good, other = circle(pos="x y"), circle(), circle(pos="10 10")
    assert located(broken + good + other).position == Point(lat=41.31108, lon=69.24056)


def test_civic_address_is_text_in_speaking_order() -> None:
    location = located(CIVIC)
    assert location.position is None
    assert location.address == "Bunyodkor shoh koʻchasi 12, 3, Chilonzor, Toshkent, UZ"
    assert location.warnings == ()
    assert located(circle() + CIVIC).address == location.address


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("2026-11-23T14:52:02Z", False),
        ("2026-11-23T19:52:02+05:00", False),
        ("2026-11-23T14:52:02.000Z", False),
        ("2026-11-23T14:52:02", True),
    ],
)
def test_times_are_utc_and_one_without_zone_says_so(text: str, warned: bool) -> None:
    location = decode_pidf_lo(document(circle()).replace("2026-11-23T14:52:02Z", text))
    assert location.at == datetime(2026, 11, 23, 14, 52, 2, tzinfo=UTC)
    assert bool(location.warnings) is warned


def test_confidence_is_the_senders_when_given() -> None:
    assert decode_pidf_lo(document(circle() + "<con:confidence pdf='normal'>85</con:confidence>")).confidence == 85.0
    unknown = decode_pidf_lo(document(circle() + "<con:confidence>unknown</con:confidence>"))
    assert unknown.confidence is None
    assert unknown.warnings == ()


def test_a_location_inside_another_document_is_found() -> None:
    held = document(circle()).replace("<presence ", "<locationResponse><presence ", 1).replace("?>", "?>", 1)
    assert decode_pidf_lo(held + "</locationResponse>").position is not None
    bare = f"<postTerminalLocation {NAMESPACES}>{circle()}</postTerminalLocation>"
    assert decode_pidf_lo(bare).accuracy_m == 24.0


def test_a_part_of_a_sip_message_is_found_between_its_boundaries() -> None:
    part = f"--b1\r\nContent-ID: <a@b.uz>\r\n\r\n{document(circle())}\r\n--b1--\r\n"
    assert decode_pidf_lo(part) == located(circle())


def test_presence_without_a_location_is_understood_as_none() -> None:
    location = decode_pidf_lo(document(""))
    assert location.position is None
    assert location.number == "+998901234567"
    assert location.warnings == ("no location in this document",)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "no xml",
        "<presence>",
        '<?xml version="1.0" encoding="UTF-8"?>\n<!-- empty -->',
        "<html><body/></html>",
        '<error code="locationUnknown"/>',
        '<?xml version="1.0" encoding="klingon"?><presence/>',
        '<?xml version="1.0" encoding="utf-32"?><presence/>',
        '<?xml version="1.0" encoding="base64"?><presence/>',
        '<!DOCTYPE p [<!ENTITY a "b">]><presence>&a;</presence>',
        '<!DOCTYPE p SYSTEM "file:///etc/passwd"><presence/>',
        "<presence>&undefined;</presence>",
        "<a:presence/>",
        b"\xff\xfe\x00",
        "<presence>" + "x" * 70_000 + "</presence>",
    ],
)
def test_what_is_no_document_is_refused(data: bytes | str) -> None:
    with pytest.raises(FormatError) as caught:
        decode_pidf_lo(data)
    assert caught.value.where == "pidf-lo"


@pytest.mark.parametrize("tag", ["a", "tuple", "location-info"])
def test_a_deeply_nested_document_costs_no_more_than_a_flat_one(tag: str) -> None:
    depth = 60_000 // (2 * len(tag) + 5)
    nested = f"<presence>{f'<{tag}>' * depth}{f'</{tag}>' * depth}</presence>"
    assert decode_pidf_lo(nested).position is None
