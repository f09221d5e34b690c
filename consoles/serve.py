"""`dispatch112 serve`: the service itself, until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import signal
import socket
import sys
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from consoles.access import hashed
from consoles.gateway_process import following
from consoles.serving import Credentials, Options, peers_of, serving
from dispatch.actors import Role
from dispatch.errors import UserMistake
from dispatch.maps import check_map, imported_roads
from dispatch.settings import Settings, add_settings_arguments, settings_from
from dispatch.store import Store
from dispatch.writing.records import Operator

FIRST_LOGIN = "first-login.json"

T = TypeVar("T")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `serve`."""
    add_settings_arguments(parser)
    parser.add_argument("--port", metavar="N", help="the one port for HTTP and WebSocket (8112)")
    parser.add_argument("--host", metavar="HOST", help="where that port listens (127.0.0.1)")
    parser.add_argument("--address", metavar="URL", help="where gateways on other machines reach it, http://…")
    parser.add_argument("--roles", metavar="LIST", help="core,gateway,intake: without core it follows one (all)")
    parser.add_argument("--regions", metavar="LIST", help="the regions it leads, such as UZ-TK,UZ-TO (all)")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM."""
    settings = settings_from(args)
    can_start(settings)
    run_loop(_serve(settings))
    return 0


def can_start(settings: Settings) -> None:
    """Raises UserMistake for what would stop a start half-way: its port, its map, the file of its neighbours."""
    can_listen(settings)
    check_map(settings)
    if "core" in settings.roles:
        peers_of(settings)


def can_listen(settings: Settings) -> None:
    """Raises UserMistake when nothing can listen where the door is to be, before anything is started."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, place in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(place)
    except (OSError, UnicodeError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else fault
        raise UserMistake(f"cannot listen at {settings.host}, port {settings.port}: {why}") from None


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run on uvloop, with SIGTERM as a polite request to stop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run work that ends by itself; SIGTERM cancels it, so that it stops what it started. Exits with 143 then."""

    async def stoppable() -> T:
        doing = asyncio.current_task()
        assert doing is not None, "a coroutine runs in a task"
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, doing.cancel)
        return await work

    try:
        return run_loop(stoppable())
    except asyncio.CancelledError:
        raise SystemExit(128 + signal.SIGTERM) from None


async def _serve(settings: Settings) -> None:
    roads = partial(imported_roads, settings.map) if settings.map is not None else None
    options = Options(roads=roads, logins=lambda store, broker: first_login(store, settings.data_dir))
    process = serving if "core" in settings.roles else following
    async with process(settings, options, _say) as running:
        _say(f"ready at {running.url}")
        await stopped()


async def stopped() -> None:
    """Return when the process is asked to stop: Ctrl-C or SIGTERM."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, told.set)
    await told.wait()


async def first_login(store: Store, data_dir: Path) -> Credentials:
    """An empty service gets one administrator, whose password stands in a file that only its owner can read."""
    if await store.list_operators():
        return {}
    password = "-".join(secrets.token_hex(2) for _ in range(4))
    made = {str(Role.ADMIN): {"username": "admin", "password": password}}
    path = data_dir / FIRST_LOGIN
    path.touch(mode=0o600)
    path.write_text(json.dumps(made, indent=2) + "\n")
    await store.put_operator(Operator(username="admin", role=str(Role.ADMIN), password=await hashed(password)))
    _say(f"first log-in written to {path}")
    return made


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
