"""Runs the demo: floor, far ends, agent, board and operator, from start to settlement."""

import asyncio
import random
import shutil
import signal
import sys
import tempfile
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import json
from rich.console import Console
from rich.live import Live

from edge.config import LineConfig, load
from edge.demo.child import Child, child
from edge.demo.far import Held, MqttWitness, held_by_file, held_by_influx, probe_influx
from edge.demo.floor import Floor, open_floor, write_config
from edge.demo.operator import Operator, ScanNotTaken
from edge.demo.options import DemoOptions, check
from edge.demo.result import DemoResult, as_held, read_counted, read_floor, settle
from edge.demo.view import final_view, live_view, one_line
from edge.errors import DemoFailed, LinesideError
from edge.journal import JournalReader
from edge.readmodel import station_views
from edge.status import AgentStatus, follow_status
from simulators.far_ends import FarEndFailed, is_installed, mosquitto, victoria_metrics
from simulators.launch import SimulatorFailed

UP_S = 30.0
"""The agent must be up by then; on a Pi its imports alone take several seconds."""
QUIET_S = 30.0
"""After the last part, counting and delivery must have caught up by then."""
PLAIN_EVERY_S = 5.0

INFLUX_SINK = """
[sink.influx]
type = "influxdb"
url = "{url}"
bucket = "lineside"
"""
MQTT_SINK = """
[sink.mqtt]
type = "mqtt"
broker = "{url}"
"""


@dataclass(slots=True)
class _Stage:
    """What the pieces of a running demo share."""

    options: DemoOptions
    folder: Path
    console: Console
    status: AgentStatus | None = None
    said: deque[str] = field(default_factory=lambda: deque(maxlen=4))
    config: LineConfig | None = None
    board: str = ""
    """Its address, once it is up."""
    influx: str | None = None
    witness: MqttWitness | None = None

    def say(self, words: str) -> None:
        self.said.append(words)
        if not self.console.is_terminal:
            self.console.print(words, markup=False, highlight=False)

    @property
    def line(self) -> LineConfig:
        assert self.config is not None
        return self.config


async def demo(options: DemoOptions) -> DemoResult:
    """Play it. Raises DemoFailed where it could not be played to its end."""
    check(options)
    if options.influx is not None:
        await probe_influx(options.influx, "lineside")
    console = Console(stderr=options.json)
    folder = Path(tempfile.mkdtemp(prefix="lineside-demo-"))
    stage = _Stage(options, folder, console)
    try:
        async with AsyncExitStack() as stack:
            result = await _play(stack, stage)
    except BaseException:
        console.print(f"the demo's files are kept in {folder}", markup=False)
        raise
    console.print(final_view(result))
    if options.json:
        sys.stdout.write(json.encode(result).decode() + "\n")
    if result.differences or options.keep:
        console.print(f"the demo's files are kept in {folder}", markup=False)
    else:
        shutil.rmtree(folder)
    return result


async def _play(stack: AsyncExitStack, stage: _Stage) -> DemoResult:
    stage.say("starting the simulators of a press, a packer, two scanners and a test rig")
    sinks = await _far_ends(stack, stage)
    floor = await open_floor(stack, stage.folder, stage.options)
    file = write_config(stage.folder, floor, stage.options, sinks)
    data = stage.folder / "data"
    data.mkdir()
    stage.config = load(file, data)
    agent = await stack.enter_async_context(
        child(stage.folder / "agent.log", "run", str(file), "--data", str(data))
    )
    board = await stack.enter_async_context(
        child(stage.folder / "board.log", "board", str(file), "--data", str(data))
    )
    await _wait_until_up(stage, agent, board)
    return await _watch(stage, floor, agent)


async def _far_ends(stack: AsyncExitStack, stage: _Stage) -> str:
    """Start what is installed, or use what was named; returns the sinks for the TOML file."""
    options, sinks, broker = stage.options, "", stage.options.mqtt
    if broker is None and is_installed("mosquitto"):
        far_end = await stack.enter_async_context(mosquitto(stage.folder / "mosquitto"))
        broker = f"mqtt://127.0.0.1:{far_end.port}"
    if broker is not None:
        stage.witness = MqttWitness(broker, "lineside/demo/hall-1", "demo")
        _listen(stack, stage.witness)
        sinks += MQTT_SINK.format(url=broker)
    stage.influx = options.influx
    if stage.influx is None and is_installed("victoria-metrics"):
        stage.influx = (
            await stack.enter_async_context(victoria_metrics(stage.folder / "metrics", merge=False))
        ).url
    if stage.influx is not None:
        sinks += INFLUX_SINK.format(url=stage.influx)
    return sinks


def _listen(stack: AsyncExitStack, witness: MqttWitness) -> None:
    if not witness.start():
        raise DemoFailed("the MQTT broker does not answer; is it running, and is its address right?")
    stack.callback(witness.stop)


async def _wait_until_up(stage: _Stage, agent: Child, board: Child) -> None:
    """All sources connected, once; the first thing that a newcomer waits for."""
    try:
        async with asyncio.timeout(UP_S):
            while not await _all_connected(stage):  # noqa: ASYNC110 (a socket that may not be there yet)
                await asyncio.sleep(0.1)
            while (url := board.printed("board:")) is None:  # noqa: ASYNC110 (it tells in a file)
                await asyncio.sleep(0.1)
    except TimeoutError:
        words = "the line did not come up"
        raise DemoFailed(f"{words}; the agent said:\n{agent.last_words()}\n{board.last_words()}") from None
    stage.board = url
    stage.say(f"the line is up; its board: {url}   (Ctrl-C ends the shift early)")


async def _all_connected(stage: _Stage) -> bool:
    async for status in follow_status(stage.line.data):
        if status.sources and all(one.state == "connected" for one in status.sources.values()):
            stage.status = status
            return True
    return False


async def _watch(stage: _Stage, floor: Floor, agent: Child) -> DemoResult:
    operator = Operator(floor, stage.line.journal, stage.say)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, operator.goes_home.set)
    reader = JournalReader(stage.line.journal, stage.line.line.name)
    try:
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(_follow(stage), name="status"),
                group.create_task(_show(stage, reader), name="view"),
                group.create_task(_kill_now_and_then(stage, agent), name="kills"),
            ]
            await operator.work(stage.options.for_s)
            await _quiet(stage, floor, operator, reader)
            held = await _ask_far_ends(stage, reader)
            for task in beside:
                task.cancel()
        if stage.status is None:
            raise DemoFailed(f"the agent was away when the demo ended; it said:\n{agent.last_words()}")
        return settle(floor.truth, operator.log, reader, stage.status.sinks, held)
    finally:
        reader.close()


async def _follow(stage: _Stage) -> None:
    while True:
        async for status in follow_status(stage.line.data):
            stage.status = status
        stage.status = None
        await asyncio.sleep(0.1)


async def _show(stage: _Stage, reader: JournalReader) -> None:
    """A live table in a terminal; elsewhere a line now and then."""
    line = stage.line.line
    if not stage.console.is_terminal:
        while True:
            await asyncio.sleep(PLAIN_EVERY_S)
            stage.console.print(
                one_line(station_views(reader, line), stage.status), markup=False, highlight=False
            )
    with Live(console=stage.console, auto_refresh=False) as live:
        while True:
            said, width = list(stage.said), stage.console.width
            views = station_views(reader, line)
            live.update(live_view(views, stage.status, said, stage.board, width), refresh=True)
            await asyncio.sleep(0.25)


async def _kill_now_and_then(stage: _Stage, agent: Child) -> None:
    """kill -9 at random instants of the middle, which a seed repeats."""
    chance = random.Random(stage.options.seed)  # noqa: S311
    moments = sorted(chance.uniform(0.2, 0.9) for _ in range(stage.options.kills))
    past = 0.0
    for moment in moments:
        await asyncio.sleep((moment - past) * stage.options.for_s)
        past = moment
        stage.say("kill -9 of the agent")
        agent.kill()


async def _quiet(stage: _Stage, floor: Floor, operator: Operator, reader: JournalReader) -> None:
    """Wait until what was made is counted and delivered, or until it is clear that it will not be."""
    deadline = asyncio.get_running_loop().time() + QUIET_S
    stage.say("waiting for the last part to be counted and delivered")
    while asyncio.get_running_loop().time() < deadline:
        made = read_floor(floor.truth, operator.log)
        parts = sum(one.good + one.scrap for one in made.definite.values()) + len(made.either)
        counted = sum(one.good + one.scrap for one in read_counted(reader).values())
        sinks = stage.status.sinks.values() if stage.status else ()
        if parts == counted and sinks and not any(one.pending for one in sinks):
            return
        await asyncio.sleep(0.1)


async def _ask_far_ends(stage: _Stage, reader: JournalReader) -> dict[str, Held]:
    expected = as_held(read_counted(reader))
    held: dict[str, Held] = {"file": held_by_file(stage.line.data / "out" / "file")}
    if stage.witness is not None:
        held["mqtt"] = stage.witness.held()
    if stage.influx is not None:
        stage.say("asking the database what it holds")
        held["influx"] = await held_by_influx(stage.influx, "lineside", expected)
    return held


def play(options: DemoOptions) -> int:
    """Exit status: 0 when everything agrees, 1 when not. Raises DemoFailed."""
    failure = ""
    try:
        result = asyncio.run(demo(options))
    except* (LinesideError, SimulatorFailed, FarEndFailed, ScanNotTaken) as errors:
        failure = "; ".join(_leaves(errors))
    if failure:
        raise DemoFailed(failure)
    return 1 if result.differences or result.unassigned else 0


def _leaves(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [words for one in error.exceptions for words in _leaves(one)]
    return [str(error)]
