"""`edge-central` as it is used: its ready line, its keys, its end, and its one-line errors."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from cloud_sync import wire
from tests.contract.check_transport import batch
from tests.support.central import Database
from tests.support.databases import REPOSITORY, remove, short_folder
from tests.support.patience import Patience

DEADLINE_S = 60.0
PROGRAM = [sys.executable, "-m", "cloud_sync.central.cli.main"]
INGEST = "/api/v1/data/ingest/batch"


def edge_central(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False, cwd=REPOSITORY,
        env={**os.environ, **environment},
    )  # fmt: skip


class Serving:
    """A running `edge-central serve`, and what its ready line said. It keeps old rows: those of the batch are."""

    def __init__(self, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [*PROGRAM, "serve", "--retention-days", "0", *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.ready = json.loads(self.process.stdout.readline())

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.communicate(timeout=DEADLINE_S)

    def post(self, api_key: str) -> httpx.Response:
        headers = {"X-API-Key": api_key, "Idempotency-Key": "gw-1:b1", "Content-Encoding": "zstd"}
        return httpx.post(self.ready["url"] + INGEST, content=wire.encode(batch()), headers=headers, timeout=30)


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = short_folder()
    yield folder
    remove(folder)


def socket_dir_of(database_url: str) -> Path:
    return Path(database_url.partition("host=")[2])


@pytest.mark.parametrize("order", [signal.SIGTERM, signal.SIGINT])
def test_from_an_empty_folder_to_a_stored_batch_and_a_clean_end(folder: Path, order: signal.Signals):
    key_file = folder / "key"
    with Serving("--embedded", folder, "--port", 0) as central:
        assert edge_central("add-key", "gw-1", "--embedded", folder, "--key-file", key_file).returncode == 0
        assert key_file.stat().st_mode & 0o777 == 0o600
        assert central.post(key_file.read_text().strip()).json()["accepted"] == 6
        central.process.send_signal(order)
        assert central.process.wait(DEADLINE_S) == 0
    remove(socket_dir_of(central.ready["database"]))


def test_it_ends_with_its_parent_when_asked_to(folder: Path):
    with Serving("--embedded", folder, "--exit-with-parent") as central:
        assert central.process.stdin is not None
        central.process.stdin.close()
        central.process.stdin = None
        assert central.process.wait(DEADLINE_S) == 0
    remove(socket_dir_of(central.ready["database"]))


def test_a_second_order_ends_it_also_while_its_database_hangs(folder: Path):
    with Serving("--embedded", folder) as central:
        database = suspended(psutil.Process(central.process.pid))
        asked = threading.Thread(target=_ask_in_vain, args=(central.ready["url"],), daemon=True)
        asked.start()
        until_somebody_is_served(central.process.pid)
        central.process.send_signal(signal.SIGTERM)
        central.process.send_signal(signal.SIGINT)  # another: two of a kind at once are one to the kernel
        assert central.process.wait(DEADLINE_S) == 1
        for process in database:
            process.resume()
    _, alive = psutil.wait_procs(database, timeout=DEADLINE_S)
    assert alive == []
    asked.join(DEADLINE_S)
    remove(socket_dir_of(central.ready["database"]))


def suspended(parent: psutil.Process) -> list[psutil.Process]:
    """Suspend the children, also those that came meanwhile: the central's jobs connect after it is ready."""
    found: list[psutil.Process] = []
    while new := [child for child in parent.children(recursive=True) if child not in found]:
        for child in new:
            child.suspend()
        found += new
    return found


def until_somebody_is_served(pid: int) -> None:
    """Until a connection stands; its request comes with it."""
    patience = Patience(DEADLINE_S)
    while not any(one.status == psutil.CONN_ESTABLISHED for one in psutil.Process(pid).net_connections("tcp")):
        assert not patience.is_over, "nobody connected"
        time.sleep(0.05)
    time.sleep(0.5)


def _ask_in_vain(url: str) -> None:
    with contextlib.suppress(httpx.HTTPError):
        httpx.get(f"{url}/api/v1/stats", timeout=DEADLINE_S)


def test_a_database_that_dies_is_started_again(folder: Path):
    with Serving("--embedded", folder) as central:
        api_key = edge_central("add-key", "gw-1", "--database-url", central.ready["database"]).stdout.strip()
        assert central.post(api_key).status_code == 200
        os.kill(int((folder / "pgdata" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        answers = iter(lambda: central.post(api_key), None)
        recovered = next(answer for answer in answers if answer.status_code == 200)
        assert recovered.json()["duplicates"] == 6
    remove(socket_dir_of(central.ready["database"]))


def test_keys_are_listed_by_digest_and_revoked(database: Database):
    environment = {"EDGE_CENTRAL_DATABASE_URL": database.url}
    api_key = edge_central("add-key", "gw-1", **environment).stdout.strip()
    listed = edge_central("keys", **environment).stdout
    key = json.loads(listed)
    assert api_key not in listed
    assert (key["gateway_id"], key["revoked_at"]) == ("gw-1", None)
    assert edge_central("revoke-key", key["key_id"], **environment).returncode == 0
    assert json.loads(edge_central("keys", **environment).stdout)["revoked_at"] is not None
    assert edge_central("revoke-key", key["key_id"], **environment).returncode == 2


def test_a_key_file_that_exists_is_registered_again_for_its_gateway_only(database: Database, tmp_path: Path):
    key_file = tmp_path / "key"
    arguments = ["--database-url", database.url, "--key-file", key_file]
    first = edge_central("add-key", "gw-1", *arguments)
    assert first.returncode == 0
    assert f"gw-1 may send with the key in {key_file}" in first.stderr
    written = key_file.read_text()
    assert edge_central("add-key", "gw-1", *arguments).returncode == 0
    assert key_file.read_text() == written
    other = edge_central("add-key", "gw-2", *arguments)
    assert other.returncode == 2
    assert "belongs to gateway 'gw-1'" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve"], "either --database-url or --embedded"),
        (["serve", "--database-url", "postgresql://x/y", "--embedded", "/tmp/x"], "either"),
        (["serve", "--database-url", "mysql://x/y"], "not with postgresql://"),
        (["serve", "--database-url", "postgresql://x/y", "--tls-cert", "/absent"], "belong together"),
        (["serve", "--database-url", "postgresql://x/y", "--tls-cert", "/absent", "--tls-key", "/absent"], "TLS"),
        (["serve", "--embedded", "/proc/nowhere"], "no place for PostgreSQL"),
        (["keys", "--database-url", "postgresql://u:hidden@127.0.0.1:1/x"], "database is away"),
        (["revoke-key", "xyz", "--database-url", "postgresql://x/y"], "hexadecimal"),
        (["add-key", "a:b", "--database-url", "postgresql://x/y"], "no colon"),
        (["add-key", "a\x1b[2Jb", "--database-url", "postgresql://x/y"], "no control character"),
    ],
)
def test_a_mistake_is_one_clear_line(arguments: list[str], words: str):
    done = edge_central(*arguments)
    told = done.stderr.strip().splitlines()
    assert done.returncode in (1, 2)
    assert words in told[-1]
    assert "Traceback" not in done.stderr
    assert "hidden" not in done.stderr


def test_a_port_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = edge_central("serve", "--database-url", "postgresql://x/y", "--port", port)
    assert done.returncode == 2
    assert f"port {port} is in use" in done.stderr


def test_it_serves_while_its_database_is_away_and_hides_the_password():
    with Serving("--database-url", "postgresql://u:hidden@127.0.0.1:1/x") as central:
        assert central.ready["database"] == "postgresql://u@127.0.0.1:1/x"
        assert httpx.get(central.ready["url"] + "/health").json()["status"] == "database_away"
        assert central.post("any").status_code == 503


async def test_tables_that_cannot_be_adopted_are_said_in_words(database: Database):
    await database.fetch("DROP TABLE sensor_readings CASCADE")
    await database.fetch("DROP TABLE schema_version")
    await database.fetch("CREATE TABLE sensor_readings (id serial PRIMARY KEY, sensor_id text, value text)")
    result = edge_central("serve", "--database-url", database.url)
    assert result.returncode != 0
    assert "edge-central: " in result.stderr
    assert "Traceback" not in result.stderr
