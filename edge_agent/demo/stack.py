"""The whole pipeline in one process tree: central with its database, plant, gateway; started and stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from cloud_sync.host.stopping import unless_stopped
from cloud_sync.outbox.audit_log import read_audit_log
from edge_agent.demo.audit import Audit, audit
from edge_agent.demo.configuration import GATEWAY_ID, DemoFolders, write_configuration
from edge_agent.demo.processes import Child
from edge_agent.errors import ConfigurationError, DaemonUnreachableError, EdgeError
from edge_agent.status.local_socket import SOCKET_FILE, STATUS_FILE, StatusFile, ask_daemon


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What both ends say now; None while one does not answer."""

    gateway: dict[str, Any] | None
    central: dict[str, Any] | None


class Stack:
    """Runs while `running()` is entered."""

    def __init__(self, folders: DemoFolders) -> None:
        self.folders = folders
        logs = folders.state_dir / "logs"
        embedded = ("--embedded", str(folders.state_dir / "central"))
        self._central = Child(
            "the central",
            ["cloud_sync.central.cli.main", "serve", *embedded, "--exit-with-parent"],
            logs / "central.log",
        )
        self._add_key = Child(
            "adding the gateway's key",
            ["cloud_sync.central.cli.main", "add-key", GATEWAY_ID, *embedded, "--key-file", str(folders.key_file)],
            logs / "add-key.log",
        )
        self._plant = Child(
            "the simulated plant",
            ["edge_agent.demo.plant", "--modbus-port", "0", "--opcua-port", "0", "--data", str(folders.press_rows)],
            logs / "plant.log",
        )
        self._gateway = Child(
            "the gateway", ["edge_agent", "run", "--config", str(folders.config_file)], logs / "gateway.log"
        )
        self._central_url = ""
        self._database_url = ""
        self._client: httpx.AsyncClient | None = None
        self._exits = contextlib.AsyncExitStack()
        self._old_keys = 0
        self._started_us = 0

    @contextlib.asynccontextmanager
    async def running(self, stop: asyncio.Event | None = None) -> AsyncIterator[None]:
        """Start everything, unless `stop` is set meanwhile; at the end stop gateway and plant, the central last."""
        self._old_keys = sum(1 for _ in read_audit_log(self.folders.audit_log_file))
        try:
            # The demo's central is on loopback; a proxy from the environment must not come between.
            async with httpx.AsyncClient(timeout=2.0, trust_env=False) as self._client:
                await unless_stopped(stop or asyncio.Event(), self._start(), within_s=0.0)
                yield
        finally:
            self._client = None
            await self._gateway.stop()
            await self._exits.aclose()
            await self._plant.stop()
            await self._central.stop()

    async def finish(self) -> tuple[Audit, dict[str, Any] | None]:
        """Stop the gateway (it delivers what it has), then count keys on both sides."""
        await self._gateway.stop()
        last = StatusFile(self.folders.runtime_dir / STATUS_FILE).read()
        result = await audit(
            self.folders.audit_log_file,
            self.folders.state_dir / "gateway" / "outbox.db",
            self._database_url,
            skip_keys=self._old_keys,
            since_us=self._started_us,
        )
        return result, last

    async def look(self) -> Snapshot:
        """Return what both ends say now. Raises EdgeError when a part has died."""
        for child in (self._central, self._plant, self._gateway):
            if child.has_ended:
                raise EdgeError(f"{child.name} has ended: {child.last_output()}")
        try:
            gateway = ask_daemon(self.folders.runtime_dir / SOCKET_FILE)
        except DaemonUnreachableError:
            gateway = None
        return Snapshot(gateway, await self._ask_central())

    async def _start(self) -> None:
        await self._central.start()
        ready = await self._central.ready_line()
        self._central_url, self._database_url = ready["url"], ready["database"]
        await self._add_key.run_to_end()
        await self._plant.start()
        ports = await self._plant.ready_line()
        route = await self._exits.enter_async_context(self._route_to_central(self._central_url))
        write_configuration(self.folders, central_url=route, **ports)
        self._started_us = time.time_ns() // 1000
        await self._gateway.start()

    @contextlib.asynccontextmanager
    async def _route_to_central(self, central_url: str) -> AsyncIterator[str]:
        """The address the gateway is told; something that stands in the way may say another."""
        yield central_url

    async def _ask_central(self) -> dict[str, Any] | None:
        if self._client is None:
            return None
        try:
            answer = await self._client.get(f"{self._central_url}/api/v1/stats")
        except httpx.HTTPError:
            return None
        document: dict[str, Any] | None = answer.json() if answer.status_code == 200 else None
        return document


def prepare_folders(state_dir: Path, data_dir: Path | None) -> DemoFolders:
    """Make the folders. Raises ConfigurationError when the recordings are not where they should be."""
    root = Path(__file__).resolve().parents[2]
    data = (data_dir or root / "tests" / "data").absolute()
    for needed in ("nasa_ims/2nd_test", "mimii", "ai4i/ai4i2020.csv"):
        if not (data / needed).exists():
            raise ConfigurationError(
                f"{data / needed} is missing", hint="run the demo from a checkout, or name the recordings with --data"
            )
    state = state_dir.absolute()
    try:
        state.mkdir(mode=0o755, parents=True, exist_ok=True)  # PostgreSQL may run as another user below it
    except OSError as exc:
        raise ConfigurationError(f"{state} cannot be made: {exc.strerror}", hint="choose another --state") from exc
    # The socket's path must be short, whatever folder the checkout lies in.
    runtime = Path(tempfile.mkdtemp(prefix="edge-demo-", dir=os.environ.get("XDG_RUNTIME_DIR") or None))
    return DemoFolders(state, runtime, data, root / "models_onnx", state / "central-api-key")
