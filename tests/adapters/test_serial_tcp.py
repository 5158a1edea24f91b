"""The same line over TCP: a fixed scanner, a rig or a device server; it connects, or is connected to."""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from pydantic import ValidationError

from adapters import serial_scanner
from adapters._stream import STALE, open_line
from adapters._stream_settings import LineSettings
from adapters._tcp_port import SILENT_S, connect_failure, listen_failure
from adapters.serial_scanner import Settings
from edge.contract import Quality, SourceLost, SourceRefused
from tests.support.ptys import SlowIntake, running

ACK, NAK = b"\x06", b"\x15"


def at(**place: object) -> LineSettings:
    return LineSettings.model_validate({"type": "any", **place})


def gun(**place: object) -> Settings:
    return Settings.model_validate({"type": "serial-scanner", **place})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def broken(intake: SlowIntake) -> list[str]:
    return [one.detail for one in intake.seen if one.quality is Quality.BAD]


class Device:
    """The device's end of the connections that it takes."""

    def __init__(self) -> None:
        self.port = 0
        self.connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def device(greeting: bytes = b"") -> AsyncIterator[Device]:
    """A server on a free port; it says `greeting` to whoever connects."""
    it = Device()

    async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        it.connections.put_nowait((reader, writer))

    server = await asyncio.start_server(taken, "127.0.0.1", 0)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()
        while not it.connections.empty():
            it.connections.get_nowait()[1].close()


def listening(settings: Settings, intake: SlowIntake):  # type: ignore[no-untyped-def]
    return running(serial_scanner.collect(settings, [], intake), intake)


async def caller(port: int, host: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect as soon as somebody listens."""
    async with asyncio.timeout(5):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0))
            except ConnectionRefusedError:
                await asyncio.sleep(0.005)


# --- settings ---


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "exactly one of port"),
        ({"port": "/dev/a", "connect": "a:1"}, "exactly one of port"),
        ({"connect": "a:1", "listen": ":1"}, "exactly one of port"),
        ({"connect": "10.0.0.7"}, "10.0.0.7:4001"),
        ({"connect": ":4001"}, "the address is missing"),
        ({"connect": "10.0.0.7:0"}, "10.0.0.7:4001"),
        ({"connect": "10.0.0.7:65536"}, "10.0.0.7:4001"),
        ({"connect": "tcp://10.0.0.7:1"}, "10.0.0.7:4001"),
        ({"listen": "rig-2:4001"}, "in digits, not a name"),
        ({"connect": "a:1", "baud": 9600, "parity": "even"}, "baud, parity: of a serial port only"),
        ({"port": "/dev/a", "begin": "\r", "end": "\r"}, "cannot be told apart"),
        ({"port": "/dev/a", "begin": "\x02", "singles": "\x02"}, "singles"),
        ({"port": "/dev/a", "singles": "\r"}, "singles"),
        ({"port": "/dev/a", "end": "idle", "trailer": 1}, "a trailer comes after an end"),
    ],
)
def test_places_and_framings_that_cannot_be_are_refused(keys: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        at(**keys)


@pytest.mark.parametrize(
    ("keys", "place", "owned"),
    [
        ({"port": "/dev/a"}, "/dev/a", "/dev/a"),
        ({"connect": "rig-2.plant:4001"}, "rig-2.plant:4001", "tcp rig-2.plant:4001"),
        ({"connect": "[fe80::1]:4001"}, "[fe80::1]:4001", "tcp [fe80::1]:4001"),
        ({"listen": ":4001"}, "127.0.0.1:4001", "tcp 127.0.0.1:4001"),
        ({"listen": "localhost:4001"}, "127.0.0.1:4001", "tcp 127.0.0.1:4001"),
    ],
)
def test_where_it_is_and_what_it_owns(keys: dict[str, object], place: str, owned: str) -> None:
    assert (at(**keys).place, at(**keys).owns()) == (place, [owned])


@pytest.mark.parametrize(
    ("listen", "warned"), [(":4001", 0), ("[::1]:4001", 0), ("0.0.0.0:4001", 1), ("10.1.1.1:1", 1)]
)
def test_listening_to_a_network_is_warned_of(listen: str, warned: int) -> None:
    assert len(at(listen=listen).warnings()) == warned


# --- connecting ---


async def test_a_scanner_is_connected_to_and_hears_its_answers() -> None:
    intake = SlowIntake("gun-1")
    async with device() as fixed:
        async with listening(gun(connect=fixed.place), intake):
            reader, writer = await fixed.connections.get()
            writer.write(b"one\r\ntw")
            assert await reader.readexactly(1) == ACK
            writer.write(b"o\r\n")
            assert await reader.readexactly(1) == ACK
        assert await reader.read() == b""  # a cancelled source closes
        writer.close()
    assert intake.values("gun-1") == ["one", "two"]


async def test_what_a_device_server_pours_out_at_once_is_refused() -> None:
    intake = SlowIntake("gun-1")
    async with device(greeting=b"old\rolder\r") as server, listening(gun(connect=server.place), intake):
        reader, writer = await server.connections.get()
        assert await reader.readexactly(1) == NAK
        writer.write(b"new\r")
        assert await reader.readexactly(1) == ACK
        writer.close()
    assert intake.values("gun-1") == ["new"]
    assert broken(intake) == [STALE.format(count=2) + ": older"]


async def test_what_waits_is_taken_where_the_source_says_so() -> None:
    intake = SlowIntake("rig-1")
    async with (
        device(greeting=b"one\rtwo\r") as server,
        open_line(at(connect=server.place), intake, waited="take") as line,
    ):
        assert [(await line.next()).frame.raw for _ in range(2)] == [b"one", b"two"]


async def test_a_hang_up_in_the_middle_of_a_label() -> None:
    intake = SlowIntake("gun-1")
    async with device() as fixed, listening(gun(connect=fixed.place), intake) as source:
        _, writer = await fixed.connections.get()
        writer.write(b"one\rtw")
        await writer.drain()
        writer.close()
        assert str(await source) == f"gun-1: {fixed.place} closed the connection"
    assert intake.values("gun-1") == ["one"]
    assert broken(intake) == ["cut: the line hung up in the middle: tw"]


async def test_a_device_that_says_no_more_still_hears_its_answer() -> None:
    intake = SlowIntake("gun-1")
    intake.disk.clear()
    async with device() as fixed, listening(gun(connect=fixed.place), intake) as source:
        reader, writer = await fixed.connections.get()
        writer.write(b"one\rtwo\r")
        writer.write_eof()
        await intake.waiting.wait()
        intake.disk.set()
        assert await reader.readexactly(2) == ACK * 2
        assert isinstance(await source, SourceLost)
        writer.close()


async def test_a_device_that_breaks_off_is_lost_with_a_sentence() -> None:
    intake = SlowIntake("gun-1")
    async with device() as fixed, listening(gun(connect=fixed.place), intake) as source:
        _, writer = await fixed.connections.get()
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()
        lost = await source
    assert str(lost) == f"gun-1: {fixed.place} broke the connection off; was the device restarted?"


async def test_a_device_that_takes_no_answer_is_lost() -> None:
    async with device() as fixed:
        async with open_line(at(connect=fixed.place), SlowIntake("rig-1")) as line:
            _, writer = await fixed.connections.get()
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await line.write(b"x" * 20_000_000)
            with pytest.raises(SourceLost, match="took no answer for 1 s; is it stuck"):
                await line.next()
        writer.close()


async def test_the_kernel_asks_a_silent_device_and_gives_it_up() -> None:
    async with device() as fixed, open_line(at(connect=fixed.place), SlowIntake("rig-1")) as line:
        with socket.socket(fileno=os.dup(line._fd)) as raw:
            options = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT]
            idle_s, every_s, tries, unsent_ms = (raw.getsockopt(socket.IPPROTO_TCP, one) for one in options)
            assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert idle_s + every_s * tries == SILENT_S == 10
    assert unsent_ms == SILENT_S * 1000


async def test_a_port_at_which_nobody_listens_is_refused() -> None:
    place = f"127.0.0.1:{free_port()}"
    with pytest.raises(SourceLost, match=f"gun-1: {place} refuses connections: .* nothing listens") as lost:
        await serial_scanner.collect(gun(connect=place), [], SlowIntake("gun-1"))
    assert lost.value.again_s == 2.0


async def test_a_device_that_does_not_answer_is_given_up_in_time() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        place = f"127.0.0.1:{full.getsockname()[1]}"
        held = []
        for _ in range(3):  # the kernel drops what does not fit into the backlog: as a firewall does
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", full.getsockname()[1]))
            held.append(waiting)
        with pytest.raises(SourceLost, match=rf"{place} did not answer within 0\.2 s; is it on"):
            await serial_scanner.collect(gun(connect=place, timeout="200ms"), [], SlowIntake("gun-1"))
        for waiting in held:
            waiting.close()


@pytest.mark.parametrize("name", ["rig-2.invalid", "rig..2", "r" * 64])
async def test_a_name_that_nobody_knows(name: str) -> None:
    with pytest.raises(SourceLost, match=f"no machine called {name}.*write its address in digits"):
        await serial_scanner.collect(gun(connect=f"{name}:4001"), [], SlowIntake("gun-1"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), "nothing listens"),
        (OSError(errno.EHOSTUNREACH, "no"), "is the device on, plugged in"),
        (OSError(errno.EHOSTDOWN, "no"), "is the device on, plugged in"),
        (OSError(errno.ENETUNREACH, "no"), "no network to there"),
        (TimeoutError(), "did not answer within 5 s"),
        (TimeoutError(errno.ETIMEDOUT, "no"), "did not answer within 5 s"),
        (ConnectionResetError(errno.ECONNRESET, "no"), "does it take only one"),
        (PermissionError(errno.EPERM, "no"), "firewall of this machine"),
        (socket.gaierror(socket.EAI_AGAIN, "try later"), "no name server knows it"),
        (UnicodeError("label empty or too long"), "no name server knows it (label empty"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
    ],
)
def test_what_the_system_says_of_connecting_becomes_a_sentence(
    error: OSError | UnicodeError, said: str
) -> None:
    failure = connect_failure("gun-1", at(connect="10.0.0.7:4001"), error)
    assert isinstance(failure, SourceLost)
    assert said in str(failure)
    assert "10.0.0.7" in str(failure)


# --- being connected to ---


async def test_a_device_that_connects_is_taken_and_nothing_it_says_at_once_is_old() -> None:
    intake, port = SlowIntake("gun-1"), free_port()

    async def speak() -> bytes:
        reader, writer = await caller(port)
        writer.write(b"one\r")
        answer = await reader.readexactly(1)
        writer.close()
        return answer

    async with asyncio.TaskGroup() as group:
        speaking = group.create_task(speak())
        async with listening(gun(listen=f":{port}"), intake) as source:
            assert await speaking == ACK
            assert "closed the connection" in str(await source)
    assert intake.values("gun-1") == ["one"]


async def test_one_device_at_a_time_and_the_same_one_anew_takes_its_place() -> None:
    intake, port = SlowIntake("gun-1"), free_port()
    async with asyncio.TaskGroup() as group:
        calling = group.create_task(caller(port))
        async with listening(gun(listen=f"127.0.0.1:{port}"), intake) as source:
            reader, writer = await calling
            writer.write(b"one\r")
            assert await reader.readexactly(1) == ACK
            other, other_writer = await caller(port, host="127.0.0.2")
            assert await other.read() == b""
            other_writer.close()
            writer.write(b"two\r")
            assert await reader.readexactly(1) == ACK
            _, again = await caller(port)
            assert "connected anew; was the device restarted?" in str(await source)
            writer.close()
            again.close()
    assert intake.values("gun-1") == ["one", "two"]


async def test_who_has_sent_nothing_gives_way_to_a_newcomer() -> None:
    """A stranger that connects first and says nothing is not the device for ever."""
    intake, port = SlowIntake("gun-1"), free_port()
    async with asyncio.TaskGroup() as group:
        calling = group.create_task(caller(port, host="127.0.0.5"))
        async with listening(gun(listen=f"127.0.0.1:{port}"), intake) as source:
            stranger, stranger_writer = await calling
            _, device_writer = await caller(port)
            said = str(await source)
            assert await stranger.read() == b""
            stranger_writer.close()
            device_writer.close()
    assert "127.0.0.5:" in said
    assert "had sent nothing and was turned away when 127.0.0.1 connected" in said


async def test_listening_ends_with_the_source() -> None:
    port = free_port()
    collect = serial_scanner.collect(gun(listen=f":{port}"), [], SlowIntake("gun-1"))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(collect)
        while _refused(port):
            await asyncio.sleep(0.005)
        task.cancel()
    assert _refused(port)


def _refused(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
        return True


async def test_a_place_in_use_is_said_and_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SourceLost, match=f"127.0.0.1:{port} is in use by another program; `ss -ltnp`"):
            await serial_scanner.collect(gun(listen=f":{port}"), [], SlowIntake("gun-1"))


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EADDRNOTAVAIL, "has no address 192.0.2.1; `ip address`"),
        (errno.EACCES, "below 1024"),
        (errno.ENOMEM, "cannot be listened at"),
    ],
)
def test_what_the_system_says_of_listening_becomes_a_sentence(number: int, said: str) -> None:
    failure = listen_failure("gun-1", at(listen="192.0.2.1:4001"), OSError(number, os.strerror(number)))
    assert isinstance(failure, SourceRefused)
    assert said in str(failure)


async def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(SourceRefused, match=r"this machine has no address 192\.0\.2\.1"):
        await serial_scanner.collect(gun(listen="192.0.2.1:4001"), [], SlowIntake("gun-1"))


async def test_a_flood_over_tcp_is_bounded_and_owned_up_to() -> None:
    async with device() as fixed, open_line(at(connect=fixed.place), SlowIntake("rig-1")) as line:
        _, writer = await fixed.connections.get()
        writer.write(b"".join(b"L%d\r" % number for number in range(5_000)))
        writer.close()
        while not line._lost:  # all of it was read
            await asyncio.sleep(0.001)
        frames = []
        with suppress(SourceLost):
            while True:
                frames.append((await line.next()).frame)
    kept = [one.raw.decode() for one in frames if not one.broken]
    assert kept == [f"L{number}" for number in range(len(kept))]
    assert [one.broken for one in frames if one.broken] == [
        f"{5_000 - len(kept)} more came than could be kept while recording"
    ]
    assert 900 < len(kept) < 1100
