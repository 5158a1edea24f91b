"""One connection to a broker: paho-mqtt's client, driven by the event loop and thrown away afterwards."""

import asyncio
import socket
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

from edge.contract import SinkError, SinkLost, SinkRefused

LARGEST_REPLY = 65_536
"""Bytes of one packet from the broker; nothing is subscribed to, so replies are tens of bytes."""
LARGEST_PACKET = 268_435_455
"""Bytes of one packet in MQTT at all (2.1.4)."""
GOODBYE_S = 2.0
"""How long an orderly end may take."""

MALFORMED = range(78, 95)
"""Faults that OpenSSL finds only with X509_V_FLAG_X509_STRICT: the trust is there, the form is not."""

FAILURE = 0x80
"""Reason codes from here on are failures (MQTT 5, 2.4)."""
NEVER = frozenset({0x90, 0x95, 0x99})
"""PUBACK: topic name invalid, packet too large, payload format invalid. Another try ends the same."""
LATER = frozenset({0x00, 0x04, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8B, 0x8D, 0x93, 0x96, 0x97, 0x98, 0x9F, 0xA0})
"""CONNACK and DISCONNECT: the broker is busy, stops or is at a limit. Any other failure needs a person."""

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

    def size(self) -> int:
        """Bytes of the PUBLISH packet at the most: header 5, topic length 2, id 2, properties 1."""
        return len(self.payload) + len(self.topic.encode()) + 10


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


class Link:
    """A paho client on the event loop, for one connection; afterwards it is thrown away.

    paho's own queue is never used (its in-flight limit must be 0, for none): what is not in flight waits
    here, where it is accounted for.
    """

    def __init__(self, sink: str, url: str, client: Client, window: int, timeout_s: float) -> None:
        self.error: SinkError | None = None
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._sink, self._url, self._client = sink, url, client
        self._timeout_s = timeout_s
        self._window = window
        self._largest = LARGEST_PACKET
        self._queue: deque[tuple[Flight, Message]] = deque()
        self._pending: dict[int, tuple[Flight, Message, float]] = {}
        self._flights: set[Flight] = set()
        self._wants_write = client.want_write()
        self._writing = False
        self._leaving = False
        self._fd = -1
        self._timer: asyncio.TimerHandle | None = None
        self._attach()

    async def fly(self, messages: Iterable[Message]) -> Flight:
        """Send; return when each message is answered or the connection is gone. Raises SinkError."""
        if self.error is not None:
            raise type(self.error)(self._sink, self.error.reason)
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

    async def leave(self, goodbye: Message) -> None:
        """Say goodbye and disconnect in order, so that the broker drops the last will."""
        self._queue.clear()
        try:
            if self.error is None:
                with suppress(SinkError, TimeoutError):
                    async with asyncio.timeout(min(GOODBYE_S, self._timeout_s)):
                        await self.fly([goodbye])
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
        client.on_socket_register_write = lambda *_: self._want(True)
        client.on_socket_unregister_write = lambda *_: self._want(False)
        client.on_socket_close = lambda *_: self._unwatch()
        if (sock := client.socket()) is None:
            self._fail(SinkLost(self._sink, lost(self._url, False)))
            return
        self._fd = sock.fileno()
        self._loop.add_reader(self._fd, self._readable, sock)
        self._settle()
        self._tick()

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
            sent = self._client.publish(message.topic, message.payload, qos=1, retain=message.retain)
            if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._fail(SinkLost(self._sink, lost(self._url, True)))
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
        # paho would collect up to 256 MB before it looks at a packet.
        if self._client._in_packet["remaining_length"] > LARGEST_REPLY:
            self._fail(SinkLost(self._sink, f"{self._url} sent a packet that no broker sends"))
        if self.error is None:
            self._pump()

    def _on_connect(self, client: Client, data: object, flags: ConnectFlags, reason: ReasonCode,
                    properties: Properties | None) -> None:  # fmt: skip
        if reason.value >= FAILURE:
            self._fail(refusal(self._sink, self._url, reason))
            return
        if getattr(properties, "MaximumQoS", 1) < 1:
            self._fail(SinkRefused(self._sink, f"{self._url} confirms no message (its highest QoS is 0)"))
            return
        self._window = min(self._window, getattr(properties, "ReceiveMaximum", self._window))
        self._largest = min(self._largest, getattr(properties, "MaximumPacketSize", self._largest))
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
            self._fail(refusal(self._sink, self._url, reason))
        else:
            self._fail(SinkLost(self._sink, lost(self._url, self.greeted.done())))

    def _tick(self) -> None:
        self._timer = self._loop.call_later(min(1.0, self._timeout_s / 4), self._tick)
        self._client.loop_misc()
        self._write()
        oldest = next(iter(self._pending.values()), None)
        if oldest is not None and self._loop.time() - oldest[2] > self._timeout_s:
            self._fail(SinkLost(self._sink, f"{self._url} has confirmed nothing for {self._timeout_s:g} s"))

    # --- the end

    def _unwatch(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._fd = -1

    def _fail(self, error: SinkError) -> None:
        if self.error is not None:
            return
        self.error = error
        self.detach()
        if not self.greeted.done():
            self.greeted.set_exception(error)
        for flight in self._flights:
            flight.land()


def lost(url: str, greeted: bool) -> str:
    """The sentence for a connection that ended without a word from the broker.

    mosquitto 2.0 says nothing either when a second client of the same id takes the session over.
    """
    if greeted:
        return f"the connection to {url} broke; if it does so again and again, two clients share a client_id"
    return (
        f"{url} closed the connection before it accepted it; look into the broker's log: it may want "
        "a client certificate (cert, key), TLS (mqtts://), or speak no MQTT 5"
    )


def refusal(sink: str, url: str, reason: ReasonCode) -> SinkError:
    """What a reason code of CONNACK or DISCONNECT means for the sink."""
    advice = {
        0x84: "it speaks no MQTT 5",
        0x85: "choose another client_id",
        0x86: "check user and password",
        0x87: "check user, password and the broker's access list",
        0x8E: "another client uses this client_id; give each agent its own",
        0x9A: "it must keep retained messages, for the states",
    }.get(reason.value, "look into the broker's log")
    if reason.value in LATER:
        return SinkLost(sink, f"{url} answers: {reason}")
    return SinkRefused(sink, f"{url} answers: {reason}; {advice}")


def _certificate_advice(code: int) -> str:
    """What to do about an X509_V_ERR_ code of OpenSSL (x509_vfy.h)."""
    if code in MALFORMED:
        return (
            "the certificate or its authority's is not made as RFC 5280 wants it, which Python checks from "
            "3.13 on; have it made anew, an authority with keyUsage=critical,keyCertSign,cRLSign"
        )
    return {
        9: "it is not valid yet; is this machine's clock right?",
        10: "it has expired; renew it, if this machine's clock is right",
        62: "write the broker by the name that is in its certificate",
        64: "write the broker by the name that is in its certificate",
    }.get(code, "set `ca` to its authority")


def unreachable(sink: str, url: str, error: OSError) -> SinkError:
    """What an error of the socket or of TLS means for the sink."""
    if isinstance(error, ssl.SSLCertVerificationError):
        words = f"the certificate of {url} is not trusted: {getattr(error, 'verify_message', error)}"
        return SinkRefused(sink, f"{words}; {_certificate_advice(getattr(error, 'verify_code', 0))}")
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionResetError | BrokenPipeError):
        return SinkLost(sink, lost(url, False))
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", error)
        return SinkRefused(sink, f"no TLS with {url}: {reason}; does this port speak TLS?")
    if isinstance(error, socket.gaierror):
        return SinkLost(sink, f"{url}: the name is not known; check it, and the name server")
    if isinstance(error, ConnectionRefusedError):
        return SinkLost(sink, f"nothing listens at {url}; is the broker running?")
    return SinkLost(sink, f"{url} cannot be reached: {error.strerror or error}")
