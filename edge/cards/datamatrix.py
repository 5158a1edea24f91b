"""A short text as a Data Matrix symbol: ECC 200, square, one region (ISO/IEC 16022's annexes E and F)."""

from collections.abc import Iterator, Sequence

Matrix = tuple[tuple[bool, ...], ...]
"""Rows from the top; True is dark."""

_SIZES = (
    (10, 3, 5), (12, 5, 7), (14, 8, 10), (16, 12, 12), (18, 18, 14), (20, 22, 18), (22, 30, 20), (24, 36, 24),
    (26, 44, 28),
)  # fmt: skip
"""Modules of a side; codewords of data; codewords that correct errors."""

_PAD = 129
_POLYNOMIAL = 0x12D
"""Of the field with 256 elements that the error correction is reckoned in."""


def datamatrix(text: str) -> Matrix:
    """The smallest symbol that holds the text. Raises ValueError for what is not ASCII, or too long."""
    data = _codewords(text)
    for side, room, correction in _SIZES:
        if len(data) <= room:
            padded = _padded(data, room)
            return _framed(_placed(padded + _correction(padded, correction), side - 2))
    raise ValueError(f"{len(text)} characters are too many for a Data Matrix of {_SIZES[-1][0]} modules")


def _codewords(text: str) -> list[int]:
    """ASCII encodation: two digits are one codeword."""
    found, at = [], 0
    while at < len(text):
        pair = text[at : at + 2]
        if len(pair) == 2 and pair.isascii() and pair.isdigit():
            found.append(130 + int(pair))
            at += 2
        elif text[at].isascii():
            found.append(ord(text[at]) + 1)
            at += 1
        else:
            raise ValueError(f"{text[at]!a} is not ASCII")
    return found


def _padded(data: list[int], room: int) -> list[int]:
    """Filled up; all but the first filler depend on their place, so that they form no pattern."""
    full = list(data)
    while len(full) < room:
        place = len(full) + 1
        spread = _PAD + 149 * place % 253 + 1
        full.append(_PAD if len(full) == len(data) else spread - 254 if spread > 254 else spread)
    return full


def _correction(data: Sequence[int], count: int) -> list[int]:
    """Reed-Solomon: the remainder of the data by a polynomial with the roots 2, 4, ... 2**count."""
    generator = [1]
    root = 1
    for _ in range(count):
        root = _product(root, 2)
        shifted = [*generator, 0]
        for at, factor in enumerate(generator):
            shifted[at + 1] ^= _product(factor, root)
        generator = shifted
    rest = [0] * count
    for codeword in data:
        lead = codeword ^ rest[0]
        rest = [
            one ^ _product(lead, factor) for one, factor in zip([*rest[1:], 0], generator[1:], strict=True)
        ]
    return rest


def _product(one: int, other: int) -> int:
    result = 0
    while other:
        if other & 1:
            result ^= one
        one = one << 1 ^ (_POLYNOMIAL if one & 0x80 else 0)
        other >>= 1
    return result


# --- where the bits go ------------------------------------------------------------------------

Place = tuple[int, int]
"""Row and column; below 0 they count from the far side."""

_SHAPE: tuple[Place, ...] = ((-2, -2), (-2, -1), (-1, -2), (-1, -1), (-1, 0), (0, -2), (0, -1), (0, 0))
"""The eight modules of a codeword, from its highest bit, seen from the lowest one's place."""

_CORNERS: dict[str, tuple[Place, ...]] = {
    "first": ((-1, 0), (-1, 1), (-1, 2), (0, -2), (0, -1), (1, -1), (2, -1), (3, -1)),
    "second": ((-3, 0), (-2, 0), (-1, 0), (0, -4), (0, -3), (0, -2), (0, -1), (1, -1)),
}
"""Codewords whose shape is torn over the corners; the two others of the standard are of rectangles."""


def _placed(codewords: Sequence[int], side: int) -> list[list[bool]]:
    """All bits in the square between the finder's borders."""
    found: dict[Place, bool] = {}
    for codeword, places in zip(codewords, _walk(side), strict=False):
        for at, place in enumerate(places):
            found[place] = bool(codeword >> (7 - at) & 1)
    if (side - 1, side - 1) not in found:  # a square that is no multiple of codewords has four left over
        found |= {(side - 1, side - 1): True, (side - 2, side - 2): True}
    return [[found.get((row, column), False) for column in range(side)] for row in range(side)]


def _walk(side: int) -> Iterator[list[Place]]:
    """The places of each codeword in turn: diagonals up to the right, then down to the left."""
    taken: set[Place] = set()
    row, column = 4, 0
    while row < side or column < side:
        if (corner := _corner(row, column, side)) is not None:
            places = [(one % side, other % side) for one, other in corner]
            taken.update(places)
            yield places
        while row >= 0 and column < side:
            if row < side and column >= 0 and (row, column) not in taken:
                yield _standard(row, column, side, taken)
            row, column = row - 2, column + 2
        row, column = row + 1, column + 3
        while row < side and column >= 0:
            if row >= 0 and column < side and (row, column) not in taken:
                yield _standard(row, column, side, taken)
            row, column = row + 2, column - 2
        row, column = row + 3, column + 1


def _corner(row: int, column: int, side: int) -> tuple[Place, ...] | None:
    if row == side and column == 0:
        return _CORNERS["first"]
    if row == side - 2 and column == 0 and side % 8 == 6:
        return _CORNERS["second"]
    return None


def _standard(row: int, column: int, side: int, taken: set[Place]) -> list[Place]:
    """A codeword in its own shape; what hangs over an edge comes in at the other, moved along it."""
    places = [_wrapped(row + down, column + right, side) for down, right in _SHAPE]
    taken.update(places)
    return places


def _wrapped(row: int, column: int, side: int) -> Place:
    shift = 4 - (side + 4) % 8
    if row < 0:
        row, column = row + side, column + shift
    if column < 0:
        row, column = row + shift, column + side
    return row, column


def _framed(inner: list[list[bool]]) -> Matrix:
    """With the finder: solid at the left and below, dotted above and at the right."""
    side = len(inner) + 2
    above = tuple(column % 2 == 0 for column in range(side))
    middle = [(True, *row, at % 2 == 0) for at, row in enumerate(inner)]
    return (above, *middle, (True,) * side)
