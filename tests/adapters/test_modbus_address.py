"""How a place in a Modbus device is written in a line's file, and what is said of what cannot be meant."""

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters._modbus.modicon import Spot, spot_of
from adapters._modbus.values import orders_of
from adapters.modbus import Address
from edge.config import load


def address(**keys: Any) -> Address:
    return Address.model_validate({key.rstrip("_"): value for key, value in keys.items()})


# --- one place, written in several ways -----------------------------------------------------------


def test_an_address_knows_its_width_and_its_name() -> None:
    wide = address(unit=3, holding=100, as_="u32", words="little")
    assert (wide.table, wide.start, wide.width, wide.counter_bits()) == ("holding", 100, 2, 32)
    assert wide.identity() == "unit 3 holding 100 u32 words little"
    assert address(coil=4).identity() == "unit 1 coil 4 bool"
    assert address(input=4, bit=3, bytes="little").identity() == "unit 1 input 4 bool bit 3 bytes little"
    bits = [address(holding=0, as_=kind).counter_bits() for kind in ("u16", "i16", "bool")]
    assert bits == [16, None, None]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"holding": 100, "as_": "u16"}, {"address": 40101, "as_": "u16"}),
        ({"holding": 100, "as_": "u16"}, {"address": "400101", "as_": "u16", "order": "AB"}),
        ({"input": 100, "as_": "u16", "bytes": "little"}, {"address": 30101, "as_": "u16", "order": "BA"}),
        ({"coil": 16}, {"address": "00017"}),
        ({"discrete": 0}, {"address": 10001, "as_": "bool"}),
        ({"holding": 100, "bit": 3}, {"address": "40101.3"}),
        ({"holding": 1, "as_": "u32", "words": "little"}, {"holding": 1, "as_": "u32", "order": "CDAB"}),
        (
            {"holding": 1, "as_": "u64", "words": "big", "bytes": "little"},
            {"holding": 1, "as_": "u64", "order": "BADCFEHG"},
        ),
        (
            {"holding": 1, "as_": "u32", "words": "big"},
            {"holding": 1, "as_": "u32", "words": "big", "together": "a", "priority": "low"},
        ),
    ],
)
def test_a_place_has_one_identity_however_it_is_written(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert address(**one).identity() == address(**other).identity()
    assert address(**one).form == address(**other).form


def test_what_is_another_place_or_decoding_has_another_identity() -> None:
    base: dict[str, Any] = {"holding": 1, "as_": "u64", "order": "ABCDEFGH"}
    changes: list[dict[str, Any]] = [
        {}, {"unit": 2}, {"holding": 2}, {"as_": "i64"}, {"scale": 0.1}, {"offset": 1}, {"count": 2},
        *({"order": order} for order in orders_of("u64")[1:]),
    ]  # fmt: skip
    found = [address(**base | change).identity() for change in changes]
    assert len(set(found)) == len(changes)
    assert (
        address(holding=1, as_="text", length=3).identity()
        != address(holding=1, as_="text", length=4).identity()
    )


@given(st.sampled_from("0134"), st.integers(1, 65536), st.none() | st.integers(0, 15))
def test_an_address_of_a_manual_is_one_less_on_the_wire(digit: str, number: int, bit: int | None) -> None:
    table = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}[digit]
    dot = "" if bit is None or digit in "01" else f".{bit}"
    spot = Spot(table, number - 1, bit if dot else None)  # type: ignore[arg-type]
    assert spot_of(f"{digit}{number:05}{dot}") == spot
    if number <= 9999:
        assert spot_of(f"{digit}{number:04}{dot}") == spot
    if digit != "0" and not dot:
        assert spot_of(int(f"{digit}{number:05}")) == spot


@given(st.text(max_size=9) | st.integers() | st.from_regex(r"[0-9]{4,7}(\.[0-9]+)?", fullmatch=True))
def test_any_other_address_is_refused_in_words(written: str | int) -> None:
    try:
        spot = spot_of(written)
    except ValueError:
        return
    assert 0 <= spot.start <= 65535
    assert spot.bit is None or 0 <= spot.bit <= 15


# --- exact numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "exact"),
    [
        (0.1, "1/10"), ("0.1", "1/10"), (3, "3"), ("100/27648", "100/27648"), ("-2.5e-3", "-1/400"),
        (1e-7, "1/10000000"), (0.30000000000000004, "0.30000000000000004"),
    ],
)  # fmt: skip
def test_a_scale_is_the_number_that_is_written(written: float | str, exact: str) -> None:
    assert address(holding=0, as_="u16", scale=written).scale == Fraction(exact)
    assert address(holding=0, as_="u16", offset=written).offset == Fraction(exact)


@given(st.text(max_size=8) | st.floats() | st.booleans() | st.from_regex(r"[+-]?\d{1,3}(e\d{1,9})?"))
def test_any_other_scale_is_refused_in_words(written: object) -> None:
    try:
        found = address(holding=0, as_="u16", scale=written)
    except ValidationError:
        return
    assert 0 < abs(found.scale) <= 10**30


# --- what it can serve as --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "uses"),
    [
        ({"holding": 0, "as_": "u16"}, {"counter", "state", "mode", "telemetry"}),
        ({"holding": 0, "as_": "bcd32", "order": "CDAB"}, {"counter", "state", "mode", "telemetry"}),
        ({"holding": 0, "as_": "text", "length": 4}, {"state", "mode", "telemetry"}),
        ({"holding": 0, "bit": 4}, {"state", "mode", "telemetry"}),
        ({"coil": 0}, {"state", "mode", "telemetry"}),
        ({"holding": 0, "as_": "u16", "scale": 0.1}, {"telemetry"}),
        ({"holding": 0, "as_": "u16", "count": 3}, {"telemetry"}),
    ],
)
def test_what_it_cannot_serve_as_is_said(keys: dict[str, Any], uses: set[str]) -> None:
    found = {use: address(**keys).misfit(use) for use in ("counter", "state", "mode", "telemetry")}
    assert {use for use, why in found.items() if not why} == uses


@pytest.mark.parametrize(
    ("keys", "none"),
    [
        ({"as_": "i16", "invalid": 0x8000}, (-32768,)),
        ({"as_": "i16", "invalid": -32768}, (-32768,)),
        ({"as_": "i16", "invalid": [0x8000, 0x7FFF]}, (-32768, 32767)),
        ({"as_": "u16", "invalid": 0xFFFF}, (65535,)),
        ({"as_": "i64", "order": "ABCDEFGH", "invalid": 1 << 63}, (-(1 << 63),)),
        ({"as_": "bcd16", "invalid": 9999}, (9999,)),
        ({"as_": "f64", "words": "big", "invalid": [-1, 0.1]}, (-1.0, 0.1)),
        ({"as_": "f32", "words": "big", "invalid": 3.4e38}, (3.3999999521443642e38,)),
        ({"as_": "u16"}, ()),
    ],
)
def test_what_is_invalid_is_what_the_registers_hold(
    keys: dict[str, Any], none: tuple[int | float, ...]
) -> None:
    found = address(holding=0, **keys)
    assert found.form.invalid == none
    without = address(holding=0, **{key: value for key, value in keys.items() if key != "invalid"})
    assert found.identity() == without.identity(), "a counter goes on when it is added"


def test_a_text_says_how_it_is_written_in_its_identity() -> None:
    plain = address(holding=0, as_="text", length=4)
    told = address(holding=0, as_="text", length=4, encoding="cp1252", header="s7")
    assert told.identity() == "unit 1 holding 0 text length 4 cp1252 header s7"
    assert told.form.has_header
    assert address(holding=0, as_="text", length=4, encoding="utf-8").identity() == plain.identity()


def test_digits_roll_over_at_a_power_of_ten() -> None:
    assert address(holding=0, as_="bcd16").counter_modulus() == 10_000
    assert address(holding=0, as_="bcd32", words="big").counter_modulus() == 10**8
    assert address(holding=0, as_="bcd64", words="big").counter_modulus() == 10**16
    assert address(holding=0, as_="u16").counter_modulus() == 65536
    assert address(holding=0, as_="i16").counter_modulus() is None


# --- arrays ----------------------------------------------------------------------------------------


def test_an_array_is_its_values_in_a_row_and_one_group() -> None:
    array = address(unit=2, address=40101, as_="f32", words="little", count=3, scale=0.5)
    parts = array.parts()
    assert [end for end, _ in parts] == ["0", "1", "2"]
    assert [part.start for _, part in parts] == [100, 102, 104]
    assert len({part.together for _, part in parts}) == 1
    assert parts[0][1].together
    cells = [*reversed(struct.unpack(">2H", struct.pack(">f", 3.0)))]
    assert [part.decode()(cells, 0) for _, part in parts] == [1.5] * 3
    assert all(not part.parts() and part.unit == 2 for _, part in parts)
    assert not address(holding=0, as_="u16").parts()
    assert [part.together for _, part in address(holding=0, as_="u16", count=1).parts()] == [None]


def test_an_array_with_a_word_of_its_own_goes_with_what_has_the_same() -> None:
    parts = address(coil=8, count=2, together="doors").parts()
    assert [(part.start, part.together) for _, part in parts] == [(8, "doors"), (9, "doors")]


# --- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "exactly one of holding, input, coil, discrete and address"),
        ({"holding": 1, "coil": 1}, "exactly one of"),
        ({"holding": 100, "address": 40101, "as_": "u16"}, "exactly one of"),
        ({"holding": 1}, 'as = "u16"'),
        ({"address": 40001}, 'as = "u16"'),
        ({"holding": 1, "as_": "u32"}, "u32 is 2 registers: say words"),
        ({"holding": 1, "as_": "u32"}, "or order, one of ABCD, BADC, CDAB, DCBA"),
        ({"holding": 1, "as_": "f64"}, "f64 is 4 registers: say words"),
        ({"holding": 1, "as_": "bcd32"}, "bcd32 is 2 registers: say words"),
        ({"holding": 1, "as_": "u16", "words": "big"}, "no order of words"),
        ({"holding": 1, "as_": "u32", "order": "CDAB", "words": "little"}, "write it one way"),
        ({"holding": 1, "as_": "u32", "order": "CDAB", "bytes": "big"}, "write it one way"),
        ({"holding": 1, "as_": "u32", "order": "ACBD"}, 'u32 has no order "ACBD": it is one of ABCD, BADC'),
        ({"holding": 1, "as_": "u32", "order": "cdab"}, "it is one of"),
        ({"holding": 1, "as_": "u64", "order": "CDAB"}, "it is one of ABCDEFGH"),
        ({"holding": 1, "as_": "u16", "order": "ABCD"}, "it is one of AB, BA"),
        ({"holding": 65535, "as_": "u32", "words": "big"}, "past the last register"),
        ({"holding": 65530, "as_": "u16", "count": 7}, "7 times u16 at 65530 reaches past"),
        ({"coil": 65535, "count": 2}, "past the last bit"),
        ({"holding": 1, "as_": "u16", "bit": 2}, "a bit is a bool"),
        ({"address": "40001.2", "as_": "u16"}, "a bit is a bool"),
        ({"address": "40001.2", "bit": 2}, "the bit is in the address already"),
        ({"holding": 1, "bit": 16}, "less than or equal to 15"),
        ({"holding": 1, "bit": 1, "count": 4}, "leave out count"),
        ({"coil": 1, "as_": "u16"}, "a coil is one bit"),
        ({"discrete": 1, "bit": 2}, "a discrete is one bit"),
        ({"coil": 1, "scale": 2}, "a coil is one bit"),
        ({"holding": 70000, "as_": "u16"}, "less than or equal to 65535"),
        ({"holding": "100", "as_": "u16"}, "valid integer"),
        ({"holding": 1, "as_": "u8"}, "'u16'"),
        ({"unit": 256, "coil": 1}, "less than or equal to 255"),
        ({"coil": 1, "slave": 1}, "Extra inputs"),
        ({"address": 101, "as_": "u16"}, "with five or six digits"),
        ({"address": 17}, 'a coil begins with a nought, as text: "00017"'),
        ({"address": 40101.3}, 'as text: address = "40101.3"'),
        ({"address": True}, "as text"),
        ({"address": "40101.16"}, "the bits 0 to 15, no 16"),
        ({"address": "10001.1"}, "a discrete is one bit: leave out .1"),
        ({"address": 40000, "as_": "u16"}, "40000: such addresses go from 40001 to 49999"),
        ({"address": 465537, "as_": "u16"}, "465537: such addresses go from 400001 to 465536"),
        ({"address": 50001, "as_": "u16"}, "no table begins with 5: 0 is a coil"),
        ({"holding": 1, "as_": "text"}, "how many registers the text takes"),
        ({"holding": 1, "as_": "u16", "header": "s7"}, "header is of a text"),
        ({"holding": 1, "as_": "u16", "encoding": "latin-1"}, "encoding is of a text"),
        ({"holding": 1, "as_": "text", "length": 2, "encoding": "ascii"}, "'cp1252'"),
        ({"holding": 1, "as_": "text", "length": 2, "invalid": 0}, "a text is no number: leave out invalid"),
        ({"holding": 1, "bit": 2, "invalid": 0}, "a bit is no number: leave out invalid"),
        ({"coil": 1, "invalid": 0}, "a coil is one bit: leave out invalid"),
        ({"holding": 1, "as_": "u16", "invalid": 65536}, "from 0 to 65535, no 65536"),
        ({"holding": 1, "as_": "u16", "invalid": -1}, "from 0 to 65535, no -1"),
        ({"holding": 1, "as_": "i16", "invalid": 65536}, "from -32768 to 32767, no 65536"),
        ({"holding": 1, "as_": "u16", "invalid": 1.5}, "whole numbers from 0 to 65535, no 1.5"),
        ({"holding": 1, "as_": "bcd16", "invalid": 0xFFFF}, "from 0 to 9999, no 65535"),
        ({"holding": 1, "as_": "f32", "words": "big", "invalid": 1e39}, "f32 holds no 1e"),
        ({"holding": 1, "as_": "f32", "words": "big", "invalid": float("nan")}, "f32 holds no nan"),
        ({"holding": 1, "as_": "f64", "words": "big", "invalid": 10**400}, "f64 holds no 1000"),
        ({"holding": 1, "as_": "u16", "invalid": list(range(17))}, "at most 16"),
        ({"holding": 1, "as_": "u16", "invalid": True}, "valid"),
        ({"holding": 1, "as_": "text", "length": 126}, "less than or equal to 125"),
        ({"holding": 1, "as_": "u16", "length": 2}, "length is of a text"),
        ({"holding": 1, "as_": "text", "length": 2, "scale": 2}, "a text is no number"),
        ({"holding": 1, "bit": 1, "offset": 2}, "a bit is no number"),
        ({"holding": 1, "as_": "u16", "scale": 0}, "scale 0 makes everything 0"),
        ({"holding": 1, "as_": "u16", "scale": "1/0"}, "divides by 0"),
        ({"holding": 1, "as_": "u16", "scale": "1e31"}, "too small or too large"),
        ({"holding": 1, "as_": "u16", "scale": "0,1"}, "write a number, such as 0.1"),
        ({"holding": 1, "as_": "u16", "scale": float("inf")}, "write a number, such as 0.1"),
        (
            {"holding": 1, "as_": "u64", "words": "big", "count": 32},
            "128 registers, and one request reads 125",
        ),
        ({"holding": 1, "as_": "u16", "count": 0}, "greater than or equal to 1"),
        ({"holding": 1, "as_": "u16", "together": "a b"}, "match pattern"),
    ],
)
def test_a_wrong_address_is_refused_in_words(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        address(**keys)


# --- what may be meant otherwise --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            {"holding": 40101, "as_": "u16"},
            "holding = 40101 is number 40101 on the wire; write address = 40101 if the manual calls it so, "
            'and address = "440102" if not',
        ),
        ({"discrete": 10001}, 'address = "110002" if not'),
        ({"input": 30001, "as_": "u16"}, 'address = "330002" if not'),
        ({"address": "440102", "as_": "u16"}, ""),
        ({"holding": 10001, "as_": "u16"}, ""),
        ({"holding": 50000, "as_": "u16"}, ""),
        ({"coil": 40001}, ""),
    ],
)
def test_a_number_that_looks_like_a_manuals_address_is_doubted(keys: dict[str, Any], words: str) -> None:
    doubt = address(**keys).doubt()
    assert doubt.endswith(words)
    assert bool(doubt) is bool(words)


def test_lineside_check_tells_the_doubt_once(tmp_path: Path) -> None:
    file = tmp_path / "line.toml"
    file.write_text(
        '[line]\nname = "l"\n[source.plc]\ntype = "modbus"\nhost = "tcp://127.0.0.1:1"\n'
        '[[station]]\nname = "s"\nideal_cycle = "2s"\n[telemetry.t]\nsource = "plc"\n'
        'a = { holding = 40101, as = "u16" }\nb = { holding = 40102, as = "u16" }\n',
        encoding="utf-8",
    )
    (doubt,) = [one for one in load(file, tmp_path).warnings if "on the wire" in one]
    assert "telemetry/t/a and 1 other: holding = 40101" in doubt
