"""An OPC UA server that is killed, stalled, cut off and changed at any instant: each part counts once."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from tests.line.opcua_rig import (
    BACK_WITHIN_S,
    FAULTS,
    PART_MS,
    SLOW,
    TOLD_WITHIN_S,
    Fault,
    Rig,
    agent,
    begin,
    counted,
    killed,
    made,
    protected,
    reached,
    stalled,
    swallowed,
)
from tests.support.black_hole import BlackHole
from tests.support.node_opcua import SECURE, node_server

LONGEST_S, LONGEST_IN_CI_S = 4.0, 2.0
"""Of an outage at random."""


def soaked(faults: Iterable[Fault]) -> list[ParameterSet]:
    """Those that belong to the long runs."""
    return [pytest.param(one, marks=pytest.mark.long) for one in faults]


@asynccontextmanager
async def rig(folder: Path, **options: Any) -> AsyncIterator[Rig]:
    """A plant with a part every 50 ms behind a network that can fail, and its agent."""
    whole = {"part_ms": PART_MS, "run": False, **SECURE, **options}
    async with node_server(folder / "plc", **whole) as server, BlackHole(server.port) as hole:
        keys = protected(folder, server)
        async with agent(folder, hole.port, keys) as running:
            await begin(running, server)
            server.options["run"] = True
            yield Rig(folder, running, server, hole)
            assert await running.stop() == 0


async def play(one: Rig, faults: Sequence[Fault], dice: random.Random, longest_s: float = LONGEST_S) -> None:
    for fault in faults:
        await asyncio.sleep(dice.uniform(0.0, 1.0))
        await one.outage(fault, dice.uniform(0.0, longest_s))
    await one.settle()


@pytest.mark.timeout(300)
async def test_every_fault_once_and_every_part_is_counted_once(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        await play(one, FAULTS, random.Random(1), LONGEST_IN_CI_S)
        assert max(one.sessions) == 1


@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", [swallowed, *soaked((killed, stalled))])
async def test_a_loss_is_said_soon_and_ends_soon_where_one_session_is_allowed(
    tmp_path: Path, fault: Fault
) -> None:
    async with rig(tmp_path, max_sessions=1) as one:
        assert await one.told(fault, 12.0) < TOLD_WITHIN_S
        assert one.back_s[-1] < BACK_WITHIN_S
        await one.settle()
        assert max(one.sessions) == 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", soaked(SLOW))
async def test_what_answers_late_or_comes_back_is_counted(tmp_path: Path, fault: Fault) -> None:
    async with rig(tmp_path) as one:
        await one.outage(fault, 8.0)
        await one.settle()


@pytest.mark.timeout(300)
async def test_an_agent_that_is_killed_finds_its_way_back_to_the_only_session(tmp_path: Path) -> None:
    options = {"part_ms": PART_MS, "run": False, "max_sessions": 1, "first": 2**32 - 60, **SECURE}
    async with node_server(tmp_path / "plc", **options) as server:
        keys = protected(tmp_path, server)
        async with agent(tmp_path, server.port, keys) as running:
            await begin(running, server)
            await running.until(lambda: counted(tmp_path)[0] > 20)
            running.process.kill()
            await running.process.wait()
        async with agent(tmp_path, server.port, keys) as running:
            began_s, wanted = time.monotonic(), made(server)
            await running.until(lambda: reached(counted(tmp_path), wanted))
            assert time.monotonic() - began_s < BACK_WITHIN_S
            await server.ask("run", on=False)
            await running.until(lambda: counted(tmp_path) == made(server))


@pytest.mark.long
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("seed", range(4))
async def test_twenty_faults_at_random(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    async with rig(tmp_path, max_sessions=dice.choice((1, 10))) as one:
        await play(one, dice.choices(FAULTS, k=20), dice)
        assert max(one.sessions) == 1
