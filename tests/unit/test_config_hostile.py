"""Whatever stands in a line's TOML: never a traceback."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import load
from edge.errors import ConfigError
from tests.unit import config_support
from tests.unit.config_support import VALID

file = config_support.file

PIECES = [
    '"',
    "'",
    "[",
    "]",
    "{",
    "}",
    "=",
    "\n",
    "#",
    "0",
    "-1",
    "1e999",
    "nan",
    "inf",
    "true",
    "[[station]]",
    "[source.x]",
    '"1s"',
    "9" * 30,
    "1979-05-27",
    "07:32:00",
    "a.b",
    '""',
    "[]",
    "{}",
    "\\u0000",
    "\ud7ff",
    "\x00",
    "type",
    "every",
]


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(PIECES) | st.text(max_size=5)),
        min_size=1,
        max_size=6,
    )
)
def test_no_change_of_the_text_makes_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[tuple[float, int, str]]
) -> None:
    text = VALID
    for place, length, new in cuts:
        at = int(place * len(text))
        text = text[:at] + new + text[at + length :]
    load_or_fault(tmp_path_factory.getbasetemp() / "mutated.toml", text)


VALUES = [
    "0",
    "-1",
    "1.5",
    "nan",
    "inf",
    "true",
    '""',
    '"x"',
    '"\\u0000"',
    "[]",
    "[1]",
    '["x"]',
    "{}",
    "{ a = 1 }",
    "1979-05-27",
    "07:32:00",
    "9" * 25,
    '"' + "9" * 400 + 's"',
    '"99999999999y"',
    "[[]]",
    '{ source = "plc" }',
    '"\\ud7ff"',
    '"🏭"',
    '"-"',
    '"/"',
]


@given(st.integers(0, VALID.count(" = ") - 1), st.sampled_from(VALUES))
def test_no_value_in_the_place_of_another_makes_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, which: int, value: str
) -> None:
    lines = [place for place, text in enumerate(VALID.splitlines()) if " = " in text]
    text = VALID.splitlines()
    place = lines[which % len(lines)]
    text[place] = f"{text[place].split(' = ')[0]} = {value}"
    load_or_fault(tmp_path_factory.getbasetemp() / "replaced.toml", "\n".join(text))


def load_or_fault(file: Path, text: str) -> None:
    """Either it is valid, or every fault has a sentence; anything else that is raised fails the test."""
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load(file)
    except ConfigError as error:
        told = [fault for fault in error.faults if fault.what]
    else:
        return
    assert told
