"""What each far end holds of the demo's parts, asked of the far end itself."""

import asyncio
import http.client
import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge.errors import DemoFailed
from edge.production.totals import Totals, counted, disposed
from edge.readmodel import UNASSIGNED

Held = Mapping[tuple[str, str], tuple[int, int]]
"""Good and scrap by station and order."""

FRESH_S = 15.0
"""A database may show a new series that late."""


def add_up(events: Iterable[Mapping[str, Any]]) -> Held:
    """From the events themselves, each id once, in its newest attribution."""
    totals: defaultdict[tuple[str, str], Totals] = defaultdict(Totals)
    newest: dict[str, Mapping[str, Any]] = {}
    for event in events:
        if event["id"] not in newest or event["attribution"] > newest[event["id"]]["attribution"]:
            newest[event["id"]] = event
    for event in newest.values():
        key = event["station"], event["context"].get("order", UNASSIGNED)  # absent: nobody knows
        if event["type"] == "count":
            counts = event["data"].get("counts", True)
            of_total = event["data"].get("of_total", False)
            made = counted(event["data"]["role"], event["data"]["produced"], counts=counts, of_total=of_total)
            totals[key] = totals[key].and_(made)
        elif event["type"] == "disposition":
            made = disposed(event["data"]["disposition"], event["data"]["quantity"])
            totals[key] = totals[key].and_(made)
    return {key: (one.good_parts, one.scrap_parts) for key, one in totals.items() if one != Totals()}


def held_by_file(folder: Path) -> Held:
    """Every line of every file of the sink, rotated ones included."""
    return add_up(
        json.loads(line)
        for path in sorted(folder.glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    )


class MqttWitness:
    """Another subscriber of the same broker: hears what a plant's system would hear."""

    def __init__(self, url: str, path: str, line: str) -> None:
        parsed = urllib.parse.urlsplit(url)
        self._events: list[dict[str, Any]] = []
        self._ready = threading.Event()
        self._topic = f"{path}/{line}/+/_event/#"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = self._subscribe
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._hear
        self._client.connect_async(parsed.hostname or "127.0.0.1", parsed.port or 1883)

    def start(self) -> bool:
        """False where the broker does not answer."""
        self._client.loop_start()
        return self._ready.wait(10)

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def held(self) -> Held:
        return add_up(list(self._events))

    def _subscribe(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe(self._topic, qos=1)

    def _hear(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        self._events.append(json.loads(message.payload))


_NO_HTTP = (OSError, ValueError, http.client.HTTPException)
"""What urlopen and the reading of its answer raise; URLError is an OSError."""


async def probe_influx(url: str, bucket: str) -> None:
    """Write nothing, to see that it would be taken. Raises DemoFailed."""
    await asyncio.to_thread(_write_nothing, url, bucket)


def _write_nothing(url: str, bucket: str) -> None:
    query = urllib.parse.urlencode({"bucket": bucket, "org": "-", "precision": "ns"})
    request = urllib.request.Request(f"{url}/api/v2/write?{query}", b"", method="POST")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310
            return
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.BAD_REQUEST:  # it would have taken something
            return
        wants = "it wants a token, and the demo has none" if error.code in (401, 403) else "no v2 write API"
        raise DemoFailed(f"--influx: {url} answers {error.code}: {wants}") from error
    except _NO_HTTP as error:
        reason = getattr(error, "reason", error)
        raise DemoFailed(f"--influx: no database answers at {url}: {reason}") from error


async def held_by_influx(url: str, bucket: str, expected: Held) -> Held:
    """The newest total of every order at every station; waits until a fresh one is to be seen.

    Raises DemoFailed where it cannot be asked.
    """
    deadline = asyncio.get_running_loop().time() + FRESH_S
    while True:
        try:
            found = await asyncio.to_thread(_newest_totals, url, bucket, expected)
        except (*_NO_HTTP, LookupError) as error:
            reason = getattr(error, "reason", error)
            raise DemoFailed(f"{url} does not say what it holds: {reason}") from error
        if found == expected or asyncio.get_running_loop().time() > deadline:
            return found
        await asyncio.sleep(0.5)


def _newest_totals(url: str, bucket: str, expected: Held) -> Held:
    try:
        series = _exported(url)
    except urllib.error.HTTPError as error:
        error.close()
        series = _selected(url, bucket)
    good, scrap = series["good"], series["scrap"]
    found = {key: (_best(good[key], expected, key, 0), _best(scrap[key], expected, key, 1)) for key in good}
    return {key: parts for key, parts in found.items() if parts != (0, 0)}


Series = dict[str, dict[tuple[str, str], list[int]]]
"""By field, station and order: every value that carries the newest time stamp."""


def _best(values: list[int], expected: Held, key: tuple[str, str], which: int) -> int:
    """Two counters of a station may be read in one millisecond: then there are two newest values."""
    wanted = expected.get(key, (0, 0))[which]
    return wanted if wanted in values else values[-1]


def _exported(url: str) -> Series:
    """victoria-metrics: its export of every series whose name begins with `order_total_`."""
    query = urllib.parse.urlencode({"match[]": '{__name__=~"order_total_.*"}'})
    found: Series = {"good": {}, "scrap": {}}
    with urllib.request.urlopen(f"{url}/api/v1/export?{query}", timeout=10) as answer:  # noqa: S310
        for text in answer.read().decode().splitlines():
            one = json.loads(text)
            tags, newest = one["metric"], max(one["timestamps"])
            field = tags["__name__"].removeprefix("order_total_")
            values = [
                int(value) for value, at in zip(one["values"], one["timestamps"], strict=True) if at == newest
            ]
            if field in found:
                found[field][tags["station"], tags["order"]] = values
    return found


def _selected(url: str, bucket: str) -> Series:
    """InfluxDB: the last point of every series, by InfluxQL."""
    statement = (
        'SELECT last("good") AS good, last("scrap") AS scrap FROM "order_total" GROUP BY "station", "order"'
    )
    query = urllib.parse.urlencode({"db": bucket, "q": statement})
    found: Series = {"good": {}, "scrap": {}}
    with urllib.request.urlopen(f"{url}/query?{query}", timeout=10) as answer:  # noqa: S310
        for one in json.load(answer)["results"][0].get("series", []):  # nothing was written yet
            key = one["tags"]["station"], one["tags"]["order"]
            for field in found:
                found[field][key] = [int(one["values"][0][one["columns"].index(field)])]
    return found
