"""Devices that are odd but real: what they send is read as they mean it, or is broken; nothing vanishes."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from adapters import testrig
from adapters._frames import Framer
from adapters._rig_checksum import Checksum, Framed, compute, written
from adapters._rig_format import ResultFormat
from adapters._rig_parse import Broken, parse, parse_each
from adapters._rig_talk import Due, Talk, Turn
from adapters.testrig import Settings
from edge.contract import Quality, Step
from tests.support.ptys import PtyDevice, SlowIntake, running

HIPOT: dict[str, Any] = {
    "format": "pattern", "holds": "lines",
    "pattern": ["SERIAL (?P<sn>[A-Z0-9-]+)", "RESULT (?P<word>PASS|FAIL)"],
    "fields": {"unit": "sn", "result": "word"}, "constants": {"program": "HIPOT"},
    "skip": ["=+"],
    "step": [{
        "each": "(?P<name>[A-Z]+)=(?P<value>[-+0-9.eE>]{1,12}) (?P<unit>[A-Za-z]+)", "name_at": "name",
        "at": "value", "unit_of_measure_at": "unit", "above_range": [">9999"], "low": 100.0, "least": 1,
    }],
}  # fmt: skip
JSON: dict[str, Any] = {
    "format": "json", "fields": {"unit": "sn", "program": "prog", "result": "ok"}, "pass": ["true"],
    "fail": ["false"], "step": [{"each": "steps", "name_at": "n", "at": "v"}],
}  # fmt: skip


def described(**keys: Any) -> ResultFormat:
    return ResultFormat.model_validate(keys)


def report(*lines: str) -> bytes:
    return "\r\n".join(["SERIAL U-1", *lines, "RESULT PASS", ""]).encode()


def faults(**keys: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        described(**keys)
    return str(caught.value)


# --- nothing vanishes ---------------------------------------------------------------------------


def test_sign_exponent_and_above_the_range_are_read() -> None:
    [found] = parse(described(**HIPOT), report("ACW=-0.02 kV", "IR=>9999 MOhm", "DCW=1.2E3 V"))
    assert found.steps == (
        Step("ACW", -0.02, "kV", 100.0), Step("IR", None, "MOhm", 100.0, None, True, ">9999"),
        Step("DCW", 1200.0, "V", 100.0),
    )  # fmt: skip


@pytest.mark.parametrize("line", ["ACW=#02 kV", "ACW=1.2", "AC1.24 kV", "=1.24 kV", "ACW=1,24 kV", "A" * 400])
def test_a_line_that_nothing_reads_is_broken_and_no_pass_without_a_measurement(line: str) -> None:
    with pytest.raises(Broken, match="matches no `pattern`"):
        parse(described(**HIPOT), report("IR=500 MOhm", line))
    ignored = described(**{**HIPOT, "others": "ignored"})
    assert [step.name for step in parse(ignored, report("IR=500 MOhm", line))[0].steps] == ["IR"]


def test_lines_that_are_to_be_skipped_are() -> None:
    assert len(parse(described(**HIPOT), report("=====", "IR=500 MOhm", "===="))[0].steps) == 1
    assert parse_each(described(**HIPOT), b"===\r\n====\r\n") == []


def test_a_report_that_lost_whole_lines_is_broken() -> None:
    with pytest.raises(Broken, match="0 steps of a kind that comes 1 times at least"):
        parse(described(**HIPOT), report())
    assert "least is for steps that come again" in faults(
        format="csv", fields={"unit": 1, "program": 2, "result": 3}, step=[{"name": "a", "at": 4, "least": 2}]
    )


def test_any_bytes_that_are_cut_out_of_a_report_make_it_broken_or_leave_each_line_read() -> None:
    kind = described(**{**HIPOT, "step": [{**HIPOT["step"][0], "least": 3}], "unit_like": "U-[0-9]"})
    raw = report("ACW=1.24 kV", "IR=500 MOhm", "GB=0.10 Ohm")
    for at in range(len(raw)):
        for size in (1, 2, 5, 13):
            try:
                found = parse(kind, raw[:at] + raw[at + size :])
            except Broken:
                continue
            assert [len(one.steps) for one in found] == [3]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b'{"sn":"U1","prog":"P","ok":true}', "'steps' is not there"),
        (b'{"sn":"U1","prog":"P","ok":true,"steps":{"n":1}}', "'steps' is no list"),
        (b'{"sn":"U1","prog":"P","ok":true,"steps":[1.5]}', "holds something that is no step"),
    ],
)
def test_steps_of_json_that_are_not_there_are_told(raw: bytes, why: str) -> None:
    with pytest.raises(Broken, match=why):
        parse(described(**JSON), raw)
    optional = described(**{**JSON, "step": [{**JSON["step"][0], "optional": True}]})
    assert parse(optional, b'{"sn":"U1","prog":"P","ok":true}')[0].steps == ()


def test_lines_behind_the_last_that_is_read_are_told() -> None:
    keys: dict[str, Any] = {
        "format": "csv", "holds": "lines", "fields": {"unit": 1, "program": 2, "result": 3},
        "step": [{"each": "2-3", "name_at": 1, "at": 2}],
    }  # fmt: skip
    raw = b"U1,P,OK\na,1\nb,2\nc,3\n"
    with pytest.raises(Broken, match="4 lines, and nothing is read behind line 3"):
        parse(described(**keys), raw)
    assert len(parse(described(**keys, others="ignored"), raw)[0].steps) == 2
    with pytest.raises(Broken, match="behind line 1"):
        parse(described(**{**keys, "step": [{"each": {"from": 4, "by": 2}, "name_at": 1, "at": 2}]}), raw)
    places = {"unit": "1-2", "program": "2/1-2", "result": "2/3-4"}
    two: dict[str, Any] = {"format": "fixed", "holds": "lines", "fields": places}
    assert parse(described(**two), b"U1\nPPOK\n")[0].unit == "U1"
    with pytest.raises(Broken, match="behind line 2"):
        parse(described(**two), b"U1\nPPOK\nmore")


def test_steps_of_several_kinds_come_in_the_order_of_the_report() -> None:
    kinds = [
        {"each": f"(?P<name>{name}[0-9]) (?P<v>[0-9.]+)", "name_at": "name", "at": "v", "least": 1}
        for name in ("ACW", "IR")
    ]
    kind = described(**{**HIPOT, "step": kinds})
    [found] = parse(kind, report("ACW1 1", "IR2 2", "ACW3 3"))
    assert [step.name for step in found.steps] == ["ACW1", "IR2", "ACW3"]


# --- ranges, signs, encodings -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "word", "passed"),
    [
        ({"low": 1.0}, "above_range", True), ({"high": 1.0}, "above_range", False),
        ({"low": 0.0, "high": 1.0}, "above_range", False), ({}, "above_range", None),
        ({"high": 1.0}, "below_range", True), ({"low": 1.0}, "below_range", False),
        ({"low": 1.0}, "out_of_range", False), ({}, "out_of_range", False),
    ],
)  # fmt: skip
def test_what_is_beyond_the_range_is_good_on_the_far_side_of_its_only_limit(
    limits: dict[str, float], word: str, passed: bool | None
) -> None:
    kind = described(
        format="csv", columns=4, fields={"unit": 1, "program": 2, "result": 3},
        step=[{"name": "a", "at": 4, word: ["OL"], **limits}],
    )  # fmt: skip
    [step] = parse(kind, b"U1,P,OK,OL")[0].steps
    assert (step.value, step.text, step.passed) == (None, "OL", passed)


def test_a_sign_in_a_status_byte() -> None:
    keys: dict[str, Any] = {
        "format": "fixed", "columns": 8, "unit": "scanned", "result": "limits", "constants": {"program": "W"},
        "step": [{"name": "w", "at": "3-8", "negative_at": 2, "negative": ["2", "3"], "scale": 0.01}],
    }  # fmt: skip
    for raw, value in ((b"*0001234", 12.34), (b"*2001234", -12.34), (b"*3001234", -12.34)):
        assert parse(described(**keys), raw)[0].steps[0].value == value
    with pytest.raises(Broken, match="has a sign, and another"):
        parse(described(**keys), b"*2-01234")
    bare = described(**{**keys, "step": [{"name": "w", "at": "3-8", "negative_at": 2}]})
    assert parse(bare, b"*-001234")[0].steps[0].value == -1234
    assert parse(bare, b"* 001234")[0].steps[0].value == 1234
    alone = {**keys, "step": [{"name": "w", "at": 1, "negative": ["2"]}]}
    assert "negative needs negative_at" in faults(**alone)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_mark_of_the_byte_order_is_no_part_of_the_text(encoding: str) -> None:
    text = '{"sn":"U1","prog":"P","ok":true,"steps":[]}\r\n'
    raw = ("\ufeff" if encoding == "utf-16-le" else "") + text
    kind = described(**JSON, encoding="utf-8" if encoding == "utf-8-sig" else "utf-16")
    assert parse(kind, raw.encode(encoding))[0].unit == "U1"
    with pytest.raises(ValidationError, match="utf-16"):
        Settings.model_validate({"type": "testrig", "port": "/dev/x", **JSON, "encoding": "utf-16"})


TOLEDO: dict[str, Any] = {
    "type": "testrig", "port": "/dev/serial/by-id/scale", "begin": "\x02", "end": "\r", "handshake": "none",
    "checksum": {"kind": "sum7-complement", "covers": ["begin", "text", "end"]},
    "format": "pattern", "unit": "scanned", "result": "limits", "constants": {"program": "WEIGHT"},
    "pattern": ".(?:(?P<minus>2)|0) (?P<weight>[0-9 ]{6})[0-9 ]{6}", "skip": [".[^02] .{12}"],
    "load": {"step": "weight", "above": 1.0, "below": 0.5},
    "step": [{"name": "weight", "at": "weight", "negative_at": "minus", "scale": 0.01}],
}  # fmt: skip


def toledo(status: str, weight: int) -> bytes:
    body = f"\x02,{status} {weight:06}000000\r".encode("ascii")
    return body + bytes([-sum(body) & 0x7F])


def test_the_seven_low_bits_of_a_continuous_output_add_up_to_nothing() -> None:
    frame = toledo("0", 1234)
    assert sum(frame) & 0x7F == 0
    assert compute("sum7-complement", frame[:-1]) == frame[-1]
    kind = Checksum.model_validate(TOLEDO["checksum"])
    assert written(kind, Framed(b"\x02", frame[1:-2], b"\r", b"")) == frame[-1:]
    settings = Settings.model_validate(TOLEDO)
    talk, framer = Talk(settings), Framer(settings.framing())
    weights_sent = (("0", 0), ("2", 1234), ("8", 900), ("0", 1234), ("0", 1234))
    found = [
        turn
        for sent in (toledo(*one) for one in weights_sent)
        for one in framer.feed(sent, 0)
        for turn in talk.take(one, 0)
    ]
    weights = [one.result.steps[0].value for turn in found for one in turn.results if one.result]
    assert weights == [12.34]
    assert not [one.reason for turn in found for one in turn.results if one.reason]


@pytest.mark.parametrize(
    ("keys", "waited"),
    [({}, "drop"), ({"load": None}, "refuse"), ({"load": None, "ask": "S\r\n"}, "drop"),
     ({"load": None, "unit": "sent", "fields": {"unit": "weight"}}, "take")],
)  # fmt: skip
def test_what_is_read_all_the_time_has_nothing_old_to_tell(keys: dict[str, Any], waited: str) -> None:
    assert Settings.model_validate({**TOLEDO, **keys}).waited() == waited


async def test_a_scale_that_sends_all_the_time_is_not_told_as_unreadable_at_a_start(tmp_path: Path) -> None:
    intake = SlowIntake("scale")
    scale = PtyDevice(tmp_path / "usb-scale-if00")
    try:
        await scale.send(toledo("0", 1234) * 5)
        settings = Settings.model_validate({**TOLEDO, "port": scale.port})
        async with running(testrig.collect(settings, [], intake), intake):
            for weight in (0, 500, 500):
                await scale.send(toledo("0", weight))
            await intake.until(lambda: bool(intake.seen))
    finally:
        scale.unplug()
    assert [one.quality for one in intake.seen] == [Quality.GOOD]


# --- what `lineside check` refuses ---------------------------------------------------------------


def test_what_can_never_be_read_is_refused_and_all_of_it_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({
            "type": "testrig", "port": "/dev/x", "connect": "10.0.0.1:4001", "format": "csv", "columns": 4,
            "fields": {"unit": 1, "program": 2, "result": 9}, "pass": ["OK"], "fail": ["OK"], "ask": "READ",
            "step": [{"name": "leak", "at": 8, "low": 2.0, "high": 1.0}, {"name": "leak", "at": 3}],
        })  # fmt: skip
    told = str(caught.value)
    for one in (
        "exactly one of port", "fields.result: 9 is behind the last of 4 fields",
        "step 1 (leak): at: 8 is behind the last of 4", "step 1 (leak): low is above high",
        "two steps have the name 'leak'", "'OK' cannot be two results", 'with ask write handshake = "none"',
    ):  # fmt: skip
        assert one in told


@pytest.mark.parametrize("kind", ["lrc", "LRC", "bcc", "checksum", "crc16", "ccitt"])
def test_a_makers_word_for_a_checksum_gets_a_hint(kind: str) -> None:
    with pytest.raises(ValidationError, match=r'is "xor"|"sum8"|"crc16-modbus"'):
        Checksum.model_validate({"kind": kind})


def test_columns_of_a_group_are_counted_in_it() -> None:
    told = faults(
        format="csv", columns=8, fields={"unit": 1, "program": 2, "result": 3},
        step=[{"each": {"from": 4, "by": 2}, "name_at": 1, "at": 3}],
    )  # fmt: skip
    assert "step 1: at: 3 is behind the last of 2 fields" in told


# --- ASTM E1381 ---------------------------------------------------------------------------------

ASTM: dict[str, Any] = {
    "type": "testrig", "port": "/dev/serial/by-id/rig", "begin": "\x02", "end": ["\x03", "\x17"],
    "checksum": {"kind": "sum8", "written": "hex"}, "handshake": "enq", "format": "pattern", "holds": "lines",
    "gather": {"first": r"H\|.*", "last": r"L\|.*", "within": "5s", "answer": "each", "numbered": True},
    "pattern": [r"H\|(?P<prog>[A-Z]+)", r"P\|(?P<sn>[A-Z0-9-]+)", r"L\|(?P<word>N|F)"],
    "fields": {"unit": "sn", "program": "prog", "result": "word"}, "pass": ["N"], "fail": ["F"],
    "step": [{"each": r"R\|(?P<n>[A-Z]+)\|(?P<v>[-+0-9.E]+)", "name_at": "n", "at": "v", "least": 1}],
}  # fmt: skip


class Sender:
    """Frames as a sender makes them, and what it hears."""

    def __init__(self) -> None:
        self.settings = Settings.model_validate(ASTM)
        self.talk = Talk(self.settings)
        self.framer = Framer(self.settings.framing())

    def send(self, data: bytes) -> tuple[list[Due], list[str]]:
        frames = self.framer.feed(data, 0)
        turns: list[Turn] = [turn for one in frames for turn in self.talk.take(one, 0)]
        parsed = [one for turn in turns for one in turn.results]
        told = [one.reason or (one.result.unit if one.result else "") for one in parsed]
        return [turn.due for turn in turns if turn.due is not Due.NOTHING], told

    def frame(self, number: int, text: str, end: bytes = b"\r\x03") -> bytes:
        body = f"{number % 8}{text}".encode() + end
        return b"\x02" + body + f"{sum(body) & 0xFF:02X}".encode() + b"\r\n"


def test_each_frame_is_answered_and_the_last_one_when_all_is_on_disk() -> None:
    one = Sender()
    assert one.send(b"\x05") == ([Due.CONFIRM], [])
    for number, text in enumerate(["H|LEAK", "P|U-1", "R|CO|1.5"], 1):
        assert one.send(one.frame(number, text)) == ([Due.CONFIRM], [])
    last = one.frame(4, "L|N")
    assert one.send(last) == ([Due.VERDICT], ["U-1"])
    assert one.send(last) == ([Due.VERDICT], ["U-1"]), "it was not recorded: the same once more"
    assert one.send(b"\x04") == ([], [])
    assert one.send(b"\x05") == ([Due.CONFIRM], [])


def test_a_frame_that_is_broken_or_comes_again_is_in_the_result_once() -> None:
    one = Sender()
    one.send(b"\x05")
    one.send(one.frame(1, "H|LEAK"))
    second = one.frame(2, "P|U-1")
    [due], [reason] = one.send(second.replace(b"U-1", b"U-2"))
    assert due is Due.REFUSE
    assert "checksum" in reason
    assert one.send(second) == ([Due.CONFIRM], [])
    assert one.send(second) == ([Due.CONFIRM], []), "its ACK was lost"
    [due], [reason] = one.send(one.frame(4, "R|XX|9"))
    assert (due, reason) == (Due.REFUSE, "frame 4 came in the place of 3")
    assert one.send(one.frame(3, "R|CO|1.5")) == ([Due.CONFIRM], [])
    assert one.send(one.frame(4, "L|N")) == ([Due.VERDICT], ["U-1"])


def test_a_record_goes_on_in_the_next_frame() -> None:
    one = Sender()
    one.send(b"\x05")
    for number, (text, end) in enumerate(
        [("H|LE", b"\x17"), ("AK", b"\r\x03"), ("P|U-1", b"\r\x03"), ("R|CO|1.", b"\x17"), ("2", b"\x17"),
         ("5", b"\r\x03")], 1,
    ):  # fmt: skip
        assert one.send(one.frame(number, text, end)) == ([Due.CONFIRM], [])
    turns = [turn for frame in one.framer.feed(one.frame(7, "L|N"), 0) for turn in one.talk.take(frame, 0)]
    result = turns[0].results[0].result
    assert result is not None
    assert (result.program, [step.value for step in result.steps]) == ("LEAK", [1.25])


def test_a_sender_that_begins_anew_leaves_a_cut_result_and_one_without_beginning_is_refused() -> None:
    one = Sender()
    one.send(b"\x05")
    one.send(one.frame(1, "H|LEAK"))
    assert one.send(b"\x04") == ([], ["cut: the rig ended before the last line; see `gather`"])
    one.send(b"\x05")
    assert one.send(one.frame(3, "R|CO|1.5")) == ([Due.REFUSE], ["a line outside of a result; see `gather`"])
    assert one.send(one.frame(3, "R|CO|1.5"))[0] == [Due.REFUSE], "not taken for one that was confirmed"
    assert one.talk.expire(9) == []
    one.send(b"\x05")
    one.send(one.frame(1, "H|LEAK"))
    assert [turn.due for turn in one.talk.expire(9)] == [Due.NOTHING], "nobody waits for an answer"
    assert one.send(one.frame(1, "H|LEAK"))[0] == [Due.CONFIRM]


def test_any_frames_in_any_order_never_confirm_a_result_that_was_not_handed_over() -> None:
    one = Sender()
    texts = ["H|LEAK", "P|U-1", "R|CO|1.5", "L|N"]
    for seed in range(4_000):
        number, text = seed * 7 // 3 % 8, texts[seed * 5 // 2 % 4]
        dues, told = one.send(one.frame(number, text))
        assert len(dues) == 1, "each frame has one answer"
        assert (Due.VERDICT in dues) <= bool(told)
