"""Another master on the line: no answer to him is ever taken for one of ours."""

import asyncio
import os
import struct
import tty
from collections.abc import Sequence

import pytest

from adapters._modbus.counts import Counts
from adapters._modbus.lines import SerialLine
from adapters._modbus.others import Others
from adapters._modbus.rtu import sealed
from adapters._modbus.wire import NoAnswer, Reply
from edge.contract import Quality
from tests.adapters.modbus_shared import OURS, SharedBus, shared_bus
from tests.adapters.modbus_support import collecting, settings, signal
from tests.adapters.modbus_talk import block, cells, honest, linked, over_tcp, rtu_talk
from tests.adapters.modbus_talk import host as talking
from tests.support.intake import MemoryIntake

PLACE = block(OURS, 2)


async def sampled(
    bus: SharedBus, for_s: float, *panels: tuple[float, Sequence[int]], every: float = 0.03, gap: int = 8
) -> tuple[list[int], MemoryIntake]:
    """What was read in so long, and who read it."""
    intake = MemoryIntake("bus-1")
    async with shared_bus(bus, *panels) as port:
        how = settings(host=f"rtu+tcp://127.0.0.1:{port}", timeout="300ms", worst_answer="200ms", max_gap=gap)
        total = signal("a.total", "u32", every, holding=OURS, words="big")
        async with collecting(how, [total], intake):
            await asyncio.sleep(for_s)
    found = [one.value for one in intake.seen if one.quality is Quality.GOOD]
    return [value for value in found if isinstance(value, int)], intake


@pytest.mark.parametrize("ahead", [41, -39])
async def test_nothing_of_a_panels_counter_is_taken_for_ours(ahead: int) -> None:
    values, intake = await sampled(SharedBus(ahead=ahead), 0.9, (0.05, [2]))
    assert len(values) > 3
    assert not [value for value in values if value % 2]
    assert values == sorted(values)
    assert intake.recall(Counts).others.is_told


@pytest.mark.long
@pytest.mark.parametrize("ahead", [41, -39])
@pytest.mark.parametrize("gap", [8, 0])
async def test_nothing_of_two_panels_is_taken_for_ours_for_a_minute(ahead: int, gap: int) -> None:
    panels: list[tuple[float, list[int]]] = [(0.2, [2]), (1.0, [2, 3, 4, 5])]
    values, intake = await sampled(SharedBus(ahead=ahead), 60, *panels, every=0.02, gap=gap)
    requests = intake.recall(Counts).of(1).requests
    assert requests > 500
    assert len(values) > requests / 4
    assert not [value for value in values if value % 2]
    assert values == sorted(values)


async def test_the_first_collision_of_all_is_found() -> None:
    bus = SharedBus(ahead=41)
    async with shared_bus(bus) as port, linked(over_tcp(port), timeout_s=0.3, worst_s=0.2) as link:
        bus.ask(2)
        assert cells(await link.read(PLACE))[1] % 2 == 0
        assert link.counts.of(1).doubted == 1


@pytest.mark.parametrize("step", [0, 2])
async def test_a_reply_that_is_held_is_doubted_once_another_comes(step: int) -> None:
    """Also where the true answer says what it said before."""
    bus = SharedBus(ahead=41, step=step)
    async with shared_bus(bus) as port, linked(over_tcp(port), timeout_s=0.3, worst_s=0.2) as link:
        for count in (2, 3):
            assert cells(await link.read(PLACE, is_held=True))[1] % 2 == 0, count
        bus.ask(2)
        reply = await link.read(PLACE, is_held=True)
        assert isinstance(reply, Reply)
        assert cells(reply)[1] % 2 == 1
        await asyncio.sleep(link.sure_at(reply) - asyncio.get_running_loop().time())
        assert link.is_doubtful(reply)
        assert link.sure_at(reply) == 0


async def test_where_no_length_is_free_an_answer_counts_alone() -> None:
    """max_gap = 0: with silence on both sides it is believed, else not at all."""
    bus = SharedBus(ahead=41)
    async with shared_bus(bus) as port, linked(over_tcp(port), gap=0, timeout_s=0.3, worst_s=0.2) as link:
        for _ in range(4):  # he asks while nothing else is asked
            bus.ask(2)
            await asyncio.sleep(0.01)
        assert cells(await link.read(PLACE))[1] % 2 == 0
        bus.ask(2)
        assert cells(await link.read(PLACE))[1] % 2 == 0


async def test_another_master_is_told_once_with_the_cure() -> None:
    bus, counts = SharedBus(ahead=41), Counts()
    async with shared_bus(bus) as port, linked(over_tcp(port), counts=counts) as link:
        for count in (10, 11, 12):
            bus.ask(count)
            await link.read(PLACE)
        assert [note for note in counts.notes() if "Modbus TCP" in note]
        bus.ask(10)
        await link.read(PLACE)
        assert not counts.notes()


async def test_late_answers_of_our_own_are_no_other_master() -> None:
    """Each second one comes after its timeout, up to long after the line was drained."""
    turn = 0

    def delays(asked: bytes) -> float:
        nonlocal turn
        turn += 1
        return 0.0 if turn % 2 else 0.12

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.readexactly(8):
            await asyncio.sleep(delays(asked))
            writer.write(honest(asked))

    async with talking(talk) as port, linked(over_tcp(port), timeout_s=0.05, worst_s=0.03) as link:
        for _ in range(4):
            try:
                assert cells(await link.read(block(10))) == [1010]
            except NoAnswer:
                await link.recover()
        assert link.counts.of(1).timeouts
        assert not link.counts.others.is_told


async def test_answers_said_twice_are_no_other_master() -> None:
    async with talking(rtu_talk(lambda asked: honest(asked) * 2)) as port, linked(over_tcp(port)) as link:
        for at in range(10, 13):
            assert cells(await link.read(block(at))) == [1000 + at]
        assert link.counts.others.foreign == 0


async def test_on_a_pair_his_request_is_heard_and_his_answer_let_by() -> None:
    """It stands on the line when ours goes out, and his answer fits."""
    ours, far = os.openpty()
    tty.setraw(ours)
    tty.setraw(far)
    line = SerialLine(os.ttyname(far), 19200, "none", 1)
    loop, asked, late = asyncio.get_running_loop(), [0], sealed(b"\1\3\4" + struct.pack(">HH", 0, 77))

    def answer() -> None:
        said = os.read(ours, 256)
        asked[0] += 1
        _, function, start, count = struct.unpack(">BBHH", said[:6])
        values = range(1000 + start, 1000 + start + count)
        os.write(ours, sealed(said[:1] + struct.pack(f">BB{count}H", function, 2 * count, *values)))

    loop.add_reader(ours, answer)
    try:
        async with linked(line) as link:
            assert cells(await link.read(PLACE)) == [1100, 1101]
            os.write(ours, sealed(struct.pack(">BBHH", 1, 3, 200, 2)))
            loop.call_later(0.03, os.write, ours, late)
            await asyncio.sleep(0.005)
            assert cells(await link.read(PLACE)) == [1100, 1101]
            assert link.counts.others.foreign == 1
    finally:
        loop.remove_reader(ours)
        os.close(ours)
        os.close(far)


def test_noise_is_no_other_master() -> None:
    others = Others()
    for seed in range(500):
        others.heard(bytes((seed * at * 31 + at * at * 7) % 256 for at in range(1, 40)), float(seed), 1.0)
    assert not others.is_told
