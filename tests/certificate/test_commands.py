"""`lineside certificate`: what a person types, against a server that trusts nobody yet."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.cli import app
from tests.support.node_opcua import SECURE, NodeServer, node_server

LINE = """
[line]
name = "line-1"

[source.press]
type = "opcua"
endpoint = "{url}"
request_timeout = "3s"
{more}

[[station]]
name = "press-3"
ideal_cycle = "6s"
total = {{ source = "press", node = "nsu=urn:acme:press;s=Count.Total", counter = "u32" }}
"""


def written(tmp_path: Path, url: str, more: str) -> Path:
    file = tmp_path / "line.toml"
    file.write_text(LINE.format(url=url, more=more), encoding="utf-8")
    return file


async def typed(tmp_path: Path, *words: str) -> tuple[int, str]:
    """Exit status and all that was printed, of a process of its own."""
    command, *rest = words
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge", "certificate", command, str(tmp_path / "line.toml"), *rest,
        "--data", str(tmp_path / "data"), stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=os.environ | {"COLUMNS": "300"},
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, output.decode()


def secret(tmp_path: Path, text: str) -> str:
    path = tmp_path / "secret"
    path.write_text(text)
    path.chmod(0o600)
    return f'user = "edge"\npassword = {{ file = "{path}" }}'


def faulty(said: str) -> list[str]:
    return [line.split(maxsplit=1)[1] for line in said.splitlines() if line.strip().startswith("FAULT")]


async def test_from_a_first_start_to_a_session(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc", **SECURE, accept_any=False) as server:
        written(tmp_path, server.url, secret(tmp_path, "guessed-wrong"))
        status, said = await typed(tmp_path, "doctor")
        assert status == 1
        assert faulty(said)[0].startswith("server's trust")
        await _trusts_the_server(tmp_path, said)
        status, said = await typed(tmp_path, "doctor", "press")
        assert (status, faulty(said)[0].split()[0]) == (1, "channel")
        await _is_trusted(tmp_path, server)
        status, said = await typed(tmp_path, "doctor", "press")
        assert (status, faulty(said)[0].split()[0]) == (1, "user")
        assert "guessed-wrong" not in said
        secret(tmp_path, "s3cret")
        status, said = await typed(tmp_path, "doctor", "press")
        assert (status, faulty(said)) == (0, []), said
        assert "edge may come in" in said
        seen = await server.ask("stats")
        assert (seen["sessions"], seen["sessions_peak"]) == (0, 1)


async def _trusts_the_server(tmp_path: Path, said: str) -> None:
    (kept,) = (tmp_path / "data/pki/rejected").iterdir()
    typed_again = (
        f"lineside certificate trust {tmp_path / 'line.toml'} --data {tmp_path / 'data'} {kept.stem}"
    )
    assert typed_again in said
    status, said = await typed(tmp_path, "trust", "press")
    assert status == 1
    assert "compare the thumbprint" in said
    status, said = await typed(tmp_path, "trust", kept.stem[:7])
    assert (status, "8 digits or more" in said) == (1, True)
    status, said = await typed(tmp_path, "trust", kept.stem[:16].lower())
    assert (status, kept.exists()) == (0, False), said
    assert kept.stem in said


async def _is_trusted(tmp_path: Path, server: NodeServer) -> None:
    status, said = await typed(tmp_path, "show")
    assert status == 0
    (own,) = (tmp_path / "data/pki/own/certs").iterdir()
    assert str(own) in said
    await server.ask("trust", file=str(own))


async def test_without_the_services_secret_all_but_the_login_is_tried(tmp_path: Path) -> None:
    """By hand there is no credential."""
    async with node_server(tmp_path / "plc", **SECURE, accept_any=True) as server:
        written(tmp_path, server.url, 'user = "edge"\npassword = { credential = "press" }')
        status, said = await typed(tmp_path, "trust", "press", "--yes")
        assert status == 0, said
        status, said = await typed(tmp_path, "doctor")
        assert status == 1
        [fault] = faulty(said)
        assert fault.startswith("user's secret")
        assert "-p LoadCredentialEncrypted=press:/etc/credstore.encrypted/press" in fault
        assert f"certificate doctor {tmp_path}/line.toml" in fault
        steps = [line.split(maxsplit=1)[1].split("  ")[0] for line in said.splitlines()[1:]]
        assert steps[-3:] == ["channel", "session", "user's secret"], said
        assert (await server.ask("stats"))["sessions"] == 0


async def test_the_servers_own_is_fetched_where_it_was_compared(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc", **SECURE) as server:
        written(tmp_path, server.url, secret(tmp_path, "s3cret"))
        status, said = await typed(tmp_path, "trust", "press", "--yes")
        assert status == 0, said
        status, said = await typed(tmp_path, "doctor")
        assert status == 0, said
        await server.kill()
        status, said = await typed(tmp_path, "doctor")
        assert (status, faulty(said)[0].split()[0]) == (1, "TCP")
        assert "nothing listens there" in said


async def test_a_file_and_what_is_none(tmp_path: Path) -> None:
    written(tmp_path, "opc.tcp://127.0.0.1:1", "")
    status, said = await typed(tmp_path, "trust", str(tmp_path / "line.toml"))
    assert (status, "holds no certificate" in said) == (1, True)
    status, said = await typed(tmp_path, "doctor", "pres")
    assert (status, "it has: press" in said) == (1, True)


async def test_security_not_offered_names_what_is(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc", **SECURE) as server:
        written(tmp_path, server.url, 'security = "Aes256Sha256RsaPss:Sign"')
        status, said = await typed(tmp_path, "doctor")
    assert (status, faulty(said)[0].split()[0]) == (1, "endpoints")
    assert "it offers Basic256Sha256:SignAndEncrypt" in said


def checked(tmp_path: Path, url: str, more: str = "") -> str:
    return (
        CliRunner().invoke(app, ["check", str(written(tmp_path, url, more))], env={"COLUMNS": "300"}).output
    )


@pytest.mark.parametrize(
    "url",
    [
        "opc.tcp://edge:hunter2@127.0.0.1", "http://edge:hunter2@127.0.0.1", "opc.tcp:edge:hunter2@plc",
        "opc.tcp://edge:hunter2@plc:99999", "opc.tcp://hunter2@[::1",
    ],
)  # fmt: skip
def test_a_password_in_an_endpoint_is_not_repeated(tmp_path: Path, url: str) -> None:
    said = checked(tmp_path, url)
    assert "use the keys user and password" in said
    assert "hunter2" not in said
    in_a_list = written(tmp_path, "X", "").read_text().replace('"X"', '["opc.tcp://edge:hunter2@plc"]')
    (tmp_path / "line.toml").write_text(in_a_list)
    said = CliRunner().invoke(app, ["check", str(tmp_path / "line.toml")]).output
    assert "must be text in quotes" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("opc.tcp://plc:99999", "the port is a number from 1 to 65535"),
        ("opc.tcp://plc:0", "the port is a number from 1 to 65535"),
        ("opc.tcp://plc:abc", "the port is a number from 1 to 65535"),
        ("opc.tcp://[::1", 'write it as "opc.tcp://192.168.10.21:4840"'),
        ("opc.tcp://ho st", "is neither a host's name nor its address"),
        ("opc.tcp://192.168.10.300", "is neither a host's name nor its address"),
        ("opc.tcp://plc/a path", "has a space in its path"),
        ("plc:4840", 'write it as "opc.tcp://192.168.10.21:4840"'),
    ],
)
def test_a_wrong_endpoint_says_how_it_is_written(tmp_path: Path, url: str, words: str) -> None:
    assert words in checked(tmp_path, url)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("opc.tcp://127.0.0.1:4841", "opc.tcp://LOCALHOST:4841/", True),
        ("opc.tcp://PLC.acme", "opc.tcp://plc.acme.:4840", True),
        ("opc.tcp://[::1]", "opc.tcp://localhost", True),
        ("opc.tcp://[::ffff:10.0.0.1]", "opc.tcp://10.0.0.1", True),
        ("opc.tcp://[2001:DB8::1]", "opc.tcp://[2001:db8:0::1]", True),
        ("opc.tcp://plc", "opc.tcp://plc:4841", False),
        ("opc.tcp://plc/press", "opc.tcp://plc/packer", False),
        ("opc.tcp://tcp", "opc.tcp://opc", False),
    ],
)
def test_one_server_has_one_source(tmp_path: Path, one: str, other: str, same: bool) -> None:
    second = f'\n[source.copy]\ntype = "opcua"\nendpoint = "{other}"'
    said = checked(tmp_path, one, second)
    assert ("source.copy" in said and "is already used by source.press" in said) == same


def test_no_security_is_a_warning_of_check(tmp_path: Path) -> None:
    file = written(tmp_path, "opc.tcp://127.0.0.1:1", f'security = "None"\n{secret(tmp_path, "s3cret")}')
    done = CliRunner().invoke(app, ["check", str(file)], env={"COLUMNS": "300"})
    assert done.exit_code == 0
    assert 'warning: source.press: security = "None"' in done.output
    assert "password may go over the network in clear text" in done.output
