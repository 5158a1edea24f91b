"""A connection's birth and death: a new client each time, and its socket closed for certain."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError

from adapters._opcua.client import GuardedClient
from adapters._opcua.errors import LIBRARY_ERRORS, converted, to_source_error
from adapters._opcua.link import Link
from adapters._opcua.security import Party, Protection, secure
from adapters._opcua.settings import Settings
from adapters._opcua.turns import Turn, turn
from edge.contract import SourceLost, SourceRefused

_CLOSE_S = 1.0
_MOST_TOLD = 1_000
_kept_s: dict[str, float] = {}
"""How long servers keep a session that has gone silent, where that is longer than was asked, by endpoint."""
_log = logging.getLogger(__name__)
_AT_ONCE_S = 0.1
"""For the supervisor: what is waited for, is waited for in the server's turn."""
_LOUDEST = {
    "asyncua.client": logging.CRITICAL + 1,
    "asyncua.common": logging.CRITICAL + 1,
    "asyncua.uaprotocol": logging.CRITICAL + 1,
    "asyncua.crypto": logging.ERROR,
}


@asynccontextmanager
async def connect(settings: Settings, party: Party) -> AsyncIterator[tuple[Link, Protection]]:
    """A new client, for one connection; whatever happens, its socket is closed at the end.

    Raises SourceLost or SourceRefused.
    """
    hush()
    client = _client(settings, party.source)
    ours = turn(urlsplit(settings.endpoint).netloc)
    try:
        async with ours.taken():
            protection = await secure(client, settings, party)
            await _open(client, ours, party.source, settings.endpoint)
        if client.guard is None:
            raise SourceLost(party.source, f"{settings.endpoint}: the connection was closed")
        yield Link(party.source, settings.endpoint, client, client.guard), protection
    finally:
        await _close(client, ours)


def _client(settings: Settings, source: str) -> GuardedClient:
    client = GuardedClient(settings.endpoint, settings.request_timeout.total_seconds())
    client.name = client.description = f"Lineside {source}"
    client.asked_session_s = settings.session_timeout.total_seconds()
    client.session_timeout = int(client.asked_session_s * 1000)
    return client


async def _open(client: GuardedClient, ours: Turn, source: str, endpoint: str) -> None:
    client.before_session = ours.asked
    with converted(source, endpoint):
        try:
            await client.open()
            _look_at_timeout(client, source, endpoint)
        except LIBRARY_ERRORS as error:
            if client.guard is not None and client.guard.fault:
                raise SourceRefused(source, f"{endpoint}: {client.guard.fault}") from error
            if isinstance(error, UaStatusCodeError) and error.code == StatusCodes.BadTooManySessions:
                words = (
                    f"{to_source_error(source, endpoint, error).reason}; {_perhaps_ours(client, endpoint)}"
                )
                ours.vacancy.full(time.monotonic())
                raise SourceLost(source, words, again_s=_AT_ONCE_S) from error
            raise


def _look_at_timeout(client: GuardedClient, source: str, endpoint: str) -> None:
    """Say once where the server keeps a lost session longer than it was asked to."""
    asked_s, kept_s = client.asked_session_s, client.session_timeout / 1000
    if not asked_s < kept_s < math.inf:
        _kept_s.pop(endpoint, None)
    elif _kept_s.get(endpoint) != kept_s and len(_kept_s) < _MOST_TOLD:
        _kept_s[endpoint] = kept_s
        words = "%s: the server keeps a session that was lost for %.0f s, though %.0f s were asked for"
        _log.warning(
            words + ": one with few sessions may be full for as long after a break", source, kept_s, asked_s
        )


def _perhaps_ours(client: GuardedClient, endpoint: str) -> str:
    kept_s = _kept_s.get(endpoint, client.asked_session_s)
    longer = "" if endpoint in _kept_s else " or longer, as the server likes"
    return f"it may be our own session of before, which ends by itself after {kept_s:.0f} s{longer}"


async def _close(client: GuardedClient, ours: Turn) -> None:
    """Say goodbye within a second, then cut.

    `disconnect` alone leaves the socket open once asyncua takes itself for disconnected.
    """
    has_session = client.uaclient.has_session
    try:
        if client.guard is not None and client.guard.is_open:
            await asyncio.wait_for(client.disconnect(), _CLOSE_S)
            has_session = False
    except LIBRARY_ERRORS:
        pass
    finally:
        if client.guard is not None and has_session:
            ours.vacancy.left_behind(client.guard.heard_s, client.session_timeout / 1000)
        if client.guard is not None:
            client.guard.abort()
    if client.guard is not None and client.guard.was_open:
        await client.guard.closed.wait()


def hush() -> None:
    """Keep asyncua's log out of ours: its tracebacks repeat each second, and errors are raised here.

    A level that somebody has set stays.
    """
    for name, level in _LOUDEST.items():
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(level)
