"""Which journal a command finds: that of who types, or that of the installed service."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import typer

from edge.shell import find_keys, find_line

LINE = '[line]\nname = "hall-7"\n{more}[[station]]\nname = "press"\nideal_cycle = "2s"\n'
NOBODY = 65_534


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "lineside" / "hall-7"


def written(tmp_path: Path, more: str = "", folder: str = "etc") -> Path:
    (tmp_path / folder).mkdir(exist_ok=True)
    file = tmp_path / folder / "press-hall.toml"
    file.write_text(LINE.format(more=more), encoding="utf-8")
    return file


def with_journal(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "journal.db").touch()
    return folder


def found(tmp_path: Path, file: Path, data: Path | None = None) -> Path:
    return find_line(file, data, tmp_path / "etc", tmp_path / "state").data


def test_where_who_types_has_none_it_is_that_of_the_service(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named after the file, not after the line."""
    service = with_journal(tmp_path / "state" / "press-hall")
    assert found(tmp_path, written(tmp_path)) == service
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"the journal is that of the service, in {service}\n")


def test_what_is_named_or_there_is_taken(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_journal(tmp_path / "state" / "press-hall")
    file = written(tmp_path)
    assert found(tmp_path, file, tmp_path / "other") == tmp_path / "other"
    assert found(tmp_path, written(tmp_path, folder="mine")) == home, "not a line of the service"
    assert found(tmp_path, written(tmp_path, 'data = "here"\n')) == tmp_path / "etc" / "here"
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "unit"))
    assert found(tmp_path, written(tmp_path)) == tmp_path / "unit", "the board's unit"
    monkeypatch.delenv("STATE_DIRECTORY")
    with_journal(home)
    assert found(tmp_path, file) == home
    assert capsys.readouterr().err == ""


def test_where_there_is_none_it_says_where_it_looked(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert found(tmp_path, written(tmp_path)) == home
    assert capsys.readouterr().err == (
        f"there is no journal in {home}, nor in {tmp_path}/state/press-hall; --data names another folder\n"
    )


def test_that_of_the_service_is_its_users_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with TemporaryDirectory() as folder:
        tmp_path = Path(folder)
        tmp_path.chmod(0o755)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
        service = with_journal(tmp_path / "state" / "press-hall")
        service.chmod(0)
        file = written(tmp_path)
        find_line(file, service)  # root has to load the adapters, where nobody else may read them
        with as_nobody(), pytest.raises(typer.Exit):
            found(tmp_path, file)
        service.chmod(0o700)
    said = f"the journal in {service} is the service's; type `sudo -u lineside` before the command\n"
    assert capsys.readouterr().err == said


# --- keys -----------------------------------------------------------------------------------------


def keys_of(tmp_path: Path, file: Path, data: Path | None = None) -> Path:
    return find_keys(file, data, tmp_path / "etc", tmp_path / "state").data


def test_keys_are_made_where_the_agent_will_look_or_nowhere(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also before it was started for the first time."""
    file, service = written(tmp_path), tmp_path / "state" / "press-hall"
    with pytest.raises(typer.Exit):
        keys_of(tmp_path, file)
    said = capsys.readouterr().err
    assert f"the agent of {file} looks for its keys in {service}, which is not there yet" in said
    assert f"sudo install -d -m 700 -o lineside -g lineside {service}" in said
    service.mkdir(parents=True)
    assert keys_of(tmp_path, file) == service
    assert capsys.readouterr().err == f"the keys are those of the service, in {service}\n"
    assert keys_of(tmp_path, file, tmp_path / "other") == tmp_path / "other"
    assert keys_of(tmp_path, written(tmp_path, folder="mine")) == home, "not a line of the service"
    with_journal(home)
    assert keys_of(tmp_path, file) == home


def test_keys_of_another_user_are_not_made(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `sudo` makes them: the agent could not read them."""
    with TemporaryDirectory() as folder:
        tmp_path = Path(folder)
        tmp_path.chmod(0o755)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
        file, service = written(tmp_path), tmp_path / "state" / "press-hall"
        service.mkdir(parents=True)
        find_keys(file, service)
        with another(service), pytest.raises(typer.Exit):
            keys_of(tmp_path, file)
    said = capsys.readouterr().err
    assert said.startswith(f"{service} is ")
    assert said.endswith("` before the command\n")


@contextmanager
def another(folder: Path) -> Iterator[None]:
    """Who types is not its owner; only root can give a folder away, and so be another."""
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
        yield
    else:
        pytest.skip("only root can be another user")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
