"""The folders of certificates that are trusted, and of those that wait to be."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from adapters._opcua.files import (
    Unusable,
    certificate,
    certificates,
    keep,
    opened,
    remove,
    revocations,
    thumbprint,
    unusable,
)

_REJECTED = 20
_FILES = 200
"""Files of one folder that are read."""
_SUFFIXES = {".der", ".pem", ".crt", ".cer", ".crl"}


@dataclass(frozen=True, slots=True)
class Trusted:
    """Which certificates are believed, and which are taken back."""

    trusted: tuple[x509.Certificate, ...] = ()
    issuers: tuple[x509.Certificate, ...] = ()
    """Known, to find the way to a trusted one; not trusted by themselves."""
    revoked: tuple[x509.CertificateRevocationList, ...] = ()
    unreadable: tuple[str, ...] = ()
    """Files that are none of these, a sentence each."""


class TrustList:
    """The folders DATA/pki/{trusted,issuers,rejected}. All methods touch the disk."""

    def __init__(self, pki: Path) -> None:
        self._pki = pki
        self.rejected = pki / "rejected"

    def load(self) -> Trusted:
        """All that is there now; a file that cannot be read hinders no other. Makes the folders, so that a
        person sees where to put what. Raises Unusable."""
        try:
            for name in ("trusted/certs", "trusted/crl", "issuers/certs", "issuers/crl", "rejected"):
                with opened(self._pki, *name.split("/")):
                    pass
        except OSError as error:
            raise unusable(error, self._pki) from error
        bad: list[str] = []
        return Trusted(
            tuple(self._certificates("trusted/certs", bad)),
            tuple(self._certificates("issuers/certs", bad)),
            tuple(self._lists(bad)),
            tuple(bad),
        )

    def trust(self, der: bytes) -> Path:
        """From now on this very certificate is believed. Raises Unusable."""
        return self._put(("trusted", "certs"), der)

    def reject(self, certificate: x509.Certificate) -> None:
        """Keep it for a person to look at; the oldest of too many goes. A full disk is no hindrance."""
        with suppress(Unusable, OSError):
            self._put(("rejected",), certificate.public_bytes(serialization.Encoding.DER))
            kept = sorted(_files(self.rejected), key=lambda one: one.stat().st_mtime)
            with opened(self._pki, "rejected") as folder:
                for one in kept[:-_REJECTED]:
                    remove(folder, one.name)

    def waiting(self) -> list[x509.Certificate]:
        """Those that servers have shown, and nobody has trusted."""
        return list(self._certificates("rejected", []))

    def release(self, print_: str) -> None:
        """It is trusted: nobody needs to look at it any more."""
        with suppress(OSError), opened(self._pki, "rejected") as folder:
            remove(folder, f"{print_}.der")

    def _put(self, folder: Sequence[str], der: bytes) -> Path:
        try:
            name = f"{thumbprint(certificate(der))}.der"
            return keep(self._pki, folder, name, der)
        except ValueError as error:
            raise Unusable("this is no certificate") from error
        except OSError as error:
            raise unusable(error, self._pki) from error

    def _certificates(self, folder: str, bad: list[str]) -> Iterator[x509.Certificate]:
        for path in _files(self._pki / folder):
            try:
                yield from certificates(path)
            except Unusable as error:
                bad.append(str(error))

    def _lists(self, bad: list[str]) -> Iterator[x509.CertificateRevocationList]:
        for folder in ("trusted/crl", "issuers/crl"):
            for path in _files(self._pki / folder):
                try:
                    yield revocations(path)
                except Unusable as error:
                    bad.append(str(error))


def _files(folder: Path) -> list[Path]:
    try:
        found = [one for one in folder.iterdir() if one.suffix.lower() in _SUFFIXES and one.is_file()]
    except OSError:
        return []
    return sorted(found)[:_FILES]
