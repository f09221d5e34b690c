"""`make chaos RUNS=100`: real processes killed, frozen and cut off under load, and the books checked after each run.

    python -m tests.journeys.chaos --runs 100 [--first K] [--dir DIR]

A run is a seed: what callers say, whom the blow hits and when. A state file in DIR notes the runs that are done,
so the same line goes on where it was stopped. Ends with 1 at the first run that breaks a promise, and says which
line runs it again; its logs stay.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import time
from math import inf
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import asyncpg
import msgspec
import uvloop

from dispatch.flags import whole
from simulators.phones import Told, refusals
from tests.journeys.blows import BLOWS, Blow, dealt
from tests.journeys.ledger import read_ledger
from tests.journeys.service import CITIES
from tests.journeys.stage import Stage, stage

CALLS_PER_S = 100
LOAD_S = 4.0
RUNS_A_STAGE = 12
"""Runs on one database: enough history to matter, little enough to read."""
SETTLED_LIMIT_S = 20.0
TAKEOVER_LIMIT_S = 5.0
BUSY = {f"UZ-{letters}" for letters in CITIES}
"""A takeover is timed where calls come all the time: elsewhere it would be the wait for the next call."""
AGAIN_SHARE = 10
"""One call in so many is sent once more under its key after the run."""


class Run(msgspec.Struct, kw_only=True):
    """What one run came to."""

    number: int
    kind: str
    victim: str
    acknowledged: int = 0
    found: int = 0
    missing: int = 0
    doubled: int = 0
    out_of_order: int = 0
    spooled: int = 0
    renamed: int = 0
    """Spooled while an earlier attempt under the same key was committed elsewhere: one call, under that name."""
    refused: dict[str, int] = {}
    takeover_s: float | None = None
    longest_wait_s: float = 0.0
    seconds: float = 0.0
    faults: list[str] = []

    def line(self) -> str:
        took = "-" if self.takeover_s is None else f"{self.takeover_s:.2f}"
        return (
            f"run {self.number:>4}  {self.kind:<24} {self.victim:<7} acknowledged {self.acknowledged:>4}"
            f" found {self.found:>4} missing {self.missing} doubled {self.doubled} out of order {self.out_of_order}"
            f" spooled {self.spooled:>3} renamed {self.renamed} takeover {took:>5} s,"
            f" longest wait {self.longest_wait_s:5.2f} s, refused {self.refused or 0}, {self.seconds:4.1f} s"
        )


class State(msgspec.Struct):
    """The runs that are done, by number."""

    runs: dict[int, Run] = {}


async def run_one(scene: Stage, number: int) -> Run:
    """Load, a blow in the middle of it, and the books afterwards."""
    began_s, rng = time.monotonic(), Random(number)
    await asyncio.gather(*(member.readied() for member in scene.members))
    connection = await asyncpg.connect(scene.made.services.database_url)
    try:
        leading = {member.name: await _led_at(connection, member.url) for member in scene.members}
        blow, member = dealt(number, [m for m in scene.members if leading[m.name].keys() & BUSY] or scene.members, rng)
        led = leading[member.name]
        done = Run(number=number, kind=blow.kind, victim=blow.victim)
        scene.crews.resume()
        load = asyncio.create_task(scene.phones(number).ring(CALLS_PER_S, LOAD_S))
        await asyncio.sleep(rng.uniform(0.5, 1.2))
        struck_s = time.monotonic()
        await BLOWS[blow.kind](scene, member, blow.seconds, rng)
        calls = await load
    finally:
        await connection.close()
    await _judge(scene, done, calls, blow)
    if blow.kind in ("kill", "freeze"):
        done.takeover_s = _takeover_s(scene, calls, led, struck_s)
    done.seconds = time.monotonic() - began_s
    return done


async def _led_at(connection: asyncpg.Connection, address: str) -> dict[str, int]:
    """The regions that a process leads, with their epochs."""
    rows = await connection.fetch("SELECT region, epoch FROM leaders WHERE address = $1", address)
    return {row["region"]: row["epoch"] for row in rows}


def _takeover_s(scene: Stage, calls: list[Told], led: dict[str, int], struck_s: float) -> float | None:
    """From the blow until the last of the victim's busy regions had committed a call again."""
    first: dict[str, float] = {}
    for call in calls:
        place = scene.ledger.calls_from.get(call.receipt["call_id"]) if call.status == 201 else None
        if place is not None and not call.spooled and place[2] > led.get(place[0], place[2]):
            first[place[0]] = min(first.get(place[0], call.told_s), call.told_s)
    took = [told_s - struck_s for region, told_s in first.items() if region in BUSY]
    return max(took, default=None)


async def _judge(scene: Stage, done: Run, calls: list[Told], blow: Blow) -> None:
    """Hold what callers, crews and consoles were told against the journal, when all is quiet."""
    told = [call for call in calls if call.status == 201]
    done.acknowledged, done.spooled = len(told), sum(call.spooled for call in told)
    done.refused = {status: count for status, count in refusals(calls).items() if count}
    done.longest_wait_s = max((call.told_s - call.asked_s for call in told), default=0.0)
    done.faults += [f"{call.key} was never answered: {call.refused}" for call in calls if call.status != 201]
    if blow.kind == "rolling restart":
        done.faults += [f"{call.key} was refused: {call.refused}" for call in calls if call.refused]
    scene.crews.finish()
    await asyncio.gather(*(member.readied() for member in scene.members))
    connection = await asyncpg.connect(scene.made.services.database_url)
    try:
        await _settled(scene, done, told, connection)
        _count(scene, done, told)
        await _same_answers(scene, done, told[::AGAIN_SHARE])
    finally:
        await connection.close()


async def _settled(scene: Stage, done: Run, told: list[Told], connection: asyncpg.Connection) -> None:
    """Wait until every call is committed, every status receipted and every board level with the journal."""
    give_up_s = time.monotonic() + SETTLED_LIMIT_S
    while True:
        ledger = await read_ledger(connection, scene.ledger)
        why = _unsettled(scene, told) or _behind(scene, told)
        if why is None or ledger.faults:
            break
        if time.monotonic() > give_up_s:
            done.faults.append(f"not within {SETTLED_LIMIT_S:.0f} s: {why}")
            break
        await asyncio.sleep(0.1)
    done.faults += [*ledger.faults, *await scene.replay.differing(connection, scene.watchers)]
    ledger.faults.clear()


def _unsettled(scene: Stage, told: list[Told]) -> str | None:
    """What is still under way; None when all is quiet and equal."""
    kept = scene.ledger.calls_from
    answers = scene.ledger.answers
    waiting = [
        call.key
        for call in told
        if call.receipt["call_id"] not in kept and answers.get(call.key, {}).get("call_id") not in kept
    ]
    if waiting:
        return f"{len(waiting)} acknowledged calls are not in the journal: {waiting[:5]}"
    if scene.crews.unanswered:
        return f"{scene.crews.unanswered} statuses have no receipt"
    return None


def _behind(scene: Stage, told: list[Told]) -> str | None:
    """Which console has not yet seen what callers were told; None when all have."""
    last: dict[str, int] = {}
    for call in told:
        region = call.receipt["region"]
        last[region] = max(last.get(region, 0), call.receipt["seq"])
    for place, watcher in enumerate(scene.watchers):
        if watcher.ended is not None:
            return f"console {place + 1} broke: {watcher.ended!r}"
        seqs = watcher.model.seqs
        late = [region for region in BUSY & last.keys() if seqs.get(region, 0) < last[region]]
        if late:
            return f"console {place + 1} is behind in {late}"
    return None


def _count(scene: Stage, done: Run, told: list[Told]) -> None:
    ledger = scene.ledger
    answers = {key: answer["call_id"] for key, answer in ledger.answers.items()}
    for call in told:
        named = call.receipt["call_id"]
        if named not in ledger.calls_from and answers.get(call.key) in ledger.calls_from:
            done.renamed += 1
            named = answers[call.key]
        place = ledger.calls_from.get(named)
        done.found += place is not None
        done.missing += place is None
        if place is not None and not call.spooled and named == call.receipt["call_id"]:
            region, seq, _ = place
            done.out_of_order += region == call.receipt["region"] and seq > call.receipt["seq"]
    # Every call came under a key, so one that no key's answer names is there twice.
    done.doubled = len(ledger.calls_from.keys() - set(answers.values()))
    for name in ("missing", "doubled", "out_of_order"):
        if getattr(done, name):
            done.faults.append(f"{name}: {getattr(done, name)}")


async def _same_answers(scene: Stage, done: Run, told: list[Told]) -> None:
    """A key gives its first answer again, at whichever door."""
    for first, again in zip(told, await scene.phones(done.number).again(told), strict=True):
        if again.answer != first.answer and not first.spooled:
            done.faults.append(f"{first.key} was answered {first.answer!r}, and then {again.status} {again.answer!r}")


async def run_all(
    numbers: list[int], home: Path, state: State, keep: Path | None, *, takeover_limit_s: float = inf
) -> int:
    """Run what is not done yet, some on each stage; 1 at the first that fails."""
    waiting = [number for number in numbers if number not in state.runs]
    while waiting:
        some, waiting = waiting[:RUNS_A_STAGE], waiting[RUNS_A_STAGE:]
        place = home / f"stage-{some[0]}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        async with stage(place, some[0]) as scene:
            for number in some:
                done = await run_one(scene, number)
                if done.kind == "kill" and (done.takeover_s or 0.0) > takeover_limit_s:
                    done.faults.append(f"the takeover took longer than {takeover_limit_s:g} s")
                print(done.line(), flush=True)
                if done.faults:
                    print("\n".join(f"    {fault[:300]}" for fault in done.faults[:12]), flush=True)
                    print(f"    again: {sys.executable} -m tests.journeys.chaos --first {number} --runs 1", flush=True)
                    print(f"    logs: {place}", flush=True)
                    return 1
                state.runs[number] = done
                if keep is not None:
                    keep.write_bytes(msgspec.json.encode(state))
        shutil.rmtree(place, ignore_errors=True)
    return 0


def summary(runs: list[Run]) -> dict[str, Any]:
    """All runs together."""
    took = [run.takeover_s for run in runs if run.takeover_s is not None and run.kind == "kill"]
    frozen = [run.takeover_s for run in runs if run.takeover_s is not None and run.kind == "freeze"]
    whole: dict[str, Any] = {"runs": len(runs)}
    for name in ("acknowledged", "found", "missing", "doubled", "out_of_order", "spooled", "renamed"):
        whole[name] = sum(getattr(run, name) for run in runs)
    for name, some in (("killed", took), ("frozen", frozen)):
        whole[f"takeover_{name}_p50_s"] = round(median(some), 2) if some else None
        whole[f"takeover_{name}_max_s"] = round(max(some), 2) if some else None
    whole["longest_wait_s"] = round(max((run.longest_wait_s for run in runs), default=0.0), 2)
    return whole


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=whole(1, 1_000_000), default=100, metavar="N", help="how many runs (100)")
    parser.add_argument("--first", type=whole(0, 1_000_000), default=0, metavar="K", help="the number of the first (0)")
    parser.add_argument("--dir", type=Path, default=Path(".chaos"), metavar="DIR", help="state, data and logs (.chaos)")
    args = parser.parse_args()
    home: Path = args.dir.resolve()
    home.mkdir(parents=True, exist_ok=True)
    numbers = list(range(args.first, args.first + args.runs))
    file = home / "state.json"
    alone = args.runs == 1
    state = msgspec.json.decode(file.read_bytes(), type=State) if file.exists() and not alone else State()
    if before := sum(number in state.runs for number in numbers):
        print(f"goes on: {before} of {len(numbers)} runs are done; remove {file} to begin anew", flush=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        keep = None if alone else file
        status = runner.run(run_all(numbers, home, state, keep, takeover_limit_s=TAKEOVER_LIMIT_S))
    print(
        msgspec.json.format(msgspec.json.encode(summary([state.runs[n] for n in numbers if n in state.runs]))).decode()
    )
    return status


if __name__ == "__main__":
    sys.exit(main())
