"""What a source and a sink of a broker have in common: its settings, its topics, and how to connect to it."""

import asyncio
import math
import re
import socket
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Protocol
from urllib.parse import urlsplit

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import AfterValidator, Field, field_validator, model_validator

from adapters._mqtt_client import Listener
from adapters._mqtt_errors import UNSPOKEN, LinkError, Party, refusal, unreachable
from adapters._mqtt_link import Link
from adapters._mqtt_messages import Hello
from edge.contract import (
    Duration,
    Secret,
    Settings,
    SinkError,
    SinkRefused,
    SourceError,
    SourceRefused,
    refuse,
)

PORTS = {"mqtt": 1883, "mqtts": 8883}

AT_ONCE = 20
"""Messages that a broker may send unacknowledged (Receive Maximum).

mosquitto 2.0 sends more than so many of those that it has kept, and stops at twice so many of them that have
expired.
"""

_NO_LEVEL = re.compile(r"[+#/\x00-\x1f\x7f-\x9f]")


# --- settings -----------------------------------------------------------------------------


def _expiry(value: timedelta) -> timedelta:
    if not timedelta(minutes=1) <= value <= timedelta(days=366):
        raise ValueError('must be between "1min" and "366d"')
    return value


Expiry = Annotated[Duration, AfterValidator(_expiry)]
"""How long a broker keeps a session."""


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


class BrokerSettings(Settings):
    """What a table of a source or a sink says of its broker."""

    broker: str | list[str]
    """One URL or several, tried in turn: `mqtt://host:1883`, `mqtts://host:8883` for TLS."""
    user: str | None = None
    password: Secret | None = None
    client_id: str | None = Field(default=None, min_length=1, max_length=256)
    """Unique at the broker; made of the line's name unless given."""
    keepalive: Duration = timedelta(seconds=30)
    """A silent agent is declared dead after 1.5 times this."""
    timeout: Duration = timedelta(seconds=10)
    """How long the broker may take to accept a connection, or to confirm one message."""
    ca: str | None = None
    """PEM file of the authority that signed the broker's certificate; the system's unless given."""
    cert: str | None = None
    """PEM file of the agent's own certificate, where the broker asks for one."""
    key: str | None = None
    """PEM file of the private key of `cert`."""

    def urls(self) -> Sequence[str]:
        return [self.broker] if isinstance(self.broker, str) else self.broker

    def client_ids(self, usual: str) -> list[str]:
        """The client id at each broker, which throws out the older of two that have the same."""
        return [f"{url} as {self.client_id or usual}" for url in self.urls()]

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
    def _pairs(self) -> "BrokerSettings":
        refuse(
            "a password needs a user" if self.password is not None and self.user is None else "",
            "a key needs a cert" if self.key is not None and self.cert is None else "",
        )
        return self

    def addresses(self) -> list[Address]:
        return [parse_address(url) for url in self.urls()]


# --- topics -------------------------------------------------------------------------------


class Placed(Protocol):
    """A line's place in the plant: a sink's outlet, a source's intake."""

    @property
    def line(self) -> str: ...

    @property
    def path(self) -> str: ...


def topic_level(name: str) -> str:
    """A name as one level of a topic: no wildcard, no separator, no control character."""
    return _NO_LEVEL.sub("_", name)


def topic_of(place: Placed, station: str, kind: str, leaf: str) -> str:
    """`{path}/{line}/{station}/{kind}/{leaf}`; a level that would be empty is left out."""
    levels = [*place.path.split("/"), place.line, station, kind, leaf]
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


def _tls(party: Party, settings: BrokerSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca)
        context.sslsocket_class = _TidySocket
        if settings.cert is not None:
            context.load_cert_chain(settings.cert, settings.key)
    except OSError as error:
        files = ", ".join(name for name in (settings.ca, settings.cert, settings.key) if name)
        raise party.refused(f"a certificate cannot be used ({files}): {error}") from error
    return context


def _password(party: Party, settings: BrokerSettings) -> str | None:
    """Of the user, who is the same at each of the brokers. Raises LinkError."""
    try:
        return settings.password.reveal() if settings.password is not None else None
    except (OSError, LookupError, UnicodeDecodeError) as error:
        whose = f"{settings.user} at {', '.join(settings.urls())}"
        raise party.refused(f"the password cannot be read ({whose}): {error}") from error


@dataclass(frozen=True, slots=True)
class _Call:
    """One try to connect."""

    party: Party
    settings: BrokerSettings
    password: str | None
    hello: Hello
    address: Address
    version: int

    def dial(self, abandoned: threading.Event) -> Listener:
        """Resolve, connect, shake hands, send CONNECT. Blocks; raises OSError or LinkError."""
        settings, hello, address = self.settings, self.hello, self.address
        client = Listener(hello.client_id, version=self.version, remembered=hello.remembered_s > 0)
        client._last_mid = hello.session.last_mid
        client.longest = hello.largest
        client.connect_timeout = settings.timeout.total_seconds()
        client.username_pw_set(settings.user, self.password)
        if hello.will is not None:
            client.will_set(hello.will.topic, hello.will.payload, qos=1, retain=True)
        if address.tls:
            client.tls_set_context(_tls(self.party, settings))

        def opened(client: object, data: object, sock: Any) -> None:
            # A CONNECT sent late would take the session away from the connection made since.
            if abandoned.is_set():
                raise ConnectionAbortedError("nobody waits for this connection any more")
            # An answer follows an acknowledgement: it must not wait 40 ms for a delayed TCP ACK.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        client.on_socket_open = opened
        keepalive_s = math.ceil(settings.keepalive.total_seconds())
        client.connect(address.host, address.port, keepalive_s, **self._session())
        return client

    def _session(self) -> dict[str, Any]:
        """What the CONNECT of MQTT 5 asks of the broker; 3.1.1 knows only one flag, set before."""
        if self.version != 5:
            return {}
        hello = self.hello
        asked = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        asked.ReceiveMaximum = AT_ONCE
        asked.SessionExpiryInterval = hello.remembered_s
        if not hello.hears:
            # Of a message above it nobody would hear: the broker drops it.
            asked.MaximumPacketSize = hello.largest
        clean = hello.remembered_s == 0 or (hello.starts_clean and not hello.session.begun)
        return {"clean_start": clean, "properties": asked}

    async def greet(self) -> Link | None:
        """The connection; None where the broker does not speak this version. Raises LinkError."""
        abandoned = threading.Event()
        url, timeout_s = self.address.url, self.settings.timeout.total_seconds()
        try:
            async with asyncio.timeout(timeout_s):
                client = await asyncio.to_thread(self.dial, abandoned)
                link = Link(self.party, url, client, self.hello, timeout_s)
                try:
                    return link if await link.greeted else None
                except BaseException:
                    link.detach()
                    raise
        except TimeoutError as error:
            raise self.party.lost(f"{url} did not answer within {timeout_s:g} s") from error
        except OSError as error:
            raise unreachable(self.party, url, error) from error
        finally:
            abandoned.set()


async def _open(
    party: Party, settings: BrokerSettings, password: str | None, hello: Hello, address: Address
) -> Link:
    for version in hello.versions:
        call = _Call(party, settings, password, hello, address, version)
        if (link := await call.greet()) is not None:
            return link
    raise refusal(party, address.url, ReasonCode(PacketTypes.CONNACK, identifier=UNSPOKEN))


async def open_any(party: Party, settings: BrokerSettings, hello: Hello) -> Link:
    """Connect to the first broker that accepts, beginning with the one whose turn it is. Raises LinkError."""
    errors: list[LinkError] = []
    addresses, session = settings.addresses(), hello.session
    password = await asyncio.to_thread(_password, party, settings)
    for turn in range(session.turn, session.turn + len(addresses)):
        try:
            link = await _open(party, settings, password, hello, addresses[turn % len(addresses)])
        except (SinkError, SourceError) as error:
            errors.append(error)
        else:
            session.turn = turn % len(addresses)
            return link
    refused = all(isinstance(error, SinkRefused | SourceRefused) for error in errors)
    reason = "; ".join(dict.fromkeys(error.reason for error in errors))  # a certificate is the same for all
    raise (party.refused if refused else party.lost)(reason) from errors[-1]
