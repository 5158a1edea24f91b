"""What became of a job, and who got whose parts, as real far ends hold it: mosquitto, InfluxDB, Victoria."""

from pathlib import Path

from adapters import influxdb, mqtt
from edge.contract import Outlet, Record
from tests.support.records import record
from tests.support.servers import (
    heard,
    influxd,
    mosquitto,
    query_influx,
    session,
    v2_front,
    victoria_metrics,
    victoria_values,
)

OUTLET = Outlet("plant", "line-1", "acme/leeds", Path("/nonexistent"))
OWNER = {"order": "WO-1", "operation": 10, "run": "r7", "item": "P7"}
ATTRIBUTION = {
    "version": 3, "why": "reassigned", "by": "anna", "reason": "wrong card", "from_ms": 1, "to_ms": 2,
    "produced": -7, "good": -7, "scrap": 0, "events": 7, "order_good": 0, "order_scrap": 0,
}  # fmt: skip
RESULT = {
    "order": "WO-1", "operation": 10, "state": "Ended", "item": "P7", "quantity": 100, "produced": 3,
    "good": 0, "scrap": 3, "rework": 0, "reworked": 0, "adjusted": 0, "inspected": 0, "first_pass": 0,
    "started_ms": 1, "ended_ms": None, "busy_s": 12, "reasons": {"BURR": 2, "B-1.C": 1},
    "lots": ["L1"], "people": [], "aside": {"setup/press": 4},
}  # fmt: skip


def events() -> list[Record]:
    job = {key: OWNER[key] for key in ("order", "operation", "item")}
    return [record(8, "attribution", ATTRIBUTION, OWNER), record(9, "result", RESULT, job, station="")]


async def test_mqtt_has_both_under_their_own_topics(tmp_path: Path) -> None:
    async with mosquitto(tmp_path / "mosquitto") as broker:
        collected = await session(broker.port, "test", "#")
        table = {"type": "mqtt", "broker": f"mqtt://127.0.0.1:{broker.port}"}
        async with mqtt.connect(mqtt.Settings.model_validate(table), OUTLET) as sink:
            receipt = await sink.write(events())
        assert sorted(receipt.acknowledged) == [8, 9]
        got = {one.topic: one.json for one in await heard(broker.port, "#", 2, *collected)}
    moved = got["acme/leeds/line-1/press/_event/attribution"]
    data, owner = moved["data"], moved["context"]
    assert (data["version"], data["order_good"], owner["order"]) == (3, 0, "WO-1")
    told = got["acme/leeds/line-1/_event/result"]
    assert (told["data"]["reasons"], told["data"]["aside"]) == ({"BURR": 2, "B-1.C": 1}, {"setup/press": 4})


def _sent_to(url: str) -> influxdb.Settings:
    return influxdb.Settings.model_validate({"type": "influxdb", "url": url, "bucket": "edge"})


async def test_influxdb_takes_both_with_their_types(tmp_path: Path) -> None:
    async with influxd(tmp_path) as engine:
        with v2_front(engine, token="") as front:
            async with influxdb.connect(_sent_to(front.url), OUTLET) as sink:
                receipt = await sink.write(events())
        assert (sorted(receipt.acknowledged), receipt.rejected) == ([8, 9], {})
        [total] = query_influx(engine.port, "SELECT * FROM order_total")
        [moved] = query_influx(engine.port, "SELECT * FROM attribution")
        [told] = query_influx(engine.port, "SELECT * FROM result")
    assert (total["order"], total["operation"], total["good"], total["scrap"]) == ("WO-1", "10", 0, 0)
    assert (total["rework"], total["attribution"], moved["attribution"]) == (0, 3, 3)
    assert (moved["produced"], moved["reason"]) == (-7, "wrong card")
    assert (told["reasons_BURR"], told["reasons_B-1.C"], told["aside_setup/press"]) == (2, 1, 4)
    assert (told["order"], told["good"], told["busy_s"], told["lots"]) == ("WO-1", 0, 12, '["L1"]')


async def test_a_part_that_was_moved_keeps_nothing_of_its_former_owner(tmp_path: Path) -> None:
    """InfluxDB joins the fields of points that overwrite each other."""
    made = {"role": "total", "produced": 1, "raw": 7, "quality": "live"}
    figures = {"run_total": 412, "order_good": 400, "order_scrap": 12, "order_rework": 1}
    scrap = {"disposition": "scrap", "quantity": 1, "reason": "BURR"}
    owner = {**OWNER, "revision": "C", "batch": "L1", "operator": "4711", "kind": "setup"}
    async with influxd(tmp_path) as engine:
        with v2_front(engine, token="") as front:
            async with influxdb.connect(_sent_to(front.url), OUTLET) as sink:
                for version, more, whose in ((1, figures, owner), (2, {}, {}), (3, {}, {"order": "WO-2"})):
                    events = [
                        record(8, "count", {**made, **more}, whose, attribution=version),
                        record(9, "disposition", {**scrap, **more}, whose, attribution=version),
                    ]
                    assert (await sink.write(events)).rejected == {}
                    [[count], [disposed]] = [
                        query_influx(engine.port, f"SELECT * FROM {name}")
                        for name in ("count", "disposition")
                    ]
                    for one in (count, disposed):
                        assert one["attribution"] == version
                        known = {key: one[key] for key in owner if key != "kind"}
                        absent = dict.fromkeys(known, "") | {"operation": -1}
                        expected = {key: whose[key] for key in known if key in whose}
                        assert known == absent | expected
                        assert one["data_kind"] == whose.get("kind", "")
                        assert one.keys().isdisjoint(figures)
                    assert (count["produced"], disposed["reason"]) == (1, "BURR")


async def test_victoria_metrics_has_the_zeros_and_the_maps(tmp_path: Path) -> None:
    async with victoria_metrics(tmp_path) as server:
        async with influxdb.connect(_sent_to(f"http://127.0.0.1:{server.port}"), OUTLET) as sink:
            receipt = await sink.write(events())
        assert sorted(receipt.acknowledged) == [8, 9]
        held = {
            name: [value for _, value in values]
            for name, values in victoria_values(server.port, '{line="line-1"}').items()
        }
    by_name = {name.split('"__name__": "')[1].split('"')[0]: values for name, values in held.items()}
    assert by_name["order_total_good"] == by_name["order_total_rework"] == [0]
    assert by_name["order_total_attribution"] == [3]
    assert (by_name["result_reasons_BURR"], by_name["result_scrap"]) == ([2], [3])
    assert by_name["result_aside_setup/press"] == [4]
