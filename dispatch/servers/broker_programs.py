"""Which MQTT broker this machine can run, and how one is had without root. Nothing is started here.

mosquitto of the machine; else Debian's package unpacked into a directory of ours; else the wheel `iotcore`.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from dispatch.errors import UserMistake
from dispatch.servers.footing import readable_copy

SEARCH_PATH = os.pathsep.join((os.defpath, "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"))
UNPACKED = Path(sys.prefix) / "share" / "dispatch112" / "mosquitto"
"""Where set-up unpacks mosquitto: part of the installation, so that every data directory shares it."""
FETCH_LIMIT_S = 120.0


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A broker that can be run; `enforces_rights` is false for the stand-in."""

    path: Path
    enforces_rights: bool
    environment: dict[str, str] = {}


def find_broker() -> Program:
    """The best broker here. Raises UserMistake when there is none."""
    found = find_mosquitto()
    if found:
        return found
    if importlib.util.find_spec("iotcore"):
        return Program(path=Path(sys.executable), enforces_rights=False)
    raise UserMistake("no MQTT broker here: install mosquitto, or pip install iotcore, or set DISPATCH112_MQTT_URL")


def find_mosquitto() -> Program | None:
    on_machine = shutil.which("mosquitto", path=SEARCH_PATH)
    if on_machine:
        return Program(path=Path(on_machine), enforces_rights=True)
    unpacked = _unpacked(UNPACKED)
    return unpacked if unpacked.path.exists() else None


def _unpacked(place: Path) -> Program:
    libraries = os.pathsep.join(str(path) for path in sorted((place / "usr" / "lib").glob("*-linux-*")))
    return Program(
        path=place / "usr" / "sbin" / "mosquitto",
        enforces_rights=True,
        environment={"LD_LIBRARY_PATH": libraries},
    )


def copied(program: Program, place: Path) -> Program:
    """The same broker where every account can read it; the machine's own is readable already."""
    if UNPACKED not in program.path.parents:
        return program
    copy = place / "mosquitto"
    readable_copy(UNPACKED, copy)
    return _unpacked(copy)


def fetch_mosquitto() -> bool:
    """Unpack Debian's or Ubuntu's mosquitto into UNPACKED, without root and without installing anything.

    False where that cannot be done: another system, no network, no such package.
    """
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return False
    with tempfile.TemporaryDirectory(prefix="dispatch112-") as place:
        fresh = Path(place) / "unpacked"
        try:
            _download(Path(place))
            for package in sorted(Path(place).glob("*.deb")):
                _run("dpkg-deb", "-x", str(package), str(fresh), cwd=place)
        except (OSError, subprocess.SubprocessError):
            return False
        if not (fresh / "usr" / "sbin" / "mosquitto").exists():
            return False
        shutil.rmtree(UNPACKED, ignore_errors=True)
        shutil.copytree(fresh, UNPACKED, symlinks=True)
    return True


def _download(place: Path) -> None:
    """The packages that `apt-get install` would add, fetched with package lists of our own."""
    lists = place / "lists"
    (lists / "partial").mkdir(parents=True)
    (place / "cache" / "archives" / "partial").mkdir(parents=True)
    private = (
        "-o",
        f"Dir::State::lists={lists}",
        "-o",
        f"Dir::Cache={place}/cache",
        "-o",
        "APT::Sandbox::User=",
    )
    _run("apt-get", *private, "update", cwd=str(place))
    plan = _run("apt-get", *private, "install", "-s", "--no-install-recommends", "mosquitto", cwd=str(place))
    named = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
    _run("apt-get", *private, "download", *named, cwd=str(place))


def _run(*command: str, cwd: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
        timeout=FETCH_LIMIT_S,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout
