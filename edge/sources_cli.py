"""The command `source`: how sources and their parts are, as the running agent says; thin."""

import asyncio
from collections.abc import Iterator, Mapping

import typer
from msgspec import json

from edge.far_ends import Json, asked
from edge.shell import DataFolder, LineFile, fail, find_line, plain, plain_json
from edge.sink_words import about
from edge.status import SourceStatus
from edge.tally import Tally

source = typer.Typer(name="source", help="Sources: how they and their units are.", no_args_is_help=True)


@source.command("list")
def list_sources(line: LineFile, data: DataFolder = None, as_json: Json = False) -> None:
    """Each source: its state, its last value, and what was counted of each unit of a bus."""
    config = find_line(line, data)
    status = asyncio.run(asked(config))
    if status is None:
        fail(f"no agent answers in {config.data}: start it with `lineside run`, or give its --data")
    if as_json:
        typer.echo(plain_json(json.encode(status.sources).decode()))
    for text in () if as_json else listed(status.sources):
        typer.echo(plain(text))


def listed(sources: Mapping[str, SourceStatus]) -> Iterator[str]:
    """A line a source, and one for each of its parts."""
    for name, status in sources.items():
        data = "no data yet" if status.silent_s is None else f"data {about(status.silent_s)} ago"
        yield f"{name}: {status.state} for {about(status.seconds)}, {data}"
        if status.reason:
            yield f"  {status.reason}"
        for part in status.parts:
            yield f"  {_part(part)}"


def _part(part: Tally) -> str:
    if part.answer_ms is None or part.slowest_ms is None:
        return part.words
    return f"{part.words}; the last answer took {part.answer_ms:g} ms, the slowest {part.slowest_ms:g} ms"
