"""Sink `mqtt`: events and current states to an MQTT 5 broker, QoS 1, through paho-mqtt.

MQTT 5 and not 3.1.1, because only its PUBACK says why a message was not taken.
"""

import asyncio
import json
import math
import re
import ssl
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic import Field, field_validator, model_validator

from adapters._mqtt_link import LARGEST_REPLY, Flight, Link, Message, unreachable
from edge.contract import (
    Duration,
    Outlet,
    Receipt,
    Record,
    Secret,
    Sink,
    SinkError,
    SinkLost,
    SinkRefused,
    SinkSettings,
)

PORTS = {"mqtt": 1883, "mqtts": 8883}

_NO_LEVEL = re.compile(r"[+#/\x00-\x1f\x7f-\x9f]")


# --- settings -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker listens."""

    url: str
    host: str
    port: int
    tls: bool


def parse_address(url: str) -> Address:
    """`mqtt://host`, `mqtts://host:8884`. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError(f'{url!r} is not a broker; write "mqtt://host:1883" or "mqtts://host:8883"')
    if parts.username is not None or parts.password is not None:
        raise ValueError("the broker's URL holds a user; write it as `user`, and the secret as `password`")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{url!r} has more than a host and a port")
    return Address(url, parts.hostname, parts.port or PORTS[parts.scheme], parts.scheme == "mqtts")


class Settings(SinkSettings):
    """`[sink.NAME]` with `type = "mqtt"`."""

    broker: str | list[str]
    """One URL or several, tried in turn: `mqtt://host:1883`, `mqtts://host:8883` for TLS."""
    user: str | None = None
    password: Secret | None = None
    client_id: str | None = Field(default=None, min_length=1, max_length=256)
    """Unique at the broker; `lineside-` and the line's name unless given."""
    keepalive: Duration = timedelta(seconds=30)
    """A silent agent is declared dead, and its last will published, after 1.5 times this."""
    timeout: Duration = timedelta(seconds=10)
    """How long the broker may take to accept a connection, or to confirm one message."""
    in_flight: int = Field(default=20, ge=1, le=1000)
    """Messages sent and not yet confirmed, at the most; the broker may ask for fewer."""
    ca: str | None = None
    """PEM file of the authority that signed the broker's certificate; the system's unless given."""
    cert: str | None = None
    """PEM file of the agent's own certificate, where the broker asks for one."""
    key: str | None = None
    """PEM file of the private key of `cert`."""

    def owns(self) -> list[str]:
        """The client id: a broker throws out the older of two that have the same."""
        urls = [self.broker] if isinstance(self.broker, str) else self.broker
        return [f"{url} as {self.client_id or 'lineside'}" for url in urls]

    @field_validator("broker")
    @classmethod
    def _brokers(cls, value: str | list[str]) -> str | list[str]:
        if not value:
            raise ValueError('name a broker, such as "mqtt://host:1883"')
        for url in [value] if isinstance(value, str) else value:
            parse_address(url)
        return value

    @field_validator("keepalive")
    @classmethod
    def _keepalive(cls, value: timedelta) -> timedelta:
        if not timedelta(seconds=1) <= value <= timedelta(seconds=65_535):
            raise ValueError('must be between "1s" and "18h"')
        return value

    @model_validator(mode="after")
    def _pairs(self) -> "Settings":
        if self.password is not None and self.user is None:
            raise ValueError("a password needs a user")
        if self.key is not None and self.cert is None:
            raise ValueError("a key needs a cert")
        return self

    def addresses(self) -> list[Address]:
        urls = [self.broker] if isinstance(self.broker, str) else self.broker
        return [parse_address(url) for url in urls]


# --- topics -------------------------------------------------------------------------------


def topic_level(name: str) -> str:
    """A name as one level of a topic: no wildcard, no separator, no control character."""
    return _NO_LEVEL.sub("_", name)


def topic_of(outlet: Outlet, station: str, kind: str, leaf: str) -> str:
    """`{path}/{line}/{station}/{kind}/{leaf}`; a level that would be empty is left out."""
    levels = [*outlet.path.split("/"), outlet.line, station, kind, leaf]
    topic = "/".join(topic_level(level) for level in levels if level)
    return f"_{topic[1:]}" if topic.startswith("$") else topic


# --- connecting ---------------------------------------------------------------------------


class _TidySocket(ssl.SSLSocket):
    """paho leaves the socket of a failed handshake to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _tls(sink: str, settings: Settings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca)
        context.sslsocket_class = _TidySocket
        if settings.cert is not None:
            context.load_cert_chain(settings.cert, settings.key)
    except OSError as error:
        files = ", ".join(name for name in (settings.ca, settings.cert, settings.key) if name)
        raise SinkRefused(sink, f"a certificate cannot be used ({files}): {error}") from error
    return context


def _password(sink: str, settings: Settings) -> str | None:
    try:
        return settings.password.reveal() if settings.password is not None else None
    except (OSError, LookupError, UnicodeDecodeError) as error:
        raise SinkRefused(sink, f"the password cannot be read: {error}") from error


def _dial(
    settings: Settings, outlet: Outlet, address: Address, will: Message, abandoned: threading.Event
) -> Client:
    """Resolve, connect, shake hands, send CONNECT. Blocks; raises OSError or SinkRefused."""
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=settings.client_id or f"lineside-{outlet.line}",
        protocol=MQTTProtocolVersion.MQTTv5,
        reconnect_on_failure=False,
    )
    client.max_inflight_messages_set(0)
    client.connect_timeout = settings.timeout.total_seconds()
    client.username_pw_set(settings.user, _password(outlet.name, settings))
    client.will_set(will.topic, will.payload, qos=1, retain=True)
    if address.tls:
        client.tls_set_context(_tls(outlet.name, settings))

    def still_wanted(*_: object) -> None:
        # A CONNECT sent late would take the session away from the connection made since.
        if abandoned.is_set():
            raise ConnectionAbortedError("nobody waits for this connection any more")

    client.on_socket_open = still_wanted
    asked = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    asked.MaximumPacketSize = LARGEST_REPLY
    keepalive_s = math.ceil(settings.keepalive.total_seconds())
    client.connect(address.host, address.port, keepalive_s, properties=asked)
    return client


async def _open(settings: Settings, outlet: Outlet, address: Address, will: Message) -> Link:
    abandoned = threading.Event()
    timeout_s = settings.timeout.total_seconds()
    try:
        async with asyncio.timeout(timeout_s):
            client = await asyncio.to_thread(_dial, settings, outlet, address, will, abandoned)
            link = Link(outlet.name, address.url, client, settings.in_flight, timeout_s)
            try:
                await link.greeted
            except BaseException:
                link.detach()
                raise
            return link
    except TimeoutError as error:
        raise SinkLost(outlet.name, f"{address.url} did not answer within {timeout_s:g} s") from error
    except OSError as error:
        raise unreachable(outlet.name, address.url, error) from error
    finally:
        abandoned.set()


async def _open_any(settings: Settings, outlet: Outlet, will: Message) -> Link:
    errors: list[SinkError] = []
    for address in settings.addresses():
        try:
            return await _open(settings, outlet, address, will)
        except SinkError as error:
            errors.append(error)
    refused = all(isinstance(error, SinkRefused) for error in errors)
    reason = "; ".join(error.reason for error in errors)
    raise (SinkRefused if refused else SinkLost)(outlet.name, reason) from errors[-1]


class MqttSink:
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
        if self._link.error is not None:
            return type(self._link.error)(self._outlet.name, self._link.error.reason)
        words = flight.refusal or next(iter(flight.rejected.values()))
        return SinkRefused(self._outlet.name, f"{words}; check the broker's access list and limits")


@asynccontextmanager
async def connect(settings: Settings, outlet: Outlet) -> AsyncIterator[Sink]:
    """Connect to the first broker that accepts. Raises SinkLost or SinkRefused."""
    health = topic_of(outlet, "", "_state", "health")
    will = Message(0, health, _offline("lost"), True)
    link = await _open_any(settings, outlet, will)
    try:
        yield MqttSink(outlet, link)
    finally:
        await link.leave(Message(0, health, _offline("stopped"), True))


def _offline(reason: str) -> bytes:
    return json.dumps({"online": False, "reason": reason}, separators=(",", ":")).encode()
