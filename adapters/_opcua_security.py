"""Who a client says it is, and how far the channel is protected."""

from pathlib import Path
from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto import security_policies
from asyncua.crypto.uacrypto import CertProperties, load_certificate
from cryptography import x509

from adapters._opcua_errors import LIBRARY_ERRORS
from edge.contract import SourceRefused

if TYPE_CHECKING:
    from adapters._opcua_settings import Settings

_POLICIES: dict[str, type[security_policies.SecurityPolicy]] = {
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128Sha256RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256Sha256RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}


async def secure(client: Client, settings: "Settings", source: str) -> None:
    """Set user and security before the first byte. Raises SourceRefused; opens no connection."""
    if settings.user is not None:
        client.set_user(settings.user)
    if settings.password is not None:
        client.set_password(_revealed(settings, source))
    if settings.security == "None":
        return
    policy, _, mode = settings.security.partition(":")
    ours = _file(source, "certificate", settings.certificate)
    key = _file(source, "key", settings.key)
    theirs = _file(source, "server_certificate", settings.server_certificate)
    try:
        client.application_uri = await _application_uri(ours, client.application_uri)
        await client.set_security(
            _POLICIES[policy], ours, key, server_certificate=theirs, mode=ua.MessageSecurityMode[mode]
        )
    except LIBRARY_ERRORS as error:
        why = f"certificate, key or server_certificate cannot be used: {error or type(error).__name__}"
        raise SourceRefused(source, why) from error


def _revealed(settings: "Settings", source: str) -> str:
    try:
        return settings.password.reveal() if settings.password is not None else ""
    except (OSError, LookupError) as error:
        raise SourceRefused(source, f"the password cannot be read: {error}") from error


def _file(source: str, key: str, path: str | None) -> CertProperties:
    try:
        content = Path(path or "").read_bytes()
    except OSError as error:
        raise SourceRefused(source, f"{key} cannot be read: {error}") from error
    return CertProperties(content, extension="pem" if content.startswith(b"-----BEGIN") else "der")


async def _application_uri(certificate: CertProperties, otherwise: str) -> str:
    """The URI in our certificate: a server compares it with the one that the client claims."""
    loaded = await load_certificate(certificate.path_or_content, certificate.extension)
    try:
        names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return otherwise
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0] if uris else otherwise
