"""Sink `mqtt`: events and current states to an MQTT 5 broker, QoS 1, through paho-mqtt.

MQTT 5 and not 3.1.1, because only its PUBACK says why a message was not taken.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from pydantic import Field

from adapters._mqtt_broker import BrokerSettings, open_any, topic_of
from adapters._mqtt_errors import Party
from adapters._mqtt_link import Flight, Hello, Link, Message
from edge.contract import Outlet, Receipt, Record, Sink, SinkError, SinkRefused, SinkSettings, Unmarked


class Settings(BrokerSettings, SinkSettings):
    """`[sink.NAME]` with `type = "mqtt"`."""

    in_flight: int = Field(default=20, ge=1, le=1000)
    """Messages sent and not yet confirmed, at the most; the broker may ask for fewer."""

    def owns(self) -> list[str]:
        """The client id."""
        return self.client_ids("lineside")


class MqttSink(Unmarked):
    """A broker that has accepted the agent."""

    def __init__(self, outlet: Outlet, link: Link) -> None:
        self._outlet = outlet
        self._link = link

    async def write(self, records: Sequence[Record]) -> Receipt:
        messages = (
            Message(one.seq, topic_of(self._outlet, one.station, "_event", one.type), one.json)
            for one in records
        )
        flight = await self._link.fly(messages)
        if records and not flight.acknowledged and not flight.rejected:
            raise self._failure(flight)
        return Receipt(flight.acknowledged, flight.rejected)

    async def show(self, states: Mapping[str, bytes]) -> None:
        messages = []
        for number, (key, payload) in enumerate(states.items()):
            station, _, job = key.rpartition("/")
            messages.append(Message(number, topic_of(self._outlet, station, "_state", job), payload, True))
        flight = await self._link.fly(messages)
        if len(flight.acknowledged) < len(messages):
            raise self._failure(flight)

    def _failure(self, flight: Flight) -> SinkError:
        if isinstance(self._link.error, SinkError):
            return type(self._link.error)(self._outlet.name, self._link.error.reason)
        words = flight.refusal or next(iter(flight.rejected.values()))
        return SinkRefused(self._outlet.name, f"{words}; check the broker's access list and limits")


@asynccontextmanager
async def connect(settings: Settings, outlet: Outlet) -> AsyncIterator[Sink]:
    """Connect to the first broker that accepts. Raises SinkLost or SinkRefused."""
    health = topic_of(outlet, "", "_state", "health")
    will = Message(0, health, _offline("lost"), True)
    hello = Hello(settings.client_id or f"lineside-{outlet.line}", settings.in_flight, will)
    link = await open_any(Party.of_sink(outlet.name), settings, hello)
    try:
        yield MqttSink(outlet, link)
    finally:
        await link.leave(Message(0, health, _offline("stopped"), True))


def _offline(reason: str) -> bytes:
    return json.dumps({"online": False, "reason": reason}, separators=(",", ":")).encode()
