"""Gaps of a run, counted once each, with those of the outbox."""

from __future__ import annotations

from cloud_sync.outbox.gap_log import OwnGap
from cloud_sync.outbox.retention_policy import LossCause
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.health.gap_ledger import GapLedger
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
