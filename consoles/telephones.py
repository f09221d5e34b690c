"""The telephone list of the paper kit: DATA_DIR/telephones.csv, which people keep with any spreadsheet.

    region,name,phone,radio,unit_id
    *,Duty officer of the country,+998 00 000-00-01,,
    UZ-TK,City hospital 7,+998 00 000-07-00,,
    UZ-TK,Ambulance A22,+998 00 000-22-00,channel 4,TK-A22

UTF-8, with or without a byte order mark; comma or semicolon. `region` is a code, or * for every region; a row with a
`unit_id` stands beside its unit as well. Whoever has no list has pages that say so.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import msgspec

FILE = "telephones.csv"
COLUMNS = ("region", "name", "phone", "radio", "unit_id")
EVERYWHERE = "*"
FILE_MAX_BYTES = 4 * 1024 * 1024
ROWS_MAX = 20_000
TEXT_MAX = 120


class Telephone(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the list; what is not known is empty."""

    region: str
    name: str
    phone: str = ""
    radio: str = ""
    unit_id: str = ""


class UnreadableList(Exception):
    """The file is there, but it is no list of ours: one sentence."""


def edition_of(data_dir: Path) -> tuple[int, int] | None:
    """Size and time of change of the list's file, which say whether it is still the same; None without one."""
    try:
        found = (data_dir / FILE).stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def read_telephones(data_dir: Path) -> tuple[Telephone, ...] | None:
    """The list as it is now; None when there is none. Raises UnreadableList."""
    path = data_dir / FILE
    try:
        if path.stat().st_size > FILE_MAX_BYTES:
            raise UnreadableList(f"{FILE} is larger than {FILE_MAX_BYTES} bytes")
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as fault:
        raise UnreadableList(f"{FILE} cannot be read: {type(fault).__name__}") from fault
    first = text.partition("\n")[0]
    rows = csv.DictReader(text.splitlines(), delimiter=";" if ";" in first else ",")
    try:
        if rows.fieldnames is None or not {"region", "name", "phone"} <= set(rows.fieldnames):
            raise UnreadableList(f"the first line of {FILE} must name its columns: {','.join(COLUMNS)}")
        return tuple(_telephone(row) for row, _ in zip(rows, range(ROWS_MAX), strict=False))
    except csv.Error as fault:
        # A quotation mark that is never closed makes one cell of all that follows.
        raise UnreadableList(f"{FILE} cannot be read near line {rows.line_num + 1}: {fault}") from fault


def of_region(telephones: Sequence[Telephone], region: str) -> tuple[Telephone, ...]:
    """Those of a region, and those of everywhere, which stand first."""
    found = [each for each in telephones if each.region in (region, EVERYWHERE)]
    return tuple(sorted(found, key=lambda each: (each.region != EVERYWHERE, bool(each.unit_id), each.name)))


def _telephone(row: dict[str, str | None]) -> Telephone:
    return Telephone(**{name: (row.get(name) or "").strip()[:TEXT_MAX] for name in COLUMNS})
