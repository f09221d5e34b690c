"""Lists over read models, on the twin and on Postgres: order, filters, pages without loss or repetition."""

import pytest

from dispatch.store import PAGE_LIMIT, BadCursor, Store, cursor_after, cursor_place, page
from dispatch.writing.records import Rows, UnitRow
from tests.servers.store_cases import NOW, assignment, call, leader, order, with_rows


def unit(unit_id: str, region: str = "UZ-TK", *, body: str = "moh", status: str = "available") -> UnitRow:
    return UnitRow(unit_id=unit_id, region=region, body=body, status=status, call_sign="A", kind="car")


async def test_calls_are_listed_newest_first(store: Store) -> None:
    scribe = await leader(store)
    await store.append(with_rows(scribe, Rows(calls=[call(f"c-{n}", minute=n % 3) for n in range(6)])))
    rows, cursor = await store.rows("calls", {}, None, 10)
    assert [row["call_id"] for row in rows] == ["c-5", "c-2", "c-4", "c-1", "c-3", "c-0"]
    assert cursor is None


async def test_pages_join_to_the_whole_list(store: Store) -> None:
    scribe = await leader(store)
    await store.append(with_rows(scribe, Rows(calls=[call(f"c-{n}", minute=n // 2) for n in range(7)])))
    pages, cursor = [], None
    for _ in range(4):
        rows, cursor = await store.rows("calls", {"region": "UZ-TK"}, cursor, 2)
        pages.append([row["call_id"] for row in rows])
    assert pages == [["c-6", "c-5"], ["c-4", "c-3"], ["c-2", "c-1"], ["c-0"]]
    assert cursor is None


async def test_a_full_last_page_has_no_next(store: Store) -> None:
    scribe = await leader(store)
    await store.append(with_rows(scribe, Rows(calls=[call("c-1"), call("c-2")])))
    assert (await store.rows("calls", {}, None, 2))[1] is None


async def test_lists_are_narrowed_by_one_value_or_by_several(store: Store) -> None:
    one, two = await leader(store, "UZ-TK"), await leader(store, "UZ-TO")
    units = [unit("u-1"), unit("u-2", body="mia"), unit("u-3", status="returning")]
    await store.append(with_rows(one, Rows(units=units)))
    await store.append(with_rows(two, Rows(units=[unit("u-4", "UZ-TO", body="mia")])))

    async def found(**filters: str | list[str]) -> list[str]:
        return [row["unit_id"] for row in (await store.rows("units", filters, None, 10))[0]]

    assert await found() == ["u-1", "u-2", "u-3", "u-4"]
    assert await found(region="UZ-TK", body="mia") == ["u-2"]
    assert await found(status=["available", "returning"], region=["UZ-TK"]) == ["u-1", "u-2", "u-3"]
    assert await found(region=[]) == []


async def test_units_page_by_their_name(store: Store) -> None:
    scribe = await leader(store)
    await store.append(with_rows(scribe, Rows(units=[unit(f"u-{n}") for n in range(5)])))
    first, cursor = await store.rows("units", {}, None, 3)
    rest, end = await store.rows("units", {}, cursor, 3)
    assert [row["unit_id"] for row in first + rest] == [f"u-{n}" for n in range(5)]
    assert end is None


async def test_assignments_and_orders_are_found_by_their_unit(store: Store) -> None:
    scribe = await leader(store)
    rows = Rows(
        assignments=[assignment("as-1", "TK-A22"), assignment("as-2", "TK-B1")],
        orders=[order("o-1"), order("o-2", "seen")],
    )
    await store.append(with_rows(scribe, rows))
    assigned, _ = await store.rows("assignments", {"unit_id": "TK-B1", "incident_id": "TK-1"}, None, 10)
    assert [row["assignment_id"] for row in assigned] == ["as-2"]
    orders, _ = await store.rows("orders", {"status": "seen", "unit_id": "TK-A22"}, None, 10)
    assert [row["order_id"] for row in orders] == ["o-2"]


@pytest.mark.parametrize("table", ["calls", "incidents", "units", "assignments", "orders"])
async def test_every_read_model_can_be_listed_and_looked_up(store: Store, table: str) -> None:
    assert await store.rows(table, {"region": "UZ-TK", "status": "closed"}, None, 10) == ([], None)
    assert await store.row(table, "nothing") is None


@pytest.mark.parametrize("cursor", ["x", "é", "AAAA", "WzEsMl0", cursor_after("a\0b", NOW)])
async def test_a_cursor_that_no_list_gave_is_the_users_mistake(store: Store, cursor: str) -> None:
    with pytest.raises(BadCursor):
        await store.rows("calls", {}, cursor, 10)


async def test_what_no_text_can_hold_finds_nothing(store: Store) -> None:
    assert await store.row("calls", "c\0") is None
    assert await store.rows("calls", {"region": "\ud800"}, None, 10) == ([], None)
    assert await store.get_operator("lo\0la") is None


def test_a_cursor_names_its_place() -> None:
    assert cursor_place(cursor_after("c-1", NOW)) == ("c-1", NOW)
    assert cursor_place(cursor_after("u-1", None)) == ("u-1", None)


def test_a_page_is_never_empty_and_never_without_end() -> None:
    assert (page(-5), page(50), page(10**9)) == (1, 50, PAGE_LIMIT)
