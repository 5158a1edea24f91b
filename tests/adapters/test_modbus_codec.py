"""How a source is written in a line's file, and exceptions by name."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from adapters._modbus.codec import exception_words
from adapters.modbus import Settings


def test_exceptions_have_their_names() -> None:
    assert exception_words(2) == "exception 2, illegal data address"
    assert exception_words(99) == "exception 99, not in the standard"


def test_settings_have_the_documented_defaults() -> None:
    line = Settings.model_validate({"type": "modbus", "port": "/dev/serial/by-id/usb-1"})
    assert (line.baud, line.parity, line.stop_bits) == (19200, "even", 1)
    assert (line.max_registers, line.max_gap) == (100, 8)
    assert (line.timeout, line.worst_answer) == (timedelta(seconds=1), timedelta(seconds=1))
    assert line.probe_every == timedelta(minutes=1)
    assert str(line.line()) == "/dev/serial/by-id/usb-1 (19200 baud, parity even, 1 stop)"


@pytest.mark.parametrize(
    ("host", "line"),
    [
        ("tcp://192.168.1.5", "192.168.1.5 port 502"),
        ("tcp://plc.local:1502", "plc.local port 1502"),
        ("tcp://[::1]:502", "::1 port 502"),
    ],
)
def test_a_host_is_parsed(host: str, line: str) -> None:
    assert str(Settings.model_validate({"type": "modbus", "host": host}).line()) == line


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "either host .* or port"),
        ({"host": "tcp://a", "port": "/dev/ttyS0"}, "either host .* or port"),
        ({"host": "192.168.1.5"}, "tcp://ADDRESS:PORT"),
        ({"host": "tcp://"}, "tcp://ADDRESS:PORT"),
        ({"host": "tcp://a:0"}, "port 0"),
        ({"host": "tcp://a:70000"}, "[Pp]ort"),
        ({"host": "tcp://a:x"}, "[Pp]ort"),
        ({"host": "tcp://a/b"}, "tcp://ADDRESS:PORT"),
        ({"host": "tcp://a", "baud": 9600, "parity": "none"}, "baud, parity belong to a serial port"),
        ({"port": "COM3"}, "path of the serial port"),
        ({"port": "/dev/ttyS0", "parity": "mark"}, "'none', 'even' or 'odd'"),
        ({"port": "/dev/ttyS0", "timeout": 3}, "duration with its unit"),
        ({"port": "/dev/ttyS0", "max_registers": 126}, "less than or equal to 125"),
    ],
)
def test_wrong_settings_are_refused_in_words(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings.model_validate({"type": "modbus", **keys})
