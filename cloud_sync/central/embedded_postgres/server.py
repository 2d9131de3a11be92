"""A PostgreSQL of our own, run as an ordinary user in a private folder, for the demo, tests and small sites.

Constraints
- Reachable over a unix socket in a 0700 folder only; no TCP port, so no password is needed.
- Durable as any PostgreSQL: fsync on, the data outlives `kill -9` of the server and of this program.
- One owner at a time (a lock file); a server left behind by a killed owner is stopped first.
- The server is a direct child and dies with the thread that started it, so start it from the main thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import asyncpg

from cloud_sync.central.embedded_postgres.home import PostgresHome, find_home
from cloud_sync.central.embedded_postgres.processes import die_with_parent, end_process, foreign_process_in
from cloud_sync.central.errors import EmbeddedPostgresError
from cloud_sync.host.private_files import open_private

DATABASE: Final = "central"
USER: Final = "edge"

START_TIMEOUT_S: Final = 60.0  # crash recovery of a large WAL on a slow card
_STOP_TIMEOUT_S: Final = 15.0
_LOCK_TIMEOUT_S: Final = 5.0
_POLL_S: Final = 0.05
_START_TRIES: Final = 200
"""For the first moments after a kill -9 the old server's memory is still held by its dying children."""

_SETTINGS: Final = (
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "max_connections=40",
    "shared_buffers=32MB",
    "jit=off",
    "logging_collector=off",
    "log_min_messages=warning",
)


class EmbeddedPostgres:
    """`async with EmbeddedPostgres(folder) as postgres:`; then `postgres.url` is a database of ours."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._home: PostgresHome | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the URL for asyncpg; the socket's folder is in the query."""
        return database_url(self.home.socket_dir)

    @property
    def home(self) -> PostgresHome:
        if self._home is None:
            raise EmbeddedPostgresError("PostgreSQL was not started")
        return self._home

    @property
    def pid(self) -> int:
        if self._process is None:
            raise EmbeddedPostgresError("PostgreSQL was not started")
        return self._process.pid

    async def __aenter__(self) -> Self:
        self._home = find_home(self._data_dir)
        self._lock = await _lock_soon(self._home)
        self._home = find_home(self._data_dir)  # again: the owner before us removed its socket's folder
        try:
            await self._initialise()
            await self.start()
        except BaseException:
            await self._release()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._release()

    async def start(self) -> None:
        """Start the server and wait until it takes connections. Also after it died."""
        await self._stop_leftover()
        for tries_left in reversed(range(_START_TRIES)):
            self._process = _spawn(self.home)
            try:
                await self._wait_until_ready()
                break
            except _MemoryStillHeldError:
                if tries_left == 0:
                    raise
                await asyncio.sleep(_POLL_S)
        await self._create_database()

    async def stop(self) -> None:
        """Stop the server, cleanly if it can be done in time. Does nothing when it is not running."""
        if self._process is not None:
            await end_process(self._process, first=signal.SIGINT, then=signal.SIGQUIT, timeout_s=_STOP_TIMEOUT_S)

    async def wait(self) -> None:
        """Return when the server has ended, for whatever reason."""
        while self._process is not None and self._process.poll() is None:  # noqa: ASYNC110 (a child's end is no event)
            await asyncio.sleep(_POLL_S)

    async def _release(self) -> None:
        try:
            await self.stop()
        finally:
            with contextlib.suppress(OSError):  # not empty when the server had to be killed
                self.home.socket_dir.rmdir()
            if self._lock is not None:
                self._lock.close()

    async def _initialise(self) -> None:
        """Make the data folder, complete or not at all."""
        home = self.home
        if (home.data / "PG_VERSION").exists():
            return
        fresh = home.fresh_data()
        arguments = ["-D", str(fresh), "-U", USER, "-A", "trust", "--locale=C.UTF-8", "-E", "UTF8", "--no-instructions"]
        status, output = await asyncio.to_thread(_run, home, "initdb", arguments)
        if status != 0:
            raise EmbeddedPostgresError(f"initdb failed in {home.data.parent}: {_last_lines(output)}")
        fresh.rename(home.data)

    async def _stop_leftover(self) -> None:
        """We hold the lock, so a server in our data folder has lost its owner."""
        pid = foreign_process_in(self.home.data)
        if pid is None:
            return
        for order in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, order)
            deadline = time.monotonic() + _STOP_TIMEOUT_S
            while time.monotonic() < deadline:
                if foreign_process_in(self.home.data) is None:
                    return
                await asyncio.sleep(_POLL_S)
        raise EmbeddedPostgresError(f"PostgreSQL (pid {pid}) in {self.home.data} does not end")

    async def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise self._died()
            try:
                connection = await _connect(self.home, "postgres")
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(_POLL_S)
                continue
            await connection.close()
            return
        await self.stop()
        raise EmbeddedPostgresError(
            f"PostgreSQL took no connections within {START_TIMEOUT_S:g} s: {_last_lines(self.home.log_tail())}"
        )

    def _died(self) -> EmbeddedPostgresError:
        output = self.home.log_tail()
        if "pre-existing shared memory block" in output or "is another postmaster" in output:
            return _MemoryStillHeldError(f"PostgreSQL did not start: {_last_lines(output)}")
        return EmbeddedPostgresError(
            f"PostgreSQL did not start: {_last_lines(output)}", hint=f"the whole log is {self.home.log}"
        )

    async def _create_database(self) -> None:
        connection = await _connect(self.home, "postgres")
        try:
            if not await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()


class _MemoryStillHeldError(EmbeddedPostgresError):
    """The server before this one is not quite gone yet."""


def database_url(socket_dir: Path, *, database: str = DATABASE) -> str:
    return f"postgresql://{USER}@/{database}?host={socket_dir}"


def running_url(data_dir: Path) -> str | None:
    """Return the URL of the server that some process runs on this folder now, or None."""
    home = find_home(data_dir)
    try:
        _locked(home).close()
    except EmbeddedPostgresError:
        return database_url(home.socket_dir)
    return None


async def _connect(home: PostgresHome, database: str) -> asyncpg.Connection[Any]:
    connection: asyncpg.Connection[Any] = await asyncpg.connect(
        database_url(home.socket_dir, database=database), timeout=START_TIMEOUT_S
    )
    return connection


def _locked(home: PostgresHome) -> IO[bytes]:
    """The folder's lock, held until closed; also released when this process is killed."""
    lock: IO[bytes] = open_private(home.lock, "ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        lock.close()
        raise EmbeddedPostgresError(
            f"another edge-central already runs the database in {home.data.parent}",
            hint="stop it, or give this one another folder",
        ) from exc
    return lock


async def _lock_soon(home: PostgresHome) -> IO[bytes]:
    """A key command holds the lock while its own short-lived server runs; wait that long, no longer."""
    deadline = time.monotonic() + _LOCK_TIMEOUT_S
    while True:
        try:
            return _locked(home)
        except EmbeddedPostgresError:
            if time.monotonic() >= deadline:
                raise
            await asyncio.sleep(_POLL_S)


def _spawn(home: PostgresHome) -> subprocess.Popen[bytes]:
    """Fork from the caller's thread: the kernel ends the child when *that thread* ends."""
    settings = [
        word for setting in (*_SETTINGS, f"unix_socket_directories={home.socket_dir}") for word in ("-c", setting)
    ]
    with open_private(home.log, "wb") as log:
        return subprocess.Popen(
            [home.bin / "postgres", "-D", home.data, *settings],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=home.data,
            env=home.environment,
            preexec_fn=die_with_parent(signal.SIGINT),
            **home.identity,
        )


def _run(home: PostgresHome, program: str, arguments: list[str]) -> tuple[int, str]:
    done = subprocess.run(
        [home.bin / program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=home.data.parent,
        env=home.environment,
        check=False,
        **home.identity,
    )
    return done.returncode, done.stdout.decode(errors="replace")


def _last_lines(output: str, count: int = 4) -> str:
    return " | ".join(output.strip().splitlines()[-count:]) or "(no output)"
