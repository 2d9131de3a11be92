"""Real database servers for tests: the bundled PostgreSQL, and TimescaleDB unpacked by .ci/timescaledb.sh.

Both can be killed and started again; each test gets its own database, copied from a template in 0.05 s.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import asyncpg

from cloud_sync.central.database.migrations import migrate
from cloud_sync.central.embedded_postgres.processes import die_with_parent
from cloud_sync.central.embedded_postgres.server import EmbeddedPostgres, database_url
from tests.support.patience import Patience, cpu_seconds

REPOSITORY = Path(__file__).parents[2]
TEMPLATE = "template_central"
PATIENCE_S = 30.0


@dataclass(frozen=True)
class TablespacePlace:
    """A folder for a tablespace, as we and as the server see it, and whose it has to be. It is not made yet."""

    outside: Path
    inside: Path
    owner: int

    def give(self, folder: Path) -> None:
        os.chown(folder, self.owner, -1)


class DatabaseServer(Protocol):
    """A server that a test may kill. `start` returns once it takes connections."""

    has_timescaledb: bool

    def tablespace_place(self) -> TablespacePlace:
        """Needs root."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def kill(self) -> None: ...
    def url(self, database: str) -> str: ...


class PlainPostgres:
    """The embedded PostgreSQL as a `DatabaseServer`."""

    has_timescaledb = False

    def __init__(self, folder: Path) -> None:
        self.postgres = EmbeddedPostgres(folder)

    def tablespace_place(self) -> TablespacePlace:
        folder = short_folder()
        folder.chmod(0o755)
        return TablespacePlace(folder / "disk", folder / "disk", self.postgres.home.data.stat().st_uid)

    async def start(self) -> None:
        await self.postgres.start()

    async def stop(self) -> None:
        await self.postgres.stop()

    async def kill(self) -> None:
        os.kill(self.postgres.pid, 9)
        await self.postgres.wait()

    def url(self, database: str) -> str:
        return database_url(self.postgres.home.socket_dir, database=database)


class UnpackedTimescale:
    """PostgreSQL with TimescaleDB in a chroot; its socket is in the chroot's /tmp."""

    has_timescaledb = True
    _BIN = "/usr/lib/postgresql/17/bin"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._process: subprocess.Popen[bytes] | None = None

    def tablespace_place(self) -> TablespacePlace:
        return TablespacePlace(self._root / "tmp/disk", Path("/tmp/disk"), 5432)

    def unpack(self) -> None:
        subprocess.run([REPOSITORY / ".ci" / "timescaledb.sh", self._root], check=True)
        flags = ["-U", "edge", "-A", "trust", "--locale=C.UTF-8", "-E", "UTF8", "--no-sync"]
        self._run("initdb", "-D", "/data/db", *flags)
        settings = (
            "listen_addresses=''\nunix_socket_directories='/tmp'\njit=off\nshared_preload_libraries='timescaledb'\n"
            "timescaledb.telemetry_level=off\ndynamic_shared_memory_type=mmap\n"
        )
        with (self._root / "data/db/postgresql.conf").open("a") as file:
            file.write(settings)

    async def start(self) -> None:
        patience = Patience(PATIENCE_S, lambda: self._process and cpu_seconds(self._process.pid))
        while not patience.is_over:
            if self._process is None or self._process.poll() is not None:
                self._process = self._spawn()  # again: the memory of a killed one is freed a moment later
            try:
                connection = await asyncpg.connect(self.url("postgres"))
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.02)
                continue
            await connection.close()
            return
        raise TimeoutError((self._root / "data/log").read_text()[-2_000:])

    async def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(2)
            await _ended(self._process)

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await _ended(self._process)

    def url(self, database: str) -> str:
        return f"postgresql://edge@/{database}?host={self._root}/tmp"

    def _spawn(self) -> subprocess.Popen[bytes]:
        with (self._root / "data/log").open("ab") as log:
            return subprocess.Popen(
                ["chroot", "--userspec=5432:5432", self._root, f"{self._BIN}/postgres", "-D", "/data/db"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(2),
            )

    def _run(self, program: str, *arguments: str) -> None:
        command = ["chroot", "--userspec=5432:5432", self._root, f"{self._BIN}/{program}", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


async def _ended(process: subprocess.Popen[bytes]) -> None:
    """The event loop goes on meanwhile: a world's relays and devices run in it."""
    await Patience(PATIENCE_S).until(lambda: process.poll() is not None, "the end of the database")


async def make_template(server: DatabaseServer) -> None:
    """The database every test's own one is copied from, tables included.

    Without fsync, which halves the time of a test: servers are killed here, and what they wrote is with the
    kernel then; no test cuts the power.
    """
    await execute(server.url("postgres"), "ALTER SYSTEM SET fsync = off")
    await execute(server.url("postgres"), "SELECT pg_reload_conf()")
    await execute(server.url("postgres"), f"CREATE DATABASE {TEMPLATE}")
    connection = await asyncpg.connect(server.url(TEMPLATE))
    await migrate(connection)
    await connection.close()
    if server.has_timescaledb:  # its background worker would keep the template busy
        await execute(server.url("postgres"), f"ALTER DATABASE {TEMPLATE} WITH ALLOW_CONNECTIONS false")
        ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1"
        await execute(server.url("postgres"), ended, TEMPLATE)


async def execute(url: str, statement: str, *arguments: Any) -> list[Any]:
    """One statement over a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(statement, *arguments))
    finally:
        await connection.close()


def short_folder() -> Path:
    """A folder whose path leaves room for a unix socket's name; pytest's own is too long and closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="edge-", dir="/tmp"))
    folder.chmod(0o755)
    return folder


def remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
