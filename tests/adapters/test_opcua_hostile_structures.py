"""Structures whose definition and content both come from a server that means harm."""

import struct
import time

import pytest

from adapters._opcua.binary import Extension, Id, Kind, Sample
from adapters._opcua.structures import Definition, Member, Shape, Type, Types
from adapters._opcua.values import Pick, reading
from edge.contract import Quality

INT, FLAG, ANY = Id(0, 7), Id(0, 1), Id(0, 22)
ROOT = Id(1, 400)
ENCODING = Id(1, 500)
LARGEST = 2**31 - 1
"""Of a dimension."""


def plain(*members: Member, encoding: Id = ENCODING) -> Definition:
    return Definition(Shape.PLAIN, members, encoding)


def matrix(*sizes: int) -> bytes:
    return struct.pack(f"<i{len(sizes)}i", len(sizes), *sizes)


def structured(body: bytes) -> Sample:
    return Sample(Extension(ENCODING, body), kind=Kind.EXTENSION_OBJECT)


def picked(known: dict[Id, Type], *path: str | int) -> Pick:
    return Pick(None, path, Types(known), ROOT)


@pytest.mark.parametrize("count", [33, 600, 249_000])
@pytest.mark.parametrize("wanted", ["want", "junk"])
def test_dimensions_without_end_are_refused_at_once(count: int, wanted: str) -> None:
    pick = picked({ROOT: plain(Member("junk", INT, 2), Member("want", INT))}, wanted)
    began = time.process_time()
    found = reading(structured(matrix(*[LARGEST] * count)), pick)
    assert time.process_time() - began < 0.1
    assert (found.quality, found.detail) == (Quality.BAD, f"junk is an array of {count} dimensions")


@pytest.mark.parametrize("count", [2, 32, 600])
def test_a_matrix_larger_than_a_message_is_said_in_few_words(count: int) -> None:
    element = plain(Member("c", INT), encoding=Id(1, 502))
    inner = plain(Member("b", Id(1, 402), 2), encoding=Id(1, 501))
    known: dict[Id, Type] = {ROOT: plain(Member("a", ANY)), Id(1, 401): inner, Id(1, 402): element}
    content = matrix(*[LARGEST] * count)
    body = b"\2" + struct.pack("<HIBi", 1, 501, 1, len(content)) + content
    found = reading(structured(body), picked(known, "a", "b", "c"))
    assert found.quality is Quality.BAD
    assert len(found.detail) < 100


@pytest.mark.parametrize("rank", [1, 2])
def test_structures_that_take_no_bytes_are_not_walked_over(rank: int) -> None:
    known: dict[Id, Type] = {
        ROOT: plain(Member("junk", Id(1, 401), rank), Member("want", INT)),
        Id(1, 401): plain(encoding=Id(1, 501)),
    }
    began = time.process_time()
    for _ in range(1000):
        body = struct.pack("<i", 240_000) if rank == 1 else matrix(400, 600)
        found = reading(structured(body + b"\0" * 4), picked(known, "want"))
    assert found.detail == "an array is longer than its message"
    assert time.process_time() - began < 0.3


def test_members_that_are_not_there_cost_steps_too() -> None:
    absent = Definition(Shape.OPTIONAL, (Member("x", INT, optional=True),) * 4000, Id(1, 501))
    known: dict[Id, Type] = {
        ROOT: plain(Member("junk", Id(1, 401), 1), Member("want", INT)),
        Id(1, 401): absent,
    }
    began = time.process_time()
    found = reading(structured(struct.pack("<i", 200_000) + b"\0" * 800_004), picked(known, "want"))
    assert "steps" in found.detail
    assert time.process_time() - began < 0.3


def test_thousands_of_structures_a_second_that_are_slow_to_read_stop_nothing() -> None:
    known: dict[Id, Type] = {
        Id(1, number): plain(Member("m", Id(1, number + 1))) for number in range(401, 490)
    }
    known |= {ROOT: plain(Member("junk", Id(1, 401), 1), Member("want", INT)), Id(1, 490): int(Kind.BOOLEAN)}
    pick, sample = picked(known, "want"), structured(struct.pack("<i", 900) + b"\0" * 904)
    assert reading(sample, pick).value == 0
    began = time.process_time()
    found = [reading(sample, pick) for _ in range(3000)]
    assert time.process_time() - began < 2
    assert found[-1].detail.startswith("the server sends larger structures, or more of them")


def test_the_structures_that_machines_send_are_all_read() -> None:
    pick = picked({ROOT: plain(*(Member(f"m{number}", INT) for number in range(100)))}, "m99")
    sample = structured(b"\7\0\0\0" * 100)
    assert [reading(sample, pick).value for _ in range(2000)] == [7] * 2000
