"""paho-mqtt's client with its reading done here: many answers in one read, and nothing large collected.

paho 2.2 reads a packet in three calls of the system, also where a window of answers lies in one segment.
"""

import time
from collections.abc import Callable, Sequence

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from adapters._mqtt_delivery import BESIDE_PAYLOAD, Delivery, decode

CHUNK = 65_536
"""Bytes read at once."""
PUBLISH = 0x30
"""The upper half of its first byte."""
_PUBACK = 0x40


class Listener(Client):
    """paho's client; what is delivered goes to `on_delivery`, unacknowledged, and answers to `on_answer`."""

    on_delivery: Callable[[Delivery], None] | None = None
    on_answer: Callable[[int, int], None] | None = None
    """Packet identifier and reason code; MQTT 3.1.1 has none, and it is always 0."""
    longest = BESIDE_PAYLOAD
    """Bytes of one packet that are kept; of a longer one the end is forgotten while it is read."""

    def __init__(self, client_id: str = "", *, version: int = 5, remembered: bool = False) -> None:
        """`version` of MQTT: 5, or 4 for 3.1.1; `remembered` only of the latter."""
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion(version),
            clean_session=None if version == 5 else not remembered,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self.five = version == 5
        self._came = b""
        """What was read; handled up to `_at`."""
        self._at = 0

    def send_all(self, packets: Sequence[bytes]) -> None:
        """Queue PUBLISH packets, to be written at once."""
        self._packet_queue(PUBLISH, b"".join(packets), 0, 1)

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Read once, and handle all that came."""
        try:
            self._came, self._at = super()._sock_recv(CHUNK), 0
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        except OSError:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        if not self._came:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        self._last_bytes_received = time.monotonic()
        while self._at < len(self._came) and self._sock is not None:
            self._read_answers()
            failure = self._packet_read()
            if failure > 0:
                return self._loop_rc_handle(failure)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _read_answers(self) -> None:
        """Whole PUBACKs (3.4) at the beginning of what is left."""
        came, at = self._came, self._at
        while self._in_packet["command"] == 0 and len(came) - at >= 4 and came[at] == _PUBACK:
            end = at + 2 + came[at + 1]
            if came[at + 1] not in range(2, 0x80) or end > len(came):
                break
            self._answer(came[at + 2 : end])
            at = end
        self._at = at

    def _answer(self, body: bytes | bytearray) -> None:
        if self.on_answer is not None:
            self.on_answer(body[0] << 8 | body[1], body[2] if len(body) > 2 else 0)

    def _sock_recv(self, bufsize: int) -> bytes:
        """For paho: of what was read, and never more of a packet than is kept."""
        del self._in_packet["packet"][self.longest :]
        if self._at >= len(self._came):
            raise BlockingIOError
        part = self._came[self._at : self._at + bufsize]
        self._at += len(part)
        return part

    def _handle_pubackcomp(self, cmd: str) -> MQTTErrorCode:
        body = self._in_packet["packet"]
        if cmd != "PUBACK" or len(body) < 2:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        self._answer(body)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_publish(self) -> MQTTErrorCode:
        try:
            delivery = decode(self._in_packet["command"], self._in_packet["packet"], five=self.five)
        except ValueError:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        if self.on_delivery is not None:
            self.on_delivery(delivery)
        return MQTTErrorCode.MQTT_ERR_SUCCESS
