"""Far ends that are no broker: what they answer is said, and nothing is believed."""

import asyncio
import ssl
import struct
from pathlib import Path

import pytest

from edge.contract import SinkError, SinkLost, SinkRefused
from tests.adapters import mqtt_support
from tests.adapters.mqtt_support import CONNACK, far_end, open_sink
from tests.support.records import count
from tests.support.servers import (
    certificates,
)

broker = mqtt_support.broker


async def test_packets_that_share_a_tls_record_are_all_read(tmp_path: Path) -> None:
    certificates(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "srv.crt", tmp_path / "srv.key")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(CONNACK)
        await reader.read(1000)
        writer.write(b"\x40\x02\x00\x01" + bytes([0xE0, 2, 0x8B, 0]))
        while await reader.read(1000):
            pass

    own = {"ca": str(tmp_path / "ca.crt"), "timeout": "2s", "in_flight": 1}
    async with far_end(talk, tls) as port, open_sink(0, broker=f"mqtts://localhost:{port}", **own) as sink:
        assert list((await sink.write([count(1)])).acknowledged) == [1]
        with pytest.raises(SinkLost, match="Server shutting down"):
            async with asyncio.timeout(1):
                await sink.write([count(2)])


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [(0x8E, SinkRefused, "give each agent its own"), (0x8B, SinkLost, "Server shutting down")],
)
async def test_a_broker_that_says_why_it_hangs_up_is_quoted(
    code: int, kind: type[SinkError], words: str
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(CONNACK)
        await reader.read(1000)
        writer.write(bytes([0xE0, 2, code, 0]))

    async with far_end(talk) as port, open_sink(port) as sink:
        with pytest.raises(kind, match=words):
            await sink.write([count(1)])


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\xff\xff\xff\xff\xff", b"\x20\x00",
        bytes([0x20, 3, 0, 0x42, 0]),
    ],
)  # fmt: skip
async def test_a_far_end_that_is_no_broker_is_told_apart(answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(answer)
        await writer.drain()

    async with far_end(talk) as port:
        with pytest.raises(SinkLost, match="before it accepted it"):
            async with asyncio.timeout(3), open_sink(port):
                pass


async def test_a_packet_of_200_mb_is_not_collected() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(CONNACK + bytes([0x30, 0xFF, 0xFF, 0xFF, 0x5F]))
        while True:
            writer.write(bytes(100_000))
            await writer.drain()

    async with far_end(talk) as port, asyncio.timeout(3), open_sink(port) as sink:
        with pytest.raises(SinkLost, match="no broker sends"):
            await sink.write([count(1)])


async def test_the_limits_of_the_broker_are_kept() -> None:
    seen: list[int] = []
    crowd = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        # Receive Maximum 2.
        writer.write(bytes([0x20, 6, 0, 0, 3, 0x21, 0, 2]))
        waiting: list[bytes] = []
        async with asyncio.timeout(5):
            while len(seen) < 6:
                head = await reader.readexactly(2)
                length = head[1] & 0x7F
                if head[1] & 0x80:
                    length |= (await reader.readexactly(1))[0] << 7
                body = await reader.readexactly(length)
                topic = struct.unpack("!H", body[:2])[0]
                waiting.append(body[2 + topic : 4 + topic])
                seen.append(len(waiting))
                if len(waiting) == 2:
                    writer.write(b"".join(b"\x40\x02" + mid for mid in waiting))
                    waiting.clear()
        await crowd.wait()

    async with far_end(talk) as port, open_sink(port, timeout="1s") as sink:
        receipt = await sink.write([count(seq) for seq in range(6)])
        crowd.set()
    assert list(receipt.acknowledged) == list(range(6))
    assert seen == [1, 2, 1, 2, 1, 2]


async def test_a_broker_without_qos_1_is_refused() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(bytes([0x20, 5, 0, 0, 2, 0x24, 0]))
        await reader.read(1000)

    async with far_end(talk) as port:
        with pytest.raises(SinkRefused, match="confirms no message"):
            async with open_sink(port):
                pass
