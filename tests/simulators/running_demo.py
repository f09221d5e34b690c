"""`dispatch112 demo` as a process of its own, for tests that look at it from outside."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT_S, END_LIMIT_S = 120.0, 60.0


@asynccontextmanager
async def demo(home: Path, *words: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A running demo and its address; killed at the end if it has not ended by itself."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dispatch", "demo", "--port", "0", "--data-dir", str(home), *words),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert child.stdout is not None
        async with asyncio.timeout(START_LIMIT_S):
            async for line in child.stdout:
                if line.split()[:1] == [b"console"]:
                    break
        yield child, line.split()[1].decode()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def ended(child: asyncio.subprocess.Process) -> tuple[int, str]:
    """Its exit status and what it said last."""
    said, _ = await asyncio.wait_for(child.communicate(), END_LIMIT_S)
    assert child.returncode is not None
    return child.returncode, said.decode()


def token(home: Path, role: str) -> str:
    return str(json.loads((home / "credentials.json").read_text())[role]["token"])


def alive(home: Path) -> list[str]:
    """Processes of this machine that name the directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes()
        except OSError:
            continue
        if str(home).encode() in words and int(entry.parent.name) != os.getpid():
            found.append(words.replace(b"\0", b" ").decode())
    return found
