"""`[labels]` of a line's file: what it says is what is read, and every fault is told at once."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from edge.cli import app
from edge.config import load
from edge.config.faults import Faults
from edge.config.labels import build_labels
from edge.errors import ConfigError
from edge.production.label import Label, LabelRules
from edge.production.scanning import read_label, unit_name

LINE = '[line]\nname = "line-1"\n[[station]]\nname = "press"\nideal_cycle = "6s"\n'

PLANT = r"""
[labels]
gs = "{GS}"
rs = "{RS}"
eot = "{EOT}"

[labels.items]
"4012345678901" = "P7"
"04006381333931" = "SCREW"
"S-22" = "SCREW"

[[labels.alias]]
name = "sap-job"
pattern = '0*(?P<order>[0-9]{7,12})/(?P<operation>[0-9]{4})'
means = "job"
example = "000010001234/0010"

[[labels.alias]]
name = "traveller"
pattern = 'WO (?P<order>[A-Za-z0-9]{3,20})'
means = "job"
example = "WO x17b"

[[labels.alias]]
name = "personnel"
pattern = 'P[0-9]{5}'
means = "badge"
example = ["P00123", "]A0P99999"]

[[labels.alias]]
name = "begin"
pattern = 'B(EGIN)?'
means = "command"
value = "START"
example = ["B", "BEGIN"]

[[labels.alias]]
name = "reel"
pattern = '(?P<item>[A-Z]-[0-9]{2})#(?P<lot>[0-9]{1,8})(x(?P<quantity>[0-9]{1,5}))?'
means = "lot"
example = ["S-22#77x2000", "S-22#78"]

[[labels.alias]]
name = "plate"
pattern = 'SN(?P<serial>[0-9]{6})(-(?P<lot>L[0-9]{1,3}))?'
means = "serial"
item = "4012345678901"
example = "SN000017-L3"

[[labels.alias]]
name = "pieces"
pattern = '(?P<quantity>[0-9]{1,4}) PCS'
means = "quantity"
example = "0015 PCS"

[[labels.alias]]
name = "why-scrap"
pattern = 'F-(?P<reason>[A-Z]{2,10})'
means = "scrap"
example = "F-BURR"

[[labels.alias]]
name = "why-down"
pattern = 'D-(?P<reason>[A-Z]{2,10})'
means = "downtime"
example = "D-JAM"

[[labels.alias]]
name = "mould"
pattern = 'MOULD (?P<tool>[0-9]{1,5})'
means = "tool"
example = "MOULD 17"

[[labels.alias]]
name = "box"
pattern = 'BOX(?P<pack>[0-9]{1,9})(/(?P<quantity>[0-9]{1,4}))?'
means = "pack"
example = "BOX17/20"
"""


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> LabelRules:
    file = tmp_path_factory.mktemp("labels") / "line.toml"
    file.write_text(LINE + PLANT)
    return load(file).line.labels


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("000010001234/0010", Label("J", "10001234-10", "sap-job")),
        ("]C0000010001234/0010\r\n", Label("J", "10001234-10", "sap-job")),
        ("WO x17b", Label("J", "X17B", "traveller")),
        ("P00123", Label("E", "P00123", "personnel")),
        ("BEGIN", Label("C", "START", "begin")),
        ("S-22#77x2000", Label("L", "77", "reel", "SCREW", "77", 2000)),
        ("S-22#78", Label("L", "78", "reel", "SCREW", "78")),
        ("Z-01#78", Label("L", "78", "reel", "Z-01", "78")),
        ("SN000017-L3", Label("S", "000017", "plate", "P7", "L3")),
        ("0015 PCS", Label("Q", "15", "pieces")),
        ("F-BURR", Label("X", "BURR", "why-scrap")),
        ("D-JAM", Label("D", "JAM", "why-down")),
        ("MOULD 17", Label("T", "17", "mould")),
        ("BOX17/20", Label("P", "17", "box", None, None, 20)),
        ("]d2010401234567890110L1{GS}21A1", Label("S", "04012345678901.A1", "gs1", "P7", "L1")),
        ("[)>{RS}06{GS}PS-22{GS}1TL7{RS}{EOT}", Label("L", "L7", "iso15434", "SCREW", "L7")),
        ("$CPAUSET", Label("C", "PAUSE")),
    ],
)
def test_a_plants_labels_mean_what_its_file_says(rules: LabelRules, text: str, label: Label) -> None:
    assert read_label(text, rules) == label


@pytest.mark.parametrize(
    "text", ["P0012", "P001234", "xP00123", "000010001234/00100", "SN17", "F-burr", "BEGINS"]
)
def test_what_no_pattern_fits_whole_is_refused(rules: LabelRules, text: str) -> None:
    assert read_label(text, rules) == "not a label of this line"


def test_a_label_longer_than_a_plant_prints_is_not_tried() -> None:
    table = {"name": "free", "pattern": "[^#]+#", "means": "badge", "example": "x#"}
    rules, _ = build_labels({"alias": [table]}, Faults("x"))
    assert read_label("x" * 79 + "#", rules) == Label("E", "x" * 79 + "#", "free")
    assert "longer than 80 characters" in str(read_label("x" * 200 + "#", rules))
    assert read_label("x" * 256 + "#", rules) == "not a label of this line"


def test_a_group_goes_before_what_the_table_says_and_commands_are_capitals() -> None:
    go = {"name": "go", "pattern": "do (?P<command>[a-z]+)", "means": "command", "example": "do start"}
    bin_ = {
        "name": "bin", "pattern": "(?P<lot>[0-9]+)(/(?P<item>[A-Z]))?", "means": "lot", "item": "P7",
        "example": "1",
    }  # fmt: skip
    rules, _ = build_labels({"alias": [go, bin_]}, Faults("x"))
    assert read_label("do pause", rules) == Label("C", "PAUSE", "go")
    assert read_label("12", rules) == Label("L", "12", "bin", "P7", "12")
    assert read_label("12/A", rules) == Label("L", "12", "bin", "A", "12")


def test_an_alias_twice_in_one_scan_is_told(rules: LabelRules) -> None:
    assert read_label("P00123P00123", rules) == "the same label twice in one scan: scan it once"
    assert "two labels" in str(read_label("]A0P00123]A0P00124", rules))


def test_a_rig_may_name_a_unit_by_its_whole_label(rules: LabelRules) -> None:
    assert unit_name("]d2010401234567890121A1", rules) == "04012345678901.A1"
    assert unit_name("010401234567890121A1", rules) == "04012345678901.A1"
    assert unit_name("SN000017-L3", replace(rules, aim_required=True)) == "000017"
    assert [unit_name(text, rules) for text in ("A1", "", "P00123")] == ["A1", "", "P00123"]


def test_check_shows_what_each_example_means(tmp_path: Path) -> None:
    file = tmp_path / "line.toml"
    file.write_text(LINE + PLANT)
    done = CliRunner().invoke(app, ["check", str(file)])
    assert done.exit_code == 0, done.output
    for said in (
        "label sap-job: 000010001234/0010 is job 10001234-10",
        "label reel: S-22#77x2000 is lot 77 of SCREW, 2000 pieces",
        "label plate: SN000017-L3 is serial 000017 of P7, lot L3",
        "label begin: B is command START",
    ):
        assert f"  {said}\n" in done.output


def faults_of(tmp_path: Path, text: str) -> str:
    file = tmp_path / "line.toml"
    file.write_text(LINE + text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    return str(caught.value)


def alias(**keys: str) -> str:
    given = {"name": "a", "pattern": "x(?P<badge>[0-9]+)", "means": "badge", "example": "x1"} | keys
    return "\n[[labels.alias]]\n" + "\n".join(f"{key} = '{value}'" for key, value in given.items()) + "\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (alias(pattern="(a+)+x"), "labels.alias[a].pattern: could be tried in more than a billion ways"),
        (alias(pattern="("), "labels.alias[a].pattern: is no regular expression"),
        (alias(means="bage"), "labels.alias[a].means: input should be 'badge'"),
        (alias(pattern="x(?P<bagde>[0-9]+)"), 'a badge does not have (did you mean "badge"?)'),
        (
            alias(means="job", pattern="(?P<operation>[0-9])", example="1"),
            "names operation and not order ((?P<order>...))",
        ),
        (alias(value="4711"), "has a group badge beside the key value"),
        (
            alias(means="command", pattern="go", value="STRAT", example="go"),
            "labels.alias[a].value: is 'STRAT', which is no command (did you mean \"START\"?)",
        ),
        (
            alias(means="command", pattern="go (?P<command>[A-Z]{1,9})", example="go PUASE"),
            "labels.alias[a].example: 'go PUASE' is 'PUASE', which is no command (did you mean \"PAUSE\"?)",
        ),
        (
            alias(means="command", pattern="go", value="BACKWARD", example="go"),
            "labels.alias[a].value: is 'BACKWARD', which is no command",
        ),
        (alias(item="P7"), "labels.alias[a].item: says nothing of a badge"),
        (alias(example="y1"), "'y1': not a label of this line (the pattern does not match all of it)"),
        (alias(example="x1\x1b"), "is not valid TOML"),
        (alias(pattern=r"\$.{3,9}", example="$CPAUSET"), "is read as internal: command PAUSE"),
        (alias() + alias(name="b", example="x2"), "labels.alias[b].example: 'x2': is read as a: badge 2"),
        (alias() + alias(), "labels.alias[a].name: is taken"),
        (alias(name="gs1"), "labels.alias[gs1].name: is taken"),
        (
            alias(means="quantity", pattern="n(?P<quantity>[a-z]{1,3})", example="nab"),
            "a: its quantity is no whole number",
        ),
        (
            "".join(alias(name=f"a{n}", pattern=f".*{n}.*") for n in range(5)),
            "labels.alias: could together take too long on one label",
        ),
        ("[labels]\nalias = 1\n", "labels.alias: must be written with two brackets"),
        ("[labels.alias]\nname = 'x'\n", "labels.alias: must be written with two brackets"),
        ("[labels]\naim = 'yes'\n", "labels.aim: input should be 'optional' or 'required'"),
        ("[labels]\nalais = 1\n", 'labels.alais: is not a key here (did you mean "alias"?)'),
        ("[labels]\ngs = 'A'\n", "labels.gs: must hold a character that is no letter"),
        ("[labels]\ngs = '^'\nrs = '^^'\n", "labels.gs: is a part of labels.rs"),
        ("[labels.items]\n4012345678902 = 'P7'\n", "labels.items.4012345678902: has a wrong check digit"),
        (
            "[labels.items]\n4012345678901 = 'P7'\n04012345678901 = 'P8'\n",
            "labels.items.4012345678901: is the GTIN 04012345678901, which is P8 already",
        ),
        ('[labels.items]\n"a\\u0007b" = "P7"\n', "is no GTIN and no part number"),
        ("[labels.items]\n'' = 'P7'\n", "is no GTIN and no part number"),
        ("[labels.items]\n'S-22' = ''\n", "labels.items.S-22"),
    ],
)
def test_every_fault_is_told_with_its_key(tmp_path: Path, text: str, said: str) -> None:
    assert said in faults_of(tmp_path, text)


def test_no_fault_hides_another(tmp_path: Path) -> None:
    told = faults_of(
        tmp_path,
        "[labels]\naim = 1\n"
        + alias(pattern="(")
        + alias(name="b", example="z")
        + alias(name="c", means="d"),
    )
    for key in ("labels.aim", "labels.alias[a].pattern", "labels.alias[b].example", "labels.alias[c].means"):
        assert key in told


def test_a_label_without_its_aim_identifier_where_the_file_wants_one(tmp_path: Path) -> None:
    rules, _ = build_labels({"aim": "required"}, Faults("x"))
    assert "no AIM identifier" in str(read_label("$CPAUSET", rules))
    assert read_label("]C0$CPAUSET", rules) == Label("C", "PAUSE")


def test_each_key_reaches_the_rules() -> None:
    table = {"gs1": "unmarked", "end": "optional", "serials": "alone", "aim": "required", "eot": "^D"}
    rules, _ = build_labels(table, Faults("x"))
    assert rules == LabelRules((), {}, True, True, True, True, (("^D", "\x04"),))
    assert build_labels({}, Faults("x")) == (LabelRules(), ())


texts = st.text(max_size=30)
tables: st.SearchStrategy[Mapping[str, Any]] = st.dictionaries(
    st.sampled_from(["alias", "aim", "gs", "items", "end", "x"]),
    st.one_of(
        texts,
        st.integers(),
        st.dictionaries(texts, texts, max_size=3),
        st.lists(
            st.dictionaries(
                st.sampled_from(["name", "pattern", "means", "value", "item", "example"]),
                st.one_of(
                    texts, st.sampled_from(["badge", "job", "(?P<order>[0-9]+)", "x"]), st.lists(texts)
                ),
            ),
            max_size=3,
        ),
    ),
)


@given(tables, texts)
def test_whatever_the_table_holds_there_is_a_fault_or_rules(table: Mapping[str, Any], label: str) -> None:
    faults = Faults("line.toml")
    rules, _ = build_labels(table, faults)
    assert read_label(label, rules) or faults.found
