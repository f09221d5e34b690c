"""One command runs a country: calls are answered, crews go, nothing is lost, and it stops without a trace."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from dispatch.services import running_addresses
from simulators.client import Client, Counts
from tests.simulators.running_demo import alive, demo, ended, token

pytestmark = pytest.mark.slow


async def test_a_country_works_for_some_minutes_of_its_time_and_loses_nothing(tmp_path: Path) -> None:
    home, file = tmp_path / "data", tmp_path / "report.json"
    words = ("--for", "14", "--speed", "30", "--calls-per-minute", "40", "--report", str(file))
    async with demo(home, *words) as (child, _):
        status, said = await ended(child)
    report: dict[str, Any] = json.loads(file.read_text())
    assert status == 0, said
    assert report["calls_lost"] == report["double_assignments"] == report["calls_not_accepted"] == 0
    assert report["calls_accepted"] > 150
    assert 0 < report["incidents_assigned"] <= report["incidents_opened"] < report["calls_accepted"]
    assert report["calls_located"] > report["calls_accepted"] / 2
    for latency in ("call_to_commit_ms", "call_to_console_ms", "call_to_order_delivered_ms"):
        assert report[latency]["p50"] > 0, latency
        assert report[latency]["samples"] > 10, latency
    crews, takers = report["details"]["crews"], report["details"]["call_takers"]
    assert crews["dispatch"] > 20
    assert takers["classified"] > 0 and takers["closed_abandoned"] > 0
    assert report["details"]["dispatchers"]["confirmed"] > 0, "in some regions people confirm"
    assert not {"faults"} & (crews.keys() | takers.keys())
    assert not alive(home)


async def test_staff_step_back_from_a_region_that_a_person_takes_over(tmp_path: Path) -> None:
    home = tmp_path / "data"
    async with demo(home, "--speed", "30", "--calls-per-minute", "2") as (child, url):
        people = Client(url, token(home, "dispatcher"), Counts())
        try:
            answer = await people.put("regions/UZ-TK/policy", {"attended": True})
            assert answer.good, answer.body
            point = {"type": "Point", "coordinates": [69.28, 41.31]}
            said = {"channel": "voice", "location": [{"source": "cell", "point": point, "accuracy_m": 300}]}
            call = (await people.post("calls", said, "stranger")).body["call_id"]
            await asyncio.sleep(24.0)
            assert (await people.get(f"calls/{call}")).body["status"] == "ringing"
            await people.put("regions/UZ-TK/policy", {"attended": False})
            async with asyncio.timeout(60):
                while (await people.get(f"calls/{call}")).body["status"] == "ringing":
                    await asyncio.sleep(0.2)
        finally:
            await people.close()
        child.send_signal(signal.SIGTERM)
        status, said_last = await ended(child)
    assert status == 0, said_last
    assert not alive(home)


async def test_a_killed_demo_leaves_no_process_and_goes_on_where_it_was(tmp_path: Path) -> None:
    home = tmp_path / "data"
    async with demo(home, "--speed", "30", "--calls-per-minute", "40") as (child, url):
        reader = Client(url, token(home, "supervisor"), Counts())
        async with asyncio.timeout(60):
            while not (before := (await reader.get("calls", {"limit": "200"})).body["calls"]):
                await asyncio.sleep(0.2)
        await reader.close()
        child.kill()
        await child.wait()
    async with asyncio.timeout(60):
        while alive(home):
            await asyncio.sleep(0.1)
    assert running_addresses(home) is None
    async with demo(home, "--no-load") as (child, url):
        reader = Client(url, token(home, "supervisor"), Counts())
        for row in before:
            assert (await reader.get(f"calls/{row['call_id']}")).good
        await reader.close()
        child.send_signal(signal.SIGINT)
        status, _ = await ended(child)
    assert status == 0
