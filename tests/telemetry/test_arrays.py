"""Arrays of a device become columns of telemetry; and how wide a counter of digits is."""

from pathlib import Path

from edge.config.telemetry import MOST_SIGNALS
from tests.telemetry.test_config import OVEN, faults, loaded

ZONES = 'zones = { input = 10, as = "u16", scale = 0.1, count = 3, unit_of_measure = "degC" }\n'


def test_an_array_is_a_column_for_each_of_its_values(tmp_path: Path) -> None:
    config = loaded(tmp_path, OVEN, ZONES)
    (table,) = config.telemetry
    assert list(table.signals) == ["zone_1", "zone_2", "zones_0", "zones_1", "zones_2"]
    last = table.signals["zones_2"]
    assert (last.name, last.deadband, last.unit_of_measure) == ("zones_2", 0.5, "degC")
    read = {one.name: one.address for one in config.sources["bus-1"].signals if one.table}
    assert read["telemetry/oven/zones_2"].identity() == "unit 4 input 12 u16 scale 1/10"
    assert len({read[f"telemetry/oven/zones_{at}"].together for at in range(3)}) == 1


def test_what_a_whole_table_shares_can_be_read_together(tmp_path: Path) -> None:
    config = loaded(tmp_path, OVEN.replace(", unit = 5", ""), 'together = "oven"\n')
    named = [one.address.together for one in config.sources["bus-1"].signals if one.table]
    assert named == ["oven", "oven"]


def test_faults_of_an_array_are_told_where_it_stands(tmp_path: Path) -> None:
    clash = 'zones_1 = { input = 40, as = "u16" }\n'
    found = faults(tmp_path, OVEN, ZONES, clash, ZONES.replace("zones", "x" * 63))
    assert "a value of the array zones" in found["telemetry.oven.zones_1"]
    assert "too long for an array" in found[f"telemetry.oven.{'x' * 63}"]
    assert len(found) == 2
    wide = faults(tmp_path, OVEN, ZONES.replace("count = 3", "count = 126"))
    assert "one request reads 125 at the most" in wide["telemetry.oven.zones"]


def test_the_values_of_arrays_count_as_signals(tmp_path: Path) -> None:
    many = "".join(
        f'a{at} = {{ unit = {at // 20 + 1}, input = {at % 20 * 125}, as = "u16", count = 125 }}\n'
        for at in range(41)
    )
    found = faults(tmp_path, f'[telemetry.much]\nsource = "bus-1"\nevery = "60s"\n{many}')
    assert f"5,125 signals, {MOST_SIGNALS:,} at the most" in found["telemetry.much"]


def station(**keys: str) -> str:
    written = ", ".join(f"{key} = {value}" for key, value in keys.items())
    return f'[[station]]\nname = "press"\nideal_cycle = "2s"\ntotal = {{ source = "bus-1", {written} }}\n'


def test_a_counter_of_digits_rolls_over_at_a_power_of_ten(tmp_path: Path) -> None:
    config = loaded(tmp_path, station(holding="7", **{"as": '"bcd16"'}))
    (counter,) = config.line.stations[1].counters
    assert (counter.modulus, counter.key) == (10_000, "counter/bus-1|unit 1 holding 7 bcd16")
    found = faults(tmp_path, station(holding="7", **{"as": '"bcd16"', "counter": '"u16"'}))
    assert "digits roll over at 10,000 leave counter out" in found["station[press].total.counter"]


def test_a_counter_can_roll_over_earlier_than_its_registers(tmp_path: Path) -> None:
    wide = {"holding": "7", "words": '"big"', "counter": "1000000"}
    for kind in ('"u32"', '"i32"', '"bcd32"', '"f32"'):
        config = loaded(tmp_path, station(**wide, **{"as": kind}))
        (counter,) = config.line.stations[1].counters
        assert counter.modulus == 10**6
    known = {"holding": "7", "words": '"big"', "as": '"u32"'}
    both = (known, known | wide)
    keys = [loaded(tmp_path, station(**one)).line.stations[1].counters[0].key for one in both]
    assert keys[0] == keys[1], "the history goes on when the key is corrected"
    one = station(holding="7", counter="65536", **{"as": '"u16"'})
    assert loaded(tmp_path, one).line.stations[1].counters[0].modulus == 65536


def test_a_counter_that_cannot_roll_over_so_is_refused(tmp_path: Path) -> None:
    where = "station[press].total.counter"
    narrow = faults(tmp_path, station(holding="7", counter="1000000", **{"as": '"u16"'}))
    assert "1,000,000 is more than it can read: it rolls over at 65,536 at last" in narrow[where]
    for wrong in ("9", "true", '"1000000"', "1e6", f"{(1 << 64) + 1}"):
        found = faults(tmp_path, station(holding="7", counter=wrong, **{"as": '"u16"'}))
        assert "or how many readings it has, such as 1000000" in found[where]


def test_what_a_counter_cannot_be_is_said(tmp_path: Path) -> None:
    scaled = faults(tmp_path, station(holding="7", scale="0.1", **{"as": '"u16"'}))
    assert "parts_per_count says what a count stands for" in scaled["station[press].total"]
    text = faults(tmp_path, station(holding="7", length="4", counter='"u16"', **{"as": '"text"'}))
    assert "a text counts nothing" in text["station[press].total"]
    array = faults(tmp_path, station(holding="7", count="4", **{"as": '"u16"'}))
    assert "count makes columns of telemetry" in array["station[press].total"]


def test_a_counter_keeps_its_history_when_its_address_is_written_otherwise(tmp_path: Path) -> None:
    first = loaded(tmp_path, station(holding="100", words='"little"', **{"as": '"u32"', "unit": "4"}))
    other = loaded(tmp_path, station(address="40101", order='"CDAB"', **{"as": '"u32"', "unit": "4"}))
    keys = [config.line.stations[1].counters[0].key for config in (first, other)]
    assert keys == ["counter/bus-1|unit 4 holding 100 u32 words little"] * 2
