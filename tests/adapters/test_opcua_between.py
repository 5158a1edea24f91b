"""Somebody between us and the server: he is found out before a session, and learns no password."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from adapters import opcua
from adapters._opcua.connect import connect
from adapters._opcua.doctor import Doctor
from adapters._opcua.identity import Party
from adapters._opcua.trusted import TrustList
from edge.contract import SourceError
from tests.support.node_opcua import URI, NodeServer, node_server
from tests.support.pki import DAY, make

YEAR = 365 * DAY
PASSWORD = b"s3cret"
_BODY = 24  # behind chunk header, channel, token and sequence header: OPC 10000-6, 6.7.2

Change = Callable[[ua.EndpointDescription], None]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NodeServer]:
    options: dict[str, Any] = {"policies": ["Basic256Sha256"], "modes": ["Sign", "SignAndEncrypt"]}
    async with node_server(tmp_path_factory.mktemp("plc"), **options, anonymous=False) as running:
        yield running


together = pytest.mark.asyncio(loop_scope="module")


class Between:
    """A relay that rewrites what the server says, chunk by chunk, and keeps all that is said."""

    def __init__(self, port: int, change: Callable[[bytes], bytes]) -> None:
        self.port, self.change = port, change
        self.heard = bytearray()
        self.said: list[list[bytes]] = []
        """By the server, a list of chunks for each connection."""
        self.replayed: list[bytes] | None = None
        """In place of the server, on the fourth connection: every other one is for discovery."""
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        self.open += 1
        try:
            async with asyncio.TaskGroup() as tasks:
                answers = tasks.create_task(self._answers(there, writer))
                with suppress(ConnectionError, asyncio.IncompleteReadError):
                    while chunk := await _chunk(reader):
                        self.heard += chunk
                        await self._pass_on(chunk, back, writer)
                answers.cancel()
        finally:
            for one in (writer, back):
                one.transport.abort()
                with suppress(OSError):
                    await one.wait_closed()
            self.open -= 1

    async def _pass_on(self, chunk: bytes, back: asyncio.StreamWriter, ours: asyncio.StreamWriter) -> None:
        if self.replayed is None or len(self.said) < 4:
            back.write(chunk)
        elif self.replayed:
            ours.write(self.replayed.pop(0))

    async def _answers(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said: list[bytes] = []
        self.said.append(said)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while chunk := self.change(await _chunk(there)):
                said.append(chunk)
                writer.write(chunk)


async def _chunk(reader: asyncio.StreamReader) -> bytes:
    header = await reader.readexactly(8)
    return header + await reader.readexactly(int.from_bytes(header[4:], "little") - 8)


@asynccontextmanager
async def between(server: NodeServer, change: Callable[[bytes], bytes]) -> AsyncIterator[tuple[Between, str]]:
    relay = Between(server.port, change)
    listener = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    try:
        yield relay, f"opc.tcp://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        async with asyncio.timeout(5):
            while relay.open:
                await asyncio.sleep(0.01)


def _is(chunk: bytes, kind: int) -> bool:
    """Whether it is this whole message, readable."""
    return chunk[:4] == b"MSGF" and chunk[_BODY : _BODY + 4] == b"\1\0" + kind.to_bytes(2, "little")


def discovery(change: Change, clock: timedelta = timedelta(0)) -> Callable[[bytes], bytes]:
    """Rewrites every endpoint in an answer to GetEndpoints that is not protected, and the server's time."""

    def rewritten(chunk: bytes) -> bytes:
        if not _is(chunk, ObjectIds.GetEndpointsResponse_Encoding_DefaultBinary):
            return chunk
        answer = struct_from_binary(ua.GetEndpointsResponse, Buffer(chunk[_BODY:]))
        answer.ResponseHeader.Timestamp += clock
        for one in answer.Endpoints:
            change(one)
        whole = chunk[:_BODY] + struct_to_binary(answer)
        return whole[:4] + len(whole).to_bytes(4, "little") + whole[8:]

    return rewritten


def settings(url: str, tmp_path: Path, mode: str = "SignAndEncrypt") -> opcua.Settings:
    secret = tmp_path / "secret"
    secret.write_bytes(PASSWORD)
    secret.chmod(0o600)
    return opcua.Settings.model_validate({
        "type": "opcua", "endpoint": url, "request_timeout": "2s", "security": f"Basic256Sha256:{mode}",
        "user": "edge", "password": {"file": str(secret)},
    })  # fmt: skip


def party(tmp_path: Path, server: NodeServer) -> Party:
    ours = Party("press-plc", tmp_path / "data", "line-1")
    TrustList(ours.pki).trust(server.certificate_der)
    return ours


async def refusal(chosen: opcua.Settings, ours: Party) -> str:
    with pytest.raises(SourceError) as caught:
        async with connect(chosen, ours):
            pass
    return str(caught.value)


@together
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda one: setattr(one, "ServerCertificate", make("press", uri=URI, number=6).der),
            "is not trusted",
        ),
        (lambda one: setattr(one, "ServerCertificate", b"\x30\x03abc"), "cannot be read"),
        (lambda one: setattr(one, "ServerCertificate", None), "cannot be read"),
        (lambda one: setattr(one.Server, "ApplicationUri", "urn:other"), "names the application URI"),
        (lambda one: setattr(one, "SecurityMode", ua.MessageSecurityMode.Sign), "does not offer"),
        (
            lambda one: setattr(one, "SecurityPolicyUri", "http://opcfoundation.org/UA/SecurityPolicy#None"),
            "does not offer",
        ),
    ],
    ids=["his certificate", "rubbish", "none", "another name", "a weaker mode", "no policy"],
)
async def test_what_is_said_outside_is_judged(
    server: NodeServer, tmp_path: Path, change: Change, words: str
) -> None:
    before = (await server.ask("stats"))["session_requests"]
    async with between(server, discovery(change)) as (relay, url):
        assert words in await refusal(settings(url, tmp_path), party(tmp_path, server))
        assert PASSWORD not in relay.heard
    assert (await server.ask("stats"))["session_requests"] == before


@together
async def test_one_whom_our_issuer_knows_as_another(server: NodeServer, tmp_path: Path) -> None:
    root = make("Plant CA", uri="", hosts=(), ca=True, number=1)
    his = make("packer", uri=URI, hosts=("packer.local",), number=6, issuer=root)
    ours = party(tmp_path, server)
    TrustList(ours.pki).trust(root.der)
    async with between(server, discovery(lambda one: setattr(one, "ServerCertificate", his.der))) as (_, url):
        assert "is for the host packer.local" in await refusal(settings(url, tmp_path), ours)


@together
async def test_how_a_password_is_sent_goes_by_the_session_alone(server: NodeServer, tmp_path: Path) -> None:
    """Outside, all ways to name a user are in clear text; within, they are what the server says."""

    def cleared(one: ua.EndpointDescription) -> None:
        for token in one.UserIdentityTokens:
            token.SecurityPolicyUri = "http://opcfoundation.org/UA/SecurityPolicy#None"

    async with between(server, discovery(cleared)) as (relay, url):
        for mode in ("Sign", "SignAndEncrypt"):
            async with connect(settings(url, tmp_path, mode), party(tmp_path, server)) as (link, protection):
                assert len(await link.namespaces()) > 1
                assert protection.client.token is not None
                assert protection.client.token.policy == "Basic256Sha256"
        assert b"edge" in relay.heard  # signed, not encrypted: he reads along
        assert PASSWORD not in relay.heard


@together
async def test_a_signed_answer_that_he_rewrites_is_no_answer(server: NodeServer, tmp_path: Path) -> None:
    def bent(chunk: bytes) -> bytes:
        is_session = _is(chunk, ObjectIds.CreateSessionResponse_Encoding_DefaultBinary)
        return chunk.replace(b"#Basic256Sha256", b"#Basic128Rsa15x") if is_session else chunk

    async with between(server, bent) as (relay, url):
        await refusal(settings(url, tmp_path, "Sign"), party(tmp_path, server))
        assert b"edge" not in relay.heard
        assert PASSWORD not in relay.heard


@together
async def test_what_the_server_said_yesterday_opens_nothing_today(server: NodeServer, tmp_path: Path) -> None:
    ours = party(tmp_path, server)
    async with between(server, lambda chunk: chunk) as (relay, url):
        chosen = settings(url, tmp_path, "Sign")
        async with connect(chosen, ours) as (link, _):
            await link.namespaces()
        assert b"edge" in relay.heard
        relay.heard.clear()
        relay.replayed = list(relay.said[1])
        await refusal(chosen, ours)
        assert len(relay.replayed) < len(relay.said[1])
        assert b"edge" not in relay.heard


@together
@pytest.mark.parametrize("years", [-12, 0, 12])
async def test_clocks_are_compared_before_what_comes_of_them(
    server: NodeServer, tmp_path: Path, years: int
) -> None:
    """A certificate that is valid by the server's clock only: the clock is named, and not a renewal."""
    begins = years * YEAR - DAY
    one = make("press", uri=URI, begins=begins, ends=begins + 100 * DAY)
    change = discovery(lambda found: setattr(found, "ServerCertificate", one.der), years * YEAR)
    ours = party(tmp_path, server)
    TrustList(ours.pki).trust(one.der)
    async with between(server, change) as (_, url):
        steps = [step async for step in Doctor(settings(url, tmp_path), ours).walk()]
    names = [step.check for step in steps]
    clock, dates = (next(step for step in steps if step.check == one) for one in ("clock", "server's dates"))
    assert names.index("clock") < names.index("server's dates")
    assert (clock.verdict, dates.verdict) == (("doubt", "fault") if years else ("ok", "ok"))
    assert ("by which it is valid: set the clock that is wrong" in dates.said) == bool(years)
    assert ("ahead of ours" in clock.said, "behind ours" in clock.said) == (years > 0, years < 0)


@together
async def test_the_doctor_goes_on_without_the_secret(server: NodeServer, tmp_path: Path) -> None:
    """By hand there is no credential of the service's: all but the user is looked at."""
    chosen = settings(server.url, tmp_path)
    before = (await server.ask("stats"))["sessions"]  # some were cut off by the tests above
    (tmp_path / "secret").unlink()
    steps = [step async for step in Doctor(chosen, party(tmp_path, server)).walk()]
    assert [one.check for one in steps if one.verdict == "fault"] == ["user's secret"]
    assert {"channel", "session"} <= {one.check for one in steps}
    async with asyncio.timeout(5):
        while (await server.ask("stats"))["sessions"] > before:
            await asyncio.sleep(0.05)
