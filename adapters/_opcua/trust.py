"""Whether a server's certificate can be believed: the checks.

The checks and their order are those of OPC 10000-4, 6.1.3. asyncua makes none of them by itself.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from adapters._opcua.files import (
    LONGEST_CHAIN,
    alternative_names,
    thumbprint,
    uris,
)
from adapters._opcua.trusted import Trusted

FEWEST_BITS, MOST_BITS = 2048, 4096
"""Of a key, by all three policies (OPC 10000-7)."""
_WEAK = (hashes.MD5, hashes.SHA1)
_NEAR_DAYS = 30
_CENTURIES_S = 9_000_000_000.0
_APART_S = 60.0
"""Servers give a few minutes; so much between two clocks is worth a word."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of a certificate."""

    check: str
    """What was looked at, in a word or two."""
    said: str
    """What was found."""
    fault: str = ""
    """Why it cannot be accepted, as the end of a sentence; empty where it can."""
    doubt: str = ""
    """What is not as it should be, and is let pass."""
    is_curable: bool = False
    """The fault is let pass where a person trusts this very certificate."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a server says of itself, and where it was found."""

    host: str
    """Of the endpoint, as the settings have it."""
    application_uri: str
    certificates: Sequence[x509.Certificate]
    """Its own, and those that issued it, as it sends them."""
    ahead_s: float | None = None
    """Of its clock before ours; None where it has not told."""

    @property
    def own(self) -> x509.Certificate:
        return self.certificates[0]


# --- the checks -----------------------------------------------------------------------------------


def findings(
    claim: Claim, known: Trusted, pinned: bool = False, now: datetime | None = None, file: str = "LINE.toml"
) -> list[Finding]:
    """Every check, in order; the certificate is accepted where none has a fault.

    `file`: the line's, for the command that trusts it.

    `pinned`: the settings name this very file, and a person has compared it: then it is trusted, and what
    it says of itself (URI, host, use) is only doubted. So are host and use where this very certificate is in
    trusted/certs.
    """
    now = now or datetime.now(UTC)
    by_hand = pinned or claim.own in known.trusted
    path, trust = _trust(claim, known, pinned, _command(claim.own, file))
    return [
        _key(claim.own),
        _signature(claim.own, by_hand),
        _dates(claim, claim.own, now),
        _uri(claim, pinned),
        _use(claim.own, by_hand),
        _host(claim, by_hand),
        trust,
        *(_dates(claim, one, now) for one in path[1:]),
        _revocation(path, known, now),
    ]


def refusal(claim: Claim, found: Sequence[Finding], file: str) -> str:
    """Why it is not accepted, with what to do; empty where it is. Said at once: all that one fix mends."""
    faults = [one for one in found if one.fault]
    hard = [one for one in faults if not one.is_curable]
    if hard or not faults:
        return hard[0].fault if hard else ""
    words = "; it ".join(one.fault for one in faults)
    return words if faults[-1].check == "trust" else f"{words} with {_command(claim.own, file)}"


def _command(one: x509.Certificate, file: str) -> str:
    return f"`lineside certificate trust {file} {thumbprint(one)}`"


def _key(one: x509.Certificate) -> Finding:
    key = one.public_key()
    if not isinstance(key, RSAPublicKey):
        return Finding("key", "not RSA", "has a key that is not RSA, which no policy here knows: renew it")
    said = f"RSA, {key.key_size} bits"
    if not FEWEST_BITS <= key.key_size <= MOST_BITS:
        allowed = f"{FEWEST_BITS} to {MOST_BITS} are allowed"
        why = f"has a key of {key.key_size} bits; {allowed}: renew it on the server"
        return Finding("key", said, why)
    return Finding("key", said)


def _signature(one: x509.Certificate, by_hand: bool) -> Finding:
    try:
        used = one.signature_hash_algorithm
    except UnsupportedAlgorithm:
        used = None
    name = used.name.upper() if used is not None else "an unknown algorithm"
    if used is not None and not isinstance(used, _WEAK):
        return Finding("signature", name)
    words = f"is signed with {name}, which can be forged: renew it on the server, with SHA-256"
    return _let_pass("signature", name, words, ", or trust this very certificate", by_hand)


def _let_pass(check: str, said: str, words: str, fix: str, by_hand: bool) -> Finding:
    """A doubt where this very certificate is trusted, else a fault that such a trust mends."""
    return Finding(check, said, doubt=words) if by_hand else Finding(check, said, words + fix, "", True)


def _dates(claim: Claim, one: x509.Certificate, now: datetime) -> Finding:
    """Of the server's own, or of one that issued it."""
    begins, ends = one.not_valid_before_utc, one.not_valid_after_utc
    said = f"{begins:%Y-%m-%d} to {ends:%Y-%m-%d}"
    is_own = one == claim.own
    check, whose = ("dates", "") if is_own else (f"dates of {name_of(one)}", "was issued by one that ")
    if not begins <= now <= ends:
        since = f"is valid from {begins:%Y-%m-%d %H:%M} UTC only"
        what = since if now < begins else f"has expired on {ends:%Y-%m-%d}"
        return Finding(check, said, f"{whose}{what}, and {_clocks(claim, now, begins, ends)}")
    left = (ends - now).days
    near = f"{whose}ends in {left} days: renew it on the server"
    return Finding(check, said, doubt=near if left < _NEAR_DAYS else "")


def _clocks(claim: Claim, now: datetime, begins: datetime, ends: datetime) -> str:
    """What both clocks say of a certificate that is not valid by ours, and what to do."""
    clock = f"the clock here says {now:%Y-%m-%d %H:%M} UTC"
    renew = "renew it on the server, then trust the new one"
    if claim.ahead_s is None:
        set_it = "set the clock that is wrong"
        return f"{clock}: {set_it}" if now < begins else f"{clock}: if that is right, {renew}; else set it"
    if abs(claim.ahead_s) <= _APART_S:
        return f"{clock}, and so does the server's: {renew}"
    there = now + timedelta(seconds=min(max(claim.ahead_s, -_CENTURIES_S), _CENTURIES_S))
    clock = f"{clock}, the server's {there:%Y-%m-%d %H:%M}"
    if begins <= there <= ends:
        return f"{clock}, by which it is valid: set the clock that is wrong"
    return f"{clock}: set the clocks, and if it is not valid then, {renew}"


def _uri(claim: Claim, pinned: bool) -> Finding:
    named = uris(claim.own)
    said = ", ".join(named) or "none"
    if claim.application_uri in named:
        return Finding("application URI", said)
    server = claim.application_uri[:200] or "nothing"
    words = (
        f"names the application URI {said}, and the server calls itself {server}: have the server make its "
        "certificate anew, or name its file in server_certificate"
    )
    return Finding("application URI", said, "" if pinned else words, words if pinned else "")


def _use(one: x509.Certificate, by_hand: bool) -> Finding:
    missing = [*_missing_usage(one), *_missing_purpose(one)]
    if not missing:
        return Finding("use", "as a server's")
    lacks = f"lacks {', '.join(missing)}"
    words = f"is not made for a server: it {lacks}"
    return _let_pass("use", lacks, words, ": renew it, or trust this very certificate", by_hand)


def _missing_usage(one: x509.Certificate) -> Iterator[str]:
    with suppress(x509.ExtensionNotFound):
        usage = one.extensions.get_extension_for_class(x509.KeyUsage).value
        if not usage.digital_signature:
            yield "digitalSignature"
        if not (usage.key_encipherment or usage.data_encipherment):
            yield "keyEncipherment"


def _missing_purpose(one: x509.Certificate) -> Iterator[str]:
    with suppress(x509.ExtensionNotFound):
        purposes = one.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(purposes):
            yield "serverAuth"


def _host(claim: Claim, by_hand: bool) -> Finding:
    names = _hosts(claim.own)
    said = ", ".join(names[:10]) or "none"
    if _plain(claim.host) in names:
        return Finding("host", said)
    words = f"is for the host {said}, and the endpoint says {claim.host}"
    return _let_pass("host", said, words, ": write the endpoint so, or trust this very certificate", by_hand)


def _hosts(one: x509.Certificate) -> list[str]:
    names = alternative_names(one)
    if names is None:
        return []
    addresses = names.get_values_for_type(x509.IPAddress)
    return [*map(_plain, names.get_values_for_type(x509.DNSName)), *map(str, addresses)]


def _plain(host: str) -> str:
    """A name in lower case, an address in its one way of writing."""
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return host.lower().rstrip(".")


# --- trust ------------------------------------------------------------------------------------------


def _trust(
    claim: Claim, known: Trusted, pinned: bool, command: str
) -> tuple[list[x509.Certificate], Finding]:
    """The way from the server's certificate to one that is trusted, as far as it goes."""
    path = _path(claim, known)
    if pinned:
        return path, Finding("trust", "it is the one in server_certificate")
    if claim.own in known.trusted:
        return path, Finding("trust", "this very certificate is trusted")
    for one in path[1:]:
        if one in known.trusted:
            return path, Finding("trust", f"issued by {name_of(one)}, which is trusted")
    if _is_self_signed(path[-1]):
        why = f"is not trusted here: compare its thumbprint with the server's, then type {command}"
        return path, Finding("trust", "unknown", why, "", True)
    why = (
        f"was issued by {_words(path[-1].issuer)}, which is not known here: put that certificate into "
        f"pki/trusted/certs, or compare the thumbprint with the server's and type {command}"
    )
    return path, Finding("trust", "unknown", why, "", True)


def _path(claim: Claim, known: Trusted) -> list[x509.Certificate]:
    """From the certificate upwards, to the first that is trusted or has no issuer here. It has no loops."""
    path = [claim.own]
    candidates = [*known.trusted, *known.issuers, *claim.certificates[1:]]
    while len(path) < LONGEST_CHAIN and not _is_self_signed(path[-1]):
        if len(path) > 1 and path[-1] in known.trusted:
            break
        found = next(
            (one for one in candidates if one not in path and _issued(path[-1], one, len(path) - 1)), None
        )
        if found is None:
            break
        path.append(found)
    return path


def _issued(one: x509.Certificate, issuer: x509.Certificate, below: int) -> bool:
    """Whether `issuer` may sign, and has signed this one; `below`: issuers between it and the leaf."""
    try:
        limits = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        if not limits.ca or (limits.path_length is not None and limits.path_length < below):
            return False
        with suppress(x509.ExtensionNotFound):
            if not issuer.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign:
                return False
        if isinstance(one.signature_hash_algorithm, _WEAK):
            return False
        one.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound):
        return False
    return True


def _is_self_signed(one: x509.Certificate) -> bool:
    return one.issuer == one.subject


def _revocation(path: Sequence[x509.Certificate], known: Trusted, now: datetime) -> Finding:
    """Every certificate on the way, against the lists of who has issued it."""
    doubts: list[str] = []
    for one, issuer in pairwise(path):
        lists = [crl for crl in known.revoked if _is_of(crl, issuer)]
        if any(crl.get_revoked_certificate_by_serial_number(one.serial_number) for crl in lists):
            words = f"{name_of(one)} was revoked by {name_of(issuer)}"
            return Finding("revocation", words, f"has been taken back ({words}): give the server a new one")
        if not lists:
            doubts.append(f"there is no list of what {name_of(issuer)} has revoked in pki/trusted/crl")
        elif all(crl.next_update_utc is not None and crl.next_update_utc < now for crl in lists):
            doubts.append(f"the list of what {name_of(issuer)} has revoked is out of date")
    return Finding("revocation", "; ".join(doubts) or "not revoked", "", "; ".join(doubts))


def _is_of(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    if crl.issuer != issuer.subject or not isinstance(key, RSAPublicKey):
        return False
    try:
        return crl.is_signature_valid(key)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def name_of(one: x509.Certificate) -> str:
    return _words(one.subject)


def _words(name: x509.Name) -> str:
    """Short, for a sentence; what a stranger calls himself is data, and is cut."""
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = str(common[0].value) if common else name.rfc4514_string()
    return text[:80] or "one without a name"
