"""Signed heads: what the journal of each region ended with, hour by hour, under a key that only this machine has.

Whoever owns the database can write a journal anew, with hashes that fit; a head that was signed before, and of
which somebody elsewhere has a copy, betrays it. Each line names the one before, so the series is a chain itself.
Its format, and how it is verified, stands in verify_log.py. In the data directory:

    heads/heads-2026-11.jsonl   one line a signed head, a file a month
    heads/public.key            the present key, hexadecimal
    heads.key                   the secret of it, readable by its owner alone
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import logging
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from dispatch.errors import UserMistake
from dispatch.keeping.files import write_whole
from dispatch.settings import settings_from
from dispatch.verify_log import BASE, ORDER, SignedHead, compressed, multiplied
from dispatch.writing.journal import GENESIS, moment

log = logging.getLogger(__name__)

FOLDER = "heads"
SECRET = "heads.key"
PUBLIC = "public.key"
MONTHS_KEPT = 120
"""Ten years of files; older ones are removed when a month begins."""
TAIL_BYTES = 4096
"""More than the longest line."""

Head = tuple[str, int, bytes]
"""Region, number and hash of its last event."""


class Series:
    """The series of one data directory. Every method works on the files alone, under a lock between processes."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / FOLDER
        self._secret = data_dir / SECRET
        self._lock = data_dir / f"{SECRET}.lock"

    def sign(self, heads: Sequence[Head], at: datetime) -> list[SignedHead]:
        """Append a signed line for each head; on the disk when this returns. Some milliseconds each."""
        with self._locked():
            secret, last = self._begun(at)
            lines = []
            for region, seq, digest in heads:
                last = _signed(secret, last, at, ("head", region, seq, digest.hex()))
                lines.append(last)
            self._append(lines, at)
            return lines

    def new_key(self, at: datetime) -> str:
        """Go on under a new key, which the old one signs; returns the new public key.

        A crash between the two leaves either key, and the series says which: `_begun` looks.
        """
        with self._locked():
            secret, last = self._begun(at)
            fresh = secrets.token_bytes(32)
            public = public_key(fresh)
            write_whole(self._fresh, fresh.hex().encode(), 0o600)
            self._append([_signed(secret, last, at, ("key", "", 0, public))], at)
            self._adopt(public)
            return public

    def public_key(self) -> str:
        """The present public key; makes the key pair at the first start."""
        with self._locked():
            return public_key(self._key())

    def last(self) -> SignedHead | None:
        """The last line of the series. A line that a crash tore is cut off: nobody was ever shown it."""
        for path in reversed(self._files()):
            with path.open("r+b") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - TAIL_BYTES))
                tail = file.read()
                torn = len(tail) - (tail.rfind(b"\n") + 1)
                if torn:
                    log.warning("a torn line was cut off %s", path.name, extra={"action": "sign"})
                    file.truncate(size - torn)
                whole = tail[: len(tail) - torn].splitlines()
            if whole:
                return SignedHead(**json.loads(whole[-1]))
        return None

    def copy(self, folder: Path) -> None:
        """The public part of the series, whole lines only; nothing where no head was ever signed."""
        if self._files():
            with self._locked():
                self.last()
                shutil.copytree(self.folder, folder)

    @property
    def _fresh(self) -> Path:
        return self._secret.with_suffix(".key.new")

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("heads-*.jsonl"))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _key(self) -> bytes:
        if not self._secret.exists():
            write_whole(self._secret, secrets.token_hex(32).encode(), 0o600)
            write_whole(self.folder / PUBLIC, public_key(self._key()).encode(), 0o644)
        return bytes.fromhex(self._secret.read_text())

    def _adopt(self, public: str) -> None:
        self._fresh.replace(self._secret)
        write_whole(self.folder / PUBLIC, public.encode(), 0o644)

    def _begun(self, at: datetime) -> tuple[bytes, SignedHead | None]:
        """The key, and the line to go on from; without the key that it asks for the series begins anew."""
        last = self.last()
        if last is not None and last.kind == "key" and self._fresh.exists():
            self._adopt(last.hash)
        self._fresh.unlink(missing_ok=True)
        secret = self._key()
        expected = None if last is None else last.hash if last.kind == "key" else last.key
        if expected in (None, public_key(secret)):
            return secret, last
        aside = self.folder / f"before-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        log.error("the key of the signed heads is gone: a new series begins, the old one is in %s", aside.name)
        aside.mkdir()
        for path in self._files():
            path.rename(aside / path.name)
        return secret, None

    def _append(self, lines: Sequence[SignedHead], at: datetime) -> None:
        path = self.folder / f"heads-{at.astimezone(UTC):%Y-%m}.jsonl"
        files = self._files()
        if files and files[-1].name > path.name:  # The clock was set back: the order of the files is the series'.
            path = files[-1]
        with path.open("ab") as file:
            file.write(b"".join(json.dumps(line._asdict()).encode() + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        for old in self._files()[:-MONTHS_KEPT]:
            old.unlink()


def _signed(secret: bytes, last: SignedHead | None, at: datetime, what: tuple[str, str, int, str]) -> SignedHead:
    kind, region, seq, digest = what
    line = SignedHead(
        kind=kind,
        number=last.number + 1 if last is not None else 1,
        region=region,
        seq=seq,
        hash=digest,
        at=moment(at),
        previous=last.digest if last is not None else GENESIS.hex(),
        key=public_key(secret),
    )
    return line._replace(signature=signature(secret, line.message).hex())


def public_key(secret: bytes) -> str:
    """The public key of 32 secret bytes, in hexadecimal digits."""
    return _public(_scalar(secret)[0]).hex()


def signature(secret: bytes, message: bytes) -> bytes:
    """The Ed25519 signature of RFC 8032. Not in constant time: see decision 27 on who could measure it."""
    scalar, prefix = _scalar(secret)
    public = _public(scalar)
    nonce = _number(hashlib.sha512(prefix + message).digest()) % ORDER
    point = _public(nonce)
    challenge = _number(hashlib.sha512(point + public + message).digest()) % ORDER
    return point + ((nonce + challenge * scalar) % ORDER).to_bytes(32, "little")


def _scalar(secret: bytes) -> tuple[int, bytes]:
    assert len(secret) == 32, "a key has 32 bytes"
    digest = hashlib.sha512(secret).digest()
    return _number(digest[:32]) & (1 << 254) - 8 | 1 << 254, digest[32:]


def _public(scalar: int) -> bytes:
    assert BASE is not None, "the base point is one"
    return compressed(multiplied(scalar, BASE))


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `dispatch112 heads`."""
    parser.add_argument("--data-dir", metavar="DIR", help="whose series of signed heads (.data)")
    parser.add_argument("--new-key", action="store_true", help="go on under a new key, signed by the old one")


def run(args: argparse.Namespace) -> int:
    """Print the public key and the last signed line; with --new-key after the key was changed."""
    data_dir = settings_from(args).data_dir
    if not (data_dir / SECRET).exists():
        raise UserMistake(f"{data_dir} has no signed heads yet: they begin with the service")
    series = Series(data_dir)
    if args.new_key:
        series.new_key(datetime.now(UTC))
    last = series.last()
    print(json.dumps({"public_key": series.public_key(), "last": last._asdict() if last is not None else None}))
    return 0
