"""What leaves the house: an event, or a batch of telemetry, under its seq."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from msgspec import Raw, Struct, json

Scalar = str | int | float | bool | None

TELEMETRY = "telemetry"
"""The `type` of a batch of samples; all others are production events."""


class _Envelope(Struct, frozen=True):
    """The event as it leaves the house; the order of the keys is the order in the JSON."""

    v: int
    id: str
    seq: int
    type: str
    at: str
    stamp: str
    seen: str
    line: str
    station: str
    data: Raw
    context: Raw
    attribution: int


_encode = json.Encoder().encode
_decode = json.Decoder().decode


def iso(at_ms: int) -> str:
    """`2026-05-04T06:12:09.412Z`."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Record(Struct, frozen=True, dict=True):
    """One event or one batch of telemetry. What is decoded or encoded is so when it is first asked for."""

    seq: int
    id: str
    """Journal epoch and seq; a repeat has the same."""
    type: str
    at_ms: int
    """Of a batch: of its first frame."""
    stamp: str
    """Whose clock `at_ms` comes from: `source` or `receipt`."""
    seen_ms: int
    line: str
    station: str
    """Empty for what is of the whole line."""
    body: bytes
    """JSON: the event's own fields as they were stored, or the batch: see edge/telemetry.md."""
    owner: bytes
    """JSON: the context."""
    attribution: int = 1
    name: str = ""
    """Of a batch: its table, `[telemetry.NAME]`."""

    @cached_property
    def data(self) -> Mapping[str, Any]:
        """`body`, decoded."""
        fields: dict[str, Any] = _decode(self.body)
        return fields

    @cached_property
    def context(self) -> Mapping[str, Scalar]:
        """Order, operation, run, item, revision, batch, operator; absent where unknown."""
        fields: dict[str, Scalar] = _decode(self.owner)
        return fields

    @cached_property
    def json(self) -> bytes:
        """The whole of it, encoded once; `body` and `owner` are in it as they are."""
        return _encode(_Envelope(
            1, self.id, self.seq, self.type, iso(self.at_ms), self.stamp, iso(self.seen_ms), self.line,
            self.station, Raw(self.body), Raw(self.owner), self.attribution,
        ))  # fmt: skip
