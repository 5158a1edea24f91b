"""Who says what when: frames to results and answers, lines to results, weights to loads, when to ask."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters._frames import BEGUN_AGAIN, Frame, Framer
from adapters._rig_answers import Answered, Asker
from adapters._rig_talk import Due, Gather, Gatherer, Load, Loads, Talk, Turn
from adapters.testrig import Settings
from edge.contract import Step, TestResult

CSV: dict[str, Any] = {
    "format": "csv", "separator": ";", "fields": {"unit": 1, "program": 2, "result": 3}, "columns": 3,
}  # fmt: skip


def settings(**keys: Any) -> Settings:
    return Settings.model_validate({"type": "testrig", "port": "/dev/serial/by-id/rig", **keys})


def said(turns: list[Turn]) -> list[tuple[str, Due]]:
    """Units of results, or why there are none, and what is due."""
    return [
        (",".join(one.reason or (one.result.unit if one.result else "") for one in turn.results), turn.due)
        for turn in turns
    ]


# --- a frame ------------------------------------------------------------------------------------


def test_stx_etx_and_the_lrc_behind_it() -> None:
    talk = Talk(settings(**CSV, begin="\x02", end="\x03", checksum={"kind": "xor"}))
    good = Frame(b"U1;P;OK", trailer=b"\x33", end=b"\x03")
    assert said(talk.take(good, 0)) == [("U1", Due.VERDICT)]
    [(reason, due)] = said(talk.take(Frame(b"U1;P;OK", trailer=b"\x34", end=b"\x03"), 0))
    assert (reason, due) == ("the checksum is 33, the frame says 34", Due.REFUSE)


def test_noise_is_told_and_not_answered() -> None:
    talk = Talk(settings(**CSV, begin="\x02", end="\x03"))
    assert said(talk.take(Frame(b"zzz", "bytes outside of a frame", kind="noise"), 0)) == [
        ("bytes outside of a frame", Due.NOTHING)
    ]


def test_a_frame_that_another_one_cut_is_told_and_not_answered() -> None:
    """The rig waits for the answer to the other one: it would take a NAK for that."""
    talk = Talk(settings(**CSV, begin="\x02", end="\x03"))
    assert said(talk.take(Frame(b"U1;P", BEGUN_AGAIN), 0)) == [(BEGUN_AGAIN, Due.NOTHING)]
    assert said(talk.take(Frame(b"U1;P", "cut: no end came"), 0)) == [("cut: no end came", Due.REFUSE)]


def test_an_enquiry_is_answered_and_other_single_bytes_are_not() -> None:
    talk = Talk(settings(**CSV, handshake="enq", end="\x03"))
    assert said(talk.take(Frame(b"\x05", kind="single"), 0)) == [("", Due.CONFIRM)]
    for other in (b"\x04", b"\x06", b"\x15"):
        assert said(talk.take(Frame(other, kind="single"), 0)) == [("", Due.NOTHING)]


def test_what_is_skipped_is_confirmed_and_hands_nothing_over() -> None:
    talk = Talk(settings(**CSV, skip=["READY.*"]))
    assert talk.take(Frame(b"READY 12:30"), 0) == [Turn((), Due.CONFIRM, b"READY 12:30")]


def test_results_of_one_frame_are_answered_together() -> None:
    talk = Talk(settings(**{**CSV, "holds": "results", "end": "\x03"}))
    assert said(talk.take(Frame(b"U1;P;OK\nU2;P;NG\n"), 0)) == [("U1,U2", Due.VERDICT)]


# --- lines --------------------------------------------------------------------------------------

REPORT = [b"BEGIN", b"U1;P;OK", b"END"]


def gathered(gatherer: Gatherer, *lines: bytes | Frame, at_s: float = 0.0) -> list[Frame]:
    frames = [one if isinstance(one, Frame) else Frame(one) for one in lines]
    return [found for one in frames for found in gatherer.take(one, at_s)]


def by_words(**keys: Any) -> Gatherer:
    return Gatherer(Gather.model_validate({"first": "BEGIN", "last": "END.*", **keys}), "utf-8")


def test_lines_from_a_first_to_a_last_are_one_result() -> None:
    assert gathered(by_words(), *REPORT, *REPORT) == [Frame(b"BEGIN\nU1;P;OK\nEND")] * 2


def test_so_many_lines_are_one_result() -> None:
    gatherer = Gatherer(Gather(count=2), "utf-8")
    assert gathered(gatherer, b"1", b"2", b"3", b"4", b"5") == [Frame(b"1\n2"), Frame(b"3\n4")]


def test_a_result_that_begins_anew_was_cut() -> None:
    [cut, whole] = gathered(by_words(), b"BEGIN", b"x", *REPORT)
    assert cut == Frame(b"BEGIN\nx", "cut: another result began before its last line")
    assert whole == Frame(b"BEGIN\nU1;P;OK\nEND")


def test_a_line_outside_of_a_result_is_noise() -> None:
    [stray, whole] = gathered(by_words(), b"U0;P;OK", *REPORT)
    assert (stray.kind, stray.raw) == ("noise", b"U0;P;OK")
    assert not whole.broken


def test_one_broken_line_breaks_its_result_and_no_other() -> None:
    [broken, whole] = gathered(by_words(), b"BEGIN", Frame(b"U1;", "a byte was damaged"), b"END", *REPORT)
    assert broken.broken == "a byte was damaged"
    assert not whole.broken


def test_a_result_whose_rest_does_not_come_is_given_up() -> None:
    gatherer = by_words(within="2s")
    assert gathered(gatherer, b"BEGIN", at_s=10.0) == []
    assert gatherer.due_s == 12.0
    assert gatherer.expire(11.9) == []
    assert gatherer.expire(12.0) == [Frame(b"BEGIN", "cut: after 1 line nothing came for 2 s")]
    assert gatherer.expire(99.0) == []


def test_a_report_without_an_end_is_cut() -> None:
    found = gathered(by_words(), b"BEGIN", *[b"x" * 100] * 1_200)
    assert found[0].broken == "too many lines without a last one; see `gather`"
    assert len(found[0].raw) < 70_000
    assert {one.kind for one in found[1:]} == {"noise"}


def test_a_report_of_few_and_long_lines_is_cut_by_its_bytes() -> None:
    found = gathered(by_words(), b"BEGIN", *[b"x" * 30_000] * 3)
    assert [(one.broken, len(one.raw)) for one in found] == [
        ("too many lines without a last one; see `gather`", 90_008)
    ]


_lines = st.lists(st.sampled_from([*REPORT, b"", b"x", b"\xff", b"BEGINEND"]), max_size=60)


@given(_lines, st.sampled_from([Gather(count=3), Gather(first="BEGIN", last="END"), Gather(last="END")]))
def test_no_line_is_in_two_results(lines: list[bytes], how: Gather) -> None:
    gatherer = Gatherer(how, "utf-8")
    found = gathered(gatherer, *lines) + gatherer.expire(1e9)
    assert b"\n".join(one.raw for one in found) == b"\n".join(lines)


# --- loads --------------------------------------------------------------------------------------


def weights(*values: float, steady: float = 0.5) -> list[float]:
    """Those that count."""
    loads = Loads(Load(step="w", above=5.0, below=2.0, steady=steady))
    return [value for value in values if loads.take(TestResult("", "W", None, steps=(Step("w", value),)))]


@pytest.mark.parametrize(
    ("read", "counted"),
    [
        ((0, 0, 0), ()),
        ((0, 60, 101, 101.2, 101.2, 101.2, 0), (101.2,)),
        ((0, 100, 100, 0, 0, 100, 100, 100, 1, 90, 90), (100, 100, 90)),
        ((100, 100, 100), ()),
        ((100, 100, 1, 100, 100), (100,)),
        ((0, 100, 3, 100, 100), (100,)),
        ((0, 100, 100, 3, 100, 100), (100,)),
        ((0, 4, 4, 4), ()),
        ((0, 10, 20, 30, 40), ()),
        ((0, -50, -50), ()),
    ],
)
def test_each_load_counts_once_when_it_has_come_to_rest(
    read: tuple[float, ...], counted: tuple[float, ...]
) -> None:
    assert weights(*read) == list(counted)


@given(st.lists(st.sampled_from([0.0, 1.0, 3.0, 10.0, 10.2, 50.0]), max_size=60))
def test_no_load_counts_twice(read: list[float]) -> None:
    """Between two that count there is always a reading of an empty scale."""
    loads = Loads(Load(step="w", above=5.0, below=2.0))
    emptied = False
    for value in read:
        counted = loads.take(TestResult("", "W", None, steps=(Step("w", value),)))
        assert not counted or (emptied and value >= 5)
        emptied = (emptied and not counted) or value <= 2


def test_an_answer_without_the_weight_says_nothing_of_the_load() -> None:
    loads = Loads(Load(step="w", above=5.0, below=2.0))
    assert not loads.take(TestResult("", "W", None))
    assert not loads.take(TestResult("", "W", None, steps=(Step("w", text="OL"),)))


# --- asking -------------------------------------------------------------------------------------


def test_it_asks_steadily_while_it_is_answered() -> None:
    asker = Asker(0.5, 3.0, 100.0)
    for now_s in (100.0, 100.5, 101.0):
        assert asker.is_due(now_s)
        asker.asked(now_s)
        assert not asker.is_due(now_s + 0.5), "one question at a time"
        asker.heard()
        assert not asker.is_due(now_s + 0.4)
    assert not asker.in_vain


def test_it_gives_up_what_never_answers() -> None:
    asker, now_s = Asker(0.5, 3.0, 0.0), 0.0
    while not asker.in_vain:
        assert asker.is_due(now_s)
        asker.asked(now_s)
        now_s = asker.due_s
    assert now_s == 9.0
    asker.heard()
    assert not asker.in_vain


# --- copies that cross an ACK ---------------------------------------------------------------------


def test_a_copy_crossed_only_while_it_can_have_been_on_its_way() -> None:
    frame, other = Frame(b"x" * 1000), Frame(b"y")
    answered = Answered(11_000)
    assert not answered.crossed(frame, 0.0)
    answered.confirmed(frame, 10.0)
    assert answered.crossed(frame, 11.1), "a second for its thousand bytes, and a margin"
    assert not answered.crossed(frame, 11.3)
    assert not answered.crossed(other, 10.0)
    answered.confirmed(None, 10.0)
    assert not answered.crossed(frame, 10.0)


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"handshake": "none", "confirm": "\x06"}, "confirm and refuse are never written"),
        ({"handshake": "enq", "confirm": ""}, "needs a confirm"),
        ({"ask": "S\r\n"}, 'with ask write handshake = "none"'),
        ({"every": "1s"}, "write ask too"),
        ({"checksum": {"kind": "xor"}, "trailer": 2}, "but the checksum takes 1 bytes"),
        ({"checksum": {"kind": "xor"}, "end": "idle"}, "needs an end"),
        ({"end": ";"}, "cannot be both `separator` and `end`"),
        ({"gather": {"count": 2}}, 'write holds = "lines"'),
        ({"gather": {"within": "1s"}, "holds": "lines"}, "give either count or last"),
        ({"load": {"step": "w", "above": 5.0, "below": 2.0}}, "no step has the name 'w'"),
        ({"load": {"step": "w", "above": 1.0, "below": 2.0}}, "below must be less than above"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(**keys)
    assert said in str(caught.value)


def test_what_the_handshake_and_the_checksum_add_to_the_framing() -> None:
    framing = settings(
        **CSV, handshake="enq", begin="\x02", end="\x03", checksum={"kind": "crc16-modbus", "written": "hex"}
    ).framing()
    assert (framing.begin, framing.trailer, framing.singles) == (b"\x02", 4, b"\x05\x04")
    plain = settings(**CSV).framing()
    assert (plain.trailer, plain.singles) == (0, b"")


def test_what_waited_is_taken_only_where_nobody_would_send_it_again() -> None:
    assert settings().waited() == "refuse"
    assert settings(handshake="none").waited() == "take"
    scanned = {"unit": "scanned", "handshake": "none"}
    assert settings(**scanned).waited() == "refuse", "it would be booked for the unit that is there now"


# --- as makers' manuals have it -------------------------------------------------------------------


def heard(of: Settings, data: bytes) -> list[TestResult]:
    """What a stream of bytes comes to, through the framing, the checksum and the format."""
    talk, framer = Talk(of), Framer(of.framing())
    turns = [turn for frame in framer.feed(data, 0.0) for turn in talk.take(frame, 0.0)]
    assert [one.reason for turn in turns for one in turn.results if one.reason] == []
    return [one.result for turn in turns for one in turn.results if one.result]


def test_a_leak_tester_of_cosmo() -> None:
    """LS-R700, T format: `#`, columns apart by blanks, `:`, two digits, CR; 2 is pass, the rest fail."""
    of = settings(
        begin="#", end="\r", format="csv", separator=" ", columns=4, unit="scanned", fields={"result": 3},
        constants={"program": "LEAK"}, step=[{"name": "leak", "at": 4, "unit_of_measure": "Pa"}],
        checksum={
            "kind": "sum8-complement", "written": "hex", "at": "tail", "mark": ":",
            "covers": ["begin", "text", "mark"],
        },
        **{"pass": ["2"], "fail": ["1", "4", "9", "C", "D"]},
    )  # fmt: skip
    body = b"#01 00 4 +000.512 :"
    [result] = heard(of, body + b"%02X\r" % (-sum(body) & 0xFF))
    assert result == TestResult("", "LEAK", False, steps=(Step("leak", 0.512, "Pa"),))


@pytest.mark.parametrize(
    ("pattern", "line", "weight"),
    [
        ("S S +(?P<w>-?[0-9.]+) (?P<u>[a-z]+)", b"S S     100.00 g", 100.0),
        ("S S +(?P<w>-?[0-9.]+) (?P<u>[a-z]+)", b"S S      -0.05 g", -0.05),
        ("S {4}(?P<w>[ -] *[0-9.]+) (?P<u>[a-z]+) *", b"S    -      8.5 g  ", -8.5),
        ("(?:ST|US),(?:GS|NT),(?P<w>[+-] *[0-9.]+) *(?P<u>[a-z]+)", b"ST,GS,+  0.1234kg", 123.4),
        ("[NG] +(?P<w>[+-] *[0-9.]+) (?P<u>[a-z]+) +", b"N     +   100.00 g  ", 100.0),
    ],
)
def test_a_weight_as_scales_write_it(pattern: str, line: bytes, weight: float) -> None:
    """MT-SICS (Mettler-Toledo), Radwag, A&D, Sartorius."""
    step = {
        "name": "weight", "at": "w", "unit_of_measure_at": "u", "unit_of_measure": "g",
        "units": {"g": 1.0, "kg": 1000.0},
    }  # fmt: skip
    of = settings(
        format="pattern", pattern=pattern, end="\r\n", unit="scanned", result="limits", handshake="none",
        constants={"program": "WEIGHT"}, step=[step],
    )  # fmt: skip
    [result] = heard(of, line + b"\r\n")
    assert result.steps == (Step("weight", weight, "g"),)


def test_a_hipot_testers_line_with_units_behind_the_numbers() -> None:
    step = {"unit_follows": True, "unit_of_measure": "V", "units": {"kV": 1000.0, "V": 1.0}}
    of = settings(
        format="csv", columns=5, unit="scanned", fields={"program": 2, "number": 1, "result": 3},
        step=[
            {"name": "voltage", "at": 4, **step},
            {"name": "current", "at": 5, "unit_follows": True, "high": 5.0, "out_of_range": ["BREAK"]},
        ],
    )  # fmt: skip
    good, bad = heard(of, b"01,ACW,PASS,1.24kV,0.003mA\r\n02,ACW,FAIL,500V,BREAK\r\n")
    assert good.steps == (Step("voltage", 1240.0, "V"), Step("current", 0.003, "mA", None, 5.0))
    assert bad.steps[1] == Step("current", None, None, None, 5.0, False, "BREAK")
