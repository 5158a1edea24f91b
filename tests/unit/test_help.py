"""What a newcomer types first."""

import pytest
from typer.testing import CliRunner

from edge import __version__
from edge.cli import app


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_version_is_had_both_ways() -> None:
    assert printed("version") == printed("--version") == f"{__version__}\n"


@pytest.mark.parametrize("group", [(), ("orders",)])
def test_no_command_is_described_by_half_a_sentence(group: tuple[str, ...]) -> None:
    said = printed(*group, "--help")
    _, listed = said.split("Commands:\n")
    assert len(listed.splitlines()) >= 3
    assert "..." not in listed
    assert all(line.endswith((".", "?")) for line in listed.rstrip().splitlines())
