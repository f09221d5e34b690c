"""One batch into Postgres: one statement when all goes well, region by region when one cannot be kept.

The statement is `append_batch` of schema.sql. It knows the journal's rules (epoch, no gap), not its meaning.
"""

import json
import logging
from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg
import msgspec
from msgspec.structs import astuple

from dispatch.keeping.connection import SetBack, Writer, state
from dispatch.store import CommitUnknown, StoreAway, fit, unfit_regions
from dispatch.writing.records import REPEATED, Answer, Appended, Batch, Recorded, Rows

log = logging.getLogger(__name__)

ATTEMPTS_MAX = 3
"""Tries of a batch that Postgres set back for reasons of its own, such as a deadlock."""

_ANSWERED = "KR001"  # schema.sql: a key has its answer already


class Mark(msgspec.Struct):
    """Where a region's events of one batch begin and end."""

    region: str
    epoch: int
    first_seq: int
    last_seq: int
    last_hash: bytes


async def append(writer: Writer, batch: Batch) -> Appended:
    """Commit what can be committed. Raises StoreAway when nothing was, CommitUnknown when nobody can say."""
    refused = unfit_regions(batch)
    rest = batch if not refused else batch.only(batch.regions() - refused.keys())
    try:
        kept = await _whole(writer, rest)
    except (asyncpg.PostgresError, ValueError) as fault:
        kept = await _by_region(writer, rest, fault)
    return Appended(refused={**refused, **kept.refused}, repeated=kept.repeated)


async def _whole(writer: Writer, batch: Batch) -> Appended:
    """One transaction for all regions but those that the database refuses by name.

    Raises what a value or a constraint is to blame for, to be tried region by region.
    """
    refused: dict[str, str] = {}
    repeated: dict[tuple[str, str], Answer] = {}
    while batch.events or batch.answers or batch.personal:
        found: dict[str, str]
        try:
            found = dict(await _sent(writer, batch))
        except asyncpg.PostgresError as fault:
            if state(fault) != _ANSWERED:
                raise
            first = await _first_answers(writer, batch)
            repeated |= first
            found = {answer.region: REPEATED for answer in batch.answers if (answer.actor, answer.key) in first}
            assert found, "two answers to one key in one batch"
        if not found:
            break
        refused |= found
        batch = batch.only(batch.regions() - refused.keys())
    return Appended(refused=refused, repeated=repeated)


async def _sent(writer: Writer, batch: Batch) -> list[Any]:
    """The rows that append_batch answers with; once more where Postgres set us back for its own reasons."""
    values = arguments(batch)
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            return await writer.run("append", *values, unknown=True)
        except SetBack:
            if attempt == ATTEMPTS_MAX:
                raise
    raise AssertionError("the last attempt returns or raises")


async def _by_region(writer: Writer, batch: Batch, fault: Exception) -> Appended:
    """Each region in a transaction of its own, so that one bad region fails nobody else."""
    regions = sorted(batch.regions())
    if len(regions) == 1:
        return await _one(writer, batch, fault)
    refused: dict[str, str] = {}
    repeated: dict[tuple[str, str], Answer] = {}
    for done, region in enumerate(regions):
        part = batch.only({region})
        try:
            kept = await _one(writer, part, None)
        except CommitUnknown:
            raise
        except StoreAway as away:
            if done > len(refused):  # an earlier region is committed, so "nothing was kept" would be a lie
                raise CommitUnknown(str(away)) from away
            raise
        refused |= kept.refused
        repeated |= kept.repeated
    return Appended(refused=refused, repeated=repeated)


async def _one(writer: Writer, batch: Batch, fault: Exception | None) -> Appended:
    """One region; `fault` when it has been tried already. Text that no column takes is cleaned once."""
    (region,) = batch.regions()
    for attempt in (batch, cleaned(batch)):
        if fault is None or (attempt is not batch and _is_unfit(fault)):
            try:
                return await _whole(writer, attempt)
            except (asyncpg.PostgresError, ValueError) as found:
                fault = found
    assert fault is not None, "either it was kept or something was wrong with it"
    log.error("a region's batch is refused", extra={"region": region, "reason": reason(fault)})
    return Appended(refused={region: reason(fault)})


async def _first_answers(writer: Writer, batch: Batch) -> dict[tuple[str, str], Answer]:
    """The answers that stand under our keys already."""
    actors, keys = [answer.actor for answer in batch.answers], [answer.key for answer in batch.answers]
    return {(row["actor"], row["key"]): Answer(**row) for row in await writer.run("recall", actors, keys)}


def arguments(batch: Batch) -> list[Any]:
    """The values of append_batch, rows in column order."""
    marks = list(_marks(batch.events).values())
    rows = batch.rows
    return [
        [mark.region for mark in marks],
        [mark.epoch for mark in marks],
        [mark.first_seq for mark in marks],
        [mark.last_seq for mark in marks],
        [mark.last_hash for mark in marks],
        [(e.region, e.seq, e.at, e.kind, e.payload.decode(), e.actor, e.epoch, e.hash) for e in batch.events],
        _columns(rows.calls),
        _columns(rows.incidents),
        _columns(rows.units),
        _columns(rows.assignments),
        _columns(rows.orders),
        [astuple(answer) for answer in batch.answers],
        [(*astuple(document), None, None) for document in batch.personal],
        [astuple(inputs) for inputs in batch.decisions],
    ]


def _marks(events: Iterable[Recorded]) -> dict[str, Mark]:
    marks: dict[str, Mark] = {}
    for event in events:
        mark = marks.get(event.region)
        if mark is None:
            marks[event.region] = Mark(event.region, event.epoch, event.seq, event.seq, event.hash)
        else:
            mark.last_seq, mark.last_hash = event.seq, event.hash
    return marks


def _columns(rows: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Rows as tuples, `doc` as text; of a row that stands there twice, the last."""
    tuples = {}
    for row in rows:
        *columns, doc = astuple(row)
        tuples[columns[0]] = (*columns, doc.decode())
    return list(tuples.values())


def cleaned(batch: Batch) -> Batch:
    """The same with U+0000 and lone surrogates, which Postgres cannot keep as text, replaced in every row.

    An emergency is never refused for its form. The journal's own bytes and personal documents stay.
    """
    rows = batch.rows
    clean = Rows(
        calls=[_clean(row) for row in rows.calls],
        incidents=[_clean(row) for row in rows.incidents],
        units=[_clean(row) for row in rows.units],
        assignments=[_clean(row) for row in rows.assignments],
        orders=[_clean(row) for row in rows.orders],
    )
    return msgspec.structs.replace(batch, rows=clean, answers=[_clean(answer) for answer in batch.answers])


def _clean(record: Any) -> Any:
    values = {name: _text(getattr(record, name)) for name in record.__struct_fields__}
    if "doc" in values:
        try:
            values["doc"] = json.dumps(_deep(json.loads(record.doc)), ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            log.error("a document is no JSON", extra={"row": type(record).__name__})
    return type(record)(**values)


def _deep(value: Any) -> Any:
    if isinstance(value, dict):
        return {_text(key): _deep(inner) for key, inner in value.items()}
    return [_deep(inner) for inner in value] if isinstance(value, list) else _text(value)


def _text(value: Any) -> Any:
    return fit(value) if isinstance(value, str) else value


def _is_unfit(fault: Exception) -> bool:
    return isinstance(fault, ValueError) or state(fault)[:2] == "22"


def reason(fault: Exception) -> str:
    """Why a region was refused, without any value: it may be a caller's words."""
    constraint = getattr(fault, "constraint_name", None)
    if constraint:
        return f"conflict: {constraint}"
    return f"unfit: {type(fault).__name__} {state(fault)}".rstrip()
