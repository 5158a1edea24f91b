"""Messages that a broker delivers: decoded here, for paho's decoder must not be given what anybody sends.

paho-mqtt 2.2 copies the rest of the packet for each property, so that one message with a megabyte of user
properties holds the event loop for minutes; it hangs up on U+FEFF in a text, which MQTT 5 allows (1.5.4), so
that such a message comes again at every reconnect, for ever; and it collects up to 256 MB of one message.
"""

from dataclasses import dataclass

MOST_PROPERTIES = 65_536
"""Bytes of a message's properties; more are not looked at."""
BESIDE_PAYLOAD = 2 * MOST_PROPERTIES
"""Bytes of a PUBLISH without its payload: topic, id and properties, rounded up."""

_RESPONSE_TOPIC, _CORRELATION = 0x08, 0x09
_FIXED = {0x01: 1, 0x02: 4, 0x23: 2}
"""Property to its bytes: payload format, message expiry, topic alias (MQTT 5, 2.2.2.2)."""
_COUNTED = {0x03: 1, _RESPONSE_TOPIC: 1, _CORRELATION: 1, 0x26: 2}
"""Property to its number of texts, each with two bytes of length: content type and so on; user property."""
_SUBSCRIPTION = 0x0B


@dataclass(frozen=True, slots=True)
class Delivery:
    """One PUBLISH from the broker (MQTT 5, 3.3)."""

    mid: int
    """Packet identifier; 0 for QoS 0."""
    qos: int
    retained: bool
    payload: bytes
    response_topic: str = ""
    """Where the sender wants its answer; as it was sent, believed by nobody yet."""
    correlation: bytes | None = None
    """To be sent back with the answer."""
    fault: str = ""
    """Why its properties cannot be read."""

    @property
    def size(self) -> int:
        """Bytes that it takes here, roughly."""
        return len(self.payload) + len(self.response_topic) + len(self.correlation or b"") + 500


def decode(first: int, body: bytes | bytearray, *, five: bool = True) -> Delivery:
    """First byte of the packet, and all that follows its length. Raises ValueError where it is no PUBLISH.

    A payload whose end was forgotten is given as it is. MQTT 3.1.1 (not `five`) knows no properties.
    """
    view = memoryview(body)
    retained, qos = bool(first & 1), first >> 1 & 3
    if qos > 1:
        raise ValueError("QoS 2 was not asked for")
    _, at = _counted(view, 0)
    mid = 0
    if qos:
        mid, at = _number(view, at), at + 2
    if not five:
        return Delivery(mid, qos, retained, bytes(view[at:]))
    length, at = _varint(view, at)
    if length > MOST_PROPERTIES:
        fault = f"its properties are larger than {MOST_PROPERTIES:,} bytes"
        return Delivery(mid, qos, retained, b"", fault=fault)
    if at + length > len(view):
        raise ValueError("the properties end before they should")
    properties, payload = view[at : at + length], bytes(view[at + length :])
    try:
        topic, correlation = _answer_to(properties)
    except ValueError as error:
        return Delivery(mid, qos, retained, payload, fault=str(error))
    return Delivery(mid, qos, retained, payload, topic, correlation)


def _answer_to(properties: memoryview) -> tuple[str, bytes | None]:
    """Response topic and correlation data. Raises ValueError."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(properties):
        kind, at = properties[at], at + 1
        if kind in _FIXED:
            at += _FIXED[kind]
        elif kind == _SUBSCRIPTION:
            _, at = _varint(properties, at)
        elif kind in _COUNTED:
            for _ in range(_COUNTED[kind]):
                value, at = _counted(properties, at)
            found[kind] = bytes(value)
        else:
            raise ValueError(f"it has a property that no message has: {kind}")
    if at > len(properties):
        raise ValueError("its properties end before they should")
    try:
        return found.get(_RESPONSE_TOPIC, b"").decode(), found.get(_CORRELATION)
    except UnicodeDecodeError as error:
        raise ValueError("its response topic is no UTF-8 text") from error


def _counted(view: memoryview, at: int) -> tuple[memoryview, int]:
    """Bytes with their length before them, and where they end."""
    end = at + 2 + _number(view, at)
    if end > len(view):
        raise ValueError("a text ends before it should")
    return view[at + 2 : end], end


def _number(view: memoryview, at: int) -> int:
    if at + 2 > len(view):
        raise ValueError("a number ends before it should")
    return view[at] << 8 | view[at + 1]


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """Seven bits a byte, the lowest first, four bytes at the most (1.5.5)."""
    value = 0
    for shift, byte in enumerate(view[at : at + 4]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, at + shift + 1
    raise ValueError("a length ends before it should")
