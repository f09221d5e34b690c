"""Verifies a journal that `dispatch112 export` wrote. One file, standard library only: copy it anywhere and run

    python verify_log.py DIR|FILE [--region UZ-TK] [--heads DIR] [--public-key HEX]

It trusts nothing of the service. Each event must carry the hash of the one before it, so whatever was altered,
removed, inserted or moved shows, and is named by region and number. Each region has a head that says where it ends: a
missing end shows, and so does a region without one. Signed heads show a journal that was written anew from some
event on, or whose end is missing together with its head. Personal documents that are still there must fit the
commitments in the events; erased ones leave the journal whole. The recipe of the bytes:

    field(x)        = length of x in bytes, as 4 bytes, big-endian  ||  x (UTF-8 text, or a number's decimal digits)
    hash of event n = SHA-256( hash of event n-1 || field(region) || field(seq) || field(at) || field(kind)
                               || field(payload) || field(actor) || field(epoch) );  before the first: 32 zero bytes
    commitment      = HMAC-SHA-256(key = salt, message = document)
    signed head     = Ed25519 over "dispatch112 head 1" || field(each of number, region, seq, hash, at, previous, key)

Exit status: 0 whole, 1 something is wrong (each thing is a line), 2 there is nothing here that can be verified.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import hmac
import json
import re
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

GENESIS = bytes(32)
LINE_MAX_BYTES = 16 * 1024 * 1024
GAPS_MAX = 1_000
SAID_MAX = 200
"""So many findings are printed; the rest is counted."""

_FIELDS = {"region", "seq", "at", "kind", "payload", "actor", "epoch", "hash"}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_HASH = re.compile(r"[0-9a-f]{64}")
_HEXADECIMAL = re.compile(r"([0-9a-f]{2})+")
_LOST = b""
_NAMES = ("note_id", "call_id")


class Unverifiable(Exception):
    """There is nothing here that could be verified: one line for the person who asked."""


class Finding(NamedTuple):
    """What is wrong. `seq` 0: it concerns no single event."""

    region: str
    seq: int
    what: str

    def __str__(self) -> str:
        return f"{self.region or '-'} {f'event {self.seq}' if self.seq else '-'}: {self.what}"


Say = Callable[[Finding], None]
Anchors = dict[str, dict[int, tuple[bytes, str]]]
"""Region -> number of an event -> the hash that was signed for it, and when."""


class Event(NamedTuple):
    """One row of the journal; `at` as the chain writes it, `digest` the hash that stands in the row."""

    region: str
    seq: int
    at: str
    kind: str
    payload: bytes
    actor: str
    epoch: int
    digest: bytes


def chained(previous: bytes, event: Event) -> bytes:
    """The hash that an event must carry after an event with the hash `previous`."""
    parts = [previous]
    texts = (event.region.encode(), b"%d" % event.seq, event.at.encode(), event.kind.encode())
    for field in (*texts, event.payload, event.actor.encode(), b"%d" % event.epoch):
        parts += (len(field).to_bytes(4, "big"), field)
    return hashlib.sha256(b"".join(parts)).digest()


def event_of(line: bytes) -> Event:
    """The event of a line. Raises ValueError, with a sentence, when it is none."""
    row = json.loads(line)
    if not isinstance(row, dict) or row.keys() != _FIELDS:
        raise ValueError("it has not exactly the fields of an event")
    texts, numbers = (row["region"], row["kind"], row["payload"], row["actor"]), (row["seq"], row["epoch"])
    if not all(type(text) is str for text in texts) or not all(type(number) is int for number in numbers):
        raise ValueError("a field has another type")
    if not _MOMENT.fullmatch(str(row["at"])) or not _HASH.fullmatch(str(row["hash"])):
        raise ValueError("its time or its hash is none")
    region, kind, payload, actor = texts
    (region + kind + actor).encode()
    return Event(region, row["seq"], row["at"], kind, payload.encode(), actor, row["epoch"], bytes.fromhex(row["hash"]))


class Gap(NamedTuple):
    """Numbers that did not come in their turn: after the hash `before`, before the event `after`."""

    first: int
    last: int
    before: bytes
    after: Event | None


class RegionCheck:
    """One region's events in the order in which they stand; `end` when there are no more.

    A row whose hash does not fit is judged by the next one, which says which of the two, content or hash, it was
    chained over. A row behind one that is wholly lost cannot be judged, and is said to be that.
    """

    def __init__(self, region: str, say: Say) -> None:
        self.region = region
        self.count = self.seq = self.epoch = 0
        self.hash = GENESIS
        self.anchors: dict[int, tuple[bytes, str]] = {}
        """Signed heads: number -> hash and when it was signed."""
        self._before = GENESIS
        self._last: Event | None = None
        self._doubt: bytes | None = None
        """None: the last row fits. Else the hash that it should carry, or _LOST: nobody can tell."""
        self._rival: Event | None = None
        self._gaps: list[Gap] = []
        self._agreed = 0
        self._rewritten = False
        self._findings = say

    def _say(self, seq: int, what: str) -> None:
        self._findings(Finding(self.region, seq, what))

    def add(self, event: Event) -> None:
        self.count += 1
        if event.region != self.region:
            stranger, event = event.region, event._replace(region=self.region)
            if chained(self.hash, event) != event.digest:
                return self._say(event.seq, f"a row of {stranger!r} stands among this region's")
            self._say(event.seq, f"its region was altered to {stranger!r}")
        in_turn = event.seq == self.seq + 1
        if in_turn and not self._gaps:
            return self._next(event)
        turn = [] if in_turn else [(self.seq + 1, self.hash)]
        for number, before in [*turn, *((gap.first, gap.before) for gap in self._gaps)]:
            meant = event._replace(seq=number)
            if number != event.seq and chained(before, meant) == event.digest:
                self._say(number, f"its number was altered to {event.seq}")
                return self._next(meant) if number == self.seq + 1 else self._late(meant)
        if in_turn:
            return self._next(event)
        if event.seq > self.seq:
            return self._skip(event)
        if self._gap_of(event.seq) is None:
            return self._second(event)
        self._say(event.seq, f"it stands out of order, behind event {self.seq}")
        return self._late(event)

    def unreadable(self, place: str, why: str) -> None:
        self._say(self.seq + 1, f"{place} is no event: {why}")

    def end(self, head: tuple[int, bytes] | None = None) -> None:
        """No more events come; `head` is where the journal is said to end."""
        known = head[1] if head is not None and head[0] == self.seq else None
        self._settle(known)
        for gap in self._gaps:
            many = f"events {gap.first} to {gap.last} are" if gap.last > gap.first else "the event is"
            self._say(gap.first, f"{many} missing")
        if head is not None and head[0] > self.seq:
            self._say(self.seq + 1, f"the end is missing: the head says that event {head[0]} is the last")
        elif head is not None and head[0] < self.seq:
            self._say(head[0] + 1, f"stands behind the head, which says that event {head[0]} is the last")
        elif known is not None and known != self.hash and self.seq:
            self._say(self.seq, "the head has another hash than the last event")
        beyond = {seq: at for seq, (_, at) in self.anchors.items() if seq > self.seq}
        if beyond:
            last = max(beyond)
            self._say(self.seq + 1, f"the end is missing: at {beyond[last]} a head of event {last} was signed")

    def _next(self, event: Event) -> None:
        should = chained(self.hash, event)
        fits = should == event.digest
        rival, last = self._rival, self._last
        if rival is not None:
            self._rival = None
            if not fits and chained(rival.digest, event) == event.digest:
                self._say(rival.seq, "a forged row stands before it, with the same number")
                fits, self._doubt, self.hash = True, None, rival.digest
            else:
                self._say(rival.seq, "a second row with this number was inserted")
        if self._doubt is not None and last is not None:
            fits = self._judge(last, event, fits) or fits
            if self._doubt is None and self._last is not last:  # The two had changed places.
                return
        elif not fits:
            self._doubt = should
        if fits:
            if event.epoch < self.epoch:
                self._say(event.seq, f"its epoch {event.epoch} is older than {self.epoch} before it: a fenced writer")
            self.epoch = max(self.epoch, event.epoch)
        self._take(event)

    def _judge(self, last: Event, event: Event, fits: bool) -> bool:
        """Say what is wrong with the last row, now that the next one is known; whether that one fits after all."""
        doubt, self._doubt = self._doubt, None
        if fits:
            if doubt != _LOST:
                self._say(last.seq, "its content was altered (the next event confirms its hash)")
            return True
        if doubt and chained(doubt, event) == event.digest:
            self._say(last.seq, "its hash was altered (the next event confirms its content)")
            return True
        first, second = event._replace(seq=last.seq), last._replace(seq=event.seq)
        if chained(self._before, first) == first.digest and chained(first.digest, second) == second.digest:
            self._say(last.seq, f"it and event {event.seq} have changed places")
            self.hash = first.digest
            self._take(second)
            return True
        if doubt != _LOST:
            self._say(last.seq, "it was altered, content and hash")
            self._say(event.seq, "cannot be judged: the hash before it is lost")
        else:
            self._say(last.seq, "it was altered, or the event behind it")
        self._doubt = _LOST
        return False

    def _take(self, event: Event) -> None:
        self._before, self.hash, self.seq, self._last = self.hash, event.digest, event.seq, event
        if event.seq in self.anchors:
            signed, at = self.anchors[event.seq]
            if signed == event.digest:
                self._agreed = event.seq
            elif not self._rewritten:
                self._rewritten = True
                self._say(event.seq, f"is not what was signed at {at}: rewritten somewhere after event {self._agreed}")

    def _skip(self, event: Event) -> None:
        self._settle(None)
        if len(self._gaps) < GAPS_MAX:
            self._gaps.append(Gap(self.seq + 1, event.seq - 1, self.hash, event))
        else:
            self._say(self.seq + 1, f"events {self.seq + 1} to {event.seq - 1} are missing or out of order")
        self._doubt = _LOST
        self._take(event)

    def _gap_of(self, seq: int) -> int | None:
        return next((place for place, gap in enumerate(self._gaps) if gap.first <= seq <= gap.last), None)

    def _late(self, event: Event) -> None:
        """A missing event after all, though not in its place: the gap falls into the parts before and behind it."""
        place = self._gap_of(event.seq)
        assert place is not None, "a late event has its gap"
        gap = self._gaps.pop(place)
        parts = (
            Gap(gap.first, event.seq - 1, gap.before, event),
            Gap(event.seq + 1, gap.last, event.digest, gap.after),
        )
        for part in parts:
            if part.first <= part.last:
                self._gaps.insert(place, part)
            elif part.after is not None and chained(part.before, part.after) != part.after.digest:
                self._say(part.after.seq, "it was altered, or the event before it")

    def _second(self, event: Event) -> None:
        if event == self._last:
            self._say(event.seq, "the row stands twice")
        elif event.seq == self.seq and self._rival is None and chained(self._before, event) == event.digest:
            self._rival = event  # The next event tells which of the two is genuine.
        else:
            self._say(event.seq, "a second row with this number was inserted")

    def _settle(self, known: bytes | None) -> None:
        """Say what is wrong with the last row without an event behind it; `known` is the hash that the head has."""
        rival, last, doubt = self._rival, self._last, self._doubt
        self._rival = self._doubt = None
        if rival is not None:
            self._say(rival.seq, "two different rows have this number")
            if known == rival.digest:
                self.hash, doubt = known, None
        if last is not None and doubt:
            wrong = {last.digest: "its content was", doubt: "its hash was"}.get(
                known or _LOST, "its content or hash was"
            )
            self._say(last.seq, f"{wrong} altered")
            if known == doubt:
                self.hash = doubt


class Commitments:
    """What the events say of personal documents, and whether the documents that are still there fit."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._kept: dict[str, tuple[str, ...]] = {}
        self.fitting = self.erased = 0

    def gather(self, event: Event) -> None:
        if b'"commitment"' in event.payload or b'"sealed"' in event.payload:
            self._look(json.loads(event.payload))

    def _look(self, value: Any) -> None:
        if isinstance(value, dict):
            name = next((value[key] for key in _NAMES if key in value), None)
            if isinstance(name, str) and isinstance(value.get("commitment"), str):
                self._note(name, value["commitment"])
            sealed = value.get("sealed")
            for note, commitment in sealed.items() if isinstance(sealed, dict) else ():
                self._note(note, commitment)
            for inner in value.values():
                self._look(inner)

    def _note(self, name: str, commitment: Any) -> None:
        """A note that came with two calls at once may be committed to under two salts, of which one was kept."""
        known = self._kept.get(name, ())
        if isinstance(commitment, str) and commitment not in known:
            self._kept[name] = (*known, commitment)

    def check(self, row: dict[str, Any]) -> None:
        """A row of `personal`: id, region, salt and document as hexadecimal digits behind `\\x`, or null."""
        if row["document"] is None:
            self.erased += 1
            return
        salt, document = (bytes.fromhex(row[name].removeprefix("\\x")) for name in ("salt", "document"))
        committed = self._kept.get(row["id"])
        if committed is None:
            self._say(Finding(row["region"], 0, f"the personal document {row['id']} belongs to no event"))
        elif hmac.digest(salt, document, "sha256").hex() not in committed:
            self._say(Finding(row["region"], 0, f"the personal document {row['id']} is not what its event commits to"))
        else:
            self.fitting += 1


class Verification:
    """All regions together. `anchors`: region -> number -> signed hash and its time; `only`: one region or all."""

    def __init__(self, say: Say, anchors: Anchors, only: str | None = None) -> None:
        self.regions: dict[str, RegionCheck] = {}
        self.commitments: Commitments | None = None
        self.only = only
        self.say = say
        self._anchors = anchors

    @property
    def events(self) -> int:
        return sum(check.count for check in self.regions.values())

    def region(self, name: str) -> RegionCheck:
        if name not in self.regions:
            self.regions[name] = RegionCheck(name, self.say)
            self.regions[name].anchors = self._anchors.get(name, {})
        return self.regions[name]

    def add(self, event: Event, region: str | None = None) -> None:
        """An event that stands in the place of `region`; by default its own."""
        self.region(region or event.region).add(event)
        if self.commitments is not None:
            self.commitments.gather(event)

    def end(self, heads: dict[str, tuple[int, bytes]] | None) -> None:
        """No more events; `heads` says where the journal of each region ends, None: nobody knows."""
        known = heads or {}
        for name in sorted({*known, *self._anchors} if self.only is None else {self.only}):
            self.region(name)
        for name, check in sorted(self.regions.items()):
            check.end(known.get(name))
            if heads is not None and name not in heads and check.count:
                self.say(Finding(name, 0, "has events and no head: nothing says where they end"))


def verify_file(path: Path, verification: Verification, region: str | None = None) -> None:
    """The events of one file of lines, plain or gzip; `region` says whose file it is."""
    here = region or verification.only
    with opened(path) as file:
        for number, line in enumerate(_lines(file), 1):
            try:
                event = event_of(line)
            except (ValueError, RecursionError) as fault:
                verification.region(here or "?").unreadable(f"line {number} of {path.name}", str(fault)[:120])
                continue
            if verification.only is None or region is not None or event.region == verification.only:
                verification.add(event, region)


def verify_directory(directory: Path, verification: Verification, say: Say) -> None:
    """A whole export: its files as its manifest names them, then what they say."""
    files, heads = _manifest(directory)
    personal = next((name for name in files if name.startswith("tables/personal.")), None)
    verification.commitments = Commitments(say) if personal is not None else None
    for name, checksum in sorted(files.items()):
        region = name.removeprefix("journal/").partition(".")[0] if name.startswith("journal/") else None
        if verification.only is not None and region not in (None, verification.only):
            continue
        if not (directory / name).is_file():
            say(Finding(region or "", 0, f"{name} is missing"))
            continue
        with (directory / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != checksum:
                say(Finding(region or "", 0, f"{name} is not the file that was written: its checksum differs"))
        if region is not None:
            verify_file(directory / name, verification, region)
    if verification.only is not None:
        heads = {region: head for region, head in heads.items() if region == verification.only}
    verification.end(heads)
    if personal is not None and (directory / personal).is_file() and verification.only is None:
        _check_personal(directory / personal, verification.commitments, say)


def _check_personal(path: Path, commitments: Commitments | None, say: Say) -> None:
    with opened(path) as file:
        for number, line in enumerate(_lines(file), 1):
            try:
                assert commitments is not None, "asked for above"
                commitments.check(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError):
                say(Finding("", 0, f"line {number} of {path.name} is no personal document"))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file's bytes, unpacked where it is gzip."""
    with path.open("rb") as raw:
        if path.suffix != ".gz":
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as unpacked:
            yield cast(BinaryIO, unpacked)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines of bounded length; a damaged gzip file ends in a line that is none."""
    try:
        while line := file.readline(LINE_MAX_BYTES):
            yield line
    except (OSError, EOFError, zlib.error):
        yield b"damaged"


def _manifest(directory: Path) -> tuple[dict[str, str], dict[str, tuple[int, bytes]]]:
    """The checksum of each file, and where each journal ends."""
    try:
        manifest = json.loads((directory / "manifest.json").read_bytes())
        if manifest["format"] != "dispatch112 journal 1":
            raise KeyError
        files = {name: str(facts["sha256"]) for name, facts in manifest["files"].items()}
        heads = {name: (int(head["seq"]), bytes.fromhex(head["hash"])) for name, head in manifest["heads"].items()}
        return files, heads
    except FileNotFoundError:
        raise Unverifiable(f"{directory} has no manifest.json: it is no export, or not a whole one") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Unverifiable(f"{directory / 'manifest.json'} cannot be read as a manifest of ours") from None


# Signed heads: Ed25519 of RFC 8032, on plain integers.

_P, _Q = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)
Point = tuple[int, int, int, int]


def added(p: Point, q: Point) -> Point:
    """The sum of two points in extended coordinates."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def multiplied(factor: int, point: Point) -> Point:
    found: Point = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            found = added(found, point)
        point, factor = added(point, point), factor >> 1
    return found


def compressed(point: Point) -> bytes:
    inverse = pow(point[2], _P - 2, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decompressed(data: bytes) -> Point | None:
    """The point that 32 bytes name, None when they name none."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    if len(data) != 32 or y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    x = _P - x if x & 1 != sign else x
    return x, y, 1, x * y % _P


BASE = decompressed((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little"))
ORDER = _Q


def signature_fits(public: bytes, message: bytes, signature: bytes) -> bool:
    key = decompressed(public)
    nonce = decompressed(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or nonce is None or BASE is None or len(signature) != 64 or scalar >= ORDER:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    return compressed(multiplied(scalar, BASE)) == compressed(added(nonce, multiplied(challenge, key)))


class SignedHead(NamedTuple):
    """One line of the series. Kind `head`: where a region's journal ends. Kind `key`: `hash` is the next key."""

    kind: str
    number: int
    region: str
    seq: int
    hash: str
    at: str
    previous: str
    key: str
    signature: str = ""

    @property
    def message(self) -> bytes:
        """What is signed."""
        fields = (str(value).encode() for value in self[:-1])
        return b"dispatch112 head 1" + b"".join(len(f).to_bytes(4, "big") + f for f in fields)

    @property
    def digest(self) -> str:
        """What the next line names as its `previous`."""
        return hashlib.sha256(self.message + bytes.fromhex(self.signature)).hexdigest()

    @property
    def holds(self) -> bool:
        return signature_fits(bytes.fromhex(self.key), self.message, bytes.fromhex(self.signature))


def read_heads(directory: Path, say: Say, public_key: str | None = None) -> Anchors:
    """The anchors of a series of signed heads, after the series itself was verified.

    Each line names the one before, so one signature vouches for all lines before it: only the last of each key is
    calculated, and those around a break. A cut-off end of the series cannot be seen: keep copies elsewhere.
    """
    anchors: Anchors = {}
    last: SignedHead | None = None
    keys = set()
    for line in _series(directory, say):
        if last is not None and not _follows(line, last):
            faulty = [each.number for each in (last, line) if not each.holds]
            which = f"line {faulty[0]} was altered" if faulty else "a line was removed, inserted or moved"
            say(Finding("", 0, f"signed head {line.number} does not follow {last.number}: {which}"))
        elif last is not None and line.key != last.key and not last.holds:
            say(Finding("", 0, f"signed head {last.number}: the signature does not fit"))
        keys.add(line.key)
        last = line
        if line.kind == "head":
            _anchor(anchors, line, say)
    if last is not None and not last.holds:
        say(Finding("", 0, f"signed head {last.number}: the signature does not fit"))
    if public_key is not None and public_key not in keys:
        say(Finding("", 0, "no head was signed with the key that was given"))
    return anchors


def read_seen(path: Path, say: Say, public_key: str | None = None) -> Anchors:
    """The anchors of answers of GET /api/v1/heads that somebody kept, one a line: each signature is calculated."""
    anchors: Anchors = {}
    seen = set()
    with path.open("rb") as file:
        for number, text in enumerate(_lines(file), 1):
            try:
                lines = [_head_of(head) for head in json.loads(text)["heads"]]
            except (ValueError, TypeError, KeyError):
                say(Finding("", 0, f"line {number} of {path.name} is no answer with signed heads"))
                continue
            for line in lines:
                if line in seen:
                    continue
                seen.add(line)
                if not line.holds or line.key != (public_key or line.key):
                    say(Finding("", 0, f"signed head {line.number}: the signature does not fit"))
                else:
                    _anchor(anchors, line, say)
    return anchors


def _anchor(anchors: Anchors, line: SignedHead, say: Say) -> None:
    """Hold the journal to a signed head. The first of a number stands: a later one may vouch for what was altered."""
    digest, at = anchors.setdefault(line.region, {}).setdefault(line.seq, (bytes.fromhex(line.hash), line.at))
    if digest.hex() != line.hash:
        say(Finding(line.region, line.seq, f"at {line.at} another hash was signed than at {at}: rewritten in between"))


def _head_of(fields: dict[str, Any]) -> SignedHead:
    """Raises ValueError or TypeError when it is no signed head as we write them."""
    line = SignedHead(**fields)
    # Numbers are signed as their digits: "7" in quotation marks would hold, and then be compared with no event.
    if not all(type(value) is (int if name in ("number", "seq") else str) for name, value in line._asdict().items()):
        raise ValueError("a field has another type")
    if not _HEXADECIMAL.fullmatch(line.hash + line.previous + line.key + line.signature):
        raise ValueError("one of its fields is no hexadecimal number as we write them")
    return line


def _follows(line: SignedHead, last: SignedHead) -> bool:
    key = last.hash if last.kind == "key" else last.key
    return (line.number, line.previous, line.key) == (last.number + 1, last.digest, key)


def _series(directory: Path, say: Say) -> Iterator[SignedHead]:
    paths = sorted(directory.glob("heads-*.jsonl"))
    if not paths:
        raise Unverifiable(f"{directory} holds no signed heads (heads-*.jsonl)")
    for path in paths:
        with path.open("rb") as file:
            for number, text in enumerate(_lines(file), 1):
                try:
                    yield _head_of(json.loads(text))
                except (ValueError, TypeError):
                    say(Finding("", 0, f"line {number} of {path.name} is no signed head"))


def anchors_of(path: Path, say: Say, public_key: str | None = None) -> Anchors:
    """The anchors of a folder with a series, or of a file with answers that somebody kept."""
    if not path.exists():
        raise Unverifiable(f"there is no {path}")
    return (read_heads if path.is_dir() else read_seen)(path, say, public_key)


class Report:
    """Gathers findings and prints them, so many; the last line sums up."""

    def __init__(self) -> None:
        self.found = 0
        self._began_s = time.monotonic()

    def __call__(self, finding: Finding) -> None:
        self.found += 1
        if self.found <= SAID_MAX:
            print(finding)

    def close(self, verification: Verification, notes: Iterable[str] = ()) -> int:
        """Print the sum and return the exit status."""
        took_s = max(time.monotonic() - self._began_s, 0.001)
        if self.found > SAID_MAX:
            print(f"… and {self.found - SAID_MAX} more")
        if verification.commitments is not None:
            kept = verification.commitments
            print(f"personal documents: {kept.fitting} fit their commitments, {kept.erased} are erased")
        for note in notes:
            print(note)
        count, verdict = verification.events, "WHOLE" if not self.found else f"{self.found} FAULTS"
        regions = len(verification.regions)
        print(f"{verdict}: {count} events of {regions} regions in {took_s:.1f} s ({count / took_s:.0f} a second)")
        return 1 if self.found else 0


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, nargs="?", metavar="DIR|FILE", help="an export, or one file of its events")
    parser.add_argument("--region", metavar="UZ-TK", help="only this region")
    parser.add_argument("--heads", type=Path, metavar="PATH", help="signed heads that were kept elsewhere: DIR or FILE")
    parser.add_argument("--public-key", metavar="HEX", help="the key that must have signed some of them")


def verify_path(args: argparse.Namespace) -> int:
    """Verify what the arguments name. Raises Unverifiable."""
    report, path = Report(), args.path
    if not path.exists():
        raise Unverifiable(f"there is no {path}")
    beside = path / "heads" if path.is_dir() else None
    heads = args.heads or (beside if beside is not None and beside.is_dir() else None)
    anchors = anchors_of(heads, report, args.public_key) if heads is not None else {}
    verification = Verification(report, anchors, args.region)
    notes = [] if heads is not None else ["no signed heads: a journal written anew from the start would not show"]
    if path.is_dir():
        verify_directory(path, verification, report)
    else:
        verify_file(path, verification)
        verification.end(None)
        notes.append("a single file: events missing at its end show only by signed heads")
    return report.close(verification, notes)


def main() -> int:
    parser = argparse.ArgumentParser(description="Verify a journal that dispatch112 exported.")
    add_file_arguments(parser)
    args = parser.parse_args()
    if args.path is None:
        parser.error("name an export, or one file of it")
    try:
        return verify_path(args)
    except Unverifiable as mistake:
        print(f"verify_log: {mistake}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
