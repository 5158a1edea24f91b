"""Open Protocol: the messages alone, and the settings."""

import socket
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters._open_protocol import (
    LAYOUTS,
    Broken,
    Message,
    Reading,
    accepted,
    command_error,
    decode,
    encode,
    tightening,
)
from adapters._open_protocol_link import connect_failure
from adapters.open_protocol import Settings
from edge.contract import (
    SourceLost,
    TestResult,
)
from simulators.torque import Joint, result
from tests.adapters.open_protocol_support import JOINT, settings


def read(raw: bytes) -> Message:
    return decode(raw.removesuffix(b"\0"))


def taken(raw: bytes, **reading: object) -> TestResult:
    return tightening(read(raw), Reading(**reading)).result  # type: ignore[arg-type]


# --- messages -------------------------------------------------------------------------------

texts = st.text(st.characters(max_codepoint=255, exclude_characters="\0"), max_size=300)


@given(st.integers(0, 9999), st.integers(1, 999), texts)
def test_a_message_that_is_written_is_read(mid: int, revision: int, data: str) -> None:
    assert read(encode(Message(mid, revision, data))) == Message(mid, revision, data)


def test_a_header_is_that_of_the_specification() -> None:
    assert encode(Message(1)) == b"00200001001         \0"
    assert encode(Message(60, 3)) == b"00200060003         \0"
    assert read(b"00240005            0060\0") == Message(5, 1, "0060")
    assert read(b"00570002001         010001020103torque-1                 \0").mid == 2


def said_of(raw: bytes) -> str:
    """Why bytes are no result; empty where they are one."""
    try:
        found = tightening(decode(raw), Reading()).result
    except Broken as error:
        return str(error)
    assert found.number is not None
    assert {step.name for step in found.steps} == {"torque", "angle"}
    return ""


@given(st.binary(max_size=400))
def test_any_bytes_are_a_message_or_broken(raw: bytes) -> None:
    said = said_of(raw)
    assert "\0" not in said


@given(st.sampled_from([1, 2, 3, 4]), st.integers(0, 600), st.integers(0, 255))
def test_one_wrong_byte_is_a_result_or_broken(revision: int, at: int, byte: int) -> None:
    raw = bytearray(result(JOINT, revision).removesuffix(b"\0"))
    raw[at % len(raw)] = byte
    said_of(bytes(raw))


@given(st.sampled_from([1, 2, 3, 4]), st.integers(1, 600))
def test_a_result_that_was_cut_is_broken(revision: int, lost: int) -> None:
    raw = result(JOINT, revision).removesuffix(b"\0")
    assert said_of(raw[: max(0, len(raw) - lost)])
    body = raw[20 : max(20, len(raw) - lost)]
    assert said_of(b"%04d" % (20 + len(body)) + raw[4:20] + body)  # and its length says nothing


@pytest.mark.parametrize("revision", LAYOUTS)
def test_each_revision_says_the_same(revision: int) -> None:
    found = tightening(read(result(JOINT, revision)), Reading())
    torque, angle = found.result.steps
    assert (found.result.unit, found.result.program, found.result.passed) == ("U-0001", "7/2", True)
    assert found.result.number == "4711"
    assert (torque.value, torque.low, torque.high, torque.unit_of_measure) == (20.04, 18.0, 22.0, "Nm")
    assert (angle.value, angle.low, angle.high, angle.unit_of_measure) == (61.0, 30.0, 90.0, "deg")
    assert (torque.passed, angle.passed) == (True, True)
    assert found.at == datetime(2026, 5, 4, 6, 12, 9)


@pytest.mark.parametrize("revision", LAYOUTS)
def test_a_layout_is_numbered_without_a_gap_and_has_the_length_of_the_specification(revision: int) -> None:
    sizes = {1: 231, 2: 385, 3: 419, 4: 500}
    assert len(result(JOINT, revision)) - 1 == sizes[revision]
    assert 20 + sum(2 + size for _, size in LAYOUTS[revision]) == sizes[revision]


def test_a_failed_joint_is_the_same_program_when_it_is_made_again() -> None:
    failed = Joint(4712, "U-0001", 4, 1, 17.0, 61, JOINT.at)
    assert (taken(result(failed, 2)).program, taken(result(failed, 2)).passed) == ("7/2", False)
    assert taken(result(failed, 2)).steps[0].passed is False
    assert taken(result(failed, 2), counts="all").program == "7/1"
    assert taken(result(failed, 2), counts="none").program == "7"
    assert taken(result(Joint(1, "U", 1, 0, 20.0, 60, JOINT.at), 1)).program == "7"


def test_loosening_is_a_measurement_and_no_test() -> None:
    raw = result(JOINT, 3).replace(b"4901", b"4902")
    found = taken(raw)
    assert (found.program, found.passed) == ("7/2 loosening", None)
    assert [(step.low, step.high, step.passed) for step in found.steps] == [(None, None, None)] * 2


def test_limits_that_a_parameter_set_has_not() -> None:
    raw = read(result(JOINT, 1)).data.replace("12001800", "12000000").replace("13002200", "13999999")
    torque, _ = tightening(Message(61, 1, raw), Reading()).result.steps
    assert (torque.low, torque.high) == (None, None)
    raw = read(result(JOINT, 1)).data.replace("13002200", "13000000")
    torque, _ = tightening(Message(61, 1, raw), Reading()).result.steps
    assert (torque.low, torque.high) == (18.0, None)


def test_the_units_of_torque() -> None:
    assert taken(result(JOINT, 1), torque_unit="Ncm").steps[0].unit_of_measure == "Ncm"
    assert taken(result(JOINT, 3).replace(b"481", b"482")).steps[0].unit_of_measure == "ft.lbf"


def test_which_identifier_is_the_unit() -> None:
    assert taken(result(JOINT, 1), unit="scanned").unit == ""
    raw = result(JOINT, 4).replace(b"51" + b" " * 25, b"51" + b"SN-77".ljust(25))
    assert taken(raw, unit="part-3").unit == "SN-77"
    with pytest.raises(Broken, match="has no part-2; it comes with revision 4"):
        taken(result(JOINT, 3), unit="part-2")


def test_a_later_revision_is_read_as_far_as_it_is_known() -> None:
    data = read(result(JOINT, 4)).data + "53" + "E017"
    assert tightening(Message(61, 5, data), Reading()).result.number == "4711"
    with pytest.raises(Broken, match="6 bytes more than revision 4 has"):
        tightening(Message(61, 4, data), Reading())


def test_errors_and_acceptances() -> None:
    assert str(command_error(Message(4, 1, "000196"))) == "error 96, a client is connected already"
    assert command_error(Message(4, 1, "006097")).mid == 60
    assert "see the controller" in str(command_error(Message(4, 1, "006042")))
    assert accepted(Message(5, 1, "0060")) == 60
    for wrong in (Message(4, 1, "9"), Message(4, 1, "00609x")):
        with pytest.raises(Broken):
            command_error(wrong)
    with pytest.raises(Broken):
        accepted(Message(5))


# --- settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("connect", "owned"),
    [
        ("10.0.0.7", "open-protocol 10.0.0.7:4545"), ("10.0.0.7:9101", "open-protocol 10.0.0.7:9101"),
        ("torque.plant", "open-protocol torque.plant:4545"), ("[fd00::7]:9101", "open-protocol fd00::7:9101"),
        ("[fd00::7]", "open-protocol fd00::7:4545"),
    ],
)  # fmt: skip
def test_addresses(connect: str, owned: str) -> None:
    assert Settings.model_validate({"type": "open-protocol", "connect": connect}).owns() == [owned]


@pytest.mark.parametrize(
    "table",
    [
        {"connect": ""}, {"connect": "host:0"}, {"connect": "host:x"}, {"connect": "fd00::7"},
        {"connect": "a b"},
        {"keep_alive": "20s"}, {"revision": 8}, {"unit": "part-2", "revision": 3}, {"unit": "serial"},
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"type": "open-protocol", "connect": "10.0.0.7", **table})


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "x"), "no name that is known"),
        (ConnectionRefusedError(), "refuses the connection"), (TimeoutError(), "does not answer"),
        (OSError(113, "No route to host"), "No route to host"),
    ],
)  # fmt: skip
def test_every_error_of_connecting_is_a_sentence(error: OSError, words: str) -> None:
    said = connect_failure("torque-1", settings().peer(), error)
    assert isinstance(said, SourceLost)
    assert words in said.reason
