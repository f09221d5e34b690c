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
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from random import Random

import asyncpg
import msgspec
import uvloop

from dispatch.flags import whole
from simulators.phones import Told, refusals
from tests.journeys.blows import BLOWS, Blow, dealt
from tests.journeys.judging import Struck, WentOn, count, name_of, same_answer, went_on
from tests.journeys.ledger import read_ledger
from tests.journeys.runs import DEPOSING, Run, State, summary
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
"""One call in so many is sent once more under its key after the run, and each that got another name."""


async def run_one(scene: Stage, number: int) -> Run:
    """Load, a blow in the middle of it, and the books afterwards."""
    began_s, rng = time.monotonic(), Random(number)
    await asyncio.gather(*(member.readied() for member in scene.members))
    connection = await asyncpg.connect(scene.made.services.database_url)
    try:
        leading = {member.name: await _led_at(connection, member.url) for member in scene.members}
        blow, member = dealt(number, [m for m in scene.members if leading[m.name].keys() & BUSY] or scene.members, rng)
        done = Run(number=number, kind=blow.kind, victim=blow.victim)
        scene.crews.resume()
        load = asyncio.create_task(scene.phones(number).ring(CALLS_PER_S, LOAD_S))
        await asyncio.sleep(rng.uniform(0.5, 1.2))
        # Looked at once more: a region that was handed over since is not the victim's to lose.
        led = await _led_at(connection, member.url)
        back_after_s = blow.seconds if blow.kind == "freeze" else inf
        struck = Struck(at_s=time.monotonic(), at=datetime.now(UTC), led=led, back_after_s=back_after_s)
        done.hit = await BLOWS[blow.kind](scene, member, blow.seconds, rng)
        calls = await load
    finally:
        await connection.close()
    await _judge(scene, done, calls, blow)
    if blow.kind in DEPOSING:
        done.hit = done.hit and bool(struck.led.keys() & BUSY)
        time_takeover(done, went_on(calls, scene.ledger, struck))
    done.seconds = time.monotonic() - began_s
    return done


async def _led_at(connection: asyncpg.Connection, address: str) -> dict[str, int]:
    """The regions that a process leads, with their epochs."""
    rows = await connection.fetch("SELECT region, epoch FROM leaders WHERE address = $1", address)
    return {row["region"]: row["epoch"] for row in rows}


def time_takeover(done: Run, went: WentOn) -> None:
    """From the blow until the last of the victim's busy regions had committed a call again; none may be left out."""
    done.takeover_s = max((seconds for region, seconds in went.took_s.items() if region in BUSY), default=None)
    done.awoke_leading = bool(went.kept & BUSY)
    done.faults += [f"{region}: people called after the {done.kind}, nobody led it" for region in sorted(went.silent)]
    if done.kind == "kill" and done.hit and done.takeover_s is None:
        done.faults.append("the killed process led busy regions, and no takeover is known")


async def _judge(scene: Stage, done: Run, calls: list[Told], blow: Blow) -> None:
    """Hold what callers, crews and consoles were told against the journal, when all is quiet."""
    told = [call for call in calls if call.status == 201]
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
        count(done, told, scene.ledger, scene.spools.held_by)
        await _same_answers(scene, done, told)
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
    waiting = [call.key for call in told if name_of(call, scene.ledger) is None]
    if waiting:
        return f"{len(waiting)} acknowledged calls are not in the journal: {waiting[:5]}"
    if scene.spools.standing:
        return f"calls wait in the spools of {scene.spools.standing}"
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


async def _same_answers(scene: Stage, done: Run, told: list[Told]) -> None:
    """A key gives its first answer again, at whichever door: asked for some, and wherever an answer named no call."""
    renamed = [call for call in told if name_of(call, scene.ledger) != call.receipt["call_id"]]
    some = [*told[::AGAIN_SHARE], *renamed]
    for first, again in zip(some, await scene.phones(done.number).again(some), strict=True):
        if not same_answer(first, again, scene.ledger):
            done.faults.append(f"{first.key} was answered {first.answer!r}, and then {again.status} {again.answer!r}")


async def run_all(
    numbers: list[int], home: Path, state: State, keep: Path | None, *, takeover_limit_s: float = TAKEOVER_LIMIT_S
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
                if done.takeover_s is not None and done.takeover_s > takeover_limit_s:
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
        status = runner.run(run_all(numbers, home, state, keep))
    print(
        msgspec.json.format(msgspec.json.encode(summary([state.runs[n] for n in numbers if n in state.runs]))).decode()
    )
    return status


if __name__ == "__main__":
    sys.exit(main())
