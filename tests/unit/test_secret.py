"""A secret that is not there says in a sentence where it was looked for."""

import os
from pathlib import Path

import pytest

from edge.contract import Secret


def reason(secret: Secret) -> str:
    """What reveal() raises, as an adapter puts it into its sentence."""
    with pytest.raises((OSError, LookupError)) as caught:
        secret.reveal()
    return str(caught.value)


def private(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def test_each_kind_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = private(tmp_path / "influx", b"s3cret\n")
    monkeypatch.setenv("TOKEN", "s3cret")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for secret in (Secret(env="TOKEN"), Secret(file=str(file)), Secret(credential="influx")):
        assert secret.reveal() == "s3cret"


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    assert reason(Secret(env="TOKEN")) == "the environment has no TOKEN"


def test_a_credential_without_systemd_says_what_to_use_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert reason(Secret(credential="influx")) == (
        "credential 'influx' is given by systemd only; to run by hand use { env = ... } or { file = ... }"
    )


def test_a_credential_that_the_unit_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert "no credential 'influx'; add LoadCredential=" in reason(Secret(credential="influx"))


def test_a_file_that_is_away_open_to_others_or_no_text_is_named(tmp_path: Path) -> None:
    away, binary = tmp_path / "away", private(tmp_path / "binary", os.urandom(16) + b"\xff")
    assert reason(Secret(file=str(away))) == f"{away}: No such file or directory"
    assert reason(Secret(file=str(binary))) == f"{binary} holds no text"
    binary.chmod(0o644)
    assert f"chmod 600 {binary}" in reason(Secret(file=str(binary)))
