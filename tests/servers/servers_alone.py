"""Runs the embedded servers in a process of their own, so that tests may kill it: `python servers_alone.py DIR`.

Prints one JSON line when they serve, then waits until it is stopped.
"""

import asyncio
import json
import signal
import sys
from pathlib import Path

from dispatch.errors import UserMistake
from dispatch.services import embedded
from dispatch.settings import Settings


async def serve(data_dir: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with embedded(Settings(data_dir=data_dir)) as services:
        said = {"database_url": services.database_url, "mqtt_url": services.mqtt_url, **services.status()}
        print(json.dumps(said), flush=True)
        await stop.wait()


if __name__ == "__main__":
    try:
        asyncio.run(serve(Path(sys.argv[1])))
    except UserMistake as mistake:
        sys.exit(str(mistake))
