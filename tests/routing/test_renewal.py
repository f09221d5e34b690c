"""What prepares new weights goes on after a fault: of the machine that gives no thread, or of what it prepared."""

import sys
import threading
from typing import Any

import pytest

from routing import renewal
from routing.cch import Metric
from routing.renewal import Made, Renewal, Wish
from routing.travel import Travel
from tests.routing.oracle import small_roads
from tests.routing.test_travel import RING, SQUARE

PATIENCE_S = 60.0


@pytest.fixture
def wish() -> Wish:
    travel = Travel(small_roads(SQUARE, RING))
    units = travel._units
    return Wish(travel._net, 1, units.state, units.edge, units.offset, units.label.shape[1])


def waited(made: Renewal) -> bool:
    """Whether it comes to its end."""
    waiting = threading.Thread(target=made.wait, daemon=True)
    waiting.start()
    waiting.join(PATIENCE_S)
    return not waiting.is_alive()


def test_without_a_thread_it_says_so_and_the_next_wish_begins_one(wish: Wish, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    made = Renewal()
    with monkeypatch.context() as machine:
        machine.setattr("_thread.start_new_thread", none)
        with pytest.raises(RuntimeError):
            made.ask(wish)
    assert waited(made) and made.taken(1) is None
    made.ask(wish._replace(version=2))
    assert waited(made) and made.taken(2) is not None


def test_a_wish_made_while_another_fails_is_prepared(wish: Wish, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, asked, said = threading.Event(), threading.Event(), threading.Event()
    really = renewal._made

    def failing(wish: Wish, spare: Metric | None) -> Made:
        if wish.version == 1:
            begun.set()
            asked.wait(PATIENCE_S)
            raise MemoryError("no room for the metric")
        return really(wish, spare)

    monkeypatch.setattr(renewal, "_made", failing)
    monkeypatch.setattr(sys, "unraisablehook", lambda _: said.set())
    made = Renewal()
    made.ask(wish)
    assert begun.wait(PATIENCE_S)
    made.ask(wish._replace(version=2))
    asked.set()
    assert waited(made) and made.taken(2) is not None
    assert said.wait(PATIENCE_S), "nobody was told of the fault"
