"""Either end of a TCP connection to one device, and what a user reads when there is none.

A device that vanishes without a word (its plug, its switch, its power) is noticed by the kernel's
keepalive within `_KEEPALIVE`: idle + count * interval seconds; what it was told meanwhile is given
up after as long (TCP_USER_TIMEOUT). Both are of Linux tcp(7).
"""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from adapters._stream_settings import StreamSettings, split_endpoint
from edge.errors import SourceError, SourceLost, SourceRefused

_log = logging.getLogger("lineside.source")
_KEEPALIVE_IDLE_S, _KEEPALIVE_EVERY_S, _KEEPALIVE_TRIES = 4, 2, 3
SILENT_S = _KEEPALIVE_IDLE_S + _KEEPALIVE_EVERY_S * _KEEPALIVE_TRIES
_TOLD = 8
"""Addresses that are named in the log, of those that were turned away."""
AGAIN_S = 2.0
"""Between two tries to connect or to listen: a device that is switched on is found within this."""

_FAILED = {
    errno.ECONNREFUSED: "{place} refuses connections: the device is on, but nothing listens at this port; "
    "is the port right, and is another program connected to it?",
    errno.EHOSTUNREACH: "{place} cannot be reached: is the device on, plugged in and at this address?",
    errno.ENETUNREACH: "{place} cannot be reached: this machine has no network to there; see `ip route`",
    errno.ETIMEDOUT: "{place} did not answer within {timeout:g} s; is it on, and is there a firewall?",
    errno.ECONNRESET: "{place} ended the connection at once; does it take only one, and has it one?",
    errno.EACCES: "{place}: a firewall of this machine forbids it",
}
_FAILED |= {errno.EHOSTDOWN: _FAILED[errno.EHOSTUNREACH], errno.EPERM: _FAILED[errno.EACCES]}
_NOT_HEARD = {
    errno.EADDRINUSE: "{place} is in use by another program; `ss -ltnp` names it",
    errno.EADDRNOTAVAIL: "this machine has no address {host}; `ip address` shows those that it has",
    errno.EACCES: "{place}: a port below 1024 needs a privilege; take a higher one",
}
_ENDED = {
    errno.ETIMEDOUT: f"{{name}} has been silent for {SILENT_S} s; is it off, or its network unplugged?",
    errno.EHOSTUNREACH: "{name} can no longer be reached; is it off, or its network unplugged?",
    errno.ECONNRESET: "{name} broke the connection off; was the device restarted?",
}


class TcpPort:
    """An open connection, as a stream of bytes."""

    def __init__(self, connection: socket.socket, name: str, listening: socket.socket | None = None) -> None:
        _keep_alive(connection)
        self._connection = connection
        self._listening = listening
        self._turned_away: set[str] = set()
        self.name = name
        self.fd = connection.fileno()
        self.settles = listening is None
        self.closes_in_halves = True

    def ended(self, error: OSError | None) -> str:
        """Why nothing can be read any more."""
        if error is None:
            return f"{self.name} closed the connection"
        return _ENDED.get(error.errno or 0, "{name} is gone: {error}").format(name=self.name, error=error)

    def watch(self, lose: Callable[[str], None], has_spoken: Callable[[], bool]) -> None:
        """One connection at a time; a device that connects anew has forgotten the one before.

        Who has sent nothing may be anybody, and gives way.
        """
        if self._listening is not None:
            listening = self._listening
            asyncio.get_running_loop().add_reader(
                listening, lambda: self._newcomer(listening, lose, has_spoken)
            )

    def drop_unsent(self) -> None:
        """Closing does not wait for the device."""

    def close(self) -> None:
        self._connection.close()
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()

    def _newcomer(
        self, listening: socket.socket, lose: Callable[[str], None], has_spoken: Callable[[], bool]
    ) -> None:
        try:
            newcomer, (host, *_) = listening.accept()
        except (BlockingIOError, ConnectionError):
            return  # it has gone again
        except OSError as error:
            lose(f"nobody else can connect beside {self.name}: {error}")
            return
        newcomer.close()
        if host == _host(self._connection):
            lose(f"{self.name} connected anew; was the device restarted?")
        elif not has_spoken():
            gone = f"{self.name} had sent nothing and was turned away"
            lose(f"{gone} when {host} connected; which is the device?")
        elif host not in self._turned_away and len(self._turned_away) < _TOLD:
            self._turned_away.add(host)
            _log.warning("%s is connected: %s was turned away", self.name, host)


def _host(connection: socket.socket) -> object:
    try:
        return connection.getpeername()[0]
    except OSError:
        return None


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_NODELAY, 1),
        (socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S),
        (socket.TCP_KEEPINTVL, _KEEPALIVE_EVERY_S),
        (socket.TCP_KEEPCNT, _KEEPALIVE_TRIES),
        (socket.TCP_USER_TIMEOUT, SILENT_S * 1000),
    ):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _endpoint(address: Any) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# --- connecting -----------------------------------------------------------------------------


def connect_failure(source: str, settings: StreamSettings, error: OSError | UnicodeError) -> SourceError:
    """What the system said to `connect`, as the user reads it."""
    host, _ = split_endpoint(str(settings.connect))
    if isinstance(error, socket.gaierror | UnicodeError):
        unknown = f"there is no machine called {host}, or no name server knows it"
        why = error.strerror if isinstance(error, socket.gaierror) else error
        return SourceLost(source, f"{unknown} ({why}); write its address in digits", again_s=AGAIN_S)
    number = errno.ETIMEDOUT if isinstance(error, TimeoutError) else error.errno or 0
    reason = _FAILED.get(number, "{place} cannot be connected to: {error}")
    timeout_s = settings.timeout.total_seconds()
    return SourceLost(
        source, reason.format(place=settings.connect, timeout=timeout_s, error=error), again_s=AGAIN_S
    )


async def open_connection(source: str, settings: StreamSettings) -> TcpPort:
    """Connect to `settings.connect` within its timeout. Raises SourceLost."""
    host, port = split_endpoint(str(settings.connect))
    try:
        async with asyncio.timeout(settings.timeout.total_seconds()):
            connection = await _connected(host, port)
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that none can be
        raise connect_failure(source, settings, error) from error
    return TcpPort(connection, str(settings.connect))


async def _connected(host: str, port: int) -> socket.socket:
    """The first address of the host that answers. Raises the last one's OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failed = OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
    for family, kind, protocol, _, address in found:
        connection = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
        try:
            await loop.sock_connect(connection, address)
        except OSError as error:
            connection.close()
            failed = error
        except asyncio.CancelledError:
            connection.close()
            raise
        else:
            return connection
    raise failed


# --- being connected to ---------------------------------------------------------------------


def listen_failure(source: str, settings: StreamSettings, error: OSError) -> SourceError:
    """What the system said to `listen`, as the user reads it."""
    reason = _NOT_HEARD.get(error.errno or 0, "{place} cannot be listened at: {error}")
    words = reason.format(place=settings.place, host=settings.listening[0], error=error)
    if error.errno == errno.EADDRINUSE:
        return SourceLost(source, words, again_s=AGAIN_S)
    return SourceRefused(source, words)


async def accept_connection(source: str, settings: StreamSettings) -> TcpPort:
    """Listen at `settings.listen` until the device connects. Raises SourceLost, SourceRefused."""
    try:
        listening = _listening(*settings.listening)
    except OSError as error:
        raise listen_failure(source, settings, error) from error
    try:
        connection, address = await asyncio.get_running_loop().sock_accept(listening)
    except OSError as error:
        listening.close()
        raise listen_failure(source, settings, error) from error
    except asyncio.CancelledError:
        listening.close()
        raise
    return TcpPort(connection, _endpoint(address), listening)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(4)
    except OSError:
        listening.close()
        raise
    return listening
