"""A plant's engine for tests: three nodes of NATS with MQTT, and somebody who listens to all of it."""

import asyncio
import contextlib
import json
import sys
import threading
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from simulators.far_ends import FarEnd, answers_http, answers_tcp, free_port

PROGRAM = Path(sys.executable).parent / "nats-server"

_CONF = """
server_name: {name}
host: 127.0.0.1
port: {port}
jetstream {{ store_dir: "{folder}/js", max_mem: 64M, max_file: 512M }}
cluster {{ name: plant, host: 127.0.0.1, port: {route}, routes: [{routes}] }}
mqtt {{ host: 127.0.0.1, port: {mqtt} }}
http: 127.0.0.1:{http}
"""


@dataclass(frozen=True, slots=True)
class Node:
    """One of them; its port is that of MQTT."""

    server: FarEnd
    http: int

    async def healthy(self) -> bool:
        """Whether it has joined the others, and all that it keeps is up to date."""
        return await answers_http(self.http, "/healthz")


@contextlib.asynccontextmanager
async def cluster(folder: Path, names: tuple[str, ...] = ("n1", "n2", "n3")) -> AsyncIterator[list[Node]]:
    """Nodes that have found each other; each can be killed and started again."""
    routes = {name: free_port() for name in names}
    nodes = [_node(folder / name, name, routes) for name in names]
    try:
        await asyncio.gather(*(node.server.start() for node in nodes))
        await healthy(nodes)
        yield nodes
    finally:
        await asyncio.gather(*(node.server.stop() for node in nodes))


async def healthy(nodes: list[Node]) -> None:
    """Wait until all of them are."""
    async with asyncio.timeout(40):
        while not all([await node.healthy() for node in nodes]):
            await asyncio.sleep(0.1)


def _node(folder: Path, name: str, routes: dict[str, int]) -> Node:
    folder.mkdir(parents=True)
    mqtt, http = free_port(), free_port()
    known = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes.values())
    config = folder / "nats.conf"
    config.write_text(_CONF.format(
        name=name, port=free_port(), folder=folder, route=routes[name], routes=known, mqtt=mqtt, http=http
    ))  # fmt: skip
    return Node(FarEnd([str(PROGRAM), "-c", str(config)], mqtt, folder, answers_tcp), http)


@dataclass
class Collector:
    """Listens at whatever node takes it, with a session that the cluster keeps for it."""

    ports: list[int]
    topic: str
    ids: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Of every event heard, by its line."""
    _ends: threading.Event = field(default_factory=threading.Event)
    _listens: threading.Event = field(default_factory=threading.Event)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Until the end of the block."""
        thread = threading.Thread(target=self._run, name="collector")
        thread.start()
        try:
            await asyncio.to_thread(self._listens.wait, 30)
            assert self._listens.is_set(), "no node takes a subscription"
            yield
        finally:
            self._ends.set()
            await asyncio.to_thread(thread.join)

    def _run(self) -> None:
        for port in cycle(self.ports):
            if self._ends.is_set():
                return
            with contextlib.suppress(OSError):
                self._listen(port)
            self._ends.wait(0.2)

    def _listen(self, port: int) -> None:
        """At one node, while it is there."""
        client = Client(
            CallbackAPIVersion.VERSION2, client_id="collector", protocol=MQTTProtocolVersion.MQTTv311,
            clean_session=False, reconnect_on_failure=False,
        )  # fmt: skip
        client.on_connect = self._on_connect
        client.on_subscribe = lambda *_: self._listens.set()
        client.on_message = self._on_message
        client.connect("127.0.0.1", port, keepalive=2)
        while not self._ends.is_set():
            if client.loop(0.1) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return
        client.disconnect()

    def _on_connect(
        self, client: Client, data: object, flags: ConnectFlags, reason: ReasonCode, more: Properties | None
    ) -> None:
        client.subscribe(self.topic, qos=1)

    def _on_message(self, client: Client, data: object, message: MQTTMessage) -> None:
        if "/_event/" in message.topic:
            event = json.loads(message.payload)
            self.ids[event["line"]].add(event["id"])
