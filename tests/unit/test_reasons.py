"""`[reasons]`, `badge_ends` and the line's time of day, as the file says them."""

from pathlib import Path

import pytest

from edge.config import load
from edge.config.hours import Hours
from edge.errors import ConfigError
from edge.production.line import utc_hour

STATION = '[[station]]\nname = "press"\nideal_cycle = "1s"\n'


def line(tmp_path: Path, text: str, head: str = "") -> Path:
    file = tmp_path / "line.toml"
    file.write_text(f'[line]\nname = "line-1"\n{head}\n{text}\n{STATION}', encoding="utf-8")
    return file


def test_what_is_written_reaches_the_core(tmp_path: Path) -> None:
    text = '[reasons.scrap]\nBURR = "burr at the edge"\n"A-1.2" = "edge"\n'
    found = load(line(tmp_path, text, 'badge_ends = "10h"\ntimezone = "Europe/Berlin"')).line
    assert found.reasons == {"scrap": {"BURR": "burr at the edge", "A-1.2": "edge"}}
    assert found.badge_ends_ms == 36_000_000
    assert found.hour(1_777_874_400_000) == "08:00"


def test_nothing_written_takes_any_code(tmp_path: Path) -> None:
    found = load(line(tmp_path, "")).line
    assert found.reasons == {}
    assert found.badge_ends_ms is None


@pytest.mark.parametrize(
    ("text", "head", "words"),
    [
        ('[reasons.scrap]\nburr = "x"\n', "", "reasons.scrap.burr: has a character that is not allowed"),
        ('[reasons.scrap]\nBURR = ""\n', "", "reasons.scrap.BURR"),
        ('[reasons.scrap]\nBURR = "a\\u0007"\n', "", "cannot be printed"),
        ("[reasons.scrap]\n", "", "reasons.scrap"),
        ('[reasons.downtimes]\nJAM = "x"\n', "", 'did you mean "downtime"'),
        ("reasons = 3\n", "", "reasons: must be a table"),
        ("", 'badge_ends = "10s"', "line.badge_ends: must be at least"),
        ("", "badge_ends = 10", "line.badge_ends: write a duration"),
    ],
)
def test_faults_are_told(tmp_path: Path, text: str, head: str, words: str) -> None:
    file = tmp_path / "line.toml"
    top, rest = (text, "") if text.startswith("reasons =") else ("", text)
    file.write_text(f'{top}[line]\nname = "line-1"\n{head}\n{rest}\n{STATION}', encoding="utf-8")
    with pytest.raises(ConfigError) as told:
        load(file)
    assert words in str(told.value)


def test_the_hour_is_the_lines_own_on_both_sides_of_a_change_of_clocks() -> None:
    hours = Hours("Europe/London")
    assert [hours(at_ms) for at_ms in (1_774_745_940_000, 1_774_746_000_000)] == ["00:59", "02:00"]
    assert Hours("UTC")(0) == utc_hour(0) == "00:00"
    assert hours(1 << 62) == utc_hour(1 << 62)
    assert hours(-(1 << 62)) == utc_hour(-(1 << 62))
