"""The line to the MQTT broker: one connection that comes back by itself. It knows topics and bytes, not their meaning.

Messages are handed over in the moment they are read, without a task or a queue for each: the broker's socket is the
queue, so a flood presses back on the broker and never fills our memory.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from dispatch.errors import ServiceAway
from dispatch.units import wire
from dispatch.units.stream import GREETING_LIMIT_S, Stream
from dispatch.units.wire import Will

BACK_OFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)
STEADY_S = 5.0
"""A line that stayed so long was a good one: the next attempts begin quickly again."""
KEEPALIVE_S = 10
SUBSCRIBED_AT_ONCE = 200
"""Topics in one SUBSCRIBE packet: brokers limit its size."""

log = logging.getLogger(__name__)


class BrokerAddress(NamedTuple):
    """Where a broker answers, and our log-in there; without one, both texts are empty."""

    host: str
    port: int
    username: str
    password: str
    secure: bool


def broker_at(url: str) -> BrokerAddress:
    """What `mqtt://user:password@host:port` or `mqtts://…` says."""
    parts = urlsplit(url)
    assert parts.hostname, "an MQTT URL names a host"
    secure = parts.scheme == "mqtts"
    port = parts.port or (8883 if secure else 1883)
    return BrokerAddress(parts.hostname, port, unquote(parts.username or ""), unquote(parts.password or ""), secure)


class LinePlan(msgspec.Struct, frozen=True, kw_only=True):
    """How to connect. `url` is `mqtt://user:password@host:port` or `mqtts://…`; without user, no log-in.

    The broker keeps our subscriptions and what it has for us `session_expiry_s` after the line broke; 0: not at all,
    for positions, where whatever is missed is older than what comes next.
    """

    url: str
    client_id: str
    subscriptions: tuple[tuple[str, int], ...] = ()
    session_expiry_s: int = 3600
    will: Callable[[], Will] | None = None
    """Asked anew for each connection: a will says when that was made."""
    gather_s: float = 0.0
    """How long messages may wait to be read together."""


class Line:
    """`run` keeps the line up until cancelled; `publish` works while `up` is true.

    `on_message(topic, payload)`, `on_up()` and `on_down()` are called in the loop and must neither wait nor block.
    """

    def __init__(
        self,
        plan: LinePlan,
        *,
        on_message: Callable[[str, bytes], None],
        on_up: Callable[[], None] = lambda: None,
        on_down: Callable[[], None] = lambda: None,
    ) -> None:
        self._plan = plan
        self._on_message = on_message
        self._on_up = on_up
        self._on_down = on_down
        self._stream: Stream | None = None
        self.ups = 0

    @property
    def up(self) -> bool:
        return self._stream is not None

    async def run(self) -> None:
        """Connect, stay, connect again with back-off; ends only by cancellation."""
        failures = 0
        while True:
            since_s = time.monotonic()
            try:
                await self._stay()
            except (OSError, TimeoutError) as fault:
                # Once an outage: a day of it would be forty thousand lines.
                level = logging.DEBUG if failures else logging.WARNING
                log.log(level, "broker away: %s", fault, extra={"action": "mqtt_line"})
            finally:
                self._stream = None
                self._on_down()
            if time.monotonic() - since_s > STEADY_S:
                failures = 0
            await asyncio.sleep(BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)])
            failures += 1

    async def publish(
        self, topic: str, payload: bytes, *, qos: Literal[0, 1] = 1, properties: bytes = b"", at_once: bool = False
    ) -> None:
        """Hand a message to the broker; with QoS 1, return when the broker has it.

        With `at_once` it has left this process before anything else happens here, else at the end of the loop's turn.
        Raises ServiceAway when it cannot be handed over now. A message never waits for the line to come
        back, and nothing half sent is sent again behind our back: who sends it decides what is still worth sending.
        """
        if self._stream is None:
            raise ServiceAway("the MQTT broker is away")
        await self._stream.publish(topic, payload, qos, properties, at_once=at_once)

    async def _stay(self) -> None:
        """One connection from its beginning to its end. Raises OSError or TimeoutError."""
        broker, plan = broker_at(self._plan.url), self._plan
        tls = ssl.create_default_context() if broker.secure else None
        async with asyncio.timeout(GREETING_LIMIT_S):
            _, stream = await asyncio.get_running_loop().create_connection(
                lambda: Stream(self._on_message, plan.gather_s), broker.host, broker.port, ssl=tls
            )
        try:
            hello = wire.connect(
                plan.client_id,
                (broker.username, broker.password),
                KEEPALIVE_S,
                session_expiry_s=plan.session_expiry_s,
                will=plan.will() if plan.will is not None else None,
            )
            keepalive_s = await stream.greet(hello, KEEPALIVE_S)
            # What the broker kept for our session comes in before the subscriptions are answered.
            self._stream = stream
            for batch in batches(plan.subscriptions):
                await stream.subscribe(batch)
            self.ups += 1
            self._on_up()
            await stream.ended(keepalive_s / 2)
        except asyncio.CancelledError:
            stream.leave()
            raise
        except BaseException:
            stream.abort()
            raise


def batches(topics: tuple[tuple[str, int], ...]) -> Iterator[Sequence[tuple[str, int]]]:
    """Topics as one packet may carry them."""
    return (topics[at : at + SUBSCRIBED_AT_ONCE] for at in range(0, len(topics), SUBSCRIBED_AT_ONCE))
