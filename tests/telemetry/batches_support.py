"""What the tests of batches share."""

import json
from typing import Any

from edge.batches import Batch, Moment, TelemetryTable, unpack
from edge.observation import Observation, Quality, Stamp, Value
from edge.sifting import Sampled
from edge.telemetry import Telemetry, signal_of

BOOT = "b0"


def telemetry(*names: str, table: str = "oven", station: str = "press") -> Telemetry:
    return Telemetry([TelemetryTable(table, station, {name: Sampled(name) for name in names})], BOOT)


def moment(ms: int, stamp: Stamp = Stamp.RECEIPT) -> Moment:
    return Moment(1_000_000 + ms, 1_000_000 + ms, ms, stamp)


def seen(name: str, value: Value, ms: int, quality: Quality = Quality.GOOD, detail: str = "") -> Observation:
    at = moment(ms)
    return Observation(
        signal_of("oven", name), value, at.at_ms, at.seen_ms, at.mono_ms, BOOT, quality, detail=detail
    )


def opened(batch: Batch) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(unpack(batch.name, batch.body()))
    return found


def frames(of: Telemetry) -> list[tuple[int, dict[str, Any]]]:
    """Time since the beginning and values, of everything that waits."""
    return [
        (frame["at"] - 1_000_000, frame.get("values", {}))
        for batch in of.take()
        for frame in opened(batch)["frames"]
    ]
