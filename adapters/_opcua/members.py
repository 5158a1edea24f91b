"""One part of one value: an element of an array, a member of a structure, a member of that one's element.

The encodings of structures, optional fields, unions and arrays are in OPC 10000-6, 5.2.5 to 5.2.9.
"""

from collections.abc import Iterator, Sequence

from adapters._opcua.binary import MOST_DIMENSIONS, Array, Extension, Id, Kind, Malformed, Reader, Sample
from adapters._opcua.structures import SHOWN, Definition, Member, Shape, Step, Types, Unusable, named

_UNIONS = (Shape.UNION, Shape.UNION_SUBTYPES)
_BEYOND = 1 << 31
"""Elements: more than any message holds."""


def follow(sample: Sample, path: Sequence[Step], types: Types, root: Id | None = None) -> Sample:
    """The part of a value that a path leads to. Raises Unusable and Malformed.

    `root` is the data type of the node: it tells a structure whose encoding the server does not name.
    """
    while True:
        if sample.is_array:
            if not path:
                return sample
            sample, path = _element(sample, path[0]), path[1:]
        elif isinstance(sample.raw, Sample):
            sample = sample.raw
            if sample.status >> 31:
                return sample
        elif not path:
            return sample
        elif isinstance(sample.raw, Extension):
            sample, path = _inside(sample.raw, path, types, root)
            root = None
        else:
            sample, path = _octet(sample, path[0]), path[1:]


def _element(sample: Sample, step: Step) -> Sample:
    array = sample.raw if isinstance(sample.raw, Array) else Array(sample.kind, 0, b"")
    if isinstance(step, str):
        raise Unusable(f"the value is an array of {len(array)}; say which one before {step}")
    place = _flat(array, step) if isinstance(step, tuple) else step
    if not 0 <= place < len(array):
        raise Unusable(f"the array has {len(array)} elements, counted from 0; there is no {place}")
    return Sample(array[place], kind=array.kind)


def _flat(array: Array, place: tuple[int, ...]) -> int:
    """In a matrix the last index runs fastest (OPC 10000-6, 5.2.2.16)."""
    dimensions = array.dimensions or (len(array),)
    if len(place) != len(dimensions) or not all(
        0 <= one < size for one, size in zip(place, dimensions, strict=False)
    ):
        raise Unusable(f"the array has {' x '.join(map(str, dimensions))} elements, counted from 0")
    flat = 0
    for one, size in zip(place, dimensions, strict=True):
        flat = flat * size + one
    return flat


def _octet(sample: Sample, step: Step) -> Sample:
    """A server may send an array of Byte as a ByteString."""
    if isinstance(sample.raw, bytes) and isinstance(step, int):
        if not 0 <= step < len(sample.raw):
            raise Unusable(f"the array has {len(sample.raw)} elements, counted from 0; there is no {step}")
        return Sample(sample.raw[step], kind=Kind.BYTE)
    if isinstance(step, str):
        raise Unusable(f"the value is no structure and has no member {step}")
    raise Unusable("the value is no array; leave the index out")


def _inside(
    extension: Extension, path: Sequence[Step], types: Types, root: Id | None
) -> tuple[Sample, Sequence[Step]]:
    found = _definition(extension.type, types, root)
    if found is None:
        raise Unusable("the structure is of a type that the server does not define")
    if extension.body is None or extension.xml:
        raise Unusable("the structure is empty" if extension.body is None else "the structure is sent as XML")
    reader = Reader(extension.body)
    types.effort.ask()
    try:
        return _find(reader, found, path, types)
    finally:
        types.effort.spend(reader.walked)


def _definition(encoding: Id, types: Types, root: Id | None) -> Definition | None:
    """By the encoding's id; servers that name none there name the data type, or nothing that they define."""
    found = types.encoded(encoding) or types.of(encoding)
    if isinstance(found, Definition):
        return found
    of_node = None if root is None else types.of(root)
    return of_node if isinstance(of_node, Definition) and of_node.encoding.null else None


def _find(
    reader: Reader, owner: Definition, path: Sequence[Step], types: Types
) -> tuple[Sample, Sequence[Step]]:
    """Pass over what comes before the member, and read it; and the rest of the path."""
    wanted = named(owner, path[0])
    reader.spend(len(owner.members))
    for member in _present(reader, owner):
        if member is wanted:
            return _member(reader, owner, member, path[1:], types)
        _pass_over(reader, owner, member, types)
    return Sample(None), ()


def _present(reader: Reader, owner: Definition) -> Iterator[Member]:
    """The members that are there, in their order; the reader stands before each."""
    if owner.shape in _UNIONS:
        switch = reader.uint32()
        if switch > len(owner.members):
            raise Malformed(f"a union of {len(owner.members)} has no member {switch}")
        yield from owner.members[switch - 1 : switch] if switch else ()
        return
    mask = reader.uint32() if owner.shape is Shape.OPTIONAL else 0
    for member in owner.members:
        if member.optional and owner.shape is Shape.OPTIONAL:
            there, mask = mask & 1, mask >> 1
            if not there:
                continue
        yield member


def _length(reader: Reader, member: Member) -> int:
    """How many values of a member there are; a matrix has its dimensions before it."""
    if member.rank < 1:
        return 1
    if member.rank == 1:
        return max(reader.int32(), 0)
    total, dimensions = 1, reader.count(4)
    if dimensions > MOST_DIMENSIONS:
        raise Malformed(f"{member.name} is an array of {dimensions} dimensions")
    for _ in range(dimensions):
        total = min(total * max(reader.int32(), 0), _BEYOND)
    return total


def _pass_over(reader: Reader, owner: Definition, member: Member, types: Types) -> None:
    _pass_values(reader, types.form(owner, member), _length(reader, member), types)


def _pass_values(reader: Reader, form: Definition | int, length: int, types: Types) -> None:
    if not isinstance(form, Definition):
        reader.walk(form, length)
        return
    if length > reader.end - reader.at:
        raise Malformed("an array is longer than its message")  # also of structures that take no bytes
    reader.spend(length * (1 + len(form.members)))
    reader.deeper()
    for _ in range(length):
        for member in _present(reader, form):
            _pass_over(reader, form, member, types)
    reader.shallower()


def _member(
    reader: Reader, owner: Definition, member: Member, path: Sequence[Step], types: Types
) -> tuple[Sample, Sequence[Step]]:
    form, length = types.form(owner, member), _length(reader, member)
    if member.rank < 1:
        return _one(reader, form, path, types)
    if not path or isinstance(path[0], str):
        if isinstance(form, Definition):
            raise Unusable(f"{member.name} is an array of {length}; say which one, as in {member.name}[0]")
        begin = reader.at
        reader.walk(form, length)
        return Sample(Array(form, length, reader.body[begin : reader.at]), kind=form, is_array=True), path
    place = path[0]
    if isinstance(place, tuple) or not 0 <= place < length:
        raise Unusable(f"{member.name} has {length} elements, counted from 0; there is no {place}")
    _pass_values(reader, form, place, types)
    return _one(reader, form, path[1:], types)


def _one(
    reader: Reader, form: Definition | int, path: Sequence[Step], types: Types
) -> tuple[Sample, Sequence[Step]]:
    if not isinstance(form, Definition):
        return Sample(reader.scalar(form), kind=form), path
    if not path:
        names = ", ".join(member.name for member in form.members[:SHOWN])
        raise Unusable(f"it is a structure; name one of its members: {names}")
    reader.deeper()
    return _find(reader, form, path, types)
