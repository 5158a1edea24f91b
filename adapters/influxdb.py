"""Sink `influxdb`: events as line protocol to InfluxDB's v2 write API, through influxdb-client.

The library's own retries are off: delivery retries, and it forgets nothing.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import urlsplit

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS, WriteApi
from influxdb_client.rest import ApiException
from influxdb_client.service.ping_service import PingService
from pydantic import Field, field_validator
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError
from urllib3.exceptions import TimeoutError as HttpTimeout

from adapters._line_protocol import lines
from edge.contract import (
    Duration,
    Outlet,
    Receipt,
    Record,
    Secret,
    Sink,
    SinkError,
    SinkLost,
    SinkRefused,
    SinkSettings,
    Unmarked,
)

REQUESTS = 64
"""Requests of one write at the most, while bad events are searched for; the rest is for the next write."""

_TOO_LARGE = 413
_BAD = frozenset({400, 422})
_LATER = frozenset({408, 425, 429})
_ADVICE = {
    401: "check the token",
    403: "give the token write access to the bucket",
    404: "check url, org and bucket; create the bucket first",
}


class Settings(SinkSettings):
    """`[sink.NAME]` with `type = "influxdb"`."""

    url: str
    """`http://host:8086` or `https://host:8086`."""
    bucket: str = Field(min_length=1)
    org: str = "-"
    """InfluxDB 2 wants one; servers without organisations ignore it."""
    token: Secret | None = None
    gzip: bool = True
    """Compress what is sent: a tenth of the bytes for a little CPU."""
    timeout: Duration = timedelta(seconds=10)
    """How long one request may take."""
    ca: str | None = None
    """PEM file of the authority that signed the server's certificate; the system's unless given."""

    @field_validator("url")
    @classmethod
    def _http(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError('write the server as "http://host:8086" or "https://host:8086"')
        if parts.username is not None or parts.password is not None:
            raise ValueError("a secret does not belong into the URL; refer to it as `token`")
        parts.port  # noqa: B018 (raises ValueError when it is no port)
        return value


PROBE = "lineside_probe ok=true 0"
"""A point that any InfluxDB takes; it tells a bad event from a bad server."""


class Server:
    """The server, one request at a time. Its methods block."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._name = name
        self._url = settings.url
        self._bucket = settings.bucket
        self._client = InfluxDBClient(
            settings.url,
            token=_token(name, settings),
            org=settings.org,
            timeout=int(settings.timeout.total_seconds() * 1000),
            enable_gzip=settings.gzip,
            ssl_ca_cert=settings.ca,
            retries=False,
        )
        self._api: WriteApi = self._client.write_api(write_options=SYNCHRONOUS)

    def ping(self) -> None:
        """Raises SinkError unless somebody answers; any answer in HTTP will do."""
        try:
            PingService(self._client.api_client).get_ping()  # type: ignore[no-untyped-call]
        except ApiException as error:
            if not error.status or error.status >= 500:
                raise self.failure(error) from error
        except (HTTPError, UnicodeDecodeError, OSError) as error:
            raise self.failure(error) from error

    def write(self, points: str) -> None:
        """One request. Raises ApiException for 400, 413 and 422, which are about the points, or SinkError."""
        try:
            self._api.write(self._bucket, record=points)
        except ApiException as error:
            if error.status in _BAD or error.status == _TOO_LARGE:
                raise
            raise self.failure(error) from error
        except (HTTPError, UnicodeDecodeError, OSError) as error:
            raise self.failure(error) from error

    def close(self) -> None:
        self._client.close()  # type: ignore[no-untyped-call]

    def failure(self, error: Exception) -> SinkError:
        """What an error of the library means for the sink."""
        if isinstance(error, ApiException):
            return self._answer(error)
        if isinstance(error, NameResolutionError):
            words = "the name is not known; check url, and the name server"
        elif isinstance(error, NewConnectionError):
            words = "nobody listens there; is the server running?"
        elif isinstance(error, HttpTimeout):
            words = "no answer in time"
        else:
            words = f"the connection broke: {error}"
        return SinkLost(self._name, f"{self._url}: {words}")

    def refuses(self, reason: str) -> SinkRefused:
        """Where it finds fault with whatever is sent."""
        words = f"{self._url} takes none of the events: {reason}"
        return SinkRefused(self._name, f"{words}; check url, and the bucket's field types")

    def _answer(self, error: ApiException) -> SinkError:
        status, said = error.status or 0, reason_of(error)
        if status == 0:
            words = f"{self._url}: no TLS: {said}"
            return SinkRefused(self._name, f"{words}; check `ca`, and that this port speaks TLS")
        if status >= 500 or status in _LATER:
            return SinkLost(self._name, f"{self._url} answers {status}: {said}")
        advice = _ADVICE.get(status, "check url; is this an InfluxDB with the v2 write API?")
        return SinkRefused(self._name, f"{self._url} answers {status}: {said}; {advice}")


def reason_of(error: ApiException) -> str:
    """The server's own words, on one line."""
    words = " ".join(str(error.message or error.reason or "no reason given").split())
    return words if len(words) <= 300 else f"{words[:300]} ..."


def _token(sink: str, settings: Settings) -> str:
    """The token's text; empty where there is none, and then no Authorization header is sent."""
    try:
        token = settings.token.reveal() if settings.token is not None else ""
    except (OSError, LookupError, UnicodeDecodeError) as error:
        raise SinkRefused(sink, f"the token cannot be read: {error}") from error
    if not (token.isascii() and token.isprintable()):
        raise SinkRefused(sink, "the token has characters that no token has; is it the right secret?")
    return token


class InfluxSink(Unmarked):
    """A server that has answered. It has no notion of a current state."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def write(self, records: Sequence[Record]) -> Receipt:
        return await asyncio.to_thread(self._deliver, records)

    async def show(self, states: Mapping[str, bytes]) -> None:
        """The last point of a series is its current value."""

    def _deliver(self, records: Sequence[Record]) -> Receipt:
        """Send; halve what the server finds fault with until the bad events stand alone.

        The good half of a batch may have been stored with the bad one: writing it again changes nothing.
        """
        acknowledged: list[int] = []
        rejected: dict[int, str] = {}
        parts = deque([[(record.seq, "\n".join(lines(record))) for record in records]] if records else [])
        requests = 0
        while parts and requests < REQUESTS:
            part = parts.popleft()
            requests += 1
            try:
                self._server.write("\n".join(text for _, text in part))
                acknowledged.extend(seq for seq, _ in part)
            except ApiException as error:
                if len(part) == 1:
                    rejected[part[0][0]] = reason_of(error)
                else:
                    parts.extendleft([part[len(part) // 2 :], part[: len(part) // 2]])
            except SinkError:
                if not acknowledged and not rejected:
                    raise
                break
        return self._believed(acknowledged, rejected)

    def _believed(self, acknowledged: Sequence[int], rejected: Mapping[int, str]) -> Receipt:
        """A server that takes nothing at all may be no InfluxDB: then no event is given up for it.

        Where no good event stands beside the bad ones, a point that is always good is tried.
        """
        if rejected and not acknowledged:
            try:
                self._server.write(PROBE)
            except ApiException as error:
                raise self._server.refuses(reason_of(error)) from error
        return Receipt(acknowledged, rejected)


@asynccontextmanager
async def connect(settings: Settings, outlet: Outlet) -> AsyncIterator[Sink]:
    """Reach the server. Raises SinkLost or SinkRefused.

    HTTP has no standing connection: this asks for a sign of life, each write shows the rest.
    """
    server = Server(outlet.name, settings)
    try:
        await asyncio.to_thread(server.ping)
        yield InfluxSink(server)
    finally:
        server.close()
