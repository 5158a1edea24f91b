"""A small OPC UA server in a process of its own, and the test's handle on it.

As a program: `python -m tests.adapters.opcua_server PORT PADDING [CERTIFICATE KEY]`. It prints `READY`,
then obeys lines on its standard input and answers each with `OK`. PADDING namespaces come before its own.
"""

import asyncio
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from asyncua import ua
from asyncua.common.node import Node
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.server import Server
from asyncua.server.user_managers import UserManager

NAMESPACE = "urn:lineside:test-press"
PASSWORD = "drop-forge"
_TYPES = {
    "Count": ua.VariantType.UInt32,
    "Reject": ua.VariantType.UInt64,
    "State": ua.VariantType.Int32,
    "Temperature": ua.VariantType.Double,
    "Running": ua.VariantType.Boolean,
    "Order": ua.VariantType.String,
    "Curve": ua.VariantType.Double,
    "Stamp": ua.VariantType.DateTime,
}
_FIRST: dict[str, object] = {
    "Count": 0, "Reject": 2**63 + 1, "State": 6, "Temperature": 20.5, "Running": True, "Order": "WO-1001",
    "Curve": [1.0, 2.0], "Stamp": datetime(2026, 5, 4, tzinfo=UTC),
}  # fmt: skip


# --- the process ----------------------------------------------------------------------------


class _Users(UserManager):
    def get_user(
        self,
        iserver: object,
        username: str | None = None,
        password: str | None = None,
        certificate: object = None,
    ) -> User | None:
        welcome = username is None or (username, password) == ("lineside", PASSWORD)
        return User(role=UserRole.User) if welcome else None


class _Press:
    def __init__(self, server: Server, nodes: dict[str, Node]) -> None:
        self._server = server
        self._nodes = nodes
        self._count = 0
        self._rate = 0.0
        self._slow = timedelta(0)
        self._slowest_ms = 0.0
        self._create = server.iserver.subscription_service.create_subscription
        server.iserver.subscription_service.create_subscription = self._create_slower  # type: ignore[method-assign]

    async def _create_slower(self, params: ua.CreateSubscriptionParameters, *more: Any, **keys: Any) -> Any:
        params.RequestedPublishingInterval = max(params.RequestedPublishingInterval, self._slowest_ms)
        return await self._create(params, *more, **keys)

    async def run(self) -> None:
        """Count up `rate` times a second, without drift."""
        while True:
            await asyncio.sleep(1 / self._rate if self._rate else 0.01)
            if self._rate:
                self._count += 1
                await self._write("Count", self._count)

    async def obey(self, line: str) -> None:
        verb, *words = line.split()
        await getattr(self, f"do_{verb}")(*words)

    async def do_set(self, name: str, text: str) -> None:
        kind = {"Temperature": float, "Order": str}.get(name, int)
        await self._write(name, kind(text))

    async def do_status(self, name: str, code: str) -> None:
        await self._write(name, _FIRST[name], int(code, 0))

    async def do_run(self, rate: str) -> None:
        self._rate = float(rate)

    async def do_clock(self, seconds: str) -> None:
        """From now on the server's own timestamps lie by so much."""
        self._slow = timedelta(seconds=float(seconds))

    async def do_slowest(self, milliseconds: str) -> None:
        """Publish no faster than this, whatever a client asks for; as many PLCs do."""
        self._slowest_ms = float(milliseconds)

    async def do_reset(self) -> None:
        """As after the start."""
        self._rate, self._count, self._slow, self._slowest_ms = 0.0, 0, timedelta(0), 0.0
        for name in set(self._nodes) - set(_FIRST):
            await self._server.delete_nodes([self._nodes.pop(name)])
        for name, value in _FIRST.items():
            await self._write(name, value)

    async def do_forget(self) -> None:
        """Subscriptions live on and keep alive, but watch nothing."""
        for subscription in self._subscriptions():
            subscription.monitored_item_srv.delete_all_monitored_items()

    async def do_mute(self) -> None:
        """Subscriptions say nothing any more, not even that they live."""
        for subscription in self._subscriptions():
            await subscription.stop()

    async def do_add(self, name: str) -> None:
        index = await self._server.get_namespace_index(NAMESPACE)
        self._nodes[name] = await self._server.nodes.objects.add_variable(
            ua.NodeId(ua.String(name), ua.Int16(index)), name, ua.Variant(7, ua.VariantType.UInt32)
        )

    def _subscriptions(self) -> Sequence:  # type: ignore[type-arg]
        return list(self._server.iserver.subscription_service.subscriptions.values())

    async def _write(self, name: str, value: object, status: int = 0) -> None:
        now = cast(ua.DateTime, datetime.now(UTC) + self._slow)
        data = ua.DataValue(
            ua.Variant(value, _TYPES[name]),
            ua.StatusCode(ua.UInt32(status)),
            SourceTimestamp=now,
            ServerTimestamp=now,
        )
        await self._server.write_attribute_value(self._nodes[name].nodeid, data)


async def _serve(port: int, padding: int, files: Sequence[str]) -> None:
    server = Server(user_manager=_Users())
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    policies = [ua.SecurityPolicyType.NoSecurity]
    if files:
        policies.append(ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt)
        await server.set_application_uri("urn:lineside:test-server")
        await server.load_certificate(files[0])
        await server.load_private_key(files[1])
    server.set_security_policy(policies)
    for number in range(padding):
        await server.register_namespace(f"urn:lineside:padding:{number}")
    index = await server.register_namespace(NAMESPACE)
    nodes = {
        name: await server.nodes.objects.add_variable(
            ua.NodeId(ua.String(name), ua.Int16(index)), name, ua.Variant(value, _TYPES[name])
        )
        for name, value in _FIRST.items()
    }
    async with server:
        press = _Press(server, nodes)
        async with asyncio.TaskGroup() as tasks:
            counting = tasks.create_task(press.run())
            await _obey_input(press)
            counting.cancel()


async def _obey_input(press: _Press) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    print("READY", flush=True)
    while line := await reader.readline():
        await press.obey(line.decode())
        print("OK", flush=True)


# --- the test's handle ----------------------------------------------------------------------


class OpcUaServer:
    """A running server; losing the pipe from the test ends it."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self._process = process

    @property
    def endpoint(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}"

    def tell(self, line: str) -> None:
        """Obeys `set Count 5`, `status Count 0x480`, `run 50`, `clock -420` and the other `do_` methods."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()
        self.expect(b"OK")

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def expect(self, word: bytes) -> None:
        """Wait for a line of its output. It is one short line a command, so nothing is left in a buffer."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], 20)
        line = self._process.stdout.readline() if ready else b""
        assert line.strip() == word, line


@contextmanager
def opcua_server(port: int = 0, padding: int = 0, files: Sequence[Path] = ()) -> Iterator[OpcUaServer]:
    """Start one on a port of its own, or on `port`; end it whatever happens."""
    port = port or _free_port()
    command = [sys.executable, "-m", __name__, str(port), str(padding), *map(str, files)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        server = OpcUaServer(port, process)
        try:
            server.expect(b"READY")
            yield server
        finally:
            server.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
