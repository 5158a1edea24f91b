"""A batch of telemetry with fewer frames, for when room is short. Pure."""

from collections.abc import Iterator, Sequence

from msgspec import DecodeError, Raw, Struct, json

from edge.batches import pack, unpack

MERGED = 10
"""So many frames become one."""


class _Frame(Struct, omit_defaults=True):
    """One moment. A name stands in `values` or in `bad`."""

    at: int
    values: dict[str, Raw] = {}
    bad: dict[str, Raw] = {}


class _Batch(Struct, frozen=True):
    """As `edge/batches.py` describes it."""

    frames: tuple[_Frame, ...]
    lost: int = 0


class Thinned(Struct, frozen=True):
    """What is left of a batch."""

    at_ms: int
    """Of its first frame."""
    body: bytes


_decode = json.Decoder(_Batch).decode
_encode = json.Encoder().encode


def thin(name: str, body: bytes) -> Thinned | None:
    """Of ten frames one, with what was last said of each name and the time of the last; None where nothing
    would be gained.

    A frame has only the names that moved: to leave frames out would lose what nobody says again.
    """
    try:
        batch = _decode(unpack(name, body))
    except DecodeError:
        return None
    if len(batch.frames) < 2:
        return None
    frames = list(_merged(batch.frames))
    packed = pack(name, [_encode(one) for one in frames], batch.lost)
    return Thinned(frames[0].at, packed) if len(packed) < len(body) else None


def _merged(frames: Sequence[_Frame]) -> Iterator[_Frame]:
    for start in range(0, len(frames), MERGED):
        some = frames[start : start + MERGED]
        one = _Frame(some[-1].at, {}, {})
        for frame in some:
            for name, value in frame.values.items():
                one.bad.pop(name, None)
                one.values[name] = value
            for name, why in frame.bad.items():
                one.values.pop(name, None)
                one.bad[name] = why
        yield one
