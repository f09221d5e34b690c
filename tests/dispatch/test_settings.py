"""One Settings from flags and environment; secrets never printed; what cannot be meant is refused by name."""

import argparse
import os
import re
from pathlib import Path

import pytest

from consoles.serve import add_arguments
from dispatch.errors import UserMistake
from dispatch.settings import NUMBERS, ROLES, VARIABLES, Settings, masked, read_settings
from tests.style import ROOT


def test_a_flag_beats_the_environment_and_the_environment_the_default() -> None:
    environment = {"DISPATCH112_PORT": "9000", "DISPATCH112_DATA_DIR": "kept"}
    assert read_settings({"port": "9001"}, environment).port == 9001
    assert read_settings({"port": None}, environment).port == 9000
    assert read_settings({}, {}).port == 8112
    assert read_settings({}, environment).data_dir == Path("kept")


def test_an_empty_variable_counts_as_absent() -> None:
    assert read_settings({}, {"DISPATCH112_DATABASE_URL": "", "DISPATCH112_PORT": ""}) == Settings()


@pytest.mark.parametrize("value", ["http", "-1", "65536", "1.5"])
def test_a_port_that_cannot_be_is_refused_by_the_name_of_its_source(value: str) -> None:
    with pytest.raises(UserMistake, match="DISPATCH112_PORT"):
        read_settings({}, {"DISPATCH112_PORT": value})
    with pytest.raises(UserMistake, match="--mqtt-port"):
        read_settings({"mqtt_port": value}, {})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DISPATCH112_DATABASE_URL", "mysql://db/x"),
        ("DISPATCH112_REDIS_URL", "localhost:6379"),
        ("DISPATCH112_MQTT_URL", "http://broker"),
    ],
)
def test_a_url_of_the_wrong_kind_is_refused(variable: str, value: str) -> None:
    with pytest.raises(UserMistake, match=variable):
        read_settings({}, {variable: value})


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u@db:99999/x",
        "postgresql://u:7@[::1]:0/x",
        "postgres://a:5432,b:x/y",
        "postgresql:///x?port=no",
        "postgres://joe:s3cret/@db/x",
    ],
)
def test_a_database_at_a_port_that_cannot_be_is_a_mistake_and_not_waited_for(url: str) -> None:
    with pytest.raises(UserMistake, match="names a port that cannot be") as told:
        read_settings({"database_url": url}, {})
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:1234@db/x",
        "postgres://a:1,b,c:3/x",
        "postgresql:///x?host=/run&port=5433",
        "postgresql://[::1]/",
    ],
)
def test_a_database_may_be_at_several_addresses_or_a_socket(url: str) -> None:
    assert read_settings({"database_url": url}, {}).database_url == url


def test_roles_and_regions_are_lists_with_commas() -> None:
    given = read_settings({"roles": "core, intake", "regions": "UZ-TK,UZ-TO"}, {})
    assert (given.roles, given.regions) == (("core", "intake"), ("UZ-TK", "UZ-TO"))
    assert read_settings({}, {}).roles == ROLES
    with pytest.raises(UserMistake, match="--roles names none"):
        read_settings({"roles": " , "}, {})
    with pytest.raises(UserMistake, match="unknown: UZ-ZZ"):
        read_settings({"regions": "UZ-TK,UZ-ZZ"}, {})
    with pytest.raises(UserMistake, match="gatway"):
        read_settings({"roles": "core,gatway"}, {})


def test_an_address_that_cannot_be_read_is_refused_without_its_password() -> None:
    with pytest.raises(UserMistake) as told:
        read_settings({"mqtt_url": "mqtt://joe:s3cret/x@broker"}, {})
    assert "--mqtt-url" in str(told.value) and "s3cret" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "url", "shown"),
    [
        ("database_url", "postgresql://joe:s3cret@db/x", "postgresql://joe:***@db/x"),
        (
            "database_url",
            "postgresql:///x?host=/run&password=s3cret&port=1",
            "postgresql:///x?host=/run&password=***&port=1",
        ),
        ("redis_url", "redis://:s3cret@cache:6379/0", "redis://:***@cache:6379/0"),
        ("mqtt_url", "mqtt://broker:1883", "mqtt://broker:1883"),
    ],
)
def test_a_printed_url_keeps_its_secret(name: str, url: str, shown: str) -> None:
    assert masked(name, url) == shown
    assert "s3cret" not in str(read_settings({name: url}, {}))


def test_places_are_files_parted_as_in_a_path() -> None:
    given = read_settings({}, {"DISPATCH112_PLACES": os.pathsep.join(["a.csv", "maps/uz"])})
    assert given.places == (Path("a.csv"), Path("maps/uz"))
    assert "places = a.csv,maps/uz" in str(given).splitlines()


def test_the_page_has_every_setting_with_its_variable_flag_and_default() -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    rows = re.findall(r"^\| `(DISPATCH112_\w+)` \| (?:`--([\w-]+)`)? ?\| (.+?) \| .+ \|$", page, re.MULTILINE)
    assert sorted(variable for variable, _, _ in rows) == sorted(VARIABLES.values())
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    flags = vars(parser.parse_args([]))
    names = {variable: name for name, variable in VARIABLES.items()}
    for variable, flag, default in rows:
        name = names[variable]
        assert flag.replace("-", "_") == (name if name in flags else ""), variable
        if name in (*NUMBERS, "port", "host"):
            assert default == str(getattr(Settings(), name)), variable
    assert all(f"`--{name.replace('_', '-')}`" in page for name in flags)
