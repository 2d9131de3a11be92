"""Condition features of one waveform source, from sample blocks to records, with a model beside it or without. Pure.

Constraints
- Indicators with the same window and hop share one windower; windows are cut at the rate the samples come at.
- Reported once per interval as means, and as the highest where a mean would hide it.
- A gap never becomes a number: a stale speed, a machine at rest and windows without honest features are gaps with a
  cause, reported when they begin and when they end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from cloud_sync.columns import Record
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.samples import SampleBlock
from edge_agent.core.tags import Reading
from edge_agent.core.windows import WindowBatch
from edge_agent.dsp.windower import Windower
from edge_agent.errors import EdgeError
from edge_agent.pipeline.condition.meter import ChannelIndicator, Meter
from edge_agent.pipeline.condition.plan import Indicator
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.sample_gaps import is_news
from edge_agent.pipeline.sensor_health.uses import UsesOf, all_scored

SAME_RATE: Final = 1e-6
"""As the windower takes two rates for one."""

Latest = Callable[[], Mapping[str, Reading]]


class IndicatorLine:
    """All indicators of one source. `points` name its channels, in order.

    `latest` gives the newest reading of each tag and `now_ns` the time, for speeds; `reports_gaps` is false where a
    model's line over the same samples reports them; `uses` says what each window is good for.
    """

    def __init__(
        self,
        *,
        source: str,
        asset: str,
        points: tuple[str, ...],
        sensor_type: str,
        signal_unit: str,
        indicators: tuple[Indicator, ...],
        interval_s: float,
        recorder: Recorder,
        latest: Latest,
        now_ns: Callable[[], int],
        reports_gaps: bool,
        uses: UsesOf = all_scored,
    ) -> None:
        self.name = source
        self.gaps_total = 0
        self.last_gap: Gap | None = None
        self.meters = tuple(
            Meter(
                indicator,
                source=source,
                subjects=tuple(f"{asset}.{points[c]}" for c in indicator.channels),
                sensor_type=sensor_type,
                signal_unit=signal_unit,
                interval_s=interval_s,
                recorder=recorder,
            )
            for indicator in indicators
        )
        self._points = points
        self._recorder = recorder
        self._latest, self._now_ns = latest, now_ns
        self._reports_gaps = reports_gaps
        self._uses_of = uses
        self._rate_hz: float | None = None
        self._cuts: list[tuple[Windower, list[Meter]]] = []
        self._newest_ns = 0

    def leave_gaps_to_the_model(self) -> None:
        """Report no gaps of samples from now on: a model has come that sees the same samples, and reports them."""
        self._reports_gaps = False

    def push(self, item: SampleBlock | Gap) -> list[Record]:
        """Return what one item from the driver leads to, in order."""
        if isinstance(item, Gap):
            return self._pass_gap(item)
        self._newest_ns = item.end_ns
        records = self._follow_rate(item)
        for number, (windower, meters) in enumerate(self._cuts):
            for part in windower.push(item):
                if isinstance(part, Gap):
                    records += self._pass_gap(part) if number == 0 else []  # every windower meets the same gap
                else:
                    records += self._pass_windows(part, meters)
        return records

    def flush(self) -> list[Record]:
        """Return the reports of intervals that have begun and not ended, and the ends of gaps: before a stop."""
        return [record for meter in self.meters for record in meter.flush(self._newest_ns)]

    @property
    def row_names(self) -> frozenset[str]:
        """Return the names of the rows that are written below the points."""
        return frozenset(name for meter in self.meters for _, name, _ in meter.indicator.row_names())

    def standing_lines(self, channels: range) -> list[dict[str, Any]]:
        """Return the fault lines that stand now on these channels, as data."""
        return [
            line
            for meter in self.meters
            for channel, state in zip(meter.indicator.channels, meter.states, strict=True)
            if channel in channels
            for line in meter.lines_of(state, standing=True)
        ]

    def states(self) -> list[tuple[Meter, str, ChannelIndicator]]:
        """Return every indicator of every channel, with its point; read by `status`."""
        return [
            (meter, self._points[channel], state)
            for meter in self.meters
            for channel, state in zip(meter.indicator.channels, meter.states, strict=True)
        ]

    def _follow_rate(self, block: SampleBlock) -> list[Record]:
        rate_hz = self._rate_hz
        if rate_hz is not None and abs(block.sample_rate_hz - rate_hz) <= SAME_RATE * rate_hz:
            return []
        self._rate_hz = block.sample_rate_hz
        records: list[Record] = []
        by_cut: dict[tuple[int, int], list[Meter]] = {}
        for meter in self.meters:
            try:
                spec = meter.tune(block.sample_rate_hz)
            except EdgeError as exc:
                records += meter.withhold(GapCause.INVALID_SAMPLES, exc.message, block.start_ns)
            else:
                by_cut.setdefault((spec.window_samples, spec.hop_samples), []).append(meter)
        self._cuts = [
            (
                Windower(
                    self.name,
                    sample_rate_hz=block.sample_rate_hz,
                    window_samples=window,
                    hop_samples=hop,
                    n_channels=len(self._points),
                ),
                meters,
            )
            for (window, hop), meters in by_cut.items()
        ]
        return records

    def _pass_windows(self, windows: WindowBatch, meters: list[Meter]) -> list[Record]:
        records: list[Record] = []
        uses = self._uses_of(windows)
        for meter in meters:
            try:
                records += meter.measure(windows, self._latest, self._now_ns, uses)
            except EdgeError as exc:  # one indicator stops nobody else
                records += meter.withhold(GapCause.INVALID_SAMPLES, exc.message, int(windows.end_ns[-1]))
        return records

    def _pass_gap(self, gap: Gap) -> list[Record]:
        if not self._reports_gaps or not is_news(gap, self.last_gap):
            return []
        self.last_gap = gap
        self.gaps_total += 1
        return [self._recorder.gap(gap)]
