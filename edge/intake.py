"""A source's way in: stamps its values, hands them to the recorder, brings it asks for reads."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import DecodeError, Struct, json
from msgspec.structs import replace

from edge.batches import Moment
from edge.clock import Clock
from edge.commands import OrderDesk
from edge.contract import Ask, Change, Channel, Done, KeptT, Lane, Number, Output, Target
from edge.errors import NotRecorded
from edge.observation import ACCEPTED, Observation, Outcome, Quality, Stamp, Value, Verdict
from edge.orders import Entry, Taken, parse, take_in
from edge.recorder import Recorder
from edge.tally import MOST_TALLIES, Tally, unknown
from edge.telemetry import is_credible

LONGEST_QUESTION = 1_000
"""Bytes of a message that asks for results."""
NOT_RECORDED = Outcome(Verdict.REFUSED, "nothing could be recorded")
ASKS = 100
"""Asks that may wait for a source; a source that does not take them loses the oldest."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What goes along with a source: its outputs, and who hears what became of its labels."""

    outputs: Sequence[Output[Any]] = ()
    switched: Callable[[int, str], None] = lambda number, trouble: None
    """Of an ask to switch: its number, and why not all of it could be done."""
    heard: Callable[[Verdict], None] = lambda verdict: None
    """Called for each label when it is on disk, and with REFUSED where it cannot be."""
    targets: Sequence[Target[Any]] = ()
    written: Callable[[int, Done | None], None] = lambda number, done: None
    """Of an ask to write: its number, and what became of it. None: the connection is gone, and with it
    every such ask."""
    renewed: Callable[[], None] = lambda: None
    """Called when the device may have lost what it held, though the connection stands."""


NOTHING_BESIDE = Beside()

Results = Callable[[str], bytes]
"""Of an order's id: the results of its jobs until now, as JSON. Runs in a thread of its own."""


class ResultsAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """Instead of orders: what has been made of one."""

    results: str
    """The order's id."""


def _asked_results(message: bytes) -> ResultsAsked | None:
    """None for a message of orders, and for everything else."""
    if len(message) > LONGEST_QUESTION:
        return None
    with suppress(DecodeError, RecursionError):
        return json.decode(message, type=ResultsAsked)
    return None


def _bounded(answer: bytes, longest: int) -> bytes:
    words = "the answer is longer than the broker takes: lineside orders results, or the API, has it"
    return answer if len(answer) <= longest else json.encode({"error": words})


class SourceIntake:
    """One for each source; see `contract.Intake`."""

    def __init__(
        self, name: str, clock: Clock, recorder: Recorder, on_connect: Callable[[], None], path: str = "",
        results: Results | None = None, beside: Beside = NOTHING_BESIDE, data: Path = Path(),
        file: Path = Path("LINE.toml"),
    ) -> None:  # fmt: skip
        self.name = name
        self.outputs = beside.outputs
        self.targets = beside.targets
        self.data = data
        self.file = file
        self._beside = beside
        self.line = recorder.line.name
        self.path = path
        self.is_connected = False
        self.last_data_mono_ms: int | None = None
        self.tallies: tuple[Tally, ...] = ()
        """Of its parts, as it told them last."""
        self._kept: dict[type[object], object] = {}
        self._clock = clock
        self._recorder = recorder
        self._telemetry = recorder.telemetry
        self._on_connect = on_connect
        self._asks: asyncio.Queue[Ask] = asyncio.Queue(ASKS)
        self._results = results
        self._take = OrderDesk(clock, recorder).signed(name)

    def observe(
        self,
        signal: str,
        value: Value,
        *,
        quality: Quality = Quality.GOOD,
        aged_ms: int | None = None,
        answers: int = 0,
        detail: str = "",
        ago_ms: int = 0,
    ) -> Observation:
        seen_ms = self._clock.wall_ms() - ago_ms
        by_source = is_credible(aged_ms)
        return Observation(
            signal, value,
            at_ms=seen_ms - aged_ms if is_credible(aged_ms) else seen_ms,
            seen_ms=seen_ms, mono_ms=self._clock.mono_ms() - ago_ms, boot=self._clock.boot,
            quality=quality, stamp=Stamp.SOURCE if by_source else Stamp.RECEIPT,
            detail=detail, answers=answers, synced=self._clock.synced(),
        )  # fmt: skip

    async def emit(self, observations: Sequence[Observation]) -> list[Outcome]:
        if observations:
            self.last_data_mono_ms = self._clock.mono_ms()
        try:
            outcomes = await self._record(observations)
        except NotRecorded:
            self._tell(observations, [NOT_RECORDED] * len(observations))
            raise
        self._tell(observations, outcomes)
        return outcomes

    def _tell(self, observations: Sequence[Observation], outcomes: Sequence[Outcome]) -> None:
        """A source that speaks for itself does so under its own name: no other signal is a label."""
        for one, outcome in zip(observations, outcomes, strict=True):
            if one.signal == self.name:
                self._beside.heard(outcome.verdict)

    async def _record(self, observations: Sequence[Observation]) -> list[Outcome]:
        if not self._telemetry.has_tables:
            return await self._recorder.emit(observations)
        taken = [self._telemetry.observe(one) for one in observations]
        rest = [one for one, is_taken in zip(observations, taken, strict=True) if not is_taken]
        outcomes = iter(await self._recorder.emit(rest) if rest else ())
        return [ACCEPTED if is_taken else next(outcomes) for is_taken in taken]

    def lane(self, signals: Sequence[str]) -> Lane:
        return self._telemetry.lane(signals)

    def sample(
        self, lane: Lane, values: Sequence[Number], *, why: str = "no number", ago_ms: int = 0
    ) -> None:
        clock = self._clock
        seen_ms, mono_ms = clock.wall_ms() - ago_ms, clock.mono_ms() - ago_ms
        self.last_data_mono_ms = mono_ms
        self._telemetry.sample(lane, values, Moment(seen_ms, seen_ms, mono_ms, Stamp.RECEIPT), why)

    def channel(self, signals: Sequence[str]) -> Channel:
        return self._telemetry.channel(signals)

    def changes(self, channel: Channel, changes: Sequence[Change], *, ago_ms: int = 0) -> None:
        if not changes:
            return
        clock = self._clock
        seen_ms, mono_ms = clock.wall_ms() - ago_ms, clock.mono_ms() - ago_ms
        self.last_data_mono_ms = mono_ms
        self._telemetry.changes(channel, changes, Moment(seen_ms, seen_ms, mono_ms, Stamp.RECEIPT))

    async def orders(self, message: bytes, longest: int) -> bytes:
        self.last_data_mono_ms = self._clock.mono_ms()
        if self._results is not None and (asked := _asked_results(message)) is not None:
            return _bounded(await asyncio.to_thread(self._results, asked.results), longest)
        parsed = await asyncio.to_thread(parse, "message.json", message)
        return _told(await take_in(parsed, self._take), longest)

    def post(self, observations: Sequence[Observation]) -> None:
        """Hand over without waiting; for what is only told, and known again after a failure."""
        self._recorder.post(observations)

    async def asked(self, timeout_s: float | None = None) -> Ask | None:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._asks.get()
        except TimeoutError:
            return None

    def switched(self, number: int, trouble: str = "") -> None:
        self._beside.switched(number, trouble)

    def written(self, number: int, done: Done) -> None:
        self._beside.written(number, done)

    def connected(self) -> None:
        if not self.is_connected:
            self.is_connected = True
            self._on_connect()

    def recall(self, kind: type[KeptT]) -> KeptT:
        kept = self._kept.setdefault(kind, kind())
        assert isinstance(kept, kind)
        return kept

    def tell(self, tallies: Sequence[Tally]) -> None:
        self.tallies = tuple(tallies[:MOST_TALLIES])

    def renewed(self) -> None:
        self._beside.renewed()

    def lost(self) -> None:
        """The connection is gone, and with it every ask."""
        self.is_connected = False
        self.tallies = unknown(self.tallies)
        while not self._asks.empty():
            self._asks.get_nowait()
        self._beside.written(0, None)

    def put(self, ask: Ask) -> None:
        if self._asks.full():
            self._asks.get_nowait()
        self._asks.put_nowait(ask)


def _told(taken: Taken, longest: int) -> bytes:
    """As JSON. Where not every row has room, those that were refused come first, and the counts always."""
    body = json.encode(taken)
    if len(body) <= longest:
        return body
    counts = replace(taken, orders=())
    room = longest - len(json.encode(counts))
    told: list[Entry] = []
    for entry in taken.orders:
        if entry.verdict in (Verdict.ACCEPTED, Verdict.DUPLICATE):
            continue
        room -= len(json.encode(entry)) + 1
        if room < 0:
            break
        told.append(entry)
    return json.encode(replace(counts, orders=tuple(told)))


class Asks:
    """Carries a request for fresh reads to the sources that can answer it."""

    def __init__(self, source_of: Mapping[str, str]) -> None:
        self.intakes: dict[str, SourceIntake] = {}
        self._source_of = source_of
        self._number = 0

    def __call__(self, signals: Iterable[str]) -> list[Ask]:
        """One ask for each connected source; signals of the others are in none of them."""
        by_source: dict[str, set[str]] = {}
        for signal in signals:
            by_source.setdefault(self._source_of[signal], set()).add(signal)
        return [
            self._ask(intake, wanted)
            for name, wanted in by_source.items()
            if (intake := self.intakes.get(name)) is not None and intake.is_connected
        ]

    def _ask(self, intake: SourceIntake, signals: set[str]) -> Ask:
        self._number += 1
        ask = Ask(self._number, frozenset(signals))
        intake.put(ask)
        return ask
