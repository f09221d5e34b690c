"""Journals as an export writes them, made by the service's own chain, for whoever tampers with them."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dispatch.verify_log import Finding
from dispatch.writing.journal import GENESIS, chain, commitment, moment

BEGAN = datetime(2026, 11, 23, 14, 32, 7, 250, tzinfo=UTC)
SALT = b"0123456789abcdef"
Row = dict[str, Any]


def words(number: int) -> bytes:
    return f'{{"number":"+99890{number:07}"}}'.encode()


def journal(region: str, count: int, salt: bytes = SALT) -> list[Row]:
    """So many events of one region; each third commits to a personal document, the leader changes twice."""
    rows, digest = [], GENESIS
    for seq in range(1, count + 1):
        payload: Row = {"kind": "call_moved", "call_id": f"c-{region}-{seq}", "word": "yongʻin «дым»"}
        if seq % 3 == 0:
            call = {"call_id": f"c-{region}-{seq}", "commitment": commitment(salt, words(seq))}
            payload = {"kind": "call_received", "call": call}
        text = json.dumps(payload, ensure_ascii=False)
        at, epoch = BEGAN + timedelta(seconds=seq), 1 + 3 * seq // count
        digest = chain(
            digest, region, seq, at, kind=payload["kind"], payload=text.encode(), actor="user:lola", epoch=epoch
        )
        rows.append({"region": region, "seq": seq, "at": moment(at), "kind": payload["kind"], "payload": text,
                     "actor": "user:lola", "epoch": epoch, "hash": digest.hex()})  # fmt: skip
    return rows


def personal(region: str, count: int, salt: bytes = SALT) -> list[Row]:
    """The documents that the journal commits to, as the table is dumped."""
    return [
        {"id": f"c-{region}-{seq}", "region": region, "kind": "call", "salt": "\\x" + salt.hex(),
         "document": "\\x" + words(seq).hex(), "erased_at": None, "erased_by": None}
        for seq in range(3, count + 1, 3)
    ]  # fmt: skip


def rechained(rows: list[Row], since: int = 0) -> list[Row]:
    """What somebody who knows the recipe makes of altered rows: every hash from a place on fits again."""
    digest = bytes.fromhex(rows[since - 1]["hash"]) if since else GENESIS
    for row in rows[since:]:
        at = datetime.fromisoformat(row["at"])
        digest = chain(
            digest, row["region"], row["seq"], at,
            kind=row["kind"], payload=row["payload"].encode(), actor=row["actor"], epoch=row["epoch"],
        )  # fmt: skip
        row["hash"] = digest.hex()
    return rows


def lines(rows: list[Row]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for row in rows)


def export(directory: Path, regions: dict[str, list[Row]], documents: list[Row] | None = None) -> Path:
    """A whole export directory with its manifest."""
    contents = {f"journal/{region}.jsonl": lines(rows) for region, rows in regions.items()}
    if documents is not None:
        contents["tables/personal.jsonl"] = lines(documents)
    for name, content in contents.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    manifest = {
        "format": "dispatch112 journal 1",
        "heads": {region: {"seq": len(rows), "hash": rows[-1]["hash"]} for region, rows in regions.items()},
        "files": {name: {"sha256": hashlib.sha256(content).hexdigest()} for name, content in contents.items()},
    }
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


def said_of(findings: list[Finding], region: str = "UZ-TK") -> dict[int, str]:
    """Number -> everything that was said of it."""
    found: dict[int, str] = {}
    for finding in findings:
        assert finding.region in (region, ""), f"nothing is wrong with {finding.region}: {finding}"
        found[finding.seq] = "; ".join(filter(None, (found.get(finding.seq), finding.what)))
    return found
