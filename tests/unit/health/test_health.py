from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.core.gaps import Gap, GapCause
from edge_agent.health.clock_quality import ClockQuality, kernel_says_synced
from edge_agent.health.ledger import GapLedger
from edge_agent.health.logs import set_up_logging
from edge_agent.health.systemd import SystemdNotifier
from edge_agent.pipeline.recorder import Recorder

RECORDER = Recorder(is_clock_synced=lambda: True)


def test_a_gap_told_at_its_begin_and_its_end_is_counted_once() -> None:
    ledger = GapLedger()
    ledger.note(RECORDER.gap(Gap("plc", GapCause.DEVICE_LOST, 1_000, 1_000)))
    ledger.note(RECORDER.gap(Gap("plc", GapCause.DEVICE_LOST, 1_000, 9_000)))
    ledger.note(RECORDER.gap(Gap("rig", GapCause.OVERFLOW, 1_000, 2_000)))
    assert ledger.by_cause() == {"device_lost": 1, "overflow": 1}
    assert ledger.total == 2
    assert [gap["subject"] for gap in ledger.newest(2)] == ["rig", "plc"]


def test_the_ledger_counts_only_gaps() -> None:
    ledger = GapLedger()
    ledger.note(RECORDER.alarm("rig", 1_000, {"state": "raised"}))
    assert ledger.total == 0


def test_the_kernel_is_asked_at_most_once_in_ten_seconds() -> None:
    answers, now_s = [True, False], [0.0]
    quality = ClockQuality(ask=lambda: answers.pop(0), monotonic_s=lambda: now_s[0])
    assert [quality(), quality()] == [True, True]
    now_s[0] = 10.0
    assert quality() is False


def test_the_kernel_gives_a_plain_answer() -> None:
    assert kernel_says_synced() in (True, False)


@pytest.mark.parametrize("style", ["path", "abstract"])
def test_systemd_hears_ready_status_watchdog_and_stopping(tmp_path: Path, style: str) -> None:
    address = {"path": str(tmp_path / "notify"), "abstract": f"@edge-test-{tmp_path.name}"}[style]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address.replace("@", "\0", 1))
        notifier = SystemdNotifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000"})
        notifier.ready("4 sources")
        notifier.alive()
        notifier.stopping()
        heard = [listener.recv(1000).decode() for _ in range(3)]
    assert heard == ["READY=1\nSTATUS=4 sources", "WATCHDOG=1", "STOPPING=1"]
    assert notifier.watchdog_interval_s == 1.5


def test_without_systemd_nothing_is_sent_and_no_watchdog_is_wanted() -> None:
    notifier = SystemdNotifier({})
    notifier.ready("fine")
    assert notifier.watchdog_interval_s is None


def test_a_systemd_that_went_away_does_not_stop_the_agent(tmp_path: Path) -> None:
    SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).alive()


@pytest.fixture
def own_logging() -> Iterator[None]:
    root, edge = logging.getLogger(), logging.getLogger("edge_agent")
    handlers, level, edge_level = root.handlers[:], root.level, edge.level
    yield
    root.handlers[:], root.level, edge.level = handlers, level, edge_level


@pytest.mark.usefixtures("own_logging")
def test_json_log_lines_are_objects_with_time_level_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "json")
    logging.getLogger("edge_agent").warning("%s is lost", "plc")
    document = json.loads(capsys.readouterr().err)
    assert document["level"] == "warning"
    assert document["message"] == "plc is lost"
    assert document["time"].endswith("+00:00")
