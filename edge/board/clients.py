"""Who may send orders: the clients of `[[board.client]]`, each known by its bearer token (RFC 6750)."""

import hmac
import ipaddress
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import ceil

from edge.config.tables import ClientTable
from edge.errors import BoardRefused

log = logging.getLogger("lineside.board")

SHORTEST = 16
LONGEST = 1_000
"""Characters of a token."""
TRIES = 20
"""So many wrong tokens of one address are heard at once; then one more for each `PAUSE_S`."""
PAUSE_S = 1.0
ADDRESSES = 1_000
"""Addresses that are remembered; the one that failed longest ago is forgotten for a new one."""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What an Authorization header can carry: token68 of RFC 7235."""
_REALM = 'Bearer realm="lineside"'


class Unknown(Exception):
    """Nobody who may send orders. Carries the answer: its status, words and headers."""

    def __init__(self, status: int, words: str, headers: Mapping[str, str]) -> None:
        super().__init__(words)
        self.status = status
        self.headers = headers


@dataclass(frozen=True, slots=True)
class _Client:
    name: str
    digest: bytes


class Clients:
    """Those who may send orders, with their tokens by name. Where there are none, nobody needs a token."""

    def __init__(self, tokens: Mapping[str, str], now: Callable[[], float] = time.monotonic) -> None:
        self._clients = [_Client(name, _digest(token)) for name, token in tokens.items()]
        self._failures = Failures(now)

    def __bool__(self) -> bool:
        return bool(self._clients)

    def sender(self, authorization: Sequence[str], address: str) -> str:
        """The client's name, by what stands in the Authorization headers. Raises Unknown."""
        token = _bearer(authorization)
        if token is None:
            words = "orders need the token of a client: send the header Authorization: Bearer TOKEN"
            raise Unknown(401, words, {"WWW-Authenticate": _REALM})
        wait_s = self._failures.wait_s(address)
        if wait_s:
            words = f"too many wrong tokens came from this address; try again in {wait_s} s"
            raise Unknown(429, words, {"Retry-After": str(wait_s)})
        name = self._named(token)
        if name is None:
            self._failures.add(address)
            words = "no client has this token"
            raise Unknown(401, words, {"WWW-Authenticate": f'{_REALM}, error="invalid_token"'})
        return name

    def _named(self, token: str) -> str | None:
        """Every client is compared, so that the time it takes tells nothing."""
        digest, found = _digest(token), None
        for client in self._clients:
            if hmac.compare_digest(client.digest, digest):
                found = client.name
        return found


class Failures:
    """Wrong tokens by address; what is long ago is forgotten."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._clear_at: OrderedDict[str, float] = OrderedDict()
        """When an address will have nothing against it: each failure moves it by `PAUSE_S`."""

    def __len__(self) -> int:
        return len(self._clear_at)

    def wait_s(self, address: str) -> int:
        """Whole seconds until another token of this address is looked at; 0: now."""
        ahead_s = self._clear_at.get(_place(address), 0.0) - self._now()
        return max(0, ceil(ahead_s - (TRIES - 1) * PAUSE_S))

    def add(self, address: str) -> None:
        now, place = self._now(), _place(address)
        before = self._clear_at.pop(place, 0.0)
        if before <= now:
            log.warning("board: a wrong token came from %s; no order was taken", address)
        self._clear_at[place] = max(now, before) + PAUSE_S
        if len(self._clear_at) > ADDRESSES:
            self._clear_at.popitem(last=False)


def load_clients(tables: Sequence[ClientTable], host: str, port: int) -> Clients:
    """Read the tokens, once. Raises BoardRefused where one cannot be had or is none."""
    tokens: dict[str, str] = {}
    for table in tables:
        key = f"board.client[{table.name}].token"
        try:
            token = table.token.reveal()
        except (OSError, LookupError) as error:
            raise BoardRefused(host, port, f"{key}: {error}") from error
        fault = _fault(token) or _taken(token, tokens)
        if fault:
            raise BoardRefused(host, port, f"{key} {fault}; make one with: openssl rand -hex 32")
        tokens[table.name] = token
    return Clients(tokens)


def _fault(token: str) -> str:
    if len(token) < SHORTEST:
        return f"is shorter than {SHORTEST} characters and could be guessed"
    if len(token) > LONGEST:
        return f"is longer than {LONGEST:,} characters"
    if not _TOKEN.fullmatch(token):
        return "has a character that no header can carry: letters, digits and - . _ ~ + / may be in it"
    return ""


def _taken(token: str, tokens: Mapping[str, str]) -> str:
    others = (name for name, other in tokens.items() if other == token)
    return next((f"is also that of {name}: nobody could say who sent an order" for name in others), "")


def _bearer(authorization: Sequence[str]) -> str | None:
    """The one token; None where there is none, or more than one header."""
    if len(authorization) != 1:
        return None
    scheme, _, token = authorization[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()


def _place(address: str) -> str:
    """Who is limited together: a machine, and with IPv6 its network, for it has 2**64 addresses."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
