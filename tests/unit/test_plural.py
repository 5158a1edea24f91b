"""One of a thing is not said as many."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.cli import app
from edge.plural import counted
from tests.line.test_ledger_command import TOML

OVEN = '[telemetry.oven]\nsource = "plc"\nunit = 2\nzone = { holding = 4, as = "u16" }\n'


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 records"), (1, "1 record"), (2, "2 records"), (1_058, "1,058 records")]
)
def test_a_number_of_things_in_words(number: int, words: str) -> None:
    assert counted(number, "record") == words


def test_check_says_one_signal_of_one(tmp_path: Path) -> None:
    file = tmp_path / "line.toml"
    file.write_text(TOML + OVEN)
    done = CliRunner().invoke(app, ["check", str(file)])
    assert "  telemetry oven: 1 signal\n" in done.output
    assert "  source plc: modbus, 2 signals\n" in done.output
