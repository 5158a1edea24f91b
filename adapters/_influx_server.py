"""An InfluxDB server: where to write, what its answers mean. All of it blocks; errors are converted here."""

import gzip
import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from msgspec import MsgspecError, Struct, json
from pydantic import Field, field_validator, model_validator
from urllib3 import PoolManager
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError, ProtocolError
from urllib3.exceptions import TimeoutError as HttpTimeout

from adapters._influx_wire import Wire
from edge.contract import Duration, Secret, SinkError, SinkLost, SinkRefused, SinkSettings, refuse

log = logging.getLogger("lineside.influxdb")

CONNECT_S = 3.0
"""No longer to reach the server: it must be possible to end within 5 s, and connecting cannot be cut."""

LONGEST_WAIT_S = 300.0
"""However long a server wants to be left alone."""

HABIT = 3
"""A server that hangs up so many times in a row after its answer, and takes a new connection at once, was not
killed: it is its habit."""

SOON_S = 0.05
"""After an answer; nobody waits for longer at a connect."""

LATER_S = 0.5
"""After an answer, once it has hung up. One that was killed and is back stays for longer."""

WRITTEN = 204
"""The one answer to a write that the API of InfluxDB 1, 2 and 3 documents as success."""

_BAD = frozenset({201, 400, 413, 422})
"""About the points; 201 is a partial write's (InfluxDB Cloud Dedicated, "Handle write responses")."""
_LATER = frozenset({408, 425, 429})
_LEVEL = 1
"""Of gzip: a tenth of the bytes; the highest takes three times as long for a fifteenth."""
_DROPPED = re.compile(r"\bdropped=(\d+)")
_FIELD = re.compile(
    r"input field \\?\"(.+?)\\?\" on measurement \\?\"telemetry|column type for column '(.+?)'"
)
"""How 1.x and 2.x, and 3.x, name the field of a type conflict in telemetry."""
_PORTAL = "is a login page (captive portal) or a proxy in the way?"
_ADVICE = {
    "v2": {
        401: "check the token",
        403: "give the token write access to the bucket",
        404: 'check url, org and bucket; create the bucket first; InfluxDB 1.x needs `api = "v1"`',
    },
    "v1": {
        401: "check user and password",
        403: "give the user the right to write to the database",
        404: "check url and bucket; create the database first",
    },
}


class Settings(SinkSettings):
    """`[sink.NAME]` with `type = "influxdb"`."""

    url: str
    """`http://host:8086` or `https://host:8086`."""
    api: Literal["v2", "v1"] = "v2"
    """`v2`: `/api/v2/write`, of InfluxDB 2 and 3 and of all that speaks like them. `v1`: `/write`, of 1.x."""
    bucket: str = Field(min_length=1)
    """Of `v1` the database, or `database/retention-policy`."""
    org: str = "-"
    """InfluxDB 2 wants one; servers without organisations ignore it."""
    token: Secret | None = None
    """Of `v2`."""
    user: str | None = None
    """Of `v1`, with `password`, where the server asks for them."""
    password: Secret | None = None
    gzip: bool = True
    """Compress what is sent: a tenth of the bytes for a little CPU."""
    timeout: Duration = timedelta(seconds=10)
    """How long one request may take; connecting takes 3 s at the most."""
    ca: str | None = None
    """PEM file of the authority that signed the server's certificate; the system's unless given."""

    @field_validator("url")
    @classmethod
    def _http(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError('write the server as "http://host:8086" or "https://host:8086"')
        if parts.username is not None or parts.password is not None:
            raise ValueError("a secret does not belong into the URL; refer to it as `token` or `password`")
        parts.port  # noqa: B018 (raises ValueError when it is no port)
        return value

    @field_validator("user")
    @classmethod
    def _name(cls, value: str | None) -> str | None:
        if value is not None and (not value or ":" in value):
            raise ValueError("a user's name is not empty and has no colon")
        return value

    @model_validator(mode="after")
    def _of_one_api(self) -> "Settings":
        named = self.user is not None, self.password is not None
        half, strange = any(named) and not all(named), any(named) and self.api == "v2"
        token = self.api == "v1" and self.token is not None
        refuse(
            "`user` and `password` go together" if half else "",
            '`user` and `password` are of `api = "v1"`; the v2 write API wants a `token`' if strange else "",
            'a `token` is of `api = "v2"`; InfluxDB 1.x wants `user` and `password`' if token else "",
        )
        return self


class Faulty(Exception):
    """The server finds fault with points: 400, 413 and 422, and 201 with some of them."""

    def __init__(self, reason: str, dropped: int, *, is_too_large: bool = False) -> None:
        self.reason = reason
        self.dropped = dropped
        """How many of the points it dropped, where it says so; the others are stored (`partial write`)."""
        self.is_too_large = is_too_large
        found = _FIELD.search(reason)
        self.field = (found[1] or found[2]) if found else ""
        """Of telemetry, the field with another type than it had, where it says so."""
        super().__init__(reason)


class Server:
    """The server, one request at a time over one connection."""

    def __init__(self, name: str, settings: Settings, wire: Wire) -> None:
        """Raises SinkRefused for a secret that cannot be had."""
        self._name = name
        self._url = settings.url.rstrip("/")
        self._api = settings.api
        self._gzip = settings.gzip
        self._wire = wire
        self._timeout_s = settings.timeout.total_seconds()
        self._last = b""
        timeout_ms = int(settings.timeout.total_seconds() * 1000)
        self._client = InfluxDBClient(
            settings.url,
            token=_credentials(name, settings),
            auth_basic=settings.user is not None,
            timeout=(min(timeout_ms, int(CONNECT_S * 1000)), timeout_ms),
            ssl_ca_cert=settings.ca,
            connection_pool_maxsize=1,
            retries=False,
        )
        manager: PoolManager = self._client.api_client.rest_client.pool_manager
        wire.watch(manager)
        self._path, self._query = _endpoint(settings)

    def ping(self) -> None:
        """Raises SinkError unless somebody answers; any answer in HTTP will do but 5xx.

        What that says of when to come back is not passed on: a proxy may say it of a server that was killed.
        """
        try:
            self._call("/ping", "GET", {})
        except ApiException as error:
            if not error.status:
                raise self.failure(error) from error
            if error.status >= 500:
                raise SinkLost(self._name, self.failure(error).reason) from error
        except (HTTPError, UnicodeDecodeError, OSError) as error:
            raise self.failure(error) from error

    def write(self, points: bytes) -> None:
        """One request. Raises Faulty for what is about the points, or SinkError."""
        try:
            self._post(points)
        except SinkLost as lost:
            if not isinstance(lost.__cause__, ProtocolError) or not self._takes_one_each():
                raise
            self._post(points)
        self._last = points

    def _post(self, points: bytes) -> None:
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if self._gzip:
            points = gzip.compress(points, _LEVEL, mtime=0)
            headers["Content-Encoding"] = "gzip"
        try:
            self._call(self._path, "POST", headers, self._query, points)
        except ApiException as error:
            if error.status in _BAD:
                large = error.status == 413
                raise Faulty(reason_of(error), _dropped(error), is_too_large=large) from error
            raise self.failure(error) from error
        except (HTTPError, UnicodeDecodeError, OSError) as error:
            raise self.failure(error) from error

    def learn(self) -> None:
        """See whether it hangs up after each answer, before it has anything that it could forget."""
        self._has_habit(self.ping, SOON_S)

    def was_killed(self) -> bool:
        """Whether a hang-up was more than a habit.

        What it took last is written again to see it: the same points, so nothing is lost if it was killed
        before its habit was known.
        """
        try:
            return not self._has_habit(lambda: self._post(self._last), LATER_S)
        except (SinkError, Faulty):
            return True

    def _takes_one_each(self) -> bool:
        """Whether a request had no answer only because the server had the habit of ending the connection."""
        if self._wire.one_each:
            return False
        with suppress(SinkError):
            self.ping()
            return self._has_habit(self.ping, LATER_S)
        return False

    def _has_habit(self, ask: Callable[[], None], within_s: float) -> bool:
        if self._wire.one_each:
            return True
        for _ in range(HABIT):
            if not self._wire.hangs_up_within(within_s):
                return False
            ask()
        self._wire.one_each = True
        self._wire.hangs_up_within(within_s)  # else the next request would go over what is about to end
        words = "%s: %s hangs up after every answer without saying so; taken for its habit from now on"
        log.warning(words, self._name, self._url)
        return True

    def close(self) -> None:
        self._client.close()  # type: ignore[no-untyped-call]

    def _call(
        self,
        path: str,
        method: str,
        headers: dict[str, str],
        query: list[tuple[str, str]] | None = None,
        body: bytes | None = None,
    ) -> None:
        client: Any = self._client.api_client
        self._wire.begin(self._timeout_s)
        client.call_api(path, method, {}, query, headers, body=body)
        if method == "POST" and client.last_response.status != WRITTEN:
            raise ApiException(http_resp=client.last_response)  # type: ignore[no-untyped-call]

    def failure(self, error: Exception) -> SinkError:
        """What an error of the library means for the sink."""
        if isinstance(error, ApiException):
            return self._answer(error)
        if isinstance(error, NameResolutionError):
            words = "the name is not known; check url, and the name server"
        elif isinstance(error, NewConnectionError):
            words = "nobody listens there; is the server running?"
        elif isinstance(error, HttpTimeout) or any(isinstance(one, TimeoutError) for one in error.args):
            words = "no answer in time"
        else:
            words = f"the connection broke: {error}"
        return SinkLost(self._name, f"{self._url}: {words}")

    def hung_up(self) -> SinkLost:
        """Where it closed the connection so soon after it took events that it may have forgotten them."""
        words = "hung up soon after it took events; it may have been killed"
        return SinkLost(self._name, f"{self._url} {words}")

    def refuses(self, reason: str) -> SinkRefused:
        """Where it finds fault with whatever is sent."""
        words = f"{self._url} takes none of the events: {reason}"
        return SinkRefused(self._name, f"{words}; check url, and the field types of {self._path}")

    def _answer(self, error: ApiException) -> SinkError:
        status, said = error.status or 0, reason_of(error)
        if status == 0:
            words = f"{self._url}: no TLS: {said}"
            return SinkRefused(self._name, f"{words}; check `ca`, and that this port speaks TLS")
        if status >= 500 or status in _LATER:
            words = f"{self._url} answers {status}: {said}"
            return SinkLost(self._name, words, wait_of(error), alive=status == 429)
        if status < 400:
            words = f"{self._url} answers {status} to a write, and not {WRITTEN} as InfluxDB does: {said}"
            return SinkRefused(self._name, f"{words}; check url; {_PORTAL}")
        advice = _ADVICE[self._api].get(status, f"check url; is this an InfluxDB with {self._path}?")
        return SinkRefused(self._name, f"{self._url} answers {status}: {said}; {advice}")


class _Fault(Struct):
    error_message: str = ""


class _Answer(Struct):
    """The body of an error: 2.x says `message`, 1.x `error`, 3.x `error` and more about lines in `data`."""

    message: str = ""
    error: str = ""
    data: list[_Fault] | _Fault | None = None

    @property
    def words(self) -> str:
        faults = [self.data] if isinstance(self.data, _Fault) else self.data or []
        return ": ".join(
            filter(None, [self.message or self.error, *(one.error_message for one in faults[:1])])
        )


def _said(error: ApiException) -> str:
    with suppress(MsgspecError):
        if words := json.decode(error.body or "", type=_Answer).words:
            return words
    return str(error.message or error.reason or "no reason given")


def reason_of(error: ApiException) -> str:
    """The server's own words, on one line."""
    words = " ".join(_said(error).split())
    return words if len(words) <= 300 else f"{words[:300]} ..."


def wait_of(error: ApiException) -> float:
    """Seconds of its `Retry-After` (RFC 9110, 10.2.3: seconds or a date), 0 where there is none.

    A date is compared with the answer's own `Date`, for the clock of this box may be another.
    """
    headers: Mapping[str, str] = error.headers or {}
    told = str(headers.get("Retry-After") or "").strip()
    if told.isascii() and told.isdigit():
        wait = timedelta(seconds=min(int(told[:9]), LONGEST_WAIT_S))
    else:
        begin, end = _moment(headers.get("Date")), _moment(told)
        wait = end - begin if begin is not None and end is not None else timedelta(0)
    return min(max(wait.total_seconds(), 0.0), LONGEST_WAIT_S)


def _moment(text: str | None) -> datetime | None:
    """A date as HTTP writes it; None where it is none, or has no zone."""
    try:
        moment = parsedate_to_datetime(text or "")
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else None


def _dropped(error: ApiException) -> int:
    found = _DROPPED.search(_said(error))
    return int(found[1][:9]) if found else 0


def _endpoint(settings: Settings) -> tuple[str, list[tuple[str, str]]]:
    """Where a write goes and what is asked for there."""
    if settings.api == "v1":
        database, _, policy = settings.bucket.partition("/")
        named = [("db", database), *([("rp", policy)] if policy else [])]
        return "/write", [*named, ("precision", "ns")]
    return "/api/v2/write", [("org", settings.org), ("bucket", settings.bucket), ("precision", "ns")]


def _credentials(sink: str, settings: Settings) -> str:
    """The token's text, or `user:password`; empty where there is none, and then no header is sent."""
    token = _revealed(sink, "token", settings.token)
    if not (token.isascii() and token.isprintable()):
        raise SinkRefused(sink, "the token has characters that no token has; is it the right secret?")
    if settings.user is None:
        return token
    return f"{settings.user}:{_revealed(sink, 'password', settings.password)}"


def _revealed(sink: str, key: str, secret: Secret | None) -> str:
    try:
        return secret.reveal() if secret is not None else ""
    except (OSError, LookupError, UnicodeDecodeError) as error:
        raise SinkRefused(sink, f"the {key} cannot be read: {error}") from error
