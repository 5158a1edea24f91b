"""Who we say we are, who the server is, how far the channel is protected: settled before the first byte."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.crypto import security_policies
from asyncua.ua.uaerrors import UaStatusCodeError
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from adapters._opcua.client import Endpoint, GuardedClient, Token, Who, channel, endpoints
from adapters._opcua.errors import IMPOSTOR, LIBRARY_ERRORS, OFFERS, converted, of_ours
from adapters._opcua.files import Unusable, certificate, certificates, chain, first
from adapters._opcua.identity import USUAL, Identity, Own, Party, Terms, application_uri, load_identity
from adapters._opcua.trust import Claim, Finding, findings, refusal
from adapters._opcua.trusted import TrustList
from edge.contract import SourceError, SourceLost, SourceRefused

if TYPE_CHECKING:
    from adapters._opcua.settings import Settings

__all__ = ["Party", "Protection", "Terms", "secure"]

T = TypeVar("T")

POLICIES: dict[str, type[security_policies.SecurityPolicy]] = {
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128Sha256RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256Sha256RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}
_BITS = {"Aes256Sha256RsaPss": 3072}
_USUAL_BITS = 2048  # what the oldest servers can do
_SAFEST = ("Aes256Sha256RsaPss", "Aes128Sha256RsaOaep", "Basic256Sha256", "Basic256", "Basic128Rsa15")
"""By which a password can be encrypted; the last two are better than clear text only."""
_LONGEST_PASSWORD = 128
"""Bytes: it goes in one RSA block, with the server's nonce."""
_AGAIN_S = 86_400.0
"""A new certificate that a server has refused is not tried again sooner."""

_SHA256 = hashes.SHA256()
_NO_WAY = {
    Who.ANONYMOUS: " takes nobody without a name; it takes {}: set user and password",
    Who.NAME: " takes no user and password; it takes {}: set that, or have them allowed on the server",
    Who.CERTIFICATE: " takes no user by certificate; it takes {}: set that, or have it allowed on the server",
}

_NOBODY = " offers {} for a look at its endpoints only, and lets nobody in by it: set security to one of {}"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Memory:
    """What outlives a connection: what was said already, and which new certificate was refused, and when."""

    told: dict[tuple[Path, str, str], str] = field(default_factory=dict)
    refused_s: dict[tuple[Path, str, str], float] = field(default_factory=dict)

    def tell(self, party: Party, topic: str, words: str) -> None:
        """Once for each source and topic, and again when the words change; empty words forget."""
        key = (party.data, party.source, topic)
        if words and self.told.get(key) != words:
            _log.warning("%s: %s", party.source, words)
        self.told[key] = words


_memory = _Memory()


async def secure(
    client: GuardedClient, settings: "Settings", party: Party, terms: Terms = USUAL
) -> "Protection":
    """Give a new client its user, its certificate and its policy.

    With a policy it asks the server for its endpoints first, on a short connection of its own without a
    session, and judges the certificate. Raises SourceLost or SourceRefused.
    """
    protection = Protection(client, settings, party, terms)
    await protection.begin()
    return protection


@dataclass(slots=True)
class Protection:
    """What was settled for one connection."""

    client: GuardedClient
    settings: "Settings"
    party: Party
    terms: Terms = USUAL
    identity: Identity | None = None
    """The certificate that is shown; None without security."""
    server: Endpoint | None = None
    claim: Claim | None = None
    _on_refusal: Callable[[], None] | None = None

    async def begin(self) -> None:
        """Raises SourceLost or SourceRefused."""
        self.name_us()
        await self.name_user()
        if self.settings.security == "None":
            return  # the command that starts has said what that means
        current, successor = await self.ours()
        self.server, claim = await self.find_server()
        self.claim = claim
        await self.judge(claim)
        self.show(await self._choose(current, successor))

    async def watch(self) -> NoReturn:
        """Look at the certificates of a connection that stands for months, once a day.

        Raises SourceLost when the server has come to trust our new one: connected again, it is used. Raises
        SourceRefused when somebody has taken back the trust in the server's.
        """
        while True:
            await asyncio.sleep(self.terms.look_s)
            if self.claim is not None:
                await self._look(self.claim)

    async def _look(self, claim: Claim) -> None:
        newest, shown = await self._newest(), self.identity
        if newest is not None and shown is not None and newest.thumbprint != shown.thumbprint:
            if await self._takes(newest):
                words = "the server trusts our new certificate: connecting with it"
                raise SourceLost(self.party.source, f"{self.settings.endpoint}: {words}", again_s=1.0)
            self._tell_untrusted(shown, newest)
        await self.judge(claim, standing=True)

    async def _newest(self) -> Identity | None:
        """None where our files cannot be used now: no reason to end a connection that works."""
        try:
            current, successor = await self.ours()
        except SourceRefused as error:
            _memory.tell(self.party, "own", error.reason)
            return None
        return successor or current

    # --- the user -----------------------------------------------------------------------------------

    def name_us(self) -> None:
        """Give the client our name, and eyes for who answers."""
        self.client.application_uri, self.client.examine = application_uri(self.party.line), self.examine

    async def name_user(self) -> None:
        """Give the client its user, before it logs in. Raises SourceRefused."""
        settings, client = self.settings, self.client
        if settings.user is not None:
            client.set_user(settings.user)
        if settings.password is not None:
            client.set_password(await self._on_disk(self._password))
        if settings.user_certificate is not None and settings.user_key is not None:
            files = Path(settings.user_certificate), Path(settings.user_key)
            user = await self._on_disk(lambda: load_identity(*files))
            client.user_certificate, client.user_private_key = user.certificate, user.key

    def _password(self) -> str:
        try:
            found = self.settings.password.reveal() if self.settings.password is not None else ""
        except (OSError, LookupError) as error:
            raise SourceRefused(self.party.source, f"the password cannot be read: {error}") from error
        if len(found.encode()) > _LONGEST_PASSWORD:
            raise SourceRefused(self.party.source, f"the password is longer than {_LONGEST_PASSWORD} bytes")
        return found

    # --- our certificate --------------------------------------------------------------------------------

    @staticmethod
    def bits(settings: "Settings") -> int:
        """Of the key of the certificate that Lineside makes for this policy."""
        return _BITS.get(settings.security.partition(":")[0], _USUAL_BITS)

    async def ours(self) -> tuple[Identity, Identity | None]:
        """The certificate in use, and the one that is to follow it."""
        settings = self.settings
        if settings.certificate is not None and settings.key is not None:
            files = Path(settings.certificate), Path(settings.key)
            return await self._on_disk(lambda: load_identity(*files)), None
        own = Own(self.party, self.bits(settings), self.terms)
        return await self._on_disk(lambda: (own.identity(), own.successor()))

    async def _choose(self, current: Identity, successor: Identity | None) -> Identity:
        """The new certificate, if the server takes it; else the old one, and words about it."""
        left = current.days_left(datetime.now(UTC))
        if successor is None:
            ends = f"ends in {left} days" if left >= 0 else "has expired"
            near = left < self.terms.renew.days
            _memory.tell(self.party, "own", f"our certificate {current.path} {ends}" if near else "")
            return current
        key = (self.party.data, self.party.source, successor.thumbprint)
        again_s = _memory.refused_s.get(key, 0.0)
        if time.monotonic() >= again_s and await self._takes(successor):
            self._on_refusal = lambda: _memory.refused_s.update({key: time.monotonic() + _AGAIN_S})
            _memory.tell(self.party, "own", "")
            return successor
        self._tell_untrusted(current, successor)
        return current

    def _tell_untrusted(self, shown: Identity, newest: Identity) -> None:
        left = shown.days_left(datetime.now(UTC))
        ends = f"ends in {left} days" if left >= 0 else "has expired"
        words = f"our certificate {ends}, and the server does not trust the next one yet: have it trust"
        _memory.tell(self.party, "own", f"{words} {newest.path} (thumbprint {newest.thumbprint})")

    async def _takes(self, identity: Identity) -> bool:
        """Whether the server opens a channel with it; no session is asked for."""
        trial = GuardedClient(self.settings.endpoint, self.client.timeout_s)
        trial.application_uri = identity.uri
        self._dress(trial, identity)
        try:
            async with channel(trial):
                pass
        except LIBRARY_ERRORS:
            return False
        return True

    def _explain(self, error: BaseException) -> SourceError | None:
        """The channel or the session was refused: with which certificate, and what is to be done."""
        if self._on_refusal is not None and isinstance(error, UaStatusCodeError):
            self._on_refusal()
        if self.identity is None:
            return None
        ours = f"{self.identity.path}, thumbprint {self.identity.thumbprint}"
        return of_ours(self.party.source, self.settings.endpoint, error, ours)

    def show(self, identity: Identity) -> None:
        """This is the certificate that the client shows."""
        self.identity = identity
        self.client.application_uri, self.client.explain = identity.uri, self._explain
        self._dress(self.client, identity)

    def _dress(self, client: GuardedClient, identity: Identity) -> None:
        policy, _, mode = self.settings.security.partition(":")
        if self.claim is None:
            raise SourceRefused(self.party.source, f"{self.settings.endpoint} shows no certificate")
        with converted(self.party.source, self.settings.endpoint):
            chosen: security_policies.SecurityPolicy = POLICIES[policy](
                self.claim.own, identity.certificate, identity.key, ua.MessageSecurityMode[mode],
                host_cert_chain=list(identity.issuers),
            )  # fmt: skip
        client.security_policy = chosen  # type: ignore[assignment]  # asyncua does so itself
        client.uaclient.set_security(chosen)

    # --- the server's certificate -----------------------------------------------------------------------

    async def find_server(self) -> tuple[Endpoint | None, Claim]:
        """What discovery says of it. A server that gives no endpoints away needs `server_certificate`."""
        settings = self.settings
        pinned = await self._pinned()
        with converted(self.party.source, settings.endpoint):
            offered = await self._offered(pinned is not None)
        if pinned is not None and not offered:
            return None, Claim(self._host, "", [pinned])
        return self.matching(offered, pinned)

    async def _offered(self, can_do_without: bool) -> list[Endpoint]:
        try:
            return await endpoints(self.settings.endpoint, self.client.timeout_s)
        except UaStatusCodeError:
            if can_do_without:
                return []
            raise

    def matching(
        self, offered: Sequence[Endpoint], pinned: x509.Certificate | None
    ) -> tuple[Endpoint, Claim]:
        found = next((one for one in offered if one.security == self.settings.security), None)
        if found is None:
            raise self._refused(OFFERS.format(self.settings.security, kinds(offered)))
        try:
            shown = chain(found.certificate)
        except ValueError as error:
            raise self._refused(": its certificate cannot be read: renew it on the server") from error
        if pinned is not None and shown[0] != pinned:
            raise self._refused(f" {IMPOSTOR}")
        return found, Claim(self._host, found.application_uri, shown, found.ahead_s)

    async def _pinned(self) -> x509.Certificate | None:
        path = self.settings.server_certificate
        if path is None:
            return None
        return (await self._on_disk(lambda: certificates(Path(path))))[0]

    async def judge(self, claim: Claim, *, standing: bool = False) -> None:
        """All checks of the server's certificate. Raises SourceRefused with the first that fails.

        `standing`: of a connection that works already, which is not cut for a date; then it is said only.
        """
        found = await self.findings(claim)
        barred = [one for one in found if one.fault and not (standing and one.check.startswith("dates"))]
        if barred:
            words = refusal(claim, barred, self.party.file)
            raise self._refused(f": the server's certificate {words}{self._unwritten(barred)}")
        for one in found:
            words = one.fault or one.doubt
            _memory.tell(self.party, one.check, f"the server's certificate {words}" if words else "")

    def _unwritten(self, barred: Sequence[Finding]) -> str:
        """A file from before there was a default works no more: which key it is about."""
        usual = any(one.is_curable for one in barred) and "security" not in self.settings.model_fields_set
        return f" (without the key security it is {self.settings.security})" if usual else ""

    async def findings(self, claim: Claim) -> list[Finding]:
        """All checks of the server's certificate; one that nobody knows is kept for a person to look at."""
        store, pinned = TrustList(self.party.pki), self.settings.server_certificate is not None
        known = await self._on_disk(store.load)
        for bad in known.unreadable:
            _memory.tell(self.party, bad, f"{bad}; it is passed over")
        found = findings(claim, known, pinned, file=self.party.file)
        if any(one.is_curable for one in found):
            await asyncio.to_thread(store.reject, claim.own)
        return found

    # --- the session's answer ------------------------------------------------------------------------------

    def examine(self, certificate: bytes, offered: list[Endpoint]) -> None:
        """Hold what the server says within the channel against what it said outside. Raises SourceRefused."""
        found = next((one for one in offered if one.security == self.settings.security), None)
        if found is None and self.claim is not None:
            raise self._refused(" speaks of other endpoints within the channel: does someone stand between?")
        if found is None:
            raise self._refused(OFFERS.format(self.settings.security, kinds(offered)))
        if self.claim is not None:
            self._compare(certificate, found, self.claim)
        self.client.token = self._token(found.tokens, offered)

    def _compare(self, certificate: bytes, found: Endpoint, claim: Claim) -> None:
        ours = claim.own.fingerprint(_SHA256)
        shown = {_print(one) for one in (certificate, found.certificate) if one}
        if shown - {ours} or not certificate:
            raise self._refused(" shows another certificate within the channel: does someone stand between?")
        if found.application_uri and claim.application_uri not in ("", found.application_uri):
            raise self._refused(" calls itself otherwise within the channel: does someone stand between?")

    def _token(self, tokens: Sequence[Token], offered: Sequence[Endpoint]) -> Token | None:
        """How the user is named. None: nobody is to be named, and the server does not say how."""
        wanted = self._who()
        others = dict.fromkeys(one.security for one in offered if one.tokens)
        if not tokens and others:
            raise self._refused(_NOBODY.format(self.settings.security, ", ".join(others)))
        fitting = [one for one in tokens if one.who is wanted]
        if not tokens and wanted is Who.ANONYMOUS:
            return None
        if not fitting:
            ways = ", ".join(dict.fromkeys(one.who for one in tokens)) or "nobody by this endpoint"
            raise self._refused(_NO_WAY[wanted].format(ways))
        if wanted is Who.ANONYMOUS:
            return fitting[0]
        safe = [one for name in _SAFEST for one in fitting if one.policy == name]
        token = (safe or fitting)[0]
        if wanted is Who.CERTIFICATE and not safe:
            raise self._refused(" takes a user's certificate by a policy only that is not known here")
        in_clear = not safe and not self.settings.security.endswith(":SignAndEncrypt")
        words = "the password goes over the network in clear text: the server takes it in no other way"
        _memory.tell(self.party, "password", words if in_clear and self.settings.password is not None else "")
        return token

    def _who(self) -> Who:
        if self.settings.user_certificate is not None:
            return Who.CERTIFICATE
        return Who.NAME if self.settings.user is not None else Who.ANONYMOUS

    @property
    def _host(self) -> str:
        return urlsplit(self.settings.endpoint).hostname or ""

    def _refused(self, reason: str) -> SourceRefused:
        return SourceRefused(self.party.source, f"{self.settings.endpoint}{reason}")

    async def _on_disk(self, work: Callable[[], T]) -> T:
        """Off the event loop, for a disk can be slow and a key takes a second."""
        try:
            return await asyncio.to_thread(work)
        except Unusable as error:
            raise SourceRefused(self.party.source, str(error)) from error


def kinds(offered: Sequence[Endpoint]) -> str:
    """What `security` may be, the safest first as the server sees it."""
    found = dict.fromkeys(one.security for one in sorted(offered, key=lambda one: -one.level))
    return ", ".join(found) or "nothing"


def _print(der: bytes) -> bytes:
    """The SHA-256 of the leading certificate; empty where there is none."""
    try:
        return certificate(first(der)).fingerprint(_SHA256)
    except ValueError:
        return b""
