"""One connection to the MQTT broker that comes back by itself. It knows topics and bytes, not their meaning.

Messages are handed over in the moment they are read, without a task or a queue for each (aiomqtt's own
iterator makes a task per message, which costs more than reading it): the broker's socket is the queue, so
a flood presses back on the broker and never fills our memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, cast
from urllib.parse import unquote, urlsplit

import aiomqtt
import msgspec
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from dispatch.errors import ServiceAway

BACK_OFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)
STEADY_S = 5.0
"""A line that stayed so long was a good one: the next attempts begin quickly again."""
GREETING_LIMIT_S = 2.0
"""For the answers to CONNECT and SUBSCRIBE: aiomqtt does not see a line that breaks before the first."""
ANSWER_LIMIT_S = 10.0
KEEPALIVE_S = 10
SUBSCRIBED_AT_ONCE = 200
"""Topics in one SUBSCRIBE packet: brokers limit its size."""
INFLIGHT_LIMIT = 256
"""QoS 1 messages under way to the broker at once; the others wait in their callers."""

log = logging.getLogger(__name__)


class Will(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker says for us when the line breaks and stays broken for `delay_s`."""

    topic: str
    payload: bytes
    delay_s: int = 30


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

    The broker keeps our subscriptions and what it has for us `session_expiry_s` after the line broke.
    A `light` line speaks MQTT 3.1.1 without a session and only reads: for positions (`reading.py`).
    """

    url: str
    client_id: str
    subscriptions: tuple[tuple[str, int], ...] = ()
    session_expiry_s: int = 3600
    will: Callable[[], Will] | None = None
    """Asked anew for each connection: a will says when that was made."""
    light: bool = False


class _Inbox(asyncio.Queue[aiomqtt.Message]):
    """Stands where aiomqtt keeps its queue of messages and passes each on at once: it is always empty."""

    def __init__(self, sink: Callable[[str, bytes], None]) -> None:
        super().__init__(maxsize=1)
        self._sink = sink

    def put_nowait(self, item: aiomqtt.Message) -> None:
        """A message that breaks its handler is our bug; it must not take the line down with it."""
        try:
            self._sink(item.topic.value, item.payload)
        except Exception:
            log.exception("message handler failed", extra={"action": "mqtt_message"})


class Lasting:
    """What connects, stays and connects again. `_stay` is one connection; it ends by a fault of the line."""

    async def run(self) -> None:
        """Connect, stay, connect again with back-off; ends only by cancellation."""
        failures = 0
        while True:
            since_s = time.monotonic()
            try:
                await self._stay()
            except (aiomqtt.MqttError, OSError, TimeoutError) as fault:
                # Once an outage: a day of it would be forty thousand lines.
                level = logging.DEBUG if failures else logging.WARNING
                log.log(level, "broker away: %s", fault, extra={"action": "mqtt_line"})
            finally:
                self._gone()
            heed_a_stop()
            if time.monotonic() - since_s > STEADY_S:
                failures = 0
            await asyncio.sleep(BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)])
            failures += 1

    async def _stay(self) -> None:
        raise NotImplementedError

    def _gone(self) -> None:
        raise NotImplementedError


class Line(Lasting):
    """`run` keeps the line up until cancelled; `publish` works while `up` is true.

    `on_message(topic, payload)` and `on_up()` are called in the loop and must neither wait nor block.
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
        self._client: aiomqtt.Client | None = None
        # Of the publications under way: aiomqtt would let them wait on after the line broke.
        self._limits: set[asyncio.Timeout] = set()
        self._up = False
        self.ups = 0

    @property
    def up(self) -> bool:
        """Whether the broker has granted all our topics; a connection where it has not yet can already publish."""
        return self._up

    async def publish(
        self, topic: str, payload: bytes, *, qos: Literal[0, 1] = 1, properties: Properties | None = None
    ) -> None:
        """Hand a message to the broker; with QoS 1, return when the broker has it.

        Raises ServiceAway when it cannot be handed over now. A message never waits for the line to come
        back: who sends it decides what is still worth sending then.
        """
        client = self._client
        if client is None:
            raise ServiceAway("the MQTT broker is away")
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S) as limit:
                self._limits.add(limit)
                await client.publish(topic, payload, qos, properties=properties, timeout=math.inf)
        except (aiomqtt.MqttError, TimeoutError) as fault:
            raise ServiceAway(f"the MQTT broker is away: {fault}") from fault
        finally:
            self._limits.discard(limit)

    async def _stay(self) -> None:
        """One connection from its beginning to its end. Raises MqttError, or OSError when we are refused."""
        client = self._new_client()
        try:
            async with client:
                heed_a_stop()
                # What the broker kept for our session comes in before the subscriptions are answered.
                self._client = client
                for batch in batches(self._plan.subscriptions):
                    answered = cast("list[ReasonCode]", await client.subscribe(batch))
                    heed_a_stop()
                    if any(code.is_failure for code in answered):
                        raise PermissionError(f"the broker refuses us: {', '.join(map(str, answered))}")
                self._up, self.ups = True, self.ups + 1
                self._on_up()
                async for _ in client.messages:
                    raise AssertionError("the inbox passes every message on at once")
        finally:
            _hang_up(client)

    def _gone(self) -> None:
        """The line broke: nobody waits for an answer over it any more."""
        self._client, self._up = None, False
        now_s = asyncio.get_running_loop().time()
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(now_s)
        self._on_down()

    def _new_client(self) -> aiomqtt.Client:
        """A fresh client for each connection, so that nothing half sent is sent again behind our back."""
        broker = broker_at(self._plan.url)
        client = aiomqtt.Client(
            broker.host,
            broker.port,
            username=broker.username or None,
            password=broker.password or None,
            identifier=self._plan.client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=False,
            keepalive=KEEPALIVE_S,
            timeout=GREETING_LIMIT_S,
            max_inflight_messages=INFLIGHT_LIMIT,
            max_queued_outgoing_messages=4 * INFLIGHT_LIMIT,
            # Without it an order waits up to 40 ms for the broker's delayed TCP acknowledgement.
            socket_options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
            properties=connect_properties(self._plan.session_expiry_s),
            will=_will(self._plan.will() if self._plan.will is not None else None),
            tls_context=ssl.create_default_context() if broker.secure else None,
            queue_type=cast("type[asyncio.Queue[aiomqtt.Message]]", self._inbox),
        )
        client.pending_calls_threshold = INFLIGHT_LIMIT
        return client

    def _inbox(self, maxsize: int) -> _Inbox:
        return _Inbox(self._on_message)


def heed_a_stop() -> None:
    """Raise CancelledError in a task that was told to end.

    aiomqtt waits by `asyncio.wait_for`, which in Python 3.11 forgets a stop that comes in the turn in which the broker
    answers: whoever waits for the end of the task would wait for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _hang_up(client: aiomqtt.Client) -> None:
    """aiomqtt leaves the connection open to which a broker said no greeting: one more at each try, and when the broker
    wakes they take the session from each other."""
    left = cast("socket.socket | None", client._client.socket())
    if left is not None:
        with contextlib.suppress(OSError):
            left.shutdown(socket.SHUT_RDWR)


def connect_properties(session_expiry_s: int) -> Properties:
    """MQTT 5, 3.1.2.11: how long the session outlives the connection."""
    properties = _properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = session_expiry_s
    return properties


def publish_properties(*, expiry_s: int, response_topic: str, correlation: bytes) -> Properties:
    """MQTT 5, 3.3.2.3: when the message is worthless, where the answer goes, and what it answers."""
    assert expiry_s > 0, "an expired message is not sent"
    properties = _properties(PacketTypes.PUBLISH)
    properties.MessageExpiryInterval = expiry_s
    properties.ResponseTopic = response_topic
    properties.CorrelationData = correlation
    return properties


def _will(will: Will | None) -> aiomqtt.Will | None:
    if will is None:
        return None
    properties = _properties(PacketTypes.WILLMESSAGE)
    properties.WillDelayInterval = will.delay_s
    return aiomqtt.Will(will.topic, will.payload, qos=1, retain=False, properties=properties)


def _properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]


def batches(topics: tuple[tuple[str, int], ...]) -> Iterator[list[tuple[str, int]]]:
    """Topics as one packet may carry them."""
    return (list(topics[at : at + SUBSCRIBED_AT_ONCE]) for at in range(0, len(topics), SUBSCRIBED_AT_ONCE))
