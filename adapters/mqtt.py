"""Sink `mqtt`: events and current states to an MQTT broker, QoS 1, through paho-mqtt.

MQTT 5 where the broker speaks it, because only its PUBACK says why a message was not taken; else 3.1.1.
"""

import json
import logging
import math
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

import msgspec
from pydantic import Field, PrivateAttr

from adapters._mqtt_broker import BrokerSettings, Expiry, open_any, topic_of
from adapters._mqtt_doubt import Doubts
from adapters._mqtt_errors import Party
from adapters._mqtt_link import Link
from adapters._mqtt_messages import Flight, Hello, Message, Session
from adapters._mqtt_suspect import Suspect
from edge.contract import (
    TELEMETRY,
    Mark,
    Outlet,
    Receipt,
    Record,
    Sink,
    SinkError,
    SinkSettings,
)
from edge.plural import counted

log = logging.getLogger("lineside.mqtt")

LARGEST_REPLY = 65_536
"""Bytes of one packet from the broker: replies are tens of bytes."""
KEPT_WITHIN_S = 1.0
"""A retained message follows its subscription at once; where none is there, nothing ever says so."""
HANG_UPS = 2
"""So often in a row a broker may hang up where a mark is asked for or left; then it is left in peace."""

LONGEST_ID = 100
"""Characters of an event's id."""

_VERSIONS = {"auto": (5, 4), "5": (5,), "3.1.1": (4,)}


@dataclass(slots=True)
class Memory:
    """What outlives a connection, as long as the agent runs."""

    session: Session = field(default_factory=Session)
    hang_ups: Counter[str] = field(default_factory=Counter)
    """In a row, over a mark that was left or asked for."""
    suspect: Suspect = field(default_factory=Suspect)
    doubts: Doubts = field(default_factory=Doubts)
    denied: set[str] = field(default_factory=set)
    """Topics of states that the broker has not taken of late, which was said."""
    said: set[str] = field(default_factory=set)
    """What was said once and need not be said again."""

    def say(self, words: str) -> None:
        """A warning, once."""
        if words not in self.said:
            self.said.add(words)
            log.warning("%s", words)


class Settings(BrokerSettings, SinkSettings):
    """`[sink.NAME]` with `type = "mqtt"`."""

    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """The version of MQTT; `auto` tries 5, and 3.1.1 where the broker says that it has no 5."""
    in_flight: int = Field(default=20, ge=1, le=1000)
    """Messages sent and not yet confirmed, at the most; the broker may ask for fewer."""
    session_expiry: Expiry = timedelta(hours=1)
    """How long the broker keeps the session of an agent whose connection broke."""

    _memory: Memory = PrivateAttr(default_factory=Memory)

    def owns(self) -> list[str]:
        """The client id."""
        return self.client_ids("lineside")


class MqttSink:
    """A broker that has accepted the agent."""

    def __init__(self, outlet: Outlet, link: Link, memory: Memory) -> None:
        self._outlet = outlet
        self._link = link
        self._memory = memory
        self._topics: dict[tuple[str, str, str], str] = {}
        """By station, type and name of a record, of which there are few."""
        self._left: Mark | None = None
        """By this connection."""
        self._unseen: dict[str, bytes] = {}
        """By topic, states that the broker has not taken; they are tried again with the mark."""

    async def write(self, records: Sequence[Record]) -> Receipt:
        messages = [
            Message(one.seq, self._topic(one), one.json, proves=one.type != TELEMETRY) for one in records
        ]
        suspect, useful = self._memory.suspect, self._link.useful
        alone = suspect.among(messages)
        flight = await self._link.fly(messages if alone is None else [alone])
        if alone is not None and not flight.waiting:
            suspect.clear()
        self._memory.doubts.judge(flight)
        if self._link.hung_up and (useful or flight.acknowledged):
            self._blame(messages, flight, alone)
        if not (flight.acknowledged or flight.rejected or flight.refused):
            self._link.check()
        return Receipt(flight.acknowledged, flight.rejected, flight.refused)

    def _blame(self, messages: Sequence[Message], flight: Flight, alone: Message | None) -> None:
        """The broker hung up: reject a message over which it always does, so that the others get through."""
        suspect, session = self._memory.suspect, self._memory.session
        oldest = next((one for one in session.unconfirmed.values() if one in messages), None)
        if oldest is None:
            return
        suspect.blame(oldest)
        if suspect.among(messages) is not None:
            session.end()  # it would be the first to be sent again
        if suspect.is_guilty and oldest == alone:
            words = f"the broker hangs up over it, {oldest.size()} bytes to {oldest.topic}, without a word"
            flight.rejected[oldest.seq] = words
            suspect.clear()

    async def show(self, states: Mapping[str, bytes]) -> None:
        """A state that is denied is said once, and stops nothing: the events go on."""
        topics = {}
        for key, payload in states.items():
            station, _, leaf = key.rpartition("/")
            topics[topic_of(self._outlet, station, "_state", leaf)] = payload
        await self._present(topics)

    async def _present(self, topics: Mapping[str, bytes]) -> None:
        messages = [Message(n, topic, payload, True) for n, (topic, payload) in enumerate(topics.items())]
        flight = await self._link.fly(messages)
        denied = flight.rejected | flight.refused
        if len(flight.acknowledged) + len(denied) < len(messages):
            self._link.check()
        for one in messages:
            self._unseen.pop(one.topic, None)
        self._unseen |= {one.topic: one.payload for one in messages if one.seq in denied}
        self._tell_denied({messages[seq].topic: words for seq, words in denied.items()}, topics)

    def _tell_denied(self, denied: Mapping[str, str], tried: Iterable[str]) -> None:
        told = self._memory.denied
        if new := [words for topic, words in denied.items() if topic not in told]:
            words = "%s: the broker does not take %s, so what it shows is old; the first: %s"
            log.warning(words, self._outlet.name, counted(len(new), "state"), new[0])
        told.difference_update(tried)
        told.update(denied)

    async def mark(self, mark: Mark) -> None:
        """Leave it as a retained message. Where that is denied, it is not left, and no error either."""
        self._link.check()
        if self._unseen:
            await self._present(dict(self._unseen))
        if mark == self._left or self._gave_up():
            return
        topic = mark_topic(self._outlet)
        with self._trying("publish"):
            flight = await self._link.fly([Message(mark.seq, topic, msgspec.json.encode(mark), True)])
            if not flight.acknowledged:
                self._link.check()
        if not flight.acknowledged:
            words = flight.refusal or next(iter(flight.rejected.values()))
            self._memory.say(f"{self._outlet.name}: no mark can be left at {topic}: {words}")
        self._left = mark

    async def kept(self) -> Mark | None:
        """The retained mark; None where none comes within a second, or it may not be read."""
        if self._gave_up():
            return None
        with self._trying("subscribe"):
            payload = await self._link.kept(mark_topic(self._outlet), KEPT_WITHIN_S)
        return None if payload is None else read_mark(payload)

    @contextmanager
    def _trying(self, what: str) -> Iterator[None]:
        """Some brokers do not deny, they hang up; such a one would never get an event otherwise."""
        memory, topic = self._memory, mark_topic(self._outlet)
        try:
            yield
        except SinkError:
            memory.hang_ups[what] += self._link.hung_up
            memory.session.forget(topic)
            if self._gave_up():
                memory.say(
                    f"{self._outlet.name}: the broker hangs up over {topic}, so no mark is left there; let "
                    "the agent publish to it and subscribe to it"
                )
            raise
        memory.hang_ups[what] = 0

    def _gave_up(self) -> bool:
        return max(self._memory.hang_ups.values(), default=0) >= HANG_UPS

    def _topic(self, record: Record) -> str:
        key = (record.station, record.type, record.name)
        if (topic := self._topics.get(key)) is None:
            kind, leaf = ("_event", record.type) if record.type != TELEMETRY else ("_telemetry", record.name)
            topic = self._topics[key] = topic_of(self._outlet, record.station, kind, leaf)
        return topic


def mark_topic(outlet: Outlet) -> str:
    """`{path}/{line}/_mark/{sink}`"""
    return topic_of(outlet, "", "_mark", outlet.name)


def read_mark(payload: bytes) -> Mark | None:
    """What was left there, unless somebody else has written something else."""
    try:
        mark = msgspec.json.decode(payload, type=Mark)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return mark if 0 <= mark.seq < 2**63 and len(mark.id) <= LONGEST_ID else None


@asynccontextmanager
async def connect(settings: Settings, outlet: Outlet) -> AsyncIterator[Sink]:
    """Connect to the first broker that accepts. Raises SinkLost or SinkRefused."""
    health = topic_of(outlet, "", "_state", "health")
    memory = settings._memory
    hello = Hello(
        settings.client_id or f"lineside-{outlet.line}",
        settings.in_flight,
        LARGEST_REPLY,
        math.ceil(settings.session_expiry.total_seconds()),
        will=Message(0, health, _offline("lost"), True),
        session=memory.session,
        versions=_VERSIONS[settings.protocol],
        starts_clean=True,
    )
    link = await open_any(Party.of_sink(outlet.name), settings, hello)
    if not link.five:
        memory.say(
            f"{outlet.name}: MQTT 3.1.1 is spoken with this broker; it cannot say that it denies a message: "
            "what its access list denies looks delivered"
        )
    try:
        yield MqttSink(outlet, link, memory)
    finally:
        await link.leave(Message(0, health, _offline("stopped"), True))


def _offline(reason: str) -> bytes:
    return json.dumps({"online": False, "reason": reason}, separators=(",", ":")).encode()
