"""An open board is as good as the log-in that it was opened with, and one log-in's fault is no other's."""

from collections.abc import AsyncIterator

import pytest

from consoles.access import digest
from consoles.sittings import SCOPE_CHANGED
from dispatch.web.websocket import SESSION_OVER
from tests.consoles.board_world import TASHKENT, BoardWorld


@pytest.fixture
async def world() -> AsyncIterator[BoardWorld]:
    made = BoardWorld()
    await made.open()
    yield made
    await made.close()


async def test_a_revoked_log_in_ends_its_boards(world: BoardWorld) -> None:
    await world.allow("guest", "supervisor")
    async with world.console("guest") as seen:
        await seen.up_to(world.seqs)
        await world.store.drop_device(digest("guest"))
        assert await seen.closed() == SESSION_OVER


async def test_a_lost_region_ends_the_board_that_shows_it(world: BoardWorld) -> None:
    await world.allow("guest", "dispatcher", regions=("UZ-TK", "UZ-SA"))
    async with world.console("guest") as seen:
        assert (await seen.take())["regions"] == ["UZ-TK", "UZ-SA"]
        await world.allow("guest", "dispatcher", regions=("UZ-SA",))
        assert await seen.closed() == SCOPE_CHANGED
    async with world.console("guest", "regions=UZ-TK,UZ-SA") as again:
        assert (await again.take())["regions"] == ["UZ-SA"]


@pytest.mark.parametrize(("role", "body"), [("body", "mia"), ("supervisor", None)])
async def test_another_role_or_body_ends_the_boards_of_the_old_one(
    world: BoardWorld, role: str, body: str | None
) -> None:
    await world.allow("guest", "dispatcher")
    async with world.console("guest") as seen, world.console() as other:
        await seen.up_to(world.seqs)
        await world.allow("guest", role, body=body)
        assert await seen.closed() == SCOPE_CHANGED
        await other.until("heartbeat")


async def test_a_log_in_that_cannot_be_read_keeps_no_other_open(
    world: BoardWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its role is one of a newer version; another person's account is switched off meanwhile."""
    monkeypatch.setattr("consoles.access.AWAY_S", 0.0)  # Nobody is believed for having been known lately.
    await world.allow("promoted", "dispatcher")
    await world.allow("dismissed", "dispatcher")
    async with world.console("promoted") as promoted, world.console("dismissed") as dismissed:
        await promoted.take()
        await dismissed.take()
        await world.allow("promoted", "shift_lead")
        await world.store.drop_device(digest("dismissed"))
        assert await dismissed.closed() == SESSION_OVER
        await world.call(TASHKENT)
        await promoted.up_to(world.seqs)
    assert b'dispatch112_faults_total{where="sittings"}' in world.metrics.exposition()
