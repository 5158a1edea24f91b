"""A gun in keyboard mode, as input_device.c shows it to a process: plug it in, type, pull it out."""

import errno
import fcntl
import os
import selectors
import socket
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from evdev import ecodes

EVENT = struct.Struct("@llHHi")
SHIFT, CTRL, ALT, ALTGR = ecodes.KEY_LEFTSHIFT, ecodes.KEY_LEFTCTRL, ecodes.KEY_LEFTALT, ecodes.KEY_RIGHTALT
PAD = [ecodes.ecodes[f"KEY_KP{digit}"] for digit in range(10)]
_NAMED = {
    "-": "MINUS", "=": "EQUAL", "[": "LEFTBRACE", "]": "RIGHTBRACE", ";": "SEMICOLON", "'": "APOSTROPHE",
    "`": "GRAVE", "\\": "BACKSLASH", ",": "COMMA", ".": "DOT", "/": "SLASH", " ": "SPACE", "\r": "ENTER",
    "\t": "TAB",
}  # fmt: skip
_SHIFTED = dict(zip('!@#$%^&*()_+{}|:"~<>?', "1234567890-=[]\\;'`,./", strict=True))

Stroke = tuple[Sequence[int], int]
"""What is held, and the key."""


def stroke(character: str) -> Stroke:
    """How a US keyboard has it, by the kernel's names: not by our tables."""
    if character.isupper() or character in _SHIFTED:
        return (SHIFT,), stroke(_SHIFTED.get(character, character.lower()))[1]
    if "\x01" <= character < " " and character not in "\r\t":
        return (CTRL,), stroke(chr(ord(character) | 0x40).lower())[1]
    return (), ecodes.ecodes[f"KEY_{_NAMED.get(character, character.upper())}"]


def strokes(text: str) -> list[Stroke]:
    return [stroke(character) for character in text]


def build_shim(folder: Path) -> Path:
    """Compile input_device.c; gcc has to be there."""
    library = folder / "input_device.so"
    source = Path(__file__).with_name("input_device.c")
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, "-o", library, source, "-ldl"], check=True)
    return library


class HidDevice:
    """The kernel's half of a keyboard. What it types while nobody has grabbed it is `leaked` to
    the desktop."""

    def __init__(
        self, path: Path, keys: Iterable[int] = range(1, 128), leds: Iterable[int] = range(3)
    ) -> None:
        self.path = path
        self.name = "ACME 1950g"
        self.keys, self.leds = set(keys), set(leds)
        self.held: set[int] = set()
        self.leaked: list[int] = []
        self.written: list[tuple[int, int, int]] = []
        self.greeting: Sequence[Stroke] = ()
        """Typed as soon as it is opened, before anybody can have grabbed it."""
        self.taken = False
        """Another program has grabbed it."""
        self.grabbed_by = 0
        self.clock = 0
        self._connections: dict[socket.socket, int] = {}
        self._changed = threading.Condition()
        self._selector = selectors.DefaultSelector()
        self._plugged: list[socket.socket] = []
        self._thread: threading.Thread | None = None
        self.plug()

    # --- the test's side ---

    def plug(self) -> None:
        self._stop_read, self._stop_write = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stop_read, selectors.EVENT_READ)
        for suffix in (".ioctl", ""):
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            listener.bind(f"{self.path}{suffix}")
            listener.listen(8)
            self._selector.register(listener, selectors.EVENT_READ, suffix)
            self._plugged.append(listener)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        if self._thread is None:
            return
        self._stop_write.send(b"x")
        self._thread.join()
        self._thread = None
        for one in (*self._plugged, *self._connections, self._stop_read, self._stop_write):
            one.close()
        self._selector.close()
        self._plugged.clear()
        self._connections.clear()
        self.grabbed_by, self.held = 0, set()
        for suffix in (".ioctl", ""):
            os.unlink(f"{self.path}{suffix}")

    def type(self, what: str | Iterable[Stroke], every_s: float = 0.0) -> None:
        """As guns do: a report with the key and what is held, and an empty one."""
        for modifiers, key in strokes(what) if isinstance(what, str) else what:
            self.report({*modifiers, key})
            self.report(set())
            if every_s:
                time.sleep(every_s)

    def report(self, held: set[int]) -> None:
        """What a HID report makes of itself in the kernel: modifiers, releases, presses, SYN_REPORT."""
        changes = [(code, 0) for code in self.held - held] + [(code, 1) for code in held - self.held]
        self.held = set(held)
        changes.sort(key=lambda one: one[0] not in (SHIFT, CTRL, ALT, ALTGR))
        events = []
        for code, value in changes:
            events += [(ecodes.EV_MSC, ecodes.MSC_SCAN, 0x70000 + code), (ecodes.EV_KEY, code, value)]
        self.send(*events, (ecodes.EV_SYN, ecodes.SYN_REPORT, 0))

    def send(self, *events: tuple[int, int, int], at_s: float | None = None) -> None:
        """One packet of raw events."""
        clock = time.CLOCK_MONOTONIC if self.clock == 1 else time.CLOCK_REALTIME
        at_us = int(at_s * 1e6) if at_s is not None else time.clock_gettime_ns(clock) // 1000
        packet = b"".join(EVENT.pack(*divmod(at_us, 1_000_000), *event) for event in events)
        with self._changed:
            if not self.grabbed_by:
                self.leaked += [code for kind, code, value in events if kind == ecodes.EV_KEY and value]
            for connection, process in self._connections.items():
                if self.grabbed_by in (0, process):
                    with suppress(BrokenPipeError):  # closed, and nobody has told us yet
                        connection.sendall(packet)

    def until_read(self) -> None:
        """Wait until all that was typed was read: what is not is lost with the plug, as in the kernel."""
        until_s = time.monotonic() + 10
        while any(
            struct.unpack("@i", fcntl.ioctl(one, termios.TIOCOUTQ, bytes(4)))[0] for one in self._connections
        ):
            assert time.monotonic() < until_s
            time.sleep(0.001)

    def until(self, holds: Callable[[], bool], timeout_s: float = 10.0) -> float:
        """Wait until `holds()`; gives the seconds that it took."""
        began_s = time.monotonic()
        with self._changed:
            assert self._changed.wait_for(holds, timeout_s), "it never came to that"
        return time.monotonic() - began_s

    # --- the kernel's side ---

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                one = key.fileobj
                assert isinstance(one, socket.socket)
                if one is self._stop_read:
                    return
                with self._changed:
                    self._handle(one, key.data)
                    self._changed.notify_all()

    def _handle(self, one: socket.socket, suffix: str | None) -> None:
        if suffix is None:
            self._heard(one)
            return
        connection, _ = one.accept()
        if suffix:
            with connection, suppress(BrokenPipeError):
                process, request, argument = struct.unpack("@iIi", connection.recv(64))
                error, data = self._answer(process, request, argument)
                connection.send(struct.pack("@i", error) + data)
            return
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        self._connections[connection] = struct.unpack("@iii", credentials)[0]
        self._selector.register(connection, selectors.EVENT_READ)
        greeting, self.greeting = self.greeting, ()
        self.type(greeting)

    def _heard(self, connection: socket.socket) -> None:
        data = b""
        with suppress(ConnectionError):
            data = connection.recv(4096)
        if data:
            self.written += [event[2:] for event in EVENT.iter_unpack(data)]
            return
        self._selector.unregister(connection)
        if self._connections.pop(connection) == self.grabbed_by:
            self.grabbed_by = 0
        connection.close()

    def _answer(self, process: int, request: int, argument: int) -> tuple[int, bytes]:
        bits = {
            0x18: self.held,
            0x19: set(),
            0x20: {0, 1, 4, 0x11},
            0x21: self.keys,
            0x24: {4},
            0x31: self.leds,
        }
        match request & 0xFF:
            case 0x01:
                return 0, struct.pack("@i", 0x010001)
            case 0x02:
                return 0, struct.pack("@4H", 3, 0x0C2E, 0x0B61, 1)
            case 0x06:
                return 0, self.name.encode() + b"\0"
            case 0x84:
                return 0, struct.pack("@i", 0)
            case 0x90:
                return self._grab(process, argument), b""
            case 0xA0:
                self.clock = argument
                return 0, b""
            case number if number in bits:
                return 0, sum(1 << bit for bit in bits[number]).to_bytes(96, "little")
            case _:
                return errno.ENOENT, b""

    def _grab(self, process: int, argument: int) -> int:
        if self.taken or (argument and self.grabbed_by):
            return errno.EBUSY
        self.grabbed_by = process if argument else 0
        return 0
