"""asyncua's client on a guarded socket, with eyes: it sees with whom it makes a session."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary
from asyncua.ua.uaerrors import UaError

from adapters._opcua.errors import LIBRARY_ERRORS
from adapters._opcua.frames import LARGEST_CHUNKS, LARGEST_MESSAGE, Guard, Transport

_ENDPOINTS = 100
"""Endpoints that are looked at; a server with all policies and three addresses has 21."""
_WATCHED_NEVER_S = 86_400.0
_NO_CLOCK = datetime(1970, 1, 1, tzinfo=UTC)
_TCP = "opc.tcp:"
_POLICY = "http://opcfoundation.org/UA/SecurityPolicy#"
_SHORT = {"Aes128_Sha256_RsaOaep": "Aes128Sha256RsaOaep", "Aes256_Sha256_RsaPss": "Aes256Sha256RsaPss"}
_LONG = {short: f"{_POLICY}{long}" for long, short in _SHORT.items()}


def policy_uri(name: str) -> str:
    """The URI of a policy as the settings name it."""
    return _LONG.get(name, f"{_POLICY}{name}")


def policy_name(uri: str | None) -> str:
    """The policy as the settings name it; what is not of the OPC Foundation stays as it is, cut short."""
    name = (uri or "").removeprefix(_POLICY)[:60]
    return _SHORT.get(name, name)


class Who(StrEnum):
    """How a user can say who he is: OPC 10000-4, UserTokenType."""

    ANONYMOUS = "anonymous"
    NAME = "user and password"
    CERTIFICATE = "user_certificate"
    ISSUED = "issued token"


_WHO = {0: Who.ANONYMOUS, 1: Who.NAME, 2: Who.CERTIFICATE, 3: Who.ISSUED}


@dataclass(frozen=True, slots=True)
class Token:
    """One way to say who the user is."""

    who: Who
    number: str
    """The server's own name for it."""
    policy: str
    """By which its secret is protected; the endpoint's where the server names none."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One that a server offers."""

    url: str
    policy: str
    mode: str
    """`None`, `Sign` or `SignAndEncrypt`."""
    level: int
    """The higher the safer, as the server sees it."""
    certificate: bytes
    """The server's, DER, perhaps followed by those that issued it; empty where it has none."""
    application_uri: str
    application_name: str
    tokens: tuple[Token, ...]
    ahead_s: float | None = None
    """Of the server's clock before ours when it told this; None where it has not said."""

    @property
    def security(self) -> str:
        """As the key `security` is written."""
        return "None" if self.mode == "None" else f"{self.policy}:{self.mode}"


_MODES = {1: "None", 2: "Sign", 3: "SignAndEncrypt"}


def read_endpoint(described: ua.EndpointDescription) -> Endpoint:
    """What asyncua has decoded, with every empty field filled."""
    policy, server = policy_name(described.SecurityPolicyUri), described.Server
    name = server.ApplicationName.Text if server.ApplicationName is not None else ""
    return Endpoint(
        str(described.EndpointUrl or ""), policy, _MODES.get(int(described.SecurityMode), "?"),
        int(described.SecurityLevel or 0), bytes(described.ServerCertificate or b""),
        str(server.ApplicationUri or ""), str(name or ""),
        tuple(_token(one, policy) for one in described.UserIdentityTokens or ()),
    )  # fmt: skip


def _token(described: ua.UserTokenPolicy, policy: str) -> Token:
    own = policy_name(described.SecurityPolicyUri) if described.SecurityPolicyUri else policy
    return Token(_WHO.get(int(described.TokenType), Who.ISSUED), str(described.PolicyId or ""), own)


class GuardedClient(Client):
    """A client for one connection, with a guard between the socket and its parser."""

    def __init__(self, endpoint: str, timeout_s: float) -> None:
        super().__init__(
            endpoint, timeout=timeout_s, watchdog_intervall=_WATCHED_NEVER_S, auto_reconnect=False
        )
        self.timeout_s = timeout_s
        self.asked_session_s = self.session_timeout / 1000
        """How long the server is asked to keep a session that has gone silent; it may make it longer."""
        self.max_messagesize, self.max_chunkcount = LARGEST_MESSAGE, LARGEST_CHUNKS
        self.transport = Transport(timeout_s)
        self.uaclient = self.transport
        self.transport.pre_request_hook = self._wait_until_ready
        self.before_session: Callable[[], None] | None = None
        """Called when a session is about to be asked for."""
        self.examine: Callable[[bytes, list[Endpoint]], None] | None = None
        """Given the server's certificate and endpoints as the session's answer has them; raises to refuse."""
        self.explain: Callable[[BaseException], Exception | None] | None = None
        """Given what came of showing our certificate: a better error, where there is one."""
        self.token: Token | None = None
        """Which of the server's ways to name a user is taken; asyncua takes the first of its kind."""

    @property
    def guard(self) -> Guard | None:
        """Between the socket and asyncua's parser; None before there is a socket."""
        return self.transport.guard

    async def open(self) -> None:
        """Socket, channel, session: and none of the tasks that asyncua would start to look after them."""
        await self._connect_sequence()

    async def open_channel(self) -> None:
        """The first half of `open`."""
        await self.connect_socket()
        await self.send_hello()
        await self.open_secure_channel()

    async def activate(self) -> None:
        """Say who the user is, in a session that was created."""
        await self._activate_with_credentials()

    def _start_renew_loop(self) -> None:
        """The channel is renewed by who uses it: asyncua's own loop ends in silence."""

    async def create_session(self) -> ua.CreateSessionResult:
        """Also look at who answers. A session that asyncua does not like stays open; this one is closed."""
        if self.before_session is not None:
            self.before_session()
        try:
            made = await self._created()
            self._examine(bytes(made.ServerCertificate or b""))
        except BaseException as error:
            with suppress(*LIBRARY_ERRORS):
                if self.transport.has_session:
                    await self.transport.close_session(True)
                elif self.guard is not None:
                    await self.guard.close_late()
            self._explain(error)
            raise
        return made

    async def _created(self) -> ua.CreateSessionResult:
        try:
            return await super().create_session()
        except UaError as error:
            if str(error).startswith("No matching endpoint"):
                self._examine(b"")  # which knows why
            raise

    def _examine(self, certificate: bytes) -> None:
        if self.examine is not None:
            self.examine(certificate, [read_endpoint(one) for one in self.transport.offered[:_ENDPOINTS]])

    async def open_secure_channel(self, renew: bool = False) -> None:
        try:
            await super().open_secure_channel(renew)
        except LIBRARY_ERRORS as error:
            if not renew:
                self._explain(error)
            raise

    def _explain(self, error: BaseException) -> None:
        better = self.explain(error) if self.explain is not None else None
        if better is not None:
            raise better from error

    def server_policy(self, token_type: ua.UserTokenType) -> ua.UserTokenPolicy:
        if self.token is None:
            return super().server_policy(token_type)
        return ua.UserTokenPolicy(
            PolicyId=self.token.number, TokenType=token_type, SecurityPolicyUri=policy_uri(self.token.policy)
        )

    async def cut(self) -> None:
        """Close the socket without a word, and wait until it is closed."""
        if self.guard is not None and self.guard.transport is not None:
            self.guard.abort()
            await self.guard.closed.wait()


async def endpoints(url: str, timeout_s: float) -> list[Endpoint]:
    """What a server offers. One connection without protection and without a session, closed at the end.

    Raises one of LIBRARY_ERRORS. Nothing of it can be believed before the session repeats it.
    """
    client = GuardedClient(url, timeout_s)

    async with channel(client):
        request = ua.GetEndpointsRequest()
        request.Parameters.EndpointUrl = client.server_url.geturl()
        answer = struct_from_binary(ua.GetEndpointsResponse, Buffer(await client.transport.ask(request)))
    ahead_s = _ahead_s(answer.ResponseHeader.Timestamp)
    offered = [replace(read_endpoint(one), ahead_s=ahead_s) for one in (answer.Endpoints or [])[:_ENDPOINTS]]
    return [one for one in offered if one.url.startswith(_TCP) or not one.url]


def _ahead_s(told: datetime) -> float | None:
    """None for the years before any clock of a computer: the field was left empty."""
    there = told if told.tzinfo else told.replace(tzinfo=UTC)
    return (there - datetime.now(UTC)).total_seconds() if there >= _NO_CLOCK else None


@asynccontextmanager
async def channel(client: GuardedClient) -> AsyncIterator[None]:
    """A channel without a session, cut at the end. Raises one of LIBRARY_ERRORS."""
    try:
        async with asyncio.timeout(4 * client.timeout_s):
            try:
                await client.open_channel()
                yield
                with suppress(*LIBRARY_ERRORS):
                    await client.close_secure_channel()
            except asyncio.CancelledError:  # asyncua's own kind of it is not known to `timeout`
                raise asyncio.CancelledError from None
    finally:
        await client.cut()
