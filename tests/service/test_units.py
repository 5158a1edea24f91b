"""The systemd units: systemd itself finds nothing wrong with them, and little exposed."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"
NAMES = ("lineside@.service", "lineside-board@.service")
PROGRAM = "/opt/lineside/venv/bin/lineside"

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as they would be installed, with a program that exists."""
    for name in NAMES:
        (tmp_path / name).write_text((UNITS / name).read_text().replace(PROGRAM, "/bin/true"))
    return tmp_path


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("name", NAMES)
def test_systemd_understands_every_line(installed: Path, name: str) -> None:
    verified = analyze("verify", installed / name.replace("@", "@line-1"), installed / name)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_a_misspelt_key_would_be_noticed(installed: Path) -> None:
    unit = installed / NAMES[0]
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    assert "WatchdogSecs" in analyze("verify", unit).stderr


def test_the_backup_of_the_page_is_two_units_that_systemd_understands(tmp_path: Path) -> None:
    text = (UNITS / "README.md").read_text().partition("## A backup every night")[2]
    written = re.findall(r"^`/etc/systemd/system/(\S+)`:\n```ini\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in written] == ["lineside-backup@.service", "lineside-backup@.timer"]
    for name, unit in written:
        (tmp_path / name.replace("@", "@line-1")).write_text(unit.replace(PROGRAM, "/bin/true"))
    verified = analyze("verify", *sorted(tmp_path.iterdir()))
    assert (verified.returncode, verified.stderr) == (0, "")


def test_the_backup_of_the_page_makes_one_and_throws_old_ones_away(tmp_path: Path) -> None:
    """The two lines as they are, but for the program and the folder."""
    page, folder = (UNITS / "README.md").read_text(), tmp_path / "backup" / "line-1"
    folder.mkdir(parents=True)
    old = folder / "2026-01-01-023000.db"
    old.touch()
    os.utime(old, (0, 0))
    for key, value in re.findall(r"^(ExecStart|ExecStartPost)=(.*lineside-backup/.*)$", page, re.MULTILINE):
        typed = value.replace("%i", "line-1").replace("%%", "%").replace("$$", "$")
        typed = typed.replace("/var/lib/lineside-backup", str(tmp_path / "backup"))
        if key == "ExecStart":
            typed = typed.replace(f"{PROGRAM} backup", "touch").partition(" --line")[0] + "'"
        subprocess.run(shlex.split(typed), check=True)
    [made] = folder.iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-\d{6}\.db", made.name)


def test_guns_are_given_to_the_group_of_the_agent_and_to_nobody_else() -> None:
    """`udevadm verify` came with systemd 254: here the grammar of udev(7) is checked, and what is given."""
    rules = [
        line for line in (UNITS / "70-lineside-guns.rules").read_text().splitlines() if line[:1] not in "#"
    ]
    token = r'[A-Z]+(\{\w+\})?(==|!=|=)"[^"]*"'
    assert [rule for rule in rules if not re.fullmatch(rf"{token}(, {token})*", rule)] == []
    guards, guns, end = rules[:2], rules[2:-1], rules[-1]
    assert [guard.split(", ") for guard in guards] == [
        ['SUBSYSTEM!="input"', 'GOTO="lineside_end"'], ['KERNEL!="event*"', 'GOTO="lineside_end"'],
    ]  # fmt: skip
    assert end == 'LABEL="lineside_end"'
    given = ['GROUP="lineside"', 'MODE="0660"', 'ENV{LIBINPUT_IGNORE_DEVICE}="1"']
    assert guns
    for gun in guns:
        assert re.fullmatch(r'ATTRS\{idVendor\}=="[0-9a-f]{4}"', gun.split(", ")[0]), gun
        assert gun.split(", ")[1:] == given
    assert "input" not in " ".join(settings(NAMES[0])["SupplementaryGroups"])


@pytest.mark.parametrize("name", NAMES)
def test_little_is_exposed(installed: Path, name: str) -> None:
    judged = analyze("security", "--offline=yes", "--threshold=30", "--no-pager", installed / name)
    assert judged.returncode == 0, judged.stdout
    bare = installed / "bare@.service"
    bare.write_text("[Service]\nExecStart=/bin/true\n")
    assert analyze("security", "--offline=yes", "--threshold=30", "--no-pager", bare).returncode != 0


def settings(name: str) -> dict[str, list[str]]:
    """What a unit sets, by key."""
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", (UNITS / name).read_text(), re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


def test_both_share_a_journal_and_only_the_agent_has_ports_and_secrets() -> None:
    agent, board = (settings(name) for name in NAMES)
    for key in ("User", "StateDirectory", "StateDirectoryMode", "UMask"):
        assert agent[key] == board[key]
    assert agent["ExecStart"] == [f"{PROGRAM} run /etc/lineside/%i.toml"]
    assert board["ExecStart"] == [f"{PROGRAM} board /etc/lineside/%i.toml"]
    assert agent["SupplementaryGroups"] == ["dialout"]
    assert {"char-ttyUSB rw", "char-input rw"} <= set(agent["DeviceAllow"])
    assert not {"DeviceAllow", "SupplementaryGroups", "LoadCredential"} & set(board)
    assert not {"Requires", "BindsTo", "PartOf"} & (set(agent) | set(board))


def test_the_units_and_their_page_name_the_same_files() -> None:
    page, script = (UNITS / "README.md").read_text(), (UNITS / "install.sh").read_text()
    for name in (*NAMES, "lineside.sysusers"):
        assert f"`{name}`" in page
        assert name in script
    assert os.access(UNITS / "install.sh", os.X_OK)
    checked = subprocess.run(["sh", "-n", UNITS / "install.sh"], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
