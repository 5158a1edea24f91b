"""Far ends on this machine: a broker and a database of one's own, for a demo and for tests.

Each runs as a process of its own, in a folder of its own, on a free port of 127.0.0.1.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

STARTS_WITHIN_S = 15.0
STOPS_WITHIN_S = 5.0
TRIES = 3
"""Another process may take a free port before the server does."""


class FarEndFailed(Exception):
    """A server did not come up; its text says which and why."""


def is_installed(program: str) -> bool:
    """True where the program can be started."""
    return program_path(program) is not None


def program_path(program: str) -> str | None:
    """Debian puts daemons into /usr/sbin, which is not in everybody's PATH."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def answers_http(port: int, path: str) -> bool:
    """True where GET `path` on 127.0.0.1 gives 200 or 204."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        status = await asyncio.wait_for(reader.readline(), 2.0)
        return status.split(b" ")[1:2] in ([b"200"], [b"204"])
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def answers_tcp(port: int) -> bool:
    """True where somebody accepts a connection."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


class FarEnd:
    """A server process that can be stopped, killed, stalled and started again on its port."""

    def __init__(
        self, argv: Sequence[str], port: int, folder: Path, probe: Callable[[int], Awaitable[bool]]
    ) -> None:
        self.port = port
        self.folder = folder
        self._argv = [program_path(argv[0]) or argv[0], *argv[1:]]
        self._probe = probe
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start and wait until it answers. Raises FarEndFailed, and then nothing is left running.

        Call it from a thread that lives as long as the server shall: Linux ends the server with the thread.
        """
        self._process = self._launch()
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not await self._probe(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                await self.stop()
                words = f"{self._argv[0]} did not come up on port {self.port}"
                raise FarEndFailed(f"{words}: {self.last_words()}")
            await asyncio.sleep(0.02)
        if self._process.poll() is not None:
            raise FarEndFailed(f"{self._argv[0]}: port {self.port} belongs to another process")

    async def stop(self) -> None:
        """An orderly end; after five seconds, the other one."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        try:
            if self._process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    await asyncio.to_thread(self._process.wait, STOPS_WITHIN_S)
        finally:
            self.kill()

    def kill(self) -> None:
        """kill -9, and gone when this returns."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def stall(self) -> None:
        """The process stops; the kernel goes on accepting connections for it."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def last_words(self) -> str:
        """The end of what it printed."""
        log = self._log()
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        return " | ".join(text.splitlines()[-3:]) or "it printed nothing"

    def _log(self) -> Path:
        return self.folder / "output.log"

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _launch(self) -> subprocess.Popen[bytes]:
        # The server must not outlive whoever started it, not even after a kill -9.
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with self._log().open("ab") as log:
            try:
                return subprocess.Popen(  # noqa: S603 (programs and arguments are this module's own)
                    [*guard, *self._argv],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.folder,
                    start_new_session=True,  # Ctrl-C is for the demo, which ends its servers last
                )
            except OSError as error:
                raise FarEndFailed(f"{self._argv[0]} cannot be started: {error}") from error


@contextlib.asynccontextmanager
async def running(make: Callable[[int], FarEnd]) -> AsyncIterator[FarEnd]:
    """Start what `make(port)` gives on a free port; stopped on leaving, in whatever state it is."""
    for attempt in range(TRIES):
        far_end = make(free_port())
        try:
            await far_end.start()
            break
        except FarEndFailed:
            if attempt == TRIES - 1 or not is_installed(far_end._argv[0]):
                raise
    try:
        yield far_end
    finally:
        await far_end.stop()


@contextlib.asynccontextmanager
async def mosquitto(
    folder: Path, *, options: Sequence[str] = ("allow_anonymous true",)
) -> AsyncIterator[FarEnd]:
    """An MQTT broker; `options` are further lines of mosquitto.conf, for its only listener.

    It saves every change at once, so that retained states outlive even a kill -9.
    """

    def make(port: int) -> FarEnd:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "mosquitto.conf"
        # Started as root it would become the user mosquitto, who can read none of these files.
        user = ["user root"] if os.geteuid() == 0 else []
        saved = ["persistence true", f"persistence_location {folder}/"]
        often = ["autosave_interval 1", "autosave_on_changes true"]
        lines = [*user, *saved, *often, f"listener {port} 127.0.0.1", *options]
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return FarEnd(["mosquitto", "-c", str(config)], port, folder, answers_tcp)

    async with running(make) as far_end:
        yield far_end


@contextlib.asynccontextmanager
async def victoria_metrics(folder: Path, *, merge: bool = True) -> AsyncIterator[FarEnd]:
    """A database that takes InfluxDB's v2 writes. A fresh series shows in queries after some 2 s.

    It keeps milliseconds only: with `merge`, one of the values of a millisecond is kept, so
    that repeats are harmless; without, all of them are.
    """

    def make(port: int) -> FarEnd:
        folder.mkdir(parents=True, exist_ok=True)
        argv = [
            "victoria-metrics",
            f"-storageDataPath={folder / 'data'}",
            f"-httpListenAddr=127.0.0.1:{port}",
            "-retentionPeriod=100y",
            "-search.latencyOffset=0s",
            "-search.disableCache",
            *(["-dedup.minScrapeInterval=1ms"] if merge else []),
        ]
        return FarEnd(argv, port, folder, lambda port: answers_http(port, "/health"))

    async with running(make) as far_end:
        yield far_end
