"""mbpoll, a client of another make, agrees with every value that the Modbus source reads.

What mbpoll decodes by itself (-t 4, 4:int, 4:float, -B) is compared as it prints it; other widths and orders
are put together here from the registers that it prints in hex.
"""

import asyncio
import random
import re
import struct
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapters import modbus
from edge.contract import Quality
from tests.adapters.modbus_support import Device, collecting, device, serial_line, settings, signal
from tests.support.intake import MemoryIntake

LETTERS = "ABCDEFGH"
ORDERS = {
    1: ("AB", "BA"),
    2: ("ABCD", "CDAB", "BADC", "DCBA"),
    4: (
        "ABCDEFGH", "GHEFCDAB", "BADCFEHG", "HGFEDCBA",
        "CDABGHEF", "EFGHABCD", "DCBAHGFE", "FEHGBADC",
    ),
}  # fmt: skip
WORDS = {
    "AB": {}, "BA": {"bytes": "little"},
    "ABCD": {"words": "big"}, "CDAB": {"words": "little"},
    "BADC": {"words": "big", "bytes": "little"}, "DCBA": {"words": "little", "bytes": "little"},
    "ABCDEFGH": {"words": "big"}, "GHEFCDAB": {"words": "little"},
    "BADCFEHG": {"words": "big", "bytes": "little"}, "HGFEDCBA": {"words": "little", "bytes": "little"},
}  # fmt: skip
"""The orders that can be written as words and bytes, too."""
FORMATS = {"u16": "H", "i16": "h", "u32": "I", "i32": "i", "f32": "f", "u64": "Q", "i64": "q", "f64": "d"}
DIGITS = {"bcd16": 4, "bcd32": 8, "bcd64": 16}
FLOATS = (0.0, 229.01, -1.5, 3.4e38, 1e-40)


def values_of(kind: str) -> list[int | float]:
    """The ends of its range, and a few between them."""
    chance = random.Random(kind)
    if kind in DIGITS:
        return [0, 10 ** DIGITS[kind] - 1, *(chance.randrange(10 ** DIGITS[kind]) for _ in range(3))]
    form = FORMATS[kind]
    if form in "fd":
        return [struct.unpack(form, struct.pack(form, one))[0] for one in FLOATS]
    bits = 8 * struct.calcsize(form)
    low, high = (-(1 << bits - 1), 1 << bits - 1) if form.islower() else (0, 1 << bits)
    return [low, high - 1, 1, 1 << bits // 2 - 1, *(chance.randrange(low, high) for _ in range(4))]


@dataclass(frozen=True, slots=True)
class Place:
    """A value as it lies in the device's registers."""

    kind: str
    order: str
    start: int
    value: int | float

    @property
    def name(self) -> str:
        return f"{self.kind} {self.order} at {self.start}"

    @property
    def width(self) -> int:
        return len(self.order) // 2

    def cells(self) -> tuple[int, ...]:
        octets = bytes.fromhex(f"{self.value:0{DIGITS[self.kind]}d}") if self.kind in DIGITS else b""
        octets = octets or struct.pack(f">{FORMATS[self.kind]}", self.value)
        wire = bytes(octets[LETTERS.index(letter)] for letter in self.order)
        return struct.unpack(f">{self.width}H", wire)

    def of_hex(self, cells: dict[int, int]) -> int | float:
        """The value by the registers that mbpoll read."""
        wire = b"".join(cells[self.start + at].to_bytes(2, "big") for at in range(self.width))
        octets = bytes(wire[self.order.index(letter)] for letter in LETTERS[: 2 * self.width])
        if self.kind in DIGITS:
            return int(octets.hex())
        if self.kind.startswith("f"):
            number: float = struct.unpack(f">{FORMATS[self.kind]}", octets)[0]
            return number
        return int.from_bytes(octets, "big", signed=self.kind.startswith("i"))


def all_places() -> list[Place]:
    """Every kind in every order, the wide ones at even addresses."""
    places: list[Place] = []
    at = 0
    for kind in ("u16", "i16", "bcd16", "u32", "i32", "f32", "bcd32", "u64", "i64", "f64", "bcd64"):
        width = struct.calcsize(FORMATS[kind]) // 2 if kind in FORMATS else DIGITS[kind] // 4
        for order in ORDERS[width]:
            for value in values_of(kind):
                places.append(Place(kind, order, at, value))
                at += width
        at += at % 2
    return places


PLACES = all_places()
END = PLACES[-1].start + PLACES[-1].width


async def set_up(plc: Device) -> None:
    cells = [0] * END
    for place in PLACES:
        cells[place.start : place.start + place.width] = place.cells()
    await plc.set("holding", 0, *cells)
    await plc.set("input", 0, *cells)


# --- mbpoll -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mbpoll:
    """mbpoll as it reaches one unit."""

    arguments: tuple[str, ...]
    """Such as -m tcp -p 502 -a 1."""
    place: str
    """Its host or port."""

    async def said(self, *arguments: str, values: Iterable[object] = ()) -> str:
        process = await asyncio.create_subprocess_exec(
            "mbpoll", "-0", "-1", *self.arguments, *arguments, self.place, *map(str, values),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said = (await asyncio.wait_for(process.communicate(), 10))[0].decode()
        assert process.returncode == 0, said
        return said

    async def read(self, table: str, start: int, end: int, *more: str, step: int = 1) -> dict[int, str]:
        """What it prints at each address; `step` registers a value."""
        found: dict[int, str] = {}
        for at in range(start, end, 120):
            count = str(-(-min(120, end - at) // step))
            said = await self.said("-t", table, "-r", str(at), "-c", count, *more)
            found |= {int(one): text for one, text in re.findall(r"^\[(\d+)\]:\s+(.+)$", said, re.MULTILINE)}
        return found

    async def write(self, table: str, start: int, values: Sequence[object], *more: str) -> None:
        await self.said("-t", table, "-r", str(start), *more, values=["--", *values])


def by_tcp(port: int, unit: int = 1) -> Mbpoll:
    return Mbpoll(("-m", "tcp", "-p", str(port), "-a", str(unit)), "127.0.0.1")


def by_line(path: str, unit: int = 1) -> Mbpoll:
    return Mbpoll(("-m", "rtu", "-b", "19200", "-P", "none", "-a", str(unit)), path)


async def mbpolls_values(client: Mbpoll, letter: str) -> dict[str, int | float]:
    """Every place by the registers that it reads; `letter` is 3 for input registers, 4 for holding."""
    cells = {at: int(text, 16) for at, text in (await client.read(f"{letter}:hex", 0, END)).items()}
    return {place.name: place.of_hex(cells) for place in PLACES}


async def mbpolls_words(client: Mbpoll, letter: str) -> dict[str, str]:
    """What it decodes by itself, as it prints it."""
    plain = await client.read(letter, 0, END)
    wide = {
        ("i32", "ABCD"): await client.read(f"{letter}:int", 0, END, "-B", step=2),
        ("i32", "CDAB"): await client.read(f"{letter}:int", 0, END, step=2),
        ("f32", "ABCD"): await client.read(f"{letter}:float", 0, END, "-B", step=2),
        ("f32", "CDAB"): await client.read(f"{letter}:float", 0, END, step=2),
        ("u16", "AB"): {at: text.partition(" ")[0] for at, text in plain.items()},
        ("i16", "AB"): {at: text.strip(")").rpartition("(")[2] for at, text in plain.items()},  # 65535 (-1)
    }
    found = ((place, wide.get((place.kind, place.order))) for place in PLACES)
    return {place.name: shown[place.start] for place, shown in found if shown is not None}


def as_printed(value: object) -> str:
    """A number as C's %d or %g prints it."""
    return f"{value:g}" if isinstance(value, float) else f"{value}"


# --- the source -------------------------------------------------------------------------------


async def read_by(how: modbus.Settings, keys: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The first value of each signal; AssertionError where one is bad."""
    intake = MemoryIntake("plc")
    signals = [signal(name, every=5.0, **one) for name, one in keys.items()]
    async with collecting(how, signals, intake):
        await intake.until(lambda: {one.signal for one in intake.seen} >= keys.keys(), 20)
    assert [one.detail for one in intake.seen if one.quality is not Quality.GOOD] == []
    return {name: intake.values(name)[0] for name in keys}


def keys_of(place: Place, table: str, writing: str) -> dict[str, Any]:
    """Its address in one of the ways in which a person may write it; empty where that has no words for it."""
    if writing == "words":
        order: dict[str, str] | None = WORDS.get(place.order)
        return {} if order is None else {table: place.start, "as": place.kind, **order}
    base = 400001 if table == "holding" else 300001
    where = {"address": base + place.start} if writing == "modicon" else {table: place.start}
    return {**where, "as": place.kind, "order": place.order}


async def agree(how: modbus.Settings, client: Mbpoll, table: str, *writings: str) -> None:
    letter = {"input": "3", "holding": "4"}[table]
    theirs, printed = await mbpolls_values(client, letter), await mbpolls_words(client, letter)
    assert theirs == {place.name: place.value for place in PLACES}
    for writing in writings:
        keys = {place.name: keys_of(place, table, writing) for place in PLACES}
        ours = await read_by(how, {name: one for name, one in keys.items() if one})
        assert ours == {name: theirs[name] for name in ours}
        assert {name: as_printed(ours[name]) for name in printed} == printed


def test_every_kind_and_order_is_there() -> None:
    assert {(place.kind, place.order) for place in PLACES} == {
        (kind, order)
        for width, kinds in ((1, "u16 i16 bcd16"), (2, "u32 i32 f32 bcd32"), (4, "u64 i64 f64 bcd64"))
        for kind in kinds.split()
        for order in ORDERS[width]
    }


@pytest.mark.parametrize(
    ("table", "writings"),
    [
        ("holding", ("order", "modicon")),
        pytest.param("input", ("words", "modicon"), marks=pytest.mark.long),
    ],
)
async def test_over_tcp_both_say_the_same(plc: Device, table: str, writings: tuple[str, ...]) -> None:
    await plc.tell(f"size {END}")
    await set_up(plc)
    await agree(settings(host=f"tcp://127.0.0.1:{plc.port}"), by_tcp(plc.port), table, *writings)


@pytest.mark.long
async def test_on_a_serial_line_both_say_the_same_in_turn(program: Path, tmp_path: Path) -> None:
    async with serial_line(tmp_path) as (far, near, _), device(program, "rtu", far, "1,3") as plc:
        await plc.tell(f"size {END}")
        await set_up(plc)
        how = settings(port=near, baud=115200, parity="none")
        await agree(how, by_line(near), "holding", "order")
        for turn in range(3):
            await by_line(near, 3).write("4:float", 0, [229.01 + turn], "-B")
            keys = {"it": {"unit": 3, "holding": 0, "as": "f32", "order": "ABCD"}}
            assert as_printed((await read_by(how, keys))["it"]) == f"{229.01 + turn:g}"
        assert (await plc.asked("functions")).split() == ["3", "16"]


@asynccontextmanager
async def device_server(folder: Path, port: int) -> AsyncIterator[str]:
    """A serial port whose other end is a TCP port: what mbpoll needs for RTU over TCP."""
    path = str(folder / "bridged")
    process = await asyncio.create_subprocess_exec(
        "socat",
        "-d",
        "-d",
        f"pty,raw,echo=0,link={path}",
        f"tcp:127.0.0.1:{port}",
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(5):
            while b"starting data transfer" not in await process.stderr.readline():
                pass
        yield path
    finally:
        process.terminate()
        await process.wait()


async def test_rtu_over_tcp_both_say_the_same(program: Path, tmp_path: Path) -> None:
    async with device(program, "rtu-tcp", "1,3") as plc, device_server(tmp_path, plc.port) as path:
        await plc.tell(f"size {END}")
        await set_up(plc)
        await agree(settings(host=f"rtu+tcp://127.0.0.1:{plc.port}"), by_line(path), "input", "order")


# --- what is no plain number ------------------------------------------------------------------


async def test_coils_discrete_inputs_and_bits_of_a_register(plc: Device) -> None:
    client, chance = by_tcp(plc.port), random.Random(7)
    bits = [chance.randrange(2) for _ in range(40)]
    await plc.set("discrete", 3, *bits)
    await client.write("0", 960, bits)
    await client.write("4", 500, [0x8421])
    keys: dict[str, dict[str, Any]] = {f"coil {at}": {"coil": at} for at in range(960, 1000)}
    keys |= {f"discrete {at}": {"discrete": at} for at in range(3, 43)}
    keys |= {f"discrete again {at}": {"address": 10001 + at} for at in range(3, 43)}
    keys |= {f"bit {bit}": {"holding": 500, "bit": bit} for bit in range(16)}
    ours = await read_by(settings(host=f"tcp://127.0.0.1:{plc.port}"), keys)
    coils, discrete = await client.read("0", 960, 1000), await client.read("1", 3, 43)
    word = int((await client.read("4:hex", 500, 501))[500], 16)
    theirs = {f"coil {at}": text == "1" for at, text in coils.items()}
    theirs |= {f"discrete {at}": text == "1" for at, text in discrete.items()}
    theirs |= {f"discrete again {at}": text == "1" for at, text in discrete.items()}
    theirs |= {f"bit {bit}": bool(word >> bit & 1) for bit in range(16)}
    assert ours == theirs
    assert [*coils.values(), *discrete.values()] == [str(bit) for bit in bits] * 2


@pytest.mark.parametrize("order", ["AB", "BA"])
async def test_a_text_is_the_registers_bytes(plc: Device, order: str) -> None:
    client, text = by_tcp(plc.port), "ÖL-77 b"
    octets = text.encode() + b"\0\0"
    pairs = zip(octets[::2], octets[1::2], strict=False)
    cells = [high << 8 | low if order == "AB" else low << 8 | high for high, low in pairs]
    await client.write("4", 20, cells)
    keys = {"text": {"holding": 20, "as": "text", "length": len(cells), "order": order}}
    ours = await read_by(settings(host=f"tcp://127.0.0.1:{plc.port}"), keys)
    shown = (await client.read("4:hex", 20, 20 + len(cells))).values()
    wire = bytes.fromhex("".join(one.removeprefix("0x") for one in shown))
    if order == "BA":
        wire = bytes(wire[at ^ 1] for at in range(len(wire)))
    assert ours["text"] == wire.rstrip(b"\0").decode() == text


async def test_scaled_values_are_the_decimals_of_what_mbpoll_shows(plc: Device) -> None:
    client = by_tcp(plc.port)
    raw = [2290, 22901, 1, 65535, 12345, 7]
    await client.write("4", 30, raw)
    scales = ("0.1", "0.01", "0.001", "10", "0.5")
    keys: dict[str, dict[str, Any]] = {
        f"{at} {scale}": {"holding": at, "as": "u16", "scale": scale, "offset": "-40"}
        for at in range(30, 30 + len(raw))
        for scale in scales
    }
    ours = await read_by(settings(host=f"tcp://127.0.0.1:{plc.port}"), keys)
    shown = {at: text.partition(" ")[0] for at, text in (await client.read("4", 30, 30 + len(raw))).items()}
    theirs = {
        f"{at} {scale}": Decimal(text) * Decimal(scale) - 40 for at, text in shown.items() for scale in scales
    }
    assert ours == {name: float(value) for name, value in theirs.items()}
    assert ours["31 0.01"] == 189.01


@pytest.mark.parametrize(("more", "order"), [((), "CDAB"), (("-B",), "ABCD")])
async def test_what_mbpoll_writes_is_read_as_it_was_meant(
    plc: Device, more: tuple[str, ...], order: str
) -> None:
    client = by_tcp(plc.port)
    whole, broken = [0, 1, -1, 2**31 - 1, -(2**31), 70000], [229.01, -0.25, 1e6, 1e-3]
    await client.write("4:int", 100, whole, *more)
    await client.write("4:float", 200, broken, *more)
    keys = {f"i{at}": {"holding": 100 + 2 * at, "as": "i32", "order": order} for at in range(len(whole))}
    keys |= {f"f{at}": {"holding": 200 + 2 * at, "as": "f32", "order": order} for at in range(len(broken))}
    ours = await read_by(settings(host=f"tcp://127.0.0.1:{plc.port}"), keys)
    assert [ours[f"i{at}"] for at in range(len(whole))] == whole
    assert [as_printed(ours[f"f{at}"]) for at in range(len(broken))] == [as_printed(one) for one in broken]
