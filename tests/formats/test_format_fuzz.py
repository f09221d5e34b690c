"""Damaged messages: whatever arrives, a parser gives a sane value or its own error, in bounded time."""

import contextlib
import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.formats import aml, mqtt
from dispatch.formats.osmand import decode_osmand
from dispatch.formats.pidf_lo import decode_pidf_lo
from dispatch.formats.trackers import decode_owntracks
from dispatch.formats.values import FormatError

MUTATIONS = 20_000
SEED = 112
BUDGET_S = 20.0

Parser = Callable[[bytes], object]


def decode_signed(data: bytes) -> object:
    return aml.decode(data, key=b"AML", sender="+998901234567")


SEEDS: list[tuple[Parser, bytes]] = [
    (
        decode_signed,
        b'A"ML=1;lt=+41.31108;lg=+69.24056;rd=35;top=20261123143207;lc=90;pm=G;si=434050000000000;'
        b"ei=353472104343540;mcc=434;mnc=04;ml=128",
    ),
    (
        decode_signed,
        b'A"ML=2;en=112;et=1795445527;lo=41.31108,69.24056,20.1;lt=-5;lc=68;lz=455.1,3.2;ls=F;nc=43404',
    ),
    (
        decode_signed,
        bytes.fromhex("415193D98BEDD8F4DEECE6A2C962B7DA8E7DEEB56232990B86A3D9623B39B92783EDE86F784F06"),
    ),
    (decode_signed, b"415193D98BEDD8F4DEECE6A2C962B7DA8E7DEEB56232990B86A3D9623B39B92783EDE86F784F06"),
    (
        decode_signed,
        b"v=1&device_number=%2B33611223344&location_latitude=0.85732&location_longitude=-4.26325"
        b"&location_time=1604912121000&location_accuracy=10.4&hmac=f64c70eb238bb239e00e8ac8c023bf2b5d3c41dd",
    ),
    (
        decode_owntracks,
        b'{"_type":"location","lat":41.3,"lon":69.2,"tst":1795445522,"acc":12,"vel":36,"cog":271,"t":"u"}',
    ),
    (
        decode_osmand,
        b"/?id=A22&lat=41.3&lon=69.2&timestamp=2026-11-23T14%3A52%3A02Z&speed=20&bearing=271&cell=1,2,3,4",
    ),
    (
        decode_osmand,
        b'{"location":{"timestamp":"2026-11-23T14:52:02.862Z","coords":{"latitude":41.3,"longitude":69.2,'
        b'"accuracy":5,"speed":-1,"heading":-1},"battery":{"level":0.5}},"device_id":"48241179"}',
    ),
    (
        decode_pidf_lo,
        b'<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:+998901234567@ims.uz">'
        b'<tuple id="a"><Circle srsName="EPSG:4326"><pos>41.3 69.2</pos><radius>24</radius></Circle>'
        b"<timestamp>2026-11-23T14:52:02Z</timestamp></tuple></presence>",
    ),
    (
        decode_pidf_lo,
        b'<presence><ArcBand srsName="EPSG:4326"><pos>41.3 69.2</pos><innerRadius>10</innerRadius>'
        b"<outerRadius>90</outerRadius><startAngle uom='9102'>20</startAngle>"
        b"<openingAngle uom='9102'>20</openingAngle></ArcBand>"
        b"<Polygon><posList>41 69 41 70 42 70</posList></Polygon></presence>",
    ),
    (
        mqtt.decode_status,
        b'{"status_id":"s1","status":"en_route","at":"2026-11-23T14:52:02Z","assignment_id":"a9"}',
    ),
    (
        mqtt.decode_ack,
        b'{"order_id":"o1","stage":"refused","at":"2026-11-23T14:52:02Z","reason":"flat tyre"}',
    ),
    (mqtt.decode_link, b'{"online":true,"at":"2026-11-23T14:52:02+05:00"}'),
]
TOKENS = [
    *(b"nan", b"inf", b"-1", b"0", b"1e999", b"9" * 400, b"0x1p3", b"1_0", b"\xd9\xa1", b"\xe2\x88\x92"),
    *(b"=", b";", b"&", b"%", b"%ff", b"+", b",", b":", b"T", b"Z", b"\x00", b"\xff\xfe", b"\n" * 9),
    *(b"{", b"[", b'"', b"\\ud800", b"null", b"true", b"<", b">", b"&#0;", b"</pos>", b"<!DOCTYPE x>"),
    *(b"<?xml version='1.0' encoding='idna'?>", b"+99:99", b"0001-01-01T00:00:00+14:00"),
    *(b"&hmac=", b"ML=1", b'A"ML=2;'),
]


def mutated(message: bytes, dice: random.Random) -> bytes:
    """One to six random edits: flips, cuts, repeats, foreign tokens, a shuffled middle."""
    data = bytearray(message)
    for _ in range(dice.randint(1, 6)):
        at, end = sorted((dice.randint(0, len(data)), dice.randint(0, len(data))))
        match dice.randrange(6):
            case 0 if data:
                data[min(at, len(data) - 1)] ^= 1 << dice.randrange(8)
            case 1:
                del data[at : min(end, at + 20)]
            case 2:
                data[at:at] = data[at:end]
            case 3:
                data[at : at + dice.randint(0, 6)] = dice.choice(TOKENS)
            case 4:
                data[at:end] = bytes(dice.sample(bytes(data[at:end]), end - at))
            case _:
                data[at:at] = bytes(dice.randrange(256) for _ in range(4))
        del data[4096:]
    return bytes(data)


def sane(decoded: object) -> bool:
    """A value that may be shown on a map: on earth, not at 0, 0, in bounds."""
    place = getattr(decoded, "position", None) or getattr(decoded, "point", None)
    on_earth = place is None or (abs(place.lat) <= 90 and abs(place.lon) <= 180 and (place.lat, place.lon) != (0, 0))
    radius = getattr(decoded, "accuracy_m", None)
    at = getattr(decoded, "at", None)
    return (
        on_earth
        and (radius is None or 0 < radius <= 20_040_000)
        and (at is None or at.utcoffset().total_seconds() == 0)
        and len(getattr(decoded, "warnings", ())) <= 20
    )


@pytest.mark.parametrize("seed", range(SEED, SEED + 4))
def test_mutated_messages_raise_only_the_parsers_own_error(seed: int) -> None:
    dice = random.Random(seed)
    started = time.monotonic()
    refused = 0
    for number in range(MUTATIONS // 4):
        parser, message = SEEDS[number % len(SEEDS)]
        damaged = mutated(message, dice)
        try:
            assert sane(parser(damaged)), damaged
        except FormatError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}, message {number}: {error!r} on {damaged!r}") from error
    assert time.monotonic() - started < BUDGET_S
    # Both ends happen: damage is forgiven, and not everything is.
    assert 0 < refused < MUTATIONS // 4


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600), st.sampled_from([parser for parser, _ in SEEDS]))
def test_arbitrary_octets_raise_only_the_parsers_own_error(data: bytes, parser: Parser) -> None:
    with contextlib.suppress(FormatError):
        assert sane(parser(data))


@settings(max_examples=200, deadline=None)
@given(st.floats(-90, 90), st.floats(-180, 180))
def test_a_position_is_the_same_in_every_format(lat: float, lon: float) -> None:
    lat, lon = round(lat, 5), round(lon, 5)
    read = [
        aml.decode(f'A"ML=1;lt={lat:+.5f};lg={lon:+.5f}').position,
        aml.decode(f"location_latitude={lat:.5f}&location_longitude={lon:.5f}").position,
        decode_owntracks(f'{{"_type":"location","lat":{lat!r},"lon":{lon!r},"tst":1795445522}}').point,  # type: ignore[union-attr]
        decode_osmand(f"id=a&lat={lat!r}&lon={lon!r}").point,
        decode_pidf_lo(f'<Point srsName="EPSG:4326"><pos>{lat!r} {lon!r}</pos></Point>').position,
    ]
    for place in read:
        assert (place is None) == (lat == 0 and lon == 0)
        assert place is None or (place.lat, place.lon) == (lat, lon)
