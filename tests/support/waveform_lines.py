"""A waveform line over the mean model, blocks for it, and what it gave."""

from __future__ import annotations

import numpy as np

from cloud_sync.columns import Record
from cloud_sync.records import Event, EventKind, Row
from edge_agent.core.quality import Quality
from edge_agent.core.samples import SampleBlock, read_only
from edge_agent.pipeline.condition.line import IndicatorLine
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.scored_line import Observer, unobserved
from edge_agent.pipeline.sensor_health.uses import UsesOf, all_scored
from edge_agent.pipeline.waveform import WaveformLine
from edge_agent.settings import AlarmSettings, ReportSettings
from tests.support.blocks import rows_in
from tests.support.mean_model import RATE_HZ, WINDOW

START_NS = 1_700_000_000_000_000_000
WINDOW_NS = round(WINDOW / RATE_HZ * 1e9)


def line_of(
    model: ScoringModel,
    *,
    interval_s: float = 1.0,
    is_synced: bool = True,
    observe: Observer = unobserved,
    indicators: IndicatorLine | None = None,
    uses: UsesOf = all_scored,
) -> WaveformLine:
    return WaveformLine(
        source="rig", asset="rig-1", points=("x", "y"), sensor_type="vibration", signal_unit="g", model=model,
        alarm=AlarmSettings(over_windows=3, enter_fraction=0.9, leave_fraction=0.1),
        report=ReportSettings(interval_s=interval_s, alarm_interval_s=0.2),
        recorder=Recorder(is_clock_synced=lambda: is_synced), observe=observe, indicators=indicators,
        uses=uses,
    )  # fmt: skip


def feed(line: WaveformLine, levels: list[tuple[float, float]], *, quality: Quality = Quality.GOOD) -> list[Record]:
    """One window per pair of channel levels, one block each."""
    records: list[Record] = []
    for i, pair in enumerate(levels):
        samples = np.repeat(np.array(pair, np.float32)[:, None], WINDOW, axis=1)
        block = SampleBlock("rig", i, START_NS + i * WINDOW_NS, RATE_HZ, "g", read_only(samples), quality)
        records += line.push(block)
    return records


def rows(records: list[Record], sensor_id: str) -> list[Row]:
    return [row for row in rows_in(records) if row.series.sensor_id == sensor_id]


def events(records: list[Record], kind: EventKind) -> list[Event]:
    return [record for record in records if isinstance(record, Event) and record.kind is kind]
