"""Since when a server runs, by its own word: the core is told before the first value of a connection.

ServerStatus.StartTime is when the server's process was started (OPC 10000-5, 12.10). In a controller that is
mostly when the controller was; a gateway's restart is none of the controllers behind it. So a new start never
makes a count another one: it only says which counts may be of a device that began anew.
"""

from collections.abc import Iterable
from typing import Any

from asyncua import ua
from asyncua.ua.object_ids import ObjectIds

from adapters._opcua.binary import Sample
from adapters._opcua.kinds import unix_ms
from edge.contract import Intake, Observation, Signal
from edge.observation import DEVICE, DeviceWord

START_TIME = ua.NodeId(ua.Int32(ObjectIds.Server_ServerStatus_StartTime))

_DATE_TIME = 13
_FIRST_MS = 0
"""1970. Servers that do not know the time say 1601."""
_LAST_MS = 1 << 48
_TICK_MS = 1_000
"""Many servers renew CurrentTime once a second only."""


def started(
    intake: Intake, endpoint: str, signals: Iterable[Signal[Any]], current: Sample, start: Sample
) -> list[Observation]:
    """The word of a server whose CurrentTime and StartTime were read together on a new connection.

    Nothing where it does not tell them, where they contradict each other, or where no counter is read there.
    """
    counters = tuple(one.name for one in signals if one.bits is not None and not one.table)
    now_ms, start_ms = _ms(current), _ms(start)
    if not counters or now_ms is None or start_ms is None or now_ms < start_ms:
        return []
    word = DeviceWord(
        f"{intake.name} server", counters, uptime_ms=now_ms - start_ms, tick_ms=_TICK_MS,
        read_from=f"{endpoint} StartTime", was_out_of_sight=True, started_ms=start_ms, is_server=True,
    )  # fmt: skip
    return [intake.observe(DEVICE, word)]


def _ms(sample: Sample) -> int | None:
    """UTC since 1970; None where it is no time that a clock shows."""
    if sample.kind != _DATE_TIME or not isinstance(sample.raw, int):
        return None
    ms = unix_ms(sample.raw)
    return ms if _FIRST_MS < ms < _LAST_MS else None
