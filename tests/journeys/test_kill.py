"""Servers killed under load, with real processes: what was answered is there, once, and everybody goes on.

A run is seeded: what people say, and the moment of the blow. The clock and the machine are not, so a failed
run prints its seed and the line that tries the same again.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from dispatch.core.assigning import SEND_AGAIN_S
from dispatch.core.crews import MOST_SENDS
from dispatch.core.state import RegionState
from dispatch.core.terms import Order, OrderKind, UnitId
from dispatch.units.orders import UNDELIVERED
from tests.journeys.ledger import Ledger, read_ledger
from tests.journeys.service import Service, kill, living
from tests.journeys.traffic import Asked, Callers, Crews, Watcher

CALLS_PER_S = 100
LOAD_S = 4.0
PATIENCE_S = 60.0
"""Nothing here takes so long, on a busy machine either: what has not come by then does not come."""
HEARD_LIMIT_S = MOST_SENDS * SEND_AGAIN_S + PATIENCE_S
"""An order goes out every SEND_AGAIN_S, so many times, and is called back then."""


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Of this run; CHAOS_SEED repeats one."""
    number = int(os.environ.get("CHAOS_SEED") or secrets.randbits(31))
    print(f"seed {number}; again: CHAOS_SEED={number} .venv/bin/python -m pytest {request.node.nodeid}")
    return number


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    made = Service(tmp_path)
    await made.start()
    yield made
    made.kill()
    print(made.log.read_text()[-6000:])


class Scene:
    """The service with everybody who uses it."""

    def __init__(self, service: Service, seed: int, silent: int) -> None:
        self.service = service
        self.callers = Callers(service, seed)
        self.crews = Crews(service, seed, silent)
        self.watchers = [Watcher(service), Watcher(service)]
        self.rng = Random(seed)


@asynccontextmanager
async def scene(service: Service, seed: int, silent: int = 0) -> AsyncIterator[Scene]:
    made = Scene(service, seed, silent)
    for watcher in made.watchers:
        watcher.start()
    await made.crews.start()
    try:
        yield made
    finally:
        await made.crews.stop()
    for watcher in made.watchers:
        await watcher.stop()


async def until(so: Callable[[], bool], claim: str, limit_s: float = PATIENCE_S) -> None:
    give_up_s = time.monotonic() + limit_s
    while not so():
        assert time.monotonic() < give_up_s, f"not within {limit_s} s: {claim}"
        await asyncio.sleep(0.02)


async def ended(pids: set[int]) -> None:
    await until(lambda: not living(pids), f"all of {living(pids)} are gone")


async def readied(service: Service) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while await service.ready() != 200:
        assert time.monotonic() < give_up_s, "the service is not ready again"
        await asyncio.sleep(0.02)


async def every_answer_holds(callers: Callers) -> None:
    """Each call that was answered is shown as it was answered; each key leads to one call for ever."""
    answered = [asked for asked in callers.asked if asked.status == 201]
    for first, again in await callers.again():
        assert again.status == 201, (again.key, again.status, again.answer)
        if first.status == 201:
            assert again.answer == first.answer, first.key
        else:
            first.answer, first.status = again.answer, again.status
    cards = await callers.cards(asked.receipt["call_id"] for asked in callers.asked)
    assert {status for status, _ in cards.values()} == {200}
    assert len(cards) == len(callers.asked)
    for asked in answered:
        assert cards[asked.receipt["call_id"]][1].get("incident_id") == incident_told(asked, cards)


def incident_told(asked: Asked, cards: dict[str, tuple[int, dict[str, object]]]) -> object:
    """A call of the spool was answered before anybody could say which incident it is."""
    card = cards[asked.receipt["call_id"]][1]
    return card.get("incident_id") if asked.spooled else asked.receipt.get("incident_id")


async def books_balance(made: Scene) -> Ledger:
    """The journal, the tables, the answers and the boards say the same, at one moment when all are level."""
    fresh = Watcher(made.service)
    fresh.start()
    connection = await made.service.database()
    try:
        give_up_s = time.monotonic() + PATIENCE_S
        while True:
            ledger = await read_ledger(connection)
            assert ledger.faults == []
            models = [watcher.model for watcher in (*made.watchers, fresh)]
            if all(model.seqs and model.seqs.items() <= ledger.seqs.items() for model in models):
                break
            assert time.monotonic() < give_up_s, "the boards never drew level with the journal"
            await asyncio.sleep(0.1)
        for model in models:
            for region, board in model.boards.items():
                assert board == ledger.board(region), region
    finally:
        await connection.close()
        await fresh.stop()
    assert set(ledger.tables["calls"]) == {asked.receipt["call_id"] for asked in made.callers.asked}
    assert len(ledger.calls_by_key()) == len(ledger.answers) == len(made.callers.asked)
    return ledger


async def test_the_whole_service_is_killed_under_load_and_started_again(service: Service, seed: int) -> None:
    async with scene(service, seed, silent=12) as made:
        load = asyncio.create_task(made.callers.phone(CALLS_PER_S, LOAD_S))
        enough = made.rng.randrange(CALLS_PER_S, 3 * CALLS_PER_S)
        await until(lambda: made.callers.answered > enough, f"{enough} calls are answered")
        given = await given_in_vain(service, {crew.spec.unit_id for crew in made.crews.silent})
        below = service.descendants()
        service.kill()
        await ended(below)
        started_s = await service.start()
        undelivered = await unheard(service)
        assert given & set(undelivered.values()), "what nobody had heard is not known any more"
        # At once: an order is given up in the end, and so is the word that it is over.
        made.crews.wake()
        await load
        await every_answer_holds(made.callers)
        again = "orders that nobody had heard are sent again"
        await until(lambda: all_heard(undelivered, made.crews), again, HEARD_LIMIT_S)
        statuses = [asked.status for asked in made.callers.asked]
        made.crews.finish()
        await until(lambda: made.crews.unanswered == 0, "each status has its receipt")
        ledger = await books_balance(made)
        assert all(watcher.connections >= 2 for watcher in made.watchers)
        print(f"{statuses.count(201)} of {len(statuses)} answered; {len(ledger.tables['assignments'])} assignments;"
              f" {len(undelivered)} orders unheard; ready again after {started_s:.1f} s")  # fmt: skip


async def test_the_database_is_killed_under_load_and_comes_back_by_itself(service: Service, seed: int) -> None:
    async with scene(service, seed) as made:
        load = asyncio.create_task(made.callers.phone(CALLS_PER_S, LOAD_S))
        await asyncio.sleep(made.rng.uniform(0.5, 1.5))
        await held_down(service, "postgres", made.rng.uniform(0.5, 1.5), says_not_ready)
        await load
        await readied(service)
        statuses = [asked.status for asked in made.callers.asked]
        assert set(statuses) <= {201, 503}, "every caller has an answer, though it may be: later"
        kept = [asked for asked in made.callers.asked if asked.status == 201]
        spooled = [asked for asked in kept if asked.spooled]
        await drained(service)
        await every_answer_holds(made.callers)
        made.crews.finish()
        await until(lambda: made.crews.unanswered == 0, "each status has its receipt")
        await books_balance(made)
        print(f"{len(kept)} of {len(statuses)} answered, {len(spooled)} of them from the spool")


async def test_the_broker_is_killed_under_load_and_orders_go_out_when_it_is_back(service: Service, seed: int) -> None:
    async with scene(service, seed) as made:
        load = asyncio.create_task(made.callers.phone(CALLS_PER_S, LOAD_S))
        await asyncio.sleep(made.rng.uniform(0.5, 1.5))
        # Calls need no broker, so the service is ready without one.
        await held_down(service, "broker", made.rng.uniform(0.5, 1.5), says_ready_without_broker)
        heard = made.crews.orders
        await load
        assert {asked.status for asked in made.callers.asked} == {201}
        sent = await issued(service)
        await until(lambda: all_heard(sent, made.crews), "each order has reached its unit", HEARD_LIMIT_S)
        later = sent.keys() - heard
        assert later, "nothing was to be sent while the broker was away"
        await every_answer_holds(made.callers)
        made.crews.finish()
        await until(lambda: made.crews.unanswered == 0, "each status has its receipt")
        await books_balance(made)
        print(f"{len(later)} of {len(sent)} orders went out after the broker was back")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_stop_under_load_it_stops_clean_and_starts_from_snapshots(
    service: Service, seed: int, how: signal.Signals
) -> None:
    async with scene(service, seed) as made:
        load = asyncio.create_task(made.callers.phone(CALLS_PER_S, 2.0))
        await asyncio.sleep(made.rng.uniform(0.5, 1.5))
        below = service.descendants()
        status, stopped_s = await service.stop(how)
        assert (status, living(below)) == (0, {})
        started_s = await service.start()
        await load
        connection = await service.database()
        older = "events e JOIN leaders l USING (region) WHERE e.epoch < l.epoch"
        heads = dict(await connection.fetch(f"SELECT region, max(seq) FROM {older} GROUP BY region"))
        snapshots = dict(await connection.fetch("SELECT region, max(seq) FROM snapshots GROUP BY region"))
        await connection.close()
        assert snapshots == heads, "the next start reads no events"
        await every_answer_holds(made.callers)
        made.crews.finish()
        await books_balance(made)
        print(f"stopped in {stopped_s:.1f} s, ready again after {started_s:.1f} s")


async def held_down(service: Service, server: str, for_s: float, said: Callable[[int, dict[str, Any]], bool]) -> None:
    """Kill a server of the service, and again as often as it comes back: for so long, and until /readyz has said what
    it must say meanwhile. Returns when the server is left alone.
    """
    let_go_s, give_up_s = time.monotonic() + for_s, time.monotonic() + PATIENCE_S
    killed, heard = 0, False
    while time.monotonic() < let_go_s or not heard:
        assert time.monotonic() < give_up_s, f"{server} was killed {killed} times, and /readyz never said so"
        pid = service.server(server)
        if pid is not None:
            kill(pid)
            killed += 1
        await asyncio.sleep(0.05)
        heard = said(*await service.readiness()) or heard
    assert killed, f"no {server} was there to be killed"


def says_not_ready(status: int, _: dict[str, Any]) -> bool:
    """As it must while the database is away."""
    return status == 503


def says_ready_without_broker(status: int, page: dict[str, Any]) -> bool:
    """As it must while the broker is away."""
    return status == 200 and page["servers"]["mqtt"] == "away"


async def drained(service: Service) -> None:
    """Return when no call waits in the spool."""
    give_up_s = time.monotonic() + PATIENCE_S
    while "dispatch112_calls_spooled 0.0" not in await service.metrics():
        assert time.monotonic() < give_up_s, "the spool is never empty"
        await asyncio.sleep(0.1)


async def issued(service: Service) -> dict[str, str | None]:
    """Every order that sends a crew or calls it back: order -> assignment."""
    connection = await service.database()
    found = await connection.fetch("SELECT order_id, assignment_id FROM orders WHERE kind <> 'message'")
    await connection.close()
    return {row["order_id"]: row["assignment_id"] for row in found}


async def unheard(service: Service, units: set[UnitId] | None = None) -> dict[str, str | None]:
    """The orders that live and that no unit (or none of these) is known to have: order -> assignment. By the journal:
    the row of an order that is over keeps the stage that it ended with."""
    connection = await service.database()
    ledger = await read_ledger(connection)
    await connection.close()
    return {
        order.order_id: order.assignment_id
        for state in ledger.states.values()
        for order in state.orders.values()
        if order.stage in UNDELIVERED and is_told_yet(state, order) and (units is None or order.unit_id in units)
    }


async def given_in_vain(service: Service, deaf: set[UnitId]) -> set[str | None]:
    """The assignments of units that do not hear, as soon as there is one."""
    give_up_s = time.monotonic() + PATIENCE_S
    while not (found := await unheard(service, deaf)):
        assert time.monotonic() < give_up_s, "no order went to a unit that does not hear"
        await asyncio.sleep(0.1)
    return set(found.values())


def is_told_yet(state: RegionState, order: Order) -> bool:
    """Whether the order is sent once more, or called back. A word about a place ends with the work on it."""
    awaited = order.sends < MOST_SENDS or order.assignment_id in state.live
    return order.kind is not OrderKind.MESSAGE and awaited


def all_heard(orders: dict[str, str | None], crews: Crews) -> bool:
    """Whether each order has reached its crew, or the word that it is over has."""
    heard, recalled = crews.orders, crews.recalled
    return all(order in heard or work in recalled for order, work in orders.items())
