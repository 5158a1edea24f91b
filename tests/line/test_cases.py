"""Every folder in tests/cases: what was seen, and what it means. See tests/support/cases.py."""

import pytest
from msgspec import json

from tests.support import cases

pytestmark = pytest.mark.parametrize("name", cases.names())


def test_case_means_what_is_expected(name: str) -> None:
    assert cases.replay(name)[0] == cases.expected(name)


def test_case_replayed_twice_gives_the_same_bytes(name: str) -> None:
    once, again = json.encode(cases.replay(name)[1]), json.encode(cases.replay(name)[1])
    assert once == again


def test_case_has_a_name_that_says_what_happens(name: str) -> None:
    found = {path.name for path in (cases.CASES / name).iterdir()}
    assert (
        {"observations.jsonl", "expected.jsonl"}
        <= found
        <= {"observations.jsonl", "expected.jsonl", "line.toml"}
    )
