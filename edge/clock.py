"""The clocks: what time it is, how much has passed, and a way to replace both."""

import time
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Times are integers in milliseconds."""

    @property
    def boot(self) -> str:
        """Id of the boot that `mono_ms` counts in."""

    def wall_ms(self) -> int:
        """UTC since 1970; it may jump either way."""

    def mono_ms(self) -> int:
        """Since some instant of this boot; it never goes back, also across processes."""


class SystemClock:
    """The machine's own clocks."""

    def __init__(self) -> None:
        self.boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def mono_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000


class ManualClock:
    """A clock that moves when it is told to; for tests and replays."""

    def __init__(self, wall_ms: int = 1_777_900_000_000, mono_ms: int = 1_000_000, boot: str = "b0") -> None:
        self.boot = boot
        self._wall_ms = wall_ms
        self._mono_ms = mono_ms

    def wall_ms(self) -> int:
        return self._wall_ms

    def mono_ms(self) -> int:
        return self._mono_ms

    def pass_ms(self, elapsed_ms: int) -> None:
        """Let time go by on both clocks."""
        self._wall_ms += elapsed_ms
        self._mono_ms += elapsed_ms

    def step_ms(self, step_ms: int) -> None:
        """Set the wall clock only, as NTP or a person would."""
        self._wall_ms += step_ms
