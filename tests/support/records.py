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
    attribution: int = 1,
) -> Record:
    body, owner = (json.dumps(one, separators=(",", ":"), default=str).encode() for one in (data, context))
    one = Record(
        seq, f"k3f9-{seq}", type, at_ms, "receipt", at_ms, "line-1", station, body, owner, attribution
    )
    vars(one).update(data=data, context=context)  # also what no JSON can hold
    return one


def count(seq: int, *, role: str = "good", context: Mapping[str, Any] = CONTEXT, **data: Any) -> Record:
    """One part made; `raw` and the order's total follow `seq`."""
    made = {"role": role, "produced": 1, "raw": seq, "quality": "live", "run_total": seq}
    return record(seq, "count", {**made, "order_good": seq, "order_scrap": 0, **data}, context)
