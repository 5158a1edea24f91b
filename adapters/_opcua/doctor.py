"""Walks the way to a server step by step, and names the one that fails: `lineside certificate doctor`."""

import asyncio
import os
import shlex
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from adapters._opcua.client import Endpoint, GuardedClient, endpoints
from adapters._opcua.errors import LIBRARY_ERRORS, converted
from adapters._opcua.security import Protection, kinds
from edge.contract import SourceError, SourceRefused

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
        self._protection.name_us()
        self._at = "endpoints"
        if self._settings.security == "None":
            for warning in self._settings.warnings():
                yield Step("security", warning, "doubt")
            for step in await self._looked():
                yield step
            return
        server, self._protection.claim = await self._protection.find_server()
        if server is None:
            yield Step("endpoints", "the server keeps them to itself; going by server_certificate", "doubt")
            return
        yield Step("endpoints", f"{self._settings.security} is offered by {server.application_name!r}")
        yield _clock_step(server)
        yield _token_step(server)

    async def _looked(self) -> Sequence[Step]:
        """What a server without security says of itself; not all say anything."""
        try:
            offered = await endpoints(self._settings.endpoint, self._timeout_s)
        except LIBRARY_ERRORS:
            return [Step("endpoints", "the server keeps them to itself", "doubt")]
        words = f"the server offers {kinds(offered)}"
        return [Step("endpoints", words), _clock_step(next(iter(offered), None))]

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
            self._at = "user's secret"
            await self._name_user()
            self._at = "user"
            with self._converted():
                await client.activate()
            who = user or self._settings.user_certificate or "nobody in particular"
            yield Step("user", f"{who} may come in")
        finally:
            with suppress(*LIBRARY_ERRORS):
                await asyncio.wait_for(client.disconnect(), _CLOSE_S)
            await client.cut()

    async def _name_user(self) -> None:
        """Not before it is needed: by hand there is no credential, and all else can be tried."""
        try:
            await self._protection.name_user()
        except SourceRefused as error:
            password = self._settings.password
            if password is None or password.credential is None or "CREDENTIALS_DIRECTORY" in os.environ:
                raise
            name = password.credential
            words = f"credential {name!r} is given by systemd only, so nobody was logged in; this does it: "
            raise SourceRefused(error.source, words + self._with_credential(name)) from error

    def _with_credential(self, name: str) -> str:
        """The command that has systemd give the doctor what it gives the service."""
        party, lineside = self._party, Path(sys.executable).with_name("lineside")
        given = shlex.quote(f"LoadCredentialEncrypted={name}:/etc/credstore.encrypted/{name}")
        return (
            f"sudo systemd-run --pty -p User=lineside -p {given} {lineside} certificate doctor {party.file} "
            f"{shlex.quote(party.source)}"
        )

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


def _clock_step(server: Endpoint | None) -> Step:
    """Early, for a clock that is wrong makes what comes next fail; each answer of a server tells its time."""
    apart_s = server.ahead_s if server is not None else None
    if apart_s is None:
        return Step("clock", "the server does not tell its time", "doubt")
    if abs(apart_s) > _CLOCK_S:
        there = f"{abs(apart_s):.0f} s {'ahead of' if apart_s > 0 else 'behind'} ours"
        words = f"the server's is {there}, which says {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        return Step("clock", f"{words}: certificates and values suffer from it; set the wrong one", "doubt")
    return Step("clock", f"the server's and ours are {abs(apart_s):.0f} s apart")
