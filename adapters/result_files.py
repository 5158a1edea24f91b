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

from adapters._result_folder import REPORT, Folder, Rules, Taken, plain, unfinished
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
_MOST_BROKEN = 20
"""Of a file are handed over one by one; what is broken beyond them is counted and told together."""
_AGAIN_S = 2.0
"""Between two looks at a folder that is gone."""


def _name_only(glob: str) -> str:
    if "/" in glob or not glob:
        raise ValueError('a pattern of names without a folder, such as "*.csv"')
    if unfinished(glob):
        raise ValueError("such names are never results: a program is still writing those; see the page")
    return glob


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError("must be an absolute path: one that begins with /")
    return path


def _marks(marker: str) -> str:
    made = marker.replace("{name}", "a", 1).replace("{stem}", "a", 1)
    if marker and (made == marker or "{" in made or "/" in made or not marker.rpartition("}")[2].strip(". ")):
        raise ValueError('write how the marker is called, such as "{name}.ok" or "{stem}.ok"')
    return marker


class Settings(SourceSettings, ResultFormat):
    """`[source.NAME]` with `type = "result-files"`."""

    folder: Annotated[str, AfterValidator(_absolute)]
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

    def needs_a_scan(self) -> bool:
        return self.unit == "scanned"

    def warnings(self) -> list[str]:
        return [*super().warnings(), *self.doubts()]

    def rules(self) -> Rules:
        quiet_s = self.quiet.total_seconds()
        numbered = self.fields.number is not None and self.unit == "sent"
        return Rules(
            self.files, self.ready, quiet_s, self.marker, self.largest, self.mount, numbered,
            grows=self.holds == "results", listed=self.format == "json",
        )  # fmt: skip


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
        self._is_said = False

    async def run(self) -> None:
        """Record all of it and put it away. Raises NotRecorded, OSError; the next try goes on from there."""
        results = await asyncio.to_thread(results_of, self._settings, self._taken)
        emitted, more = _reported(results, self._begun(len(results)))
        for batch in (emitted[at : at + _AT_ONCE] for at in range(0, len(emitted), _AT_ONCE)):
            outcomes = await self._intake.emit([self._observed(one) for _, one in batch])
            self._tell(batch, outcomes)
            if (done := batch[-1][0]) < len(results):
                await asyncio.to_thread(self._folder.note, self._taken, done, len(results), self._report)
        if more:
            await self._tell_more(more)
        broken = bool(self._report)
        await asyncio.to_thread(self._folder.put_away, self._taken, self._report, len(results), broken=broken)

    def _begun(self, of: int) -> int:
        """So many were recorded before a kill, or before more was written behind them."""
        if self._taken.recorded <= of:
            return self._taken.recorded
        log.warning("%s is read from its beginning: the note of it is wrong", plain(self._taken.name))
        self._report.clear()
        return 0

    def _observed(self, parsed: Parsed) -> Observation:
        name, age_ms = self._intake.name, self._taken.age_ms
        aged_ms = age_ms if _LIVE_MS <= age_ms < _OLDEST_MS else None
        if parsed.result is None:
            words = ": ".join(filter(None, (plain(self._taken.name), parsed.reason, parsed.raw[:_TOLD])))
            return self._intake.observe(name, None, quality=Quality.BAD, detail=words)
        return self._intake.observe(name, parsed.result, aged_ms=aged_ms, detail=parsed.raw)

    def _tell(self, batch: Sequence[tuple[int, Parsed]], outcomes: Sequence[Outcome]) -> None:
        """For the report: what is not on disk, and why. What is broken is in the log already."""
        for (at, one), outcome in zip(batch, outcomes, strict=True):
            if one.result is not None and outcome.recorded:
                continue
            words = f"result {at}: {one.reason or outcome.words or outcome.verdict}"
            if one.result is not None and not self._is_said:
                self._is_said = True
                log.warning("%s: %s: %s", self._intake.name, plain(self._taken.name), words)
            if len(self._report) < _TOLD:
                self._report.append(words)

    async def _tell_more(self, more: Sequence[tuple[int, Parsed]]) -> None:
        """All at once: what is broken beyond what is told one by one."""
        report = f"{self._taken.name}{REPORT}"
        words = f"{plain(self._taken.name)}: {len(more)} more of its results are broken; see {plain(report)}"
        source = self._intake.name
        await self._intake.emit([self._intake.observe(source, None, quality=Quality.BAD, detail=words)])
        room = max(0, _TOLD - len(self._report))
        self._report += [f"result {at}: {one.reason}" for at, one in more[:room]]
        self._report += [f"and {len(more) - room} more"] if len(more) > room else []


def _reported(
    results: Sequence[Parsed], begun: int
) -> tuple[list[tuple[int, Parsed]], list[tuple[int, Parsed]]]:
    """Each result with its place from 1, from the one behind `begun`: what is handed over, and what is only
    counted: a file of nonsense must not fill the journal."""
    emitted: list[tuple[int, Parsed]] = []
    more: list[tuple[int, Parsed]] = []
    broken = 0
    for at, one in enumerate(results[begun:], begun + 1):
        broken += one.result is None
        (more if one.result is None and broken > _MOST_BROKEN else emitted).append((at, one))
    return emitted, more


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
    if await asyncio.to_thread(folder.is_known, taken):
        log.warning("%s: %s was recorded before and is not read again", intake.name, plain(name))
        of = len(await asyncio.to_thread(results_of, settings, taken))
        await asyncio.to_thread(folder.put_away, taken, [], of, broken=False)
        return True
    try:
        await _Taking(settings, intake, folder, taken).run()
    except NotRecorded as error:
        log.warning("%s: %s waits: %s", intake.name, plain(name), error)
        return False
    return True
