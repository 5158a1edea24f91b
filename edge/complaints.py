"""Which signals of a table of telemetry have no value, as the log has it. Decisions without I/O."""

from collections.abc import Iterable, Mapping

from edge.plural import counted

_SHOWN = 3
"""Names in one sentence."""
_LONGEST_WHY = 300
_SETTLED_MS = 5_000
"""So long at most it is waited until nothing more changes: what breaks together is one sentence."""
_LEAST_GAP_MS, _MOST_GAP_MS = 5_000, 600_000
"""Between two words about a table; it doubles while they follow each other closely."""


class Complaints:
    """Of one table: what was said of its signals, and what is to be said now."""

    __slots__ = ("_again_ms", "_gap_ms", "_said_ms", "_seen", "_since_ms", "_subject", "_told")

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._told: Mapping[str, str] = {}
        self._seen: Mapping[str, str] = {}
        """At the last look."""
        self._since_ms: int | None = None
        """Since when there is something that was not said."""
        self._again_ms = self._said_ms = 0
        self._gap_ms = _LEAST_GAP_MS

    def words(self, bad: Mapping[str, str], now_ms: int) -> list[str]:
        """Two sentences at most. `bad` has by name why there is no value; `now_ms` is monotonic."""
        if bad == self._told:
            self._since_ms = None
            return []
        if self._since_ms is None:
            self._since_ms = now_ms
        is_still, self._seen = bad == self._seen, dict(bad)
        if now_ms < self._again_ms or not (is_still or now_ms - self._since_ms >= _SETTLED_MS):
            return []
        news = {name: why for name, why in bad.items() if self._told.get(name) != why}
        well = [name for name in self._told if name not in bad]
        self._told, self._since_ms = self._seen, None
        self._rest(now_ms)
        return [
            *([self._sentence(news, f"cannot be read: {_reasons(news)}")] if news else []),
            *([self._sentence(well, "can be read again")] if well else []),
        ]

    def _rest(self, now_ms: int) -> None:
        is_close = self._said_ms and now_ms - self._said_ms <= 2 * self._gap_ms
        self._gap_ms = min(2 * self._gap_ms, _MOST_GAP_MS) if is_close else _LEAST_GAP_MS
        self._said_ms, self._again_ms = now_ms, now_ms + self._gap_ms

    def _sentence(self, names: Iterable[str], end: str) -> str:
        first, *more = names
        if not more:
            return f"{self._subject}/{first}: {end}"
        shown = ", ".join([first, *more][:_SHOWN])
        rest = len(more) + 1 - _SHOWN
        many = counted(len(more) + 1, "signal")
        return f"{self._subject}: {many} ({shown}{f' and {rest:,} more' if rest > 0 else ''}): {end}"


def _reasons(news: Mapping[str, str]) -> str:
    """Those of the names that are shown; one that all share once."""
    reasons = list(dict.fromkeys(news.values()))
    shown = [why[:_LONGEST_WHY] for why in list(dict.fromkeys([*news.values()][:_SHOWN]))]
    more = " and other reasons" if len(reasons) > len(shown) else ""
    return "; ".join(shown) + more
