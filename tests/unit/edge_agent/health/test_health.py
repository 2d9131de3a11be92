from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync.outbox.gap_log import OwnGap
from cloud_sync.outbox.retention_policy import LossCause
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.health.clock_quality import ClockQuality, KernelClock, ask_kernel
from edge_agent.health.gap_ledger import GapLedger
from edge_agent.health.logs import set_up_logging
from edge_agent.health.systemd import SystemdNotifier
from edge_agent.pipeline.recorder import Recorder

RECORDER = Recorder(is_clock_synced=lambda: True)


def test_a_gap_told_at_its_begin_and_its_end_is_counted_once() -> None:
    ledger = GapLedger()
    ledger.add(RECORDER.gap(Gap("plc", GapCause.DEVICE_LOST, 1_000, 1_000)))
    ledger.add(RECORDER.gap(Gap("plc", GapCause.DEVICE_LOST, 1_000, 9_000)))
    ledger.add(RECORDER.gap(Gap("rig", GapCause.OVERFLOW, 1_000, 2_000)))
    assert ledger.by_cause() == {"device_lost": 1, "overflow": 1}
    assert ledger.total == 2
    assert [gap["subject"] for gap in ledger.newest(2)] == ["rig", "plc"]


def own(cause: LossCause, count: int | None, *, noted_us: int, number: int) -> OwnGap:
    return OwnGap(cause, 100, 200, count, noted_us, "why", number)


def test_the_outboxs_own_gaps_are_shown_with_cause_and_count() -> None:
    ledger = GapLedger(since_us=1_000)
    ledger.add(RECORDER.gap(Gap("plc", GapCause.DEVICE_LOST, 1_000, 2_000)))
    before = own(LossCause.EVICTED, 5, noted_us=999, number=1)
    ledger.add_outbox_gaps([before, own(LossCause.THINNED, 10, noted_us=1_000, number=2)], subject="gw-1")
    grown = own(LossCause.THINNED, 40, noted_us=1_010, number=2)
    unknown = own(LossCause.DAMAGED, None, noted_us=1_020, number=3)
    for _ in range(2):
        ledger.add_outbox_gaps([before, grown, unknown], subject="gw-1")
    assert ledger.by_cause() == {"device_lost": 1, "thinned": 1, "damaged": 1}
    assert ledger.outbox_records() == {"thinned": 40, "damaged": None}
    assert [(gap["subject"], gap["cause"], gap.get("count")) for gap in ledger.newest(9)] == [
        ("gw-1", "damaged", None),
        ("gw-1", "thinned", 40),
        ("plc", "device_lost", None),
    ]


def test_the_ledger_counts_only_gaps() -> None:
    ledger = GapLedger()
    ledger.add(RECORDER.alarm("rig", 1_000, {"state": "raised"}))
    assert ledger.total == 0


def test_the_kernel_is_asked_at_most_once_in_a_second() -> None:
    answers, now_s = [KernelClock(is_synced=True), KernelClock(is_synced=False)], [0.0]
    quality = ClockQuality(ask=lambda: answers.pop(0), monotonic_s=lambda: now_s[0])
    assert [quality(), quality()] == [True, True]
    now_s[0] = 1.0
    assert quality() is False


def test_the_kernel_gives_a_plain_answer() -> None:
    assert ask_kernel().is_synced in (True, False)


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
    assert (document["level"], document["logger"]) == ("warning", "edge_agent")
    assert document["message"] == "plc is lost"
    assert document["time"].endswith("+00:00")
