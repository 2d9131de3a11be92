"""Child processes of the demo: started with a ready line, stopped politely, never left behind.

A child ends when its standard input closes (`plant`, `central`) or when the kernel tells it that its parent
died; so a killed demo leaves nothing running.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cloud_sync.host.private_files import open_private
from edge_agent.errors import EdgeError

READY_TIMEOUT_S: Final = 60.0  # initdb and the first import on a slow box
STOP_TIMEOUT_S: Final = 45.0
"""As systemd gives the agent: it ends by itself before that."""
_PR_SET_PDEATHSIG: Final = 1
_LOOPBACK_WITHOUT_PROXY: Final = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}


class Child:
    """One process. Its standard error goes to `log_file`."""

    def __init__(self, name: str, arguments: Sequence[str], log_file: Path) -> None:
        self.name = name
        self._arguments = (sys.executable, "-m", *arguments)
        self._log_file = log_file
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with open_private(self._log_file, "wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **_LOOPBACK_WITHOUT_PROXY},
                # Ctrl-C reaches only the demo itself, which then stops its children in order.
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    async def ready_line(self) -> dict[str, Any]:
        """Return the JSON line the child prints when it is ready. Raises EdgeError with its last output."""
        assert self._process is not None and self._process.stdout is not None  # noqa: S101, PT018 - started above
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                line = await self._process.stdout.readline()
        except TimeoutError as exc:
            raise EdgeError(f"{self.name} did not get ready in {READY_TIMEOUT_S:.0f} s", hint=self._see_log()) from exc
        if not line:
            raise EdgeError(f"{self.name} ended at once: {self.last_output()}", hint=self._see_log())
        document: dict[str, Any] = json.loads(line)
        return document

    async def run_to_end(self) -> None:
        """Wait for a child that does one thing. Raises EdgeError when it failed."""
        await self.start()
        assert self._process is not None  # noqa: S101 - started on the line above
        await self._process.communicate()
        if self._process.returncode != 0:
            raise EdgeError(f"{self.name} failed: {self.last_output()}", hint=self._see_log())

    async def stop(self) -> None:
        """Send SIGTERM, wait for a bounded time, send SIGKILL; a child that has ended already is fine."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None  # noqa: S101 - asked only after `start`
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process is not None and self._process.returncode is not None

    def last_output(self) -> str:
        lines = [line for line in self._log_file.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"

    def _see_log(self) -> str:
        return f"its log is {self._log_file}"


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
