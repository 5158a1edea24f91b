"""`make demo`, `make test` and `make install` up to the first package: on a machine that this file plays.

Programs that would change a machine (apt-get, systemctl, python3 with its venv and pip) are small scripts in
a folder that is all of PATH; each writes what it was asked to do into a log.
"""

import json
import os
import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
SCRIPTS = (".ci/prepare", ".ci/run", "systemd/install.sh")
NEEDED = ("sh", "dirname", "tail", "mktemp", "rm", "cp", "cat", "mkdir", "touch", "chmod", "make")

NPM_LOCK = "tests/node_opcua/package-lock.json"

SAYS = '#!/bin/sh\necho "${0##*/} $*" >>"$LOG"\n'
# An npm that leaves behind what the real one does.
NPM = SAYS + "mkdir -p node_modules && touch node_modules/.package-lock.json\n"
# A python3 whose venv is a folder with a pip; pip says whence it comes, as the real one does.
PYTHON = r"""#!/bin/sh
case "$*" in
"-m venv "*)
    echo "venv $3" >>"$LOG"
    case $3 in /*) place=$3 ;; *) place=$PWD/$3 ;; esac
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
    [ -z "$INTERRUPTED" ] || exit 130
    printf '#!/bin/sh\necho "pip 23.0.1 from %s/lib/pip (python 3.11)"\n' "$place" >"$3/bin/pip"
    printf '#!/bin/sh\necho "lineside $*" >>"$LOG"\n' >"$3/bin/lineside"
    chmod +x "$3/bin/pip" "$3/bin/lineside" ;;
"-m pip "*requirements-hid.lock)
    echo "hid $*" >>"$LOG" ;;
"-m pip "*"--no-deps"*)
    echo "install $*" >>"$LOG"
    for from; do :; done
    echo "$from:" $(cd "$from" && echo *) >>"$LOG" ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine with a clone of the project."""

    folder: Path

    @property
    def clone(self) -> Path:
        return self.folder / "clone"

    def has(self, program: str, script: str = SAYS) -> None:
        path = self.folder / "bin" / program
        path.unlink(missing_ok=True)
        path.write_text(script)
        path.chmod(0o755)

    def lacks(self, program: str) -> None:
        (self.folder / "bin" / program).unlink(missing_ok=True)

    def type(self, *command: str, where: Path | None = None, interrupted: bool = False) -> tuple[int, str]:
        """Exit status, and all that is printed."""
        done = subprocess.run(
            command, cwd=where or self.clone, capture_output=True, text=True, timeout=30, check=False,
            env={
                "PATH": str(self.folder / "bin"), "LOG": str(self.folder / "log"),
                "TMPDIR": str(self.folder / "tmp"), "INTERRUPTED": "yes" if interrupted else "",
            },
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def done(self) -> list[str]:
        """What was done since the last time this was asked."""
        log = self.folder / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    for name in (
        "bin",
        "tmp",
        "clone/.ci",
        "clone/edge",
        "clone/adapters",
        "clone/simulators",
        "clone/config",
        "clone/tests/node_opcua",
    ):
        (tmp_path / name).mkdir(parents=True)
    for name in (
        "Makefile",
        ".ci/prepare",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "requirements.lock",
        NPM_LOCK,
    ):
        shutil.copy(ROOT / name, made.clone / name)
    for program in NEEDED:
        found = shutil.which(program)
        assert found is not None, program
        (tmp_path / "bin" / program).symlink_to(found)
    made.has("python3", PYTHON)
    made.has("id", "#!/bin/sh\necho 1000\n")
    for program in ("apt-get", "systemctl", "service"):
        made.has(program)
    return made


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_is_one(script: str) -> None:
    checked = subprocess.run(["sh", "-n", ROOT / script], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert os.access(ROOT / script, os.X_OK)


def test_the_demo_is_prepared_once(machine: Machine) -> None:
    status, _ = machine.type("make", "demo")
    assert status == 0
    assert [one.split()[0] for one in machine.done()] == ["venv", "install", ".:", "lineside"]
    assert machine.type("make", "demo") == (0, "")
    assert machine.done() == ["lineside demo"]


def test_a_venv_that_was_interrupted_is_made_anew(machine: Machine) -> None:
    assert machine.type("make", "demo", interrupted=True)[0] != 0
    assert (machine.clone / ".venv/bin/python").exists()
    (machine.clone / ".venv/half").touch()
    assert machine.done() == ["venv .venv"]
    assert machine.type("make", "demo")[0] == 0
    assert machine.done()[0] == "venv .venv"
    assert not (machine.clone / ".venv/half").exists()


def test_a_clone_that_was_moved_gets_a_venv_of_its_new_place(machine: Machine) -> None:
    assert machine.type("make", "demo")[0] == 0
    machine.done()
    moved = machine.folder / "elsewhere"
    machine.clone.rename(moved)
    assert machine.type("make", "demo", where=moved)[0] == 0
    assert machine.done()[0] == "venv .venv"
    assert machine.type("make", "demo", where=moved) == (0, "")


def test_a_python_that_is_not_there_is_named_and_nothing_is_installed(machine: Machine) -> None:
    machine.has("id", "#!/bin/sh\necho 0\n")
    status, said = machine.type("make", "PYTHON=python3.99", "demo")
    assert status != 0
    assert "There is no python3.99." in said
    assert machine.done() == []


def test_without_root_one_line_is_to_be_typed(machine: Machine) -> None:
    machine.lacks("python3")
    status, said = machine.type("make", "demo")
    wanted = "apt-get update && {}apt-get install -y --no-install-recommends python3 python3-venv\n"
    assert status != 0
    assert "Type, as root:  " + wanted.format("") in said
    machine.has("sudo")
    assert "Type:  sudo " + wanted.format("sudo ") in machine.type("make", "demo")[1]
    assert machine.done() == []


def test_servers_that_the_tests_need_are_left_stopped(machine: Machine) -> None:
    (machine.clone / "requirements-dev.lock").touch()
    for program in ("mosquitto", "influxd"):
        machine.has(program)
    machine.has("sudo")
    machine.has("npm", NPM)
    line = machine.type(".ci/prepare", "dev", "python3", ".venv")[1].rstrip()
    assert line.endswith(" && sudo systemctl disable --now victoria-metrics")
    machine.has("id", "#!/bin/sh\necho 0\n")
    status, said = machine.type(".ci/prepare", "dev", "python3", ".venv")
    assert status == 0, said
    done = machine.done()
    update, install, *after = (one for one in done if one.split()[0] in ("apt-get", "systemctl", "service"))
    assert update.endswith(" update")
    assert " install -y --no-install-recommends" in install
    assert "victoria-metrics" in install.split()
    assert "mosquitto" not in install.split()
    assert after == ["systemctl disable --now victoria-metrics", "service victoria-metrics stop"]
    assert list((machine.folder / "tmp").iterdir()) == []


def test_what_the_tests_need_of_npm_is_fetched_once_and_without_its_scripts(machine: Machine) -> None:
    (machine.clone / "requirements-dev.lock").touch()
    machine.has("id", "#!/bin/sh\necho 0\n")
    machine.has("npm", NPM)
    for wanted in (["npm ci --no-audit --no-fund --ignore-scripts --loglevel=error"], []):
        assert machine.type(".ci/prepare", "dev", "python3", ".venv")[0] == 0
        assert [one for one in machine.done() if one.startswith("npm")] == wanted
    assert machine.type(".ci/prepare", "run", "python3", ".venv")[0] == 0
    lock = json.loads((ROOT / NPM_LOCK).read_text())
    packages = [one for name, one in lock["packages"].items() if name]
    assert all("integrity" in one and "resolved" not in one for one in packages)


def test_a_compiler_is_wanted_only_for_guns_in_keyboard_mode(machine: Machine) -> None:
    """The headers of this Python are nowhere: the machine of the test has none."""
    shutil.copy(ROOT / "requirements-hid.lock", machine.clone)
    without = (".ci/prepare", "install", "python3", str(machine.folder / "opt/venv"))
    assert machine.type(*without)[0] == 0
    assert not [one for one in machine.done() if one.startswith("hid")]
    status, said = machine.type(*without, "hid")
    assert status != 0
    assert " --no-install-recommends gcc python3-dev" in said
    machine.has("id", "#!/bin/sh\necho 0\n")
    assert machine.type(*without, "hid")[0] == 0
    [built] = [one for one in machine.done() if one.startswith("hid")]
    assert built.endswith("--require-hashes --no-build-isolation -r requirements-hid.lock")


def test_the_lock_for_guns_is_of_the_version_that_the_project_wants() -> None:
    [wanted] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["hid"]
    lock = (ROOT / "requirements-hid.lock").read_text()
    [version] = re.findall(r"^evdev==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}$", lock, re.MULTILINE)
    assert Requirement(wanted).specifier.contains(version)


def test_packages_that_cannot_be_had_leave_the_log_that_is_named(machine: Machine) -> None:
    machine.lacks("python3")
    machine.has("id", "#!/bin/sh\necho 0\n")
    machine.has("apt-get", "#!/bin/sh\necho E: no network\nexit 100\n")
    status, said = machine.type("make", "demo")
    (log,) = (machine.folder / "tmp").iterdir()
    assert status != 0
    assert "E: no network" in said
    assert str(log) in said


def test_an_installation_is_built_from_a_copy_without_what_is_old(machine: Machine) -> None:
    (machine.clone / "build/lib/edge").mkdir(parents=True)
    target = machine.folder / "opt/venv"
    before = sorted(machine.clone.rglob("*"))
    status, said = machine.type(".ci/prepare", "install", "python3", str(target))
    assert status == 0, said
    copied = machine.done()[-1]
    assert copied.startswith(str(machine.folder / "tmp"))
    wanted = ["LICENSE", "README.md", "adapters", "config", "edge", "pyproject.toml", "simulators"]
    assert copied.split()[1:] == wanted
    assert sorted(machine.clone.rglob("*")) == before
    assert list((machine.folder / "tmp").iterdir()) == []


def test_every_package_of_the_tree_is_installed() -> None:
    wanted = {"edge.samples"}  # config/, under another name
    for top in ("edge", "adapters", "simulators"):
        wanted |= {".".join(one.parent.relative_to(ROOT).parts) for one in (ROOT / top).rglob("__init__.py")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["setuptools"]["packages"]) == wanted


def test_what_root_installs_others_can_read(machine: Machine) -> None:
    target = machine.folder / "opt/venv"
    machine.type("sh", "-c", f"umask 077; .ci/prepare install python3 {target}")
    assert target.stat().st_mode & 0o777 == 0o755


def test_an_installation_needs_root_before_any_work(machine: Machine) -> None:
    shutil.copytree(ROOT / "systemd", machine.clone / "systemd")
    status, said = machine.type("make", "install")
    assert status != 0
    assert "This needs root." in said
    machine.has("id", "#!/bin/sh\necho 0\n")
    status, said = machine.type("make", "install")
    assert status != 0
    assert "There is no systemd here" in said
    assert machine.done() == []
