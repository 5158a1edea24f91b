"""What the commands `lineside certificate` do: show, trust, find what fails."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from adapters._opcua.client import GuardedClient
from adapters._opcua.connect import hush
from adapters._opcua.doctor import Doctor, Step
from adapters._opcua.files import Unusable, certificates, thumbprint, uris
from adapters._opcua.identity import Identity, Own, Party
from adapters._opcua.security import Protection
from adapters._opcua.settings import Settings
from adapters._opcua.trust import name_of
from adapters._opcua.trusted import TrustList
from edge.contract import SourceRefused

if TYPE_CHECKING:
    from edge.contract import SourceSettings

_SHORTEST = 8
"""Of a thumbprint that is typed: so much of it at the least."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A certificate that may come to be trusted."""

    der: bytes
    thumbprint: str
    """SHA-1, as the tools of makers show it."""
    sha256: str
    name: str
    uri: str
    begins: datetime
    ends: datetime
    is_issuer: bool
    """It may sign others: with it all of them are trusted."""
    fetched: bool = False
    """It came over the network just now, and nobody has compared it yet."""


def uses(settings: "SourceSettings") -> bool:
    """Whether such a source has anything to do with certificates."""
    return isinstance(settings, Settings)


def show(data: Path, line: str, file: str, sources: "Mapping[str, SourceSettings]") -> list[str]:
    """Our certificates, made where there are none yet, and those of servers. Raises SourceRefused."""
    party = Party("certificates", data, line, file)
    try:
        return [*_own(party, sources), *_servers(party)]
    except Unusable as error:
        raise SourceRefused("certificates", str(error)) from error


def _own(party: Party, sources: "Mapping[str, SourceSettings]") -> list[str]:
    made: dict[int, list[str]] = {}
    rows: list[str] = []
    for name, settings in sources.items():
        if not isinstance(settings, Settings) or settings.security == "None":
            rows.append(f'{name}: security = "None", no certificate')
        elif settings.certificate is not None:
            rows += [f"{name}: its own file", *_rows(certificates(Path(settings.certificate))[0])]
        else:
            made.setdefault(Protection.bits(settings), []).append(name)
    for bits, names in sorted(made.items()):
        own = Own(party, bits)
        rows += [f"{', '.join(names)}: have the server trust this one", *_identity(own.identity())]
        successor = own.successor()
        rows += ["  to be followed by; have it trusted too", *_identity(successor)] if successor else []
    return rows


def _identity(one: Identity) -> list[str]:
    return [f"  {one.path}", *_rows(one.certificate)]


def _rows(one: x509.Certificate) -> list[str]:
    left = (one.not_valid_after_utc - datetime.now(UTC)).days
    ends = f"{left} days left" if left >= 0 else "EXPIRED"
    return [
        f"  URI {next(iter(uris(one)), 'none')}",
        f"  thumbprint {thumbprint(one)}",
        f"  valid {one.not_valid_before_utc:%Y-%m-%d} to {one.not_valid_after_utc:%Y-%m-%d}, {ends}",
    ]


def _servers(party: Party) -> list[str]:
    store, pki = TrustList(party.pki), party.pki
    known = store.load()
    rows = [f"trusted ({pki / 'trusted/certs'}):", *map(_line, known.trusted)]
    rows += [f"revoked lists: {len(known.revoked)}", *known.unreadable]
    rejected = store.waiting()
    if rejected:
        rows += [f"rejected; `lineside certificate trust {party.file} THUMBPRINT` trusts one:"]
        rows += map(_line, rejected)
    return rows


def _line(one: x509.Certificate) -> str:
    return f"  {thumbprint(one)}  {name_of(one)}, until {one.not_valid_after_utc:%Y-%m-%d}"


async def candidate(data: Path, line: str, sources: "Mapping[str, SourceSettings]", what: str) -> Candidate:
    """What is meant by a source's name, a file or a thumbprint. Raises SourceLost, SourceRefused."""
    hush()
    settings = sources.get(what)
    if isinstance(settings, Settings):
        return await _fetched(Party(what, data, line), settings)
    return await asyncio.to_thread(_local, data / "pki", what)


def _local(pki: Path, what: str) -> Candidate:
    try:
        return _candidate(certificates(Path(what))[0]) if Path(what).is_file() else _rejected(pki, what)
    except Unusable as error:
        raise SourceRefused("certificates", str(error)) from error


async def _fetched(party: Party, settings: Settings) -> Candidate:
    if settings.security == "None":
        raise SourceRefused(party.source, 'has security = "None", and trusts whoever answers')
    client = GuardedClient(settings.endpoint, settings.request_timeout.total_seconds())
    _, claim = await Protection(client, settings, party).find_server()
    return _candidate(claim.own, fetched=True)


def _rejected(pki: Path, what: str) -> Candidate:
    wanted = what.replace(":", "").replace(" ", "").upper()
    found = [one for one in TrustList(pki).waiting() if thumbprint(one).startswith(wanted)]
    if len(found) == 1 and len(wanted) >= _SHORTEST:
        return _candidate(found[0])
    raise Unusable(
        f"{what} is no source of the line, no file, and not {_SHORTEST} digits or more of the thumbprint of "
        f"one in {pki / 'rejected'}: `lineside certificate show` lists them"
    )


def _candidate(one: x509.Certificate, *, fetched: bool = False) -> Candidate:
    return Candidate(
        one.public_bytes(serialization.Encoding.DER), thumbprint(one),
        one.fingerprint(hashes.SHA256()).hex().upper(), name_of(one), next(iter(uris(one)), "none"),
        one.not_valid_before_utc, one.not_valid_after_utc, _may_sign(one), fetched,
    )  # fmt: skip


def _may_sign(one: x509.Certificate) -> bool:
    try:
        return one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def trust(data: Path, chosen: Candidate) -> Path:
    """From now on it is trusted; where it lies. A running agent finds it by itself. Raises SourceRefused."""
    store = TrustList(data / "pki")
    try:
        path = store.trust(chosen.der)
    except Unusable as error:
        raise SourceRefused("certificates", str(error)) from error
    store.release(chosen.thumbprint)
    return path


def examine(data: Path, line: str, file: str, name: str, settings: "SourceSettings") -> AsyncIterator[Step]:
    """Walk the way to one server; see Doctor."""
    if not isinstance(settings, Settings):
        raise SourceRefused(name, "is no source with certificates")
    hush()
    return Doctor(settings, Party(name, data, line, file)).walk()
