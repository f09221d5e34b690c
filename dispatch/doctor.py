"""`dispatch112 doctor`: what this machine has, what it lacks, and what to do about it. It changes nothing.

A line that says `lacks` ends with the remedy. The exit status is 1 when the service cannot start.
"""

import argparse
import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import msgspec

from dispatch.errors import UserMistake
from dispatch.servers.broker_programs import find_broker
from dispatch.servers.postgres_binaries import find_binaries
from dispatch.services import running_addresses
from dispatch.settings import Settings, add_settings_arguments, settings_from

MEBIBYTE = 1024 * 1024
OLDEST_NODE = (20, 19)
LEAST_FREE_MIB = 1024
CONNECT_LIMIT_S = 5.0


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the report. `remedy` empty: all is well; `vital`: the service cannot start without."""

    name: str
    found: str
    remedy: str = ""
    vital: bool = False

    def __str__(self) -> str:
        if not self.remedy:
            return f"ok     {self.name:<10} {self.found}"
        return f"lacks  {self.name:<10} {self.found}: {self.remedy}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings_arguments(parser)
    parser.add_argument("--port", help="the service's port (8112)")


def run(args: argparse.Namespace) -> int:
    settings = settings_from(args)
    findings = list(examine(settings))
    print("\n".join(str(finding) for finding in findings))
    return 1 if any(finding.vital and finding.remedy for finding in findings) else 0


def examine(settings: Settings) -> Iterator[Finding]:
    """All findings, cheap ones first. Nothing raises: what cannot be asked is a finding too."""
    checks: tuple[Callable[[Settings], Finding], ...] = (
        _python,
        _installation,
        _data_dir,
        _room,
        _port,
        _postgres,
        _database,
        _broker,
        _redis,
        _node,
        _chromium,
    )
    for check in checks:
        yield check(settings)


def _python(settings: Settings) -> Finding:
    return Finding(name="python", found=f"{sys.version.split()[0]} in {sys.prefix}")


def _installation(settings: Settings) -> Finding:
    if sys.prefix == sys.base_prefix:
        return Finding(name="installed", found="outside an environment of its own")
    files = (path.lstat().st_blocks * 512 for path in Path(sys.prefix).rglob("*"))
    return Finding(name="installed", found=f"{sum(files) // MEBIBYTE} MiB")


def _data_dir(settings: Settings) -> Finding:
    place = settings.data_dir.resolve()
    existing = next(path for path in (place, *place.parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        remedy = "choose another with --data-dir"
        return Finding(name="data", found=f"{existing} cannot be written", remedy=remedy, vital=True)
    state = "in use by a running service" if running_addresses(settings.data_dir) else "free"
    return Finding(name="data", found=f"{place}, {state}")


def _room(settings: Settings) -> Finding:
    place = settings.data_dir.resolve()
    existing = next(path for path in (place, *place.parents) if path.exists())
    free_mib = shutil.disk_usage(existing).free // MEBIBYTE
    remedy = "" if free_mib >= LEAST_FREE_MIB else f"make room: at least {LEAST_FREE_MIB} MiB"
    return Finding(name="disk", found=f"{free_mib} MiB free", remedy=remedy)


def _port(settings: Settings) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", settings.port))
        except OSError:
            return Finding(name="port", found=f"{settings.port} is in use", remedy="choose another with --port")
    return Finding(name="port", found=f"{settings.port} is free")


def _postgres(settings: Settings) -> Finding:
    if settings.database_url:
        return Finding(name="postgres", found="by URL")
    try:
        binaries = find_binaries(settings.data_dir)
    except UserMistake as mistake:
        return Finding(name="postgres", found="none", remedy=str(mistake), vital=True)
    return Finding(name="postgres", found=f"{binaries.major} in {binaries.directory}")


def _database(settings: Settings) -> Finding:
    running = running_addresses(settings.data_dir)
    url = settings.database_url or (running.database_url if running else None)
    if url is None:
        return Finding(name="database", found="not running; it starts with the service")
    try:
        return Finding(name="database", found=asyncio.run(_database_version(url)))
    except (OSError, TimeoutError, asyncpg.PostgresError, ValueError) as fault:
        remedy = "check DISPATCH112_DATABASE_URL and that the server runs"
        return Finding(name="database", found=f"no answer ({fault})", remedy=remedy, vital=True)


async def _database_version(url: str) -> str:
    async with asyncio.timeout(CONNECT_LIMIT_S):
        connection = await asyncpg.connect(url)
        try:
            version = str(await connection.fetchval("show server_version"))
            tables = await connection.fetchval(
                "select count(*) from information_schema.tables where table_schema = current_schema()"
            )
        finally:
            await connection.close()
    return f"Postgres {version}, {tables} tables"


def _broker(settings: Settings) -> Finding:
    if settings.mqtt_url:
        return Finding(name="broker", found="by URL")
    try:
        program = find_broker()
    except UserMistake as mistake:
        return Finding(name="broker", found="none", remedy=str(mistake), vital=True)
    remedy = "" if program.enforces_rights else "topic rights are not enforced; install mosquitto"
    return Finding(name="broker", found=str(program.path), remedy=remedy)


def _redis(settings: Settings) -> Finding:
    return Finding(name="redis", found="by URL" if settings.redis_url else "none; one process needs none")


def _node(settings: Settings) -> Finding:
    node = shutil.which("node")
    if node is None:
        return Finding(name="node", found="none; set-up borrows one to build the console")
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    numbers = tuple(int(number) for number in re.findall(r"\d+", said)[:2])
    use = "used" if numbers >= OLDEST_NODE else "too old, set-up borrows another"
    return Finding(name="node", found=f"{said}; {use} to build the console")


def _chromium(settings: Settings) -> Finding:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found:
        return Finding(name="chromium", found=found)
    return Finding(name="chromium", found="none", remedy="browser tests skip; apt-get install chromium")
