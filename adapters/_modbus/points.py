"""What a signal is to the plan: a place in a unit, a period, and who goes first."""

from adapters._modbus.address import Address
from adapters._modbus.plan import Point
from edge.contract import Signal

PRIORITIES = {"high": 0, "normal": 1, "low": 2}
LOWEST = PRIORITIES["low"]


def point_of(signal: Signal[Address]) -> Point:
    """A signal's point. Counters, states and modes go before telemetry unless it says otherwise."""
    place = signal.address
    usual = "normal" if signal.table else "high"
    return Point(
        signal.name, place.unit, place.table, place.start, place.width, signal.every.total_seconds(),
        place.decode(), signal.table, form=place.form, priority=PRIORITIES[place.priority or usual],
        together=place.together or "",
    )  # fmt: skip
