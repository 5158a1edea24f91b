"""`lineside certificate`: what a person types, against a server that trusts nobody yet."""

import asyncio
import os
import sys
from pathlib import Path

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
    assert f"trust LINE.toml {kept.stem[:16]}" in said
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


def test_no_security_is_a_warning_of_check(tmp_path: Path) -> None:
    file = written(tmp_path, "opc.tcp://127.0.0.1:1", f'security = "None"\n{secret(tmp_path, "s3cret")}')
    done = CliRunner().invoke(app, ["check", str(file)], env={"COLUMNS": "300"})
    assert done.exit_code == 0
    assert 'warning: source.press: security = "None"' in done.output
    assert "password may go over the network in clear text" in done.output
