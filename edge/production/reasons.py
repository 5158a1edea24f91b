"""Codes that a person scans to say why: each is one of the line's own, where the line lists them."""

from edge.production.line import Line
from edge.production.orders import RefusedError

SCRAP = "scrap"
DOWNTIME = "downtime"


def explained(line: Line, kind: str, code: str) -> str:
    """`BURR (burr at the edge)`, or the code alone. Raises RefusedError for one that is not in use."""
    known = line.reasons.get(kind)
    if known is None:
        return code
    if code not in known:
        raise RefusedError(f"{code} is no {kind} reason of this line: scan one from its sheet")
    words = known[code]
    return f"{code} ({words})" if words and words != code else code
