"""Plays a drill: starts the stand-ins and an agent, makes one thing after the other fail, and judges it."""

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from msgspec import json
from rich.console import Console

from edge.config import load
from edge.demo.child import Child, child
from edge.drill.books import Books
from edge.drill.clock import ClockFile
from edge.drill.far import Arrivals, open_far_end
from edge.drill.faults import KILLS, Happen, begin_jobs, cutting, end_jobs, filling, killing, stepping
from edge.drill.floor import open_floor
from edge.drill.judge import Moment, Outlet, Scene, judge
from edge.drill.options import DrillOptions
from edge.drill.report import DrillReport, Fault, final_view, summary, total
from edge.drill.room import NoRoom, leave_own_disk, mount_own_disk
from edge.drill.settling import AFTER_S, expected, patience, settle
from edge.drill.stage import LOOK_S, UP_S, Stage, behind, is_connected, is_settled
from edge.drill.substitute import SINKS, Places, substitute
from edge.drill.toml import to_toml
from edge.errors import ConfigError, DrillFailed, LinesideError

_OF_SERVICE = (
    "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY",
    "JOURNAL_STREAM",
)  # fmt: skip
"""What systemd gives a service: the drill's agent must not speak in its name."""


def play(options: DrillOptions) -> int:
    """Exit status: 0 when nothing was lost and nothing came twice, 1 when not.

    Raises DrillFailed, ConfigError. Call it before anything has started a thread.
    """
    for name in _OF_SERVICE:
        os.environ.pop(name, None)
    folder = Path(tempfile.mkdtemp(prefix="lineside-drill-"))
    disk, no_room = folder / "disk", ""
    for one in (disk, folder / "ports", folder / "far"):
        one.mkdir()
    try:
        mount_own_disk(disk)
    except NoRoom as error:
        no_room = str(error)
    keep = True
    try:
        (disk / "data").mkdir()
        report = _whole(options, folder, no_room)
        keep = options.keep or not report.passed
        return 0 if report.passed else 1
    finally:
        _tidy(folder, is_mounted=not no_room, keep=keep)


def _tidy(folder: Path, *, is_mounted: bool, keep: bool) -> None:
    """What is kept is copied from the drill's own disk, which ends with its process."""
    if keep:
        with contextlib.suppress(shutil.Error):  # sockets cannot be copied
            shutil.copytree(folder / "disk" / "data", folder / "data")
    if is_mounted:
        leave_own_disk(folder / "disk")
    if keep:
        Console(stderr=True, soft_wrap=True).print(f"the drill's files are kept in {folder}", markup=False)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _whole(options: DrillOptions, folder: Path, no_room: str) -> DrillReport:
    console = Console(stderr=options.json, soft_wrap=True)
    config = load(options.file, folder / "disk" / "data")
    books = Books(config.journal, config.line, time.monotonic)
    stage = Stage(options, folder, console, config, books, ClockFile(folder / "clock"), no_room)
    failure: list[str] = []
    report: DrillReport | None = None
    try:
        report = asyncio.run(_drill(stage))
    except* (LinesideError, OSError, ValueError) as errors:
        failure = _leaves(errors)
    finally:
        books.close()
    if report is None:
        raise DrillFailed("; ".join(failure))
    for line in final_view(report):
        console.print(line)
    if options.json:
        print(json.encode(report).decode())
    return report


def _leaves(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [words for one in error.exceptions for words in _leaves(one)]
    return [str(error) or type(error).__name__]


async def _drill(stage: Stage) -> DrillReport:
    async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
        stage.say(f"line {stage.config.line.name}: starting stand-ins for its devices and far ends")
        file = await _set_up(stage, stack, group)
        agent = await stack.enter_async_context(_agent(stage, file))
        for name, task in (("floor", stage.floor.run()), ("books", _watch(stage.books))):
            running = group.create_task(task, name=name)
            stack.callback(running.cancel)
        for device in stage.floor.devices:
            working = group.create_task(device.work(stage.floor.on), name=f"device[{device.name}]")
            stack.callback(working.cancel)
        await _wait_until_up(stage, agent)
        return await _play_all(stage, agent)
    raise AssertionError("a task group that ends without a result raises")


async def _set_up(stage: Stage, stack: AsyncExitStack, group: asyncio.TaskGroup) -> Path:
    """Every stand-in, and the file that names them."""
    config = stage.config
    stage.floor = await open_floor(stack, config, stage.folder / "ports")
    written = tomllib.loads(stage.options.file.read_text(encoding="utf-8"))
    sinks: dict[str, str] = {}
    for sink in config.sinks.values():
        named = "folder" in written.get("sink", {}).get(sink.name, {})
        folder = stage.folder / "far" / sink.name if named else stage.data / "out" / sink.name
        far = await open_far_end(stack, sink, Arrivals(time.monotonic), group, folder)
        if far is not None and sink.settings.type in SINKS:
            sinks[sink.name] = far.address
            linger_s = min(sink.settings.linger.total_seconds(), 1.0)
            stage.outlets.append(Outlet(sink.name, linger_s, far))
    written.setdefault("sink", {name: {"type": one.settings.type} for name, one in config.sinks.items()})
    changed = substitute(written, Places(stage.floor.places, sinks))
    stage.changed = changed.notes
    file = stage.folder / "drill.toml"
    file.write_text(to_toml(changed.document), encoding="utf-8")
    try:
        load(file, stage.data)
    except ConfigError as error:
        raise DrillFailed(f"the line cannot be drilled without what has no stand-in:\n{error}") from error
    return file


def _agent(stage: Stage, file: Path) -> contextlib.AbstractAsyncContextManager[Child]:
    told = ("drill-agent", str(file), "--data", str(stage.data), "--clock", str(stage.folder / "clock"))
    return child(stage.folder / "agent.log", *told)


async def _watch(books: Books) -> None:
    while True:
        books.read()
        await asyncio.sleep(LOOK_S)


async def _wait_until_up(stage: Stage, agent: Child) -> None:
    """Every source connected, every counter read once, every sink served."""
    counters = {dial.spec.signal for one in stage.floor.stations for dial in one.counters}
    try:
        async with asyncio.timeout(UP_S):
            while not await _is_up(stage, counters):  # noqa: ASYNC110 (a process and files to look at)
                await asyncio.sleep(0.1)
    except TimeoutError:
        waits = _waits_for(stage, counters)
        raise DrillFailed(
            f"the line did not come up: {waits}; its agent said:\n{agent.last_words()}"
        ) from None
    stage.say("the line is up; now one thing after the other is made to fail")


async def _is_up(stage: Stage, counters: set[str]) -> bool:
    return await is_connected(stage) and counters <= stage.books.baselines and is_settled(stage)


def _waits_for(stage: Stage, counters: set[str]) -> str:
    unread = sorted(counters - stage.books.baselines)
    if unread:
        return f"{', '.join(unread)} were not read"
    return f"nothing came to {', '.join(behind(stage))}" if behind(stage) else "a source is not connected"


# --- the scenes -----------------------------------------------------------------------------


async def _play_all(stage: Stage, agent: Child) -> DrillReport:
    plan = list(_plan(stage, agent))
    stage.say(expected(len(plan), stage.options))
    await begin_jobs(stage)
    scenes: list[Scene] = []
    for number, (name, words, happen) in enumerate(plan, 1):
        stage.say(f"[{number} of {len(plan)}] {name}: {words}")
        scenes.append(await _play(stage, agent, name, words, happen))
    if dropped := stage.books.strike_dropped():
        scenes[-1].remarks.append(f"{dropped} batches of telemetry were dropped to make room, as they may be")
    faults = [_judged(stage, one) for one in scenes]
    return total(stage.config.line.name, faults, stage.untried, stage.changed)


def _plan(stage: Stage, agent: Child) -> Iterator[tuple[str, str, Happen]]:
    """Name, words and what happens, of each scene."""
    yield "nothing", "all is well, for comparison", asyncio.sleep
    for outlet in stage.outlets:
        yield f"sink {outlet.name}", f"cut off for {stage.options.for_s:g} s", cutting(outlet)
    yield "agent", f"kill -9, {KILLS} times", killing(stage, agent)
    words = "its clock is set forward an hour, then back two hours, then right again"
    yield "clock", words, stepping(stage.clock)
    if stage.no_room:
        stage.untried.append(f"a full disk: this user cannot mount a small one ({stage.no_room}); root can")
    else:
        yield "disk", f"full for {stage.options.for_s:g} s", filling(stage, agent)
    yield "end", "the jobs are ended", lambda _: end_jobs(stage)


async def _play(stage: Stage, agent: Child, name: str, words: str, happen: Happen) -> Scene:
    """Make parts, let it happen, make some more, and wait until all is quiet."""
    starts, held = agent.starts, stage.books.held.copy()
    begin = stage.ended or _moment(stage)
    stage.floor.start()
    cut_s = time.monotonic()
    await happen(stage.options.for_s)
    healed_s = time.monotonic()
    await asyncio.sleep(AFTER_S)
    stage.floor.stop()
    scene = Scene(name, words, begin, begin, cut_s, healed_s)
    scene.remarks += await settle(stage, patience(stage.options))
    scene.remarks += _remarks(stage, scene, agent, starts, held)
    scene.end = stage.ended = _moment(stage)
    stage.say(summary(_judged(stage, scene)))
    return scene


def _remarks(stage: Stage, scene: Scene, agent: Child, starts: int, held: Counter[str]) -> Iterator[str]:
    """What a person should know beside the numbers."""
    wanted = {"agent": KILLS, "disk": 1}.get(scene.name, 0)
    if agent.starts - starts > wanted:
        yield f"the agent ended by itself {agent.starts - starts - wanted} times: see agent.log (--keep)"
    for signal, parts in (stage.books.held - held).items():
        yield f"{parts} parts of {signal} are held for a person: faster than `fastest_cycle` allows"
    if scene.name in ("agent", "disk"):
        still_s = stage.books.still_s(scene.cut_s, scene.healed_s + AFTER_S)
        yield f"recording stood still for {still_s:.1f} s at the most"


def _judged(stage: Stage, scene: Scene) -> Fault:
    """A far end may have got what the last look at the journal has not seen: look once more."""
    stage.books.read()
    return judge(scene, stage.books, stage.floor.devices, stage.outlets)


def _moment(stage: Stage) -> Moment:
    """As of the last look at the journal: what is written later belongs to the next scene."""
    said = {device.name: len(device.said) for device in stage.floor.devices}
    books = stage.books
    return Moment(
        time.monotonic(),
        books.head,
        stage.floor.made.copy(),
        books.counted.copy(),
        books.recovered.copy(),
        said,
    )
