"""Result files while the agent is killed."""

import asyncio
import signal
import sys
from collections import Counter
from functools import partial
from pathlib import Path

from adapters._result_folder import Taken
from adapters.result_files import results_of
from edge.contract import TestResult
from tests.adapters.result_files_support import LINE, names, settings, there, write
from tests.support.agent import running_agent, whole_lines

DYING = """
import asyncio, os, signal, sys
from pathlib import Path
from adapters import result_files
from edge.contract import Outcome, Verdict
from tests.support.intake import MemoryIntake

folder, disk, dies_at = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

class Disk(MemoryIntake):
    recorded = 0
    async def emit(self, observations):
        with disk.open("a") as file:
            file.write("".join(f"{one.detail}\\n" for one in observations))
        self.recorded += len(observations)
        if dies_at and self.recorded >= dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if dies_at == 0 and any("STOP" in one.detail for one in observations):
            print("done", flush=True)
        return [Outcome(Verdict.ACCEPTED) for _ in observations]

of = result_files.Settings.model_validate(
    {"type": "result-files", "folder": str(folder), "holds": "results", "quiet": "20ms", "every": "10ms",
     "ignore": ["last"]})
asyncio.run(result_files.collect(of, [], Disk("rig-1")))
"""


async def test_a_kill_in_a_large_file_repeats_no_more_than_the_core_remembers(tmp_path: Path) -> None:
    """500 results, killed after every 100th or so: each is on disk, and what comes twice comes at once."""
    folder, disk = tmp_path / "rig", tmp_path / "disk"
    folder.mkdir()
    lines = [LINE.format(number) for number in range(1, 501)]
    write(folder / "shift.txt", *lines, "unit=STOP;program=P;number=501;result=PASS\n")
    arguments = (sys.executable, "-c", DYING, str(folder), str(disk))
    for _ in range(4):
        process = await asyncio.create_subprocess_exec(*arguments, "100")
        assert await asyncio.wait_for(process.wait(), 20) == -signal.SIGKILL
    process = await asyncio.create_subprocess_exec(*arguments, "0", stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"done\n"
    await there(lambda: names(folder / "done") == ["shift.txt"])
    process.kill()
    await process.wait()
    came = [int(one.partition("number=")[2].partition(";")[0]) for one in disk.read_text().splitlines()]
    assert set(came) == set(range(1, 502))
    remembered: list[int] = []
    for number in came:
        assert number in remembered[-64:] or number not in remembered
        remembered += [number] if number not in remembered else []
    assert remembered == sorted(remembered)


AGENT = """
[line]
name = "line-1"
badge = "optional"

[source.rig-1]
type = "result-files"
folder = "{folder}/rig"
holds = "results"
quiet = "20ms"
every = "10ms"

[[station]]
name = "eol"
ideal_cycle = "10s"
rig = "rig-1"

[sink.file]
type = "file"
"""


def recorded(folder: Path) -> Counter[str]:
    """How often each unit's result is in the file sink, by its event's id: a repeat on the way is none."""
    tests = {}
    for path in sorted((folder / "data/out/file").glob("*.jsonl")):
        for event in whole_lines(path):
            if event["type"] == "test":
                tests[event["id"]] = event["data"]["unit"]
    return Counter(tests.values())


def make_files(folder: Path, number: int) -> int:
    """One with a result and one with ninety, the first of them `number` + 1; the last one's number."""
    for size in (1, 90):
        write(folder / f"{number}.tmp", *[LINE.format(number + one) for one in range(1, size + 1)])
        (folder / f"{number}.tmp").rename(folder / f"{number}.txt")
        number += size
    return number


def has_begun(folder: Path, number: int) -> bool:
    """Some of the newest results are on record."""
    return sum(recorded(folder).values()) > number - 80


async def test_the_agent_records_each_result_once_however_often_it_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "rig"
    folder.mkdir()
    number = 0
    for _ in range(3):
        async with running_agent(tmp_path, AGENT.format(folder=tmp_path)) as running:
            number = make_files(folder, number)
            await running.until(partial(has_begun, tmp_path, number))
            running.process.kill()
            await running.process.wait()
    async with running_agent(tmp_path, AGENT.format(folder=tmp_path)) as running:
        await running.until(lambda: running.log.count("rig-1: connected") == 4)
        await running.until(lambda: len(recorded(tmp_path)) >= number)
        await there(lambda: len(names(folder / "done")) == 6)
        assert await running.stop() == 0
    assert recorded(tmp_path) == Counter({f"U-{one:04}": 1 for one in range(1, number + 1)})


def test_a_file_of_one_line_may_end_like_a_line(tmp_path: Path) -> None:
    columns = {"fields": {"unit": 1, "result": 2}, "constants": {"program": "P"}, "columns": 2}
    of = settings(tmp_path, format="csv", **columns)
    [one] = results_of(of, Taken("r.csv", b"U-1,PASS\r\n", 5_000_000, 0))
    assert one.result == TestResult("U-1", "P", True, None, "r.csv@5#1")
