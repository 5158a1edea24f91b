"""The composition root: every task of the agent is made here, in one TaskGroup."""

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Mapping
from functools import partial

from msgspec import json

from edge import __version__
from edge.clock import Clock, SystemClock
from edge.commands import OrderDesk, serve_commands
from edge.config import LineConfig, SinkConfig, SourceConfig
from edge.contract import Outlet
from edge.delivery import Delivery
from edge.errors import JournalError, JournalFull, NotRecorded
from edge.feedback import Feedback
from edge.house import House
from edge.housekeeping import Housekeeper
from edge.intake import Asks, Beside, SourceIntake
from edge.journal import Integrity, Journal, JournalReader
from edge.journal.begin import forget_news, news
from edge.journal.health import JournalHealth
from edge.journal.room import Room, begin_with_reserve
from edge.journal.sinks import SinkReader
from edge.observation import AGENT, TICK, WRITE, Observation, Value, Verdict, WriteWord
from edge.orders import watch
from edge.production.gs1 import prepare
from edge.production.state import DOUBT, Doubt
from edge.readmodel import current_states
from edge.recorder import Recorder
from edge.recording import FOLDER, Tape
from edge.results import results
from edge.status import AgentStatus, SourceStatus, serve_status
from edge.supervise import Supervisor
from edge.tally import ailing
from edge.telemetry import Telemetry, units_of
from edge.timekeeping import Last, Timekeeper
from edge.upkeep import Chore
from edge.watchdog import Watchdog
from edge.writing import Writing

log = logging.getLogger("lineside.agent")

TICK_S = 1.0
LAST_WORDS_S = 2.0
"""At the end, so long the sinks have for what was journaled last."""


class Agent:
    """One line's agent, from `start` to `stop`."""

    def __init__(self, config: LineConfig, clock: Clock | None = None) -> None:
        """Opens the journal. Raises JournalError."""
        self._config = config
        prepare(config.line.labels)
        self._journal, _ = begin_with_reserve(config.journal, Watchdog().starting)
        last = _last_seen(self._journal)
        self._keeper = Timekeeper(clock or SystemClock(), last, require_ntp=config.require_ntp)
        self._clock: Clock = self._keeper
        self._integrity = Integrity(config.journal)
        self._health = JournalHealth(self._journal, self._integrity)
        self._reader = SinkReader(config.journal, config.line.name)
        sources = config.sources.values()
        self._asks = Asks({one.name: source.name for source in sources for one in source.signals})
        self._feedback = Feedback(config.feedback, self._asks.intakes)
        confirms = {one.name: one.confirm for source in sources for one in source.targets}
        self._writing = Writing(config.writes, confirms, self._asks.intakes, self._clock, self._tell_written)
        self._tape = self._new_tape()
        self._recorder = Recorder(
            config.line, self._journal, self._asks, self._tape, first=self._keeper.words,
            telemetry=Telemetry(config.telemetry, self._clock.boot),
        )  # fmt: skip
        self._units = units_of(config.telemetry)
        self._supervisors: dict[str, Supervisor] = {}
        self._deliveries: dict[str, Delivery] = {}
        self._housekeeper = self._new_housekeeper()
        self._watchdog = Watchdog()
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Until SIGTERM, SIGINT or `stop`. Raises JournalError when the journal fails."""
        try:
            async with asyncio.TaskGroup() as group:
                await self._live(group)
        finally:
            if self._tape is not None:
                self._tape.close()
            self._reader.close()
            self._journal.close()

    def _new_tape(self) -> Tape | None:
        config = self._config
        if config.record is None:
            return None
        folder = config.data / FOLDER
        log.info("what is decided is recorded in %s, %d MB at most", folder, config.record // 10**6)
        return Tape(folder, config.record, config.line, self._journal, self._clock.boot)

    def _new_housekeeper(self) -> Housekeeper:
        config = self._config
        room = Room(config.journal, config.keep.cap)
        return Housekeeper(
            self._recorder, room, config.keep, tuple(config.sinks), self._deliveries, self._clock,
            lambda value, detail: self._say(AGENT, value, detail),
        )  # fmt: skip

    def stop(self) -> None:
        """End in order: sources first, the journal last."""
        self._stop.set()

    async def _live(self, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        recorder = group.create_task(self._recorder.run(), name="recorder")
        await self._say(AGENT, "start", __version__)
        await self._tell_news()
        sinks = self._start_sinks(group)
        writing = self._writing.run(self._reader.rows, self._recorder.listen())
        beside = [
            group.create_task(self._feedback.run(), name="feedback"),
            group.create_task(writing, name="writing"),
        ]
        sources = self._start_sources(group)
        gc.freeze()  # what is there now stays: no need to look through it again and again
        self._watchdog.ready()
        log.info("line %s is up, its journal is %s", self._config.line.name, self._config.journal)
        await self._stop.wait()
        self._watchdog.stopping()
        await _end(beside)  # while the sources can still switch its lamps off
        await _end(sources)
        for missed in self._recorder.telemetry.ended(self._clock.wall_ms(), self._clock.mono_ms()):
            await self._say(AGENT, missed)
        await self._say(AGENT, "stop", __version__)
        await self._last_words()
        await _end(sinks)
        await _end([recorder])

    def _start_sinks(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        sinks = self._config.sinks.values()
        return [
            group.create_task(self._status_socket(), name="status"),
            group.create_task(self._integrity.run(), name="integrity"),
            group.create_task(self._housekeeper.run(), name="housekeeper"),
            *(group.create_task(self._sink(one), name=f"sink[{one.name}]") for one in sinks),
        ]

    def _start_sources(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        sources = self._config.sources.values()
        return [
            *(group.create_task(self._source(one), name=f"source[{one.name}]") for one in sources),
            group.create_task(self._ticks(), name="ticks"),
            *self._start_orders(group),
        ]

    def _start_orders(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        config, desk = self._config, OrderDesk(self._clock, self._recorder)
        tasks = [group.create_task(serve_commands(config.data, desk, self._upkeep), name="commands")]
        if config.orders_folder is not None:
            watching = watch(config.orders_folder, config.data, desk.signed("folder"))
            tasks.append(group.create_task(watching, name="orders"))
        return tasks

    async def _upkeep(self, chore: Chore) -> str:
        return await chore.carry_out(House(self._recorder, self._config.sinks, self._deliveries, self._clock))

    async def _source(self, source: SourceConfig) -> None:
        def back() -> None:
            supervisor.back()
            self._writing.connected(source.name)

        config = self._config
        beside = Beside(
            source.outputs, partial(self._feedback.switched, source.name),
            partial(self._feedback.heard, source.name), source.targets,
            partial(self._writing.written, source.name), partial(self._writing.renewed, source.name),
        )  # fmt: skip
        intake = SourceIntake(
            source.name, self._clock, self._recorder, back, config.path, self._results, beside, config.data,
            config.file,
        )  # fmt: skip
        supervisor = self._supervisors[source.name] = Supervisor(intake, self._clock)
        self._asks.intakes[source.name] = intake
        await supervisor.run(lambda: source.module.collect(source.settings, source.signals, intake))

    def _results(self, order: str) -> bytes:
        config = self._config
        try:
            with contextlib.closing(JournalReader(config.journal, config.line.name)) as reader:
                return json.encode(results(reader, config.line, order))
        except JournalError as error:
            return json.encode({"error": str(error)})

    async def _sink(self, sink: SinkConfig) -> None:
        folder = self._config.data / "out" / sink.name
        outlet = Outlet(sink.name, self._config.line.name, self._config.path, folder)
        delivery = Delivery(
            sink.name, sink.settings, self._reader, self._recorder, self._states, self._clock
        )  # fmt: skip
        self._deliveries[sink.name] = delivery
        await delivery.run(lambda: sink.module.connect(sink.settings, outlet))

    async def _ticks(self) -> None:
        """Let the core know that time passes; what comes back proves that the pipeline works."""
        while True:
            self._keeper.look()
            for words in self._recorder.telemetry.troubles(self._clock.mono_ms()):
                log.warning("%s", words)
            try:
                await self._recorder.emit([self._word(TICK)])
                self._watchdog.progress()
            except JournalFull:  # the answer of a pipeline that works; a restart makes no room
                self._watchdog.progress()
            except NotRecorded as error:
                log.debug("%s: %s", TICK, error)
            await asyncio.sleep(TICK_S)

    async def _tell_written(self, word: WriteWord) -> None:
        [outcome] = await self._recorder.emit([self._word(WRITE, word)])
        if outcome.verdict is Verdict.REFUSED:
            raise NotRecorded(outcome.words)

    async def _say(self, name: str, value: Value, detail: str = "") -> bool:
        try:
            await self._recorder.emit([self._word(name, value, detail)])
        except NotRecorded as error:
            log.debug("%s: %s", name, error)
            return False
        return True

    def _word(self, name: str, value: Value = None, detail: str = "") -> Observation:
        clock = self._clock
        now_ms = clock.wall_ms()
        return Observation(
            name, value, now_ms, now_ms, clock.mono_ms(), clock.boot, detail=detail, synced=clock.synced()
        )

    async def _tell_news(self) -> None:
        """What became of the journal while no agent could record it."""
        path, told = self._config.journal, news(self._config.journal)
        for words in told:
            log.warning("%s", words)
        if all([await self._say(AGENT, "journal", words) for words in told]):
            forget_news(path)

    async def _last_words(self) -> None:
        """Let the sinks that are connected deliver what was journaled last."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await asyncio.gather(*(one.caught_up() for one in self._deliveries.values()))

    # --- how it is ------------------------------------------------------------------------------

    def _states(self) -> Mapping[str, bytes]:
        states = current_states(self._reader, self._config.line)
        sources = {name: one.presence.state for name, one in self._supervisors.items()}
        states |= self._units
        health = {"online": True, "version": __version__, "sources": sources}
        if ails := {name: why for name, one in self._asks.intakes.items() if (why := ailing(one.tallies))}:
            health["ailing"] = ails
        if self._config.writes:
            health["unwritten"] = self._writing.unwritten()
        states["/health"] = json.encode(health)
        return states

    async def _status_socket(self) -> None:
        await serve_status(self._config.data, self._recorder, self.status)

    def status(self) -> AgentStatus:
        """The agent, its sources and its sinks, as they are now."""
        return AgentStatus(
            self._recorder.head,
            {name: self._source_status(name, one) for name, one in self._supervisors.items()},
            {name: one.status(self._keeper.reason) for name, one in self._deliveries.items()},
            room=self._housekeeper.status,
            journal=self._health.status(),
            clock=self._keeper.reason,
        )

    def _source_status(self, name: str, supervisor: Supervisor) -> SourceStatus:
        now, presence = self._clock.mono_ms(), supervisor.presence
        intake = self._asks.intakes[name]
        last = intake.last_data_mono_ms
        return SourceStatus(
            presence.state, presence.reason, (now - presence.since_mono_ms) / 1000,
            None if last is None else (now - last) / 1000, intake.tallies,
        )  # fmt: skip


def _last_seen(journal: Journal) -> Last | None:
    """When the agent was last there, and whether it knew the time."""
    seen, doubt = journal.last_seen(), journal.row(DOUBT)
    if seen is None:
        return None
    return Last(*seen, since_ms=doubt.since_ms if isinstance(doubt, Doubt) else 0)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
