"""The one Settings of a process, built once from flags and environment. Nothing else reads the environment.

A flag beats the environment, the environment beats the default. Absent URLs mean: start our own server.
"""

import argparse
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

import msgspec

from dispatch.errors import UserMistake

ROLES = ("core", "gateway", "intake")
VARIABLES = {
    "database_url": "DISPATCH112_DATABASE_URL",
    "redis_url": "DISPATCH112_REDIS_URL",
    "mqtt_url": "DISPATCH112_MQTT_URL",
    "data_dir": "DISPATCH112_DATA_DIR",
    "port": "DISPATCH112_PORT",
    "host": "DISPATCH112_HOST",
    "address": "DISPATCH112_ADDRESS",
    "disk_early_mib": "DISPATCH112_DISK_EARLY_MIB",
    "disk_low_mib": "DISPATCH112_DISK_LOW_MIB",
    "disk_critical_mib": "DISPATCH112_DISK_CRITICAL_MIB",
    "personal_kept_days": "DISPATCH112_PERSONAL_KEPT_DAYS",
    "cells": "DISPATCH112_CELLS",
    "map": "DISPATCH112_MAP",
    "gtfs_rt_url": "DISPATCH112_GTFS_RT_URL",
    "places": "DISPATCH112_PLACES",
}
NUMBERS = ("disk_early_mib", "disk_low_mib", "disk_critical_mib", "personal_kept_days")
NUMBER_MAX = 1_000_000_000
SCHEMES = {
    "database_url": ("postgresql", "postgres"),
    "redis_url": ("redis", "rediss", "unix"),
    "mqtt_url": ("mqtt", "mqtts"),
    "gtfs_rt_url": ("http", "https"),
}

HOSTED = ("mqtt", "mqtts", "http", "https", "redis", "rediss")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the servers are, where our files lie, which part of the work this process does."""

    database_url: str | None = None
    """`postgresql://user:password@host/database`; None: embedded Postgres in `data_dir`."""
    redis_url: str | None = None
    """`redis://host:6379/0`; None: one process, in-process bus."""
    mqtt_url: str | None = None
    """`mqtt://user:password@host:1883`; None: embedded broker on loopback."""
    data_dir: Path = Path(".data")
    """Embedded servers, credentials, spool and caches. Holds secrets: never shared, never committed."""
    port: int = 8112
    """The one port for HTTP and WebSocket; 0: chosen by the operating system."""
    host: str = "127.0.0.1"
    """Where that port listens; another machine's proxy or gateways need more than this one's loopback."""
    address: str = ""
    """`http://10.0.0.5:8112`: where gateways on other machines reach this process; empty: on this one."""
    mqtt_port: int = 0
    """Port of the embedded broker; 0: chosen by the operating system and kept for this data directory."""
    roles: tuple[str, ...] = ROLES
    """Which work this process does: core, gateway, intake."""
    regions: tuple[str, ...] = ()
    """Regions this process leads, as ISO 3166-2 codes; empty: all."""
    disk_early_mib: int = 4096
    """With less room than this on a disk of ours there is an alarm …"""
    disk_low_mib: int = 2048
    """… with less than this no tracks of units are kept …"""
    disk_critical_mib: int = 1024
    """… and with less than this no inputs of decisions. Calls and orders are kept as long as anything can be."""
    personal_kept_days: int = 1095
    """How long names, numbers and words are kept after a call: what the law asks, here three years."""

    cells: Path | None = None
    """A file that names the neighbouring cells and holds their keys; None: `cells.json` in `data_dir`, if any."""
    map: Path | None = None
    """An imported map, whose roads give the travel times; None: straight lines, or in the demo its own roads."""

    gtfs_rt_url: str | None = None
    """`https://…`: GTFS-Realtime vehicle positions, so that a caller on a bus is found by its number; None: no feed."""

    places: tuple[Path, ...] = ()
    """Files of places beside our own, parted as in PATH: CSV, GeoJSON, directories of maps; docs/places.md."""

    @property
    def cache_dir(self) -> Path:
        """For what can be made again, such as the demo's roads: one place for all data directories.

        Beside the packages when they have an environment of their own that we may write, else in `data_dir`.
        """
        shared = Path(sys.prefix) / "share" / "dispatch112"
        owned = sys.prefix != sys.base_prefix and os.access(sys.prefix, os.W_OK)
        return shared if owned or shared.is_dir() else self.data_dir / "cache"

    def __str__(self) -> str:
        fields = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return "\n".join(f"{name} = {masked(name, value)}" for name, value in fields)


def read_settings(flags: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Settings from parsed flags (None: not given) and the environment.

    Raises UserMistake, naming the flag or variable, when a value cannot be meant.
    """
    values: dict[str, Any] = {}
    for name in Settings.__struct_fields__:
        variable = VARIABLES.get(name, "")
        given, source = flags.get(name), f"--{name.replace('_', '-')}"
        if given is None:
            given, source = environment.get(variable) or None, variable
        if given is not None:
            values[name] = _understood(name, given, source)
    made = Settings(**values)
    if not made.disk_early_mib >= made.disk_low_mib >= made.disk_critical_mib:
        raise UserMistake("the room for an early alarm must not be less than for the later ones (DISPATCH112_DISK_…)")
    return made


def add_settings_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that every command with servers takes; each has its variable in the environment."""
    parser.add_argument("--data-dir", metavar="DIR", help="embedded servers, credentials, caches (.data)")
    parser.add_argument("--database-url", metavar="URL", help="postgresql://…; absent: embedded")
    parser.add_argument("--redis-url", metavar="URL", help="redis://…; absent: in process")
    parser.add_argument("--mqtt-url", metavar="URL", help="mqtt://…; absent: embedded")
    parser.add_argument(
        "--cells", metavar="FILE", help="neighbouring cells and their keys (cells.json in the data dir)"
    )
    parser.add_argument("--map", metavar="DIR", help="an imported map for the travel times (import-map makes one)")
    parser.add_argument("--mqtt-port", metavar="N", help="port of the embedded broker; absent: a free one")


def settings_from(args: argparse.Namespace) -> Settings:
    """Settings from parsed arguments and this process's environment. Raises UserMistake."""
    return read_settings(vars(args), os.environ)


def masked(name: str, value: object) -> str:
    """The value as it may be printed: a URL without its password."""
    if value is None and name == "cells":
        return "as the data directory says"
    if value is None and name in ("map", "gtfs_rt_url"):
        return "none"
    if value is None:
        return "embedded" if name != "redis_url" else "in process"
    if name not in SCHEMES:
        return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    quiet = re.sub(r"(//[^:@/]*:).*@", r"\1***@", str(value))  # Greedy: a password may hold any character.
    return re.sub(r"([?&]password=)[^&]*", r"\1***", quiet)  # libpq takes it in the query too.


def _understood(name: str, given: Any, source: str) -> Any:
    if name in SCHEMES:
        return _url(given, SCHEMES[name], source)
    if name == "address":
        return _url(given, ("http", "https"), source).rstrip("/")
    if name == "host":
        return _named(given, source)
    if name == "data_dir":
        return _directory(_named(given, source), source)
    if name in NUMBERS:
        return _number(given, source)
    if name in ("cells", "map"):
        return Path(_named(given, source)).expanduser()
    if name == "places":
        return tuple(Path(_named(each, source)).expanduser() for each in str(given).split(os.pathsep) if each)
    if name in ("port", "mqtt_port"):
        return _port(given, source)
    return _listed(name, given, source)


def _url(given: str, schemes: tuple[str, ...], source: str) -> str:
    try:
        parts = urlsplit(given)
        if parts.scheme not in schemes:
            raise UserMistake(f"{source} must begin with {schemes[0]}://")
        if parts.scheme in SCHEMES["database_url"] and not all(map(_is_port, _ports(parts))):
            raise UserMistake(f"{source} names a port that cannot be; a slash in a password is written %2F")
        # Postgres' own reader knows more shapes, and a Unix socket has no host.
        if parts.scheme in HOSTED and (not parts.hostname or parts.port == 0):
            raise UserMistake(f"{source} names no host")
    except ValueError:
        # The fault's own words may hold a piece of the password.
        raise UserMistake(f"{source} is no address: its host or port cannot be read") from None
    return given


def _ports(parts: SplitResult) -> list[str]:
    """The ports of a database's address, which may name several servers, and a port beside them."""
    hosts = parts.netloc.rpartition("@")[2].split(",")
    beside = [port for given in parse_qs(parts.query).get("port", ()) for port in given.split(",")]
    return [port for host in hosts if (port := host.rpartition("]")[2].rpartition(":")[2]) != host and port] + beside


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 65536


def _named(given: str, source: str) -> str:
    if not str(given).strip() or "\0" in str(given):
        raise UserMistake(f"{source} names nothing")
    return given


def _directory(given: str, source: str) -> Path:
    try:
        return Path(given).expanduser()
    except RuntimeError as fault:
        raise UserMistake(f"{source}: {fault}") from None


def _port(given: Any, source: str) -> int:
    try:
        port = int(given)
    except ValueError:
        raise UserMistake(f"{source} must be a number from 0 to 65535, not {given!r}") from None
    if not 0 <= port <= 65535:
        raise UserMistake(f"{source} must be a number from 0 to 65535, not {port}")
    return port


def _number(given: Any, source: str) -> int:
    text = str(given)
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= NUMBER_MAX):
        raise UserMistake(f"{source} must be a whole number from 1 to {NUMBER_MAX}, not {given!r}")
    return int(text)


def _listed(name: str, given: Any, source: str) -> tuple[str, ...]:
    words = given.split(",") if isinstance(given, str) else given
    named = tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
    if not named:
        raise UserMistake(f"{source} names none; leave it out for all")
    known = ROLES if name == "roles" else _regions()
    unknown = [word for word in named if word not in known]
    if unknown:
        raise UserMistake(f"{source} takes {', '.join(known)}; unknown: {', '.join(unknown)[:100]}")
    return named


def _regions() -> tuple[str, ...]:
    # Here, because it brings the outlines' libraries with it, which most commands do without.
    from routing.regions import region_facts

    return tuple(region_facts())
