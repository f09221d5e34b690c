"""The name under which a process leads regions: that of its data directory, the same after a restart.

The directory is locked, so whoever led under this name before is gone, and its leases need not run out before
the next start leads; what it may have had under way is fenced off by the epoch that a new claim raises.
"""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

FILE = "holder"


def holder_of(data_dir: Path) -> str:
    """The holder's name, made at the first start. The caller holds the directory's lock.

    The machine's name is part of it: a copy of the directory on another machine is another holder.
    """
    path = data_dir / FILE
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.write_text(secrets.token_hex(8))
        fresh.replace(path)
    return f"{socket.gethostname()}:{path.read_text()}"
