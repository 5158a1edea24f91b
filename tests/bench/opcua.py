"""A thousand OPC UA variables that change ten times a second, through adapter, core and journal, beside a
bare asyncua subscription that keeps nothing.

The server (node-opcua) is a process of its own; what is measured is the process that subscribes: its CPU time
for 1,000 changes. Those are telemetry, or of counters: then each of them counts a part, which is two
events. Changes a second on one core are what that CPU time leaves room for: one server cannot send as many.
"""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.grown import Say
from tests.bench.process import Figures, medians
from tests.bench.watched import Value, bare, has_begun, journaled, watch
from tests.support.node_opcua import NAMESPACE, node_server

VARIABLES = 1_000
EVERY_MS = 100
PUBLISH_MS = 200
WARM_S = 2.0
"""After the first change has come out."""
STARTS_S = 60.0
BARE = "bare asyncua"
COUNTERS = {"Lineside": 0, "Lineside, a tenth are counters": 100, "Lineside, all are counters": VARIABLES}
"""How many of the variables."""
CPU = "CPU ms for 1,000 changes"

_LINE = """
[line]
name = "bench"
path = "acme/leeds"

[sink.away]
type = "mqtt"
broker = ["mqtt://127.0.0.1:9"]

[source.plc]
type = "opcua"
endpoint = "{url}"
security = "None"
publish = "{publish_ms}ms"
"""
_STATION = """
[[station]]
name = "s{number}"
ideal_cycle = "{every_ms}ms"
total = {{ source = "plc", node = "{node}", counter = "u32", every = "{every_ms}ms" }}
"""
_TABLE = """
[telemetry.press]
source = "plc"
every = "{every_ms}ms"
"""


def opcua(folder: Path, seconds: float, rounds: int, say: Say) -> Iterator[tuple[str, Figures]]:
    """All in turn, `rounds` times; the medians, and what the agent costs of the bare subscription."""
    found: dict[str, list[Figures]] = {name: [] for name in (BARE, *COUNTERS)}
    for turn in range(rounds):
        for name, figures in found.items():
            say(f"round {turn + 1} of {rounds}: {name}")
            place = folder / f"{turn}-{COUNTERS.get(name, 'bare')}"
            figures.append(asyncio.run(_measured(name, place, seconds)))
    middle = {name: medians(figures) for name, figures in found.items()}
    for name, one in middle.items():
        yield f"OPC UA, {VARIABLES:,} variables every {EVERY_MS} ms, {name}", one
    for name in COUNTERS:
        yield f"OPC UA, {name} to bare asyncua", {"CPU": middle[name][CPU] / middle[BARE][CPU]}


async def _measured(name: str, folder: Path, seconds: float) -> Figures:
    folder.mkdir(parents=True)
    async with node_server(folder / "plc", variables=VARIABLES, change_ms=EVERY_MS, exact=True) as server:
        line = _LINE.format(url=server.url, publish_ms=PUBLISH_MS) + _signals(COUNTERS.get(name, 0))
        arguments = (server.url, NAMESPACE, VARIABLES, PUBLISH_MS)
        is_bare = name == BARE
        taking = bare(folder, "tests.bench.bare_opcua", *arguments) if is_bare else journaled(folder, line)
        async with taking as taker:
            await has_begun(taker, STARTS_S)
            await asyncio.sleep(WARM_S)
            values, used = await watch(taker, seconds)
    changes = values if isinstance(values, int) else len(values)
    return {
        "changes/s": changes / used["s"],
        CPU: used["CPU s"] / changes * 1e6,
        "changes/s on one core": changes / used["CPU s"],
        "missed": 0 if isinstance(values, int) else _missed(values),
        "MB": used["MB"],
    }


def _missed(values: Sequence[Value]) -> int:
    """Every variable has the number of its change as its value. What the bare one misses it does not know."""
    missed = 0
    last: dict[str, int] = {}
    for name, value in values:
        assert isinstance(value, int)
        missed += value - last.get(name, value - 1) - 1
        last[name] = value
    return missed


def _signals(counters: int) -> str:
    """Of the line's TOML: a station for each counter, and a table of telemetry with the rest."""
    stations = [_station(at, f"Fast.V{at}") for at in range(counters)] or [_station(0, "Count.Total")]
    sampled = [f'v{at} = {{ node = "nsu={NAMESPACE};s=Fast.V{at}" }}\n' for at in range(counters, VARIABLES)]
    table = [_TABLE.format(every_ms=EVERY_MS), *sampled] if sampled else []
    return "".join([*stations, *table])


def _station(number: int, name: str) -> str:
    return _STATION.format(number=number, node=f"nsu={NAMESPACE};s={name}", every_ms=EVERY_MS)
