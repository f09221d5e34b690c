"""A real disk that is soon full: a tmpfs of a few megabytes, for whoever may mount one."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

CHUNK = 64 * 1024


@contextlib.contextmanager
def small_disk(place: Path, size_mib: int) -> Iterator[Path]:
    """A directory on a disk of its own. Skips where this user may not mount."""
    place.mkdir(exist_ok=True)
    options = f"size={size_mib}m,mode=0755"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no small disk here: {mounted.stderr.strip() or 'mount is not permitted'}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill(disk: Path, leave_bytes: int = 0) -> Path:
    """Take the disk's room, but for so much; returns the file that holds it."""
    path = disk / "filled"
    with path.open("ab") as file, contextlib.suppress(OSError):
        while free_bytes(disk) > leave_bytes:
            file.write(b"\0" * min(CHUNK, free_bytes(disk) - leave_bytes))
            file.flush()
    return path


def free_bytes(disk: Path) -> int:
    """What an ordinary user can still write there."""
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize
