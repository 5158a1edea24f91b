"""Modbus: registers and coils of devices, over TCP or on a serial bus. See modbus.md."""

import asyncio
from collections.abc import Sequence

from adapters._modbus.address import Address
from adapters._modbus.lines import SerialLine
from adapters._modbus.outputs import Outputs
from adapters._modbus.plan import Limits, Point
from adapters._modbus.sampler import Sampler
from adapters._modbus.settings import Settings
from adapters._modbus.switch import Switch
from adapters._modbus.wire import Link
from edge.contract import Intake, Signal, SourceRefused

__all__ = ["Address", "Settings", "Switch", "collect"]


async def collect(settings: Settings, signals: Sequence[Signal[Address]], intake: Intake) -> None:
    """Sample the signals, and switch the outputs, until the connection is lost.

    Raises SourceLost, and SourceRefused for a unit address that a serial line cannot have.
    """
    points = [_point(signal) for signal in signals]
    line = settings.line()
    lamps = {output.name: output.address.lamp() for output in intake.outputs}
    if isinstance(line, SerialLine):
        used = [(point.signal, point.unit) for point in points]
        _check_units([*used, *((f"{lamp.place}", lamp.place.unit) for lamp in lamps.values())], intake.name)
    wake = asyncio.Event()
    timeout_s, worst_answer_s = settings.timeout.total_seconds(), settings.worst_answer.total_seconds()
    link = Link(intake.name, line, timeout_s, worst_answer_s, wake.set)
    limits = Limits(settings.max_registers, settings.max_gap)
    try:
        await link.open()
        probe_every_s = settings.probe_every.total_seconds()
        outputs = Outputs(lamps, probe_every_s)
        await Sampler(points, limits, probe_every_s, intake, link, wake, outputs).run()
    finally:
        link.close()


def _point(signal: Signal[Address]) -> Point:
    place, every_s = signal.address, signal.every.total_seconds()
    return Point(
        signal.name, place.unit, place.table, place.start, place.width, every_s, place.decode(),
        signal.table, place.letter(),
    )  # fmt: skip


def _check_units(used: Sequence[tuple[str, int]], source: str) -> None:
    for name, unit in used:
        if not 1 <= unit <= 247:
            raise SourceRefused(source, f"{name}: a serial line has units 1 to 247, not {unit}")
