"""Walks the way to a server step by step, and names the one that fails: `lineside certificate doctor`."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from adapters._opcua.client import Endpoint, GuardedClient
from adapters._opcua.errors import LIBRARY_ERRORS, converted
from adapters._opcua.security import Protection
from edge.contract import SourceError

if TYPE_CHECKING:
    from adapters._opcua.identity import Identity, Party
    from adapters._opcua.settings import Settings

_CLOSE_S = 1.0
_CLOCK_S = 60.0
"""Servers give a few minutes; so much is worth a word."""


@dataclass(frozen=True, slots=True)
class Step:
    """One check on the way."""

    check: str
    said: str
    verdict: str = "ok"
    """`ok`, `doubt` or `fault`."""


class _Stop(Exception):
    """Nothing behind this step can be tried."""


class Doctor:
    """One walk. It asks for one session at the most, at the end, and closes it."""

    def __init__(self, settings: "Settings", party: "Party") -> None:
        self._settings, self._party = settings, party
        self._timeout_s = settings.request_timeout.total_seconds()
        client = GuardedClient(settings.endpoint, self._timeout_s)
        client.name = client.description = f"Lineside {party.source} doctor"
        self._protection = Protection(client, settings, party)
        self._at = ""
        """The step that is being tried."""

    async def walk(self) -> AsyncIterator[Step]:
        """Step by step; it ends with the first fault that bars the way."""
        for stage in (self._address, self._discover, self._server, self._own, self._session):
            try:
                async for step in stage():
                    yield step
            except SourceError as error:
                yield Step(self._at, self._plain(error), "fault")
                return
            except _Stop:
                return

    def _plain(self, error: SourceError) -> str:
        return error.reason.removeprefix(self._settings.endpoint).lstrip(": ")

    async def _address(self) -> AsyncIterator[Step]:
        url = urlsplit(self._settings.endpoint)
        host, port = url.hostname or "", url.port or 4840
        self._at = "name"
        with self._converted():
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            yield Step("name", f"{host} is {found[0][4][0]}")
            self._at = "TCP"
            async with asyncio.timeout(self._timeout_s):
                _, writer = await asyncio.open_connection(host, port)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        yield Step("TCP", f"port {port} answers")

    async def _discover(self) -> AsyncIterator[Step]:
        self._at = "user's secret"
        await self._protection.name_user()
        if self._settings.security == "None":
            for warning in self._settings.warnings():
                yield Step("security", warning, "doubt")
            return
        self._at = "endpoints"
        server, self._protection.claim = await self._protection.find_server()
        if server is None:
            yield Step("endpoints", "the server keeps them to itself; going by server_certificate", "doubt")
            return
        yield Step("endpoints", f"{self._settings.security} is offered by {server.application_name!r}")
        yield _token_step(server)

    async def _server(self) -> AsyncIterator[Step]:
        claim = self._protection.claim
        if claim is None:
            return
        self._at = "trust list"
        barred = False
        for one in await self._protection.findings(claim):
            barred = barred or bool(one.fault)
            verdict = "fault" if one.fault else "doubt" if one.doubt else "ok"
            words = one.fault or one.doubt
            yield Step(f"server's {one.check}", f"its certificate {words}" if words else one.said, verdict)
        if barred:
            raise _Stop

    async def _own(self) -> AsyncIterator[Step]:
        if self._settings.security == "None":
            return
        self._at = "our certificate"
        current, successor = await self._protection.ours()
        for step in _own_steps(current):
            yield step
        if current.days_left(datetime.now(UTC)) < 0:
            raise _Stop
        if successor is not None:
            yield Step("next certificate", f"have the server trust {successor.path} too", "doubt")
        self._protection.show(current)

    async def _session(self) -> AsyncIterator[Step]:
        client, user = self._protection.client, self._settings.user
        client.session_timeout = int(self._settings.session_timeout.total_seconds() * 1000)
        try:
            self._at = "channel"
            with self._converted():
                await client.open_channel()
            takes = "it is open" if self._settings.security == "None" else "the server takes our certificate"
            yield Step("channel", takes)
            self._at = "session"
            with self._converted():
                await client.create_session()
            yield Step("session", "the server has room for one more")
            self._at = "user"
            with self._converted():
                await client.activate()
                there = await client.uaclient.session.read(_clock())
            who = user or self._settings.user_certificate or "nobody in particular"
            yield Step("user", f"{who} may come in")
            yield _clock_step(there)
        finally:
            with suppress(*LIBRARY_ERRORS):
                await asyncio.wait_for(client.disconnect(), _CLOSE_S)
            await client.cut()

    def _converted(self) -> AbstractContextManager[None]:
        return converted(self._party.source, self._settings.endpoint)


def _token_step(server: Endpoint) -> Step:
    ways = ", ".join(dict.fromkeys(str(one.who) for one in server.tokens)) or "none"
    return Step("users", f"the server takes: {ways}")


def _own_steps(identity: "Identity") -> Sequence[Step]:
    now = datetime.now(UTC)
    left = identity.days_left(now)
    dates = f"{identity.certificate.not_valid_before_utc:%Y-%m-%d} to {identity.ends:%Y-%m-%d}"
    return [
        Step("our certificate", f"{identity.path}, thumbprint {identity.thumbprint}"),
        Step(
            "our dates",
            dates if left >= 0 else f"it has expired on {identity.ends:%Y-%m-%d}: renew it",
            "ok" if left >= 0 else "fault",
        ),
        Step("our URI", identity.uri) if identity.uri else Step("our URI", "it names none", "doubt"),
    ]


def _clock() -> ua.ReadParameters:
    node = ua.NodeId(ua.Int32(ObjectIds.Server_ServerStatus_CurrentTime))
    wanted = ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value)
    return ua.ReadParameters(NodesToRead=[wanted])


def _clock_step(answered: Sequence[ua.DataValue]) -> Step:
    raw = answered[0].Value.Value if answered and answered[0].Value is not None else None
    if not isinstance(raw, datetime):
        return Step("clock", "the server does not tell its time", "doubt")
    there = raw if raw.tzinfo else raw.replace(tzinfo=UTC)
    apart_s = (there - datetime.now(UTC)).total_seconds()
    if abs(apart_s) > _CLOCK_S:
        words = f"the server's is {abs(apart_s):.0f} s {'ahead of' if apart_s > 0 else 'behind'} ours"
        return Step("clock", f"{words}: certificates and values suffer from it", "doubt")
    return Step("clock", f"the server's and ours are {abs(apart_s):.0f} s apart")
