"""The daemon as systemd sees it: what it tells the notify socket, from start to stop.

The child runs under the same rule as the unit (no memory both writable and executable) where the kernel
can impose it without systemd, which is from Linux 6.3 on.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.cli.status import read_status

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 60.0
WATCHDOG_S = 1.0
PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN = 65, 1

SITE = f"""\
[gateway]
id = "gw-notify"
site = "test"
state_dir = "state"
runtime_dir = "run"

[central]
url = "https://127.0.0.1:9"

[models]
dir = "{REPOSITORY / "models_onnx"}"

[[sources]]
type = "synthetic"
name = "shaft"
asset = "rig-1"
model = "vibration_anomaly_isolationforest"
channels = [{{ point = "de-x" }}]
"""


class Systemd:
    """The receiving end of a notify socket, and the daemon it belongs to."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "edge.toml"
        self.config.write_text(SITE, encoding="utf-8")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self.heard: list[str] = []
        credentials = folder / "credentials"
        credentials.mkdir()
        (credentials / "central-api-key").write_text("key-of-a-test\n")
        self.daemon = subprocess.Popen(
            [sys.executable, "-m", "edge_agent", "run", "--config", str(self.config)],
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("EDGE_")},
                "NOTIFY_SOCKET": str(folder / "notify"),
                "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6)),
                "CREDENTIALS_DIRECTORY": str(credentials),
            },
            stderr=subprocess.PIPE,
            preexec_fn=refuse_writable_code,
        )

    def hear(self, wanted: str) -> str:
        """The next message that holds this line. Fails when the daemon ends or the deadline passes."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            self._socket.settimeout(0.2)
            try:
                message = self._socket.recv(4096).decode()
            except TimeoutError:
                assert self.daemon.poll() is None, f"the daemon ended before {wanted!r}: {self.words()}"
                continue
            self.heard.append(message)
            if any(line.startswith(wanted) for line in message.splitlines()):
                return message
        raise AssertionError(f"{wanted!r} was not heard, but {self.heard}")

    def forget(self) -> None:
        """Drop what was sent until now."""
        while self.says_anything_within(0.01):
            pass

    def says_anything_within(self, seconds: float) -> bool:
        self._socket.settimeout(seconds)
        try:
            return bool(self._socket.recv(4096))
        except TimeoutError:
            return False

    def words(self) -> str:
        assert self.daemon.stderr is not None
        return self.daemon.stderr.read().decode()

    def end(self) -> None:
        if self.daemon.poll() is None:
            self.daemon.kill()
            self.daemon.wait()
        assert self.daemon.stderr is not None
        self.daemon.stderr.close()
        self._socket.close()


def refuse_writable_code() -> None:
    ctypes.CDLL(None).prctl(PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    systemd = Systemd(tmp_path)
    yield systemd
    systemd.end()


def test_ready_then_alive_then_stopping(systemd: Systemd) -> None:
    assert systemd.hear("READY=1") == "READY=1\nSTATUS=1 source"
    assert "WATCHDOG=1" not in "".join(systemd.heard), "alive is said only after ready"
    for _ in range(3):
        systemd.hear("WATCHDOG=1")
    assert " waiting" in systemd.hear("STATUS=")

    status = read_status(systemd.config)
    assert status["sources"][0]["state"] == "running"
    assert status["models"][0]["name"] == "vibration_anomaly_isolationforest"

    systemd.daemon.send_signal(signal.SIGTERM)
    systemd.hear("STOPPING=1")
    assert systemd.daemon.wait(DEADLINE_S) == 0
    assert "stopped" in systemd.words()
    assert read_status(systemd.config)["summary"] == "the agent was stopped on request"


def test_a_loop_that_is_stuck_says_nothing(systemd: Systemd) -> None:
    systemd.hear("WATCHDOG=1")
    systemd.daemon.send_signal(signal.SIGSTOP)
    os.waitpid(systemd.daemon.pid, os.WUNTRACED)
    systemd.forget()
    assert not systemd.says_anything_within(2 * WATCHDOG_S)
    systemd.daemon.send_signal(signal.SIGCONT)
    systemd.hear("WATCHDOG=1")


def test_a_refused_configuration_ends_with_the_code_the_unit_does_not_restart_on(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(SITE.replace("asset =", "aset ="), encoding="utf-8")
    command = [sys.executable, "-m", "edge_agent", "run", "--config", str(config)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert ended.returncode == 3
    assert "did you mean asset?" in ended.stderr
