"""Our own processes in a demo: the agent, started again whenever it dies, and the board."""

import asyncio
import contextlib
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

RESTART_S = 0.5
"""As a service manager would wait."""
STOP_S = 10.0
_GUARD = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
"""A child must not outlive the demo, not even after a kill -9."""


class Child:
    """A `lineside` command in a process of its own, its log in a file."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self._arguments = arguments
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self.starts = 0
        """How often it was started; each but the first because it had ended."""

    async def keep_running(self) -> None:
        """Until `stop`: however it dies, it is started again."""
        while not self._stopping:
            self.starts += 1
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *_GUARD, sys.executable, "-m", "edge", *self._arguments,
                    stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
            await self._process.wait()
            if not self._stopping:
                await asyncio.sleep(RESTART_S)

    def kill(self) -> None:
        """kill -9: no warning, no last words."""
        self._signal(signal.SIGKILL)

    def restart(self) -> None:
        """SIGTERM: it ends in order, and is started again."""
        self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """SIGTERM, and no new start."""
        self._stopping = True
        self._signal(signal.SIGTERM)

    def last_words(self) -> str:
        text = self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""
        return "\n".join(text.splitlines()[-5:])

    def printed(self, beginning: str) -> str | None:
        """The rest of the newest line that begins so."""
        text = self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""
        found = [line for line in text.splitlines() if line.startswith(beginning)]
        return found[-1].removeprefix(beginning).strip() if found else None

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)


@contextlib.asynccontextmanager
async def child(log: Path, *arguments: str) -> AsyncIterator[Child]:
    """A command kept running inside the block, ended in order after it."""
    one = Child(log, *arguments)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(one.keep_running(), name=f"child[{arguments[0]}]")
        try:
            yield one
        finally:
            one.stop()
            try:
                await asyncio.wait_for(asyncio.shield(task), STOP_S)
            except TimeoutError:
                one.kill()
