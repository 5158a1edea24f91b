"""Times that were estimated while the clock was in doubt: held back, and then corrected, with their ids kept.

Runs inside a commit: the core's rows are corrected in the same transaction, so that a window of time means
the same to both at any instant. What was committed at first is kept in table `restamped`.
"""

from collections.abc import Sequence
from typing import Any

import apsw
from msgspec import json

from edge.journal.sql import QUERIES
from edge.production.clocks import is_time, shifted
from edge.production.draft import Hold, Restamp

AT_ONCE = 1_000

_decode = json.Decoder().decode
_encode = json.Encoder().encode


def held_from(db: apsw.Connection) -> int | None:
    """The first seq that may not go out yet; None: all may."""
    found: int | None = db.execute(QUERIES["get_held"]).get
    return found


def apply(db: apsw.Connection, timings: Sequence[Hold | Restamp], first: int) -> None:
    """In their order; `first` is the first seq of this commit."""
    for timing in timings:
        if isinstance(timing, Hold):
            db.execute(QUERIES["hold"], (first,))
        else:
            if timing.shift_ms and (held := held_from(db)) is not None:
                _restamp(db, timing, held)
            db.execute(QUERIES["release"])


def _restamp(db: apsw.Connection, timing: Restamp, held: int) -> None:
    mine = (held, timing.boot, timing.mono_ms, timing.until_mono_ms, *timing.offsets)
    db.execute(QUERIES["keep_times"], mine)
    _restamp_data(db, timing, mine)
    db.execute(QUERIES["restamp_events"], (*mine, timing.since_ms, timing.shift_ms))
    db.execute(QUERIES["restamp_telemetry"], (*mine, timing.since_ms, timing.shift_ms))


def _restamp_data(db: apsw.Connection, timing: Restamp, mine: tuple[int | str, ...]) -> None:
    """Of events that tell of other times in their data."""
    after = 0
    while True:
        rows: list[Any] = db.execute(QUERIES["estimated_data"], (*mine, after, AT_ONCE)).fetchall()
        if not rows:
            return
        after = rows[-1][0]
        changed = [(seq, data, _later(data, timing)) for seq, data in rows]
        changed = [one for one in changed if one[2] != one[1]]
        db.executemany(QUERIES["keep_data"], [(data, seq) for seq, data, _ in changed])
        db.executemany(QUERIES["put_data"], [(later, seq) for seq, _, later in changed])


def _later(data: bytes, timing: Restamp) -> bytes:
    fields: dict[str, Any] = _decode(data)
    return _encode({
        key: shifted(value, timing.since_ms, timing.shift_ms)
        if isinstance(value, int) and is_time(key) else value
        for key, value in fields.items()
    })  # fmt: skip


def later_frames(body: bytes, shift_ms: int) -> bytes:
    """A batch of telemetry, unpacked, with the times of its frames moved."""
    batch: dict[str, Any] = _decode(body)
    for frame in batch["frames"]:
        frame["at"] += shift_ms
    return _encode(batch)
