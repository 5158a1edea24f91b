"""An OPC UA server of another make: node-opcua, as a process of its own that obeys over its stdin.

    async with node_server(tmp_path / "plc", part_ms=50) as server:
        ...                                       # server.url
        assert (await server.ask("stats"))["made"] > 3

The options and the commands are those of `tests/node_opcua/server.js`.
"""

import asyncio
import contextlib
import json
import os
import signal
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from simulators.far_ends import free_port

NAMESPACE = "urn:acme:press"
URI = "urn:lineside:test:node-opcua"
USER, PASSWORD = "edge", "s3cret"
POLICIES = ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")
SECURE: Mapping[str, Any] = {
    "policies": ["Basic256Sha256"], "modes": ["SignAndEncrypt"], "anonymous": False
}  # fmt: skip
"""Options of a server that takes Basic256Sha256 SignAndEncrypt with user and password, and nothing else."""

_PROGRAM = Path(__file__).parent.parent / "node_opcua/server.js"
_STARTS_WITHIN_S = 40.0
_ANSWERS_WITHIN_S = 20.0
_ENDS_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Truth:
    """What the plant has done since its file began, killed or not; `tick` counts changes of `Fast.*`."""

    made: int
    rejects: int
    tick: int


@dataclass
class NodeServer:
    """The server: killed, stalled and started again on its port, with other options if need be."""

    folder: Path
    port: int
    options: dict[str, Any]
    starts: int = 0
    _process: asyncio.subprocess.Process | None = None
    _asked: int = 0

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def certificate(self) -> Path:
        """The server's own certificate, PEM."""
        if chosen := self.options.get("certificate"):
            return Path(chosen)
        (found,) = (self.folder / "pki").glob("own-*.pem")
        return found

    @property
    def certificate_der(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert(self.certificate.read_text(encoding="ascii"))

    @property
    def rejected(self) -> Path:
        """Where the server puts clients' certificates that it does not trust."""
        return self.folder / "pki/server/rejected"

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text(encoding="utf-8")

    @property
    def truth(self) -> Truth:
        """Read from the file: also of a server that is stalled or dead."""
        path = self.folder / "truth"
        numbers = [int(one) for one in path.read_text().split()] if path.exists() else []
        return Truth(*(numbers or [0, 0, 0]))

    async def start(self, **changed: Any) -> None:
        """Start and wait until it listens. What is changed stays changed."""
        self.options.update(changed)
        (self.folder / "pki").mkdir(parents=True, exist_ok=True)
        whole = {
            "port": self.port, "pki": str(self.folder / "pki"), "truth": str(self.folder / "truth")
        } | self.options  # fmt: skip
        with (self.folder / "server.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                "node", str(_PROGRAM), json.dumps(whole), limit=2**20,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self.starts += 1
        try:
            await asyncio.wait_for(self._answer("ready"), _STARTS_WITHIN_S)
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> None:
        """An orderly end: sessions are told BadShutdown."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._running().wait(), _ENDS_WITHIN_S)
        finally:
            await self.kill()

    async def kill(self) -> None:
        """kill -9, and gone when this returns."""
        self._signal(signal.SIGKILL)
        await self._running().wait()

    async def restart(self, **changed: Any) -> None:
        """Killed and started again, with other options where some are given."""
        await self.kill()
        await self.start(**changed)

    def stall(self) -> None:
        """SIGSTOP: the kernel goes on accepting connections for it."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    async def ask(self, do: str, **more: Any) -> Any:
        """Send one command and return its result. Raises RuntimeError with what the server says of it."""
        self._asked = number = self._asked + 1
        pipe = self._running().stdin
        assert pipe is not None
        pipe.write(json.dumps({"id": number, "do": do, **more}).encode() + b"\n")
        await pipe.drain()
        answer = await asyncio.wait_for(self._answer("id", number), _ANSWERS_WITHIN_S)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    async def set(self, name: str, value: object, **more: Any) -> None:
        """Give a node a value; `status="BadSensorFailure"`, `at="2026-05-04T06:12:09.412Z"` if wanted."""
        await self.ask("set", name=name, value=value, **more)

    async def value(self, name: str) -> Any:
        """The value of a node, as JSON has it; 64-bit numbers as [high, low]."""
        return (await self.ask("get", name=name))["value"]

    async def _answer(self, key: str, wanted: object = True) -> dict[str, Any]:
        pipe = self._running().stdout
        assert pipe is not None
        while line := await pipe.readline():
            if line.startswith(b"{") and (answer := json.loads(line)).get(key) == wanted:
                found: dict[str, Any] = answer
                return found
        raise RuntimeError(f"the node-opcua server has ended:\n{self.log[-2000:]}")

    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "not started"
        return self._process

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)


@contextlib.asynccontextmanager
async def node_server(folder: Path, **options: Any) -> AsyncIterator[NodeServer]:
    """A server on a free port of 127.0.0.1; the folder keeps its PKI and what it has made."""
    if not (_PROGRAM.parent / "node_modules/node-opcua").exists():
        pytest.skip("node-opcua is not there: npm ci --prefix tests/node_opcua")
    folder.mkdir(parents=True, exist_ok=True)
    server = NodeServer(folder, free_port(), options)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()
