"""Results in every format."""

from typing import Any

from adapters._rig_format import ResultFormat
from adapters._rig_parse import parse
from edge.contract import Step


def described(**keys: Any) -> ResultFormat:
    return ResultFormat.model_validate(keys)


CSV: dict[str, Any] = {
    "format": "csv", "separator": ";", "columns": 9,
    "fields": {"unit": 1, "program": 2, "revision": 3, "number": 4, "result": 9},
    "step": [{"name": "leak", "at": 5, "unit_of_measure_at": 6, "low_at": 7, "high_at": 8}],
}  # fmt: skip
FIXED: dict[str, Any] = {
    "format": "fixed", "columns": 34,
    "fields": {"unit": "1-8", "program": "9-14", "revision": 15, "number": "16-19", "result": "31-34"},
    "step": [{"name": "leak", "at": "20-25", "unit_of_measure": "mbar", "low": 0.0, "high_at": "26-30"}],
}  # fmt: skip
JSON: dict[str, Any] = {
    "format": "json",
    "fields": {
        "unit": "dut.serial", "program": "test.0.name", "revision": "test.0.rev",
        "number": "n", "result": "ok",
    },
    "pass": ["true"], "fail": ["false"],
    "step": [
        {"each": "steps", "name_at": "name", "at": "value", "unit_of_measure_at": "unit", "low_at": "lo",
         "high_at": "hi"},
    ],
}  # fmt: skip
PATTERN: dict[str, Any] = {
    "format": "pattern",
    "pattern": r"(?P<sn>U-[0-9]+) (?P<prog>[A-Z]+)/(?P<rev>[A-Z]) #(?P<no>[0-9]+) "
    r"(?P<leak>[-+0-9.]+) (?P<uom>[a-z]+) \[(?P<lo>[0-9.]+)\.\.(?P<hi>[0-9.]+)\] (?P<word>PASS|FAIL)",
    "fields": {"unit": "sn", "program": "prog", "revision": "rev", "number": "no", "result": "word"},
    "step": [{"name": "leak", "at": "leak", "unit_of_measure_at": "uom", "low_at": "lo", "high_at": "hi"}],
}
REPORT: dict[str, Any] = {
    "format": "pattern", "holds": "lines",
    "pattern": ["SERIAL: (?P<sn>.+)",
        "TEST: (?P<prog>[A-Z]+) REV (?P<rev>[A-Z]) NO (?P<no>[0-9]+)", "(?P<word>PASS|FAIL)"],
    "fields": {"unit": "sn", "program": "prog", "revision": "rev", "number": "no", "result": "word"},
    "step": [
        {"each": r"(?P<name>[a-z]+) = (?P<value>[-0-9.]+) (?P<uom>[a-z]+)"
                 r" \((?P<lo>[0-9.]+) to (?P<hi>[0-9.]+)\)",
         "name_at": "name", "at": "value", "unit_of_measure_at": "uom", "low_at": "lo", "high_at": "hi"},
    ],
}  # fmt: skip
PAIRS: dict[str, Any] = {
    "holds": "lines", "between": ":", "rest": "ignored",
    "fields": {"unit": "SN", "program": "PROG", "revision": "REV", "number": "NO", "result": "RES"},
    "step": [{"name": "leak", "at": "LEAK", "unit_follows": True, "low": 0.0, "high": 0.5}],
}  # fmt: skip

WRITTEN: list[tuple[dict[str, Any], bytes]] = [
    (CSV, b"U-0001;LEAK;B;1;0.12;mbar;0;0.5;PASS"),
    (CSV, b'"U-0001"; LEAK ;B;1; +0.12;mbar;0;.5;PASS'),
    ({**CSV, "decimal": ","}, b"U-0001;LEAK;B;1;0,12;mbar;0;0,5;PASS"),
    ({**CSV, "separator": "\t"}, b"U-0001\tLEAK\tB\t1\t0.12\tmbar\t0\t0.5\tPASS"),
    ({**CSV, "separator": " "}, b"U-0001 LEAK B    1   0.12 mbar 0 0.5 PASS"),
    (FIXED, b"U-0001  LEAK  B   1 +0.12  0.5PASS"),
    (
        JSON,
        b'{"dut":{"serial":"U-0001"},"n":1,"ok":true,"test":[{"name":"LEAK","rev":"B"}],'
        b'"steps":[{"name":"leak","value":0.12,"unit":"mbar","lo":0,"hi":0.5}]}',
    ),
    (PATTERN, b"U-0001 LEAK/B #1 0.12 mbar [0..0.5] PASS"),
    (
        {**REPORT, "others": "ignored"},
        b"ACME 3000\r\nSERIAL: U-0001\r\nTEST: LEAK REV B NO 1\r\nleak = 0.12 mbar (0 to 0.5)\r\nPASS\r\n",
    ),
    (PAIRS, b"TIME: 12:30:00\nSN: U-0001\nPROG: LEAK\nREV: B\nNO: 1\nLEAK: 0.12 mbar\nRES: PASS\n"),
]  # fmt: skip

KINDS = [described(**keys) for keys, _ in WRITTEN]
KINDS += [described(**{**keys, "holds": "results"}) for keys in (CSV, FIXED, JSON, PATTERN)]
KINDS += [described(**{**CSV, "holds": "results", "header": "first-line", "columns": None})]
PIECES = [raw[at : at + 4] for _, raw in WRITTEN for at in range(0, len(raw), 4)]
PIECES += [b'"', b"[", b"{", b"\n", b"\r", b"1e999", b"\xff", b"\0", b"\xe2\x80\xa8", b'"\\ud800"', b"\x1d"]


def step(raw: bytes, **keys: Any) -> Step:
    """The one step of a line that holds a unit and this."""
    kind = described(
        format="csv", separator=";", fields={"unit": 1}, constants={"program": "P"}, result="limits",
        step=[{"name": "x", "at": 2, **keys}],
    )  # fmt: skip
    [result] = parse(kind, b"U1;" + raw)
    [found] = result.steps
    return found
