"""A small MQTT broker inside the process that uses it: 5.0 and 3.1.1, QoS 0 and 1.

What a line needs of a broker: sessions, retained messages, subscriptions with wildcards. No TLS, no QoS 2, no
access list; it listens on 127.0.0.1 only. It can be cut: then nobody listens, and every connection is reset.
Packet layouts are those of "MQTT Version 5.0" (OASIS), sections 2 and 3.
"""

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from simulators.cuttable import Cuttable

LARGEST = 16 << 20
"""Bytes of one packet."""
AT_ONCE = 20
"""Messages sent to a subscriber and not yet acknowledged, at the most."""
WAITING = 1_000
"""Messages kept for a subscriber that is away, at the most."""
FIVE = 5
_CONNECT, _CONNACK, _PUBLISH, _PUBACK = 1, 2, 3, 4
_SUBSCRIBE, _SUBACK, _UNSUBSCRIBE, _UNSUBACK = 8, 9, 10, 11
_PINGREQ, _PINGRESP, _DISCONNECT = 12, 13, 14
_CONNACK_PROPERTIES = b"\x24\x01" + b"\x21" + struct.pack(">H", 100) + b"\x2a\x00"
"""Maximum QoS 1, Receive Maximum 100, no shared subscriptions."""

Heard = Callable[[str, bytes, bool], None]
"""Topic, payload and whether it is to be retained, of each message that a client has published."""


class Malformed(Exception):
    """Bytes that are no MQTT, or ask for what this broker has not."""


@dataclass(slots=True)
class Message:
    """What a client has published."""

    topic: str
    payload: bytes
    retain: bool = False


@dataclass(slots=True)
class Session:
    """A client, connected or away."""

    filters: dict[str, int] = field(default_factory=dict)
    waiting: list[Message] = field(default_factory=list)
    unacknowledged: dict[int, Message] = field(default_factory=dict)
    next_id: int = 1
    writer: asyncio.StreamWriter | None = None
    version: int = FIVE


class Broker(Cuttable):
    """Sessions and retained messages outlive a cut."""

    scheme = "mqtt"

    def __init__(self, heard: Heard = lambda topic, payload, retain: None) -> None:
        super().__init__()
        self.retained: dict[str, bytes] = {}
        self.acknowledged: list[Message] = []
        """What subscribers have confirmed, in that order."""
        self._heard = heard
        self._sessions: dict[str, Session] = {}

    def publish(self, topic: str, payload: bytes) -> None:
        """To every subscriber, with QoS 1; it waits for those that are away and have a session."""
        self._route(Message(topic, payload))

    # --- one client -------------------------------------------------------------------------

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session: Session | None = None
        try:
            kind, _, body = await _packet(reader)
            if kind != _CONNECT:
                raise Malformed("the first packet is no CONNECT")
            session = self._connect(body, writer)
            while True:
                self._serve(session, writer, *await _packet(reader))
                await writer.drain()
        except Malformed:
            pass  # not worth an answer
        finally:
            if session is not None and session.writer is writer:
                session.writer = None

    def _connect(self, body: bytes, writer: asyncio.StreamWriter) -> Session:
        packet = _Reader(body)
        if packet.text() != "MQTT":
            raise Malformed("no MQTT")
        version, flags = packet.byte(), packet.byte()
        packet.number()  # keep-alive: a loopback connection tells when it is gone
        if version not in (4, FIVE):
            writer.write(_framed(_CONNACK, b"\x00\x01"))
            raise Malformed("neither 3.1.1 nor 5.0")
        if version == FIVE:
            packet.properties()
        name = packet.text() or f"nameless-{id(writer)}"
        old = self._sessions.get(name)
        if old is not None and old.writer is not None:
            old.writer.transport.abort()
        session = Session() if old is None or flags & 0x02 else old
        session.writer, session.version = writer, version
        self._sessions[name] = session
        properties = _counted(_CONNACK_PROPERTIES) if version == FIVE else b""
        writer.write(_framed(_CONNACK, bytes([session is old, 0]) + properties))
        session.waiting = [*session.unacknowledged.values(), *session.waiting]
        session.unacknowledged.clear()
        self._hand_out(session)
        return session

    def _serve(
        self, session: Session, writer: asyncio.StreamWriter, kind: int, flags: int, body: bytes
    ) -> None:
        packet = _Reader(body)
        if kind == _PUBLISH:
            self._published(session, writer, flags, packet)
        elif kind == _PUBACK:
            done = session.unacknowledged.pop(packet.number(), None)
            if done is not None:
                self.acknowledged.append(done)
            self._hand_out(session)
        elif kind == _SUBSCRIBE:
            self._subscribe(session, writer, packet)
        elif kind == _UNSUBSCRIBE:
            self._unsubscribe(session, writer, packet)
        elif kind == _PINGREQ:
            writer.write(_framed(_PINGRESP, b""))
        elif kind == _DISCONNECT:
            raise EOFError
        else:
            raise Malformed(f"a packet of kind {kind}")

    def _published(
        self, session: Session, writer: asyncio.StreamWriter, flags: int, packet: "_Reader"
    ) -> None:
        qos, topic = flags >> 1 & 3, packet.text()
        if qos > 1:
            raise Malformed("QoS 2")
        number = packet.number() if qos else 0
        if session.version == FIVE:
            packet.properties()
        message = Message(topic, packet.rest(), bool(flags & 1))
        self._heard(message.topic, message.payload, message.retain)
        if message.retain:
            self.retained.pop(topic, None)
            if message.payload:
                self.retained[topic] = message.payload
        self._route(message)
        if qos:
            writer.write(_framed(_PUBACK, struct.pack(">H", number)))

    def _subscribe(self, session: Session, writer: asyncio.StreamWriter, packet: "_Reader") -> None:
        number = packet.number()
        if session.version == FIVE:
            packet.properties()
        granted, fresh = bytearray(), []
        while packet.left():
            pattern, asked = packet.text(), packet.byte() & 3
            session.filters[pattern] = min(asked, 1)
            granted.append(min(asked, 1))
            fresh.append(pattern)
        none = b"\x00" if session.version == FIVE else b""
        writer.write(_framed(_SUBACK, struct.pack(">H", number) + none + bytes(granted)))
        for topic, payload in self.retained.items():
            if any(matches(pattern, topic) for pattern in fresh):
                session.waiting.append(Message(topic, payload, True))
        self._hand_out(session)

    def _unsubscribe(self, session: Session, writer: asyncio.StreamWriter, packet: "_Reader") -> None:
        number = packet.number()
        if session.version == FIVE:
            packet.properties()
        answers = bytearray()
        while packet.left():
            answers.append(0x00 if session.filters.pop(packet.text(), None) is not None else 0x11)
        told = b"\x00" + bytes(answers) if session.version == FIVE else b""
        writer.write(_framed(_UNSUBACK, struct.pack(">H", number) + told))

    # --- to subscribers ---------------------------------------------------------------------

    def _route(self, message: Message) -> None:
        for session in self._sessions.values():
            if any(matches(pattern, message.topic) for pattern in session.filters):
                session.waiting = [*session.waiting[-WAITING:], Message(message.topic, message.payload)]
                self._hand_out(session)

    def _hand_out(self, session: Session) -> None:
        """What waits, as much as may be on its way at once."""
        while session.writer is not None and session.waiting and len(session.unacknowledged) < AT_ONCE:
            message = session.waiting.pop(0)
            number = session.next_id
            session.next_id = number % 0xFFFF + 1
            session.unacknowledged[number] = message
            none = b"\x00" if session.version == FIVE else b""
            body = _text(message.topic) + struct.pack(">H", number) + none + message.payload
            session.writer.write(_framed(_PUBLISH, body, 0x02 | message.retain))


# --- packets --------------------------------------------------------------------------------


async def _packet(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    """Kind, flags and body. Raises EOFError, Malformed."""
    first = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
        if shift > 21:
            raise Malformed("a length of more than four bytes")
    if length > LARGEST:
        raise Malformed(f"a packet of {length} bytes")
    return first >> 4, first & 0x0F, await reader.readexactly(length)


class _Reader:
    """Takes a packet's body apart. Every method raises Malformed where it is too short."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def left(self) -> int:
        return len(self._body) - self._at

    def take(self, length: int) -> bytes:
        if self.left() < length:
            raise Malformed("a packet that is too short")
        self._at += length
        return self._body[self._at - length : self._at]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def text(self) -> str:
        try:
            return self.take(self.number()).decode()
        except UnicodeDecodeError as error:
            raise Malformed("a text that is no UTF-8") from error

    def properties(self) -> bytes:
        length = shift = 0
        while True:
            byte = self.byte()
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80 or shift > 21:
                return self.take(length)

    def rest(self) -> bytes:
        return self.take(self.left())


def _framed(kind: int, body: bytes, flags: int = 0x00) -> bytes:
    flags = 0x02 if kind in (_SUBSCRIBE, _UNSUBSCRIBE) else flags
    return bytes([kind << 4 | flags]) + _length(len(body)) + body


def _counted(properties: bytes) -> bytes:
    return _length(len(properties)) + properties


def _length(number: int) -> bytes:
    """A variable byte integer (1.5.5)."""
    encoded = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        encoded.append(low | (0x80 if number else 0))
        if not number:
            return bytes(encoded)


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">H", len(raw)) + raw


def matches(pattern: str, topic: str) -> bool:
    """Whether a topic filter takes in a topic (4.7): `+` one level, `#` all that follow."""
    if topic.startswith("$") and pattern[:1] in ("+", "#"):
        return False
    wanted, given = pattern.split("/"), topic.split("/")
    for place, level in enumerate(wanted):
        if level == "#":
            return True
        if place >= len(given) or level not in ("+", given[place]):
            return False
    return len(wanted) == len(given)
