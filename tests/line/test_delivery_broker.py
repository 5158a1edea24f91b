"""A real broker that never saved, killed: what it had confirmed for minutes comes again."""

from pathlib import Path

import pytest

from tests.adapters.test_mqtt_killed import ALL, SELDOM, Bench, arrived, delivered, until
from tests.support.line import line, recording
from tests.support.proxy import Proxy
from tests.support.servers import heard, mosquitto, session

pytestmark = pytest.mark.timeout(60)


async def test_a_broker_that_has_never_saved_gets_all_since_its_first_mark(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        mosquitto(tmp_path / "m", options=SELDOM) as broker,
        Proxy(broker.port) as proxy,
        recording(line(), tmp_path / "journal.db") as recorder,
    ):
        bench = Bench(recorder, tmp_path / "journal.db", proxy.port, replay="1ms")  # by the mark alone
        async with bench.delivering() as delivery:
            for _ in range(4):
                await bench.happen(50)
                await delivered(delivery)
                await heard(broker.port, "line-1/_mark/uns", 1)
            proxy.refuse()
            broker.kill()
            await bench.happen(7)
            await until(lambda: delivery.state == "lost")
            await broker.start()
            collected = await session(broker.port, "mes", ALL)
            await proxy.accept()
            await delivered(delivery)
        ids = bench.ids()
        assert len(ids) >= 207
        assert await arrived(broker.port, collected) == set(ids)
    assert "the mark that was left there since" in caplog.text
