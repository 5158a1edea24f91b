"""Records as delivery hands them to a sink."""

import json
from collections.abc import Mapping
from typing import Any

from edge.contract import Record

AT_MS = 1_777_875_129_412
"""2026-05-04T06:12:09.412Z"""

CONTEXT = {
    "order": "WO-1001", "operation": 20, "run": "r7", "item": "P7", "revision": "C", "operator": "4711",
}  # fmt: skip


def record(
    seq: int,
    type: str,
    data: Mapping[str, Any],
    context: Mapping[str, Any] = CONTEXT,
    *,
    station: str = "press",
    at_ms: int = AT_MS,
) -> Record:
    event = {
        "v": 1, "id": f"k3f9-{seq}", "seq": seq, "type": type, "at": "2026-05-04T06:12:09.412Z",
        "line": "line-1", "station": station, "data": data, "context": context, "attribution": 1,
    }  # fmt: skip
    encoded = json.dumps(event, separators=(",", ":"), default=str).encode()
    return Record(seq, f"k3f9-{seq}", type, at_ms, "line-1", station, data, context, 1, encoded)


def count(seq: int, *, role: str = "good", context: Mapping[str, Any] = CONTEXT, **data: Any) -> Record:
    """One part made; `raw` and the order's total follow `seq`."""
    made = {"role": role, "produced": 1, "raw": seq, "quality": "live", "run_total": seq}
    return record(seq, "count", {**made, "order_good": seq, "order_scrap": 0, **data}, context)
