"""A device that is restarted and swapped, as the core sees it, and what nobody could read of it."""

from dataclasses import dataclass, field

from msgspec.structs import replace

from edge.observation import AGENT, DEVICE, DeviceWord
from edge.production.line import Role
from edge.production.losses import Gap, Loss
from tests.support.clock import ManualClock
from tests.support.line import Core, counter, line, see, station

IDEAL_MS = 1000
FASTEST_MS = IDEAL_MS // 2
DEVICE_NAME = "plc unit 1"
SIGNAL = "press.total"


@dataclass
class Plant:
    """A device and those that take its place. `lost`: made, and gone before anybody could read it."""

    core: Core
    bits: int
    raw: int
    tick_ms: int = 1_000
    turns_ms: int = 0
    clock: ManualClock = field(default_factory=ManualClock)
    uptime_ms: int = 86_400_000
    serial: int = 1
    made: int = 0
    unseen: int = 0
    """Made since the last reading."""
    lost: int = 0

    def run(self, passed_ms: int, share: float) -> None:
        self.clock.pass_ms(passed_ms)
        self.uptime_ms += passed_ms
        parts = int(passed_ms / FASTEST_MS * share)
        self.raw += parts
        self.made += parts
        self.unseen += parts

    def restart(self, *, keeps: bool) -> None:
        """Off for some seconds."""
        self.clock.pass_ms(5_000)
        self.uptime_ms = 0
        if not keeps:
            self.raw, self.lost, self.unseen = 0, self.lost + self.unseen, 0

    def swap(self, raw: int) -> None:
        self.clock.pass_ms(60_000)
        self.serial += 1
        self.uptime_ms = 777_000
        self.raw, self.lost, self.unseen = raw, self.lost + self.unseen, 0

    def word(self) -> DeviceWord:
        uptime_ms = self.uptime_ms // self.tick_ms * self.tick_ms
        uptime_ms = uptime_ms % self.turns_ms if self.turns_ms else uptime_ms
        return DeviceWord(
            DEVICE_NAME, (SIGNAL, "press.state"), f"A-{self.serial}", uptime_ms, self.tick_ms, self.turns_ms
        )

    def read(self, *, was_out_of_sight: bool = False) -> None:
        """As an adapter does it: what the device says of itself, then its counter."""
        word = replace(self.word(), was_out_of_sight=was_out_of_sight)
        self.core.see(see(self.clock, DEVICE, word))
        self.core.see(see(self.clock, SIGNAL, self.raw % (1 << self.bits)))
        self.unseen = 0

    def restart_the_agent(self) -> None:
        self.core.see(see(self.clock, AGENT, "start"))

    @property
    def counted(self) -> int:
        return sum(count.produced for count in self.core.counts())

    @property
    def qualities(self) -> list[str]:
        return [count.quality for count in self.core.counts()]

    @property
    def is_certain(self) -> bool:
        """What was said of the gap that was told last."""
        return self.gaps[-1].certain

    @property
    def gaps(self) -> list[Gap]:
        return [event.data for event in self.core.events if isinstance(event.data, Gap)]

    @property
    def losses(self) -> list[Loss]:
        return [event.data for event in self.core.events if isinstance(event.data, Loss)]


def a_plant(bits: int = 16, raw: int = 0, tick_ms: int = 1_000, turns_ms: int = 0) -> Plant:
    core = Core(line(station("press", counter("press", Role.TOTAL, bits), ideal_ms=IDEAL_MS)))
    plant = Plant(core, bits, raw, tick_ms, turns_ms)
    plant.read()
    return plant
