"""The press as a process, read by asyncua's client."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.node import Node
from asyncua.ua.uaerrors import BadUserAccessDenied

from simulators.launch import simulator
from simulators.opcua_press import NAMESPACE
from simulators.records import Made, read_truth


async def nodes(client: Client, *names: str) -> list[Node]:
    index = await client.get_namespace_index(NAMESPACE)
    return [client.get_node(ua.NodeId(name, index)) for name in names]  # type: ignore[arg-type]


async def test_it_begins_stopped_and_shows_its_nodes(tmp_path: Path) -> None:
    async with (
        simulator("opcua_press", "--first-total", "70000") as press,
        Client(press.where.endpoint) as client,
    ):
        found = await nodes(client, "Count.Total", "Count.Reject", "State", "Temperature")
        assert [await node.read_data_type_as_variant_type() for node in found] == [
            ua.VariantType.UInt32, ua.VariantType.UInt32, ua.VariantType.Int32, ua.VariantType.Double,
        ]  # fmt: skip
        total, reject, state, temperature = await client.read_values(found)
        assert (total, reject, state) == (70_000, 0, 2)
        assert 150 < temperature < 210
        await press.do("start")
        assert await found[2].read_value() == 6
        await press.do("stop")
        assert await found[2].read_value() == 2


async def test_both_counters_show_a_part_at_once_and_within_the_truths_window(tmp_path: Path) -> None:
    truth = tmp_path / "press.truth"
    readings = []
    async with (
        simulator("opcua_press", "--cycle", "0.004", "--scrap", "0.3", "--truth", str(truth)) as press,
        Client(press.where.endpoint) as client,
    ):
        counts = await nodes(client, "Count.Total", "Count.Reject")
        await press.do("start")
        until_s = time.monotonic() + 1.5
        while time.monotonic() < until_s:
            asked_ms = time.time() * 1000
            total, reject = await client.read_values(counts)
            readings.append((asked_ms, total, reject, time.time() * 1000))
        await press.do("stop")
        last = await client.read_values(counts)
    parts = read_truth(truth, Made)
    rejects = [0]
    for part in parts:
        rejects.append(rejects[-1] + (not part.good))
    assert last == [len(parts), rejects[-1]]
    assert len({total for _, total, _, _ in readings}) > 50
    for asked_ms, total, reject, answered_ms in readings:
        assert reject == rejects[total]
        assert sum(part.to_ms < asked_ms for part in parts) <= total
        assert total <= sum(part.from_ms <= answered_ms for part in parts)


async def test_twenty_parts_a_second_reach_a_subscription_one_by_one(tmp_path: Path) -> None:
    truth = tmp_path / "press.truth"
    async with (
        simulator("opcua_press", "--cycle", "0.05", "--truth", str(truth)) as press,
        Client(press.where.endpoint) as client,
    ):
        seen: list[tuple[int, datetime]] = []
        complete = asyncio.Event()

        class Handler:
            def datachange_notification(self, node: Node, value: int, data: object) -> None:
                seen.append((value, data.monitored_item.Value.SourceTimestamp))  # type: ignore[attr-defined]
                if value >= 30:
                    complete.set()

        subscription = await client.create_subscription(50, Handler())
        (total,) = await nodes(client, "Count.Total")
        await subscription.subscribe_data_change(total, queuesize=100)
        await press.do("start")
        begun_s = time.monotonic()
        await asyncio.wait_for(complete.wait(), 10)
        assert 1.2 < time.monotonic() - begun_s < 5
        await press.do("stop")
        await subscription.delete()
    made = {part.n: part for part in read_truth(truth, Made)}
    assert [value for value, _ in seen] == list(range(len(seen)))
    for value, at in seen[1:]:
        at_ms = at.replace(tzinfo=UTC).timestamp() * 1000
        assert made[value].from_ms - 0.01 <= at_ms <= made[value].to_ms + 0.01


async def test_sixteen_bits_roll_over_and_a_reset_zeroes(tmp_path: Path) -> None:
    first = ("--bits", "16", "--first-total", "65533", "--cycle", "0.02", "--scrap", "0")
    truth = tmp_path / "press.truth"
    async with (
        simulator("opcua_press", *first, "--truth", str(truth), "--running") as press,
        Client(press.where.endpoint) as client,
    ):
        (total,) = await nodes(client, "Count.Total")
        assert await total.read_data_type_as_variant_type() is ua.VariantType.UInt16
        while await total.read_value() > 60_000:
            await asyncio.sleep(0.01)
        await press.do("stop")
        assert await total.read_value() == (65_533 + len(read_truth(truth, Made))) % 65_536
        await press.do("reset")
        assert await total.read_value() == 0


async def test_a_client_cannot_write_and_needs_no_password(tmp_path: Path) -> None:
    async with simulator("opcua_press") as press, Client(press.where.endpoint) as client:
        endpoints = await client.get_endpoints()
        assert [one.SecurityMode for one in endpoints] == [ua.MessageSecurityMode.None_]
        assert [one.EndpointUrl for one in endpoints] == [press.where.endpoint]
        (total,) = await nodes(client, "Count.Total")
        with pytest.raises(BadUserAccessDenied):
            await total.write_value(ua.DataValue(ua.Variant(5, ua.VariantType.UInt32)))
        assert await total.read_value() == 0
