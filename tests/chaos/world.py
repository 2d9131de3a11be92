"""Everything that can break, as processes and a relay between them, and how to put it right again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from cloud_sync.central.store import Store
from tests.chaos.gateway import GATEWAY
from tests.support.databases import REPOSITORY, TEMPLATE, DatabaseServer, execute
from tests.support.relay import Relay
from tests.support.sockets import listening

API_KEY = "key-of-the-chaos-run"
ANSWER_DEADLINE_S = 30.0
_ROWS = "SELECT sensor_id, (extract(epoch FROM timestamp) * 1000000)::bigint AS time_us, value FROM sensor_readings"


class Child:
    """A process of ours that speaks in lines; its errors go to a file."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen[str] | None = None

    async def start(self, *command: str, **environment: str) -> str:
        """Returns its first line."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                cwd=REPOSITORY, env=os.environ | environment,
            )  # fmt: skip
        return await self.line()

    async def line(self) -> str:
        async with asyncio.timeout(ANSWER_DEADLINE_S):
            line = await asyncio.to_thread(_end(self._running.stdout).readline)
        assert line, f"{self._log} says why it ended: {self._log.read_text()[-2_000:]}"
        return line

    def say(self, line: str) -> None:
        stdin = _end(self._running.stdin)
        stdin.write(line + "\n")
        stdin.flush()

    def send(self, order: signal.Signals) -> None:
        self._running.send_signal(order)

    async def end(self, order: signal.Signals = signal.SIGKILL) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(order)
        with process, contextlib.suppress(BrokenPipeError):
            await asyncio.to_thread(process.wait, ANSWER_DEADLINE_S)

    @property
    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process


class ChaosRelay(Relay):
    """Answers may also be late."""

    delay_s = 0.0

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65_536):
                await asyncio.sleep(self.delay_s)
                if self.drop_next_answer:
                    self.drop_next_answer = False
                    break
                writer.write(chunk)
                await writer.drain()
        writer.close()


class World:
    """One gateway, one central, one database, and a relay between the first two."""

    def __init__(self, server: DatabaseServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.central = Child(folder / "central.log")
        self.gateway = Child(folder / "gateway.log")
        self.relay: ChaosRelay
        self.central_url = ""
        self._port = 0
        self._lives = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with Store(self._database_url) as store:
            await store.add_key(API_KEY, gateway_id=GATEWAY)
        try:
            self.relay = ChaosRelay(await self.start_central())
            async with listening(self.relay.handle) as port:
                self.relay.url = f"http://127.0.0.1:{port}"
                await self.start_gateway()
                yield
        finally:
            await self.gateway.end()
            await self.central.end()

    async def start_central(self) -> str:
        command = ["-m", "cloud_sync.central.cli", "serve", "--exit-with-parent"]
        said = await self.central.start(*command, "--database-url", self._database_url, "--port", str(self._port))
        self.central_url = json.loads(said)["url"]
        self._port = urlsplit(self.central_url).port or 0
        return self.central_url

    async def start_gateway(self) -> None:
        self._lives += 1
        arguments = ["-m", "tests.chaos.gateway", str(self.folder), self.relay.url, str(self._lives)]
        await self.gateway.start(*arguments, CHAOS_API_KEY=API_KEY)

    async def quiet(self) -> None:
        """Nothing new from now on; what was put is durable and marked."""
        self.gateway.say("quiet")
        await self.gateway.line()

    async def count(self) -> int:
        return int((await execute(self._database_url, "SELECT count(*) AS n FROM sensor_readings"))[0]["n"])

    async def rows(self) -> list[tuple[tuple[str, int], float]]:
        found = await execute(self._database_url, _ROWS)
        return [((row["sensor_id"], row["time_us"]), row["value"]) for row in found]

    @property
    def _database_url(self) -> str:
        return self.server.url(TEMPLATE)


def _end(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
