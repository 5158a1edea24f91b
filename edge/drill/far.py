"""Stand-ins for the far ends: each takes what its sink sends, notes when, and can be cut off."""

import asyncio
import csv
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Protocol

import msgspec

from edge.config import SinkConfig
from edge.drill.books import Fact
from edge.record import TELEMETRY
from simulators.mqtt_broker import Broker
from simulators.points_db import Point, PointsDb

_STAMPS = 1_000_000
"""A point's time in nanoseconds has the event's seq in its last six digits."""
LOOK_S = 0.1
"""Between two looks at a sink's files."""


class _Said(msgspec.Struct):
    """An event, as far as it says which one it is."""

    id: str
    attribution: int = 1
    type: str = ""


_decode = msgspec.json.Decoder(_Said).decode


@dataclass(slots=True)
class Arrivals:
    """What one far end has got. Keys are ids of events, or of points their seq in six digits."""

    now_s: Callable[[], float]
    first_s: dict[str, float] = field(default_factory=dict)
    repeats: list[float] = field(default_factory=list)
    """When something came again that was there already."""
    changed: set[str] = field(default_factory=set)
    """Keys under which two different events came in one attribution."""
    _bodies: dict[tuple[str, int], int] = field(default_factory=dict)

    def note(self, key: str, attribution: int = 1, body: bytes = b"") -> None:
        digest = hash(body)
        if self._bodies.setdefault((key, attribution), digest) != digest:
            self.changed.add(key)
        if key in self.first_s:
            self.repeats.append(self.now_s())
        self.first_s.setdefault(key, self.now_s())

    def note_json(self, body: bytes) -> None:
        """An event's JSON; other messages are none of ours. A batch of telemetry may come again thinned."""
        try:
            said = _decode(body)
        except msgspec.DecodeError:
            return
        self.note(said.id, said.attribution, b"" if said.type == TELEMETRY else body)

    def note_points(self, points: Sequence[Point]) -> None:
        """An event may be several points of one request: it is noted once."""
        events = [one for one in points if one.stamp_ns and one.measurement != TELEMETRY]
        for key in dict.fromkeys(str(one.stamp_ns % _STAMPS) for one in events):
            self.note(key)


class FarEnd(Protocol):
    """What stands in for one sink's far end."""

    arrivals: Arrivals

    @property
    def address(self) -> str:
        """What the sink's table names."""

    async def cut(self) -> None: ...

    async def heal(self) -> None: ...

    def expected(self, facts: Sequence[Fact]) -> dict[str, Fact]:
        """Of these, what it should have got, each under the key of its arrival."""

    def strangers(self, facts: Sequence[Fact]) -> set[str]:
        """What came and is none of these."""


class BrokerEnd:
    """In the place of an MQTT broker."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        self.broker = Broker(self._heard)

    @property
    def address(self) -> str:
        return self.broker.url

    async def cut(self) -> None:
        await self.broker.cut()

    async def heal(self) -> None:
        await self.broker.heal()

    def expected(self, facts: Sequence[Fact]) -> dict[str, Fact]:
        return {fact.id: fact for fact in facts}

    def strangers(self, facts: Sequence[Fact]) -> set[str]:
        return self.arrivals.first_s.keys() - self.expected(facts).keys()

    def _heard(self, _topic: str, payload: bytes, retain: bool) -> None:
        if not retain:
            self.arrivals.note_json(payload)


class PointsEnd:
    """In the place of an InfluxDB."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        self.database = PointsDb(arrivals.note_points)

    @property
    def address(self) -> str:
        return self.database.url

    async def cut(self) -> None:
        await self.database.cut()

    async def heal(self) -> None:
        await self.database.heal()

    def expected(self, facts: Sequence[Fact]) -> dict[str, Fact]:
        return _by_stamp(facts)

    def strangers(self, facts: Sequence[Fact]) -> set[str]:
        return self.arrivals.first_s.keys() - self.expected(facts).keys()


class FolderEnd:
    """A folder that a sink writes files to; cut off, a file stands in its place."""

    def __init__(self, arrivals: Arrivals, folder: Path) -> None:
        self.arrivals = arrivals
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self._aside = folder.with_name(f"{folder.name}.aside")
        self._read_to: dict[int, int] = {}

    @property
    def address(self) -> str:
        return str(self.folder)

    async def cut(self) -> None:
        self.look()
        if not self._aside.exists():
            self.folder.rename(self._aside)
            self.folder.touch()

    async def heal(self) -> None:
        if self._aside.exists():
            self.folder.unlink()
            self._aside.rename(self.folder)

    def expected(self, facts: Sequence[Fact]) -> dict[str, Fact]:
        return {fact.id: fact for fact in facts}

    def strangers(self, facts: Sequence[Fact]) -> set[str]:
        return self.arrivals.first_s.keys() - self.expected(facts).keys()

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Read what has come since the last look."""
        if self.folder.is_dir():
            for path in sorted(self.folder.iterdir()):
                if path.is_file() and not path.name.startswith("."):
                    self._look_at(path)

    def _look_at(self, path: Path) -> None:
        """Whole lines only, and each once, whatever the file is called by then."""
        with path.open("rb") as file:
            number = os.fstat(file.fileno()).st_ino
            file.seek(self._read_to.get(number, 0))
            whole = file.read().rpartition(b"\n")[0]
        if whole:
            self._read_to[number] = self._read_to.get(number, 0) + len(whole) + 1
            for line in whole.split(b"\n"):
                self._note(line)

    def _note(self, line: bytes) -> None:
        self.arrivals.note_json(line)


class LinesEnd(FolderEnd):
    """The same, of a sink that writes line protocol."""

    def expected(self, facts: Sequence[Fact]) -> dict[str, Fact]:
        return _by_stamp(facts)

    def _note(self, line: bytes) -> None:
        stamp, is_event = line.rpartition(b" ")[2], not line.startswith(TELEMETRY.encode())
        key = str(int(stamp) % _STAMPS) if stamp.isdigit() and is_event else ""
        if key and key not in self.arrivals.first_s:  # an event is several lines
            self.arrivals.note(key)


class ResultsEnd(FolderEnd):
    """A folder of results: one file a job, replaced whole; of each job only the newest is asked for."""

    def expected(self, facts: Sequence[Fact]) -> dict[str, Fact]:
        newest = {fact.subject: fact for fact in facts if fact.type == "result"}
        return {f"{job} {fact.id}": fact for job, fact in newest.items()}

    def strangers(self, facts: Sequence[Fact]) -> set[str]:
        said = {f"{fact.subject} {fact.id}" for fact in facts if fact.type == "result"}
        return self.arrivals.first_s.keys() - said

    def _look_at(self, path: Path) -> None:
        for job, identity in _results(path):
            if f"{job} {identity}" not in self.arrivals.first_s:
                self.arrivals.note(f"{job} {identity}")


class _Result(msgspec.Struct):
    order: str
    operation: int | None
    id: str


def _results(path: Path) -> Iterator[tuple[str, str]]:
    """Job and event of what a file of results says; nothing where it is being replaced."""
    try:
        text = path.read_bytes()
        if path.suffix == ".json":
            result = msgspec.json.decode(text, type=_Result)
        else:
            [fields] = csv.DictReader(StringIO(text.decode()))
            operation = fields["operation"]
            result = _Result(fields["order"], int(operation) if operation else None, fields["id"])
    except (OSError, ValueError, KeyError, csv.Error):
        return
    yield f"{result.order}-{result.operation}", result.id


async def open_far_end(
    stack: AsyncExitStack, sink: SinkConfig, arrivals: Arrivals, group: asyncio.TaskGroup, folder: Path
) -> FarEnd | None:
    """What stands in for this sink's far end, until the stack ends; None where there is nothing."""
    kind = sink.settings.type
    if kind == "mqtt":
        broker = BrokerEnd(arrivals)
        await stack.enter_async_context(broker.broker.open())
        return broker
    if kind == "influxdb":
        points = PointsEnd(arrivals)
        await stack.enter_async_context(points.database.open())
        return points
    if kind not in ("file", "results"):
        return None
    kinds: dict[tuple[str, str], type[FolderEnd]] = {
        ("file", "line-protocol"): LinesEnd, ("results", "json"): ResultsEnd, ("results", "csv"): ResultsEnd,
    }  # fmt: skip
    written = str(sink.settings.model_dump().get("format"))
    files = kinds.get((kind, written), FolderEnd)(arrivals, folder)
    watching = group.create_task(files.watch(), name=f"files[{sink.name}]")
    stack.callback(watching.cancel)
    return files


def _by_stamp(facts: Sequence[Fact]) -> dict[str, Fact]:
    """The points of a batch of telemetry are stamped by their frames, and do not tell its seq."""
    return {str(fact.seq % _STAMPS): fact for fact in facts if fact.type != TELEMETRY}
