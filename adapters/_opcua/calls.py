"""How a service is asked: in portions that the server takes, its refusals told apart from its end."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from asyncua.common.utils import Buffer
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import struct_from_binary
from asyncua.ua.uaerrors import UaStatusCodeError

from adapters._opcua.client import GuardedClient
from adapters._opcua.errors import converted, to_source_error
from adapters._opcua.frames import Guard
from adapters._opcua.wire import Malformed, Sample, ServiceFault
from edge.contract import SourceLost, SourceRefused

T = TypeVar("T")
R = TypeVar("R")

_PER_CALL = 500
"""Nodes in one request at the most, where the server names no smaller limit."""
TOO_MUCH = frozenset(
    (
        StatusCodes.BadTooManyOperations,
        StatusCodes.BadRequestTooLarge,
        StatusCodes.BadResponseTooLarge,
        StatusCodes.BadEncodingLimitsExceeded,
        StatusCodes.BadTcpMessageTooLarge,
        StatusCodes.BadOutOfMemory,
    )
)
_OVER = frozenset(
    (
        StatusCodes.BadSessionIdInvalid,
        StatusCodes.BadSessionClosed,
        StatusCodes.BadSessionNotActivated,
        StatusCodes.BadSecureChannelIdInvalid,
        StatusCodes.BadSecureChannelClosed,
        StatusCodes.BadConnectionClosed,
        StatusCodes.BadServerHalted,
        StatusCodes.BadShutdown,
    )
)
"""After these there is no session any more; all others are about the one request."""


class Fault(SourceRefused):
    """The server refused one request; the session lives on."""

    def __init__(self, source: str, reason: str, status: int) -> None:
        self.status = status
        super().__init__(source, reason)


class Garbled(SourceLost):
    """An answer cannot be read: one value in it may be to blame."""


class Most:
    """How many fit into one request; it shrinks when the server says that it was too much."""

    def __init__(self) -> None:
        self.number = _PER_CALL

    def learn(self, limit: Sample) -> None:
        if isinstance(limit.raw, int) and limit.raw > 0:
            self.number = min(limit.raw, _PER_CALL)


class Calls:
    """What the services of one session have in common."""

    def __init__(self, source: str, endpoint: str, client: GuardedClient, guard: Guard) -> None:
        self.source = source
        self.endpoint = endpoint
        self._client = client
        self._guard = guard

    def lost(self, reason: str) -> SourceLost:
        """An error about this connection."""
        return SourceLost(self.source, f"{self.endpoint}: {reason}")

    def refused(self, reason: str) -> SourceRefused:
        """An error about this server."""
        return SourceRefused(self.source, f"{self.endpoint}: {reason}")

    def _converted(self) -> AbstractContextManager[None]:
        return converted(self.source, self.endpoint)

    async def _ask(self, request: object, timeout_s: float | None = None) -> bytes:
        with self._converted():
            try:
                return await self._client.transport.ask(request, timeout_s)
            except UaStatusCodeError as error:
                if error.code in _OVER or not self._guard.is_open:
                    raise
                raise self._fault(error, _service(request)) from error

    async def _call(self, request: object, response: type[R]) -> R:
        body = await self._ask(request)
        with self._converted():
            answer: Any = struct_from_binary(response, Buffer(body))
            status = int(answer.ResponseHeader.ServiceResult.value)
        if status >> 31:
            raise self._fault(_error(status), _service(request))
        return answer  # type: ignore[no-any-return]

    def _decoded(self, decode: Callable[[], T]) -> T:
        with self._converted():
            try:
                return decode()
            except Malformed as error:
                words = f"{self.endpoint} answers with what is not OPC UA: {error}"
                raise Garbled(self.source, words) from error
            except ServiceFault as error:
                if error.status in _OVER:
                    raise _error(error.status) from error
                raise self._fault(_error(error.status)) from error

    def _fault(self, error: UaStatusCodeError, service: str = "") -> Fault:
        reason = to_source_error(self.source, self.endpoint, error, service).reason
        return Fault(self.source, reason, error.code)

    async def _sliced(
        self, whole: Sequence[T], most: Most, ask: Callable[[Sequence[T]], Awaitable[Sequence[R]]]
    ) -> list[R]:
        """Ask in portions; of half the size where the server says that one was too much."""
        results: list[R] = []
        while len(results) < len(whole):
            some = whole[len(results) : len(results) + most.number]
            try:
                results += self._complete(await ask(some), len(some))
            except Fault as fault:
                if fault.status not in TOO_MUCH or len(some) == 1:
                    raise
                most.number = len(some) // 2
        return results

    def _complete(self, results: Sequence[R] | None, wanted: int) -> Sequence[R]:
        if results is None or len(results) != wanted:
            raise self.lost(f"the server answered {len(results or ())} of {wanted} items")
        return results


def _service(request: object) -> str:
    """`Browse`: what OPC 10000-4 calls what is asked for."""
    return type(request).__name__.removesuffix("Request")


def _error(status: int) -> UaStatusCodeError:
    return UaStatusCodeError(status)  # type: ignore[no-untyped-call]
