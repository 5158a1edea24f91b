"""The gun in keyboard mode through the real evdev: input_device.c stands in for the kernel's end of it.

No kernel here has uinput, so that no input device can be made: what is preloaded into the process of the
source answers its system calls, and hid_device.py plays the packets that the kernel makes of a gun's reports.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from evdev import ecodes
from pydantic import ValidationError

from adapters import _hid_gun
from adapters._hid_keys import Reading
from adapters.hid_scanner import NEEDS_EVDEV, Settings
from edge.contract import SourceLost
from simulators.labels import label
from tests.adapters.hid_device import ALT, CTRL, PAD, SHIFT, HidDevice, build_shim, strokes
from tests.line.test_agent import agent

ROOT = Path(__file__).parents[2]
CAPS, SCROLL = ecodes.LED_CAPSL, ecodes.LED_SCROLLL
SYN = (ecodes.EV_SYN, ecodes.SYN_REPORT, 0)


class Reader:
    """hid_reader.py in a process of its own: `next` gives what it says, a line at a time."""

    def __init__(self, shim: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.adapters.hid_reader"], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "LD_PRELOAD": str(shim)},
        )  # fmt: skip
        self._said: queue.Queue[str] = queue.Queue()
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def tell(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()

    def answer(self, verdict: str) -> None:
        """From now on, this becomes of each scan."""
        self.tell(f"answer {verdict}")
        assert self.next() == ("answering", verdict)

    def next(self) -> tuple[str, str]:
        """The next word, and its text."""
        word, _, text = self._said.get(timeout=20).partition(" ")
        return word, json.loads(text) if text else ""

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        assert self._process.wait(20) == 0
        self._listening.join(20)
        self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(line.strip())


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def reader(shim: Path) -> Iterator[Reader]:
    started = Reader(shim)
    yield started
    started.end()


@pytest.fixture
def gun(tmp_path: Path) -> Iterator[HidDevice]:
    device = HidDevice(tmp_path / "gun-event-kbd")
    yield device
    device.unplug()


def settings(gun: HidDevice, **keys: Any) -> str:
    return json.dumps({"type": "hid-scanner", "device": str(gun.path), **keys})


@contextlib.contextmanager
def reading(reader: Reader, gun: HidDevice, **keys: Any) -> Iterator[None]:
    """The source at work, and stopped at the end."""
    reader.tell(f"start {settings(gun, **keys)}")
    assert reader.next() == ("connected", "")
    yield
    reader.tell("stop")
    assert reader.next() == ("stopped", "")


def test_labels_are_read_and_none_types_into_the_desktop(reader: Reader, gun: HidDevice) -> None:
    gun.type("before\r")
    assert len(gun.leaked) == len("before\r")
    with reading(reader, gun):
        assert gun.grabbed_by
        gun.type(f"{label('J', 'WO-1001-20')}\rab;C_7%\r")
        assert reader.next() == ("label", label("J", "WO-1001-20"))
        assert reader.next() == ("label", "ab;C_7%")
    assert len(gun.leaked) == len("before\r")
    gun.until(lambda: not gun.grabbed_by)
    gun.type("after")
    assert len(gun.leaked) == len("beforeafter\r")


def test_control_characters_in_all_ways_that_guns_send_them(reader: Reader, gun: HidDevice) -> None:
    with reading(reader, gun, keys={"f8": "\x1d"}, layout="de", idle="5s"):
        gun.type([((CTRL,), ecodes.KEY_RIGHTBRACE), ((), ecodes.KEY_F8)])
        for held in ({ALT}, {ALT, PAD[0]}, {ALT}, {ALT, PAD[2]}, {ALT}, {ALT, PAD[9]}, set[int]()):
            gun.report(held)
        gun.type([((), ecodes.KEY_Z), ((SHIFT,), ecodes.KEY_Y), ((), ecodes.KEY_ENTER)])
        assert reader.next() == ("label", "\x1d\x1d\x1dyZ")


def test_a_label_that_is_not_believed_says_why(reader: Reader, gun: HidDevice) -> None:
    with reading(reader, gun):
        gun.type([*strokes("A1"), ((), ecodes.KEY_F9), *strokes("\r")])
        word, said = reader.next()
        assert word == "broken"
        assert said.startswith("the key F9 is no character")
        assert said.endswith(": A1")
        gun.type("WO10")
        word, said = reader.next()
        assert word == "broken"
        assert said.startswith("cut: no end came within 300 ms")


def test_lost_keys_are_asked_for_and_the_label_is_not_believed(reader: Reader, gun: HidDevice) -> None:
    """What the kernel does when its buffer is full: it says so, and shows what is held when asked."""
    with reading(reader, gun):
        gun.type("WO1")
        gun.held = {SHIFT}
        gun.send((ecodes.EV_SYN, ecodes.SYN_DROPPED, 0))
        gun.send((ecodes.EV_KEY, ecodes.KEY_A, 1), SYN)
        word, said = reader.next()
        assert (word, said) == (
            "broken",
            "keys were lost, for the machine was too busy to take them; scan again: WO1",
        )
        gun.send((ecodes.EV_KEY, ecodes.KEY_B, 1), SYN)
        gun.report(set())
        gun.type("\r")
        assert reader.next() == ("label", "B")


def test_a_busy_agent_loses_no_key_and_sees_no_pause_that_was_none(reader: Reader, gun: HidDevice) -> None:
    with reading(reader, gun, idle="300ms"):
        reader.tell("block 1.0")
        for _ in range(50):
            gun.type("0123456789")
        gun.type("\r")
        assert reader.next() == ("label", "0123456789" * 50)


def test_pauses_are_of_the_kernels_clock(reader: Reader, gun: HidDevice) -> None:
    """Two halves with a pause between them that are read at once are two halves."""
    with reading(reader, gun, end="idle"):
        assert gun.clock == 1
        now_s = time.monotonic()
        for at_s, code in ((now_s - 1.0, ecodes.KEY_A), (now_s, ecodes.KEY_B)):
            gun.send((ecodes.EV_KEY, code, 1), SYN, (ecodes.EV_KEY, code, 0), SYN, at_s=at_s)
        assert reader.next() == ("label", "a")
        assert reader.next() == ("label", "b")


def test_unplugged_in_the_middle_of_a_label(reader: Reader, gun: HidDevice) -> None:
    reader.tell(f"start {settings(gun)}")
    assert reader.next() == ("connected", "")
    gun.type("whole\rhal")
    assert reader.next() == ("label", "whole")
    gun.until_read()
    gun.unplug()
    assert reader.next() == ("broken", "cut: the gun went away in the middle: hal")
    assert reader.next() == ("lost", f"{gun.path} hung up; was the gun unplugged?")
    assert reader.next() == ("stopped", "")


def test_a_gun_that_another_program_has_is_refused(reader: Reader, gun: HidDevice) -> None:
    gun.taken = True
    reader.tell(f"start {settings(gun)}")
    word, said = reader.next()
    assert (word, said.partition(";")[0]) == ("refused", f"{gun.path} is grabbed by another program")
    assert reader.next() == ("stopped", "")
    gun.type("x")
    assert gun.leaked, "what was not grabbed was not held either"


def test_what_is_no_keyboard_is_refused_by_its_name(reader: Reader, gun: HidDevice) -> None:
    gun.keys, gun.name = {ecodes.BTN_LEFT, ecodes.BTN_RIGHT}, "ACME mouse"
    reader.tell(f"start {settings(gun)}")
    word, said = reader.next()
    assert word == "refused"
    assert said.startswith(f"{gun.path} is 'ACME mouse', and that is no keyboard")
    assert reader.next() == ("stopped", "")
    assert not gun.grabbed_by


@pytest.mark.parametrize(
    ("path", "says"),
    [("/dev/input/by-id/usb-nobody-event-kbd", "there is no /dev/input/by-id/usb-nobody-event-kbd"),
     ("/dev/null", "/dev/null is no input device"), ("/", "/ is no input device")],
)  # fmt: skip
def test_what_cannot_be_opened_is_said(reader: Reader, path: str, says: str) -> None:
    reader.tell(
        f"start {settings(gun) | {} if False else json.dumps({'type': 'hid-scanner', 'device': path})}"
    )
    word, said = reader.next()
    assert word == "lost"
    assert said.startswith(says)
    assert reader.next() == ("stopped", "")


def test_what_came_before_the_grab_is_not_believed(reader: Reader, gun: HidDevice) -> None:
    """The desktop has its first half, and ours might look like a label."""
    gun.greeting = strokes("WO1")
    with reading(reader, gun, idle="5s"):
        gun.type("001\r")
        assert reader.next() == ("broken", "scanned while the agent was opening the gun; scan again: 001")
        assert len(gun.leaked) == 5  # with Shift twice


def test_a_key_that_is_held_is_not_taken_from_the_desktop(reader: Reader, gun: HidDevice) -> None:
    """It would repeat there for ever, for its release would not come."""
    gun.held = {ecodes.KEY_A}
    threading.Timer(0.3, gun.report, [set()]).start()
    with reading(reader, gun):
        assert not gun.held


def test_caps_lock_is_answered_by_its_light(reader: Reader, gun: HidDevice) -> None:
    """Some guns wait for it: a desktop would have answered."""
    with reading(reader, gun):
        gun.until(lambda: (ecodes.EV_LED, CAPS, 0) in gun.written)
        gun.type([((), ecodes.KEY_CAPSLOCK), *strokes("a\r")])
        assert reader.next() == ("label", "A")
        gun.until(lambda: (ecodes.EV_LED, CAPS, 1) in gun.written)


@pytest.mark.parametrize(
    ("answer", "blinks"), [("accepted", 1), ("duplicate", 2), ("refused", 5), ("unrecorded", 5)]
)
def test_a_light_tells_what_became_of_a_scan(
    reader: Reader, gun: HidDevice, answer: str, blinks: int
) -> None:
    with reading(reader, gun, feedback="scroll-lock"):
        reader.answer(answer)
        gun.type("A\r")
        assert reader.next() == ("label", "A")
        lit = (ecodes.EV_LED, SCROLL, 1)
        gun.until(lambda: gun.written.count(lit) == blinks)
        gun.until(lambda: gun.written[-2:] == [(ecodes.EV_LED, SCROLL, 0), SYN])
        assert gun.written.count(lit) == blinks
    reader.answer("accepted")


def test_the_light_is_of_the_newest_scan(reader: Reader, gun: HidDevice) -> None:
    """Five for the first, one for the second: the first is cut short."""
    lit = (ecodes.EV_LED, SCROLL, 1)
    with reading(reader, gun, feedback="scroll-lock"):
        reader.answer("refused")
        gun.type("A\r")
        assert reader.next() == ("label", "A")
        gun.until(lambda: gun.written.count(lit) == 1)
        reader.answer("accepted")
        gun.type("B\r")
        assert reader.next() == ("label", "B")
        time.sleep(1.6)  # so long would the first one go on
        assert gun.written.count(lit) < 6
        assert gun.written[-2:] == [(ecodes.EV_LED, SCROLL, 0), SYN]


def test_a_gun_without_lights_is_read_all_the_same(reader: Reader, gun: HidDevice) -> None:
    gun.leds = set()
    with reading(reader, gun, feedback="scroll-lock"):
        gun.type("A\r")
        assert reader.next() == ("label", "A")
    assert gun.written == []


def test_without_evdev_a_sentence_says_what_to_do(gun: HidDevice, shim: Path, tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/sitecustomize.py").write_text("import sys\nsys.modules['evdev'] = None\n")
    path = os.pathsep.join([str(tmp_path / "hidden"), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("PYTHONPATH", path)
        reader = Reader(shim)
    reader.tell(f"start {settings(gun)}")
    assert reader.next() == ("refused", NEEDS_EVDEV)
    reader.end()


LINE = """
[line]
name = "line-1"
badge = "optional"

[[order]]
id = "WO-1"
item = "P7"
quantity = 50
operations = [10]

[source.gun-1]
type = "hid-scanner"
device = "{folder}/gun-event-kbd"

[[station]]
name = "packer"
ideal_cycle = "1s"
scanner = "gun-1"

[sink.file]
type = "file"
linger = "1ms"
"""


async def test_the_agent_reads_it_and_finds_it_again(
    gun: HidDevice, shim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scan, pull out, plug in, scan: the gun is grabbed again within five seconds; and let go at the end."""
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    async with agent(tmp_path, "", LINE) as running:
        await running.until(lambda: "gun-1: connected" in running.log)
        gun.type(f"{label('J', 'WO-1-10')}\r")
        await running.until(lambda: len(running.events("scan")) == 1)
        gun.unplug()
        await running.until(lambda: "hung up" in running.log)
        gun.plug()
        assert gun.until(lambda: bool(gun.grabbed_by)) < 5
        await running.until(lambda: "gun-1: back" in running.log)
        gun.type("no label\r")
        await running.until(lambda: len(running.events("scan")) == 2)
        assert await running.stop() == 0
    gun.until(lambda: not gun.grabbed_by)
    assert gun.leaked == []
    first, second = running.events("scan")
    assert (first["data"]["kind"], first["data"]["outcome"]) == ("J", "accepted"), first
    assert (second["data"]["label"], second["data"]["outcome"]) == ("no label", "refused"), second


# --- settings -------------------------------------------------------------------------------


def made(**keys: Any) -> Settings:
    return Settings.model_validate(
        {"type": "hid-scanner", "device": "/dev/input/by-id/usb-A-event-kbd", **keys}
    )


def test_the_defaults() -> None:
    how = made().reading()
    assert how == Reading("us", {}, frozenset("\r\n"), 512, 0.3)
    assert made(end="\t").reading().ends == {"\t"}
    assert made(end="idle").reading().ends == frozenset()
    assert made(keys={"f8": "\x1d"}).reading().keys == {66: "\x1d"}
    assert made().owns() == ["/dev/input/by-id/usb-A-event-kbd"]


@pytest.mark.parametrize(
    ("keys", "says"),
    [({"layout": "xx"}, "'us', 'gb', 'de'"), ({"keys": {"f99": "x"}}, "no such key: f99; there are f1, f2"),
     ({"end": "\r\n"}, "an end is one character"), ({"end": []}, "an end is one character"),
     ({"end": ["idle"]}, "an end is one character"), ({"device": "gun"}, "device"), ({"baud": 9600}, "baud"),
     ({"keys": {"f8": ""}}, "at least 1 character"), ({"longest": 0}, "greater than or equal to 1")],
)  # fmt: skip
def test_wrong_settings_are_said(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=r"(?s)" + says):
        made(**keys)


@pytest.mark.parametrize(
    ("device", "says"),
    [
        ("/dev/input/event3", "may name another device"),
        ("/dev/input/by-id/usb-A-event-mouse", "is no keyboard"),
    ],
)
def test_doubtful_devices_are_warned_of(device: str, says: str) -> None:
    [warning] = made(device=device).warnings()
    assert says in warning
    assert made().warnings() == []
    assert made(device="/dev/input/by-path/pci-0000:00:14.0-usb-0:3:1.0-event-kbd").warnings() == []


@pytest.mark.parametrize("number", sorted(_hid_gun._REASONS))
def test_every_error_of_the_system_is_a_sentence(number: int) -> None:
    error = _hid_gun.open_failure("gun-1", "/dev/input/x", OSError(number, os.strerror(number)))
    assert isinstance(error, SourceLost)
    assert error.reason.count("/dev/input/x") == 1
    assert error.again_s == 2.0
    assert "cannot be opened" in _hid_gun.open_failure("gun-1", "/dev/input/x", OSError(5, "I/O")).reason
    assert "cannot be read" in _hid_gun.read_failure("gun-1", "/dev/input/x", OSError(5, "I/O")).reason
