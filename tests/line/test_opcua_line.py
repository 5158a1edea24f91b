"""The whole way from a server that is not asyncua's: what it changes arrives once, in order."""

import asyncio
import resource
import shutil
import signal
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.line.opcua_rig import PART_MS, agent, begin, counted, made, protected
from tests.support.agent import Agent
from tests.support.node_opcua import NAMESPACE, SECURE, NodeServer, node_server

CHANGE_MS = 100


def table(variables: int) -> str:
    """`[telemetry.fast]` with `Fast.V0` and so on."""
    head = ["[telemetry.fast]", 'source = "press"', 'every = "50ms"']
    return "\n".join(
        [*head, *(f'v{i} = {{ node = "nsu={NAMESPACE};s=Fast.V{i}" }}' for i in range(variables))]
    )


def frames(running: Agent) -> Iterator[dict[str, Any]]:
    for one in running.events("telemetry"):
        yield from one["data"]["frames"]


def heard(running: Agent) -> dict[str, list[int]]:
    """Of every signal all values, in the order in which they are in the file."""
    found: dict[str, list[int]] = {}
    for frame in frames(running):
        for name, value in frame.get("values", {}).items():
            found.setdefault(name, []).append(value)
    return found


async def play(folder: Path, variables: int, ticks: int, server: NodeServer) -> None:
    async with agent(folder, server.port, protected(folder, server), table(variables)) as running:
        await running.until(lambda: len(heard(running)) == variables)
        await server.ask("run", on=True)
        await running.until(lambda: server.truth.tick >= ticks, ticks * CHANGE_MS / 1000 * 4 + 30)
        await server.ask("run", on=False)
        last = server.truth.tick
        await running.until(lambda: {seen[-1] for seen in heard(running).values()} == {last})
        assert await running.stop() == 0
        check(running, variables, last)


def check(running: Agent, variables: int, last: int) -> None:
    seen = heard(running)
    assert len(seen) == variables
    missing = {name: sorted(set(range(last + 1)) - set(values)) for name, values in seen.items()}
    assert not any(missing.values()), f"{sum(map(len, missing.values()))} values never came"
    assert all(values == list(range(last + 1)) for values in seen.values()), "twice, or out of order"
    for batch in running.events("telemetry"):
        times = [frame["at"] for frame in batch["data"]["frames"]]
        assert all(early < late for early, late in pairwise(times))
    assert running.events("loss") == []
    assert not any("lost" in one["data"] for one in running.events("telemetry"))


async def whole_way(folder: Path, variables: int, ticks: int, **more: int) -> None:
    options = {"variables": variables, "change_ms": CHANGE_MS, "exact": True, "run": False, **SECURE, **more}
    async with node_server(folder / "plc", **options) as server:
        await play(folder, variables, ticks, server)
        stats = await server.ask("stats")
        assert (stats["sessions_peak"], stats["session_requests"]) == (1, 1)


async def test_nothing_is_missed_of_a_hundred_variables_at_ten_changes_a_second(tmp_path: Path) -> None:
    await whole_way(tmp_path, variables=100, ticks=30)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_nothing_is_missed_of_a_thousand_variables_at_ten_changes_a_second(tmp_path: Path) -> None:
    await whole_way(tmp_path, variables=1_000, ticks=600)


@pytest.mark.long
async def test_what_the_servers_queues_lose_while_the_agent_stands_still_is_told_once(tmp_path: Path) -> None:
    options = {"variables": 20, "change_ms": CHANGE_MS, "exact": True, "run": False, **SECURE}
    async with node_server(tmp_path / "plc", **options) as server:
        keys = protected(tmp_path, server)
        async with agent(tmp_path, server.port, keys, table(20)) as running:
            await running.until(lambda: len(heard(running)) == 20)
            await server.ask("run", on=True)
            await running.until(lambda: min(len(seen) for seen in heard(running).values()) > 10)
            running.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(9.0)
            running.process.send_signal(signal.SIGCONT)
            await running.until(lambda: running.events("loss") != [])
            await server.ask("run", on=False)
            last = server.truth.tick
            await running.until(lambda: {max(seen) for seen in heard(running).values()} == {last})
            assert await running.stop() == 0
        (told,) = (one["data"] for one in running.events("loss"))
        assert (told["cause"], told["subject"]) == ("queue-overflow", "press")
        assert "20 signals" in told["detail"]
        assert 2_000 < told["until_ms"] - told["since_ms"] < 12_000
        for seen in heard(running).values():
            assert len(set(seen)) < last + 1


async def counted_by(folder: Path, ask: Callable[[NodeServer], Awaitable[object]], **options: Any) -> str:
    """Play parts on a server that is odd in some way; what is counted is what was made. Gives the log."""
    whole = {"part_ms": PART_MS, "run": False, **SECURE, **options}
    async with node_server(folder / "plc", **whole) as server:
        await ask(server)
        async with agent(folder, server.port, protected(folder, server)) as running:
            await begin(running, server)
            await running.until(lambda: server.truth.made > 60)
            await server.ask("run", on=False)
            await running.until(lambda: counted(folder) == made(server))
            assert await running.stop() == 0
            assert "Traceback" not in running.log, running.log
            return running.log


async def as_it_is(_server: NodeServer) -> None:
    """Nothing is asked of it."""


@pytest.mark.parametrize(
    "status", ["BadServiceUnsupported", pytest.param("BadTooManySubscriptions", marks=pytest.mark.long)]
)
async def test_a_server_without_subscriptions_is_polled_and_that_is_said_once(
    tmp_path: Path, status: str
) -> None:
    async def refuse(server: NodeServer) -> None:
        await server.ask("refuse", service="CreateSubscription", status=status)

    log = await counted_by(tmp_path, refuse)
    assert sum("reads at each signal's `every`" in one for one in log.splitlines()) == 1, log


async def test_a_server_that_watches_only_one_item_is_counted_all_the_same(tmp_path: Path) -> None:
    log = await counted_by(tmp_path, as_it_is, max_monitored_items=1)
    assert "unavailable" not in log, log


async def test_small_limits_and_short_tokens_lose_nothing(tmp_path: Path) -> None:
    """Requests of three nodes, and a secure channel that is renewed every second or so."""
    options = {"per_read": 3, "per_create": 2, "per_browse": 1, "token_ms": 1_500}
    await whole_way(tmp_path, variables=20, ticks=60, **options)


async def test_another_certificate_is_refused_until_it_is_trusted(tmp_path: Path) -> None:
    """A server of the same address with a new key: nobody is told the password before a person has agreed."""
    async with node_server(tmp_path / "plc", part_ms=PART_MS, run=False, **SECURE) as server:
        keys = protected(tmp_path, server)
        async with agent(tmp_path, server.port, keys) as running:
            await begin(running, server)
            shutil.rmtree(tmp_path / "plc/pki")
            await server.restart(run=True)
            await running.until(lambda: "lineside certificate trust" in running.log)
            assert (await server.ask("stats"))["session_requests"] == 0
            protected(tmp_path, server)
            await running.until(lambda: "press: back" in running.log)
            await server.ask("run", on=False)
            await running.until(lambda: counted(tmp_path) == made(server))
            assert running.log.count("lineside certificate trust") == 1, running.log


def rss(pid: int) -> int:
    """Bytes of a process in memory."""
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_flood_leaves_the_memory_flat(tmp_path: Path) -> None:
    """A thousand variables, fifty changes a second each: more than is asked for, and than a core can take."""
    options = {"variables": 1_000, "change_ms": 20, "exact": True, "run": False, **SECURE}
    async with node_server(tmp_path / "plc", **options) as server:
        keys, more = protected(tmp_path, server), table(1_000)
        async with agent(tmp_path, server.port, keys, more) as running:
            await running.until(lambda: len(heard(running)) == 1_000)
            await server.ask("run", on=True)
            await asyncio.sleep(30)
            before = rss(running.process.pid)
            await asyncio.sleep(60)
            assert rss(running.process.pid) - before < 20 * 2**20
            assert "unavailable" not in running.log, running.log
