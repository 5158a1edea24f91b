"""What a correction costs: parts of a run get another owner, in a journal of many units.

While the journal is asked what the parts add up to, the loop stands still; then the commit runs in the
journal's thread, while nothing else can be recorded.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.journal import Journal, Ranges
from edge.journal.store import encode_data
from edge.observation import COMMAND, ORDER, Observation, Reassign, Value, WorkOrder
from edge.production import decide, needs
from edge.production.scanning import make_label
from edge.working import WorkingRows
from tests.bench.floor import BASE_MONO_MS, BASE_MS, BOOT, Feeder, floor
from tests.bench.grown import Say, grow
from tests.bench.process import Figures, medians, noise_percent, resident_mb

SMALL = 10_000
"""Units in the journal to compare with."""
SINKS = 2
EVERY_MS = 100
"""Between two parts that will be moved: the station's fastest."""
_FULL_TURN = 1 << 16


@dataclass(slots=True)
class _Now:
    """A clock that only goes on when something is made."""

    after_ms: int = 60_000_000

    def see(self, signal: str, value: Value) -> Observation:
        at_ms = BASE_MS + self.after_ms
        return Observation(signal, value, at_ms, at_ms, BASE_MONO_MS + self.after_ms, BOOT, fresh=())


def corrections(
    folder: Path, units: int, sizes: tuple[int, ...], rounds: int, say: Say
) -> Iterator[tuple[str, Figures]]:
    """Each size in a small journal and in the large one by turns, then their ratio."""
    small, large = folder / "small.db", folder / "large.db"
    grow(small, SMALL, say)
    grow(large, units, lambda text: say(f"building {text}"))
    for what, parts in [("UNDO", min(sizes)), *(("reassign", parts) for parts in sizes)]:
        found: dict[Path, list[Figures]] = {small: [], large: []}
        for turn in range(rounds):
            for path, figures in found.items():
                say(f"{what} of {parts:,} parts in the {path.stem} journal, round {turn + 1} of {rounds}")
                figures.append(_measure(path, what, parts))
        before, after = medians(found[small]), medians(found[large])
        ratio = {name: after[name] / before[name] for name in ("blocked_ms", "commit_ms")}
        yield f"{what} of {parts:,} parts in a journal of {units:,} units", after
        noise = {"noise_percent": noise_percent(found[large], "blocked_ms")}
        yield f"the same against a journal of {SMALL:,} units, ratio", ratio | noise


def _measure(path: Path, what: str, parts: int) -> Figures:
    journal = Journal(path)
    feeder, now = Feeder(floor(path.parent), journal), _Now(_later(journal))
    card = f"WO-{what}-{journal.head}".upper()
    feeder.feed([now.see(ORDER, WorkOrder(card, "P7", parts, "C"))], 1)
    feeder.feed([now.see("gun-0", make_label(*label)) for label in (("E", "1"), ("J", card))], 1)
    feeder.feed(list(_made(feeder, now, parts)), 500)
    journal.commit(progress={f"sink-{number}": [(1, journal.head)] for number in range(SINKS)})
    figures = _correct(feeder, _asked(now, what, parts))
    feeder.feed([now.see("gun-0", make_label("C", "DONE"))], 1)
    journal.close()
    return figures


def _asked(now: _Now, what: str, parts: int) -> Observation:
    if what == "UNDO":
        return now.see("gun-0", make_label("C", "UNDO"))
    until_ms = BASE_MS + now.after_ms + 1
    wrong_card = Reassign(
        "bench", "wrong card", None, station="s0", from_ms=until_ms - 1 - parts * EVERY_MS, to_ms=until_ms
    )
    return now.see(COMMAND, wrong_card)


def _later(journal: Journal) -> int:
    """After everything that was measured before on this journal."""
    return 60_000_000 + journal.head * EVERY_MS


def _made(feeder: Feeder, now: _Now, parts: int) -> Iterator[Observation]:
    row = feeder.journal.row(feeder.line.named["s0"].counters[0].key)
    raw = getattr(row, "raw", 0)
    for number in range(1, parts + 1):
        now.after_ms += EVERY_MS
        yield now.see("s0.good", (raw + number) % _FULL_TURN)


def _correct(feeder: Feeder, asked: Observation) -> Figures:
    rows, journal = WorkingRows(feeder.journal), feeder.journal
    acknowledged = Ranges([(1, journal.head)])
    before_mb, begin = resident_mb(), time.perf_counter()
    while rows.load(needs(feeder.line, asked, rows)):
        pass
    decision = decide(feeder.line, rows, asked)
    decided = time.perf_counter()
    if not decision.moves:
        raise AssertionError(f"nothing was moved: {decision.outcome.words}")
    events = [(event, encode_data(event.data)) for event in decision.events]
    journal.commit(events, dict(decision.rows), moves=decision.moves)
    written = time.perf_counter()
    for first, last in journal.moved:
        acknowledged.remove(first, last)
    told = time.perf_counter()
    feeder.rows = WorkingRows(journal)
    return {
        "blocked_ms": (decided - begin) * 1e3,
        "commit_ms": (written - decided) * 1e3,
        "told_each_sink_ms": (told - written) * 1e3,
        "moved_ranges": float(len(journal.moved)),
        "more_resident_MB": resident_mb() - before_mb,
    }
