"""Our own certificate: made once, followed by the next, told where it is damaged."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters._opcua.files import Unusable, opened
from adapters._opcua.identity import Own, Party, own_identity
from tests.support.pki import DAY, make


def party(tmp_path: Path, name: str = "press-plc") -> Party:
    return Party(name, tmp_path / "data", "line-1")


def test_it_is_made_once_and_names_line_and_host(tmp_path: Path) -> None:
    made = own_identity(party(tmp_path))
    assert made.uri.startswith("urn:")
    assert made.uri.endswith(":lineside:line-1")
    assert own_identity(replace(party(tmp_path), line="renamed")).thumbprint == made.thumbprint
    key = tmp_path / "data/pki/own/private/lineside-rsa2048.pem"
    assert key.stat().st_mode & 0o077 == 0
    assert own_identity(party(tmp_path), 3072).key.key_size == 3072


def test_what_is_damaged_is_told_and_never_replaced_in_silence(tmp_path: Path) -> None:
    made = own_identity(party(tmp_path))
    made.path.write_bytes(b"")
    with pytest.raises(Unusable, match="holds no certificate; move both files"):
        own_identity(party(tmp_path))
    make(number=6).write(tmp_path, "x")
    made.path.write_bytes(make(number=6).der)
    with pytest.raises(Unusable, match="is not the key of"):
        own_identity(party(tmp_path))


def test_it_follows_itself_before_its_end_and_a_crash_leaves_a_pair(tmp_path: Path) -> None:
    own = Own(party(tmp_path), 2048)
    now = datetime.now(UTC)
    first = own.identity(now)
    assert own.successor(now) is None
    near = first.ends - timedelta(days=30)
    second = own.successor(near)
    assert second is not None
    assert own.successor(near + DAY).thumbprint == second.thumbprint  # type: ignore[union-attr]
    assert own.identity(near).thumbprint == first.thumbprint
    second.path.replace(first.path)  # killed between the two renames
    assert own.identity(near).thumbprint == second.thumbprint
    third = own.identity(second.ends + DAY)
    assert third.ends > second.ends + DAY


def test_one_of_the_future_was_made_by_a_wrong_clock(tmp_path: Path) -> None:
    own = Own(party(tmp_path), 2048)
    now = datetime.now(UTC)
    wrong = own.identity(now + 3000 * DAY)
    assert own.identity(now).thumbprint != wrong.thumbprint
    with pytest.raises(Unusable, match="believes it is 1970-01-01"):
        Own(party(tmp_path / "pi"), 2048).identity(datetime(1970, 1, 1, tzinfo=UTC))


async def test_many_sources_at_once_make_one_certificate(tmp_path: Path) -> None:
    made = await asyncio.gather(
        *(asyncio.to_thread(own_identity, party(tmp_path, f"plc-{number}")) for number in range(8))
    )
    assert len({one.thumbprint for one in made}) == 1


def test_a_folder_that_many_make_at_once_is_made_once(tmp_path: Path) -> None:
    def enter(number: int) -> None:
        with opened(tmp_path / f"{number // 8}", "own", "certs"):
            pass

    switch_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(enter, range(2_000)))
    finally:
        sys.setswitchinterval(switch_s)
