"""The paper kit: every minute the open work of each region as pages in the data directory, for the day on which
nothing else works. And `dispatch112 paper DIR`, which writes them now, from the database.

    paper/index.html                       leads to the newest pages
    paper/2026-11-25T20-31-00.123Z/*.html  one page a region; the last GENERATIONS_KEPT writings stay

A writing is whole or absent, and is its owner's alone: callers' numbers stand in it. What somebody had erased is gone
from here when that many writings have passed.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from prometheus_client import Gauge

from consoles.catalogue import LANGUAGES
from consoles.demo_accounts import FILE as DEMO_FILE
from consoles.paper import Documents, Moment, Sheet, gathered, wanted
from consoles.paper_page import Page
from consoles.telephones import Telephone, UnreadableList, edition_of, read_telephones
from dispatch.clock import Clock, ScaledClock, SystemClock
from dispatch.core.state import RegionState
from dispatch.core.terms import RegionId
from dispatch.errors import ServiceAway, UserMistake
from dispatch.keeping.backup import noted
from dispatch.keeping.files import PARTIAL, new_file, whole_folder, write_whole
from dispatch.keeping.postgres import PostgresStore
from dispatch.services import database
from dispatch.settings import Settings, settings_from
from dispatch.store import Store
from dispatch.web.metrics import Metrics
from dispatch.writing.recovery import recovered

log = logging.getLogger(__name__)

FOLDER = "paper"
INDEX = "index.html"
WRITE_EVERY_S = 60.0
GENERATIONS_KEPT = 30
DOCUMENTS_AT_ONCE = 1_000
PIECES_AT_ONCE, PAUSE_S = 16, 0.001
"""Rows of a page between two pauses. A thread that renders takes the interpreter from the one that answers calls, over
and over; with 20,000 units they were answered a tenth of a second later for two seconds of each minute."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where the kit takes everything from: committed states, personal documents, the time."""

    states: Mapping[RegionId, RegionState]
    store: Store
    clock: Clock
    mode: str = "LIVE"


class PaperKit:
    """Writes generations of pages into a folder; the telephone list lies in `data_dir`."""

    def __init__(
        self, source: Source, data_dir: Path, *, folder: Path | None = None, languages: Sequence[str] = ()
    ) -> None:
        self.folder = folder or data_dir / FOLDER
        self._source = source
        self._data_dir = data_dir
        self._page = Page(languages)
        self._known: dict[RegionId, Documents] = {}
        self._written_at: datetime | None = None
        self._list: tuple[Telephone, ...] | None = None
        self._edition: tuple[int, int] | None = None

    def measured(self, metrics: Metrics) -> None:
        """Show how old the newest pages are."""
        age = Gauge("dispatch112_paper_age_seconds", "Since the paper kit was written", registry=metrics.registry)
        age.set_function(self.age_s)

    def age_s(self) -> float:
        """Wall seconds since the last writing; infinite before the first."""
        if self._written_at is None:
            return float("inf")
        return (self._source.clock.wall() - self._written_at).total_seconds()

    async def run(self) -> None:
        """Write now and each minute until cancelled; what a full disk prevents is tried again a minute later."""
        while True:
            try:
                await self.write()
            except (OSError, UserMistake) as fault:
                log.error("the paper kit is not written: %s", fault, extra={"action": "paper"})
            await asyncio.sleep(WRITE_EVERY_S)

    async def write(self) -> Path:
        """One writing of all regions; returns the folder of its pages."""
        clock = self._source.clock
        telephones, unreadable = await asyncio.to_thread(self._telephones)
        written_at = clock.wall()
        sheets = []
        for region in sorted(self._source.states):
            documents, away = await self._documents(region)
            moment = Moment(
                written_at=written_at,
                service_at=clock.now(),
                mode=self._source.mode,
                telephones=telephones,
                telephone_fault=unreadable,
                words_away=away,
            )
            sheets.append(gathered(self._source.states[region], documents, moment))
        if not sheets:
            raise UserMistake("there is no region to write of: nothing ever led one in this database")
        made = await asyncio.to_thread(self._written, sheets)
        self._written_at = written_at
        return made

    async def _documents(self, region: RegionId) -> tuple[Documents, bool]:
        """What was said, as far as it is on the page; while the database is away as it was last known."""
        ids = wanted(self._source.states[region])
        found: dict[str, bytes | None] = dict.fromkeys(ids)
        try:
            for start in range(0, len(ids), DOCUMENTS_AT_ONCE):
                kept = await self._source.store.personal(ids[start : start + DOCUMENTS_AT_ONCE])
                found.update({id: each.document for id, each in kept.items()})
        except ServiceAway as away:
            log.warning("the paper kit has the words of before: %s", away, extra={"region": region, "action": "paper"})
            return self._known.get(region, {}), True
        self._known[region] = found
        return found, False

    def _telephones(self) -> tuple[tuple[Telephone, ...] | None, bool]:
        """The list, read again only when its file is another one, and whether it cannot be read."""
        try:
            edition = edition_of(self._data_dir)
            if edition is None or edition != self._edition:
                self._list, self._edition = read_telephones(self._data_dir), edition
            return self._list, False
        except UnreadableList as fault:
            log.error("the telephone list is not on paper: %s", fault, extra={"action": "paper"})
            self._edition = None
            return None, True

    def _written(self, sheets: Sequence[Sheet]) -> Path:
        """In a thread: rendering and the disk must not hold up a call."""
        stamp = f"{sheets[0].written_at:%Y-%m-%dT%H-%M-%S}.{sheets[0].written_at.microsecond // 1000:03}Z"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for torn in self.folder.glob(f"*{PARTIAL}"):
            shutil.rmtree(torn) if torn.is_dir() else torn.unlink()
        with whole_folder(self.folder / stamp, 0o700) as fresh:
            for sheet in sheets:
                with new_file(fresh / f"{sheet.region}.html", 0o600) as file:
                    for number, piece in enumerate(self._page.of(sheet)):
                        file.write(piece.encode())
                        if number % PIECES_AT_ONCE == 0:
                            time.sleep(PAUSE_S)
        generations = sorted((path for path in self.folder.glob("*T*Z") if path.is_dir()), reverse=True)
        older = [path.name for path in generations[1:GENERATIONS_KEPT]]
        write_whole(self.folder / INDEX, self._page.index(sheets, stamp, older).encode(), 0o600)
        for old in generations[GENERATIONS_KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
        return self.folder / stamp


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `dispatch112 paper`."""
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="where the pages are written; index.html leads to them"
    )
    parser.add_argument("--languages", metavar="LIST", help="such as uz-Cyrl,ru (those of each region)")
    parser.add_argument("--database-url", metavar="URL", help="default: our own Postgres, running or not")
    parser.add_argument("--data-dir", metavar="DIR", help="where our own Postgres and telephones.csv lie")


def run(args: argparse.Namespace) -> int:
    """Write the pages once and say where."""
    languages = tuple(args.languages.split(",")) if args.languages else ()
    unknown = set(languages) - set(LANGUAGES)
    if unknown:
        raise UserMistake(f"--languages takes {', '.join(LANGUAGES)}; unknown: {', '.join(sorted(unknown))}")
    try:
        made = asyncio.run(_once(settings_from(args), args.folder, languages))
    except OSError as fault:
        raise UserMistake(f"cannot write {args.folder}: {fault.strerror}") from None
    print(f"{args.folder / INDEX} leads to {len(list(made.glob('*.html')))} pages in {made.name}")
    return 0


async def _once(settings: Settings, folder: Path, languages: Sequence[str]) -> Path:
    async with database(settings) as url:
        store = PostgresStore(url)
        await store.open()
        try:
            regions = [RegionId(region) for region in await store.heads()]
            states = {region: await recovered(region, await store.load(region)) for region in regions}
            # Only the demo keeps log-ins in a file; what it shows must say on paper too that it is none of this world.
            mode = "SIMULATION" if (settings.data_dir / DEMO_FILE).exists() else "LIVE"
            source = Source(states=states, store=store, clock=_clock(await store.latest()), mode=mode)
            await noted(url, "command:paper", "exported", "paper:kit")
            return await PaperKit(source, settings.data_dir, folder=folder, languages=languages).write()
        finally:
            await store.close()


def _clock(latest: datetime | None) -> Clock:
    """The wall's clock; where service time ran ahead of it, as in a demo, one that goes on from the last event."""
    wall = SystemClock()
    return ScaledClock(1.0, latest) if latest is not None and latest > wall.now() else wall
