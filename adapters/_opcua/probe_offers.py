"""What a server offers before anybody logs in, in words, and what of it a probe takes; pure."""

from collections.abc import Iterator, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from adapters._opcua.client import Endpoint, Who
from edge.contract import SourceRefused

STRONGEST_FIRST = (
    "Aes256Sha256RsaPss:SignAndEncrypt",
    "Basic256Sha256:SignAndEncrypt",
    "Aes128Sha256RsaOaep:SignAndEncrypt",
    "Aes256Sha256RsaPss:Sign",
    "Basic256Sha256:Sign",
    "Aes128Sha256RsaOaep:Sign",
)
"""What the key `security` can be, but for None."""


def offer_rows(endpoints: Sequence[Endpoint]) -> Iterator[str]:
    """A row for each kind of endpoint, strongest first, then the server's certificates."""
    if not endpoints:
        yield "the server names no endpoint"
        return
    yield f"{_one_line(endpoints[0].application_name) or 'a server'} ({endpoints[0].application_uri}) offers"
    for one in sorted(endpoints, key=lambda one: -one.level):
        users = ", ".join(dict.fromkeys(str(token.who) for token in one.tokens)) or "no way to log in"
        note = "" if one.security in ("None", *STRONGEST_FIRST) else "  (Lineside does not speak it)"
        yield f"  {one.security:<36} {users}  at {one.url}{note}"
    for der in dict.fromkeys(one.certificate for one in endpoints if one.certificate):
        yield f"  its certificate: {certificate_text(der)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:80]


def first_certificate(der: bytes) -> x509.Certificate | None:
    """The server's own, of a chain; None where it is none."""
    try:
        return x509.load_der_x509_certificate(der[: _length(der)])
    except (ValueError, x509.InvalidVersion):
        return None


def _length(der: bytes) -> int:
    """Of the first DER element: X.690, 8.1.3."""
    if len(der) < 2 or der[1] < 0x80:
        return len(der)
    more = der[1] & 0x7F
    return 2 + more + int.from_bytes(der[2 : 2 + more], "big")


def certificate_text(der: bytes) -> str:
    """Whose it is, how long it lasts and its thumbprint, to be compared with what the server's tool shows."""
    found = first_certificate(der)
    if found is None:
        return "cannot be read"
    subject = found.subject.rfc4514_string()[:120]
    return f"{subject}, until {found.not_valid_after_utc:%Y-%m-%d}, SHA-1 {thumbprint(found)}"


def thumbprint(certificate: x509.Certificate) -> str:
    """As OPC UA names certificates: SHA-1 (OPC 10000-4, 7.3 there calls it so), in hexadecimal."""
    return certificate.fingerprint(hashes.SHA1()).hex()  # noqa: S303  # a name, not a protection


def chosen(source: str, endpoints: Sequence[Endpoint], user: str | None, wanted: str | None) -> str:
    """The security to probe with. Raises SourceRefused.

    None where it is offered to anybody: nothing is written, and no password sent. With a user the strongest.
    """
    if wanted is not None:
        return wanted
    who = Who.ANONYMOUS if user is None else Who.NAME
    fitting = {one.security for one in endpoints if any(token.who is who for token in one.tokens)}
    order = STRONGEST_FIRST if user is not None else ("None", *STRONGEST_FIRST)
    found = next((one for one in order if one in fitting), None)
    if found is not None:
        return found
    if user is None:
        raise SourceRefused(source, "the server lets nobody in without a name: give --user")
    if "None" in fitting:
        words = (
            "the server would take the password only without protection: if you want that, --security None"
        )
        raise SourceRefused(source, words)
    raise SourceRefused(source, "the server takes no user and password: leave --user out, or ask its maker")
