"""A record: what is asked of it is paid for, and nothing else."""

import json

import pytest
from msgspec import DecodeError

from edge.record import Record

AT_MS = 1_777_875_129_412


def record(body: bytes, owner: bytes = b"{}") -> Record:
    return Record(
        7, "k3f9-7", "count", AT_MS, "source", AT_MS + 18, "line-1", "press", body, owner, attribution=2
    )


def test_the_whole_of_it_has_what_was_stored_as_it_is() -> None:
    one = record(b'{"produced": 1}', b'{"order":"WO-1"}')
    assert b'"data":{"produced": 1},"context":{"order":"WO-1"}' in one.json
    assert json.loads(one.json) == {
        "v": 1, "id": "k3f9-7", "seq": 7, "type": "count", "at": "2026-05-04T06:12:09.412Z",
        "stamp": "source", "seen": "2026-05-04T06:12:09.430Z", "line": "line-1", "station": "press",
        "data": {"produced": 1}, "context": {"order": "WO-1"}, "attribution": 2,
    }  # fmt: skip
    assert (one.data, one.context) == ({"produced": 1}, {"order": "WO-1"})


def test_what_is_asked_for_twice_is_made_once() -> None:
    one = record(b'{"produced":1}')
    assert (one.json is one.json, one.data is one.data, one.context is one.context) == (True, True, True)


def test_a_sink_that_wants_the_json_decodes_nothing() -> None:
    one = record(b"{no JSON}")
    assert b"{no JSON}" in one.json
    with pytest.raises(DecodeError):
        _ = one.data
