"""A million hostile inputs to what has a state or a header: rigs from bytes to turns, Open Protocol.

Nothing escapes, none takes a millisecond, memory stays flat. Framers, formats, labels and keys have
runs of their own.
"""

import contextlib
import gc
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from adapters._frames import Framer
from adapters._open_protocol import Broken, Message, Reading, accepted, command_error, decode, tightening
from adapters._rig_talk import Due, Talk, Turn
from adapters.testrig import Settings
from simulators.testrig import draw_result, enclosed, lined
from simulators.torque import Joint, message, result

LIMIT_S = 0.001
FIELDS = {"unit": 1, "program": 2, "revision": 3, "number": 4, "result": 9}
STEP = {"name": "leak", "at": 5, "unit_of_measure_at": 6, "low_at": 7, "high_at": 8}
CSV: dict[str, Any] = {"format": "csv", "separator": ";", "columns": 9, "fields": FIELDS, "step": [STEP]}
ENCLOSED = {"begin": "\x02", "end": "\x03", "checksum": {"kind": "xor"}}
JSON: dict[str, Any] = {
    "format": "json", "fields": {"unit": "unit", "program": "program", "result": "result"},
    "step": [{"each": "steps", "name_at": "n", "at": "v", "optional": True}],
}  # fmt: skip
RIGS: dict[str, dict[str, Any]] = {
    "line": {"checksum": "auto"},
    "stx": {**CSV, **ENCLOSED},
    "enq": {**CSV, **ENCLOSED, "handshake": "enq"},
    "crc": {**CSV, "begin": "\x02", "end": "\x03", "checksum": {"kind": "crc16-modbus", "order": "little"}},
    "sum": {**CSV, "checksum": {"kind": "sum8-complement", "written": "hex", "at": "tail", "mark": ":"}},
    "json": JSON,
    "gathered": {
        "format": "pattern", "holds": "lines", "gather": {"last": "RESULT .*"}, "pass": ["PASS"],
        "pattern": ["SERIAL (?P<unit>[^ ]+)", "RESULT (?P<result>[A-Z]+)", "(?P<name>[A-Z]+)=(?P<value>.*)"],
        "fields": {"unit": "unit", "result": "result"}, "constants": {"program": "EOL"},
    },
    "load": {
        "format": "pattern", "pattern": "S S +(?P<weight>-?[0-9.]+) g", "unit": "scanned", "result": "limits",
        "handshake": "none", "skip": ["S D .*"], "constants": {"program": "WEIGHT"},
        "load": {"step": "weight", "above": 5.0, "below": 2.0},
        "step": [{"name": "weight", "at": "weight", "unit_of_measure": "g", "low": 98.0, "high": 104.0}],
    },
}  # fmt: skip
LEAK = draw_result(1, 0.1, random.Random(1))
MESSAGES = [
    lined(LEAK.text()), enclosed(LEAK.text("csv")), b"SERIAL U-1\rACW=1.24\rRESULT PASS\r",
    b"S S 0.25 g\r\nS D 3 g\r\n" + b"S S     101.25 g\r\n" * 2, lined(LEAK.text("csv")), b"\x05", b"\x04",
    b'{"unit":"U","program":"P","result":"OK","steps":[{"n":"a","v":1},{"n":"b"}]}\r',
]  # fmt: skip
PIECES = [
    b"\x02", b"\x03", b"\x05", b"\x04", b"\x06", b"\r\n", b"\r", b";", b"*", b":", b"=", b'"', b"{",
    b"[" * 40, b"\0", b"\xff", b"1e999", b"-0.0", b"S S 1 g\r", b"SERIAL x\r", b"RESULT PASS\r", b"x" * 600,
    b"\xe2\x80\xa8",
]  # fmt: skip
JOINT = Joint(4711, "U-0001", 4, 2, 20.04, 61, datetime(2026, 5, 4, 6, 12, 9))
TORQUE = [result(JOINT, revision) for revision in (1, 2, 3, 4)]
TORQUE += [message(5, "0060"), message(4, "006009"), message(2, "01"), message(9999)]
PARTS = [
    b"0",
    b"9999",
    b"    ",
    b"-1",
    b"\0",
    b"\xff",
    b"00610",
    b"2026-02-31:25:61:61",
    b"\x1b]52;c;eA==\x07",
]


def mutants(seeds: list[bytes], pieces: list[bytes], chance: random.Random, count: int) -> Iterator[bytes]:
    """What is said, with bytes changed, cut, doubled and merged; or pieces of it."""
    for _ in range(count):
        if chance.random() < 0.2:
            yield b"".join(chance.choices(pieces, k=chance.randrange(12)))
            continue
        raw = bytearray(chance.choice(seeds) * chance.choice((1, 1, 1, 2)))
        for _ in range(chance.randrange(4)):
            at = chance.randrange(len(raw) + 1)
            raw[at : at + chance.randrange(3)] = chance.choice(
                (chance.choice(pieces), bytes([chance.randrange(256)]))
            )
        yield bytes(raw[: chance.randrange(len(raw) + 1)] if chance.random() < 0.2 else raw)


def dearest(take: Callable[[bytes], None], inputs: Iterator[bytes]) -> float:
    """CPU seconds of the input that took longest.

    One that took long is taken again, twice at the most: the machine has other things to do beside it.
    """
    worst_s = 0.0
    for raw in inputs:
        cost_s = LIMIT_S
        for _ in range(3):
            begun_s = time.thread_time()
            take(raw)
            cost_s = min(cost_s, time.thread_time() - begun_s)
            if cost_s < LIMIT_S / 2:
                break
        worst_s = max(worst_s, cost_s)
    return worst_s


class Rig:
    """One connection to a rig, fed with bytes."""

    def __init__(self, keys: dict[str, Any]) -> None:
        settings = Settings.model_validate({"type": "testrig", "port": "/dev/rig", "longest": 512, **keys})
        self._framer, self._talk, self._now_s = Framer(settings.framing()), Talk(settings), 0.0

    def take(self, raw: bytes) -> None:
        self._now_s += 0.4
        turns = [*self._talk.expire(self._now_s)]
        for frame in [*self._framer.expire(self._now_s), *self._framer.feed(raw, self._now_s)]:
            turns += self._talk.take(frame, self._now_s)
        for turn in turns:
            check(turn)


def check(turn: Turn) -> None:
    for one in turn.results:
        assert (one.result is None) != (not one.reason)
        assert one.reason.isprintable()
        assert len(one.reason) < 400
        if one.result is None:
            assert turn.due is not Due.CONFIRM


def take_message(raw: bytes) -> None:
    """As a client takes it: whatever it is, a message, a result, or broken in words."""
    for each in raw.split(b"\0")[:4]:
        for read in (lambda one: tightening(one, Reading()), accepted, command_error):
            with contextlib.suppress(Broken):
                read(decode(each))
    with contextlib.suppress(Broken):
        tightening(Message(61, 4, raw.decode("latin-1")), Reading("part-2", "all"))


def takers() -> dict[str, tuple[Callable[[bytes], None], list[bytes], list[bytes]]]:
    """A name, what takes an input, and what inputs are made of."""
    rigs = {name: (Rig(keys).take, MESSAGES, PIECES) for name, keys in RIGS.items()}
    return {**rigs, "open-protocol": (take_message, TORQUE, PARTS)}


NAMES = (*RIGS, "open-protocol")


@pytest.mark.parametrize("name", NAMES)
def test_no_input_escapes_or_is_dear(name: str) -> None:
    take, seeds, pieces = takers()[name]
    assert dearest(take, mutants(seeds, pieces, random.Random(1), 2_000)) < LIMIT_S


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", NAMES)
def test_a_million_inputs_are_cheap_and_leave_nothing_behind(name: str) -> None:
    take, seeds, pieces = takers()[name]
    assert dearest(take, mutants(seeds, pieces, random.Random(2), 1_000_000)) < LIMIT_S
    assert grown(take, lambda seed: mutants(seeds, pieces, random.Random(seed), 20_000)) < 200_000


def grown(take: Callable[[bytes], None], inputs: Callable[[int], Iterator[bytes]]) -> int:
    """Bytes that are kept of them."""
    dearest(take, inputs(3))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for raw in inputs(4):
            take(raw)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_every_rig_still_takes_what_is_meant_for_it() -> None:
    """So that the runs above are about more than refusals."""
    meant = {"line": 0, "stx": 1, "enq": 1, "gathered": 2, "load": 3, "json": 7}
    for name, raw in ((name, MESSAGES[place]) for name, place in meant.items()):
        settings = Settings.model_validate({"type": "testrig", "port": "/dev/rig", **RIGS[name]})
        talk, frames = Talk(settings), Framer(settings.framing()).feed(raw, 0.0)
        turns = [turn for frame in frames for turn in talk.take(frame, 0.0)]
        assert [one.result is not None for turn in turns for one in turn.results] == [True], (name, turns)
