"""The drill: the service under load, a backup, the machine's data gone, a restore, and everybody goes on.

And the paper kit of the same service: what is on it when the service is dead.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from dispatch.keeping.copying import read_manifest
from tests.journeys.ledger import Ledger, read_ledger
from tests.journeys.service import ROOT, Service, living
from tests.journeys.traffic import Callers, Crews

CALLS_PER_S = 40
COMMAND_LIMIT_S = 120.0
GONE_LIMIT_S = 10.0
PAPER_LIMIT_S = 30.0


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    made = Service(tmp_path / "data")
    made.data_dir.mkdir()
    await made.start()
    yield made
    made.kill()
    print(made.log.read_text()[-6000:])


async def command(*words: str) -> str:
    """A command of ours as a person types it; what it said. It must end well."""
    program = [sys.executable, "-m", "dispatch", *words]
    done = await asyncio.to_thread(
        subprocess.run, program, cwd=ROOT, capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=False
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    print(done.stdout)
    return str(done.stdout)


async def heads_shown(service: Service) -> bytes:
    """What anybody may ask the service for, and keep: a signed head of each region."""
    async with aiohttp.request("GET", f"{service.url}/api/v1/heads") as got:
        answer = await got.read()
    shown = json.loads(answer)
    assert len(shown["heads"]) == 14
    assert shown["public_key"] == (service.data_dir / "heads" / "public.key").read_text()
    return answer + b"\n"


async def ledger_of(service: Service) -> Ledger:
    """The books of the running service; they balance."""
    connection = await service.database()
    try:
        ledger = await read_ledger(connection)
    finally:
        await connection.close()
    assert ledger.faults == []
    return ledger


async def test_everything_acknowledged_before_the_backup_survives_the_loss_of_the_machine(
    service: Service, tmp_path: Path
) -> None:
    where = ["--data-dir", str(service.data_dir)]
    backup = tmp_path / "backup"
    callers, crews = Callers(service, 112), Crews(service, 112)
    await crews.start()
    load = asyncio.create_task(callers.phone(CALLS_PER_S, 8.0))
    await asyncio.sleep(3.0)
    acknowledged = [asked for asked in callers.asked if asked.status == 201]
    said = await command("backup", str(backup), *where)
    assert "WHOLE" in said and "what came later is not in it" in said
    await load
    await crews.stop()
    seen = tmp_path / "heads-seen.jsonl"
    seen.write_bytes(await heads_shown(service))
    assert "WHOLE" in await command("verify-log", *where, "--heads", str(seen))
    seqs = {region: head.seq for region, head in read_manifest(backup).heads.items()}
    assert len(acknowledged) > CALLS_PER_S
    assert (await ledger_of(service)).seqs != seqs, "the load went on after the backup's moment"

    below = service.descendants()
    service.kill()
    async with asyncio.timeout(GONE_LIMIT_S):  # Its servers end with it, a moment later.
        while living(below):
            await asyncio.sleep(0.05)
    shutil.rmtree(service.data_dir)
    service.data_dir.mkdir()
    began_s = time.monotonic()
    said = await command("restore", str(backup), *where)
    assert "restored and verified" in said and "what came later is not here" in said
    started_s = await service.start()
    print(f"restored and ready after {time.monotonic() - began_s:.1f} s, {started_s:.1f} s of them the start")

    ledger = await ledger_of(service)
    kept = set(ledger.tables["calls"])
    assert {asked.receipt["call_id"] for asked in acknowledged} <= kept
    lost = [a for a in callers.asked if a.status == 201 and a.receipt["call_id"] not in kept]
    assert lost, "what came after the backup's moment is lost, and nobody pretends otherwise"
    assert "WHOLE: " in await command("verify-log", *where, "--heads", str(backup / "heads"))

    for first, again in await callers.again():
        assert again.status == 201
        if first.receipt["call_id"] in kept:
            assert again.answer == first.answer, "a call that was kept is not taken twice"
    await callers.phone(CALLS_PER_S, 1.0)
    after = await ledger_of(service)
    assert after.seqs.keys() >= seqs.keys()
    assert all(after.seqs[region] >= seq for region, seq in seqs.items())
    assert sum(after.seqs.values()) > sum(seqs.values())
    assert {a.receipt["call_id"] for a in callers.asked[-CALLS_PER_S:] if a.status == 201} <= set(after.tables["calls"])


async def test_the_paper_kit_holds_every_open_incident_when_the_service_is_dead(service: Service) -> None:
    callers = Callers(service, 7)
    await callers.phone(20, 2.0)
    ledger = await ledger_of(service)
    opened = {name for name, row in ledger.tables["incidents"].items() if row["status"] != "closed"}
    assert len(opened) > 5
    give_up_s = time.monotonic() + PAPER_LIMIT_S
    while not opened <= incidents_on_paper(service.data_dir / "paper"):
        assert time.monotonic() < give_up_s, "the pages never held every open incident"
        await asyncio.sleep(0.2)
    metrics = await service.metrics()
    (age,) = (line.split()[1] for line in metrics.splitlines() if line.startswith("dispatch112_paper_age_seconds "))
    assert 0 <= float(age) < PAPER_LIMIT_S
    numbers = {json.loads(asked.body)["caller"]["number"] for asked in callers.asked}
    service.kill()
    pages = newest(service.data_dir / "paper")
    assert opened <= incidents_on_paper(service.data_dir / "paper")
    assert sum(number in page for number in numbers for page in pages) > len(numbers) / 2
    assert len(pages) == 14


def newest(paper: Path) -> list[str]:
    """The pages that the index leads to."""
    try:
        index = (paper / "index.html").read_text("utf-8")
        names = [part.partition('"')[0] for part in index.split('href="')[1:]]
        return [(paper / name).read_text("utf-8") for name in names]
    except FileNotFoundError:
        return []


def incidents_on_paper(paper: Path) -> set[str]:
    parts = (part for page in newest(paper) for part in page.split('" id="')[1:])
    return {part.partition('"')[0] for part in parts}
