"""Reads the named queries that lie beside this file. It knows nothing of what they do.

A query begins with `-- name: claim` and ends before the next such line; the comments between stay in it, so
that a slow query found in the server's log explains itself.
"""

from pathlib import Path

_MARK = "-- name: "


def queries(file: str) -> dict[str, str]:
    """All queries of `dispatch/sql/{file}.sql` by name."""
    found: dict[str, str] = {}
    for part in (Path(__file__).parent / f"{file}.sql").read_text("utf-8").split(_MARK)[1:]:
        name, _, text = part.partition("\n")
        assert name.strip() not in found, f"two queries are named {name} in {file}.sql"
        found[name.strip()] = text.strip().rstrip(";")
    return found
