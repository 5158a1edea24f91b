"""One connection to a broker: paho-mqtt's client, driven by the event loop and thrown away afterwards."""

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from adapters._mqtt_delivery import PUBLISH, Delivery, Listener
from adapters._mqtt_errors import FAILURE, LinkError, Party, again, lost, refusal
from edge.contract import SinkError, SourceError

log = logging.getLogger("lineside.mqtt")

LARGEST_REPLY = 65_536
"""Bytes of one packet from the broker where nothing is subscribed to: replies are tens of bytes."""
LARGEST_PACKET = 268_435_455
"""Bytes of one packet in MQTT at all (2.1.4)."""
GOODBYE_S = 2.0
"""How long an orderly end may take."""
ROOM = 4
"""So many of the largest messages can wait to be received."""

NEVER = frozenset({0x90, 0x95, 0x99})
"""PUBACK: topic name invalid, packet too large, payload format invalid. Another try ends the same."""
# mosquitto 2.0 answers a message above its limit with PUBACK 0x95, which the standard does not list for
# PUBACK; paho then takes the packet for malformed and drops the connection, again and again.
for _code, _names in ReasonCode.names.items():
    for _packets in _names.values():
        if _code >= FAILURE and len(_names) == 1 and PacketTypes.PUBACK not in _packets:
            _packets.append(PacketTypes.PUBACK)


@dataclass(frozen=True, slots=True)
class Message:
    seq: int
    topic: str
    payload: bytes
    retain: bool = False
    correlation: bytes | None = None
    """Of an answer: what the question came with."""

    def size(self) -> int:
        """Bytes of the PUBLISH packet at the most: header 5, topic length 2, id 2, properties 1 to 7."""
        more = 0 if self.correlation is None else len(self.correlation) + 6
        return len(self.payload) + len(self.topic.encode()) + 10 + more

    def properties(self) -> Properties | None:
        if self.correlation is None:
            return None
        own = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        own.CorrelationData = self.correlation
        return own


@dataclass(eq=False, slots=True)
class Flight:
    """The messages of one write, and what became of them."""

    waiting: int
    landed: asyncio.Future[None]
    acknowledged: list[int] = field(default_factory=list)
    rejected: dict[int, str] = field(default_factory=dict)
    refusal: str = ""
    """Why messages were refused that may be taken another time."""

    def answered(self, message: Message, code: int, words: str) -> None:
        if code < FAILURE:
            self.acknowledged.append(message.seq)
        elif code in NEVER:
            self.rejected[message.seq] = words
        else:
            self.refusal = f"{message.topic}: {words}"
        self.waiting -= 1
        if self.waiting == 0:
            self.land()

    def land(self) -> None:
        if not self.landed.done():
            self.landed.set_result(None)


@dataclass(frozen=True, slots=True)
class Hello:
    """What the agent says of itself when it connects, and keeps to."""

    client_id: str
    in_flight: int
    """Messages sent and not yet confirmed, at the most."""
    will: Message | None = None
    """The broker publishes it, retained, when the agent is gone without a goodbye."""
    largest: int = LARGEST_REPLY
    """Bytes of a packet from the broker, at the most; of a longer message only the beginning is kept."""
    remembered_s: int = 0
    """So long the broker keeps what comes while the agent is away; 0: nothing is subscribed to."""


class Link:
    """A paho client on the event loop, for one connection; afterwards it is thrown away.

    paho's own queue is never used (its in-flight limit must be 0, for none): what is not in flight waits
    here, where it is accounted for.
    """

    def __init__(self, party: Party, url: str, client: Listener, hello: Hello, timeout_s: float) -> None:
        self.error: LinkError | None = None
        self.remembered = False
        """Whether the broker knew this client: it has kept what was sent while it was away."""
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._party, self._url, self._client = party, url, client
        self._timeout_s = timeout_s
        self._hello = hello
        self._window = hello.in_flight
        self._largest = LARGEST_PACKET
        self._queue: deque[tuple[Flight, Message]] = deque()
        self._pending: dict[int, tuple[Flight, Message, float]] = {}
        self._flights: set[Flight] = set()
        self._listening: asyncio.Future[None] = self._loop.create_future()
        self._inbox: deque[Delivery] = deque()
        self._waiting = 0
        self._arrived = asyncio.Event()
        self._overran = False
        self._skips = False
        self._wants_write = client.want_write()
        self._writing = False
        self._leaving = False
        self._fd = -1
        self._timer: asyncio.TimerHandle | None = None
        self._attach()

    def check(self) -> None:
        """Raises LinkError when the connection is gone."""
        if self.error is not None:
            raise again(self.error)

    async def fly(self, messages: Iterable[Message]) -> Flight:
        """Send; return when each message is answered or the connection is gone. Raises LinkError."""
        self.check()
        messages = list(messages)
        flight = Flight(len(messages), self._loop.create_future())
        self._flights.add(flight)
        try:
            self._queue_up(flight, messages)
            self._pump()
            await flight.landed
        finally:
            self._flights.discard(flight)
            if flight.waiting:
                self._queue = deque(entry for entry in self._queue if entry[0] is not flight)
        return flight

    def space(self, message: Message) -> int:
        """Bytes of payload that the broker takes in such a message, which holds none yet."""
        return self._largest - message.size()

    async def leave(self, goodbye: Message | None = None) -> None:
        """Say goodbye and disconnect in order, so that the broker drops the last will."""
        self._queue.clear()
        try:
            if self.error is None:
                with suppress(SinkError, SourceError, TimeoutError):
                    async with asyncio.timeout(min(GOODBYE_S, self._timeout_s)):
                        await self.fly([goodbye] if goodbye else [])
                    self._leaving = True
                    self._client.disconnect()
                    self._client.loop_write()
        finally:
            self.detach()

    def detach(self) -> None:
        """Close the socket without a word; the broker then publishes the last will."""
        if self._timer is not None:
            self._timer.cancel()
        self._client.on_connect = self._client.on_publish = self._client.on_disconnect = None
        self._client.on_subscribe = self._client.on_delivery = None
        self._client.on_socket_register_write = self._client.on_socket_unregister_write = None
        self._client.on_socket_close = None
        self._unwatch()
        if (sock := self._client.socket()) is not None:
            sock.close()

    def _attach(self) -> None:
        client = self._client
        client.on_socket_open = None
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_delivery = self._on_delivery  # a broker that remembers delivers before it is asked to
        client.on_socket_register_write = lambda *_: self._want(True)
        client.on_socket_unregister_write = lambda *_: self._want(False)
        client.on_socket_close = lambda *_: self._unwatch()
        if (sock := client.socket()) is None:
            self._fail(self._party.lost(lost(self._url, False)))
            return
        self._fd = sock.fileno()
        self._loop.add_reader(self._fd, self._readable, sock)
        self._settle()
        self._tick()

    # --- what is delivered

    async def subscribe(self, topic: str) -> None:
        """Return when the broker delivers. Raises LinkError."""
        self.check()
        # A retained order is an old one; it comes once, to be refused aloud, and not at each connect.
        how = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        self._client.subscribe(topic, options=how)
        self._write()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._listening
        except TimeoutError:
            raise self._party.lost(
                f"{self._url} did not answer a subscription within {self._timeout_s:g} s"
            ) from None
        self.check()

    async def receive(self) -> Delivery:
        """The next message, in the broker's order. Raises LinkError."""
        while not self._inbox and self.error is None:
            if self._skips:
                words = f"{self._url} sent more at once than there is room for; it gives the rest again"
                self._fail(self._party.lost(words))
                break
            self._arrived.clear()
            await self._arrived.wait()
        self.check()
        delivery = self._inbox.popleft()
        self._waiting -= delivery.size
        return delivery

    def acknowledge(self, delivery: Delivery) -> None:
        """Tell the broker that it may forget this message. Nothing where the connection is gone."""
        if self.error is None and delivery.qos:
            self._client.ack(delivery.mid, delivery.qos)
            self._write()

    def _on_subscribe(self, client: Client, data: object, mid: int, reasons: list[ReasonCode],
                      properties: Properties | None) -> None:  # fmt: skip
        if reasons and reasons[0].value >= FAILURE:
            words = f"{self._url} does not let it subscribe: {reasons[0]}; check the broker's access list"
            self._fail(self._party.refused(words))
        elif not self._listening.done():
            self._listening.set_result(None)

    def _on_delivery(self, delivery: Delivery) -> None:
        fits = self._waiting + delivery.size <= ROOM * self._hello.largest
        if fits and not (delivery.qos and self._skips):
            self._waiting += delivery.size
            self._inbox.append(delivery)
            self._arrived.set()
        elif delivery.qos:
            self._skips = True  # and all that follow, to keep their order
        else:
            self._overrun()

    def _overrun(self) -> None:
        """QoS 0 knows no flow control: what does not fit is gone, as its sender has chosen."""
        if not self._overran:
            log.warning(
                "%s: messages with QoS 0 come faster than they can be recorded, and some are lost; "
                "send them with QoS 1", self._party.name,
            )  # fmt: skip
        self._overran = True

    # --- what goes out

    def _queue_up(self, flight: Flight, messages: Sequence[Message]) -> None:
        for message in messages:
            if message.size() > self._largest or len(message.topic.encode()) > 65_535:
                words = f"{message.size()} bytes; the broker takes {self._largest} at the most"
                flight.answered(message, 0x95, words)
            else:
                self._queue.append((flight, message))
        if flight.waiting == 0:
            flight.land()

    def _pump(self) -> None:
        while self._queue and self.error is None and len(self._pending) < self._window:
            flight, message = self._queue.popleft()
            sent = self._client.publish(
                message.topic, message.payload, 1, message.retain, message.properties()
            )
            if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._fail(self._party.lost(lost(self._url, True)))
                return
            self._pending[sent.mid] = (flight, message, self._loop.time())
        self._write()

    def _write(self) -> None:
        if self._client.want_write():
            self._client.loop_write()
        self._settle()

    def _want(self, wanted: bool) -> None:
        self._wants_write = wanted

    def _settle(self) -> None:
        """Watch for room in the socket only while there is something to put into it."""
        if self._fd < 0 or self._wants_write == self._writing:
            return
        self._writing = self._wants_write
        if self._writing:
            self._loop.add_writer(self._fd, self._write)
        else:
            self._loop.remove_writer(self._fd)

    # --- what comes in

    def _readable(self, sock: object) -> None:
        self._client.loop_read()
        while self.error is None and isinstance(sock, ssl.SSLSocket) and sock.pending():
            self._client.loop_read()
        coming = self._client._in_packet
        if coming["remaining_length"] > self._hello.largest and not self._may_be_long(coming["command"]):
            self._fail(self._party.lost(f"{self._url} sent a packet that no broker sends"))
        if self.error is None:
            self._pump()

    def _may_be_long(self, first: int) -> bool:
        return first & 0xF0 == PUBLISH and self._hello.remembered_s > 0

    def _on_connect(self, client: Client, data: object, flags: ConnectFlags, reason: ReasonCode,
                    properties: Properties | None) -> None:  # fmt: skip
        if reason.value >= FAILURE:
            self._fail(refusal(self._party, self._url, reason))
            return
        if getattr(properties, "MaximumQoS", 1) < 1:
            self._fail(self._party.refused(f"{self._url} confirms no message (its highest QoS is 0)"))
            return
        self._window = min(self._window, getattr(properties, "ReceiveMaximum", self._window))
        self._largest = min(self._largest, getattr(properties, "MaximumPacketSize", self._largest))
        self.remembered = flags.session_present
        if not self.greeted.done():
            self.greeted.set_result(None)

    def _on_publish(self, client: Client, data: object, mid: int, reason: ReasonCode,
                    properties: Properties | None) -> None:  # fmt: skip
        if (entry := self._pending.pop(mid, None)) is not None:
            flight, message, _ = entry
            flight.answered(message, reason.value, f"the broker answers: {reason}")

    def _on_disconnect(self, client: Client, data: object, flags: DisconnectFlags, reason: ReasonCode,
                       properties: Properties | None) -> None:  # fmt: skip
        if self._leaving:
            return
        if flags.is_disconnect_packet_from_server:
            self._fail(refusal(self._party, self._url, reason))
        else:
            self._fail(self._party.lost(lost(self._url, self.greeted.done())))

    def _tick(self) -> None:
        self._timer = self._loop.call_later(min(1.0, self._timeout_s / 4), self._tick)
        self._client.loop_misc()
        self._write()
        oldest = next(iter(self._pending.values()), None)
        if oldest is not None and self._loop.time() - oldest[2] > self._timeout_s:
            self._fail(self._party.lost(f"{self._url} has confirmed nothing for {self._timeout_s:g} s"))

    # --- the end

    def _unwatch(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._fd = -1

    def _fail(self, error: LinkError) -> None:
        if self.error is not None:
            return
        self.error = error
        self.detach()
        if not self.greeted.done():
            self.greeted.set_exception(error)
        if not self._listening.done():
            self._listening.set_result(None)
        for flight in self._flights:
            flight.land()
        self._arrived.set()
