"""A watch on a unit that says who it is, without a wire."""

from datetime import timedelta
from typing import Any

from adapters._modbus.address import Address
from adapters._modbus.device import Device, Watch
from edge.contract import Observation, Quality, Signal, Value
from edge.observation import DEVICE, DeviceWord
from tests.support.intake import MemoryIntake

SERIAL = {"holding": 10, "as": "text", "length": 8}
UPTIME = {"holding": 20, "as": "u32", "order": "CDAB"}
HEARTBEAT = {"coil": 3, "within": "10s"}
WHOLE = {"serial": SERIAL, "uptime": UPTIME, "heartbeat": HEARTBEAT}
EVERY = timedelta(seconds=1)
SIGNALS = [
    Signal(name, Address.model_validate({"unit": 3, "holding": place, "as": "u16"}), EVERY, table)
    for place, (name, table) in enumerate(
        [("press.total", ""), ("press.reject", ""), ("press.state", ""), ("heat/t1", "heat")]
    )
]


def device(**keys: Any) -> Device:
    return Device.model_validate(keys)


class Bench:
    """A watch, and what it is told."""

    def __init__(self, **keys: Any) -> None:
        self.watch = Watch("bus-1", 3, device(**keys), SIGNALS)
        self.intake = MemoryIntake("bus-1")

    def take(self, at_s: float, **values: Value) -> None:
        for role, value in values.items():
            self.watch.take(f"bus-1 unit 3 {role}", value, at_s)

    def seen(self, total: Value, quality: Quality = Quality.GOOD) -> list[Observation]:
        return [self.intake.observe("press.total", total, quality=quality)]

    def words(self) -> list[DeviceWord]:
        found = self.watch.words(self.intake)
        assert all(one.signal == DEVICE for one in found)
        return [one.value for one in found if isinstance(one.value, DeviceWord)]


def known(**keys: Any) -> Bench:
    """One that has said who it is."""
    bench = Bench(**(keys or WHOLE))
    bench.take(0.0, serial="A-1", uptime=100, heartbeat=True)
    bench.words()
    bench.watch.must_look(bench.seen(500))
    return bench
