"""The clocks: what time it is, and how much has passed."""

import ctypes
import time
from pathlib import Path
from typing import Protocol

SYNC_ASKED_EVERY_S = 10.0


class Clock(Protocol):
    """Times are integers in milliseconds."""

    @property
    def boot(self) -> str:
        """Id of the boot that `mono_ms` counts in."""

    def wall_ms(self) -> int:
        """UTC since 1970; it may jump either way."""

    def mono_ms(self) -> int:
        """Since some instant of this boot; it never goes back, also across processes."""

    def synced(self) -> bool:
        """Whether the wall clock is disciplined: NTP, PTP or a radio has set it and holds it."""


class SystemClock:
    """The machine's own clocks."""

    def __init__(self) -> None:
        self._asked_s, self._synced = float("-inf"), False
        self.boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def mono_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def synced(self) -> bool:
        now = time.monotonic()
        if now >= self._asked_s + SYNC_ASKED_EVERY_S:
            self._asked_s, self._synced = now, _kernel_is_synced()
        return self._synced


class _Timex(ctypes.Structure):
    """The beginning of struct timex (adjtimex(2)), and room for the rest of it."""

    _fields_ = (
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long), ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )  # fmt: skip


def _kernel_is_synced() -> bool:
    """STA_UNSYNC (0x40) is cleared by whoever disciplines the clock; modes 0 only reads."""
    timex = _Timex()
    try:
        answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return False
    return answer >= 0 and not timex.status & 0x40
