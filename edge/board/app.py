"""The board's composition root: its server, its feed, and how it ends."""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import signal
import socket
from collections.abc import Iterator

import uvicorn

from edge.board.clients import Clients, load_clients
from edge.board.feed import Feed
from edge.board.prompt import PromptProtocol
from edge.board.web import LISTENERS, application
from edge.clock import SystemClock
from edge.config import LineConfig
from edge.errors import BoardRefused
from edge.watchdog import Watchdog

log = logging.getLogger("lineside.board")

CONNECTIONS = 4 * LISTENERS
"""Open connections of all kinds; one more is answered with 503."""
FIRST_S = 1.0
"""So long the first reading of the journal may take before the board says that it is ready."""
LAST_ANSWERS_S = 1
"""At the end, so long an answer that is under way may take."""
STALLED_MS = 15_000
"""A page that takes no data for so long is cut off."""


class _Server(uvicorn.Server):
    """Says where it serves, and leaves the signals to `serve`."""

    address = ""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(f"board: {self.address}", flush=True)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(config: LineConfig, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Port 0 takes a free one. Raises BoardRefused."""
    clients = load_clients(config.board.client, host, port)
    if clients and not _is_loopback(host):
        log.warning("the tokens of clients can be read on the network: put a reverse proxy with TLS in front")
    listener = _bind(host, port)
    watchdog = Watchdog()
    feed = Feed(config, SystemClock(), watchdog)
    server = _server(feed, clients, listener, host)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)

    async with asyncio.TaskGroup() as group:
        hearing = group.create_task(feed.hear(), name="hear")
        publishing = group.create_task(feed.publish(), name="publish")
        serving = group.create_task(server.serve([listener]), name="web")
        await feed.newer(1, FIRST_S)
        watchdog.ready()
        await stopped.wait()
        watchdog.stopping()
        await feed.close()
        server.should_exit = True
        await serving
        hearing.cancel()
        publishing.cancel()


def _server(feed: Feed, clients: Clients, listener: socket.socket, host: str) -> _Server:
    port = listener.getsockname()[1]
    server = _Server(
        uvicorn.Config(
            application(feed, _hosts(host, port), clients),
            loop="asyncio", http=PromptProtocol, ws="none", lifespan="off",
            log_config=None, log_level="warning", access_log=False, proxy_headers=False,
            server_header=False, limit_concurrency=CONNECTIONS, timeout_graceful_shutdown=LAST_ANSWERS_S,
        )
    )  # fmt: skip
    server.address = f"http://{_bracketed(host)}:{port}/"
    return server


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=64)
    except OSError as error:
        raise BoardRefused(host, port, _why(error)) from error
    # Inherited by the connections: without it a page that is frozen would hold its place for ever.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS)
    # Inherited too: an answer is written as head and body, and without it the body waits 40 ms for the
    # other side's delayed acknowledgement. asyncio sets it only on sockets whose protocol is named.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use; end the program that has it, or choose another with --port"
    if error.errno == errno.EACCES:
        return "a port below 1024 needs root; choose another with --port"
    if error.errno == errno.EADDRNOTAVAIL or (error.errno or 0) < 0:  # below 0: the name is unknown
        return "this machine has no such address; choose another with --host"
    return error.strerror or str(error)


def _hosts(host: str, port: int) -> list[str] | None:
    """The Host headers to answer: on loopback its own names only."""
    if not _is_loopback(host):
        log.warning("the board on %s can be read by everybody who reaches this machine", host)
        return None
    names = {_bracketed(host), "localhost", "127.0.0.1", "[::1]"}
    return [f"{name}:{port}" for name in names] + (list(names) if port == 80 else [])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
