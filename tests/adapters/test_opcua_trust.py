"""Whether a server's certificate is believed: every check, the folders, and bytes that nobody made."""

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from adapters._opcua.files import LARGEST, Unusable, certificates, chain, first, thumbprint
from adapters._opcua.trust import Claim, Finding, Trusted, TrustList, findings
from tests.support.pki import DAY, Pair, crl, key_of, make

ROOT = make("Root CA", uri="", hosts=(), ca=True, number=1)
LEAF = make(issuer=ROOT)


def store(
    tmp_path: Path, *trusted: Pair, issuers: tuple[Pair, ...] = (), lists: tuple[bytes, ...] = ()
) -> TrustList:
    found = TrustList(tmp_path / "pki")
    found.load()
    for one in trusted:
        found.trust(one.der)
    for number, one in enumerate(issuers):
        (tmp_path / f"pki/issuers/certs/{number}.der").write_bytes(one.der)
    for number, content in enumerate(lists):
        (tmp_path / f"pki/trusted/crl/{number}.crl").write_bytes(content)
    return found


def judged(
    found: TrustList, *shown: Pair, host: str = "127.0.0.1", uri: str = "urn:acme:press", pinned: bool = False
) -> dict[str, Finding]:
    claim = Claim(host, uri, [one.certificate for one in shown])
    return {one.check: one for one in findings(claim, found.load(), pinned)}


def faults(found: dict[str, Finding]) -> list[str]:
    return [name for name, one in found.items() if one.fault]


def doubts(found: dict[str, Finding]) -> list[str]:
    return [name for name, one in found.items() if one.doubt]


# --- one certificate, trusted by hand -------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "check", "words"),
    [
        ({"ends": -DAY / 2}, "dates", "has expired"),
        ({"begins": DAY}, "dates", "set the clock that is wrong"),
        ({"uri": "urn:other:machine"}, "application URI", "the server calls itself urn:acme:press"),
        ({"uri": ""}, "application URI", "names the application URI none"),
        ({"bits": 1024}, "key", "1024 bits"),
    ],
)
def test_what_no_trust_makes_good(tmp_path: Path, keys: dict[str, object], check: str, words: str) -> None:
    one = make(**keys)  # type: ignore[arg-type]
    found = judged(store(tmp_path, one), one)
    assert faults(found) == [check]
    assert words in found[check].fault


@pytest.mark.parametrize(
    ("keys", "check"),
    [
        ({"hosts": ("plc.local",)}, "host"),
        ({"key_usage": False}, "use"),
        ({"server": False}, "use"),
        ({"ends": 10 * DAY}, "dates"),
    ],
)
def test_what_is_only_doubted_where_this_very_certificate_is_trusted(
    tmp_path: Path, keys: dict[str, object], check: str
) -> None:
    one = make(**keys)  # type: ignore[arg-type]
    found = judged(store(tmp_path, one), one)
    assert (faults(found), doubts(found)) == ([], [check])


@pytest.mark.parametrize(
    ("keys", "check"),
    [({"hosts": ("plc.local",)}, "host"), ({"server": False}, "use"), ({"key_usage": False}, "use")],
)
def test_an_issuers_word_is_worth_less_than_ones_own(
    tmp_path: Path, keys: dict[str, object], check: str
) -> None:
    one = make(issuer=ROOT, **keys)  # type: ignore[arg-type]
    assert faults(judged(store(tmp_path, ROOT), one)) == [check]


def test_an_old_signature(tmp_path: Path) -> None:
    """The library signs with SHA-1 no more; servers out there were signed long ago."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha1", "-days", "100",
         "-subj", "/CN=old", "-keyout", tmp_path / "old.key", "-out", tmp_path / "old.pem",
         "-addext", "subjectAltName=URI:urn:acme:press,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    old = Pair(x509.load_pem_x509_certificate((tmp_path / "old.pem").read_bytes()), key_of(2048, 0))
    assert faults(judged(store(tmp_path / "a"), old)) == ["signature", "trust"]
    assert doubts(judged(store(tmp_path / "b", old), old)) == ["signature"]


def test_nothing_is_wrong_with_a_good_one(tmp_path: Path) -> None:
    one = make()
    found = judged(store(tmp_path, one), one)
    assert (faults(found), doubts(found)) == ([], [])
    assert faults(judged(store(tmp_path, one), one, host="LOCALHOST")) == []


def test_a_stranger_is_not_trusted_and_the_command_names_him(tmp_path: Path) -> None:
    stranger, friend = make(number=3), make()
    found = judged(store(tmp_path, friend), stranger)
    assert faults(found) == ["trust"]
    short = thumbprint(stranger.certificate)[:16]
    assert f"lineside certificate trust LINE.toml {short}" in found["trust"].fault


def test_a_pinned_one_may_call_itself_what_it_likes(tmp_path: Path) -> None:
    one = make(uri="urn:other:machine")
    found = judged(store(tmp_path), one, pinned=True)
    assert (faults(found), doubts(found)) == ([], ["application URI"])
    assert faults(judged(store(tmp_path), make(ends=-DAY / 2), pinned=True)) == ["dates"]


# --- issuers ---------------------------------------------------------------------------------------


def test_one_of_a_trusted_issuer(tmp_path: Path) -> None:
    found = judged(store(tmp_path, ROOT, lists=(crl(ROOT),)), LEAF)
    assert (faults(found), doubts(found)) == ([], [])


def test_without_a_list_of_the_revoked_there_is_a_doubt(tmp_path: Path) -> None:
    assert doubts(judged(store(tmp_path, ROOT), LEAF)) == ["revocation"]
    old = store(tmp_path / "old", ROOT, lists=(crl(ROOT, ends=-DAY),))
    assert doubts(judged(old, LEAF)) == ["revocation"]


def test_a_revoked_one_is_refused_also_where_it_is_trusted_by_hand(tmp_path: Path) -> None:
    taken_back = store(tmp_path, ROOT, lists=(crl(ROOT, LEAF),))
    assert faults(judged(taken_back, LEAF)) == ["revocation"]
    taken_back.trust(LEAF.der)
    assert faults(judged(taken_back, LEAF)) == ["revocation"]


def test_a_list_of_somebody_else_revokes_nothing(tmp_path: Path) -> None:
    impostor = make("Root CA", uri="", hosts=(), ca=True, number=4)
    found = judged(store(tmp_path, ROOT, lists=(crl(impostor, LEAF),)), LEAF)
    assert faults(found) == []


def test_the_way_goes_over_issuers_that_the_server_sends_or_that_are_known(tmp_path: Path) -> None:
    between = make("Plant CA", uri="", hosts=(), ca=True, number=2, issuer=ROOT)
    leaf = make(issuer=between)
    assert faults(judged(store(tmp_path / "a", ROOT), leaf)) == ["trust"]
    assert faults(judged(store(tmp_path / "b", ROOT), leaf, between)) == []
    assert faults(judged(store(tmp_path / "c", ROOT, issuers=(between,)), leaf)) == []
    assert faults(judged(store(tmp_path / "d", issuers=(between, ROOT)), leaf)) == ["trust"]
    assert faults(judged(store(tmp_path / "e", between), leaf)) == []


def test_who_may_not_sign_has_signed_nothing(tmp_path: Path) -> None:
    no_issuer = make("Press 7", number=5)
    assert faults(judged(store(tmp_path / "a", no_issuer), make(issuer=no_issuer))) == ["trust"]
    short = make("Root CA", uri="", hosts=(), ca=True, number=1, path_length=0)
    between = make("Plant CA", uri="", hosts=(), ca=True, number=2, issuer=short)
    assert faults(judged(store(tmp_path / "b", short), make(issuer=between), between)) == ["trust"]


def test_a_forged_signature_leads_nowhere(tmp_path: Path) -> None:
    impostor = make("Root CA", uri="", hosts=(), ca=True, number=4)
    assert faults(judged(store(tmp_path, ROOT), make(issuer=impostor))) == ["trust"]


def test_an_issuer_that_has_expired(tmp_path: Path) -> None:
    old = make("Root CA", uri="", hosts=(), ca=True, number=1, ends=-DAY / 2)
    found = judged(store(tmp_path, old), make(issuer=old))
    assert faults(found) == ["dates of Root CA"]
    assert "was issued by one that has expired" in found["dates of Root CA"].fault


# --- folders ----------------------------------------------------------------------------------------


def test_twenty_rejected_ones_are_kept(tmp_path: Path) -> None:
    found = store(tmp_path)
    for _ in range(23):
        found.reject(make().certificate)
    assert len(found.waiting()) == 20
    found.reject(found.waiting()[0])
    assert len(found.waiting()) == 20


def test_a_bad_file_hinders_no_other(tmp_path: Path) -> None:
    found = store(tmp_path, LEAF, lists=(b"no list",))
    folder = tmp_path / "pki/trusted/certs"
    (folder / "empty.der").touch()
    (folder / "long.pem").write_bytes(b"-" * (LARGEST + 1))
    (folder / "notes.txt").write_text("passed over")
    known = found.load()
    assert known.trusted == (LEAF.certificate,)
    assert len(known.unreadable) == 3
    assert all(one.startswith(str(tmp_path)) for one in known.unreadable)


def test_files_are_their_owners_only(tmp_path: Path) -> None:
    path = store(tmp_path).trust(LEAF.der)
    assert path.stat().st_mode & 0o077 == 0
    assert not [one for one in path.parent.iterdir() if one != path]


# --- bytes ------------------------------------------------------------------------------------------


def test_a_chain_is_cut_where_its_parts_end() -> None:
    assert [thumbprint(one) for one in chain(LEAF.der + ROOT.der)] == [
        thumbprint(LEAF.certificate), thumbprint(ROOT.certificate)
    ]  # fmt: skip
    assert first(LEAF.der + ROOT.der) == LEAF.der
    assert first(b"") == b""


@given(st.binary(max_size=300))
@example(b"\x30\x84\xff\xff\xff\xff")
@example(b"\x30\x80")
@example(b"\x30")
def test_bytes_that_nobody_made_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the only error that may come out)
        chain(content)


@given(st.integers(0, len(LEAF.der) - 1), st.integers(1, 255))
def test_a_certificate_with_a_wrong_byte_is_no_crash(at: int, by: int) -> None:
    bent = bytearray(LEAF.der)
    bent[at] ^= by
    try:
        shown = chain(bytes(bent))
    except ValueError:
        return
    claim = Claim("127.0.0.1", "urn:acme:press", shown)
    known = Trusted((ROOT.certificate,))
    assert any(one.fault for one in findings(claim, known))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200))
def test_a_file_of_rubbish_is_unusable(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.der"
    path.write_bytes(content)
    with pytest.raises(Unusable):
        certificates(path)
