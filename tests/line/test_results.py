"""What has become of each job, while it runs and when it has ended, and how it is written."""

import csv
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert, json

from edge.journal import Journal, JournalReader
from edge.journal.reader import iso
from edge.observation import Observation
from edge.production.context import Context
from edge.production.events import Result
from edge.production.runs import result_of
from edge.production.state import Job, Run, Station
from edge.production.totals import Totals
from edge.resultform import JobResult, as_csv, as_json, job_result, said_result
from edge.results import job_results, results, settled
from tests.support.clock import ManualClock
from tests.support.line import line, recording, scan, see

BOTH = ("press.total", "press.reject")


def shift(clock: ManualClock) -> list[Observation]:
    """Five parts, one of them a reject, another booked as scrap."""
    seen = [see(clock, "press.total", 100), see(clock, "press.reject", 0)]

    def after(text: str) -> None:
        clock.pass_ms(2_000)
        seen.append(scan(clock, text, fresh=BOTH))

    after("E 4711")
    after("J WO-1001-10")
    clock.pass_ms(5_000)
    seen.extend([see(clock, "press.total", 105), see(clock, "press.reject", 1)])
    after("X BURR")
    after("Q 1")
    return seen


async def test_a_job_that_runs_and_one_that_ended(tmp_path: Path) -> None:
    path, clock = tmp_path / "journal.db", ManualClock()
    async with recording(line(), path) as recorder:
        reader = JournalReader(path, "line-1")
        await recorder.emit(shift(clock))
        [on] = results(reader, line(), "WO-1001")
        assert (on.order, on.operation, on.state, on.ended) == ("WO-1001", 10, "Running", None)
        assert (on.quantity, on.produced, on.good, on.scrap) == (100, 5, 3, 2)
        assert (on.reasons, on.people) == ({"BURR": 1}, ("4711",))
        clock.pass_ms(2_000)
        await recorder.emit([scan(clock, "C DONE", fresh=BOTH)])
        [ended] = job_results(reader, line(), "WO-1001")
        [event] = [one for one in reader.records(1, reader.head(), 1000) if one.type == "result"]
        assert ended == convert(event.data, Result)
        assert results(reader, line(), "WO-9") == []
        every = [(one.order, one.operation, one.state) for one in results(reader, line())]
        assert every == [
            ("WO-1001", 10, "Ended"), ("WO-1002", None, "AllowedToStart"),
            ("WO-1003", 10, "AllowedToStart"), ("WO-1003", 20, "AllowedToStart"),
        ]  # fmt: skip
        reader.close()


async def test_an_order_is_not_one_whose_id_begins_alike(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with recording(line(), path) as recorder:
        await recorder.emit([see(ManualClock(), "press.total", 1)])
    reader = JournalReader(path, "line-1")
    assert results(reader, line(), "WO-100") == []
    assert len(results(reader, line(), "WO-1003")) == 2
    reader.close()


def test_a_run_that_ends_meanwhile_is_counted_once(tmp_path: Path) -> None:
    """Its row says that it has ended before, and after, the jobs were read."""
    run = Run("r1", "press", "WO-1001", 10, 1, 100, totals=Totals(made=7, total=7), reasons={"BURR": 2})
    context = Context("WO-1001", 10, "r1")
    journal = Journal(tmp_path / "journal.db")
    reader = JournalReader(tmp_path / "journal.db", "line-1")
    journal.commit([], {"station/press": Station(context, run), "job/WO-1001/10": Job("WO-1001", 10)})
    reads = 0

    def read() -> Job:
        nonlocal reads
        reads += 1
        if reads == 1:
            ended = Job("WO-1001", 10, totals={"press": run.totals}, reasons=run.reasons)
            journal.commit([], {"station/press": Station(), "job/WO-1001/10": ended})
        [(_, job)] = reader.rows("job/")
        assert isinstance(job, Job)
        return job

    on, job = settled(reader, read)
    assert reads == 2
    result = result_of(job, "P7", 100, on)
    assert (result.produced, result.reasons) == (7, {"BURR": 2})
    reader.close()
    journal.close()


def test_where_nothing_holds_still_an_answer_comes_all_the_same(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    reader = JournalReader(tmp_path / "journal.db", "line-1")
    reads = 0

    def read() -> None:
        nonlocal reads
        reads += 1
        run = Run(f"r{reads}", "press", "WO-1001", 10, 1, 100)
        journal.commit([], {"station/press": Station(run=run)})

    on, _ = settled(reader, read)
    assert [run.id for run in on] == [f"r{reads}"]
    reader.close()
    journal.close()


# --- how it is written ----------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=12)
NUMBER = st.integers(-(2**40), 2**40)
MAPS = st.dictionaries(TEXT, NUMBER, max_size=3)
NAMES = st.lists(TEXT, max_size=3).map(tuple)
TIMES = st.none() | st.integers(0, 2**42)
RESULTS = st.builds(
    Result, TEXT, st.none() | st.integers(0, 99_999), TEXT, TEXT, *[NUMBER] * 9, TIMES, TIMES,
    st.floats(0, 1e9), MAPS, NAMES, NAMES, MAPS,
)  # fmt: skip


@given(RESULTS)
def test_json_holds_every_field_and_comes_back(result: Result) -> None:
    form = job_result(result)
    assert json.decode(as_json(form), type=JobResult) == form
    assert form.started == (None if result.started_ms is None else iso(result.started_ms))
    kept = [name for name in Result.__struct_fields__ if not name.endswith("_ms")]
    assert [getattr(form, name) for name in kept] == [getattr(result, name) for name in kept]


@given(st.lists(RESULTS, max_size=4))
def test_csv_has_a_row_a_job_and_the_same_columns(found: list[Result]) -> None:
    forms = [job_result(one) for one in found]
    text = as_csv(JobResult, forms)
    rows = list(csv.DictReader(StringIO(text, newline="")))
    assert len(rows) == len(forms)
    for row, form in zip(rows, forms, strict=True):
        assert tuple(row) == JobResult.__struct_fields__
        for name, text in (("order", form.order), ("item", form.item)):
            assert row[name].replace("'", "") == text.replace("'", "")
            assert not any(part.lstrip(' "')[:1] in tuple("=+-@") for part in row[name].split(";"))
        assert (int(row["good"]), float(row["busy_s"])) == (form.good, form.busy_s)
        assert row["operation"] == ("" if form.operation is None else str(form.operation))


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"), ("+1", "'+1"), ("-1", "'-1"), ("@SUM(1)", "'@SUM(1)"),
        ("A;=1+1", "A;'=1+1"), (' "=1', "' \"=1"), ("\t=1", "'\t=1"), ("＝1", "'＝1"), ("P7", "P7"),
        ("A-1=B", "A-1=B"),
    ],
)  # fmt: skip
def test_no_name_is_a_formula_in_a_cell_and_numbers_stay(name: str, cell: str) -> None:
    result = Result(
        "WO-1", 10, "Ended", name, 9, 8, 7, 1, 0, 0, -3, 0, 0, 1, 2, 3.0, {name: 2}, lots=(name, "L1")
    )
    [row] = csv.DictReader(StringIO(as_csv(JobResult, [job_result(result)]), newline=""))
    assert (row["item"], row["reasons"], row["lots"]) == (cell, f"{cell}=2", f"{cell};L1")
    assert row["adjusted"] == "-3"


def test_a_result_that_was_said_names_its_event() -> None:
    result = Result("WO-1", 10, "Ended", "P7", 9, 8, 7, 1, 0, 0, 0, 0, 0, 1, 2, 3.0)
    said = said_result(json.decode(json.encode(result)), "line-1", "k3f9-7", 1_000)
    assert (said.line, said.id, said.at) == ("line-1", "k3f9-7", "1970-01-01T00:00:01.000Z")
    assert convert(json.decode(json.encode(said)), JobResult) == job_result(result)
    with pytest.raises(ValueError, match="order"):
        said_result({}, "line-1", "k3f9-7", 1)
