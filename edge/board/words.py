"""How numbers, durations and states are written for a reader at five metres."""

from collections.abc import Sequence
from typing import Literal

Kind = Literal["run", "wait", "stop", "other"]
"""What a state asks of a person: nothing, patience, help; `other` where nobody can say."""

NONE = "–"
"""What is not known is a dash, never a zero."""

_KINDS: dict[Kind, str] = {
    "run": "Execute",
    "wait": "Idle Starting Suspending Suspended Unsuspending Resetting Completing Complete",
    "stop": "Stopping Stopped Aborting Aborted Clearing Holding Held Unholding",
}
_STATES = {state: kind for kind, states in _KINDS.items() for state in states.split()}


def kind_of(state: str | None) -> Kind:
    """PackML's names are known; a plant's own name is shown as it is, with a neutral mark."""
    return _STATES.get(state or "", "other")


def parts(count: int) -> str:
    """`412`, `12 345`: groups of three from five digits on, by a narrow no-break space."""
    return f"{count:,}".replace(",", "\u202f") if abs(count) >= 10_000 else str(count)


def held(count: int, went_back: bool) -> str:
    """`8 899`; `50 039 · back` where the counter went back; empty where no parts are held."""
    return f"{parts(count)}{' · back' if went_back else ''}" if count else ""


def cycle(seconds: float | None) -> str:
    """`0.52 s`, `12.4 s`, `185 s`: three figures say all that a clock on the wall can."""
    if seconds is None:
        return NONE
    digits = 3 if seconds < 0.1 else 2 if seconds < 10 else 1 if seconds < 100 else 0
    return f"{seconds:.{digits}f} s"


def span(seconds: float) -> str:
    """`42 s`, `12:07`, `3:04:05`, `2 d 3:04:05`. board.js writes running timers the same way."""
    whole = max(0, int(seconds))
    if whole < 100:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if not (days or hours):
        return f"{minutes}:{rest:02}"
    clock = f"{hours}:{minutes:02}:{rest:02}"
    return f"{days} d {clock}" if days else clock


def job(order: str | None, operation: int | None, kind: str | None = None, also: Sequence[str] = ()) -> str:
    """`WO-1001 · op 10 · setup + WO-1002 3 of 50`."""
    if order is None:
        return "no order"
    own = [order]
    if operation is not None:
        own.append(f"op {operation}")
    if kind not in (None, "production"):
        own.append(str(kind))
    return " + ".join([" · ".join(own), *also])


def scrap(scrapped: int, rework: int) -> str:
    """`3`, or `3 (2 to rework)`."""
    return f"{parts(scrapped)} ({parts(rework)} to rework)" if rework else parts(scrapped)


def product(
    item: str | None, revision: str | None, batch: str | None, operator: str | None,
    tools: Sequence[str] = (),
) -> str:  # fmt: skip
    """`P7 rev C · batch L12 · operator 4711 · tool MOULD.17`; what is not known is left out."""
    named = (
        item and (f"{item} rev {revision}" if revision else item),
        batch and f"batch {batch}",
        operator and f"operator {operator}",
        f"tool{'s' if len(tools) > 1 else ''} {', '.join(tools)}" if tools else None,
    )
    return " · ".join(one for one in named if one)


def state(name: str | None, reason: str) -> str:
    """`Execute`; `Held · no material` where a person said why it stands."""
    return " · ".join(one for one in (name or "no state yet", reason) if one)


def said(what: str, verdict: str | None) -> str:
    """What the last scan did; one that was not taken says so first."""
    return f"{verdict.upper()}: {what}" if verdict in ("refused", "duplicate") else what
