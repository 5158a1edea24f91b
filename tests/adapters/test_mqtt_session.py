"""What outlives a connection of the mqtt sink: its session, its mark, its turn among several brokers."""

import asyncio

import pytest

from edge.contract import Mark, Sink, SinkLost
from tests.adapters import mqtt_session_support
from tests.adapters.mqtt_far_end import PUBLISH, Packet, Talk, played
from tests.adapters.mqtt_session_support import opened, table
from tests.adapters.mqtt_support import ROOT
from tests.support.proxy import Proxy
from tests.support.records import count, record
from tests.support.servers import FarEnd, free_port, heard, session

broker = mqtt_session_support.broker


# --- the session ------------------------------------------------------------------------------------


async def test_what_was_not_confirmed_goes_again_as_the_repeat_it_is() -> None:
    connects: list[Packet] = []
    seen: list[Packet] = []

    async def breaks(talk: Talk) -> None:
        connects.append(await talk.accept())
        sent = [await talk.read() for _ in range(5)]
        talk.confirm(sent[1])
        seen.extend(sent)

    async def goes_on(talk: Talk) -> None:
        connects.append(await talk.accept(present=True))
        while (packet := await talk.read()).kind == PUBLISH:
            seen.append(packet)
            talk.confirm(packet)

    async with played(breaks, goes_on) as port:
        settings = table(port)
        events = [count(seq) for seq in range(5)]
        async with opened(settings) as sink:
            assert list((await sink.write(events)).acknowledged) == [1]
        async with opened(settings) as sink:
            late = record(9, "count", {})
            receipt = await sink.write([late, *(events[seq] for seq in (0, 2, 3, 4))])
            assert sorted(receipt.acknowledged) == [0, 2, 3, 4, 9]
    assert [one.clean for one in connects] == [True, False]
    first, again, (new, *_) = seen[:5], seen[5:9], seen[9:]
    assert [one.mid for one in again] == [first[n].mid for n in (0, 2, 3, 4)]
    assert [one.body for one in again] == [first[n].body for n in (0, 2, 3, 4)]
    assert all(one.again for one in again)
    assert not any(one.again for one in (*first, new))
    assert new.mid not in {one.mid for one in first}


async def test_an_answer_that_came_before_it_was_asked_for_is_kept() -> None:
    """The broker confirms the repeats at once; delivery asks for them when it has shown the states."""

    async def breaks(talk: Talk) -> None:
        await talk.accept()
        await talk.read()

    events = [count(1)]
    bodies: list[bytes] = []

    async def goes_on(talk: Talk) -> None:
        await talk.accept(present=True)
        while (packet := await talk.read()).kind == PUBLISH:
            bodies.append(packet.body)
            talk.confirm(packet)

    async with played(breaks, goes_on) as port:
        settings = table(port)
        async with opened(settings) as sink:
            with pytest.raises(SinkLost):
                await sink.write(events)
        async with opened(settings) as sink:
            await sink.show({"/health": b"{}"})
            assert list((await sink.write(events)).acknowledged) == [1]
    assert len([body for body in bodies if body.endswith(events[0].json)]) == 1


async def test_an_event_that_has_changed_meanwhile_is_sent_as_it_is_now() -> None:
    async def breaks(talk: Talk) -> None:
        await talk.accept()
        await talk.read()

    bodies: list[bytes] = []

    async def goes_on(talk: Talk) -> None:
        await talk.accept(present=True)
        while (packet := await talk.read()).kind == PUBLISH:
            bodies.append(packet.body)
            talk.confirm(packet)

    async with played(breaks, goes_on) as port:
        settings = table(port)
        before = count(1)
        after = count(1, context={})
        async with opened(settings) as sink:
            with pytest.raises(SinkLost):
                await sink.write([before])
        async with opened(settings) as sink:
            assert list((await sink.write([after])).acknowledged) == [1]
    assert bodies[0].endswith(before.json)
    assert bodies[1].endswith(after.json)


async def test_a_session_that_the_broker_has_lost_is_not_gone_on_with() -> None:
    again: list[bool] = []

    async def breaks(talk: Talk) -> None:
        await talk.accept()
        await talk.read()

    async def forgot(talk: Talk) -> None:
        await talk.accept(present=False)
        while (packet := await talk.read()).kind == PUBLISH:
            again.append(packet.again)
            talk.confirm(packet)

    async with played(breaks, forgot) as port:
        settings = table(port)
        async with opened(settings) as sink:
            with pytest.raises(SinkLost):
                await sink.write([count(1)])
        async with opened(settings) as sink:
            assert list((await sink.write([count(1)])).acknowledged) == [1]
    assert again == [False, False]  # the event, and the goodbye


async def test_a_broken_connection_to_a_real_broker_is_gone_on_with(broker: FarEnd) -> None:
    collected = await session(broker.port, "test", f"{ROOT}/press/#")
    async with Proxy(broker.port) as proxy:
        settings = table(proxy.port, timeout="1s")
        async with opened(settings) as sink:
            await sink.write([count(0)])
            proxy.stall()
            with pytest.raises(SinkLost):
                await sink.write([count(seq) for seq in range(1, 40)])
        proxy.cut()
        async with opened(settings) as sink:
            receipt = await sink.write([count(seq) for seq in range(1, 40)])
            assert sorted(receipt.acknowledged) == list(range(1, 40))
    got = [one.json["seq"] for one in await heard(broker.port, "#", 40, *collected)]
    assert set(got) == set(range(40))


async def test_the_session_of_an_agent_that_stopped_in_order_is_gone(broker: FarEnd) -> None:
    for _ in range(2):
        async with opened(table(broker.port)) as sink:
            await sink.write([count(1)])
    (clients,) = await heard(broker.port, "$SYS/broker/clients/disconnected", 1)
    assert clients.payload == b"0"


# --- an idle connection, and several brokers --------------------------------------------------------


async def idle(sink: Sink) -> None:
    """As delivery does it while nothing happens, only more often."""
    while True:
        await sink.mark(Mark(1, "k3f9-1"))
        await asyncio.sleep(0.05)


async def test_an_idle_agent_notices_a_broker_that_stalls(broker: FarEnd) -> None:
    async with opened(table(broker.port, keepalive="1s", timeout="300ms")) as sink:
        await sink.mark(Mark(1, "k3f9-1"))
        broker.stall()
        async with asyncio.timeout(5):
            with pytest.raises(SinkLost, match=r"answered no ping for 0\.3 s"):
                await idle(sink)


async def test_an_idle_agent_notices_a_broker_that_was_killed(broker: FarEnd) -> None:
    async with opened(table(broker.port)) as sink:
        await sink.mark(Mark(1, "k3f9-1"))
        broker.kill()
        async with asyncio.timeout(5):
            with pytest.raises(SinkLost, match="broke"):
                await idle(sink)


async def test_a_broker_that_greets_and_confirms_nothing_is_tried_last(broker: FarEnd) -> None:
    """As a node of a cluster that has lost its quorum."""
    greeted = 0

    async def half_dead(talk: Talk) -> None:
        nonlocal greeted
        await talk.accept()
        greeted += 1
        while True:
            await talk.read()

    async with played(half_dead) as port:
        brokers = [f"mqtt://127.0.0.1:{port}", f"mqtt://127.0.0.1:{broker.port}"]
        settings = table(0, broker=brokers, timeout="300ms")
        async with opened(settings) as sink:
            with pytest.raises(SinkLost, match="confirmed nothing"):
                await sink.write([count(1)])
        for _ in range(2):
            async with opened(settings) as sink:
                assert list((await sink.write([count(1)])).acknowledged) == [1]
    assert greeted == 1


async def test_after_a_break_the_broker_that_served_is_tried_first(broker: FarEnd) -> None:
    settings = table(0, broker=[f"mqtt://127.0.0.1:{free_port()}", f"mqtt://127.0.0.1:{broker.port}"])
    async with opened(settings) as sink:
        await sink.write([count(1)])
        broker.kill()
        with pytest.raises(SinkLost):
            await sink.write([count(2)])
    await broker.start()
    assert settings._memory.session.turn == 1
    async with opened(settings) as sink:
        assert list((await sink.write([count(2)])).acknowledged) == [2]
