"""What the pages show as a configuration passes `lineside check`, with what it names around it."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.config import load
from edge.config.tables import TOP_LEVEL
from edge.errors import ConfigError

ROOT = Path(__file__).parents[2]
HIDDEN = {".venv", ".stamps", ".pytest_cache", "node_modules", "build"}
BLOCK = re.compile(r"^```(?P<of>\S*)\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)

SOURCES = {
    "node": 'type = "opcua"\nendpoint = "opc.tcp://192.168.10.21:4840"\n',
    "": 'type = "modbus"\nhost = "tcp://192.168.1.5:502"\n',
}
"""By a key of the signals that are read from it."""


def blocks() -> Iterator[tuple[str, str]]:
    """Every block of every page that is TOML: where it stands, and its text."""
    for page in sorted(ROOT.rglob("*.md")):
        if HIDDEN.isdisjoint(page.relative_to(ROOT).parts):
            text = page.read_text(encoding="utf-8")
            for found in BLOCK.finditer(text):
                if found["of"] == "toml" or _looks_like_a_line(found["text"]):
                    place = text.count("\n", 0, found.start()) + 1
                    yield f"{page.relative_to(ROOT)}:{place}", found["text"]


def _looks_like_a_line(text: str) -> bool:
    try:
        return bool(tomllib.loads(text).keys() & set(TOP_LEVEL))
    except tomllib.TOMLDecodeError:
        return False


def completed(text: str) -> str:
    """With a `[line]`, and the sources and stations that it names and does not show, and a station at all."""
    tables = tomllib.loads(text)
    if "line" not in tables:
        text += '\n[line]\nname = "line-1"\n'
    elif "name" not in tables["line"]:
        text = text.replace("[line]\n", '[line]\nname = "line-1"\n')
    for source, kind in _named_sources(tables).items():
        if source not in tables.get("source", {}):
            text += f"\n[source.{source}]\n{SOURCES[kind]}"
    stations = {one["name"] for one in tables.get("station", [])}
    named = {one["station"] for one in tables.get("telemetry", {}).values() if "station" in one}
    for station in sorted(named - stations) or ([] if stations else ["press"]):
        text += f'\n[[station]]\nname = "{station}"\nideal_cycle = "2s"\n'
    return text


def _named_sources(tables: dict[str, Any]) -> dict[str, str]:
    named: dict[str, str] = {}
    for shared in [*tables.get("telemetry", {}).values(), *tables.get("station", [])]:
        for signal in [one for one in shared.values() if isinstance(one, dict)]:
            every = shared | signal
            named[every["source"]] = "node" if "node" in every else ""
    return named


FOUND = dict(blocks())


@pytest.mark.parametrize("place", FOUND)
def test_an_example_is_valid(tmp_path: Path, place: str) -> None:
    file = tmp_path / "line.toml"
    file.write_text(completed(FOUND[place]), encoding="utf-8")
    try:
        load(file, tmp_path)
    except ConfigError as error:
        pytest.fail(f"{place}: {error}")


def test_every_adapter_shows_an_example() -> None:
    pages = {place.partition(":")[0] for place in FOUND}
    adapters = {f"adapters/{one.name}" for one in (ROOT / "adapters").glob("*.md")}
    assert adapters <= pages
    assert {"edge/telemetry.md", "edge/housekeeping.md", "edge/orders/orders.md"} <= pages
