"""Our own certificate: made on first start, renewed before it ends, kept with its key in DATA/pki/own."""

import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from adapters._opcua.files import (
    Forbidden,
    Unusable,
    certificates,
    keep,
    locked,
    opened,
    read_bounded,
    repair,
    thumbprint,
    unusable,
    uris,
)

_BEFORE = timedelta(days=1)
"""Made valid from a little before now, for the server's clock may be behind."""
_SANE = datetime(2026, 1, 1, tzinfo=UTC)
"""No right clock shows a time before this."""
_LONGEST_CN = 64
_STRANGE = re.compile(r"[^A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a certificate of ours lives."""

    valid: timedelta = timedelta(days=5 * 365 + 1)
    """Long, for on most servers a person must trust each new one."""
    renew: timedelta = timedelta(days=60)
    """So long before the end of one the next is offered: time enough for that person."""
    look_s: float = 86_400.0
    """Between two looks at the certificates of a connection that stands."""


USUAL = Terms()


@dataclass(frozen=True, slots=True)
class Party:
    """Who speaks: the line that the certificate names, and where its files are."""

    source: str
    data: Path
    line: str = "edge"
    file: str = "LINE.toml"
    """The line's own, as it is written in a command that a sentence gives."""

    @property
    def pki(self) -> Path:
        return self.data / "pki"


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate that is ours, with its key."""

    certificate: x509.Certificate
    key: RSAPrivateKey
    path: Path
    """Of the certificate; DER where Lineside has made it."""
    issuers: tuple[x509.Certificate, ...] = ()
    """Sent along, so that a server can find its way to the one that it trusts."""

    @property
    def uri(self) -> str:
        """The application URI; empty where the certificate names none."""
        return next(iter(uris(self.certificate)), "")

    @property
    def ends(self) -> datetime:
        return self.certificate.not_valid_after_utc

    @property
    def thumbprint(self) -> str:
        return thumbprint(self.certificate)

    def days_left(self, now: datetime) -> int:
        """Whole days; negative when it has ended."""
        return (self.ends - now).days


class Own:
    """The certificates that Lineside makes, of one size of key. All touch the disk and raise Unusable."""

    def __init__(self, party: Party, bits: int, terms: Terms = USUAL) -> None:
        self._party, self._bits, self._terms = party, bits, terms
        self._folder = party.pki / "own"

    def identity(self, now: datetime | None = None) -> Identity:
        """The one in use; made where there is none, replaced by the next one when it has ended.

        One of the future was made while the clock was wrong: it is replaced too.
        """
        now = now or datetime.now(UTC)
        with self._locked():
            if not self._place("").exists():
                self._make("", now)
            self._mend()
            found = self._load("")
            if now < _SANE or found.certificate.not_valid_before_utc <= now < found.ends:
                return found
            if not self._place("-next").exists():
                self._make("-next", now)
            self._place("-next").replace(self._place(""))
            self._mend()
            return self._load("")

    def _mend(self) -> None:
        """A certificate that has taken the other's place takes its key along, whatever came between."""
        if self._key("-next").exists() and not self._place("-next").exists():
            [ours, *_], key = certificates(self._place("")), _private_key(self._key("-next"))
            if key.public_key() == ours.public_key():
                self._key("-next").replace(self._key(""))

    def successor(self, now: datetime | None = None) -> Identity | None:
        """The one that is to follow; None while the one in use has long to go."""
        now = now or datetime.now(UTC)
        found = self.identity(now)
        if found.ends - now > self._terms.renew:
            return None
        with self._locked():
            if not self._place("-next").exists():
                self._make("-next", now)
            return self._load("-next")

    def _place(self, which: str) -> Path:
        return self._folder / "certs" / f"lineside-rsa{self._bits}{which}.der"

    def _key(self, which: str) -> Path:
        return self._folder / "private" / f"lineside-rsa{self._bits}{which}.pem"

    def _load(self, which: str) -> Identity:
        try:
            return load_identity(self._place(which), self._key(which))
        except Forbidden as error:
            raise Forbidden(f"{error}{repair(self._key(which), self._party.pki)}") from error
        except Unusable as error:
            raise Unusable(
                f"{error}; move both files of {self._place(which).name} away, and a new certificate is made, "
                "which the servers must be told to trust"
            ) from error

    def _make(self, which: str, now: datetime) -> None:
        if now < _SANE:
            raise Unusable(f"no certificate can be made while this box believes it is {now:%Y-%m-%d}: set it")
        key = generate_private_key(65537, self._bits)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        made = self_signed(key, self._party.line, now, self._terms.valid)
        root = self._party.pki  # the key first: a certificate is there only with its key
        keep(root, ("own", "private"), self._key(which).name, pem)
        keep(root, ("own", "certs"), self._place(which).name, made.public_bytes(serialization.Encoding.DER))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Against other sources, each in a thread of its own, and against a command beside the agent."""
        root = self._party.pki
        try:
            for name in ("certs", "private"):
                with opened(root, "own", name):
                    pass
            with opened(root, "own") as folder, locked(folder):
                yield
        except OSError as error:
            raise unusable(error, root) from error


def own_identity(party: Party, bits: int = 2048) -> Identity:
    """The certificate that the agent shows. It takes up to a second to make it. Raises Unusable."""
    return Own(party, bits).identity()


def load_identity(certificate: Path, key: Path) -> Identity:
    """A pair of files, DER or PEM; the certificate's may hold its issuers too. Raises Unusable."""
    ours, *issuers = certificates(certificate)
    private = _private_key(key)
    if private.public_key() != ours.public_key():
        raise Unusable(f"{key} is not the key of {certificate}")
    return Identity(ours, private, certificate, tuple(issuers))


def _private_key(path: Path) -> RSAPrivateKey:
    content = read_bounded(path)
    pem = b"-----BEGIN" in content
    load = serialization.load_pem_private_key if pem else serialization.load_der_private_key
    try:
        key = load(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        locked = " without a passphrase" if isinstance(error, TypeError) or b"ENCRYPTED" in content else ""
        raise Unusable(f"{path} is no private key{locked}") from error
    if not isinstance(key, RSAPrivateKey):
        raise Unusable(f"{path} is not an RSA key, and these policies know no other")
    return key


def application_uri(line: str) -> str:
    """What the agent of this line calls itself on this box."""
    return f"urn:{_host()}:lineside:{quote(line, safe='')}"


def _host() -> str:
    return _STRANGE.sub("-", socket.gethostname()).strip("-.")[:63] or "edge"


def self_signed(key: RSAPrivateKey, line: str, now: datetime, valid: timedelta) -> x509.Certificate:
    """An application instance certificate as OPC 10000-6, 6.2.2 wants it."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Lineside"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Lineside {line}"[:_LONGEST_CN]),
        ]
    )
    public = key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + valid)
    )
    for extension, critical in _extensions(application_uri(line), _host()):
        builder = builder.add_extension(extension, critical)
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    return (
        builder.add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _extensions(uri: str, host: str) -> Sequence[tuple[x509.ExtensionType, bool]]:
    names = [x509.UniformResourceIdentifier(uri), x509.DNSName(host)]
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=True, key_encipherment=True, data_encipherment=True,
        key_cert_sign=True, crl_sign=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip  # key_cert_sign: it signs itself
    return (
        (x509.SubjectAlternativeName(names), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage, True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
    )
