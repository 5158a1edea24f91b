"""Source `mqtt-orders`: work orders that come over MQTT 5, QoS 1, and are answered when they are on disk.

The broker remembers the agent while it is away (a session that does not end with the connection), and a
message is acknowledged only after its orders are on disk and its sender was answered. Until then the broker
keeps it, and gives it again at the next connect; what was taken in before is then a duplicate.
"""

import asyncio
import json
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Annotated

from pydantic import Field

from adapters._mqtt_broker import BrokerSettings, Expiry, Placed, open_any, topic_of
from adapters._mqtt_delivery import BESIDE_PAYLOAD, Delivery
from adapters._mqtt_errors import Party
from adapters._mqtt_link import Link
from adapters._mqtt_messages import Hello, Message
from edge.contract import Duration, Intake, Signal, SignalAddress, Size, SourceSettings
from edge.errors import NotRecorded

log = logging.getLogger("lineside.orders")

LONGEST_ANSWER = 1_000_000
"""Bytes; it is longer only where the order message is larger than any sane one."""
LONGEST_TOPIC = 1_000
"""Bytes of a topic that an answer is sent to."""
FIRST_S, LONGEST_S = 0.5, 10.0
"""Between two tries to get orders on disk."""

_OURS = frozenset({"_command", "_event", "_mark", "_state", "_telemetry", "spBv1.0"})
"""Levels that machines listen to or trust: nobody gets the agent to speak there for him."""


class Settings(BrokerSettings, SourceSettings):
    """`[source.NAME]` with `type = "mqtt-orders"`."""

    session_expiry: Expiry = timedelta(days=7)
    """How long the broker keeps orders for an agent that is away."""
    largest: Annotated[Size, Field(ge=1_000, le=10_000_000)] = 1_000_000
    """Bytes of one message; a larger one is refused."""
    renew: Duration = timedelta(minutes=10)
    """A connection on which nothing has come for so long is made anew."""

    def owns(self) -> list[str]:
        """The client id."""
        return self.client_ids("lineside-orders")


Address: type[SignalAddress] | None = None
gives = "orders"


async def collect(settings: Settings, signals: Sequence[Signal[SignalAddress]], intake: Intake) -> None:
    """Take orders in until the connection breaks. Raises SourceLost or SourceRefused.

    mosquitto 2.0 holds back, in silence, what stands behind many messages that expired while they waited; a
    new connection has it look again.
    """
    while True:
        await _listen(settings, intake)


async def _listen(settings: Settings, intake: Intake) -> None:
    """Until nothing has come for a while."""
    topic = command_topic(intake)
    link = await open_any(Party.of_source(intake.name), settings, _hello(settings, intake))
    try:
        await link.subscribe(topic)
        intake.connected()
        if not link.remembered:
            log.warning(
                "%s: the broker has not known this agent until now; orders that were sent to %s before "
                "have not come", intake.name, topic,
            )  # fmt: skip
        with suppress(TimeoutError):
            while True:
                async with asyncio.timeout(settings.renew.total_seconds()):
                    delivery = await link.receive()
                await _serve(link, intake, delivery, settings.largest)
                link.acknowledge(delivery)
    finally:
        await link.leave()


def _hello(settings: Settings, intake: Intake) -> Hello:
    return Hello(
        settings.client_id or f"lineside-orders-{intake.line}",
        in_flight=1,
        largest=settings.largest + BESIDE_PAYLOAD,
        remembered_s=math.ceil(settings.session_expiry.total_seconds()),
        hears=True,
    )


async def _serve(link: Link, intake: Intake, delivery: Delivery, largest: int) -> None:
    """Return when the orders are on disk, if they are any, and their sender was answered.

    Raises SourceLost or SourceRefused.
    """
    topics = list(answer_topics(intake, delivery.response_topic))
    empty = Message(0, topics[0], b"", correlation=delivery.correlation)
    if fault := _fault(delivery, largest):
        answer = refused(fault)
    else:
        answer = await _recorded(link, intake, delivery.payload, min(LONGEST_ANSWER, link.space(empty)))
    for topic in topics:
        flight = await link.fly([Message(0, topic, answer, correlation=delivery.correlation)])
        link.check()
        if flight.acknowledged:
            return
    words = flight.refusal or flight.rejected.get(0, "")
    log.warning("%s: an answer to an order cannot be sent: %s", intake.name, words)


def _fault(delivery: Delivery, largest: int) -> str:
    """Why its payload is not even looked at; empty where it is."""
    if delivery.retained:
        return "it was kept by the broker from an earlier time; send orders without the retain flag"
    if len(delivery.payload) > largest:
        return f"it is larger than {largest:,} bytes; split it"
    return delivery.fault


async def _recorded(link: Link, intake: Intake, message: bytes, longest: int) -> bytes:
    """Try until they are on disk. A kill meanwhile loses nothing: the message is not acknowledged."""
    pause_s = FIRST_S
    while True:
        try:
            return await intake.orders(message, longest)
        except NotRecorded as error:
            if pause_s == FIRST_S:
                log.warning("%s: an order waits: %s", intake.name, error)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_S)
        link.check()


def command_topic(place: Placed) -> str:
    """`{path}/{line}/_command/order`"""
    return topic_of(place, "", "_command", "order")


def answer_topics(place: Placed, wanted: str) -> Iterator[str]:
    """Where the answer goes: to the sender's own topic, else, or where it is refused, to the line's."""
    if is_sane(wanted):
        yield wanted
    yield f"{command_topic(place)}/result"


def is_sane(topic: str) -> bool:
    """Whether an answer may be sent there: no wildcard, no `$SYS`, nothing that a line itself speaks."""
    return (
        0 < len(topic.encode()) <= LONGEST_TOPIC
        and topic.isprintable()
        and not topic.startswith("$")
        and not set(topic) & set("+#")
        and not set(topic.split("/")) & _OURS
    )


def refused(why: str) -> bytes:
    """The answer to a message of which nothing was read."""
    entry = {"row": 0, "line": 0, "id": "", "verdict": "refused", "words": why}
    answer = {"accepted": 0, "duplicates": 0, "refused": 1, "orders": [entry]}
    return json.dumps(answer, separators=(",", ":")).encode()
