"""What a call costs in CPU: the service's own processes, and beside them the database and the broker on its cores.

The service says of itself what it used, by stage. Of the servers that run for its data directory the kernel says
it (proc(5)): a server and all its descendants, those that have ended included. Servers elsewhere are in no figure.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from simulators.bench_traffic import Sent
from simulators.exposition import Reading, read, stages

PROC = Path("/proc")
TICKS_A_S = os.sysconf("SC_CLK_TCK")
SERVERS = {"postgres": "postgres", "broker": "mosquitto"}
"""What we call a server -> the name of its program."""
STAND_IN = "iotcore"
"""The module that serves where there is no mosquitto."""


class Cpu(msgspec.Struct, frozen=True, kw_only=True):
    """What everybody had used until a moment, in seconds; a server that cannot be asked is missing."""

    service: Reading
    servers: dict[str, float]
    own_s: float


async def used(urls: Sequence[str], servers: Mapping[str, int]) -> Cpu:
    """Ask the service's processes, the kernel about its servers (name -> process), and about ourselves."""
    times, known = os.times(), {name: family_cpu_s(pid) for name, pid in servers.items()}
    return Cpu(
        service=await read(*urls),
        servers={name: seconds for name, seconds in known.items() if seconds is not None},
        own_s=times.user + times.system,
    )


def cpu_report(before: Cpu, after: Cpu, calls: Sequence[Sent]) -> dict[str, Any]:
    """The figures of a stretch. A call counts where it was kept: whoever is answered after it had none of its CPU."""
    since, until = before.service, after.service
    each = 1e6 / max(1, sum(since.at_s <= call.kept_s < until.at_s for call in calls))
    percent = 100 / (until.at_s - since.at_s)
    return {
        "service_cpu_us_per_call": round(each * (until.cpu_s - since.cpu_s), 1),
        **{f"{name}_cpu_us_per_call": _of_server(name, before, after, each) for name in SERVERS},
        "service_cpu_percent": round(percent * (until.cpu_s - since.cpu_s), 1),
        "generator_cpu_percent": round(percent * (after.own_s - before.own_s), 1),
        "cpu_us_per_call_by_stage": {
            name: round(each * used_s, 2) for name, (used_s, _) in stages(since, until).items()
        },
    }


def _of_server(name: str, before: Cpu, after: Cpu, each: float) -> float | None:
    if name not in before.servers or name not in after.servers:
        return None
    return round(each * (after.servers[name] - before.servers[name]), 1)


def own_servers(data_dir: Path) -> dict[str, int]:
    """Name -> process of the servers of a running service: children of whoever holds its data directory, the youngest
    of each name.
    """
    try:
        holder = int((data_dir / "lock").read_text())
    except (OSError, ValueError):
        return {}
    found = {}
    children = [process for process in _processes().values() if process.parent == holder]
    for process in sorted(children, key=lambda each: each.began):
        name = _server(process.pid)
        if name is not None:
            found[name] = process.pid
    return found


def family_cpu_s(pid: int) -> float | None:
    """User and system time of a process and of its descendants, also of the ended ones; None: it is not there."""
    known = _processes()
    if pid not in known:
        return None
    family = [pid]
    for each in family:
        family += [child for child, process in known.items() if process.parent == each]
    return sum(known[each].used for each in family) / TICKS_A_S


class _Process(msgspec.Struct, frozen=True):
    """A process, its parent, when it began, and what it and those of its children that have ended used, in ticks."""

    pid: int
    parent: int
    began: int
    used: int


def _processes() -> dict[int, _Process]:
    """Every process by its number; empty elsewhere than on Linux."""
    found = {}
    for entry in PROC.glob("[0-9]*/stat"):
        try:
            # Behind the name, which may hold anything, stands the third field; the parent is the fourth, utime, stime,
            # cutime and cstime are those from the fourteenth on, and starttime is the twenty-second.
            fields = entry.read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        pid = int(entry.parent.name)
        found[pid] = _Process(pid, int(fields[1]), int(fields[19]), sum(map(int, fields[11:15])))
    return found


def _server(pid: int) -> str | None:
    """Which of our servers a process is, by its command."""
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return None
    if STAND_IN in words:
        return "broker"
    return next((name for name, program in SERVERS.items() if Path(words[0]).name == program), None)
