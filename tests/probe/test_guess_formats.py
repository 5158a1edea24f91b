"""What the lines of a rig, a scale or a gauge mean, guessed from recorded bytes."""

from collections.abc import Sequence
from functools import reduce
from operator import xor
from typing import Any

import pytest

from adapters._probe_frames import Guess, guess
from adapters._probe_wire import Chunk
from adapters._rig_checksum import Checksum, Framed, written
from adapters._testrig_probe import Proposal, outline, propose
from simulators.labels import label


def said(*messages: bytes, every_s: float = 1.0) -> list[Chunk]:
    return [Chunk(at * every_s, one) for at, one in enumerate(messages)]


def guessed(chunks: Sequence[Chunk]) -> Guess:
    found = guess(chunks)
    assert found is not None
    return found


LABELS = [label("J", "WO-1042-10").encode(), label("C", "START").encode(), label("Q", "5").encode()]


# --- formats ------------------------------------------------------------------------------------------


def keys(*lines: str, end: bytes = b"\r\n", encoding: str = "utf-8") -> dict[str, Any] | None:
    found = propose(guessed(said(*(line.encode(encoding) + end for line in lines))))
    return None if found is None else found.keys


def test_key_value_names_its_fields() -> None:
    lines = (
        "SN=U1;PROG=L;leak=0.12:mbar:0:0.5;op=bob;RESULT=PASS",
        "SN=U2;PROG=L;leak=0.7;op=bob;RESULT=FAIL",
    )
    assert keys(*lines) == {
        "format": "key=value", "fields": {"unit": "SN", "program": "PROG", "result": "RESULT"},
        "ignore": ["op"], "handshake": "none",
    }  # fmt: skip


def test_csv_is_told_by_what_its_columns_hold() -> None:
    found = keys("U1,FCT,1,0.12,PASS", "U2,FCT,2,0.30,FAIL", "U3,FCT,3,0.28,PASS")
    assert found == {
        "format": "csv", "fields": {"result": 5, "unit": 1, "program": 2, "number": 3}, "columns": 5,
        "step": [{"name": "value-4", "at": 4}], "handshake": "none",
    }  # fmt: skip


def test_german_words_and_commas() -> None:
    found = keys("A1;0,12;IO", "A2;0,50;NIO")
    assert found is not None
    assert (found["decimal"], found["pass"], found["fail"]) == (",", ["IO"], ["NIO"])


def test_json_is_read_by_its_paths() -> None:
    line = '{"dut":{"sn":"A%d"},"test":"FCT","v":{"rail":3.%d},"ok":%s}'
    found = keys(line % (1, 3, "true"), line % (2, 1, "false"))
    assert found is not None
    assert found["fields"] == {"unit": "dut.sn", "program": "test", "result": "ok"}
    assert (found["pass"], found["fail"]) == (["true"], ["false"])
    assert found["step"] == [{"name": "v.rail", "at": "v.rail"}]


@pytest.mark.parametrize(
    ("lines", "step", "decimal"),
    [
        (
            ("ST,GS,+  1.234kg", "ST,GS,+  0.900kg"),
            {"name": "value", "at": "value", "unit_of_measure": "kg", "unit_of_measure_at": "unit"},
            None,
        ),
        (
            ("S S     100.00 g", "S S       1.05 g"),
            {"name": "value", "at": "value", "unit_of_measure": "g", "unit_of_measure_at": "unit"},
            None,
        ),
        (("12,5", "3,25"), {"name": "value", "at": "value"}, ","),
        (
            ("  120 g", "   99 g"),
            {"name": "value", "at": "value", "unit_of_measure": "g", "unit_of_measure_at": "unit"},
            None,
        ),
    ],
)
def test_a_scale_says_a_number(lines: tuple[str, ...], step: dict[str, Any], decimal: str | None) -> None:
    found = keys(*lines)
    assert found is not None
    assert (found["format"], found["unit"], found["result"]) == ("pattern", "scanned", "limits")
    assert (found["step"], found.get("decimal")) == ([step], decimal)


def test_the_sum_at_the_end_of_a_line_is_seen() -> None:
    lines = [f"unit=U{n};program=L;result=PASS" for n in range(3)]
    found = keys(*(f"{line}*{reduce(xor, line.encode()):02X}" for line in lines))
    assert found is not None
    assert found["checksum"] == "xor"


def test_latin_1_is_seen() -> None:
    lines = [f"unit=U{number};program=L;t=20:°C;result=OK" for number in (1, 2)]
    found = keys(*lines, encoding="latin-1")
    assert found is not None
    assert found["encoding"] == "latin-1"


def test_one_that_says_the_same_again_waits_for_an_answer() -> None:
    line = "unit=U1;program=L;result=PASS"
    found = keys(line, line, line)
    assert found is not None
    assert "handshake" not in found


@pytest.mark.parametrize(
    "lines",
    [
        ("hello", "world"),
        ("", "x"),
        ("a;b", "c;d"),
        ("$JWO-1042-10X", "$COKL"),
        ("4006381333931", "12"),
        ("BOX 12", "A12B"),
    ],
)
def test_what_is_no_result_gets_no_proposal(lines: tuple[str, ...]) -> None:
    assert keys(*lines) is None


TOLD = [("0.100", "PASS"), ("0.350", "FAIL"), ("-0.250", "PASS"), ("0.120", "PASS")]


def proposed(*lines: str, asked: bytes = b"") -> Proposal:
    found = propose(guessed(said(*(line.encode() + b"\r\n" for line in lines))), asked)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "stamp",
    [
        "23.11.2026 12:00:{:02}", "2026-11-23T12:00:{:02}Z", "2026-11-23 12:00:{:02}.125",
        "11/23/26 9:05:{:02} PM",
        "12:00:{:02}", "20261123 1200{:02}", "20261123T1200{:02}", "23-Nov-2026 12:00:{:02}", "2026/11/{:02}",
    ],
)  # fmt: skip
def test_a_time_is_never_a_unit_and_never_a_measurement(stamp: str) -> None:
    lines = [f"{stamp.format(n)};U-{n:06};PRG7;{value};{word}" for n, (value, word) in enumerate(TOLD, 1)]
    found = proposed(*lines)
    assert found.keys["fields"] == {"result": 5, "unit": 2, "program": 3}
    assert [one["at"] for one in found.keys["step"]] == [4]
    assert "a time: left out" in found.notes[0]


def test_times_and_counters_of_key_value_are_no_measurements() -> None:
    line = "SN=U{0};time=12:00:0{0};date=20261123;cycle={1};leak={2};RESULT={3}"
    found = proposed(*(line.format(n, 100 + n, value, word) for n, (value, word) in enumerate(TOLD, 1)))
    assert found.keys["ignore"] == ["time", "date", "cycle"]


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("i.O.", "n.i.O."), ("IO", "NIO"), ("GUT", "SCHLECHT"), ("Good", "Bad"), ("ACCEPT", "REJECT"),
        ("OK", "NOK"), ("OK", "NOT OK"), ("accepted", "rejected"), ("P", "F"), ("GO", "NOGO"),
    ],
)  # fmt: skip
def test_words_of_a_verdict_are_known(good: str, bad: str) -> None:
    words = {"PASS": good, "FAIL": bad}
    both = proposed(*(f"U-{n};PRG7;{value};{words[word]}" for n, (value, word) in enumerate(TOLD)))
    assert (both.keys["pass"], both.keys["fail"]) == ([good], [bad])
    assert not any("NOTHING JUDGES" in one for one in both.doubts)


def test_a_word_that_was_not_heard_is_a_guess() -> None:
    found = proposed(*(f"U-{n};PRG7;{value};i.O." for n, (value, _) in enumerate(TOLD)))
    assert found.keys["fail"] == ["n.i.O."]
    assert any("no bad result was heard" in one for one in found.doubts)


@pytest.mark.parametrize("words", [("BON", "MAUVAIS"), ("N", "A"), ("1", "2"), ("P", "P")])
def test_where_no_verdict_is_known_it_is_said_loudly(words: tuple[str, str]) -> None:
    lines = (f"U-{n};PRG7;{value};{words[word == 'FAIL']}" for n, (value, word) in enumerate(TOLD))
    found = proposed(*lines)
    assert found.keys["result"] == "limits"
    assert found.doubts[0].startswith("NOTHING JUDGES")


def test_exponents_are_numbers_and_limits_are_limits() -> None:
    line = "{0}R|1|U-B00{0}|CHEM|{0}|{1}|mg/L|-1.0E-03|2.0E-03|x|{2}"
    values = [("1.1E-05", "N"), ("-2.2e-04", "N"), ("3.3E-03", "A"), ("4.4E-05", "N")]
    found = proposed(*(line.format(n, *one) for n, one in enumerate(values, 1)))
    assert found.keys["fields"] == {"unit": 3, "number": 5, "result": 11, "program": 4}
    assert (found.keys["pass"], found.keys["fail"]) == (["N"], ["A"])
    [step] = found.keys["step"]
    assert (step["at"], step["unit_of_measure_at"], step["low_at"], step["high_at"]) == (6, 7, 8, 9)
    assert any("low and high of value-6 are a guess" in one for one in found.doubts)
    assert any("N was taken for normal" in one for one in found.doubts)


def test_numbers_that_never_change_are_no_measurements_and_no_limits_where_good_ones_lie_outside() -> None:
    found = proposed(*(f"U-{n},LEAK,7,{value},0,0.11,{word}" for n, (value, word) in enumerate(TOLD)))
    assert found.keys["step"] == [{"name": "value-4", "at": 4}]
    assert "never changed: left out" in found.notes[2]


def test_json_with_a_list_of_steps() -> None:
    def line(number: int, good: str) -> str:
        steps = (
            f'[{{"n":"leak","v":{number}.5e-5,"u":"mbar","lim":[-1e-3,2e-3],"ok":{good}}},'
            '{"n":"opt","v":null,"u":"V","lim":[0,null],"ok":true}]'
        )
        return f'{{"dut":{{"sn":"U{number}"}},"prog":{{"name":"EOL","rev":"B"}},"ok":{good},"steps":{steps}}}'

    found = proposed(line(1, "true"), line(2, "false"), line(3, "true"))
    assert found.keys["fields"] == {
        "unit": "dut.sn",
        "program": "prog.name",
        "revision": "prog.rev",
        "result": "ok",
    }
    assert found.keys["step"] == [
        {
            "each": "steps", "name_at": "n", "at": "v", "unit_of_measure_at": "u", "result_at": "ok",
            "low_at": "lim.0", "high_at": "lim.1", "optional": True,
        }
    ]  # fmt: skip


@pytest.mark.parametrize("whole_first", [True, False])
def test_the_verdict_of_the_whole_is_told_from_those_of_steps(whole_first: bool) -> None:
    def line(number: int, one: str, other: str) -> str:
        whole = "PASS" if one == other == "PASS" else "FAIL"
        words = [whole, one, other] if whole_first else [one, other, whole]
        return ",".join([f"U-{number}", "LEAK", *words])

    found = proposed(line(1, "PASS", "PASS"), line(2, "FAIL", "PASS"), line(3, "PASS", "FAIL"))
    assert found.keys["fields"]["result"] == (3 if whole_first else 5)
    assert any("that of the whole" in one for one in found.doubts)


def test_a_name_that_never_changes_is_no_unit() -> None:
    line = '{{"id":"RIG-7","prog":"P","plc":{{"ok":true}},"ok":{},"v":{}.5}}'
    found = proposed(line.format("true", 1), line.format("false", 2), line.format("true", 3))
    assert (found.keys["unit"], found.keys["fields"]["result"]) == ("scanned", "ok")
    assert any("'id' has a unit's name, but never changed" in one for one in found.doubts)
    found = proposed(
        *(f'{{"id":{n},"dut":{{"sn":"U{n * n}"}},"prog":"P","ok":true,"v":{n}.5}}' for n in (1, 2, 3))
    )
    assert found.keys["fields"]["unit"] == "dut.sn"


def test_a_list_that_is_none_of_steps_is_told() -> None:
    line = '{{"sn":"U{0}","prog":"P","ok":true,"log":[1,2],"v":{0}.5}}'
    found = proposed(*(line.format(n) for n in (1, 2, 3)))
    assert any("the list 'log' was left out" in one for one in found.doubts)


def test_a_gauge_with_its_channel() -> None:
    found = proposed("01A+0000.123", "01A-0000.087", "01A+0001.500", "01A+0001.499", "911", "01A+0000.001")
    assert found.keys["pattern"].startswith("01A(?P<value>[+-]")
    assert found.keys["handshake"] == "none"
    assert any("1 of 6 frames are not read" in one for one in found.doubts)


def test_a_scale_that_is_asked_gets_a_load() -> None:
    found = proposed("S S      -0.02 g", "S S      50.00 g", "S S      49.10 g", asked=b"SI\r\n")
    assert found.keys["load"] == {"step": "value", "above": 10.0, "below": 5.0, "steady": 0.0}
    assert any("load is a guess" in one for one in found.doubts)


def test_a_device_at_rest_is_not_answered() -> None:
    found = proposed("ST,GS,+  1.234kg", "ST,GS,+  1.234kg", "ST,GS,+  1.234kg")
    assert found.keys["handshake"] == "none"


def toledo(weight: int, status: int = 0x30) -> bytes:
    frame = b"\x02," + bytes([status, 0x20]) + b"%06d000000\r" % weight
    return frame + bytes([-sum(frame) & 0x7F])


def test_stx_cr_and_a_sum_of_seven_bits() -> None:
    found = guessed(said(*(toledo(weight) for weight in range(410, 990, 37)), every_s=0.14))
    assert found.keys == {"begin": "\x02", "end": "\r"}
    assert found.checksum == {"kind": "sum7-complement", "covers": ["begin", "text", "end"]}
    assert propose(found) is None
    assert outline(found).keys["format"] == "pattern"


def test_a_pause_that_ends_frames_is_well_below_the_pause_between_them() -> None:
    found = guessed(said(*LABELS, every_s=0.15))
    assert found.keys == {"end": "idle", "idle": "50ms"}
    assert "the shortest pause heard was 150 ms" in found.doubts[0]


def test_a_sum_at_the_tail_is_found() -> None:
    def line(leak: int) -> bytes:
        text = b"#01,00,2,%+08.3f,:" % leak
        return text + b"%02X\r" % (-sum(text) & 0xFF)

    found = outline(guessed(said(*map(line, range(-50, 50, 7)))))
    assert found.keys["checksum"] == {
        "kind": "sum8-complement", "written": "hex", "at": "tail", "mark": ":", "covers": ["text", "mark"],
    }  # fmt: skip


def test_a_report_that_nothing_reads_keeps_its_framing() -> None:
    checksum = Checksum(kind="crc16-modbus", order="little")
    texts = [f"REPORT D{n:07} IO\r\nTEMP -1{n},50 °C\r\n".encode("latin-1") for n in range(5)]
    frames = [
        b"\x02" + one + b"\x03" + written(checksum, Framed(b"\x02", one, b"\x03", b"")) for one in texts
    ]
    found = guessed(said(*frames))
    assert propose(found) is None
    made = outline(found)
    assert made.keys == {
        "format": "pattern", "holds": "lines", "encoding": "latin-1", "begin": "\x02", "end": "\x03",
        "checksum": {"kind": "crc16-modbus", "order": "little"}, "handshake": "none",
    }  # fmt: skip
    assert made.doubts[0].startswith("NOT FINISHED")
    assert made.notes == ("line 1: 'REPORT D0000000 IO'", "line 2: 'TEMP -10,50 \\xb0C'")
