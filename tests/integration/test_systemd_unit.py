"""The unit file, checked by systemd's own tools, alone and with the part that opens sound devices."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cloud_sync.host.stop_signals import HURRY_S
from cloud_sync.host.stopping import LEFT_OVER_S
from edge_agent.daemon.shutdown import (
    CARRIERS_S,
    CLOSE_S,
    DELIVER_S,
    ENDED_WITHIN_S,
    FINISH_S,
    KEEP_S,
    LAST_STATUS_S,
    OPENING_S,
    SOURCES_S,
    STORE_AGAIN_S,
    STORE_S,
)

REPOSITORY = Path(__file__).parents[2]
UNIT = REPOSITORY / "systemd" / "edge-agent.service"
DROP_INS = REPOSITORY / "systemd" / "edge-agent.service.d"
INSTALLED = "/opt/edge-agent/.venv/bin/edge-agent"
EXPOSURE_AT_MOST = 20  # tenths; systemd calls everything under 2.0 OK


@pytest.fixture(params=["plain", "sound.conf", "iio.conf"])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The unit as installed, but for the program, which has to exist where the check runs."""
    program = Path(sys.executable).with_name("edge-agent")
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text(encoding="utf-8").replace(INSTALLED, str(program)), encoding="utf-8")
    if request.param != "plain":
        folder = tmp_path / DROP_INS.name
        folder.mkdir()
        shutil.copy(DROP_INS / request.param, folder)
    return path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60)


def test_systemd_understands_every_line(unit: Path) -> None:
    # Without --recursive-errors an unknown setting is only a warning, with exit code 0.
    answer = analyze("--man=no", "--recursive-errors=yes", "verify", str(unit))
    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_check_would_notice_a_misspelt_setting(unit: Path) -> None:
    unit.write_text(unit.read_text(encoding="utf-8").replace("WatchdogSec=", "WatchdogSecs="), encoding="utf-8")
    answer = analyze("--man=no", "--recursive-errors=yes", "verify", str(unit))
    assert "WatchdogSecs" in answer.stderr


def test_the_service_has_little_it_could_be_abused_for(unit: Path) -> None:
    answer = analyze("security", "--offline=true", f"--threshold={EXPOSURE_AT_MOST}", "--no-pager", str(unit))
    assert answer.returncode == 0, answer.stdout


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",
        "WatchdogSec=30",
        "Restart=always",
        "StartLimitBurst=10",
        "LoadCredential=central-api-key:/etc/edge-agent/central-api-key",
        "MemoryDenyWriteExecute=yes",
        "Environment=ORT_DISABLE_TELEMETRY=1",
        "RestartPreventExitStatus=3",
        f"ExecStart={INSTALLED} run --config /etc/edge-agent/edge.toml",
    ],
)
def test_the_unit_promises(line: str) -> None:
    assert line in lines(UNIT)


def test_a_stop_at_all_its_bounds_ends_before_systemd_kills_it() -> None:
    (timeout,) = [line for line in lines(UNIT) if line.startswith("TimeoutStopSec=")]
    steps = (
        SOURCES_S, FINISH_S, STORE_S, CARRIERS_S, STORE_AGAIN_S, KEEP_S, DELIVER_S, LAST_STATUS_S,
        CLOSE_S, CLOSE_S, LEFT_OVER_S, LEFT_OVER_S,
    )  # fmt: skip
    assert sum(steps) == ENDED_WITHIN_S
    assert float(timeout.partition("=")[2]) >= ENDED_WITHIN_S + 3
    assert OPENING_S + 2 * CLOSE_S + 2 * LEFT_OVER_S < ENDED_WITHIN_S
    assert HURRY_S < 5


def test_nothing_but_a_wrong_configuration_leaves_it_down() -> None:
    """An end by SIGHUP, SIGTERM, SIGINT or SIGPIPE is a clean one to systemd: only `always` starts it after those."""
    assert not [line for line in lines(UNIT) if line.startswith(("SuccessExitStatus=", "ExecReload="))]
    assert [line for line in lines(UNIT) if line.startswith("RestartPreventExitStatus=")] == [
        "RestartPreventExitStatus=3"
    ]


def test_a_wrong_file_is_not_tried_again() -> None:
    """RestartPreventExitStatus counts for the main process only; a failing ExecStartPre would be restarted."""
    assert not [line for line in lines(UNIT) if line.startswith("ExecStartPre=")]


def test_the_clock_can_still_be_asked() -> None:
    """ProtectClock and @system-service both forbid adjtimex, and then every value would count as unsynchronised."""
    assert not [line for line in lines(UNIT) if line.startswith("ProtectClock=")]
    assert "SystemCallFilter=adjtimex clock_adjtime" in lines(UNIT)


def test_only_the_sound_part_allows_devices_and_code_made_at_run_time() -> None:
    assert "PrivateDevices=yes" in lines(UNIT)
    assert not [line for line in lines(UNIT) if line.startswith("DeviceAllow=")]
    assert {"DeviceAllow=char-alsa rw", "MemoryDenyWriteExecute=no"} <= set(lines(DROP_INS / "sound.conf"))
