"""How long an answer is waited for: each request has its own limit, though one timer serves them all."""

import asyncio
from time import monotonic

import pytest

from adapters._modbus.units import Manner
from adapters._modbus.wire import NoAnswer
from tests.adapters.modbus_talk import block, cells, honest_pdu, host, linked, tcp, tcp_answer

SILENT, SLOW, SLOW_S = 500, 600, 0.3
"""Registers: one that is never answered, and one that takes its time."""


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while asked := await reader.readexactly(12):
        start = int.from_bytes(asked[8:10], "big")
        if start == SLOW:
            await asyncio.sleep(SLOW_S)
        if start != SILENT:
            writer.write(tcp_answer(asked, honest_pdu(asked[7:])))


async def test_a_shorter_limit_holds_after_a_longer_one() -> None:
    async with host(_talk) as port, linked(tcp(port), timeout_s=30.0) as link:
        assert cells(await link.read(block(10))) == [1010]
        link.manner = lambda unit: Manner(0.1, 0.1, 0.0, None)
        began = monotonic()
        with pytest.raises(NoAnswer):
            await link.read(block(SILENT))
        assert 0.09 < monotonic() - began < 5.0


async def test_a_longer_limit_holds_after_a_shorter_one() -> None:
    async with host(_talk) as port, linked(tcp(port), timeout_s=SLOW_S / 3) as link:
        assert cells(await link.read(block(10))) == [1010]
        link.manner = lambda unit: Manner(3.0, 0.1, 0.0, None)
        assert cells(await link.read(block(SLOW))) == [1000 + SLOW]
        link.manner = lambda unit: Manner(SLOW_S / 3, 0.1, 0.0, None)
        with pytest.raises(NoAnswer):
            await link.read(block(SLOW))


async def test_a_limit_holds_on_a_link_that_was_closed_and_opened_again() -> None:
    async with host(_talk) as port, linked(tcp(port), timeout_s=0.2) as link:
        assert cells(await link.read(block(10))) == [1010]
        link.close()
        await link.open()
        assert cells(await link.read(block(10))) == [1010]
        async with asyncio.timeout(10):
            with pytest.raises(NoAnswer):
                await link.read(block(SILENT))
