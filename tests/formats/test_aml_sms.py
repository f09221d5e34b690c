"""AML by SMS: both versions, every wrapping, and what a damaged text still gives."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.formats import aml
from dispatch.formats.aml_sms import decode_sms, unpack_septets
from dispatch.formats.values import FormatError, Point

TASHKENT = (
    'A"ML=1;lt=+41.31108;lg=+69.24056;rd=35;top=20261123143207;lc=90;pm=G;'
    "si=434050000000000;ei=353472104343540;mcc=434;mnc=04;ml=128"
)
NULL = (
    'A"ML=1;lt=+00.00000;lg=+000.00000;rd=N;top=20261123143207;lc=0;pm=N;'
    "si=434050000000000;ei=353472104343540;mcc=434;mnc=04;ml=127"
)
BETA = 'A"ML=2;en=112;et=1795445527;lo=41.31108,69.24056,20.1;lt=-5;lc=68;lz=455.1,3.2;ls=F;nc=43404;lg=uz-Latn'


def packed(text: str) -> bytes:
    """Seven-bit packing written apart from the decoder: as one string of bits, least significant first."""
    bits = "".join(format(ord(char), "07b")[::-1] for char in text)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8][::-1], 2) for i in range(0, len(bits), 8))


def test_version_1_says_where_how_exact_and_when() -> None:
    message = decode_sms(TASHKENT)
    assert message.position == Point(lat=41.31108, lon=69.24056)
    assert (message.accuracy_m, message.confidence, message.method) == (35.0, 90.0, "G")
    assert message.at == datetime(2026, 11, 23, 14, 32, 7, tzinfo=UTC)
    assert (message.imei, message.imsi) == ("353472104343540", "434050000000000")
    assert (message.mcc, message.mnc) == ("434", "04")
    assert message.verified is None
    assert message.warnings == ()


def test_a_null_message_is_no_position_and_nothing_is_wrong_with_it() -> None:
    message = decode_sms(NULL)
    assert message.position is None
    assert message.accuracy_m is None
    assert message.method == "N"
    assert message.at is not None
    assert message.warnings == ()


@pytest.mark.parametrize("method", ["G", "W", "C", "U"])
def test_zero_zero_is_no_position_whatever_the_method_says(method: str) -> None:
    message = decode_sms(NULL.replace("pm=N", f"pm={method}"))
    assert message.position is None
    assert any("0, 0" in warning for warning in message.warnings)


def test_a_place_on_the_equator_or_the_meridian_is_a_position() -> None:
    on_equator = decode_sms(TASHKENT.replace("+41.31108", "+00.00000"))
    assert on_equator.position == Point(lat=0.0, lon=69.24056)


def test_method_none_with_a_position_keeps_the_position_and_says_so() -> None:
    message = decode_sms(TASHKENT.replace("pm=G", "pm=N"))
    assert message.position is not None
    assert any(warning.startswith("pm:") for warning in message.warnings)


def test_version_2_reads_the_same_keys_with_their_other_meaning() -> None:
    message = decode_sms(BETA)
    assert message.version == "2"
    assert message.position == Point(lat=41.31108, lon=69.24056)
    assert message.accuracy_m == 20.1
    assert message.call_at == datetime(2026, 11, 23, 14, 52, 7, tzinfo=UTC)
    assert message.at == datetime(2026, 11, 23, 14, 52, 2, tzinfo=UTC)
    assert (message.altitude_m, message.altitude_accuracy_m) == (455.1, 3.2)
    assert (message.method, message.emergency_number, message.language) == ("F", "112", "uz-Latn")
    assert (message.mcc, message.mnc) == ("434", "04")
    assert message.warnings == ()


@pytest.mark.parametrize(
    ("damage", "accuracy_m"),
    [(",20.1", ",0.0"), (",20.1", ",0")],
)
def test_accuracy_0_means_unknown(damage: str, accuracy_m: str) -> None:
    assert decode_sms(BETA.replace(damage, accuracy_m)).accuracy_m is None


@pytest.mark.parametrize("lo", ["", "0.00000,0.00000,0.0", "41.31108", "a,b,c", "141.0,69.0,20"])
def test_version_2_without_a_usable_place_has_none(lo: str) -> None:
    message = decode_sms(BETA.replace("41.31108,69.24056,20.1", lo))
    assert message.position is None
    assert message.call_at is not None


def test_version_2_without_the_call_time_has_no_fix_time() -> None:
    assert decode_sms(BETA.replace("et=1795445527;", "")).at is None


@pytest.mark.parametrize(
    "data",
    [
        packed(TASHKENT),
        packed(TASHKENT).hex(),
        packed(TASHKENT).hex().upper().encode(),
        "0x" + packed(TASHKENT).hex(),
        packed(TASHKENT).hex(" ") + "\r\n",
        bytes.fromhex("06050423f40000") + packed(TASHKENT),
        TASHKENT.encode().hex(),
        TASHKENT.encode("utf-16-be").hex(),
        TASHKENT.encode("utf-16-be"),
    ],
    ids=["octets", "hex", "HEX", "0x", "spaced", "user-data-header", "8-bit", "ucs2-hex", "ucs2"],
)
def test_a_data_sms_reads_like_its_text(data: bytes | str) -> None:
    assert aml.decode(data) == decode_sms(TASHKENT)


def test_the_published_data_sms_is_understood() -> None:
    octets = bytes.fromhex(
        "415193D98BEDD8F4DEECE6A2C962B7DA8E7DEEB56232990B86A3D9623B39B92783EDE86F784F068BD560B6D80C1683E5"
        "68B81D7BDCB3E176F076EFB89BA77B39DCCD56A3C966B15D39DD9BD570B2590E56CBC168B21A4DB66B8FC7BD590CB66B"
        "BBC73D990DB66BB37B31D90C"
    )
    message = decode_sms(octets)
    assert message.position == Point(lat=37.42175, lon=-122.08461)
    assert message.at == datetime(2015, 6, 13, 1, 9, 48, tzinfo=UTC)
    assert (message.imei, message.mcc, message.mnc) == ("358239059042542", "310", "260")
    assert message.warnings == ()


@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=0x61, max_codepoint=0x7A), min_size=1, max_size=160))
def test_unpacking_undoes_packing(text: str) -> None:
    unpacked = unpack_septets(packed(text))
    # Seven spare bits at the end read as one more character, "@".
    assert unpacked.removesuffix("@") == text


@pytest.mark.parametrize(
    "text",
    [
        TASHKENT + "\r\n",
        "  " + TASHKENT + " ",
        '"' + TASHKENT + '"',
        TASHKENT.replace(";", "; "),
        TASHKENT.replace(";", ";\n"),
        TASHKENT.replace(";lc", ";;lc"),
        TASHKENT + ";",
        TASHKENT.replace('A"ML', "A“ML"),
        TASHKENT.replace('A"ML', 'A\\"ML'),
        TASHKENT.replace('A"ML', "AML"),
        TASHKENT.replace('A"ML', "ML"),
        TASHKENT.replace('A"ML', "A&quot;ML"),
        "﻿" + TASHKENT,
        TASHKENT.upper(),
        TASHKENT.lower(),
        "[+998901234567] " + TASHKENT,
        TASHKENT.replace("ml=128", ""),
        TASHKENT.replace("ml=128", "ml=999"),
        TASHKENT.replace("+41.31108", "41.31108").replace("+69", "069"),
    ],
)
def test_spelling_of_gateways_changes_no_value(text: str) -> None:
    message = aml.decode(text)
    assert message.position == Point(lat=41.31108, lon=69.24056)
    assert message.at == datetime(2026, 11, 23, 14, 32, 7, tzinfo=UTC)
    assert message.method == "G"
    assert message.mnc == "04"


def test_a_wrong_length_is_a_warning_and_a_missing_one_is_nothing() -> None:
    wrong = decode_sms(TASHKENT.replace("ml=128", "ml=127"))
    assert wrong.warnings == ("ml: 127 is not the message's length of 128",)
    assert decode_sms(TASHKENT.replace(";ml=128", "")).warnings == ()


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("lt", "+41.31108", "+95.00000"),
        ("lt", "+41.31108", "0x29"),
        ("lt", "+41.31108", "nan"),
        ("lt", "+41.31108", "inf"),
        ("lt", "+41.31108", "4_1"),
        ("lt", "+41.31108", ""),
        ("lg", "+69.24056", "+181.00000"),
        ("lg", "+69.24056", "1e400"),
    ],
)
def test_a_coordinate_that_cannot_be_is_no_position_and_a_warning(key: str, good: str, bad: str) -> None:
    message = decode_sms(TASHKENT.replace(f"{key}={good}", f"{key}={bad}"))
    assert message.position is None
    assert message.warnings
    assert message.imei == "353472104343540"


@pytest.mark.parametrize(
    ("good", "bad", "field"),
    [
        ("top=20261123143207", "top=2026112314320", "at"),
        ("top=20261123143207", "top=20261323143207", "at"),
        ("top=20261123143207", "top=20261123143260", "at"),
        ("top=20261123143207", "top=19700101000000", "at"),
        ("top=20261123143207", "top=yesterday", "at"),
        ("rd=35", "rd=-5", "accuracy_m"),
        ("rd=35", "rd=wide", "accuracy_m"),
        ("lc=90", "lc=900", "confidence"),
        ("ei=353472104343540", "ei=12", "imei"),
        ("ei=353472104343540", "ei=000000000000000", "imei"),
        ("mcc=434", "mcc=4x4", "mcc"),
        ("mnc=04", "mnc=abcd", "mnc"),
    ],
)
def test_a_bad_optional_value_is_dropped_with_a_warning(good: str, bad: str, field: str) -> None:
    message = decode_sms(TASHKENT.replace(good, bad).replace(";ml=128", ""))
    assert getattr(message, field) is None
    assert len(message.warnings) == 1
    assert message.position is not None


def test_rd_n_is_an_unknown_radius_and_decimals_are_kept() -> None:
    assert decode_sms(TASHKENT.replace("rd=35", "rd=N")).accuracy_m is None
    assert decode_sms(TASHKENT.replace("rd=35", "rd=35.5")).accuracy_m == 35.5


def test_decimal_commas_of_a_handset_are_read_and_flagged() -> None:
    message = decode_sms(TASHKENT.replace("41.31108", "41,31108").replace("69.24056", "69,24056"))
    assert message.position == Point(lat=41.31108, lon=69.24056)
    assert len(message.warnings) == 2


def test_commas_between_the_fields_are_read_as_semicolons_and_flagged() -> None:
    message = decode_sms(TASHKENT.replace(";", ",").replace("41.31108", "41,31108"))
    assert message.position == Point(lat=41.31108, lon=69.24056)
    assert (message.accuracy_m, message.imei, message.mnc) == (35.0, "353472104343540", "04")
    assert "commas where semicolons belong, read as those" in message.warnings
    second = decode_sms('A"ML=2,en=112,et=1795445527,lo=41.31108,69.24056,20.5,lt=-5,ei=353472104343540')
    assert (second.position, second.accuracy_m) == (Point(lat=41.31108, lon=69.24056), 20.5)


@pytest.mark.parametrize("text", ['A"ML=1', 'A"ML=1;zz=1', 'A"ML=2;rd=1', 'A"ML=1;;;'])
def test_a_header_that_no_known_field_follows_is_a_warning(text: str) -> None:
    assert "ML: no field of AML follows" in decode_sms(text).warnings


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ('A"ML=1;lt=+00.00000;lg=+000.00000;rd=N;pm=N', True),
        ('A"ML=1;lt=+00.00000;lg=+000.00000', True),
        ('A"ML=1;rd=N', True),
        ('A"ML=1;pm=N', True),
        ('A"ML=2;lo=0,0,0', True),
        ('A"ML=2;ls=N', True),
        ('A"ML=1;lt=abc;lg=1;rd=N', False),
        ('A"ML=1;lt=+41.31108', False),
        ('A"ML=1;mcc=434', False),
        ('A"ML=1', False),
    ],
)
def test_only_a_handset_that_says_so_knows_no_position(text: str, unknown: bool) -> None:
    message = decode_sms(text)
    assert (message.position, message.unknown) == (None, unknown)


def test_unknown_keys_and_stray_parts_are_warnings() -> None:
    message = decode_sms(TASHKENT.replace(";ml=128", ";zz=1;stray"))
    assert message.position is not None
    assert len(message.warnings) == 2


def test_an_appended_key_cannot_overrule_the_first() -> None:
    message = decode_sms(TASHKENT + ";lt=+10.00000")
    assert message.position == Point(lat=41.31108, lon=69.24056)
    assert any("twice" in warning for warning in message.warnings)


def test_a_flood_of_oddities_gives_a_bounded_list_of_warnings() -> None:
    flood = ";".join(f"k{i}=1" for i in range(300))
    warnings = decode_sms(f'A"ML=1;rd=5;{flood}').warnings
    assert len(warnings) == 20
    assert warnings[-1] == "and 281 more"


def test_the_number_comes_from_the_sms_itself() -> None:
    assert decode_sms(TASHKENT, sender="90 123 45 67").number == "+998901234567"
    unreadable = decode_sms(TASHKENT, sender="BankOfX")
    assert unreadable.number is None
    assert len(unreadable.warnings) == 1


@pytest.mark.parametrize("text", ["", "hello", "lt=41;lg=69;ml=20", 'A"ML=;lt=1', 'A"ML=x', 'A"ML=3;lt=1', 'A"ML=0'])
def test_text_without_a_known_header_is_refused_with_the_way_to_mend_it(text: str) -> None:
    with pytest.raises(FormatError) as caught:
        decode_sms(text)
    assert caught.value.where.startswith("sms")
    assert caught.value.mend


def test_a_message_longer_than_any_sms_is_refused() -> None:
    with pytest.raises(FormatError, match="bytes"):
        decode_sms(TASHKENT + " " * 5000)


def test_aml_belongs_to_a_call_from_a_minute_before_to_two_minutes_after() -> None:
    start = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
    assert aml.window(start, start + timedelta(seconds=90)) == (
        datetime(2026, 11, 23, 14, 29, tzinfo=UTC),
        datetime(2026, 11, 23, 14, 33, 30, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("word", "technique"),
    [
        ("G", "gnss"),
        ("gps", "gnss"),
        ("wifi", "wifi"),
        ("C", "cell"),
        ("N", "none"),
        ("X", "unknown"),
        (None, None),
    ],
)
def test_both_vocabularies_of_methods_translate_to_one(word: str | None, technique: str | None) -> None:
    assert aml.technique(word) == technique
