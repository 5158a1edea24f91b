"""A server of another make is probed; its TOML is taken as it is printed, and the adapter reads it."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509
from typer.testing import CliRunner

from adapters._opcua import probe as opcua
from adapters._opcua.probe import Report, Wish
from adapters._opcua.probe_offers import thumbprint
from edge.cli import app
from edge.config import load
from edge.contract import Secret
from edge.errors import SourceLost, SourceRefused
from edge.observation import Quality
from edge.probe.cli import PASSWORD as PASSWORD_VARIABLE
from edge.probe.find import Found
from edge.probe.opcua import Server, concluded, look
from tests.adapters.opcua_server import opcua_server
from tests.support.node_opcua import NAMESPACE, PASSWORD, SECURE, USER, NodeServer, node_server
from tests.support.ptys import SlowIntake, running

WATCHED_S = 1.5


async def probed(tmp_path: Path, url: str, **more: Any) -> tuple[Report, list[str]]:
    told: list[str] = []
    wish = Wish(url, "plc-1", "station-1", "line-1", tmp_path, **{"for_s": WATCHED_S, **more})
    return await opcua.probe(wish, asyncio.Event(), told.append), told


def found_in(report: Report) -> Found:
    return concluded(report, "plc-1", "station-1", is_new=True)


async def read_with(tmp_path: Path, toml: str, values: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What the agent's own adapter reads with it, by signal, once that is as it should be."""
    (tmp_path / "line.toml").write_text(toml)
    config = load(tmp_path / "line.toml", tmp_path)
    [source] = config.sources.values()
    intake = SlowIntake(source.name)
    intake.data = tmp_path

    def last() -> dict[str, Any]:
        return {one.signal: one.value for one in intake.seen if one.quality is Quality.GOOD}

    async with running(source.module.collect(source.settings, source.signals, intake), intake):
        await intake.until(lambda: values(last()))
    return last()


async def command(folder: Path, *words: str, ended_by: int = 0) -> tuple[int, str, str]:
    """`lineside probe opcua` as it is typed: its status, output and error output."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("lineside"), "probe", "opcua", *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"XDG_STATE_HOME": str(folder), PASSWORD_VARIABLE: PASSWORD},
    )  # fmt: skip
    if ended_by:
        assert process.stderr is not None
        head = await process.stderr.readuntil(b"watching")
        process.send_signal(ended_by)
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), (head.decode() if ended_by else "") + err.decode()


async def stats(server: NodeServer) -> dict[str, int]:
    found: dict[str, int] = await server.ask("stats")
    return found


# --- what is found, and read with what is printed -------------------------------------------------


async def test_the_counters_of_a_plant_are_found_and_read(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc", part_ms=100, before=3) as server:
        report, told = await probed(tmp_path, server.url)
        after = await stats(server)
        end = found_in(report)
        assert end.runs, end.words
        assert (
            f'total = {{ source = "plc-1", node = "nsu={NAMESPACE};s=Count.Total", counter = "u32" }}'
            in end.toml
        )
        assert f'reject = {{ source = "plc-1", node = "nsu={NAMESPACE};s=Count.Reject"' in end.toml
        assert [one for one in told if "Count.Total" in one and "likely a counter (total)" in one]
        assert [one for one in told if "Write.Order" in one and "may be written" in one]
        assert [one for one in told if "Odd.Bad" in one and "BadDeviceFailure" in one]
        made = server.truth.made
        values = await read_with(tmp_path, end.toml, lambda one: one.get("station-1.total", 0) > made)
        assert values["station-1.total"] <= server.truth.made
    assert (after["writes"], after["subscriptions_created"]) == (0, 0)
    assert (after["session_requests"], after["sessions"]) == (1, 0)


async def test_how_long_a_part_takes_is_measured(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc", part_ms=250) as server:
        report, _ = await probed(tmp_path, server.url, for_s=3.0)
    cycle = str(report.stations[0].keys["ideal_cycle"])
    assert cycle.endswith("ms")
    assert 150 < float(cycle.removesuffix("ms")) < 400


async def test_machines_of_companion_specifications_are_known(tmp_path: Path) -> None:
    async with node_server(
        tmp_path / "plc", part_ms=100, models=["packml", "machinery"], packml=["Filler", "Capper"]
    ) as server:
        report, told = await probed(tmp_path, server.url)
        by_name = {one.name: one.keys for one in report.stations}
        assert (by_name["filler"]["model"], by_name["filler"]["machine"]) == ("packml", "Filler")
        assert (by_name["capper"]["model"], by_name["capper"]["machine"]) == ("packml", "Capper")
        assert by_name["press"]["model"] == "machinery"
        assert all(str(one.keys["ideal_cycle"]).endswith("ms") for one in report.stations), "by a reject"
        assert [one for one in told if 'a machine, model = "packml"' in one]
        end = found_in(report)
        assert end.runs, end.words
        made = server.truth.made
        wanted = {"filler.state": "Execute", "capper.state": "Execute"}

        def good(values: dict[str, Any]) -> bool:
            counted = all(values.get(f"{one}.total", 0) > made for one in ("filler", "capper", "press"))
            return counted and {*wanted} <= values.keys()

        await read_with(tmp_path, end.toml, good)


async def test_a_part_that_cannot_be_read_now_is_left_out_with_a_word(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc", part_ms=100, models=["packml"], packml=["Filler"]) as server:
        await server.set("PackML.Filler.Mode", 0, status="BadNoCommunication")
        report, _ = await probed(tmp_path, server.url, for_s=0.5)
    [station] = [one for one in report.stations if one.keys.get("model") == "packml"]
    assert station.keys["without"] == ["mode"]
    assert station.name == "filler"
    assert "total, reject, state are found by their types" in station.comments[0]
    assert station.comments[1].startswith("mode: it cannot be read now: BadNoCommunication")
    assert found_in(report).runs


async def test_the_size_of_a_matrix_is_shown(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc") as server:
        _, told = await probed(tmp_path, server.url, for_s=0.1)
    assert [one for one in told if "Float[2 x 3]" in one]
    assert [one for one in told if "Int32[4]" in one]


async def test_counters_inside_structures_are_found_and_read(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc", part_ms=100) as server:
        under = f"nsu={NAMESPACE};s=Struct.Counts"
        report, told = await probed(tmp_path, server.url, under=under)
        end = found_in(report)
        assert end.runs, end.words
        assert 'index = 0, member = "Total", counter = "u32"' in end.toml
        assert [one for one in told if "[0].Total" in one and "likely a counter (total)" in one]
        made = server.truth.made
        await read_with(tmp_path, end.toml, lambda one: one.get("station-1.total", 0) > made)


async def test_enumerations_are_mapped_by_the_names_of_their_values(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc") as server:
        report, told = await probed(tmp_path, server.url, for_s=0.3)
    [state] = [one for one in report.others if one.table["node"].endswith("s=Enum.State")]
    assert state.table["map"] == {"0": "Idle", "5": "Execute", "9": "Held"}
    assert [one for one in told if "PressState (Int32)" in one and "5 Pressing" in one]


async def test_a_part_of_a_server_is_looked_at_alone(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc", flat=1_000, part_ms=100) as server:
        report, _ = await probed(tmp_path, server.url, under=f"nsu={NAMESPACE};s=Count.Total")
        assert found_in(report).toml.count("node = ") == 1
        report, told = await probed(tmp_path, server.url, nodes=200, for_s=0.3)
    assert any("not the whole server" in one for one in report.words)
    assert len(told) < 300


async def test_names_that_a_terminal_would_obey_reach_none(tmp_path: Path) -> None:
    with opcua_server() as server:
        server.tell("add Count\x1b[31m\x07")
        server.tell("add Total\u202e")
        status, out, err = await command(tmp_path, server.endpoint, "--for", "300ms")
    assert status == 0, err
    assert "\\x1b[31m" in err
    assert all(one.isprintable() for one in (out + err).replace("\n", ""))


# --- security -------------------------------------------------------------------------------------


async def test_a_guarded_server_is_trusted_by_its_thumbprint(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc", **SECURE, part_ms=100) as server:
        wish = (server.url, "--for", "1s", "--user", USER)
        status, out, err = await command(tmp_path, *wish)
        assert (status, out) == (1, "")
        print_ = err.rpartition("--trust ")[2].strip()
        status, out, err = await command(tmp_path, *wish, "--trust", print_)
        assert status == 0, err
        assert PASSWORD not in out + err
        assert (await stats(server))["writes"] == 0
    assert 'security = "Basic256Sha256:SignAndEncrypt"' in out
    assert 'password = { credential = "plc-1" }' in out


async def test_after_trust_the_next_thing_that_is_wrong_is_told(tmp_path: Path) -> None:
    """The server does not trust ours yet, and then the password is wrong: neither is for --trust."""
    async with node_server(tmp_path / "plc", **SECURE, accept_any=False) as server:
        print_ = thumbprint(x509.load_der_x509_certificate(server.certificate_der))
        wish = {"for_s": 0.1, "user": USER, "password": Secret(env=PASSWORD_VARIABLE)}
        os.environ[PASSWORD_VARIABLE] = "wrong"
        try:
            with pytest.raises(SourceRefused, match=f"not trusted here: .* --trust {print_}"):
                await probed(tmp_path, server.url, **wish)
            for trust in (print_, ""):
                with pytest.raises((SourceRefused, SourceLost), match="our certificate") as refusal:
                    await probed(tmp_path, server.url, **wish, trust=trust)
                assert "--trust" not in str(refusal.value)
            assert not [*(tmp_path / "pki/rejected").glob("*.der")]
            ours = tmp_path / "pki/own/certs/lineside-rsa2048.der"
            await server.ask("trust", file=str(ours))
            with pytest.raises(SourceRefused, match="refuses the user"):
                await probed(tmp_path, server.url, **wish)
        finally:
            del os.environ[PASSWORD_VARIABLE]


async def test_the_certificate_that_is_shown_is_the_one_that_is_named(tmp_path: Path) -> None:
    """Aes256Sha256RsaPss wants a longer key, and so another certificate."""
    options = {**SECURE, "policies": ["Aes256_Sha256_RsaPss"]}
    async with node_server(tmp_path / "plc", **options) as server:
        status, _, err = await command(tmp_path, server.url, "--for", "100ms", "--user", USER)
        assert status == 1
        assert "lineside-rsa3072.der: a server that refuses it" in err
        assert "lineside-rsa2048" not in err


async def test_a_server_that_shows_no_nodes_says_so(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc") as server:
        await server.ask("refuse", service="Browse", status="BadServiceUnsupported")
        words = r"does not offer Browse \(BadServiceUnsupported\): it shows nobody what it has: ask its maker"
        with pytest.raises(SourceRefused, match=words):
            await probed(tmp_path, server.url, for_s=0.1)


async def test_what_is_printed_is_a_file_that_passes_the_check(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc", part_ms=100) as server:
        status, out, err = await command(tmp_path, server.url, "--for", "1s")
    assert status == 0, err
    (tmp_path / "new.toml").write_text(out)
    config = load(tmp_path / "new.toml", tmp_path)
    assert config.line.name == "line-1"
    assert list(config.sources) == ["plc-1"]


async def test_a_source_of_a_line_is_probed_as_the_line_reaches_it(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc", policies=["None", "Basic256Sha256"], part_ms=100) as server:
        line = tmp_path / "line.toml"
        line.write_text(
            f'[line]\nname = "line-1"\ndata = "state"\n[source.press-plc]\ntype = "opcua"\n'
            f'endpoint = "{server.url}"\nsecurity = "None"\nuser = "{USER}"\n'
            f'password = {{ env = "{PASSWORD_VARIABLE}" }}\n[[station]]\nname = "press"\nideal_cycle = "1s"\n'
        )
        status, out, err = await command(tmp_path, server.url, "--for", "1s", "--line", str(line))
    assert status == 0, err
    assert "[source" not in out
    assert 'source = "press-plc"' in out
    assert f"as {USER}" in err


async def test_a_lines_source_says_who_logs_in_and_its_password_can_be_given(tmp_path: Path) -> None:
    """Of a credential by hand there is none."""
    async with node_server(tmp_path / "plc", policies=["None", "Basic256Sha256"], part_ms=100) as server:
        line = tmp_path / "line.toml"
        line.write_text(
            f'[line]\nname = "line-1"\ndata = "state"\n[source.press-plc]\ntype = "opcua"\n'
            f'endpoint = "{server.url}"\nsecurity = "None"\nuser = "{USER}"\n'
            f'password = {{ credential = "plc" }}\n[[station]]\nname = "press"\nideal_cycle = "1s"\n'
        )
        typed = (server.url, "--for", "1s", "--line", str(line))
        status, _, err = await command(tmp_path, *typed, "--user", "other")
        assert (status, (await stats(server))["session_requests"]) == (1, 0)
        assert err.startswith(f"{line} says itself who logs in at press-plc, and how: leave --user"), err
        status, _, err = await command(tmp_path, *typed)
        assert status == 0, err


async def test_what_is_mistyped_is_one_sentence(tmp_path: Path) -> None:
    good = "opc.tcp://127.0.0.1:1"
    refused = {
        (good, "--security", "Foo"): "--security Foo: write one of None, Aes256Sha256RsaPss:SignAndEncrypt",
        (good, "--security", ""): "--security : write one of None",
        (good, "--user", ""): "--user: a name of 1",
        (good, "--for", "soon"): "--for: ",
        ("http://127.0.0.1:1",): 'http://127.0.0.1:1: write it as "opc.tcp://',
        ("vm:4840",): 'vm:4840: write it as "opc.tcp://',
        ("opc.tcp://eve:s3cret@vm",): "a user does not belong into the URL: use --user",
    }
    for words, sentence in refused.items():
        status, out, err = await command(tmp_path, *words)
        assert (status, out, err.count("\n")) == (1, "", 1), err
        assert err.startswith(sentence), err
        assert "s3cret" not in err


def test_where_nobody_can_type_a_password_the_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    done = CliRunner().invoke(app, ["probe", "opcua", "opc.tcp://127.0.0.1:1", "--user", "edge"], input="")
    assert (done.exit_code, PASSWORD_VARIABLE in done.output) == (1, True), done.output


async def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    refused: dict[str, dict[str, Any]] = {
        "takes no user and password": {"user": USER},
        "security": {"security": "Aes256Sha256RsaPss:Sign"},
        "has no namespace urn:strange": {"under": "nsu=urn:strange;s=x"},
        "--under nonsense: not a node id": {"under": "nonsense"},
        "--under s=Nowhere: BadNodeIdUnknown": {"under": "s=Nowhere"},
    }
    async with node_server(tmp_path / "plc") as server:
        for words, wish in refused.items():
            with pytest.raises(SourceRefused, match=words):
                await probed(tmp_path, server.url, for_s=0.1, **wish)


async def test_a_guarded_server_says_what_it_wants(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc", **SECURE) as server:
        with pytest.raises(SourceRefused, match="give --user"):
            await probed(tmp_path, server.url)
        with pytest.raises(SourceRefused, match="no certificate with the thumbprint"):
            await probed(tmp_path, server.url, user=USER, trust="00" * 20)
        assert (await stats(server))["session_requests"] == 0


async def test_nothing_there_is_said() -> None:
    with pytest.raises(SourceLost, match="nothing listens there"):
        await probed(Path("/nowhere"), "opc.tcp://127.0.0.1:1")


# --- its end --------------------------------------------------------------------------------------


async def test_what_was_found_before_a_server_died_is_shown(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc") as server:
        told: list[str] = []
        wish = Wish(server.url, "plc-1", "station-1", "line-1", tmp_path, for_s=60.0)
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(30):
            task = tasks.create_task(opcua.probe(wish, asyncio.Event(), told.append))
            while not any("watching" in one for one in told):
                await asyncio.sleep(0.05)
            await server.kill()
        report = task.result()
    end = found_in(report)
    assert not end.runs
    assert any("it ended before its end" in one for one in end.words)
    assert [one for one in told if "Count.Total" in one]


async def test_ctrl_c_ends_the_watching_and_the_toml_is_printed(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc", part_ms=50) as server, asyncio.timeout(30):
        status, out, err = await command(tmp_path, server.url, "--for", "10min", ended_by=signal.SIGINT)
        assert (await stats(server))["sessions"] == 0
    assert status == 0, err
    assert "Count.Total" in out


async def test_whoever_cancels_leaves_no_session(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc") as server:
        told = asyncio.Event()
        wish = Wish(server.url, "plc-1", "station-1", "line-1", tmp_path, for_s=60.0)
        task = asyncio.ensure_future(
            look(cast(Server, opcua), wish, lambda row: told.set() if "watching" in row else None)
        )
        await told.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await stats(server))["sessions"] == 0
