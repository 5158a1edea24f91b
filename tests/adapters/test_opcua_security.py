"""Certificates and users against a server of another make: what is accepted, and what each refusal says."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509

from adapters import opcua
from adapters._opcua.client import Endpoint, GuardedClient, Token, Who
from adapters._opcua.connect import connect
from adapters._opcua.identity import Identity, Own, Party, Terms, own_identity
from adapters._opcua.security import Protection, secure
from adapters._opcua.trusted import TrustList
from edge.contract import SourceError, SourceLost, SourceRefused
from tests.support.node_opcua import SECURE, URI, NodeServer, node_server
from tests.support.pki import DAY, Pair, crl, make

EVERY: dict[str, Any] = {
    "policies": ["None", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"],
    "modes": ["None", "Sign", "SignAndEncrypt"],
}
STRICT: dict[str, Any] = {"policies": ["Basic256Sha256"], "modes": ["SignAndEncrypt"], "accept_any": False}


together = pytest.mark.asyncio(loop_scope="module")
"""A server takes two seconds to start: these share one."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lenient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NodeServer]:
    async with node_server(tmp_path_factory.mktemp("lenient"), **EVERY) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def secured(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NodeServer]:
    async with node_server(tmp_path_factory.mktemp("secured"), **SECURE) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strict(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NodeServer]:
    async with node_server(tmp_path_factory.mktemp("strict"), **STRICT) as running:
        yield running


def party(tmp_path: Path, name: str = "press-plc") -> Party:
    return Party(name, tmp_path / "data", "line-1")


def settings(url: str, **keys: object) -> opcua.Settings:
    return opcua.Settings.model_validate({"type": "opcua", "endpoint": url, "request_timeout": "3s"} | keys)


def secret(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / f"{text}.secret"
    path.write_text(text)
    path.chmod(0o600)
    return {"file": str(path)}


def user(tmp_path: Path, password: str = "s3cret") -> dict[str, object]:
    return {"user": "edge", "password": secret(tmp_path, password)}


def trusted(ours: Party, server: NodeServer) -> None:
    pem = x509.load_pem_x509_certificate(server.certificate.read_bytes())
    TrustList(ours.pki).trust(Pair(pem, None).der)  # type: ignore[arg-type]


async def comes_in(chosen: opcua.Settings, ours: Party) -> int:
    """Connect as the source does; the number of namespaces shows that the session is alive."""
    async with connect(chosen, ours) as (link, _):
        return len(await link.namespaces())


async def refusal(chosen: opcua.Settings, ours: Party) -> str:
    with pytest.raises(SourceError) as caught:
        await comes_in(chosen, ours)
    return str(caught.value)


# --- the way in --------------------------------------------------------------------------------------------


@together
async def test_every_policy_and_mode_with_user_and_password(lenient: NodeServer, tmp_path: Path) -> None:
    ours = party(tmp_path)
    before = await lenient.ask("stats")
    trusted(ours, lenient)
    for policy in ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"):
        for mode in ("Sign", "SignAndEncrypt"):
            chosen = settings(lenient.url, security=f"{policy}:{mode}", **user(tmp_path))
            assert await comes_in(chosen, ours) > 1
    seen = await lenient.ask("stats")
    made = seen["sessions_created"] - before["sessions_created"]
    assert (made, seen["sessions_peak"], seen["sessions"]) == (6, 1, 0)
    made = sorted(path.name for path in (ours.pki / "own/private").iterdir())
    assert made == ["lineside-rsa2048.pem", "lineside-rsa3072.pem"]


@together
async def test_a_stranger_is_kept_for_a_person_who_then_trusts_him(
    lenient: NodeServer, tmp_path: Path
) -> None:
    ours = party(tmp_path)
    before = (await lenient.ask("stats"))["session_requests"]
    said = await refusal(settings(lenient.url), ours)
    (kept,) = (ours.pki / "rejected").iterdir()
    assert f"lineside certificate trust LINE.toml {kept.stem}`" in said
    assert "without the key security it is Basic256Sha256:SignAndEncrypt" in said
    assert (await lenient.ask("stats"))["session_requests"] == before
    TrustList(ours.pki).trust(kept.read_bytes())
    assert await comes_in(settings(lenient.url), ours) > 1


@together
async def test_a_certificate_is_a_user_too(lenient: NodeServer, tmp_path: Path) -> None:
    ours = party(tmp_path)
    files = make("operator", uri="urn:operator", number=6).write(tmp_path, "operator")
    keys = {"user_certificate": str(files[0]), "user_key": str(files[1])}
    trusted(ours, lenient)
    assert await comes_in(settings(lenient.url, **keys), ours) > 1


@together
async def test_a_password_is_encrypted_also_where_the_channel_is_not(
    lenient: NodeServer, tmp_path: Path
) -> None:
    chosen = settings(lenient.url, security="None", **user(tmp_path))
    client = GuardedClient(chosen.endpoint, 3.0)
    try:
        await secure(client, chosen, party(tmp_path))
        await client.open()
        assert client.token is not None
        assert client.token.policy != "None"
    finally:
        await client.cut()
    assert not (tmp_path / "data").exists()


async def test_a_server_of_a_trusted_issuer_until_it_is_revoked(tmp_path: Path) -> None:
    ours = party(tmp_path)
    root = make("Plant CA", uri="", hosts=(), ca=True, number=1)
    leaf = make("press", uri=URI, number=2, issuer=root)
    certificate, key = leaf.write(tmp_path, "press", root)
    TrustList(ours.pki).trust(root.der)
    async with node_server(tmp_path / "plc", **EVERY, certificate=str(certificate), key=str(key)) as server:
        assert await comes_in(settings(server.url), ours) > 1
        (ours.pki / "trusted/crl/plant.crl").write_bytes(crl(root, leaf))
        assert "was revoked by Plant CA" in await refusal(settings(server.url), ours)


@together
async def test_our_own_certificate_of_a_company(strict: NodeServer, tmp_path: Path) -> None:
    ours = party(tmp_path)
    certificate, key = make("edge 7", uri="urn:acme:edge7", number=6).write(tmp_path, "edge")
    trusted(ours, strict)
    chosen = settings(strict.url, certificate=str(certificate), key=str(key))
    assert str(certificate) in await refusal(chosen, ours)
    await strict.ask("trust", file=str(certificate))
    assert await comes_in(chosen, ours) > 1
    assert not (ours.pki / "own").exists()


# --- refusals ------------------------------------------------------------------------------------------


@together
async def test_each_refusal_of_a_user_says_what_to_do(secured: NodeServer, tmp_path: Path) -> None:
    ours = party(tmp_path)
    trusted(ours, secured)
    wrong = await refusal(settings(secured.url, **user(tmp_path, "guess")), ours)
    assert "check user and password" in wrong
    assert "guess" not in wrong
    unknown = await refusal(settings(secured.url, user="nobody"), ours)
    assert "check user and password" in unknown
    assert "takes nobody without a name" in await refusal(settings(secured.url), ours)
    absent = {"user": "edge", "password": {"file": str(tmp_path / "absent")}}
    assert "the password cannot be read" in await refusal(settings(secured.url, **absent), ours)
    too_long = await refusal(settings(secured.url, **user(tmp_path, "x" * 130)), ours)
    assert "longer than 128 bytes" in too_long
    assert (await secured.ask("stats"))["sessions"] == 0


def test_an_endpoint_that_is_there_only_to_be_looked_at(tmp_path: Path) -> None:
    """Many servers offer None for discovery, and let nobody in by it."""
    bare = endpoint(policy="None", mode="None", tokens=())
    words = (
        "offers None for a look at its endpoints only.*set security to one of Basic256Sha256:SignAndEncrypt"
    )
    for who in ({}, {"user": "edge"}):
        with pytest.raises(SourceRefused, match=words):
            protection(tmp_path, security="None", **who).examine(b"", [bare, endpoint()])
    with pytest.raises(SourceRefused, match="does not offer None; it offers Basic256Sha256:SignAndEncrypt"):
        protection(tmp_path, security="None").examine(b"", [endpoint()])
    silent = protection(tmp_path, security="None")
    silent.examine(b"", [bare])  # one that says of no endpoint whom it takes is asked
    assert silent.client.token is None


def test_a_server_that_takes_no_names(tmp_path: Path) -> None:
    tokens = (Token(Who.ANONYMOUS, "a", "None"),)
    with pytest.raises(SourceRefused, match="takes no user and password; it takes anonymous"):
        protection(tmp_path, user="edge").examine(SHOWN.der, [endpoint(tokens=tokens)])
    with pytest.raises(SourceRefused, match="it takes nobody by this endpoint"):
        protection(tmp_path, user="edge").examine(SHOWN.der, [endpoint(tokens=())])


@together
async def test_security_that_is_not_offered(secured: NodeServer, tmp_path: Path) -> None:
    ours = party(tmp_path)
    trusted(ours, secured)
    said = await refusal(settings(secured.url, security="Aes256Sha256RsaPss:Sign"), ours)
    assert "does not offer Aes256Sha256RsaPss:Sign; it offers Basic256Sha256:SignAndEncrypt" in said
    bare = await refusal(settings(secured.url, security="None"), ours)
    assert "does not offer this security" in bare


async def test_what_is_wrong_with_the_servers_certificate(tmp_path: Path) -> None:
    ours = party(tmp_path)
    one = make(uri="urn:other:machine")
    certificate, key = one.write(tmp_path, "press")
    TrustList(ours.pki).trust(one.der)
    files = {"certificate": str(certificate), "key": str(key)}
    async with node_server(tmp_path / "plc", **SECURE, **files) as server:
        said = await refusal(settings(server.url, **user(tmp_path)), ours)
    assert "names the application URI urn:other:machine" in said
    assert "server_certificate" in said


async def test_a_server_that_leaves_its_endpoints_out_of_the_session_is_asked_for_them(
    tmp_path: Path,
) -> None:
    ours = party(tmp_path)
    async with node_server(tmp_path / "plc", **EVERY, bare_session=True) as server:
        trusted(ours, server)
        for security in ("None", "Basic256Sha256:Sign", "Aes128Sha256RsaOaep:SignAndEncrypt"):
            assert await comes_in(settings(server.url, security=security), ours) > 1
            assert await comes_in(settings(server.url, security=security, **user(tmp_path)), ours) > 1
        seen = await server.ask("stats")
        assert (seen["sessions_created"], seen["sessions"]) == (6, 0)


@together
async def test_another_certificate_than_the_pinned_one(secured: NodeServer, tmp_path: Path) -> None:
    ours = party(tmp_path)
    certificate, _ = make(uri=URI, number=6).write(tmp_path, "pinned")
    keys = {"server_certificate": str(certificate)} | user(tmp_path)
    said = await refusal(settings(secured.url, **keys), ours)
    assert "shows another certificate than server_certificate" in said
    right = keys | {"server_certificate": str(secured.certificate)}
    assert await comes_in(settings(secured.url, **right), ours) > 1
    assert list((ours.pki / "trusted/certs").iterdir()) == []


@together
async def test_a_server_that_does_not_trust_us_names_our_file(strict: NodeServer, tmp_path: Path) -> None:
    ours = party(tmp_path)
    trusted(ours, strict)
    said = await refusal(settings(strict.url), ours)
    identity = own_identity(ours)
    assert "not among its trusted certificates" in said
    assert str(identity.path) in said
    assert identity.thumbprint in said
    await strict.ask("trust", file=str(identity.path))
    assert await comes_in(settings(strict.url), ours) > 1


@together
async def test_a_wrong_uri_of_ours(lenient: NodeServer, tmp_path: Path) -> None:
    ours = party(tmp_path)
    trusted(ours, lenient)
    chosen = settings(lenient.url)
    client = GuardedClient(chosen.endpoint, 3.0)
    try:
        await secure(client, chosen, ours)
        client.application_uri = "urn:somebody:else"
        with pytest.raises(SourceRefused, match="names another URI than we do"):
            await client.open()
    finally:
        await client.cut()


# --- what the session says, held against what was said outside ----------------------------------------

SHOWN = make(uri=URI)


def endpoint(**changed: Any) -> Endpoint:
    tokens = (Token(Who.ANONYMOUS, "anonymous", "None"), Token(Who.NAME, "name", "Basic256Sha256"))
    usual = Endpoint(
        "opc.tcp://127.0.0.1:1", "Basic256Sha256", "SignAndEncrypt", 1, SHOWN.der, URI, "press", tokens
    )
    return replace(usual, **changed)


def protection(tmp_path: Path, **keys: object) -> Protection:
    chosen = settings("opc.tcp://127.0.0.1:1", **keys)
    found = Protection(GuardedClient(chosen.endpoint, 1.0), chosen, party(tmp_path))
    if chosen.security != "None":
        _, found.claim = found.matching([endpoint()], None)
    return found


@pytest.mark.parametrize(
    ("shown", "offered", "words"),
    [
        (make(uri=URI, number=6).der, endpoint(), "another certificate within the channel"),
        (b"", endpoint(), "another certificate within the channel"),
        (SHOWN.der, endpoint(certificate=make(number=6).der), "another certificate within the channel"),
        (SHOWN.der, endpoint(certificate=b"rubbish"), "another certificate within the channel"),
        (SHOWN.der, endpoint(application_uri="urn:other"), "calls itself otherwise"),
        (SHOWN.der, endpoint(mode="Sign"), "speaks of other endpoints"),
    ],
)
def test_somebody_between(tmp_path: Path, shown: bytes, offered: Endpoint, words: str) -> None:
    with pytest.raises(SourceRefused, match=words):
        protection(tmp_path).examine(shown, [offered])


def test_nobody_between(tmp_path: Path) -> None:
    found = protection(tmp_path)
    found.examine(SHOWN.der + make(number=6).der, [endpoint(certificate=b"", application_uri="")])
    assert found.client.token == Token(Who.ANONYMOUS, "anonymous", "None")


def test_the_safest_way_of_a_password_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ways = [Token(Who.NAME, one, one) for one in ("None", "Basic128Rsa15", "Basic256Sha256", "urn:new")]
    keys = {"user": "edge", "password": secret(tmp_path, "s3cret"), "security": "None"}
    found = protection(tmp_path, **keys)
    bare = endpoint(policy="None", mode="None", tokens=tuple(ways))
    found.examine(b"", [bare])
    assert found.client.token == ways[2]
    assert "clear text" not in caplog.text
    found.examine(b"", [replace(bare, tokens=tuple(ways[:1]))])
    assert found.client.token == ways[0]
    assert "clear text" in caplog.text


# --- a connection that stands -------------------------------------------------------------------------------


@asynccontextmanager
async def standing(chosen: opcua.Settings, ours: Party, terms: Terms) -> AsyncIterator[Protection]:
    client = GuardedClient(chosen.endpoint, 3.0)
    try:
        found = await secure(client, chosen, ours, terms)
        await client.open()
        yield found
        await client.disconnect()
    finally:
        await client.cut()


@together
async def test_the_old_one_serves_until_the_server_trusts_the_new_one(
    strict: NodeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours = party(tmp_path, "renewing")
    always = Terms(valid=50 * DAY, renew=60 * DAY, look_s=0.05)
    trusted(ours, strict)
    own = Own(ours, 2048, always)
    old = own.identity()
    await strict.ask("trust", file=str(old.path))
    async with standing(settings(strict.url), ours, always) as found:
        assert shown(found).thumbprint == old.thumbprint
        new = own.successor()
        assert new is not None
        warnings = [one for one in caplog.messages if "our certificate ends in 49 days" in one]
        assert len(warnings) == 1
        assert str(new.path) in warnings[0]
        await strict.ask("trust", file=str(new.path))
        with pytest.raises(SourceLost, match="trusts our new certificate"):
            await asyncio.wait_for(found.watch(), 10)
        assert (await strict.ask("stats"))["sessions_peak"] == 1
    async with standing(settings(strict.url), ours, always) as found:
        assert shown(found).thumbprint == new.thumbprint
    assert sum("our certificate ends in" in one for one in caplog.messages) == 1


def shown(found: Protection) -> Identity:
    assert found.identity is not None
    return found.identity


@together
async def test_trust_that_is_taken_back_ends_a_connection(lenient: NodeServer, tmp_path: Path) -> None:
    ours = party(tmp_path)
    often = Terms(look_s=0.05)
    trusted(ours, lenient)
    async with standing(settings(lenient.url), ours, often) as found:
        for path in (ours.pki / "trusted/certs").iterdir():
            path.unlink()
        with pytest.raises(SourceRefused, match="is not trusted here"):
            await asyncio.wait_for(found.watch(), 10)


async def test_what_lasts_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    ours = party(tmp_path, "told-once")
    one = make(uri=URI, hosts=("plc.local",), ends=20 * DAY)
    certificate, key = one.write(tmp_path, "press")
    TrustList(ours.pki).trust(one.der)
    async with node_server(tmp_path / "plc", **EVERY, certificate=str(certificate), key=str(key)) as server:
        for _ in range(3):
            await comes_in(settings(server.url), ours)
    said = [one for one in caplog.messages if one.startswith("told-once")]
    assert len(said) == 2, said
    assert any("ends in 19 days" in one for one in said)
    assert any("the endpoint says 127.0.0.1" in one for one in said)
