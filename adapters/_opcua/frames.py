"""Bounds on what a server may send, and asyncua's socket with them: in asyncua the server sets them.

It also takes the limits of an Acknowledge the wrong way round (the server's receive buffer for ours), and
measures the age of a channel's token by the server's clock, so that a PLC whose clock is wrong is cut off at
each renewal.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from asyncua import ua
from asyncua.client.ua_client import UaClient, UASocketProtocol
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.crypto.security_policies import SecurityPolicy
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import struct_from_binary
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from adapters._opcua.answers import Answer, TooMuch, answer_to
from adapters._opcua.kinds import Malformed

LARGEST_MESSAGE = 4 * 1024 * 1024
LARGEST_CHUNKS = 512
_HEADER = 8  # type (3), chunk type (1), size (4, little-endian): OPC 10000-6, 7.1.2.2
_KINDS = frozenset((b"MSG", b"OPN", b"CLO", b"ACK", b"ERR", b"HEL"))
_LAST_CHUNKS = b"FA"  # final or abort; C means that more follow
_CHUNKS = b"FCA"
_SECURED = frozenset((b"MSG", b"OPN", b"CLO"))
_GRACE_MS, _LONGEST_TOKEN_MS = 60_000, 86_400_000
SESSION_S = 10.0
"""How long a server may take to create a session, where a request may take less: one that is given up too
early is one more session at the server."""
LATE_S = 5.0
"""How much longer the answer is waited for, so that a session that comes late is closed."""
_GOODBYE_S = 1.0
_TOO_LARGE = StatusCodes.BadResponseTooLarge
_LEAST_BUFFER, _BUFFER = 8192, 65535  # the least of OPC 10000-6, 7.1.2.3, and asyncua's own


class NotOpcUa(ValueError):
    """Bytes that no OPC UA server sends, or more of them than are taken."""


class ChunkCutter:
    """Cuts a stream of bytes into whole chunks; what it keeps is less than one message."""

    def __init__(self, largest: int = LARGEST_MESSAGE, most: int = LARGEST_CHUNKS) -> None:
        """`largest`: bytes of a message with all its headers; `most`: its chunks."""
        self._largest = largest
        self._most = most
        self._rest = bytearray()
        self._message = 0
        self._chunks = 0

    def feed(self, data: bytes) -> bytes:
        """All whole chunks that are there now, in one piece. Raises NotOpcUa."""
        if not self._rest:
            at = self._whole(data)
            self._rest += data[at:]
            return data if at == len(data) else data[:at]
        self._rest += data
        at = self._whole(self._rest)
        if not at:
            return b""
        whole = bytes(self._rest[:at])
        del self._rest[:at]
        return whole

    def _whole(self, stream: bytes | bytearray) -> int:
        at, end = 0, len(stream)
        while end - at >= _HEADER:
            size = self._size(stream, at)
            if end - at < size:
                break
            self._count(stream[at + 3], size)
            at += size
        return at

    def _size(self, stream: bytes | bytearray, at: int) -> int:
        if bytes(stream[at : at + 3]) not in _KINDS or stream[at + 3] not in _CHUNKS:
            raise NotOpcUa("what it sent is no OPC UA")
        size = int.from_bytes(stream[at + 4 : at + _HEADER], "little")
        if size < _HEADER:
            raise NotOpcUa("what it sent is no OPC UA")
        if self._message + size > self._largest or self._chunks >= self._most:
            words = f"{self._largest // (1024 * 1024)} MiB or {self._most} chunks"
            raise NotOpcUa(f"the server sent a message of more than {words}")
        return size

    def _count(self, kind: int, size: int) -> None:
        if kind in _LAST_CHUNKS:
            self._message = self._chunks = 0
        else:
            self._message += size
            self._chunks += 1


class _Limits(TransportLimits):
    """What is received has our bounds, whatever the server says; what is sent has the server's."""

    def update_client_limits(self, msg: ua.Acknowledge) -> None:
        self.max_send_buffer = min(max(int(msg.ReceiveBufferSize), _LEAST_BUFFER), _BUFFER)


class _Channel(SecureConnection):
    """A token's age goes by our clock, and it is taken for a while longer.

    A server may answer with the token under which it was asked, and a publish request waits for seconds.
    """

    def receive_from_header_and_body(self, header: Any, body: Any) -> Any:
        """asyncua may stay within an error's text for ever: a length below zero leads it back."""
        if header.MessageType in _SECURED:
            return super().receive_from_header_and_body(header, body)
        own = body.copy(header.body_size)
        body.skip(header.body_size)
        return super().receive_from_header_and_body(header, own)

    def set_channel(
        self, params: Any, request_type: ua.SecurityTokenRequestType, client_nonce: bytes
    ) -> None:
        told = params.SecurityToken
        lifetime_ms = min(int(told.RevisedLifetime), _LONGEST_TOKEN_MS) + _GRACE_MS
        own = replace(told, CreatedAt=datetime.now(UTC), RevisedLifetime=ua.UInt32(lifetime_ms))
        super().set_channel(replace(params, SecurityToken=own), request_type, client_nonce)


class Guard(UASocketProtocol):
    """asyncua's protocol behind a cutter of chunks; it cuts the line where a bound is passed."""

    session_s = SESSION_S

    def __init__(self, timeout_s: float, security_policy: SecurityPolicy) -> None:
        super().__init__(timeout_s, security_policy)
        limits = _Limits(LARGEST_MESSAGE, _BUFFER, LARGEST_CHUNKS, LARGEST_MESSAGE)
        self._connection = _Channel(security_policy, limits)
        self._cutter = ChunkCutter()
        self.closed = asyncio.Event()
        self.was_open = False
        self.heard_s = time.monotonic()
        """When the server last said anything."""
        self.fault = ""
        """What the server did that no OPC UA server does; empty while it behaves."""
        self._asked: asyncio.Future[Any] | None = None
        """For a session, until it is answered."""
        self._expected: dict[int, Answer] = {}
        """By the number of each request that is not answered yet."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.was_open = True
        super().connection_made(transport)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        if self.fault:
            return
        self.heard_s = time.monotonic()
        try:
            whole = self._cutter.feed(data)
        except NotOpcUa as error:
            self.fault = str(error)
            self.abort()
            return
        if whole:
            self._process_received_data(whole)

    def _send_request(
        self, request: Any, timeout: float = 1, message_type: Any = ua.MessageType.SecureMessage
    ) -> "asyncio.Future[Any]":
        expected = answer_to(request)
        future = super()._send_request(request, timeout, message_type)
        self._expected[self._request_id] = expected
        return future

    def _process_received_message(self, message: Any) -> None:
        """Every message comes by here before anything behind its first headers is decoded."""
        if not isinstance(message, ua.Message):
            super()._process_received_message(message)
            return
        number: int = message.request_id()  # type: ignore[no-untyped-call]
        expected = self._expected.pop(number, None)
        waiting = self._callbackmap.get(number)
        if expected is None or waiting is None:
            raise UaError("an answer to what nobody asked")
        first, *more = chunks = message._chunks  # asyncua decodes it once more where it opens a channel
        first.Body = b"".join([first.Body, *(one.Body for one in more)])
        del chunks[1:]
        first.Body, error = self._admitted(expected, first.Body)
        if error is None:
            super()._process_received_message(message)
        elif not waiting.done():
            waiting.set_exception(error)

    def _admitted(self, expected: Answer, body: bytes) -> tuple[bytes, UaError | None]:
        """What asyncua may have of an answer. None of it: and the error of the request."""
        try:
            return expected.clean(body), None
        except Malformed as error:
            if expected.in_parts and isinstance(error, TooMuch):
                return b"", UaStatusCodeError(_TOO_LARGE)  # type: ignore[no-untyped-call]
            self.fault = f"the server answers with what is not OPC UA: {error}"
            self.abort()
            return b"", UaError(str(error))

    async def open_secure_channel(self, params: ua.OpenSecureChannelParameters) -> ua.OpenSecureChannelResult:
        """As asyncua's, which fails an assertion where the answer is a ServiceFault: why is said in that."""
        if self._open_secure_channel_exchange is not None:
            raise UaError("a channel is being opened already")
        request = ua.OpenSecureChannelRequest()
        request.Parameters = params
        self._open_secure_channel_exchange = params
        try:
            kind: Any = ua.MessageType.SecureOpen
            body = await asyncio.wait_for(self._send_request(request, message_type=kind), self.timeout)
            answer: object = self._open_secure_channel_exchange
        finally:
            self._open_secure_channel_exchange = None
        if isinstance(answer, ua.OpenSecureChannelResponse):
            granted: ua.OpenSecureChannelResult = answer.Parameters
            return granted
        self.check_answer(body, " to the channel")
        raise UaError("the channel was answered with something else")

    async def send_request(
        self,
        request: Any,
        timeout: float | None = None,  # noqa: ASYNC109 - its name in asyncua
        message_type: Any = ua.MessageType.SecureMessage,
    ) -> Any:
        """As asyncua's, which forgets a session whose answer is late: then nobody closes it."""
        if not isinstance(request, ua.CreateSessionRequest):
            return await super().send_request(request, timeout, message_type)
        most_s = max(self.timeout, self.session_s)
        self._asked = self._send_request(request, most_s)
        self._asked.add_done_callback(_looked_at)
        body = await asyncio.wait_for(asyncio.shield(self._asked), most_s)
        self._asked = None
        self.check_answer(body, " to the session")
        return body

    async def close_late(self) -> None:
        """Close the session that was asked for, where the answer comes after all. Raises LIBRARY_ERRORS."""
        if self._asked is None:
            return
        body = await asyncio.wait_for(asyncio.shield(self._asked), LATE_S)
        self.check_answer(body, " to the session")
        made = struct_from_binary(ua.CreateSessionResponse, body)
        self.authentication_token = made.Parameters.AuthenticationToken
        goodbye = self._send_request(ua.CloseSessionRequest(DeleteSubscriptions=True), _GOODBYE_S)
        await asyncio.wait_for(goodbye, _GOODBYE_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        super().connection_lost(exc)

    @property
    def is_open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def abort(self) -> None:
        """Close the socket without waiting for anybody."""
        if self.transport is not None:
            self.transport.abort()


def _looked_at(future: "asyncio.Future[Any]") -> None:
    """An error that nobody waits for any more is no news."""
    if not future.cancelled():
        future.exception()


class Transport(UaClient):
    """asyncua's transport with a guarded protocol."""

    guard: Guard | None = None
    session_s = SESSION_S

    def _make_protocol(self) -> UASocketProtocol:
        self.guard = self.protocol = Guard(self._timeout, self.security_policy)
        self.guard.session_s = self.session_s
        self.guard.pre_request_hook = self._pre_request_hook
        self.guard.on_connection_lost = self._on_transport_lost
        self.guard.is_session_closing = self._is_session_closing
        return self.guard

    offered: Sequence[ua.EndpointDescription] = ()
    """The server's endpoints, as the session has them."""

    async def create_session(self, parameters: ua.CreateSessionParameters) -> ua.CreateSessionResult:
        """As asyncua's. A server that leaves its endpoints out is asked for them within the same channel."""
        made = await super().create_session(parameters)
        if not made.ServerEndpoints:
            wanted = ua.GetEndpointsParameters(EndpointUrl=parameters.EndpointUrl)
            made.ServerEndpoints = await self.get_endpoints(wanted) or []
        self.offered = made.ServerEndpoints
        return made

    async def ask(self, request: object, timeout_s: float | None = None) -> bytes:
        """The body of the answer. 0 s: wait for ever. Raises what asyncua raises; also on a ServiceFault."""
        return bytes(await self._send_request(request, timeout_s))
