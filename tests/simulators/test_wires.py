"""What simulated devices put on the wire, and what goes wrong there, seen by a host of few words over TCP."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from functools import reduce
from operator import xor
from pathlib import Path

import pytest
import serial

from simulators.faults import NOISE, due
from simulators.launch import Running, simulator
from simulators.records import (
    ResultAcked,
    Scan,
    Tightened,
    TighteningAcked,
    Weighed,
    read_results,
    read_tightenings,
    read_truth,
)

STX, ETX, EOT, ENQ, ACK, NAK = b"\x02", b"\x03", b"\x04", b"\x05", b"\x06", b"\x15"
WAIT_S = 10.0


class Host:
    """A connection with limits of time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def until(self, end: bytes) -> bytes:
        return await asyncio.wait_for(self._reader.readuntil(end), WAIT_S)

    async def exactly(self, size: int) -> bytes:
        return await asyncio.wait_for(self._reader.readexactly(size), WAIT_S)

    def say(self, data: bytes) -> None:
        self._writer.write(data)


@contextlib.asynccontextmanager
async def host_of(device: Running) -> AsyncIterator[Host]:
    reader, writer = await asyncio.open_connection(device.where.host, device.where.port)
    try:
        yield Host(reader, writer)
    finally:
        writer.transport.abort()


@contextlib.asynccontextmanager
async def listening(received: list[bytes]) -> AsyncIterator[int]:
    """A host that is called, and acknowledges every chunk."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                received.append(data)
                writer.write(ACK)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def quick(truth: Path) -> tuple[str, ...]:
    return (
        "--cycle",
        "0.01",
        "--patience",
        "1",
        "--cut-pause",
        "0.02",
        "--away",
        "0.1",
        "--truth",
        str(truth),
    )


async def taken(truth: Path, number: int) -> list[ResultAcked]:
    async with asyncio.timeout(WAIT_S):
        while True:
            lines = read_results(truth) if truth.exists() else []
            found = [one for one in lines if isinstance(one, ResultAcked)]
            if len(found) >= number:
                return found
            await asyncio.sleep(0.01)


# --- the rig's frames -----------------------------------------------------------------------


async def frame(host: Host) -> bytes:
    """The text of STX text ETX LRC, whose sum is right."""
    raw = await host.until(ETX)
    body = raw[raw.rindex(STX) + 1 :]
    assert await host.exactly(1) == bytes([reduce(xor, body)])
    return body[:-1]


async def test_a_frame_with_stx_and_lrc(tmp_path: Path) -> None:
    truth = tmp_path / "truth"
    options = ("--tcp", "0", "--frame", "stx", "--text", "json", *quick(truth))
    async with simulator("testrig", *options) as rig, host_of(rig) as host:
        await rig.do("start")
        first = json.loads(await frame(host))
        host.say(NAK)
        assert json.loads(await frame(host)) == first
        host.say(ACK)
        second = json.loads(await frame(host))
        host.say(ACK)
        acked = await taken(truth, 2)
    assert [first["number"], second["number"]] == [1, 2]
    assert (first["unit"], first["result"]) == ("U-0001", "PASS")
    assert [one.tries for one in acked[:2]] == [2, 1]


async def test_a_rig_that_asks_before_it_sends(tmp_path: Path) -> None:
    truth = tmp_path / "truth"
    options = ("--tcp", "0", "--frame", "enq", "--text", "csv", *quick(truth))
    async with simulator("testrig", *options) as rig, host_of(rig) as host:
        await rig.do("start")
        for number in (1, 2):
            assert await host.exactly(1) == ENQ
            host.say(ACK)
            fields = (await frame(host)).decode().split(";")
            assert (fields[0], fields[3], len(fields)) == (f"U-000{number}", str(number), 9)
            host.say(ACK)
            assert await host.exactly(1) == EOT
        assert [one.number for one in (await taken(truth, 2))[:2]] == [1, 2]


async def test_a_rig_that_calls(tmp_path: Path) -> None:
    received: list[bytes] = []
    async with listening(received) as port:
        options = ("--call", str(port), *quick(tmp_path / "truth"))
        async with simulator("testrig", *options) as rig:
            await rig.do("start")
            await taken(tmp_path / "truth", 3)
    assert b"".join(received).count(b"\r\n") >= 3


def test_a_fault_is_due_every_nth_time() -> None:
    assert [number for number in range(1, 10) if due(3, number)] == [3, 6, 9]
    assert not any(due(0, number) for number in range(1, 10))


@pytest.mark.parametrize(
    ("fault", "before"),
    [
        ("--noise", [NOISE]), ("--merge", [b"U-0002", b"U-0002"]),
        ("--wrong-sum", [b"U-0002"]), ("--cut", [b"unit=U-0002"]),
    ],
)  # fmt: skip
async def test_what_goes_wrong_comes_before_the_whole_result(
    fault: str, before: list[bytes], tmp_path: Path
) -> None:
    """The host takes what is right, and refuses all else."""
    truth, refused = tmp_path / "truth", b""
    async with (
        simulator("testrig", "--tcp", "0", fault, "2", *quick(truth)) as rig,
        host_of(rig) as host,
    ):
        await rig.do("start")
        right = 0
        while right < 3:
            raw = await host.until(b"\r\n")
            text, _, total = raw.removesuffix(b"\r\n").rpartition(b"*")
            good = text.startswith(b"unit=") and b"*" not in text and total == b"%02X" % reduce(xor, text)
            right += good
            refused += b"" if good else raw
            host.say(ACK if good else NAK)
        assert [one.number for one in (await taken(truth, 3))[:3]] == [1, 2, 3]
    for one in before:
        assert one in refused
        refused = refused.replace(one, b"", 1)


async def test_one_that_is_sent_twice_and_one_whose_plug_is_pulled(tmp_path: Path) -> None:
    options = ("--tcp", "0", "--double", "1", "--hang-up", "2", *quick(tmp_path / "truth"))
    async with simulator("testrig", *options) as rig:
        async with host_of(rig) as host:
            await rig.do("start")
            assert await host.until(b"\r\n") == await host.until(b"\r\n")
            host.say(ACK)
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await host.until(b"\r\n")
            assert b"unit=U-0002".startswith(caught.value.partial[:11])
        await asyncio.sleep(0.15)  # as long as the plug is out
        async with host_of(rig) as host:
            assert b"unit=U-0002" in await host.until(b"\r\n")


# --- the gun --------------------------------------------------------------------------------


async def test_a_gun_with_answers_of_its_own_and_a_prefix() -> None:
    options = ("--tcp", "0", "--begin", r"\x02", "--end", r"\x03", "--confirm", "YES", "--duplicate", "AGAIN")
    async with simulator("scanner", *options) as gun, host_of(gun) as host:
        for answer, meaning in ((b"YES", "confirmed"), (b"AGAIN", "duplicate"), (NAK, "refused")):
            scanning = asyncio.ensure_future(gun.scan("$E1"))
            assert await host.until(ETX) == b"\x02$E1\x03"
            host.say(answer)
            assert (await scanning).answer == meaning


@pytest.mark.parametrize(
    ("command", "sent", "said"),
    [
        ("cut $E4711X", b"$E47", "$E47"), ("merge $E4711X $JWO-1", b"$E4711X$JWO-1\r", "$E4711X$JWO-1"),
        ("noise $E4711X", NOISE + b"$E4711X\r", "$E4711X"), ("double $E1", b"$E1\r$E1\r", "$E1"),
    ],
)  # fmt: skip
async def test_what_goes_wrong_at_a_gun(command: str, sent: bytes, said: str, tmp_path: Path) -> None:
    truth, (verb, _, label) = tmp_path / "truth", command.partition(" ")
    options = ("--tcp", "0", "--truth", str(truth), "--patience", "5")
    async with simulator("scanner", *options) as gun, host_of(gun) as host:
        scanning = asyncio.ensure_future(gun.scan(label, verb))
        assert await host.exactly(len(sent)) == sent
        host.say(ACK + NAK if command.startswith("double") else NAK)
        scan = await scanning
    assert (scan.scan, scan.answer) == (said, "refused")
    assert read_truth(truth, Scan) == [scan]


async def test_a_gun_is_unplugged_in_the_middle_and_comes_back_under_its_name(tmp_path: Path) -> None:
    link = tmp_path / "gun"
    async with simulator("scanner", "--link", str(link), "--away", "0.1") as gun:
        with serial.Serial(str(link), timeout=5) as port:
            before = os.readlink(link)
            scan = await gun.scan("$E4711X", "hang-up")
            assert (scan.scan, scan.answer) == ("$E47", "none")
            with pytest.raises(serial.SerialException):
                port.read(99)
        assert os.readlink(link)
        with serial.Serial(str(link), timeout=5) as port:
            scanning = asyncio.ensure_future(gun.scan("$E1"))
            assert await asyncio.to_thread(port.read_until, b"\r") == b"$E1\r"
            port.write(ACK)
            assert (await scanning).answer == "confirmed"
    assert before.startswith("/dev/pts/")


# --- the scale ------------------------------------------------------------------------------


async def test_a_scale_answers_what_it_is_asked(tmp_path: Path) -> None:
    truth = tmp_path / "truth"
    options = ("--tcp", "0", "--settle", "0.2", "--patience", "2", "--truth", str(truth))
    async with simulator("scale", *options) as scale, host_of(scale) as host:
        host.say(b"S\r\n")
        assert await host.until(b"\r\n") == b"S S       0.00 g\r\n"
        await scale.do("put 12.34")
        host.say(b"SI\r\n")
        assert (await host.until(b"\r\n")).startswith(b"S D ")
        host.say(b"S\r\nQ\r\n")
        assert await host.until(b"\r\n") == b"S S      12.34 g\r\n"
        assert await host.until(b"\r\n") == b"ES\r\n"
        await scale.do("put 99999")
        host.say(b"SI\r\n")
        assert await host.until(b"\r\n") == b"S +\r\n"
        await scale.do("take")
    assert [one.weight for one in read_truth(truth, Weighed)] == [12.34]


async def test_a_scale_says_its_weight_when_it_rests_and_not_when_it_is_empty() -> None:
    options = ("--tcp", "0", "--settle", "0.02", "--push", "--double", "2", "--cut", "3")
    async with simulator("scale", *options) as scale, host_of(scale) as host:
        await scale.do("put 5")
        assert await host.until(b"\r\n") == b"S S       5.00 g\r\n"
        await scale.do("take")
        await asyncio.sleep(0.1)  # it rests, and says nothing
        await scale.do("put 6")
        assert await host.until(b"\r\n") == b"S S       6.00 g\r\n"
        assert await host.until(b"\r\n") == b"S S       6.00 g\r\n"
        await scale.do("put 7")
        assert await host.exactly(8) == b"S S     "


async def test_a_scale_that_never_stops_talking() -> None:
    options = ("--tcp", "0", "--stream", "0.02", "--settle", "0.1")
    async with simulator("scale", *options) as scale, host_of(scale) as host:
        await scale.do("put 5")
        said = [await host.until(b"\r\n") for _ in range(15)]
    assert {one[:3] for one in said} == {b"S D", b"S S"}


# --- the tightening controller --------------------------------------------------------------


async def test_a_controller_repeats_a_result_until_it_is_acknowledged_and_hangs_up(tmp_path: Path) -> None:
    truth = tmp_path / "truth"
    options = ("--cycle", "0.01", "--patience", "0.1", "--truth", str(truth))
    async with simulator("torque", *options) as torque:
        await torque.do("start")
        for tries in (3, 1):
            async with host_of(torque) as host:
                host.say(b"00200001001         \x0000200060001         \0")
                assert (await host.until(b"\0"))[4:8] == b"0002"
                assert await host.until(b"\0") == b"00240005001         0060\0"
                copies = [await host.until(b"\0") for _ in range(tries)]
                assert len(set(copies)) == 1
                assert copies[0][:8] == b"02310061"
                if tries == 3:
                    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                        await host.until(b"\0")
                else:
                    host.say(b"00200062001         \0")
                    await home(truth)
    first = next(one for one in read_tightenings(truth) if isinstance(one, TighteningAcked))
    assert (first.number, first.tries) == (1, 4)
    joints = [one for one in read_tightenings(truth) if isinstance(one, Tightened)]
    assert (joints[0].unit, joints[0].ok) == ("U-0001", 18 <= joints[0].torque_nm <= 22)


async def home(truth: Path) -> None:
    async with asyncio.timeout(WAIT_S):
        while not any(isinstance(one, TighteningAcked) for one in read_tightenings(truth)):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"00200060001         \0", b"006079"),
        (b"00200001001         \x0000200060009         \0", b"006097"),
        (b"00200001001         \x0000200012001         \0", b"001299"),
    ],
)  # fmt: skip
async def test_a_controller_says_no_in_its_own_numbers(said: bytes, answer: bytes) -> None:
    async with simulator("torque") as torque, host_of(torque) as host:
        host.say(said)
        while (heard := await host.until(b"\0"))[4:8] != b"0004":
            pass
        assert heard[20:-1] == answer


async def test_a_controller_drops_a_client_that_is_silent() -> None:
    async with simulator("torque", "--silence", "0.2") as torque, host_of(torque) as host:
        host.say(b"00200001001         \0")
        await host.until(b"\0")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await host.until(b"\0")


async def test_a_controller_ends_in_peace_with_clients_connected(tmp_path: Path) -> None:
    script = "from simulators.torque import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    where = json.loads(await process.stdout.readline())["ready"]
    talking = [await asyncio.open_connection("127.0.0.1", where["port"]) for _ in range(2)]
    host = Host(*talking[0])
    host.say(b"00200001001         \0")
    await host.until(b"\0")
    process.stdin.close()
    _, errors = await asyncio.wait_for(process.communicate(), WAIT_S)
    assert (process.returncode, errors) == (0, b"")
    for _, writer in talking:
        writer.transport.abort()
