"""How a server is reached: the keys of a `[source.NAME]` of `type = "opcua"`."""

from datetime import timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from edge.contract import Duration, Secret, SourceSettings, refuse

_PORT = 4840  # registered for opc.tcp


def _endpoint(text: str) -> str:
    url = urlsplit(text)
    if url.scheme != "opc.tcp" or not url.hostname:
        raise ValueError('write it as "opc.tcp://192.168.10.21:4840"')
    if "@" in url.netloc:
        raise ValueError("a user does not belong here; use the keys user and password")
    return text if url.port else text.replace(url.netloc, f"{url.netloc.rstrip(':')}:{_PORT}", 1)


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

    def warnings(self) -> list[str]:
        if self.security != "None":
            return []
        words = 'security = "None": who can reach the network can read and change what is sent'
        password = ["the password may go over the network in clear text"] if self.password is not None else []
        return ["; ".join([words, *password])]


def _halves(first: str, one: str | None, second: str, other: str | None) -> str:
    return "" if (one is None) == (other is None) else f"{first} and {second} go together"
