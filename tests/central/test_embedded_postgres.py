"""The bundled PostgreSQL: first start, restart, left-behind servers, other users, and its end with its owner."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from cloud_sync.central.embedded_postgres.home import find_home
from cloud_sync.central.embedded_postgres.processes import foreign_process_in
from cloud_sync.central.embedded_postgres.server import EmbeddedPostgres, running_url
from cloud_sync.central.errors import EmbeddedPostgresError
from tests.support.databases import REPOSITORY, execute, remove, short_folder

DEADLINE_S = 30.0

OWNER = """
import asyncio, sys
from pathlib import Path
from cloud_sync.central.embedded_postgres.server import EmbeddedPostgres

async def main():
    async with EmbeddedPostgres(Path(sys.argv[1])) as postgres:
        print(postgres.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = short_folder()
    yield folder / "central"
    remove_traces(folder / "central")
    remove(folder)


def remove_traces(data_dir: Path) -> None:
    home = find_home(data_dir)
    remove(home.socket_dir)
    if home.data.parent != data_dir:
        remove(home.data.parent)


async def until(state) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not state():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def owner_of(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """A process of its own that runs the database, and its database's pid."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, folder], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert owner.stdout is not None
    return owner, int(owner.stdout.readline())


def end(owner: subprocess.Popen[str], order: signal.Signals) -> None:
    assert owner.stdout is not None
    with owner.stdout:
        owner.send_signal(order)
        owner.wait(DEADLINE_S)


async def test_data_outlives_an_orderly_end(folder: Path):
    for expected in (0, 1):
        async with EmbeddedPostgres(folder) as postgres:
            await execute(postgres.url, "CREATE TABLE IF NOT EXISTS kept (n int)")
            assert (await execute(postgres.url, "SELECT count(*) AS n FROM kept"))[0]["n"] == expected
            await execute(postgres.url, "INSERT INTO kept VALUES (1)")
        assert foreign_process_in(postgres.home.data) is None
        assert not postgres.home.socket_dir.exists()


async def test_nobody_listens_on_a_port_and_others_cannot_reach_the_socket(folder: Path):
    async with EmbeddedPostgres(folder) as postgres:
        assert (await execute(postgres.url, "SHOW listen_addresses"))[0][0] == ""
        assert (await execute(postgres.url, "SHOW fsync"))[0][0] == "on"
        assert postgres.home.socket_dir.stat().st_mode & 0o077 == 0
        assert postgres.home.data.stat().st_mode & 0o077 == 0


async def test_a_killed_server_starts_again_with_its_data(folder: Path):
    async with EmbeddedPostgres(folder) as postgres:
        await execute(postgres.url, "CREATE TABLE kept (n int)")
        os.kill(postgres.pid, signal.SIGKILL)
        await postgres.wait()
        await postgres.start()
        assert await execute(postgres.url, "SELECT * FROM kept") == []


async def test_a_folder_has_one_owner_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cloud_sync.central.embedded_postgres.server._LOCK_TIMEOUT_S", 0.0)
    async with EmbeddedPostgres(folder) as postgres:
        assert running_url(folder) == postgres.url
        with pytest.raises(EmbeddedPostgresError, match="already runs"):
            async with EmbeddedPostgres(folder):
                pass
        assert await execute(postgres.url, "SELECT 1") != []
    assert running_url(folder) is None


async def test_the_server_ends_when_its_owner_is_killed(folder: Path):
    owner, pid = owner_of(folder)
    end(owner, signal.SIGKILL)
    await until(lambda: foreign_process_in(find_home(folder).data) != pid)
    async with EmbeddedPostgres(folder) as postgres:
        assert await execute(postgres.url, "SELECT 1") != []


async def test_a_server_left_behind_is_stopped_first(folder: Path):
    async with EmbeddedPostgres(folder):
        pass
    home = find_home(folder)
    left_behind = subprocess.Popen(
        [home.bin / "postgres", "-D", home.data, "-c", "listen_addresses=", "-k", home.socket_dir],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home.data, **home.identity,
    )  # fmt: skip
    await until(lambda: foreign_process_in(home.data) == left_behind.pid)
    async with EmbeddedPostgres(folder) as postgres:
        assert left_behind.wait(DEADLINE_S) == 0
        assert postgres.pid != left_behind.pid
        assert await execute(postgres.url, "SELECT 1") != []


async def test_what_an_interrupted_first_start_left_is_replaced(folder: Path):
    home = find_home(folder)
    fresh = home.fresh_data()
    (fresh / "half").write_text("done")
    async with EmbeddedPostgres(folder) as postgres:
        assert await execute(postgres.url, "SELECT 1") != []


async def test_a_server_that_cannot_start_says_why(folder: Path):
    async with EmbeddedPostgres(folder) as postgres:
        home = postgres.home
    (home.data / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(EmbeddedPostgresError, match=r"9\.6"):
        async with EmbeddedPostgres(folder):
            pass
    assert running_url(folder) is None


@pytest.mark.parametrize("depth", [1, 30])
async def test_a_long_path_leaves_room_for_the_socket(folder: Path, depth: int):
    deep = folder.joinpath(*["a-folder-name"] * depth)
    assert len(os.fsencode(find_home(deep).socket_dir)) < 90
    remove_traces(deep)


@pytest.mark.root
async def test_root_keeps_data_elsewhere_when_nobody_cannot_reach_the_folder(folder: Path):
    folder.mkdir()
    folder.parent.chmod(0o700)
    places = set()
    for expected in (0, 1):
        async with EmbeddedPostgres(folder) as postgres:
            places.add(postgres.home.data)
            await execute(postgres.url, "CREATE TABLE IF NOT EXISTS kept (n int)")
            assert (await execute(postgres.url, "SELECT count(*) AS n FROM kept"))[0]["n"] == expected
            await execute(postgres.url, "INSERT INTO kept VALUES (1)")
    assert len(places) == 1
    assert not places.pop().is_relative_to(folder)
    assert folder.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.root
async def test_programs_that_nobody_can_reach_are_copied(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    package = find_home(folder).bin.parents[1]
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    for part in (package, package.with_name("embedded_postgres.libs")):
        subprocess.run(["cp", "-r", part, hidden], check=True)
    monkeypatch.syspath_prepend(hidden)
    async with EmbeddedPostgres(folder) as postgres:
        assert postgres.home.bin.is_relative_to(folder)
        assert await execute(postgres.url, "SELECT 1") != []


def run_as_nobody(folder: Path, told: Connection) -> None:
    os.setgroups([])
    os.setgid(65_534)
    os.setuid(65_534)

    async def main() -> None:
        async with EmbeddedPostgres(folder) as postgres:
            rows = await execute(postgres.url, "SELECT 1")
            told.send((len(rows), Path(f"/proc/{postgres.pid}").stat().st_uid))

    asyncio.run(main())


@pytest.mark.root
def test_an_ordinary_user_runs_it_as_itself(folder: Path):
    folder.parent.chmod(0o777)
    heard, told = Pipe(duplex=False)
    # Forked, not started: this interpreter's own files may be closed to the other user.
    child = get_context("fork").Process(target=run_as_nobody, args=(folder, told))
    child.start()
    told.close()
    with heard:
        assert heard.recv() == (1, 65_534)
    child.join(DEADLINE_S)
    assert child.exitcode == 0
    assert not (folder / "pgdata" / "postmaster.pid").exists()
