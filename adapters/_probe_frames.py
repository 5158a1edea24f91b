"""What frames a device sends, guessed from recorded bytes and their pauses; no port, no await."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from typing import Any

from adapters._frames import Frame, Framer, Framing
from adapters._probe_wire import Chunk
from adapters._rig_checksum import Checksum, Framed, Kind, Part, checked, has_mark
from adapters._rig_messages import Broken

PAUSE_S = 0.06
"""Longer than any pause inside a frame of a device that sends it in one go, USB's packets included."""
_STX, _ETX, _EOT, _ENQ = b"\x02", b"\x03", b"\x04", b"\x05"
_ENDS = (b"\r\n", b"\r", b"\n", b"\x03", b"\x04", b"\t", b";")
_MOST_TRAILER = 4
_MOSTLY = 0.8
LONGEST = 4096
_KINDS: tuple[Kind, ...] = (
    "xor", "sum8", "sum8-complement", "sum7-complement", "crc16-modbus", "crc16-arc", "crc16-ccitt-false",
    "crc16-xmodem", "crc16-kermit", "crc16-x25", "crc16-aug-ccitt",
)  # fmt: skip
_COVERS: tuple[list[Part], ...] = (["text", "end"], ["text"], ["begin", "text", "end"], ["begin", "text"])
_ENOUGH = 300
"""Frames to try checksums on."""
LEAST_PROOF = 2
"""Different frames that must agree on a checksum: one agrees with some by chance."""


@dataclass(frozen=True, slots=True)
class Guess:
    """How the frames are told apart, and what they hold."""

    keys: dict[str, Any]
    """As in the TOML; what is usual is left out."""
    frames: tuple[Frame, ...]
    """Everything that was heard, cut by it."""
    words: tuple[str, ...]
    """What was found, for a person."""
    framing: Framing
    asks: bool = False
    """It asks with ENQ before it sends."""
    checksum: dict[str, Any] = field(default_factory=dict)
    """Behind the end: the table that checks it; empty where there is none, or none that fits."""
    end: bytes = b""
    """What closes a frame; empty: a pause."""
    pause_s: float | None = None
    """The usual silence between two messages; None where there was none."""
    doubts: tuple[str, ...] = ()
    """What is a guess, and why."""

    @property
    def texts(self) -> list[bytes]:
        """What whole frames hold."""
        return [one.raw for one in self.frames if not one.broken and one.kind == "frame"]

    @property
    def broken(self) -> list[Frame]:
        return [one for one in self.frames if one.broken]


def bursts(chunks: Sequence[Chunk]) -> list[bytes]:
    """What came without a pause."""
    found: list[bytes] = []
    last_s = float("-inf")
    for chunk in chunks:
        if chunk.at_s - last_s < PAUSE_S and found:
            found[-1] += chunk.data
        else:
            found.append(chunk.data)
        last_s = chunk.at_s
    return found


def cut(chunks: Sequence[Chunk], framing: Framing) -> list[Frame]:
    """The frames as an adapter would see them."""
    framer = Framer(framing)
    frames: list[Frame] = []
    for chunk in chunks:
        frames += framer.expire(chunk.at_s) if framer.unfinished else []
        frames += framer.feed(chunk.data, chunk.at_s)
    last_s = chunks[-1].at_s if chunks else 0.0
    return frames + framer.expire(last_s + framing.idle_s + 1)


def guess(chunks: Sequence[Chunk]) -> Guess | None:
    """The likeliest framing; None where nothing but questions was heard, or nothing at all."""
    asks = any(one[:1] == _ENQ for one in bursts(chunks))
    payload = [one.strip(_ENQ + _EOT) if asks else one for one in bursts(chunks)]
    payload = [one for one in payload if one]
    if not payload:
        return None
    found = _framed(chunks, payload, asks)
    return replace(found, pause_s=_usual_pause(chunks))


def _framed(chunks: Sequence[Chunk], payload: Sequence[bytes], asks: bool) -> Guess:
    if _mostly([one[:1] == _STX and _ETX in one for one in payload]):
        return _enclosed(chunks, asks, _ETX)
    end = next((end for end in _ENDS if _mostly([one.endswith(end) for one in payload])), None)
    behind_cr = [one[:1] == _STX and b"\r" in one[-_MOST_TRAILER - 1 :] for one in payload]
    if end is None and _mostly(behind_cr):
        return _enclosed(chunks, asks, b"\r")
    return _idle(chunks, payload) if end is None else _ended(chunks, end, payload)


def _usual_pause(chunks: Sequence[Chunk]) -> float | None:
    pauses = [gap for gap in _gaps(chunks) if gap >= PAUSE_S]
    return statistics.median(pauses) if pauses else None


def _gaps(chunks: Sequence[Chunk]) -> list[float]:
    return [late.at_s - early.at_s for early, late in pairwise(chunks)]


def only_asks(chunks: Sequence[Chunk]) -> bool:
    """It says ENQ and nothing else: it waits for an answer before it sends."""
    data = b"".join(chunk.data for chunk in chunks)
    return bool(data) and not data.strip(_ENQ + _EOT)


def _mostly(found: Sequence[bool]) -> bool:
    return sum(found) >= _MOSTLY * len(found)


# --- STX and ETX, or STX and CR ------------------------------------------------------------------


def _enclosed(chunks: Sequence[Chunk], asks: bool, end: bytes) -> Guess:
    """The bytes behind the end: as many as leave no noise, best those that a checksum explains."""
    tried = []
    for trailer in range(_MOST_TRAILER + 1):
        made = _framing([end], begin=_STX, trailer=trailer, singles=_ENQ + _EOT if asks else b"")
        frames = cut(chunks, made)
        checksum = _behind(frames) if trailer else {}
        noise = sum(bool(one.broken) for one in frames)
        tried.append(((-noise, bool(checksum), -trailer), made, frames, checksum))
    _, made, frames, checksum = max(tried, key=lambda one: one[0])
    doubts = _seven_or_eight(checksum, frames)
    if doubts and end == b"\r":  # as Mettler Toledo's continuous output ends
        checksum = checksum | {"kind": "sum7-complement"}
    words = [f"STX before and {_named(end)} after each frame"]
    keys: dict[str, Any] = {"begin": "\x02", "end": end.decode("latin-1")}
    if made.trailer:
        words.append(_behind_words(made.trailer, _named(end), checksum, frames))
        keys |= {} if checksum else {"trailer": made.trailer}
    if asks:
        words.append("it asks with ENQ before it sends")
    return Guess(keys, tuple(frames), tuple(words), made, asks, checksum, end, doubts=doubts)


def _seven_or_eight(checksum: dict[str, Any], frames: Sequence[Frame]) -> tuple[str, ...]:
    """Where no frame tells a sum of seven bits from one of eight."""
    unclear = checksum.get("kind") == "sum8-complement" and "written" not in checksum
    if not unclear or any(one.trailer[0] > 0x7F for one in frames if one.trailer):
        return ()
    return ("these frames do not tell a sum of 7 bits from one of 8: sum7-complement or sum8-complement",)


def _behind_words(trailer: int, end: str, checksum: dict[str, Any], frames: Sequence[Frame]) -> str:
    what = f"{trailer} byte{'s' * (trailer > 1)} behind {end}"
    if checksum:
        return f"{what}: the checksum {checksum['kind']}"
    few = len({one.raw for one in frames if not one.broken}) < LEAST_PROOF
    return f"{what}: " + (
        "a checksum? Two different frames are needed to tell which" if few else "no checksum that is known"
    )


def _behind(frames: Sequence[Frame]) -> dict[str, Any]:
    """The checksum that all frames agree on, as the table of the TOML; the simplest first."""
    parts = [
        Framed(_STX, one.raw, one.end, one.trailer)
        for one in frames[:_ENOUGH]
        if one.kind == "frame" and not one.broken
    ]
    if len({one.text for one in parts}) < LEAST_PROOF:
        return {}
    for table in _tables(len(parts[0].trailer)):
        checksum = Checksum.model_validate(table)
        if all(_agrees(checksum, one) for one in parts):
            return table
    return {}


def at_the_tail(frames: Sequence[Frame], begin: bytes) -> dict[str, Any]:
    """The checksum in digits that ends all texts behind a mark, as the table of the TOML."""
    texts = [one.raw for one in frames[:_ENOUGH] if one.kind == "frame" and not one.broken]
    if len(set(texts)) < LEAST_PROOF:
        return {}
    for mark, kind, order in product((":", "*", ";", ","), _KINDS, ("big", "little")):
        if kind[:3] != "crc" and order == "little":
            continue
        table: dict[str, Any] = {"kind": kind, "written": "hex", "at": "tail", "mark": mark}
        table |= {} if order == "big" else {"order": order}
        if not has_mark(Checksum.model_validate(table), texts[0]):
            continue
        for covers in (["text"], ["text", "mark"], ["begin", "text"], ["begin", "text", "mark"]):
            told = table | ({} if covers == ["text"] else {"covers": covers})
            checksum = Checksum.model_validate(told)
            if all(_agrees(checksum, Framed(begin, one, b"", b"")) for one in texts):
                return told
    return {}


def _tables(size: int) -> Iterator[dict[str, Any]]:
    for written, kind, covers, order in product(("binary", "hex"), _KINDS, _COVERS, ("big", "little")):
        if kind[:3] != "crc" and order == "little":
            continue
        table: dict[str, Any] = {"kind": kind}
        table |= {} if written == "binary" else {"written": written}
        table |= {} if order == "big" else {"order": order}
        table |= {} if covers == _COVERS[0] else {"covers": covers}
        if Checksum.model_validate(table).size() == size:
            yield table


def _agrees(checksum: Checksum, framed: Framed) -> bool:
    try:
        checked(checksum, framed)
    except Broken:
        return False
    return True


# --- an end, or a pause -------------------------------------------------------------------------


def _ended(chunks: Sequence[Chunk], end: bytes, payload: Sequence[bytes]) -> Guess:
    lines = end in (b"\r\n", b"\r", b"\n")
    begin = _common_begin([one for burst in payload for one in burst.split(end) if one.strip()])
    made = _framing([b"\r", b"\n"] if lines else [end], begin=begin)
    keys: dict[str, Any] = {} if lines else {"end": end.decode("latin-1")}
    keys |= {"begin": begin.decode("latin-1")} if begin else {}
    words = [f"each frame ends with {_named(end)}"] + [f"and begins with {_named(begin)}"] * bool(begin)
    return Guess(keys, tuple(cut(chunks, made)), tuple(words), made, end=end)


def _common_begin(frames: Sequence[bytes]) -> bytes:
    """A control character that every frame begins with."""
    begins = {one[:1] for one in frames}
    only = begins.pop() if len(begins) == 1 else b""
    return only if only and only[0] < 0x20 and only not in b"\t\x1b" else b""


def _idle(chunks: Sequence[Chunk], payload: Sequence[bytes]) -> Guess:
    """No end is common: what a pause separates is a frame."""
    gaps = _gaps(chunks)
    between = min((gap for gap in gaps if gap >= PAUSE_S), default=None)
    idle_ms = max(20, min(200, round((between or 1.0) * 1000 / 3)))
    heard = (
        "no pause was heard" if between is None else f"the shortest pause heard was {between * 1000:.0f} ms"
    )
    doubt = (
        f"idle is a guess: {heard}; it must be longer than any pause inside a frame, shorter than any between"
    )
    made = Framing([], LONGEST, idle_ms / 1000)
    words = [f"no end that all frames share: a pause of {idle_ms} ms ends them"]
    if len(payload) > 1 and len({len(one) for one in payload}) == 1:
        words.append(f"each has {len(payload[0])} bytes")
    frames = tuple(cut(chunks, made))
    return Guess({"end": "idle", "idle": f"{idle_ms}ms"}, frames, tuple(words), made, doubts=(doubt,))


def _framing(ends: Sequence[bytes], begin: bytes = b"", trailer: int = 0, singles: bytes = b"") -> Framing:
    return Framing(ends, LONGEST, 1.0, begin=begin, trailer=trailer, singles=singles)


_NAMES = {2: "STX", 3: "ETX", 4: "EOT", 9: "TAB", 10: "LF", 13: "CR"}


def _named(data: bytes) -> str:
    return " ".join(
        _NAMES.get(one) or (repr(chr(one)) if 0x20 < one < 0x7F else f"0x{one:02X}") for one in data
    )
