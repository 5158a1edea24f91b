"""Structures that a model makes and encodes: every part is found, and hostile ones end."""

import struct
import time
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters._opcua.binary import Extension, Id, Kind, Malformed, Raw, Sample, Text
from adapters._opcua.members import follow
from adapters._opcua.structures import Definition, Member, Shape, Step, Type, Types, Unusable


def of(encoding: Id, body: bytes) -> Sample:
    """A structure as the value of a node."""
    return Sample(Extension(encoding, body), kind=Kind.EXTENSION_OBJECT)


_SCALARS: dict[int, st.SearchStrategy[tuple[bytes, Raw]]] = {
    1: st.booleans().map(lambda one: (bytes([one]), one)),
    6: st.integers(-(2**31), 2**31 - 1).map(lambda one: (struct.pack("<i", one), one)),
    11: st.floats(allow_nan=False).map(lambda one: (struct.pack("<d", one), one)),
    12: st.text(max_size=4).map(lambda one: (struct.pack("<i", len(one.encode())) + one.encode(), one)),
    21: st.just((b"\x02\x01\x00\x00\x00a", Text(None, "a"))),
}


class Model:
    """Makes structures that know of each other, and values of them; each value's parts are in `parts`."""

    def __init__(self, choice: st.DataObject) -> None:
        self._draw = choice.draw
        self.known: dict[Id, Type] = {}
        self.parts: dict[tuple[Step, ...], Raw] = {}

    def grow(self, depth: int) -> Id:
        members = []
        for number in range(self._draw(st.integers(1, 4))):
            plain = depth == 0 or self._draw(st.booleans())
            kind = Id(0, self._draw(st.sampled_from(sorted(_SCALARS)))) if plain else self.grow(depth - 1)
            rank, optional = self._draw(st.sampled_from([-1, -1, 1, 2])), self._draw(st.booleans())
            members.append(Member(f"m{number}", kind, rank, optional))
        name = Id(9, len(self.known))
        self.known[name] = Definition(
            self._draw(st.sampled_from(Shape)), tuple(members), Id(8, len(self.known))
        )
        return name

    def value(self, name: Id, path: tuple[Step, ...]) -> bytes:
        shape, members = cast(Definition, self.known[name]).shape, cast(Definition, self.known[name]).members
        if shape in (Shape.UNION, Shape.UNION_SUBTYPES):
            switch = self._draw(st.integers(0, len(members)))
            self.parts |= {(*path, one.name): None for one in members}
            chosen = self._member(members[switch - 1], shape, path) if switch else b""
            return struct.pack("<I", switch) + chosen
        mask, bit, body = 0, 1, b""
        for one in members:
            if shape is Shape.OPTIONAL and one.optional:
                there = self._draw(st.booleans())
                mask, bit = mask | bit * there, bit << 1
                if not there:
                    self.parts[(*path, one.name)] = None
                    continue
            body += self._member(one, shape, path)
        return (struct.pack("<I", mask) if shape is Shape.OPTIONAL else b"") + body

    def _member(self, one: Member, shape: Shape, path: tuple[Step, ...]) -> bytes:
        path = (*path, one.name)
        self.parts.pop(path, None)
        loose = one.optional and shape in (Shape.SUBTYPES, Shape.UNION_SUBTYPES)
        if one.rank < 1:
            return self._one(one.type, path, loose)
        sizes = [self._draw(st.integers(0, 3)) for _ in range(one.rank)]
        length = sizes[0] if one.rank == 1 else sizes[0] * sizes[1]
        before = struct.pack("<i", length) if one.rank == 1 else struct.pack("<iii", 2, *sizes)
        return before + b"".join(self._one(one.type, (*path, place), loose) for place in range(length))

    def _one(self, kind: Id, path: tuple[Step, ...], loose: bool) -> bytes:
        if kind in self.known:
            body = self.value(kind, path)
            encoding = cast(int, cast(Definition, self.known[kind]).encoding.identifier)
            return b"\x01\x08" + struct.pack("<HBi", encoding, 1, len(body)) + body if loose else body
        number = cast(int, kind.identifier)
        body, self.parts[path] = self._draw(_SCALARS[number])
        return bytes([number]) + body if loose else body


@given(st.data())
def test_every_part_of_any_structure_is_found(choice: st.DataObject) -> None:
    model = Model(choice)
    root = model.grow(2)
    body = model.value(root, ())
    types = Types(model.known)
    value = of(cast(Definition, model.known[root]).encoding, body)
    assert not types.missing(root)
    for path, expected in model.parts.items():
        assert follow(value, path, types, root).raw == expected


@given(st.data(), st.binary(max_size=60))
def test_any_bytes_have_the_part_or_say_why_not(choice: st.DataObject, body: bytes) -> None:
    model = Model(choice)
    root = model.grow(2)
    model.value(root, ())
    types = Types(model.known)
    for path in model.parts:
        try:
            follow(of(cast(Definition, model.known[root]).encoding, body), path, types, root)
        except (Malformed, Unusable):
            continue


@pytest.mark.parametrize("rank", [-1, 1])
def test_a_structure_within_itself_ends(rank: int) -> None:
    """A server's definitions are as hostile as its bytes: a million structures in none, or without end."""
    nested = tuple(Member(f"m{n}", Id(3, 1), rank) for n in range(9))
    known: dict[Id, Type] = {
        Id(3, 1): Definition(Shape.PLAIN, (*nested, Member("x", Id(0, 6))), Id(3, 2)),
        Id(3, 3): Definition(Shape.PLAIN, (Member("y", Id(3, 4), 1), Member("x", Id(0, 6))), Id(3, 5)),
        Id(3, 4): Definition(Shape.PLAIN, (), Id(3, 6)),
    }  # fmt: skip
    bodies = {Id(3, 2): b"\x01\x00\x00\x00" * 100_000, Id(3, 5): struct.pack("<i", 2**31 - 1) + b"\x00" * 8}
    began = time.process_time()
    for encoding, body in bodies.items():
        with pytest.raises(Malformed):
            follow(of(encoding, body), ("x",), Types(known))
    assert time.process_time() - began < 2.0
