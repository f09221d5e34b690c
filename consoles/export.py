"""`dispatch112 export DIR`: the journal and the read models as files that anybody can verify.

Without --personal nothing in them is personal. With it somebody must log in who has the right to that, and the audit
says who took it out.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import sys
from pathlib import Path
from time import perf_counter

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from dispatch.actors import EVERYWHERE, RIGHTS, Role
from dispatch.errors import UserMistake
from dispatch.keeping.backup import noted
from dispatch.keeping.copying import PERSONAL, READ_MODELS, Manifest, Wanted, copy
from dispatch.keeping.heads import Series
from dispatch.keeping.postgres import PostgresStore
from dispatch.keeping.verifying import of_one_moment
from dispatch.services import database
from dispatch.settings import Settings, settings_from

RIGHT = "personal.export"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `dispatch112 export`."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="a new directory; it appears when it is whole")
    parser.add_argument("--gzip", action="store_true", help="pack each file")
    parser.add_argument("--personal", action="store_true", help="also names, numbers and words; needs --as")
    parser.add_argument("--as", dest="username", metavar="USER", help="who exports personal data; asks the password")
    parser.add_argument("--database-url", metavar="URL", help="default: our own Postgres, running or not")
    parser.add_argument("--data-dir", metavar="DIR", help="where our own Postgres and the signed heads lie")


def run(args: argparse.Namespace) -> int:
    """Export and say what was written."""
    if args.personal != (args.username is not None):
        raise UserMistake("--personal and --as USER go together: personal data leaves only under somebody's name")
    password = _asked(args.username) if args.personal else ""
    began_s = perf_counter()
    manifest = asyncio.run(_export(settings_from(args), args, password))
    rows = sum(facts.rows for facts in manifest.files.values()) - manifest.events
    took_s = perf_counter() - began_s
    print(f"{manifest.events} events and {rows} rows of {manifest.made_at:%Y-%m-%dT%H:%M:%SZ} in {took_s:.1f} s")
    return 0


def _asked(username: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"password of {username}: ")
    return sys.stdin.readline().rstrip("\n")


async def _export(settings: Settings, args: argparse.Namespace, password: str) -> Manifest:
    async with database(settings) as url:
        tables = READ_MODELS
        if args.personal:
            await _require_right(url, args.username, password)
            await noted(url, f"user:{args.username}", "exported", "personal:*")
            tables = (*READ_MODELS, PERSONAL)
        wanted = Wanted(kind="export", tables=tables, packed=args.gzip, heads=Series(settings.data_dir))
        async with of_one_moment(url) as connection:
            return await copy(connection, args.folder, wanted)


async def _require_right(url: str, username: str, password: str) -> None:
    """Raises UserMistake unless this is the person, and has the right in every region."""
    store = PostgresStore(url)
    await store.open()
    try:
        operator = await store.get_operator(username)
    finally:
        await store.close()
    if operator is None or not operator.active or not _matches(operator.password, password):
        raise UserMistake("the user name or the password is wrong")
    everywhere = EVERYWHERE in operator.regions or not operator.regions
    if Role(operator.role) not in RIGHTS[RIGHT] or not everywhere:
        raise UserMistake(f"{operator.role} {username} may not export personal data of every region")


def _matches(kept: str, password: str) -> bool:
    try:
        return PasswordHasher().verify(kept, password)
    except (Argon2Error, InvalidHashError):
        return False
