"""Who may log in to the broker and which topics each may touch: the text of its files. Nothing is run here.

A unit writes its own position, status, acknowledgement and link, and reads its own orders and receipts.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping

SERVICE_ACCOUNT = "dispatch"
HASH_ITERATIONS = 101
"""mosquitto_passwd's own number. The passwords are long and random, so more would guard nothing."""
FORBIDDEN_IN_NAMES = frozenset(":+#/\n\r\0")
"""A colon ends the name in the file; the others would let one name match another's topics."""

ACCESS_LIST = f"""\
# Written at every start. %u is the name the unit logged in with.
user {SERVICE_ACCOUNT}
topic readwrite 112/#
topic readwrite owntracks/#

pattern write 112/units/%u/position
pattern write 112/units/%u/status
pattern write 112/units/%u/ack
pattern write 112/units/%u/link
pattern write owntracks/%u/#
pattern read 112/units/%u/orders
pattern read 112/units/%u/receipts
"""


QUEUED_MAX = 1000
"""Messages that wait at the broker for one client that is away or slow …"""
QUEUED_MAX_BYTES = 8 * 1024 * 1024
"""… and their bytes; beyond it the newest are dropped, and are sent again by whoever waits for an answer."""
PACKET_MAX_BYTES = 68 * 1024
SESSION_KEPT_DAYS = 7


def password_file(passwords: Mapping[str, str]) -> str:
    """One line a name, in mosquitto's format $7$ (PBKDF2-HMAC-SHA512)."""
    return "".join(f"{_checked(name)}:{hashed(password)}\n" for name, password in passwords.items())


def hashed(password: str, salt: bytes | None = None) -> str:
    """`$7$iterations$salt$hash`, as mosquitto_passwd writes it."""
    salt = salt or secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, HASH_ITERATIONS)
    return f"$7${HASH_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _checked(name: str) -> str:
    assert name and not FORBIDDEN_IN_NAMES & set(name), f"{name!r} cannot be a name on the broker"
    return name


def configuration(*, port: int, home: str) -> str:
    """mosquitto.conf for loopback: log-in always, rights by topic, queues that survive a stop, limits on all.

    The queue is written each minute and at the end, not at every change: that cost seconds of waiting under
    load, and nothing needs it, for orders and statuses are sent again until they are answered.
    """
    return f"""\
# Written at every start.
listener {port} 127.0.0.1
allow_anonymous false
password_file {home}/passwords
acl_file {home}/rights
persistence true
persistence_location {home}/
autosave_interval 60
persistent_client_expiration {SESSION_KEPT_DAYS}d
max_queued_messages {QUEUED_MAX}
max_queued_bytes {QUEUED_MAX_BYTES}
max_inflight_messages 32
max_packet_size {PACKET_MAX_BYTES}
set_tcp_nodelay true
connection_messages false
log_dest stderr
log_type error
log_type warning
sys_interval 0
"""


def rumqttd_configuration(*, port: int) -> str:
    """For the stand-in broker of the wheel `iotcore`: loopback, MQTT 5, no log-in, no rights."""
    return f"""\
id = 0
[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
max_segment_size = 10485760
max_segment_count = 10
[v5.1]
name = "v5"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
    [v5.1.connections]
    connection_timeout_ms = 60000
    max_payload_size = 65536
    max_inflight_count = 100
    dynamic_filters = true
"""
