"""The readable ranges of a device are found exactly, with few requests, whatever it refuses."""

import asyncio
from collections.abc import Collection
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters._modbus.library import identification
from adapters._modbus.plan import Block
from adapters._modbus.probe_ask import Asker
from adapters._modbus.probe_units import find_units, identity
from adapters._modbus.probe_watch import watched
from adapters._modbus.scan import LANDMARKS, Area, Bounds, gathered, scanned
from adapters._modbus.wire import Link, NoAnswer, Refused, Reply

WIDE = 100


class Memory:
    """A device's registers behind the real link's methods: an address holds itself and what was added."""

    def __init__(self, readable: Collection[int], longest: int = 125, says: int = 2) -> None:
        self.readable = set(readable)
        self.longest = longest
        self.says = says
        self.asked: list[tuple[int, int]] = []
        self.silent = False
        self.in_pairs = False
        self.border = 0
        """No request reads across it."""
        self.busy = 0
        self.added = 0
        self.pdus: dict[bytes, bytes | Refused] = {}
        self.identified = 0

    async def read(self, block: Block) -> Reply | Refused:
        self.asked.append((block.start, block.count))
        if self.busy:
            self.busy -= 1
            return Refused(6, 0.0)
        cells = range(block.start, block.start + block.count)
        if self.in_pairs and (block.start % 2 or block.count % 2):
            return Refused(self.says, 0.0)
        if cells.start < self.border < cells.stop:
            return Refused(2, 0.0)
        if block.count <= self.longest and self.readable.issuperset(cells):
            return Reply(tuple(at % 1000 + self.added for at in cells), 0.0)
        if self.silent:
            raise NoAnswer("no answer")
        return Refused(self.says, 0.0)

    async def ask(self, unit: int, pdu: bytes) -> bytes | Refused:
        self.identified += 1
        return self.pdus.get(pdu, Refused(1, 0.0))

    async def recover(self, unit: int) -> None:
        return None


def asker(memory: Memory, enough: asyncio.Event | None = None) -> Asker:
    return Asker(cast(Link, memory), enough or asyncio.Event(), 0.0)


def scan(memory: Memory, bounds: Bounds) -> Area:
    async def run() -> Area:
        return await scanned(asker(memory), 1, "holding", bounds, lambda row: None)

    return asyncio.run(run())


def ranges(area: Area) -> list[tuple[int, int]]:
    return [(run[0], run[-1]) for run in area.runs()]


# --- ranges ---------------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 60)), st.sampled_from([1, 3, 10, 125]))
@settings(max_examples=40, deadline=None)
def test_in_a_range_that_is_given_every_address_is_found(readable: set[int], longest: int) -> None:
    area = scan(Memory(readable, longest), Bounds(0, 60, 10_000, is_given=True))
    assert set(area.cells) == readable
    assert all(area.cells[at] == at for at in readable)


@given(st.lists(st.tuples(st.sampled_from(LANDMARKS), st.integers(1, 300)), max_size=4))
@settings(max_examples=40, deadline=None)
def test_ranges_at_landmarks_are_found_whole(islands: list[tuple[int, int]]) -> None:
    readable = {at for start, size in islands for at in range(start, min(start + size, 65_536))}
    memory = Memory(readable)
    area = scan(memory, Bounds(requests=400))
    assert set(area.cells) == readable
    assert len(memory.asked) <= len(LANDMARKS) + 60 * (len(islands) + 1)


@given(st.sets(st.integers(0, 400), max_size=60), st.integers(1, 125), st.integers(5, 60))
@settings(max_examples=40, deadline=None)
def test_nothing_is_said_to_be_readable_that_is_not(readable: set[int], longest: int, most: int) -> None:
    memory = Memory(readable, longest)
    area = scan(memory, Bounds(requests=most))
    assert set(area.cells) <= readable
    assert len(memory.asked) == area.requests <= most


def test_neighbours_behind_a_hole_are_found() -> None:
    readable = [*range(100, 140), *range(143, 160), *range(175, 180)]
    assert ranges(scan(Memory(readable), Bounds())) == [(100, 139), (143, 159), (175, 179)]


def test_how_much_one_request_may_have_is_learnt() -> None:
    for longest in (1, 7, 32, 64, 99):
        memory = Memory(range(200), longest)
        area = scan(memory, Bounds(0, 199, 500))
        assert (area.limit, area.is_limited) == (longest, True)
        assert ranges(area) == [(0, 199)]
        assert all(count <= longest for _, count in area.blocks())
    assert not scan(Memory(range(200)), Bounds()).is_limited


@given(st.integers(1, 20), st.integers(1, 20))
def test_no_request_for_what_was_found_is_longer_than_the_device_takes(size: int, longest: int) -> None:
    memory = Memory(range(size), longest)
    area = scan(memory, Bounds())
    assert ranges(area) == [(0, size - 1)]
    assert all(count <= longest for _, count in area.blocks())
    assert area.is_limited == (longest < size)
    assert area.limit == longest or not area.is_limited


@given(st.integers(1, 250), st.integers(100, 125))
def test_a_border_that_no_request_crosses_is_no_limit(border: int, longest: int) -> None:
    memory = Memory(range(250), longest)
    memory.border = border
    area = scan(memory, Bounds(0, 249, 1000, is_given=True))
    assert ranges(area) == [(0, 249)]
    [one] = asyncio.run(watched(asker(memory), [area], 0, list[str]().append))
    assert sorted(one.looks[0]) == list(range(250))


def test_a_border_behind_a_long_request_is_known_to_be_one() -> None:
    memory = Memory(range(250))
    memory.border = 150
    area = scan(memory, Bounds(0, 249, 1000))
    assert (area.limit, area.is_limited) == (100, False)


@given(
    st.lists(st.tuples(st.sampled_from(LANDMARKS), st.integers(1, 60)), max_size=3), st.sampled_from([2, 3])
)
@settings(max_examples=40, deadline=None)
def test_a_device_that_has_pairs_only_is_looked_at_in_pairs(
    islands: list[tuple[int, int]], says: int
) -> None:
    readable = {0, 1} | {at for start, size in islands for at in range(start & ~1, (start & ~1) + 2 * size)}
    readable &= set(range(65_536))
    memory = Memory(readable, 30, says)
    memory.in_pairs = True
    area = scan(memory, Bounds(requests=500))
    assert set(area.cells) == readable
    assert area.grain == 2
    assert not [block for block in area.blocks() if block[0] % 2 or block[1] % 2 or block[1] > 30]


@given(st.sets(st.integers(0, 40)), st.sampled_from([2, 6, 24]))
@settings(max_examples=40, deadline=None)
def test_each_pair_in_a_range_that_is_given_is_found(pairs: set[int], longest: int) -> None:
    readable = {at for pair in pairs for at in (2 * pair, 2 * pair + 1)}
    memory = Memory(readable, longest, 3)
    memory.in_pairs = True
    area = scan(memory, Bounds(0, 80, 10_000, is_given=True))
    assert set(area.cells) == readable


def test_who_has_single_registers_is_not_asked_for_pairs() -> None:
    memory = Memory(range(10))
    scan(memory, Bounds())
    assert not [start for start, count in memory.asked if count == 2 and start > 40]
    nothing = Memory([])
    scan(nothing, Bounds())
    assert sum(count == 2 for _, count in nothing.asked) <= 16


def test_a_table_that_is_not_there_costs_one_request() -> None:
    memory = Memory([], says=1)
    area = scan(memory, Bounds())
    assert (len(memory.asked), area.cells) == (1, {})
    assert str(area) == "holding nothing (exception 1, illegal function)"


def test_a_device_that_is_silent_about_what_it_lacks_is_left_in_peace() -> None:
    memory = Memory(range(20))
    memory.silent = True
    area = scan(memory, Bounds())
    assert ranges(area)[0][0] == 0
    assert len(memory.asked) < 20
    assert "does not answer for what it lacks" in area.words


def test_a_device_that_is_busy_is_asked_again() -> None:
    memory = Memory(range(20))
    memory.busy = 3
    assert ranges(scan(memory, Bounds(0, 40))) == [(0, 19)]


def test_a_device_that_stays_busy_is_left() -> None:
    memory = Memory(range(20))
    memory.busy = 10_000
    area = scan(memory, Bounds())
    assert len(memory.asked) <= 15
    assert "it has no time (exception 6, server device busy): look again when it is free" in str(area)


def test_whoever_has_had_enough_gets_what_is_known() -> None:
    async def run() -> Area:
        enough = asyncio.Event()
        enough.set()
        return await scanned(asker(Memory(range(20)), enough), 1, "holding", Bounds(), lambda row: None)

    assert asyncio.run(run()).words == "ended before its end"


def around(memory: Memory) -> Area:
    """What is found for the address 100, and one off, of a value of ten registers at the most."""

    async def run() -> Area:
        area = Area.of(1, "holding")
        bounds = Bounds(99, 112, 150, is_given=True)
        await gathered(asker(memory), area, bounds, [99, 100, 101], lambda row: None)
        return area

    return asyncio.run(run())


def test_around_an_address_only_what_may_be_meant_is_read() -> None:
    whole = Memory(range(90, 120))
    assert ranges(around(whole)) == [(99, 112)]
    assert len(whole.asked) == 1
    assert ranges(around(Memory(range(100, 104)))) == [(100, 103)]
    none = Memory([])
    assert ranges(around(none)) == []
    assert len(none.asked) == 5


@pytest.mark.parametrize("longest", [1, 4, 11, 13])
def test_how_much_one_request_may_have_is_learnt_around_an_address(longest: int) -> None:
    memory = Memory(range(90, 120), longest)
    area = around(memory)
    assert ranges(area) == [(99, 112)]
    assert (area.limit, area.is_limited) == (longest, True)
    memory.asked.clear()
    [one] = asyncio.run(watched(asker(memory), [area], 0, list[str]().append))
    assert sorted(one.looks[0]) == list(range(99, 113))
    assert all(count <= longest for _, count in memory.asked)


def test_around_an_address_pairs_are_tried_too() -> None:
    memory = Memory(range(90, 120), 10, 3)
    memory.in_pairs = True
    area = around(memory)
    assert ranges(area) == [(98, 113)]
    assert (area.grain, area.limit, area.is_limited) == (2, 10, True)


def test_around_an_address_a_device_may_be_silent_about_what_it_lacks() -> None:
    memory = Memory(range(100, 102))
    memory.silent = True
    assert ranges(around(memory)) == [(100, 101)]
    assert len(memory.asked) <= 20


# --- units ----------------------------------------------------------------------------------------


def test_busy_and_refusing_units_are_units() -> None:
    async def run(memory: Memory) -> tuple[int, ...]:
        return (await find_units(asker(memory), object(), [1, 2], lambda row: None)).units

    assert asyncio.run(run(Memory([]))) == (1, 2)
    gone = Memory([])
    gone.silent = True
    assert asyncio.run(run(gone)) == ()
    assert asyncio.run(run(Memory([], says=11))) == (), "a gateway's word that nobody is there"


IDENTIFY = bytes([0x2B, 0x0E])


def answer(category: int, *found: tuple[int, bytes], more: int = 0, following: int = 0) -> bytes:
    body = b"".join(bytes([number, len(text)]) + text for number, text in found)
    return IDENTIFY + bytes([category, 0x83, more, following, len(found)]) + body


def test_a_device_says_who_it_is_in_several_parts() -> None:
    memory = Memory([])
    memory.pdus = {
        IDENTIFY + b"\x01\x00": answer(1, (0, b"ACME"), (1, b"PM\x1b[2J-3"), more=0xFF, following=2),
        IDENTIFY + b"\x01\x02": answer(1, (2, b"1.0")),
    }
    words = asyncio.run(identity(asker(memory), 1))
    assert words == ["maker ACME", "product PM [2J-3", "revision 1.0"]


def test_a_device_that_only_reports_itself_is_heard() -> None:
    memory = Memory([])
    memory.pdus = {b"\x11": b"\x11\x06\x01\xffPM-3"}
    assert asyncio.run(identity(asker(memory), 1)) == ["it reports itself as PM-3"]


@given(st.binary(max_size=300))
def test_whatever_it_says_of_itself_is_read_or_left(said: bytes) -> None:
    memory = Memory([])
    memory.pdus = {IDENTIFY + b"\x01\x00": said, b"\x11": said}
    found = identification(said).objects
    assert sum(len(text) + 2 for text in found.values()) <= len(said)
    assert all(word.isprintable() for word in asyncio.run(identity(asker(memory), 1)))


def test_parts_without_end_are_left_after_some() -> None:
    memory = Memory([])
    memory.pdus = cast(
        Any,
        {IDENTIFY + bytes([1, at]): answer(1, (at, b"x"), more=0xFF, following=at + 1) for at in range(250)},
    )
    assert len(asyncio.run(identity(asker(memory), 1))) <= 7
    assert memory.identified <= 16


def test_a_device_that_begins_again_with_its_parts_is_not_followed() -> None:
    memory = Memory([])
    memory.pdus = {IDENTIFY + b"\x01\x00": answer(1, (0, b"ACME"), more=0xFF, following=0)}
    assert asyncio.run(identity(asker(memory), 1)) == ["maker ACME"]
    assert memory.identified == 2


# --- watching -------------------------------------------------------------------------------------


async def test_what_changes_is_seen() -> None:
    memory = Memory(range(8))
    area = Area.of(1, "holding")
    area.cells = dict.fromkeys(range(8), 0)
    task = asyncio.create_task(watched(asker(memory), [area], 0.6, list[str]().append))
    while not memory.asked:
        await asyncio.sleep(0.001)
    memory.added = 5
    [one] = await task
    assert one.changed() == list(range(8))
    assert one.trace(3)[0] == 3
    assert one.trace(3)[-1] == 8
