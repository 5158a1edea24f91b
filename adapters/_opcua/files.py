"""Certificates and lists of revoked ones as files: bounded reads, writes that are whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

LARGEST = 256 * 1024
"""Bytes of one file, or of a chain that a server sends."""
LONGEST_CHAIN = 10
_SEQUENCE = 0x30


class Unusable(Exception):
    """A file, or what a server sent, cannot be used; the text is a sentence."""


def read_bounded(path: Path) -> bytes:
    """Raises Unusable."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise Unusable(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise Unusable(f"{path} is longer than {LARGEST // 1024} KiB, so it is no certificate, key or list")
    return content


def certificates(path: Path) -> list[x509.Certificate]:
    """What a file holds, one at least, in its order; DER or PEM. Raises Unusable."""
    content = read_bounded(path)
    try:
        if b"-----BEGIN" in content:
            found = x509.load_pem_x509_certificates(content)[:LONGEST_CHAIN]
        else:
            found = chain(content)
    except ValueError as error:
        raise Unusable(f"{path} holds no certificate") from error
    return found


def chain(content: bytes) -> list[x509.Certificate]:
    """The certificates in DER that stand one after the other, as OPC UA sends them. Raises ValueError."""
    if len(content) > LARGEST:
        raise ValueError("too long")
    found = [x509.load_der_x509_certificate(one) for one in _sequences(content)]
    if not found:
        raise ValueError("no certificate")
    for one in found:  # the library parses late: what cannot be read is told here, not amid a check
        _touch(one)
    return found


def first(content: bytes) -> bytes:
    """The bytes of the leading certificate. Raises ValueError."""
    return next(_sequences(content), b"")


def _sequences(content: bytes) -> Iterator[bytes]:
    """Cut DER into its outermost elements (X.690, 8.1.3: definite lengths)."""
    at = count = 0
    while at < len(content):
        count += 1
        if content[at] != _SEQUENCE or count > LONGEST_CHAIN:
            raise ValueError("no certificate")
        short = content[at + 1] if at + 1 < len(content) else 0
        wide = short & 0x7F if short & 0x80 else 0
        length = int.from_bytes(content[at + 2 : at + 2 + wide]) if wide else short
        end = at + 2 + wide + length
        if wide > 4 or end > len(content):
            raise ValueError("cut short")
        yield content[at:end]
        at = end


def _touch(one: x509.Certificate) -> None:
    try:
        _ = one.extensions, one.subject, one.issuer, one.not_valid_after_utc, one.serial_number
        one.public_key()
    except (UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError("a certificate of a kind that is not known here") from error


def revocations(path: Path) -> x509.CertificateRevocationList:
    """Raises Unusable."""
    content = read_bounded(path)
    try:
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_crl(content)
        return x509.load_der_x509_crl(content)
    except ValueError as error:
        raise Unusable(f"{path} holds no list of revoked certificates") from error


def thumbprint(certificate: x509.Certificate) -> str:
    """The SHA-1 of it, as OPC UA and the tools of the makers name a certificate (OPC 10000-6, 6.2.2)."""
    return certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303 (a name, not a proof)


def uris(certificate: x509.Certificate) -> list[str]:
    """The URIs that it says it is; the first is the application's."""
    names = alternative_names(certificate)
    return names.get_values_for_type(x509.UniformResourceIdentifier) if names is not None else []


def alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def own_it(path: Path) -> None:
    """Make a folder, and those above it; where root does so, for the owner of the folder that was there."""
    made = []
    while not path.exists():
        made.append(path)
        path = path.parent
    for one in reversed(made):
        one.mkdir(mode=0o700, exist_ok=True)
        _give(one)


def keep(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, readable for its owner only. Raises OSError."""
    own_it(path.parent)
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _give(beside)
        beside.replace(path)
        _sync(path.parent)
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()


def _give(path: Path) -> None:
    """What root makes in the agent's folder is the agent's."""
    if os.geteuid() == 0:
        above = path.parent.stat()
        os.chown(path, above.st_uid, above.st_gid)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
