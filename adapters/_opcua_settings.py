"""How a server is reached: the keys of a `[source.NAME]` of `type = "opcua"`."""

from datetime import timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator

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
    ] = "None"
    """Policy and mode; all but `"None"` need the three files."""
    certificate: str | None = None
    """Path of our certificate, DER or PEM; it names our URI."""
    key: str | None = None
    """Path of its private key, DER or PEM, without a passphrase."""
    server_certificate: str | None = None
    """Path of the server's own certificate, DER or PEM: only this very one is accepted."""
    user: str | None = None
    """Name of the user; nobody in particular where it is left out."""
    password: Secret | None = None
    """The user's password: `{ credential = "press-plc" }`."""
    publish: Duration = timedelta(milliseconds=200)
    """How often the server sends what has changed."""
    session_timeout: Duration = timedelta(seconds=30)
    """How long the server keeps a session that has gone silent."""
    request_timeout: Duration = timedelta(seconds=4)
    """How long one request may take."""

    @model_validator(mode="after")
    def _whole(self) -> "Settings":
        files = (self.certificate, self.key, self.server_certificate)
        bare, idle = self.security != "None" and None in files, self.security == "None" and any(files)
        refuse(
            f'security = "{self.security}" needs certificate, key and server_certificate' if bare else "",
            'certificate, key and server_certificate do nothing with security = "None"' if idle else "",
            "a password needs a user" if self.password is not None and self.user is None else "",
        )
        return self
