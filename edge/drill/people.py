"""Who speaks for himself on the drill's floor: guns, test rigs, and an office that sends orders."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import xor
from pathlib import Path

import msgspec

from edge.config import SourceConfig
from edge.drill.substitute import is_plain_rig
from simulators.labels import label
from simulators.mqtt_broker import Broker
from simulators.speaker import Speaker

PATIENCE_S = 2.0
AGAIN_S = 0.3
TRIES = 60
"""Refused or unanswered so often after it was switched off, a device gives up and does not know."""
TRIES_OF_CARD = 5
"""The same for a label that the line may well refuse."""
SCAN_S, TEST_S, ORDER_S = 1.0, 1.0, 2.0
"""Between two of a kind."""


class Wire(msgspec.Struct):
    """How a serial device's frames end, and what it hears: `[source.NAME]` of a gun or a rig."""

    end: str | list[str]
    confirm: str
    refuse: str
    duplicate: str | None = None
    begin: str = ""
    trailer: int = 0

    def framed(self, body: bytes) -> bytes:
        end = self.end if isinstance(self.end, str) else self.end[0]
        closed = b"" if end == "idle" else end.encode("latin-1") + bytes(self.trailer)
        return self.begin.encode("latin-1") + body + closed

    def thanks(self) -> list[bytes]:
        """What says that it is on disk; nothing where the device is told nothing."""
        return [text.encode("latin-1") for text in (self.confirm, self.duplicate or "") if text]

    def refusals(self) -> list[bytes]:
        return [self.refuse.encode("latin-1")] if self.refuse else []


class Names(msgspec.Struct):
    """What a rig calls the parts of a result."""

    unit: str = "unit"
    program: str = "program"
    revision: str = "revision"
    number: str = "number"
    result: str = "result"


class RigTable(msgspec.Struct):
    """How a rig writes a result; unless it is said, as adapters/testrig.md has it."""

    fields: Names = msgspec.field(default_factory=Names)
    separator: str = ";"
    encoding: str = "utf-8"
    checksum: str = "auto"
    passes: list[str] = msgspec.field(name="pass", default_factory=lambda: ["PASS"])
    fails: list[str] = msgspec.field(name="fail", default_factory=lambda: ["FAIL"])


@dataclass(slots=True)
class Device(ABC):
    """Something that says things until each is answered, while it is switched on."""

    name: str
    kind: str
    """Type of the records that it makes: `scan`, `test`, `work_order`."""
    said: list[str] = field(default_factory=list)
    """Everything that counts as handed over: it was confirmed, or nobody ever confirms."""
    unknown: int = 0
    """Given up without an answer: it may be on record or not."""
    is_told: bool = True
    """Whether it ever gets an answer."""
    busy: bool = False

    @abstractmethod
    async def work(self, on: asyncio.Event) -> None:
        """Until it is cancelled: say one thing after the other while it is switched on."""


class Gun(Device):
    """A person with a gun, who scans a badge again until the gun says that it was taken."""

    def __init__(self, name: str, number: int, wire: Wire, link: Path) -> None:
        super().__init__(name, "scan", is_told=bool(wire.thanks()))
        self.speaker = Speaker(link)
        self._wire = wire
        self._prefix = f"9{number}"
        self._next = 0

    async def work(self, on: asyncio.Event) -> None:
        while True:
            await on.wait()
            self._next += 1
            text = label("E", f"{self._prefix}{self._next:05d}")
            await _say(self, self.speaker, self._wire, text, self._wire.framed(text.encode()), on)
            await asyncio.sleep(SCAN_S)

    async def show(self, text: str) -> None:
        """Scan a label for its effect; whether it was taken is the line's affair, and not judged."""
        answers = [*self._wire.thanks(), *self._wire.refusals()]
        for _ in range(TRIES_OF_CARD if answers else 1):
            patience_s = PATIENCE_S if answers else 0.0
            data = self._wire.framed(text.encode())
            if await self.speaker.ask(data, answers, patience_s) in self._wire.thanks():
                return
            await asyncio.sleep(AGAIN_S)


class Rig(Device):
    """A rig, which sends a result again until it is taken."""

    def __init__(self, name: str, number: int, wire: Wire, table: RigTable, link: Path) -> None:
        super().__init__(name, "test", is_told=bool(wire.thanks()))
        self.speaker = Speaker(link)
        self._wire = wire
        self._table = table
        self._prefix = f"DRILL-{number}"
        self._next = 0

    async def work(self, on: asyncio.Event) -> None:
        while True:
            await on.wait()
            self._next += 1
            unit = f"{self._prefix}-{self._next:05d}"
            line = result_line(self._table, unit, self._next, passed=self._next % 7 != 0)
            await _say(self, self.speaker, self._wire, unit, self._wire.framed(line), on)
            await asyncio.sleep(TEST_S)


async def _say(
    device: Device, speaker: Speaker, wire: Wire, text: str, data: bytes, on: asyncio.Event
) -> None:
    """Until it is confirmed, as a person or a rig does it; once, where nobody ever confirms."""
    thanks, refusals = wire.thanks(), wire.refusals()
    if not thanks:
        speaker.send(data)
        device.said.append(text)
        return
    device.busy, tries = True, 0
    while await speaker.ask(data, [*thanks, *refusals], PATIENCE_S) not in thanks:
        tries += not on.is_set()
        if tries >= TRIES:
            device.unknown += 1
            break
        await asyncio.sleep(AGAIN_S)
    else:
        device.said.append(text)
    device.busy = False


def result_line(table: RigTable, unit: str, number: int, *, passed: bool) -> bytes:
    """A result as this rig writes it, with one measurement and without its end."""
    names = table.fields
    verdict = (table.passes if passed else table.fails)[0]
    measured = next(name for name in ("leak", "drill", "x") if name not in msgspec.structs.astuple(names))
    pairs = [
        (names.unit, unit), (names.program, "DRILL"), (names.number, str(number)),
        (measured, "0.12:mbar:0:0.5"), (names.result, verdict),
    ]  # fmt: skip
    line = table.separator.join(f"{name}={value}" for name, value in pairs).encode(table.encoding)
    return line if table.checksum == "none" else line + b"*%02X" % reduce(xor, line, 0)


class Office(Device):
    """Who sends orders over MQTT; the broker keeps each until the agent confirms it."""

    def __init__(self, name: str, topic: str) -> None:
        super().__init__(name, "work_order")
        self.broker = Broker()
        self._topic = topic
        self._sent = 0

    async def work(self, on: asyncio.Event) -> None:
        while True:
            await on.wait()
            self._sent += 1
            order: Mapping[str, str | int] = {
                "id": f"DRILL-{self.name}-{self._sent}".upper().replace("_", "-")[-32:].lstrip("-."),
                "item": "DRILL", "quantity": 10,
            }  # fmt: skip
            self.broker.publish(self._topic, msgspec.json.encode(order))
            await asyncio.sleep(ORDER_S)

    def take_stock(self) -> None:
        """What was confirmed was taken."""
        done = [msgspec.json.decode(one.payload)["id"] for one in self.broker.acknowledged]
        self.said = list(dict.fromkeys(done))
        self.busy = len(self.said) < self._sent


def serial_device(source: SourceConfig, number: int, link: Path) -> Gun | Rig:
    """What stands in for a gun or a rig, with the answers and the words of its own table."""
    table = source.settings.model_dump(by_alias=True)
    if source.settings.type == "hid-scanner":
        return Gun(source.name, number, Wire(["\r", "\n"], "\x06", "\x15"), link)
    if source.settings.type != "testrig":
        return Gun(source.name, number, msgspec.convert(table, Wire), link)
    if is_plain_rig(source.settings.model_dump(by_alias=True, exclude_unset=True)):
        return Rig(source.name, number, msgspec.convert(table, Wire), msgspec.convert(table, RigTable), link)
    return Rig(source.name, number, Wire(["\r", "\n"], "\x06", "\x15"), RigTable(), link)


def command_topic(path: str, line: str) -> str:
    """Where a line takes orders in."""
    return "/".join([*filter(None, path.split("/")), line, "_command", "order"])


def start_cards(guns: Sequence[Gun], cards: Sequence[str]) -> list[tuple[Gun, str]]:
    """Each gun and the job card that is scanned with it, as far as there are cards."""
    return [(gun, label("J", card)) for gun, card in zip(guns, cards, strict=False)]
