"""AML by HTTPS: the fields of the form, and that only what is signed counts."""

import hashlib
import hmac
from datetime import UTC, datetime

import pytest

from dispatch.formats import aml
from dispatch.formats.aml_form import decode_form, sign_form
from dispatch.formats.values import FormatError, Point

KEY = b"a secret of the centre"
FORM = (
    "v=1&emergency_number=112&source=CALL&thunderbird_version=2800&time=1795445527123"
    "&location_latitude=41.3110812&location_longitude=69.2405634&location_time=1795445522435"
    "&location_altitude=455.5&location_floor=2&location_source=GPS&location_accuracy=20"
    "&location_vertical_accuracy=2.5&location_confidence=0.6827&location_bearing=156.7&location_speed=1.2"
    "&device_number=%2B998901234567&device_model=Motorola+Nexus+6&device_imsi=434050000000000"
    "&device_imei=355458061005220&cell_home_mcc=434&cell_home_mnc=04&cell_network_mcc=434"
    "&cell_network_mnc=05&device_languages=uz-Latn%2Cru"
)


def test_every_field_of_the_form_finds_its_place() -> None:
    message = aml.decode(FORM)
    assert message.transport == "form"
    assert message.position == Point(lat=41.3110812, lon=69.2405634)
    assert message.accuracy_m == 20.0
    assert message.at == datetime(2026, 11, 23, 14, 52, 2, 435000, tzinfo=UTC)
    assert message.call_at == datetime(2026, 11, 23, 14, 52, 7, 123000, tzinfo=UTC)
    assert message.confidence == 68.27
    assert (message.method, message.number, message.emergency_number) == ("gps", "+998901234567", "112")
    assert (message.imei, message.mcc, message.mnc) == ("355458061005220", "434", "05")
    assert (message.altitude_m, message.floor) == (455.5, "2")
    assert (message.speed_mps, message.heading_deg) == (1.2, 156.7)
    assert message.language == "uz-Latn,ru"
    assert message.verified is None
    assert message.warnings == ()


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_a_right_signature_verifies_by_either_digest(digest: str) -> None:
    assert decode_form(sign_form(FORM, KEY, digest), KEY).verified is True
    shouted = f"{FORM}&hmac={hmac.new(KEY, FORM.encode(), digest).hexdigest().upper()}\r\n"
    assert decode_form(shouted, KEY).verified is True


@pytest.mark.parametrize(
    "body",
    [
        FORM,
        FORM + "&hmac=",
        FORM + "&hmac=abcd",
        FORM + "&hmac=" + "g" * 64,
        FORM + "&hmac=" + "é" * 20,
        FORM + "&hmac=" + hmac.new(b"another key", FORM.encode(), "sha1").hexdigest(),
        FORM + "&hmac=" + hashlib.sha256(FORM.encode()).hexdigest(),
        sign_form(FORM, KEY).replace("41.3110812", "41.3110813"),
        sign_form(FORM, KEY).replace("v=1&", ""),
    ],
)
def test_anything_but_the_right_signature_is_decoded_but_not_verified(body: str) -> None:
    message = decode_form(body, KEY)
    assert message.verified is False
    assert message.number == "+998901234567"
    assert any(warning.startswith("hmac") for warning in message.warnings)


def test_without_a_key_nobody_can_tell() -> None:
    assert decode_form(sign_form(FORM, KEY)).verified is None


def test_fields_behind_the_signature_do_not_count() -> None:
    message = decode_form(
        sign_form("v=1&device_number=%2B998901234567", KEY) + "&location_latitude=41&location_longitude=69",
        KEY,
    )
    assert message.verified is True
    assert message.position is None
    assert any("after hmac" in warning for warning in message.warnings)


def test_a_second_signature_cannot_carry_foreign_fields() -> None:
    forged = sign_form(sign_form("v=1", KEY) + "&location_latitude=41&location_longitude=69", b"not the key")
    message = decode_form(forged, KEY)
    assert message.position is None


def test_a_repeated_field_keeps_its_first_value() -> None:
    assert decode_form("v=1&device_imei=355458061005220&device_imei=111111111111111").imei == "355458061005220"


@pytest.mark.parametrize("written", ["+998901234567", "%2B998901234567", "998901234567", "901234567"])
def test_the_number_is_e164_however_it_was_escaped(written: str) -> None:
    assert decode_form(f"device_number={written}").number == "+998901234567"


def test_the_older_certainty_is_already_a_percentage() -> None:
    assert decode_form("location_certainty=83").confidence == 83.0
    assert decode_form("location_confidence=1").confidence == 100.0


@pytest.mark.parametrize("body", ["v=1", "v=3&time=1795445527123", "location_source=WIFI", "device_number="])
def test_every_field_is_optional(body: str) -> None:
    message = decode_form(body)
    assert message.position is None
    assert message.warnings == ()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("location_latitude=41.3", "position"),
        ("location_latitude=x&location_longitude=69", "position"),
        ("location_latitude=0.0&location_longitude=0.0", "position"),
        ("location_latitude=-91&location_longitude=69", "position"),
        ("location_time=soon", "at"),
        ("location_time=999999999999999999", "at"),
        ("location_time=0", "at"),
        ("location_accuracy=-3", "accuracy_m"),
        ("location_confidence=never", "confidence"),
        ("device_number=anonymous", "number"),
        ("device_imei=unknown", "imei"),
    ],
)
def test_a_malformed_field_is_dropped_with_a_warning(body: str, field: str) -> None:
    message = decode_form(body)
    assert getattr(message, field) is None
    assert message.warnings


def test_seconds_in_place_of_milliseconds_are_told_by_their_size() -> None:
    assert decode_form("location_time=1795445522").at == datetime(2026, 11, 23, 14, 52, 2, tzinfo=UTC)


def test_unknown_fields_and_sources_are_flagged() -> None:
    message = decode_form("v=1&shoe_size=42&location_source=telepathy")
    assert len(message.warnings) == 2
    assert message.method == "telepathy"


@pytest.mark.parametrize("body", ["", "hmac=aa", "foo=bar", "a=1&b=2", "&&&", "&".join(f"v{i}=1" for i in range(300))])
def test_a_form_without_any_field_of_aml_is_refused(body: str) -> None:
    with pytest.raises(FormatError):
        decode_form(body, KEY)


def test_a_form_above_its_limit_is_refused() -> None:
    with pytest.raises(FormatError, match="16384"):
        aml.decode("v=1&device_model=" + "x" * 20_000)
