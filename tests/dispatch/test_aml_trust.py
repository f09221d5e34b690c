"""Who may send AML is said by two files of the installation; without them nobody's word is taken unsigned."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatch.calling.aml import Trust, trusted
from dispatch.errors import UserMistake


def test_without_files_nobody_is_trusted(tmp_path: Path) -> None:
    trust = trusted(tmp_path)
    assert trust.key is None
    assert not trust.allows("127.0.0.1")


def test_files_name_the_key_and_the_gateways(tmp_path: Path) -> None:
    (tmp_path / "aml.key").write_bytes(b"shared secret\n")
    (tmp_path / "aml.allow").write_text("# the operators\n198.51.100.7\n2001:db8::/48  # and this\n\n")
    trust = trusted(tmp_path)
    assert trust.key == b"shared secret"
    addresses = ("198.51.100.7", "198.51.100.8", "2001:db8::1", "2001:db9::1", "", None, "gateway")
    assert [trust.allows(address) for address in addresses] == [True, False, True, *[False] * 4]


def test_an_empty_key_signs_nothing(tmp_path: Path) -> None:
    (tmp_path / "aml.key").write_bytes(b"\n")
    assert trusted(tmp_path).key is None


def test_a_line_that_is_no_address_is_the_installer_s_mistake(tmp_path: Path) -> None:
    (tmp_path / "aml.allow").write_text("everybody\n")
    with pytest.raises(UserMistake, match="everybody"):
        trusted(tmp_path)


def test_a_network_of_addresses_is_taken_as_a_whole() -> None:
    assert Trust(None, ("10.0.0.0/8",)).allows("10.255.0.1")
