"""What goes out to a broker: messages, their packets, and what became of them."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import pack

from paho.mqtt.reasoncodes import ReasonCode

from adapters._mqtt_errors import FAILURE

TOO_LARGE = 0x95
NEVER = frozenset({0x90, TOO_LARGE, 0x99})
"""PUBACK: topic name invalid, packet too large, payload format invalid. Another try ends the same."""
USUAL = 1_000
"""Bytes of a packet: that of a count, a cycle or a state has 300 to 700. A broker that takes none of so many
is set up wrongly, and when it is put right it takes them all."""
ADVICE = {
    TOO_LARGE: "usual events are as large: raise its limit (mosquitto: max_packet_size, message_size_limit)",
    0x87: "check the broker's access list",
    0x97: "check the broker's limits",
}
"""By reason code: what a person can do, that the message be taken another time."""
LONGEST_TOPIC = 65_535
"""Bytes of a topic in MQTT at all (1.5.4)."""

_QOS_1, _DUP, _RETAIN = 0x32, 0x08, 0x01
_CORRELATION = 0x09


def reason(code: int) -> str:
    """The name of a reason code of MQTT 5, from whatever packet it comes.

    mosquitto 2.0 answers a message above its limit with PUBACK 0x95, which the standard does not list there.
    """
    names: dict[str, list[int]] = ReasonCode.names.get(code, {})
    return next(iter(names), f"reason 0x{code:02X}")


@dataclass(frozen=True, slots=True)
class Message:
    seq: int
    topic: str
    payload: bytes
    retain: bool = False
    correlation: bytes | None = None
    """Of an answer: what the question came with."""
    proves: bool = True
    """Whether the broker takes events at all, if it takes this."""

    def size(self) -> int:
        """Bytes of the PUBLISH packet at the most: header 5, topic length 2, id 2, properties 1 to 7."""
        more = 0 if self.correlation is None else len(self.correlation) + 6
        return len(self.payload) + len(self.topic.encode()) + 10 + more

    def packet(self, mid: int, *, five: bool, again: bool = False) -> bytes:
        """The PUBLISH with QoS 1 (3.3), of MQTT 5 or of 3.1.1, which has no properties."""
        topic = self.topic.encode()
        properties = self._properties() if five else b""
        first = _QOS_1 | (_DUP if again else 0) | (_RETAIN if self.retain else 0)
        length = varint(4 + len(topic) + len(properties) + len(self.payload))
        return b"".join((
            bytes((first,)), length, pack("!H", len(topic)), topic, pack("!H", mid), properties, self.payload
        ))  # fmt: skip

    def _properties(self) -> bytes:
        if self.correlation is None:
            return b"\x00"
        own = pack("!BH", _CORRELATION, len(self.correlation)) + self.correlation
        return varint(len(own)) + own


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first (1.5.5)."""
    if value < 0x80:
        return bytes((value,))
    return bytes(_septets(value))


def _septets(value: int) -> Iterator[int]:
    while value > 0x7F:
        yield value & 0x7F | 0x80
        value >>= 7
    yield value


@dataclass(eq=False, slots=True)
class Flight:
    """The messages of one write, and what became of them."""

    waiting: int
    landed: asyncio.Future[None]
    acknowledged: list[int] = field(default_factory=list)
    rejected: dict[int, str] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    """Why, of messages that may be taken another time."""
    proof: bool = False
    """Whether one was taken that proves something."""
    sure: int = 0
    """So many of the rejected, the first ones, were rejected before that."""

    @property
    def refusal(self) -> str:
        """Of the first that may be taken another time; empty where there is none."""
        return next(iter(self.refused.values()), "")

    def answered(self, message: Message, code: int, words: str = "") -> None:
        """`words` tell of a failure; where there are none, the broker's reason does."""
        words = f"{message.topic}: {words or f'the broker answers: {reason(code)}'}"
        if code < FAILURE:
            self.acknowledged.append(message.seq)
            if message.proves:
                self.proof, self.sure = True, len(self.rejected)
        elif code in NEVER and not (code == TOO_LARGE and message.size() <= USUAL):
            self.rejected[message.seq] = words
        else:
            self.refused[message.seq] = f"{words}; {ADVICE.get(code, 'look into its log')}"
        self.waiting -= 1
        if self.waiting == 0:
            self.land()

    def land(self) -> None:
        if not self.landed.done():
            self.landed.set_result(None)


@dataclass(eq=False, slots=True)
class Sent:
    """A message on its way."""

    message: Message
    flight: Flight | None
    """None while nobody asks for it: it was sent by a connection that broke."""
    since: float = 0.0
    """Time of the event loop."""
    code: int | None = None
    """The broker's answer, of one that nobody has asked for yet."""

    def answered(self, code: int) -> None:
        if self.flight is None:
            self.code = code
        else:
            self.flight.answered(self.message, code)

    def adopted(self, flight: Flight) -> None:
        """Somebody wants to send it again: it is the same message, and its answer is his."""
        self.flight = flight
        if self.code is not None:
            flight.answered(self.message, self.code)


@dataclass(slots=True)
class Session:
    """What outlives a connection (MQTT 5, 4.1): the broker has its half, this is ours."""

    begun: bool = False
    """Whether there was a connection that can be gone on with."""
    unconfirmed: dict[int, Message] = field(default_factory=dict)
    """By packet identifier, in the order in which they were sent."""
    last_mid: int = 0
    """The packet identifier given last."""
    turn: int = 0
    """Which of the addresses is tried first."""

    def forget(self, topic: str) -> None:
        """What was sent to this topic is not sent again, though it is not confirmed."""
        kept = {mid: message for mid, message in self.unconfirmed.items() if message.topic != topic}
        self.unconfirmed = kept

    def end(self) -> None:
        """The next connection begins anew."""
        self.begun, self.unconfirmed = False, {}


@dataclass(frozen=True, slots=True)
class Hello:
    """What the agent says of itself when it connects, and keeps to."""

    client_id: str
    in_flight: int
    """Messages sent and not yet confirmed, at the most."""
    largest: int
    """Bytes of a packet from the broker, at the most; of a longer message only the beginning is kept."""
    remembered_s: int
    """So long the broker keeps the session while the agent is away."""
    hears: bool = False
    """Whether messages are subscribed to, which may be large."""
    will: Message | None = None
    """The broker publishes it, retained, when the agent is gone without a goodbye."""
    session: Session = field(default_factory=Session)
    versions: tuple[int, ...] = (5,)
    """Of MQTT, tried in turn: 5, and 4 for 3.1.1."""
    starts_clean: bool = False
    """Whether a session that is not `begun` must be a new one."""
