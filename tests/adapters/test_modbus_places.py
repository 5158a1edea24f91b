"""A place that gives no answer, or is always busy, in a unit that answers everything else."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from edge.contract import Quality
from tests.adapters.modbus_support import collecting, settings, signal
from tests.adapters.modbus_talk import host
from tests.support.intake import MemoryIntake

BAD = 72
SILENT = 0


class Units:
    """Registers hold 1,000 for each unit and their address; a request that touches `bad` gets that exception,
    or nothing. Units that are dead behind their gateway get exception 11."""

    def __init__(self, bad: dict[int, int], dead: set[int] | None = None) -> None:
        self.bad = bad
        self.dead = dead or set()
        self.asked: list[tuple[int, int, int]] = []
        """Unit, start and count."""
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        while request := await reader.readexactly(12):
            number, _, _, unit, _, start, count = struct.unpack(">HHHBBHH", request)
            self.asked.append((unit, start, count))
            if (pdu := self._pdu(unit, start, count)) is not None:
                writer.write(struct.pack(">HHHB", number, 0, len(pdu) + 1, unit) + pdu)

    def _pdu(self, unit: int, start: int, count: int) -> bytes | None:
        code = self.bad.get(unit) if start <= BAD < start + count else None
        if unit in self.dead:
            code = 11
        if code is not None:
            return None if code == SILENT else bytes((0x83, code))
        cells = range(1000 * unit + start, 1000 * unit + start + count)
        return struct.pack(f">BB{count}H", 3, 2 * count, *cells)

    def times(self, unit: int = 1, at: int = BAD) -> int:
        return sum(one == unit and start <= at < start + count for one, start, count in self.asked)


@pytest.fixture
def intake() -> MemoryIntake:
    return MemoryIntake("plc")


@asynccontextmanager
async def sampled(
    units: Units, intake: MemoryIntake, places: list[tuple[int, int, float]], **keys: object
) -> AsyncIterator[asyncio.Task[None]]:
    """`places` are unit, register and period in s."""
    signals = [signal(f"u{unit}r{at}", "u16", every, unit=unit, holding=at) for unit, at, every in places]
    async with host(units.serve) as port:
        how = settings(host=f"tcp://127.0.0.1:{port}", timeout="60ms", **{"probe_every": "10s", **keys})
        async with collecting(how, signals, intake) as running:
            yield running


def bad(intake: MemoryIntake) -> list[tuple[str, str]]:
    return [(one.signal, one.detail) for one in intake.seen if one.quality is Quality.BAD]


ONE = [(1, 50, 0.02), (1, 70, 0.1), (1, BAD, 0.1)]
TWO = [*ONE, (2, 50, 0.02)]


def late(*case: object) -> object:
    return pytest.param(*case, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("places", "code", "words"),
    [
        (ONE, SILENT, "no answer within 0.06 s"), late(TWO, SILENT, "no answer within 0.06 s"),
        late(ONE, 10, "exception 10"), (TWO, 10, "exception 10"),
        (ONE, 11, "exception 11"), late(TWO, 11, "exception 11"),
        late(ONE, 6, "exception 6"), late(TWO, 6, "exception 6"),
    ],
)  # fmt: skip
async def test_a_place_that_gives_no_answer_costs_only_itself(
    intake: MemoryIntake, places: list[tuple[int, int, float]], code: int, words: str
) -> None:
    units = Units({1: code})
    async with sampled(units, intake, places):
        await intake.until(lambda: bool(units.times()) and bool(bad(intake)))
        await intake.until(lambda: len(intake.values("u1r70")) >= 2)
        asked, seen = units.times(), len(intake.values("u1r50"))
        await intake.until(lambda: len(intake.values("u1r50")) >= seen + 20)
        assert units.times() <= asked + 3
    assert {name for name, _ in bad(intake)} == {f"u1r{BAD}"} | ({"u1r70"} if code == 6 else set())
    assert f"unit 1 holding {BAD}: {words}" in bad(intake)[-1][1]
    assert len(bad(intake)) <= 3
    assert intake.connections == 1
    assert set(intake.values("u1r50")) == {1050}


async def test_it_is_found_in_the_only_request_of_its_unit(intake: MemoryIntake) -> None:
    units = Units({1: 11})
    async with sampled(units, intake, [(1, at, 0.02) for at in range(60, 80)], max_gap=0):
        await intake.until(lambda: len(intake.values("u1r60")) >= 10 and len(intake.values("u1r79")) >= 10)
        assert [name for name, _ in bad(intake)] == [f"u1r{BAD}"]
        assert len(units.asked) < 60
    assert intake.connections == 1


@pytest.mark.parametrize("code", [late(SILENT), 11])
async def test_it_stays_known_when_the_connection_is_made_anew(intake: MemoryIntake, code: int) -> None:
    units = Units({1: code})
    for _ in range(3):
        async with sampled(units, intake, ONE):
            told = len(bad(intake))
            await intake.until(lambda told=told: len(bad(intake)) > told)  # type: ignore[misc]
            seen = len(intake.values("u1r70"))
            await intake.until(lambda seen=seen: len(intake.values("u1r70")) >= seen + 3)  # type: ignore[misc]
    assert [name for name, _ in bad(intake)] == 3 * [f"u1r{BAD}"]
    assert units.times() <= 6, "it is sought once"


async def test_a_unit_dead_behind_its_gateway_is_lost_and_not_taken_apart(intake: MemoryIntake) -> None:
    units = Units({}, dead={2})
    places = [(1, 50, 0.02), *((2, at, 0.02) for at in (0, 1, 2, 30, 31, 60))]
    async with sampled(units, intake, places):
        await intake.until(lambda: len(bad(intake)) == 6)
        asked = [one for one in units.asked if one[0] == 2]
        assert len(asked) <= 3
        seen = len(intake.values("u1r50"))
        await intake.until(lambda: len(intake.values("u1r50")) >= seen + 20)
        assert [one for one in units.asked if one[0] == 2] == asked
    assert all("unit 2 is lost: exception 11" in why for _, why in bad(intake))


async def test_a_unit_that_dies_with_a_place_left_out_is_lost_and_comes_back(intake: MemoryIntake) -> None:
    units = Units({1: 11})
    async with sampled(units, intake, TWO, probe_every="100ms"):
        await intake.until(lambda: any(name == f"u1r{BAD}" for name, _ in bad(intake)))
        units.dead.add(1)
        await intake.until(lambda: any(name == "u1r50" and "is lost" in why for name, why in bad(intake)))
        units.dead.clear()
        seen = len(intake.values("u1r50"))
        await intake.until(lambda: len(intake.values("u1r50")) >= seen + 10)
        units.bad.clear()
        await intake.until(lambda: len(intake.values(f"u1r{BAD}")) >= 3)
