"""Whether frames are a gun's labels, and what the gun writes around them; pure."""

import re
from collections.abc import Sequence
from itertools import product

from edge.production.scanning import Label, LabelRules, read_label

_MOSTLY = 0.5
_LONGEST_AROUND = 8
_SAMPLE = 40
_HUMAN_S = 0.25
"""Nobody scans faster, again and again."""
_AIM = re.compile(r"\][A-Za-z][0-9A-Za-z].+", re.DOTALL)
_MEASURED = re.compile(
    r"[0-9][.,][0-9]|\+ *[0-9]|[0-9][eE][+-][0-9]|[0-9]:[0-9]{2}|[0-9][-/][0-9]{1,2}[-/][0-9]|([;,|\t=]).*\1"
    r"|:[0-9A-F]{2}$|\b(?:PASS|FAIL|OK|NG|NOK|IO|NIO)\b"
)
"""What stands in results and hardly in labels: decimals, times, fields, checksums, verdicts."""
_COUNT = re.compile(r"-?[0-9]{1,7}")


def text_of(raw: bytes) -> str:
    """As the gun's adapter reads it."""
    return raw.decode("utf-8", "backslashreplace")


def around(texts: Sequence[bytes], rules: LabelRules) -> tuple[bytes, bytes]:
    """What every frame begins and ends with, where it takes that away to know most of them as labels.

    The shortest that does; both empty where none does.
    """
    sample = list(dict.fromkeys(texts))[:_SAMPLE]
    if len(sample) < 2:
        return b"", b""
    before = _common(sample)[:_LONGEST_AROUND]
    behind = _common([one[::-1] for one in sample])[:_LONGEST_AROUND][::-1]
    best, found = _known(sample, rules), (b"", b"")
    sizes = product(range(len(before) + 1), range(len(behind) + 1))
    for size, left in sorted(sizes, key=sum):
        inner = [one[size : len(one) - left] for one in sample if len(one) > size + left]
        if (known := _known(inner, rules)) > best:
            best, found = known, (before[:size], behind[len(behind) - left :])
    return found if best >= _MOSTLY * len(sample) else (b"", b"")


def _common(texts: Sequence[bytes]) -> bytes:
    """What all begin with."""
    low, high = min(texts), max(texts)
    size = next((at for at, one in enumerate(low) if high[at : at + 1] != bytes([one])), len(low))
    return low[:size]


def _known(texts: Sequence[bytes], rules: LabelRules) -> float:
    """Labels; one that is almost a label counts for less."""
    read = [read_label(text_of(one), rules) for one in texts]
    return sum(1.0 if isinstance(one, Label) else 0.75 if is_near(one) else 0.0 for one in read)


def is_near(read: Label | str) -> bool:
    """A label of a known grammar that is wrong in it."""
    return isinstance(read, str) and "not a label of this line" not in read


def may_be_labels(texts: Sequence[str], pause_s: float | None) -> bool:
    """Codes that this line does not know: with AIM identifiers, or varied words at the pace of a hand.

    Whatever could be a measurement is none: a rig that is taken for a gun is refused each result.
    """
    if all(_AIM.fullmatch(one) for one in texts):
        return True
    codes = all(one.isprintable() and not _MEASURED.search(one) for one in texts)
    counts = all(_COUNT.fullmatch(one) for one in texts)
    return codes and not counts and len(set(texts)) > 1 and pause_s is not None and pause_s >= _HUMAN_S
