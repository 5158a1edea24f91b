"""How a server is reached: the keys of a `[source.NAME]` of `type = "opcua"`."""

import ipaddress
import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from edge.contract import Duration, Secret, SourceSettings, refuse

_PORT = 4840  # registered for opc.tcp


_MOST_PORT = 65535
_AS = 'write it as "opc.tcp://192.168.10.21:4840"'
_ENDPOINT = re.compile(r"(?i:opc\.tcp)://(\[[^]/]*]|[^]\[:/]*)(?::([^/]*))?(/.*)?")
"""Host, port, path; the host of version 6 of the Internet's addresses is in brackets."""
_HOST = re.compile(r"[\w.-]+")
_ADDRESS = re.compile(r"[\d.]+|\[.*]")
"""What is an address and not a name."""


def _endpoint(text: str) -> str:
    """With its port. What may hold a password is not repeated."""
    refuse("a user does not belong here; use the keys user and password" if "@" in text else "")
    host, port, path = _parts(text)
    return f"opc.tcp://{host}:{port}{path}"


def _parts(text: str) -> tuple[str, int, str]:
    """Raises ValueError with a sentence."""
    found = _ENDPOINT.fullmatch(text)
    if found is None:
        raise ValueError(_AS)
    host, port, path = found[1], found[2] or str(_PORT), found[3] or ""
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) <= _MOST_PORT:
        raise ValueError(f"the port is a number from 1 to {_MOST_PORT}, and {_PORT} where it is left out")
    try:
        if _ADDRESS.fullmatch(host):
            ipaddress.ip_address(host.strip("[]"))
        elif not _HOST.fullmatch(host):
            raise ValueError("no name")
    except ValueError as error:
        raise ValueError(f"{host!r} is neither a host's name nor its address: {_AS}") from error
    if any(one.isspace() or not one.isprintable() for one in path):
        raise ValueError("has a space in its path; %20 stands for one")
    return host, int(port), path


def _same(host: str) -> str:
    """The one way of writing a host, as far as that can be told without asking anybody."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        name = host.lower().rstrip(".")
        return "localhost" if name.endswith(".localhost") else name
    mapped = getattr(address, "ipv4_mapped", None)
    return "localhost" if (mapped or address).is_loopback else str(mapped or address)


class Settings(SourceSettings):
    """A `[source.NAME]` of `type = "opcua"`: one server, one connection."""

    endpoint: Annotated[str, AfterValidator(_endpoint)]
    """`"opc.tcp://192.168.10.21:4840"`; the port is 4840 where none is given."""
    security: Literal[
        "None",
        "Basic256Sha256:Sign",
        "Basic256Sha256:SignAndEncrypt",
        "Aes128Sha256RsaOaep:Sign",
        "Aes128Sha256RsaOaep:SignAndEncrypt",
        "Aes256Sha256RsaPss:Sign",
        "Aes256Sha256RsaPss:SignAndEncrypt",
    ] = "Basic256Sha256:SignAndEncrypt"
    """Policy and mode. `"None"` protects nothing, and is taken only where it is written."""
    certificate: str | None = None
    """Path of a certificate of our own, DER or PEM, in place of the one that Lineside makes."""
    key: str | None = None
    """Path of its private key, DER or PEM, without a passphrase."""
    server_certificate: str | None = None
    """Path of the server's own certificate, DER or PEM: only this very one is accepted."""
    user: str | None = Field(default=None, min_length=1, max_length=256)
    """Name of the user; nobody in particular where it is left out."""
    password: Secret | None = None
    """The user's password: `{ credential = "press-plc" }`."""
    user_certificate: str | None = None
    """Path of the certificate that is the user, DER or PEM, in place of a name."""
    user_key: str | None = None
    """Path of its private key, DER or PEM, without a passphrase."""
    publish: Duration = timedelta(milliseconds=200)
    """How often the server sends what has changed."""
    session_timeout: Duration = timedelta(seconds=10)
    """How long the server keeps a session that has gone silent: short, for where it has room for one, a lost
    session blocks the next."""
    request_timeout: Duration = timedelta(seconds=4)
    """How long one request may take."""
    subscribe: bool = True
    """False: read at each signal's `every` instead, for a server whose subscriptions cannot be trusted."""

    @model_validator(mode="after")
    def _whole(self) -> "Settings":
        bare = self.security == "None"
        files = any((self.certificate, self.key, self.server_certificate))
        by_certificate = self.user_certificate is not None or self.user_key is not None
        refuse(
            'certificate, key and server_certificate do nothing with security = "None"'
            if bare and files
            else _halves("certificate", self.certificate, "key", self.key),
            "a password needs a user" if self.password is not None and self.user is None else "",
            _halves("user_certificate", self.user_certificate, "user_key", self.user_key),
            "user and user_certificate: give one of them" if by_certificate and self.user is not None else "",
            'user_certificate proves nothing with security = "None"' if by_certificate and bare else "",
        )
        return self

    def owns(self) -> list[str]:
        """The endpoint: two sources would ask one server for two sessions, and fight where it has one."""
        host, port, path = _parts(self.endpoint)
        name = _same(host)
        return [f"opc.tcp://{f'[{name}]' if ':' in name else name}:{port}{path.rstrip('/')}"]

    def warnings(self) -> list[str]:
        if self.security != "None":
            return []
        words = 'security = "None": who can reach the network can read and change what is sent'
        password = ["the password may go over the network in clear text"] if self.password is not None else []
        return ["; ".join([words, *password])]


def _halves(first: str, one: str | None, second: str, other: str | None) -> str:
    return "" if (one is None) == (other is None) else f"{first} and {second} go together"
