"""A server that speaks just enough OPC UA to misbehave: a test sends each publish response by hand.

As a program it floods: `python -m tests.adapters.opcua_odd_server MODE` prints its port.
"""

import asyncio
import struct
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIdNames, ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary

SUBSCRIPTION = 77
_NAMESPACES = ["http://opcfoundation.org/UA/", "urn:odd"]


def value(raw: object, kind: ua.VariantType = ua.VariantType.UInt32, status: int = 0) -> ua.DataValue:
    now = cast(ua.DateTime, datetime.now(UTC))
    return ua.DataValue(
        ua.Variant(raw, kind), ua.StatusCode(ua.UInt32(status)),
        SourceTimestamp=now, ServerTimestamp=now,
    )  # fmt: skip


_NONSENSE = "no value"
_SPOILT = (b"\x0c\x08\0\0\0no value", b"\x3f\x08\0\0\0no value")
"""What a String goes out as, and what it is replaced by: a variant of type 63, which there is not."""


def nonsense() -> ua.DataValue:
    """Goes out as bytes that are no value."""
    return value(_NONSENSE, ua.VariantType.String)


class OddServer:
    """One for many connections; what is here may be changed while it runs."""

    def __init__(self) -> None:
        self.values: dict[str, ua.DataValue] = {"Count": value(0), "State": value(6)}
        self.requests: Counter[str] = Counter()
        self.acknowledged: list[int] = []
        self.republished: list[int] = []
        self.kept: dict[int, ua.NotificationMessage] = {}
        self.refused: dict[str, int] = {}
        """Service to the status that it is refused with."""
        self.waiting: asyncio.Queue[tuple[Connection, Any, int]] = asyncio.Queue()
        """Publish requests without an answer."""
        self.items: dict[int, str] = {}
        """Client handle to the node's name."""
        self.token_ms = 3_600_000
        self.per_read = 1_000
        """Nodes above which a read is too much; the server names no such limit."""
        self.refused_items: dict[str, int] = {}
        self.refused_filters: dict[str, int] = {}
        """A node's name to the status that its monitored item, or its filter, is refused with."""
        self.on_open: Callable[[Connection], Awaitable[None]] | None = None
        self.hold_s: dict[str, float] = {}
        """Service to the time after which it is answered; nothing else is on that connection meanwhile."""
        self.tokens: list[object] = []
        """Of the sessions that were closed."""
        self.connections = 0
        self._listener: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> str:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"opc.tcp://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
        for writer in self._open:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await Connection(self, reader, writer).run()
        self._open.discard(writer)
        writer.close()

    # --- what the test says ---

    async def publish(
        self, sequence: int, *changes: tuple[int, ua.DataValue], number: int = SUBSCRIPTION
    ) -> None:
        """Answer the oldest publish request; no changes: a keep-alive."""
        await self.send(self.message(sequence, changes), number)

    def message(self, sequence: int, changes: Sequence[tuple[int, ua.DataValue]]) -> ua.NotificationMessage:
        items = [ua.MonitoredItemNotification(ua.UInt32(handle), data) for handle, data in changes]
        parts: list[Any] = [ua.DataChangeNotification(MonitoredItems=items)] if items else []
        return ua.NotificationMessage(ua.UInt32(sequence), datetime.now(UTC), parts)

    async def send(self, message: ua.NotificationMessage, number: int = SUBSCRIPTION) -> None:
        connection, _, request_id = await self.waiting.get()
        result = ua.PublishResult(
            SubscriptionId=ua.UInt32(number), NotificationMessage=message, MoreNotifications=False
        )
        await connection.answer(request_id, ua.PublishResponse(Parameters=result))

    def handle(self, name: str) -> int:
        """The client handle under which a node is watched."""
        return next(handle for handle, watched in self.items.items() if watched == name)


class Connection:
    def __init__(self, server: OddServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self._sequence = 0
        self._token = 1

    async def run(self) -> None:
        while True:
            header = await self.reader.readexactly(8)
            body = await self.reader.readexactly(int.from_bytes(header[4:], "little") - 8)
            if header[:3] == b"HEL":
                if self.server.on_open is not None:
                    await self.server.on_open(self)
                self.writer.write(struct.pack("<4sI5I", b"ACKF", 28, 0, 65536, 65536, 0, 0))
            elif header[:3] == b"OPN":
                await self._open(body)
            elif header[:3] == b"CLO":
                return
            else:
                await self._obey(body)

    async def _open(self, body: bytes) -> None:
        at = 4
        for _ in range(3):
            length = max(0, int.from_bytes(body[at : at + 4], "little", signed=True))
            at += 4 + length
        request_id = int.from_bytes(body[at + 4 : at + 8], "little")
        policy = b"http://opcfoundation.org/UA/SecurityPolicy#None"
        security = struct.pack("<II", 9, len(policy)) + policy + struct.pack("<ii", -1, -1)
        self._token += 1
        self.server.requests["OpenSecureChannel"] += 1
        result = ua.OpenSecureChannelResult()
        result.SecurityToken = ua.ChannelSecurityToken(
            ua.UInt32(9),
            ua.UInt32(self._token),
            datetime(1970, 1, 2, tzinfo=UTC),
            ua.UInt32(self.server.token_ms),
        )
        await self._send(b"OPNF", security, request_id, ua.OpenSecureChannelResponse(Parameters=result))

    async def _obey(self, body: bytes) -> None:
        request_id = int.from_bytes(body[12:16], "little")
        kind = ObjectIdNames[int(nodeid_from_binary(Buffer(body[16:])).Identifier)]
        name = kind.removesuffix("Request_Encoding_DefaultBinary")
        request: Any = struct_from_binary(getattr(ua, f"{name}Request"), Buffer(body[16:]))
        self.server.requests[name] += 1
        await asyncio.sleep(self.server.hold_s.get(name, 0.0))
        if name in self.server.refused:
            status = ua.StatusCode(ua.UInt32(self.server.refused[name]))
            fault = ua.ServiceFault(ResponseHeader=ua.ResponseHeader(ServiceResult=status))
            await self.answer(request_id, fault)
        elif name == "Publish":
            for one in request.Parameters.SubscriptionAcknowledgements or ():
                self.server.acknowledged.append(int(one.SequenceNumber))
            self.server.waiting.put_nowait((self, request, request_id))
        else:
            await self.answer(request_id, getattr(self, f"_{name.lower()}")(request))

    async def answer(self, request_id: int, response: Any) -> None:
        await self._send(b"MSGF", struct.pack("<II", 9, self._token), request_id, response)

    async def _send(self, kind: bytes, security: bytes, request_id: int, response: Any) -> None:
        self._sequence += 1
        body = struct_to_binary(response).replace(*_SPOILT)
        rest = security + struct.pack("<II", self._sequence, request_id) + body
        self.writer.write(kind + struct.pack("<I", len(rest) + 8) + rest)
        await self.writer.drain()

    # --- the services ---

    def _createsession(self, request: Any) -> Any:
        endpoint = ua.EndpointDescription(
            EndpointUrl=request.Parameters.EndpointUrl, SecurityMode=ua.MessageSecurityMode.None_,
            SecurityPolicyUri="http://opcfoundation.org/UA/SecurityPolicy#None",
            UserIdentityTokens=[ua.UserTokenPolicy("anonymous", ua.UserTokenType.Anonymous)],
        )  # fmt: skip
        result = ua.CreateSessionResult(
            ua.NodeId(ua.Int32(1)), ua.NodeId(ua.Int32(2)), request.Parameters.RequestedSessionTimeout,
            ServerNonce=b"0" * 32, ServerEndpoints=[endpoint],
        )  # fmt: skip
        return ua.CreateSessionResponse(Parameters=result)

    def _activatesession(self, _: Any) -> Any:
        return ua.ActivateSessionResponse()

    def _closesession(self, request: Any) -> Any:
        self.server.tokens.append(request.RequestHeader.AuthenticationToken.Identifier)
        return ua.CloseSessionResponse()

    def _read(self, request: Any) -> Any:
        if len(request.Parameters.NodesToRead) > self.server.per_read:
            status = ua.StatusCode(ua.UInt32(StatusCodes.BadTooManyOperations))
            return ua.ServiceFault(ResponseHeader=ua.ResponseHeader(ServiceResult=status))
        return ua.ReadResponse(Results=[self._one(wanted) for wanted in request.Parameters.NodesToRead])

    def _one(self, wanted: ua.ReadValueId) -> ua.DataValue:
        number, name = wanted.NodeId.Identifier, str(wanted.NodeId.Identifier)
        if number == ObjectIds.Server_NamespaceArray:
            return value(_NAMESPACES, ua.VariantType.String)
        if number == ObjectIds.Server_ServerStatus_CurrentTime:
            return value(datetime.now(UTC), ua.VariantType.DateTime)
        if name not in self.server.values:
            return ua.DataValue(None, ua.StatusCode(ua.UInt32(StatusCodes.BadNodeIdUnknown)))
        if wanted.AttributeId == AttributeIds.NodeClass:
            return value(2, ua.VariantType.Int32)
        if wanted.AttributeId == AttributeIds.DataType:
            return value(ua.NodeId(ua.Int32(7)), ua.VariantType.NodeId)
        if wanted.AttributeId == AttributeIds.ValueRank:
            return value(-1, ua.VariantType.Int32)
        return self.server.values[name]

    def _createsubscription(self, request: Any) -> Any:
        wanted = request.Parameters
        result = ua.CreateSubscriptionResult(
            ua.UInt32(SUBSCRIPTION), wanted.RequestedPublishingInterval, wanted.RequestedLifetimeCount,
            wanted.RequestedMaxKeepAliveCount,
        )  # fmt: skip
        return ua.CreateSubscriptionResponse(Parameters=result)

    def _createmonitoreditems(self, request: Any) -> Any:
        results = []
        for wanted in request.Parameters.ItemsToCreate:
            handle = int(wanted.RequestedParameters.ClientHandle)
            name = str(wanted.ItemToMonitor.NodeId.Identifier)
            status = self.server.refused_items.get(name, 0)
            # asyncua's decoder has a class of its own for it: isinstance is False
            if type(wanted.RequestedParameters.Filter).__name__ == "DataChangeFilter":
                status = self.server.refused_filters.get(name, status)
            if not status:
                self.server.items[handle] = name
            results.append(
                ua.MonitoredItemCreateResult(
                    ua.StatusCode(ua.UInt32(status)), ua.UInt32(handle + 100), 50.0, ua.UInt32(64)
                )
            )
        return ua.CreateMonitoredItemsResponse(Results=results)

    def _deletemonitoreditems(self, request: Any) -> Any:
        for number in request.Parameters.MonitoredItemIds:
            self.server.items.pop(int(number) - 100, None)
        return ua.DeleteMonitoredItemsResponse(
            Results=[ua.StatusCode() for _ in request.Parameters.MonitoredItemIds]
        )

    def _republish(self, request: Any) -> Any:
        number = int(request.Parameters.RetransmitSequenceNumber)
        self.server.republished.append(number)
        if number not in self.server.kept:
            status = ua.StatusCode(ua.UInt32(StatusCodes.BadMessageNotAvailable))
            return ua.ServiceFault(ResponseHeader=ua.ResponseHeader(ServiceResult=status))
        return ua.RepublishResponse(NotificationMessage=self.server.kept[number])


# --- as a program -------------------------------------------------------------------------------------


async def _huge(connection: Connection) -> None:
    """One frame of 100 MB in place of an Acknowledge."""
    connection.writer.write(b"ACKF" + (100_000_000).to_bytes(4, "little"))
    for _ in range(100):
        connection.writer.write(b"x" * 1_000_000)
        await connection.writer.drain()


async def _endless(connection: Connection) -> None:
    """A message of chunks without an end."""
    for _ in range(2_000):
        connection.writer.write(b"MSGC" + (65_000).to_bytes(4, "little") + b"x" * 64_992)
        await connection.writer.drain()


async def _slow(connection: Connection) -> None:
    """A byte a second."""
    for byte in struct.pack("<4sI5I", b"ACKF", 28, 0, 65536, 65536, 0, 0):
        connection.writer.write(bytes([byte]))
        await connection.writer.drain()
        await asyncio.sleep(1.0)


async def _flood(server: OddServer) -> None:
    """Each publish request is answered at once, with as many changes as it may be."""
    data = value("x" * 600, ua.VariantType.String)
    for sequence in range(1, 1_000_000):
        await server.send(server.message(sequence, [(0, data)] * 5_000))


async def _main(mode: str) -> None:
    server = OddServer()
    server.on_open = {"huge": _huge, "endless": _endless, "slow": _slow}.get(mode)
    url = await server.start()
    print(url, flush=True)
    if mode == "flood":
        await _flood(server)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
