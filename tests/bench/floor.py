"""The line that the long benches run on: five stations at one PLC, each with its scanner and rig."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from edge.config import load
from edge.journal import Journal
from edge.journal.store import encode_data
from edge.observation import ORDER, Observation, Step, TestResult, Value, WorkOrder
from edge.production import Line, decide, needs
from edge.production.scanning import make_label
from edge.working import WorkingRows
from simulators.modbus_packer import FIRST_REGISTER

STATIONS = 5
PART_MS = 3_000
"""Between two parts of one station."""
BASE_MS = 1_777_900_000_000
"""2026-05-04: when the newest of what was built was made."""
BASE_MONO_MS = 10_000_000_000
BOOT = "0f6a1c9e-bench"

_HEAD = """
[line]
name = "bench"
badge = "optional"

[sink.file]
type = "file"

[source.plc]
type = "modbus"
host = "tcp://127.0.0.1:{port}"
"""
_STATION = """
[[station]]
name = "s{n}"
ideal_cycle = "3s"
good = {{ source = "plc", unit = 3, holding = {register}, as = "u16", every = "50ms" }}
"""


def write_config(file: Path, port: int) -> Path:
    """What `lineside run` gets: every register of the simulated packer is the counter of a station."""
    stations = (_STATION.format(n=n, register=FIRST_REGISTER + n) for n in range(STATIONS))
    file.write_text(_HEAD.format(port=port) + "".join(stations), encoding="utf-8")
    return file


def floor(folder: Path) -> Line:
    """The same line, with a scanner and a rig at each station, for observations that are fed by hand."""
    line = load(write_config(folder / "line.toml", 502)).line
    stations = [
        replace(one, gun=f"gun-{number}", rig=f"rig-{number}") for number, one in enumerate(line.stations)
    ]
    return Line(line.name, tuple(stations), badge_required=False)


class Feeder:
    """The core on a journal, on one thread: as the recorder does it, without its queue."""

    def __init__(self, line: Line, journal: Journal) -> None:
        self.line = line
        self.journal = journal
        self.rows = WorkingRows(journal)
        self.core_s = 0.0
        self.journal_s = 0.0
        """CPU seconds of this thread."""

    def feed(self, observations: Sequence[Observation], batch: int) -> None:
        """Decide and commit, `batch` observations together."""
        for start in range(0, len(observations), batch):
            self._commit(observations[start : start + batch])

    def _commit(self, observations: Sequence[Observation]) -> None:
        before = time.thread_time()
        events = []
        for one in observations:
            while self.rows.load(needs(self.line, one, self.rows.at_hand)):
                pass
            decision = decide(self.line, self.rows.at_hand, one)
            self.rows.change(decision.rows)
            events += [(event, encode_data(event.data)) for event in decision.events]
        between = time.thread_time()
        self.journal.commit(events, self.rows.changed())
        self.rows.committed()
        self.core_s += between - before
        self.journal_s += time.thread_time() - between


class Shift:
    """What is seen of the line: orders begin, units are scanned, counted and tested, orders end."""

    def __init__(self, token: str, after_ms: int = 0) -> None:
        self._token = token
        self._begin_ms = after_ms

    def order(self, station: int) -> str:
        return f"WO-{self._token}-{station:02}"

    def serial(self, number: int) -> str:
        return f"U-{self._token}-{number:06}"

    def begin(self, quantity: int) -> Iterator[Observation]:
        for station in range(STATIONS):
            order = WorkOrder(self.order(station), "P7", quantity, "C", batch=f"L-{self._token}")
            yield self._see(ORDER, order, 0)
            yield self._see(f"gun-{station}", make_label("E", "4711"), 0)
            yield self._see(f"gun-{station}", make_label("J", order.id), 0)

    def unit(self, number: int, raw: int, old: str = "") -> Iterator[Observation]:
        """One is scanned, counted and tested; `old` is the serial of one that has been here before."""
        station, now_ms = number % STATIONS, number // STATIONS * PART_MS
        serial = old or self.serial(number)
        result = TestResult(
            serial, "LEAK", number % 50 != 0, number=f"{self._token}{number}",
            steps=(Step("leak rate", 0.125, "mbar l/s", None, 0.3),),
        )  # fmt: skip
        yield self._see(f"gun-{station}", make_label("S", serial), now_ms + 1_000)
        yield self._see(f"s{station}.good", raw, now_ms + 2_000)
        yield self._see(f"rig-{station}", result, now_ms + 2_500)

    def end(self, units: int) -> Iterator[Observation]:
        at_ms = (units // STATIONS + 1) * PART_MS
        for station in range(STATIONS):
            yield self._see(f"gun-{station}", make_label("C", "DONE"), at_ms)

    def _see(self, signal: str, value: Value, after_ms: int) -> Observation:
        after = self._begin_ms + after_ms
        now_ms, mono_ms = BASE_MS + after, BASE_MONO_MS + after
        return Observation(signal, value, now_ms, now_ms, mono_ms, BOOT, fresh=())
