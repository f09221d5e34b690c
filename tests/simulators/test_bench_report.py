"""A benchmark's report, from a real and very short one: everybody was served, or it says that it counts for nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from simulators.bench_cpu import own_servers
from simulators.bench_service import CONSOLE_AT
from simulators.exposition import depths, read
from tests.simulators.running_demo import ROOT, START_LIMIT_S

pytestmark = pytest.mark.slow

LIMIT_S = 240.0
WORDS = ("--calls-per-second", "5", "--warm-up", "2", "--seconds", "4", "--units", "30", "--consoles", "2")


async def benchmark(place: Path) -> asyncio.subprocess.Process:
    report = place / "report.json"
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dispatch", "bench", "intake", *WORDS, "--report", str(report)),
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(place)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )


async def at_work(child: asyncio.subprocess.Process, place: Path) -> Path:
    """Return once calls come in; where the service keeps its data."""
    async with asyncio.timeout(START_LIMIT_S):
        while True:
            assert child.returncode is None
            for log in place.glob("dispatch112-bench-*/service.log"):
                ready = next(filter(None, map(CONSOLE_AT.match, log.read_bytes().splitlines())), None)
                if ready is not None and depths(await read(ready.group(1).decode()))["calls"]:
                    return log.parent
            await asyncio.sleep(0.1)


async def reported(child: asyncio.subprocess.Process, place: Path) -> dict[str, Any]:
    _, said = await asyncio.wait_for(child.communicate(), LIMIT_S)
    assert b"Traceback" not in said, said.decode()
    found: dict[str, Any] = json.loads((place / "report.json").read_text())
    return found


async def test_a_short_benchmark_serves_everybody_and_says_what_a_call_cost(tmp_path: Path) -> None:
    child = await benchmark(tmp_path)
    said = await reported(child, tmp_path)
    assert child.returncode == 0
    assert (said["faults"], said["calls_lost"], said["calls_unseen"], said["calls_not_accepted"]) == ([], 0, 0, 0)
    assert said["call_to_console_ms"]["samples"] == 2 * said["calls_measured"] > 0
    assert min(said["service_cpu_us_per_call"], said["postgres_cpu_us_per_call"]) > 0
    # In so few seconds the broker may have used less than the kernel counts.
    assert said["broker_cpu_us_per_call"] is not None


async def test_a_benchmark_whose_broker_died_under_it_says_that_it_counts_for_nothing(tmp_path: Path) -> None:
    child = await benchmark(tmp_path)
    os.kill(own_servers(await at_work(child, tmp_path))["broker"], signal.SIGKILL)
    said = await reported(child, tmp_path)
    assert child.returncode == 1
    assert "the fleet was cut off" in said["faults"][0]
