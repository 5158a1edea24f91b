"""What a line's file says of how long records are kept, and in how much room."""

from datetime import timedelta
from pathlib import Path

import pytest

from edge.config import load
from edge.errors import ConfigError
from edge.journal.retention import Keep

STATION = '[[station]]\nname = "press"\nideal_cycle = "1s"\n'


def keep(folder: Path, more: str = "") -> Keep:
    file = folder / "line.toml"
    file.write_text(f'[line]\nname = "line-1"\n{more}\n{STATION}')
    return load(file).keep


def test_without_a_word_it_is_two_years_and_four_gigabytes(tmp_path: Path) -> None:
    assert keep(tmp_path) == Keep(timedelta(days=730.5), timedelta(days=30), 4 * 10**9)


def test_it_is_as_the_file_says(tmp_path: Path) -> None:
    said = 'keep = "10y"\ntelemetry_keep = "12h"\njournal = "64MB"'
    assert keep(tmp_path, said) == Keep(timedelta(days=3652.5), timedelta(hours=12), 64 * 10**6)


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ('journal = "63MB"', 'line.journal: must be at least "64MB"'),
        ('keep = "two years"', "line.keep: write a duration with its unit"),
        ("telemetry_keep = 30", "line.telemetry_keep: write a duration with its unit"),
    ],
)
def test_what_cannot_be_is_a_fault(tmp_path: Path, said: str, fault: str) -> None:
    with pytest.raises(ConfigError) as error:
        keep(tmp_path, said)
    assert fault in str(error.value)
