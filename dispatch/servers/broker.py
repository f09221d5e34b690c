"""Our own MQTT broker on loopback: written, started, watched, stopped. Not used when a broker URL is given.

No order is trusted to it: the outbox in Postgres sends again until the unit has acknowledged.
"""

import asyncio
import logging
import os
import secrets
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

from dispatch.errors import ServiceAway, UserMistake
from dispatch.servers import broker_rights
from dispatch.servers.broker_programs import Program, copied, find_broker
from dispatch.servers.broker_rights import SERVICE_ACCOUNT
from dispatch.servers.child import Launch, Server
from dispatch.servers.footing import Footing, find_footing, moved_home, own_directory

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
PORTS = range(1, 1 << 16)
PROBE_LIMIT_S = 2.0
RELOAD_LIMIT_S = 10.0
CANARY = "canary"
"""A name without topics of its own: that it can log in with a new password proves that the file was read."""


class Broker:
    """The embedded broker of one data directory. The caller holds the directory's lock."""

    def __init__(self, data_dir: Path, port: int = 0) -> None:
        """`port` 0: the port of last time when it is free, else one from the operating system."""
        self._data_dir = data_dir.resolve()
        self._asked_port = port
        self._home = self._data_dir
        self._port = 0
        self._footing = Footing(owner=os.geteuid(), group=os.getegid())
        self._own_password = secrets.token_urlsafe(24)
        self._units: dict[str, str] = {}
        self._server: Server | None = None
        self.enforces_rights = True

    async def start(self) -> str:
        """Start it and return the service's own URL, with its log-in. Raises UserMistake or ServiceAway."""
        assert self._server is None, "started once"
        program = find_broker()
        self.enforces_rights = program.enforces_rights
        program = self._settle(program)
        self._port = _port_for(self._asked_port, self._home / "port")
        self._server = Server(self._launch(program), ready=self._is_ready)
        await self._server.start()
        self._write("port", str(self._port))
        if not self.enforces_rights:
            logger.warning("the stand-in broker does not enforce topic rights: install mosquitto for that")
        return f"mqtt://{SERVICE_ACCOUNT}:{self._own_password}@{LOOPBACK}:{self._port}"

    async def stop(self) -> None:
        if self._server:
            await self._server.stop()

    def status(self) -> dict[str, object]:
        known = self._server.status() if self._server else {"state": "stopped"}
        return {**known, "port": self._port, "enforces_rights": self.enforces_rights}

    async def write_credentials(self, passwords: Mapping[str, str]) -> None:
        """Replace all units' log-ins ({unit_id: password}) and return when the broker obeys them.

        Raises ServiceAway when it does not within RELOAD_LIMIT_S.
        """
        assert self._server and SERVICE_ACCOUNT not in passwords, "units have names of their own"
        self._units = dict(passwords)
        if not self.enforces_rights:
            return
        canary = secrets.token_urlsafe(12)
        self._write_passwords(canary)
        self._server.signal(signal.SIGHUP)
        try:
            async with asyncio.timeout(RELOAD_LIMIT_S):
                while not await accepts(self._port, CANARY, canary):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise ServiceAway("the broker did not take the new log-ins") from None

    def _settle(self, program: Program) -> Program:
        """Choose where the files lie and as whom the broker runs; give it back as it can be run there."""
        data_dir, footing = self._data_dir, self._footing
        if program.enforces_rights:
            found = find_footing(program.path, data_dir, program.environment)
            if found is None:
                data_dir, found = moved_home(data_dir)
                program = copied(program, data_dir)
            footing = found
        self._home, self._footing = data_dir / "broker", footing
        own_directory(self._home, footing)
        self._write_passwords(secrets.token_urlsafe(12))
        self._write("rights", broker_rights.ACCESS_LIST)
        return program

    def _launch(self, program: Program) -> Launch:
        return Launch(
            name="broker",
            command=self._command(program),
            footing=self._footing,
            log=self._home / "server.log",
            environment=program.environment,
            # mosquitto writes its queues when asked to stop; the stand-in keeps none.
            death_signal=signal.SIGTERM if program.enforces_rights else signal.SIGKILL,
        )

    def _command(self, program: Program) -> tuple[str, ...]:
        if program.enforces_rights:
            text = broker_rights.configuration(port=self._port, home=str(self._home.resolve()))
            return (str(program.path), "-c", str(self._write("mosquitto.conf", text)))
        config = self._write("rumqttd.toml", broker_rights.rumqttd_configuration(port=self._port))
        return (str(program.path), "-m", "iotcore", "--log-level", "warning", "--config", str(config))

    async def _is_ready(self, pid: int) -> bool:
        return await accepts(self._port, SERVICE_ACCOUNT, self._own_password)

    def _write_passwords(self, canary: str) -> None:
        named = {SERVICE_ACCOUNT: self._own_password, CANARY: canary, **self._units}
        self._write("passwords", broker_rights.password_file(named))

    def _write(self, name: str, text: str) -> Path:
        """Replace a file of the broker in one step, private to its account."""
        path, fresh = self._home / name, self._home / f"{name}.new"
        fresh.touch(mode=0o600)
        fresh.write_text(text)
        os.chown(fresh, self._footing.owner, self._footing.group)
        fresh.replace(path)
        return path.resolve()


async def accepts(port: int, name: str, password: str) -> bool:
    """Does a broker on this port let `name` in? One MQTT 5 CONNECT, its answer, DISCONNECT."""
    try:
        async with asyncio.timeout(PROBE_LIMIT_S):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(_connect_packet(name, password))
                answer = await reader.readexactly(4)
                writer.write(b"\xe0\x00")
                return answer[0] == 0x20 and answer[3] == 0
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False


def _connect_packet(name: str, password: str) -> bytes:
    """MQTT 5.0, section 3.1: clean start, user name and password, no properties, client id by the broker."""

    def field(text: str) -> bytes:
        data = text.encode()
        return len(data).to_bytes(2, "big") + data

    body = field("MQTT") + b"\x05\xc2\x00\x1e\x00" + field("") + field(name) + field(password)
    assert len(body) < 128, "one length byte is enough for our names"
    return bytes((0x10, len(body))) + body


def _port_for(asked: int, remembered: Path) -> int:
    """A free port on loopback: the one asked for, else that of last time, so that units find it again."""
    if asked:
        if not _is_free(asked):
            raise UserMistake(f"port {asked} for the broker is in use")
        return asked
    last = _port_in(remembered)
    return last if last and _is_free(last) else _free_port()


def _port_in(remembered: Path) -> int:
    """The port of last time; 0 when nobody knows it any more, for that is no reason not to start."""
    try:
        port = int(remembered.read_text())
    except (OSError, ValueError):
        return 0
    return port if port in PORTS else 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
