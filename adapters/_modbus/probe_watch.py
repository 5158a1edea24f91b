"""What the registers of a device do while they are watched."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from adapters._modbus.codec import Table
from adapters._modbus.probe_ask import BUSY_CODES, Asker, Silent, Tell
from adapters._modbus.scan import Area
from adapters._modbus.wire import Refused

MOST_CELLS = 5_000
MOST_LOOKS = 40
_LOOK_S = 0.25
"""Between two looks at the least."""
_LEAST, _LEAST_SLOW = 2, 4
"""Looks; of a slow device as many as tell a counter from what only changed."""


@dataclass(slots=True)
class Watched:
    """One table of one unit, look after look."""

    unit: int
    table: Table
    grain: int = 1
    """Cells that are read together or not at all."""
    looks: list[Mapping[int, int]] = field(default_factory=list)
    """Address and content, at each look."""
    at_s: list[float] = field(default_factory=list)
    """When each look was done."""

    def trace(self, at: int) -> list[int]:
        """What one address held at each look that has it."""
        return [look[at] for look in self.looks if at in look]

    def changed(self) -> list[int]:
        """Addresses whose content was not always the same."""
        first = self.looks[0] if self.looks else {}
        return [at for at in sorted(first) if len(set(self.trace(at))) > 1]


Block = tuple[int, int, int]
"""Which table, start and count."""


async def watched(asker: Asker, areas: Sequence[Area], for_s: float, tell: Tell) -> list[Watched]:
    """Look at all that can be read, again and again, twice at the least. Raises SourceLost."""
    least = _LEAST if for_s else 1
    found = [Watched(area.unit, area.table, area.grain) for area in areas]
    blocks = _blocks(areas)
    began_s = time.monotonic()
    for number in range(MOST_LOOKS):
        look_s = time.monotonic()
        if not await _look(asker, found, blocks):
            break
        cycle_s = time.monotonic() - look_s
        left_s = began_s + for_s - time.monotonic()
        if least == _LEAST and cycle_s * _LEAST_SLOW > for_s:
            least = _LEAST_SLOW
            tell(f"  one look takes {cycle_s:.1f} s: it looks {least} times, however long that takes")
        if asker.is_over or (left_s <= 0 and number + 1 >= least):
            break
        await asker.rest(min(left_s, max(_LOOK_S, for_s / MOST_LOOKS, cycle_s)))
    return found


def _blocks(areas: Sequence[Area]) -> list[Block]:
    """The requests of one look."""
    blocks, room = [], MOST_CELLS
    for number, area in enumerate(areas):
        for start, count in area.blocks():
            taken = min(count, room - room % area.grain)
            if taken > 0:
                blocks.append((number, start, taken))
                room -= taken
    return blocks


async def _look(asker: Asker, found: Sequence[Watched], blocks: list[Block]) -> bool:
    """One look at all; False where it was ended before its end, unless it was the first.

    What is refused at the first is asked for in halves from then on: some devices do not read across the
    border of two ranges that lie side by side.
    """
    looks: list[dict[int, int]] = [{} for _ in found]
    is_first = not any(one.looks for one in found)
    waiting, done = blocks[::-1], []
    while waiting:
        if asker.is_over and not is_first:
            return False
        number, start, count = block = waiting.pop()
        answer = await asker.read(found[number].unit, found[number].table, start, count)
        may_halve = is_first and not asker.is_over and count > found[number].grain
        if may_halve and isinstance(answer, Refused) and answer.code not in BUSY_CODES:
            waiting += reversed(_halves(block, found[number].grain))
            continue
        done.append(block)
        if not isinstance(answer, Silent | Refused):
            looks[number] |= dict(enumerate(answer, start))
    blocks[:] = done
    for one, look in zip(found, looks, strict=True):
        one.looks.append(look)
        one.at_s.append(time.monotonic())
    return True


def _halves(block: Block, grain: int) -> list[Block]:
    number, start, count = block
    half = max(grain, count // 2 - count // 2 % grain)
    return [(number, start, half), (number, start + half, count - half)]
