"""One text that steers terminals, forges lines and turns what follows: in at every border, out at every sink."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.central.errors import CentralError
from cloud_sync.errors import TransientSyncError
from cloud_sync.host.json_logs import JsonFormatter
from cloud_sync.host.printable import is_printable
from cloud_sync.records import Batch, Event, EventKind, Row, Series
from cloud_sync.row_rules import judge
from cloud_sync.transports.answers import settlement_of
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.errors import BundleError, ConfigurationError, DeviceRejectedError
from edge_agent.health import logs
from edge_agent.health.systemd import SystemdNotifier
from edge_agent.pipeline.recorder import Recorder
from edge_agent.settings.load import load_settings
from edge_agent.status.local_socket import LocalApi, StatusFile, ask_daemon
from tests.unit.edge_agent.settings.test_gateway import GOOD

EVIL = "\x1b]0;evil\x07\x1b[2J\u202e\n\x9b\ud800"
NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
NOW_US = int(NOW.timestamp() * 1e6)


def texts_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in texts_in(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in texts_in(item)]
    return [value] if isinstance(value, str) else []


def is_safe(value: Any) -> bool:
    found = texts_in(value)
    return any("evil" in text for text in found) and all(map(is_printable, found))


@pytest.mark.parametrize("error", [BundleError, DeviceRejectedError, TransientSyncError, CentralError])
def test_an_error_of_ours(error: type[BundleError]) -> None:
    made = error(f"the device says {EVIL}", hint=f"look at {EVIL}")
    assert is_safe([made.message])
    assert is_safe([made.hint])
    assert is_safe([str(made)])


def test_an_error_of_several_lines_keeps_its_lines_and_nothing_else() -> None:
    made = ConfigurationError("line 1\x1b[2J\nline 2")
    assert made.message.splitlines() == ["line 1\\x1b[2J", "line 2"]


def test_what_the_central_answers() -> None:
    said = {
        "committed": True, "batch_id": "b", "accepted": 0, "duplicates": 0,
        "rejected": [{"index": 0, "code": EVIL[:-1], "detail": EVIL[:-1]}],
    }  # fmt: skip
    (refusal,) = settlement_of(json.dumps(said).encode(), batch_id="b").refused
    assert is_safe([refusal.code])
    assert is_safe([refusal.detail])


def test_an_event_of_ours() -> None:
    recorder = Recorder(is_clock_synced=lambda: True)
    assert is_safe(dict(recorder.gap(Gap("plc", GapCause.DEVICE_LOST, 0, 1, detail=EVIL)).body))
    assert is_safe(dict(recorder.report("m", 0, {"entry": EVIL, "more": [{"x": EVIL}]}).body))


@pytest.mark.parametrize("part", ["sensor_id", "unit"])
def test_a_name_at_the_central_is_refused(part: str) -> None:
    names = {"sensor_id": "a.b", "unit": "g", part: f"evil{EVIL[:-1]}"}
    series = Series(names["sensor_id"], "vibration", names["unit"], {})
    (refusal,) = judge(Batch("gw", (Row(series, NOW_US, 1.0, 1.0),)), now=NOW).refused
    assert refusal.code == "text_not_storable"
    assert is_printable(refusal.detail)


def test_what_is_stored_of_an_event_at_the_central() -> None:
    from cloud_sync.row_rules import json_text

    event = Event("id", EventKind.GAP, "plc", NOW_US, {"detail": EVIL[:-1], EVIL[:-1]: ["\x7f evil"]})
    assert judge(Batch("gw", (), (event,)), now=NOW).refused == ()
    assert is_safe(json.loads(json_text(event.body)))
    assert json_text({"detail": "Öl 3 °C"}) == '{"detail":"\\u00d6l 3 \\u00b0C"}'


@pytest.mark.parametrize(
    "formatter", [logs._TextFormatter("%(levelname)s %(message)s"), JsonFormatter()], ids=["text", "json"],
)  # fmt: skip
def test_a_log_line(formatter: logging.Formatter) -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "a %s", (EVIL,), None)
    record.fields = {"who": EVIL}
    line = formatter.format(record)
    assert len(line.splitlines()) == 1
    assert is_safe(json.loads(line) if line.startswith("{") else [line])


def test_a_traceback_in_a_log_keeps_its_lines_only() -> None:
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "a", (), (ValueError, ValueError(EVIL), None))
    lines = logs._TextFormatter("%(message)s").format(record).splitlines()
    assert len(lines) > 1
    assert is_safe(lines)


async def test_the_status_by_socket_and_by_file(tmp_path: Path) -> None:
    async def describe() -> dict[str, Any]:
        return {"state": "healthy", "sources": [{"message": EVIL}]}

    async with LocalApi(tmp_path / "s.sock", describe=describe):
        assert is_safe(await asyncio.to_thread(ask_daemon, tmp_path / "s.sock"))
    StatusFile(tmp_path / "status.json").write({"summary": EVIL})
    assert is_safe(json.loads((tmp_path / "status.json").read_text())["summary"])


def test_a_status_that_somebody_else_wrote(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text(json.dumps({"summary": EVIL}))
    assert is_safe(StatusFile(tmp_path / "status.json").read())


def test_what_systemd_is_told_is_one_line(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}).status(f"evil{EVIL}\nREADY=1")
        assert len(systemd.recv(4096).decode().splitlines()) == 1


@pytest.mark.parametrize("setting", ['unit = "g\\u001b[2J"', 'path = "/tmp/a\\u202Eb"'], ids=["unit", "path"])
def test_a_setting(tmp_path: Path, setting: str) -> None:
    site = tmp_path / "edge.toml"
    source = '[[sources]]\ntype = "replay"\nstands_for = "accelerometer"\nname = "r"\nasset = "a"\n'
    channels = 'sample_rate_hz = 1000\nchannels = [{ point = "x" }]\n'
    other = 'path = "/tmp/x"' if "unit" in setting else 'unit = "g"'
    site.write_text(f"{GOOD}\n{source}{setting}\n{other}\n{channels}")
    with pytest.raises(ConfigurationError, match="must not hold control characters") as found:
        load_settings(site)
    assert is_printable(found.value.message)
