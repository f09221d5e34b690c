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
from urllib.parse import urlsplit

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
}
SCHEMES = {
    "database_url": ("postgresql", "postgres"),
    "redis_url": ("redis", "rediss", "unix"),
    "mqtt_url": ("mqtt", "mqtts"),
}


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
        given = flags.get(name)
        if given is None:
            given = environment.get(variable) or None
        if given is not None:
            values[name] = _understood(name, given, variable or f"--{name.replace('_', '-')}")
    return Settings(**values)


def add_settings_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that every command with servers takes; each has its variable in the environment."""
    parser.add_argument("--data-dir", metavar="DIR", help="embedded servers, credentials, caches (.data)")
    parser.add_argument("--database-url", metavar="URL", help="postgresql://…; absent: embedded")
    parser.add_argument("--redis-url", metavar="URL", help="redis://…; absent: in process")
    parser.add_argument("--mqtt-url", metavar="URL", help="mqtt://…; absent: embedded")
    parser.add_argument("--mqtt-port", metavar="N", help="port of the embedded broker; absent: a free one")


def settings_from(args: argparse.Namespace) -> Settings:
    """Settings from parsed arguments and this process's environment. Raises UserMistake."""
    return read_settings(vars(args), os.environ)


def masked(name: str, value: object) -> str:
    """The value as it may be printed: a URL without its password."""
    if value is None:
        return "embedded" if name != "redis_url" else "in process"
    if name not in SCHEMES:
        return ",".join(value) if isinstance(value, tuple) else str(value)
    quiet = re.sub(r"(//[^:@/]*:).*@", r"\1***@", str(value))  # Greedy: a password may hold any character.
    return re.sub(r"([?&]password=)[^&]*", r"\1***", quiet)  # libpq takes it in the query too.


def _understood(name: str, given: Any, source: str) -> Any:
    if name in SCHEMES:
        return _url(given, SCHEMES[name], source)
    if name == "address":
        return _url(given, ("http", "https"), source).rstrip("/")
    if name == "host":
        return given
    if name == "data_dir":
        return Path(given).expanduser()
    if name in ("port", "mqtt_port"):
        return _port(given, source)
    return _listed(name, given)


def _url(given: str, schemes: tuple[str, ...], source: str) -> str:
    if urlsplit(given).scheme not in schemes:
        raise UserMistake(f"{source} must begin with {schemes[0]}://")
    return given


def _port(given: Any, source: str) -> int:
    try:
        port = int(given)
    except ValueError:
        raise UserMistake(f"{source} must be a number from 0 to 65535, not {given!r}") from None
    if not 0 <= port <= 65535:
        raise UserMistake(f"{source} must be a number from 0 to 65535, not {port}")
    return port


def _listed(name: str, given: Any) -> tuple[str, ...]:
    words = given.split(",") if isinstance(given, str) else given
    named = tuple(word.strip() for word in words if word.strip())
    unknown = set(named) - set(ROLES) if name == "roles" else set()
    if unknown:
        raise UserMistake(f"--roles takes {', '.join(ROLES)}; unknown: {', '.join(sorted(unknown))}")
    return named or (ROLES if name == "roles" else ())
