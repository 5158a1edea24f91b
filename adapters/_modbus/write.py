"""A release, a hold or an order's number in a coil or in holding registers: written in one request, read
back.

Functions of "MODBUS Application Protocol V1.1b3", section 6: 5 and 15 write coils, 6 and 16 registers, 22
some bits of one. Many devices know but one of each pair, and few know 22: which, their exception 1 tells.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, TypeVar

from pydantic import model_validator

from adapters._modbus.address import Address
from adapters._modbus.bus import Bus
from adapters._modbus.codec import BIT_TABLES, Cells, exception_words
from adapters._modbus.encode import MisfitValue
from adapters._modbus.jobs import Jobs, UnitLost
from adapters._modbus.orders import (
    COIL,
    COILS,
    MASK,
    MOST_REGISTERS,
    REGISTER,
    REGISTERS,
    Function,
    Order,
)
from adapters._modbus.plan import Block
from adapters._modbus.wire import NoAnswer, Refused, Reply
from adapters._writes import Desk, MisfitError, SilentError, UnfitError
from edge.contract import Intake, Span, WriteAddress, WriteValue, refuse

_ILLEGAL_FUNCTION, _ACKNOWLEDGE, _BUSY = 1, 5, 6
_TRIES = 4
"""Of one request that the device is too busy for."""
_LOOKS = 3
"""At a register that is changed by hand, after the first one."""
_REST_S = 0.5
"""Between two of them."""
_DIGITS = re.compile(r"-?[0-9]{1,20}")
_REFUSALS = {
    2: "the device has no such place, or lets nobody write it",
    3: "the device does not take this value there",
    4: "the device failed while it wrote",
}
T = TypeVar("T")


class Write(Address, WriteAddress):
    """The place of a `[[station.write]]`: `holding = 100, as = "u32", order = "CDAB"`, `coil = 5`."""

    @model_validator(mode="after")
    def _one_that_is_written(self) -> "Write":
        refuse(*self._faults_of_a_write())
        return self

    def _faults_of_a_write(self) -> Iterator[str]:
        if not self.unit:
            yield "unit 0 is everybody: no device answers a broadcast, so nobody could confirm it"
        if self.table not in ("holding", "coil"):
            what = "an input register" if self.table == "input" else "a discrete input"
            yield f"nobody can write {what}: name a holding register or a coil"
        if self.count is not None or self.together or self.priority is not None:
            yield "single values are written, at once: leave out count, together and priority"
        if self.invalid:
            yield "what is written is a value: leave out invalid"
        if self.header is not None:
            yield "a text with a header is only read: the device says there how long it may be"
        if self.width > MOST_REGISTERS:
            yield f"one request writes {MOST_REGISTERS} registers at the most"

    def span(self) -> Span:
        """Bits of the unit's table: two may write different bits of one register."""
        room, size = f"unit {self.unit} {self.table}", 1 if self.table in BIT_TABLES else 16
        first = size * self.start
        if self.bit_at is not None:
            return Span(room, first + self.wire_bit, first + self.wire_bit + 1)
        return Span(room, first, first + size * self.width)

    knows: ClassVar[bool] = True

    def unfit(self, value: WriteValue) -> str:
        try:
            self.cells(value)
        except MisfitError as error:
            return str(error)
        return ""

    @property
    def wire_bit(self) -> int:
        """Of a single bit: its place in the register as it goes over the wire."""
        return (self.bit_at or 0) ^ (8 if self.form.has_bytes_swapped else 0)

    def cells(self, value: WriteValue) -> tuple[int, ...]:
        """What is written; of a single bit, 0 or 1. Raises MisfitError."""
        typed = _typed(value, self.form.kind)
        if self.bit_at is not None:
            return (int(typed),)
        try:
            return self.encode(typed)
        except MisfitValue as error:
            raise MisfitError(str(error)) from None


def _typed(value: WriteValue, kind: str) -> WriteValue:
    """As a place of this kind can take it. Raises MisfitError."""
    if kind == "text":
        return str(value).lower() if isinstance(value, bool) else str(value)
    if kind == "bool" and value in (0, 1):
        return bool(value)
    if kind != "bool" and not isinstance(value, str):
        return int(value) if isinstance(value, bool) else value
    if kind != "bool" and _DIGITS.fullmatch(str(value)):
        return int(value)
    raise MisfitError(f"the place is a {kind}: {value!r} does not fit there")


@dataclass(frozen=True, slots=True)
class _Way:
    """How a place is written."""

    function: Function
    by_hand: bool = False
    """The register is read, and written back with the one bit changed."""


def _ways(address: Write) -> Sequence[_Way]:
    """Those that may do, the best first. A value of several registers is never written in parts."""
    if address.table == "coil":
        return _Way(COIL), _Way(COILS)
    if address.bit_at is not None:
        return _Way(MASK), _Way(REGISTER, by_hand=True), _Way(REGISTERS, by_hand=True)
    return (_Way(REGISTER), _Way(REGISTERS)) if address.width == 1 else (_Way(REGISTERS),)


class Cell:
    """One target on this connection: see `_writes.Place`."""

    def __init__(self, jobs: Jobs, address: Write) -> None:
        self._jobs = jobs
        self._address = address
        self._decode = address.decode()
        self._ways = list(_ways(address))
        """The device has not said that it does not know the first."""
        self._block = Block((), address.unit, address.table, address.start, address.width, 0.0)

    async def look(self, value: WriteValue) -> tuple[bool, str | None]:
        """What is there is read twice: one answer may be to an older question, on a serial line or behind a
        gateway."""
        wanted = self._address.cells(value)
        cells = await self._read()
        if self._holds(cells, wanted):
            cells = await self._read()
        return self._holds(cells, wanted), self._shown(cells)

    async def _read(self) -> Cells:
        answer = await self._insist(lambda bus: bus.read(self._block))
        if isinstance(answer, Refused):
            raise UnfitError(f"{self._block} cannot be read: {exception_words(answer.code)}")
        return answer.cells[: self._block.count]

    async def ready(self, value: WriteValue) -> None:
        self._address.cells(value)

    async def write(self, value: WriteValue, is_wanted: Callable[[], bool]) -> bool:
        wanted = self._address.cells(value)
        while True:
            way = self._ways[0]
            answer = await self._insist(partial(self._written, way, wanted, is_wanted))
            if not isinstance(answer, Refused) or answer.code == _ACKNOWLEDGE:
                return answer is not False
            if answer.code != _ILLEGAL_FUNCTION or len(self._ways) == 1:
                raise UnfitError(f"{self._block} cannot be written: {self._why(answer.code)}")
            self._ways.remove(way)

    async def _written(
        self, way: _Way, wanted: tuple[int, ...], is_wanted: Callable[[], bool], bus: Bus
    ) -> Refused | bool:
        """At its turn on the wire. False: it is not wanted any more, and was not sent."""
        unit, start = self._address.unit, self._address.start
        if not is_wanted():
            return False
        cells = wanted
        if way.function == MASK or way.by_hand:
            mask = 1 << self._address.wire_bit
            cells = (0xFFFF & ~mask, mask * wanted[0])
        if way.by_hand:
            found = await self._neighbours(bus)
            if isinstance(found, Refused):
                return found
            cells = (found.cells[0] & cells[0] | cells[1],)
            if not is_wanted():
                return False
        refused = await bus.write(Order(unit, way.function, start, cells))
        return True if refused is None else refused

    async def _neighbours(self, bus: Bus) -> Reply | Refused:
        """The whole register, as two reads in a row have it; where it changes all the time, the last of
        them: an older answer would put back what its other bits were."""
        found = await bus.read(self._block)
        for _ in range(_LOOKS):
            before, found = found, await bus.read(self._block)
            if isinstance(before, Refused) or isinstance(found, Refused):
                break
            if before.cells == found.cells:
                break
        return found

    async def _insist(self, request: Callable[[Bus], Awaitable[T]]) -> T:
        """Ask again for a while where the device is busy. Raises SilentError."""
        for rest in range(_TRIES, 0, -1):
            try:
                answer = await self._jobs.do(self._address.unit, request)
            except UnitLost as error:
                raise SilentError(str(error)) from None
            except NoAnswer as error:
                raise SilentError(f"{self._block}: {error}") from None
            if not (isinstance(answer, Refused) and answer.code == _BUSY) or rest == 1:
                break
            await asyncio.sleep(_REST_S)
        return answer

    def _holds(self, cells: Cells, wanted: tuple[int, ...]) -> bool:
        """A bool's register may hold any number but 0, a text may be padded otherwise."""
        if self._address.form.kind in ("bool", "text"):
            bits = wanted if self._address.bit_at is None else (wanted[0] << self._address.wire_bit,)
            return self._decode(cells, 0) == self._decode(bits, 0)
        return tuple(cells) == wanted

    def _shown(self, cells: Cells) -> str:
        found = self._decode(cells, 0)
        if found is None:
            return f"{' '.join(f'{cell:04X}' for cell in cells)} (hexadecimal)"
        return str(found).lower() if isinstance(found, bool) else str(found)

    def _why(self, code: int) -> str:
        known = _REFUSALS.get(code, "")
        if code == _ILLEGAL_FUNCTION:
            tried = " nor ".join(str(way.function) for way in _ways(self._address) if not way.by_hand)
            wide = "" if self._address.width == 1 else f" in one request for {self._address.width} registers"
            known = f"the device does not know function {tried}, which writes it{wide}"
        return f"{known} ({exception_words(code)})" if known else exception_words(code)


def desk(intake: Intake, jobs: Jobs) -> Desk:
    """Writes what the source is asked to, at its turns on the wire."""
    places: Mapping[str, Any] = {one.name: Cell(jobs, one.address) for one in intake.targets}
    return Desk(intake, places)
