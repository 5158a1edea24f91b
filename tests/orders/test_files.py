"""Files of orders: what is read from them, and what is said of every row that is no order."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.observation import Material, WorkOrder
from edge.orders import LARGEST, Parsed, RowFault, parse, read_file
from edge.orders import files as module
from edge.orders.files import NAMES

GOOD = WorkOrder("WO-1", "P7", 100, "C", "L12", (10, 20))


def orders(parsed: Parsed) -> list[WorkOrder]:
    return [row.order for row in parsed.rows]


def csv(text: str) -> Parsed:
    return parse("orders.csv", text.encode())


def of_json(value: object) -> Parsed:
    return parse("orders.json", json.dumps(value).encode())


def only(parsed: Parsed) -> RowFault:
    [fault] = parsed.faults
    return fault


@pytest.mark.parametrize(
    "text",
    [
        "id,item,quantity,revision,batch,operations\nWO-1,P7,100,C,L12,10 20\n",
        "id;item;quantity;revision;batch;operations\r\nWO-1;P7;100;C;L12;10 20\r\n",
        "id,item,quantity,revision,batch,operations\nWO-1,P7,100,C,L12,10;20",
        'id;item;quantity;revision;batch;operations\nWO-1;P7;100;C;L12;"10;20"\n',
        "\ufeffID, Item ,quantity,revision,batch,operations\n\nWO-1 , P7,100,C,L12, 10  20 \n,,,,,\n",
        "operations,batch,revision,quantity,item,id\r10 20,L12,C,100,P7,WO-1\r",
    ],
)
def test_a_csv_file_is_read_however_it_is_written(text: str) -> None:
    assert (orders(csv(text)), csv(text).faults) == ([GOOD], ())


def test_a_json_file_holds_a_list_or_one_order() -> None:
    one = {
        "id": "WO-1",
        "item": "P7",
        "quantity": 100,
        "revision": "C",
        "batch": "L12",
        "operations": [10, 20],
    }
    assert orders(of_json([one])) == orders(of_json(one)) == [GOOD]
    assert orders(parse("A.JSON", b"\xef\xbb\xbf [ ] \n")) == []
    assert orders(of_json({"id": "A", "item": "B", "quantity": 1, "batch": None})) == [WorkOrder("A", "B", 1)]


def test_what_may_be_left_out_is_left_out() -> None:
    assert orders(csv("id,item,quantity,batch\nA,B,1,\n")) == [WorkOrder("A", "B", 1)]


def test_a_bad_row_is_told_with_its_line_and_the_good_ones_are_read() -> None:
    parsed = csv("id,item,quantity\nA,P7,1\nB,P7,many\n\nC,P7,3\nc d,,0\nD,P7\nE,P7,5\n")
    assert [(row.line, row.row, row.order.id) for row in parsed.rows] == [
        (2, 1, "A"),
        (5, 3, "C"),
        (8, 6, "E"),
    ]
    assert [(one.line, one.row, one.id, one.key) for one in parsed.faults] == [
        (3, 2, "B", "quantity"), (6, 4, "c d", "id"), (6, 4, "c d", "item"), (6, 4, "c d", "quantity"),
        (7, 5, "", ""),
    ]  # fmt: skip
    assert str(parsed.faults[0]) == "quantity must be a whole number, found 'many'"
    assert "has 2 fields, the header has 3" in str(parsed.faults[-1])


def test_json_rows_are_told_with_the_line_they_begin_in() -> None:
    text = (
        '[\n {"id": "A", "item": "B",\n  "quantity": 1},\n 7,\n {"id": "B", "item": "B", "quantity": 1.5}\n]'
    )
    parsed = parse("x.json", text.encode())
    assert [(row.line, row.order.id) for row in parsed.rows] == [(2, "A")]
    assert [(one.line, one.row, one.key) for one in parsed.faults] == [(4, 2, ""), (5, 3, "quantity")]


@pytest.mark.parametrize(
    ("change", "key", "says"),
    [
        ({"quantity": True}, "quantity", "whole number"),
        ({"quantity": "5"}, "quantity", "whole number"),
        ({"quantity": 0}, "quantity", "greater than 0"),
        ({"quantity": 10**60}, "quantity", "whole number"),
        ({"quantity": 10**15}, "quantity", "less than or equal"),
        ({"item": ""}, "item", "at least 1 character"),
        ({"item": "x" * 101}, "item", "at most 100"),
        ({"item": "\x1b[2J"}, "item", "cannot be printed"),
        ({"item": "a\nWO-2,P7,9"}, "item", "cannot be printed"),
        ({"item": "\ud800"}, "item", ""),
        ({"item": {}}, "item", "no place"),
        ({"id": "WO-1\n"}, "id", "not allowed"),
        ({"id": "WÖ"}, "id", "not allowed"),
        ({"id": "A" * 33}, "id", "at most 32"),
        ({"operations": [10, 10]}, "operations", "twice"),
        ({"operations": [[10]]}, "operations", "no place"),
        ({"operations": [100_000]}, "operations[1]", "less than"),
        ({"operations": list(range(1001))}, "operations", "more than 1000"),
        ({"operations": "10"}, "operations", "list"),
        ({"qty": 5}, "qty", "not a key here"),
        ({"quantitty": 5}, "quantitty", 'did you mean "quantity"?'),
    ],
)
def test_what_no_order_holds(change: dict[str, object], key: str, says: str) -> None:
    parsed = of_json(
        [{"id": "WO-1", "item": "P7", "quantity": 1, **change}, {"id": "Z", "item": "P", "quantity": 1}]
    )
    assert [one.id for one in orders(parsed)] == ["Z"]
    assert only(parsed).key == key
    assert says in str(only(parsed))


@pytest.mark.parametrize(
    ("name", "body", "says", "line"),
    [
        ("a.csv", b"", "has no column id", 1),
        ("a.csv", b"id,item\n", "has no column quantity", 1),
        ("a.csv", b"id,item,qty\n", 'has a column "qty" that no order has', 1),
        ("a.csv", b"id,item,quantity,id\n", "column id twice", 1),
        ("a.csv", b'"id,item', "header that cannot be read", 1),
        ("a.csv", "id,item,quantity\nA,Bür,1".encode("cp1252"), "not UTF-8", 2),
        ("a.csv", "id,item,quantity\nA,B,1".encode("utf-16"), "not UTF-8", 1),
        ("a.json", b"", "not valid JSON", 1),
        ("a.json", b'[{"id": "A",\n "item"', "not valid JSON", 2),
        ("a.json", b'{"id": "A", "item": "B", "quantity": 1', "not valid JSON", 1),
        ("a.json", b"[] []", "something after the end", 1),
        ("a.json", b'[{"id": "A", "id": "B"}]', "one key stands twice", 1),
        ("a.json", b"[NaN]", "NaN is no number", 1),
        ("a.json", b'[{"id": "A"} {"id": "B"}]', "a comma or ] is missing", 1),
        ("a.json", b"[" * 100_000, "nested too deeply", 1),
        ("a.txt", b"", "neither CSV nor JSON", 0),
    ],
)
def test_a_file_that_is_none_gives_one_fault_and_no_rows(
    name: str, body: bytes, says: str, line: int
) -> None:
    parsed = parse(name, body)
    assert (parsed.rows, parsed.readable) == ((), False)
    assert (says in str(only(parsed)), only(parsed).line) == (True, line)


def test_a_quote_that_is_not_closed_swallows_no_order() -> None:
    parsed = csv('id,item,quantity\nA,P7,1\nB,"P7,2\nC,P7,3\n')
    assert [one.id for one in orders(parsed)] == ["A"]
    assert {fault.line for fault in parsed.faults} == {3}


def test_after_quotes_that_do_not_match_nothing_is_believed() -> None:
    parsed = csv('id,item,quantity\nA,"P7\nB"x,P7,2\nC,P7,3\n')
    assert parsed.rows == ()
    assert [str(fault) for fault in parsed.faults][1] == (
        "was the last row that was looked at (its quotes do not match)"
    )


def test_a_row_inside_quotes_is_no_row() -> None:
    parsed = csv('id,item,quantity\nA,"P7\nB,P7,2\nC",1\nD,P7,4\n')
    assert [one.id for one in orders(parsed)] == ["D"]
    assert [fault.line for fault in parsed.faults] == [2]


def test_a_broken_row_does_not_harm_the_next() -> None:
    parsed = csv('id,item,quantity\nA,"P"7,1\nB,P7,2\n')
    assert ([one.id for one in orders(parsed)], only(parsed).line) == (["B"], 2)


def test_one_id_is_one_order() -> None:
    parsed = csv("id,item,quantity\nA,P7,1\nA,P7,1\nA,P7,2\n")
    assert len(parsed.rows) == 2
    assert str(only(parsed)) == "id stands in line 2 with other values (one row an order)"


def test_the_size_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("wb") as file:
        file.truncate(3 * LARGEST)
    body = read_file(path)
    assert len(body) == LARGEST + 1
    assert "larger than" in str(only(parse("a.csv", body)))
    rows = "".join(f"A{number},P7,1\n" for number in range(module.MOST + 1))
    assert "more than 100,000 rows" in str(only(csv("id,item,quantity\n" + rows)))
    assert len(csv("id,item,quantity\n" + rows[: rows.rindex("A")]).rows) == module.MOST
    assert "more than 100,000 rows" in str(only(parse("a.json", b"[" + b"1," * module.MOST + b"1]")))


# --- whatever the bytes are -----------------------------------------------------------------------

TEXTS = st.text(
    st.sampled_from("id,item;quantity\n\r\"'0123456789AWO- {}[]:\x00\x1b\u202e\ud83dé"), max_size=60
)
IDS = st.from_regex(r"[0-9A-Z][0-9A-Z.-]{0,31}", fullmatch=True)
PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=100)
MATERIALS = st.builds(
    Material, st.from_regex(r"[0-9A-Z][0-9A-Z-]{0,19}", fullmatch=True), st.integers(1, 10**6).map(float)
)
ORDERS = st.builds(
    WorkOrder, IDS, PRINTABLE, st.integers(1, 10**9), st.none() | PRINTABLE, st.none() | PRINTABLE,
    st.lists(st.integers(0, 99_999), unique=True, max_size=5).map(tuple),
    st.lists(MATERIALS, unique_by=lambda one: one.item, max_size=3).map(tuple),
    st.none() | IDS,
)  # fmt: skip
LISTS = st.lists(ORDERS, max_size=8, unique_by=lambda order: order.id)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.text(), inner, max_size=6)
    ),
    max_leaves=20,
)


def check(parsed: Parsed) -> None:
    """Whatever it is: rows keep the rules, and words can be shown and written."""
    for row in parsed.rows:
        assert row.order.item.isprintable()
        assert row.line >= 1
    for fault in parsed.faults:
        assert f"{fault} {fault.id}".isprintable()
        f"{fault} {fault.id}".encode()
    assert parsed.readable or (len(parsed.faults) == 1 and not parsed.rows)


@given(
    st.binary(max_size=300) | st.builds(lambda rest: b"id,item,quantity\n" + rest, st.binary(max_size=200))
)
def test_any_bytes_are_answered(body: bytes) -> None:
    for name in ("a.csv", "a.json", os.fsdecode(body[:20])):
        check(parse(name, body))


@given(TEXTS, st.sampled_from(["", "id,item,quantity,revision,batch,operations\n", "id;item;quantity\n"]))
def test_any_text_is_answered(text: str, head: str) -> None:
    check(parse("a.csv", (head + text).encode("utf-8", "surrogatepass")))


@given(VALUES)
@example([{"id": "A", "item": "B", "quantity": float("inf")}])
@example({"\x1b[2J\ud800": 1})
def test_any_json_is_answered(value: object) -> None:
    check(of_json(value))


def needs(order: WorkOrder) -> dict[str, float]:
    return {one.item: one.per_part for one in order.materials}


@given(LISTS)
def test_what_is_written_is_read(written: list[WorkOrder]) -> None:
    rows = [{name: getattr(order, name) for name in NAMES} | {"materials": needs(order)} for order in written]
    assert orders(of_json(rows)) == written


@given(LISTS, st.sampled_from(",;"), st.sampled_from(["\n", "\r\n"]))
def test_what_is_written_as_csv_is_read(written: list[WorkOrder], delimiter: str, end: str) -> None:
    lines = [delimiter.join(NAMES)]
    for order in written:
        fields = [order.id, order.item, str(order.quantity), order.revision or "", order.batch or ""]
        fields.append(" ".join(map(str, order.operations)))
        fields.append(" ".join(f"{item}:{need:.1f}" for item, need in needs(order).items()))
        fields.append(order.reopens or "")
        lines.append(delimiter.join('"' + field.replace('"', '""') + '"' for field in fields))
    assert orders(parse("a.csv", end.join(lines).encode())) == written
