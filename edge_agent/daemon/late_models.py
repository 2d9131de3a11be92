"""Models that come after the start: what waits for them, the gap that this makes, and how scoring begins.

A source whose bundle was refused is not scored, and says so as a gap, until a model fits (`rollout/missing_models`).
"""

from __future__ import annotations

from collections.abc import Mapping

from edge_agent.core.clock import Clock
from edge_agent.core.gaps import GapCause, GapSpan
from edge_agent.daemon.running_stages import RunningStages
from edge_agent.errors import BundleError, ConfigurationError
from edge_agent.pipeline.condition.plan import check_rows, indicators_of
from edge_agent.pipeline.lines import ModelLines
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.operating_state import Operations
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.scored_line import Observer, ScoredLine
from edge_agent.pipeline.stages import Put
from edge_agent.pipeline.waveform import WaveformLine
from edge_agent.rollout.lifecycle import ModelLifecycle
from edge_agent.settings import Settings, WaveformSettings
from edge_agent.status.models import Unscored, unscored_by


class UnscoredGaps:
    """Sources and tag models that no model scores, each with a gap that lasts until one does, or the run ends."""

    def __init__(self, errors: Mapping[str, BundleError], recorder: Recorder, put: Put, clock: Clock) -> None:
        self.now: dict[str, Unscored] = {}
        self._errors = errors
        self._spans: dict[str, GapSpan] = {}
        self._recorder = recorder
        self._put = put
        self._clock = clock

    def add(self, name: str, model: str | None) -> None:
        """Add one that nothing scores, with why its model was refused."""
        self.now[name] = unscored_by(self._errors.get(model or ""), model)

    async def begin(self) -> None:
        """Put the beginning of each gap."""
        for name, unscored in self.now.items():
            self._spans[name] = GapSpan(name)
            gap = self._spans[name].begin(GapCause.MODEL_REFUSED, self._clock.now_ns(), unscored.reason)
            await self._put([self._recorder.gap(gap)] if gap else [])

    async def end(self, name: str) -> None:
        """End the gap of one that is scored from now on."""
        self.now.pop(name, None)
        span = self._spans.pop(name, None)
        gap = span.end(self._clock.now_ns()) if span is not None else None
        await self._put([self._recorder.gap(gap)] if gap is not None else [])

    async def end_all(self) -> None:
        """Put how far each gap came; the agent stops."""
        ended = [span.end(self._clock.now_ns()) for span in self._spans.values()]
        await self._put([self._recorder.gap(gap) for gap in ended if gap is not None])

    def described(self) -> dict[str, Unscored]:
        """Return it as it is now: what is wrong may have changed since the start, by other files or another key."""
        return {name: self._described(before) for name, before in self.now.items()}

    def _described(self, before: Unscored) -> Unscored:
        error = self._errors.get(before.model or "")
        return before if error is None else unscored_by(error, before.model)


class LateModels:
    """`models` is the agent's own table of those that score."""

    def __init__(
        self,
        settings: Settings,
        models: dict[str, ScoringModel],
        *,
        lines: ModelLines,
        lifecycle: ModelLifecycle,
        running: RunningStages,
        unscored: UnscoredGaps,
        operations: Operations,
    ) -> None:
        self._settings = settings
        self._models = models
        self._lines = lines
        self._lifecycle = lifecycle
        self._running = running
        self._unscored = unscored
        self._operations = operations

    async def adopt(self, model: ScoringModel) -> None:
        """Score with it wherever it is asked for. Raises BundleError when one of those does not fit it."""
        sources = [s for s in self._settings.waveform_sources if s.model == model.name]
        tag_models = [settings for settings in self._settings.tag_models if settings.model == model.name]
        rollout = self._lifecycle.new_rollout(model)
        try:
            waveforms = [(source, self._waveform(source, model, rollout.observe)) for source in sources]
            snapshots = [
                self._lines.snapshot(each, model, observe=rollout.observe, operation=self._operations.of(each.asset))
                for each in tag_models
            ]
            for source in sources:
                check_rows(
                    source, indicators_of(source, self._settings.tables, leave_out=lambda *_: None), model.feature_names
                )
        except ConfigurationError as exc:
            raise BundleError(exc.message, hint=exc.hint) from exc
        lines: list[ScoredLine] = [*(line for _, line in waveforms), *snapshots]
        await self._lines.baselines.restore([channel.subject for line in lines for channel in line.channels])
        self._models[model.name] = model
        await self._lifecycle.add(rollout, lines)
        for source, waveform in waveforms:
            await self._running.exchange(source.name, waveform)
        for snapshot in snapshots:
            self._running.start(self._running.add_snapshot(snapshot))
        for line in lines:
            await self._unscored.end(line.name)

    def _waveform(self, source: WaveformSettings, model: ScoringModel, observe: Observer) -> WaveformLine:
        """Make the line of a source; indicators that look at its samples already go on beside it."""
        indicators = self._running.indicators_of(source.name)
        uses = self._running.health[source.name].uses
        return self._lines.waveform(source, model, observe=observe, indicators=indicators, uses=uses)
