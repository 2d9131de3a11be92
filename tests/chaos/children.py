"""A process of ours that speaks in lines and can be killed, paused and started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

from tests.support.databases import REPOSITORY
from tests.support.patience import Patience, cpu_seconds

PATIENCE_S = 30.0
"""Without a sign of life from it, on a machine of its own."""


class Child:
    """Its errors go to a file."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen[str] | None = None

    async def start(self, *command: str, **environment: str) -> str:
        """Returns its first line."""
        self.spawn(*command, **environment)
        return await self.line()

    def spawn(self, *command: str, **environment: str) -> None:
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                cwd=REPOSITORY, env=os.environ | environment,
            )  # fmt: skip

    async def line(self) -> str:
        reading = asyncio.create_task(asyncio.to_thread(_end(self._running.stdout).readline))
        await self.patience().until(reading.done, f"a line of {self._log.stem}")
        line = reading.result()
        assert line, f"{self._log} says why it ended: {self.last_words()}"
        return line

    def say(self, line: str) -> None:
        stdin = _end(self._running.stdin)
        stdin.write(line + "\n")
        stdin.flush()

    def send(self, order: signal.Signals) -> None:
        self._running.send_signal(order)

    async def kill(self) -> None:
        """SIGKILL. That it had ended by itself before is a failure of its own."""
        assert self.is_running, f"{self._log} says why it ended: {self.last_words()}"
        await self.end()

    async def end(self, order: signal.Signals = signal.SIGKILL) -> int | None:
        """Its exit status; None when it was not running."""
        if self._process is None:
            return None
        self._process.send_signal(order)
        return await self.ended()

    async def ended(self) -> int:
        """Wait until it is gone, whoever ended it."""
        process, self._process = self._running, None
        with process, contextlib.suppress(BrokenPipeError):
            # Work does not prolong this: that it stops within its time is what is asked.
            await Patience(PATIENCE_S).until(lambda: process.poll() is not None, f"the end of {self._log.stem}")
        return process.returncode

    def patience(self, seconds: float = PATIENCE_S) -> Patience:
        """For something this process does: it is at work as long as it uses CPU."""
        pid = self._running.pid
        return Patience(seconds, lambda: cpu_seconds(pid))

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def last_words(self) -> str:
        return self._log.read_text()[-2_000:]

    @property
    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process


def _end(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
