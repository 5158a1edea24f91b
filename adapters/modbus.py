"""Modbus: registers and coils of devices, over TCP or on a serial bus. See modbus.md."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import cache

from adapters._modbus.address import Address
from adapters._modbus.counts import Counts
from adapters._modbus.device import watches
from adapters._modbus.lines import TcpLine
from adapters._modbus.outputs import Lamp
from adapters._modbus.plan import Block
from adapters._modbus.points import point_of
from adapters._modbus.roll import Memory
from adapters._modbus.sampler import Sampler, Wanted
from adapters._modbus.settings import Settings
from adapters._modbus.survey import survey
from adapters._modbus.switch import Switch
from adapters._modbus.wire import Link
from adapters._modbus.write import Write
from edge.contract import Intake, Signal, SourceLost, SourceRefused, Target

__all__ = ["Address", "Settings", "Switch", "Write", "collect", "survey"]


async def collect(settings: Settings, signals: Sequence[Signal[Address]], intake: Intake) -> None:
    """Sample the signals, and write what is asked for, until the connection is lost.

    Raises SourceLost, and SourceRefused for a unit address that a serial line cannot have.
    """
    wanted = _wanted(settings, signals, intake)
    line = settings.line()
    if not isinstance(line, TcpLine):
        _check_units(wanted, intake.name)
    wake, counts = asyncio.Event(), intake.recall(Counts)
    link = Link(intake.name, line, cache(settings.manner), wake.set, counts, wanted.limits)
    try:
        await _open(link, intake)
        await Sampler(wanted, intake, link, counts, wake).run()
    finally:
        link.close()


async def _open(link: Link, intake: Intake) -> None:
    """Where nothing can be reached, nobody is known to be dead: it may all have been switched off."""
    try:
        await link.open()
    except SourceLost:
        intake.recall(Memory).lost.clear()
        raise


def _wanted(settings: Settings, signals: Sequence[Signal[Address]], intake: Intake) -> Wanted:
    guarded = watches(settings.unit, signals, intake.name)
    own = [signal for watch in guarded.values() for signal in watch.signals]
    lamps: Mapping[str, Lamp] = {output.name: output.address.lamp() for output in intake.outputs}
    return Wanted(
        [point_of(signal) for signal in (*signals, *own)], guarded, lamps,
        [_place(target) for target in intake.targets], settings.limits(),
        settings.probe_every.total_seconds(),
    )  # fmt: skip


def _place(target: Target[Write]) -> Block:
    address = target.address
    return Block((), address.unit, address.table, address.start, address.width, 0.0)


def _check_units(wanted: Wanted, source: str) -> None:
    """A serial line has no others; 0 is a broadcast, which nobody answers (section 2.2 of the serial line's
    specification)."""
    used = [(point.signal, point.unit) for point in wanted.points]
    used += [(f"{lamp.place}", lamp.place.unit) for lamp in wanted.lamps.values()]
    for name, unit in [*used, *((f"{place}", place.unit) for place in wanted.targets)]:
        if not 1 <= unit <= 247:
            raise SourceRefused(source, f"{name}: a serial line has units 1 to 247, not {unit}")
