"""map.json: what a map folder was made from, and whether its files are still those that were written then.

A file is checked when it is first read, by its SHA-256: a bad copy or a bad disk is found at the start of a process and
not by a crew. Not here: what the files hold (mapfolder, place_files, boundaries).
"""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

FOLDER_VERSION: Final = 1
MANIFEST: Final = "map.json"
FILES: Final = "files_sha256"


def is_map(directory: Path) -> bool:
    """Whether a directory holds an imported map."""
    return (directory / MANIFEST).is_file()


def manifest(directory: Path) -> dict[str, Any]:
    """What map.json says. ValueError with one sentence when there is none that we can read."""
    path = directory / MANIFEST
    try:
        found = json.loads(path.read_text("utf-8"))
        version = found["folder_version"]
    except FileNotFoundError:
        raise ValueError(f"{directory} is no map: it has no {MANIFEST} (dispatch112 import-map makes one)") from None
    except (OSError, ValueError) as fault:
        raise ValueError(f"cannot read {path}: {getattr(fault, 'strerror', None) or fault}") from None
    except (KeyError, TypeError):
        raise ValueError(f"{path} is not what dispatch112 import-map writes: import the map anew") from None
    if version != FOLDER_VERSION:
        raise ValueError(f"the map {directory} is of another version: import it anew")
    return dict(found)


def write_manifest(place: Path, said: dict[str, Any]) -> None:
    """map.json, last: with the digests of all files that are there."""
    files = {path.name: digest(path) for path in sorted(place.iterdir())}
    text = json.dumps({"folder_version": FOLDER_VERSION, **said, FILES: files}, ensure_ascii=False, indent=1)
    (place / MANIFEST).write_text(text + "\n", "utf-8")


def check_files(directory: Path, *names: str) -> None:
    """Check files of a map, those of `names` that it was made with. ValueError with one sentence for one that is gone
    or another. A folder without map.json is no map, and nothing is known of its files."""
    if not is_map(directory):
        return
    known = manifest(directory).get(FILES, {})
    for name in names:
        path = directory / name
        if name in known and (not path.is_file() or _digest_now(path) != known[name]):
            what = "is not as it was written" if path.is_file() else "is missing"
            raise ValueError(f"the map {directory} is damaged: {name} {what}; import it anew")


def _digest_now(path: Path) -> str:
    said = path.stat()
    return _digest_of(path.absolute(), said.st_size, said.st_mtime_ns, said.st_ino)


@lru_cache(64)
def _digest_of(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    """The digest of a file as it is now; read through once in a process, whoever asks."""
    return digest(path)


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
