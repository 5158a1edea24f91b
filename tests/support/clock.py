"""A clock for tests."""


class ManualClock:
    """A clock that moves when it is told to."""

    def __init__(self, wall_ms: int = 1_777_900_000_000, mono_ms: int = 1_000_000, boot: str = "b0") -> None:
        self.boot = boot
        self._wall_ms = wall_ms
        self._mono_ms = mono_ms
        self.is_synced = True

    def wall_ms(self) -> int:
        return self._wall_ms

    def mono_ms(self) -> int:
        return self._mono_ms

    def synced(self) -> bool:
        return self.is_synced

    def pass_ms(self, elapsed_ms: int) -> None:
        """Let time go by on both clocks."""
        self._wall_ms += elapsed_ms
        self._mono_ms += elapsed_ms

    def step_ms(self, step_ms: int) -> None:
        """Set the wall clock only, as NTP or a person would."""
        self._wall_ms += step_ms
