"""A benchmark that is told to stop, or is killed, leaves no service behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.simulators.running_demo import END_LIMIT_S, ROOT, START_LIMIT_S, alive

pytestmark = pytest.mark.slow

WORDS = ("--calls-per-second", "2", "--seconds", "120", "--units", "20", "--consoles", "1")


async def started(place: Path) -> asyncio.subprocess.Process:
    """The benchmark, once its service runs and writes there."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dispatch", "bench", "intake", *WORDS),
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(place)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    async with asyncio.timeout(START_LIMIT_S):
        while not list(place.glob("dispatch112-bench-*/addresses.json")):
            assert child.returncode is None
            await asyncio.sleep(0.1)
    return child


async def until_nobody_is_left(place: Path) -> None:
    async with asyncio.timeout(END_LIMIT_S):
        while alive(place):
            await asyncio.sleep(0.1)


async def test_a_benchmark_that_is_told_to_stop_ends_its_service_and_tidies_up(tmp_path: Path) -> None:
    child = await started(tmp_path)
    child.send_signal(signal.SIGTERM)
    _, said = await asyncio.wait_for(child.communicate(), END_LIMIT_S)
    assert child.returncode == 128 + signal.SIGTERM, said.decode()
    assert b"Traceback" not in said
    assert not alive(tmp_path)
    assert not list(tmp_path.glob("dispatch112-bench-*"))


async def test_the_service_of_a_killed_benchmark_ends_with_it(tmp_path: Path) -> None:
    child = await started(tmp_path)
    child.kill()
    await child.wait()
    await until_nobody_is_left(tmp_path)
