"""What `lineside check` says of a rig: each fault once, by the key that the user wrote, in plain words."""

from pathlib import Path

import pytest

from edge.config.load import load
from edge.errors import ConfigError

HEAD = '[line]\nname = "lab"\npath = "a/b/c"\n'
RIG = '[source.r]\ntype = "testrig"\nconnect = "10.0.0.1:4001"\n'


def told(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "line.toml"
    file.write_text(HEAD + text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    found = [one for one in caught.value.faults if one.key.startswith("source.")]
    return [f"{one.key}: {one.what}" for one in found]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (RIG + 'checksum = { kind = "nope" }\n', ["source.r.checksum.kind: input should be 'xor'"]),
        (RIG + 'checksum = "lrc"\n', ["source.r.checksum: input should be 'auto'"]),
        (RIG + 'format = "pattern"\npattern = "(.*)(.*)(.*)(.*)"\n', ["source.r.pattern: could be tried"]),
        (RIG + '[[source.r.step]]\nname = "a"\nat = 0\n', ["source.r.step[a].at: input should"]),
        ('[source.f]\ntype = "result-files"\nfolder = "x"\n', ["source.f.folder: must be an absolute path"]),
        (RIG + 'unit = "scanned"\nfields = { unit = "a" }\nresult = "limits"\nrest = "ignored"\n'
         'columns = 3\n', ["source.r: fields.unit is never read", "source.r: columns is for csv and fixed"]),
    ],
)  # fmt: skip
def test_a_fault_is_told_once_by_its_key(tmp_path: Path, text: str, faults: list[str]) -> None:
    found = told(tmp_path, text)
    assert len(found) == len(faults), found
    for one, wanted in zip(sorted(found), sorted(faults), strict=True):
        assert one.startswith(wanted)


def test_a_duration_is_told_as_it_is_written(tmp_path: Path) -> None:
    text = '[source.o]\ntype = "open-protocol"\nconnect = "10.0.0.1"\nkeep_alive = "60s"\n'
    [one] = told(tmp_path, text)
    assert one.endswith("found 60s")


def test_a_rig_without_units_at_a_station_without_a_scanner_is_doubtful(tmp_path: Path) -> None:
    file = tmp_path / "line.toml"
    file.write_text(
        HEAD + RIG + 'unit = "scanned"\n[[station]]\nname = "s"\nideal_cycle = "30s"\nrig = "r"\n'
    )
    assert any("station.s: no scanner, and r sends no unit" in one for one in load(file).warnings)
