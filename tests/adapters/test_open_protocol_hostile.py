"""Open Protocol against hostile controllers."""

import asyncio
import re
import socket
import struct
from datetime import timedelta

import pytest

from adapters import open_protocol
from edge.contract import (
    SourceLost,
)
from simulators.torque import message, result
from tests.adapters.open_protocol_support import HELLO, JOINT, STARTED, OnceIntake, lost, saying, settings


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([], "does not answer MID 0001; is this its Open Protocol port"),
        ([b"x" * 20_000], "more than 9999 bytes without an end; does it speak"),
        ([b"HTTP/1.1 400 Bad Request\r\n\0"], "does not answer MID 0001"),
        ([message(4, "000197")], "refuses the connection: error 97"),
        ([STARTED], "does not answer MID 0060"),
        (
            [STARTED, message(4, "006092")],
            "gives no results .MID 0060.: error 92, Open Protocol commands are",
        ),
        ([STARTED, *[message(4, "006097")] * 4], "no results of revision 4, 3, 2, 1; see `revision`"),
        ([STARTED, message(15) * 100], "talks without answering"),
        ([*HELLO], "has been silent for 0.5 s, asked whether it is there"),
        ([*HELLO[:2], b"0231006"], "does not answer MID 0080"),
    ],
)
async def test_what_a_controller_may_say_instead(answers: list[bytes], words: str) -> None:
    assert re.search(words, (await lost(saying(*answers))).reason)


async def test_a_subscription_that_exists_already_is_one() -> None:
    answers = [STARTED, message(4, "006009"), message(4, "008099"), message(9999)]
    assert "silent" in (await lost(saying(*answers))).reason


async def test_an_older_revision_is_asked_for_after_a_refusal() -> None:
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in (STARTED, message(4, "006097"), message(4, "006074"), *HELLO[1:]):
            heard.append(await reader.readuntil(b"\0"))
            writer.write(answer)

    await lost(talk)
    assert [one[4:11] for one in heard] == [b"0001001", b"0060004", b"0060003", b"0060002", b"0080001"]


async def test_a_controller_without_power_is_noticed_and_one_that_hangs_up_in_a_message_too() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(*HELLO)(reader, writer)
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.transport.abort()

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(*HELLO)(reader, writer)
        writer.write(result(JOINT, 1)[:100])
        await writer.drain()
        writer.close()

    assert "hung up; was it switched off" in (await lost(reset)).reason
    assert "hung up in the middle of a message" in (await lost(half)).reason


async def test_copies_that_crossed_the_acknowledgement_are_acknowledged_once() -> None:
    """The second MID 0062 would be taken for that of the next result."""
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(*HELLO)(reader, writer)
        writer.write(result(JOINT, 1) * 3)
        while True:
            heard.append((await reader.readuntil(b"\0"))[4:8])
            writer.write(message(9999) if heard[-1] == b"9999" else b"")
            if heard.count(b"9999") == 2:
                return

    intake = OnceIntake()
    await lost(talk, intake)
    assert len(intake.seen) == 3
    assert heard.count(b"0062") == 1


async def test_a_clock_that_says_nonsense_is_not_believed() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(STARTED, message(5, "0060"), message(81, "2026-99-99:00:00:00"))(reader, writer)
        writer.write(result(JOINT, 1))

    intake = OnceIntake()
    await lost(talk, intake)
    assert intake.seen[0].at_ms == intake.seen[0].seen_ms


async def test_a_clock_that_was_set_between_is_asked_again() -> None:
    """The summer time ended after the connection: a result of now would look an hour old."""
    after = JOINT.at + timedelta(hours=1)
    clocks = [
        message(81, after.strftime("%Y-%m-%d:%H:%M:%S")),
        message(81, JOINT.at.strftime("%Y-%m-%d:%H:%M:%S")),
    ]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(STARTED, message(5, "0060"), clocks[0])(reader, writer)
        writer.write(result(JOINT, 1))
        assert (await reader.readuntil(b"\0"))[4:8] == b"0080"
        writer.write(clocks[1])

    intake = OnceIntake()
    await lost(talk, intake)
    assert intake.seen[0].at_ms == intake.seen[0].seen_ms


async def test_nobody_there(unused_tcp_port: int) -> None:
    with pytest.raises(SourceLost, match="refuses the connection; is Open Protocol switched on"):
        await open_protocol.collect(settings(unused_tcp_port), [], OnceIntake())
