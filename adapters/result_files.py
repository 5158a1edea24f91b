"""Source `result-files`: a test rig that writes its results into files, on a disk or a share.

Its page is result_files.md; how a result is written is that of `testrig`.
"""

import asyncio
import errno
import logging
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec.structs import replace
from pydantic import AfterValidator, Field

from adapters._result_folder import Folder, Rules, Taken, plain
from adapters._rig_format import ResultFormat
from adapters._rig_parse import Broken, Parsed, parse_each
from edge.contract import (
    Duration,
    Intake,
    Observation,
    Outcome,
    Quality,
    Signal,
    SignalAddress,
    Size,
    SourceLost,
    SourceSettings,
)
from edge.errors import NotRecorded

log = logging.getLogger("lineside.source")

_AT_ONCE = 32
"""Results that are recorded together: fewer than the core remembers of a rig, so that those of which nobody
noted that they are on disk are recognised when they come again."""
_LIVE_MS = 10_000
_OLDEST_MS = 31 * 86_400_000
"""A file that is older says that a clock was set, not that it is old."""
_TOLD = 200
_AGAIN_S = 2.0
"""Between two looks at a folder that is gone."""


def _name_only(glob: str) -> str:
    if "/" in glob or not glob:
        raise ValueError('a pattern of names without a folder, such as "*.csv"')
    return glob


def _marks(marker: str) -> str:
    made = marker.replace("{name}", "a", 1).replace("{stem}", "a", 1)
    if marker and (made == marker or "{" in made or "/" in made or not marker.rpartition("}")[2].strip(". ")):
        raise ValueError('write how the marker is called, such as "{name}.ok" or "{stem}.ok"')
    return marker


class Settings(SourceSettings, ResultFormat):
    """`[source.NAME]` with `type = "result-files"`."""

    folder: str = Field(pattern="^/")
    """Where the rig writes its files."""
    files: Annotated[str, Field(max_length=100), AfterValidator(_name_only)] = "*"
    """Which of them are results, as in a shell; small and capital letters are the same."""
    ready: Literal["quiet", "renamed"] = "quiet"
    """`renamed`: the rig writes under another name and renames the file when it is whole."""
    quiet: Duration = timedelta(seconds=2)
    """A file is whole when its size and time have been the same for so long."""
    marker: Annotated[str, Field(max_length=50), AfterValidator(_marks)] = ""
    """A file is whole when another one is there beside it, such as `{name}.ok`."""
    every: Duration = timedelta(seconds=1)
    """How often the folder is looked at."""
    largest: Size = Field(default=1_000_000, le=16_000_000)
    """A larger file is not read."""
    mount: str = Field(default="", pattern="^(/.*)?$")
    """Where the share is mounted that holds the folder: while nothing is, the source is lost."""

    def owns(self) -> list[str]:
        """The folder: two readers would take each other's files."""
        return [f"folder {Path(self.folder)}"]

    def warnings(self) -> list[str]:
        return [*super().warnings(), *self.doubts()]

    def rules(self) -> Rules:
        quiet_s = self.quiet.total_seconds()
        return Rules(self.files, self.ready, quiet_s, self.marker, self.largest, self.mount)


Address: type[SignalAddress] | None = None
gives = "results"

# --- a file's results -----------------------------------------------------------------------


def results_of(settings: ResultFormat, taken: Taken) -> list[Parsed]:
    """Each result of a file, or why it is none; a whole file that cannot be read is one that is none.

    Where the rig does not number its results, they are numbered by file: the same file again is known
    then, and two equal results are two.
    """
    if taken.fault:
        return [Parsed("", None, taken.fault)]
    body = taken.body.rstrip(b"\r\n") if settings.holds == "line" else taken.body
    try:
        parsed = parse_each(settings, body)
    except Broken as error:
        return [Parsed("", None, str(error))]
    return [_numbered(one, f"{taken.identity}#{at}") for at, one in enumerate(parsed, 1)]


def _numbered(parsed: Parsed, number: str) -> Parsed:
    if parsed.result is None or parsed.result.number is not None:
        return parsed
    return Parsed(f"{number}: {parsed.raw}", replace(parsed.result, number=number))


class _Taking:
    """One file from `taking/` to where it goes."""

    def __init__(self, settings: Settings, intake: Intake, folder: Folder, taken: Taken) -> None:
        self._settings = settings
        self._intake = intake
        self._folder = folder
        self._taken = taken
        self._report = list(taken.told)

    async def run(self) -> None:
        """Record all of it and put it away. Raises NotRecorded, OSError; the next try goes on from there."""
        results = await asyncio.to_thread(results_of, self._settings, self._taken)
        done = self._taken.recorded
        while batch := results[done : done + _AT_ONCE]:
            outcomes = await self._intake.emit([self._observed(one) for one in batch])
            self._tell(done, batch, outcomes)
            done += len(batch)
            if done < len(results):
                await asyncio.to_thread(self._folder.note, self._taken.name, done, self._report)
        if self._report:
            log.warning("%s: %s: %s", self._intake.name, plain(self._taken.name), self._report[0])
        put_away = self._folder.put_away
        await asyncio.to_thread(put_away, self._taken, self._report, broken=bool(self._report))

    def _observed(self, parsed: Parsed) -> Observation:
        name, age_ms = self._intake.name, self._taken.age_ms
        aged_ms = age_ms if _LIVE_MS <= age_ms < _OLDEST_MS else None
        if parsed.result is None:
            words = ": ".join(filter(None, (plain(self._taken.name), parsed.reason, parsed.raw[:_TOLD])))
            return self._intake.observe(name, None, quality=Quality.BAD, detail=words)
        return self._intake.observe(name, parsed.result, aged_ms=aged_ms, detail=parsed.raw)

    def _tell(self, done: int, batch: Sequence[Parsed], outcomes: Sequence[Outcome]) -> None:
        """For the report: what is not on disk, and why."""
        for at, (one, outcome) in enumerate(zip(batch, outcomes, strict=True), done + 1):
            if one.result is not None and outcome.recorded:
                continue
            if len(self._report) < _TOLD:
                self._report.append(f"result {at}: {one.reason or outcome.words or outcome.verdict}")


# --- the source -----------------------------------------------------------------------------

_GONE = {
    errno.ENOENT: "there is no {path}; is the share mounted?",
    errno.ENOTDIR: "{path} is no folder",
    errno.EACCES: "no permission to read and write in {path}; files are moved there when they are taken",
    errno.EROFS: "{path} cannot be written to; files are moved there when they are taken",
    errno.ENOSPC: "the disk of {path} is full",
    errno.EDQUOT: "the quota of {path} is used up",
    errno.ESTALE: "the share of {path} is gone",
    errno.ENOTCONN: "the share of {path} is gone",
    errno.EHOSTDOWN: "the server of {path} does not answer",
    errno.ETIMEDOUT: "the server of {path} does not answer",
}
_GONE |= {errno.EPERM: _GONE[errno.EACCES], errno.EHOSTUNREACH: _GONE[errno.EHOSTDOWN]}


def folder_failure(source: str, settings: Settings, error: OSError) -> SourceLost:
    """What the system raised, as the user reads it."""
    told = "{error}" if error.errno is None else _GONE.get(error.errno, "{path} cannot be used: {error}")
    words = told.format(path=settings.folder, error=error.strerror or error)
    return SourceLost(source, words, again_s=_AGAIN_S)


async def collect(settings: Settings, signals: Sequence[Signal[Any]], intake: Intake) -> None:
    """Hand over each result of each file under the source's name; a file is put away when they are on disk.

    Raises SourceLost.
    """
    folder = Folder(Path(settings.folder), settings.rules())
    loop = asyncio.get_running_loop()
    try:
        await asyncio.to_thread(folder.prepare)
        intake.connected()
        while True:
            waiting = False
            for name in await asyncio.to_thread(folder.begun):
                waiting |= not await _is_home(settings, intake, folder, name)
            for name in await asyncio.to_thread(folder.whole, loop.time()):
                if not waiting and await asyncio.to_thread(folder.take, name):
                    waiting = not await _is_home(settings, intake, folder, name)
            await asyncio.sleep(settings.every.total_seconds())
    except OSError as error:
        raise folder_failure(intake.name, settings, error) from error


async def _is_home(settings: Settings, intake: Intake, folder: Folder, name: str) -> bool:
    """Whether a file in `taking/` is put away now; else it waits there, and no other is taken meanwhile."""
    taken = await asyncio.to_thread(folder.read, name)
    if taken is None:
        return False
    try:
        await _Taking(settings, intake, folder, taken).run()
    except NotRecorded as error:
        log.warning("%s: %s waits: %s", intake.name, plain(name), error)
        return False
    return True
