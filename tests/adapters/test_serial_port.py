"""The port: how it is set, and what a user reads when it cannot be opened."""

import asyncio
import errno
import inspect
import os
import termios
from pathlib import Path
from types import ModuleType

import pytest
import serial
from pydantic import ValidationError

from adapters import _serial_port, serial_scanner, testrig
from adapters._serial_port import describe, open_failure
from adapters._stream import open_line
from adapters._stream_settings import LineSettings
from edge.contract import SourceLost, SourceRefused
from tests.support.ptys import PtyDevice, SlowIntake

PORT = "/dev/serial/by-id/usb-ACME_gun-if00"


def settings(port: object = PORT, **keys: object) -> LineSettings:
    return LineSettings.model_validate({"type": "any", "port": port, **keys})


@pytest.mark.parametrize(
    ("port", "warned"),
    [
        ("/dev/ttyUSB0", True), ("/dev/ttyACM12", True), ("/dev/ttyS0", False), ("/dev/ttyAMA0", False),
        (PORT, False),
    ],
)  # fmt: skip
def test_a_name_that_changes_is_warned_of(port: str, warned: bool) -> None:
    warnings = settings(port).warnings()
    assert [port in one and "/dev/serial/by-id/" in one for one in warnings] == [True] * warned


@pytest.mark.parametrize(
    "keys",
    [
        {"port": "COM3"}, {"port": ""}, {"baud": 0}, {"baud": "9600"}, {"bits": 9}, {"parity": "E"},
        {"stop": 3}, {"end": ""}, {"end": []}, {"end": ["\r\n", "\n"]}, {"end": ["\r", "\r"]},
        {"end": "\u20ac"}, {"longest": 0}, {"longest": 70_000}, {"idle": "0s"}, {"idle": 0.3},
        {"confirm": "\u20ac"},
        {"refuse": "x" * 65}, {"speed": 9600},
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        settings(**keys)


def test_ends_are_bytes_on_the_wire() -> None:
    assert settings().ends() == [b"\r", b"\n"]
    assert settings(end="\r\n").ends() == [b"\r\n"]
    assert settings(end=["\x03", "\xff"]).ends() == [b"\x03", b"\xff"]


@pytest.mark.parametrize(
    ("parity", "letter"), [("none", "N"), ("even", "E"), ("odd", "O"), ("mark", "M"), ("space", "S")]
)
def test_the_port_is_set_as_written(parity: str, letter: str) -> None:
    # A pty ignores speed and parity, so that they are asserted on pyserial's side.
    port = describe(settings(baud=19_200, bits=7, parity=parity, stop=2))
    assert (port.port, port.baudrate, port.bytesize, port.parity, port.stopbits, port.exclusive) == (
        PORT, 19_200, 7, letter, 2, True,
    )  # fmt: skip
    assert not port.is_open


async def test_an_open_port_marks_damaged_bytes_and_reads_empty_only_at_a_hang_up(tmp_path: Path) -> None:
    device = PtyDevice(tmp_path / "gun")
    async with open_line(settings(device.port), SlowIntake("gun")):
        iflag, *_, characters = termios.tcgetattr(device.far_fd)
    device.unplug()
    assert iflag & termios.INPCK
    assert not iflag & (termios.IGNPAR | termios.BRKINT | termios.PARMRK | termios.ISTRIP)
    assert characters[termios.VMIN] in (1, b"\x01")


@pytest.mark.parametrize("module", [serial_scanner, testrig])
def test_every_key_is_on_the_page(module: ModuleType) -> None:
    page = Path(str(module.__file__)).with_suffix(".md").read_text(encoding="utf-8")
    keys = {field.alias or name for name, field in module.Settings.model_fields.items()}
    assert [key for key in sorted(keys - {"type"}) if f"`{key}`" not in page] == []


async def test_a_plug_that_is_pulled_while_the_port_falls_quiet(tmp_path: Path) -> None:
    device = PtyDevice(tmp_path / "gun")
    intake = SlowIntake("gun-1")
    gun = serial_scanner.Settings.model_validate({"type": "serial-scanner", "port": device.port})

    async def pull() -> None:
        while not termios.tcgetattr(device.far_fd)[0] & termios.INPCK:  # set by the opening
            await asyncio.sleep(0.001)
        device.unplug()

    async with asyncio.TaskGroup() as group:
        group.create_task(pull())
        with pytest.raises(SourceLost, match=f"{device.port} hung up"):
            await serial_scanner.collect(gun, [], intake)
    assert intake.connections == 0


async def test_a_port_that_is_not_there() -> None:
    port = "/dev/serial/by-id/nothing"
    with pytest.raises(SourceLost, match=f"gun-1: there is no {port}; is the device plugged in"):
        async with open_line(settings(port), SlowIntake("gun-1")):
            pass


async def test_a_file_is_not_a_port(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no port")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(SourceLost, match=f"{path} is not a serial port"):
            async with open_line(settings(str(path)), SlowIntake("gun-1")):
                pass


async def test_a_port_in_use_says_so_and_is_free_again_afterwards(tmp_path: Path) -> None:
    device = PtyDevice(tmp_path / "gun")
    other = serial.Serial(device.port, exclusive=True)
    with pytest.raises(SourceLost, match=f"{device.port} is in use by another program; `fuser -v"):
        async with open_line(settings(device.port), SlowIntake("gun-1")):
            pass
    other.close()
    async with open_line(settings(device.port), SlowIntake("gun-1")) as kept:
        pass
    async with open_line(settings(device.port), SlowIntake("gun-1")) as again:
        assert again is not kept
    device.unplug()


LIBRARY_ERRORS = [one for _, one in inspect.getmembers(serial, inspect.isclass) if issubclass(one, Exception)]


@pytest.mark.parametrize("kind", LIBRARY_ERRORS)
def test_every_error_of_pyserial_is_converted(kind: type[Exception]) -> None:
    error = kind() if kind is serial.PortNotOpenError else kind("it says")
    assert isinstance(error, _serial_port._OPEN_ERRORS)
    failure = open_failure("gun-1", settings(), error)
    assert isinstance(failure, SourceLost)
    assert PORT in str(failure)


def test_pyserial_has_the_errors_that_are_known() -> None:
    assert {one.__name__ for one in LIBRARY_ERRORS} == {
        "PortNotOpenError", "SerialException", "SerialTimeoutException",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (serial.SerialException(errno.EACCES, "no"), "dialout"),
        (PermissionError(errno.EPERM, "no"), "dialout"),
        (serial.SerialException(errno.EBUSY, "no"), "in use"),
        (serial.SerialException(errno.EAGAIN, "no"), "in use"),
        (serial.SerialException(errno.ENODEV, "no"), "plugged in"),
        (OSError(errno.ENXIO, "no"), "plugged in"),
        (termios.error(errno.EIO, "no"), "really a device"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "Too many open files"),
    ],
)
def test_what_the_system_says_becomes_a_sentence(error: Exception, said: str) -> None:
    failure = open_failure("gun-1", settings(), error)
    assert isinstance(failure, SourceLost)
    assert said in str(failure)
    assert PORT in str(failure)


def test_a_speed_that_the_driver_refuses_is_a_refusal() -> None:
    error = ValueError("Failed to set custom baud rate (12345)")
    failure = open_failure("gun-1", settings(baud=12_345), error)
    assert isinstance(failure, SourceRefused)
    assert "does not take baud = 12345" in str(failure)
