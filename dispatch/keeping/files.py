"""Files and folders that are there whole or not at all, whatever breaks while they are written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dispatch.errors import UserMistake

PARTIAL = ".partial"


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """Write beside, force to the disk, rename. The mode holds from the first byte on."""
    fresh = path.with_name(path.name + PARTIAL)
    fresh.unlink(missing_ok=True)
    with new_file(fresh, mode) as file:
        file.write(content)
    fresh.replace(path)
    force(path.parent)


@contextmanager
def new_file(path: Path, mode: int) -> Iterator[BinaryIO]:
    """A file that is not there yet, to write into; on the disk at the end."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def whole_folder(path: Path, mode: int) -> Iterator[Path]:
    """A folder to write into that takes its name only when all is in it and on the disk.

    Raises UserMistake when something is there already. What a killed run left beside it is removed.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserMistake(f"{path} is there already: name a directory that is not, or an empty one")
    fresh = path.with_name(path.name + PARTIAL)
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(mode=mode, parents=True)
    except OSError as fault:
        raise UserMistake(f"cannot write {fresh}: {fault.strerror}") from None
    try:
        yield fresh
        for folder in [fresh, *(inner for inner in fresh.rglob("*") if inner.is_dir())]:
            force(folder)
        fresh.rename(path)
        force(path.parent)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def force(folder: Path) -> None:
    """The names in a folder, on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
