"""A line of another class, known to nobody, goes through stage, hot swap, rollout and status as ours do."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud_sync.columns import Record
from cloud_sync.records import Event, EventKind
from edge_agent.core.channel import Channel, WhenFull
from edge_agent.core.clock import FakeClock
from edge_agent.core.gaps import Gap, GapCause, GapSpan
from edge_agent.core.samples import SampleBlock, read_only
from edge_agent.core.scores import Verdict
from edge_agent.drivers.replay.settings import ReplaySettings
from edge_agent.drivers.supervisor import SourceHealth, SourceState
from edge_agent.errors import BundleError
from edge_agent.pipeline.alarms import AlarmTracker
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.recorder import Recorder, gap_event
from edge_agent.pipeline.scored_line import Observer, ScoredSampleLine, ScoredWindows
from edge_agent.pipeline.stages import WaveformStage
from edge_agent.rollout.alarm_record import AlarmRecord, kept_rows
from edge_agent.rollout.hot_swap import check_fit, counts_of, machines_of, standing_channels, swap_model, totals_of
from edge_agent.rollout.rollout import Rollout
from edge_agent.settings import AlarmSettings
from edge_agent.status.machines import describe_alarms, describe_source, signal_problems
from tests.support.mean_model import RATE_HZ, WINDOW

START_NS = 1_700_000_000_000_000_000
ALARM = AlarmSettings(over_windows=3, enter_fraction=0.9, leave_fraction=0.1)


class PeakChannel:
    """The largest sample of a block is its score."""

    def __init__(self) -> None:
        self.point, self.subject, self.alarm_subject = "spindle", "mill-1.spindle", "mill-1.spindle"
        self.alarm, self.fault = AlarmTracker(ALARM), GapSpan(self.subject)
        self.windows_total = self.scored_total = self.anomalous_total = 0
        self.last_score: float | None = None
        self.last_verdict = Verdict.UNKNOWN
        self.explanation: list[dict[str, Any]] = []
        self.fault_lines: list[dict[str, Any]] = []


class PeakLine:
    """A line without windows, features or reports."""

    def __init__(self, model: ScoringModel, observe: Observer) -> None:
        self.name, self.model = "mill", model
        self.channel = PeakChannel()
        self.channels = (self.channel,)
        self.refusal, self.model_refused_total = GapSpan(self.name), 0
        self._observe = observe
        self._recorder = Recorder(is_clock_synced=lambda: True)

    def check_fit(self, model: ScoringModel) -> None:
        if model.channels_per_row != 1:
            raise BundleError("a peak is that of one channel")

    def swap(self, model: ScoringModel) -> list[Record]:
        self.model = model
        return [self._recorder.report(self.name, START_NS, {"scored_total": self.channel.scored_total})]

    def push(self, item: SampleBlock | Gap) -> list[Record]:
        if isinstance(item, Gap):
            begun = self.refusal.begin(item.cause, item.start_ns, item.detail)
            return [] if begun is None else [gap_event(begun)]
        channel, score = self.channel, float(item.samples.max())
        channel.last_verdict = Verdict.ANOMALOUS if score > self.model.threshold else Verdict.NORMAL
        channel.last_score = score
        channel.windows_total += 1
        channel.scored_total += 1
        channel.anomalous_total += channel.last_verdict is Verdict.ANOMALOUS
        row = np.array([[[score]]], np.float32)
        self._observe(
            ScoredWindows(
                values=row, is_usable=np.ones((1, 1), np.bool_), scores=row[0], samples=None,
                subjects=(channel.subject,), is_standing=(channel.alarm.is_standing,), alarm=ALARM,
            )
        )  # fmt: skip
        change = channel.alarm.push(channel.last_verdict, item.end_ns)
        return [] if change is None else [self._recorder.alarm(channel.alarm_subject, item.end_ns, {"state": change})]

    def flush(self) -> list[Record]:
        return []


def block(level: float, number: int) -> SampleBlock:
    samples = read_only(np.full((1, WINDOW), level, np.float32))
    return SampleBlock("mill", number, START_NS + number * 100_000_000, RATE_HZ, "g", samples)


class Mill:
    """The line in a stage of its own, with the rollout of its model."""

    def __init__(self, model: ScoringModel, folder: Path) -> None:
        record = AlarmRecord(folder, model.name, model.spec, log=lambda level, line: None)
        self.rollout = Rollout(model.name, model, record)
        self.line: ScoredSampleLine = PeakLine(model, self.rollout.observe)
        self.rollout.lines.append(self.line)
        self.records: list[Record] = []
        inlet: Channel[SampleBlock | Gap] = Channel("mill", capacity=16, when_full=WhenFull.BLOCK)
        self.stage = WaveformStage("mill", inlet, self._put, FakeClock(), scored=self.line)

    async def _put(self, records: Sequence[Record]) -> None:
        self.records += records

    async def pass_on(self, *items: SampleBlock | Gap) -> None:
        for item in items:
            await self.stage.inlet.send(item)
        await self.stage.finish()

    def described(self) -> dict[str, Any]:
        source = ReplaySettings.model_validate(
            {"type": "replay", "name": "mill", "asset": "mill-1", "stands_for": "accelerometer", "path": "/recordings",
             "channels": [{"point": "spindle"}]}
        )  # fmt: skip
        return describe_source(source, SourceHealth(SourceState.RUNNING, START_NS), [self.stage], START_NS)


@pytest.fixture
def mill(model: ScoringModel, tmp_path: Path) -> Mill:
    return Mill(model, tmp_path)


async def test_its_stage_passes_every_item_and_its_rollout_sees_them(
    mill: Mill, model: ScoringModel, tmp_path: Path
) -> None:
    await mill.pass_on(*(block(0.9, number) for number in range(4)))
    (alarm,) = [record for record in mill.records if isinstance(record, Event)]
    assert (alarm.kind, alarm.subject) == (EventKind.ALARM, "mill-1.spindle")
    mill.rollout.alarms.save(0.0)
    kept = kept_rows(tmp_path, model.name, model.spec)
    assert kept is not None
    assert kept.tolist() == [[np.float32(0.9)]], "the block after the alarm was raised"


async def test_it_is_swapped_and_counted_by_its_protocol(mill: Mill, model: ScoringModel) -> None:
    await mill.pass_on(*(block(0.9, number) for number in range(4)))
    assert standing_channels([mill.line]) == {("mill", 0)}
    assert machines_of([mill.line]) == {"mill-1"}
    totals = totals_of([mill.line])
    assert (totals.alarms, totals.windows, totals.anomalous) == (1, 4, 4)
    newer = dataclasses.replace(model, version="2.0.0")
    check_fit([mill.line], newer)
    (report,) = swap_model([mill.line], newer)
    assert isinstance(report, Event)
    assert report.body["scored_total"] == 4
    assert mill.line.model.version == "2.0.0"
    assert counts_of([mill.line], standing_channels([mill.line])).scored == 0
    with pytest.raises(BundleError, match="a peak is that of one channel"):
        check_fit([mill.line], dataclasses.replace(model, channels_per_row=2))


async def test_status_shows_its_channel_its_alarm_and_what_is_wrong(mill: Mill) -> None:
    await mill.pass_on(*(block(0.75, number) for number in range(4)))
    (channel,) = mill.described()["channels"]
    assert (channel["subject"], channel["score"], channel["verdict"]) == ("mill-1.spindle", 0.75, "anomalous")
    assert (channel["is_alarm"], channel["scored_total"], channel["model"]) == (True, 4, "mean-model")
    (alarm,) = describe_alarms([mill.stage], [])
    assert (alarm["subject"], alarm["kind"], alarm["score"]) == ("mill-1.spindle", "model", 0.75)
    assert signal_problems([mill.stage], [], {}) == []
    await mill.pass_on(Gap("mill", GapCause.DEVICE_LOST, START_NS, START_NS, "unplugged"))
    (found,) = signal_problems([mill.stage], [], {})
    assert found["what"] == "mill is not scored: unplugged"
