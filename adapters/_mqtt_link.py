"""One connection to a broker: paho-mqtt's client, driven by the event loop and thrown away afterwards."""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from adapters._mqtt_client import PUBLISH, Listener
from adapters._mqtt_delivery import Delivery
from adapters._mqtt_errors import FAILURE, UNSPOKEN, LinkError, Party, again, lost, refusal
from adapters._mqtt_inbox import Inbox
from adapters._mqtt_messages import LONGEST_TOPIC, TOO_LARGE, Flight, Hello, Message, Sent
from adapters._mqtt_watch import Watch, confirm_receipt
from edge.contract import SinkError, SourceError

LARGEST_PACKET = 268_435_455
"""Bytes of one packet in MQTT at all (2.1.4)."""
GOODBYE_S = 2.0
"""How long an orderly end may take."""


class Link:
    """A paho client on the event loop, for one connection; afterwards it is thrown away.

    What is not in flight waits here, where it is accounted for; paho's own queue is never used. A session
    that the broker goes on with is gone on with here: what was sent and not confirmed is sent again, marked
    as a repeat, before all else, and whoever wants to send the same message then gets its answer.
    """

    def __init__(self, party: Party, url: str, client: Listener, hello: Hello, timeout_s: float) -> None:
        self.error: LinkError | None = None
        self.hung_up = False
        """Whether it was the broker who ended the connection."""
        self.five = client.five
        """Whether it speaks MQTT 5; else 3.1.1."""
        self.remembered = False
        """Whether the broker knew this client: it has kept what was sent while it was away."""
        self.greeted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """False where the broker does not speak this version."""
        self._loop = asyncio.get_running_loop()
        self._party, self._url, self._client = party, url, client
        self._timeout_s = timeout_s
        self._hello, self._session = hello, hello.session
        self._window = hello.in_flight
        self._largest = LARGEST_PACKET
        self._queue: deque[tuple[Flight, Message]] = deque()
        self._repeats: dict[int, Message] = {}
        self._orphans: dict[Message, Sent] = {}
        """Sent again, and nobody has asked for them yet."""
        self._pending: dict[int, Sent] = {}
        self._flights: set[Flight] = set()
        self.useful = False
        """Whether it has confirmed anything."""
        self._accepted = self._repeated = False
        """Whether the broker has greeted, and whether it was then sent anything again."""
        self._subscribing: dict[int, asyncio.Future[str]] = {}
        self._hears = hello.hears
        self._inbox = Inbox(party.name, hello.largest)
        self._leaving = False
        self._watch = Watch(client, self._readable, self._write)
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
                    self._client.disconnect(properties=self._last_wish())
                    self._client.loop_write()
        finally:
            self.detach()

    def _last_wish(self) -> Properties | None:
        """Of a session that serves this process only: it ends here."""
        if not (self.five and self._hello.starts_clean):
            return None
        wish = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
        wish.SessionExpiryInterval = 0
        return wish

    def detach(self) -> None:
        """Close the socket without a word; the broker then publishes the last will."""
        if self._timer is not None:
            self._timer.cancel()
        self._client.on_connect = self._client.on_disconnect = None
        self._client.on_subscribe = self._client.on_delivery = self._client.on_answer = None
        self._watch.end()
        self._keep_session()
        if (sock := self._client.socket()) is not None:
            sock.close()

    def _attach(self) -> None:
        client = self._client
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_delivery = self._on_delivery  # a broker that remembers delivers before it is asked to
        client.on_answer = self._on_answer
        if not self._watch.begin():
            self._fail(self._party.lost(lost(self._url, False)))
            return
        self._tick()

    # --- the session

    def _resume(self) -> None:
        """MQTT 5 and 3.1.1, 4.4: where the broker goes on with the session, so must the client."""
        if self.remembered:
            self._repeats = dict(self._session.unconfirmed)
        self._session.begun, self._session.unconfirmed = True, {}

    def _keep_session(self) -> None:
        """For the next connection."""
        if not self._accepted:
            return
        session = self._session
        session.unconfirmed = {mid: sent.message for mid, sent in self._pending.items()} | self._repeats
        session.last_mid = self._client._last_mid
        if self.error is not None and not self.useful:
            session.turn += 1  # a broker that greets and confirms nothing is tried last
            if self.hung_up and self._repeated:
                session.end()  # perhaps over what was sent again
        self._accepted = False

    # --- what is delivered

    async def subscribe(self, topic: str) -> None:
        """Return when the broker delivers. Raises LinkError."""
        # A retained order is an old one; it comes once, to be refused aloud, and not at each connect.
        how = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        try:
            async with asyncio.timeout(self._timeout_s):
                denied = await self._subscribe(topic, how)
        except TimeoutError:
            raise self._party.lost(
                f"{self._url} did not answer a subscription within {self._timeout_s:g} s"
            ) from None
        if denied:
            words = f"{self._url} does not let it subscribe: {denied}; check the broker's access list"
            self._fail(self._party.refused(words))
            self.check()

    async def kept(self, topic: str, within_s: float) -> bytes | None:
        """What the broker keeps under a topic, retained; None where nothing comes in time or it denies it.

        Raises LinkError.
        """
        self._hears = True
        try:
            async with asyncio.timeout(within_s):
                if await self._subscribe(topic, SubscribeOptions(qos=0)):
                    return None
                return (await self.receive()).payload
        except TimeoutError:
            return None
        finally:
            self._hears = self._hello.hears
            if self.error is None:
                self._client.unsubscribe(topic)
                self._write()

    async def _subscribe(self, topic: str, how: SubscribeOptions) -> str:
        """Why the broker denies it; empty where it does not. Raises LinkError."""
        self.check()
        _, mid = self._client.subscribe(topic, **({"options": how} if self.five else {"qos": how.QoS}))
        answer: asyncio.Future[str] = self._loop.create_future()
        self._subscribing[mid or 0] = answer
        self._write()
        try:
            denied = await answer
        finally:
            del self._subscribing[mid or 0]
        self.check()
        return denied

    async def receive(self) -> Delivery:
        """The next message, in the broker's order. Raises LinkError."""
        while not self._inbox and self.error is None:
            if self._inbox.skips:
                words = f"{self._url} sent more at once than there is room for; it gives the rest again"
                self._fail(self._party.lost(words))
                break
            await self._inbox.wait()
        self.check()
        return self._inbox.take()

    def acknowledge(self, delivery: Delivery) -> None:
        """Tell the broker that it may forget this message. Nothing where the connection is gone."""
        if self.error is None and delivery.qos:
            self._client.ack(delivery.mid, delivery.qos)
            self._write()

    def _on_subscribe(self, client: Client, data: object, mid: int, reasons: list[ReasonCode],
                      properties: Properties | None) -> None:  # fmt: skip
        if (answer := self._subscribing.get(mid)) is not None and not answer.done():
            denied = bool(reasons) and reasons[0].value >= FAILURE
            answer.set_result(str(reasons[0]) if denied else "")

    def _on_delivery(self, delivery: Delivery) -> None:
        if self._hears:
            self._inbox.put(delivery)
        else:
            self.acknowledge(delivery)  # late, of a subscription that has ended

    # --- what goes out

    def _queue_up(self, flight: Flight, messages: Sequence[Message]) -> None:
        for message in messages:
            if self._orphans and (sent := self._orphans.pop(message, None)) is not None:
                sent.adopted(flight)
            elif message.size() > self._largest or len(message.topic.encode()) > LONGEST_TOPIC:
                words = f"{message.size()} bytes; the broker takes {self._largest} at the most"
                flight.answered(message, TOO_LARGE, words)
            else:
                self._queue.append((flight, message))
        if flight.waiting == 0:
            flight.land()

    def _pump(self) -> None:
        packets = []
        now = self._loop.time()
        while self._repeats and len(self._pending) < self._window:
            mid = next(iter(self._repeats))
            message = self._repeats.pop(mid)
            self._pending[mid] = self._orphans[message] = Sent(message, None, now)
            self._repeated = True
            packets.append(message.packet(mid, five=self.five, again=True))
        while self._queue and self.error is None and len(self._pending) < self._window:
            flight, message = self._queue.popleft()
            mid = self._free_mid()
            self._pending[mid] = Sent(message, flight, now)
            packets.append(message.packet(mid, five=self.five))
        if packets:
            self._client.send_all(packets)
        self._write()

    def _free_mid(self) -> int:
        """A packet identifier that nothing unconfirmed has."""
        while (mid := self._client._mid_generate()) in self._pending or mid in self._repeats:
            pass
        return mid

    def _write(self) -> None:
        if self._client.want_write():
            self._client.loop_write()
        self._watch.settle()

    # --- what comes in

    def _readable(self, sock: object) -> None:
        self._client.loop_read()
        while self.error is None and isinstance(sock, ssl.SSLSocket) and sock.pending():
            self._client.loop_read()
        coming = self._client._in_packet
        if coming["remaining_length"] > self._hello.largest and not self._may_be_long(coming["command"]):
            self._fail(self._party.lost(f"{self._url} sent a packet that no broker sends"))
        if self.error is None:
            confirm_receipt(sock)
            self._pump()

    def _may_be_long(self, first: int) -> bool:
        return first & 0xF0 == PUBLISH and self._hears

    def _on_connect(self, client: Client, data: object, flags: ConnectFlags, reason: ReasonCode,
                    properties: Properties | None) -> None:  # fmt: skip
        if reason.value == UNSPOKEN:
            self.detach()
            if not self.greeted.done():
                self.greeted.set_result(False)
            return
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
            self._accepted = True
            self._resume()
            self.greeted.set_result(True)

    def _on_answer(self, mid: int, code: int) -> None:
        if (sent := self._pending.pop(mid, None)) is not None:
            self.useful = True
            sent.answered(code)

    def _on_disconnect(self, client: Client, data: object, flags: DisconnectFlags, reason: ReasonCode,
                       properties: Properties | None) -> None:  # fmt: skip
        if self._leaving:
            return
        self.hung_up = True
        if flags.is_disconnect_packet_from_server:
            self._fail(refusal(self._party, self._url, reason))
        else:
            self._fail(self._party.lost(lost(self._url, self.greeted.done())))

    def _tick(self) -> None:
        self._timer = self._loop.call_later(min(1.0, self._timeout_s / 4), self._tick)
        self._client.loop_misc()
        self._write()
        oldest = next(iter(self._pending.values()), None)
        if oldest is not None and self._loop.time() - oldest.since > self._timeout_s:
            self._fail(self._party.lost(f"{self._url} has confirmed nothing for {self._timeout_s:g} s"))
        elif self._client._ping_t and time.monotonic() - self._client._ping_t > self._timeout_s:
            self._fail(self._party.lost(f"{self._url} has answered no ping for {self._timeout_s:g} s"))

    # --- the end

    def _fail(self, error: LinkError) -> None:
        if self.error is not None:
            return
        self.error = error
        self.detach()
        if not self.greeted.done():
            self.greeted.set_exception(error)
        for answer in self._subscribing.values():
            if not answer.done():
                answer.set_result("")
        for flight in self._flights:
            flight.land()
        self._inbox.wake()
