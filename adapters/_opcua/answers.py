"""Answers as asyncua may have them: it makes objects of whatever stands there, while all else waits.

A message of 4 MiB can hold four million DiagnosticInfos, half a minute's work and half a gigabyte; and a text
of -4 bytes sends asyncua back to where it began, for ever. So each answer is walked over first (the services
are those of OPC 10000-4): what nobody asked for is taken out of it, and what is left is bounded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from adapters._opcua.binary import Id, Malformed, Reader

_KIB = 1024
_MOST_TEXTS = 1_000  # of a header; none are asked for
_MOST_RESULTS = 1_000  # twice as many as are asked for at once
_MOST_REFERENCES = 10_000  # as many as are asked for at once
_MOST_ENDPOINTS = 500
_MOST_TOKENS = 50
_MOST_ADDRESSES = 100
_MOST_TARGETS = 10

_FAULT = 397
_PLAIN = bytes(8)
"""No diagnostics, no texts, nothing more: the end of a header as most servers send it."""
_NONE = bytes(4)
_NO_EXTENSION = b"\0\0\0"
_NODE_SIZES = {0: 1, 1: 3, 2: 6, 4: 18}  # OPC 10000-6, 5.2.2.9; the other two end in a text
_NODE_TEXTS = (3, 5)
_HAS_URI, _HAS_SERVER = 0x80, 0x40


class TooMuch(Malformed):
    """More than one answer may hold; less asked for may get an answer that can be taken."""


Walk = Callable[[Reader], bytes]
"""Passes over what is behind the header, and gives what asyncua may have of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one kind of request is answered with."""

    type: int
    """The id of its binary encoding in namespace 0 (NodeIds.csv of OPC 10000-6, annex A)."""
    walk: Walk | None
    """None: asyncua never decodes it."""
    largest: int = 64 * _KIB
    """Bytes behind the header."""
    in_parts: bool = False
    """Whether less can be asked for, and more often."""

    def clean(self, body: bytes) -> bytes:
        """The same answer, safe for asyncua. Raises Malformed, and TooMuch for what is too much of it."""
        reader = Reader(body)
        kind = reader.identifier()
        if kind not in (Id(0, self.type), Id(0, _FAULT)):
            raise Malformed(f"an answer of type {str(kind.identifier)[:20]} in place of {self.type}")
        head, is_bad = _head(reader)
        if is_bad or kind.identifier == _FAULT:
            return _typed(_FAULT) + head
        head = _typed(self.type) + head
        if self.walk is None:
            return body if body.startswith(head) else head + body[reader.at :]
        if len(body) - reader.at > self.largest:
            raise TooMuch(f"an answer of more than {self.largest // _KIB} KiB")
        return head + self.walk(reader)


def answer_to(request: object) -> Answer:
    """What this request is to be answered with. Raises KeyError for one that is not used here."""
    return _ANSWERS[type(request).__name__.removesuffix("Request")]


def _typed(number: int) -> bytes:
    return b"\1\0" + number.to_bytes(2, "little")


def _head(reader: Reader) -> tuple[bytes, bool]:
    """A header that says the same, without what a server may add to it; and whether the request failed."""
    at = reader.take(16)
    said = reader.body[at : at + 16]  # time, handle and status
    if reader.body[reader.at : reader.at + 8] == _PLAIN:
        reader.take(8)
    else:
        reader.diagnostic()
        for _ in range(_length(reader, _MOST_TEXTS)):
            _text(reader)
        _node(reader)
        if reader.byte():
            _text(reader)
    return said + _PLAIN, said[15] >> 7 == 1


# --- what answers are made of; every length is taken for what asyncua takes it for ---


def _length(reader: Reader, most: int) -> int:
    length = _checked(reader.int32())
    if length > most:
        raise TooMuch(f"a list of {length}, where {most} are plenty")
    return length


def _checked(length: int) -> int:
    if length < -1:
        raise Malformed(f"a length of {length}")
    return max(length, 0)


def _text(reader: Reader) -> None:
    """Or a string of bytes."""
    reader.take(_checked(reader.int32()))


def _node(reader: Reader) -> None:
    encoding = reader.byte()
    form = encoding & 0x3F
    if form in _NODE_SIZES:
        reader.take(_NODE_SIZES[form])
    elif form in _NODE_TEXTS:
        reader.take(2)
        _text(reader)
    else:
        raise Malformed(f"a node id of form {form}")
    if encoding & _HAS_URI:
        _text(reader)
    if encoding & _HAS_SERVER:
        reader.take(4)


def _localized(reader: Reader) -> None:
    mask = reader.byte()
    for bit in (1, 2):
        if mask & bit:
            _text(reader)


def _endpoints(reader: Reader) -> None:
    for _ in range(_length(reader, _MOST_ENDPOINTS)):
        _text(reader)
        _application(reader)
        _text(reader)  # certificate
        reader.take(4)
        _text(reader)
        for _ in range(_length(reader, _MOST_TOKENS)):
            _token(reader)
        _text(reader)
        reader.take(1)


def _application(reader: Reader) -> None:
    _text(reader)
    _text(reader)
    _localized(reader)
    reader.take(4)
    _text(reader)
    _text(reader)
    for _ in range(_length(reader, _MOST_ADDRESSES)):
        _text(reader)


def _token(reader: Reader) -> None:
    _text(reader)
    reader.take(4)
    for _ in range(3):
        _text(reader)


def _reference(reader: Reader) -> None:
    _node(reader)
    reader.take(1)
    _node(reader)
    reader.take(2)
    _text(reader)
    _localized(reader)
    reader.take(4)
    _node(reader)


# --- what is behind the header, service by service ---


def _whole(*parts: Callable[[Reader], object]) -> Walk:
    """All of it, and nothing that comes after it."""

    def walk(reader: Reader) -> bytes:
        start = reader.at
        for part in parts:
            part(reader)
        return reader.body[start : reader.at]

    return walk


def _listed(*parts: Callable[[Reader], object]) -> Walk:
    """A list of results; the diagnostics behind it are left out: none are asked for."""
    walk = _whole(*parts)
    return lambda reader: walk(reader) + _NONE


def _numbers(size: int) -> Callable[[Reader], object]:
    return lambda reader: reader.take(size)


def _statuses(reader: Reader) -> None:
    reader.take(4 * _length(reader, _MOST_RESULTS))


def _signed(reader: Reader) -> None:
    """Software certificates, which are two strings each, and a signature, which is two as well."""
    for _ in range(_length(reader, _MOST_ADDRESSES) + 1):
        _text(reader)
        _text(reader)


def _browsed(reader: Reader) -> None:
    left = _MOST_REFERENCES
    for _ in range(_length(reader, _MOST_RESULTS)):
        reader.take(4)
        _text(reader)
        count = _length(reader, left)
        left -= count
        for _ in range(count):
            _reference(reader)


def _translated(reader: Reader) -> None:
    for _ in range(_length(reader, _MOST_RESULTS)):
        reader.take(4)
        for _ in range(_length(reader, _MOST_TARGETS)):
            _node(reader)
            reader.take(4)


def _monitored(reader: Reader) -> bytes:
    """Status, number, interval and queue of each item. What became of its filter may be anything."""
    count = _length(reader, _MOST_RESULTS)
    kept = [count.to_bytes(4, "little")]
    for _ in range(count):
        at = reader.take(20)
        kept.append(reader.body[at : at + 20] + _NO_EXTENSION)
        _node(reader)
        if reader.byte():
            _text(reader)
    return b"".join(kept) + _NONE


_OF_RESULTS = 512 * _KIB
_OF_BROWSING = 2048 * _KIB
_OF_ENDPOINTS = 1024 * _KIB
"""Sixty endpoints, each with a chain of certificates of 4 kB, are 300 kB."""

_ANSWERS: Mapping[str, Answer] = {
    "OpenSecureChannel": Answer(449, _whole(_numbers(24), _text)),
    "CloseSecureChannel": Answer(455, _whole()),
    "GetEndpoints": Answer(431, _whole(_endpoints), _OF_ENDPOINTS),
    "CreateSession": Answer(
        464, _whole(_node, _node, _numbers(8), _text, _text, _endpoints, _signed, _numbers(4)), _OF_ENDPOINTS
    ),
    "ActivateSession": Answer(470, _listed(_text, _statuses)),
    "CloseSession": Answer(476, _whole()),
    "Browse": Answer(530, _listed(_browsed), _OF_BROWSING, in_parts=True),
    "BrowseNext": Answer(536, _listed(_browsed), _OF_BROWSING),
    "TranslateBrowsePathsToNodeIds": Answer(557, _listed(_translated), _OF_RESULTS, in_parts=True),
    "Write": Answer(676, _listed(_statuses)),
    "CreateMonitoredItems": Answer(754, _monitored, _OF_RESULTS, in_parts=True),
    "DeleteMonitoredItems": Answer(784, _listed(_statuses)),
    "CreateSubscription": Answer(790, _whole(_numbers(20))),
    "PreparedRead": Answer(634, None),
    "Publish": Answer(829, None),
    "Republish": Answer(835, None),
}
