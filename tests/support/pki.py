"""Certificates for tests: any dates, any names, of any issuer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: RSAPrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def write(self, folder: Path, name: str, *issuers: "Pair") -> tuple[Path, Path]:
        """Both as PEM, readable for us only: certificate (and its issuers), key."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = folder / f"{name}.pem", folder / f"{name}.key"
        whole = [one.certificate.public_bytes(serialization.Encoding.PEM) for one in (self, *issuers)]
        paths[0].write_bytes(b"".join(whole))
        paths[1].write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        for path in paths:
            path.chmod(0o600)
        return paths


@cache
def key_of(bits: int, number: int) -> RSAPrivateKey:
    """Keys are slow to make: the same for the same number."""
    return generate_private_key(65537, bits)


def make(
    name: str = "press", *, uri: str = "urn:acme:press", hosts: Sequence[str] = ("127.0.0.1", "localhost"),
    begins: timedelta = -DAY, ends: timedelta = 365 * DAY, bits: int = 2048, number: int = 0,
    issuer: Pair | None = None, ca: bool = False, path_length: int | None = None, key_usage: bool = True,
    server: bool = True, client: bool = True,
) -> Pair:  # fmt: skip
    """One that a server may show; by default nothing is wrong with it, and it has signed itself."""
    key, now = key_of(bits, number), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)] if uri else []
    names += [x509.IPAddress(ip_address(one)) if one[0].isdigit() else x509.DNSName(one) for one in hosts]
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=key_usage, content_commitment=True, key_encipherment=key_usage,
                data_encipherment=key_usage, key_agreement=False, key_cert_sign=ca or issuer is None,
                crl_sign=ca, encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )
    )  # fmt: skip
    if names:
        built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if purposes and not ca:
        built = built.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return Pair(built.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def crl(issuer: Pair, *revoked: Pair, ends: timedelta = 30 * DAY) -> bytes:
    """The issuer's list of what it has taken back, DER."""
    now = datetime.now(UTC)
    built = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now - 60 * DAY)
        .next_update(now + ends)
    )
    for one in revoked:
        taken = x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number)
        built = built.add_revoked_certificate(taken.revocation_date(now - DAY).build())
    return built.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
