"""The servers a delivery is measured against, as child processes: the central on its own PostgreSQL, and mosquitto.

Constraints
- PostgreSQL keeps its defaults, fsync among them: an answer is a durable COMMIT for both sides of a comparison.
- The central's rate limits are off; they would bound whoever sends one reading per request to 50 a second.
- Every child and folder is gone when its `with` ends; the children also end with this process.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.harness import UnavailableError
from cloud_sync.central.embedded_postgres.processes import die_with_parent

START_DEADLINE_S: Final = 30.0
_END_S: Final = 20.0
_CLI: Final = (sys.executable, "-m", "cloud_sync.central.cli.main")


@dataclass(frozen=True, slots=True)
class Central:
    """Where it listens, and the key of the one gateway it knows."""

    url: str
    api_key: str


@contextlib.contextmanager
def central(gateway_id: str, *, broker_port: int | None = None) -> Iterator[Central]:
    """A fresh central with no rows. It keeps rows of any age, so that its upkeep deletes nothing meanwhile."""
    options = ["--port", "0", "--exit-with-parent", "--rows-per-s", "0", "--requests-per-s", "0"]
    options += ["--retention-days", "0"]
    if broker_port is not None:
        options += ["--mqtt-url", f"mqtt://127.0.0.1:{broker_port}"]
    with short_folder() as folder:
        data = folder / "postgres"
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [*_CLI, "serve", "--embedded", data, *options],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        try:
            yield Central(_url(process, folder / "log"), _add_key(gateway_id, data))
        finally:
            _end(process)


@contextlib.contextmanager
def mosquitto() -> Iterator[int]:
    """A broker on the port that is handed out. Raises UnavailableError when the program is not installed."""
    program = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
    if program is None:
        raise UnavailableError("mosquitto is missing; install the Debian package `mosquitto`")
    port = _free_port()
    with short_folder() as folder:
        settings = folder / "mosquitto.conf"
        settings.write_text(f"listener {port} 127.0.0.1\nset_tcp_nodelay true\nallow_anonymous true\n")
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [program, "-c", settings],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent(signal.SIGKILL),
            )  # fmt: skip
        try:
            _wait_for_port(port, process, folder / "log")
            yield port
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder that another user may enter, since servers give up root; its name leaves room for a unix socket's."""
    with tempfile.TemporaryDirectory(prefix="edge-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def _url(process: subprocess.Popen[str], log: Path) -> str:
    """From the line it prints when it is ready; no line is the end of it."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the central did not start: {log.read_text()[-2_000:]}")
    return str(json.loads(line)["url"])


def _add_key(gateway_id: str, data: Path) -> str:
    command = [*_CLI, "add-key", gateway_id, "--embedded", str(data)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.01)
    raise RuntimeError(f"mosquitto did not start: {log.read_text()[-2_000:]}")


def _free_port() -> int:
    """mosquitto does not tell which port it got, so it cannot be asked for any."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port
