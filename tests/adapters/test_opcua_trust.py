"""Whether a server's certificate is believed: every check, the folders, and bytes that nobody made."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from adapters._opcua.files import LARGEST, Unusable, certificates, chain, first, thumbprint
from adapters._opcua.identity import Party, own_identity
from adapters._opcua.trust import Claim, Finding, findings, refusal
from adapters._opcua.trusted import Trusted, TrustList
from tests.support.pki import DAY, Pair, crl, key_of, make

YEAR = 365 * DAY
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
    whole = thumbprint(stranger.certificate)
    assert f"lineside certificate trust LINE.toml {whole}" in found["trust"].fault


def test_a_pinned_one_may_call_itself_what_it_likes(tmp_path: Path) -> None:
    one = make(uri="urn:other:machine")
    found = judged(store(tmp_path), one, pinned=True)
    assert (faults(found), doubts(found)) == ([], ["application URI"])
    assert faults(judged(store(tmp_path), make(ends=-DAY / 2), pinned=True)) == ["dates"]


def test_what_one_trust_mends_is_said_together_and_what_it_does_not_alone(tmp_path: Path) -> None:
    found = store(tmp_path)
    other_host = make(hosts=("plc.local",))
    command = f"`lineside certificate trust press.toml {thumbprint(other_host.certificate)}`"
    words = refused(found, other_host)
    assert "is for the host plc.local" in words
    assert "is not trusted here" in words
    assert words.count(command) == 1
    expired = make(hosts=("plc.local",), ends=-DAY / 2)
    assert refused(found, expired).startswith("has expired")
    assert "plc.local" not in refused(found, expired)
    found.trust(ROOT.der)
    signed = make(hosts=("plc.local",), issuer=ROOT)
    assert refused(found, signed).endswith(f"trust press.toml {thumbprint(signed.certificate)}`")
    found.trust(other_host.der)
    assert refused(found, other_host) == ""


def refused(found: TrustList, shown: Pair) -> str:
    claim = Claim("127.0.0.1", "urn:acme:press", [shown.certificate])
    return refusal(claim, findings(claim, found.load(), file="press.toml"), "press.toml")


@pytest.mark.parametrize(
    ("here", "ahead", "said", "fix"),
    [
        (20 * YEAR, -20 * YEAR, "has expired", "by which it is valid: set the clock that is wrong"),
        (-50 * YEAR, 50 * YEAR, "is valid from", "by which it is valid: set the clock that is wrong"),
        (20 * YEAR, timedelta(0), "has expired", "and so does the server's: renew it on the server"),
        (20 * YEAR, -50 * YEAR, "has expired", "set the clocks, and if it is not valid then, renew"),
        (20 * YEAR, None, "has expired", "if that is right, renew it on the server"),
        (-50 * YEAR, None, "is valid from", "set the clock that is wrong"),
        (20 * YEAR, 9000 * YEAR, "has expired", "set the clocks"),
    ],
)
def test_a_date_that_is_wrong_may_be_a_clock(
    here: timedelta, ahead: timedelta | None, said: str, fix: str
) -> None:
    one, now = make(), datetime.now(UTC) + here
    ahead_s = None if ahead is None else ahead.total_seconds()
    claim = Claim("127.0.0.1", "urn:acme:press", [one.certificate], ahead_s)
    dates = {one.check: one for one in findings(claim, Trusted((one.certificate,)), now=now)}["dates"]
    assert said in dates.fault
    assert fix in dates.fault


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


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what others own")
NOBODY = 65_534


@as_root
def test_what_root_makes_belongs_to_whom_the_folder_does(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, NOBODY, NOBODY)
    store(data, LEAF).reject(ROOT.certificate)
    own_identity(Party("press-plc", data))
    made = list(data.rglob("*"))
    assert len(made) > 12
    assert {(one.stat().st_uid, one.stat().st_gid) for one in made} == {(NOBODY, NOBODY)}
    assert all(one.stat().st_mode & 0o077 == 0 for one in made)


@as_root
@pytest.mark.parametrize("name", ["certs", "trusted", "rejected", "own", "own/private", "own/.lock", "."])
def test_root_does_not_go_where_the_folders_owner_points(tmp_path: Path, name: str) -> None:
    """Who may write the data folder gets nothing outside it by a command of root's."""
    data, foreign = tmp_path / "data", tmp_path / "foreign"
    foreign.mkdir()
    precious = foreign / "precious.der"
    precious.write_bytes(b"root's own")
    precious.chmod(0o600)
    found = store(data)
    link = data / "pki" / ("trusted/certs" if name == "certs" else name)
    if link.is_dir():
        shutil.rmtree(link)
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(precious if name.endswith("lock") else foreign)
    for one in (data, *data.rglob("*")):
        os.chown(one, NOBODY, NOBODY, follow_symlinks=False)
    for work in (lambda: found.trust(LEAF.der), found.load, lambda: own_identity(Party("press-plc", data))):
        with suppress(Unusable):
            work()
    for number in range(25):
        found.reject(make(number=number % 2).certificate)
    assert [one.name for one in foreign.iterdir()] == ["precious.der"]
    assert (precious.read_bytes(), precious.stat().st_uid) == (b"root's own", 0)
    assert foreign.stat().st_uid == 0


@as_root
def test_links_that_were_laid_for_the_next_commands_are_not_followed(tmp_path: Path) -> None:
    found, precious = store(tmp_path), tmp_path / "precious"
    precious.write_bytes(b"root's own")
    folder, name = tmp_path / "pki/trusted/certs", f"{thumbprint(LEAF.certificate)}.der"
    os.chown(folder, NOBODY, NOBODY)
    for number in range(os.getpid() - 2, os.getpid() + 50):
        (folder / f".{name}.{number}.new").symlink_to(precious)
    (folder / name).symlink_to(precious)
    found.trust(LEAF.der)
    assert (precious.read_bytes(), precious.stat().st_uid) == (b"root's own", 0)
    assert (folder / name).read_bytes() == LEAF.der
    assert not (folder / name).is_symlink()


def test_a_folder_that_is_a_link_is_told(tmp_path: Path) -> None:
    found = store(tmp_path)
    (tmp_path / "pki/rejected").rmdir()
    (tmp_path / "pki/rejected").symlink_to(tmp_path)
    with pytest.raises(Unusable, match="pki/rejected cannot be used: it is a link, or no folder"):
        found.load()


_AS_NOBODY = """
import os, sys
from pathlib import Path
from adapters._opcua.files import Unusable
from adapters._opcua.identity import Party, own_identity
from adapters._opcua.trusted import TrustList
os.setgroups([]); os.setgid({id}); os.setuid({id})
for work in (lambda: own_identity(Party("x", Path(sys.argv[1]))), TrustList(Path(sys.argv[1]) / "pki").load):
    try:
        work()
    except Unusable as error:
        print(error)
"""


@as_root
@pytest.mark.parametrize("of", ["own/private", "trusted", "own/private/lineside-rsa2048.pem"])
@pytest.mark.parametrize("data_of", [0, NOBODY])
def test_another_owner_is_named_with_what_to_do(of: str, data_of: int) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # where everybody may enter
        data = Path(folder) / "data"
        own_identity(Party("x", data))
        TrustList(data / "pki").load()
        for one in (Path(folder), data, *data.rglob("*")):
            os.chown(one, NOBODY, NOBODY)
        os.chown(data, data_of, data_of)
        data.chmod(0o755)
        os.chown(data / "pki" / of, 0, 0)
        said = as_nobody(data)
    fix = "sudo -u root" if data_of == 0 else f"sudo chown -R {pwd.getpwuid(NOBODY).pw_name}: {data}/pki"
    assert len(said) == 1
    assert f"{data}/pki/{of} cannot be" in said[0]
    assert "Permission denied" in said[0]
    assert "it belongs to root" in said[0]
    assert fix in said[0]
    assert "move both files" not in said[0]


def as_nobody(data: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY.format(id=NOBODY), str(data)], capture_output=True, check=True
    )
    return done.stdout.decode().splitlines()


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
@example(12, 1)  # its version
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
